"""Views, assembling, gather, scatter and matmul on every layout and dtype, in one kernel and eagerly, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import LAYOUTS, TOLERANCE, close, operand, run, trace
from trueno import dtypes as dt
from trueno.ir.interp import evaluate

SHAPE = (4, 6)
#: The call on tensors or nodes, and NumPy's.
CASES: dict[str, tuple[Callable, Callable]] = {
    "reshape": (lambda x: x.reshape(3, -1), lambda x: x.reshape(3, -1)),
    "permute": (lambda x: x.permute(1, 0), lambda x: x.transpose(1, 0)),
    "transpose": (tn.transpose, np.transpose),
    "swapaxes": (lambda x: tn.swapaxes(x, 0, -1), lambda x: np.swapaxes(x, 0, -1)),
    "moveaxis": (lambda x: tn.moveaxis(x, 0, 1), lambda x: np.moveaxis(x, 0, 1)),
    "expand": (lambda x: x.expand(3, -1, -1), lambda x: np.broadcast_to(x, (3, *x.shape))),
    "slice": (lambda x: x[1:, ::-2], lambda x: x[1:, ::-2]),
    "index": (lambda x: x[-1, None, ..., 2:4], lambda x: x[-1, None, ..., 2:4]),
    "flip": (tn.flip, np.flip),
    "flip axis": (lambda x: tn.flip(x, 1), lambda x: np.flip(x, 1)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda x: np.expand_dims(x, 1)),
    "squeeze": (lambda x: x[:1].squeeze(0), lambda x: x[0]),
    "flatten": (tn.flatten, np.ravel),
    "concatenate": (lambda x: tn.concatenate([x, x[1:], x]), lambda x: np.concatenate([x, x[1:], x])),
    "concatenate axis": (
        lambda x: tn.concatenate([x, x[:, ::-1]], axis=1),
        lambda x: np.concatenate([x, x[:, ::-1]], 1),
    ),
    "stack": (lambda x: tn.stack([x, tn.flip(x)], axis=1), lambda x: np.stack([x, np.flip(x)], 1)),
    "pad": (lambda x: tn.pad(x, ((1, 2), (0, 3)), 1), lambda x: np.pad(x, ((1, 2), (0, 3)), constant_values=1)),
    "unfold": (
        lambda x: tn.unfold(x, 1, 3, 2, 2),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 5, 1)[:, ::2, ::2],
    ),
    "reshape of a slice": (lambda x: x[:, 1:5].reshape(-1), lambda x: x[:, 1:5].reshape(-1)),
    "reshape of a transpose": (lambda x: x.permute(1, 0).reshape(-1), lambda x: x.T.reshape(-1)),
}


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        pytest.param(dtype, layout, marks=() if k % 5 == j or dtype == dt.float32 else pytest.mark.matrix)
        for k, dtype in enumerate(dt.ALL)
        for j, layout in enumerate(layout for layout in LAYOUTS if layout != "empty")
    ],
)
def test_views(dtype: np.dtype, layout: str) -> None:
    x = operand(dtype, (-9, 9), layout, SHAPE)
    # Doubled first, so that the view is of something computed; added to itself last, so that it is read as a view.
    kernel = trace(lambda a: tuple(call(tn.maximum(a, a)) for call, _ in CASES.values()), [x])
    results = run(kernel, [x], "native")
    eager = tn.from_numpy(x)
    for (name, (call, reference)), fused, meant in zip(CASES.items(), results, evaluate(kernel, x), strict=True):
        want = np.ascontiguousarray(reference(x))
        close(fused, want, f"{name} {dtype} {layout}", rtol=0)
        close(meant, want, f"interpreter of {name}", rtol=0)
        close(call(eager).numpy(), want, f"eager {name} {dtype} {layout}", rtol=0)


INDEX = np.array([[0, -1, 3], [2, 2, -4], [1, 0, 0], [3, 3, 3]])


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_gather_and_scatter(dtype: np.dtype, axis: int) -> None:
    x = operand(dtype, (-3, 3), "transposed", (4, 6) if axis else (6, 3))
    index = INDEX
    own = tn.from_numpy(index)
    got = tn.gather(tn.from_numpy(x), own, axis=axis)
    close(got.numpy(), np.take_along_axis(x, index, axis), f"gather {dtype} axis {axis}", rtol=0)
    source = operand(dtype, (-3, 3), "backwards", (4, 3))
    want = np.zeros((4, 5) if axis else (5, 3), np.float64 if dt.is_floating(dtype) else dtype)
    position = [*np.indices(index.shape)]
    position[axis] = np.where(index < 0, index + 5, index)
    np.add.at(want, tuple(position), source)
    made = tn.scatter_add(tn.from_numpy(source), own, extent=5, axis=axis)
    size = np.maximum(np.abs(want.astype(float)), 6)
    close(made.numpy(), want.astype(dtype), f"scatter_add {dtype} axis {axis}", scale=size)


def test_indices_out_of_bounds() -> None:
    x = tn.from_numpy(np.ones((4, 6), np.float32))
    with pytest.raises(IndexError, match=r"index 4 is out of bounds for axis 0 with size 4"):
        tn.gather(x, tn.from_numpy(np.array([[4] * 6])), axis=0)
    with pytest.raises(TypeError, match="integer"):
        tn.gather(x, x, axis=0)


PRODUCTS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((5,), (5,)), ((3, 5), (5,)), ((5,), (5, 4)), ((3, 5), (5, 4)), ((2, 3, 5), (5, 4)), ((2, 1, 3, 5), (3, 5, 4)),
    ((0, 5), (5, 4)), ((3, 0), (0, 4)), ((33, 65), (65, 17)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_matmul(dtype: np.dtype) -> None:
    arrays: list[Any] = []
    for k, pair in enumerate(PRODUCTS):
        layout = list(LAYOUTS)[k % 4] if min(map(min, pair)) else "contiguous"
        arrays += [operand(dtype, (-1, 1), layout, shape, seed=(k, j)) for j, shape in enumerate(pair)]
    kernel = trace(lambda *x: tuple(tn.matmul(x[2 * k], x[2 * k + 1]) for k in range(len(PRODUCTS))), arrays)
    for k, (got, meant) in enumerate(zip(run(kernel, arrays, "native"), evaluate(kernel, *arrays), strict=True)):
        a, b = arrays[2 * k], arrays[2 * k + 1]
        wide = (a.astype(float), b.astype(float)) if dt.is_floating(dtype) else (a, b)
        want = np.asarray(np.matmul(*wide)).astype(dtype)
        size = np.matmul(np.abs(a.astype(float)), np.abs(b.astype(float)))
        what = f"matmul {dtype} {a.shape} {b.shape}"
        close(got, want, what, TOLERANCE.get(dtype), size)
        close(meant, want, f"interpreter of {what}", TOLERANCE.get(dtype), size)


@pytest.mark.parametrize("shapes", [((3, 4), (5, 6)), ((), (3,)), ((2, 3, 4), (3, 4, 5))], ids=str)
def test_matmul_refuses(shapes: tuple[tuple[int, ...], ...]) -> None:
    a, b = (tn.from_numpy(np.ones(shape, np.float32)) for shape in shapes)
    with pytest.raises(ValueError, match="matmul"):
        tn.matmul(a, b)
