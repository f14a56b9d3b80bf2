"""Every reduction and scan, rows and composites alike, over all axes, layouts and lengths, against NumPy."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import combinations, cycle
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import LAYOUTS, LEVELS, available, close, numpy_function, operand, run, trace
from trueno import dtypes as dt
from trueno.codegen.stage import SHORT_ROW
from trueno.ir import build
from trueno.ir.composites import COMPOSITES
from trueno.ir.interp import evaluate
from trueno.ir.node import recording
from trueno.ir.op import Op, rows

#: NumPy's name for what it calls otherwise.
ELSEWHERE = {
    "norm": lambda x, axis=None, keepdims=False: np.linalg.vector_norm(x, axis=axis, keepdims=keepdims),
    "cummax": lambda x, axis=None: np.maximum.accumulate(x.ravel() if axis is None else x, axis=axis or 0),
    "cummin": lambda x, axis=None: np.minimum.accumulate(x.ravel() if axis is None else x, axis=axis or 0),
    "logsumexp": lambda x, axis=None, keepdims=False: np.logaddexp.reduce(
        x.astype(np.float64), axis=tuple(range(x.ndim)) if axis is None else axis, keepdims=keepdims
    ),
}


def _takes(function: Callable, parameter: str) -> bool:
    return parameter in inspect.signature(function).parameters


REDUCTIONS: dict[str, Callable] = {
    **{row.name: row for row in rows("reduction") if row.public},
    **{one.__name__: one for one in COMPOSITES if _takes(one, "keepdims")},
}
SCANS = {row.name: row for row in rows("scan") if row.public}
SHAPE = (3, 4, 5)


#: Results of one kernel; more would make its stages too long.
PACKED = 16


def batched(cases: Sequence, count: int) -> list[Sequence]:
    """Return the cases in groups."""
    return [cases[k : k + count] for k in range(0, len(cases), count)]


def oracle(name: str) -> Callable:
    """Return NumPy's function, computing floats in float64 as the reference for all of them."""
    function = ELSEWHERE.get(name) or numpy_function(name)
    assert function is not None, f"NumPy has no {name}"
    return function


def reference(name: str, x: np.ndarray, **static: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the result computed in float64, in NumPy's dtype, and the size that its error is relative to."""
    with np.errstate(all="ignore"):
        function = oracle(name)
        floating = dt.is_floating(x.dtype)
        exact = np.asarray(function(x.astype(np.float64) if floating else x, **static))
        size = np.asarray(function(np.abs(x.astype(np.float64)), **static), np.float64)
        if name in ("var", "std"):
            # Of equal elements both are 0, found by subtracting numbers of the elements' size.
            power = np.mean(np.square(x.astype(np.float64)), **static)
            size = np.maximum(size, power if name == "var" else np.sqrt(power))
        dtype = exact.dtype
        if floating and dtype == np.float64:
            dtype = x.dtype
        return exact.astype(dtype), np.maximum(np.abs(exact.astype(np.float64)), np.abs(size))


def axes_of(name: str, ndim: int, every: bool) -> list[Any]:
    """Return subsets of the axes (some, unless every one is wanted); None alone where only one axis is taken."""
    if not every:
        return [None, 0, ndim - 1]
    if name in SCANS or name in ("argmax", "argmin"):
        return [None, *range(ndim)]
    return [axes for count in range(ndim + 1) for axes in combinations(range(ndim), count)]


def defined(name: str, dtype: np.dtype) -> bool:
    """Whether NumPy's function takes the dtype."""
    try:
        oracle(name)(np.ones(2, np.float64 if dtype == dt.bfloat16 else dtype))
    except TypeError:
        return False
    return True


def check_all(
    x: np.ndarray, level: str, cases: list[tuple[str, dict[str, Any]]], what: str, rtol: float | None = None
) -> None:
    """Run reductions and scans of one array, some per kernel, and compare each with the interpreter and with NumPy."""
    for few in batched(cases, PACKED):
        _check_packed(x, level, few, what, rtol)


def _check_packed(
    x: np.ndarray, level: str, cases: Sequence[tuple[str, dict[str, Any]]], what: str, rtol: float | None
) -> None:
    kernel = trace(lambda a: tuple((REDUCTIONS | SCANS)[name](a, **static) for name, static in cases), [x])
    interpreted = evaluate(kernel, x)
    for (name, static), got, meant in zip(cases, run(kernel, [x], level), interpreted, strict=True):
        want, size = reference(name, x, **static)
        label = f"{name} {static} {x.dtype} {what} {level}"
        close(got, want, label, rtol, size)
        # NumPy adds up long columns one after the other, in the array's own precision.
        if x.shape == SHAPE:
            close(meant, want, f"interpreter of {label}", rtol, size)


SELECTION = {
    *((dtype, LEVELS[k % len(LEVELS)], list(LAYOUTS)[k % 5]) for k, dtype in enumerate(dt.ALL)),
    *((dt.float32, level, layout) for level, layout in zip(cycle(LEVELS), LAYOUTS)),
}


@pytest.mark.parametrize(
    ("dtype", "level", "layout"),
    [
        pytest.param(*case, id="-".join(map(str, case)), marks=() if case in SELECTION else pytest.mark.matrix)
        for case in [(dtype, level, layout) for dtype in dt.ALL for level in LEVELS for layout in LAYOUTS]
        if case[2] != "empty"
    ],
)
def test_axes(dtype: np.dtype, level: str, layout: str) -> None:
    if not available(level):
        pytest.skip(f"this CPU lacks {level}")
    x = operand(dtype, (-2, 2), layout, SHAPE)
    cases: list[tuple[str, dict[str, Any]]] = [
        (name, {"axis": axis} | ({"keepdims": bool(k % 2)} if name in REDUCTIONS else {}))
        for name in (*REDUCTIONS, *SCANS)
        if defined(name, dtype)
        for k, axis in enumerate(axes_of(name, x.ndim, dtype == dt.float32))
    ]
    check_all(x, level, cases, layout)


@pytest.mark.parametrize("name", [*REDUCTIONS, *SCANS])
def test_spellings_of_axes(name: str) -> None:
    """Axes counted from the end, in any order, or all of them by None are the same kernel; so is PyTorch's dim."""
    function, x = (REDUCTIONS | SCANS)[name], build.array(0, dt.float32, SHAPE)
    with recording():
        for axis in range(3):
            assert function(x, axis=axis) is function(x, axis=axis - 3)
        if name in REDUCTIONS:
            kept = function(x, axis=1, keepdims=True)
            assert kept.shape == (3, 1, 5)
            assert build.reshape(kept, shape=(3, 5)).shape == function(x, axis=1).shape
        if name in REDUCTIONS and not name.startswith("arg"):
            assert function(x, axis=(2, -3)) is function(x, axis=(0, 2))
            assert function(x, axis=None) is function(x, axis=(0, 1, 2)) is function(x)
    array = tn.from_numpy(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3))
    call = getattr(tn, name)
    assert np.array_equal(call(array, dim=1).numpy(), call(array, axis=1).numpy())


def attempt(call: Callable) -> Any:
    try:
        with np.errstate(all="ignore"):
            return np.asarray(call())
    except ValueError as error:
        return type(error)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [*REDUCTIONS, *SCANS])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)], ids=str)
def test_empty(name: str, shape: tuple[int, ...]) -> None:
    """Reductions of nothing give the neutral element or NaN, or are refused, as in NumPy."""
    x = np.ones(shape, np.float32)
    for axis in (None, *range(len(shape))):
        want = attempt(lambda axis=axis: reference(name, x, axis=axis)[0])
        got = attempt(lambda axis=axis: getattr(tn, name)(tn.from_numpy(x), axis=axis))
        if isinstance(want, type) or isinstance(got, type):
            assert isinstance(want, type), f"{name} {shape} axis {axis}: {got}, NumPy gives {want}"
            assert isinstance(got, type), f"{name} {shape} axis {axis}: {got}, NumPy raises {want}"
        else:
            close(got, want, f"{name} {shape} axis {axis}")


def test_what_follows_a_sum_of_nothing_is_computed() -> None:
    """What is added behind the sum is no element of the loop that has none."""
    x, y = tn.zeros(3, 0), tn.zeros(4, 0)
    b = np.arange(1, 5, dtype=np.float32)

    @tn.kernel
    def follows(x: Any, y: Any, b: Any) -> Any:
        return tn.matmul(x, tn.permute(y)) + b, tn.sum(x, axis=1, keepdims=True) + b

    for _ in range(3):
        stale = [tn.full((3, 4), 7.0), tn.full((3, 4), 7.0)]
        del stale  # memory that results find when nothing is written there
        for one in follows(x, y, tn.from_numpy(b)):
            close(one.numpy(), np.broadcast_to(b, (3, 4)), "a sum of nothing and what is added to it")


@pytest.mark.parametrize("name", [*REDUCTIONS, *SCANS])
def test_bad_axes(name: str) -> None:
    x = tn.from_numpy(np.ones((2, 3), np.float32))
    with pytest.raises(np.exceptions.AxisError, match=rf"{name}.*axis 2 .*\(2, 3\)"):
        getattr(tn, name)(x, axis=2)
    with pytest.raises(np.exceptions.AxisError, match="axis -3"):
        getattr(tn, name)(x, axis=-3)
    if name in REDUCTIONS and not name.startswith("arg"):
        with pytest.raises(ValueError, match="repeated axis"):
            getattr(tn, name)(x, axis=(0, 0))


# --- long rows, tall columns ------------------------------------------------------------------------------------------

LONG = {
    "row": ((70001,), [None, 0]),
    "rows": ((3, 70001), [None, 0, 1]),
    "columns": ((70001, 3), [None, 0, 1]),
    "wide columns": ((700, 301), [None, 0, 1]),
    "middle": ((2, 40000, 3), [None, 1, (0, 1), (1, 2)]),
}


def long_operand(dtype: np.dtype, layout: str, shape: tuple[int, ...], near_one: bool) -> np.ndarray:
    if not dt.is_floating(dtype):
        return operand(dtype, (-1, 1) if near_one else (-9, 9), layout, shape)
    return operand(dtype, (0.9999, 1.0001) if near_one else (-2, 2), layout, shape)


@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        (dt.float32, "contiguous"),
        *(pytest.param(dtype, layout, marks=pytest.mark.matrix)
          for dtype in (dt.float32, dt.float64, dt.float16, dt.int64, dt.uint8, dt.bool_)
          for layout in ("contiguous", "transposed", "sliced", "backwards")
          if (dtype, layout) != (dt.float32, "contiguous")),
    ],
)  # fmt: skip
def test_long(shape: str, dtype: np.dtype, layout: str) -> None:
    """Reductions that are split into blocks."""
    extents, axes = LONG[shape]
    for near_one in (False, True):
        cases: list[tuple[str, dict[str, Any]]] = [
            (name, {"axis": axis})
            for name in (*REDUCTIONS, *SCANS)
            if name.endswith("prod") == near_one and defined(name, dtype)
            for axis in axes
            if not (isinstance(axis, tuple) and (name.startswith("arg") or name in SCANS))
        ]
        # A product of n factors is rounded n times.
        rtol = 70001 * 1.2e-7 if near_one and dtype == dt.float32 else None
        check_all(long_operand(dtype, layout, extents, near_one), "native", cases, f"{layout} {shape}", rtol)


# --- ties and NaN -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64, dt.int8, dt.uint64, dt.bool_], ids=str)
def test_ties_and_nan(dtype: np.dtype) -> None:
    """The first extreme counts, and NaN is one."""
    x = operand(dtype, (-1, 1), "contiguous", (6, 50))
    if dt.is_floating(dtype):
        x = np.round(x)
        x[1, 7] = x[1, 3] = np.nan
        x[2] = np.nan
        x[3] = -np.inf
        x[4, 5] = np.inf
        x[5] = -0.0
        x[5, 10:] = 0.0
    names = [name for name in REDUCTIONS if isinstance(REDUCTIONS[name], Op) or name.startswith("arg")]
    kernel = trace(lambda a: tuple(REDUCTIONS[name](a, axis=axis) for name in names for axis in (None, 0, 1)), [x])
    results = iter(run(kernel, [x], "native"))
    for name in names:
        for axis in (None, 0, 1):
            with np.errstate(all="ignore"):
                want = np.asarray(oracle(name)(x, axis=axis))
            close(next(results), want, f"{name} axis {axis} {dtype}")


# --- accuracy and reproducibility -------------------------------------------------------------------------------------


@pytest.mark.unchecked
@pytest.mark.parametrize("interval", [(0, 1), (-1, 1), (-1, 1000)], ids=str)
@pytest.mark.parametrize("shape", [(1_000_000,), (1000, 1000), (100, 10_000)], ids=str)
def test_sums_are_at_least_as_accurate_as_pairwise(interval: tuple[float, float], shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).uniform(*interval, shape).astype(np.float32)
    kernel = trace(lambda a: tuple(tn.sum(a, axis=axis) for axis in (None, *range(len(shape)))), [x])
    for axis, got in zip((None, *range(len(shape))), run(kernel, [x], "native"), strict=True):
        lines = [x.ravel()] if axis is None else np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
        exact = np.array([math.fsum(line) for line in lines])
        own = np.abs(got.astype(np.float64).ravel() - exact)
        pairwise = np.abs(np.sum(x, axis=axis).astype(np.float64).ravel() - exact)
        if len(lines) == 1:
            assert own[0] <= max(pairwise[0], np.spacing(np.float32(abs(exact[0]))) / 2)
        else:
            assert np.sqrt(np.mean(own**2)) <= np.sqrt(np.mean(pairwise**2))


def _samples(dtype: np.dtype, count: int, length: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(length)
    signs = generator.choice([-1.0, 1.0], (count, length))
    return {
        "uniform": generator.random((count, length)).astype(dtype),
        "normal": generator.normal(size=(count, length)).astype(dtype),
        "badly scaled": (signs * 10.0 ** generator.uniform(-6, 6, (count, length))).astype(dtype),
    }


@pytest.mark.unchecked
@pytest.mark.parametrize("length", [8, 9, 16, 31, 40, 64, 100, 129, 200, 256, 1000, 1024, 2048, 5000, 100_000])
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
def test_errors_of_sums_over_many_rows_and_columns(dtype: np.dtype, length: int) -> None:
    """The root mean square of the errors is no larger than that of pairwise sums, whatever the length."""
    count = max(min(2000, 400_000 // length), 24)
    # The error of a correctly rounded sum hides in long double; where a vector is a block, pairwise sums do the same.
    allowed = 1.0 if dtype == dt.float32 else 1.06
    allowed_along = 1.06 if length <= SHORT_ROW else allowed
    for kind, x in _samples(dtype, count, length).items():
        exact = np.sum(x.astype(np.longdouble), axis=1)

        def error(got: np.ndarray, exact: np.ndarray = exact) -> float:
            return float(np.sqrt(np.mean((got.astype(np.longdouble) - exact) ** 2)))

        pairwise = error(np.sum(x, axis=1))
        rows = error(run(trace(lambda a: tn.sum(a, axis=1), [x]), [x], "native")[0])
        down = np.ascontiguousarray(x.T)
        columns = error(run(trace(lambda a: tn.sum(a, axis=0), [down]), [down], "native")[0])
        assert rows <= allowed_along * pairwise, f"rows of {length}, {kind}: {rows / pairwise:.3f}"
        assert columns <= allowed * pairwise, f"columns of {length}, {kind}: {columns / pairwise:.3f}"


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64, dt.int32, dt.uint8], ids=str)
@pytest.mark.parametrize(
    "shape", [(1023,), (1025,), (5000,), (200_001,), (3, 70_001), (7, 10), (5, 100), (4, 256), (4, 257)], ids=str
)
def test_the_first_extreme_is_found_whatever_block_it_is_in(dtype: np.dtype, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(5)
    x = generator.integers(1, 100, shape).astype(dtype)
    last = shape[-1] - 1
    for places in ([0], [last], [last // 2, last], [min(1023, last), min(1024, last)], [last - 1, 3]):
        for value, name in ((120, "argmax"), (0, "argmin")):
            marked = x.copy()
            marked[..., places] = value
            want = getattr(np, name)(marked, axis=-1)
            assert np.array_equal(getattr(tn, name)(tn.from_numpy(marked), axis=-1).numpy(), want), (name, places)
        if dt.is_floating(dtype):
            marked = x.copy()
            marked[..., places] = np.nan
            for name in ("argmax", "argmin"):
                want = getattr(np, name)(marked, axis=-1)
                assert np.array_equal(getattr(tn, name)(tn.from_numpy(marked), axis=-1).numpy(), want), (name, places)


@pytest.mark.parametrize("extreme", [-np.inf, np.inf])
def test_argmax_of_equal_infinities_is_the_first(extreme: float) -> None:
    x = tn.from_numpy(np.full(5000, extreme, np.float32))
    assert tn.argmax(x).item() == tn.argmin(x).item() == 0


def test_a_sum_keeps_infinities_and_nan() -> None:
    for dtype in (np.float32, np.float64):
        for length in (3, 50, 1000, 200_000):
            x = np.ones((2, length), dtype)
            x[0, length // 2], x[1, 0] = np.inf, np.nan
            for got in (tn.sum(tn.from_numpy(x), 1), tn.sum(tn.from_numpy(np.ascontiguousarray(x.T)), 0)):
                assert np.isposinf(got.numpy()[0]) and np.isnan(got.numpy()[1])


def test_bits_do_not_depend_on_threads_or_run() -> None:
    arrays = [
        np.random.default_rng(2).uniform(0.99, 1.01, shape).astype(np.float32)
        for shape in ((300_000,), (1000, 300), (7, 50_000), (3000, 40))
    ]
    names = [name for name in (*REDUCTIONS, *SCANS)]
    before = tn.get_num_threads()
    try:
        for x in arrays:
            for few in batched(names, PACKED // 2):
                kernel = trace(
                    lambda a, few=few: tuple((REDUCTIONS | SCANS)[n](a, axis=k) for n in few for k in range(a.ndim)),
                    [x],
                )
                seen = []
                for threads in (1, 2, 3, 2):
                    tn.set_num_threads(threads)
                    seen.append([one.tobytes() for one in run(kernel, [x], "native")])
                for position, bits in enumerate(seen[0]):
                    assert all(bits == other[position] for other in seen[1:]), few[position // x.ndim]
    finally:
        tn.set_num_threads(before)
