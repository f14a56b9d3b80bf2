"""Transposed convolutions: each element's products with a whole filter, added up where they overlap.

The gradient of a convolution's input spreads each element g of the result over the inputs it was summed from. As a
convolution of g it would read windows of g, whose elements lie `stride` apart, and weights turned over: both have to be
packed, and the results of each remainder modulo the stride are a product of their own. Here one product has them all:
rows are the channels and elements of the filter, as they lie in the weights' memory, columns the positions, K the
results. Overlapping products are then added up, which is an elementwise stage (codegen/windows.py, `overlap_add`).
No product is one with a zero between elements, and no element is packed twice.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trueno.codegen.windows import UNROLLED, overlap_add, put
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node, make
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import flip, permute
from trueno.ir.windows import fold


def applies(node: Node) -> bool:
    """Whether a convolution is better computed by adding up products of elements with filters.

    That writes and reads a product for each result, element of the filter and position; windows are so many for each
    channel.
    """
    x, w = node.src
    geometry = Geometry(*node.arg)
    spread, taps = math.prod(geometry.input_dilation), math.prod(w.shape[2:])
    narrow, results = w.shape[1], w.shape[0] // geometry.groups
    strided = set(geometry.stride) == {1} and spread > 1
    return strided and spread < taps <= UNROLLED and narrow >= LEAST and 2 * narrow >= results and 0 not in x.shape


#: Channels of a group from which on reading and writing the products takes less time than computing them.
LEAST = 16
#: Positions up to which they are the rows of the product, and what lies side by side in the weights its columns.
FEW = 256


class _Axis(NamedTuple):
    """What an axis of the input has: zeros around it, the extent of all that is added up, and where results begin."""

    before: int
    after: int
    extent: int
    start: int


def _axis(extent: int, size: int, results: int, low: int, spread: int, apart: int) -> _Axis:
    """Return the zeros with which every result has an element of the input for each tap that it may meet.

    Element i of the input meets result ``spread * i + low - apart * k``, k the tap.
    """
    reach = apart * (size - 1)
    met = [
        (p + apart * k - low) // spread
        for p in {*range(min(spread, results)), *range(max(results - spread, 0), results)}
        for k in range(size)
        if (p + apart * k - low) % spread == 0
    ]
    before, after = max(-min(met, default=0), 0), max(max(met, default=0) + 1 - extent, 0)
    before = max(before, -((reach - low) // spread))
    start = spread * before + reach - low
    # Results past the last window are zeros, too; there are fewer of them than from one window to the next.
    after = max(after, -((spread * (before + extent - 1) + reach + spread - start - results) // spread))
    return _Axis(before, after, max(spread * (before + extent + after - 1) + reach + 1, start + results), start)


def added_up(node: Node) -> Node:
    """Return a convolution of stride 1 as overlapping products that are added up."""
    x, w = node.src
    geometry = Geometry(*node.arg)
    groups, batch, narrow = geometry.groups, x.shape[0], w.shape[1]
    results, count, kernel = w.shape[0] // groups, x.ndim - 2, w.shape[2:]
    spatial = tuple(range(2, x.ndim))
    along = [
        _axis(n, size, extent, low, spread, apart)
        for n, size, extent, (low, _), spread, apart in zip(
            x.shape[2:], kernel, node.shape[2:], geometry.padding, geometry.input_dilation, geometry.kernel_dilation,
            strict=True,
        )
    ]  # fmt: skip
    places = {axis: (1, a.before, a.before + x.shape[axis] + a.after) for axis, a in zip(spatial, along, strict=True)}
    x = build.cast(put(x, places), dtype=node.dtype)
    points = x.shape[2:]
    # (batch, groups, results, *kernel, *points, channels)
    shape = (batch, groups, results, *kernel, *points, narrow)
    elements = build.reshape(x, shape=(batch, groups, narrow, *points))
    elements = permute(elements, axes=(0, 1, *range(3, 3 + count), 2))
    elements = build.reshape(elements, shape=(batch, groups, *(1 for _ in range(1 + count)), *points, narrow))
    # The last element of a filter meets the first element of the input first.
    weights = build.reshape(build.cast(flip(w, spatial), dtype=node.dtype), shape=(groups, results, narrow, *kernel))
    weights = permute(weights, axes=(0, 1, *range(3, 3 + count), 2))
    weights = build.reshape(weights, shape=(1, groups, results, *kernel, *(1 for _ in points), narrow))
    products = build.expand(weights, shape=shape) * build.expand(elements, shape=shape)
    outer, inner = tuple(range(2, 3 + count)), tuple(range(3 + count, 3 + 2 * count))
    if math.prod(points) <= FEW:
        products = permute(products, axes=(0, 1, *inner, *outer, len(shape) - 1))
        outer, inner = tuple(range(2 + count, 3 + 2 * count)), tuple(range(2, 2 + count))
    sums = sum_rows(products, axis=(len(shape) - 1,), keepdims=True, dtype=node.dtype)
    sums = build.reshape(sums, shape=sums.shape[:-1])
    windows = permute(sums, axes=(0, 1, outer[0], *inner, *outer[1:]))
    windows = build.reshape(windows, shape=(batch, groups * results, *points, *kernel))
    slides = tuple(zip(spatial, kernel, geometry.input_dilation, geometry.kernel_dilation, strict=True))
    whole = (*node.shape[:2], *(a.extent for a in along))
    kept = [(0, n) for n in node.shape[:2]] + [(a.start, n) for a, n in zip(along, node.shape[2:], strict=True)]
    return overlap_add(make(fold, (windows,), node.dtype, whole, slides), kept)
