"""Stages that transform a grid along one axis, then along the other: two loops in place of all of it written out.

The transforms of minimal filtering (codegen/winograd.py) store a grid of results. Written out, the code of one axis
stands there once for each row and once for each column, and the code generator takes as long for each of them. Here
the graph of expressions is cut where that repeats: the results are dealt to *turns* whose expressions are alike, down
to where they differ; the values there, of which the turns of a first pass compute a column each, pass through memory
of the function's own. What the turns of a loop read and write lies at distances that stand side by side in the meta
array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isqrt
from typing import TYPE_CHECKING, NamedTuple

from trueno.codegen.expr import Expr

if TYPE_CHECKING:
    from trueno.codegen.stage import Loops, Relations

LEAST = 3
"""Turns from which on a loop is less code."""

Alike = tuple[Expr, ...]
"""Expressions that stand at the same place of each turn."""


class Passes(NamedTuple):
    """An elementwise stage as two passes.

    Attributes
    ----------
    columns : list of tuple of Expr
        The values between the passes; those at one position of each are what a turn of the second pass reads.
    stores : list of int
        The stores of the second pass's first turn.
    looped : bool
        Whether each column is a turn of the first pass, which are then printed once; else they are written out.
    turns : dict of int to tuple of int
        For each access of a first turn those at the same place of all turns, itself included.
    """

    columns: list[Alike]
    stores: list[int]
    looped: bool
    turns: dict[int, tuple[int, ...]]


def passes(loops: Loops, lie: Relations) -> Passes | None:
    """Return how a stage is walked in two passes, or None if its stores are no grid of such."""
    stores = loops.stage.stores
    side = isqrt(len(stores))
    if side < LEAST or side * side != len(stores):
        return None
    by_rows = [list(range(k, k + side)) for k in range(0, len(stores), side)]
    both = [_second(loops, lie, dealt) for dealt in (by_rows, list(zip(*by_rows, strict=True)))]
    found = [one for one in both if one is not None]
    return max(found, key=lambda one: one.looped, default=None)


def _second(loops: Loops, lie: Relations, dealt: Sequence[Sequence[int]]) -> Passes | None:
    stores = loops.stage.stores
    roots = list(zip(*([stores[k].value for k in turn] for turn in dealt), strict=True))
    leaves = _leaves(roots)
    if leaves is None or set(leaves) >= set(roots):
        return None
    read = [one for one in leaves if all(expr.kind == "load" for expr in one)]
    columns = [one for one in leaves if one not in read]
    turns = _turns(loops, lie, read)
    written = zip(*([loops.numbers[stores[k].access] for k in turn] for turn in dealt), strict=True)
    if turns is None or not columns or not _agree(lie, written, turns):
        return None
    within = _leaves(list(zip(*columns, strict=True))) if len(columns) >= LEAST else None
    first = None if within is None else _turns(loops, lie, within)
    if first is None or first.keys() & turns.keys():
        return Passes(columns, list(dealt[0]), False, turns)
    return Passes(columns, list(dealt[0]), True, turns | first)


def _leaves(roots: Sequence[Alike]) -> list[Alike] | None:
    """Return where expressions of all turns begin to differ; None if no loop could tell two of them apart.

    What is the same expression in every turn is none of them.
    """
    leaves: list[Alike] = []
    seen: dict[int, Alike] = {}
    stack = list(reversed(roots))
    while stack:
        alike = stack.pop()
        first = alike[0]
        if id(first) in seen:
            if any(a is not b for a, b in zip(seen[id(first)], alike, strict=True)):
                return None
            continue
        seen[id(first)] = alike
        if all(one is first for one in alike):
            continue
        sources = list(zip(*(one.src for one in alike), strict=False))
        if all(_same_row(one, first) for one in alike) and not any(map(_differing_constants, sources)):
            stack += reversed(sources)
        else:
            leaves.append(alike)
    return leaves


def _same_row(a: Expr, b: Expr) -> bool:
    return a.kind == b.kind == "op" and a.op is b.op and a.arg == b.arg and len(a.src) == len(b.src)


def _differing_constants(alike: Alike) -> bool:
    return any(one.kind in ("const", "scalar") and one is not alike[0] for one in alike)


def _turns(loops: Loops, lie: Relations, leaves: Sequence[Alike]) -> dict[int, tuple[int, ...]] | None:
    """Return the accesses of leaves that all are loads, by those of the first turn; None if some are something else."""
    turns: dict[int, tuple[int, ...]] = {}
    if any(expr.kind != "load" for alike in leaves for expr in alike):
        return None
    read = (tuple(loops.numbers[expr.arg] for expr in alike) for alike in leaves)
    return turns if _agree(lie, read, turns) else None


def _agree(lie: Relations, accesses: Iterable[tuple[int, ...]], turns: dict[int, tuple[int, ...]]) -> bool:
    """Whether accesses of all turns step alike and take turns along memory alike; they are added to `turns`."""
    fresh = {members[0]: members for members in accesses}
    turns |= fresh
    runs = {k: run for run in lie.runs for k in run if k is not None}

    def moved(turn: int) -> Callable[[int | None], int | None]:
        return lambda k: None if k is None else fresh[k][turn] if k in fresh else -1

    for first, members in fresh.items():
        if len({lie.leaders[k] for k in members}) > 1:
            return False
        run = runs.get(first, ())
        if any(runs.get(k, ()) != tuple(map(moved(turn), run)) for turn, k in enumerate(members)):
            return False
    return True
