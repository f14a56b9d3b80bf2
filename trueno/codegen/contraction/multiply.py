"""The code that multiplies panels block by block, and evaluates what follows the sums while they are in cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from trueno.codegen.contraction.lines import LINES, lines_function
from trueno.codegen.contraction.masks import mask_of, masked_load, masked_store
from trueno.codegen.contraction.micro import micro_kernel, vector_type
from trueno.codegen.contraction.steps import Factor, Multiply
from trueno.codegen.contraction.walk import StepEmitter
from trueno.codegen.expr import Expr
from trueno.codegen.llvm import LLVMPrinter, Module, task_function

_FINISH = "ptr %buffers, ptr %meta, ptr %scalars, ptr %sums, i64 %batch, i64 %row, i64 %rows, i64 %column, i64 %columns"


def multiply_function(module: Module, name: str, step: Multiply, half_instructions: bool) -> None:
    """Append the code of a multiplying step to a module."""
    assert step.a is not None and step.b is not None and module.as_is is not None
    as_is = module.as_is
    if step.lines:
        lines_function(module, f"{name}.lines", step.tile, step.strip, half_instructions)
        as_is.declare(f"hidden void @{name}.lines({LINES})")
    else:
        micro_kernel(as_is, f"{name}.tile", step.tile, step.a.direct, step.b.direct)
    if step.narrow:
        half = replace(step.tile, vectors=step.tile.vectors // 2)
        micro_kernel(as_is, f"{name}.narrow", half, step.a.direct, step.b.direct, step.tile.columns)
    if step.plain and step.tile.masks:
        _plain_finish(as_is, name, step, half_instructions)
    else:
        finish = LLVMPrinter(module, half_instructions)
        _Finish(step, finish).run()
        finish.finish_function(f"{name}.finish({_FINISH})", f"{step.name}: what follows the sums", "hidden")
        as_is.declare(f"hidden void @{name}.finish({_FINISH})")
    printer = LLVMPrinter(as_is, half_instructions)
    _Blocks(step, printer, name).run()
    task_function(printer, name, step.name, "hidden")


def _plain_finish(module: Module, name: str, step: Multiply, half_instructions: bool) -> None:
    """Print the function that only moves sums to their place."""
    p = LLVMPrinter(module, half_instructions)
    emitter = StepEmitter(step, p)
    p.points_into("%sums", None)
    access = step.numbers[step.stores[0].access]
    pointer = emitter.base(access)
    p.in_entry = False
    for role, indices in (
        ("batch", emitter.unravel("batch", "%batch")), ("rows", ["%row"]), ("columns", ["%column"]),
    ):  # fmt: skip
        for dim, index in enumerate(indices):
            pointer = emitter.along(pointer, access, role, dim, index)
    dtype = step.tile.sum
    with p.loop("0", "%rows") as r:
        place = emitter.along(pointer, access, "rows", 0, r)
        sums = p.advance("%sums", p.arith("mul", r, p.index(_buffer_row(step))), dtype)
        with p.loop("0", "%columns", step.tile.lanes) as c:
            rest, to = p.arith("sub", "%columns", c), p.advance(place, c, dtype)
            p.check_grid(to, dtype, [(p.arith("min", rest, p.index(step.tile.lanes)), "1")], writes=True)
            p.call(f"@{name}.move(ptr {p.advance(sums, c, dtype)}, i64 {rest}, ptr {to})")
    p.finish_function(f"{name}.finish({_FINISH})", f"{step.name}: sums to their place")
    kind, lanes, size = vector_type(dtype, step.tile.lanes), step.tile.lanes, dtype.itemsize
    module.functions.append("\n".join([
        f"define internal void @{name}.move(ptr noalias %from, i64 %count, ptr noalias %to) noinline #0 {{",
        *mask_of("%mask", "%count", 0, lanes),
        masked_load(module, "%value", kind, "%from", "%mask", size),
        masked_store(module, "%value", kind, "%to", "%mask", size), "  ret void", "}",
    ]))  # fmt: skip


def _buffer_row(step: Multiply) -> int:
    """Return the columns of the buffer of sums: a strip and, before it, room for a tile that reaches back."""
    return step.strip + step.tile.columns


@dataclass(frozen=True, slots=True)
class _Part:
    """A block of K: where the rows' part of it begins, its first position, its length, and whether it is the last."""

    a: Any
    begin: Any
    count: Any
    last: Any


class _Blocks(StepEmitter):
    """The loops of one task: rows of tiles, tiles, blocks of K."""

    def __init__(self, step: Multiply, printer: LLVMPrinter, name: str) -> None:
        super().__init__(step, printer)
        self.multiply, self.name = step, name

    def run(self) -> None:
        """Print one task: one block of the result."""
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None and step.b is not None
        numbers = step.numbers
        used = {numbers[one] for one in (step.a.access, step.b.access)}
        if step.plain:
            used.add(numbers[step.stores[0].access])
        bases = [self.base(k) if k in used else "null" for k in range(len(step.accesses))]
        sums = p.variable(tile.sum, tile.rows * _buffer_row(step))
        self.sums = p.advance(sums[0], p.index(tile.columns), tile.sum)
        with p.tasks(self.number("tasks")) as task:
            down, across = self.number("down"), self.number("across")
            block, rest = p.arith("rem", task, down), p.arith("div", task, down)
            strip, self.batch = p.arith("rem", rest, across), p.arith("div", rest, across)
            indices = self.unravel("batch", self.batch)
            pointers = list(bases)
            for dim, index in enumerate(indices):
                for k in used:
                    pointers[k] = self.along(pointers[k], k, "batch", dim, index)
            self.pa, self.pb = pointers[numbers[step.a.access]], pointers[numbers[step.b.access]]
            self.pc = pointers[numbers[step.stores[0].access]] if step.plain else "null"
            m0 = p.arith("mul", block, self.number("high"))
            m1 = p.arith("min", self.number("M"), p.arith("add", m0, self.number("high")))
            self.n0 = p.arith("mul", strip, self.number("wide"))
            self.n1 = p.arith("min", self.number("N"), p.arith("add", self.n0, self.number("wide")))
            with p.loop(m0, m1, tile.rows) as row:
                self._row_of_tiles(row, p.arith("min", p.index(tile.rows), p.arith("sub", m1, row)))

    def _factor(self, factor: Factor, pointer: Any, name: str, at: Any, total: Any, width: int) -> tuple[Any, Any]:
        """Return the pointer to a tile's part of a factor and how far before `at` it begins.

        A tile that would reach past the end of a factor that is read where it lies begins earlier instead.
        """
        p = self.printer
        if factor.direct:
            first = p.arith("min", at, p.arith("sub", total, p.index(width)))
            offset = p.arith("mul", first, self.number(name)) if name == "a steps" else first
            return p.advance(pointer, offset, factor.access.dtype), p.arith("sub", at, first)
        panel = p.arith(
            "div", at, p.index(self.multiply.tile.rows if name == "a steps" else self.multiply.tile.columns)
        )
        return p.advance(pointer, p.arith("mul", panel, self.number(name)), factor.access.dtype), p.index(0)

    def _row_of_tiles(self, row: Any, rows: Any) -> None:
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None
        pa, skipped = self._factor(step.a, self.pa, "a steps", row, self.number("M"), tile.rows)
        complete = p.compare("eq", rows, p.index(tile.rows))
        width = p.arith("sub", self.n1, self.n0)
        if step.lines:
            self._lines(pa, width)
        else:
            self._tiles(pa, row, complete)
        begin = p.index(0)
        if step.plain and not step.lines:
            # Complete tiles lie in the result already.
            whole = p.arith("mul", p.arith("div", width, p.index(tile.columns)), p.index(tile.columns))
            begin = p.select(complete, whole, "0", "i64")
        offset = p.arith("add", p.arith("mul", skipped, p.index(_buffer_row(step))), begin)
        sums = p.advance(self.sums, offset, tile.sum)
        column, columns = p.arith("add", self.n0, begin), p.arith("sub", width, begin)
        with p.when(p.compare("slt", "0", columns)):
            p.call(
                f"@{self.name}.finish(ptr %buffers, ptr %meta, ptr %scalars, ptr {sums}, i64 {self.batch}, "
                f"i64 {row}, i64 {rows}, i64 {column}, i64 {columns})"
            )

    def _lines(self, pa: Any, width: Any) -> None:
        p, packed = self.printer, self.multiply.tile.packed
        depth, a_step, b_step = self.number("K"), self.number("a steps", 1), self.number("b steps", 1)
        b = p.advance(self.pb, self.n0, packed)
        p.check_grid(pa, packed, [(depth, a_step)])
        p.check_grid(b, packed, [(depth, b_step), (width, "1")])
        p.call(
            f"@{self.name}.lines(i64 {depth}, ptr {pa}, i64 {a_step}, ptr {b}, i64 {b_step}, ptr {self.sums}, "
            f"i64 {width})"
        )

    def _tiles(self, pa: Any, row: Any, complete: Any) -> None:
        """Print a row of tiles: those in full, then the last one of the result, which may reach back over others."""
        p, step, width = self.printer, self.multiply, self.printer.index(self.multiply.tile.columns)
        end = p.arith("mul", p.arith("div", self.n1, width), width)
        with self._rounds(pa) as part, p.loop(self.n0, end, step.tile.columns) as column:
            self._tile(part, row, column, complete, "tile")
        with p.when(p.compare("slt", end, self.n1)), self._rounds(pa) as part:
            self._tile(part, row, end, complete, "narrow" if step.narrow else "tile")

    @contextmanager
    def _rounds(self, pa: Any) -> Iterator[_Part]:
        """Walk along K block by block: the rows' part stays in the first-level cache while columns pass by."""
        p, tile = self.printer, self.multiply.tile
        depth, block = self.number("K"), self.number("K block")
        # An empty sum takes one round, too: it is 0.
        rounds = p.arith("max", p.arith("div", p.arith("sub", p.arith("add", depth, block), "1"), block), "1")
        with p.loop(p.index(0), rounds) as turn:
            k = p.arith("mul", turn, block)
            left = p.arith("sub", depth, k)
            a = p.advance(pa, p.arith("mul", k, self.number("a steps", 1)), tile.packed)
            yield _Part(a, k, p.arith("min", left, block), p.compare("sle", left, block))

    def _tile(self, part: _Part, row: Any, column: Any, complete: Any, kernel: str) -> None:
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None and step.b is not None
        width = tile.columns if kernel == "tile" else tile.narrow_columns
        pb, back = self._factor(step.b, self.pb, "b steps", column, self.number("N"), width)
        sums = p.advance(self.sums, p.arith("sub", p.arith("sub", column, self.n0), back), tile.sum)
        buffer_row = p.index(_buffer_row(step))
        target, target_row = sums, buffer_row
        if step.plain:
            fits = p.compare("sle", p.arith("add", column, p.index(tile.columns)), self.n1)
            inside = p.both(part.last, p.both(complete, fits))
            access = step.numbers[step.stores[0].access]
            place = self.along(self.along(self.pc, access, "rows", 0, row), access, "columns", 0, column)
            if p.bounds is not None:
                with p.when(inside):
                    down = (p.index(tile.rows), self.number(f"a{access} rows"))
                    p.check_grid(place, tile.sum, [down, (p.index(tile.columns), "1")], writes=True)
            target = p.select(inside, place, sums)
            target_row = p.select(inside, self.number(f"a{access} rows"), buffer_row, "i64")
        a_step, b_step = self.number("a steps", 1), self.number("b steps", 1)
        b = p.advance(pb, p.arith("mul", part.begin, b_step), tile.packed)
        a_row = self.number("a steps")
        # What lies side by side in panels is a row apart in a factor that is read as it lies.
        rows = (p.index(tile.rows), a_row) if step.a.direct else (p.index(tile.rows * tile.group), "1")
        p.check_grid(part.a, tile.packed, [(part.count, a_step), rows])
        p.check_grid(b, tile.packed, [(part.count, b_step), (p.index(width * tile.group), "1")])
        p.call(
            f"@{self.name}.{kernel}(i64 {part.count}, ptr {part.a}, ptr {b}, i64 {a_row}, i64 {a_step}, "
            f"i64 {b_step}, ptr {sums}, i64 {buffer_row}, i64 {part.begin}, ptr {target}, i64 {target_row})"
        )


class _Finish(StepEmitter):
    """Results from the buffer of sums: rows and columns of one row of tiles."""

    def __init__(self, step: Multiply, printer: LLVMPrinter) -> None:
        super().__init__(step, printer)
        self.multiply = step

    def run(self) -> None:
        """Print the function."""
        p, step = self.printer, self.multiply
        assert step.a is not None and step.b is not None
        self.prepare()
        p.points_into("%sums", None)
        factors = (step.a.access, step.b.access)
        skipped = {k for k, access in enumerate(step.accesses) if access in factors}
        pointers = ["null" if k in skipped else self.base(k) for k in range(len(step.accesses))]
        self.kept = [k for k in range(len(pointers)) if k not in skipped]
        p.in_entry = False
        pointers = self._moved(pointers, "batch", self.unravel("batch", "%batch"))
        dims = len(step.roles["columns"].extents)
        with p.loop("0", "%rows") as r:
            row = self._moved(pointers, "rows", self.unravel("rows", p.arith("add", "%row", r)))
            sums = p.advance("%sums", p.arith("mul", r, p.index(_buffer_row(step))), step.tile.sum)
            if dims == 1:
                self._columns(self._moved(row, "columns", ["%column"]), sums, "0", "%columns")
                return
            # Runs along the innermost dimension of the columns.
            extent = self.number("columns", dims - 1)
            end = p.arith("add", "%column", "%columns")
            first = p.arith("div", "%column", extent)
            beyond = p.arith("add", p.arith("div", p.arith("sub", end, "1"), extent), "1")
            with p.loop(first, beyond) as run:
                begin = p.arith("mul", run, extent)
                low = p.arith("sub", p.arith("max", "%column", begin), begin)
                high = p.arith("sub", p.arith("min", end, p.arith("add", begin, extent)), begin)
                moved = self._moved(row, "columns", self.unravel("columns", begin))
                self._columns(moved, p.advance(sums, p.arith("sub", begin, "%column"), step.tile.sum), low, high)

    def _moved(self, pointers: list[Any], role: str, indices: list[Any]) -> list[Any]:
        for dim, index in enumerate(indices):
            for k in self.kept:
                pointers = [*pointers[:k], self.along(pointers[k], k, role, dim, index), *pointers[k + 1 :]]
        return pointers

    def _columns(self, pointers: list[Any], sums: Any, low: Any, high: Any) -> None:
        p, step = self.printer, self.multiply
        total: Expr | None = step.total
        assert total is not None
        dim = len(step.roles["columns"].extents) - 1
        with p.vector_loop(low, high, True, elementwise=True, interleave=int(step.plain)) as c:
            at = list(pointers)
            for k in self.kept:
                at[k] = self.along(pointers[k], k, "columns", dim, c)
            value = p.load(p.advance(sums, c, step.tile.sum), step.tile.sum)
            memo = {**self.constants, id(total): p.cast(value, step.tile.sum, total.dtype)}
            values = [self.at(store.value, at, memo) for store in step.stores]
            for store, one in zip(step.stores, values, strict=True):
                p.store(at[self.numbers[store.access]], one, store.access.dtype)
