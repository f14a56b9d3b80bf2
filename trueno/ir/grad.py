"""Reverse-mode differentiation as a transformation of IR into IR."""

from __future__ import annotations

from collections.abc import Sequence

from trueno import dtypes as dt
from trueno.ir.build import cast, expand, reshape
from trueno.ir.elementwise import add, like
from trueno.ir.node import Node, topological
from trueno.ir.reductions import sum as sum_rows

__all__ = ["gradients"]


def _to_operand(g: Node, operand: Node) -> Node:
    """Return a contribution in the operand's dtype and shape: cast, and summed over what was broadcast."""
    if g.shape != operand.shape:
        extra = g.ndim - operand.ndim
        axes = tuple(k for k in range(g.ndim) if k < extra or (operand.shape[k - extra] == 1 and g.shape[k] != 1))
        if axes:
            wide = cast(g, dtype=dt.accumulator(g.dtype))
            g = sum_rows(wide, axis=axes, keepdims=True)
        g = reshape(g, shape=operand.shape)
    return cast(g, dtype=operand.dtype)


def gradients(outputs: Sequence[Node], incoming: Sequence[Node | None], wrt: Sequence[Node]) -> list[Node | None]:
    """Return the gradient with respect to each node of `wrt`.

    Parameters
    ----------
    outputs : sequence of Node
    incoming : sequence of Node or None
        Gradient of each output, of its shape and dtype; None where none arrives.
    wrt : sequence of Node
        Nodes below the outputs, usually leaves.

    Returns
    -------
    list of Node or None
        None where the outputs do not depend on the node differentiably.
    """
    order = topological(outputs)
    wanted = {id(node) for node in wrt}
    depends: set[int] = set()
    for node in order:
        if id(node) in wanted or any(id(source) in depends for source in node.src):
            depends.add(id(node))
    total: dict[int, Node] = {}

    def accumulate(node: Node, g: Node) -> None:
        g = _to_operand(g, node)
        before = total.get(id(node))
        total[id(node)] = g if before is None else cast(add(before, g), dtype=node.dtype)

    for node, g in zip(outputs, incoming, strict=True):
        if g is not None and dt.is_floating(node.dtype):
            accumulate(node, g)
    for node in reversed(order):
        g = total.get(id(node))
        if g is None or id(node) not in depends or not node.src or node.op.grad is None:
            continue
        if id(node) in wanted:
            continue
        for source, part in zip(node.src, node.op.grad(g, node, *node.src), strict=True):
            if part is not None and id(source) in depends and dt.is_floating(source.dtype):
                accumulate(source, part)
    return [total.get(id(node)) for node in wrt]


def zeros_like(node: Node) -> Node:
    """Return zeros of a node's shape and dtype."""
    return expand(like(node, 0), shape=node.shape)
