"""Moving a tensor between devices as an operation of the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trueno.autograd import no_grad, record_node
from trueno.runtime.operation import BackwardPlan

if TYPE_CHECKING:
    from trueno.tensor import Tensor


class _Back:
    """The backward operation of a move: the same move the other way."""

    def __init__(self, home: str) -> None:
        self.home = home

    def call(self, gradient: Tensor) -> Tensor:
        """Return the gradient on the device that the operand came from."""
        return gradient.to(self.home)


def transfer(source: Tensor, target: str, move: Callable[[Any, str], Tensor]) -> Tensor:
    """Return a recorded copy of a tensor on another device."""
    with no_grad():
        result = move(source.detach(), target)
    back: Any = _Back(source._layout.device)
    plan = BackwardPlan(back, [("grad", 0)], [0], "to")
    record_node(plan, [source], [source._autograd], [result])
    return result
