"""Pooling as modules. The functions of the same meaning, and of their parameters, are in trueno.nn.functional."""

from __future__ import annotations

from typing import Any, ClassVar

import trueno as tn
from trueno.nn import functional
from trueno.nn.module import Module
from trueno.nn.spatial import integers


class _Pool(Module):
    """A pooling of `_count` spatial axes."""

    _count: ClassVar[int]
    _shown: ClassVar[tuple[str, ...]]

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class _MaxPool(_Pool):
    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: tn.Tensor) -> Any:
        """Return the largest elements of windows, and their places where `return_indices` asks for them."""
        call = getattr(functional, f"max_pool{self._count}d")
        return call(
            input, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """Largest elements of windows of sequences; see `functional.max_pool1d`."""

    _count = 1


class MaxPool2d(_MaxPool):
    """Largest elements of windows of images; see `functional.max_pool2d`."""

    _count = 2


class MaxPool3d(_MaxPool):
    """Largest elements of windows of volumes; see `functional.max_pool3d`."""

    _count = 3


class _AvgPool(_Pool):
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return the means of windows."""
        call = getattr(functional, f"avg_pool{self._count}d")
        return call(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AvgPool1d(_AvgPool):
    """Means of windows of sequences; see `functional.avg_pool1d`."""

    _count = 1

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        size = integers("AvgPool1d", "kernel_size", kernel_size, 1, 1)
        step = size if stride is None else integers("AvgPool1d", "stride", stride, 1, 1)
        low = integers("AvgPool1d", "padding", padding, 1, 0)
        super().__init__(size, step, low, ceil_mode, count_include_pad)

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return the means of windows."""
        return functional.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(_AvgPool):
    """Means of windows of images; see `functional.avg_pool2d`."""

    _count = 2


class AvgPool3d(_AvgPool):
    """Means of windows of volumes; see `functional.avg_pool3d`."""

    _count = 3


class _AdaptiveAvgPool(_Pool):
    _shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return the means of as many windows as asked for."""
        call = getattr(functional, f"adaptive_avg_pool{self._count}d")
        return call(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of a number of windows of sequences; see `functional.adaptive_avg_pool1d`."""

    _count = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of a number of windows of images; see `functional.adaptive_avg_pool2d`."""

    _count = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of a number of windows of volumes; see `functional.adaptive_avg_pool3d`."""

    _count = 3


class _AdaptiveMaxPool(_Pool):
    _shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: tn.Tensor) -> Any:
        """Return the largest elements of as many windows as asked for, and their places where asked for them."""
        call = getattr(functional, f"adaptive_max_pool{self._count}d")
        return call(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest elements of a number of windows of sequences; see `functional.adaptive_max_pool1d`."""

    _count = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest elements of a number of windows of images; see `functional.adaptive_max_pool2d`."""

    _count = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Largest elements of a number of windows of volumes; see `functional.adaptive_max_pool3d`."""

    _count = 3
