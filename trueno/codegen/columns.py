"""The walk down columns: the reduced dimensions step across memory, and the last outer one is the vector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from trueno.codegen.emit import StageEmitter, start_value
from trueno.codegen.expr import Expr
from trueno.codegen.sums import SumEmitter

#: Rows that are taken for each access to the accumulators, where their elements are cheap to come by.
ROWS = 4


class ColumnEmitter(SumEmitter, StageEmitter):
    """Prints a stage whose tasks each walk down a block of columns, with accumulators side by side."""

    def run(self) -> None:
        """Print the stage's body: all tasks, each with its phases."""
        p = self.p
        folded = [expr for expr in self.loops.order if expr.kind in ("reduce", "scan")]
        self.arrays = {id(expr): p.variable(expr.dtype, p.columns) for expr in folded}
        self.totals = {
            id(expr): tuple(p.variable(p.wide, p.columns) for _ in range(self._totals(expr)))
            for expr in folded if self._totals(expr)
        }  # fmt: skip
        self.costly = any(self._is_costly(expr) for expr in self.loops.order)
        self.rows = ROWS if self.serial and not self.costly and not self.loops.stage.partial else 1
        super().run()

    def _reduce(self, pointers: list[Any], begin: Any) -> None:
        p, loops = self.p, self.loops
        dim = len(loops.outer) - 1
        last = p.meta(self.places["outer"] + dim)
        width = p.arith("sub", p.arith("min", last, p.arith("add", begin, p.index(p.columns))), begin)
        start = [
            self._move(ptr, k, p.arith("mul", begin, self._stride(k, dim))) if loops.accesses[k][3][dim] else ptr
            for k, ptr in enumerate(pointers)
        ]
        # Reductions that are complete, by identity of their expression.
        self.done: list[int] = []
        for sums, scans, late in self._phases():
            self._column_phase(sums, scans, late, start, width)
        final = self._final_stores()
        if final:
            with self._column_loop(start, width) as memo:
                for k, store in final:
                    self._write(k, store, memo)

    def _at_column(self, pointers: list[Any], c: Any) -> list[Any]:
        """Return the pointers moved along the vector dimension."""
        dim, moved = len(self.loops.outer) - 1, []
        for k, pointer in enumerate(pointers):
            cls = self.classes[k]
            if cls == "0":
                moved.append(pointer)
            else:
                step = c if cls == "1" else self.p.arith("mul", c, self._stride(k, dim))
                moved.append(self._move(pointer, k, step))
        return moved

    @contextmanager
    def _column_loop(self, pointers: list[Any], width: Any) -> Iterator[dict]:
        p = self.p
        with p.vector_loop(p.index(0), width, True) as c:
            self.pointers = self._at_column(pointers, c)
            memo = dict(self.constants)
            for key in self.done:
                memo[key] = p.get(self.arrays[key], c)
            self.column = c
            yield memo

    def _column_phase(self, sums: list[Expr], scans: list[Expr], stores: list, start: list[Any], width: Any) -> None:
        p, loops = self.p, self.loops
        # One after the other, sums of a narrow type would lose more than a pairwise sum. A tree of work-items does not.
        wide = [expr for expr in sums if id(expr) in self.totals]
        runs = [] if self.serial else wide
        with p.vector_loop(p.index(0), width, True) as c:
            for expr in (*sums, *scans):
                self._restart(expr, c)
                for total in self.totals.get(id(expr), ()):
                    p.set(total, p.const(0.0, p.wide), c)
        with ExitStack() as nest:
            moved = list(start)
            for dim in range(len(loops.inner) - 1):
                i = nest.enter_context(p.loop(p.index(0), self.extents[dim]))
                moved = self._step(moved, dim, i)
            low, high = p.index(0), self.extents[-1]
            if runs:
                low = nest.enter_context(p.loop(p.index(0), self.extents[-1], p.run_columns))
                high = p.arith("min", self.extents[-1], p.arith("add", low, p.index(p.run_columns)))
                with p.vector_loop(p.index(0), width, True) as c:
                    for expr in runs:
                        self._restart(expr, c)
            if self.rows > 1 and not scans and not stores:
                low = self._several_rows(sums, moved, low, high, width)
            with p.loop(low, high) as i:
                at = self._step(moved, len(loops.inner) - 1, i)
                with self._column_loop(at, width) as memo:
                    self._column_body(sums, scans, stores, memo)
                self._fold_kept(sums, width)
            if runs:
                with p.vector_loop(p.index(0), width, True) as c:
                    for expr in runs:
                        self._add_wide(self.totals[id(expr)], self._widen(p.get(self.arrays[id(expr)], c), expr), c)
        if wide:
            with p.vector_loop(p.index(0), width, True) as c:
                for expr in wide:
                    p.set(self.arrays[id(expr)], self._total(self.totals[id(expr)], expr, c), c)
        self.done += [id(expr) for expr in sums]

    def _restart(self, expr: Expr, c: Any) -> None:
        self.p.set(self.arrays[id(expr)], self.p.const(start_value(expr), expr.dtype), c)

    def _several_rows(self, sums: list[Expr], pointers: list[Any], low: Any, high: Any, width: Any) -> Any:
        """Reduce `rows` rows at a time; return the first one that is left."""
        p, dim = self.p, len(self.loops.inner) - 1
        count = p.index(self.rows)
        end = p.arith("add", low, p.arith("mul", p.arith("div", p.arith("sub", high, low), count), count))
        with p.loop(low, end, self.rows) as i:
            rows = [self._step(pointers, dim, p.arith("add", i, p.index(k))) for k in range(self.rows)]
            with self._column_loop(rows[0], width) as memo:
                memos = [(self.pointers, memo)]
                memos += [(self._at_column(row, self.column), dict(memo)) for row in rows[1:]]
                for expr in sums:
                    values = []
                    for self.pointers, known in memos:
                        values.append(self._value(expr.src[0], known))
                    self._fold(expr, values)
        return end

    def _fold(self, expr: Expr, values: list[Any]) -> None:
        """Take the values of some rows into the accumulator of the column; of a sum, the sum of pairs of pairs."""
        p, c = self.p, self.column
        if self.serial and id(expr) in self.totals:
            self._add_wide(self.totals[id(expr)], self._widen(self._tree(values, expr), expr), c)
            return
        folded = p.get(self.arrays[id(expr)], c)
        for value in values:
            folded = p.combine(expr, folded, value)
        p.set(self.arrays[id(expr)], folded, c)

    def _is_kept(self, expr: Expr) -> bool:
        """Whether a row's values are computed in a loop before they are added up.

        A wide accumulator in that loop would halve the lanes of all that is computed there.
        """
        return self.costly and self._is_widened(expr)

    def _fold_kept(self, sums: list[Expr], width: Any) -> None:
        """Add a row's values that were kept to the accumulators."""
        kept = [expr for expr in sums if self._is_kept(expr)]
        if kept:
            with self.p.vector_loop(self.p.index(0), width, True) as self.column:
                for expr in kept:
                    self._fold(expr, [self.p.get(self.arrays[id(expr)], self.column)])

    def _column_body(self, sums: list[Expr], scans: list[Expr], stores: list, memo: dict) -> None:
        p, c = self.p, self.column
        for expr in scans:
            memo[id(expr)] = p.combine(expr, p.get(self.arrays[id(expr)], c), self._value(expr.src[0], memo))
            p.set(self.arrays[id(expr)], memo[id(expr)], c)
        for expr in sums:
            value = self._value(expr.src[0], memo)
            if self._is_kept(expr):
                p.set(self.arrays[id(expr)], value, c)
            else:
                self._fold(expr, [value])
        self._keep_spilled(memo)
        self._write_all(stores, memo)
