"""Convolutions with 3 × 3 filters, 2 apart, by minimal filtering: two results of an axis from five products, not six.

Along an axis, a result is ``e[p] g0 + o[p] g1 + e[p + 1] g2``, e the inputs at even places and o those at odd ones.
What the even inputs add is a filter of two elements with stride 1, of which F(2, 2) computes two results from three
products (Winograd, Arithmetic Complexity of Computations, 1980). Of these, the first and the last belong to one result
only, and so take in the product of that result's odd input: three sums, of two, one and two products:

    m0 = (e0 - e1) g0 + o0 g1        m1 = e1 (g0 + g2)        m2 = (e2 - e1) g2 + o1 g1
    y0 = m0 + m1                     y1 = m1 + m2

On both axes, a tile of 2 × 2 results takes 25 products of a channel in place of 36, summed up in nine matrix products:
four with 4 elements of a channel along K, four with 2, one with 1. All factors are ±1: the error is that of the direct
sum. Inputs and filters are laid out, and cut into blocks or parts, as those of codegen/winograd.py are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, product

from trueno import dtypes as dt
from trueno.codegen.windows import element
from trueno.codegen.winograd import (
    GATHERED,
    STEPS,
    TAPS,
    Grid,
    Tiling,
    both_axes,
    columns_of,
    grid,
    put_together,
    tiles_of,
    tiling,
)
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.ir.views import concatenate, matmul, permute, slice_

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
#: evaluating a filter, and where all filters do not fit a cache writing and reading it again.
INPUT_COST, RESULT_COST, FILTER_COST, FILTER_AGAIN = 330, 100, 400, 300
#: Bytes of evaluated filters from which on they are cut into parts.
CUT_BYTES = 2 << 20


def applies(node: Node) -> bool:
    """Whether a convolution is computed so: it has the form, and takes less time."""
    w, geometry = node.src[1], Geometry(*node.arg)
    ones = {*geometry.input_dilation, *geometry.kernel_dilation, geometry.groups}
    form = w.shape[2:] == (TAPS, TAPS) and geometry.stride == (STRIDE, STRIDE) and ones == {1}
    return form and 0 not in node.shape and node.dtype in (dt.float32, dt.float64) and pays(node)


def pays(node: Node) -> bool:
    """Whether products, transforms and weights take less time than a sum over windows."""
    results, channels = node.src[1].shape[:2]
    tiled = cut_into_tiles(node)
    blocks = tiled.groups * tiled.blocks
    products = results * (INPUTS**2 * channels + len(SUMS) ** 2 * STEPS) * blocks * columns_of(tiled.tiles)
    transforms = blocks * tiled.tiles * (INPUT_COST * channels + RESULT_COST * results)
    again = tiled.parts == 1 and INPUTS**2 * results * channels * node.dtype.itemsize > CUT_BYTES
    filters = results * channels * (FILTER_COST + (FILTER_AGAIN if again else 0))
    return products + transforms + filters < GATHERED * math.prod(node.shape) * channels * TAPS**2


def cut_into_tiles(node: Node) -> Tiling:
    """Return how a convolution is cut into blocks of tiles, or its filters into parts."""
    return tiling(node, RESULTS, (INPUTS**2, len(SUMS) ** 2), CUT_BYTES)


def minimal(node: Node) -> Node:
    """Return a convolution that this `applies` to, its last step an interleaving of the tiles' results."""
    x, w = node.src
    tiled = cut_into_tiles(node)
    channels, results = x.shape[1], w.shape[0] // tiled.parts
    groups, blocks, parts = tiled.groups, tiled.blocks, tiled.parts
    tiles = (tiled.images, tiled.rows, tiled.columns)
    shape = (groups, blocks, 1, channels, *tiles)
    views = tiles_of(x, node, tiled, RESULTS, INPUTS, STRIDE)
    inputs = concatenate(*in_order(both_axes(evaluate_inputs, grid(views, (6, 7), shape))), axis=2)
    taps = grid(w, (2, 3), (parts, results, 1, channels))
    filters = concatenate(*in_order(both_axes(evaluate_taps, taps)), axis=2)
    sums: Grid = [[w] * len(SUMS) for _ in SUMS]
    for places, weights, elements in zip(ALIKE, alike(filters), alike(inputs), strict=True):
        count, deep = len(places), weights.shape[2] // len(places) * channels
        a = permute(build.reshape(weights, shape=(1, 1, parts, results, count, deep)), axes=(0, 1, 2, 4, 3, 5))
        b = build.reshape(elements, shape=(groups, blocks, 1, count, deep, math.prod(tiles)))
        made = matmul(
            build.expand(a, shape=(groups, blocks, *a.shape[2:])),
            build.expand(b, shape=(groups, blocks, parts, *b.shape[3:])),
        )
        for k, (first, second) in enumerate(places):
            one = element(made, {3: k})
            sums[first][second] = build.reshape(one, shape=(groups, blocks, parts, results, *tiles))
    return put_together([one for row in both_axes(interpolate, sums) for one in row], node, tiled, RESULTS)


def in_order(evaluated: Grid) -> list[Node]:
    """Return the factors of the products of both axes, those of each sum one behind the other."""
    return [evaluated[i][j] for a, b in chain(*ALIKE) for i, j in product(SUMS[a], SUMS[b])]


def alike(factors: Node, axis: int = 2) -> Iterator[Node]:
    """Return the factors of sums with equally many products, which lie along an axis."""
    return cut(factors, axis, [sum(len(SUMS[a]) * len(SUMS[b]) for a, b in places) for places in ALIKE])


def cut(x: Node, axis: int, counts: Sequence[int]) -> Iterator[Node]:
    """Yield the parts of an axis."""
    begin = 0
    for count in counts:
        yield slice_(x, bounds=tuple((0, 1, n) if k != axis else (begin, 1, count) for k, n in enumerate(x.shape)))
        begin += count
