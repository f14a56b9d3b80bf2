"""Convolutions as modules. The functions of the same meaning are in trueno.nn.functional."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import trueno as tn
from trueno.nn import functional, init
from trueno.nn.module import Module
from trueno.nn.parameter import Parameter
from trueno.nn.spatial import integers

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What all convolutions have: weight, bias, and the numbers of each spatial axis.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or tuple of int
    stride, dilation : int or tuple of int, default 1
    padding : int, tuple of int, or ``"valid"`` or ``"same"``, default 0
    groups : int, default 1
        Input and output channels fall into that many groups, which do not mix.
    bias : bool, default True
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding holds.
    device : str, optional
    dtype : dtype, optional
        float32 if not given.

    Attributes
    ----------
    weight : Parameter
        Uniform in ``(-k, k)`` with ``k = sqrt(groups / (in_channels * kernel elements))``.
    bias : Parameter or None
        Shape ``(out_channels,)``, from the same interval.

    Raises
    ------
    ValueError
        Channels do not fall into the groups, or a parameter is out of range.
    """

    _count: ClassVar[int]
    _transposed: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None

    def _prepare(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        name, count = type(self).__name__, self._count
        if groups <= 0:
            raise ValueError(f"{name}: groups must be a positive integer, got {groups}")
        if in_channels % groups:
            raise ValueError(f"{name}: in_channels must be divisible by groups, got {in_channels} and {groups}")
        if out_channels % groups:
            raise ValueError(f"{name}: out_channels must be divisible by groups, got {out_channels} and {groups}")
        if padding_mode not in _MODES:
            raise ValueError(f"{name}: padding_mode must be one of {_MODES}, but got padding_mode={padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = integers(name, "kernel_size", kernel_size, count, 1)
        self.stride = integers(name, "stride", stride, count, 1)
        self.dilation = integers(name, "dilation", dilation, count, 1)
        self.output_padding = integers(name, "output_padding", output_padding, count, 0)
        self.padding_mode = padding_mode
        self.padding: str | tuple[int, ...]
        if isinstance(padding, str):
            if padding not in ("valid", "same"):
                raise ValueError(f"{name}: Invalid padding string {padding!r}, should be one of 'valid', 'same'")
            if padding == "same" and any(one != 1 for one in self.stride):
                raise ValueError(f"{name}: padding='same' is not supported for strided convolutions")
            self.padding = padding
        else:
            self.padding = integers(name, "padding", padding, count, 0)
        ends = (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        place = {"device": device, "dtype": tn.float32 if dtype is None else dtype}
        self.weight = Parameter(tn.empty((ends[0], ends[1] // groups, *self.kernel_size), **place))
        self.register_parameter("bias", Parameter(tn.empty((out_channels,), **place)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan = self.weight.shape[1] * math.prod(self.kernel_size)
            bound = 1 / math.sqrt(fan) if fan else 0.0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Return the constructor's arguments that are not the defaults."""
        ones, zeros = (1,) * self._count, (0,) * self._count
        shown = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != zeros:
            shown.append(f"padding={self.padding}")
        if self.dilation != ones:
            shown.append(f"dilation={self.dilation}")
        if self.output_padding != zeros:
            shown.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            shown.append(f"groups={self.groups}")
        if self.bias is None:
            shown.append("bias=False")
        if self.padding_mode != "zeros":
            shown.append(f"padding_mode={self.padding_mode}")
        return ", ".join(shown)


class _Forward(_Convolution):
    """A convolution with PyTorch's order of arguments."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._prepare(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device,
            dtype,
        )  # fmt: skip

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return shape ``(batch, out_channels, *spatial)`` from shape ``(batch, in_channels, *spatial)``."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input = self._extended(input)
            padding = (0,) * self._count
        call = getattr(functional, f"conv{self._count}d")
        return call(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _extended(self, input: tn.Tensor) -> tn.Tensor:
        """Return the input continued beyond its ends as the padding mode says."""
        for k, (size, apart) in enumerate(zip(self.kernel_size, self.dilation, strict=True)):
            if isinstance(self.padding, str):
                total = apart * (size - 1) if self.padding == "same" else 0
                low, high = total // 2, total - total // 2
            else:
                low = high = self.padding[k]
            input = _continued(type(self).__name__, input, input.ndim - self._count + k, low, high, self.padding_mode)
        return input


def _continued(name: str, x: tn.Tensor, axis: int, low: int, high: int, mode: str) -> tn.Tensor:
    """Return x with elements of its own before and after an axis."""
    n = x.shape[axis]
    most = {"reflect": n - 1, "circular": n, "replicate": low + high if n else 0}[mode]
    if max(low, high) > most:
        raise ValueError(f"{name}: padding {(low, high)} of mode {mode!r} exceeds {most}, for input of shape {x.shape}")
    head = (slice(None),) * axis

    def part(start: int, stop: int) -> tn.Tensor:
        return x[(*head, slice(start, stop))]

    pieces = [x]
    if mode == "circular":
        pieces = [part(n - low, n), x, part(0, high)]
    elif mode == "reflect":
        pieces = [tn.flip(part(1, low + 1), axis), x, tn.flip(part(n - 1 - high, n - 1), axis)]
    elif mode == "replicate":
        pieces = [part(0, 1)] * low + [x] + [part(n - 1, n)] * high
    return tn.concatenate([piece for piece in pieces if piece.shape[axis]], axis=axis)


class _Transposed(_Convolution):
    """A transposed convolution with PyTorch's order of arguments."""

    _transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}, got {padding_mode!r}')
        super().__init__()
        integers(type(self).__name__, "padding", padding, self._count, 0)
        self._prepare(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: tn.Tensor, output_size: Sequence[int] | None = None) -> tn.Tensor:
        """Return shape ``(batch, out_channels, *spatial)``; `output_size` may name the spatial extents.

        Raises
        ------
        ValueError
            No output padding below the stride gives these extents.
        """
        extra = self.output_padding if output_size is None else self._extra(input, tuple(output_size))
        call = getattr(functional, f"conv_transpose{self._count}d")
        return call(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, input: tn.Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        assert not isinstance(self.padding, str)
        count = self._count
        if len(wanted) not in (count, input.ndim):
            raise ValueError(
                f"{type(self).__name__}: output_size must have {count} or {input.ndim} elements, got {wanted}"
            )
        wanted = wanted[-count:]
        least = tuple(
            (n - 1) * step - 2 * low + apart * (size - 1) + 1
            for n, step, low, apart, size in zip(
                input.shape[-count:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        )
        extra = tuple(one - low for one, low in zip(wanted, least, strict=True))
        if any(not 0 <= one < step for one, step in zip(extra, self.stride, strict=True)):
            most = tuple(low + step - 1 for low, step in zip(least, self.stride, strict=True))
            raise ValueError(
                f"{type(self).__name__}: requested an output size of {wanted}, but valid sizes range from {least} to "
                f"{most} (for an input of {tuple(input.shape[-count:])})"
            )
        return extra


class Conv1d(_Forward):
    """Cross-correlation of sequences with filters; see `functional.conv1d`."""

    _count = 1


class Conv2d(_Forward):
    """Cross-correlation of images with filters; see `functional.conv2d`."""

    _count = 2


class Conv3d(_Forward):
    """Cross-correlation of volumes with filters; see `functional.conv3d`."""

    _count = 3


class ConvTranspose1d(_Transposed):
    """Transpose of `Conv1d`; see `functional.conv_transpose1d`."""

    _count = 1


class ConvTranspose2d(_Transposed):
    """Transpose of `Conv2d`; see `functional.conv_transpose2d`."""

    _count = 2


class ConvTranspose3d(_Transposed):
    """Transpose of `Conv3d`; see `functional.conv_transpose3d`."""

    _count = 3
