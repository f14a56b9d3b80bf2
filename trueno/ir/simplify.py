"""Rewrites that keep a kernel's meaning and make it smaller."""

from __future__ import annotations

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.node import Kernel, Node, make, recording, rewrite
from trueno.ir.reductions import neutral
from trueno.ir.verify import checked

_EXACT = {(a, b) for a in dt.ALL for b in dt.ALL if dt.is_floating(a) and dt.is_floating(b) and a.itemsize < b.itemsize}


def _simplify(node: Node) -> Node | None:
    op = node.op.name
    source = node.src[0] if node.src else None
    if source is None:
        return None
    if op == "cast":
        if source.dtype == node.dtype:
            return source
        if source.op.name == "cast":
            inner = source.src[0]
            # A half result read again inside the kernel keeps its float32 value: halves are stored, not computed with.
            if inner.dtype == node.dtype and source.dtype in dt.HALF and dt.is_floating(inner.dtype):
                return inner
            if (inner.dtype, source.dtype) in _EXACT and dt.is_floating(node.dtype):
                return build.cast(inner, dtype=node.dtype)
        if source.op is build.CONST:
            return build.cast(source, dtype=node.dtype)
    elif op == "expand" and source.op.name == "expand":
        return make(node.op, source.src, node.dtype, node.shape, None)
    elif op == "permute" and source.op.name == "permute":
        axes = tuple(source.arg[axis] for axis in node.arg)
        return source.src[0] if axes == tuple(range(node.ndim)) else make(
            node.op, source.src, node.dtype, node.shape, axes
        )  # fmt: skip
    elif op == "reshape" and source.op.name == "reshape":
        return build.reshape(source.src[0], shape=node.shape)
    elif node.op.kind == "reduction" and not source.size and node.size:
        # A loop over nothing would not compute what follows the reduction in it either.
        return build.expand(build.const(neutral(node.op, node.dtype), node.dtype), shape=node.shape)
    elif op in ("mul", "add") and node.op.kind == "elementwise":
        return _identity(node)
    return None


def _literal(node: Node) -> float | int | None:
    while node.op.name in ("expand", "reshape"):
        node = node.src[0]
    return node.arg if node.op is build.CONST else None


def _identity(node: Node) -> Node | None:
    """x * 1 is x in every dtype (x + 0 is not: -0.0 + 0 is 0)."""
    if node.op.name == "mul" and node.dtype != dt.bool_:
        for one, other in (node.src, node.src[::-1]):
            if _literal(one) == 1:
                return other
    return None


def simplify(kernel: Kernel) -> Kernel:
    """Return an equivalent kernel without redundant casts, views and factors."""
    with recording():
        outputs = rewrite(kernel.outputs, _simplify)
    return checked(Kernel(kernel.name, kernel.inputs, outputs, kernel.origin), "simplify")
