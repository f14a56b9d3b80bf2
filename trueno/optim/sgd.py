"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trueno as tn
from trueno.optim import fused
from trueno.optim.optimizer import Group, Optimizer, check


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    Parameters
    ----------
    params : iterable of Tensor or of dict
    lr : float, default 1e-3
    momentum : float, default 0
    dampening : float, default 0
        How much of the gradient is kept out of the momentum buffer after the first step.
    weight_decay : float, default 0
        Weight of the L2 penalty.
    nesterov : bool, default False
    maximize : bool, default False
        Whether to climb instead.

    Raises
    ------
    ValueError
        A setting is negative, or nesterov comes without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _fresh(self, group: Group, parameter: tn.Tensor) -> dict[str, tn.Tensor]:
        return {"momentum_buffer": tn.zeros_like(parameter)} if group["momentum"] else {}

    def _update(self, group: Group, count: int, parameters: list[tn.Tensor]) -> None:
        # The first step puts the whole gradient into the empty buffer.
        take = 1.0 if count == 1 else 1.0 - group["dampening"]
        scalars = (group["lr"], group["weight_decay"], group["momentum"], take)
        flags = (group["maximize"], bool(group["weight_decay"]), bool(group["momentum"]), group["nesterov"])
        moved = [[one, self._buffer(one)] if group["momentum"] else [one] for one in parameters]
        rows = [[*targets, one.grad] for targets, one in zip(moved, parameters)]
        fused.update(sgd, flags, scalars, rows, len(moved[0]))

    def _buffer(self, parameter: tn.Tensor) -> tn.Tensor:
        """Return the momentum buffer; a parameter whose momentum was zero so far gets an empty one."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = tn.zeros_like(parameter)
        return state["momentum_buffer"]


def sgd(
    maximize: bool,
    decays: bool,
    moves: bool,
    nesterov: bool,
    lr: Any,
    decay: Any,
    momentum: Any,
    take: Any,
    *arrays: Any,
) -> tuple[Any, ...]:
    """Return the new parameter, and the new momentum buffer if there is one."""
    parameter, gradient = arrays[0], arrays[-1]
    if maximize:
        gradient = -gradient
    if decays:
        gradient = gradient + parameter * decay
    if not moves:
        return (parameter - gradient * lr,)
    buffer = arrays[1] * momentum + gradient * take
    gradient = gradient + buffer * momentum if nesterov else buffer
    return parameter - gradient * lr, buffer
