"""Elementwise stages of many pieces, printed as vectors: what they do not gain from LLVM's vectoriser.

A stage that stores many pieces (the transforms of codegen/winograd.py) reads and writes dozens of places at once, along
rows that are often shorter than a vector. The vectoriser takes half a second for such a loop, and leaves the ends of
rows to scalar code. Here each vector is masked, so that rows of any length take one loop. All accesses of a buffer with
the same strides share one pointer, from which each lies a fixed distance away. Accesses that take turns along memory
are whole vectors there, which are parted or woven in registers; other strided elements are gathered and scattered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.emit import StageEmitter
from trueno.codegen.expr import Expr
from trueno.codegen.formula import formula, is_composite
from trueno.codegen.llvm import LLVMPrinter, Module
from trueno.codegen.llvm_types import register_type
from trueno.codegen.passes import Passes
from trueno.codegen.stage import VECTOR_CHUNK, VECTOR_ROWS, Loops, relations
from trueno.codegen.target import Target
from trueno.ir.node import Node
from trueno.ir.op import Op

#: Bytes of a vector.
_WIDTH = 64
#: Pieces from which on a stage is not optimised.
_GRID = 16
#: The index of a gathered element is a 32-bit number.
_REACH = 1 << 31


def lanes(loops: Loops, replaced: Set[int], target: Target) -> int:
    """Return the lanes of the vectors that a stage is printed with, 0 where that is left to LLVM.

    `replaced` are the numbers of the results that overwrite an operand.
    """
    stores = loops.stage.stores
    if not loops.elementwise or not target.vectorise or not target.has("avx512f"):
        return 0
    read = {access[0] for access in loops.accesses if not access[5]}
    written = {access[0] for access in loops.accesses if access[5]}
    # A vector is written before the next piece is read.
    if read & written or loops.overwritten or written & replaced or any(store.index is not None for store in stores):
        return 0
    dtype = stores[0].access.dtype
    if dtype not in (dt.float32, dt.float64) or not all(printable(expr, dtype) for expr in loops.order):
        return 0
    full = _WIDTH // dtype.itemsize
    if any(abs(access[4][-1]) * full * dtype.itemsize >= _REACH for access in loops.accesses):
        return 0
    while full > 4 and loops.inner[-1] <= full // 2:
        full //= 2
    return full


def printable(expr: Expr | Node, dtype: np.dtype) -> bool:
    """Whether an expression can be printed as vectors of this dtype: all that it is made of is single instructions."""
    if expr.dtype not in (dtype, dt.bool_):
        return False
    if isinstance(expr, Expr) and expr.kind != "op":
        return expr.kind in ("load", "const", "scalar") and expr.dtype == dtype
    if expr.op is None or expr.op.kind != "elementwise":
        return expr.dtype == dtype
    if expr.op.name in ("cast", "bitcast", "lookup"):
        return False
    if is_composite(expr.op, "llvm"):
        nodes = formula(expr.op, "llvm", tuple(source.dtype for source in expr.src), expr.dtype)
        return all(printable(node, dtype) for node in nodes)
    table = expr.op.llvm
    form = table.get("f", "") if isinstance(table, dict) else ""
    plain = form == "select" or form.startswith(("f", "@")) or form == "isnan"
    return plain and form != "fptosi" and all(source.dtype == dtype for source in expr.src[form == "select" :])


class _Place(NamedTuple):
    """Where the lanes of a vector lie.

    Attributes
    ----------
    leader : str
        The first lane's place in the access that leads.
    distance : int
        Where the meta array says how far from there, in bytes, the first lane is.
    turn : str
        In a loop that takes turns, the meta array as the turn sees it.
    kind : str
        The class of the stride that leads on to the next lane.
    steps, stride : str
        The lanes' distances from the first one where that is a run-time stride, and the stride.
    number : int
        Of the access.
    run : tuple of int or None
        Numbers of the accesses with which it takes turns, itself included.
    """

    leader: str
    distance: int
    turn: str
    kind: str
    steps: str
    stride: str
    number: int
    run: tuple[int | None, ...] = ()


class VectorPrinter(LLVMPrinter):
    """Prints values as vectors, whose lanes are the next elements along the inner dimension.

    Attributes
    ----------
    lanes : int
    mask, rest : str
        Of the vectors that are printed: which lanes count, and how many.
    taken, waiting : dict of int to str
        By number of an access, vectors of runs: those that have been read, and those still to be written.
    ahead : bool
        Whether the line behind what is written is fetched for writing: stores to many places wait for their lines.
    """

    def __init__(self, module: Module, lanes: int, ahead: bool = False) -> None:
        super().__init__(module)
        self.lanes, self.ahead = lanes, ahead
        self.mask = self.rest = ""
        self.taken: dict[int, str] = {}
        self.waiting: dict[int, str] = {}
        self.spans: dict[int, str] = {}
        self.span_masks: dict[tuple[str, int], str] = {}
        self.counts: dict[str, str] = {}
        self.numbers: dict[int, str] = {}

    def _vector(self, kind: str) -> str:
        return f"<{self.lanes} x {kind}>"

    def splat(self, value: str, kind: str) -> str:
        """Return a vector of equal lanes."""
        vector = self._vector(kind)
        first = self._let(f"insertelement {vector} poison, {kind} {value}, i32 0")
        return self._let(f"shufflevector {vector} {first}, {vector} poison, <{self.lanes} x i32> zeroinitializer")

    def multiples(self, stride: str) -> str:
        """Return the offsets of the lanes, in elements, from a stride."""
        wide = self.splat(self._let(f"trunc i64 {stride} to i32"), "i32")
        numbers = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        return self._let(f"mul {self._vector('i32')} <{numbers}>, {wide}")

    def first_lanes(self, count: str, before: int = 0) -> str:
        """Return the mask of the lanes whose number, plus `before`, is less than a count."""
        if count not in self.counts:
            self.counts[count] = self.splat(self._let(f"trunc i64 {count} to i32"), "i32")
        if before not in self.numbers:
            numbers = ", ".join(f"i32 {before + lane}" for lane in range(self.lanes))
            self.numbers[before] = self.kept(f"<{numbers}>", "i32")
        return self._let(f"icmp slt {self._vector('i32')} {self.numbers[before]}, {self.counts[count]}")

    def begin(self, rest: str) -> None:
        """Say that vectors begin which have `rest` elements before the end of their row."""
        self.rest = self.arith("min", rest, str(self.lanes))
        for known in (self.taken, self.spans, self.span_masks, self.counts):
            known.clear()
        self.mask = self.first_lanes(self.rest)

    def prepare(self, run: tuple[int | None, ...]) -> None:
        """Print the masks of a run before the loops that read or write it."""
        span = self._span(run)
        for before in range(0, len(run) * self.lanes, self.lanes):
            self._span_mask(span, before)

    def slot(self, variable: tuple[str, np.dtype], at: str) -> tuple[str, np.dtype]:
        """Return where the vectors of a variable, memory of the function's own, begin at this number."""
        name, dtype = variable
        return self._let(f"getelementptr {self._vector(register_type(dtype))}, ptr {name}, i64 {at}", "p"), dtype

    def kept(self, value: str, unit: str) -> str:
        """Return a constant that is in a register from the function's entry on, not read wherever it is an operand."""
        kind = self._vector(unit)
        return self.let_on_entry(f"bitcast {kind} {value} to {kind}")

    def turned(self, turn: str) -> str:
        """Return the meta array from where a turn finds its distances at the places of the first one's."""
        return self._let(f"getelementptr i64, ptr %meta, i64 {turn}")

    def put(self, slot: tuple[str, np.dtype], at: int, value: str) -> None:
        """Store a vector so many after a slot: known distances are part of an instruction's address."""
        place, dtype = self.slot(slot, str(at))
        self._line(
            f"store {self._vector(register_type(dtype))} {value}, ptr {place}, align {self.lanes * dtype.itemsize}"
        )

    def take(self, slot: tuple[str, np.dtype], at: int) -> str:
        """Load a vector so many after a slot."""
        place, dtype = self.slot(slot, str(at))
        vector = self._vector(register_type(dtype))
        return self._let(f"load {vector}, ptr {place}, align {self.lanes * dtype.itemsize}", "x")

    def scalar(self, slot: str, dtype: np.dtype) -> str:
        lanes, self.lanes = self.lanes, 1  # it is read and converted as one number
        value = super().scalar(slot, dtype)
        self.lanes = lanes
        return self.splat(value, register_type(dtype))

    def branching(self, op: Op, nodes: Sequence[Node], operands: list[str]) -> None:
        """Evaluate every lane: none of them branches alone."""

    def _first(self, place: _Place) -> str:
        """Return the address of the first lane.

        Its distance is read where it is needed: there are more of them than registers.
        """
        where = self._let(f"getelementptr i64, ptr {place.turn or '%meta'}, i64 {place.distance}")
        pointer = self._let(f"getelementptr i8, ptr {place.leader}, i64 {self._let(f'load i64, ptr {where}, align 8')}")
        if self.bounds is not None:
            self.bounds.follow(pointer, place.leader)
        return pointer

    def _addresses(self, pointer: str, place: _Place, kind: str) -> str:
        return self._let(f"getelementptr {kind}, ptr {pointer}, {self._vector('i32')} {place.steps}")

    def _masked_load(self, pointer: str, mask: str, dtype: np.dtype) -> str:
        kind = register_type(dtype)
        vector, masks = self._vector(kind), self._vector("i1")
        name = f"@llvm.masked.load.{self._suffix(dtype)}.p0"
        self.module.declare(f"{vector} {name}(ptr, i32, {masks}, {vector})")
        operands = f"ptr {pointer}, i32 {dtype.itemsize}, {masks} {mask}, {vector} zeroinitializer"
        return self._let(f"call {vector} {name}({operands})", "x")

    def _masked_store(self, pointer: str, value: str, mask: str, dtype: np.dtype) -> None:
        kind = register_type(dtype)
        vector, masks = self._vector(kind), self._vector("i1")
        name = f"@llvm.masked.store.{self._suffix(dtype)}.p0"
        self.module.declare(f"void {name}({vector}, ptr, i32, {masks})")
        self.call(f"{name}({vector} {value}, ptr {pointer}, i32 {dtype.itemsize}, {masks} {mask})")

    def load(self, place: Any, dtype: np.dtype) -> str:
        if place.number in self.taken:
            return self.taken[place.number]
        pointer = self._first(place)
        kind = register_type(dtype)
        if place.kind == "0":
            return self.splat(super().load(pointer, dtype), kind)
        if place.run:
            self._read_run(pointer, place.run, dtype)
            return self.taken[place.number]
        self.check_grid(pointer, dtype, [(self.rest, place.stride)])
        if place.kind == "1":
            return self._masked_load(pointer, self.mask, dtype)
        vector, masks, pointers = self._vector(kind), self._vector("i1"), self._vector("ptr")
        name = f"@llvm.masked.gather.{self._suffix(dtype)}.v{self.lanes}p0"
        self.module.declare(f"{vector} {name}({pointers}, i32, {masks}, {vector})")
        operands = f"{pointers} {self._addresses(pointer, place, kind)}, i32 {dtype.itemsize}, {masks} {self.mask}"
        return self._let(f"call {vector} {name}({operands}, {vector} zeroinitializer)", "x")

    def store(self, place: Any, value: str, dtype: np.dtype) -> None:
        if place.run:
            self.waiting[place.number] = value
            if all(k in self.waiting for k in place.run):
                self._write_run(self._first(place), place.run, dtype)
            return
        pointer = self._first(place)
        self.check_grid(pointer, dtype, [(self.rest, place.stride)], writes=True)
        if place.kind == "1":
            self._masked_store(pointer, value, self.mask, dtype)
            if self.ahead:
                self.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
                after = self.advance(pointer, str(self.lanes), dtype)
                self.call(f"@llvm.prefetch.p0(ptr {after}, i32 1, i32 3, i32 1)")
            return
        kind = register_type(dtype)
        vector, masks, pointers = self._vector(kind), self._vector("i1"), self._vector("ptr")
        name = f"@llvm.masked.scatter.{self._suffix(dtype)}.v{self.lanes}p0"
        self.module.declare(f"void {name}({vector}, {pointers}, i32, {masks})")
        operands = f"{pointers} {self._addresses(pointer, place, kind)}, i32 {dtype.itemsize}, {masks} {self.mask}"
        self.call(f"{name}({vector} {value}, {operands})")

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _shuffle(self, a: str, b: str, lanes: Sequence[int], kind: str) -> str:
        numbers = ", ".join(f"i32 {lane}" for lane in lanes)
        return self._let(f"shufflevector {kind} {a}, {kind} {b}, <{self.lanes} x i32> <{numbers}>")

    def _parted(self, vectors: Sequence[str], dtype: np.dtype) -> list[str]:
        """Return the elements of memory by their position modulo the number of vectors."""
        if len(vectors) == 1:
            return list(vectors)
        if len(vectors) % 2:
            return self._rotated(vectors, dtype)
        kind, lanes = self._vector(register_type(dtype)), range(0, 2 * self.lanes, 2)
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        even = self._parted([self._shuffle(a, b, lanes, kind) for a, b in pairs], dtype)
        odd = self._parted([self._shuffle(a, b, [lane + 1 for lane in lanes], kind) for a, b in pairs], dtype)
        return [one for both in zip(even, odd, strict=True) for one in both]

    def _rotated(self, vectors: Sequence[str], dtype: np.dtype) -> list[str]:
        """Return what `_parted` does for an odd number of vectors.

        Elements of one position are in different lanes, and in lane l the vectors hold the positions in turn, beginning
        with another one. So each lane is rotated by a distance of its own, by powers of two: a vector is blended with
        the one so many further on (a barrel shifter), and at last one shuffle puts its lanes in order.
        """
        kind, count = self._vector(register_type(dtype)), len(vectors)
        # Element `lanes * vector + lane` has position `first`, modulo the number of vectors.
        back = pow(self.lanes, -1, count)
        turned = [-back * lane % count for lane in range(self.lanes)]
        for distance in (1 << bit for bit in range((count - 1).bit_length())):
            lanes = [lane + self.lanes * bool(turn & distance) for lane, turn in enumerate(turned)]
            vectors = [self._shuffle(a, vectors[(k + distance) % count], lanes, kind) for k, a in enumerate(vectors)]
        found = []
        for first in range(count):
            homes = [(first + count * lane) % self.lanes for lane in range(self.lanes)]
            one = vectors[back * first % count]
            found.append(self._shuffle(one, one, homes, kind))
        return found

    def _woven(self, vectors: Sequence[str], dtype: np.dtype) -> list[str]:
        """Return vectors as they lie in memory, from the elements of each position modulo their number."""
        if len(vectors) == 1:
            return list(vectors)
        kind, half = self._vector(register_type(dtype)), self.lanes // 2
        even, odd = self._woven(vectors[::2], dtype), self._woven(vectors[1::2], dtype)
        sides = [[lane for at in range(half) for lane in (low + at, low + at + self.lanes)] for low in (0, half)]
        return [self._shuffle(a, b, side, kind) for a, b in zip(even, odd, strict=True) for side in sides]

    def _places_of_run(self, pointer: str, span: str, count: int, dtype: np.dtype) -> list[tuple[str, str]]:
        """Return pointer and mask of each vector of a run over `span` elements."""
        return [
            (self.advance(pointer, str(before), dtype), self._span_mask(span, before))
            for before in range(0, count * self.lanes, self.lanes)
        ]

    def _span_mask(self, span: str, before: int) -> str:
        key = (span, before)
        if key not in self.span_masks:
            self.span_masks[key] = self.first_lanes(span, before)
        return self.span_masks[key]

    def _span(self, run: tuple[int | None, ...]) -> str:
        """Return how many elements of memory the lanes of a run reach over."""
        missing = next(k for k, one in enumerate(reversed(run)) if one is not None)
        if missing not in self.spans:
            whole = self.arith("mul", self.rest, str(len(run)))
            self.spans[missing] = self.arith("sub", whole, str(missing))
        return self.spans[missing]

    def _read_run(self, pointer: str, run: tuple[int | None, ...], dtype: np.dtype) -> None:
        span = self._span(run)
        self.check_grid(pointer, dtype, [(span, "1")])
        places = self._places_of_run(pointer, span, len(run), dtype)
        vectors = self._parted([self._masked_load(at, mask, dtype) for at, mask in places], dtype)
        self.taken |= {k: one for k, one in zip(run, vectors, strict=True) if k is not None}

    def _write_run(self, pointer: str, run: tuple[int | None, ...], dtype: np.dtype) -> None:
        span = self._span(run)
        self.check_grid(pointer, dtype, [(span, "1")], writes=True)
        vectors = self._woven([self.waiting.pop(k) for k in run if k is not None], dtype)
        for (at, mask), value in zip(self._places_of_run(pointer, span, len(run), dtype), vectors, strict=True):
            self._masked_store(at, value, mask, dtype)


class _VectorEmitter(StageEmitter):
    """The walk of an elementwise stage in vectors: tasks, rows of the last outer dimension, vectors."""

    p: VectorPrinter

    def run(self) -> None:
        """Print the function."""
        p, loops = self.p, self.loops
        for expr in loops.order:
            if expr.kind == "const":
                self.constants[id(expr)] = p.kept(p.const(expr.arg, expr.dtype), register_type(expr.dtype))
            elif expr.kind == "scalar":
                slot = p.meta(self.places[f"scalar{self.number[id(expr)]}"])
                self.constants[id(expr)] = p.scalar(slot, expr.dtype)
        lie, last = relations(loops), len(loops.outer)
        leaders = sorted(set(lie.leaders))
        bases = {k: p.base(p.meta(self.places[f"a{k}"]), p.index(0), loops.accesses[k][1]) for k in leaders}
        strides = {k: self._stride(k, last) if self.classes[k] == "s" else self.classes[k] for k in leaders}
        steps = {k: "" if self.classes[k] in ("0", "1") else p.multiples(strides[k]) for k in leaders}
        runs = {k: run for run in lie.runs for k in run if k is not None}
        rows = p.meta(self.places["outer"] + last - 1) if last else p.index(1)
        p.in_entry = False
        with p.loop("%t0", "%t1") as task:
            indices, begin, end, first = self._indices(task)
            offsets = {k: self._offset(k, indices) for k in leaders}
            with p.loop(first, p.arith("min", rows, p.arith("add", first, p.index(VECTOR_ROWS)))) as row:
                moved = {k: self._plus(at, k, row, last - 1) for k, at in offsets.items()} if last else offsets
                with p.loop(begin, end, p.lanes) as i:
                    p.begin(p.arith("sub", end, i))
                    at = {k: p.advance(bases[k], self._inner(k, moved[k], i), loops.accesses[k][1]) for k in leaders}
                    self.pointers = []
                    for k, lead in enumerate(lie.leaders):
                        run = runs.get(k, ())
                        distance = self.places[f"a{run[0] if run else k}"] + 1
                        place = _Place(at[lead], distance, "", self.classes[k], steps[lead], strides[lead], k, run)
                        self.pointers.append(place)
                    if loops.passes:
                        self._in_passes(loops.passes, lie.runs)
                    else:
                        self._write_some(range(len(loops.stage.stores)), dict(self.constants))

    def _write_some(self, stores: Iterable[int], memo: dict[int, Any]) -> None:
        for k in stores:
            self._write(k, self.loops.stage.stores[k], memo)

    def _in_passes(self, two: Passes, runs: Sequence[tuple[int | None, ...]]) -> None:
        """Print what is between two passes to memory of the function's own, then the results from there."""
        p = self.p
        for run in runs:
            p.prepare(run)
        written_out, (dtype, count) = self.pointers, (two.columns[0][0].dtype, len(two.columns[0]))
        between = p.variable(dtype, len(two.columns) * count * p.lanes)
        if two.looped:
            with p.loop("0", str(len(two.columns))) as turn:
                self._take_turn(written_out, two, turn)
                memo = dict(self.constants)
                here = p.slot(between, p.arith("mul", turn, str(count)))
                for k, expr in enumerate(two.columns[0]):
                    p.put(here, k, self._value(expr, memo))
        else:
            memo = dict(self.constants)
            for k, expr in enumerate(expr for column in two.columns for expr in column):
                p.put(between, k, self._value(expr, memo))
        with p.loop("0", str(count)) as turn:
            self._take_turn(written_out, two, turn)
            memo = dict(self.constants)
            here = p.slot(between, turn)
            for k, column in enumerate(two.columns):
                memo[id(column[0])] = p.take(here, k * count)
            self._write_some(two.stores, memo)

    def _take_turn(self, places: Sequence[_Place], two: Passes, turn: Any) -> None:
        """Have accesses of a loop's first turn go where those of any turn do."""
        self.p.taken.clear()
        self.pointers = list(places)
        meta = self.p.turned(turn)
        for k in two.turns:
            run = places[k].run
            distance = self.places[f"turns{run[0] if run else k}"]
            self.pointers[k] = places[k]._replace(distance=distance, turn=meta)

    def _indices(self, task: Any) -> tuple[list[Any], Any, Any, Any]:
        """Return the indices of a task, its part of the inner dimension, and the first of its rows."""
        p, extent = self.p, self.p.meta(self.places["inner"])
        parts = p.arith("div", p.arith("add", extent, p.index(VECTOR_CHUNK - 1)), p.index(VECTOR_CHUNK))
        begin = p.arith("mul", p.arith("rem", task, parts), p.index(VECTOR_CHUNK))
        end = p.arith("min", extent, p.arith("add", begin, p.index(VECTOR_CHUNK)))
        rest, indices, first = p.arith("div", task, parts), [], p.index(0)
        if self.loops.outer:
            rows = p.meta(self.places["outer"] + len(self.loops.outer) - 1)
            parts = p.arith("div", p.arith("add", rows, p.index(VECTOR_ROWS - 1)), p.index(VECTOR_ROWS))
            first = p.arith("mul", p.arith("rem", rest, parts), p.index(VECTOR_ROWS))
            rest = p.arith("div", rest, parts)
        for k in reversed(range(len(self.loops.outer) - 1)):
            size = p.meta(self.places["outer"] + k)
            indices.append(p.arith("rem", rest, size) if k else rest)
            rest = p.arith("div", rest, size) if k else rest
        return indices[::-1], begin, end, first

    def _offset(self, k: int, indices: Sequence[Any]) -> Any:
        offset = self.p.index(0)
        for dim, index in enumerate(indices):
            offset = self._plus(offset, k, index, dim)
        return offset

    def _plus(self, offset: Any, k: int, index: Any, dim: int) -> Any:
        return self.p.arith("add", offset, self.p.arith("mul", index, self._stride(k, dim)))

    def _inner(self, k: int, offset: Any, index: Any) -> Any:
        kind = self.classes[k]
        if kind == "0":
            return offset
        return (
            self.p.arith("add", offset, index) if kind == "1" else self._plus(offset, k, index, len(self.loops.outer))
        )


def vector_function(module: Module, name: str, loops: Loops) -> None:
    """Print a stage as ``void name(buffers, meta, scalars, first task, end task)``, as vectors."""
    assert module.as_is is not None
    printer = VectorPrinter(module.as_is, loops.lanes, ahead=len(loops.stage.stores) > 1)
    _VectorEmitter(loops, printer, serial=True).run()
    signature = f"{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0, i64 %t1)"
    # What fills a border with zeros writes few elements. A grid of pieces is so much code that LLVM's passes over its
    # instructions would take half of a kernel's compilation, and waits for memory more than for them.
    fills = all(store.value.kind == "const" for store in loops.stage.stores)
    quick = fills or loops.passes is not None or len(loops.stage.stores) >= _GRID
    printer.finish_function(signature, loops.stage.name, "hidden", quick=quick)
