"""Functions that go another way when there are many elements: the same values as NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import trueno.np as tnp
from tests.np.comparing import compare

GENERATOR = np.random.default_rng(7)


@pytest.mark.parametrize("count", range(2, 18))
def test_medians_of_few_elements_each(count):
    x = GENERATOR.normal(size=(count, 600))
    x[0, 3] = x[-1, 9] = x[count // 2, 20] = np.nan
    x[0, 30:33] = np.inf, -np.inf, 0.0
    compare(lambda xp, x: xp.median(x, axis=0), x)
    compare(lambda xp, x: xp.median(x.T, axis=-1, keepdims=True), x.astype(np.float32))


@pytest.mark.parametrize("axis", [None, 0, 2, (0, 1), (2, 0)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_order_statistics_leave_their_argument_alone(axis, keepdims):
    x = GENERATOR.normal(size=(5, 6, 40))
    ours = tnp.asarray(x.copy())
    for name, levels in (
        ("median", ()),
        ("quantile", (0.3,)),
        ("percentile", ([10, 50, 90],)),
        ("nanquantile", (0.5,)),
    ):
        want = getattr(np, name)(x, *levels, axis=axis, keepdims=keepdims)
        got = getattr(tnp, name)(ours, *levels, axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(np.asarray(got), want)
        np.testing.assert_array_equal(np.asarray(ours), x)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("taps", [15, 16, 17, 255, 600])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_sliding_products(mode, taps, name):
    a, v = GENERATOR.normal(size=5000), GENERATOR.normal(size=taps)
    compare(lambda xp, a, v: getattr(xp, name)(a, v, mode), a, v, rtol=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sliding_products_spread_what_is_not_finite_as_numpy_does(value):
    a, v = GENERATOR.normal(size=5000), GENERATOR.normal(size=20)
    a[1234] = value
    compare(lambda xp, a, v: xp.convolve(a, v), a, v, rtol=1e-13)


@pytest.mark.parametrize("options", [
    {}, {"bins": 64, "range": (0.0, 1.0)}, {"bins": 7, "range": (-1, 3)}, {"bins": 5, "density": True}, {"bins": 1},
    {"bins": 256, "range": (-np.pi, np.pi)}, {"bins": 3, "range": (0.5, 0.5)},
])  # fmt: skip
def test_histograms_of_equal_bins(options):
    x = GENERATOR.normal(size=3000)
    compare(lambda xp, x: xp.histogram(x, **options), x)
    compare(lambda xp, x: xp.histogram(x.reshape(3, -1)[:, ::2], **options), x)


def test_elements_at_the_edges_of_bins():
    edges = np.linspace(0, 1, 65)
    x = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 1), [np.nan, np.inf, -np.inf]])
    compare(lambda xp, x: xp.histogram(x, 64, (0, 1)), x)
    compare(lambda xp, x: xp.histogram(x, 64), x)


@pytest.mark.parametrize("exponent", [2, 2.0, 0.5, -1.0, 3, 0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.uint16, np.complex128])
def test_powers(exponent, dtype):
    x = np.array([-3.5, -1, 0.25, 1, 2, 11]).astype(dtype) if dtype != np.uint16 else np.array([0, 1, 200, 300], dtype)
    exact = np.dtype(dtype).kind in "iu" and isinstance(exponent, int)
    compare(lambda xp, x: x**exponent, x, rtol=0 if exact else 1e-15 if np.dtype(dtype).kind in "iu" else 1e-6)


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge", "wrap"])
@pytest.mark.parametrize("widths", [(0, 3), (2, 0), (1, 1), (2, 5), (9, 14)])
def test_padding_with_an_arrays_own_elements(mode, widths):
    compare(lambda xp, x: xp.pad(x, [widths, (0, 1)], mode), np.arange(20.0).reshape(4, 5))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int16])
@pytest.mark.parametrize("count", [20_000, 20_003])
def test_counts_of_integers(dtype, count):
    x, weights = GENERATOR.integers(0, 100, count).astype(dtype), GENERATOR.normal(size=count)
    compare(lambda xp, x: xp.bincount(x), x)
    compare(lambda xp, x: xp.bincount(x, minlength=130), x)
    compare(lambda xp, x, w: xp.bincount(x, weights=w), x, weights, rtol=1e-13)
    compare(lambda xp, x, w: xp.bincount(x[::-1], w[::-1]), x, weights.astype(np.float32), rtol=1e-13)
    compare(lambda xp, x, w: xp.bincount(x, w[1:]), x, weights)


def test_counts_refuse_negative_integers():
    compare(lambda xp, x: xp.bincount(x), np.where(np.arange(20_000) == 777, -1, 5))
    compare(lambda xp, x: xp.bincount(x), np.arange(20_000))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_medians_without_nan(axis, dtype):
    x = (GENERATOR.normal(size=(7, 700, 2)) * 100).astype(dtype)
    if dtype != np.int32:
        x[GENERATOR.random(x.shape) < 0.3] = np.nan
        x[:, 5, 0] = np.nan, 3, np.nan, np.inf, -np.inf, 2, np.nan
    compare(lambda xp, x: xp.nanmedian(x, axis=axis), x)
    compare(lambda xp, x: xp.nanmedian(x, axis=axis, keepdims=True), x)
    compare(lambda xp, x: xp.nanmedian(x, axis=7), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64, np.int16])
@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 255, 1000, 65_536])
def test_places_in_sorted_vectors(size, dtype):
    sequence = np.sort(GENERATOR.integers(0, 300, size).astype(dtype))
    wanted = GENERATOR.integers(0, 310, (40, 30)).astype(dtype)
    if sequence.dtype.kind == "f":
        sequence[size - size // 4 :] = np.nan
        wanted[0, :4] = np.nan, -0.0, np.inf, -np.inf
    for side in ("left", "right"):
        compare(lambda xp, a, v, side=side: xp.searchsorted(a, v, side), sequence, wanted)
        compare(lambda xp, a, v, side=side: xp.searchsorted(a[::2], v.T[::-1], side=side), sequence, wanted)
        compare(lambda xp, a, v, side=side: xp.searchsorted(a, v, side), sequence, wanted.astype(np.float64))
    compare(lambda xp, a, v: xp.searchsorted(a[:0], v), sequence, wanted)
    compare(lambda xp, a, v: xp.searchsorted(a, v, sorter=xp.arange(len(a))), sequence, wanted)
