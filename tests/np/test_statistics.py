"""Order statistics, histograms, correlations and polynomials against NumPy: values, dtypes, exceptions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp
from tests.np.comparing import compare, gradient

GENERATOR = np.random.default_rng(13)
ARRAYS = {
    "2-d": GENERATOR.normal(size=(4, 6)), "1-d": GENERATOR.normal(size=9).astype(np.float32),
    "3-d": GENERATOR.normal(size=(2, 3, 5)), "int": GENERATOR.integers(0, 9, size=(3, 4)),
    "nan": np.array([[1.0, np.nan, 3.0, 2.0], [5.0, 4.0, 8.0, 6.0]]), "empty": np.zeros((0, 3)), "0-d": np.array(2.5),
}  # fmt: skip

CASES: dict[str, Callable[..., Any]] = {
    "median": lambda xp, x: xp.median(x),
    "median axis": lambda xp, x: xp.median(x, axis=-1, keepdims=True),
    "median axes": lambda xp, x: xp.median(x, axis=(0, 1)),
    "median wrong axis": lambda xp, x: xp.median(x, axis=5),
    "nanmedian": lambda xp, x: xp.nanmedian(x, axis=0),
    "quantile": lambda xp, x: xp.quantile(x, 0.3),
    "quantile many": lambda xp, x: xp.quantile(x, [0.0, 0.25, 1.0], axis=-1),
    "quantile method": lambda xp, x: xp.quantile(x, 0.4, axis=0, method="median_unbiased", keepdims=True),
    "quantile outside": lambda xp, x: xp.quantile(x, 1.5),
    "quantile unknown": lambda xp, x: xp.quantile(x, 0.5, method="best"),
    "percentile": lambda xp, x: xp.percentile(x, [10, 90]),
    "nanquantile": lambda xp, x: xp.nanquantile(x, 0.5, axis=-1),
    "nanpercentile": lambda xp, x: xp.nanpercentile(x, 30),
    "bincount": lambda xp, x: xp.bincount(xp.asarray([1, 1, 4])),
    "bincount weights": lambda xp, x: xp.bincount([1, 1, 4], weights=[0.5, 1.0, 2.0], minlength=7),
    "bincount negative": lambda xp, x: xp.bincount([-1]),
    "bincount shape": lambda xp, x: xp.bincount(x),
    "histogram": lambda xp, x: xp.histogram(x),
    "histogram edges": lambda xp, x: xp.histogram(x, bins=[-1, 0, 2.5]),
    "histogram density": lambda xp, x: xp.histogram(x, 4, range=(-1, 3), density=True),
    "histogram rule": lambda xp, x: xp.histogram(x, "sturges"),
    "histogram jagged": lambda xp, x: xp.histogram(x, [1, 0]),
    "histogram_bin_edges": lambda xp, x: xp.histogram_bin_edges(x, 5),
    "histogram2d": lambda xp, x: xp.histogram2d(xp.ravel(x), xp.ravel(x) * 2, bins=3),
    "histogramdd": lambda xp, x: xp.histogramdd(x, bins=2),
    "cov": lambda xp, x: xp.cov(x),
    "cov columns": lambda xp, x: xp.cov(x, rowvar=False, bias=True),
    "cov two": lambda xp, x: xp.cov(x, x * 2),
    "cov weights": lambda xp, x: xp.cov(x, fweights=[1, 2, 0, 1], aweights=[0.5, 1.0, 2.0, 1.0]),
    "cov wrong weights": lambda xp, x: xp.cov(x, fweights=[1, 2]),
    "cov ddof": lambda xp, x: xp.cov(x, ddof=0, dtype="float32"),
    "corrcoef": lambda xp, x: xp.corrcoef(x),
    "corrcoef columns": lambda xp, x: xp.corrcoef(x, rowvar=False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("array", ARRAYS)
def test_statistics(case: str, array: str) -> None:
    compare(CASES[case], ARRAYS[array], rtol=1e-6)


@pytest.mark.parametrize("method", [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
])  # fmt: skip
def test_methods_of_quantile(method: str) -> None:
    compare(lambda xp, x: xp.quantile(x, [0.1, 0.5, 0.77], axis=1, method=method), ARRAYS["2-d"], rtol=1e-12)


POLYNOMIALS: dict[str, Callable[..., Any]] = {
    "polyval": lambda xp, x: xp.polyval([1, -2, 3.5], x),
    "polyval ints": lambda xp, x: xp.polyval([3, 0, 1], 5),
    "polyadd": lambda xp, x: xp.polyadd([1, 2], x),
    "polysub": lambda xp, x: xp.polysub(x, [1.0, 2]),
    "polymul": lambda xp, x: xp.polymul([0, 1, 2], x),
    "polydiv": lambda xp, x: xp.polydiv([3.0, 5.0, 2.0], [2.0, 1.0]),
    "polyder": lambda xp, x: xp.polyder(x),
    "polyder twice": lambda xp, x: xp.polyder([4, 3, 2, 1], 2),
    "polyder negative": lambda xp, x: xp.polyder(x, -1),
    "polyint": lambda xp, x: xp.polyint(x),
    "polyint constants": lambda xp, x: xp.polyint([4.0, 2], 2, [6, 5]),
    "polyint few": lambda xp, x: xp.polyint([4.0, 2], 3, [6, 5]),
    "polyfit": lambda xp, x: xp.polyfit(xp.asarray([0.0, 1, 2, 3, 5]), xp.asarray([0.0, 0.8, 0.9, 0.1, -0.8]), 3),
    "polyfit columns": lambda xp, x: xp.polyfit([0.0, 1, 2], [[1.0, 2], [0, 3], [5, 4]], 1),
    "polyfit weights": lambda xp, x: xp.polyfit([0.0, 1, 2, 4], [1.0, 2, 0, 3], 1, w=[1, 2, 1, 0.5]),
    "polyfit full": lambda xp, x: xp.polyfit([0.0, 1, 2, 4], [[1.0, 2], [0, 3], [5, 4], [1, 1]], 2, full=True)[:2],
    "polyfit rcond": lambda xp, x: xp.polyfit([0.0, 1, 2, 4], [1.0, 2, 0, 3], 2, rcond=0.4, full=True)[0],
    "polyfit cov": lambda xp, x: xp.polyfit([0.0, 1, 2, 4, 5], [1.0, 2, 0, 3, 1], 2, cov=True),
    "polyfit unscaled": lambda xp, x: xp.polyfit([0.0, 1, 2], [[1.0], [0], [5]], 1, w=[1, 2, 3], cov="unscaled"),
    "polyfit float32": lambda xp, x: xp.polyfit(*xp.asarray([[0, 1, 2], [1, 3, 2]], dtype="f4"), 1),
    "roots": lambda xp, x: xp.sort(xp.roots([1.0, -6, 11, -6, 0])),
    "roots complex": lambda xp, x: xp.roots([1.0, 0, 1]),
    "roots of nothing": lambda xp, x: xp.roots([0.0, 0]),
    "poly": lambda xp, x: xp.poly([1.0, 2, -3]),
    "poly of a matrix": lambda xp, x: xp.poly([[1.0, 2], [3, 4]]),
    "poly of no roots": lambda xp, x: xp.asarray(xp.poly([])),
    "polyfit lengths": lambda xp, x: xp.polyfit([0.0, 1, 2], [1.0, 2], 1),
    "polyfit negative": lambda xp, x: xp.polyfit([0.0, 1, 2], [1.0, 2, 3], -1),
}  # fmt: skip


@pytest.mark.parametrize("case", POLYNOMIALS)
@pytest.mark.parametrize("array", ["1-d", "short", "ints"])
def test_polynomials(case: str, array: str) -> None:
    x = {"1-d": ARRAYS["1-d"], "short": np.array([2.0]), "ints": np.array([3, -1, 4])}[array]
    compare(POLYNOMIALS[case], x, rtol=1e-6)


GRADIENTS: dict[str, Callable[..., Any]] = {
    "median": lambda xp, x: xp.median(x, axis=1),
    "median keepdims": lambda xp, x: xp.median(x, axis=0, keepdims=True),
    "quantile": lambda xp, x: xp.quantile(x, [0.2, 0.7], axis=1),
    "quantile keepdims": lambda xp, x: xp.quantile(x, 0.4, axis=(0, 1), keepdims=True),
    "percentile": lambda xp, x: xp.percentile(x, 37.0),
    "bincount": lambda xp, x: xp.bincount([0, 2, 2, 1], weights=x[0]),
    "cov": lambda xp, x: xp.cov(x, x[::-1] * x),
    "cov weights": lambda xp, x: xp.cov(x, aweights=[0.5, 1.0, 2.0, 1.0]),
    "corrcoef": lambda xp, x: xp.corrcoef(x),
    "polyval": lambda xp, x: xp.polyval(x[0], x[1]),
    "polyfit": lambda xp, x: xp.polyfit([0.0, 1.0, 2.5, 4.0], x[0], 2),
    "polyint": lambda xp, x: xp.polyint(xp.polymul(x[0], x[1])),
}  # fmt: skip


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case: str) -> None:
    gradient(GRADIENTS[case], np.random.default_rng(0).normal(size=(3, 4)))


def test_methods_without_gradient_say_so() -> None:
    x = tn.ones(4).requires_grad_()
    with pytest.raises(ValueError, match="detach"):
        tnp.quantile(x, 0.5, method="nearest")
