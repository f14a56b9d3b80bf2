"""The core dimensions of generalised ufuncs along chosen axes: ``axes``, ``axis`` and ``keepdims``."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import trueno.np as tnp
from tests.np.support import check, same, same_error

A = numpy.arange(60.0).reshape(3, 4, 5)
X, Y = numpy.arange(27.0).reshape(3, 3, 3), numpy.arange(10.0, 19.0).reshape(3, 1, 3)


@pytest.mark.parametrize("name, args, keywords", [
    ("matmul", (A, A), {"axes": [(-2, -1), (-1, -2), (1, 2)]}),
    ("matmul", (A, A), {"axes": [(-2, -1), (-1, -2), (0, 1)]}),
    ("matmul", (A, numpy.arange(3.0)), {"axes": [(1, 0), (0), (0)]}),
    ("matvec", (A, A[0, 0]), {"axes": [(0, 2), 0, -1]}),
    ("vecmat", (A[:, 0, 0], A), {"axes": [(0,), (0, 1), (0,)]}),
    ("vecdot", (X, Y), {"keepdims": True}), ("vecdot", (X, Y), {"axis": 0}),
    ("vecdot", (X, Y), {"axis": 0, "keepdims": True}),
    ("vecdot", (X, Y), {"axes": [0, 2], "keepdims": True}), ("vecdot", (X, Y), {"axes": [0, 2, 1], "keepdims": True}),
    ("vecdot", (X, Y), {"axes": [(-1,), (-1,), ()], "keepdims": False}),
])  # fmt: skip
def test_core_dimensions_along_axes(name: str, args: tuple, keywords: dict[str, Any]) -> None:
    check(name, *args, **keywords)


@pytest.mark.parametrize("name, keywords", [
    ("vecdot", {"keepdims": "true"}), ("matmul", {"keepdims": True}), ("matmul", {"axis": 0}),
    ("add", {"keepdims": True}),
    ("vecdot", {"axes": (0, 0)}), ("vecdot", {"axes": [0]}), ("vecdot", {"axes": [0, 5]}),
    ("vecdot", {"axes": [0, (0, 1)]}),
    ("vecdot", {"axes": [0, 0], "axis": 0}), ("matmul", {"axes": [(0, 1), (0, 1)]}),
])  # fmt: skip
def test_what_a_signature_does_not_allow(name: str, keywords: dict[str, Any]) -> None:
    same_error(lambda: getattr(tnp, name)(X, Y, **keywords), lambda: getattr(numpy, name)(X, Y, **keywords), name)


def test_into_an_array() -> None:
    axes = [(-2, -1), (-1, -2), (0, 1)]
    out = numpy.zeros((4, 4, 3))
    assert tnp.matmul(A, A, axes=axes, out=out) is out
    same(tnp.asarray(out), numpy.matmul(A, A, axes=axes))
