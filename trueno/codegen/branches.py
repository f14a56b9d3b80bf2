"""Expansions that end in `unlikely`, as functions: their rare part is computed where an element needs it.

A loop with a branch would not be vectorised. So the loop calls a function of one element, of which LLVM's vectoriser is
told the vector forms (the attribute ``vector-function-abi-variant``); those branch on whether any lane needs the rare
part. They are inlined once loops have become vectors. LLVM's other passes see the call alone, which also saves most of
the time of compilation. An element's result depends on nothing but its operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.compile import INLINED
from trueno.codegen.expressions import expanded
from trueno.codegen.llvm_types import register_type
from trueno.codegen.llvm_values import ValuePrinter
from trueno.ir import build
from trueno.ir.elementwise import unlikely
from trueno.ir.node import Node, topological
from trueno.ir.op import Op

if TYPE_CHECKING:
    from trueno.codegen.llvm import Module


#: Name of a function that nobody calls: it keeps vector forms until loops have been vectorised.
KEEP = "keep.vectors"


class _FunctionPrinter(ValuePrinter):
    """Prints the body of a function of one element or one vector, `lines`."""

    def __init__(self, module: Module, half_instructions: bool, lanes: int, permuted: int) -> None:
        self.module, self.half_instructions, self.lanes, self.permuted = module, half_instructions, lanes, permuted
        self.lines: list[str] = []

    def _let(self, text: str, hint: str = "v") -> str:
        name = f"%{hint}{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return name


def call(printer: ValuePrinter, op: Op, nodes: Sequence[Node], operands: list[str]) -> str:
    """Print a call of an expansion that ends in `unlikely`; return its value.

    The function and its vector forms are added to what LLVM's passes leave alone.
    """
    module = printer.module
    types = [node.dtype for node in sorted((n for n in nodes if n.op is build.INPUT), key=lambda leaf: leaf.arg)]
    result = register_type(nodes[-1].dtype)
    name = ".".join([op.name, *(one.name for one in types), nodes[-1].dtype.name])
    home = module if module.as_is is None else module.as_is
    kinds = [register_type(one) for one in types]
    forms = {lanes: f"{name}.v{lanes}" for lanes in _lanes(module, types)}
    for lanes, form in {1: name, **forms}.items():
        if form not in home.helpers:
            made = _FunctionPrinter(home, printer.half_instructions, lanes, module.vector_bytes)
            home.helpers[form] = _define(made, name, nodes, types)
    marks = "nounwind willreturn memory(none)"
    if home is not module:
        module.declare(f"{result} @{name}({', '.join(kinds)})")
        for lanes, form in forms.items():
            taken = ", ".join(f"<{lanes} x {kind}>" for kind in kinds)
            module.keep(form, f"<{lanes} x {result}> @{form}({taken})")
    if home is not module and forms:
        each = "v" * len(kinds)
        listed = ",".join(f"_ZGV_LLVM_N{lanes}{each}_{name}({form})" for lanes, form in forms.items())
        marks += f' "vector-function-abi-variant"="{listed}"'
    given = ", ".join(f"{kind} {value}" for kind, value in zip(kinds, operands, strict=True))
    return printer.let(f"call {result} @{name}({given}) {marks}")


def _lanes(module: Module, types: Sequence[np.dtype]) -> tuple[int, ...]:
    """Return the lengths of vectors, in elements, that loops over operands of these types may be given."""
    if not module.vector_bytes:
        return ()
    widest = max(one.itemsize for one in types)
    most = module.vector_bytes // widest
    # Beside wider elements a loop takes as many lanes as those have.
    return tuple(most >> k for k in range(4 - widest.bit_length() + 1) if most >> k > 1)


def _define(p: _FunctionPrinter, name: str, nodes: Sequence[Node], types: Sequence[np.dtype]) -> str:
    """Return the text of a function of one element or one vector, and of the one that computes its rare part."""
    operands = [f"%x{k}" for k in range(len(types))]
    given = ", ".join(f"{p.kind(one)} {x}" for one, x in zip(types, operands, strict=True))
    if nodes[-1].op is not unlikely:
        value, kind = expanded(p, nodes, operands), p.kind(nodes[-1].dtype)
        name = name if p.lanes == 1 else f"{name}.v{p.lanes}"
        return "\n".join([f"define {kind} @{name}({given}) #0 {INLINED} {{", *p.lines, f"  ret {kind} {value}", "}"])
    condition, rare, common = nodes[-1].src
    values: dict[int, str] = {}
    expanded(p, topological((condition, common)), operands, values)
    usual, held = values[id(common)], values[id(condition)]
    kind, mask = p.kind(common.dtype), p.kind(dt.bool_)
    needed, more, also = held, "", ""
    if p.lanes > 1:
        name = f"{name}.v{p.lanes}"
        more, also = f", {kind} {usual}, {mask} {held}", f", {kind} %usual, {mask} %held"
        p.module.declare(f"i1 @llvm.vector.reduce.or.v{p.lanes}i1({mask})")
        needed = p.let(f"call i1 @llvm.vector.reduce.or.v{p.lanes}i1({mask} {held})")

    inner = _FunctionPrinter(p.module, p.half_instructions, p.lanes, p.permuted)
    value = expanded(inner, topological((rare,)), operands)
    if p.lanes > 1:
        value = inner.let(f"select {mask} %held, {kind} {value}, {kind} %usual")
    return "\n".join([
        f"define {kind} @{name}({given}) #0 {INLINED} {{", "usual:", *p.lines,
        f"  br i1 {needed}, label %rare, label %end, !prof {p.module.unlikely_branch()}",
        "rare:", f"  %special = call {kind} @{name}.rare({given}{more})", "  br label %end",
        "end:", f"  %result = phi {kind} [ {usual}, %usual ], [ %special, %rare ]", f"  ret {kind} %result", "}",
        f"define internal {kind} @{name}.rare({given}{also}) #0 noinline {{", *inner.lines,
        f"  ret {kind} {value}", "}",
    ])  # fmt: skip
