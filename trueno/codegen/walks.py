"""Which walk prints a stage."""

from __future__ import annotations

from typing import Any

from trueno.codegen.columns import ColumnEmitter
from trueno.codegen.emit import Printer, StageEmitter, is_costly
from trueno.codegen.llvm import LLVMPrinter
from trueno.codegen.rows import RowEmitter
from trueno.codegen.stage import SCANNED_ROW, SEVERAL_ROW, SHORT_ROW, Loops
from trueno.codegen.target import Target


def emitter(loops: Loops, printer: Printer, end_task: Any = None, serial: bool = False) -> StageEmitter:
    """Return what prints a stage; parameters as of `StageEmitter`."""
    if loops.short == "vectors" and serial:
        from trueno.codegen.row_vectors import RowVectorEmitter

        return RowVectorEmitter(loops, printer, end_task, serial)
    if loops.short == "scans" and serial:
        from trueno.codegen.scans import ScanEmitter

        return ScanEmitter(loops, printer, end_task, serial)
    kind: type[StageEmitter] = StageEmitter if loops.elementwise else ColumnEmitter if loops.columns else RowEmitter
    if serial and kind is RowEmitter:
        from trueno.codegen.deciding import DecidingEmitter, may_be_decided

        kind = DecidingEmitter if any(map(may_be_decided, loops.order)) else kind
    return kind(loops, printer, end_task, serial)


def printer_of(loops: Loops) -> type[LLVMPrinter]:
    """Return what prints the code of a stage on the CPU."""
    if loops.short == "vectors":
        from trueno.codegen.row_vectors import RowVectorPrinter

        return RowVectorPrinter
    return LLVMPrinter


def vectors_of_rows(loops: Loops, target: Target) -> str:
    """Return how a stage walks its rows, as `Loops.short` has it."""
    if loops.lanes or loops.columns or loops.stage.partial or not (loops.outer and target.vectorise):
        return ""
    masks, extent = target.has("avx512f"), loops.inner[-1]
    if masks and extent <= SEVERAL_ROW and not loops.elementwise:
        from trueno.codegen.row_vectors import walks_vectors

        if walks_vectors(loops) and not any(is_costly(expr, "llvm") for expr in loops.order):
            return "vectors"
    if not loops.elementwise and extent <= SCANNED_ROW:
        from trueno.codegen.scans import walks_beside

        if walks_beside(loops):
            return "scans"
    if extent > SHORT_ROW:
        return ""
    return "masked" if masks else "single" if loops.elementwise else ""
