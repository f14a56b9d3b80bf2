"""Convolutions, sliding windows and their sums as rows that a plan knows: views of memory, products and sums.

A convolution becomes a sum over products of the weights and of windows into the padded input. Windows are strides, so
that nothing is copied but the input where it has to be padded, and the stage that results is the one of a matrix
product: results times positions, summed over channels and kernel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trueno import dtypes as dt
from trueno.codegen.windows import UNROLLED, overlap_add, put, unroll, unrolled
from trueno.ir import build
from trueno.ir.convolution import Geometry, convolution, dilated
from trueno.ir.elementwise import add
from trueno.ir.node import Kernel, Node, make, recording, rewrite, topological
from trueno.ir.pooling import picked
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import permute, slice_
from trueno.ir.windows import fold, interleave, interleaved_bounds, window

#: Results of a channel that has a group of its own from which on it is a matrix product.
FEW = 4
#: How often a line of windows is packed, at least, if it is worth copying.
LINES_PACKED = 2
_ROWS = (convolution, fold, window, picked)


def as_windows(
    kernel: Kernel, minimal: bool = False, contractions: bool = False, bfloat16: bool = False
) -> Kernel:  # fmt: skip
    """Return the kernel with convolutions as sums over products, folds as sums, and small windows written out.

    `minimal`: whether convolutions may be computed by minimal filtering, whose stages have many pieces. `contractions`:
    whether sums of products have code of their own, so that it pays to write products and add them up afterwards.
    `bfloat16`: whether those of bfloat16 take so little time that minimal filtering in float32 would not save any.
    """
    if not any(node.op in _ROWS for node in topological(kernel.outputs)):
        return kernel

    convolutions: dict[int, Node] = {}
    turned: dict[int, Node] = {}
    tiled: list[Node] = []
    folds: dict[int, tuple[Node, list[tuple[int, int]]]] = {}

    def added(node: Node, kept: list[tuple[int, int]]) -> Node:
        made = overlap_add(node, kept)
        folds[id(made)] = node, kept
        return made

    def rule(node: Node) -> Node | None:
        if node.op is convolution:
            if minimal and not (bfloat16 and all(source.dtype == dt.bfloat16 for source in node.src)):
                # Imported where it may be needed: `import trueno` does without it.
                from trueno.codegen.filtering import FORMS, OF_WEIGHTS

                whole = _widened(node)
                for form in OF_WEIGHTS:
                    if form.applies(node):
                        made = permute(form.minimal(whole), axes=(1, 0, 2, 3))
                        turned[id(made)] = made
                        return made
                for form in FORMS:
                    if form.applies(node):
                        tiled.append(form.minimal(whole))
                        return tiled[-1]
            if contractions:
                from trueno.codegen import transposed

                if transposed.applies(node):
                    return transposed.added_up(node)
            made = lowered(node)
            convolutions[id(made)] = node
            return made
        if node.op is permute and node.arg == (1, 0, *range(2, node.ndim)) and id(node.src[0]) in convolutions:
            # The gradient of the weights has its images in place of channels, and is written the right way round.
            return lowered(convolutions[id(node.src[0])], turned=True)
        if node.op is permute and node.arg == (1, 0, 2, 3) and id(node.src[0]) in turned:
            return turned[id(node.src[0])].src[0]
        if node.op is fold:
            return added(node, [(0, n) for n in node.shape])
        if node.op is picked:
            return node.src[0]
        if node.op is slice_ and id(node.src[0]) in folds and all(step == 1 for _, step, _ in node.arg):
            # The gradient of padding: what is cut off is not computed.
            whole, kept = folds[id(node.src[0])]
            return added(whole, [(a + b, n) for (a, _), (b, _, n) in zip(kept, node.arg, strict=True)])
        return unroll(node) if node.op.kind == "reduction" else None

    with recording():
        outputs = rewrite(kernel.outputs, rule)
        if tiled:
            from trueno.codegen.following import evaluated_in_pieces
            from trueno.codegen.vectors import printable

            outputs = evaluated_in_pieces(outputs, tiled, lambda node: printable(node, tiled[0].dtype))
        return Kernel(kernel.name, kernel.inputs, outputs, kernel.origin)


def _widened(node: Node) -> Node:
    """Return a convolution of halves as one of float32: what minimal filtering evaluates would be rounded to halves."""
    if not any(source.dtype in dt.HALF for source in node.src):
        return node
    src = tuple(build.cast(source, dtype=node.dtype) for source in node.src)
    return make(node.op, src, node.dtype, node.shape, node.arg)


def lowered(node: Node, turned: bool = False) -> Node:
    """Return a convolution as a sum over products; turned: with the images after the channels of its result."""
    x, w = node.src
    geometry = Geometry(*node.arg)
    whole = (node.shape[1], node.shape[0], *node.shape[2:]) if turned else node.shape
    if 0 in node.shape or 0 in x.shape:
        return build.expand(build.const(0, node.dtype), shape=whole)
    if any(b > 1 and step == 1 for step, b in zip(geometry.stride, geometry.input_dilation, strict=True)):
        made = _by_remainders(node)
        return permute(made, axes=(1, 0, *range(2, made.ndim))) if turned else made
    groups, batch, narrow = geometry.groups, x.shape[0], w.shape[1]
    results, count = w.shape[0] // groups, x.ndim - 2
    points, kernel = node.shape[2:], w.shape[2:]
    grouped = build.reshape(x, shape=(batch, groups, narrow, *x.shape[2:]))
    axes = tuple(range(3, 3 + count))
    places = {
        axis: (b, low, dilated(n, b) + low + high)
        for axis, n, (low, high), b in zip(axes, x.shape[2:], geometry.padding, geometry.input_dilation, strict=True)
    }
    if _lines_pay(geometry, kernel) and not turned:
        views = _by_lines(grouped, places, kernel, geometry)
    else:
        views = window(put(grouped, places), axes, kernel, geometry.stride, geometry.kernel_dilation)
    # (batch, groups, results, *points, channels, *kernel)
    views = permute(views, axes=(0, 1, *axes, 2, *range(3 + count, 3 + 2 * count)))
    views = build.reshape(build.cast(views, dtype=node.dtype), shape=(batch, groups, 1, *points, narrow, *kernel))
    weights = build.cast(w, dtype=node.dtype)
    weights = build.reshape(weights, shape=(1, groups, results, *(1 for _ in points), narrow, *kernel))
    shape = (batch, groups, results, *points, narrow, *kernel)
    products = build.expand(weights, shape=shape) * build.expand(views, shape=shape)
    if turned:
        products = permute(products, axes=(1, 2, 0, *range(3, len(shape))))
    inner = tuple(range(3 + count, len(shape)))
    if narrow == 1 and results < FEW and math.prod(kernel) <= UNROLLED:
        # Each channel has kernels of its own: little is shared that a matrix product could keep in registers.
        total = unrolled(add, products, inner)
    else:
        total = sum_rows(products, axis=inner, keepdims=True, dtype=node.dtype)
    return build.reshape(total, shape=whole)


def _lines_pay(geometry: Geometry, kernel: tuple[int, ...]) -> bool:
    """Whether windows that lie apart along the last axis are better laid side by side before they are packed.

    What is copied has to be packed several times: 3 × 3 filters with a stride of 2 gained less than the copy takes.
    """
    padded = any(pad != (0, 0) for pad in geometry.padding[:-1])
    often = math.prod(kernel[:-1]) >= LINES_PACKED * math.prod(geometry.stride[:-1])
    return padded and often and 1 < geometry.stride[-1] <= kernel[-1]


def _by_lines(x: Node, places: dict[int, tuple[int, int, int]], kernel: tuple[int, ...], geometry: Geometry) -> Node:
    """Return the windows of strided filters as views of memory in which neighbouring windows lie side by side.

    For each line of the input and element of the filter's last axis, what that element meets is copied together, so
    that packing reads vectors in place of single elements. The copy holds an element kernel / stride times.

    Parameters
    ----------
    x : Node
        Of shape (batch, groups, channels, *extents).
    places : dict
        By axis, where the padded input has its elements.
    kernel : tuple of int
    geometry : Geometry

    Returns
    -------
    Node
        Of shape (batch, groups, channels, *points, *kernel).
    """
    count = len(kernel)
    *outer, last = range(3, 3 + count)
    wide = put(x, {last: places[last]})
    lines = window(wide, (last,), kernel[-1:], geometry.stride[-1:], geometry.kernel_dilation[-1:])
    lines = permute(lines, axes=(*range(last), last + 1, last))
    lines = put(lines, {axis: places[axis] for axis in outer})
    views = window(lines, tuple(outer), kernel[:-1], geometry.stride[:-1], geometry.kernel_dilation[:-1])
    # (batch, groups, channels, *outer points, last element of the kernel, last points, *outer elements)
    return permute(views, axes=(*range(last), last + 1, *range(last + 2, last + 1 + count), last))


class _Part(NamedTuple):
    """What an axis has for the results of one remainder: elements of the kernel, padding and distances."""

    taken: tuple[int, int, int]
    padding: tuple[int, int]
    input_dilation: int
    kernel_dilation: int


def _by_remainders(node: Node) -> Node:
    """Return a convolution of a dilated input as an interleaving of dense ones.

    Result p of an axis meets element k of the kernel where ``p + a k - low`` is a multiple of the dilation b; the
    others would be multiplied by zeros. For all p of one remainder these are the same k, each ``b / gcd(a, b)``-th.
    """
    x, w = node.src
    geometry = Geometry(*node.arg)
    steps = tuple(
        (2 + axis, b if step == 1 else 1)
        for axis, (step, b) in enumerate(zip(geometry.stride, geometry.input_dilation, strict=True))
    )
    pieces = []
    for bounds in interleaved_bounds(node.shape, steps):
        shape = tuple(size for _, _, size in bounds)
        parts = [_part(geometry, node, axis, bounds[2 + axis]) for axis in range(x.ndim - 2)]
        taken, padding, spread, apart = zip(*parts, strict=True)
        if 0 in shape or any(size == 0 for _, _, size in taken):
            pieces.append(build.expand(build.const(0, node.dtype), shape=shape))
            continue
        kernel = slice_(w, bounds=((0, 1, w.shape[0]), (0, 1, w.shape[1]), *taken))
        dense = Geometry(geometry.stride, padding, spread, apart, geometry.groups)
        pieces.append(lowered(make(convolution, (x, kernel), node.dtype, shape, tuple(dense))))
    return interleave(*pieces, steps=steps, shape=node.shape)


def _part(geometry: Geometry, node: Node, axis: int, results: tuple[int, int, int]) -> _Part:
    """Return the kernel elements that meet the input for `results`, (first, step, number), and how."""
    x, w = node.src
    (low, high), b, a = geometry.padding[axis], geometry.input_dilation[axis], geometry.kernel_dilation[axis]
    extent, size = x.shape[2 + axis], w.shape[2 + axis]
    start, step, count = results
    if step == 1:
        return _Part((0, 1, size), (low, high), b, a)
    shared = math.gcd(a, b)
    if (low - start) % shared:
        return _Part((0, 1, 0), (0, 0), 1, 1)
    every = b // shared
    first = (low - start) // shared * pow(a // shared, -1, every) % every
    taps = max(-(-(size - first) // every), 0)
    before = (low - start - a * first) // b
    after = count - 1 + dilated(taps, a // shared) - extent - before
    return _Part((first if taps else 0, every, taps), (before, after), 1, a // shared)
