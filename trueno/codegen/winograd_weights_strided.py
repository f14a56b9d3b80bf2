"""Gradients of 3 × 3 weights of filters 2 apart by minimal filtering: three elements of an axis from five products.

The tiles are those of codegen/winograd_strided.py, of 2 × 2 positions, whose elements take 25 products of a channel and
a result in place of 36. The inputs' factors are the same; those of the gradients are three for an axis, g0, g0 + g1 and
g1, each of which meets the factors of one sum there. Summed over the tiles, the 25 products of matrices are the factors
of a filter's gradient: what was a sum of products in forward is a matrix with that many more columns here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from trueno import dtypes as dt
from trueno.codegen.windows import element, put
from trueno.codegen.winograd import STEPS, TAPS, both_axes, grid, padded_to_tiles
from trueno.codegen.winograd_strided import ALIKE, INPUTS, RESULTS, STRIDE, SUMS, alike, cut, evaluate_inputs, in_order
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.ir.views import concatenate, matmul, permute
from trueno.ir.windows import interleave, window

#: Bytes of the evaluated inputs of a part of the channels at most, and channels of a part at least.
PART_BYTES, LEAST = 5 << 17, 16
#: What evaluating a tile of a channel or of a result's gradient, and interpolating a filter takes, in multiply-adds of
#: a matrix product.
INPUT_COST, GRADIENT_COST, FILTER_COST = 330, 150, 400


def evaluate_gradients(g: Sequence[Node]) -> list[Node]:
    """Return the gradients' factors of the three sums."""
    return [g[0], g[0] + g[1], g[1]]


def interpolate_taps(m: Sequence[Node]) -> list[Node]:
    """Return the three elements of a filter from five products."""
    return [m[0] + m[2], m[1] + m[4], m[2] + m[3]]


def applies(node: Node) -> bool:
    """Whether a convolution, whose weights are the gradient of another one's results, takes less time so."""
    w, geometry = node.src[1], Geometry(*node.arg)
    ones = {*geometry.stride, *geometry.input_dilation, geometry.groups}
    form = node.shape[2:] == (TAPS, TAPS) and geometry.kernel_dilation == (STRIDE, STRIDE) and ones == {1}
    return form and 0 not in (*node.shape, *w.shape) and node.dtype in (dt.float32, dt.float64) and pays(node)


def pays(node: Node) -> bool:
    """Whether products, transforms and interpolation take less time than a sum over all positions."""
    channels, results = node.shape[:2]
    images, *extents = node.src[1].shape[1:]
    direct = math.prod(node.shape) * images * math.prod(extents)
    tiles = images * math.prod(-(-n // RESULTS) for n in extents)
    transforms = tiles * (INPUT_COST * channels + GRADIENT_COST * results)
    return channels * results * (INPUTS**2 * (tiles + STEPS) + FILTER_COST) + transforms < direct


def parts_of(node: Node, tiles: int) -> int:
    """Return into how many parts the channels are cut, so that the inputs of one stay in a cache, evaluated."""
    channels, size = node.shape[0], INPUTS**2 * tiles * node.dtype.itemsize
    fitting = [n for n in range(LEAST, channels + 1) if channels % n == 0 and n * size <= PART_BYTES]
    return channels // max(fitting, default=channels)


def minimal(node: Node) -> Node:
    """Return a convolution that this `applies` to, its first two axes exchanged: (results, channels, 3, 3)."""
    x, g = node.src
    (channels, images), results = x.shape[:2], g.shape[0]
    counts = tuple(-(-n // RESULTS) for n in g.shape[2:])
    tiles = images * math.prod(counts)
    parts = parts_of(node, tiles)
    narrow = channels // parts
    padded = padded_to_tiles(build.reshape(x, shape=(parts, narrow, *x.shape[1:])), node, g.shape[2:], RESULTS, STRIDE)
    views = window(padded, (3, 4), INPUTS, STRIDE * RESULTS)
    inputs = in_order(both_axes(evaluate_inputs, grid(views, (5, 6), (parts, 1, narrow, images, *counts))))
    whole = put(g, {2 + k: (1, 0, RESULTS * n) for k, n in enumerate(counts)})
    views = window(build.reshape(whole, shape=(1, *whole.shape)), (3, 4), RESULTS, RESULTS)
    given = both_axes(evaluate_gradients, grid(views, (5, 6), (1, results, images, *counts)))
    gradients = concatenate(*(given[a][b] for places in ALIKE for a, b in places), axis=0)
    factors: dict[tuple[int, int], Node] = {}
    groups = zip(
        ALIKE, cut(gradients, 0, [len(places) for places in ALIKE]), alike(concatenate(*inputs, axis=1), 1), strict=True
    )
    for places, rows, columns in groups:
        count, wide = len(places), columns.shape[1] // len(places)
        a = build.reshape(rows, shape=(1, count, results, tiles))
        b = permute(build.reshape(columns, shape=(parts, count, wide * narrow, tiles)), axes=(0, 1, 3, 2))
        made = matmul(build.expand(a, shape=(parts, *a.shape[1:])), b)
        made = build.reshape(made, shape=(parts, count, results, wide, narrow))
        for k, (first, second) in enumerate(places):
            for n, place in enumerate(product(SUMS[first], SUMS[second])):
                factors[place] = build.reshape(element(made, {1: k, 3: n}), shape=(parts, results, narrow, 1, 1))
    products = [[factors[i, j] for j in range(INPUTS)] for i in range(INPUTS)]
    taps = [permute(one, axes=(1, 0, 2, 3, 4)) for row in both_axes(interpolate_taps, products) for one in row]
    made = interleave(*taps, steps=((3, TAPS), (4, TAPS)), shape=(results, parts, narrow, TAPS, TAPS))
    return build.reshape(made, shape=(results, channels, TAPS, TAPS))
