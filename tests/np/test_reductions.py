"""Reductions and running sums of trueno.np against NumPy's: every argument, dtype and kind of bad input."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import trueno
from tests.np.support import as_tensors, check, outcome, same, same_error
from tests.ops.support import values
from trueno import dtypes as dt
from trueno import np
from trueno.np import reductions

DTYPES = [one for one in dt.ALL if one != dt.bfloat16]
SHAPE = (3, 4, 2)
MASK = numpy.random.default_rng(1).integers(0, 2, SHAPE).astype(bool)
MASK[0, 0] = True
NAN = [name for name in reductions.__all__ if name.startswith("nan")]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def takes(name: str, parameter: str) -> bool:
    return parameter in inspect.signature(getattr(np, name)).parameters


def forms(name: str, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the combinations of arguments that a function takes, wrong ones among them."""
    made: list[dict[str, Any]] = [{}, {"axis": 0}, {"axis": -1}, {"axis": 3}, {"axis": 1.5}]
    if takes(name, "keepdims"):
        made += [{"keepdims": True}, {"axis": 1, "keepdims": True}]
    if not name.endswith(("argmax", "argmin")) and "cum" not in name:
        made += [{"axis": (0, 2)}, {"axis": (1, 1)}, {"axis": ()}]
    if takes(name, "dtype"):
        made += [{"dtype": dt.float64, "axis": 0}, {"dtype": dt.float32, "axis": 0}]
    if takes(name, "dtype") and not name.endswith("var"):
        # The variance of integers in an integer dtype is computed around a mean that is cut off, in NumPy.
        made += [{"dtype": dt.int64, "axis": 1}]
    if takes(name, "where"):
        made += [{"where": MASK}, {"axis": 1, "where": MASK[:1]}, {"axis": (0, 1), "where": MASK, "keepdims": True}]
    if takes(name, "initial"):
        made += [{"initial": 2}, {"axis": 0, "initial": 1}, {"axis": 2, "initial": 1, "where": MASK}]
    if takes(name, "ddof"):
        made += [{"ddof": 1, "axis": 0}, {"correction": 1}, {"ddof": 1, "correction": 2}, {"ddof": 5, "axis": 0}]
    if takes(name, "include_initial"):
        made += [{"axis": 1, "include_initial": True}]
    return made


def agree(name: str, x: numpy.ndarray, form: dict[str, Any]) -> None:
    ours, theirs = getattr(np, name), getattr(numpy, name)
    want, error = outcome(lambda: theirs(x, **form))
    call = lambda: ours(as_tensors(x), **{k: as_tensors(v) for k, v in form.items()})  # noqa: E731
    what = f"{name}({x.dtype} {x.shape}, {form})"
    if error is not None:
        same_error(call, lambda: theirs(x, **form), what)
        return
    # Sums of halves and of float32 are rounded once here, in NumPy after each step.
    rtol = {dt.float16: 4e-3, dt.float32: 1e-5, dt.float64: 1e-13}.get(x.dtype)
    if form.get("dtype") == dt.float32 and x.dtype != dt.float16:
        rtol = 1e-5
    same(call(), want, what, rtol=rtol)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [one for one in reductions.__all__ if one not in ("average", "amax", "amin")])
def test_all_forms(name: str, dtype: numpy.dtype) -> None:
    x = values(dtype, SHAPE, (0.5, 3), name)
    if name in NAN and dt.is_floating(dtype):
        x[1, 2] = x[0, 3, 1] = numpy.nan
    chosen = forms(name, SHAPE) if dtype in (dt.float64, dt.int32, dt.bool_) else forms(name, SHAPE)[:3]
    for form in chosen:
        agree(name, x, form)


@pytest.mark.parametrize("name", [one for one in reductions.__all__ if one != "average"])
def test_empty_and_0d(name: str) -> None:
    for shape in ((0,), (0, 3), (3, 0), ()):
        for dtype in (dt.float64, dt.int64):
            for form in ({}, {"axis": 0}, {"axis": -1}):
                if takes(name, "ddof") and 0 in shape and dtype == dt.int64:
                    continue
                agree(name, numpy.ones(shape, dtype), form)


@pytest.mark.parametrize("name", [one for one in reductions.__all__ if takes(one, "out")])
def test_out(name: str) -> None:
    x = values(dt.float64, (3, 4), (0.5, 3), name)
    for dtype in (dt.float64, dt.float32, dt.int64):
        shape = (3, 4) if "cum" in name else (4,)
        theirs = numpy.zeros(shape, dtype)
        _, error = outcome(lambda theirs=theirs: getattr(numpy, name)(x, axis=0, out=theirs))
        for mine in (trueno.zeros(shape, dtype=dtype), numpy.zeros(shape, dtype)):
            call = lambda mine=mine: getattr(np, name)(as_tensors(x), axis=0, out=mine)  # noqa: E731
            if error is not None:
                assert outcome(call)[1] is not None
                continue
            assert call() is mine
            numpy.testing.assert_allclose(numpy.asarray(mine), theirs, rtol=1e-6)
    same_error(
        lambda: getattr(np, name)(x, axis=0, out=numpy.zeros(7)),
        lambda: getattr(numpy, name)(x, axis=0, out=numpy.zeros(7)),
    )


@pytest.mark.parametrize("name", NAN)
def test_rows_of_nans(name: str) -> None:
    x = numpy.array([[numpy.nan, numpy.nan, numpy.nan], [1.0, numpy.nan, 3.0], [numpy.inf, 2.0, -numpy.inf]])
    for form in ({"axis": 0}, {"axis": 1}, {}):
        agree(name, x, form)
    agree(name, x[1:], {"axis": 1})


def test_average() -> None:
    x = numpy.arange(6.0).reshape(2, 3)
    for args, kwargs in (
        ((x,), {}), ((x, 0), {}), ((x, 1), {"weights": [1, 2, 3]}), ((x,), {"weights": x}), ((x,), {"weights": [1, 2]}),
        ((x, 0), {"weights": [1, 2, 3]}), ((x, 1), {"weights": [1, -1, 0]}), ((x, 1), {"returned": True}),
        ((x, 1), {"weights": [1.5, 2, 3], "returned": True, "keepdims": True}), (([1, 2, 3],), {"weights": [1, 1, 2]}),
        ((numpy.arange(3, dtype="f4"),), {"weights": numpy.ones(3, "f4")}), ((x, 2), {"weights": [1, 2, 3]}),
        ((x, (0, 1)), {"weights": x}), ((x, (1, 0)), {"weights": x.T}),
    ):  # fmt: skip
        check("average", *args, **kwargs)


def test_a_known_mean() -> None:
    x = values(dt.float64, (3, 4), (0.5, 3))
    mean = x.mean(1, keepdims=True)
    same(np.var(x, 1, mean=mean), numpy.var(x, 1, mean=mean))
    same(np.std(x, 1, mean=mean, ddof=1, keepdims=True), numpy.std(x, 1, mean=mean, ddof=1, keepdims=True))


@pytest.mark.parametrize("name", ["sum", "prod", "max", "mean", "var", "std"])
def test_gradients(name: str) -> None:
    x = trueno.tensor([[0.5, 1.5, -1.0], [2.0, 0.25, 3.0]], dtype="float64", requires_grad=True)
    mask = numpy.array([[True, False, True], [True, True, False]])
    form = {"initial": 0.1} if name == "max" else {}
    assert trueno.gradcheck(lambda a: getattr(np, name)(a, axis=1, where=mask, **form), (x,))
    holed = x.detach().clone()
    holed[0, 1] = numpy.nan
    holed.requires_grad_()
    getattr(np, f"nan{name}")(holed, axis=1).sum().backward()
    assert holed.grad is not None and numpy.isfinite(holed.grad.numpy()).all() and holed.grad[0, 1].item() == 0


def test_running_extremes() -> None:
    x = trueno.tensor([1.0, 3.0, 2.0, 3.0, 5.0, 4.0], dtype="float64", requires_grad=True)
    same(np.maximum.accumulate(x.detach()), numpy.maximum.accumulate(x.detach().numpy()))
    (np.maximum.accumulate(x) * trueno.tensor([1.0, 2, 3, 4, 5, 6], dtype="float64")).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 5, 0, 4, 11, 0]


@pytest.mark.parametrize("dtype", [dt.int8, dt.uint16, dt.int64, dt.bool_], ids=str)
def test_bits(dtype: numpy.dtype) -> None:
    x = values(dtype, (5, 40), (0, 100), "bits")
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "logical_xor"):
        want, error = outcome(lambda name=name: getattr(numpy, name).reduce(x, axis=1))
        if error is None:
            same(getattr(np, name).reduce(as_tensors(x), axis=1), want, name)
