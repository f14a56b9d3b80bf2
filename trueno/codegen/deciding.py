"""The walk along rows whose reduction one element may decide: any and all end where they are known."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from trueno import dtypes as dt
from trueno.codegen.expr import Expr, Store
from trueno.codegen.rows import RowEmitter, Walk
from trueno.ir.elementwise import eq

if TYPE_CHECKING:
    from trueno.codegen.llvm import LLVMPrinter

#: Elements of a row after which it is looked whether they have decided it.
PIECE = 4096


def may_be_decided(expr: Expr) -> bool:
    """Whether an expression is a reduction of which a partial result may be all that counts."""
    return expr.kind == "reduce" and expr.op is not None and expr.op.absorbing is not None


class DecidingEmitter(RowEmitter):
    """Prints a stage that walks rows piece by piece, until no other element counts.

    Where tasks share a result (`Stage.shared`), they do nothing once another one has decided it. Which task does so
    depends on the threads, the result does not: only the absorbing element is stored.
    """

    p: LLVMPrinter

    def _reduce(self, pointers: list[Any], begin: Any) -> None:
        p = self.p
        if not self.loops.stage.shared:
            super()._reduce(pointers, begin)
            return
        (store,) = self.loops.stage.stores
        seen = p.load_shared(pointers[self.loops.numbers[store.access]], store.access.dtype)
        with p.when(self._is_decided(store.value, seen), holds=False):
            super()._reduce(pointers, begin)

    def _store_final(self, store: Store, pointer: Any) -> None:
        if not self.loops.stage.shared:
            super()._store_final(store, pointer)
            return
        value = self._value(store.value, self.memo)
        with self.p.when(self._is_decided(store.value, value)):
            self.p.store_shared(pointer, value, store.access.dtype)

    def _is_decided(self, expr: Expr, value: Any) -> Any:
        assert expr.op is not None
        known = self.p.const(expr.op.absorbing, expr.dtype)
        return self._row(eq, dt.bool_, (value, expr.dtype), (known, expr.dtype))

    def _ends_early(self, walk: Walk) -> bool:
        alone = len(walk.sums) == 1 and not (walk.scans or walk.stores or self.loops.short or self.loops.stage.partial)
        return alone and may_be_decided(walk.sums[0])

    def _around(self, walk: Walk, high: Any, low: Any = "0", step: int = 1) -> AbstractContextManager[Any]:
        if not self._ends_early(walk):
            return super()._around(walk, high)
        (expr,) = walk.sums
        accumulator = walk.accumulators[id(expr)]
        return self.p.loop(low, high, step, until=lambda: self._is_decided(expr, self.p.get(accumulator)))

    def _walk(self, walk: Walk, low: Any, high: Any) -> None:
        if not self._ends_early(walk):
            super()._walk(walk, low, high)
            return
        p = self.p
        with self._around(walk, high, low, PIECE) as begin:
            # What earlier pieces gave is the neutral element.
            self._restart(walk.sums[0], walk.accumulators[id(walk.sums[0])])
            super()._walk(walk, begin, p.arith("min", high, p.arith("add", begin, p.index(PIECE))))
