"""Index arrays and masks that native code serves: values, layouts, targets, sizes that are cut into parts."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import pytest

import trueno
import trueno.np as tnp
from trueno.runtime import launcher, threads

native = pytest.mark.skipif(launcher.status()["launcher"] != "native", reason="counts calls of the native launcher")
DTYPES = ("bool", "int8", "int16", "float16", "int32", "float32", "int64", "float64", "complex64", "complex128")
SHAPES: tuple[tuple[int, ...], ...] = ((1,), (7,), (5, 3), (4, 5, 6))
LARGE: tuple[tuple[int, ...], ...] = ((200_001,), (40_000, 2), (3_000, 70))


def counted(name: str) -> int:
    """How many calls needed no slow path."""
    return launcher.statistics().get(name, {}).get("hits", 0)


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (np.random.default_rng(5).random(shape) * 100).astype(dtype)


def indices(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Places of several shapes, from the end too, and masks of one axis and of all, from empty to full."""
    generator = np.random.default_rng(7)
    places = [generator.integers(-shape[0], shape[0], extents) for extents in ((0,), (5,), (2, 3), (shape[0] + 3,))]
    masks = [generator.random(shape[:ndim]) < part for ndim in (1, len(shape)) for part in (0, 0.3, 1)]
    return places + masks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_reading(shape: tuple[int, ...], dtype: str) -> None:
    x = values(shape, dtype)
    t = tnp.array(x)
    for index in indices(shape):
        expected = x[index]
        for given in (tnp.array(index), index, tnp.array(index)):
            found = t[given]
            assert found.shape == expected.shape and found.dtype == expected.dtype
            assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_writing(shape: tuple[int, ...], dtype: str) -> None:
    start = values(shape, dtype)
    for index in indices(shape):
        rows = values(start[index].shape, dtype)
        for value in (rows, np.dtype(dtype).type(1), True, rows[:1]):
            if np.size(value) == 0:
                continue
            x, t = start.copy(), tnp.array(start)
            x[index] = value
            for _ in range(2):
                t[tnp.array(index)] = tnp.array(value) if isinstance(value, np.ndarray) else value
            assert np.array_equal(np.asarray(t), x)


@pytest.mark.parametrize("shape", [(5, 3), (4, 5, 6), (300, 2, 400)], ids=str)
def test_places_in_several_axes(shape: tuple[int, ...]) -> None:
    x, generator = values(shape, "float64"), np.random.default_rng(2)
    t = tnp.array(x)
    for ndim, extents in itertools.product(range(1, len(shape) + 1), ((7,), (2, 3), (90_000,))):
        index = tuple(generator.integers(-n, n, extents) for n in shape[:ndim])
        given = tuple(tnp.array(one) for one in index)
        expected = x[index]
        if expected.size > 10_000_000:
            continue
        for _ in range(2):
            assert np.array_equal(np.asarray(t[given]), expected)
        x[index] = expected = values(expected.shape, "float64")
        t[given] = tnp.array(expected)
        assert np.array_equal(np.asarray(t), x)
        for axis in range(ndim):
            wrong = list(index)
            wrong[axis] = index[axis] + shape[axis]
            with pytest.raises(IndexError, match="the array has shape"):
                t[tuple(tnp.array(one) for one in wrong)]
            with pytest.raises(IndexError, match="the array has shape"):
                t[tuple(tnp.array(one) for one in wrong)] = 0.0
        assert np.array_equal(np.asarray(t), x)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 100, 32_768, 32_769, 300_000])
def test_places_where_a_mask_is_true(size: int) -> None:
    for part in (0, 0.5, 1):
        mask = np.random.default_rng(4).random(size) < part
        for _ in range(2):
            (found,) = tnp.nonzero(tnp.array(mask))
            assert found.dtype == np.int64 and np.array_equal(np.asarray(found), np.flatnonzero(mask))
            assert np.array_equal(np.asarray(tnp.flatnonzero(mask)), np.flatnonzero(mask))


@native
def test_what_is_served_needs_no_slow_path() -> None:
    t, places, mask = tnp.arange(10.0), tnp.array([1, -2]), tnp.arange(10) % 2 == 0
    selections: tuple[Any, ...] = (places, np.array([1, 2]), mask, np.asarray(mask))
    for index in selections:
        t[index]
        before = counted("getitem")
        t[index]
        assert counted("getitem") == before + 1
    for index, value in itertools.product(selections, (0, 1.5, np.float64(2), tnp.array(3.0))):
        before = counted("setitem")
        t[index] = value
        assert counted("setitem") == before + 1
    before = counted("setitem")
    t[places], t[mask] = tnp.array([1.0, 2.0]), tnp.arange(5.0)
    assert counted("setitem") == before + 2


@pytest.mark.parametrize("index", [[10], [-11], [0, 10], [True] * 9, [[True] * 10]], ids=str)
def test_a_wrong_index_changes_nothing(index: Any) -> None:
    x = np.arange(10.0)
    t, given = tnp.array(x), tnp.array(np.array(index))
    for _ in range(2):
        with pytest.raises(IndexError, match=r"the array has shape \(10,\)"):
            t[given]
        with pytest.raises(IndexError, match=r"the array has shape \(10,\)"):
            t[given] = 1.0
    assert np.array_equal(np.asarray(t), x)


def test_a_wrong_place_in_a_large_index() -> None:
    t, places = tnp.zeros(100_000), tnp.arange(100_000)
    places[70_000] = 100_000
    for value in (1.0, tnp.ones(100_000)):
        with pytest.raises(IndexError):
            t[places] = value
    with pytest.raises(IndexError):
        t[places]
    assert not t.any()


def test_the_last_of_several_values_for_one_place_stays() -> None:
    places = np.random.default_rng(3).integers(0, 1_000, 100_000)
    t, x = tnp.zeros(1_000), np.zeros(1_000)
    t[tnp.array(places)], x[places] = tnp.arange(100_000.0), np.arange(100_000.0)
    assert np.array_equal(np.asarray(t), x)


def test_memory_in_common_is_read_before_it_is_written() -> None:
    x = np.arange(10)
    t = tnp.array(x.copy())
    x[x[::-1]] = x
    t[t[::-1]] = t
    assert np.array_equal(np.asarray(t), x)
    y, u = np.arange(10.0), tnp.arange(10.0)
    y[np.arange(5) + 1] = y[:5].copy()
    u[tnp.arange(5) + 1] = u[:5]
    assert np.array_equal(np.asarray(u), y)
    truth, lies = np.arange(10) % 3 == 0, tnp.arange(10) % 3 == 0
    truth[truth], lies[lies] = False, False
    assert np.array_equal(np.asarray(lies), truth)


def test_targets_that_must_be_looked_at() -> None:
    mask, places = tnp.arange(6) % 2 == 0, tnp.array([1, 2])
    fixed = np.arange(6.0)
    fixed.flags.writeable = False
    for index in (mask, places):
        with pytest.raises(ValueError, match="read-only"):
            tnp.asarray(fixed)[index] = 0.0
        leaf = trueno.ones(6, requires_grad=True)
        with pytest.raises(RuntimeError, match="leaf"):
            leaf[index] = 0.0
        product = leaf * 2
        product[index] = 0.0
        product.sum().backward()
        expected = np.full(6, 2.0)
        expected[np.asarray(index)] = 0
        assert np.array_equal(np.asarray(leaf.grad), expected)


def test_writing_counts_as_a_change() -> None:
    for index in (tnp.arange(6) % 2 == 0, tnp.array([1, 2])):
        x = trueno.ones(6, requires_grad=True)
        factor = trueno.ones(6)
        y = (x * factor).sum()
        factor[index] = 2.0
        with pytest.raises(RuntimeError, match=r"changed|modified"):
            y.backward()


@native
def test_what_was_looked_at_is_written_to_as_before() -> None:
    x, y = tnp.zeros(10), tnp.ones(10)
    part = x[2:]
    np.asarray(x)
    for _ in range(3):
        before = counted("assign")
        x[...] = y
    assert counted("assign") == before + 1
    assert part.tolist() == [1] * 8


@pytest.mark.parametrize("way", ["all", "places", "mask", "view", "in place", "add at"])
def test_a_change_of_what_was_looked_at_before_it_was_saved_is_noted(way: str) -> None:
    factor, other, places = trueno.ones(6), trueno.ones(6), tnp.array([1, 2])
    part = factor[1:]

    def change() -> None:
        if way == "all":
            factor[...] = other
        elif way == "places":
            factor[places] = 2.0
        elif way == "mask":
            factor[other > 0] = 2.0
        elif way == "view":
            part[...] = 2.0
        elif way == "in place":
            factor.add_(other)
        else:
            tnp.add.at(factor, places, 2.0)

    for _ in range(3):
        change()
    x = trueno.ones(6, requires_grad=True)
    y = (x * factor).sum()
    change()
    with pytest.raises(RuntimeError, match=r"changed|modified"):
        y.backward()


def test_strided_sources_and_values() -> None:
    x, places = np.arange(24.0).reshape(4, 6), np.array([3, 0])
    t = tnp.array(x)
    mask = x % 2 == 0
    assert np.array_equal(np.asarray(t.T[tnp.array(places)]), x.T[places])
    assert np.array_equal(np.asarray(t.T[tnp.array(mask.T)]), x.T[mask.T])
    assert np.array_equal(np.asarray(t[tnp.array(mask[:, ::-1])]), x[mask[:, ::-1]])
    t[tnp.array(places)], x[places] = tnp.arange(12.0)[::-1].reshape(2, 6), np.arange(12.0)[::-1].reshape(2, 6)
    assert np.array_equal(np.asarray(t), x)


def test_any_number_of_threads_gives_the_same() -> None:
    x = np.random.default_rng(1).random(300_000)
    t, mask, places = tnp.array(x), tnp.array(x > 0.7), tnp.array(np.argsort(x))
    before = threads.get_num_threads()
    found = []
    try:
        for number in (1, 2, 3):
            trueno.set_num_threads(number)
            y = t.clone()
            y[mask] = t[mask] * 2
            found.append([np.asarray(one) for one in (t[mask], t[places], y)])
    finally:
        trueno.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert np.array_equal(one, same)


def test_threads_that_write_the_index_meanwhile() -> None:
    t, places = tnp.arange(200_000.0), tnp.arange(200_000)
    stop = threading.Event()

    def disturb() -> None:
        raw = np.asarray(places)
        while not stop.is_set():
            raw[:1000] = 1 << 40
            raw[:1000] = 0

    other = threading.Thread(target=disturb)
    other.start()
    outcomes = set()
    try:
        for _ in range(50):
            try:
                outcomes.add(t[places].shape)
                t[places] = 1.0
            except IndexError:
                outcomes.add(())
    finally:
        stop.set()
        other.join()
    assert outcomes <= {(200_000,), ()}
    assert t.shape == (200_000,)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_places_of_every_integer_type_and_layout(dtype: str) -> None:
    x = values((90, 3), "float32")
    t = tnp.array(x)
    low = -90 if dtype.startswith("i") else 0
    many = np.random.default_rng(3).integers(low, 90, (6, 8)).astype(dtype)
    for index in (many, many[::-1], many.T, many[:, ::3], many[0], many[:0]):
        for given in (trueno.from_numpy(index), index):
            found = t[given]
            assert found.shape == x[index].shape
            np.testing.assert_array_equal(found.numpy(), x[index])
    for given in (trueno.from_numpy(many[::-1].copy()), many.copy()):
        given[0, 0] = 90
        with pytest.raises(IndexError, match="90"):
            t[given]


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16", "float32"])
@pytest.mark.parametrize("step", [2, 3, 5, -2, -7])
def test_copies_of_elements_that_lie_apart(dtype: str, step: int) -> None:
    x = values((600, 301), dtype)
    t = tnp.array(x)
    np.testing.assert_array_equal(t.reshape(-1)[::step].copy().numpy(), x.reshape(-1)[::step])
    np.testing.assert_array_equal(t[:, ::step].copy().numpy(), x[:, ::step])
    np.testing.assert_array_equal(t.T[::step].copy().numpy(), x.T[::step])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5), (2, 3, 4, 5), (600, 300), (3, 700, 90)], ids=str)
def test_places_in_a_later_axis(shape: tuple[int, ...], dtype: str) -> None:
    x = values(shape, dtype)
    t = tnp.array(x)
    for axis in range(1, len(shape)):
        for extents in ((4,), (2, 3), (0,), (shape[axis] + 3,)):
            index = np.random.default_rng(7).integers(-shape[axis], shape[axis], extents)
            head = (slice(None),) * axis
            for given in (index, tnp.array(index), tnp.array(index)[::-1][::-1]):
                np.testing.assert_array_equal(t[(*head, given)].numpy(), x[(*head, index)])
            np.testing.assert_array_equal(tnp.take(t, tnp.array(index), axis=axis).numpy(), np.take(x, index, axis))
        for wrong in (shape[axis], -shape[axis] - 1):
            with pytest.raises(IndexError, match=str(wrong)):
                t[(*head, tnp.array([0, wrong, 0]))]


@native
def test_places_in_a_later_axis_need_no_slow_path() -> None:
    t, index = tnp.array(values((5, 7, 2), "float64")), tnp.array([1, -1])
    t[:, index]
    before = counted("getitem")
    t[:, index], t[:, :, index]
    assert counted("getitem") == before + 2
    t.requires_grad_()
    t[:, index].sum().backward()
    assert t.grad is not None
    np.testing.assert_array_equal(t.grad.numpy().sum(axis=(0, 2)), [0, 10, 0, 0, 0, 0, 10])
