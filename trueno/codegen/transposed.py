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
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from trueno.codegen.windows import UNROLLED, overlap_add, put
from trueno.ir import build
from trueno.ir.convolution import Geometry
from trueno.ir.elementwise import add
from trueno.ir.node import Node, make
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import concatenate, flip, permute, slice_
from trueno.ir.windows import fold, interleave

#: An axis: elements, taps, results, padding before, distance of elements, distance of taps.
Walk = tuple[int, int, int, int, int, int]


#: Channels of a group from which on reading and writing the products takes less time than computing them.
LEAST = 16
#: How many more results products may be added up to than are wanted. The gradient of weights wants few of many.
WASTED = 2
#: Positions up to which they are the rows of the product, and what lies side by side in the weights its columns.
FEW = 256
#: Rows a multiple of so many bytes apart begin in the same few lines of the first-level cache; elements between them.
APART, GAP = 4096, 16
#: Positions up to which products are added up where there is no stride.
FEW_UNSTRIDED = 64


def applies(node: Node) -> bool:
    """Whether a convolution is better computed by adding up products of elements with filters.

    That writes and reads a product for each result, element of the filter and position; windows are so many for each
    channel. Without strides it saves turning over the weights, which are most of what is read where positions are few.
    """
    x, w = node.src
    geometry = Geometry(*node.arg)
    spread, taps = math.prod(geometry.input_dilation), math.prod(w.shape[2:])
    narrow, results = w.shape[1], w.shape[0] // geometry.groups
    if set(geometry.stride) != {1} or 0 in (*x.shape, *node.shape) or taps > UNROLLED or 1 < taps <= spread:
        return False
    if spread * math.prod(x.shape[2:]) > WASTED * math.prod(node.shape[2:]):
        return False
    if (spread == 1 or taps == 1) and not (turned(w) and math.prod(x.shape[2:]) <= FEW_UNSTRIDED):
        return False
    return narrow >= LEAST and (taps == 1 or 2 * narrow >= results)


def turned(w: Node) -> bool:
    """Whether filters lie in memory with the results inside of the channels, as for the gradient of an input."""
    found = False
    while w.op.kind == "view" and w.ndim == len(w.src[0].shape):
        found ^= w.op is permute and w.arg[:2] == (1, 0)
        w = w.src[0]
    return found


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
    walks = list(zip(
        x.shape[2:], w.shape[2:], node.shape[2:], (low for low, _ in geometry.padding), geometry.input_dilation,
        geometry.kernel_dilation, strict=True,
    ))  # fmt: skip
    if math.prod(x.shape[2:]) <= FEW:
        return _in_segments(_windows(x, node, True), node, walks)
    spatial = range(2, x.ndim)
    along = [_axis(*walk) for walk in walks]
    places = {axis: (1, a.before, a.before + x.shape[axis] + a.after) for axis, a in zip(spatial, along, strict=True)}
    windows = _windows(put(x, places), node, False)
    slides = tuple(zip(spatial, w.shape[2:], geometry.input_dilation, geometry.kernel_dilation, strict=True))
    whole = (*node.shape[:2], *(a.extent for a in along))
    kept = [(0, n) for n in node.shape[:2]] + [(a.start, n) for a, n in zip(along, node.shape[2:], strict=True)]
    return overlap_add(make(fold, (windows,), node.dtype, whole, slides), kept)


def _windows(x: Node, node: Node, few: bool) -> Node:
    """Return the products of elements with filters, summed over the channels: (batch, results, *points, *kernel).

    `few`: whether they lie in memory in that order; else positions are innermost. The last element of a filter is the
    first in that it meets the first element of the input.
    """
    w, groups = node.src[1], Geometry(*node.arg).groups
    batch, narrow, results, count = x.shape[0], w.shape[1], w.shape[0] // groups, x.ndim - 2
    points, kernel = x.shape[2:], w.shape[2:]
    spatial = tuple(range(2, x.ndim))
    elements = build.reshape(build.cast(x, dtype=node.dtype), shape=(batch, groups, narrow, *points))
    elements = permute(elements, axes=(0, 1, *range(3, 3 + count), 2))
    elements = build.reshape(elements, shape=(batch, groups, *(1 for _ in range(1 + count)), *points, narrow))
    weights = build.reshape(build.cast(flip(w, spatial), dtype=node.dtype), shape=(groups, results, narrow, *kernel))
    weights = permute(weights, axes=(0, 1, *range(3, 3 + count), 2))
    weights = build.reshape(weights, shape=(1, groups, results, *kernel, *(1 for _ in points), narrow))
    shape = (batch, groups, results, *kernel, *points, narrow)
    products = build.expand(weights, shape=shape) * build.expand(elements, shape=shape)
    outer, inner = tuple(range(2, 3 + count)), tuple(range(3 + count, 3 + 2 * count))
    if few:
        products = permute(products, axes=(0, 1, *inner, *outer, len(shape) - 1))
        outer, inner = tuple(range(2 + count, 3 + 2 * count)), tuple(range(2, 2 + count))
    sums = sum_rows(products, axis=(len(shape) - 1,), keepdims=True, dtype=node.dtype)
    sums = build.reshape(sums, shape=sums.shape[:-1])
    if few:
        sums = _spaced(sums, outer)
    windows = permute(sums, axes=(0, 1, outer[0], *inner, *outer[1:]))
    return build.reshape(windows, shape=(batch, groups * results, *points, *kernel))


def _spaced(sums: Node, inner: Sequence[int]) -> Node:
    """Return products whose positions lie whole pages apart with a gap, so that they do not begin in the same lines.

    They are read across positions: from the few lines of the first-level cache that they share, each would be read once
    for each of its elements. `inner`: the axes of a position's products.
    """
    if math.prod(sums.shape[axis] for axis in inner) * sums.dtype.itemsize % APART:
        return sums
    axis, rest = inner[0], math.prod(sums.shape[axis] for axis in inner[1:])
    gap = (*sums.shape[:axis], -(-GAP // rest), *sums.shape[axis + 1 :])
    between = build.expand(build.const(0, sums.dtype), shape=gap)
    return slice_(concatenate(sums, between, axis=axis), bounds=tuple((0, 1, n) for n in sums.shape))


# --- few positions: those next to the ends are added up on their own, so that nothing has to be padded ----------------


class _Segment(NamedTuple):
    """Neighbouring results of an axis that meet the same taps: how many, and (tap, its first element) for each."""

    length: int
    met: tuple[tuple[int, int], ...]


def _segments(extent: int, size: int, results: int, low: int, spread: int, apart: int) -> list[list[_Segment]]:
    """Return for each remainder of the results modulo `spread` the segments of an axis."""
    found: list[list[_Segment]] = []
    for first in range(spread):
        segments: list[_Segment] = []
        for p in range(first, results, spread):
            at = [((p + apart * k - low) // spread, k) for k in range(size) if (p + apart * k - low) % spread == 0]
            met = tuple((size - 1 - k, i) for i, k in at if 0 <= i < extent)
            last = segments[-1] if segments else _Segment(0, ())
            if segments and met == tuple((k, i + last.length) for k, i in last.met):
                segments[-1] = last._replace(length=last.length + 1)
            else:
                segments.append(_Segment(1, met))
        found.append(segments)
    return found


def _in_segments(windows: Node, node: Node, walks: Sequence[Walk]) -> Node:
    """Return the results as sums of windows' elements, segment by segment."""
    along = [_segments(*walk) for walk in walks]
    pieces = []
    for remainders in product(*(range(len(one)) for one in along)):
        rows = [one[r] for one, r in zip(along, remainders, strict=True)]
        if not all(rows):
            shape = (*node.shape[:2], *(sum(one.length for one in segments) for segments in rows))
            pieces.append(build.expand(build.const(0, node.dtype), shape=shape))
            continue
        pieces.append(_joined(windows, rows, ()))
    steps = tuple((2 + axis, len(one)) for axis, one in enumerate(along))
    return interleave(*pieces, steps=tuple(one for one in steps if one[1] > 1), shape=node.shape)


def _joined(windows: Node, rows: Sequence[Sequence[_Segment]], chosen: tuple[_Segment, ...]) -> Node:
    """Return the results of one remainder where segments of the first axes are chosen."""
    if len(chosen) < len(rows):
        parts = [_joined(windows, rows, (*chosen, one)) for one in rows[len(chosen)]]
        return concatenate(*parts, axis=2 + len(chosen)) if len(parts) > 1 else parts[0]
    head = windows.shape[:2]
    shape = (*head, *(one.length for one in chosen))
    total: Node | None = None
    for taps in product(*(one.met for one in chosen)):
        places = [(first, 1, one.length) for (_, first), one in zip(taps, chosen, strict=True)]
        bounds = (*((0, 1, n) for n in head), *places, *((k, 1, 1) for k, _ in taps))
        part = build.reshape(slice_(windows, bounds=bounds), shape=shape)
        total = part if total is None else add(total, part)
    return build.expand(build.const(0, windows.dtype), shape=shape) if total is None else total
