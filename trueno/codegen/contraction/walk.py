"""What the code of both kinds of step shares: numbers from the meta array, and pointers moved along roles."""

from __future__ import annotations

from typing import Any

from trueno.codegen.contraction.steps import Step
from trueno.codegen.expr import Expr
from trueno.codegen.expressions import ExpressionEmitter
from trueno.codegen.llvm import LLVMPrinter


class StepEmitter(ExpressionEmitter):
    """Prints one function of a step."""

    def __init__(self, step: Step, printer: LLVMPrinter) -> None:
        super().__init__(printer, step.numbers)
        self.step = step
        self.printer = printer
        self.places = step.meta.places
        self.constants: dict[int, Any] = {}
        self.order = step.order
        self.gathers = {id(e): self.places[f"gather{k}"] for k, e in enumerate(self.order) if e.kind == "gather"}

    def number(self, name: str, which: int = 0) -> Any:
        """Return a run-time number."""
        return self.p.meta(self.places[name] + which)

    def prepare(self) -> None:
        """Print constants and scalars, which all points share."""
        for k, expr in enumerate(self.order):
            if expr.kind == "const":
                self.constants[id(expr)] = self.p.const(expr.arg, expr.dtype)
            elif expr.kind == "scalar":
                self.constants[id(expr)] = self.p.scalar(self.number(f"scalar{k}"), expr.dtype)

    def base(self, k: int) -> Any:
        """Return where access k begins."""
        access = self.step.accesses[k]
        offset = self.number(f"a{k}", 1)
        return offset if access.buffer < 0 else self.p.base(self.number(f"a{k}"), offset, access.dtype)

    def unravel(self, role: str, index: Any) -> list[Any]:
        """Return a linear index along a role as one index for each of its dimensions."""
        p, count = self.p, len(self.step.roles[role].extents)
        indices: list[Any] = []
        for dim in reversed(range(count)):
            if dim:
                extent = self.number(role, dim)
                indices.append(p.arith("rem", index, extent))
                index = p.arith("div", index, extent)
            else:
                indices.append(index)
        return indices[::-1]

    def along(self, pointer: Any, k: int, role: str, dim: int, index: Any) -> Any:
        """Return access k moved along one dimension of a role."""
        p, access = self.p, self.step.accesses[k]
        axis = self.step.roles[role]
        stride, last = axis.strides[access][dim], dim == len(axis.extents) - 1
        if stride == 0:
            return pointer
        steps = index if stride == 1 and last else p.arith("mul", index, self.number(f"a{k} {role}", dim))
        return p.arith("add", pointer, steps) if access.buffer < 0 else p.advance(pointer, steps, access.dtype)

    def moved(self, pointers: list[Any], role: str, indices: list[Any]) -> list[Any]:
        """Return all accesses moved along a role's first dimensions."""
        for dim, index in enumerate(indices):
            pointers = [self.along(pointer, k, role, dim, index) for k, pointer in enumerate(pointers)]
        return pointers

    def at(self, root: Expr, pointers: list[Any], memo: dict[int, Any] | None = None) -> Any:
        """Print an expression at these pointers and return its value."""
        self.pointers = pointers
        return self._value(root, dict(self.constants) if memo is None else memo)
