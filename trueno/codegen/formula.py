"""The expansions of composite rows, recorded once for each combination of dtypes and printed in place of the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, expand
from trueno.ir.elementwise import lookup, unlikely
from trueno.ir.node import Kernel, Node, recording, topological
from trueno.ir.op import Op
from trueno.ir.text import to_text


def is_composite(op: Op, backend: str) -> bool:
    """Whether a back end prints the row's expansion instead of an instruction."""
    return callable(getattr(op, backend))


def own_function(nodes: Sequence[Node]) -> bool:
    """Whether an expansion becomes a function with vector forms, which loops call: it branches, or looks tables up."""
    return nodes[-1].op is unlikely or any(node.op is lookup for node in nodes)


@cache
def formula(op: Op, backend: str, operands: tuple[np.dtype, ...], result: np.dtype) -> tuple[Node, ...]:
    """Return the expansion of a row for one element, operands first; the last node is its value.

    Parameters
    ----------
    op : Op
    backend : {"llvm", "opencl"}
    operands : tuple of numpy.dtype
        Operand k is the leaf ``input`` with argument k.
    result : numpy.dtype
    """
    return recorded(getattr(op, backend), operands, result)


@cache
def recorded(rule: Callable[..., Node], operands: tuple[np.dtype, ...], result: np.dtype) -> tuple[Node, ...]:
    """Return what a rule gives for one element of each dtype, as `formula` does."""
    leaves = [build.array(k, dtype, ()) for k, dtype in enumerate(operands)]
    with recording():
        root = build.cast(rule(*leaves), dtype=result)
    return tuple(topological((root,)))


def half_to_float() -> tuple[Node, ...]:
    """Return the conversion of float16 to float32, for targets without the instruction; the half is its bits, int16."""
    return recorded(expand.half_to_float, (dt.int16,), dt.float32)


def float_to_half() -> tuple[Node, ...]:
    """Return the conversion of float32 to float16, for targets without the instruction; the half is its bits, int16."""
    return recorded(expand.float_to_half, (dt.float32,), dt.int16)


@cache
def conversions_text() -> str:
    """Return both conversions as text, for keys."""
    both = {"half_to_float": half_to_float(), "float_to_half": float_to_half()}
    return "\n".join(to_text(Kernel(name, (), (nodes[-1],))) for name, nodes in both.items())


@cache
def formula_text(op: Op, backend: str, operands: tuple[np.dtype, ...], result: np.dtype) -> str:
    """Return an expansion, and those of the rows in it, as text: what a key has to hold of it."""
    nodes = formula(op, backend, operands, result)
    inner = [
        formula_text(node.op, backend, tuple(source.dtype for source in node.src), node.dtype)
        for node in nodes
        if node.op.kind == "elementwise" and node.op.name != "cast" and is_composite(node.op, backend)
    ]
    return "\n".join([to_text(Kernel(op.name, (), (nodes[-1],))), *dict.fromkeys(inner)])


@cache
def formula_size(op: Op, backend: str, operands: tuple[np.dtype, ...], result: np.dtype) -> int:
    """Return how many rows an expansion takes, as a measure of its cost; what hardly ever runs does not count."""
    count = 0
    nodes = formula(op, backend, operands, result)
    for node in topological((nodes[-1].src[0], nodes[-1].src[2])) if nodes[-1].op is unlikely else nodes:
        if node.op.kind == "elementwise":
            types = tuple(source.dtype for source in node.src)
            if is_composite(node.op, backend):
                count += formula_size(node.op, backend, types, node.dtype)
            else:
                count += 20 if node.op.name.startswith("libm") else 1
    return count
