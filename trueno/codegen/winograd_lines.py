"""Convolutions with filters seven wide, 2 apart, by minimal filtering along lines: F(4, 4) of even and odd inputs.

Along a line of the input, a result is a filter of four elements over the inputs at even places, and one of three over
those at odd ones. Both slide by 1, and both are evaluated at the same seven points, so that their products are summed
up with those of all channels and lines of the filter before four results are interpolated: 14 products of a line in
place of 28 (Winograd, Arithmetic Complexity of Computations, 1980). Few channels make filtering along both axes a bad
bargain: the products of a point would be too few to pay for interpolating them.

The points are ±0.38, ±0.9, ±1.5 and infinity: the error is twice that of the direct sum for values of any sign, and
half of it for positive ones. With 0, ±1, ±2, 1/2 it is three times as large, as Barabasz, Anderson, Soodhalter and
Gregg, Error Analysis and Improving the Accuracy of Winograd Convolution, ACM TOMS 46(4), 2020, lead to expect.

Evaluated inputs are laid out as ``(images, blocks, 7, 2, channels, lines of the filter, rows of a block, tiles)``: what
a line of the filter meets is evaluated for each anew, so that the products are those of matrices as they lie. A block
is a few rows of results, whose evaluated inputs and products stay in a cache (codegen/joined.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueno import dtypes as dt
from trueno.codegen.windows import element, put
from trueno.codegen.winograd import GATHERED, STEPS, plus, times
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.ir.views import concatenate, matmul, permute, slice_
from trueno.ir.windows import interleave, window

#: Results of a tile, taps of a line of the filter, their distance, and the points that either half of them takes.
RESULTS, TAPS, STRIDE = 4, 7, 2
POINTS = RESULTS + -(-TAPS // STRIDE) - 1
#: Inputs of a tile.
INPUTS = STRIDE * (RESULTS - 1) + TAPS
#: The points are plus and minus these, and infinity.
PAIRS = (0.38, 0.9, 1.5)


def _others(near: float) -> tuple[float, float]:
    """Return sum and product of the other pairs' squares."""
    a, b = (one**2 for one in PAIRS if one != near)
    return a + b, a * b


def scale_at(point: float) -> float:
    """Return one over the product of a point's distances from others; with the other sign that of minus the point."""
    total, product = _others(point)
    return 1 / (2 * point * (point**4 - total * point**2 + product))


def evaluate_inputs(d: Sequence[Node]) -> list[Node]:
    """Return the values of a tile of seven inputs, or of six: then without the point at infinity.

    Row p holds the coefficients of ``(x² - 0.38²) (x² - 0.9²) (x² - 1.5²)`` without the factor ``x - p``; the last row
    all of it.
    """
    found = []
    for point in PAIRS:
        total, product = _others(point)
        even, odd = (plus(product, a, plus(-total, b, c)) for a, b, c in (d[0:6:2], d[1:6:2]))
        found += [plus(point, even, odd), plus(-point, even, odd)]
    if len(d) < POINTS:
        return found
    a, b, c = (one**2 for one in PAIRS)
    ends = plus(a * b + a * c + b * c, d[2], plus(-(a + b + c), d[4], d[6]))
    return [*found, plus(-a * b * c, d[0], ends)]


def evaluate_taps(g: Sequence[Node]) -> list[Node]:
    """Return a filter of four or three elements at the points, over the product of each one's distances from others."""
    found = []
    for point in PAIRS:
        scale = scale_at(point)
        even = times(scale, plus(point**2, g[2], g[0]))
        odd = times(scale * point, plus(point**2, g[3], g[1]) if len(g) > 3 else g[1])
        found += [odd + even, odd - even]
    return [*found, g[3] if len(g) > 3 else build.expand(build.const(0, g[0].dtype), shape=g[0].shape)]


def interpolate(m: Sequence[Node]) -> list[Node]:
    """Return the four results of a tile: sums of the products times the powers 0 to 3 of their points."""
    sums = [m[k] + m[k + 1] for k in (0, 2, 4)]
    differences = [times(point, m[k] - m[k + 1]) for point, k in zip(PAIRS, (0, 2, 4), strict=True)]
    a, b, c = (point**2 for point in PAIRS)
    return [
        sums[0] + sums[1] + sums[2],
        differences[0] + differences[1] + differences[2],
        plus(a, sums[0], plus(b, sums[1], times(c, sums[2]))),
        plus(a, differences[0], plus(b, differences[1], plus(c, differences[2], m[6]))),
    ]


#: Tiles of a block, if there are as many, and bytes of its evaluated inputs at most.
TILES, BLOCK_BYTES = 256, 1 << 20
#: What steps take, in multiply-adds of a matrix product: evaluating a tile of a line, interpolating one of a result.
INPUT_COST, RESULT_COST = 110, 40
#: Columns of which the matrix product computes a multiple.
_LANES = 16


def applies(node: Node) -> bool:
    """Whether a convolution is computed so: it has the form, and takes less time."""
    w, geometry = node.src[1], Geometry(*node.arg)
    ones = {*geometry.input_dilation, *geometry.kernel_dilation, geometry.groups}
    form = node.ndim == 4 and w.shape[3] == TAPS and geometry.stride[1] == STRIDE and ones == {1}
    return form and 0 not in node.shape and node.dtype in (dt.float32, dt.float64) and pays(node)


def blocks(node: Node) -> tuple[int, int, int]:
    """Return the blocks of an image, rows of results of a block, and tiles of a row."""
    high, columns = node.shape[2], -(-node.shape[3] // RESULTS)
    rows = rows_of_block(high, max(TILES // columns, 1))
    return -(-high // rows), rows, columns


def rows_of_block(high: int, most: int) -> int:
    """Return how many of the rows are a block: a divisor, if one is more than half of what may be at most."""
    even = max(n for n in range(1, most + 1) if high % n == 0)
    return even if 2 * even > most else min(most, high)


def pays(node: Node) -> bool:
    """Whether products and transforms take less time than a sum over windows."""
    results, channels, lines, _ = node.src[1].shape
    count, rows, columns = blocks(node)
    deep = STRIDE * channels * lines
    if POINTS * deep * rows * columns * node.dtype.itemsize > BLOCK_BYTES:
        return False
    tiles = node.shape[0] * count * (-(-rows * columns // _LANES) * _LANES)
    products = POINTS * results * (deep + STEPS) * tiles
    transforms = tiles * (INPUT_COST * channels * lines + RESULT_COST * results)
    return products + transforms < GATHERED * math.prod(node.shape) * channels * lines * TAPS


def minimal(node: Node) -> Node:
    """Return a convolution that this `applies` to, its last step an interleaving of the tiles' results."""
    x, w = node.src
    images, results = node.shape[:2]
    channels, lines = w.shape[1:3]
    count, rows, columns = blocks(node)
    geometry = Geometry(*node.arg)
    inputs = evaluated(x, lines, geometry.stride[0], geometry.padding, (count, rows, columns))
    taps = [build.reshape(element(w, {3: k}), shape=(1, results, 1, channels, lines)) for k in range(TAPS)]
    even, odd = evaluate_taps(taps[::STRIDE]), evaluate_taps(taps[1::STRIDE])
    filters = concatenate(*(concatenate(*both, axis=2) for both in zip(even, odd, strict=True)), axis=0)
    filters = build.reshape(filters, shape=(1, 1, POINTS, results, STRIDE * channels * lines))
    products = matmul(build.expand(filters, shape=(images, count, *filters.shape[2:])), inputs)
    points = [
        build.reshape(element(products, {2: k}), shape=(images, count, results, rows, columns)) for k in range(POINTS)
    ]
    pieces = [permute(one, axes=(0, 2, 1, 3, 4)) for one in interpolate(points)]
    whole = (images, results, count, rows, RESULTS * columns)
    made = build.reshape(
        interleave(*pieces, steps=((4, RESULTS),), shape=whole), shape=(images, results, count * rows, whole[-1])
    )
    # Results of the last tiles that are none of the convolution are cut off in a copy.
    return slice_(made, bounds=tuple((0, 1, n) for n in node.shape))


def evaluated(x: Node, lines: int, step: int, padding: Sequence[tuple[int, int]], cut: tuple[int, int, int]) -> Node:
    """Return what filters meet at the points: (images, blocks, 7, 2 × channels × lines, tiles of a block).

    Parameters
    ----------
    x : Node
        Of shape (images, channels, height, width).
    lines, step : int
        Lines of a filter, and how far apart two rows of results are.
    padding : sequence of (int, int)
        Before and behind both axes.
    cut : tuple of int
        Blocks of an image, rows of results of a block, and tiles of a row.
    """
    images, channels = x.shape[:2]
    count, rows, columns = cut
    (top, _), (left, _) = padding
    high, wide = step * (count * rows - 1) + lines, STRIDE * (RESULTS * columns - 1) + TAPS
    padded = put(x, {2: (1, top, high), 3: (1, left, wide)})
    strips = window(padded, 2, step * (rows - 1) + lines, step * rows)
    # (images, channels, blocks, tiles, rows, 13, lines) to (images, blocks, channels, lines, rows, tiles, 13)
    views = window(strips, (3, 4), (INPUTS, lines), (STRIDE * RESULTS, step))
    views = permute(views, axes=(0, 2, 1, 6, 4, 3, 5))
    shape = (images, count, 1, 1, channels, lines, rows, columns)
    inputs = _points([build.reshape(element(views, {6: k}), shape=shape) for k in range(INPUTS)], 2)
    return build.reshape(inputs, shape=(images, count, POINTS, STRIDE * channels * lines, rows * columns))


def _points(tile: Sequence[Node], axis: int) -> Node:
    """Return the even and the odd inputs of tiles at all points, joined along this axis, and along the next those two.

    What stands at infinity for the odd ones, whose filter has no fourth element, is multiplied by zero.
    """
    even, odd = evaluate_inputs(tile[::STRIDE]), evaluate_inputs(tile[1::STRIDE])
    both = zip(even, [*odd, odd[0]], strict=True)
    return concatenate(*(concatenate(*one, axis=axis + 1) for one in both), axis=axis)
