"""The walk of scans along rows, some rows at a time: an element of a scan waits for the one before it."""

from __future__ import annotations

from typing import Any

from trueno.codegen.rows import RowEmitter, Walk
from trueno.codegen.stage import Loops

#: Rows that are walked at a time.
ROWS = 4


def walks_beside(loops: Loops) -> bool:
    """Whether a stage that walks rows scans them, and nothing else: its rows may be walked at the same time."""
    kinds = [expr.kind for expr in loops.order]
    stored = {store.access for store in loops.stage.stores}
    read = {access.buffer for access in loops.numbers if access not in stored}
    apart = not read & {access.buffer for access in stored}
    simple = len(loops.inner) == 1 and not loops.stage.serial and not loops.stage.block
    plain = apart and all(store.index is None for store in loops.stage.stores)
    return simple and plain and "scan" in kinds and "reduce" not in kinds


class ScanEmitter(RowEmitter):
    """Prints a stage that `walks_beside`."""

    def _short_rows(self, first: Any, end: Any, bases: list[Any]) -> None:
        p = self.p
        several = p.arith("mul", p.arith("div", p.arith("sub", end, first), p.index(ROWS)), p.index(ROWS))
        middle = p.arith("add", first, several)
        self.beside: list[list[Any]] = []
        with p.loop(first, middle, ROWS) as row:
            for k in range(ROWS):
                # The last of them prints the walk, of all.
                self.waits = k < ROWS - 1
                self._task(p.arith("add", row, p.index(k)), bases)
        super()._short_rows(middle, end, bases)

    def _reduce(self, pointers: list[Any], begin: Any) -> None:
        self.beside.append(pointers)
        if self.waits:
            return
        p = self.p
        rows, self.beside = self.beside, []
        for sums, scans, late in self._phases():
            walks = [Walk(sums, scans, late, pointers=row) for row in rows]
            for walk in walks:
                for expr in scans:
                    walk.accumulators[id(expr)] = p.variable(self._carried(expr))
                    self._restart(expr, walk.accumulators[id(expr)])
            with p.vector_loop(p.index(0), self.extents[-1], False) as i:
                for walk in walks:
                    self._step_of(walk, i)
        self.pointers = pointers

    def _step_of(self, walk: Walk, i: Any) -> None:
        """Print an element of a row."""
        self.pointers = self._step(walk.pointers, 0, i, vector=True)
        memo = dict(self.memo)
        for expr in walk.scans:
            memo[id(expr)] = self._scan(expr, walk.accumulators[id(expr)], self._value(expr.src[0], memo))
        self._write_all(walk.stores, memo)
