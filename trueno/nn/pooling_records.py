"""What pooling records: reductions over sliding windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import trueno as tn
from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.pooling import first_index, first_max, largest, picked
from trueno.ir.windows import interleave

Pairs = tuple[tuple[int, int], ...]


def small(extents: tuple[int, ...]) -> bool:
    """Whether a place in an image is one byte, and rows of it are too short for vectors of windows' elements."""
    return math.prod(extents) <= 256 and extents[-1] <= 16


def _spatial(x: Any, count: int) -> tuple[int, ...]:
    return tuple(range(x.ndim - count, x.ndim))


def _padded(x: Any, padding: Pairs, value: Any) -> Any:
    if not any(one for pair in padding for one in pair):
        return x
    return tn.pad(x, ((0, 0),) * (x.ndim - len(padding)) + padding, value)


def max_pool(
    x: Any, *, kernel: tuple, stride: tuple, padding: Pairs, dilation: tuple, indices: bool, places: bool = False
) -> Any:
    """Record max pooling over the last axes.

    `indices`: with where each maximum is in the input, too. `places`: with what backward reads, where it is in its
    window, or in the image if that is `small`.
    """
    count = len(kernel)
    axes = _spatial(x, count)
    views = tn.unfold(_padded(x, padding, dt.lowest(x.dtype)), axes, kernel, stride, dilation)
    own = _spatial(views, count)
    if not indices and not places:
        return first_max(views, axis=own)
    wide: Any = tn.cast(views, dtype=dt.accumulator(x.dtype))
    if places:
        top, found = largest(wide, own)
        extents = x.shape[axes[0] :]
        if not small(extents) or math.prod(views.shape[axes[0] : own[0]]) == 1:
            return tn.cast(tn.squeeze(picked(top, wide, found, axes=own), own), dtype=x.dtype), found
        place = _in_image(tn.squeeze(found, own), axes, extents, kernel, stride, padding, dilation)
        return _picked_from_images(x, tn.squeeze(top, own), place, axes[0])
    top = first_max(wide, axis=own, keepdims=True)
    place = _in_image(
        tn.squeeze(first_index(wide, own), own), axes, x.shape[axes[0] :], kernel, stride, padding, dilation
    )
    return tn.cast(tn.squeeze(top, own), dtype=x.dtype), tn.cast(place, dtype=dt.int64)


def _picked_from_images(x: Any, top: Any, place: Any, axis: int) -> tuple[Any, Any]:
    """Record maxima as elements at flat places in small images, which are the axes from `axis` on; and the places."""
    rows = (*x.shape[:axis], math.prod(top.shape[axis:]))
    place = tn.reshape(tn.cast(place, dtype=dt.uint8), rows)
    image = tn.reshape(tn.cast(x, dtype=top.dtype), (*x.shape[:axis], math.prod(x.shape[axis:])))
    known = picked(tn.reshape(top, rows), image, place, axes=(axis,))
    return tn.cast(tn.reshape(known, top.shape), dtype=x.dtype), place


def _in_image(
    local: Any, axes: tuple, extents: tuple, kernel: tuple, stride: tuple, padding: Pairs, dilation: tuple
) -> Any:
    """Record the flat index in images of these extents of elements given by their flat index in windows."""
    local = tn.cast(local, dtype=dt.int32)
    place: Any = 0
    for k, axis in enumerate(axes):
        # C order: the element's index along this axis of the window.
        along = local // math.prod(kernel[k + 1 :]) % kernel[k]
        index = build.iota(local.shape, axis, dt.int32) * stride[k] + along * dilation[k] - padding[k][0]
        # Where a window holds nothing but -inf its first element counts, which may be padding: then the first inside.
        place = place * extents[k] + tn.where(index < 0, index % dilation[k], index)
    return place


def _share(length: int, n: int, k: int, step: int, low: int, whole: bool) -> list[int]:
    """Return how many elements each window along an axis counts: those inside, or those of the padding too."""
    starts = [one * step - low for one in range(length)]
    if whole:
        return [min(start + k, n + low) - start for start in starts]
    return [min(start + k, n) - max(start, 0) for start in starts]


def avg_pool(x: Any, *, kernel: tuple, stride: tuple, padding: Pairs, whole: bool, divisor: int | None) -> Any:
    """Record average pooling; `whole`: padding counts, `divisor`: what sums are divided by instead of the count."""
    count = len(kernel)
    views = tn.unfold(_padded(x, padding, 0), _spatial(x, count), kernel, stride)
    wide = tn.cast(views, dtype=dt.accumulator(x.dtype))
    total = tn.sum(wide, axis=_spatial(wide, count))
    if divisor is not None:
        return tn.cast(total / divisor, dtype=x.dtype)
    for axis, k, step, (low, _) in zip(_spatial(x, count), kernel, stride, padding, strict=True):
        n, length = x.shape[axis], total.shape[axis]
        shares = _share(length, n, k, step, low, whole)
        if len(set(shares)) == 1:
            total = total / shares[0]
        else:
            start = build.iota(total.shape, axis, dt.int32) * step - low
            end = tn.minimum(start + k, n + low if whole else n)
            total = total / tn.cast(end - (start if whole else tn.maximum(start, 0)), dtype=total.dtype)
    return tn.cast(total, dtype=x.dtype)


def _parts(n: int, out: int) -> list[tuple[int, int, int, int]]:
    """Return the windows of an adaptive pooling as (first element, size, step, number) of sliding windows.

    Window i is ``[i n // out, ceil((i + 1) n / out))``. Every ``out / gcd(n, out)`` windows the pattern comes again.
    """
    number = math.gcd(n, out)
    period, step = out // number, n // number
    starts = [(k * n // out, -(-(k + 1) * n // out)) for k in range(period)]
    return [(start, end - start, step, number) for start, end in starts]


def sliding(extents: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return extents and steps of an adaptive pooling's windows if they are of one size and one distance, else None.

    Windows that all are the same one element do not slide.
    """
    kernel, stride = [], []
    for n, out in zip(extents, sizes, strict=True):
        starts = [k * n // out for k in range(out)]
        spans = {-(-(k + 1) * n // out) - start for k, start in enumerate(starts)}
        steps = {b - a for a, b in pairwise(starts)} or {n}
        if len(spans) > 1 or len(steps) > 1 or 0 in steps:
            return None
        kernel.append(spans.pop())
        stride.append(steps.pop())
    return tuple(kernel), tuple(stride)


def _adapt(x: Any, axis: int, out: int, reduce: Callable[[Any, int, int], Any]) -> Any:
    """Return an axis reduced to `out` windows by ``reduce(windows, first element, step)``, part by part."""
    pieces = []
    for start, size, step, number in _parts(x.shape[axis], out):
        head = (slice(None),) * axis
        part = x[(*head, slice(start, start + (number - 1) * step + size))]
        pieces.append(reduce(tn.unfold(part, axis, size, step), start, step))
    shape = tuple(out if k == axis else n for k, n in enumerate(x.shape))
    return interleave(*pieces, steps=((axis, len(pieces)),), shape=shape)


def adaptive_avg(x: Any, *, size: tuple) -> Any:
    """Record the averages of as many parts of the last axes as `size` says."""
    wide = tn.cast(x, dtype=dt.accumulator(x.dtype))
    axes = _spatial(x, len(size))
    if all(out == 1 for out in size):
        return tn.mean(x, axis=axes, keepdims=True)
    regular = sliding(x.shape[axes[0] :], size)
    if regular is not None:
        kernel, stride = regular
        views = tn.unfold(wide, axes, kernel, stride)
        return tn.cast(tn.sum(views, axis=_spatial(views, len(size))) / math.prod(kernel), dtype=x.dtype)
    for axis, out in zip(reversed(axes), reversed(size), strict=True):
        wide = _adapt(wide, axis, out, lambda views, start, step: tn.sum(views, axis=-1) / views.shape[-1])
    return tn.cast(wide, dtype=x.dtype)


def adaptive_max(x: Any, *, size: tuple, indices: bool, places: bool = False) -> Any:
    """Record the maxima of as many parts of the last axes as `size` says, and where they are, as `max_pool` does.

    `places` is for windows that are `sliding`, and for images that are `small`.
    """
    axes = _spatial(x, len(size))
    if places and all(out == 1 for out in size):
        # One axis, so that a place is one number that counts along it.
        flat: Any = tn.reshape(x, (*x.shape[: axes[0]], math.prod(x.shape[axes[0] :])))
        flat = tn.cast(flat, dtype=dt.accumulator(x.dtype))
        top, found = largest(flat, (axes[0],))
        whole: Any = tn.reshape(picked(top, flat, found, axes=(axes[0],)), (*x.shape[: axes[0]], *size))
        return tn.cast(whole, dtype=x.dtype), found
    if not indices and all(out == 1 for out in size):
        return first_max(x, axis=axes, keepdims=True)
    regular = sliding(x.shape[axes[0] :], size)
    if regular is not None:
        none, ones = ((0, 0),) * len(size), (1,) * len(size)
        return max_pool(
            x, kernel=regular[0], stride=regular[1], padding=none, dilation=ones, indices=indices, places=places
        )
    wide = tn.cast(x, dtype=dt.accumulator(x.dtype))
    place: Any = None
    stride = 1
    indices = indices or places
    # The first of equal elements in C order is in the first row that holds one, and there the first.
    for axis, out in zip(reversed(axes), reversed(size), strict=True):
        if indices:
            place = _adapted_place(wide, place, axis, out, stride)
            stride *= x.shape[axis]
        wide = _adapt(wide, axis, out, lambda views, start, step: first_max(views, axis=-1))
    if places:
        return _picked_from_images(x, wide, place, axes[0])
    result = tn.cast(wide, dtype=x.dtype)
    return (result, tn.cast(place, dtype=dt.int64)) if indices else result


def _adapted_place(x: Any, place: Any, axis: int, out: int, stride: int) -> Any:
    """Return the flat index of each maximum along one more axis, given those (or None) along the later axes."""
    pieces = []
    for start, size, step, number in _parts(x.shape[axis], out):
        bounds = (*(slice(None),) * axis, slice(start, start + (number - 1) * step + size))
        views = tn.unfold(x[bounds], axis, size, step)
        last = (views.ndim - 1,)
        local = tn.cast(first_index(views, last), dtype=dt.int32)
        index = build.iota(local.shape, axis, dt.int32) * step + local + start
        found = tn.squeeze(index, -1) * stride
        if place is not None:
            hit = tn.eq(build.iota(views.shape, views.ndim - 1, dt.int32), local)
            earlier = tn.unfold(place[bounds], axis, size, step)
            found = found + tn.sum(tn.where(hit, earlier, 0), axis=-1, dtype=dt.int32)
        pieces.append(found)
    shape = tuple(out if k == axis else n for k, n in enumerate(x.shape))
    return interleave(*pieces, steps=((axis, len(pieces)),), shape=shape)
