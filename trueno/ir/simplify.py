"""Rewrites that keep a kernel's meaning and make it smaller, and the expansion of composite rows for a back end."""

from __future__ import annotations

from collections.abc import Callable

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.node import Kernel, Node, make, recording, rewrite
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


def _placed(body: Node, places: dict[int, Node], rule: Callable[[Node], Node | None]) -> Node:
    """Return an expansion's body with its operands put in, and its own rows expanded."""

    def place(inner: Node) -> Node | None:
        source = places.get(id(inner))
        return rule(inner) if source is None else source

    return rewrite((body,), place)[0]


def expand_rows(kernel: Kernel, backend: str) -> Kernel:
    """Return the kernel with each composite row replaced by its expansion for ``"llvm"`` or ``"opencl"``."""

    def lower(node: Node) -> Node | None:
        if node.op.kind != "elementwise":
            return None
        rule = getattr(node.op, backend)
        if not callable(rule):
            return None
        shapeless = [Node(build.INPUT, (), source.dtype, node.shape, k) for k, source in enumerate(node.src)]
        body = rule(*shapeless)
        body = build.expand(build.cast(body, dtype=node.dtype), shape=node.shape)
        places = {id(leaf): source for leaf, source in zip(shapeless, node.src, strict=True)}
        return _placed(body, places, lower)

    with recording():
        outputs = rewrite(kernel.outputs, lower)
    return checked(Kernel(kernel.name, kernel.inputs, outputs, kernel.origin), "the expansion of rows")
