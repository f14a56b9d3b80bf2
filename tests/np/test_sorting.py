"""Sorting, searching and sets against NumPy and PyTorch: values, NaN, stability, exceptions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
import trueno.np as tnp
from tests.np.comparing import compare, gradient

GENERATOR = np.random.default_rng(7)
ARRAYS = {
    "floats": GENERATOR.normal(size=(4, 5)),
    "nan": np.array([[3.0, np.nan, 1.0, -np.inf, np.nan, 2.0], [0.0, -0.0, np.inf, 5.0, 5.0, 1.0]]),
    "ties": GENERATOR.integers(0, 4, size=(3, 7)),
    "half": GENERATOR.normal(size=9).astype(np.float16),
    "uint8": GENERATOR.integers(0, 255, size=20).astype(np.uint8),
    "bool": GENERATOR.integers(0, 2, size=(2, 5)).astype(np.bool_),
    "strided": GENERATOR.normal(size=(6, 4)).astype(np.float32).T[::-1, ::2],
    "empty": np.zeros((3, 0)), "0-d": np.array(1.5), "one": np.array([4]),
}  # fmt: skip

SORTING: dict[str, Callable[..., Any]] = {
    "sort": lambda xp, x: xp.sort(x),
    "sort axis": lambda xp, x: xp.sort(x, axis=0),
    "sort flat": lambda xp, x: xp.sort(x, axis=None),
    "sort stable": lambda xp, x: xp.sort(x, stable=True),
    "sort heap": lambda xp, x: xp.sort(x, kind="heapsort"),
    "sort kind": lambda xp, x: xp.sort(x, kind="bubble"),
    "sort both": lambda xp, x: xp.sort(x, kind="stable", stable=True),
    "sort order": lambda xp, x: xp.sort(x, order="field"),
    "sort wrong axis": lambda xp, x: xp.sort(x, axis=4),
    "argsort": lambda xp, x: xp.argsort(x, kind="stable"),
    "argsort axis": lambda xp, x: xp.argsort(x, axis=0, stable=True),
    "argsort flat": lambda xp, x: xp.argsort(x, axis=None, stable=True),
    "partition": lambda xp, x: xp.sort(xp.partition(x, 2)[..., :2]),
    "partition element": lambda xp, x: xp.partition(x, (1, -1))[..., 1],
    "partition outside": lambda xp, x: xp.partition(x, 77),
    "partition float": lambda xp, x: xp.partition(x, 1.5),
    "partition kind": lambda xp, x: xp.partition(x, 0, kind="quick"),
    "argpartition": lambda xp, x: xp.take_along_axis(x, xp.argpartition(x, 1), -1)[..., 1],
    "argpartition outside": lambda xp, x: xp.argpartition(x, -99),
    "lexsort": lambda xp, x: xp.lexsort((x, xp.flip(x))),
    "lexsort rows": lambda xp, x: xp.lexsort(x),
    "lexsort axis": lambda xp, x: xp.lexsort((x, x), axis=0),
    "lexsort nothing": lambda xp, x: xp.lexsort(()),
    "searchsorted": lambda xp, x: xp.searchsorted(xp.sort(xp.ravel(x)), x),
    "searchsorted right": lambda xp, x: xp.searchsorted(xp.sort(xp.ravel(x)), x, side="right"),
    "searchsorted sorter": lambda xp, x: xp.searchsorted(xp.ravel(x), [1, 2], sorter=xp.argsort(xp.ravel(x))),
    "searchsorted number": lambda xp, x: xp.searchsorted([1, 2, 3], 2),
    "searchsorted matrix": lambda xp, x: xp.searchsorted([[1, 2, 3]], x),
    "searchsorted side": lambda xp, x: xp.searchsorted([1, 2, 3], x, side="middle"),
    "digitize": lambda xp, x: xp.digitize(x, [0, 1, 2.5]),
    "digitize right": lambda xp, x: xp.digitize(x, [3, 1, 0], right=True),
    "digitize jagged": lambda xp, x: xp.digitize(x, [0, 2, 1]),
}  # fmt: skip


@pytest.mark.parametrize("case", SORTING)
@pytest.mark.parametrize("array", ARRAYS)
def test_sorting(case: str, array: str) -> None:
    compare(SORTING[case], ARRAYS[array])


SETS: dict[str, Callable[..., Any]] = {
    "unique": lambda xp, x: xp.unique(x),
    "unique all": lambda xp, x: xp.unique(x, return_index=True, return_inverse=True, return_counts=True),
    "unique counts": lambda xp, x: xp.unique(x, return_counts=True),
    "unique nan": lambda xp, x: xp.unique(x, equal_nan=False),
    "unique rows": lambda xp, x: xp.unique(x, axis=0),
    "unique wrong axis": lambda xp, x: xp.unique(x, axis=5),
    "unique_all": lambda xp, x: xp.unique_all(x),
    "unique_counts": lambda xp, x: xp.unique_counts(x),
    "unique_inverse": lambda xp, x: xp.unique_inverse(x),
    "unique_values": lambda xp, x: xp.sort(xp.unique_values(x)),
    "isin": lambda xp, x: xp.isin(x, [1, 2]),
    "isin invert": lambda xp, x: xp.isin(x, [0], invert=True),
    "isin number": lambda xp, x: xp.isin(2, x),
    "isin kind": lambda xp, x: xp.isin(x, [1], kind="hash"),
    "intersect1d": lambda xp, x: xp.intersect1d(x, xp.ravel(x)[::2]),
    "intersect1d indices": lambda xp, x: xp.intersect1d(x, xp.ravel(x)[1:], return_indices=True),
    "union1d": lambda xp, x: xp.union1d(x, [1, 2]),
    "setdiff1d": lambda xp, x: xp.setdiff1d(x, xp.ravel(x)[::2]),
    "setxor1d": lambda xp, x: xp.setxor1d(x, xp.ravel(x)[::2]),
}  # fmt: skip


@pytest.mark.parametrize("case", SETS)
@pytest.mark.parametrize("array", ARRAYS)
def test_sets(case: str, array: str) -> None:
    compare(SETS[case], ARRAYS[array])


def test_names_of_unique_results() -> None:
    result = tnp.unique_all(tn.tensor([2, 1, 2]))
    assert result.values.tolist() == [1, 2]
    assert result.indices.tolist() == [1, 0]
    assert result.inverse_indices.tolist() == [1, 0, 1]
    assert result.counts.tolist() == [1, 2]


@pytest.mark.parametrize("array", ["floats", "ties", "strided", "bool"])
@pytest.mark.parametrize("axis", [0, -1])
def test_descending(array: str, axis: int) -> None:
    x = np.ascontiguousarray(ARRAYS[array])
    values, places = torch.sort(torch.from_numpy(x), dim=axis, descending=True, stable=True)
    np.testing.assert_array_equal(tnp.sort(x, axis=axis, descending=True), values.numpy())
    np.testing.assert_array_equal(tnp.argsort(x, axis=axis, descending=True, stable=True), places.numpy())


@pytest.mark.parametrize("array", ["floats", "nan", "strided", "half"])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_topk(array: str, largest: bool, k: int) -> None:
    x = np.ascontiguousarray(ARRAYS[array])
    want = torch.topk(torch.from_numpy(x), k, largest=largest)
    got = tnp.topk(x, k, largest=largest)
    np.testing.assert_array_equal(got.values, want.values.numpy())
    assert got.indices.dtype == np.int64
    np.testing.assert_array_equal(np.take_along_axis(x, np.asarray(got.indices), -1), want.values.numpy())


def test_topk_of_equal_elements_keeps_their_order() -> None:
    values, places = tnp.topk([1, 3, 3, 3], 3)
    assert values.tolist() == [3, 3, 3]
    assert places.tolist() == [1, 2, 3]
    whole = tnp.topk([2, 5, 2, 5], 4)
    assert whole.indices.tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("k", [-1, 5])
def test_topk_out_of_range(k: int) -> None:
    with pytest.raises(ValueError, match=r"topk: k=.* \(4,\)"):
        tnp.topk([1.0, 2.0, 3.0, 4.0], k)


def test_bfloat16_sorts() -> None:
    x = tn.tensor([3.0, -1.0, 2.0], dtype="bfloat16")
    assert tnp.sort(x).tolist() == [-1, 2, 3]
    assert tnp.argsort(x).tolist() == [1, 2, 0]


GRADIENTS: dict[str, Callable[..., Any]] = {
    "sort": lambda xp, x: xp.sort(x, axis=0),
    "sort flat": lambda xp, x: xp.sort(x, axis=None),
    "partition": lambda xp, x: xp.partition(x, 2, axis=-1)[..., 2],
    "unique": lambda xp, x: xp.unique(x),
}  # fmt: skip


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case: str) -> None:
    gradient(GRADIENTS[case], np.random.default_rng(0).normal(size=(3, 4)))


def test_gradient_of_topk() -> None:
    data = np.random.default_rng(1).normal(size=(3, 6))
    ours, theirs = tn.tensor(data).requires_grad_(), torch.tensor(data, requires_grad=True)
    (tnp.topk(ours, 2).values ** 2).sum().backward()
    (torch.topk(theirs, 2).values ** 2).sum().backward()
    np.testing.assert_allclose(np.asarray(ours.grad), theirs.grad.numpy())


def test_second_gradient_of_sort() -> None:
    x = tn.tensor([3.0, 1.0, 2.0], dtype="float64").requires_grad_()
    weights = tn.tensor([1.0, 10.0, 100.0], dtype="float64")
    (first,) = tn.grad((tnp.sort(x) ** 3 * weights).sum(), [x], create_graph=True)
    (second,) = tn.grad(first.sum(), [x])
    np.testing.assert_allclose(np.asarray(second), [6 * 3 * 100, 6 * 1 * 1, 6 * 2 * 10])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "complex64"])
def test_large_vectors(dtype: str) -> None:
    """Vectors with NaNs among them, and queries that a kernel searches."""
    generator = np.random.default_rng(8)
    x = (generator.random(1_200_000) * 200).astype(dtype)
    if x.dtype.kind in "fc":
        x[::1000] = np.nan
    t = tnp.array(x)
    assert np.array_equal(np.asarray(tnp.sort(t)), np.sort(x), equal_nan=x.dtype.kind in "fc")
    assert np.array_equal(np.asarray(tnp.sort(t, descending=True)), np.sort(x)[::-1], equal_nan=x.dtype.kind in "fc")
    assert np.array_equal(np.asarray(t), x, equal_nan=x.dtype.kind in "fc")
    steps = np.sort(x[:1000])
    for side in ("left", "right"):
        queries = x[:60_000].reshape(200, 300)
        found = tnp.searchsorted(tnp.array(steps), tnp.array(queries), side)
        assert found.shape == (200, 300) and np.array_equal(np.asarray(found), np.searchsorted(steps, queries, side))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 100, 5_000])
def test_distinct_elements(size: int, dtype: str) -> None:
    x = np.random.default_rng(9).integers(-3, 30, size).astype(dtype)
    if x.dtype.kind == "f":
        x[::7], x[::5] = np.nan, np.inf
    for shaped in (x, x.reshape(1, -1), x[::-1]):
        for equal_nan in (True, False):
            found, expected = tnp.unique(tnp.array(shaped), equal_nan=equal_nan), np.unique(shaped, equal_nan=equal_nan)
            assert found.dtype == expected.dtype
            assert np.array_equal(np.asarray(found), expected, equal_nan=x.dtype.kind == "f")
