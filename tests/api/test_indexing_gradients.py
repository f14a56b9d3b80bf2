"""Gradients of reading and writing by every form of index, against PyTorch and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.api.autograd_support import close, pair

GRID = np.array([[0, 2], [1, 1]])
ROWS = np.array([True, False, True])
READ: dict[str, Any] = {
    "element": (1, 2),
    "row": 1,
    "slices": np.s_[1:, ::2],
    "None": (None, 1),
    "array": np.array([2, 0, 2, 2]),
    "list": [0, -1, 0],
    "array of 2 axes": GRID,
    "arrays": (GRID, GRID),
    "second axis": np.s_[:, [3, 0, 3]],
    "array, slice": (GRID, np.s_[1:3]),
    "integer, array": (0, [1, 1]),
    "mask": np.arange(12).reshape(3, 4) % 3 == 0,
    "mask of rows": ROWS,
    "mask, array": (ROWS, [1, 3]),
    "arrays that broadcast": ([[0], [2]], [1, 1]),
    "bool": True,
    "empty": [],
    "mask of nothing": np.zeros((3, 4), bool),
    "0-d array": np.array(1),
}
#: Indices that name nothing twice: PyTorch leaves open which of two values stays, and what their gradients are.
_REPEATING = ("array", "list", "second axis", "integer, array", "arrays that broadcast", "array of 2 axes", "arrays")
WRITTEN = {name: key for name, key in READ.items() if name not in (*_REPEATING, "array, slice")} | {
    "distinct": [2, 0],
    "distinct of 2 axes": np.array([[0], [2]]),
    "distinct columns": np.s_[:, [3, 0]],
    "distinct pairs": (np.array([[0, 1], [2, 2]]), np.array([[1, 1], [0, 3]])),
}


def for_torch(key: Any) -> Any:
    """Return an index as PyTorch takes it: its lists of lists are tuples, and its slices have no negative steps."""
    if isinstance(key, tuple):
        return tuple(map(for_torch, key))
    if isinstance(key, list):
        return torch.tensor(key, dtype=torch.int64)
    return torch.from_numpy(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("name", READ)
def test_reading(name: str, dtype: str) -> None:
    start = np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(dtype)
    x, tx = tn.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    y, ty = (x * 2)[READ[name]], (tx * 2)[for_torch(READ[name])]
    assert y.shape == tuple(ty.shape)
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(x.grad, tx.grad, *((1e-2,) if dtype == "f2" else ()))


@pytest.mark.parametrize("broadcast", ["equal", "row", "number"])
@pytest.mark.parametrize("name", WRITTEN)
def test_writing(name: str, broadcast: str) -> None:
    key = WRITTEN[name]
    (x, tx), shape = pair(3, 4, seed=1), np.empty((3, 4))[key].shape
    shape = {"equal": shape, "row": shape[1:], "number": ()}[broadcast]
    v, tv = pair(*shape, seed=2)
    y, ty = x * 2, tx * 2
    y[key] = v * 3
    ty[for_torch(key)] = tv * 3
    close(y.detach(), ty.detach())
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(x.grad, tx.grad)
    close(v.grad, tv.grad)


def test_only_the_value_that_stays_has_a_gradient() -> None:
    v = tn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = tn.zeros(2)
    y[[0, 0, 1]] = v * 1
    (y * tn.tensor([5.0, 7.0])).sum().backward()
    assert y.tolist() == [2, 3]
    assert v.grad is not None
    assert v.grad.tolist() == [0, 5, 7]


@pytest.mark.parametrize("name", READ)
def test_gradients_are_those_of_differences_to_the_second_order(name: str) -> None:
    key = READ[name]
    x = tn.tensor(np.random.default_rng(3).uniform(-1, 1, (3, 4)), requires_grad=True)
    shape = np.empty((3, 4))[key].shape
    if 0 in shape:
        assert x[key].sum().requires_grad
        return
    v = tn.tensor(np.random.default_rng(4).uniform(-1, 1, shape), requires_grad=True)

    def assigned(a: tn.Tensor, b: tn.Tensor) -> tn.Tensor:
        y = a * a
        y[key] = b * b
        return y * y

    assert tn.gradcheck(lambda a: a[key] * a[key], [x])
    assert tn.gradgradcheck(lambda a: a[key] * a[key], [x])
    assert tn.gradcheck(assigned, [x, v])
    assert tn.gradgradcheck(assigned, [x, v])


def test_an_index_that_changes_afterwards_does_not_change_the_gradient() -> None:
    x = tn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    where = tn.tensor([0, 0])
    y = x[where].sum()
    where += 2
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 0, 0]


@pytest.mark.parametrize("key", [0, [0, 1], np.array([True, False, True])], ids=str)
def test_a_leaf_is_not_assigned_to(key: Any) -> None:
    x = tn.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"setitem: a leaf tensor of shape \(3,\) that requires a gradient"):
        x[key] = 2
    assert x.tolist() == [1, 1, 1]
    with tn.no_grad():
        x[key] = 2
    assert x.is_leaf


def test_reading_is_not_recorded_without_need() -> None:
    x = tn.ones(3, requires_grad=True)
    with tn.no_grad():
        assert not x[[0]].requires_grad
    assert not x.detach()[[0]].requires_grad
    whole = tn.arange(3)
    whole[[0]] = x[0]
    assert not whole.requires_grad


def test_an_assignment_casts_the_gradient_to_the_dtype_of_the_value() -> None:
    v = tn.tensor([1.0, 2.0], dtype="f4", requires_grad=True)
    y = tn.zeros(3, dtype="f8")
    y[[2, 0]] = v
    (y * y).sum().backward()
    assert v.grad is not None
    assert (v.grad.dtype, v.grad.tolist()) == (tn.float32, [2, 4])


@pytest.mark.opencl
@pytest.mark.parametrize("name", ["element", "slices", "mask", "mask, array", "mask of rows", "empty", "0-d array"])
def test_on_opencl(name: str) -> None:
    key = READ[name]
    (x, tx), (v, tv) = pair(3, 4, seed=1), pair(seed=2)
    y, ty = (x * 2).to("opencl:0"), tx * 2
    y[key] = v * 3
    ty[for_torch(key)] = tv * 3
    part, tpart = y[key] * y[key], ty[for_torch(key)] * ty[for_torch(key)]
    assert str(part.device) == "opencl:0"
    (part.sum() + (y * y).sum()).backward()
    (tpart.sum() + (ty * ty).sum()).backward()
    close(y.cpu(), ty)
    close(x.grad, tx.grad)
    close(v.grad, tv.grad)


def test_assignments_into_complex_tensors_are_recorded() -> None:
    x, v = tn.tensor([1j, 2.0], requires_grad=True), tn.tensor([3.0], requires_grad=True)
    y = x * 2
    y[0:1] = v
    (y * tn.tensor([5.0, 7.0])).real.sum().backward()
    assert x.grad is not None and v.grad is not None
    assert x.grad.tolist() == [0, 14]
    assert (v.grad.dtype, v.grad.tolist()) == (tn.float32, [5])


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__setitem__(0, 5), lambda x: x[1:3].__setitem__(0, 5), lambda x: x.reshape(2, 2)[1].__imul__(2),
        lambda x: x.flat.__setitem__(0, 5), lambda x: x[::-1].fill_(0),
    ],
    ids=["leaf", "slice", "view of a view", "flat", "backwards"],
)  # fmt: skip
def test_leaves_and_their_views_are_not_changed_in_place(change: Any, dtype: str) -> None:
    x = tn.ones(4, dtype=dtype, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"leaf tensor.* requires a gradient is changed in place"):
        change(x)
    assert x.tolist() == [1, 1, 1, 1]
    with tn.no_grad():
        change(x)
    assert x.tolist() != [1, 1, 1, 1]
