"""Random programs recorded as one kernel, and random indexing, against NumPy running the same eagerly."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import trueno as tn
from tests.ops.support import LAYOUTS, numpy_function, operand
from trueno import dtypes as dt
from trueno.ir.op import Op, rows

DTYPES = (dt.float32, dt.float64, dt.int32, dt.int64, dt.uint8, dt.bool_)
#: Integers up to here are exact in float32, in any order of summation.
EXACT = 2**22


def _keeps_integers(row: Op) -> bool:
    """Whether a row maps small integers to integers, so that a program of such rows has one right answer."""
    function = numpy_function(row.name)
    if function is None:
        return False
    grid = [np.array(one, np.float64) for one in zip(*product(range(-3, 4), repeat=row.arity), strict=True)]
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(function(*grid))
    except TypeError:
        return True  # not for floats at all
    return bool(np.all(np.isfinite(result)) and np.all(result == np.round(result)))


def _public(*kinds: str) -> list[Op]:
    return [row for row in rows(*kinds) if row.public and row.name != "cast"]


ELEMENTWISE = [row.name for row in _public("elementwise") if _keeps_integers(row)]
ARITY = {row.name: row.arity for row in _public("elementwise")}
REDUCTIONS = [row.name for row in _public("reduction")] + ["argmax", "argmin", "count_nonzero"]
SCANS = [row.name for row in _public("scan") if numpy_function(row.name) is not None]
VIEWS: dict[str, tuple[Callable, Callable]] = {
    "reverse axes": (lambda x: x.permute(), np.transpose),
    "flatten": (lambda x: x.reshape(-1) if x.size else x.reshape(0), np.ravel),
    "backwards": (lambda x: x[::-1], lambda x: x[::-1]),
    "every second": (lambda x: x[..., ::2], lambda x: x[..., ::2]),
    "first row": (lambda x: x[:1], lambda x: x[:1]),
    "new axis": (lambda x: x[:, None], lambda x: x[:, None]),
    "twice": (lambda x: tn.concatenate([x, x[::-1]]), lambda x: np.concatenate([x, x[::-1]])),
}

#: One step: how it is done on tensors or nodes and in NumPy, each from the list of values so far.
Step = tuple[Callable[[list], Any], Callable[[list], Any]]


def existing(axis: int | None, x: np.ndarray) -> int | None:
    """Return the axis; NumPy alone takes axis 0 of an array that has none."""
    if axis is not None and x.ndim == 0:
        raise np.exceptions.AxisError(axis, 0)
    return axis


@st.composite
def steps(draw: st.DrawFn, count: int) -> Step:
    """Draw one step on some of the first `count` values."""
    pick = st.integers(0, count - 1)
    kind = draw(
        st.sampled_from(["elementwise"] * 4 + ["scalar", "reduction", "reduction", "scan", "view", "matmul", "where"])
    )
    if kind in ("elementwise", "where", "scalar"):
        name = "where" if kind == "where" else draw(st.sampled_from(ELEMENTWISE))
        chosen: list[Any] = [draw(pick) for _ in range(ARITY[name])]
        own, numpys = getattr(tn, name), numpy_function(name)
        assert numpys is not None
        if kind == "scalar" and ARITY[name] == 2:
            number = draw(st.sampled_from([2, -1, 3.0, True]))
            first = draw(st.booleans())
            order = (lambda v: (number, v[chosen[0]])) if first else (lambda v: (v[chosen[0]], number))
            return lambda v: own(*order(v)), lambda v: numpys(*order(v))
        return lambda v: own(*(v[k] for k in chosen)), lambda v: numpys(*(v[k] for k in chosen))
    one = draw(pick)
    axis = draw(st.sampled_from([None, 0, -1]))
    if kind == "reduction":
        name, keep = draw(st.sampled_from(REDUCTIONS)), draw(st.booleans())
        own, numpys = getattr(tn, name), numpy_function(name)
        assert numpys is not None
        return (
            lambda v: own(v[one], axis=axis, keepdims=keep),
            lambda v: numpys(v[one], axis=existing(axis, v[one]), keepdims=keep),
        )
    if kind == "scan":
        name = draw(st.sampled_from(SCANS))
        own, numpys = getattr(tn, name), numpy_function(name)
        assert numpys is not None
        return lambda v: own(v[one], axis=axis), lambda v: numpys(v[one], axis=existing(axis, v[one]))
    if kind == "view":
        own, numpys = VIEWS[draw(st.sampled_from(sorted(VIEWS)))]
        return lambda v: own(v[one]), lambda v: numpys(v[one])
    other = draw(pick)
    return lambda v: tn.matmul(v[one], v[other]), lambda v: np.matmul(v[one], v[other])


def suitable(value: np.ndarray) -> bool:
    """Whether NumPy's value is one that Trueno has to reproduce to the bit."""
    if value.dtype not in DTYPES or value.size > 5000:
        return False
    return value.dtype.kind != "f" or bool(np.all(np.abs(value) < EXACT) and np.all(value == np.round(value)))


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[np.ndarray], list[Step], list[np.ndarray]]:
    """Draw operands, steps that NumPy can do on them, and NumPy's values."""
    base = draw(arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7))
    if draw(st.integers(0, 9)) == 0:
        base = (0, *base[1:])
    given_arrays = []
    for position in range(draw(st.integers(1, 3))):
        shape = tuple(draw(st.sampled_from([n, n, 1])) for n in base)[draw(st.integers(0, len(base) - 1)) :]
        layout = draw(st.sampled_from([name for name in LAYOUTS if name != "empty"]))
        given_arrays.append(operand(draw(st.sampled_from(DTYPES)), (-3, 3), layout, shape, position))
        if given_arrays[-1].dtype.kind == "f":
            given_arrays[-1][...] = np.round(given_arrays[-1])
    values, taken = list(given_arrays), []
    for _ in range(draw(st.integers(2, 7))):
        step = draw(steps(len(values)))
        try:
            with np.errstate(all="ignore"):
                value = np.asarray(step[1](values))
        except (TypeError, ValueError, IndexError, OverflowError):
            continue  # NumPy refuses it too: shapes that do not match, an empty maximum, bits of floats
        if suitable(value):
            values.append(value)
            taken.append(step)
    return given_arrays, taken, values


def check(program: tuple[list[np.ndarray], list[Step], list[np.ndarray]]) -> None:
    given_arrays, taken, values = program
    if not taken:
        return
    outputs = sorted({len(values) - 1, len(values) // 2, len(given_arrays)})

    def record(*operands: Any) -> tuple:
        made = list(operands)
        for own, _ in taken:
            made.append(own(made))
        return tuple(made[k] for k in outputs)

    results = tn.kernel(record, name="program")(*(tn.from_numpy(one) for one in given_arrays))
    results = results if isinstance(results, tuple) else (results,)
    for k, got in zip(outputs, results, strict=True):
        want = values[k]
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        assert np.array_equal(got.numpy(), want), f"value {k}: {got.numpy()} instead of {want}"


QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None,
                 suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
LONG = settings(QUICK, max_examples=1000, derandomize=False)


@QUICK
@given(programs())
def test_programs(program: tuple) -> None:
    check(program)


@pytest.mark.matrix
@LONG
@given(programs())
def test_many_programs(program: tuple) -> None:
    check(program)


# --- indexing ---------------------------------------------------------------------------------------------------------


@st.composite
def indexings(draw: st.DrawFn) -> tuple[np.ndarray, Any]:
    """Draw an array of some layout and a basic index of it."""
    shape = draw(arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    layout = draw(st.sampled_from(["contiguous", "transposed", "sliced", "backwards"]))
    x = operand(draw(st.sampled_from(DTYPES)), (0, 9), layout, shape)
    return x, draw(arrays_of.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))


def check_indexing(case: tuple[np.ndarray, Any]) -> None:
    x, index = case
    view = x[index]
    want = np.asarray(view)
    got = tn.from_numpy(x)[index]
    assert got.shape == want.shape
    assert np.array_equal(got.numpy(), want)
    # A view: what is written to it is read through the array.
    shared = isinstance(view, np.ndarray) and want.size > 0
    assert not shared or got.data_ptr() == want.__array_interface__["data"][0]
    value = operand(x.dtype, (0, 9), "transposed", want.shape, seed=1)
    changed, own = x.copy(), tn.from_numpy(x.copy())
    changed[index] = value
    own[index] = tn.from_numpy(np.asarray(value))
    assert np.array_equal(own.numpy(), changed)
    changed[index] = 1
    own[index] = 1
    assert np.array_equal(own.numpy(), changed)


@settings(QUICK, max_examples=150)
@given(indexings())
def test_basic_indexing(case: tuple) -> None:
    check_indexing(case)


@pytest.mark.matrix
@settings(LONG, max_examples=2000)
@given(indexings())
def test_much_basic_indexing(case: tuple) -> None:
    check_indexing(case)


@settings(QUICK, max_examples=100)
@given(st.data())
def test_indices_that_are_refused(data: st.DataObject) -> None:
    """Indices out of bounds, or too many, are the error that NumPy raises."""
    x = np.zeros(data.draw(arrays_of.array_shapes(min_dims=1, max_dims=3, max_side=4)))
    item = st.one_of(st.integers(-6, 6), st.just(slice(None)), st.just(Ellipsis), st.none())
    index = tuple(data.draw(st.lists(item, max_size=4)))
    try:
        operator.getitem(x, index)
    except IndexError:
        with pytest.raises(IndexError):
            operator.getitem(tn.from_numpy(x), index)
    else:
        assert operator.getitem(tn.from_numpy(x), index).shape == operator.getitem(x, index).shape
