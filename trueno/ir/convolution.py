"""Convolution in its general form: strides, padding, dilation of input and kernel, and groups.

Dilating the input as well as the kernel makes the form closed under differentiation: the gradients with respect to
input and weights are convolutions again (as in XLA, https://openxla.org/xla/operation_semantics#convwithgeneralpadding).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trueno import dtypes as dt
from trueno.ir import promotion
from trueno.ir.build import cast, reshape
from trueno.ir.node import Node, Shape, make
from trueno.ir.op import Op
from trueno.ir.views import flip, permute
from trueno.ir.windows import positions

Ints = tuple[int, ...]


class Geometry(NamedTuple):
    """How a kernel moves over an input; one number, or pair of numbers, for each spatial axis.

    Attributes
    ----------
    stride : tuple of int
        Distance of neighbouring results, in elements of the padded input.
    padding : tuple of (int, int)
        Zeros before and after the dilated input; negative: elements cut off.
    input_dilation : tuple of int
        Distance of neighbouring input elements after zeros have been put between them.
    kernel_dilation : tuple of int
        Distance of neighbouring kernel elements.
    groups : int
        Channels and results fall into that many groups, which do not mix.
    """

    stride: Ints
    padding: tuple[tuple[int, int], ...]
    input_dilation: Ints
    kernel_dilation: Ints
    groups: int


def dilated(extent: int, dilation: int) -> int:
    """Return how far elements reach that are `dilation` apart."""
    return dilation * (extent - 1) + 1 if extent else 0


def result_extents(spatial: Shape, kernel: Shape, geometry: Geometry) -> Shape:
    """Return the spatial extents of a convolution's result."""
    return tuple(
        positions(max(dilated(n, spread) + low + high, 0), size, step, apart)
        for n, size, step, (low, high), spread, apart in zip(spatial, kernel, *geometry[:4], strict=True)
    )


def _each(name: str, value: Any, count: int) -> Ints:
    """Return a positive integer for each spatial axis, from one for all or a sequence of them."""
    numbers = (value,) * count if isinstance(value, int) else tuple(int(one) for one in value)
    if len(numbers) != count or min(numbers, default=1) < 1:
        raise ValueError(f"convolution: {name} must be positive, one for each of the {count} spatial axes, got {value}")
    return numbers


def _check(x: Node, w: Node, groups: int) -> None:
    if x.ndim != w.ndim or x.ndim < 3:
        raise ValueError(
            f"convolution: input of shape {x.shape} and weights of shape {w.shape}; they are (batch, channels, "
            "*spatial) and (results, channels of a group, *kernel), with the same number of spatial axes, at least one"
        )
    if groups < 1 or w.shape[0] % groups:
        raise ValueError(f"convolution: {w.shape[0]} results (weights of shape {w.shape}) in {groups} groups")
    if x.shape[1] != groups * w.shape[1]:
        raise ValueError(
            f"convolution: input of shape {x.shape} has {x.shape[1]} channels; weights of shape {w.shape} in {groups} "
            f"groups take {groups * w.shape[1]}"
        )
    if 0 in w.shape[2:]:
        raise ValueError(f"convolution: the kernel of shape {w.shape[2:]} has no elements")


def _record_convolution(
    op: Op, x: Node, w: Node, *, stride: Any = 1, padding: Any = 0, input_dilation: Any = 1, kernel_dilation: Any = 1,
    groups: int = 1,
) -> Node:  # fmt: skip
    groups = int(groups)
    _check(x, w, groups)
    count = x.ndim - 2
    pairs = (padding,) * count if isinstance(padding, int) else tuple(padding)
    if len(pairs) != count:
        raise ValueError(f"convolution: padding {padding} must have one entry for each of the {count} spatial axes")
    geometry = Geometry(
        _each("stride", stride, count),
        tuple((one, one) if isinstance(one, int) else (int(one[0]), int(one[1])) for one in pairs),
        _each("input_dilation", input_dilation, count),
        _each("kernel_dilation", kernel_dilation, count),
        groups,
    )
    dtype = promotion.common((x.dtype, w.dtype))
    if dtype == dt.bool_:
        raise TypeError("convolution is not defined for bool; it takes numbers")
    shape = (x.shape[0], w.shape[0], *result_extents(x.shape[2:], w.shape[2:], geometry))
    # A plain tuple: the text form of kernels reads it back.
    result = make(op, (cast(x, dtype=dtype), cast(w, dtype=dtype)), dt.accumulator(dtype), shape, tuple(geometry))
    return cast(result, dtype=dtype)


def transposed_weights(w: Node, groups: int) -> Node:
    """Return weights with their channels and results exchanged within each group, and the kernel reversed.

    From shape ``(groups * a, b, *kernel)`` to ``(groups * b, a, *kernel)``.
    """
    wide, narrow, *kernel = w.shape
    w = flip(w, tuple(range(2, w.ndim)))
    if groups == 1:
        return permute(w, axes=(1, 0, *range(2, w.ndim)))
    w = reshape(w, shape=(groups, wide // groups, narrow, *kernel))
    w = permute(w, axes=(0, 2, 1, *range(3, w.ndim)))
    return reshape(w, shape=(groups * narrow, wide // groups, *kernel))


def _input_gradient(g: Node, x: Node, w: Node, geometry: Geometry) -> Node:
    """Return the convolution of g, its elements `stride` apart, with the transposed weights."""
    padding = []
    for n, size, results, step, (low, _), spread, apart in zip(
        x.shape[2:], w.shape[2:], g.shape[2:], *geometry[:4], strict=True
    ):
        reach = apart * (size - 1)
        before = reach - low
        padding.append((before, spread * (n - 1) + reach + 1 - dilated(results, step) - before))
    return convolution(
        g, transposed_weights(w, geometry.groups), stride=geometry.input_dilation, padding=tuple(padding),
        input_dilation=geometry.stride, kernel_dilation=geometry.kernel_dilation, groups=geometry.groups,
    )  # fmt: skip


def _weight_gradient(g: Node, x: Node, w: Node, geometry: Geometry) -> Node:
    """Return the convolution of x with g as its kernel, over channels in place of images."""
    groups, batch, spatial = geometry.groups, x.shape[0], tuple(range(2, x.ndim))
    padding = []
    for n, size, results, step, (low, _), spread, apart in zip(
        x.shape[2:], w.shape[2:], g.shape[2:], *geometry[:4], strict=True
    ):
        padding.append((low, apart * (size - 1) + dilated(results, step) - dilated(n, spread) - low))
    if groups == 1:
        images = permute(x, axes=(1, 0, *spatial))
    else:
        # Channels of a group are the images; (group, image) are the channels, in groups.
        images = reshape(x, shape=(batch, groups, x.shape[1] // groups, *x.shape[2:]))
        images = permute(images, axes=(2, 1, 0, *(k + 1 for k in spatial)))
        images = reshape(images, shape=(x.shape[1] // groups, groups * batch, *x.shape[2:]))
    made = convolution(
        images, permute(g, axes=(1, 0, *spatial)), stride=geometry.kernel_dilation, padding=tuple(padding),
        input_dilation=geometry.input_dilation, kernel_dilation=geometry.stride, groups=groups,
    )  # fmt: skip
    return permute(made, axes=(1, 0, *spatial))


def _gradient(g: Node, y: Node, x: Node, w: Node) -> list[Node]:
    geometry = Geometry(*y.arg)
    if 0 in (*x.shape, *y.shape):
        return [_zeros(x), _zeros(w)]
    return [
        _input_gradient(cast(g, dtype=w.dtype), x, w, geometry),
        _weight_gradient(cast(g, dtype=x.dtype), x, w, geometry),
    ]


def _zeros(like: Node) -> Node:
    from trueno.ir.grad import zeros_like

    return zeros_like(like)


def placed_bounds(extent: int, dilation: int, low: int, length: int) -> tuple[int, int, int, int]:
    """Return which elements of an axis lie within a dilated and padded one, and where.

    Parameters
    ----------
    extent, dilation : int
        Elements of the axis, and how far apart they are put.
    low : int
        Position of the first; may be negative.
    length : int
        Extent of the padded axis.

    Returns
    -------
    tuple of int
        First element that is inside, number of elements inside, position of the first of them, `dilation`.
    """
    first = max(-(low // dilation), 0)
    inside = max(min((length - 1 - low) // dilation, extent - 1) - first + 1, 0)
    return (first, inside, low + dilation * first, dilation) if inside else (0, 0, 0, 1)


def _ref_convolution(
    x: np.ndarray, w: np.ndarray, *, stride: Ints, padding: Any, input_dilation: Ints, kernel_dilation: Ints,
    groups: int,
) -> np.ndarray:  # fmt: skip
    wide = dt.accumulator(x.dtype)
    batch, channels, *spatial = x.shape
    results, narrow, *kernel = w.shape
    geometry = Geometry(stride, padding, input_dilation, kernel_dilation, groups)
    shape = result_extents(tuple(spatial), tuple(kernel), geometry)
    lengths = [dilated(n, b) + low + high for n, b, (low, high) in zip(spatial, input_dilation, padding, strict=True)]
    if 0 in shape:
        return np.zeros((batch, results, *shape), wide)
    padded = np.zeros((batch, channels, *lengths), wide)
    source, target = [slice(None)] * 2, [slice(None)] * 2
    for n, spread, (low, _), length in zip(spatial, input_dilation, padding, lengths, strict=True):
        first, inside, at, apart = placed_bounds(n, spread, low, length)
        source.append(slice(first, first + inside))
        target.append(slice(at, at + dilated(inside, apart), apart))
    padded[tuple(target)] = x[tuple(source)]
    reach = tuple(dilated(size, apart) for size, apart in zip(kernel, kernel_dilation, strict=True))
    count = len(kernel)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, 2 + count)))
    every = [slice(None)] * (2 + count) + [slice(None, None, apart) for apart in kernel_dilation]
    every[2 : 2 + count] = [slice(None, None, step) for step in stride]
    views = views[tuple(every)]
    views = views.reshape(batch, groups, narrow, *shape, *kernel)
    weights = w.astype(wide).reshape(groups, results // groups, narrow, *kernel)
    n, g, o, c = range(4)
    points, taps = list(range(4, 4 + count)), list(range(4 + count, 4 + 2 * count))
    made = np.einsum(views, [n, g, c, *points, *taps], weights, [g, o, c, *taps], [n, g, o, *points])
    return made.reshape(batch, results, *shape)


convolution: Op = Op(
    "convolution", "contraction", 2, ref=_ref_convolution, result=promotion.numeric, record=_record_convolution,
    domain=((-1, 1), (-1, 1)), grad=_gradient,
    doc="Weights (results, channels of a group, *kernel) moved over an input (batch, channels, *spatial) and summed.",
)  # fmt: skip
