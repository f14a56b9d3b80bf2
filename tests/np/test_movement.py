"""Padding, rolling, tiling, repeating, each of them one kernel: values and gradients are those of moved positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp

MOVEMENTS: dict[str, Callable[..., Any]] = {
    **{f"{mode} {width}": lambda xp, x, mode=mode, width=width: xp.pad(x, width, mode)
       for mode in ("edge", "reflect", "symmetric", "wrap") for width in (1, (2, 0), ((0, 0), (1, 3)), 9)},
    "roll": lambda xp, x: xp.roll(x, 3),
    "roll axis": lambda xp, x: xp.roll(x, -2, axis=1),
    "roll axes": lambda xp, x: xp.roll(x, (1, 2), axis=(0, 1)),
    "roll by nothing": lambda xp, x: xp.roll(x, 0, axis=0),
    "tile": lambda xp, x: xp.tile(x, (3, 1, 2)),
    "tile once": lambda xp, x: xp.tile(x, 1),
    "repeat": lambda xp, x: xp.repeat(x, 3),
    "repeat often": lambda xp, x: xp.repeat(x, 7),
    "repeat rows": lambda xp, x: xp.repeat(x, 2, axis=0),
    "repeat once": lambda xp, x: xp.repeat(x, 1, axis=1),
    "repeat never": lambda xp, x: xp.repeat(x, 0, axis=1),
    "resize": lambda xp, x: xp.resize(x, (5, 9)),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVEMENTS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "complex64", "bool"])
def test_elements_move_as_positions_do(name: str, dtype: str) -> None:
    move = MOVEMENTS[name]
    x = (np.arange(20).reshape(4, 5) % 7).astype(dtype)
    x = x + 1j if dtype == "complex64" else x
    for source in (x, x[::-1, ::2], x.T):
        places = move(np, np.arange(source.size).reshape(source.shape))
        given = tn.from_numpy(source)
        got = move(tnp, given)
        assert got.dtype == source.dtype
        np.testing.assert_array_equal(got.numpy(), source.reshape(-1)[places])
        assert not np.shares_memory(got.numpy(), source)


@pytest.mark.parametrize("name", MOVEMENTS)
def test_gradients_add_up_where_elements_came_from(name: str) -> None:
    move = MOVEMENTS[name]
    x = tn.from_numpy(np.arange(20.0).reshape(4, 5)).requires_grad_()
    places = move(np, np.arange(20).reshape(4, 5))
    weights = np.random.default_rng(1).standard_normal(places.shape)
    (move(tnp, x) * tn.from_numpy(weights)).sum().backward()
    want = np.zeros(20)
    np.add.at(want, places.reshape(-1), weights.reshape(-1))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy().reshape(-1), want, atol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("extent", [1, 63, 64, 65, 1000, 20_000])
def test_reversed_and_joined_runs_of_any_length(dtype: str, extent: int) -> None:
    x = (np.arange(extent) % 113).astype(dtype)
    given = tnp.asarray(x)
    np.testing.assert_array_equal(given[::-1].copy().numpy(), x[::-1])
    np.testing.assert_array_equal((given | given[::-1]).numpy() if dtype == "uint8" else given.copy().numpy(),
                                  x | x[::-1] if dtype == "uint8" else x)  # fmt: skip
    joined = tnp.concatenate([given, given[::-1], given[extent // 3 :]])
    np.testing.assert_array_equal(joined.numpy(), np.concatenate([x, x[::-1], x[extent // 3 :]]))


def test_operands_that_change_places_are_read_before_they_are_written() -> None:
    rows = tnp.asarray(np.arange(2000.0).reshape(2, 1000))
    rows[...] = rows[::-1]
    np.testing.assert_array_equal(rows.numpy(), np.arange(2000.0).reshape(2, 1000)[::-1])
    line = tnp.asarray(np.arange(1000.0))
    line[1:] = line[:-1]
    np.testing.assert_array_equal(line.numpy(), np.concatenate([[0.0], np.arange(999.0)]))


def test_constants_of_each_dtype_around_an_array() -> None:
    for dtype in ("uint8", "int64", "float32", "bool", "complex128"):
        x = np.ones((2, 3), dtype)
        for value in (0, 1, 3.75, (1, 2)):
            got = tnp.pad(tnp.asarray(x), ((1, 2), (0, 3)), constant_values=value)
            np.testing.assert_array_equal(got.numpy(), np.pad(x, ((1, 2), (0, 3)), constant_values=value))


@pytest.mark.parametrize(
    "where", [0, -1, 3, slice(1, 3), slice(None, None, 2), [0, 2], np.array([True, False] * 2 + [True])]
)
def test_deleting_and_inserting_with_and_without_history(where: Any) -> None:
    x = np.arange(10.0).reshape(2, 5)
    places = np.delete(np.arange(10).reshape(2, 5), where, axis=1)
    np.testing.assert_array_equal(tnp.delete(tnp.asarray(x), where, axis=1).numpy(), x.reshape(-1)[places])
    given = tn.from_numpy(x).requires_grad_()
    tnp.delete(given, where, axis=1).sum().backward()
    assert given.grad is not None
    np.testing.assert_array_equal(given.grad.numpy().reshape(-1), np.isin(np.arange(10), places))
    if not isinstance(where, np.ndarray):
        want = np.insert(x, where, 7.5, axis=1)
        np.testing.assert_array_equal(tnp.insert(tnp.asarray(x), where, 7.5, axis=1).numpy(), want)
        given = tn.from_numpy(x).requires_grad_()
        got = tnp.insert(given, where, 7.5, axis=1)
        np.testing.assert_array_equal(got.detach().numpy(), want)
        got.sum().backward()
        assert given.grad is not None
        np.testing.assert_array_equal(given.grad.numpy(), np.ones((2, 5)))
