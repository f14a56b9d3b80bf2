"""Reductions of rows that hold some vectors, printed as vectors: what they do not gain from LLVM's vectoriser.

The vectoriser leaves what does not fill four vectors to a loop of single elements, or compares the index of every
vector with the end of the row, and it cannot leave a search early. Here groups of 64 elements are vectors beside each
other, and what is left of a row is one more group, masked. A search for an extreme ends at the group that holds it: one
bit for each of its elements fills a register.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.emit import start_value
from trueno.codegen.expr import Expr, topological
from trueno.codegen.llvm import LLVMPrinter
from trueno.codegen.llvm_types import memory_type, register_type
from trueno.codegen.rows import RowEmitter, Walk
from trueno.codegen.search import Search, find_searches
from trueno.codegen.stage import SHORT_ROWS, Loops, vector_classes
from trueno.ir.elementwise import add, logical_and, logical_or, maximum, minimum, mul

#: Elements of a group of vectors.
GROUP = 64
#: Elements of a row up to which sums of float64 in the lanes of a group are as accurate as pairwise sums.
LONGEST_SUM = 512
#: Bytes of a vector.
_WIDTH = 64

_COMBINED = (add, mul, maximum, minimum)
_DECIDED = {logical_or: "icmp ne i{0} {1}, 0", logical_and: "icmp eq i{0} {1}, -1"}


def walks_vectors(loops: Loops) -> bool:
    """Whether a stage that walks rows can be printed as vectors."""
    classes = vector_classes(loops)
    found = {id(one.index) for one in find_searches(loops).values()}
    searched = set(find_searches(loops))
    for expr in loops.order:
        if expr.kind == "reduce" and id(expr) not in searched:
            assert expr.op is not None
            if expr.op.combine is add and expr.dtype == dt.float64 and loops.inner[-1] > LONGEST_SUM:
                return False
            if expr.op.combine not in (_DECIDED if expr.dtype == dt.bool_ else _COMBINED):
                return False
        if expr.kind in ("scan", "gather") or expr.dtype == dt.bfloat16:
            return False
        if expr.kind == "iota" and id(expr) not in found:
            return False
        if expr.kind == "load" and classes[loops.numbers[expr.arg]] == "s":
            return False
    return all(
        store.index is None and not any(loops.accesses[loops.numbers[store.access]][4]) for store in loops.stage.stores
    )


class RowVectorPrinter(LLVMPrinter):
    """Prints single values, or vectors of them.

    Attributes
    ----------
    lanes : int
        1 for single values.
    mask, rest : str
        Of vectors that are loaded in part: which lanes count, and how many elements of the row are left; else empty.
    """

    mask = rest = ""
    reassociates = False

    @contextmanager
    def vectors(self, lanes: int) -> Iterator[None]:
        """A part of the code whose values are vectors."""
        before, self.lanes = self.lanes, lanes
        yield
        self.lanes = before

    def splat(self, value: str, dtype: np.dtype) -> str:
        """Return a vector of equal lanes."""
        vector, kind = self.kind(dtype), register_type(dtype)
        first = self._let(f"insertelement {vector} poison, {kind} {value}, i32 0")
        return self._let(f"shufflevector {vector} {first}, {vector} poison, <{self.lanes} x i32> zeroinitializer")

    def first_lanes(self, count: str) -> str:
        """Return the mask of so many lanes."""
        counts = self.splat(self._let(f"trunc i64 {count} to i32"), dt.int32)
        numbers = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        return self._let(f"icmp slt <{self.lanes} x i32> <{numbers}>, {counts}")

    def blend(self, a: str, b: str, dtype: np.dtype) -> str:
        """Return a in the lanes that count, b in the others."""
        return self._let(f"select <{self.lanes} x i1> {self.mask}, {self.kind(dtype)} {a}, {self.kind(dtype)} {b}")

    def _load(self, instruction: str, pointer: str, dtype: np.dtype, marks: str, order: str = "") -> str:
        if self.lanes == 1:
            return super()._load(instruction, pointer, dtype, marks, order)
        kind = f"<{self.lanes} x {memory_type(dtype)}>"
        if self.mask:
            self.check_grid(pointer, dtype, [(self.rest, "1")])
            masks = f"<{self.lanes} x i1>"
            stored = dt.uint8 if dtype == dt.bool_ else dtype
            name = f"@llvm.masked.load.{self._suffix(stored)}.p0"
            self.module.declare(f"{kind} {name}(ptr, i32, {masks}, {kind})")
            operands = f"ptr {pointer}, i32 {dtype.itemsize}, {masks} {self.mask}, {kind} zeroinitializer"
            value = self._let(f"call {kind} {name}({operands})", "x")
        else:
            self.check_grid(pointer, dtype, [(str(self.lanes), "1")])
            value = self._let(f"load {kind}, ptr {pointer}, align {dtype.itemsize}", "x")
        return self._let(f"icmp ne {kind} {value}, zeroinitializer", "x") if dtype == dt.bool_ else value

    def own(self, dtype: np.dtype) -> tuple[str, np.dtype]:
        """Return a variable for a vector."""
        name = self._name("acc")
        self.entry.insert(0, f"  {name} = alloca {self.kind(dtype)}, align 64")
        return name, dtype

    def take(self, variable: tuple[str, np.dtype]) -> str:
        """Return the vector in a variable."""
        return self._let(f"load {self.kind(variable[1])}, ptr {variable[0]}, align 64")

    def put(self, variable: tuple[str, np.dtype], value: str) -> None:
        """Store a vector in a variable."""
        self._line(f"store {self.kind(variable[1])} {value}, ptr {variable[0]}, align 64")

    def number(self, variable: tuple[str, np.dtype]) -> str:
        """Return the number in a variable, among vectors too."""
        with self.vectors(1):
            return self.get(variable)

    def keep_number(self, variable: tuple[str, np.dtype], value: str) -> None:
        """Store a number in a variable, among vectors too."""
        with self.vectors(1):
            self.set(variable, value)

    def half(self, value: str, dtype: np.dtype, upper: bool) -> str:
        """Return one half of a vector's lanes."""
        first = self.lanes // 2 if upper else 0
        numbers = ", ".join(f"i32 {first + lane}" for lane in range(self.lanes // 2))
        kind = self.kind(dtype)
        return self._let(f"shufflevector {kind} {value}, {kind} poison, <{self.lanes // 2} x i32> <{numbers}>")

    def bits(self, condition: str, first: int) -> str:
        """Return a vector of conditions as bits of a number, from one on."""
        few = self._let(f"bitcast <{self.lanes} x i1> {condition} to i{self.lanes}")
        few = few if self.lanes == GROUP else self._let(f"zext i{self.lanes} {few} to i{GROUP}")
        return self._let(f"shl i{GROUP} {few}, {first}") if first else few

    def lowest_bit(self, bits: str) -> str:
        """Return the number of the lowest bit that is set."""
        self.module.declare("i64 @llvm.cttz.i64(i64, i1)")
        return self._let(f"call i64 @llvm.cttz.i64(i64 {bits}, i1 false)", "i")


class RowVectorEmitter(RowEmitter):
    """Prints a stage that `walks_vectors`."""

    p: RowVectorPrinter

    def run(self) -> None:
        """Print the stage's body: all tasks, each with its phases."""
        # Where the extremes of a task's rows are kept, by their identity, while they are found, and while searched for.
        self.extremes: dict[int, Any] = {}
        self.kept: dict[int, Any] = {}
        searches = find_searches(self.loops)
        roots = [condition for search in searches.values() for condition in search.conditions]
        roots += [e.src[0] for e in self.loops.order if e.kind == "reduce" and id(e) not in searches]
        widths = [expr.dtype.itemsize for expr in topological(roots) if self.varies[id(expr)]]
        self.vector = _WIDTH // max(widths, default=_WIDTH // GROUP)
        super().run()

    def _short_rows(self, first: Any, end: Any, bases: list[Any]) -> None:
        """Print the rows of a task: where they are searched, the extremes of all of them, then the searches.

        Where a search ends cannot be predicted. What comes after it in the order of the code has to wait, and had been
        the next row's extreme.
        """
        p = self.p
        searches = find_searches(self.loops)
        folded = [expr for expr in self.loops.order if expr.kind == "reduce"]
        known = [expr for expr in folded if id(expr) not in searches]
        if not searches or max(self.phase[id(e)] for e in known) >= min(self.phase[k] for k in searches):
            super()._short_rows(first, end, bases)
            return
        kept = {id(expr): p.variable(expr.dtype, SHORT_ROWS) for expr in known}
        with p.loop(first, end) as row:
            self.row, self.extremes = p.arith("sub", row, first), kept
            self._task(row, bases)
        self.extremes = {}
        with p.loop(first, end) as row:
            self.row, self.kept = p.arith("sub", row, first), kept
            self._task(row, bases)

    def _reduce(self, pointers: list[Any], begin: Any) -> None:
        if not self.extremes:
            for key, variable in self.kept.items():
                self.memo[key] = self.p.get(variable, self.row)
            super()._reduce(pointers, begin)
            return
        self.pointers = pointers
        for sums, _, _ in self._phases():
            rest = [expr for expr in sums if id(expr) in self.extremes]
            if rest:
                self._row_phase(Walk(rest, [], []), pointers)
            for expr in rest:
                self.p.set(self.extremes[id(expr)], self.memo[id(expr)], self.row)

    def _row_phase(self, walk: Walk, pointers: list[Any]) -> None:
        walk.sums = [expr for expr in walk.sums if id(expr) not in self.memo]
        if not walk.sums:
            return
        p = self.p
        roots = [expr.src[0] for expr in walk.sums]
        self._hoist(roots)
        with p.vectors(self.vector):
            known = self._lifted(roots)
            for expr in walk.sums:
                walk.accumulators[id(expr)] = [p.own(expr.dtype) for _ in range(GROUP // p.lanes)]
                self._restart(expr, walk.accumulators[id(expr)])
                if len(self.loops.inner) > 1:
                    walk.totals[id(expr)] = [p.own(p.wide) for _ in range(self._totals(expr))]
                    for one in walk.totals[id(expr)]:
                        p.put(one, p.const(0.0, p.wide))
            self._walk_rows(walk, pointers, known)
            for expr in walk.sums:
                self.memo[id(expr)] = self._folded(expr, walk)
        self.pointers = pointers

    def _walk_rows(self, walk: Walk, pointers: list[Any], known: dict[int, Any]) -> None:
        """Print the walk over the inner dimensions. Float sums of each row of the last one go to wide totals."""
        p = self.p
        wide = [expr for expr in walk.sums if walk.totals.get(id(expr))]
        with ExitStack() as nest:
            moved = pointers
            for dim in range(len(self.loops.inner) - 1):
                moved = self._step(moved, dim, nest.enter_context(p.loop(p.index(0), self.extents[dim])))
            for expr in wide:
                self._restart(expr, walk.accumulators[id(expr)])
            whole, rest = self._groups()
            with p.loop(p.index(0), whole, GROUP) as i:
                self._take(walk, moved, i, known)
            with p.when(p.compare("slt", "0", rest)):
                self._take(walk, moved, whole, known, rest)
            for expr in wide:
                row = self._joined(expr, [p.take(one) for one in walk.accumulators[id(expr)]])
                self._add_vector(walk.totals[id(expr)], p.cast(row, expr.dtype, p.wide))

    def _restart(self, expr: Expr, accumulator: Any) -> None:
        for one in accumulator:
            self.p.put(one, self.p.const(start_value(expr), expr.dtype))

    def _add_vector(self, total: Sequence[Any], value: Any) -> None:
        """Add a vector of the wide type to totals, as `SumEmitter._add_wide` adds a value."""
        p = self.p
        high = p.take(total[0])
        s = p.float_add(high, value)
        if len(total) == 2:
            back = p.float_sub(s, high)
            error = p.float_add(p.float_sub(high, p.float_sub(s, back)), p.float_sub(value, back))
            p.put(total[1], p.float_add(p.take(total[1]), error))
        p.put(total[0], s)

    def _folded(self, expr: Expr, walk: Walk) -> Any:
        """Return a reduction's result."""
        p, total = self.p, walk.totals.get(id(expr))
        if not total:
            value = self._joined(expr, [p.take(one) for one in walk.accumulators[id(expr)]])
            if not self._is_float_sum(expr):
                return self._across(expr, value)
            # What the largest sums lose is most of the error.
            value = self._across(expr, p.cast(value, expr.dtype, p.wide), p.wide)
            with p.vectors(1):
                return p.cast(value, p.wide, expr.dtype)
        value = self._across(expr, p.take(total[0]), p.wide)
        if len(total) == 2:
            error = self._across(expr, p.take(total[1]), p.wide)
            with p.vectors(1):
                # An infinite sum has left NaN as the error.
                value = p.float_add(value, p.finite_or_zero(error))
        with p.vectors(1):
            return p.cast(value, p.wide, expr.dtype)

    def _groups(self) -> tuple[Any, Any]:
        """Return where the last group begins that is not full, and how many elements it has."""
        rest = self.p.arith("rem", self.extents[-1], self.p.index(GROUP))
        return self.p.arith("sub", self.extents[-1], rest), rest

    def _lifted(self, roots: Sequence[Expr]) -> dict[int, Any]:
        """Return as vectors, by identity, what expressions need that does not change along the row."""
        p = self.p
        known: dict[int, Any] = {}
        stack = list(roots)
        while stack:
            expr = stack.pop()
            if id(expr) in known:
                continue
            if self.varies[id(expr)]:
                stack.extend(expr.src)
            elif expr.kind == "const":
                known[id(expr)] = p.const(expr.arg, expr.dtype)
            else:
                known[id(expr)] = p.splat(self.memo[id(expr)], expr.dtype)
        return known

    def _vectors(self, pointers: list[Any], begin: Any, known: dict[int, Any], rest: Any) -> Iterator[dict[int, Any]]:
        """Yield for each vector of a group what is known of it; `rest`: how many elements the group has, if not all."""
        p = self.p
        with ExitStack() as nest:
            for before in range(0, GROUP, p.lanes):
                if rest is not None:
                    nest.enter_context(p.when(p.compare("slt", p.index(before), rest)))
                    p.rest = p.arith("min", p.arith("sub", rest, p.index(before)), p.index(p.lanes))
                    p.mask = p.first_lanes(p.rest)
                at = p.arith("add", begin, p.index(before))
                self.pointers = self._step(pointers, len(self.loops.inner) - 1, at, vector=True)
                yield dict(known)
                p.mask = p.rest = ""

    def _take(self, walk: Walk, pointers: list[Any], begin: Any, known: dict[int, Any], rest: Any = None) -> None:
        """Print the reduction of a group."""
        p = self.p
        for k, memo in enumerate(self._vectors(pointers, begin, known, rest)):
            for expr in walk.sums:
                value = self._value(expr.src[0], memo)
                if p.mask:
                    value = p.blend(value, p.const(start_value(expr), expr.dtype), expr.dtype)
                accumulator = walk.accumulators[id(expr)][k]
                p.put(accumulator, p.combine(expr, p.take(accumulator), value))

    def _joined(self, expr: Expr, values: list[Any]) -> Any:
        """Return the reduction of vectors: of pairs, of pairs of pairs, and so on."""
        while len(values) > 1:
            values = [self.p.combine(expr, a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    def _across(self, expr: Expr, value: Any, dtype: np.dtype | None = None) -> Any:
        """Return the reduction of a vector's lanes, of the expression's dtype or the one given."""
        p, lanes = self.p, self.p.lanes
        dtype = expr.dtype if dtype is None else dtype
        if dtype == dt.bool_:
            assert expr.op is not None and expr.op.combine is not None
            bits = p.let(f"bitcast <{lanes} x i1> {value} to i{lanes}")
            return p.let(_DECIDED[expr.op.combine].format(lanes, bits))
        while lanes > 1:
            with p.vectors(lanes):
                halves = [p.half(value, dtype, upper) for upper in (False, True)]
            lanes //= 2
            if lanes == 1:
                kind = register_type(dtype)
                halves = [p.let(f"extractelement <1 x {kind}> {one}, i32 0") for one in halves]
            with p.vectors(lanes):
                value = p.combine(expr, halves[0], halves[1], dtype)
        return value

    def _found(self, expr: Expr, search: Search, pointers: list[Any]) -> Any:
        p = self.p
        bits, place = p.variable(dt.int64), p.variable(dt.int64)
        p.set(bits, "0")
        equal, *others = search.conditions
        self._seek(equal, pointers, bits, place, True)
        for condition in others:
            with p.when(p.compare("eq", p.get(bits), "0")):
                self._seek(condition, pointers, bits, place, False)
        self.pointers = pointers
        first = p.as_index(self._value(search.index, dict(self.memo)), search.index.dtype)
        at = p.arith("add", first, p.arith("add", p.get(place), p.lowest_bit(p.get(bits))))
        self._hoist([search.otherwise])
        missing = p.compare("eq", p.get(bits), "0")
        otherwise = self._value(search.otherwise, self.memo)
        return p.select(missing, otherwise, p.from_index(at, expr.dtype), register_type(expr.dtype))

    def _seek(self, condition: Expr, pointers: list[Any], bits: Any, place: Any, often: bool) -> None:
        """Print the search for the first elements that meet a condition; note where they begin, and their bits.

        `often`: whether it pays to compare groups of vectors, in place of one after the other.
        """
        p = self.p
        self.memo, before = dict(self.memo), self.memo
        self._hoist([condition])
        whole = self._groups()[0] if often else p.index(0)
        with p.vectors(self.vector):
            known = self._lifted([condition])

            def is_met() -> Any:
                return p.compare("ne", p.number(bits), "0")

            if often:
                with p.loop(p.index(0), whole, GROUP, until=is_met) as i:
                    p.keep_number(bits, "0")
                    p.keep_number(place, i)
                    for k, memo in enumerate(self._vectors(pointers, i, known, None)):
                        one = p.bits(self._value(condition, memo), k * p.lanes)
                        p.keep_number(bits, p.let(f"or i64 {p.number(bits)}, {one}"))
            with p.when(p.compare("eq", p.number(bits), "0")), p.loop(whole, self.extents[-1], p.lanes, is_met) as i:
                p.rest = p.arith("min", p.arith("sub", self.extents[-1], i), p.index(p.lanes))
                p.mask = p.first_lanes(p.rest)
                self.pointers = self._step(pointers, 0, i, vector=True)
                met = p.blend(self._value(condition, dict(known)), p.const(False, dt.bool_), dt.bool_)
                p.keep_number(bits, p.bits(met, 0))
                p.keep_number(place, i)
                p.mask = p.rest = ""
        self.memo = before
