"""A small kernel for every row of the op table."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import build, composites
from trueno.ir.node import Kernel, Node, recording
from trueno.ir.op import Op, registry, rows
from trueno.ir.pooling import largest
from trueno.ir.transcendental import exp

SHAPE = (2, 3)
#: Rows that are made by the recorder only.
LEAVES = tuple(op.name for op in rows("leaf"))
ROWS = tuple(op.name for op in rows() if op.kind != "leaf")

#: Elementwise rows that take float32, whatever their promotion says.
OF_FLOATS = ("where", "cast", "bitcast", "analytic")
#: Rows whose operands are values of a narrower dtype than theirs.
NARROW = {f"nextafter_{dtype}": dtype for dtype in dt.HALF}

_STATIC: dict[str, dict[str, Any]] = {
    "cast": {"dtype": dt.int32}, "bitcast": {"dtype": dt.int32}, "expand": {"shape": (4, 2, 3)},
    "reshape": {"shape": (3, 2)}, "permute": {"axes": (1, 0)}, "slice": {"bounds": ((1, -1, 2), (0, 2, 2))},
    "place": {"shape": (4, 5), "bounds": ((0, 2, 2), (1, 1, 3))}, "concatenate": {"axis": 1}, "sum": {"axis": 0},
    "prod": {"axis": (0, 1)}, "max": {"axis": 1}, "first_max": {"axis": (0, 1)},
    "min": {"axis": 1, "keepdims": True}, "any": {"axis": 0},
    "all": {"axis": 1}, "cumsum": {"axis": 1}, "cumprod": {"axis": 0}, "gather": {"axis": 1},
    "scatter_add": {"axis": 1, "extent": 4}, "window": {"axis": (0, 1), "size": (1, 2), "dilation": (1, 2)},
    "fold": {"shape": (5,), "slides": ((0, 3, 2, 1),)}, "interleave": {"steps": ((0, 2),), "shape": (4, 3)},
    "lookup": {"table": (1.5, -2.0, 0.25, 3.0)}, "convolution": {"padding": ((1, 0),), "kernel_dilation": 2},
}  # fmt: skip


def dtype_of(op: Op) -> np.dtype:
    """Return a dtype that the row takes."""
    if op.kind not in ("elementwise", "reduction") or op.result is None or op.name in OF_FLOATS:
        return dt.float32
    for dtype in (dt.float32, dt.int32):
        try:
            if op.result(op.name, (dtype,) * op.arity)[0] == dtype:
                return dtype
        except TypeError:
            continue
    return dt.bool_


def operands(op: Op, dtype: np.dtype, seed: int = 0) -> list[np.ndarray]:
    """Return arrays from the row's domain."""
    rng = np.random.default_rng(seed)
    if op.name == "convolution":
        return [rng.uniform(-1, 1, shape).astype(dtype) for shape in ((2, 3, 5), (4, 3, 2))]
    if op.name == "picked":  # the other two follow from one operand
        return [rng.uniform(-1, 1, SHAPE).astype(dtype)]
    if op.name == "analytic":  # its first operand follows from the other two, the parts of a complex number
        return [rng.uniform(-1, 1, SHAPE).astype(dtype) for _ in range(2)]
    if op.kind == "contraction":
        return [rng.uniform(-1, 1, SHAPE).astype(dtype), rng.uniform(-1, 1, SHAPE[::-1]).astype(dtype)]
    if op.kind in ("gather", "scatter"):
        return [rng.uniform(-1, 1, SHAPE).astype(dtype), rng.integers(0, 3, SHAPE)]
    count = 2 if op.arity < 0 else op.arity
    domain = op.domain or ((-4.0, 4.0),) * count
    if dtype == dt.bool_:
        return [rng.integers(0, 2, SHAPE).astype(bool) for _ in range(count)]
    if not dt.is_floating(dtype):
        return [rng.integers(int(low), int(high) + 1, SHAPE).astype(dtype) for low, high in domain]
    return [rng.uniform(low, high, SHAPE).astype(NARROW.get(op.name, dtype)).astype(dtype) for low, high in domain]


def kernel_of(name: str, dtype: np.dtype | None = None) -> tuple[Kernel, list[np.ndarray]]:
    """Return a kernel of one row, and operands for it."""
    op = registry[name]
    arrays = operands(op, dtype_of(op) if dtype is None else dtype)
    leaves = [build.array(k, one.dtype, one.shape) for k, one in enumerate(arrays)]
    with recording():
        if name == "picked":
            result = largest(leaves[0], (1,))[0]
        elif name == "analytic":
            result = exp(build.pair(*leaves)).src[0]
        else:
            result = op(*leaves, **_STATIC.get(name, {}))
    return Kernel(name, tuple(leaves), (result,)), arrays


def composite(name: str) -> tuple[Kernel, list[np.ndarray]]:
    """Return a kernel of a composite on one array."""
    function = {one.__name__: one for one in composites.COMPOSITES}[name]
    array = np.random.default_rng(1).uniform(-3, 3, SHAPE).astype(np.float32)
    leaf = build.array(0, array.dtype, array.shape)
    with recording():
        result: Node = function(leaf)
    return Kernel(name, (leaf,), (result,)), [array]


COMPOSITES = tuple(one.__name__ for one in composites.COMPOSITES)
