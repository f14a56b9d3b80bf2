"""Activations as modules. The functions of the same meaning are in trueno.nn.functional.

``inplace`` is accepted where PyTorch has it and permits to reuse the input's memory; results are new tensors all the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import trueno as tn
from trueno.nn import functional
from trueno.nn.module import Module


class _Activation(Module):
    """A function of one array; the attributes named in `_settings` are its keyword arguments."""

    _function: ClassVar[Callable[..., tn.Tensor]]
    _settings: ClassVar[tuple[str, ...]] = ()

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return the function of the input."""
        return type(self)._function(input, **{name: getattr(self, name) for name in self._settings})

    def extra_repr(self) -> str:
        """Return the settings."""
        shown = [f"{name}={getattr(self, name)!r}" for name in self._settings]
        return ", ".join(shown + ["inplace=True"] * getattr(self, "inplace", False))


class _Overwriting(_Activation):
    """An activation without settings that PyTorch can compute in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU(_Overwriting):
    """``max(x, 0)``."""

    _function = staticmethod(functional.relu)


class SELU(_Overwriting):
    """Scaled exponential linear unit."""

    _function = staticmethod(functional.selu)


class SiLU(_Overwriting):
    """``x * sigmoid(x)``."""

    _function = staticmethod(functional.silu)


class Mish(_Overwriting):
    """``x * tanh(softplus(x))``."""

    _function = staticmethod(functional.mish)


class Hardswish(_Overwriting):
    """``x * clip(x + 3, 0, 6) / 6``."""

    _function = staticmethod(functional.hardswish)


class Hardsigmoid(_Overwriting):
    """``clip(x + 3, 0, 6) / 6``."""

    _function = staticmethod(functional.hardsigmoid)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``."""

    _function = staticmethod(functional.sigmoid)


class Tanh(_Activation):
    """Hyperbolic tangent."""

    _function = staticmethod(functional.tanh)


class LeakyReLU(_Overwriting):
    """x where it is positive, else `negative_slope` times x."""

    _function = staticmethod(functional.leaky_relu)
    _settings = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope


class ELU(_Overwriting):
    """x where it is positive, else ``alpha * (exp(x) - 1)``."""

    _function = staticmethod(functional.elu)
    _settings = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class GELU(_Activation):
    """x times the normal distribution function of x; `approximate` is ``"none"`` or ``"tanh"``."""

    _function = staticmethod(functional.gelu)
    _settings = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x`` exceeds `threshold`."""

    _function = staticmethod(functional.softplus)
    _settings = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold


class Hardtanh(_Overwriting):
    """x limited to ``[min_val, max_val]``."""

    _function = staticmethod(functional.hardtanh)
    _settings = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not max_val > min_val:
            raise ValueError(f"Hardtanh: max_val must exceed min_val, got {max_val} and {min_val}")
        self.min_val, self.max_val = min_val, max_val


class Softmax(_Activation):
    """Exponentials along an axis, divided by their sum."""

    _function = staticmethod(functional.softmax)
    _settings = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class LogSoftmax(Softmax):
    """Logarithm of `Softmax`."""

    _function = staticmethod(functional.log_softmax)
