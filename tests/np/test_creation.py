"""Creation functions: NumPy's defaults, dtypes, orders and errors."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import trueno
from tests.np.support import check, same
from trueno import np

X = numpy.arange(12.0).reshape(3, 4)
CASES: list[tuple[str, tuple, dict[str, Any]]] = [
    *[(name, (X,), {}) for name in ("array", "asarray", "asanyarray", "copy", "ones_like", "tril", "triu")],
    *[(name, ([1.5, 2],), {}) for name in ("array", "asarray", "ascontiguousarray", "asfortranarray")],
    ("array", (3,), {"ndmin": 2}), ("array", ([[1, 2], [3, 4]],), {"dtype": "f4"}), ("array", ([1, 2], "i1"), {}),
    ("array", ([True, 2.5],), {}), ("array", ([[1, 2], [3]],), {}), ("array", (X,), {"order": "X"}),
    ("array", ([1],), {"copy": False}), ("asarray", ([1, 2],), {"copy": False}),
    ("asarray", (X, "f4"), {"copy": False}), ("zeros_like", (X,), {}), ("zeros_like", ([1.5, 2],), {}),
    *[(name, (shape,), {}) for name in ("zeros", "ones") for shape in (3, (2, 3), (), [2, 0], -1, (2, -3), 1.5)],
    ("zeros", ((2, 3), "i4", "F"), {}), ("ones", ((2, 3),), {"dtype": int}), ("ones", (2,), {"dtype": bool}),
    ("full", ((2, 3), 7), {}), ("full", (3, 2.5), {}), ("full", ((2, 2), [1, 2]), {}), ("full", (2, True), {}),
    ("full", ((2, 3), [1.0, 2.0]), {}), ("full", (2, 3, "f4", "F"), {}), ("full", ((), numpy.float32(2)), {}),
    ("full_like", (X, 3), {}), ("full_like", (X, 2.5), {"dtype": int}), ("full_like", (X, [1, 2, 3, 4]), {}),
    ("ones_like", (X.T,), {}), ("zeros_like", (X,), {"shape": (2, 2)}), ("zeros_like", (X,), {"dtype": "i2"}),
    ("arange", (5,), {}), ("arange", (5.0,), {}), ("arange", (2, 8, 3), {}), ("arange", (8, 2, -1.5), {}),
    ("arange", (), {"stop": 4}), ("arange", (1,), {"stop": 4}), ("arange", (5, None, 2), {}), ("arange", (3, "f4"), {}),
    ("arange", (5,), {"dtype": "f4"}), ("arange", (), {}), ("arange", (0, 5, 0), {}), ("arange", (3, 1), {}),
    ("linspace", (0, 1), {}), ("linspace", (0, 1, 5), {"retstep": True}), ("linspace", (0, 1, 5, False), {}),
    ("linspace", (numpy.zeros(2), [1, 2], 3), {"axis": 1}), ("linspace", (0, 9, 4), {"dtype": int}),
    ("linspace", (0, 1, -2), {}), ("logspace", (0, 2, 5), {}), ("logspace", (0, 2, 3, False, 2), {"dtype": "f4"}),
    ("geomspace", (1, 1000, 4), {}), ("geomspace", (0, 3), {}), ("geomspace", (-1, -8, 4), {}),
    *[("eye", args, {}) for args in ((3,), (2, 4), (4, 2, -1), (3, 3, 5), (3, 3, -5), (3, 4, 3), (0,), (3, 3, -2))],
    ("eye", (3,), {"dtype": "i4", "order": "F"}), ("eye", (1.5,), {}), ("identity", (3,), {}),
    ("identity", (2, int), {}),
    *[("tri", args, {}) for args in ((3,), (2, 4), (4, 2, -1), (3, 3, 5), (3, 3, -5))], ("tri", (3,), {"dtype": int}),
    *[(name, (X, k), {}) for name in ("tril", "triu", "diag") for k in (-3, -1, 0, 2, 5)],
    *[(name, (numpy.arange(24).reshape(2, 3, 4), 1), {}) for name in ("tril", "triu")], ("tril", ([1, 2, 3],), {}),
    *[("diag", (numpy.arange(3), k), {}) for k in (-2, 0, 1)], ("diag", (numpy.zeros((2, 2, 2)),), {}),
    ("diag", (3,), {}),
    ("diag", (numpy.zeros(0), 2), {}), ("diagflat", ([[1, 2], [3, 4]], 1), {}), ("diagflat", (5,), {}),
    ("vander", ([1, 2, 3],), {}), ("vander", ([1.5, 2.0], 4), {"increasing": True}), ("vander", (X,), {}),
    ("vander", ([1, 2], 0), {}), ("vander", ([1, 2], 1), {}), ("vander", (numpy.array([2], "i1"), 3), {}),
    ("vander", (numpy.array([2, 3], "f4"),), {}), ("vander", (numpy.array([2, 1j], "c8"),), {}),
    *[("meshgrid", ([1, 2, 3], [4.0, 5.0]), k) for k in ({}, {"indexing": "ij"}, {"sparse": True}, {"copy": False})],
    ("meshgrid", ([1, 2], [3], [4, 5, 6]), {}), ("meshgrid", ([1, 2],), {}), ("meshgrid", (3, [1, 2]), {}),
    ("meshgrid", ([], [1]), {}), ("meshgrid", ([1], [2]), {"indexing": "z"}), ("meshgrid", (), {}),
    ("indices", ((2, 3),), {}), ("indices", ((2, 3),), {"sparse": True}), ("indices", ((2,), "f4"), {}),
    ("indices", ((),), {}), ("frombuffer", (b"\x01\x02\x03\x04", "i2"), {}), ("frombuffer", (b"abc", "i2"), {}),
    ("frombuffer", (b"abcdef", "u1", 2, 3), {}), ("fromiter", ([1, 2, 3], float), {}), ("fromiter", ([1], int, 3), {}),
    ("asarray_chkfinite", ([1.0, numpy.nan],), {}), ("asarray_chkfinite", ([1, 2],), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[f"{k}-{case[0]}" for k, case in enumerate(CASES)])
def test_creation_as_numpy(name: str, args: tuple, kwargs: dict) -> None:
    check(name, *args, **kwargs)


def test_functions_of_coordinates() -> None:
    same(np.fromfunction(lambda i, j: i * 10 + j, (2, 3)), numpy.fromfunction(lambda i, j: i * 10 + j, (2, 3)))
    same(np.mgrid[0:3, 1:2:5j], numpy.mgrid[0:3, 1:2:5j])
    same(np.ogrid[0:3, 1:5], numpy.ogrid[0:3, 1:5])


def test_orders() -> None:
    for name in ("zeros", "ones", "empty"):
        made = getattr(np, name)((2, 3, 4), order="F")
        assert made.strides == numpy.zeros((2, 3, 4), order="F").strides
    reversed_axes = numpy.asfortranarray(numpy.arange(24.0).reshape(2, 3, 4))
    for given in (reversed_axes, reversed_axes.transpose(1, 0, 2), reversed_axes.T):
        tensor = trueno.from_numpy(given)
        assert np.empty_like(tensor).strides == numpy.empty_like(given).strides
        assert np.asfortranarray(tensor).strides == numpy.asfortranarray(given).strides
        assert np.ascontiguousarray(tensor).strides == numpy.ascontiguousarray(given).strides
        assert np.array(tensor, order="F").tolist() == given.tolist()


def test_memory_is_shared_or_not() -> None:
    given = numpy.arange(4.0)
    assert numpy.shares_memory(np.asarray(given).numpy(), given)
    assert not numpy.shares_memory(np.array(given).numpy(), given)
    assert numpy.shares_memory(np.array(given, copy=False).numpy(), given)
    x = np.asarray(given)
    assert np.asarray(x) is x and np.asarray(x, copy=True) is not x
    matrix = np.zeros((3, 3))
    diagonal = np.diag(matrix, 1)
    matrix[0, 1] = 2
    assert diagonal.tolist() == [2, 0]
    for view in (diagonal, np.diagonal(matrix), matrix.diagonal(), np.linalg.diagonal(matrix)):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    np.einsum("ii->i", matrix)[...] = 3
    assert matrix.tolist() == [[3, 2, 0], [0, 3, 0], [0, 0, 3]]
    buffer = bytearray(b"\x00" * 4)
    np.frombuffer(buffer, "u1")[1] = 7
    assert buffer == b"\x00\x07\x00\x00"


def test_gradients_of_matrices() -> None:
    x = trueno.tensor(X, requires_grad=True)
    v = trueno.tensor([0.5, -1.5, 2.0], dtype="float64", requires_grad=True)
    assert trueno.gradcheck(lambda a: np.tril(a, 1) * np.triu(a), (x,))
    assert trueno.gradcheck(lambda a: np.diag(a, 1), (x,))
    assert trueno.gradcheck(lambda a: np.diag(a, -1), (v,))
    assert trueno.gradcheck(lambda a: np.vander(a, 4), (v,))


def test_trueno_itself_keeps_its_defaults() -> None:
    assert trueno.zeros(2).dtype == trueno.float32 and trueno.tensor([1.5]).dtype == trueno.float32
    assert np.zeros(2).dtype == trueno.float64 and np.array([1.5]).dtype == trueno.float64
