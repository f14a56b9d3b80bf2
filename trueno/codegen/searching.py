"""The walk along a row that finds the place of an extreme: which block holds it is noted while the extreme is found."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.emit import StageEmitter, start_value
from trueno.codegen.expr import Expr
from trueno.codegen.expressions import applied
from trueno.codegen.search import Search
from trueno.ir.elementwise import eq, ge, le, logical_and, logical_not, maximum, where
from trueno.ir.op import Op

#: Elements of a row after which it is noted whether they held a better extreme.
SEARCH_BLOCK = 1024


class SearchEmitter(StageEmitter):
    """The part of a walk along rows that searches them.

    Attributes
    ----------
    blocks : dict
        By the identity of an extreme that is searched for: the best so far, and where its block begins.
    """

    blocks: dict[int, tuple[Any, Any]]

    def _tracking(self, nest: ExitStack, tracked: list[Expr], accumulators: dict[int, Any]) -> tuple[Any, Any]:
        """Enter a loop over blocks that notes the first in which each extreme is; return a block's bounds."""
        p = self.p
        for expr in tracked:
            best, place = self.blocks[id(expr)] = (p.variable(expr.dtype), p.variable(dt.int64))
            p.set(best, p.const(start_value(expr), expr.dtype))
            p.set(place, p.from_index(p.index(0), dt.int64))
        low = nest.enter_context(p.loop(p.index(0), self.extents[-1], SEARCH_BLOCK))
        for expr in tracked:
            p.set(accumulators[id(expr)], p.const(start_value(expr), expr.dtype))

        def note() -> None:
            for expr in tracked:
                self._note(expr, p.get(accumulators[id(expr)]), low)

        nest.callback(note)
        return low, p.arith("min", self.extents[-1], p.arith("add", low, p.index(SEARCH_BLOCK)))

    def _note(self, expr: Expr, new: Any, low: Any) -> None:
        """Keep a block's extreme if it is better than the best before, or the first NaN."""
        p, dtype = self.p, expr.dtype
        best, place = self.blocks[id(expr)]
        old = p.get(best)
        assert expr.op is not None
        no_better = self._row(ge if expr.op.combine is not maximum else le, dt.bool_, (new, dtype), (old, dtype))
        better = self._row(logical_not, dt.bool_, (no_better, dt.bool_))
        number = self._row(eq, dt.bool_, (old, dtype), (old, dtype))
        better = self._row(logical_and, dt.bool_, (better, dt.bool_), (number, dt.bool_))
        index = p.from_index(low, dt.int64)
        p.set(place, self._chosen(better, index, p.get(place), dt.int64))
        p.set(best, self._chosen(better, new, old, dtype))

    def _found(self, expr: Expr, search: Search, pointers: list[Any]) -> Any:
        """Print a search through the block that holds the extreme; return the index."""
        p = self.p
        tracked = self.blocks.get(id(search.extreme))
        low = p.index(0) if tracked is None else p.as_index(p.get(tracked[1]), dt.int64)
        high = p.arith("min", self.extents[-1], p.arith("add", low, p.index(SEARCH_BLOCK)))
        moved = self._step(pointers, 0, low, vector=True)
        nearest, none = p.variable(dt.int32), p.const(SEARCH_BLOCK, dt.int32)
        p.set(nearest, none)
        self._hoist([search.chosen])
        extent = p.arith("sub", high, low)
        for condition in search.conditions:
            with p.vector_loop(p.index(0), extent, True, interleave=1, masked=bool(self.loops.short)) as i:
                self.pointers = self._step(moved, 0, i, vector=True)
                chosen = self._value(condition, dict(self.memo))
                value = self._chosen(chosen, p.from_index(i, dt.int32), none, dt.int32)
                p.set(nearest, p.combine(expr, p.get(nearest), value, dt.int32))
            missing = self._row(eq, dt.bool_, (p.get(nearest), dt.int32), (none, dt.int32))
            again = self._chosen(missing, p.from_index(extent, dt.int64), p.const(0, dt.int64), dt.int64)
            extent = p.as_index(again, dt.int64)
        self.pointers = moved
        first = p.as_index(self._value(search.index, dict(self.memo)), search.index.dtype)
        place = p.from_index(p.arith("add", first, p.as_index(p.get(nearest), dt.int32)), expr.dtype)
        self._hoist([search.otherwise])
        return self._chosen(missing, self._value(search.otherwise, self.memo), place, expr.dtype)

    def _chosen(self, condition: Any, a: Any, b: Any, dtype: np.dtype) -> Any:
        return self._row(where, dtype, (condition, dt.bool_), (a, dtype), (b, dtype))

    def _row(self, op: Op, dtype: np.dtype, *operands: tuple[Any, np.dtype]) -> Any:
        """Print a row on values of the given dtypes."""
        sources = tuple(Expr("scalar", None, (), one, None) for _, one in operands)
        return applied(self.p, Expr("op", op, sources, dtype, None), [value for value, _ in operands])
