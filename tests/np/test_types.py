"""Types, promotion and what the standard's inspection tells."""

from __future__ import annotations

from itertools import product

import numpy
import pytest

import trueno
from tests.np.support import same_error
from trueno import dtypes as dt
from trueno import np

DTYPES = [one for one in dt.ALL if one != dt.bfloat16]


@pytest.mark.parametrize("name", np.types.__all__)
def test_types_are_numpys_where_numpy_has_them(name: str) -> None:
    if name in ("bfloat16", "ndarray") or (callable(getattr(np, name)) and not isinstance(getattr(np, name), type)):
        return
    assert getattr(np, name) is getattr(numpy, name)


def test_scalar_types_are_callable_and_equal_to_dtypes() -> None:
    for one in dt.ALL:
        kind = getattr(np, str(one))
        assert kind == one and np.zeros(1, kind).dtype == kind and kind(1) == 1


def test_promotion_of_all_pairs() -> None:
    for a, b in product(DTYPES, DTYPES):
        assert np.result_type(a, b) == numpy.result_type(a, b) == np.promote_types(a, b)
        assert np.result_type(np.zeros(1, a), np.zeros((), b)) == numpy.result_type(a, b)
        assert np.can_cast(a, b) == numpy.can_cast(a, b)
    for a, scalar in product(DTYPES, (True, 1, 1.5)):
        assert np.result_type(a, scalar) == numpy.result_type(a, scalar) == np.result_type(scalar, np.ones(1, a))
        assert np.result_type(scalar, scalar) == numpy.result_type(scalar, scalar)


def test_promotion_of_bfloat16() -> None:
    assert np.result_type(np.bfloat16, np.int64, 1.5) == dt.bfloat16
    assert np.result_type(np.bfloat16, np.float16) == dt.float32 == np.promote_types(np.float16, np.bfloat16)
    assert np.issubdtype(np.bfloat16, np.floating) and np.isdtype(np.bfloat16, "real floating")
    assert float(np.finfo(np.bfloat16).eps) == 2**-7


def test_casts() -> None:
    assert np.can_cast(np.zeros(3, "f4"), "f8") and not np.can_cast(np.zeros(3, "f8"), "f4")
    same_error(lambda: np.can_cast(3, "i4"), lambda: numpy.can_cast(3, "i4"))
    same_error(lambda: np.can_cast("i4", "i8", "sometimes"), lambda: numpy.can_cast("i4", "i8", "sometimes"))
    same_error(np.result_type, numpy.result_type)
    same_error(lambda: np.astype([1], "f4"), lambda: numpy.astype([1], "f4"))
    x = np.zeros(2, "i4")
    assert np.astype(x, np.int32, copy=False) is x and np.astype(x, "f8").dtype == np.float64


@pytest.mark.parametrize(
    "kind",
    [
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
        "f4",
        ("bool", "integral"),
        numpy.float64,
    ],
)
def test_isdtype(kind: object) -> None:
    for one in [*DTYPES, numpy.dtype("c8"), numpy.float32]:
        if kind == "f4":
            same_error(lambda one=one: np.isdtype(one, kind), lambda one=one: numpy.isdtype(one, kind))
        else:
            assert np.isdtype(one, kind) == numpy.isdtype(one, kind)


def test_limits() -> None:
    assert np.finfo(np.zeros(1, "f4")).eps == numpy.finfo("f4").eps
    assert np.iinfo(np.zeros(1, "u2")).max == 65535 and np.iinfo(np.int8).min == -128
    same_error(lambda: np.finfo(int), lambda: numpy.finfo(int))
    same_error(lambda: np.iinfo(float), lambda: numpy.iinfo(float))
    for value in (3, -129, 2.5, 1e300, True):
        assert np.min_scalar_type(value) == numpy.min_scalar_type(value)
    assert np.min_scalar_type(np.array(300)) == numpy.uint16 and np.min_scalar_type(np.zeros(1)) == numpy.float64
    for a, b in product(DTYPES[1:], DTYPES[1:]):
        assert np.common_type(np.zeros(1, a), np.zeros(1, b)) == numpy.common_type(numpy.zeros(1, a), numpy.zeros(1, b))


def test_inspection_as_numpys() -> None:
    ours, theirs = np.__array_namespace_info__(), numpy.__array_namespace_info__()
    assert ours.default_dtypes() == theirs.default_dtypes()
    for kind in (None, "bool", "signed integer", "real floating", "numeric", ("bool", "integral")):
        assert ours.dtypes(kind=kind) == theirs.dtypes(kind=kind)
    with pytest.raises(ValueError, match="kind"):
        ours.dtypes(kind="some")
    assert ours.default_device() == "cpu" and ours.devices()[0] == trueno.device("cpu")
    assert set(ours.capabilities()) == set(theirs.capabilities())


def test_names_are_found_once() -> None:
    assert len(set(np.__all__)) == len(np.__all__) and set(np.__all__) <= set(dir(np))
    with pytest.raises(AttributeError, match="no_such_name"):
        np.no_such_name
