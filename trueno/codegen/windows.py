"""How windows are added up again, and how reductions over small windows become elementwise code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.convolution import placed_bounds
from trueno.ir.elementwise import add, where
from trueno.ir.node import Node, make
from trueno.ir.op import Op
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import flip, place, slice_
from trueno.ir.windows import Slide, diagonal, interleave, window

#: Reductions over windows of up to that many elements are written out, element by element. The loop then runs along
#: the positions, which are many, in place of the window, which is too short to be a vector.
UNROLLED = 64
#: And as long as it makes no more than that many operations.
UNROLLED_OPERATIONS = 400


def put(x: Node, places: Mapping[int, tuple[int, int, int]]) -> Node:
    """Return zeros with x in them: by axis, how far apart its elements are put, where the first one is (it may be
    outside), and the extent."""
    part, bounds, shape = [], [], []
    for axis, extent in enumerate(x.shape):
        apart, low, length = places.get(axis, (1, 0, extent))
        first, inside, at, apart = placed_bounds(extent, apart, low, length)
        part.append((first, 1, inside))
        bounds.append((at, apart, inside))
        shape.append(length)
    x = slice_(x, bounds=tuple(part))
    whole = x.shape == tuple(shape) and all(at == 0 for at, _, _ in bounds)
    return x if whole else place(x, shape=tuple(shape), bounds=tuple(bounds))


def element(x: Node, at: Mapping[int, int], known: dict[int, Node] | None = None) -> Node:
    """Return the part of x at an index along axes, which stay with extent 1; what it is computed from is cut too."""
    known = {} if known is None else known
    if id(x) not in known:
        known[id(x)] = _element(x, at, known)
    return known[id(x)]


def _element(x: Node, at: Mapping[int, int], known: dict[int, Node]) -> Node:
    shape = tuple(1 if k in at else n for k, n in enumerate(x.shape))
    if x.op is build.IOTA:
        return build.expand(build.const(at[x.arg], x.dtype), shape=shape) if x.arg in at else build.iota(
            shape, x.arg, x.dtype
        )  # fmt: skip
    if x.op.kind == "elementwise":
        return make(x.op, tuple(element(source, at, known) for source in x.src), x.dtype, shape, x.arg)
    if x.op.name == "expand":
        (inner,) = x.src
        return build.expand(element(inner, {k: n if inner.shape[k] != 1 else 0 for k, n in at.items()}), shape=shape)
    return slice_(x, bounds=tuple((at[k], 1, 1) if k in at else (0, 1, n) for k, n in enumerate(x.shape)))


def unrolled(combine: Op, body: Node, axes: Sequence[int]) -> Node:
    """Return the reduction of the body over axes as a chain of elementwise steps; the axes stay with extent 1."""
    total: Node | None = None
    for index in product(*(range(body.shape[axis]) for axis in axes)):
        one = element(body, dict(zip(axes, index, strict=True)))
        total = one if total is None else combine(total, one)
    assert total is not None
    return total


def unroll(node: Node) -> Node | None:
    """Return a reduction over the axes of small windows as a chain of elementwise steps; None for any other."""
    (body,) = node.src
    count = math.prod(body.shape[axis] for axis in node.arg)
    if not 1 <= count <= UNROLLED:
        return None
    steps, leaves = _steps(body)
    windows = [
        one
        for one in leaves
        if one.op is window and min(node.arg) >= one.ndim - len(one.arg) and any(one.shape[s[0]] > 1 for s in one.arg)
    ]
    if not windows or steps * count > UNROLLED_OPERATIONS:
        return None
    assert node.op.combine is not None
    return unrolled(node.op.combine, body, node.arg)


def _steps(root: Node) -> tuple[int, list[Node]]:
    """Return how many elementwise steps compute a value, and what they start from."""
    steps, leaves, stack, seen = 0, [], [root], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.op.kind == "elementwise":
            steps += 1
            stack.extend(one.src)
        else:
            leaves.append(one)
    return steps, leaves


# --- overlap-add ------------------------------------------------------------------------------------------------------


def overlap_add(node: Node) -> Node:
    """Return a fold as sums of shifted elements, so that each result is computed once, by whoever is free.

    Result ``step * q + r`` of an axis gets the elements at position ``q + (r - dilation * k) / step`` of windows, for
    all k with which that is an integer. So each remainder r is a dense sum, and the remainders are interleaved.
    """
    (source,) = node.src
    slides: tuple[Slide, ...] = node.arg
    if 0 in source.shape or 0 in node.shape:
        return build.expand(build.const(0, node.dtype), shape=node.shape)
    count = math.prod(size for _, size, _, _ in slides)
    if count > UNROLLED:
        return _by_diagonals(node)
    shifts = _Shifts(source, node.shape, slides, _steps(source)[0] * count > UNROLLED_OPERATIONS)
    pieces = []
    for remainders in product(*(range(step) for _, _, step, _ in slides)):
        taps = [
            [k for k in range(size) if (r - dilation * k) % step == 0]
            for r, (_, size, step, dilation) in zip(remainders, slides, strict=True)
        ]
        total: Node | None = None
        for tap in product(*taps):
            one = shifts.of(source, remainders, tap)
            total = one if total is None else add(total, one)
        shape = shifts.positions(remainders)
        if total is None:
            total = build.expand(build.const(0, node.dtype), shape=shape)
        pieces.append(build.reshape(total, shape=shape))
    return interleave(*pieces, steps=tuple((axis, step) for axis, _, step, _ in slides), shape=node.shape)


def _by_diagonals(node: Node) -> Node:
    """Return a fold of large windows as a sum over a skewed view of the elements put `step` apart."""
    slides: tuple[Slide, ...] = node.arg
    places = {
        axis: (step, dilation * (size - 1), node.shape[axis] + dilation * (size - 1))
        for axis, size, step, dilation in slides
    }
    axes, sizes, _, dilations = zip(*slides, strict=True)
    (source,) = node.src
    own = tuple(range(node.ndim, source.ndim))
    if source.op.name == "expand" and all(source.src[0].shape[axis] == 1 for axis in own):
        # The same for all elements of a window: one array, read through a window of its own.
        shared = build.expand(source.src[0], shape=(*source.shape[: node.ndim], *(1 for _ in own)))
        shared = put(build.reshape(shared, shape=source.shape[: node.ndim]), places)
        return build.reshape(sum_rows(window(shared, axes, sizes, 1, dilations), axis=own), shape=node.shape)
    placed = put(source, places)
    views = window(placed, axes, sizes, 1, dilations)
    # Element k of a window lies `dilation * k` before the end of the window that ends with element 0.
    views = flip(views, tuple(range(placed.ndim, views.ndim)))
    for left in range(len(slides), 0, -1):
        # The diagonal takes the first of both groups of axes away, and goes to the end.
        views = diagonal(views, axis1=node.ndim, axis2=node.ndim + left)
    return build.reshape(sum_rows(views, axis=tuple(range(node.ndim, views.ndim))), shape=node.shape)


@dataclass(slots=True)
class _Shifts:
    """Elements of windows as functions of the position in what they were taken from."""

    source: Node
    shape: tuple[int, ...]
    slides: tuple[Slide, ...]
    # Whether the source is stored before it is added up, since computing it anew in each sum would take too long.
    stored: bool

    @property
    def own(self) -> tuple[int, ...]:
        """The windows' own axes."""
        return tuple(range(len(self.shape), self.source.ndim))

    def positions(self, remainders: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the results with these remainders."""
        shape = list(self.shape)
        for r, (axis, _, step, _) in zip(remainders, self.slides, strict=True):
            shape[axis] = max(-(-(self.shape[axis] - r) // step), 0)
        return tuple(shape)

    def _margin(self, slide: Slide) -> tuple[int, int]:
        """Return how many zeros go before the windows of an axis, and the extent with those after them."""
        axis, size, step, dilation = slide
        before = dilation * (size - 1) // step
        return before, before + -(-self.shape[axis] // step)

    def of(self, root: Node, remainders: Sequence[int], tap: Sequence[int]) -> Node:
        """Return what the elements `tap` of windows add to the results with these remainders, or zero."""
        value = self._at(root, remainders, tap)
        inside = all(self._margin(slide) == (0, root.shape[slide[0]]) for slide in self.slides)
        if inside or self._zero_outside(root):
            return value
        slid = {slide[0] for slide in self.slides}
        shape = tuple(n if k in slid else 1 for k, n in enumerate(root.shape))
        valid = self._laid(build.expand(build.const(True, dt.bool_), shape=shape), remainders, tap)
        return where(valid, value, build.const(0, value.dtype))

    def _role(self, node: Node) -> str:
        """Return how a value of the windows' shape follows from the position in what they were taken from."""
        if self.stored:
            return "laid"
        if node.op.kind == "elementwise":
            return "computed"
        if node.op is build.IOTA and node.arg in self.own:
            return "index"
        if node.op is window and node.arg == self.slides and node.src[0].shape == self.shape:
            return "original"
        if node.op.name == "expand":
            (inner,) = node.src
            if all(inner.shape[axis] == 1 for axis, _, _, _ in self.slides):
                return "fixed"
            if all(inner.shape[axis] == 1 for axis in self.own):
                return "shared"
        return "laid"

    def _at(self, node: Node, remainders: Sequence[int], tap: Sequence[int]) -> Node:
        shape = (*self.positions(remainders), *(1 for _ in tap))
        match self._role(node):
            case "computed":
                src = tuple(self._at(source, remainders, tap) for source in node.src)
                return make(node.op, src, node.dtype, shape, node.arg)
            case "index":
                return build.expand(build.const(tap[self.own.index(node.arg)], node.dtype), shape=shape)
            case "original":
                bounds = [(0, 1, n) for n in self.shape]
                for r, (axis, _, step, _) in zip(remainders, self.slides, strict=True):
                    bounds[axis] = (r, step, shape[axis])
                return build.reshape(slice_(node.src[0], bounds=tuple(bounds)), shape=shape)
            case "fixed":
                (inner,) = node.src
                at = {axis: k if inner.shape[axis] != 1 else 0 for axis, k in zip(self.own, tap, strict=True)}
                return build.expand(element(inner, at), shape=shape)
            case "shared":
                # Axes that do not slide are not laid out, but read again and again.
                (inner,) = node.src
                slid = {slide[0] for slide in self.slides}
                wide = tuple(node.shape[k] if k in slid else n for k, n in enumerate(inner.shape))
                return build.expand(self._laid(build.expand(inner, shape=wide), remainders, tap), shape=shape)
        return self._laid(node, remainders, tap)

    def _laid(self, node: Node, remainders: Sequence[int], tap: Sequence[int]) -> Node:
        """Return elements read from memory that has zeros around the windows."""
        places = {}
        for slide in self.slides:
            before, length = self._margin(slide)
            places[slide[0]] = (1, before, length)
        laid = put(node, places)
        bounds = [(0, 1, n) for n in laid.shape]
        extents = self.positions(remainders)
        for r, k, (axis, _, step, dilation) in zip(remainders, tap, self.slides, strict=True):
            bounds[axis] = (places[axis][1] + (r - dilation * k) // step, 1, extents[axis])
        for axis, k in zip(self.own, tap, strict=True):
            bounds[axis] = (k if laid.shape[axis] != 1 else 0, 1, 1)
        return slice_(laid, bounds=tuple(bounds))

    def _zero_outside(self, node: Node) -> bool:
        """Whether a value is zero wherever there is no window, because what it is computed from is."""
        role = self._role(node)
        if role != "computed":
            return role in ("laid", "shared") or (role == "fixed" and _is_zero(node))
        zero = self._zero_outside
        match node.op.name:
            case "where":
                return zero(node.src[1]) and zero(node.src[2])
            case "mul":
                a, b = node.src
                return (zero(a) and _is_mask(b)) or (zero(b) and _is_mask(a))
            case "neg" | "cast":
                return zero(node.src[0])
            case "add" | "sub":
                return zero(node.src[0]) and zero(node.src[1])
        return False


def _is_zero(node: Node) -> bool:
    while node.op.name in ("expand", "reshape"):
        (node,) = node.src
    return node.op is build.CONST and node.arg == 0


def _is_mask(node: Node) -> bool:
    """Whether the values are 0 and 1 only: a zero stays zero when multiplied by them."""
    return node.op.name == "cast" and node.src[0].dtype == dt.bool_
