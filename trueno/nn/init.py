"""Starting values of parameters (`torch.nn.init`). Every function changes its tensor in place and returns it."""

from __future__ import annotations

import math
from typing import Any

import trueno as tn

_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the gain recommended for a nonlinearity.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"`` or ``"selu"``.
    param : float, optional
        The slope of ``"leaky_relu"``, 0.01 if not given.

    Raises
    ------
    ValueError
        The nonlinearity is none of these.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}; known are leaky_relu, {', '.join(_GAINS)}")
    return _GAINS[nonlinearity]


def _fans(tensor: tn.Tensor) -> tuple[int, int]:
    """Return how many inputs and outputs an element of a weight connects."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got shape {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


@tn.kernel(inplace=(0,), name="rescale")
def _rescale(target: Any, drawn: Any, scale: Any, shift: Any) -> Any:
    return tn.cast(drawn * scale + shift, dtype=target.dtype)


def uniform_(tensor: tn.Tensor, a: float = 0.0, b: float = 1.0) -> tn.Tensor:
    """Draw from the uniform distribution over [a, b)."""
    with tn.no_grad():
        _rescale(tensor, tn.rand(*tensor.shape, device=tensor.device), float(b - a), float(a))
    return tensor


def normal_(tensor: tn.Tensor, mean: float = 0.0, std: float = 1.0) -> tn.Tensor:
    """Draw from the normal distribution."""
    with tn.no_grad():
        _rescale(tensor, tn.randn(*tensor.shape, device=tensor.device), float(std), float(mean))
    return tensor


def constant_(tensor: tn.Tensor, val: float) -> tn.Tensor:
    """Set all elements to a value."""
    with tn.no_grad():
        tensor.fill_(val)
    return tensor


def zeros_(tensor: tn.Tensor) -> tn.Tensor:
    """Set all elements to 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: tn.Tensor) -> tn.Tensor:
    """Set all elements to 1."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: tn.Tensor, gain: float = 1.0) -> tn.Tensor:
    """Draw uniformly with the variance ``2 gain² / (fan_in + fan_out)``."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: tn.Tensor, gain: float = 1.0) -> tn.Tensor:
    """Draw normally with the variance ``2 gain² / (fan_in + fan_out)``."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))))


def _kaiming_std(tensor: tn.Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: tn.Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> tn.Tensor:
    """Draw uniformly with the variance ``gain² / fan``.

    Parameters
    ----------
    tensor : Tensor
        Of at least two axes: outputs, inputs, then those of a filter.
    a : float
        Slope of the leaky ReLU that follows, if that is the nonlinearity.
    mode : {"fan_in", "fan_out"}
        Whether to keep the variance of values (forward) or of gradients (backward).
    nonlinearity : str
        See `calculate_gain`.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: tn.Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> tn.Tensor:
    """Draw normally with the variance ``gain² / fan``; see `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))
