"""Printing a stage's expressions at one point: loads through pointers, rows, and expansions of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trueno.codegen.expr import Access, Expr
from trueno.codegen.formula import formula, is_composite, own_function
from trueno.ir import build
from trueno.ir.node import Node

if TYPE_CHECKING:
    from trueno.codegen.emit import Printer, RowPrinter


class ExpressionEmitter:
    """Prints expressions where `pointers` says.

    Attributes
    ----------
    p : Printer
    numbers : mapping of Access to int
        The position of each access in `pointers`.
    pointers : list
        Where each access points at the current position.
    gathers : dict
        Where a gather's extent and stride lie in the meta array, by identity of its expression.
    """

    def __init__(self, printer: Printer, numbers: Mapping[Access, int]) -> None:
        self.p, self.numbers = printer, numbers
        self.pointers: list[Any] = []
        self.gathers: dict[int, int] = {}

    def _kept(self, expr: Expr) -> Any:
        """Return the value of an expression that is read back instead of evaluated, else None."""
        return None

    def _value(self, root: Expr, memo: dict[int, Any]) -> Any:
        """Print what is needed for an expression at the current position and return its value."""
        stack = [root]
        while stack:
            expr = stack[-1]
            if id(expr) in memo:
                stack.pop()
                continue
            kept = self._kept(expr)
            if kept is not None:
                memo[id(expr)] = kept
                continue
            missing = [source for source in expr.src if id(source) not in memo]
            if missing:
                stack.extend(missing)
                continue
            memo[id(expr)] = self._print(expr, [memo[id(source)] for source in expr.src])
            stack.pop()
        return memo[id(root)]

    def _print(self, expr: Expr, operands: list[Any]) -> Any:
        p = self.p
        match expr.kind:
            case "load":
                return p.load(self.pointers[self.numbers[expr.arg]], expr.dtype)
            case "iota":
                return p.from_index(self.pointers[self.numbers[expr.arg]], expr.dtype)
            case "gather":
                access = expr.arg[0]
                place = self.gathers[id(expr)]
                index = p.wrap(p.as_index(operands[0], expr.src[0].dtype), p.meta(place))
                pointer = self.pointers[self.numbers[access]]
                return p.load(p.advance(pointer, p.arith("mul", index, p.meta(place + 1)), access.dtype), expr.dtype)
            case "op":
                assert expr.op is not None
                return applied(self.p, expr, operands)
        raise AssertionError(f"{expr.kind} has no value outside its loop")


def applied(p: RowPrinter, expr: Expr | Node, operands: list[Any]) -> Any:
    """Print a row on operands: a cast, an instruction, or the rows of its expansion."""
    assert expr.op is not None
    if expr.op.name == "cast":
        return p.cast(operands[0], expr.src[0].dtype, expr.dtype)
    if not is_composite(expr.op, p.backend):
        return p.apply(expr, operands)
    own = p.instruction(expr, operands)
    if own is not None:
        return own
    nodes = formula(expr.op, p.backend, tuple(source.dtype for source in expr.src), expr.dtype)
    value = p.branching(expr.op, nodes, operands) if own_function(nodes) else None
    return expanded(p, nodes, operands) if value is None else value


def expanded(p: RowPrinter, nodes: Sequence[Node], operands: list[Any], values: dict[int, Any] | None = None) -> Any:
    """Print an expansion that `formula` recorded on operands.

    `values`, if given, holds the values of nodes that were printed before, by identity, and gets those of these.
    """
    values = {} if values is None else values
    for node in nodes:
        if id(node) in values:
            continue
        if node.op is build.INPUT:
            values[id(node)] = operands[node.arg]
        elif node.op is build.CONST:
            values[id(node)] = p.const(node.arg, node.dtype)
        else:
            values[id(node)] = applied(p, node, [values[id(source)] for source in node.src])
    return values[id(nodes[-1])]
