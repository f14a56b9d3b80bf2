"""The one walk from a stage to code. What differs between LLVM and OpenCL C is behind `Printer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import numpy as np

from trueno.codegen.expr import Expr
from trueno.codegen.expressions import ExpressionEmitter
from trueno.codegen.formula import formula_size, is_composite
from trueno.codegen.phases import find_spill, phases, varying
from trueno.codegen.stage import Loops, copied, meta_layout, vector_classes
from trueno.ir.node import Node
from trueno.ir.op import Op
from trueno.ir.reductions import neutral

#: Expansions of up to that many rows are computed anew rather than kept in memory between two loops.
CHEAP = 3


class RowPrinter(Protocol):
    """What a back end offers for rows: values, of whatever kind, in and out."""

    #: Which of a row's forms the printer takes: ``llvm`` or ``opencl``.
    backend: str

    def const(self, value: Any, dtype: np.dtype) -> Any: ...
    def cast(self, value: Any, source: np.dtype, target: np.dtype) -> Any: ...
    def apply(self, expr: Expr | Node, operands: list[Any]) -> Any: ...
    def instruction(self, expr: Expr | Node, operands: list[Any]) -> Any:
        """Print the instruction that the target has for a row with an expansion; None: it has none."""

    def branching(self, op: Op, nodes: Sequence[Node], operands: list[Any]) -> Any:
        """Print an expansion that ends in `unlikely` with a branch; return None to have it printed like the others."""


class Printer(RowPrinter, Protocol):
    """A target language. Values are opaque; index values are 64-bit integers."""

    #: Whether sums keep a second, wider accumulator (a serial loop needs it; a tree of work-items does not).
    wide_sums: bool
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
    def arith(self, op: str, a: Any, b: Any) -> Any:
        """``op`` is add, sub, mul, div, rem, min or max, on index values."""

    def base(self, buffer: Any, byte_offset: Any, dtype: np.dtype) -> Any: ...
    def advance(self, pointer: Any, elements: Any, dtype: np.dtype) -> Any: ...
    def load(self, pointer: Any, dtype: np.dtype) -> Any: ...
    def store(self, pointer: Any, value: Any, dtype: np.dtype) -> None: ...
    def add(self, a: Any, b: Any, dtype: np.dtype) -> Any: ...
    def float_add(self, a: Any, b: Any) -> Any:
        """Add in the wide accumulator's type, never reassociated; `float_sub` subtracts."""

    def float_sub(self, a: Any, b: Any) -> Any: ...
    def finite_or_zero(self, value: Any) -> Any: ...
    def combine(self, expr: Expr, a: Any, b: Any, dtype: np.dtype | None = None) -> Any:
        """Join two partial results of a reduction or scan, of its dtype or the one given; sums may be reassociated."""

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
        self, low: Any, high: Any, independent: bool, elementwise: bool = False, width: int = 0, interleave: int = 0,
        masked: bool = False,
    ) -> AbstractContextManager[Any]:  # fmt: skip
        """The innermost loop: iterations are spread over vector lanes or work-items.

        `width`, `interleave`: lanes of a vector and vectors at a time, where the printer shall not choose them.
        `masked`: whether what is left over is a vector in part, in place of single elements.
        """

    def carry(self, expr: Expr, value: Any) -> Any:
        """Return what a scan goes on from after `combine` gave this value."""

    def finish(self, expr: Expr, value: Any) -> Any:
        """Join the partial results of the work-items that shared an inner loop."""

    def once(self) -> AbstractContextManager[None]:
        """A block that one of the work-items sharing a task runs."""


class Mover(Printer, Protocol):
    """A target language whose stages may be `Loops.copies`."""

    def copy(self, target: Any, source: Any, elements: Any, dtype: np.dtype) -> None:
        """Move elements that lie side by side."""


def start_value(expr: Expr) -> Any:
    """Return the neutral element of a reduction or scan."""
    assert expr.op is not None
    return neutral(expr.op, expr.dtype)


def is_costly(expr: Expr, backend: str) -> bool:
    """Whether a back end prints an expansion of many rows for an expression."""
    if expr.op is None or not is_composite(expr.op, backend):
        return False
    if expr.kind != "op" or expr.op.name == "cast":
        return True
    operands = tuple(source.dtype for source in expr.src)
    return formula_size(expr.op, backend, operands, expr.dtype) > CHEAP


def is_flat(loops: Loops) -> bool:
    """Whether the tasks of a stage are consecutive pieces of a single loop."""
    return loops.elementwise and not loops.outer


class StageEmitter(ExpressionEmitter):
    """Prints one stage: the part that all walks share, and the walk of elementwise stages."""

    def __init__(self, loops: Loops, printer: Printer, end_task: Any = None, serial: bool = False) -> None:
        """Take a stage to print.

        `end_task`: where given, tasks up to this one are walked as one; only for stages that `is_flat`.
        `serial`: whether one thread runs a whole task. Then a costly value is kept in a result's memory between two
        walks over a row, and column-wise reductions take several rows for each access to their accumulators.
        """
        super().__init__(printer, loops.numbers)
        self.loops, self.end_task, self.serial = loops, end_task, serial
        self.places = meta_layout(loops)
        self.classes = vector_classes(loops)
        self.number = {id(expr): k for k, expr in enumerate(loops.order)}
        self.gathers = {id(e): self.places[f"gather{k}"] for k, e in enumerate(loops.order) if e.kind == "gather"}
        self.phase = phases(loops.order)
        self.varies = varying(loops)
        self.spill = find_spill(loops, self.phase, self.varies, self._is_costly) if serial else None
        self.now = 0
        self.constants: dict[int, Any] = {}

    def _kept(self, expr: Expr) -> Any:
        if self.spill is not None and expr is self.spill[0] and self.now > self.spill[1]:
            return self.p.load(self.pointers[self.spill[2]], expr.dtype)
        return None

    def _is_costly(self, expr: Expr) -> bool:
        return is_costly(expr, self.p.backend)

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
        bases: list[Any] = []
        for k, access in enumerate(loops.accesses):
            place = self.places[f"a{k}"]
            offset = p.meta(place + 1)
            if k in loops.near:
                bases.append(None)
                continue
            bases.append(offset if access[0] < 0 else p.base(p.meta(place), offset, access[1]))
        with p.tasks(p.meta(self.places["tasks"])) as task:
            if not loops.short:
                self._task(task, bases)
                return
            count = p.meta(self.places["rows"])
            first = p.arith("mul", task, count)
            self._short_rows(first, p.arith("min", self._rows(), p.arith("add", first, count)), bases)

    def _short_rows(self, first: Any, end: Any, bases: list[Any]) -> None:
        """Print the rows of a task."""
        with self.p.loop(first, end) as row:
            self._task(row, bases)

    def _rows(self) -> Any:
        """Return how many rows the stage has."""
        rows = self.p.index(1)
        for k in range(len(self.loops.outer)):
            rows = self.p.arith("mul", rows, self.p.meta(self.places["outer"] + k))
        return rows

    def _unravel(self, task: Any) -> tuple[list[Any], Any]:
        """Return the outer indices of a task, or short row, and where its part of the vector dimension begins."""
        p, loops = self.p, self.loops
        extents = [p.meta(self.places["outer"] + k) for k in range(len(loops.outer))]
        begin = p.index(0)
        if (loops.elementwise and not loops.short) or loops.columns:
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

    def _behind(self, k: int, pointers: list[Any]) -> Any:
        """Return where access k points from where the one does that steps as it does."""
        p, dtype = self.p, self.loops.accesses[k][1]
        leader, ahead = self.loops.near[k]
        distance = p.index(ahead)
        if not ahead:
            offset, other = (p.meta(self.places[f"a{one}"] + 1) for one in (k, leader))
            distance = p.arith("div", p.arith("sub", offset, other), p.index(dtype.itemsize))
        return p.advance(pointers[leader], distance, dtype)

    def _task(self, task: Any, bases: list[Any]) -> None:
        p, loops = self.p, self.loops
        indices, begin = self._unravel(task)
        pointers: list[Any] = []
        for k, base in enumerate(bases):
            if k in loops.near:
                pointers.append(self._behind(k, pointers))
                continue
            pointer = base
            for dim, index in enumerate(indices):
                pointer = self._move(pointer, k, p.arith("mul", index, self._stride(k, dim)))
            pointers.append(pointer)
        self.memo: dict[int, Any] = dict(self.constants)
        self.extents = [p.meta(self.places["inner"] + k) for k in range(len(loops.inner))]
        if loops.stage.block:
            size, extent = p.meta(self.places["block"]), p.meta(self.places["block"] + 1)
            self.extents[0] = p.arith("min", size, p.arith("sub", extent, p.arith("mul", indices[0], size)))
        if loops.elementwise:
            chunk = p.index(p.chunk)
            end = p.arith("add", begin, chunk) if self.end_task is None else p.arith("mul", self.end_task, chunk)
            end = p.arith("min", self.extents[0], end)
            self._elements(pointers, begin, end)
        else:
            self._reduce(pointers, begin)

    def _reduce(self, pointers: list[Any], begin: Any) -> None:
        """Print a task of a stage with reductions or scans; `begin`: where its part of the vector dimension begins."""
        raise AssertionError("an elementwise stage has no inner dimensions")

    def _phases(self) -> Iterator[tuple[list[Expr], list[Expr], list]]:
        """Yield, for each walk over the inner dimensions, the reductions and scans that it makes, and its stores."""
        final = self._final_stores()
        stores = list(enumerate(self.loops.stage.stores))
        for phase in range(max((self.phase[id(store.value)] for _, store in stores), default=0) + 1):
            sums = [e for e in self.loops.order if e.kind == "reduce" and self.phase[id(e)] == phase + 1]
            late = [one for one in stores if one not in final and self.phase[id(one[1].value)] == phase]
            self.now = phase
            if sums or late:
                yield sums, self._scans(sums, late), late

    def _final_stores(self) -> list[tuple[int, Any]]:
        return [
            (k, store) for k, store in enumerate(self.loops.stage.stores)
            if store.index is None and not self.varies[id(store.value)]
            and not any(self.loops.accesses[self.loops.numbers[store.access]][4])
        ]  # fmt: skip

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
            elif cls == "s":
                moved.append(self._move(pointer, k, p.arith("mul", index, self._stride(k, len(loops.outer) + dim))))
            else:
                moved.append(self._move(pointer, k, p.arith("mul", index, p.index(stride))))
        return moved

    def _elements(self, pointers: list[Any], low: Any, high: Any) -> None:
        """The single loop of an elementwise stage."""
        stores = list(enumerate(self.loops.stage.stores))
        if self.loops.copies:
            self._copy(pointers, low, high)
            return
        self.pointers = pointers
        self._hoist([store.value for _, store in stores])
        independent, short = not (self.loops.stage.serial or self.loops.apart), self.loops.short
        single = 1 if not short and self._moves_bytes() else 0
        with self.p.vector_loop(
            low, high, independent, True, single, 4 * single or int(bool(short)), short == "masked"
        ) as i:
            self.pointers = self._step(pointers, 0, i, vector=True)
            self._write_all(stores, dict(self.memo))

    def _moves_bytes(self) -> bool:
        """Whether narrow elements that lie apart are moved one by one: a vector would take an insertion for each."""
        stores = self.loops.stage.stores
        source = copied(stores[0]) if len(stores) == 1 else None
        if source is None or source.buffer < 0 or source.dtype.itemsize > 2:
            return False
        kinds = [self.classes[self.loops.numbers[one]] for one in (source, stores[0].access)]
        return kinds[0] in ("s", "2", "3") and kinds[1] == "1"

    def _copy(self, pointers: list[Any], low: Any, high: Any) -> None:
        """Move runs of memory."""
        p = cast("Mover", self.p)
        count = p.arith("sub", high, low)
        for store in self.loops.stage.stores:
            source = copied(store)
            assert source is not None
            target, given = (pointers[self.loops.numbers[one]] for one in (store.access, source))
            dtype = source.dtype
            p.copy(p.advance(target, low, dtype), p.advance(given, low, dtype), count, dtype)

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
