"""What in-place operations must know of memory: who shares it, what was saved of it, how often it has changed."""

from __future__ import annotations

import ctypes
import importlib
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from trueno import dtypes as dt
from trueno.runtime import launcher, memory

if TYPE_CHECKING:
    from types import CodeType

    from trueno.autograd import Autograd
    from trueno.runtime.layout import Layout
    from trueno.runtime.operation import BackwardPlan
    from trueno.tensor import Tensor


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor (the class itself is built on this module)."""
    return hasattr(value, "_layout")


def requires_grad(value: Any) -> bool:
    """Whether a value is a tensor whose operations are recorded."""
    if not memory.taped(value) or not is_tensor(value) or current(value) is None:
        return False
    return dt.is_inexact(value._layout.dtype)


class Counter:
    """Counts the changes of one memory. `where`: code and instruction of the last."""

    __slots__ = ("count", "where")

    def __init__(self) -> None:
        self.count = 0
        self.where: tuple[CodeType, int] | None = None


class Patch(NamedTuple):
    """A part of memory that was written to on the tape.

    Attributes
    ----------
    address : int
        Of its first element, as `address` gives it.
    layout : Layout
    owner : Autograd or None
        The history of what is there now; None for constants.
    """

    address: int
    layout: Layout
    owner: Autograd | None


class Version(weakref.ref):
    """What a tensor and its views share: a weak reference to that tensor, and what has become of the memory.

    A write that is recorded through any of them ends a version: `next` is the one after it, and `patch` says what was
    written. The writer goes over to the new version at once. A tensor that still has the old one is *stale*: `current`
    brings its history up to date.

    Attributes
    ----------
    counter : Counter
        Of the changes; unset until somebody needs to know of them. Tensors without a common history share it too.
    next : Version
        Unset for the newest.
    patch : Patch
        What was written when the version ended. Unset in one whose `constant` is set.
    written : bool
        Set in versions that began with a recorded write.
    constant : bool
        Set in the version of tensors that no recorded write has reached: it ended when it began.
    """

    __slots__ = ("constant", "counter", "next", "patch", "written")

    counter: Counter
    next: Version
    patch: Patch
    written: bool
    constant: bool


def version_of(tensor: Tensor) -> Version:
    """Return the tensor's version, made on first use."""
    try:
        return tensor._version
    except AttributeError:
        tensor._version = version = Version(tensor)
        return version


def counter_of(tensor: Tensor) -> Counter:
    """Return the counter of the changes of a tensor's memory, made on first use."""
    version = version_of(tensor)
    try:
        return version.counter
    except AttributeError:
        version.counter = counter = Counter()
        return counter


def part_history(tensor: Tensor, source: Tensor) -> None:
    """Let a tensor on the memory of another count the same changes, without sharing its history."""
    counter = counter_of(source)
    tensor._version = version = Version(tensor)
    version.counter = counter


def untouched(version: Version, tensor: Tensor) -> Version:
    """Return the version of a tensor without a history that no recorded write has reached up to `version`."""
    made = Version(tensor)
    made.counter, made.constant, made.next = version.counter, True, version
    return made


def bump_version(tensor: Tensor, where: tuple[CodeType, int]) -> None:
    """Note that the tensor's memory has changed."""
    counter = getattr(getattr(tensor, "_version", None), "counter", None)
    if counter is not None:
        counter.count += 1
        counter.where = where


def current(tensor: Any) -> Autograd | None:
    """Return a tensor's history, brought up to date where memory that it shares was written to on the tape."""
    if hasattr(getattr(tensor, "_version", None), "next"):
        importlib.import_module("trueno.autograd_memory").refresh(tensor)
    return getattr(tensor, "_autograd", None)


def address(tensor: Tensor) -> int:
    """Return where the first element of a tensor is, in bytes; tensors that share memory count from one place."""
    return memory.pointer(tensor._storage) if tensor._layout.device == "cpu" else tensor._storage.offset


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


def may_repeat(layout: Layout) -> bool:
    """Whether elements of a layout may lie on each other."""
    reach = 0
    for step, extent in sorted((abs(s), n) for s, n in zip(layout.strides, layout.shape, strict=True) if n != 1):
        if step <= reach and extent:
            return layout.size > 0
        reach += step * (extent - 1)
    return False


def check_target(target: Any, name: str) -> None:
    """Raise a RuntimeError where a recorded operation must not change a tensor.

    It must not where the tensor is a leaf that requires a gradient or a view of one; where elements lie on each other,
    so that it is open which value they get; and where the tensor is a view that was made while nothing was recorded, of
    one that takes part in autograd: what was there before has a history that the view does not know.
    """
    if may_repeat(target._layout):
        raise RuntimeError(
            f"{name}: a tensor of shape {target.shape}, strides {target.strides}, is changed in place, whose elements "
            "lie on each other; change a copy of it (clone())"
        )
    if not requires_grad(target):
        if _hides_history(target):
            raise RuntimeError(
                f"{name}: a view of shape {target.shape}, made while nothing was recorded of a tensor that requires a "
                "gradient, is changed in place; make the view with gradients enabled, or change a copy of it (clone())"
            )
        return
    owner, what = target._autograd, "a leaf tensor"
    while owner.node is not None and owner.node.plan.view:
        owner, what = owner.node.edges[0], "a view of a leaf tensor,"
    if owner.node is None:
        raise RuntimeError(
            f"{name}: {what} of shape {target.shape} that requires a gradient is changed in place; "
            "do it under no_grad(), or compute a new tensor"
        )


def _hides_history(target: Any) -> bool:
    """Whether a tensor without history is a view of one that has a history."""
    version = getattr(target, "_version", None)
    if version is None or hasattr(version, "constant"):
        return False
    base = version()
    return hasattr(version, "written") or (base is not None and base is not target and requires_grad(base))


def check_unrecorded(target: Any, values: Sequence[Any], name: str) -> None:
    """Raise a RuntimeError where a write that cannot be recorded would have to be."""
    if launcher.grad_enabled() and any(requires_grad(one) for one in (target, *values)):
        raise RuntimeError(
            f"{name}: this form of writing in place has no gradient, and the target (shape {target.shape}) or a value "
            "requires one; do it under no_grad() or to detach(), or compute a new tensor"
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
        elif one is target or counter_of(one) is counter_of(target):
            return True
    return False
