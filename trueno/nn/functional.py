"""Activations, losses and layers as functions (`torch.nn.functional`). Each is one kernel, and so is its gradient."""

from __future__ import annotations

import warnings
from typing import Any

import trueno as tn
from trueno import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from trueno.nn.classification import cross_entropy, nll_loss, one_hot
from trueno.nn.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from trueno.nn.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from trueno.nn.reduction import check_reduction, reduced

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]


# --- layers -----------------------------------------------------------------------------------------------------------


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: tn.Tensor, dim: int | None = None, *, dtype: Any = None) -> tn.Tensor:
    """Return ``exp(input)`` scaled to sum to 1 along `dim`, computed in `dtype` if it is given."""
    return tn.softmax(input, axis=_implicit_dim("softmax", input.ndim) if dim is None else dim, dtype=dtype)


def log_softmax(input: tn.Tensor, dim: int | None = None, *, dtype: Any = None) -> tn.Tensor:
    """Return the logarithm of `softmax`, without its cancellation."""
    return tn.log_softmax(input, axis=_implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype=dtype)


@tn.kernel(name="linear")
def _linear(x: Any, weight: Any, bias: Any) -> Any:
    product = tn.matmul(x, tn.permute(weight))
    return product if bias is None else product + bias


def linear(input: tn.Tensor, weight: tn.Tensor, bias: tn.Tensor | None = None) -> tn.Tensor:
    """Return ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor
        Shape ``(..., in_features)``.
    weight : Tensor
        Shape ``(out_features, in_features)`` or ``(in_features,)``.
    bias : Tensor, optional
        Shape ``(out_features,)`` or ``()``.

    Returns
    -------
    Tensor
        Shape ``(..., out_features)``.

    Raises
    ------
    ValueError
        The shapes do not match.
    """
    if input.ndim == 0 or weight.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"linear: input of shape {input.shape} and weight of shape {weight.shape} do not match: the last axes must "
            "be equal (weight is (out_features, in_features))"
        )
    return _linear(input, weight, bias)


@tn.kernel(name="dropout")
def _dropout(x: Any, noise: Any, p: Any, scale: Any) -> Any:
    return tn.where(tn.ge(noise, p), x * scale, 0)


def dropout(input: tn.Tensor, p: float = 0.5, training: bool = True) -> tn.Tensor:
    """Set elements to zero at random, and scale the others so that the mean stays the same.

    Parameters
    ----------
    input : Tensor
    p : float, default 0.5
        Probability of an element to be set to zero.
    training : bool, default True
        Whether to do so at all.

    Returns
    -------
    Tensor
        The input itself if there is nothing to do.

    Raises
    ------
    ValueError
        p is not a probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    noise = tn.rand(*input.shape, device=input.device)
    return _dropout(input, noise, float(p), 0.0 if p == 1 else 1 / (1 - p))


# --- regression losses ------------------------------------------------------------------------------------------------


def _same_size(name: str, input: tn.Tensor, target: tn.Tensor) -> None:
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: Using a target size ({tuple(target.shape)}) that is different to the input size "
            f"({tuple(input.shape)}). This will likely lead to incorrect results due to broadcasting. Please ensure "
            "they have the same size.",
            stacklevel=3,
        )


@tn.kernel(name="mse_loss")
def _mse(x: Any, target: Any, *, reduction: str) -> Any:
    return reduced(tn.square(x - target), reduction)


def mse_loss(input: tn.Tensor, target: tn.Tensor, *, reduction: str = "mean") -> tn.Tensor:
    """Return the squared difference.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
        Shape (), or the input's for ``"none"``.
    """
    check_reduction(reduction)
    _same_size("mse_loss", input, target)
    return _mse(input, target, reduction=reduction)


@tn.kernel(name="l1_loss")
def _l1(x: Any, target: Any, *, reduction: str) -> Any:
    return reduced(abs(x - target), reduction)


def l1_loss(input: tn.Tensor, target: tn.Tensor, *, reduction: str = "mean") -> tn.Tensor:
    """Return the absolute difference; parameters as in `mse_loss`."""
    check_reduction(reduction)
    _same_size("l1_loss", input, target)
    return _l1(input, target, reduction=reduction)


@tn.kernel(name="smooth_l1_loss")
def _smooth_l1(x: Any, target: Any, beta: Any, half: Any, *, reduction: str) -> Any:
    gap = abs(x - target)
    return reduced(tn.where(gap < beta, gap * gap * 0.5 / beta, gap - half), reduction)


def smooth_l1_loss(input: tn.Tensor, target: tn.Tensor, *, reduction: str = "mean", beta: float = 1.0) -> tn.Tensor:
    """Return ``gap² / (2 beta)`` where the gap is below `beta`, else ``gap - beta / 2``; parameters as in `mse_loss`.

    Raises
    ------
    ValueError
        beta is negative.
    """
    check_reduction(reduction)
    if beta < 0:
        raise ValueError("smooth_l1_loss does not support negative values for beta")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    _same_size("smooth_l1_loss", input, target)
    return _smooth_l1(input, target, float(beta), beta / 2, reduction=reduction)


# --- binary classification --------------------------------------------------------------------------------------------


_SMALL = 1e-12


def _finite_log(argument: Any, inside: Any, slope: float, p: Any) -> Any:
    """Record a logarithm that PyTorch's loss cuts off at -100, with the slope it has below 1e-12.

    `inside` is the logarithm where the argument is not small; elsewhere it may be anything finite.
    """
    cut = tn.stop_gradient(tn.maximum(tn.log(argument), -100.0)) + (p - tn.stop_gradient(p)) * slope
    return tn.where(argument < _SMALL, cut, inside)


@tn.kernel(name="binary_cross_entropy")
def _binary_cross_entropy(p: Any, target: Any, weight: Any, *, reduction: str) -> Any:
    rest = 1.0 - p
    positive = _finite_log(p, tn.log(tn.where(p < _SMALL, 1.0, p)), 1 / _SMALL, p)
    negative = _finite_log(rest, tn.log1p(-tn.where(rest < _SMALL, 0.0, p)), -1 / _SMALL, p)
    loss = (target - 1.0) * negative - target * positive
    return reduced(loss if weight is None else loss * weight, reduction)


def _need_same_size(input: tn.Tensor, target: tn.Tensor) -> None:
    if input.shape != target.shape:
        raise ValueError(f"Target size ({tuple(target.shape)}) must be the same as input size ({tuple(input.shape)})")


def binary_cross_entropy(
    input: tn.Tensor, target: tn.Tensor, weight: tn.Tensor | None = None, *, reduction: str = "mean"
) -> tn.Tensor:
    """Return the cross-entropy of probabilities and targets in [0, 1].

    Parameters
    ----------
    input, target : Tensor
        Of one shape; input holds probabilities.
    weight : Tensor, optional
        Factor of each element's loss; broadcast.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        The shapes differ.
    """
    check_reduction(reduction)
    _need_same_size(input, target)
    return _binary_cross_entropy(input, target, weight, reduction=reduction)


@tn.kernel(name="binary_cross_entropy_with_logits")
def _with_logits(x: Any, target: Any, weight: Any, pos_weight: Any, *, reduction: str) -> Any:
    # -log(sigmoid(x)) is softplus(-x), which stays finite.
    log_weight = 1.0 if pos_weight is None else (pos_weight - 1.0) * target + 1.0
    loss = (1.0 - target) * x + log_weight * tn.softplus(-x, 1.0, 50.0)
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: tn.Tensor,
    target: tn.Tensor,
    weight: tn.Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: tn.Tensor | None = None,
) -> tn.Tensor:
    """Return the cross-entropy of ``sigmoid(input)`` and targets in [0, 1], accurate for large inputs too.

    Parameters
    ----------
    input, target : Tensor
        Of one shape; input holds logits.
    weight : Tensor, optional
        Factor of each element's loss; broadcast.
    reduction : {"mean", "sum", "none"}
    pos_weight : Tensor, optional
        Factor of the positive part of the loss; broadcast.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    check_reduction(reduction)
    _need_same_size(input, target)
    return _with_logits(input, target, weight, pos_weight, reduction=reduction)
