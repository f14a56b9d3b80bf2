"""Differences, integrals, interpolation and convolution against NumPy: values, dtypes, exceptions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.np.comparing import compare, gradient

GENERATOR = np.random.default_rng(11)
ARRAYS = {
    "2-d": GENERATOR.normal(size=(4, 5)), "1-d": GENERATOR.normal(size=7).astype(np.float32),
    "int": GENERATOR.integers(-9, 9, size=(3, 6)), "uint8": np.array([3, 250, 7, 7, 1], np.uint8),
    "bool": np.array([True, False, False, True]), "strided": GENERATOR.normal(size=(6, 8)).T[::-1, ::2],
    "0-d": np.array(2.0), "empty": np.zeros((2, 0)), "half": np.arange(6, dtype=np.float16) ** 2,
    "nan": np.array([1.0, np.nan, np.inf, 2.0, -np.inf]),
}  # fmt: skip

CASES: dict[str, Callable[..., Any]] = {
    "diff": lambda xp, x: xp.diff(x),
    "diff twice": lambda xp, x: xp.diff(x, n=2, axis=0),
    "diff none": lambda xp, x: xp.diff(x, n=0),
    "diff many": lambda xp, x: xp.diff(x, n=9),
    "diff prepend": lambda xp, x: xp.diff(x, prepend=0),
    "diff append": lambda xp, x: xp.diff(x, axis=0, append=x),
    "diff both": lambda xp, x: xp.diff(x, prepend=1, append=[[2]]),
    "diff negative": lambda xp, x: xp.diff(x, n=-1),
    "diff wrong axis": lambda xp, x: xp.diff(x, axis=4),
    "ediff1d": lambda xp, x: xp.ediff1d(x),
    "ediff1d ends": lambda xp, x: xp.ediff1d(x, to_begin=[1, 2], to_end=3),
    "ediff1d cast": lambda xp, x: xp.ediff1d(x, to_end=1.5),
    "gradient": lambda xp, x: xp.gradient(x),
    "gradient axis": lambda xp, x: xp.gradient(x, axis=0),
    "gradient axes": lambda xp, x: xp.gradient(x, 2.0, 3, axis=(-1, 0)),
    "gradient spacing": lambda xp, x: xp.gradient(x, 0.5),
    "gradient positions": lambda xp, x: xp.gradient(x, [0.0, 1.0, 4.0, 4.5, 6.0], axis=-1),
    "gradient even": lambda xp, x: xp.gradient(x, [0, 2, 4, 6], axis=-1),
    "gradient second": lambda xp, x: xp.gradient(x, edge_order=2),
    "gradient second positions": lambda xp, x: xp.gradient(x, [0, 1, 4, 5, 8], axis=-1, edge_order=2),
    "gradient third": lambda xp, x: xp.gradient(x, edge_order=3),
    "gradient too many": lambda xp, x: xp.gradient(x, 1.0, 2.0, 3.0),
    "trapezoid": lambda xp, x: xp.trapezoid(x),
    "trapezoid dx": lambda xp, x: xp.trapezoid(x, dx=0.5, axis=0),
    "trapezoid positions": lambda xp, x: xp.trapezoid(x, x=[0.0, 1.0, 4.0, 4.5, 6.0]),
    "trapezoid own": lambda xp, x: xp.trapezoid(x, x=x * 2),
    "trapezoid axis": lambda xp, x: xp.trapezoid(x, axis=7),
    "unwrap": lambda xp, x: xp.unwrap(x * 3),
    "unwrap period": lambda xp, x: xp.unwrap(x, period=4),
    "unwrap odd": lambda xp, x: xp.unwrap(x, period=3, axis=0),
    "unwrap discont": lambda xp, x: xp.unwrap(x * 3, discont=5.0),
    "interp": lambda xp, x: xp.interp(x, [-1.0, 0.0, 2.0], [3.0, 1.0, 5.0]),
    "interp ends": lambda xp, x: xp.interp(x, [0.0, 0.5], [3.0, 1.0], left=-7, right=9),
    "interp one": lambda xp, x: xp.interp(x, [0.5], [3.0]),
    "interp period": lambda xp, x: xp.interp(x, [0.5, -0.5, 5.0], [3.0, 1.0, 2.0], period=2),
    "interp nothing": lambda xp, x: xp.interp(x, [], []),
    "interp lengths": lambda xp, x: xp.interp(x, [0, 1], [1, 2, 3]),
    "interp matrix": lambda xp, x: xp.interp(x, [[0, 1]], [[1, 2]]),
    "interp no period": lambda xp, x: xp.interp(x, [0, 1], [1, 2], period=0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("array", ARRAYS)
def test_calculus(case: str, array: str) -> None:
    compare(CASES[case], ARRAYS[array], rtol=1e-3 if array == "half" else 1e-6)


@pytest.mark.parametrize("mode", ["full", "same", "valid", 1, "middle", 5, None])
@pytest.mark.parametrize("sizes", [(7, 3), (3, 7), (4, 4), (6, 4), (4, 5), (1, 1), (40, 17)])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_sliding_products(name: str, sizes: tuple[int, int], mode: Any) -> None:
    for dtype in ("float64", "int8", "bool"):
        a, v = ((GENERATOR.normal(size=n) * 3).astype(dtype) for n in sizes)
        compare(lambda xp, a, v: getattr(xp, name)(a, v, mode=mode), a, v, rtol=1e-6)


@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_bad_sliding_products(name: str) -> None:
    compare(lambda xp, x: getattr(xp, name)(x, x), np.ones((2, 2)))
    compare(lambda xp, x: getattr(xp, name)(x, x), np.ones(0))
    compare(lambda xp, x: getattr(xp, name)(x, 2.0), np.ones(3))
    compare(lambda xp, x: getattr(xp, name)(x, [1, 2.5]), np.arange(3))


GRADIENTS: dict[str, Callable[..., Any]] = {
    "diff": lambda xp, x: xp.diff(x, n=2),
    "diff prepend": lambda xp, x: xp.diff(x, prepend=x[:, :1] * 2),
    "ediff1d": lambda xp, x: xp.ediff1d(x, to_end=1),
    "gradient": lambda xp, x: xp.gradient(x)[1],
    "gradient second": lambda xp, x: xp.gradient(x, 0.5, axis=1, edge_order=2),
    "gradient positions": lambda xp, x: xp.gradient(x, [0.0, 1.0, 3.0, 7.0], axis=1, edge_order=2),
    "trapezoid": lambda xp, x: xp.trapezoid(x, axis=0),
    "unwrap": lambda xp, x: xp.unwrap(x * 4),
    "interp": lambda xp, x: xp.interp(x, [-1.0, 0.1, 2.0], [3.0, 1.0, 5.0]),
    "interp period": lambda xp, x: xp.interp(x, [0.15, -0.5, 5.0], [3.0, 1.0, 2.0], period=2),
    "interp values": lambda xp, x: xp.interp([-9, 0.3, 0.6, 1.7, 9], [0.0, 0.5, 1.0, 2.0], x[0]),
    "convolve": lambda xp, x: xp.convolve(x[0], x[1]),
    "correlate": lambda xp, x: xp.correlate(x[0], x[1, :2], mode="same"),
}  # fmt: skip


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case: str) -> None:
    gradient(GRADIENTS[case], np.random.default_rng(0).normal(size=(3, 4)))


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_gradient_of_each_operand_of_interp(wanted: int) -> None:
    data = [np.array([-2.0, 0.3, 0.7, 1.5]), np.array([-1.0, 0.0, 1.0]), np.array([2.0, 1.0, 5.0])]

    def call(xp: Any, moved: Any) -> Any:
        arguments = [xp.asarray(one) for one in data]
        arguments[wanted] = moved
        return xp.interp(*arguments)

    gradient(call, data[wanted])


def test_gradient_by_positions() -> None:
    gradient(
        lambda xp, f, places: xp.gradient(f, places), np.array([1.0, 4.0, 2.0, 8.0]), np.array([0.0, 1.0, 3.0, 4.0])
    )


def test_recorded_and_plain_interp_agree() -> None:
    x = np.array([np.nan, -np.inf, -1.0, 0.0, 0.5, 2.0, 3.0, np.inf])
    points, values = np.array([-1.0, 0.0, 0.0, 2.0]), np.array([1.0, 3.0, 5.0, np.inf])
    from trueno import np as tnp

    recorded = tnp.interp(tn.from_numpy(x).requires_grad_(), points, values)
    np.testing.assert_array_equal(np.asarray(recorded), np.interp(x, points, values))
