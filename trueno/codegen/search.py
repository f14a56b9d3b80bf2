"""Searches for the place of an extreme: argmax and argmin, recognised in a kernel and in a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from trueno import dtypes as dt
from trueno.codegen.expr import Expr
from trueno.codegen.stage import Loops
from trueno.ir.build import expand, reshape
from trueno.ir.elementwise import eq, isnan, logical_or, where
from trueno.ir.node import Node, make
from trueno.ir.reductions import first, max, min

Value = TypeVar("Value", Node, Expr)


@dataclass(frozen=True, slots=True)
class Search:
    """The parts of ``first(where(chosen, index, otherwise))``, where what is chosen equals an extreme of the row.

    Attributes
    ----------
    chosen, index, otherwise : Expr
    extreme : Expr
        The reduction, max or min, whose value is searched for.
    """

    chosen: Expr
    index: Expr
    otherwise: Expr
    extreme: Expr

    @property
    def conditions(self) -> tuple[Expr, ...]:
        """Conditions of which the first one met finds the index: where no element equals the extreme, a NaN is it."""
        return (self.chosen,) if self.chosen.op is eq else (self.chosen.src[0], self.chosen.src[1])


def extreme_of(found: Value) -> Value | None:
    """Return the reduction, max or min, whose first place a `first` reduction finds; None for any other value."""
    if found.op is not first or found.src[0].op is not where:
        return None
    chosen = found.src[0].src[0]
    if chosen.op is logical_or and chosen.src[1].op is isnan:
        chosen, tested = chosen.src[0], chosen.src[1].src[0]
    else:
        tested = None
    if chosen.op is not eq:
        return None
    x, extreme = chosen.src
    while extreme.op is expand:
        extreme = extreme.src[0]
    same = extreme.op in (max, min) and extreme.src[0] is x and tested in (None, x)
    return extreme if same else None


def search_among(found: Node, indices: Node, extremes: Node) -> Node:
    """Return what `first` finds the index in, from the index of each block's extreme and that extreme.

    Parameters
    ----------
    found : Node
        The search over all elements.
    indices, extremes : Node
        As of the searched axis' blocks, which are the last axis.
    """
    extreme = extreme_of(found)
    assert extreme is not None
    otherwise = found.src[0].src[2]
    while otherwise.op is expand:
        otherwise = otherwise.src[0]
    shape = (*extremes.shape[:-1], 1)
    best = make(extreme.op, (extremes,), extremes.dtype, shape, (len(shape) - 1,))
    chosen = make(eq, (extremes, expand(best, shape=extremes.shape)), dt.bool_, extremes.shape)
    if dt.is_floating(extremes.dtype):
        chosen = make(logical_or, (chosen, make(isnan, (extremes,), dt.bool_, chosen.shape)), dt.bool_, chosen.shape)
    none = expand(reshape(otherwise, shape=()), shape=indices.shape)
    return make(where, (chosen, indices, none), indices.dtype, indices.shape)


def find_searches(loops: Loops) -> dict[int, Search]:
    """Return the searches of a stage that walks rows, by the identity of their expression."""
    found: dict[int, Search] = {}
    for expr in loops.order:
        extreme = extreme_of(expr) if expr.kind == "reduce" and len(loops.inner) == 1 else None
        if extreme is not None:
            chosen, index, otherwise = expr.src[0].src
            if index.kind == "iota" and loops.accesses[loops.numbers[index.arg]][4] == (1,):
                found[id(expr)] = Search(chosen, index, otherwise, extreme)
    return found
