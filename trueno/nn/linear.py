"""Linear layers and what only passes values on."""

from __future__ import annotations

import math
from typing import Any

import trueno as tn
from trueno.nn import functional, init
from trueno.nn.module import Module
from trueno.nn.parameter import Parameter


class Identity(Module):
    """Returns its input; arguments of the constructor are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Return the input."""
        return input


class Linear(Module):
    """``input @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, default True
    device : str, optional
    dtype : dtype, optional
        float32 if not given.

    Attributes
    ----------
    weight : Parameter
        Shape ``(out_features, in_features)``, uniform in ``(-k, k)`` with ``k = 1 / sqrt(in_features)``.
    bias : Parameter or None
        Shape ``(out_features,)``, from the same interval.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        place = {"device": device, "dtype": tn.float32 if dtype is None else dtype}
        self.weight = Parameter(tn.empty((out_features, in_features), **place))
        self.register_parameter("bias", Parameter(tn.empty((out_features,), **place)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return shape ``(..., out_features)`` from shape ``(..., in_features)``."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the constructor's arguments."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """Makes one axis of the axes from `start_dim` to `end_dim`."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return the input with these axes merged."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the constructor's arguments."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training mode, sets elements to zero at random and scales the others by ``1 / (1 - p)``.

    Parameters
    ----------
    p : float, default 0.5
        Probability of an element to be set to zero.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p

    def forward(self, input: tn.Tensor) -> tn.Tensor:
        """Return the input's shape."""
        return functional.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Return the constructor's arguments."""
        return f"p={self.p}"
