"""The order of complex numbers, the neighbours of halves, and reductions of arrays without axes: NumPy's."""

from __future__ import annotations

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp
from tests.np.comparing import compare, gradient, outcome

_PARTS = (0.0, 1.0, -2.0, np.nan, np.inf, -np.inf)
_POINTS = np.array([complex(a, b) for a, b in product(_PARTS, _PARTS)])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    "name", ["less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "fmax", "fmin"]
)
def test_complex_numbers_are_ordered_by_the_real_part_then_by_the_other(name: str, dtype: str) -> None:
    points = _POINTS.astype(dtype)
    compare(lambda xp, a, b: getattr(xp, name)(a, b), points[:, None], points)
    compare(lambda xp, a, b: getattr(xp, name)(a, b), points, np.arange(-2.0, 34.0, dtype="f4"))


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "ptp"])
def test_extremes_of_complex_numbers(name: str) -> None:
    for seed in range(5):
        x = np.random.default_rng(seed).integers(-2, 3, size=(3, 5, 2)) @ np.array([1, 1j])
        for axis in (None, 0, 1):
            compare(lambda xp, x, axis=axis: getattr(xp, name)(x, axis=axis), x)


def test_clip_of_complex_numbers() -> None:
    x = np.array([1 + 1j, -3j, 2.0])
    compare(lambda xp, x: xp.clip(x, 0, 1 + 2j), x)
    compare(lambda xp, x: xp.clip(x, None, 1j), x)
    assert (tn.tensor([1j, 2.0]) == 2).tolist() == [False, True]


def _bits(value: Any) -> np.ndarray:
    """Return the bits of halves, with one pattern for all NaNs."""
    array = np.asarray(value)
    return np.where(np.isnan(array), -1, array.view("i2").astype(np.int64))


@pytest.mark.parametrize("dtype", [np.dtype("f2"), np.dtype(ml_dtypes.bfloat16)], ids=str)
def test_every_half_has_its_neighbours(dtype: np.dtype) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    given = tn.from_numpy(halves.copy())
    for towards in (0.0, -0.0, 1.0, np.inf, -np.inf, np.nan):
        other = np.asarray(towards, dtype)
        with np.errstate(all="ignore"):
            expected = np.nextafter(halves, other)
        np.testing.assert_array_equal(_bits(tnp.nextafter(given, tn.from_numpy(other))), _bits(expected))


def test_spacing_of_every_half() -> None:
    # Of negative halves NumPy gives the distance to the next one above, of other floats to the next one below.
    halves = np.arange(1 << 15, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        expected = np.spacing(halves)
    np.testing.assert_array_equal(_bits(tnp.spacing(tn.from_numpy(halves))), _bits(expected))
    np.testing.assert_array_equal(_bits(tnp.spacing(tn.from_numpy(-halves[1:]))), _bits(-expected[1:]))


def test_neighbours_of_halves_have_a_gradient() -> None:
    x = tn.tensor([1.0, -2.0], dtype="float16").requires_grad_()
    tnp.nextafter(x, tn.tensor([3.0, 3.0], dtype="float16")).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "name", ["sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "count_nonzero", "cumsum", "cumprod"]
)
@pytest.mark.parametrize("axis", [0, -1, 1, (), (0,)], ids=str)
def test_axes_of_arrays_without_axes(name: str, axis: Any) -> None:
    if name[:3] not in ("arg", "cum"):
        compare(lambda xp, x: getattr(xp, name)(x, axis=axis), np.array(2.0))
    if isinstance(axis, int):
        ours = outcome(lambda: getattr(tn, name)(tn.tensor(2.0), axis=axis))
        theirs = outcome(lambda: getattr(np, name)(np.array(2.0), axis=axis))
        assert type(ours) is type(theirs) if axis == 1 else ours.shape == np.shape(theirs)


def test_polynomials_have_gradients_by_points_values_and_weights() -> None:
    x, y, w = np.array([0.0, 1.0, 2.5, 4.0]), np.array([1.0, 3.0, -1.0, 2.0]), np.array([1.0, 2.0, 0.5, 1.0])
    gradient(lambda xp, x, y, w: xp.polyfit(x, y, 2, w=w), x, y, w)
