"""What both launchers do alike: checking entries, working out what memory they touch, which arguments make a key."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import Any, NamedTuple

import numpy as np

from trueno.runtime.entry import Entry
from trueno.runtime.launcher.abi import (
    ABSENT,
    MAX_WORDS,
    SCALAR_BOOL,
    SCALAR_FLOAT,
    SCALAR_INT,
)
from trueno.runtime.layout import Layout

MAX_ENTRIES = 1 << 16
"""Entries over all functions of a launcher; beyond it they are all forgotten."""

MAX_DEPTH = 8
"""Deepest nesting of tuples and slices in a key."""

_NOWHERE = 1 << 62
_STABLE_TYPES = (type, np.dtype, type(None), bool, type(Ellipsis))
_SCALARS: dict[type, int] = {float: SCALAR_FLOAT, int: SCALAR_INT, bool: SCALAR_BOOL, type(None): ABSENT}


def fork_safe_lock() -> Any:
    """Return a lock that a child made by fork finds free, whatever the parent's other threads were doing.

    It can be taken again by its owner: a destructor may run in the middle of anything and use the launcher.
    """
    lock: Any = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)
    return lock


class Functions:
    """The functions of a launcher that are in use, and what those that are gone have counted: totals never fall."""

    def __init__(self) -> None:
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self._gone: dict[str, tuple[int, int]] = {}
        self._lock = fork_safe_lock()

    def add(self, shared: Any) -> None:
        """Take in what the callables of a function share; it has a name, `records`, and `counts` to read and to set."""
        shared.functions = self
        self._alive.add(shared)

    def retire(self, shared: Any) -> None:
        """Keep the counts of a function that is about to be gone."""
        with self._lock:
            counts, before = shared.counts, self._gone.get(shared.name, (0, 0))
            if any(counts):
                self._gone[shared.name] = (before[0] + counts[0], before[1] + counts[1])
            shared.counts = (0, 0)

    def alive(self) -> list[Any]:
        """Return those that are in use."""
        return list(self._alive)

    def counters(self) -> list[tuple[str, int, int, int]]:
        """Return name, hits, misses and entries; a name may occur again."""
        with self._lock:
            rows = [(shared.name, *shared.counts, len(shared.records)) for shared in self.alive()]
            return rows + [(name, *counts, 0) for name, counts in self._gone.items()]


class LaunchRefused(ValueError):
    """`invoke` cannot run an entry on these arguments; the caller's slow path has to deal with them."""


class View(NamedTuple):
    """An entry that computes nothing: its result is a Tensor on an operand's memory.

    Attributes
    ----------
    layout : Layout
        Layout of the result.
    byte_offset : int
        Distance of its first element from the operand's.
    operand : int
        Position of the tensor that is viewed.
    """

    layout: Layout
    byte_offset: int = 0
    operand: int = 0


class Operand(NamedTuple):
    """A tensor among the arguments of an entry; its memory is [address + low, address + high)."""

    position: int
    layout: Layout
    low: int
    high: int
    target: bool


class Description(NamedTuple):
    """Operands of an entry: first the kernel's input buffers, then targets that are none; and the arguments read."""

    operands: tuple[Operand, ...]
    arity: int


def extent(layout: Layout) -> tuple[int, int]:
    """Return the byte range that an array takes, relative to its first element; an empty one overlaps nothing."""
    if layout.size == 0:
        return _NOWHERE, -_NOWHERE
    reach = [(extent - 1) * stride for extent, stride in zip(layout.shape, layout.strides, strict=True)]
    itemsize = layout.dtype.itemsize
    return sum(r for r in reach if r < 0) * itemsize, (sum(r for r in reach if r > 0) + 1) * itemsize


def describe(entry: Entry | View, args: tuple[Any, ...]) -> Description:
    """Return the operands of an entry that was made for these arguments.

    Raises
    ------
    ValueError
        The entry names arguments that are not there or not tensors on the CPU, or results that are not on the CPU.
    """
    if isinstance(entry, View):
        positions, targets, scalars = [entry.operand], set[int](), list[int]()
        outputs: tuple[Layout, ...] = (entry.layout,)
    else:
        targets = {position for position in entry.aliases if position >= 0}
        if len(entry.aliases) != len(entry.outputs) or len(targets) != sum(p >= 0 for p in entry.aliases):
            raise ValueError(f"entry: {len(entry.outputs)} outputs cannot have the aliases {entry.aliases}")
        positions = [*entry.tensors, *(p for p in sorted(targets) if p not in entry.tensors)]
        outputs, scalars = entry.outputs, [slot.operand for slot in entry.scalars]
        if entry.single and len(outputs) != 1:
            raise ValueError(f"entry: a single result, but {len(outputs)} outputs")
    arity = max([-1, *positions, *scalars]) + 1
    if arity > len(args):
        raise ValueError(f"entry: reads {arity} arguments, but the call has {len(args)}")
    operands = []
    for position in positions:
        layout = getattr(args[position], "_layout", None)
        if not isinstance(layout, Layout):
            raise ValueError(f"entry: argument {position} is a {type(args[position]).__name__}, not a tensor")
        operands.append(Operand(position, layout, *extent(layout), position in targets))
        targets.discard(position)  # only its first appearance is the target; the others are reads of the same array
    for layout in (*outputs, *(operand.layout for operand in operands)):
        if layout.device != "cpu":
            raise ValueError(f"entry: the launcher runs CPU kernels, but {layout} is on {layout.device}")
    return Description(tuple(operands), arity)


def stable(value: Any, depth: int = 0) -> bool:
    """Tell whether a static argument may stand in a key: it never changes, and equal ones are mostly one object."""
    if isinstance(value, (tuple, slice)):
        items = value if isinstance(value, tuple) else (value.start, value.stop, value.step)
        return type(value) in (tuple, slice) and depth < MAX_DEPTH and all(stable(item, depth + 1) for item in items)
    if type(value) is int:
        return -(1 << 63) <= value < 1 << 63
    if type(value) is str:
        return sys.intern(value) is value
    return type(value) is float or isinstance(value, _STABLE_TYPES)


def may_be_key(operands: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether the static arguments of a call may stand in a key."""
    return all(map(stable, args[operands:])) and all(map(stable, kwargs.values()))


def stale(value: Any) -> bool:
    """Tell whether memory that a tensor shares was written to on the tape, so that its history may be old."""
    version = getattr(value, "_version", None)
    return version is not None and hasattr(version, "next")


def watched(tensor: Any) -> bool:
    """Tell whether who writes to a tensor must look at its version: see the native ``watched`` (code_run)."""
    version = getattr(tensor, "_version", None)
    if version is None:
        return False
    base = version()
    around = base is not None and base is not tensor and hasattr(base, "_autograd")
    return around or any(hasattr(version, slot) for slot in ("next", "written", "counter"))


def python_key(
    operands: int, args: tuple[Any, ...], kwargs: dict[str, Any], classes: set[type], marks: bool
) -> tuple[Any, ...] | None:
    """Return the key of a call, or None if it cannot have one.

    With `marks` it tells tensors that take part in autograd from those that do not; stale ones have no key then.
    """
    if len(args) + len(kwargs) >= MAX_WORDS - 2:
        return None
    words: list[Any] = [len(args)]
    for arg in args[:operands]:
        kind = type(arg)
        if kind in classes:
            if marks and stale(arg):
                return None
            words.append(id(getattr(arg, "_layout", None)) | (marks and hasattr(arg, "_autograd")))
        elif kind in _SCALARS:
            words.append(_SCALARS[kind])
        else:
            return None
    if len(args) > operands:
        words.extend([_static_word(arg) for arg in args[operands:]])
    if kwargs:
        words.extend([(name, _static_word(value)) for name, value in kwargs.items()])
    return tuple(words)


def _static_word(value: Any, depth: int = 0) -> Any:
    """By value: numbers, and tuples and slices of such; everything else by identity (entries keep it alive)."""
    kind = type(value)
    if kind is int:
        return ("i", value)
    if kind is float:
        return ("f", value.hex())
    if kind in (tuple, slice) and depth < MAX_DEPTH:
        items = value if kind is tuple else (value.start, value.stop, value.step)
        return (kind, *(_static_word(item, depth + 1) for item in items))
    return id(value)
