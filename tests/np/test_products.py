"""Products and Einstein summation against NumPy: values, dtypes, views, exceptions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trueno as tn
import trueno.np as tnp
from tests.np.comparing import compare, gradient, outcome

GENERATOR = np.random.default_rng(5)
PAIRS = {
    "vectors": ((4,), (4,)), "matrices": ((3, 4), (4, 2)), "square": ((3, 3), (3, 3)), "matrix vector": ((3, 4), (4,)),
    "stacks": ((2, 3, 4), (2, 4, 5)), "number": ((), (3, 2)), "threes": ((2, 3), (2, 3)), "planar": ((4, 2), (2,)),
    "mixed": ((5, 2), (5, 3)), "empty": ((0, 3), (3, 0)), "mismatch": ((3,), (4,)), "large": ((20, 30), (30, 10)),
}  # fmt: skip
DTYPES = (("float64", "float64"), ("int8", "int8"), ("int32", "float32"), ("bool", "bool"))

PRODUCTS: dict[str, Callable[..., Any]] = {
    "dot": lambda xp, a, b: xp.dot(a, b),
    "vdot": lambda xp, a, b: xp.vdot(a, b),
    "inner": lambda xp, a, b: xp.inner(a, b),
    "outer": lambda xp, a, b: xp.outer(a, b),
    "kron": lambda xp, a, b: xp.kron(a, b),
    "cross": lambda xp, a, b: xp.cross(a, b),
    "cross first axis": lambda xp, a, b: xp.cross(a, b, axis=0),
    "cross axes": lambda xp, a, b: xp.cross(a, b, axisa=-1, axisb=-1, axisc=0),
    "cross wrong axis": lambda xp, a, b: xp.cross(a, b, axisa=3),
    "tensordot": lambda xp, a, b: xp.tensordot(a, b),
    "tensordot one": lambda xp, a, b: xp.tensordot(a, b, axes=1),
    "tensordot none": lambda xp, a, b: xp.tensordot(a, b, axes=0),
    "tensordot axes": lambda xp, a, b: xp.tensordot(a, b, axes=([-1], [-2])),
    "tensordot last": lambda xp, a, b: xp.tensordot(a, b, axes=(-1, -1)),
    "tensordot uneven": lambda xp, a, b: xp.tensordot(a, b, axes=([0, 1], [0])),
}  # fmt: skip


@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("pair", PAIRS)
def test_products(case: str, pair: str) -> None:
    other = 1 + (list(PRODUCTS).index(case) + list(PAIRS).index(pair)) % (len(DTYPES) - 1)
    for kinds in (DTYPES[0], DTYPES[other]):
        a, b = ((GENERATOR.normal(size=shape) * 3).astype(kind) for shape, kind in zip(PAIRS[pair], kinds, strict=True))
        compare(PRODUCTS[case], a, b, rtol=1e-5)


TRACES: dict[str, Callable[..., Any]] = {
    "trace": lambda xp, x: xp.trace(x),
    "trace above": lambda xp, x: xp.trace(x, 1),
    "trace axes": lambda xp, x: xp.trace(x, axis1=-1, axis2=0),
    "trace dtype": lambda xp, x: xp.trace(x, dtype="float32"),
    "trace same": lambda xp, x: xp.trace(x, 0, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("case", TRACES)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 3), (4,), (0, 2)])
@pytest.mark.parametrize("dtype", ["float64", "int8", "uint16", "bool"])
def test_traces(case: str, shape: tuple[int, ...], dtype: str) -> None:
    compare(TRACES[case], (GENERATOR.normal(size=shape) * 9).astype(dtype), rtol=1e-6)


ONE = [
    "ij->ji",
    "ij->i",
    "ij->",
    "ij",
    "ji",
    "ii->i",
    "ii",
    "...j->j...",
    "i...->...",
    "ij->ijk",
    "ij->ii",
    "ijk->",
    "i->i",
]


@pytest.mark.parametrize("subscripts", ONE)
@pytest.mark.parametrize("dtype", ["float64", "int8", "bool"])
def test_einsum_of_one_array(subscripts: str, dtype: str) -> None:
    x = (GENERATOR.normal(size=(3, 3)) * 40).astype(dtype)
    compare(lambda xp, x: xp.einsum(subscripts, x), x, rtol=1e-6, sharing=True)


SEVERAL = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,ij->ij", (2, 3), (2, 3)), ("i,j->ij", (2,), (3,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("ii,i->i", (3, 3), (3,)),
    ("ij,j->", (2, 3), (3,)), ("i,i", (4,), (4,)), (",ij->ij", (), (2, 3)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("abc,cd,be->aed", (2, 3, 4), (4, 5), (3, 6)), ("i,i,i->", (3,), (3,), (3,)),
    ("ab,bc,ca->", (2, 3), (3, 4), (4, 2)),

    ("ij,jk->ik", (2, 1), (3, 4)), ("ij,ij->i", (2, 1), (2, 3)), ("ij,kl->ljki", (2, 3), (4, 5)),
    ("ij,jk->ij", (2, 3), (3, 4)),
    ("ijj,jk->ik", (2, 3, 3), (3, 4)), ("ij,jk->ik", (2, 3), (2, 4)), ("ij,jk->iz", (2, 3), (3, 4)), ("ij->ij", (2,)),
    ("ij,jk->ik", (0, 3), (3, 4)), ("ij,jk->ik", (2, 0), (0, 4)), ("i j , j k -> i k", (2, 3), (3, 4)),
    ("ij;jk", (2, 3), (3, 4)),
]  # fmt: skip


@pytest.mark.parametrize("case", SEVERAL, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "int16", "bool"])
def test_einsum(case: tuple[Any, ...], dtype: str) -> None:
    subscripts, *shapes = case
    arrays = [(GENERATOR.normal(size=shape) * 3).astype(dtype) for shape in shapes]
    compare(lambda xp, *arrays: xp.einsum(subscripts, *arrays), *arrays, rtol=1e-6)


OTHER_FORMS: dict[str, Callable[..., Any]] = {
    "lists": lambda xp, a, b: xp.einsum(a, [0, 1], b, [1, 2], [0, 2]),
    "lists without a result": lambda xp, a, b: xp.einsum(a, [0, 1], b, [1, 2]),
    "lists with an ellipsis": lambda xp, a, b: xp.einsum(a, [..., 1], b, [1, 2], [..., 2]),
    "optimal": lambda xp, a, b: xp.einsum("ij,jk,jl->ikl", a, b, b, optimize="optimal"),
    "path": lambda xp, a, b: xp.einsum("ij,jk,jl->ikl", a, b, b, optimize=["einsum_path", (0, 2), (0, 1)]),
    "all at once": lambda xp, a, b: xp.einsum("ij,jk,jl->ikl", a, b, b, optimize=["einsum_path", (0, 1, 2)]),
    "dtype": lambda xp, a, b: xp.einsum("ij,jk", a, b, dtype="float32", casting="same_kind"),
    "unsafe dtype": lambda xp, a, b: xp.einsum("ij,jk", a, b, dtype="int32"),
    "nothing": lambda xp, a, b: xp.einsum("ij"),
    "no subscripts": lambda xp, a, b: xp.einsum(),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_FORMS)
def test_other_forms_of_einsum(case: str) -> None:
    compare(OTHER_FORMS[case], GENERATOR.normal(size=(2, 3)), GENERATOR.normal(size=(3, 4)), rtol=1e-5)


def test_einsum_writes_into_out() -> None:
    out = np.zeros((2, 2))
    x = np.arange(6.0).reshape(2, 3)
    assert tnp.einsum("ij,kj->ik", x, x, out=out) is out
    np.testing.assert_allclose(out, x @ x.T)
    assert tnp.dot(x, x.T, out=out) is out


def test_a_diagonal_of_einsum_can_be_written() -> None:
    x = tn.zeros(3, 3)
    tnp.einsum("ii->i", x)[...] = 1
    assert x.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_einsum_path() -> None:
    a, b, c = (GENERATOR.normal(size=shape) for shape in ((2, 30), (30, 40), (40, 3)))
    path, text = tnp.einsum_path("ij,jk,kl->il", a, tn.from_numpy(b), c, optimize="optimal")
    assert (path, text) == np.einsum_path("ij,jk,kl->il", a, b, c, optimize="optimal")


@st.composite
def _expressions(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    extents = {letter: draw(st.integers(1, 4)) for letter in "abcde"}
    inputs = draw(st.lists(st.text("abcde", min_size=0, max_size=4), min_size=1, max_size=3))
    used = sorted(set("".join(inputs)))
    output = "".join(draw(st.permutations(draw(st.lists(st.sampled_from(used), unique=True)) if used else [])))
    shapes = [tuple(1 if draw(st.integers(0, 9)) == 0 else extents[one] for one in letters) for letters in inputs]
    return f"{','.join(inputs)}->{output}", shapes


@settings(max_examples=60, deadline=None)
@given(_expressions())
def test_random_einsum(case: tuple[str, list[tuple[int, ...]]]) -> None:
    subscripts, shapes = case
    arrays = [np.random.default_rng(len(subscripts)).integers(-5, 5, size=shape) for shape in shapes]
    want = outcome(np.einsum, subscripts, *arrays)
    if isinstance(want, Exception):
        with pytest.raises(type(want)):
            tnp.einsum(subscripts, *arrays)
    else:
        np.testing.assert_array_equal(np.asarray(tnp.einsum(subscripts, *arrays)), want)


GRADIENTS: dict[str, Callable[..., Any]] = {
    "dot": lambda xp, a, b: xp.dot(a, b),
    "vdot": lambda xp, a, b: xp.vdot(a, b[:, ::-1]),
    "inner": lambda xp, a, b: xp.inner(a, b),
    "outer": lambda xp, a, b: xp.outer(a, b[0]),
    "kron": lambda xp, a, b: xp.kron(a[:2], b[:, :2]),
    "cross": lambda xp, a, b: xp.cross(a, b),
    "tensordot": lambda xp, a, b: xp.tensordot(a, b, axes=([0], [1])),
    "trace": lambda xp, a, b: xp.trace(a * b, 1),
    "einsum": lambda xp, a, b: xp.einsum("ij,jk,kl->il", a, b, a),
    "einsum diagonal": lambda xp, a, b: xp.einsum("ii,ij->j", a, b),
    "einsum sum": lambda xp, a, b: xp.einsum("ij,kl->ki", a, b),
}  # fmt: skip


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case: str) -> None:
    generator = np.random.default_rng(0)
    gradient(GRADIENTS[case], generator.normal(size=(3, 3)), generator.normal(size=(3, 3)))
