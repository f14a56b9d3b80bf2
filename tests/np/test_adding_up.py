"""Sums of groups, additions by places and look-ups in tables: the values of NumPy, whichever way they are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trueno
import trueno.np as tnp
from tests.np.comparing import compare
from trueno.runtime import launcher, memory

native = pytest.mark.skipif(launcher.status()["launcher"] != "native", reason="asks the native launcher")
GENERATOR = np.random.default_rng(11)
NUMBERS = ("int32", "int64", "uint32", "uint64", "float32", "float64")


@pytest.mark.parametrize("groups", [1, 3, 1_000, 1_024, 1_025, 50_000])
@pytest.mark.parametrize("count", [1, 5, 8_191, 8_195, 32_769, 300_001])
def test_sums_of_groups(count: int, groups: int) -> None:
    x, weights = GENERATOR.integers(0, groups, count), GENERATOR.random(count)
    for least in (0, 7, groups + 3):
        compare(lambda xp, x, least=least: xp.bincount(x, minlength=least), x)
        compare(lambda xp, x, w, least=least: xp.bincount(x, w, least), x, weights, rtol=1e-12)


@native
@pytest.mark.parametrize("groups", [40, 5_000])
def test_sums_of_groups_do_not_depend_on_the_number_of_threads(groups: int) -> None:
    x, weights = tnp.array(GENERATOR.integers(0, groups, 200_000)), tnp.array(GENERATOR.normal(size=200_000))
    before = trueno.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            trueno.set_num_threads(threads)
            found.append(np.asarray(memory.count(x, weights, 0)).tobytes())
    finally:
        trueno.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@native
def test_what_is_counted_without_numpy() -> None:
    x = tnp.array([3, 0, 3])
    assert memory.count(x, None, 0).tolist() == [1, 0, 0, 2]
    assert memory.count(np.array([1, 1]), None, 3) is None or memory.count(np.array([1, 1]), None, 3).dtype == np.int64
    refused: tuple[tuple[Any, Any, Any], ...] = (
        (x, None, -1), (x, None, 1.0), (x, None, 1 << 70), (tnp.array([0, -1]), None, 0), (x.reshape(1, 3), None, 0),
        (tnp.array([1.0]), None, 0), (x, tnp.array([1.0]), 0), (x, tnp.array([1, 2, 3]), 0), ([1, 2], None, 0),
        (tnp.array([1 << 40]), None, 0), (x, None, 1 << 40), (x[::2], None, 0), (x, tnp.ones((3, 1)), 0),
    )  # fmt: skip
    for arguments in refused:
        assert memory.count(*arguments) is None
    assert memory.count(tnp.zeros(0, int), None, 4) is None


def test_weights_that_require_a_gradient() -> None:
    weights = trueno.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    found = tnp.bincount(tnp.array([1, 0, 1]), weights)
    (found * tnp.array([10.0, 1.0])).sum().backward()
    assert found.tolist() == [2, 4] and weights.grad.tolist() == [1, 10, 1]
    with trueno.no_grad():
        assert not tnp.bincount(tnp.array([1, 0, 1]), weights).requires_grad


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("count", [1, 7, 100, 70_000])
def test_adding_at_places(count: int, dtype: str) -> None:
    extent = max(count // 3, 1)
    places = GENERATOR.integers(-extent, extent, count)
    start, values = (GENERATOR.integers(0, 50, n).astype(dtype) for n in (extent, count))
    for value in (values, values[:1], 3, np.dtype(dtype).type(4), values.astype(np.int8)):
        want, got = start.copy(), tnp.array(start)
        np.add.at(want, places, value)
        given = tnp.array(value) if isinstance(value, np.ndarray) else value
        assert tnp.add.at(got, tnp.array(places), given) is None
        assert np.array_equal(np.asarray(got), want)


def test_adding_far_apart() -> None:
    places, values = GENERATOR.integers(0, 400_000, 200_000), GENERATOR.normal(size=200_000)
    want, got = np.zeros(400_000), tnp.zeros(400_000)
    np.add.at(want, places, values)
    tnp.add.at(got, tnp.array(places), tnp.array(values))
    assert np.array_equal(np.asarray(got), want)
    want[places], got[tnp.array(places)] = values, tnp.array(values)
    assert np.array_equal(np.asarray(got), want)


@native
def test_additions_that_are_served() -> None:
    x, places = tnp.zeros(4), tnp.array([[0, 1], [1, -1]])
    assert memory.add_at(x, places, 1.5) and memory.add_at(x, places, tnp.ones((2, 2)))
    assert x.tolist() == [2.5, 5, 0, 2.5]
    refused: tuple[tuple[Any, Any, Any], ...] = (
        (x, tnp.array([4]), 1.0), (x, [0], 1.0), (x, x > 1, 1.0), (x, places, tnp.ones(3)), (x, places, x),
        (x, places, tnp.ones(1, "float32")), (x > 1, places, 1), (x.reshape(2, 2), tnp.array([0]), 1.0),
        (tnp.ones(4, "float16"), places, 1.0), (tnp.ones(4, int), places, 1.5), (tnp.ones(8)[::2], places, 1.0),
        (np.ones(4), places, 1.0), (tnp.broadcast_to(tnp.zeros(1), (4,)), places, 1.0), (places[0], places[0], 1),
    )  # fmt: skip
    for arguments in refused:
        assert not memory.add_at(*arguments)
    assert x.tolist() == [2.5, 5, 0, 2.5]


def test_adding_counts_as_a_change() -> None:
    x = trueno.ones(6, requires_grad=True)
    factor = trueno.ones(6)
    y = (x * factor).sum()
    tnp.add.at(factor, tnp.array([1, 2]), 2.0)
    with pytest.raises(RuntimeError, match=r"changed|modified"):
        y.backward()
    with pytest.raises(RuntimeError, match="has no gradient"):
        tnp.add.at(x, tnp.array([1, 2]), 2.0)


@pytest.mark.parametrize("among", ["int64", "int16", "uint8", "uint64", "float64"])
@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "uint32", "uint64", "bool"])
def test_membership(dtype: str, among: str) -> None:
    few = GENERATOR.integers(0, 100, 7).astype(among)
    for shape in ((1,), (30, 4), (40_000,)):
        x = GENERATOR.integers(0, 120, shape).astype(dtype)
        for invert in (False, True):
            compare(lambda xp, x, f, invert=invert: xp.isin(x, f, invert=invert), x, few)
            compare(lambda xp, x, f, invert=invert: xp.isin(x, f.tolist(), invert=invert), x, few)


@pytest.mark.parametrize("few", [[-(2**63)], [-(2**63) + 1], [2**63 - 2, 2**63 - 1], [5, 0], [0, 1 << 40], []], ids=str)
def test_membership_at_the_ends_of_the_integers(few: list[int]) -> None:
    x = np.array([-(2**63), -(2**63) + 1, -1, 0, 5, 2**63 - 2, 2**63 - 1])
    compare(lambda xp, x, f: xp.isin(x, f), x, np.array(few, np.int64))
    compare(lambda xp, x, f: xp.isin(x, f), x[4], np.array(few, np.int64))
