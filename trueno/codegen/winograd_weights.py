"""Gradients of 3 × 3 weights by minimal filtering: F(3 × 3, 4 × 4).

An element of such a gradient is a sum over all positions of products of the input there and the gradient of the result.
Over a tile of 4 × 4 positions, the nine elements need 36 products of a channel and a result in place of 144: tiles of
6 × 6 inputs and of 4 × 4 gradients are evaluated at six points along each axis, there their products are summed over
the tiles, which is 36 matrix products with the tiles along K, and the filters are interpolated from those. The points
are those of codegen/winograd.py, and so is what becomes of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueno import dtypes as dt
from trueno.codegen.windows import put
from trueno.codegen.winograd import (
    CUT_BYTES,
    FAR,
    INPUT_COST,
    NEAR,
    POINTS,
    RESULTS,
    STEPS,
    TAPS,
    apart,
    assembled,
    both_axes,
    evaluate_inputs,
    grid,
    padded_to_tiles,
    plus,
    times,
)
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.ir.views import matmul, permute
from trueno.ir.windows import interleave, window

#: What evaluating a tile of a result's gradient, interpolating a filter, and where the products of all filters do not
#: fit a cache writing and reading those again take, in multiply-adds of a matrix product.
GRADIENT_COST, FILTER_COST, FILTER_AGAIN = 600, 700, 1300


def evaluate_gradients(g: Sequence[Node]) -> list[Node]:
    """Return a polynomial of degree 3 at the points, over the product of each point's distances from others."""
    near, far = -2 / 3, 1 / 6
    even_near, odd_near = plus(0.5, g[2], g[0]), plus(0.5, g[3], g[1])
    even_far, odd_far = plus(2.0, g[2], g[0]), plus(2.0, g[3], g[1])
    scaled_near, scaled_far = times(near, even_near), times(far, even_far)
    return [
        g[0],
        plus(near * NEAR, odd_near, scaled_near),
        plus(-near * NEAR, odd_near, scaled_near),
        plus(far * FAR, odd_far, scaled_far),
        plus(-far * FAR, odd_far, scaled_far),
        g[3],
    ]


def interpolate_taps(m: Sequence[Node]) -> list[Node]:
    """Return the three elements of a filter: sums of the products times the powers 0 to 2 of their points."""
    near, far = m[1] + m[2], m[3] + m[4]
    return [
        m[0] + near + far,
        times(NEAR, plus(FAR / NEAR, m[3] - m[4], m[1] - m[2])),
        plus(NEAR**2, near, plus(FAR**2, far, m[5])),
    ]


def applies(node: Node) -> bool:
    """Whether a convolution, whose weights are the gradient of another one's results, takes less time so."""
    w, geometry = node.src[1], Geometry(*node.arg)
    ones = {*geometry.stride, *geometry.input_dilation, *geometry.kernel_dilation, geometry.groups}
    form = node.shape[2:] == (TAPS, TAPS) and ones == {1} and min(w.shape[2:]) > TAPS
    return form and 0 not in node.shape and node.dtype in (dt.float32, dt.float64) and pays(node)


def pays(node: Node) -> bool:
    """Whether products, transforms and interpolation take less time than a sum over all positions."""
    channels, results = node.shape[:2]
    images, *extents = node.src[1].shape[1:]
    direct = math.prod(node.shape) * images * math.prod(extents)
    tiles = images * math.prod(-(-n // RESULTS) for n in extents)
    transforms = tiles * (INPUT_COST * channels + GRADIENT_COST * results)
    again = POINTS**2 * channels * results * node.dtype.itemsize > CUT_BYTES
    filters = FILTER_COST + (FILTER_AGAIN if again else 0)
    return channels * results * (POINTS**2 * (tiles + STEPS) + filters) + transforms < direct


def minimal(node: Node) -> Node:
    """Return a convolution that this `applies` to, its first two axes exchanged: (results, channels, 3, 3)."""
    x, g = node.src
    (channels, images), results = x.shape[:2], g.shape[0]
    counts = tuple(-(-n // RESULTS) for n in g.shape[2:])
    inputs = padded_to_tiles(build.reshape(x, shape=(1, *x.shape)), node, g.shape[2:])
    inputs = window(inputs, (3, 4), POINTS, RESULTS)
    whole = put(g, {2 + k: (1, 0, RESULTS * n) for k, n in enumerate(counts)})
    gradients = window(build.reshape(whole, shape=(1, *whole.shape)), (3, 4), RESULTS, RESULTS)
    tiles = images * math.prod(counts)
    a = _points(assembled(evaluate_gradients, grid(gradients, (5, 6), (1, results, images, *counts)), 0), tiles)
    b = _points(assembled(evaluate_inputs, grid(inputs, (5, 6), (1, channels, images, *counts)), 0), tiles)
    products = matmul(a, permute(b, axes=(0, 2, 1)))
    products = build.reshape(products, shape=(POINTS, POINTS, results, channels))
    taps = both_axes(interpolate_taps, grid(products, (0, 1), (results, channels, 1, 1)))
    shape = (results, channels, TAPS, TAPS)
    return interleave(*(one for row in taps for one in row), steps=((2, TAPS), (3, TAPS)), shape=shape)


def _points(evaluated: Node, tiles: int) -> Node:
    """Return a matrix of channels and tiles for each point."""
    return build.reshape(apart(evaluated, 1), shape=(*evaluated.shape[:2], tiles))
