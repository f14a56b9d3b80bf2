"""Gradients of weights seven wide, 2 apart, by minimal filtering along lines: F(4, 4) and F(3, 4) at the same points.

An element of such a gradient is a sum over all positions of products of the input there and the gradient of the result.
Over four positions of a line, the four elements of a filter's line that meet even inputs, and the three that meet odd
ones, take 14 products in place of 28: tiles of seven inputs and of four gradients are evaluated at seven points, there
their products are summed over all tiles, and the lines of the filters are interpolated from those. The points are those
of codegen/winograd_lines.py, and so is what becomes of the inputs.

K, which is the tiles, is cut into blocks of a few rows, whose evaluated inputs and gradients stay in a cache
(codegen/joined.py). What the blocks sum up is added in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueno import dtypes as dt
from trueno.codegen.windows import element, put
from trueno.codegen.winograd import plus, times
from trueno.codegen.winograd_lines import (
    INPUT_COST,
    PAIRS,
    POINTS,
    RESULTS,
    STRIDE,
    TAPS,
    evaluated,
    rows_of_block,
    scale_at,
)
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import concatenate, matmul, permute
from trueno.ir.windows import interleave, window

#: Bytes of the evaluated inputs and gradients of a block at most, and tiles of one at least: shorter sums spend their
#: time on being added up.
BLOCK_BYTES, LEAST_TILES = 5 << 18, 256
#: What evaluating a tile of a result's gradient takes, in multiply-adds of a matrix product.
GRADIENT_COST = 60


def evaluate_gradients(g: Sequence[Node]) -> list[Node]:
    """Return a polynomial of degree 3 at the points."""
    found = []
    for point in PAIRS:
        even, odd = plus(point**2, g[2], g[0]), times(point, plus(point**2, g[3], g[1]))
        found += [even + odd, even - odd]
    return [*found, g[3]]


def interpolate_taps(m: Sequence[Node]) -> list[Node]:
    """Return the four elements of a filter, or of six products, without the one at infinity, three.

    They are sums of the products times the powers of their points, over the product of each point's distances from
    others.
    """
    scaled = [
        (times(scale_at(point), m[k] - m[k + 1]), times(scale_at(point) * point, m[k] + m[k + 1]))
        for k, point in zip((0, 2, 4), PAIRS, strict=True)
    ]
    found = []
    for power in range(4 if len(m) == POINTS else 3):
        a, b, c = (one[power % 2] for one in scaled)
        last = [m[-1]] if power == 3 else []
        if power > 1:
            a, b, c = (times(point**2, one) for point, one in zip(PAIRS, (a, b, c), strict=True))
        found.append(sum(last, a + b + c))
    return found


def blocks(node: Node) -> tuple[int, int, int]:
    """Return the blocks of an image, rows of gradients of a block, and tiles of a row."""
    channels, results, lines = node.shape[:3]
    high, wide = node.src[1].shape[2:]
    columns = -(-wide // RESULTS)
    tile = POINTS * (STRIDE * channels * lines + results) * node.dtype.itemsize
    rows = rows_of_block(high, max(BLOCK_BYTES // (tile * columns), 1))
    return -(-high // rows), rows, columns


def applies(node: Node) -> bool:
    """Whether a convolution, whose weights are the gradient of another one's results, takes less time so."""
    geometry = Geometry(*node.arg)
    ones = {*geometry.stride, *geometry.input_dilation, geometry.groups}
    form = node.ndim == 4 and node.shape[3] == TAPS and geometry.kernel_dilation[1] == STRIDE and ones == {1}
    return form and 0 not in node.shape and node.dtype in (dt.float32, dt.float64) and pays(node)


def pays(node: Node) -> bool:
    """Whether products and transforms take less time than a sum over all positions."""
    channels, results, lines = node.shape[:3]
    count, rows, columns = blocks(node)
    if rows * columns < LEAST_TILES:
        return False
    images, *extents = node.src[1].shape[1:]
    direct = math.prod(node.shape) * images * math.prod(extents)
    products = POINTS * STRIDE * channels * lines * results
    transforms = INPUT_COST * channels * lines + GRADIENT_COST * results
    return images * count * rows * columns * (products + transforms) < direct


def minimal(node: Node) -> Node:
    """Return a convolution that this `applies` to, its first two axes exchanged: (results, channels, lines, 7)."""
    x, g = node.src
    (channels, images), (results, lines) = x.shape[:2], (g.shape[0], node.shape[2])
    geometry = Geometry(*node.arg)
    count, rows, columns = cut = blocks(node)
    inputs = evaluated(permute(x, axes=(1, 0, 2, 3)), lines, geometry.kernel_dilation[0], geometry.padding, cut)
    whole = put(permute(g, axes=(1, 0, 2, 3)), {2: (1, 0, count * rows), 3: (1, 0, RESULTS * columns)})
    # (images, results, blocks, tiles, 4, rows) to (images, blocks, 7, results, rows, tiles)
    tiles = permute(window(window(whole, 3, RESULTS, RESULTS), 2, rows, rows), axes=(0, 2, 1, 5, 3, 4))
    shape = (images, count, 1, results, rows, columns)
    tile = [build.reshape(element(tiles, {5: k}), shape=shape) for k in range(RESULTS)]
    gradients = build.reshape(
        concatenate(*evaluate_gradients(tile), axis=2), shape=(images, count, POINTS, results, rows * columns)
    )
    products = matmul(inputs, permute(gradients, axes=(0, 1, 2, 4, 3)))
    products = build.reshape(products, shape=(images * count, *products.shape[2:]))
    summed = sum_rows(products, axis=(0,), keepdims=True, dtype=node.dtype)
    summed = build.reshape(summed, shape=(POINTS, STRIDE, channels, lines, results))
    points = [
        [build.reshape(element(summed, {0: k, 1: half}), shape=(channels, lines, results, 1)) for k in range(POINTS)]
        for half in range(STRIDE)
    ]
    taps = [interpolate_taps(points[0]), interpolate_taps(points[1][:-1])]
    pieces = [permute(taps[k % STRIDE][k // STRIDE], axes=(2, 0, 1, 3)) for k in range(TAPS)]
    return interleave(*pieces, steps=((3, TAPS),), shape=(results, channels, lines, TAPS))
