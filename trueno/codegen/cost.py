"""Estimates of the time that steps take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueno.codegen.expr import Expr
from trueno.codegen.formula import formula_size, is_composite
from trueno.codegen.stage import Loops, vector_classes

if TYPE_CHECKING:
    from trueno.codegen.chains import Chain
    from trueno.codegen.contraction.steps import Step


def formula_of(expr: Expr) -> tuple | None:
    """Return what names the expansion of a composite row, or None for a row that is one instruction."""
    if expr.kind != "op" or expr.op is None or expr.op.name == "cast" or not is_composite(expr.op, "llvm"):
        return None
    return expr.op, "llvm", tuple(source.dtype for source in expr.src), expr.dtype


def _rows(expr: Expr) -> int:
    named = formula_of(expr)
    return 1 if named is None else formula_size(*named)


def nanoseconds(one: Loops | Step | Chain) -> float:
    """Return an estimate of a step's time on one thread."""
    if not isinstance(one, Loops):
        return one.cost()
    # What a run-time stride leads to is gathered element by element; what is written there is a line of its own each.
    strided = [2.0 if access[5] else 0.4 for access in one.accesses]
    loads = sum(apart if kind == "s" else 0.05 for apart, kind in zip(strided, vector_classes(one), strict=True))
    per_element = loads + 0.03 * sum(_rows(expr) for expr in one.order if expr.kind == "op")
    return per_element * one.elements
