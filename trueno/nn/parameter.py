"""Parameters: the tensors of a module that training changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno.autograd import no_grad
from trueno.creation import asarray, tensor
from trueno.runtime import launcher
from trueno.runtime.inplace import part_history
from trueno.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module finds when it is assigned to an attribute; it requires a gradient unless told otherwise.

    Parameters
    ----------
    data : Tensor or array_like, optional
        The values; a Tensor's memory is shared.
    requires_grad : bool, default True
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        self.data = tensor([]) if data is None else asarray(data)
        self.requires_grad_(requires_grad)

    @property
    def data(self) -> Tensor:
        """The values as a tensor without history, on the same memory."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self._storage, self._layout = value._storage, value._layout
        part_history(self, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copied = Parameter(self.detach().clone(), self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (np.array(self.detach().cpu().numpy()), self.requires_grad, str(self.device))

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


launcher.bind_subclass(Parameter)


def _rebuilt(array: np.ndarray, requires_grad: bool, device: str) -> Parameter:
    return Parameter(tensor(array, device=device), requires_grad)


def overwrite(target: Tensor, value: Any) -> None:
    """Copy values into a tensor, whatever device and dtype they have.

    Parameters
    ----------
    target : Tensor
    value : Tensor, or anything NumPy can read
        Of the target's shape.
    """
    with no_grad():
        if hasattr(value, "detach"):
            value = value.detach()
        given = value if isinstance(value, Tensor) else asarray(np.asarray(value))
        target[...] = given.to(device=target.device)
