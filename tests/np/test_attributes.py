"""Members of Tensor that NumPy's arrays have, compared with an ndarray's of the same elements."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy
import pytest

import trueno
from tests.np.support import as_tensors, outcome, same, same_error
from trueno import np

X = numpy.array([[3.0, 1.0, 2.0], [0.5, -1.5, 9.0]])
LAYOUTS = [X, X.T, X[:, ::2], X[::-1], X[:0], numpy.array(2.5), numpy.array([1, 2, 3]), numpy.array([True, False])]


@pytest.mark.parametrize("x", LAYOUTS, ids=lambda x: f"{x.shape}{x.strides}")
def test_flags(x: numpy.ndarray) -> None:
    mine, theirs = trueno.from_numpy(x).flags, x.flags
    for name in ("c_contiguous", "f_contiguous", "writeable", "aligned", "forc", "fnc", "behaved", "carray"):
        assert getattr(mine, name) == getattr(theirs, name), name
    for name in ("C_CONTIGUOUS", "F", "W", "ALIGNED"):
        assert mine[name] == theirs[name]
    same_error(lambda: mine["Z"], lambda: theirs["Z"])
    with pytest.raises(AttributeError):
        mine.writeable = False  # type: ignore[misc]


@pytest.mark.parametrize(
    "x", [*LAYOUTS, numpy.arange(2000.0), numpy.array(numpy.float32(0.1)), numpy.array(7)], ids=lambda x: f"{x.shape}"
)
def test_text_is_numpys(x: numpy.ndarray) -> None:
    tensor = trueno.from_numpy(x)
    assert str(tensor) == str(x) and f"{tensor}" == f"{x[()]}"
    assert repr(tensor).startswith("tensor(")
    with numpy.printoptions(precision=2, suppress=True):
        assert str(tensor) == str(x)


def test_text_of_bfloat16() -> None:
    assert str(trueno.tensor([1.5, 2.0], dtype="bfloat16")) == "[1.5 2. ]"
    assert str(trueno.tensor([1.5], requires_grad=True)) == "[1.5]"


@pytest.mark.parametrize("x", [X, X.T, X[:, ::2]], ids=lambda x: f"{x.shape}{x.strides}")
def test_flat(x: numpy.ndarray) -> None:
    mine, theirs = trueno.from_numpy(x.copy(order="K")), x.copy(order="K")
    assert len(mine.flat) == len(theirs.flat) and [v.item() for v in mine.flat] == list(theirs.flat)
    for index in (1, slice(1, 3), [0, 2], slice(None)):
        same(mine.flat[index], numpy.asarray(theirs.flat[index]))
    for index, value in ((1, 7.0), (slice(0, 3), [1, 2, 3]), ([0, 2], 5), (slice(None), [1, 2])):
        mine.flat[index] = value
        theirs.flat[index] = value
        same(mine, theirs, str(index))
    mine.flat = 3
    theirs.flat = 3
    same(mine, theirs)
    numpy.testing.assert_array_equal(numpy.asarray(mine.flat), theirs.ravel())


def test_scalars() -> None:
    for value in (2.5, -3.7, 7, True):
        x, y = trueno.tensor(value, dtype=numpy.asarray(value).dtype), numpy.asarray(value)[()]
        assert math.floor(x) == math.floor(y) and math.ceil(x) == math.ceil(y) and math.trunc(x) == math.trunc(value)
        assert round(x) == round(value) and round(x, 1) == round(value, 1)
        assert f"{x:.2f}" == f"{value:.2f}" and x.item() == value
    with pytest.raises(TypeError):
        round(trueno.ones(2))
    same_error(lambda: trueno.ones(2).item(5), lambda: numpy.ones(2).item(5))
    assert trueno.from_numpy(X).item(1, 2) == X.item(1, 2) and trueno.from_numpy(X).item(4) == X.item(4)


def test_divmod() -> None:
    a, b = numpy.array([7.5, -7.5, 3]), numpy.array([2.0, 2.0, -2])
    same(divmod(as_tensors(a), as_tensors(b)), divmod(a, b))
    same(divmod(as_tensors(a), 2), divmod(a, 2))
    same(divmod(10, as_tensors(b)), divmod(10, b))
    same(divmod(as_tensors(numpy.array([7, -7])), 3), divmod(numpy.array([7, -7]), 3))
    with pytest.raises(TypeError):
        divmod(as_tensors(a), "x")


def test_matrix_product_in_place() -> None:
    a, b = X[:, :2].copy(), numpy.array([[1.0, 2.0], [3.0, 4.0]])
    mine = as_tensors(a)
    kept = mine
    mine @= as_tensors(b)
    a @= b
    assert mine is kept
    same(mine, a)
    square = as_tensors(b)
    square @= square
    same(square, b @ b)
    with pytest.raises(ValueError, match="matmul"):
        mine @= trueno.ones(2, 3, dtype="float64")


def test_view_reads_bytes_as_another_dtype() -> None:
    x = numpy.arange(8, dtype="i4").reshape(2, 4)
    mine = trueno.from_numpy(x.copy())
    for dtype in ("f4", numpy.int16, trueno.int64, "u1"):
        same(mine.view(dtype), x.view(dtype), str(dtype))
    mine.view("u4")[0, 0] = 9
    assert mine[0, 0].item() == 9 and mine.view().data_ptr() == mine.data_ptr()
    assert mine.view(dtype="u4").dtype == "uint32"
    assert mine.view(4, 2).shape == (4, 2) and mine.view(-1).shape == (8,) and mine.view((8, 1)).shape == (8, 1)
    same_error(lambda: mine[:, :3].view("i8"), lambda: x[:, :3].view("i8"))


def test_bytes(tmp_path: Any) -> None:
    for x in LAYOUTS:
        assert trueno.from_numpy(x).tobytes() == x.tobytes()
    assert trueno.from_numpy(X).tobytes("F") == X.tobytes("F")
    trueno.from_numpy(X).tofile(tmp_path / "x")
    same(trueno.from_numpy(numpy.fromfile(tmp_path / "x")), X.ravel())
    assert trueno.from_numpy(X).ctypes.data == X.ctypes.data


def test_filling_and_rounding() -> None:
    mine = as_tensors(X)
    assert mine.fill(2) is None and mine.tolist() == numpy.full_like(X, 2).tolist()
    same(as_tensors(X * 1.234).round(1), (X * 1.234).round(1))
    into = as_tensors(X * 1.234)
    assert into.round(out=into) is into
    same(into, (X * 1.234).round())
    same(as_tensors(X).round(), X.round())


@pytest.mark.skipif(importlib.util.find_spec("trueno.np.sorting") is None, reason="sorting comes with its module")
def test_methods_that_the_namespace_computes() -> None:
    for name, args in (
        ("argsort", ()), ("argsort", (0,)), ("nonzero", ()), ("take", ([0, 2],)), ("take", ([0, 2], 1)),
        ("repeat", (2,)), ("repeat", (2, 0)), ("diagonal", ()), ("trace", ()), ("compress", ([True, False, True], 1)),
        ("dot", (numpy.ones(3),)), ("argpartition", (1,)),
    ):  # fmt: skip
        same(getattr(as_tensors(X), name)(*args), getattr(X, name)(*args), name)
    same(
        as_tensors(numpy.array([1.0, 2.0, 4.0])).searchsorted([0.5, 3]),
        numpy.array([1.0, 2.0, 4.0]).searchsorted([0.5, 3]),
    )
    for name, args in (("sort", ()), ("sort", (0,)), ("partition", (1,)), ("put", ([0, 4], [-1, -2]))):
        mine, theirs = as_tensors(X), X.copy()
        assert getattr(mine, name)(*args) is None
        getattr(theirs, name)(*args)
        same(mine, theirs, name)


def test_namespace_of_the_standard_is_not_loaded_by_methods_alone() -> None:
    assert np.ndarray is trueno.Tensor
    assert outcome(lambda: trueno.ones(2).no_such_method)[1] is AttributeError


def test_a_view_as_another_dtype_shares_the_memory_or_is_refused() -> None:
    x = trueno.zeros(16, dtype="uint8")
    x[8:16].view("float32")[0] = 1
    assert x[8:12].tobytes() == numpy.float32(1).tobytes()
    with pytest.raises(ValueError, match=r"shape \(8,\), uint8, cannot be read as float32 without a copy"):
        x[1:9].view("float32")
