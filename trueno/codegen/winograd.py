"""Convolutions with 3 × 3 filters by minimal filtering: F(4 × 4, 3 × 3).

A tile of 4 × 4 results needs 36 products of a channel where sums over the filter need 144 (Winograd, Arithmetic
Complexity of Computations, 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016): tiles of
6 × 6 inputs and the filters are evaluated, as polynomials, at six points along each axis; there the products are summed
over the channels, which is 36 matrix products; and the results are interpolated from those.

The points decide the error. With the usual 0, ±1, ±2, ∞ it is ten times that of the direct sum; with 0, ±1/√2, ±√2, ∞,
whose powers stay close to 1 and whose reciprocals they are, it is twice as large for values of any sign and the same
for positive ones, with 64 channels and with 512 (about points: Barabasz, Anderson, Soodhalter and Gregg, Error Analysis
and Improving the Accuracy of Winograd Convolution for Deep Neural Networks, ACM TOMS 46(4), 2020).

Inputs are laid out as ``(groups of images, blocks, 36, channels, tiles of a block)``. A block is a few rows of tiles,
or several small images: enough columns for the matrix product, and few enough for a cache. Filters are laid out as
``(parts, 36, results of a part, channels)``: more than one part where a single block holds all tiles and the filters
would fill the cache. Products are those of each block with each part; codegen/joined.py finds what is done in turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trueno import dtypes as dt
from trueno.codegen.contraction import rest
from trueno.codegen.transposed import turned
from trueno.codegen.windows import element
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.elementwise import fma
from trueno.ir.node import Node
from trueno.ir.views import concatenate, matmul, permute, slice_
from trueno.ir.windows import interleave, window

#: Results of a tile along an axis, taps of a filter, and the points that take: inputs of a tile.
RESULTS, TAPS = 4, 3
POINTS = RESULTS + TAPS - 1
#: The points are 0, ±NEAR, ±FAR and infinity.
NEAR, FAR = math.sqrt(0.5), math.sqrt(2.0)

#: Rows a multiple of so many bytes apart begin in the same few lines of the first-level cache; elements between them.
_APART, _GAP = 4096, 16

Grid = list[list[Node]]


# --- transforms along one axis ----------------------------------------------------------------------------------------


def times(factor: float, x: Node) -> Node:
    """Return ``factor * x``."""
    return x * build.expand(build.const(factor, x.dtype), shape=x.shape)


def plus(factor: float, x: Node, y: Node) -> Node:
    """Return ``factor * x + y``, rounded once."""
    return fma(build.expand(build.const(factor, x.dtype), shape=x.shape), x, y)


def evaluate_inputs(d: Sequence[Node]) -> list[Node]:
    """Return the six values of a tile of inputs: the transposed interpolation of degree 5.

    Row p holds the coefficients of ``x (x² - 1/2) (x² - 2)`` without the factor ``x - p``; the last row all of it.
    """
    even_near, odd_near = plus(-2.0, d[2], d[4]), plus(-2.0, d[1], d[3])
    even_far, odd_far = plus(-0.5, d[2], d[4]), plus(-0.5, d[1], d[3])
    return [
        plus(-2.5, d[2], d[0] + d[4]),
        plus(NEAR, odd_near, even_near),
        plus(-NEAR, odd_near, even_near),
        plus(FAR, odd_far, even_far),
        plus(-FAR, odd_far, even_far),
        plus(-2.5, d[3], d[1] + d[5]),
    ]


def evaluate_taps(g: Sequence[Node]) -> list[Node]:
    """Return a filter ``g0 + g1 x + g2 x²`` at the points, over the product of each point's distances from others."""
    near, far = -2 / 3, 1 / 6
    even_near, even_far = times(near, plus(0.5, g[2], g[0])), times(far, plus(2.0, g[2], g[0]))
    return [
        g[0],
        plus(near * NEAR, g[1], even_near),
        plus(-near * NEAR, g[1], even_near),
        plus(far * FAR, g[1], even_far),
        plus(-far * FAR, g[1], even_far),
        g[2],
    ]


def interpolate(m: Sequence[Node]) -> list[Node]:
    """Return the four results of a tile: sums of the products times the powers 0 to 3 of their points."""
    near, far = m[1] + m[2], m[3] + m[4]
    near_odd, far_odd = m[1] - m[2], m[3] - m[4]
    return [
        m[0] + near + far,
        times(NEAR, plus(FAR / NEAR, far_odd, near_odd)),
        plus(NEAR**2, near, times(FAR**2, far)),
        plus(NEAR**3, near_odd, plus(FAR**3, far_odd, m[5])),
    ]


def both_axes(transform: Callable[[Sequence[Node]], list[Node]], grid: Grid) -> Grid:
    """Return the transform of a grid down its columns, then along its rows, which a tile's results are written by."""
    columns = [transform(column) for column in zip(*grid, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]


# --- tiles ------------------------------------------------------------------------------------------------------------


class Tiling(NamedTuple):
    """How the results of a convolution are cut into tiles and blocks of them.

    Attributes
    ----------
    groups, images : int
        The images of a group lie in one block.
    blocks, rows, columns : int
        Blocks of an image, rows of tiles of a block, tiles of a row.
    parts : int
        Of the results' channels, and so of the filters, where all tiles are one block.
    """

    groups: int
    images: int
    blocks: int
    rows: int
    columns: int
    parts: int = 1

    @property
    def tiles(self) -> int:
        """Number of tiles of a block."""
        return self.images * self.rows * self.columns


#: Bytes of the evaluated inputs and products of a block, which the second-level cache is to hold.
BLOCK_BYTES = 2 << 20
#: Bytes of evaluated filters from which on they are cut, if the inputs of all tiles take no more than the next number;
#: bytes of a part at most, and its results: rows of register tiles.
CUT_BYTES, INPUT_BYTES, PART_BYTES, PART_ROWS = 4 << 20, 5 << 19, 5 << 18, (16, 12, 8)
#: Columns of which the matrix product computes a multiple.
_LANES = 16
#: Tiles of a block, if there are as many: weights are read for each block, and a row of registers holds 32.
LEAST_TILES, WANTED_TILES = 28, 64


def tiling(
    node: Node, side: int = RESULTS, held: tuple[int, int] = (POINTS**2, POINTS**2), cut_bytes: int = 0
) -> Tiling:
    """Return how a convolution is cut: into as many rows of tiles, or as many images, as fit a block and divide all.

    Parameters
    ----------
    node : Node
    side : int
        Results of a tile along an axis.
    held : tuple of int
        Elements that a tile of a channel is evaluated to, as a filter is, and sums of a tile of a result.
    cut_bytes : int
        Bytes of evaluated filters from which on they are cut into parts, where it is not `CUT_BYTES`.
    """
    batch, results, high, wide = node.shape
    channels, size = node.src[0].shape[1], node.dtype.itemsize
    rows, columns = -(-high // side), -(-wide // side)
    most = max(BLOCK_BYTES // ((held[1] * results + held[0] * channels) * size), WANTED_TILES)
    if rows * columns <= most:
        images = max(n for n in range(1, batch + 1) if batch % n == 0 and n * rows * columns <= most)
        row_bytes, tiles = held[0] * channels * size, images * rows * columns
        parts = _parts(results, row_bytes, tiles, cut_bytes or CUT_BYTES) if images == batch else 1
        return Tiling(batch // images, images, 1, rows, columns, parts)
    divisors = [n for n in range(1, rows + 1) if rows % n == 0]
    fitting = max(n for n in divisors if n == 1 or n * columns <= most)
    taken = next(n for n in divisors if n >= fitting and (n * columns >= LEAST_TILES or n == rows))
    return Tiling(batch, 1, rows // taken, taken, columns)


def _parts(results: int, row_bytes: int, tiles: int, cut_bytes: int) -> int:
    """Return into how many parts filters are cut that would not fit a cache beside the inputs of all tiles.

    `row_bytes`: what the evaluated filters of one result take, and the inputs of one tile.
    """
    if results * row_bytes < cut_bytes or tiles * row_bytes > INPUT_BYTES:
        return 1
    fitting = (n for n in PART_ROWS if results % n == 0 and n * row_bytes <= PART_BYTES)
    return results // next(fitting, results)


#: What steps take, in multiply-adds of a matrix product: evaluating a tile of a channel, interpolating one of a result,
#: evaluating a filter, and where all filters do not fit a cache writing and reading it again; the steps along K that a
#: register tile's beginning and end are worth; and how much more a multiply-add costs where windows have to be gathered
#: for the direct product.
INPUT_COST, RESULT_COST, FILTER_COST, FILTER_AGAIN, STEPS, GATHERED = 770, 550, 600, 700, 12, 1.1


def applies(node: Node) -> bool:
    """Whether a convolution is computed by minimal filtering: it has the form, and takes less time so."""
    w, geometry = node.src[1], Geometry(*node.arg)
    ones = {*geometry.stride, *geometry.input_dilation, *geometry.kernel_dilation, geometry.groups}
    square = w.shape[2:] == (TAPS, TAPS) and ones == {1}
    return square and 0 not in node.shape and node.dtype in (dt.float32, dt.float64) and pays(node)


def columns_of(tiles: int) -> int:
    """Return for how many columns a product takes time: whole vectors, or a few left over (contraction/rest.py)."""
    beside = any(0 < tiles % (vectors * _LANES) <= most < tiles for _, vectors, most in rest.FORMS)
    return tiles + 1 if beside else -(-tiles // _LANES) * _LANES


def pays(node: Node) -> bool:
    """Whether products, transforms and weights take less time than a sum over windows."""
    results, channels = node.src[1].shape[:2]
    direct = GATHERED * math.prod(node.shape) * channels * TAPS**2
    cut = tiling(node)
    blocks = cut.groups * cut.blocks
    products = POINTS**2 * results * (channels + STEPS) * blocks * columns_of(cut.tiles)
    tiles = blocks * cut.tiles
    again = cut.parts == 1 and POINTS**2 * results * channels * node.dtype.itemsize > CUT_BYTES
    filters = results * channels * (FILTER_COST + (FILTER_AGAIN if again else 0))
    return products + tiles * (INPUT_COST * channels + RESULT_COST * results) + filters < direct


def minimal(node: Node) -> Node:
    """Return a convolution that minimal filtering `applies` to, its last step an interleaving of the tiles' results."""
    x, w = node.src
    cut = tiling(node)
    channels, results = x.shape[1], w.shape[0] // cut.parts
    groups, images, blocks, parts, rows, columns = cut.groups, cut.images, cut.blocks, cut.parts, cut.rows, cut.columns
    tiles = tiles_of(x, node, cut)
    inputs = assembled(evaluate_inputs, grid(tiles, (6, 7), (groups, blocks, 1, channels, images, rows, columns)), 2)
    inputs = build.reshape(apart(inputs, 3), shape=(groups, blocks, 1, POINTS**2, channels, cut.tiles))
    weights = _evaluated_filters(w, parts)
    weights = build.reshape(weights, shape=(1, 1, *weights.shape))
    products = matmul(
        build.expand(weights, shape=(groups, blocks, *weights.shape[2:])),
        build.expand(inputs, shape=(groups, blocks, parts, *inputs.shape[3:])),
    )
    products = build.reshape(products, shape=(groups, blocks, parts, POINTS, POINTS, results, images, rows, columns))
    points = grid(products, (3, 4), (groups, blocks, parts, results, images, rows, columns))
    return put_together([one for row in both_axes(interpolate, points) for one in row], node, cut)


def tiles_of(x: Node, node: Node, cut: Tiling, side: int = RESULTS, inputs: int = POINTS, stride: int = 1) -> Node:
    """Return views of the tiles: (groups, blocks, channels, images, rows, columns, inputs, inputs).

    `side`, `inputs`: results and inputs of a tile along an axis; `stride`: of the filters.
    """
    padded = padded_to_tiles(
        build.reshape(x, shape=(cut.groups, cut.images, *x.shape[1:])), node, node.shape[2:], side, stride
    )
    step = stride * side
    strips = window(padded, 3, step * (cut.rows - 1) + inputs, step * cut.rows)
    return permute(window(strips, (5, 4), inputs, step), axes=(0, 3, 2, 1, 5, 4, 6, 7))


def put_together(tile: Sequence[Node], node: Node, cut: Tiling, side: int = RESULTS) -> Node:
    """Return a convolution from results of tiles: (groups, blocks, parts, results, images, rows, columns).

    `side`: results of a tile along an axis.
    """
    pieces = [permute(one, axes=(0, 4, 2, 3, 1, 5, 6)) for one in tile]
    high, wide = side * cut.rows, side * cut.columns
    whole = (cut.groups, cut.images, cut.parts, node.shape[1] // cut.parts, cut.blocks, high, wide)
    made = interleave(*pieces, steps=((5, side), (6, side)), shape=whole)
    made = build.reshape(made, shape=(*node.shape[:2], high * cut.blocks, wide))
    # Results of the last tiles that are none of the convolution are cut off in a copy.
    return slice_(made, bounds=tuple((0, 1, n) for n in node.shape))


def grid(x: Node, axes: tuple[int, int], shape: tuple[int, ...]) -> Grid:
    """Return the elements of two axes, each under this shape."""
    first, second = axes
    return [
        [build.reshape(element(x, {first: i, second: j}), shape=shape) for j in range(x.shape[second])]
        for i in range(x.shape[first])
    ]


def assembled(transform: Callable[[Sequence[Node]], list[Node]], grid: Grid, axis: int) -> Node:
    """Return a grid transformed along both of its axes, its elements joined along an axis of theirs.

    Its rows come first: they lie side by side, and are read together.
    """
    columns = both_axes(transform, [list(column) for column in zip(*grid, strict=True)])
    return concatenate(*(one for row in zip(*columns, strict=True) for one in row), axis=axis)


def _evaluated_filters(w: Node, parts: int) -> Node:
    """Return the filters at the points as (parts, points, results of a part, channels).

    Parts, whose rows are as many as a register tile has, are stored in the order of the filters' memory, so that they
    are read as vectors.
    """
    shape = (parts, 1, w.shape[0] // parts, w.shape[1])
    taps = grid(w, (2, 3), shape)
    if parts == 1 or not turned(w):
        return apart(_spaced(assembled(evaluate_taps, taps, 1)), 2)
    across = [[permute(one, axes=(0, 1, 3, 2)) for one in row] for row in taps]
    return permute(apart(assembled(evaluate_taps, across, 1), 2), axes=(0, 1, 3, 2))


def apart(planes: Node, axis: int) -> Node:
    """Return the matrices of the points, from this axis on, so far apart that they do not begin in the same lines."""
    if math.prod(planes.shape[axis:]) * planes.dtype.itemsize % _APART:
        return planes
    gap = (*planes.shape[:axis], 1, *planes.shape[axis + 1 :])
    between = build.expand(build.const(0, planes.dtype), shape=gap)
    return slice_(concatenate(planes, between, axis=axis), bounds=tuple((0, 1, n) for n in planes.shape))


def _spaced(weights: Node) -> Node:
    """Return the weights with the rows of their matrices so far apart that they do not compete for lines of a cache."""
    if weights.shape[-1] * weights.dtype.itemsize % _APART:
        return weights
    between = build.expand(build.const(0, weights.dtype), shape=(*weights.shape[:-1], _GAP))
    return slice_(concatenate(weights, between, axis=3), bounds=tuple((0, 1, n) for n in weights.shape))


def padded_to_tiles(x: Node, node: Node, positions: Sequence[int], results: int = RESULTS, stride: int = 1) -> Node:
    """Return the input of (groups, images, channels, height, width) with zeros around it, up to the last tiles' end.

    `positions`: of the filters, along each axis, `stride` apart and as many as `results` in a tile. What negative
    padding cuts off is left out.
    """
    for axis, (low, _), extent in zip((3, 4), Geometry(*node.arg).padding, positions, strict=True):
        length = stride * (-(-extent // results) * results - 1) + TAPS
        before, first = max(low, 0), max(-low, 0)
        count = max(min(x.shape[axis] - first, length - before), 0)
        inside = slice_(x, bounds=tuple((first, 1, count) if k == axis else (0, 1, n) for k, n in enumerate(x.shape)))
        zeros = [build.expand(build.const(0, x.dtype), shape=(*x.shape[:axis], n, *x.shape[axis + 1 :]))
                 for n in (before, length - before - count)]  # fmt: skip
        x = concatenate(*(one for one in (zeros[0], inside, zeros[1]) if one.shape[axis]), axis=axis)
    return x
