"""Losses over classes. Values are ``(n, classes, ...)``, class indices ``(n, ...)``."""

from __future__ import annotations

import math
from typing import Any

import trueno as tn
from trueno import dtypes as dt
from trueno.nn.reduction import check_reduction, reduced

# --- what the kernels record ------------------------------------------------------------------------------------------


def _of_targets(values: Any, target: Any, weight: Any, ignore: Any) -> tuple[Any, Any, Any]:
    """Return each sample's negative weighted value of its class, its weight, and whether it is not ignored.

    A target that is no class gives NaN: on an accelerator nobody looks at targets before the launch.
    """
    target = tn.cast(target, dtype=tn.int64)
    counts = tn.ne(target, ignore)
    index = tn.where(counts, target, 0)
    picked = tn.squeeze(tn.gather(values, tn.unsqueeze(index, 1), axis=1), 1)
    known = tn.logical_and(tn.ge(index, 0), tn.lt(index, values.shape[1]))
    weights = tn.cast(counts, dtype=values.dtype)
    if weight is not None:
        chosen = tn.reshape(tn.gather(weight, tn.reshape(index, (index.size,)), axis=0), index.shape)
        weights = weights * tn.cast(chosen, dtype=values.dtype)
    return tn.where(known, -picked, math.nan) * weights, weights, counts


def _along_classes(weight: Any, ndim: int) -> Any:
    """Return class weights in a shape that broadcasts with values."""
    return tn.reshape(weight, (1, weight.size) + (1,) * (ndim - 2))


@tn.kernel(name="nll_loss")
def _nll(log_probabilities: Any, target: Any, weight: Any, ignore: Any, *, reduction: str) -> Any:
    loss, weights, _ = _of_targets(log_probabilities, target, weight, ignore)
    return reduced(loss, reduction, tn.sum(weights))


@tn.kernel(name="cross_entropy")
def _cross_entropy(
    logits: Any, target: Any, weight: Any, ignore: Any, keep: Any, spread: Any, *, reduction: str, smooth: bool
) -> Any:
    scores = tn.log_softmax(logits, axis=1)
    loss, weights, counts = _of_targets(scores, target, weight, ignore)
    if smooth:
        weighted = scores if weight is None else scores * _along_classes(weight, scores.ndim)
        loss = loss * keep - tn.where(counts, tn.sum(weighted, axis=1), 0) * spread
    return reduced(loss, reduction, tn.sum(weights))


@tn.kernel(name="soft_cross_entropy")
def _soft_cross_entropy(
    logits: Any, target: Any, weight: Any, keep: Any, spread: Any, *, reduction: str, smooth: bool
) -> Any:
    scores = tn.log_softmax(logits, axis=1)
    if smooth:
        target = target * keep + spread
    if weight is not None:
        target = target * _along_classes(weight, target.ndim)
    loss = -tn.sum(scores * target, axis=1)
    return tn.mean(loss) if reduction == "mean" else reduced(loss, reduction)


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(name: str, input: tn.Tensor, target: tn.Tensor, weight: tn.Tensor | None) -> None:
    """Raise PyTorch's errors for values, class indices and weights that do not fit each other."""
    classes = input.shape[1]
    if dt.is_floating(target.dtype) or target.dtype == dt.bool_:
        raise TypeError(
            f"{name}: targets of shape {target.shape} must hold class indices of an integer dtype, got {target.dtype}"
        )
    if target.shape[:1] != input.shape[:1]:
        raise ValueError(
            f"{name}: Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[0] if target.shape else 1})"
        )
    if target.shape[1:] != input.shape[2:]:
        raise ValueError(
            f"{name}: input of shape {input.shape} takes targets of shape {(input.shape[0], *input.shape[2:])}, "
            f"got {target.shape}"
        )
    _check_weight(name, classes, weight)


def _check_weight(name: str, classes: int, weight: tn.Tensor | None) -> None:
    if weight is not None and weight.shape != (classes,):
        raise ValueError(
            f"{name}: weight must have one element for each of the {classes} classes, got shape {weight.shape}"
        )


def _check_values(target: tn.Tensor, classes: int, ignore: int) -> None:
    """Raise IndexError for a target on the CPU that is no class."""
    if str(target.device) != "cpu" or not target.size:
        return
    array = target.numpy()
    if array.min() >= 0 and array.max() < classes:
        return
    wrong = array[(array != ignore) & ((array < 0) | (array >= classes))]
    if wrong.size:
        raise IndexError(f"Target {wrong.flat[0]} is out of bounds: there are {classes} classes.")


def _batched(name: str, input: tn.Tensor, target: tn.Tensor) -> tuple[tn.Tensor, tn.Tensor, bool]:
    """Return values and targets with an axis for samples, and whether there was none."""
    if input.ndim == 0:
        raise ValueError(f"{name}: input must have an axis of classes, got shape ()")
    if input.ndim > 1:
        return input, target, False
    return tn.unsqueeze(input, 0), tn.unsqueeze(target, 0), True


# --- the functions ----------------------------------------------------------------------------------------------------


def nll_loss(
    input: tn.Tensor,
    target: tn.Tensor,
    weight: tn.Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tn.Tensor:
    """Return the negative log-likelihood of the target classes.

    Parameters
    ----------
    input : Tensor
        Log-probabilities, shape ``(n, classes, ...)`` or ``(classes,)``.
    target : Tensor
        Classes, of an integer dtype, shape ``(n, ...)`` or ``()``.
    weight : Tensor, optional
        Weight of each class, shape ``(classes,)``.
    ignore_index : int, default -100
        Target that does not count.
    reduction : {"mean", "sum", "none"}
        The mean is weighted.

    Returns
    -------
    Tensor
        Shape (), or the target's for ``"none"``.

    Raises
    ------
    ValueError, TypeError
        Shapes or dtypes do not fit.
    IndexError
        A target on the CPU is no class; on other devices the loss is NaN then.
    """
    check_reduction(reduction)
    input, target, single = _batched("nll_loss", input, target)
    _check("nll_loss", input, target, weight)
    _check_values(target, input.shape[1], ignore_index)
    loss = _nll(input, target, weight, int(ignore_index), reduction=reduction)
    return tn.squeeze(loss, 0) if single and reduction == "none" else loss


def cross_entropy(
    input: tn.Tensor,
    target: tn.Tensor,
    weight: tn.Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tn.Tensor:
    """Return the cross-entropy of ``softmax(input)`` and targets.

    Parameters
    ----------
    input : Tensor
        Logits, shape ``(n, classes, ...)`` or ``(classes,)``.
    target : Tensor
        Classes, of an integer dtype, shape ``(n, ...)`` or ``()``; or probabilities of the input's shape.
    weight : Tensor, optional
        Weight of each class, shape ``(classes,)``.
    ignore_index : int, default -100
        Class that does not count as a target.
    reduction : {"mean", "sum", "none"}
        The mean over classes is weighted.
    label_smoothing : float, default 0
        Share of the target that is spread evenly over all classes.

    Returns
    -------
    Tensor
        Shape (), or ``(n, ...)`` for ``"none"``.

    Raises
    ------
    ValueError, TypeError
        Shapes, dtypes or settings do not fit.
    IndexError
        A target on the CPU is no class; on other devices the loss is NaN then.
    """
    check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    input, target, single = _batched("cross_entropy", input, target)
    classes = input.shape[1]
    keep, spread, smooth = 1.0 - label_smoothing, label_smoothing / max(classes, 1), label_smoothing > 0
    if target.shape == input.shape and dt.is_floating(target.dtype):
        _check_weight("cross_entropy", classes, weight)
        loss = _soft_cross_entropy(input, target, weight, keep, spread, reduction=reduction, smooth=smooth)
    else:
        _check("cross_entropy", input, target, weight)
        _check_values(target, classes, ignore_index)
        loss = _cross_entropy(
            input, target, weight, int(ignore_index), keep, spread, reduction=reduction, smooth=smooth
        )
    return tn.squeeze(loss, 0) if single and reduction == "none" else loss


@tn.kernel(name="one_hot")
def _one_hot(indices: Any, *, classes: int) -> Any:
    # Ones put at the indices: the transpose of picking them.
    index = tn.unsqueeze(tn.cast(indices, dtype=tn.int64), -1)
    return tn.scatter_add(index * 0 + 1, index, extent=classes, axis=-1)


def one_hot(tensor: tn.Tensor, num_classes: int = -1) -> tn.Tensor:
    """Return 1 at the class and 0 elsewhere, along a new last axis.

    Parameters
    ----------
    tensor : Tensor
        Classes, of an integer dtype.
    num_classes : int, default -1
        Size of the new axis; -1: one more than the largest class.

    Returns
    -------
    Tensor
        int64, shape ``(*tensor.shape, num_classes)``.

    Raises
    ------
    ValueError
        A class is negative or not below num_classes, or there are none to count.
    TypeError
        The dtype is not an integer one.
    """
    if dt.is_floating(tensor.dtype) or tensor.dtype == dt.bool_:
        raise TypeError(f"one_hot is only applicable to index tensors of an integer dtype, got {tensor.dtype}")
    if not tensor.size and num_classes < 1:
        raise ValueError("one_hot: can not infer the number of classes from an empty tensor")
    values = tensor.detach().cpu().numpy()
    low, high = (int(values.min()), int(values.max())) if values.size else (0, -1)
    classes = high + 1 if num_classes == -1 else num_classes
    if low < 0:
        raise ValueError(f"Class values must be non-negative, got {low}")
    if high >= classes:
        raise ValueError(f"Class values must be smaller than num_classes, got {high} with num_classes={classes}")
    return _one_hot(tensor, classes=classes)
