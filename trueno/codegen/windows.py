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
#: Marks a maximum or minimum that is part of a reduction: which of two zeros is found may depend on the order, as in
#: NumPy. That takes half the instructions.
EITHER_ZERO = "either zero"
#: Arrays of up to that many bytes are set to zeros as a whole before a part is placed in them; of others only the rest.
CLEARED_WHOLE = 1 << 15


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


def around(x: Node, shape: tuple[int, ...], bounds: Sequence[tuple[int, int, int]]) -> list[tuple]:
    """Return slices (start, step, size) of what a placed array leaves free of an array of a shape.

    The whole array is the only one if its elements are put apart, or if it is small.
    """
    whole = tuple((0, 1, n) for n in shape)
    if x.shape == shape:
        return []
    if math.prod(shape) * x.dtype.itemsize <= CLEARED_WHOLE or any(step != 1 for _, step, _ in bounds):
        return [whole]
    parts = []
    for k, (start, _, size) in enumerate(bounds):
        for low, extent in ((0, start), (start + size, shape[k] - start - size)):
            if extent:
                parts.append((*bounds[:k], (low, 1, extent), *whole[k + 1 :]))
    return parts


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
        if total is None:
            total = one
        elif combine.name in ("maximum", "minimum"):
            total = make(combine, (total, one), total.dtype, total.shape, EITHER_ZERO)
        else:
            total = combine(total, one)
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


def overlap_add(node: Node, kept: Sequence[tuple[int, int]]) -> Node:
    """Return a fold as sums of shifted elements, so that each result is computed once, by whoever is free.

    Result ``step * q + r`` of an axis gets the elements at position ``q + (r - dilation * k) / step`` of windows, for
    all k with which that is an integer. So each remainder r is a dense sum, and the remainders are interleaved.

    Parameters
    ----------
    node : Node
        The fold.
    kept : sequence of (int, int)
        For each axis where the part begins that is wanted, and its extent.
    """
    (source,) = node.src
    slides: tuple[Slide, ...] = node.arg
    shape = tuple(extent for _, extent in kept)
    if 0 in source.shape or 0 in shape:
        return build.expand(build.const(0, node.dtype), shape=shape)
    count = math.prod(size for _, size, _, _ in slides)
    fixed = set(range(node.ndim)) - {axis for axis, _, _, _ in slides}
    if count > UNROLLED or any(kept[axis] != (0, node.shape[axis]) for axis in fixed):
        return slice_(_by_diagonals(node), bounds=tuple((start, 1, extent) for start, extent in kept))
    shifts = _Shifts(source, node.shape, slides, tuple(kept), _steps(source)[0] * count > UNROLLED_OPERATIONS)
    pieces = []
    for firsts in product(*(range(kept[axis][0], kept[axis][0] + step) for axis, _, step, _ in slides)):
        taps = [shifts.taps(first, slide) for first, slide in zip(firsts, slides, strict=True)]
        total: Node | None = None
        for tap in product(*taps):
            one = shifts.of(source, firsts, tap)
            total = one if total is None else add(total, one)
        if total is None:
            total = build.expand(build.const(0, node.dtype), shape=shifts.positions(firsts))
        pieces.append(build.reshape(total, shape=shifts.positions(firsts)))
    return interleave(*pieces, steps=tuple((axis, step) for axis, _, step, _ in slides), shape=shape)


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
    # For each axis where the part of the results begins that is wanted, and its extent.
    kept: tuple[tuple[int, int], ...]
    # Whether the source is stored before it is added up, since computing it anew in each sum would take too long.
    stored: bool

    @property
    def own(self) -> tuple[int, ...]:
        """The windows' own axes."""
        return tuple(range(len(self.shape), self.source.ndim))

    def positions(self, firsts: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the results that lie a step apart, the first of them at these places of the axes."""
        shape = [extent for _, extent in self.kept]
        for first, (axis, _, step, _) in zip(firsts, self.slides, strict=True):
            start, extent = self.kept[axis]
            shape[axis] = max(-(-(start + extent - first) // step), 0)
        return tuple(shape)

    def taps(self, first: int, slide: Slide) -> list[int]:
        """Return which elements of windows along an axis results get that lie whole steps from the first."""
        _, size, step, dilation = slide
        return [k for k in range(size) if (first - dilation * k) % step == 0]

    def _margin(self, slide: Slide) -> tuple[int, int]:
        """Return how many zeros go before the windows of an axis, and the extent with those after them."""
        axis, _, step, dilation = slide
        start, extent = self.kept[axis]
        before = end = 0
        for first in range(start, start + min(step, extent)):
            for k in self.taps(first, slide):
                shift = (first - dilation * k) // step
                before = max(before, -shift)
                end = max(end, shift + -(-(start + extent - first) // step))
        return before, before + end

    def of(self, root: Node, firsts: Sequence[int], tap: Sequence[int]) -> Node:
        """Return what the elements `tap` of windows add to the results whole steps from the first ones, or zero."""
        value = self._at(root, firsts, tap)
        margins = [(*self._margin(slide), root.shape[slide[0]]) for slide in self.slides]
        inside = all(before == 0 and length <= extent for before, length, extent in margins)
        if inside or self._zero_outside(root):
            return value
        slid = {slide[0] for slide in self.slides}
        shape = tuple(n if k in slid else 1 for k, n in enumerate(root.shape))
        valid = self._laid(build.expand(build.const(True, dt.bool_), shape=shape), firsts, tap)
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

    def _at(self, node: Node, firsts: Sequence[int], tap: Sequence[int]) -> Node:
        shape = (*self.positions(firsts), *(1 for _ in tap))
        match self._role(node):
            case "computed":
                src = tuple(self._at(source, firsts, tap) for source in node.src)
                return make(node.op, src, node.dtype, shape, node.arg)
            case "index":
                return build.expand(build.const(tap[self.own.index(node.arg)], node.dtype), shape=shape)
            case "original":
                bounds = [(0, 1, n) for n in self.shape]
                for first, (axis, _, step, _) in zip(firsts, self.slides, strict=True):
                    bounds[axis] = (first, step, shape[axis])
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
                return build.expand(self._laid(build.expand(inner, shape=wide), firsts, tap), shape=shape)
        return self._laid(node, firsts, tap)

    def _laid(self, node: Node, firsts: Sequence[int], tap: Sequence[int]) -> Node:
        """Return elements read from memory that has zeros around the windows."""
        places = {}
        for slide in self.slides:
            before, length = self._margin(slide)
            places[slide[0]] = (1, before, length)
        laid = put(node, places)
        bounds = [(0, 1, n) for n in laid.shape]
        extents = self.positions(firsts)
        for first, k, (axis, _, step, dilation) in zip(firsts, tap, self.slides, strict=True):
            bounds[axis] = (places[axis][1] + (first - dilation * k) // step, 1, extents[axis])
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
