"""What follows the sums of a row of tiles: results from the buffer that they were added up in."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.contraction import match
from trueno.codegen.contraction.masks import mask_of, masked_load, masked_store
from trueno.codegen.contraction.micro import vector_type
from trueno.codegen.contraction.steps import Multiply
from trueno.codegen.contraction.walk import StepEmitter
from trueno.codegen.expr import Expr
from trueno.codegen.llvm import LLVMPrinter, Module
from trueno.codegen.llvm_values import memory_type

FINISH = "ptr %buffers, ptr %meta, ptr %scalars, ptr %sums, i64 %batch, i64 %row, i64 %rows, i64 %column, i64 %columns"
"""Parameters of the function."""


def finish_function(module: Module, name: str, step: Multiply, half_instructions: bool) -> None:
    """Append ``name.finish`` to a module: it evaluates what follows the sums, or only moves them to their place."""
    assert module.as_is is not None
    if step.moved:
        _moving(module.as_is, name, step, half_instructions)
        return
    printer = LLVMPrinter(module, half_instructions)
    # The tiles' sums hold no subnormal numbers, which these instructions take for zeros.
    printer.bfloat_instructions = step.tile.kind == "amx bf16"
    _Finish(step, printer).run()
    printer.finish_function(f"{name}.finish({FINISH})", f"{step.name}: what follows the sums", "hidden")
    module.as_is.declare(f"hidden void @{name}.finish({FINISH})")


def buffer_row(step: Multiply) -> int:
    """Return the columns of the buffer of sums: a strip and, before it, room for a tile that reaches back."""
    return step.strip + step.tile.columns


def _moving(module: Module, name: str, step: Multiply, half_instructions: bool) -> None:
    """Print the function that only moves sums to their place, as what they are or narrowed."""
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
    dtype, result = step.tile.sum, step.stores[0].access.dtype
    with p.loop("0", "%rows") as r:
        place = emitter.along(pointer, access, "rows", 0, r)
        sums = p.advance("%sums", p.arith("mul", r, p.index(buffer_row(step))), dtype)
        with p.loop("0", "%columns", step.tile.lanes) as c:
            rest, to = p.arith("sub", "%columns", c), p.advance(place, c, result)
            p.check_grid(to, result, [(p.arith("min", rest, p.index(step.tile.lanes)), "1")], writes=True)
            p.call(f"@{name}.move(ptr {p.advance(sums, c, dtype)}, i64 {rest}, ptr {to})")
    p.finish_function(f"{name}.finish({FINISH})", f"{step.name}: sums to their place")
    kind, lanes, size = vector_type(dtype, step.tile.lanes), step.tile.lanes, dtype.itemsize
    narrow = f"<{lanes} x {memory_type(result)}>"
    module.functions.append("\n".join([
        f"define internal void @{name}.move(ptr noalias %from, i64 %count, ptr noalias %to) noinline #0 {{",
        *mask_of("%mask", "%count", 0, lanes),
        masked_load(module, "%sums", kind, "%from", "%mask", size),
        *_narrowed(kind, narrow, dtype, result),
        masked_store(module, "%value", narrow, "%to", "%mask", result.itemsize), "  ret void", "}",
    ]))  # fmt: skip


def _narrowed(kind: str, narrow: str, dtype: np.dtype, result: np.dtype) -> list[str]:
    """Return the lines that make %value of %sums: rounded to bfloat16, the last bytes of integers, or the sums."""
    if result == dt.bfloat16:
        halves = narrow.replace("i16", "bfloat")
        return [f"  %halves = fptrunc {kind} %sums to {halves}", f"  %value = bitcast {halves} %halves to {narrow}"]
    if result.itemsize < dtype.itemsize:
        return [f"  %value = trunc {kind} %sums to {narrow}"]
    return [f"  %value = bitcast {kind} %sums to {narrow}"]


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
        # One element of a factor, which stands still where tiles move along it, may follow the sum as well.
        follows = {access for store in step.stores for access in (*match.accesses(store.value), store.access)}
        skipped = {step.numbers[one] for one in (step.a.access, step.b.access) if one not in follows}
        pointers = ["null" if k in skipped else self.base(k) for k in range(len(step.accesses))]
        self.kept = [k for k in range(len(pointers)) if k not in skipped]
        p.in_entry = False
        pointers = self._moved(pointers, "batch", self.unravel("batch", "%batch"))
        dims = len(step.roles["columns"].extents)
        with p.loop("0", "%rows") as r:
            row = self._moved(pointers, "rows", self.unravel("rows", p.arith("add", "%row", r)))
            sums = p.advance("%sums", p.arith("mul", r, p.index(buffer_row(step))), step.tile.sum)
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
        # LLVM takes rounding to bfloat16 to be dear, and would take short vectors.
        width = step.tile.lanes if p.bfloat_instructions else 0
        with p.vector_loop(low, high, True, elementwise=True, width=width, interleave=int(step.plain)) as c:
            at = list(pointers)
            for k in self.kept:
                at[k] = self.along(pointers[k], k, "columns", dim, c)
            value = p.load(p.advance(sums, c, step.tile.sum), step.tile.sum)
            memo = {**self.constants, id(total): p.cast(value, step.tile.sum, total.dtype)}
            values = [self.at(store.value, at, memo) for store in step.stores]
            for store, one in zip(step.stores, values, strict=True):
                p.store(at[self.numbers[store.access]], one, store.access.dtype)
