"""What in-place operations must know of memory: who shares it, what was saved of it, how often it has changed."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trueno import dtypes as dt
from trueno.runtime import launcher, memory

if TYPE_CHECKING:
    from types import CodeType

    from trueno.runtime.operation import BackwardPlan
    from trueno.tensor import Tensor


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor (the class itself is built on this module)."""
    return hasattr(value, "_layout")


def requires_grad(value: Any) -> bool:
    """Whether a value is a tensor whose operations are recorded."""
    return memory.taped(value) and is_tensor(value) and dt.is_inexact(value._layout.dtype)


class Version:
    """Counts the changes of one memory; views of it share the counter. `where`: code and instruction of the last."""

    __slots__ = ("count", "where")

    def __init__(self) -> None:
        self.count = 0
        self.where: tuple[CodeType, int] | None = None


def version_of(tensor: Tensor) -> Version:
    """Return the tensor's version counter, made on first use."""
    try:
        return tensor._version
    except AttributeError:
        tensor._version = version = Version()
        return version


def bump_version(tensor: Tensor, where: tuple[CodeType, int]) -> None:
    """Note that the tensor's memory has changed."""
    version = getattr(tensor, "_version", None)
    if version is not None:
        version.count += 1
        version.where = where


def partly_overlaps(one: Any, target: Any) -> bool:
    """Whether two tensors share memory in another way than element by element."""
    first, second = one._storage, target._storage
    if one._layout.device != "cpu":
        if not first.shares(second):
            return False
        (low, high), (start, end) = launcher.extent(one._layout), launcher.extent(target._layout)
        meet = first.offset + low < second.offset + end and second.offset + start < first.offset + high
        return meet and not (one._layout is target._layout and first.offset == second.offset)
    same = one._layout is target._layout and memory.pointer(first) == memory.pointer(second)
    return not same and launcher.overlaps(one, target)


def copied(one: Any) -> Any:
    """Return a copy with the same layout: the kernel is bound to the strides, so that a dense copy would not do."""
    low, high = launcher.extent(one._layout)
    copied = one._alias()
    if one._layout.device == "cpu":
        storage = memory.allocate(high - low)
        ctypes.memmove(memory.pointer(storage), memory.pointer(one._storage) + low, high - low)
        copied._storage = memory.view(storage, -low)
    else:
        device = one._storage.device
        storage = device.allocate(high - low)
        device.copy(storage, one._storage.view(low), high - low)
        copied._storage = storage.view(-low)
    return copied


def check_leaf(target: Any, name: str) -> None:
    """Raise a RuntimeError where an operation is about to change a leaf that requires a gradient, or a view of one."""
    if not requires_grad(target):
        return
    owner, what = target._autograd, "a leaf tensor"
    while owner.node is not None and owner.node.plan.view:
        owner, what = owner.node.edges[0], "a view of a leaf tensor,"
    if owner.node is None:
        raise RuntimeError(
            f"{name}: {what} of shape {target.shape} that requires a gradient is changed in place; "
            "do it under no_grad(), or compute a new tensor"
        )


def kept_operands(operands: Sequence[Any], plan: BackwardPlan, inplace: tuple[int, ...]) -> list[Any]:
    """Return the operands with copies of those that are about to be overwritten and are needed for backward."""
    needed = {index for kind, index in plan.picks if kind == "in"}
    targets = [operands[k] for k in inplace]
    return [
        one.detach().clone() if k in needed and is_tensor(one) and shares_memory(one, targets) else one
        for k, one in enumerate(operands)
    ]


def shares_memory(one: Any, targets: Sequence[Any]) -> bool:
    """Whether a tensor is one of the targets, another name of it, or a view that overlaps it."""
    for target in targets:
        if one._layout.device == target._layout.device == "cpu":
            if launcher.overlaps(one, target):
                return True
        elif one is target or version_of(one) is version_of(target):
            return True
    return False
