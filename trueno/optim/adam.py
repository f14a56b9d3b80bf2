"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import trueno as tn
from trueno.optim import fused
from trueno.optim.optimizer import Group, Optimizer, check


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    Parameters
    ----------
    params : iterable of Tensor or of dict
    lr : float, default 1e-3
    betas : (float, float), default (0.9, 0.999)
        Decay of the two running means.
    eps : float, default 1e-8
    weight_decay : float, default 0
        Weight of the L2 penalty.
    amsgrad : bool, default False
        Whether to divide by the largest second mean so far.
    maximize : bool, default False
        Whether to climb instead.
    decoupled_weight_decay : bool, default False
        Whether weights decay by themselves instead of through the gradient, as in `AdamW`.

    Raises
    ------
    ValueError
        A setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("epsilon value", eps)
        check("weight_decay value", weight_decay)
        for k, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {k}: {beta}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _fresh(self, group: Group, parameter: tn.Tensor) -> dict[str, tn.Tensor]:
        return {name: tn.zeros_like(parameter) for name in _names(group)}

    def _update(self, group: Group, count: int, parameters: list[tn.Tensor]) -> None:
        beta1, beta2 = group["betas"]
        lr, decay, decoupled = group["lr"], group["weight_decay"], group["decoupled_weight_decay"]
        scalars = (
            lr / (1 - beta1**count),
            math.sqrt(1 - beta2**count),
            1 - beta1,
            beta2,
            1 - beta2,
            group["eps"],
            1 - lr * decay if decoupled else decay,
        )
        flags = (group["maximize"], bool(decay), decoupled)
        states = [self.state[one] for one in parameters]
        names = _names(group)
        rows = [(one, *(state[name] for name in names), one.grad) for one, state in zip(parameters, states)]
        fused.update(adam, flags, scalars, rows, 1 + len(names))


class AdamW(Adam):
    """Adam whose weights decay by themselves: `Adam` with decoupled_weight_decay, and a weight_decay of 0.01."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


def _names(group: Group) -> tuple[str, ...]:
    """Return the names of the arrays in a parameter's state, in the order of the kernel's operands."""
    return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")


def adam(
    maximize: bool,
    decays: bool,
    decoupled: bool,
    step_size: Any,
    correction: Any,
    take_mean: Any,
    keep_square: Any,
    take_square: Any,
    eps: Any,
    decay: Any,
    *arrays: Any,
) -> tuple[Any, ...]:
    """Return the new parameter, means, and largest second mean if it is kept."""
    parameter, mean, square, *largest, gradient = arrays
    if maximize:
        gradient = -gradient
    if decays and decoupled:
        parameter = parameter * decay
    elif decays:
        gradient = gradient + parameter * decay
    mean = mean + (gradient - mean) * take_mean
    square = square * keep_square + gradient * gradient * take_square
    largest = [tn.maximum(one, square) for one in largest]
    scale = tn.sqrt(largest[0] if largest else square) / correction + eps
    return parameter - mean / scale * step_size, mean, square, *largest
