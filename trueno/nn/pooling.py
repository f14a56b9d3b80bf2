"""Pooling as functions: maxima and means of windows. Each is one kernel, and so is its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trueno as tn
from trueno import dtypes as dt
from trueno.nn import pooling_records as records
from trueno.nn.pooling_records import Pairs
from trueno.nn.spatial import check_array, integers


def _kernels(record: Callable[..., Any], name: str) -> dict[int, Callable[..., Any]]:
    return {count: tn.kernel(record, name=f"{name}{count}d") for count in (1, 2, 3)}


_MAX, _AVG = _kernels(records.max_pool, "max_pool"), _kernels(records.avg_pool, "avg_pool")
_ADAPTIVE_AVG = _kernels(records.adaptive_avg, "adaptive_avg_pool")
_ADAPTIVE_MAX = _kernels(records.adaptive_max, "adaptive_max_pool")


# --- checks -----------------------------------------------------------------------------------------------------------


def _check_input(name: str, input: Any, count: int) -> None:
    check_array(name, "input", input)
    if input.ndim not in (count + 1, count + 2) or 0 in input.shape[-count - 1 :]:
        raise ValueError(
            f"{name}: Expected {count + 1}D or {count + 2}D (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got shape {input.shape}"
        )


def _check_float(name: str, input: Any) -> None:
    if not dt.is_floating(input.dtype):
        raise TypeError(f"{name}: takes floats, got {input.dtype}; convert the input with .float()")


def _places(
    name: str, input: Any, count: int, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, ceil: bool
) -> Pairs:
    """Return how many elements pad each axis so that the windows fit."""
    pairs, sizes = [], []
    for n, k, step, low, apart in zip(input.shape[-count:], kernel, stride, padding, dilation, strict=True):
        reach = apart * (k - 1) + 1
        if low > reach // 2:
            raise ValueError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={low}, kernel_size={k} and "
                f"dilation={apart}"
            )
        room = n + 2 * low - reach
        out = (-(-room // step) if ceil else room // step) + 1
        if ceil and (out - 1) * step >= n + low:
            out -= 1  # the last window has to begin inside the input or its left padding
        sizes.append(out)
        pairs.append((low, max((out - 1) * step + reach - n - low, 0)))
    if min(sizes) < 1:
        raise ValueError(
            f"{name}: Given input of shape {input.shape} and kernel_size {kernel}. Calculated output size: "
            f"{tuple(sizes)}. Output size is too small"
        )
    return tuple(pairs)


def _pool(
    name: str, input: Any, count: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> dict[str, tuple]:
    """Return the checked parameters of a pooling."""
    _check_input(name, input, count)
    kernel = integers(name, "kernel_size", kernel_size, count, 1)
    steps = kernel if stride is None or stride == () else integers(name, "stride", stride, count, 1)
    low = integers(name, "padding", padding, count, 0)
    apart = integers(name, "dilation", dilation, count, 1)
    pairs = _places(name, input, count, kernel, steps, low, apart, bool(ceil_mode))
    return {"kernel": kernel, "stride": steps, "padding": pairs, "dilation": apart}


def _sizes(name: str, input: Any, output_size: Any, count: int) -> tuple[int, ...]:
    _check_input(name, input, count)
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * count
    if len(given) != count:
        raise ValueError(f"{name}: output_size must be one value or {count}, but got {output_size}")
    wanted = tuple(n if one is None else one for one, n in zip(given, input.shape[-count:], strict=True))
    return integers(name, "output_size", wanted, count, 1)


# --- the functions ----------------------------------------------------------------------------------------------------


def _is_taped(input: Any) -> bool:
    """Whether the places of maxima are kept for backward; arrays inside a kernel are differentiated with it."""
    return tn.is_grad_enabled() and getattr(input, "requires_grad", False)


def _max(
    count: int, input: tn.Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    given = _pool(f"max_pool{count}d", input, count, kernel_size, stride, padding, dilation, ceil_mode)
    if not return_indices and _is_taped(input):
        return _MAX[count](input, **given, indices=False, places=True)[0]
    return _MAX[count](input, **given, indices=bool(return_indices))


def max_pool1d(
    input: tn.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the largest element of each window of sequences; see `max_pool2d`, with one spatial axis."""
    return _max(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: tn.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the largest element of each window of images; NaN where there is one.

    The gradient goes to the first of equal elements of a window; to none where it holds nothing but -inf and padding.

    Parameters
    ----------
    input : Tensor
        Shape ``(batch, channels, height, width)``, or without the batch.
    kernel_size : int or tuple of int
        Extents of the windows.
    stride : int or tuple of int, optional
        Distance of neighbouring windows; their extents if not given.
    padding : int or tuple of int
        Elements outside, on both sides, that windows reach; they are less than any number. At most half a window.
    dilation : int or tuple of int
        Distance of neighbouring elements of a window.
    ceil_mode : bool
        Whether a last window that the input fills in part counts.
    return_indices : bool
        Whether to return where the largest elements are, too.

    Returns
    -------
    Tensor or tuple of Tensor
        Shape ``(batch, channels, *spatial)``, and the same of int64: positions in the flattened spatial axes.

    Raises
    ------
    ValueError
        No window fits, or a parameter is out of range.
    """
    return _max(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: tn.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Return the largest element of each window of volumes; see `max_pool2d`, with three spatial axes."""
    return _max(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg(
    count: int, input: tn.Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None,
) -> Any:  # fmt: skip
    name = f"avg_pool{count}d"
    given = _pool(name, input, count, kernel_size, stride, padding, 1, ceil_mode)
    _check_float(name, input)
    if divisor_override == 0:
        raise ValueError(f"{name}: divisor must be not zero")
    del given["dilation"]
    return _AVG[count](input, **given, whole=bool(count_include_pad), divisor=divisor_override)


def avg_pool1d(
    input: tn.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tn.Tensor:  # fmt: skip
    """Return the mean of each window of sequences; see `avg_pool2d`, with one spatial axis."""
    return _avg(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: tn.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> tn.Tensor:  # fmt: skip
    """Return the mean of each window of images.

    Parameters
    ----------
    input : Tensor
        Shape ``(batch, channels, height, width)``, or without the batch; of a float dtype.
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; padding holds zeros.
    count_include_pad : bool
        Whether the padding counts among a window's elements.
    divisor_override : int, optional
        Divides the sums instead of the number of elements.

    Returns
    -------
    Tensor
        Shape ``(batch, channels, *spatial)``.

    Raises
    ------
    ValueError
        No window fits, or a parameter is out of range.
    TypeError
        The input holds no floats.
    """
    return _avg(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: tn.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> tn.Tensor:  # fmt: skip
    """Return the mean of each window of volumes; see `avg_pool2d`, with three spatial axes."""
    return _avg(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive_mean(count: int, input: tn.Tensor, output_size: Any) -> Any:
    name = f"adaptive_avg_pool{count}d"
    sizes = _sizes(name, input, output_size, count)
    _check_float(name, input)
    return _ADAPTIVE_AVG[count](input, size=sizes)


def adaptive_avg_pool1d(input: tn.Tensor, output_size: Any) -> tn.Tensor:
    """Return the means of `output_size` windows of sequences; see `adaptive_avg_pool2d`, with one spatial axis."""
    return _adaptive_mean(1, input, output_size)


def adaptive_avg_pool2d(input: tn.Tensor, output_size: Any) -> tn.Tensor:
    """Return the means of windows of images, as many as asked for.

    Window i of an axis of n elements is ``[i n // out, ceil((i + 1) n / out))``; 1 is the mean of the whole axis.

    Parameters
    ----------
    input : Tensor
        Shape ``(batch, channels, height, width)``, or without the batch; of a float dtype.
    output_size : int or tuple of int or None
        Windows of each axis; None: as many as elements.

    Returns
    -------
    Tensor
        Shape ``(batch, channels, *output_size)``.

    Raises
    ------
    ValueError
        The sizes are not positive, or not one for each axis.
    TypeError
        The input holds no floats.
    """
    return _adaptive_mean(2, input, output_size)


def adaptive_avg_pool3d(input: tn.Tensor, output_size: Any) -> tn.Tensor:
    """Return the means of windows of volumes; see `adaptive_avg_pool2d`, with three spatial axes."""
    return _adaptive_mean(3, input, output_size)


def _adaptive_largest(count: int, input: tn.Tensor, output_size: Any, return_indices: bool) -> Any:
    sizes = _sizes(f"adaptive_max_pool{count}d", input, output_size, count)
    extents = input.shape[-count:]
    noted = records.small(extents) or records.sliding(extents, sizes) is not None
    if noted and not return_indices and _is_taped(input):
        return _ADAPTIVE_MAX[count](input, size=sizes, indices=False, places=True)[0]
    return _ADAPTIVE_MAX[count](input, size=sizes, indices=bool(return_indices))


def adaptive_max_pool1d(input: tn.Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of windows of sequences; see `adaptive_max_pool2d`, with one spatial axis."""
    return _adaptive_largest(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: tn.Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of windows of images, as many as asked for; windows as in `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : Tensor
        Shape ``(batch, channels, height, width)``, or without the batch.
    output_size : int or tuple of int or None
        Windows of each axis; None: as many as elements.
    return_indices : bool
        Whether to return where the largest elements are, too, as in `max_pool2d`.

    Returns
    -------
    Tensor or tuple of Tensor
        Shape ``(batch, channels, *output_size)``, and the same of int64.

    Raises
    ------
    ValueError
        The sizes are not positive, or not one for each axis.
    """
    return _adaptive_largest(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: tn.Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of windows of volumes; see `adaptive_max_pool2d`, with three spatial axes."""
    return _adaptive_largest(3, input, output_size, return_indices)
