"""The one walk from a stage to code. What differs between LLVM and OpenCL C is behind `Printer`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.expr import Expr
from trueno.codegen.expressions import ExpressionEmitter
from trueno.codegen.formula import is_composite
from trueno.codegen.phases import find_spill, phases, varying
from trueno.codegen.stage import Loops, meta_layout, vector_classes
from trueno.ir.elementwise import add
from trueno.ir.node import Node


class Printer(Protocol):
    """A target language. Values are opaque; index values are 64-bit integers."""

    #: Whether sums keep a second, wider accumulator (a serial loop needs it; a tree of work-items does not).
    wide_sums: bool
    #: Which of a row's forms the printer takes: ``llvm`` or ``opencl``.
    backend: str
    #: Elements of the innermost dimension that one task of an elementwise stage handles.
    chunk: int
    #: Columns that one task of a column-wise reduction handles.
    columns: int
    #: Elements after which a sum's partial result moves on to the wide accumulator, along rows and down columns.
    run: int
    run_columns: int
    #: Type of the wide accumulator.
    wide: np.dtype

    def comment(self, text: str) -> None: ...
    def index(self, value: int) -> Any: ...
    def meta(self, place: int) -> Any: ...
    def scalar(self, slot: Any, dtype: np.dtype) -> Any: ...
    def const(self, value: Any, dtype: np.dtype) -> Any: ...
    def arith(self, op: str, a: Any, b: Any) -> Any:
        """``op`` is add, sub, mul, div, rem, min or max, on index values."""

    def base(self, buffer: Any, byte_offset: Any, dtype: np.dtype) -> Any: ...
    def advance(self, pointer: Any, elements: Any, dtype: np.dtype) -> Any: ...
    def load(self, pointer: Any, dtype: np.dtype) -> Any: ...
    def store(self, pointer: Any, value: Any, dtype: np.dtype) -> None: ...
    def apply(self, expr: Expr | Node, operands: list[Any]) -> Any: ...
    def add(self, a: Any, b: Any, dtype: np.dtype) -> Any: ...
    def float_add(self, a: Any, b: Any) -> Any:
        """Add in the wide accumulator's type, never reassociated; `float_sub` subtracts."""

    def float_sub(self, a: Any, b: Any) -> Any: ...
    def finite_or_zero(self, value: Any) -> Any: ...
    def cast(self, value: Any, source: np.dtype, target: np.dtype) -> Any: ...
    def combine(self, expr: Expr, a: Any, b: Any) -> Any:
        """Join two partial results of a reduction or scan; sums may be reassociated."""

    def variable(self, dtype: np.dtype, count: int = 1) -> Any: ...
    def get(self, variable: Any, at: Any = None) -> Any: ...
    def set(self, variable: Any, value: Any, at: Any = None) -> None: ...
    def as_index(self, value: Any, dtype: np.dtype) -> Any: ...
    def from_index(self, value: Any, dtype: np.dtype) -> Any: ...
    def wrap(self, index: Any, extent: Any) -> Any:
        """Return a possibly negative index counted from the end, kept within the extent."""

    def tasks(self, count: Any) -> AbstractContextManager[Any]: ...
    def loop(self, low: Any, high: Any, step: int = 1) -> AbstractContextManager[Any]: ...
    def vector_loop(
        self, low: Any, high: Any, independent: bool, elementwise: bool = False
    ) -> AbstractContextManager[Any]:
        """The innermost loop: iterations are spread over vector lanes or work-items."""

    def carry(self, expr: Expr, value: Any) -> Any:
        """Return what a scan goes on from after `combine` gave this value."""

    def finish(self, expr: Expr, value: Any) -> Any:
        """Join the partial results of the work-items that shared an inner loop."""

    def once(self) -> AbstractContextManager[None]:
        """A block that one of the work-items sharing a task runs."""


def start_value(expr: Expr) -> Any:
    """Return the neutral element of a reduction or scan."""
    assert expr.op is not None
    start = expr.op.start
    return {"lowest": dt.lowest, "highest": dt.highest}[start](expr.dtype) if isinstance(start, str) else start


def is_flat(loops: Loops) -> bool:
    """Whether the tasks of a stage are consecutive pieces of a single loop."""
    return loops.elementwise and not loops.outer


class StageEmitter(ExpressionEmitter):
    """Prints one stage."""

    def __init__(self, loops: Loops, printer: Printer, end_task: Any = None, serial: bool = False) -> None:
        """Take a stage to print.

        `end_task`: where given, tasks up to this one are walked as one; only for stages that `is_flat`.
        `serial`: whether one thread runs a whole task. Then a costly value is kept in a result's memory between two
        walks over a row, and column-wise reductions take several rows for each access to their accumulators.
        """
        super().__init__(printer, loops.numbers)
        self.loops, self.end_task = loops, end_task
        self.places = meta_layout(loops)
        self.classes = vector_classes(loops)
        self.number = {id(expr): k for k, expr in enumerate(loops.order)}
        self.gathers = {id(e): self.places[f"gather{k}"] for k, e in enumerate(loops.order) if e.kind == "gather"}
        self.phase = phases(loops)
        self.varies = varying(loops)
        self.spill = find_spill(loops, self.phase, self.varies, self._is_costly) if serial else None
        costly = any(self._is_costly(expr) for expr in loops.order)
        self.rows = 4 if serial and not costly else 1
        self.now = 0
        self.constants: dict[int, Any] = {}
        self.reduced: dict[int, Any] = {}

    def _kept(self, expr: Expr) -> Any:
        if self.spill is not None and expr is self.spill[0] and self.now > self.spill[1]:
            return self.p.load(self.pointers[self.spill[2]], expr.dtype)
        return None

    def _is_costly(self, expr: Expr) -> bool:
        return expr.op is not None and is_composite(expr.op, self.p.backend)

    # --- the walk -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Print the stage's body: all tasks, each with its phases."""
        p, loops = self.p, self.loops
        for expr in loops.order:
            if expr.kind == "const":
                self.constants[id(expr)] = p.const(expr.arg, expr.dtype)
            elif expr.kind == "scalar":
                slot = p.meta(self.places[f"scalar{self.number[id(expr)]}"])
                self.constants[id(expr)] = p.scalar(slot, expr.dtype)
        bases = []
        for k, access in enumerate(loops.accesses):
            place = self.places[f"a{k}"]
            offset = p.meta(place + 1)
            bases.append(offset if access[0] < 0 else p.base(p.meta(place), offset, access[1]))
        if loops.columns:
            self.blocks = [p.variable(dtype, p.columns) for dtype in self._accumulator_dtypes()]
        with p.tasks(p.meta(self.places["tasks"])) as task:
            self._task(task, bases)

    def _accumulator_dtypes(self) -> list[np.dtype]:
        p, dtypes = self.p, []
        for expr in self.loops.order:
            if expr.kind in ("reduce", "scan"):
                dtypes += [expr.dtype] + ([p.wide, p.wide] if self._is_float_sum(expr) else [])
        return dtypes

    def _is_float_sum(self, expr: Expr) -> bool:
        assert expr.op is not None
        return self.p.wide_sums and expr.kind == "reduce" and expr.op.combine is add and dt.is_floating(expr.dtype)

    def _unravel(self, task: Any) -> tuple[list[Any], Any]:
        """Return the outer indices of a task, and where its part of the vector dimension begins."""
        p, loops = self.p, self.loops
        extents = [p.meta(self.places["outer"] + k) for k in range(len(loops.outer))]
        begin = p.index(0)
        if loops.elementwise or loops.columns:
            step = p.chunk if loops.elementwise else p.columns
            extent = p.meta(self.places["inner"]) if loops.elementwise else extents.pop()
            parts = p.arith("div", p.arith("add", extent, p.index(step - 1)), p.index(step))
            if extents:
                part = p.arith("rem", task, parts)
                task = p.arith("div", task, parts)
            else:
                part = task
            begin = p.arith("mul", part, p.index(step))
        indices: list[Any] = []
        for k in reversed(range(len(extents))):
            if k:
                indices.append(p.arith("rem", task, extents[k]))
                task = p.arith("div", task, extents[k])
            else:
                indices.append(task)
        return indices[::-1], begin

    def _move(self, pointer: Any, k: int, elements: Any) -> Any:
        buffer, dtype = self.loops.accesses[k][:2]
        return self.p.arith("add", pointer, elements) if buffer < 0 else self.p.advance(pointer, elements, dtype)

    def _stride(self, k: int, dim: int) -> Any:
        """Return the run-time stride of access k along outer dims, then inner dims."""
        return self.p.meta(self.places[f"a{k}"] + 2 + dim)

    def _task(self, task: Any, bases: list[Any]) -> None:
        p, loops = self.p, self.loops
        indices, begin = self._unravel(task)
        pointers = []
        for k, base in enumerate(bases):
            pointer = base
            for dim, index in enumerate(indices):
                pointer = self._move(pointer, k, p.arith("mul", index, self._stride(k, dim)))
            pointers.append(pointer)
        self.memo: dict[int, Any] = dict(self.constants)
        self.extents = [p.meta(self.places["inner"] + k) for k in range(len(loops.inner))]
        if loops.stage.block:
            size, extent = p.meta(self.places["block"]), p.meta(self.places["block"] + 1)
            self.extents[0] = p.arith("min", size, p.arith("sub", extent, p.arith("mul", indices[0], size)))
        self.reduced = {}
        if loops.elementwise:
            chunk = p.index(p.chunk)
            end = p.arith("add", begin, chunk) if self.end_task is None else p.arith("mul", self.end_task, chunk)
            end = p.arith("min", self.extents[0], end)
            self._phase_loop(0, [], pointers, begin, end)
        elif loops.columns:
            last = p.meta(self.places["outer"] + len(loops.outer) - 1)
            end = p.arith("min", last, p.arith("add", begin, p.index(p.columns)))
            self._columns(pointers, begin, end)
        else:
            self._rows(pointers)

    # --- rows: the inner dimensions are the vector ones ---------------------------------------------------------------

    def _final_stores(self) -> list[tuple[int, Any]]:
        return [
            (k, store) for k, store in enumerate(self.loops.stage.stores)
            if store.index is None and not self.varies[id(store.value)]
            and not any(self.loops.accesses[self.loops.numbers[store.access]][4])
        ]  # fmt: skip

    def _rows(self, pointers: list[Any]) -> None:
        p, loops = self.p, self.loops
        final = self._final_stores()
        phases = max((self.phase[id(store.value)] for store in loops.stage.stores), default=0)
        self.pointers = pointers
        for phase in range(phases + 1):
            sums = [e for e in loops.order if e.kind == "reduce" and self.phase[id(e)] == phase + 1]
            late = [
                (k, s)
                for k, s in enumerate(loops.stage.stores)
                if (k, s) not in final and self.phase[id(s.value)] == phase
            ]
            self.now = phase
            if sums or late:
                scans = self._scans(sums, late)
                self._row_phase(sums, scans, late, pointers, phase)
        with p.once():
            for _, store in final:
                k = loops.numbers[store.access]
                p.store(pointers[k], self._value(store.value, self.memo), store.access.dtype)

    def _scans(self, sums: list[Expr], stores: list) -> list[Expr]:
        """Return the scans that a phase needs; one that was walked in an earlier phase is walked again."""
        stack = [expr.src[0] for expr in sums] + [s.value for _, s in stores]
        needed: set[int] = set()
        while stack:
            expr = stack.pop()
            if id(expr) not in needed and expr.kind != "reduce":
                needed.add(id(expr))
                stack.extend(expr.src)
        return [expr for expr in self.loops.order if expr.kind == "scan" and id(expr) in needed]

    def _row_phase(self, sums: list[Expr], scans: list[Expr], stores: list, pointers: list[Any], phase: int) -> None:
        p = self.p
        accumulators: dict[int, Any] = {}
        totals: dict[int, Any] = {}
        for expr in (*sums, *scans):
            accumulators[id(expr)] = p.variable(expr.dtype)
            p.set(accumulators[id(expr)], p.const(start_value(expr), expr.dtype))
            if self._is_float_sum(expr):
                totals[id(expr)] = (p.variable(p.wide), p.variable(p.wide))
                for total in totals[id(expr)]:
                    p.set(total, p.const(0.0, p.wide))
        self._hoist([*(e.src[0] for e in (*sums, *scans)), *(s.value for _, s in stores)])
        with ExitStack() as nest:
            moved = list(pointers)
            for dim in range(len(self.loops.inner) - 1):
                i = nest.enter_context(p.loop(p.index(0), self.extents[dim]))
                moved = self._step(moved, dim, i)
            with (
                self._runs(totals, accumulators, sums, p.run) as (low, high),
                self._vector(low, high, scans, stores) as i,
            ):
                at = self._step(moved, len(self.loops.inner) - 1, i, vector=True)
                memo = dict(self.memo)
                self.pointers = at
                self._body(sums, scans, stores, accumulators, memo)
        for expr in sums:
            value = self._total(totals[id(expr)], expr) if id(expr) in totals else p.get(accumulators[id(expr)])
            self.memo[id(expr)] = p.finish(expr, value)
        self.pointers = pointers

    def _hoist(self, roots: list[Expr]) -> None:
        """Evaluate before the loop what does not change in it."""
        stack, seen = list(roots), set()
        while stack:
            expr = stack.pop()
            if id(expr) in seen or id(expr) in self.memo:
                continue
            seen.add(id(expr))
            if not self.varies[id(expr)]:
                if expr.kind != "reduce":
                    self._value(expr, self.memo)
            elif expr.kind not in ("reduce",):
                stack.extend(expr.src)

    @contextmanager
    def _runs(self, totals: dict, accumulators: dict, sums: list[Expr], run: int) -> Iterator[tuple[Any, Any]]:
        """Walk the innermost dimension, in runs when sums move on to a wide accumulator after each."""
        p = self.p
        extent = self.extents[-1]
        if not totals:
            yield p.index(0), extent
            return
        with p.loop(p.index(0), extent, run) as low:
            for expr in sums:
                if id(expr) in totals:
                    p.set(accumulators[id(expr)], p.const(start_value(expr), expr.dtype))
            yield low, p.arith("min", extent, p.arith("add", low, p.index(run)))
            for expr in sums:
                if id(expr) in totals:
                    self._add_wide(totals[id(expr)], p.cast(p.get(accumulators[id(expr)]), expr.dtype, p.wide))

    def _add_wide(self, total: tuple[Any, Any], value: Any, at: Any = None) -> None:
        """Add to a compensated sum (Neumaier's TwoSum, Knuth, TAOCP 2, 4.2.2)."""
        p = self.p
        p.comment("compensated addition")
        high, low = p.get(total[0], at), p.get(total[1], at)
        s = p.float_add(high, value)
        back = p.float_sub(s, high)
        error = p.float_add(p.float_sub(high, p.float_sub(s, back)), p.float_sub(value, back))
        # An infinite sum would leave NaN in the error term.
        p.set(total[1], p.float_add(low, p.finite_or_zero(error)), at)
        p.set(total[0], s, at)

    def _total(self, total: tuple[Any, Any], expr: Expr, at: Any = None) -> Any:
        p = self.p
        return p.cast(p.float_add(p.get(total[0], at), p.get(total[1], at)), p.wide, expr.dtype)

    def _vector(self, low: Any, high: Any, scans: list[Expr], stores: list) -> AbstractContextManager[Any]:
        independent = not scans and not any(store.index is not None for _, store in stores)
        return self.p.vector_loop(low, high, independent)

    def _step(self, pointers: list[Any], dim: int, index: Any, vector: bool = False) -> list[Any]:
        """Return the pointers moved along an inner dimension."""
        p, loops = self.p, self.loops
        moved = []
        for k, pointer in enumerate(pointers):
            stride = loops.accesses[k][4][dim]
            cls = self.classes[k] if vector and not loops.columns else ("0" if stride == 0 else "s")
            if loops.columns and dim == len(loops.inner) - 1:
                cls = str(stride) if stride in (0, 1) else "s"
            if cls == "0":
                moved.append(pointer)
            elif cls == "1":
                moved.append(self._move(pointer, k, index))
            else:
                moved.append(self._move(pointer, k, p.arith("mul", index, self._stride(k, len(loops.outer) + dim))))
        return moved

    def _phase_loop(self, phase: int, scans: list[Expr], pointers: list[Any], low: Any, high: Any) -> None:
        """The single loop of an elementwise stage."""
        stores = list(enumerate(self.loops.stage.stores))
        self.pointers = pointers
        self._hoist([store.value for _, store in stores])
        with self.p.vector_loop(low, high, not self.loops.stage.serial, elementwise=True) as i:
            self.pointers = self._step(pointers, 0, i, vector=True)
            self._body([], scans, stores, {}, dict(self.memo))

    def _body(self, sums: list[Expr], scans: list[Expr], stores: list, accumulators: dict, memo: dict) -> None:
        p = self.p
        for expr in scans:
            value = p.combine(expr, p.get(accumulators[id(expr)]), self._value(expr.src[0], memo))
            p.set(accumulators[id(expr)], p.carry(expr, value))
            memo[id(expr)] = value
        for expr in sums:
            value = self._value(expr.src[0], memo)
            p.set(accumulators[id(expr)], p.combine(expr, p.get(accumulators[id(expr)]), value))
        self._keep_spilled(memo)
        self._write_all(stores, memo)

    def _keep_spilled(self, memo: dict) -> None:
        """Store what a later phase reads back."""
        if self.spill is not None and self.spill[1] == self.now:
            expr, _, number = self.spill
            self.p.store(self.pointers[number], memo[id(expr)], expr.dtype)

    def _write_all(self, stores: list, memo: dict) -> None:
        """Write the results of one point, all read before the first is written: a result may replace an operand."""
        for _, store in stores:
            self._value(store.value, memo)
        for k, store in stores:
            self._write(k, store, memo)

    def _write(self, k: int, store: Any, memo: dict) -> None:
        p = self.p
        number = self.loops.numbers[store.access]
        pointer = self.pointers[number]
        value = self._value(store.value, memo)
        if store.index is not None:
            place = self.places[f"scatter{k}"]
            index = p.as_index(self._value(store.index, memo), store.index.dtype)
            index = p.wrap(index, p.meta(place))
            pointer = p.advance(pointer, p.arith("mul", index, p.meta(place + 1)), store.access.dtype)
            before = p.load(pointer, store.access.dtype)
            value = p.add(before, value, store.access.dtype)
        p.store(pointer, value, store.access.dtype)

    # --- columns: the last outer dimension is the vector one ----------------------------------------------------------

    def _columns(self, pointers: list[Any], begin: Any, end: Any) -> None:
        p, loops = self.p, self.loops
        dim = len(loops.outer) - 1
        width = p.arith("sub", end, begin)
        start = [
            self._move(ptr, k, p.arith("mul", begin, self._stride(k, dim))) if loops.accesses[k][3][dim] else ptr
            for k, ptr in enumerate(pointers)
        ]
        blocks = iter(self.blocks)
        arrays: dict[int, Any] = {}
        totals: dict[int, Any] = {}
        for expr in loops.order:
            if expr.kind in ("reduce", "scan"):
                arrays[id(expr)] = next(blocks)
                if self._is_float_sum(expr):
                    totals[id(expr)] = (next(blocks), next(blocks))
        final = self._final_stores()
        phases = max((self.phase[id(store.value)] for store in loops.stage.stores), default=0)
        self.arrays = arrays
        for phase in range(phases + 1):
            sums = [e for e in loops.order if e.kind == "reduce" and self.phase[id(e)] == phase + 1]
            late = [
                (k, s)
                for k, s in enumerate(loops.stage.stores)
                if (k, s) not in final and self.phase[id(s.value)] == phase
            ]
            self.now = phase
            if sums or late:
                scans = self._scans(sums, late)
                self._column_phase(sums, scans, late, start, width, totals)
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
    def _column_loop(self, pointers: list[Any], width: Any, independent: bool = True) -> Iterator[dict]:
        p = self.p
        with p.vector_loop(p.index(0), width, independent) as c:
            self.pointers = self._at_column(pointers, c)
            memo = dict(self.constants)
            for key in self.done_columns:
                memo[key] = p.get(self.arrays[key], c)
            self.column = c
            yield memo

    @property
    def done_columns(self) -> list[int]:
        """Reductions that are complete, by identity of their expression."""
        return list(self.reduced)

    def _column_phase(
        self, sums: list[Expr], scans: list[Expr], stores: list, start: list[Any], width: Any, totals: dict
    ) -> None:
        p, loops = self.p, self.loops
        with p.vector_loop(p.index(0), width, True) as c:
            for expr in (*sums, *scans):
                p.set(self.arrays[id(expr)], p.const(start_value(expr), expr.dtype), c)
                if id(expr) in totals:
                    for total in totals[id(expr)]:
                        p.set(total, p.const(0.0, p.wide), c)
        wide = [expr for expr in sums if id(expr) in totals]
        with ExitStack() as nest:
            moved = list(start)
            for dim in range(len(loops.inner) - 1):
                i = nest.enter_context(p.loop(p.index(0), self.extents[dim]))
                moved = self._step(moved, dim, i)
            low, high = p.index(0), self.extents[-1]
            if wide:
                low = nest.enter_context(p.loop(p.index(0), self.extents[-1], p.run_columns))
                high = p.arith("min", self.extents[-1], p.arith("add", low, p.index(p.run_columns)))
                with p.vector_loop(p.index(0), width, True) as c:
                    for expr in wide:
                        p.set(self.arrays[id(expr)], p.const(start_value(expr), expr.dtype), c)
            if self.rows > 1 and not scans and not stores:
                low = self._several_rows(sums, moved, low, high, width)
            with p.loop(low, high) as i:
                at = self._step(moved, len(loops.inner) - 1, i)
                with self._column_loop(at, width) as memo:
                    self._column_body(sums, scans, stores, memo)
            if wide:
                with p.vector_loop(p.index(0), width, True) as c:
                    for expr in wide:
                        part = p.cast(p.get(self.arrays[id(expr)], c), expr.dtype, p.wide)
                        self._add_wide(totals[id(expr)], part, c)
        if wide:
            with p.vector_loop(p.index(0), width, True) as c:
                for expr in wide:
                    p.set(self.arrays[id(expr)], self._total(totals[id(expr)], expr, c), c)
        for expr in sums:
            self.reduced[id(expr)] = True

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
                    value = p.get(self.arrays[id(expr)], self.column)
                    for self.pointers, known in memos:
                        value = p.combine(expr, value, self._value(expr.src[0], known))
                    p.set(self.arrays[id(expr)], value, self.column)
        return end

    def _column_body(self, sums: list[Expr], scans: list[Expr], stores: list, memo: dict) -> None:
        p, c = self.p, self.column
        for expr in (*scans, *sums):
            value = p.combine(expr, p.get(self.arrays[id(expr)], c), self._value(expr.src[0], memo))
            p.set(self.arrays[id(expr)], value, c)
            if expr.kind == "scan":
                memo[id(expr)] = value
        self._keep_spilled(memo)
        self._write_all(stores, memo)
