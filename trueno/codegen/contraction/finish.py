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
from trueno.codegen.llvm_types import memory_type, register_type

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
    result = step.stores[0].access.dtype
    stride = emitter.number(f"a{access} rows") if step.roles["rows"].strides[step.stores[0].access][0] else "0"
    p.check_grid(pointer, result, [("%rows", stride), ("%columns", "1")], writes=True)
    row_bytes = p.arith("mul", stride, p.index(result.itemsize))
    p.call(f"@{name}.move(ptr %sums, i64 %rows, i64 %columns, ptr {pointer}, i64 {row_bytes})")
    p.finish_function(f"{name}.finish({FINISH})", f"{step.name}: sums to their place", quick=True)
    module.functions.append(_move(module, name, step, result))


def _move(module: Module, name: str, step: Multiply, result: np.dtype) -> str:
    """Return ``name.move(from, rows, columns, to, to_bytes)``; the last vector of a row is masked."""
    dtype, lanes, size = step.tile.sum, step.tile.lanes, step.tile.sum.itemsize
    kind, narrow = vector_type(dtype, lanes), f"<{lanes} x {memory_type(result)}>"

    def places(name: str, at: str) -> list[str]:
        return [
            f"  %from.{name} = getelementptr {register_type(dtype)}, ptr %from.row, i64 {at}",
            f"  %to.{name} = getelementptr {memory_type(result)}, ptr %to.row, i64 {at}",
        ]

    return "\n".join([
        f"define internal void @{name}.move(ptr noalias %from, i64 %rows, i64 %columns, ptr noalias %to, "
        "i64 %to_bytes) noinline #0 {",
        "entry:", f"  %whole = and i64 %columns, {-lanes}", "  %any = icmp sgt i64 %whole, 0",
        "  %rest = sub i64 %columns, %whole", "  %part = icmp sgt i64 %rest, 0",
        *mask_of("%mask", "%rest", 0, lanes), "  br label %row", "row:",
        "  %r = phi i64 [ 0, %entry ], [ %r.next, %end ]",
        "  %from.row = phi ptr [ %from, %entry ], [ %from.next, %end ]",
        "  %to.row = phi ptr [ %to, %entry ], [ %to.next, %end ]", "  br i1 %any, label %loop, label %last", "loop:",
        "  %c = phi i64 [ 0, %row ], [ %c.next, %loop ]", *places("at", "%c"),
        f"  %sums = load {kind}, ptr %from.at, align {size}",
        *_narrowed("%value", "%sums", kind, narrow, dtype, result),
        f"  store {narrow} %value, ptr %to.at, align {result.itemsize}", f"  %c.next = add nuw nsw i64 %c, {lanes}",
        "  %more = icmp slt i64 %c.next, %whole", "  br i1 %more, label %loop, label %last", "last:",
        "  br i1 %part, label %tail, label %end", "tail:", *places("end", "%whole"),
        masked_load(module, "%sums.end", kind, "%from.end", "%mask", size),
        *_narrowed("%value.end", "%sums.end", kind, narrow, dtype, result),
        masked_store(module, "%value.end", narrow, "%to.end", "%mask", result.itemsize), "  br label %end", "end:",
        f"  %from.next = getelementptr i8, ptr %from.row, i64 {buffer_row(step) * size}",
        "  %to.next = getelementptr i8, ptr %to.row, i64 %to_bytes", "  %r.next = add nuw nsw i64 %r, 1",
        "  %again = icmp slt i64 %r.next, %rows", "  br i1 %again, label %row, label %done", "done:", "  ret void", "}",
    ])  # fmt: skip


def _narrowed(to: str, sums: str, kind: str, narrow: str, dtype: np.dtype, result: np.dtype) -> list[str]:
    """Return the lines that round sums to bfloat16, or take the last bytes of integers, or the sums as they are."""
    if result == dt.bfloat16:
        halves = narrow.replace("i16", "bfloat")
        return [f"  {to}.half = fptrunc {kind} {sums} to {halves}", f"  {to} = bitcast {halves} {to}.half to {narrow}"]
    return [f"  {to} = {'trunc' if result.itemsize < dtype.itemsize else 'bitcast'} {kind} {sums} to {narrow}"]


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
