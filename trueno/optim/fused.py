"""One kernel that updates all parameters: a rule for one of them, repeated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import trueno as tn
from trueno.runtime.inplace import bump_version
from trueno.runtime.operation import calling

#: Operands of one launch: within what the launcher finds without Python. Larger kernels would take long to compile,
#: too, while another launch of the same kernel, whose code does not depend on sizes, costs microseconds.
OPERANDS = 120


@functools.cache
def _kernel(
    rule: Callable[..., tuple[Any, ...]], scalars: int, arrays: int, targets: int, count: int, flags: tuple[Any, ...]
) -> Callable[..., Any]:
    def step(*operands: Any) -> tuple[Any, ...]:
        head, tail = operands[:scalars], operands[scalars:]
        results: list[Any] = []
        for first in range(0, count * arrays, arrays):
            results.extend(rule(*flags, *head, *tail[first : first + arrays]))
        return tuple(results)

    step.__name__ = step.__qualname__ = rule.__name__
    places = [scalars + k * arrays + target for k in range(count) for target in range(targets)]
    return tn.kernel(inplace=tuple(places))(step)


def update(
    rule: Callable[..., tuple[Any, ...]],
    flags: tuple[Any, ...],
    scalars: Sequence[float],
    rows: Sequence[Sequence[Any]],
    targets: int,
) -> None:
    """Apply a rule to many parameters in place, with one launch for as many as `OPERANDS` admits (28 for Adam).

    Parameters
    ----------
    rule : callable
        ``rule(*flags, *scalars, *arrays)`` in terms of trueno's functions; returns the new values of the first
        `targets` arrays.
    flags : tuple
        What the code depends on: part of the kernel.
    scalars : sequence of float
        Run-time numbers, such as the learning rate: other values do not need another kernel.
    rows : sequence of sequence of Tensor
        The arrays of each parameter. All must be on one device.
    targets : int
    """
    capacity = (OPERANDS - len(scalars)) // len(rows[0])
    for first in range(0, len(rows), capacity):
        _launch(rule, flags, scalars, rows[first : first + capacity], targets)


def _launch(
    rule: Callable[..., tuple[Any, ...]],
    flags: tuple[Any, ...],
    scalars: Sequence[float],
    rows: Sequence[Sequence[Any]],
    targets: int,
) -> None:
    # Tensors without version counters are what the launcher updates in place by itself; the counters are moved here.
    operands = [one._alias() for row in rows for one in row]
    step = _kernel(rule, len(scalars), len(rows[0]), targets, len(rows), flags)
    step(*map(float, scalars), *operands)
    where = calling()
    for row in rows:
        for target in row[:targets]:
            bump_version(target, where)
