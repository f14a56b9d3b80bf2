"""Convolutions with 3 × 3 filters, 2 apart, by minimal filtering: two results of an axis from five products, not six.

Along an axis, a result is ``e[p] g0 + o[p] g1 + e[p + 1] g2``, e the inputs at even places and o those at odd ones.
What the even inputs add is a filter of two elements with stride 1, of which F(2, 2) computes two results from three
products (Winograd, Arithmetic Complexity of Computations, 1980). Of these, the first and the last belong to one result
only, and so take in the product of that result's odd input: three sums, of two, one and two products:

    m0 = (e0 - e1) g0 + o0 g1        m1 = e1 (g0 + g2)        m2 = (e2 - e1) g2 + o1 g1
    y0 = m0 + m1                     y1 = m1 + m2

On both axes, a tile of 2 × 2 results takes 25 products of a channel in place of 36, summed up in nine matrix products:
four with 4 elements of a channel along K, four with 2, one with 1. All factors are ±1: the error is that of the direct
sum. Rows of the products are tiles, which are few, and columns the results' channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, product

from trueno import dtypes as dt
from trueno.codegen.winograd import GATHERED, STEPS, TAPS, Grid, both_axes, grid, padded_to_tiles
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.ir.views import concatenate, matmul, permute, slice_
from trueno.ir.windows import interleave, window

#: Results of a tile along an axis, how far apart they are, and the inputs that they take.
RESULTS, STRIDE = 2, 2
INPUTS = STRIDE * (RESULTS - 1) + TAPS
#: Which of the five products are summed up to each of the three sums.
SUMS = ((0, 1), (2,), (3, 4))
#: The sums of both axes by how many products of a channel they have, as `SUMS` of each axis.
ALIKE = (((0, 0), (0, 2), (2, 0), (2, 2)), ((0, 1), (1, 0), (1, 2), (2, 1)), ((1, 1),))


def evaluate_inputs(d: Sequence[Node]) -> list[Node]:
    """Return the inputs' factors of the five products, from five inputs of a tile."""
    return [d[0] - d[2], d[1], d[2], d[4] - d[2], d[3]]


def evaluate_taps(g: Sequence[Node]) -> list[Node]:
    """Return the filter's factors of the five products."""
    return [g[0], g[1], g[0] + g[2], g[2], g[1]]


def interpolate(m: Sequence[Node]) -> list[Node]:
    """Return the two results of a tile."""
    return [m[0] + m[1], m[1] + m[2]]


#: What steps take, in multiply-adds of a matrix product: evaluating a tile of a channel, interpolating one of a result,
#: and evaluating a filter, where those of all results lie in a first-level cache and where they do not.
INPUT_COST, RESULT_COST, FILTER_COST, FILTER_APART = 570, 170, 270, 500
#: Filters of so many results and more, each a line of memory, do not stay in the cache from one channel to the next.
APART = 192
#: Rows and columns of which the products compute a multiple.
ROWS, COLUMNS = 6, 16
#: Bytes of evaluated inputs and products from which on those that pass through memory take what is saved.
MOST_BYTES = 24 << 20
#: Results' channels a multiple of so many bytes apart share too few lines of a cache to be written side by side.
SHARED = 2048


def applies(node: Node) -> bool:
    """Whether a convolution is computed so: it has the form, and takes less time."""
    w, geometry = node.src[1], Geometry(*node.arg)
    ones = {*geometry.input_dilation, *geometry.kernel_dilation, geometry.groups}
    form = w.shape[2:] == (TAPS, TAPS) and geometry.stride == (STRIDE, STRIDE) and ones == {1}
    return form and 0 not in node.shape and node.dtype in (dt.float32, dt.float64) and pays(node)


def pays(node: Node) -> bool:
    """Whether products, transforms and weights take less time than a sum over windows."""
    results, channels = node.src[1].shape[:2]
    size = node.dtype.itemsize
    tiles = node.shape[0] * math.prod(-(-n // RESULTS) for n in node.shape[2:])
    if tiles * (INPUTS**2 * channels + len(SUMS) ** 2 * results) * size > MOST_BYTES:
        return False
    if math.prod(node.shape[2:]) * size % SHARED == 0:
        return False
    padded = -(-tiles // ROWS) * ROWS * -(-results // COLUMNS) * COLUMNS
    products = padded * (INPUTS**2 * channels + len(SUMS) ** 2 * STEPS)
    transforms = tiles * (INPUT_COST * channels + RESULT_COST * results)
    filters = results * channels * (FILTER_COST if results < APART else FILTER_APART)
    return products + transforms + filters < GATHERED * math.prod(node.shape) * channels * TAPS**2


def minimal(node: Node) -> Node:
    """Return a convolution that this `applies` to, its last step an interleaving of the tiles' results."""
    x, w = node.src
    images, results = node.shape[:2]
    channels = x.shape[1]
    rows, columns = (-(-n // RESULTS) for n in node.shape[2:])
    padded = padded_to_tiles(build.reshape(x, shape=(1, *x.shape)), node, node.shape[2:], RESULTS, STRIDE)
    # (1, images, channels, rows, columns, 5, 5)
    tiles = permute(window(padded, (3, 4), INPUTS, STRIDE * RESULTS), axes=(0, 2, 1, 3, 4, 5, 6))
    inputs = _Factors(both_axes(evaluate_inputs, grid(tiles, (5, 6), (channels, 1, images, rows, columns))))
    taps = permute(w, axes=(1, 0, 2, 3))
    filters = _Factors(both_axes(evaluate_taps, grid(taps, (2, 3), (channels, 1, results))))
    sums: Grid = [[w] * len(SUMS) for _ in SUMS]
    for which, places in enumerate(ALIKE):
        made = matmul(permute(inputs.of(which), axes=(0, 2, 1)), filters.of(which))
        for k, (a, b) in enumerate(places):
            part = slice_(made, bounds=((k, 1, 1), *((0, 1, n) for n in made.shape[1:])))
            sums[a][b] = build.reshape(part, shape=(images, rows, columns, results))
    pieces = [permute(one, axes=(0, 3, 1, 2)) for row in both_axes(interpolate, sums) for one in row]
    pieces = [build.reshape(one, shape=(1, *one.shape)) for one in pieces]
    whole = (1, images, results, RESULTS * rows, RESULTS * columns)
    made = build.reshape(interleave(*pieces, steps=((3, RESULTS), (4, RESULTS)), shape=whole), shape=whole[1:])
    # Results of the last tiles that are none of the convolution are cut off in a copy.
    return slice_(made, bounds=tuple((0, 1, n) for n in node.shape))


class _Factors:
    """The inputs' or the filters' factors of all products: for each sum a matrix of K rows, one below the other.

    K is the channels, and within a channel the products that are summed up: so the rows that are written in turns lie
    side by side in memory, and the matrices, nine of them, may begin in the same lines of a cache.
    """

    def __init__(self, evaluated: Grid) -> None:
        channels, _, *rest = evaluated[0][0].shape
        self.channels, self.width = channels, math.prod(rest)
        matrices: list[Node] = []
        for a, b in chain(*ALIKE):
            parts = [evaluated[i][j] for i, j in product(SUMS[a], SUMS[b])]
            matrix = concatenate(*parts, axis=1) if len(parts) > 1 else parts[0]
            matrices.append(build.reshape(matrix, shape=(channels * len(parts), self.width)))
        self.rows = concatenate(*matrices, axis=0)

    def of(self, which: int) -> Node:
        """Return the matrices of sums with equally many products."""
        heights = [self.channels * math.prod(len(SUMS[k]) for k in places[0]) for places in ALIKE]
        begin = sum(height * len(places) for height, places in zip(heights[:which], ALIKE, strict=False))
        height, count = heights[which], len(ALIKE[which])
        part = slice_(self.rows, bounds=((begin, 1, count * height), (0, 1, self.width)))
        return build.reshape(part, shape=(count, height, self.width))
