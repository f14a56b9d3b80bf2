"""Comparisons of whole arrays, tests of kinds and elementwise functions that are no ufuncs, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import trueno
from tests.np.support import check, outcome, same
from trueno import np

S = numpy.array([0.0, -0.0, 1.5, -2.5, numpy.inf, -numpy.inf, numpy.nan, 1e300])
I = numpy.array([-15, 5, 25, 149], "i4")  # noqa: E741
CASES: list[tuple[str, tuple, dict[str, Any]]] = [
    ("isclose", (S, S + 1e-9), {}), ("isclose", (S, S), {"equal_nan": True}), ("isclose", (I, I + 1), {"atol": 1}),
    ("isclose", ([1.0, 2.0], [1.0, 2.1]), {"rtol": 0.1}), ("isclose", (1, 1.0), {}), ("isclose", (I, [[1], [5]]), {}),
    ("isclose", (S.astype("f4"), S.astype("f4")), {"rtol": [1e-3] * 8}), ("isclose", (S, I), {}),
    ("allclose", (S, S), {}), ("allclose", (S, S), {"equal_nan": True}), ("allclose", (I, I + 1e-9), {}),
    ("array_equal", (I, I), {}), ("array_equal", (I, I[:2]), {}), ("array_equal", (S, S), {"equal_nan": True}),
    ("array_equal", (S, S), {}), ("array_equal", ([1, 2], (1.0, 2.0)), {}), ("array_equiv", ([1, 1], 1), {}),
    ("array_equiv", ([1, 2], [[1, 2], [1, 2]]), {}), ("array_equiv", ([1, 2], [1, 2, 3]), {}),
    *[(name, (x,), {}) for name in ("iscomplex", "isreal", "iscomplexobj", "isrealobj", "isposinf", "isneginf",
      "isfortran", "nan_to_num", "sinc", "fix", "round", "real_if_close")
      for x in (S, S.astype("f4"), S.reshape(2, 4).T)],
    *[("isscalar", (x,), {}) for x in (1, 1.5, "a", None, [1], numpy.float32(1))],
    ("sinc", (I,), {}), ("fix", (2.7,), {}),
    ("nan_to_num", (S,), {"nan": 1, "posinf": 2.5, "neginf": -3}), ("nan_to_num", (I,), {}), ("nan_to_num", (2.5,), {}),
    *[("clip", args, {}) for args in ((S, -1, 1), (I, 0, 20), (I, None, 20), (I, 0.5, None), (I, [0, 1, 2, 3], 100),
      (S, None, None), (I, 0), (S, numpy.nan, 1), (I, 20, 0), (3, 0, 2))], ("clip", (I,), {"min": 0, "max": 9}),
    ("clip", (I,), {}), ("clip", (I, 0, 9), {"min": 1}), ("clip", (I,), {"max": 9}),
    ("clip", (I, 0, 9), {"dtype": "f4"}),
    *[("round", (x, d), {}) for x in (S[:4] * 1.2345, I, (S[:4] * 1.2345).astype("f4"), 2.675, 5)
      for d in (-1, 0, 1, 2)],
    ("around", (S,), {}), ("round", (S, 1.5), {}), ("vecdot", (S[:4].reshape(2, 2), I.reshape(2, 2)), {}),
    ("vecdot", (I.reshape(2, 2), I.reshape(2, 2)), {"axis": 0}), ("vecdot", (I, I[:2]), {}),
    ("matvec", (numpy.arange(12.0).reshape(2, 2, 3), [1, 2, 3]), {}),
    ("vecmat", ([1, 2], numpy.arange(6).reshape(2, 3)), {}),
    ("vecmat", ([1, 2, 3], numpy.arange(6).reshape(2, 3)), {}), ("matvec", ([1, 2], [1, 2]), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[f"{k}-{case[0]}" for k, case in enumerate(CASES)])
def test_as_numpy(name: str, args: tuple, kwargs: dict) -> None:
    check(name, *args, **kwargs)


def test_in_place_and_out() -> None:
    mine, theirs = trueno.from_numpy(S.copy()), S.copy()
    assert np.nan_to_num(mine, copy=False) is mine
    same(mine, numpy.nan_to_num(theirs, copy=False))
    for name, args in (("round", (1,)), ("clip", (0, 1)), ("fix", ()), ("isposinf", ())):
        out = np.empty(8, bool if name == "isposinf" else float)
        want = getattr(numpy, name)(S, *args, out=numpy.empty(8, out.dtype))
        assert getattr(np, name)(S, *args, out=out) is out
        same(out, want, name)
    _, error = outcome(lambda: np.clip(S, 0, 1, out=np.empty(8, int)))
    assert error is TypeError


def test_gradients() -> None:
    x = trueno.tensor([0.3, -1.2, 2.5], dtype="float64", requires_grad=True)
    y = trueno.tensor([1.3, 0.25, -0.7], dtype="float64", requires_grad=True)
    for function in (np.sinc, np.deg2rad, np.fabs, lambda a: np.clip(a, -1, 2), lambda a: np.ldexp(a, 3)):
        assert trueno.gradcheck(function, (x,))
    for function in (np.logaddexp2, np.fmax, np.fmin, np.vecdot, np.fmod, lambda a, b: np.divmod(a, b)[1]):
        assert trueno.gradcheck(function, (x, y))
