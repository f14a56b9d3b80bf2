"""Scratch memory of a plan: intermediate results that are not needed at the same time share a buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trueno.codegen.expr import Access, Expr, reads, topological
from trueno.codegen.stage import Stage


def share_scratch(
    stages: list[Stage], scratch: list[int], first: int, together: Sequence[tuple[int, int]] = ()
) -> None:
    """Let scratch buffers share memory, in place.

    Stages run one after the other, so a buffer is needed from the first stage that touches it to the last; buffers in
    the order of their first stage take the smallest one that is free and large enough, else the largest, else a new one
    (linear scan; Poletto and Sarkar, Linear Scan Register Allocation, 1999).

    Parameters
    ----------
    stages : list of Stage
    scratch : list of int
        Bytes of each scratch buffer.
    first : int
        Number of the first one; operands and results come before.
    together : sequence of (int, int)
        Ranges of stages that are not run one after the other but in turns: what one needs is needed by all.
    """
    if len(scratch) < 2:
        return
    spans: dict[int, list[int]] = {}
    exprs: dict[int, Expr] = {}
    around = {k: (begin, end - 1) for begin, end in together for k in range(begin, end)}
    for k, stage in enumerate(stages):
        begin, end = around.get(k, (k, k))
        order = topological([one for store in stage.stores for one in (store.value, store.index) if one is not None])
        exprs |= {id(expr): expr for expr in order}
        for access in (*(a for expr in order for a in reads(expr)), *(store.access for store in stage.stores)):
            if access.buffer >= first:
                spans.setdefault(access.buffer, [begin, end])[1] = end
    slots: list[list[int]] = []  # the last stage that needs it, and its bytes
    numbers: dict[int, int] = {}
    for buffer, (begin, end) in sorted(spans.items(), key=lambda one: one[1]):
        nbytes = scratch[buffer - first]
        free = [slot for slot in slots if slot[0] < begin]
        fitting = [slot for slot in free if slot[1] >= nbytes]
        slot = min(fitting, key=_size) if fitting else max(free, key=_size) if free else None
        if slot is None:
            slot = [0, 0]
            slots.append(slot)
        slot[:] = end, max(slot[1], nbytes)
        numbers[buffer] = first + next(k for k, one in enumerate(slots) if one is slot)
    for expr in exprs.values():
        if expr.kind == "load":
            expr.arg = _moved(expr.arg, numbers)
        elif expr.kind == "gather":
            expr.arg = (_moved(expr.arg[0], numbers), *expr.arg[1:])
    for stage in stages:
        stage.stores[:] = [replace(store, access=_moved(store.access, numbers)) for store in stage.stores]
    scratch[:] = [nbytes for _, nbytes in slots]


def _size(slot: list[int]) -> int:
    return slot[1]


def _moved(access: Access, numbers: dict[int, int]) -> Access:
    return replace(access, buffer=numbers.get(access.buffer, access.buffer))
