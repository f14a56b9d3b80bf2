"""Convolutions as functions. Each is one kernel, bias included, and so is its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trueno as tn
from trueno.ir.convolution import transposed_weights
from trueno.nn.spatial import batched, check_array, integers, unbatched


def _with_bias(y: Any, bias: Any) -> Any:
    return y if bias is None else y + tn.reshape(bias, (1, bias.shape[0], *(1 for _ in y.shape[2:])))


def _convolution(x: Any, weight: Any, bias: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    single = x.ndim < weight.ndim
    y = tn.convolution(
        batched(x, single), weight, stride=stride, padding=padding, kernel_dilation=dilation, groups=groups
    )
    return unbatched(_with_bias(y, bias), single)


def _transposed(x: Any, weight: Any, bias: Any, *, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    single = x.ndim < weight.ndim
    y = tn.convolution(
        batched(x, single), transposed_weights(weight, groups), padding=padding, input_dilation=stride,
        kernel_dilation=dilation, groups=groups,
    )  # fmt: skip
    return unbatched(_with_bias(y, bias), single)


_KERNELS: dict[str, Callable[..., Any]] = {
    f"{name}{count}d": tn.kernel(record, name=f"{name}{count}d")
    for name, record in (("conv", _convolution), ("conv_transpose", _transposed))
    for count in (1, 2, 3)
}


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(name: str, count: int, input: Any, weight: Any, bias: Any, groups: int, transposed: bool) -> None:
    """Raise an error for operands that do not fit each other."""
    for what, one in (("input", input), ("weight", weight), ("bias", bias)):
        if one is not None or what != "bias":
            check_array(name, what, one)
    layout = (
        "(in_channels, out_channels / groups, *kernel)"
        if transposed
        else "(out_channels, in_channels / groups, *kernel)"
    )
    if weight.ndim != count + 2:
        raise ValueError(f"{name}: weight must have {count + 2} axes, {layout}, got shape {weight.shape}")
    if input.ndim not in (count + 1, count + 2):
        raise ValueError(
            f"{name}: Expected {count + 1}D (unbatched) or {count + 2}D (batched) input, but got shape {input.shape}"
        )
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(f"{name}: groups must be a positive integer, got {groups!r}")
    if weight.shape[0] % groups:
        raise ValueError(
            f"{name}: Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            f"weight of shape {weight.shape}"
        )
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    if input.shape[-count - 1] != wanted:
        raise ValueError(
            f"{name}: Given groups={groups}, weight of shape {weight.shape}, expected input of shape {input.shape} to "
            f"have {wanted} channels, but got {input.shape[-count - 1]} channels instead; weight is {layout}"
        )
    results = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (results,):
        raise ValueError(
            f"{name}: Given weight of shape {weight.shape}, expected bias to be 1-dimensional with {results} elements, "
            f"but got bias of shape {bias.shape}"
        )


def _padding(name: str, padding: Any, kernel: tuple, stride: tuple, dilation: tuple) -> tuple[tuple[int, int], ...]:
    """Return zeros before and after each axis."""
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * len(kernel)
        if padding != "same":
            raise ValueError(f"{name}: Invalid padding string {padding!r}, should be one of 'valid', 'same'")
        if any(one != 1 for one in stride):
            raise ValueError(f"{name}: padding='same' is not supported for strided convolutions, got stride {stride}")
        total = [apart * (size - 1) for size, apart in zip(kernel, dilation, strict=True)]
        return tuple((one // 2, one - one // 2) for one in total)
    return tuple((one, one) for one in integers(name, "padding", padding, len(kernel), 0))


def _conv(count: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    name = f"conv{count}d"
    _check(name, count, input, weight, bias, groups, False)
    stride, dilation = integers(name, "stride", stride, count, 1), integers(name, "dilation", dilation, count, 1)
    kernel = weight.shape[2:]
    pairs = _padding(name, padding, kernel, stride, dilation)
    padded = tuple(n + low + high for n, (low, high) in zip(input.shape[-count:], pairs, strict=True))
    reach = tuple(apart * (size - 1) + 1 for size, apart in zip(kernel, dilation, strict=True))
    if any(size > n for size, n in zip(reach, padded, strict=True)):
        raise ValueError(
            f"{name}: Calculated padded input size per channel: {padded}. Kernel size: {reach}. Kernel size can't be "
            f"greater than actual input size; input of shape {input.shape}, weight of shape {weight.shape}"
        )
    return _KERNELS[name](input, weight, bias, stride=stride, padding=pairs, dilation=dilation, groups=groups)


def _conv_transpose(
    count: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int,
    dilation: Any,
) -> Any:  # fmt: skip
    name = f"conv_transpose{count}d"
    _check(name, count, input, weight, bias, groups, True)
    stride, dilation = integers(name, "stride", stride, count, 1), integers(name, "dilation", dilation, count, 1)
    extra = integers(name, "output_padding", output_padding, count, 0)
    cut = integers(name, "padding", padding, count, 0)
    if any(one >= max(step, apart) for one, step, apart in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"{name}: output padding must be smaller than either stride or dilation, but got output_padding {extra}, "
            f"stride {stride} and dilation {dilation}"
        )
    reach = tuple(apart * (size - 1) for size, apart in zip(weight.shape[2:], dilation, strict=True))
    pairs = tuple((far - low, far - low + more) for far, low, more in zip(reach, cut, extra, strict=True))
    sizes = tuple(
        step * (n - 1) + 1 + low + high - far
        for n, step, (low, high), far in zip(input.shape[-count:], stride, pairs, reach, strict=True)
    )
    if any(one < 1 for one in sizes):
        raise ValueError(
            f"{name}: Given input size per channel: {tuple(input.shape[-count:])}. Calculated output size per channel: "
            f"{sizes}. Output size is too small; padding is {cut}"
        )
    return _KERNELS[name](input, weight, bias, stride=stride, padding=pairs, dilation=dilation, groups=groups)


# --- the functions ----------------------------------------------------------------------------------------------------


def conv1d(
    input: tn.Tensor,
    weight: tn.Tensor,
    bias: tn.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Return the cross-correlation of sequences with filters; see `conv2d`, with one spatial axis in place of two."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: tn.Tensor,
    weight: tn.Tensor,
    bias: tn.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Return the cross-correlation of images with filters.

    Parameters
    ----------
    input : Tensor
        Shape ``(batch, in_channels, height, width)``, or without the batch.
    weight : Tensor
        Shape ``(out_channels, in_channels / groups, kernel height, kernel width)``.
    bias : Tensor, optional
        Shape ``(out_channels,)``.
    stride : int or tuple of int
        Distance of neighbouring results.
    padding : int, tuple of int, ``"valid"`` or ``"same"``
        Zeros put on both sides; ``"same"`` gives results of the input's size.
    dilation : int or tuple of int
        Distance of neighbouring elements of the kernel.
    groups : int
        Input and output channels fall into that many groups, which do not mix.

    Returns
    -------
    Tensor
        Shape ``(batch, out_channels, *spatial)``, each extent
        ``(n + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    Raises
    ------
    ValueError
        The shapes do not match, or a parameter is out of range.
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: tn.Tensor,
    weight: tn.Tensor,
    bias: tn.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Return the cross-correlation of volumes with filters; see `conv2d`, with three spatial axes in place of two."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: tn.Tensor, weight: tn.Tensor, bias: tn.Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> tn.Tensor:  # fmt: skip
    """Return the transpose of `conv1d` applied to the input; see `conv_transpose2d`."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: tn.Tensor, weight: tn.Tensor, bias: tn.Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> tn.Tensor:  # fmt: skip
    """Return the transpose of `conv2d` applied to the input: its gradient, as a layer of its own.

    Parameters
    ----------
    input : Tensor
        Shape ``(batch, in_channels, height, width)``, or without the batch.
    weight : Tensor
        Shape ``(in_channels, out_channels / groups, kernel height, kernel width)``.
    bias : Tensor, optional
        Shape ``(out_channels,)``.
    stride, padding, dilation : int or tuple of int
        Those of the convolution that this is the transpose of.
    output_padding : int or tuple of int
        Added to the result's extents on one side; it tells apart sizes that a strided convolution maps to one.
    groups : int

    Returns
    -------
    Tensor
        Shape ``(batch, out_channels, *spatial)``, each extent
        ``(n - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1``.

    Raises
    ------
    ValueError
        The shapes do not match, or a parameter is out of range.
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: tn.Tensor, weight: tn.Tensor, bias: tn.Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> tn.Tensor:  # fmt: skip
    """Return the transpose of `conv3d` applied to the input; see `conv_transpose2d`."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
