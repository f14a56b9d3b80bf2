"""The interpreter: what a kernel means, in NumPy. Slow, simple, and the oracle of every other back end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trueno.ir import build, convolution
from trueno.ir.node import Kernel, Node, topological


def _leaf(node: Node, operands: Sequence[Any]) -> np.ndarray:
    if node.op is build.IOTA:
        index = np.arange(node.shape[node.arg], dtype=node.dtype)
        return np.broadcast_to(index.reshape([-1 if k == node.arg else 1 for k in range(node.ndim)]), node.shape)
    if node.op is build.INPUT:
        return np.asarray(operands[node.arg])
    value = operands[node.arg if isinstance(node.arg, int) else node.arg[0]] if node.op is build.SCALAR else node.arg
    return np.asarray(value).astype(node.dtype)


def static_arguments(node: Node) -> dict[str, Any]:
    """Return the keyword arguments that the row's NumPy meaning takes for this node."""
    match node.op.kind, node.op.name:
        case "elementwise", "cast" | "bitcast":
            return {"dtype": node.arg}
        case "elementwise", "lookup":
            return {"table": node.arg}
        case "reduction", _:
            return {"axis": node.arg}
        case (("scan" | "gather"), _):
            return {"axis": node.arg}
        case "view", "expand" | "reshape":
            return {"shape": node.shape}
        case "view", "permute":
            return {"axes": node.arg}
        case "view", "slice":
            return {"bounds": node.arg}
        case "view", "window":
            return {"slides": node.arg}
        case "view", "diagonal":
            return {"axis1": node.arg[0], "axis2": node.arg[1]}
        case "assemble", "interleave":
            return {"steps": node.arg, "shape": node.shape}
        case "assemble", "fold":
            return {"shape": node.shape, "slides": node.arg}
        case "assemble", "place":
            return {"shape": node.shape, "bounds": node.arg}
        case "assemble", "concatenate":
            return {"axis": node.arg}
        case "scatter", _:
            return {"shape": node.shape, "axis": node.arg}
        case "contraction", "convolution":
            return convolution.Geometry(*node.arg)._asdict()
    return {}


def evaluate(kernel: Kernel, *operands: Any) -> tuple[np.ndarray, ...]:
    """Run a kernel on NumPy arrays and Python numbers.

    Parameters
    ----------
    kernel : Kernel
    *operands : array_like
        One for each of the kernel's inputs, in order.

    Returns
    -------
    tuple of numpy.ndarray
        One for each output.
    """
    values: dict[int, np.ndarray] = {}
    for node in topological(kernel.outputs):
        if node.op.kind == "leaf":
            result = _leaf(node, operands)
        else:
            assert node.op.ref is not None
            src = [values[id(source)] for source in node.src]
            with np.errstate(all="ignore"):  # the IR has IEEE results, not warnings
                result = np.asarray(node.op.ref(*src, **static_arguments(node)))
        if result.dtype != node.dtype:
            result = result.astype(node.dtype)
        assert result.shape == node.shape, f"{node}: interpreter gave shape {result.shape}"
        values[id(node)] = result
    return tuple(values[id(node)] for node in kernel.outputs)
