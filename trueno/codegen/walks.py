"""Which walk prints a stage."""

from __future__ import annotations

from typing import Any

from trueno.codegen.columns import ColumnEmitter
from trueno.codegen.emit import Printer, StageEmitter
from trueno.codegen.rows import RowEmitter
from trueno.codegen.stage import Loops


def emitter(loops: Loops, printer: Printer, end_task: Any = None, serial: bool = False) -> StageEmitter:
    """Return what prints a stage; parameters as of `StageEmitter`."""
    kind = StageEmitter if loops.elementwise else ColumnEmitter if loops.columns else RowEmitter
    if serial and kind is RowEmitter:
        from trueno.codegen.deciding import DecidingEmitter, may_be_decided

        kind = DecidingEmitter if any(map(may_be_decided, loops.order)) else kind
    return kind(loops, printer, end_task, serial)
