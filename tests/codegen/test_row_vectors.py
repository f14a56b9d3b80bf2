"""Reductions of rows that are printed as vectors, scans of several rows at a time, and windows of small images."""

from __future__ import annotations

import numpy as np
import pytest

import trueno as tn
from trueno.nn import functional

EXTENTS = (1, 2, 15, 16, 33, 63, 64, 65, 127, 129, 300, 512, 513, 1000, 1024, 1025)
DTYPES = ("float32", "float64", "float16", "int32", "int64", "uint8", "bool")


def _rows(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(sum(shape))
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return generator.uniform(-2, 2, shape).astype(dtype)
    return generator.integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_and_their_places(dtype: str) -> None:
    for extent in EXTENTS:
        x = _rows(dtype, (19, extent))
        if dtype.startswith("float") and extent > 2:
            x[0] = -np.inf
            x[1, extent // 2 :] = np.nan
            x[2, extent - 1] = np.nan
            x[3, extent // 2] = np.inf
            x[4] = 0
            x[5, [0, extent - 1]] = np.inf, np.nan
        for name in ("argmax", "argmin", "max", "min", "any", "all"):
            own = getattr(tn, name)(tn.tensor(x), axis=1).numpy()
            np.testing.assert_array_equal(own, getattr(np, name)(x, axis=1), f"{name} of rows of {extent} {dtype}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(19, 300), (4, 33, 10), (5, 18, 100), (3, 2, 1000), (4, 0, 5)], ids=str)
def test_sums_over_the_first_and_last_axis(dtype: str, shape: tuple[int, ...]) -> None:
    x = _rows(dtype, shape)
    axes = (0, 2) if len(shape) == 3 else (1,)
    for name in ("sum", "prod", "count_nonzero"):
        if name == "prod" and dtype.startswith("float"):
            continue
        own = getattr(tn, name)(tn.tensor(x), axis=axes).numpy()
        wide = x.astype(np.float64) if dtype.startswith("float") and name == "sum" else x
        expected = getattr(np, name)(wide, axis=axes)
        tolerance = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}.get(dtype, 0) * np.sqrt(max(x.size, 1))
        np.testing.assert_allclose(own, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16, 37])
def test_scans_of_several_rows(dtype: str, rows: int) -> None:
    for extent in (1, 7, 100, 1024, 1025):
        x = np.random.default_rng(extent).integers(-2, 3, (rows, extent)).astype(dtype)
        for own, given in ((tn.tensor(x), x), (tn.tensor(x)[:, ::-1], x[:, ::-1])):
            np.testing.assert_array_equal(tn.cumsum(own, axis=1).numpy(), np.cumsum(given, axis=1))
            np.testing.assert_array_equal(tn.cumprod(own, axis=1).numpy(), np.cumprod(given, axis=1))


@pytest.mark.parametrize("shape", [(3000,), (5, 1000)], ids=str)
def test_subnormal_products_are_rounded_once(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 0.97, np.float32)
    exact = np.cumprod(x.astype(np.float64), axis=-1)
    np.testing.assert_array_equal(tn.cumprod(tn.tensor(x), axis=-1).numpy(), exact.astype(np.float32))


@pytest.mark.parametrize("extent", [7, 14])
def test_pooling_of_small_images_to_four_elements(extent: int) -> None:
    x = np.random.default_rng(extent).standard_normal((3, 40, extent, extent)).astype(np.float32)
    x[0, 0, 1, 1] = np.nan
    own = tn.tensor(x, requires_grad=True)
    pooled = functional.adaptive_max_pool2d(own, 2)
    half = (extent + 1) // 2
    parts = [[x[..., a : a + half, b : b + half] for b in (0, extent - half)] for a in (0, extent - half)]
    expected = np.stack([np.stack([part.max(axis=(2, 3)) for part in row], -1) for row in parts], -2)
    np.testing.assert_array_equal(pooled.detach().numpy(), expected)
    pooled.sum().backward()
    assert own.grad is not None
    counts = sum((part == part.max(axis=(2, 3), keepdims=True)).sum() for row in parts for part in row)
    # The window with a NaN has none that equals its maximum, and hands its gradient to the NaN.
    nans = sum(np.isnan(part).any(axis=(2, 3)).sum() for row in parts for part in row)
    assert own.grad.numpy().sum() == counts + nans
