"""Every ufunc that the op table has a row for, in each of its call forms and methods, against NumPy's."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import trueno
from tests.np.support import TOLERANCE, as_tensors, outcome, plain, same, same_error
from tests.ops.support import values
from trueno import dtypes as dt
from trueno import np
from trueno.ir.op import registry
from trueno.np.ufuncs import UFUNCS

ELEMENTWISE = [one for one in UFUNCS if one.signature is None]
BINARY = [one for one in ELEMENTWISE if one.nin == 2 and one.nout == 1]
ids = {"ids": lambda one: one.__name__}
KINDS = [dt.float64, dt.float32, dt.int32, dt.uint8, dt.bool_]


def domain(like: numpy.ufunc) -> tuple:
    row = registry.get(UFUNCS[like].operation.name)
    return row.domain if row is not None else ((0.5, 3),) * like.nin


def operands(like: numpy.ufunc, dtype: numpy.dtype, shape: tuple[int, ...] = (3, 4)) -> list[numpy.ndarray]:
    made = [values(dtype, shape, interval, k) for k, interval in enumerate(domain(like))]
    if like.__name__ in ("power", "left_shift", "right_shift") and not dt.is_floating(dtype):
        made[1] = numpy.abs(made[1]).astype(dtype)
    # NumPy's spacing of a half has no sign; that of other floats has that of the number.
    return [numpy.abs(one) for one in made] if like is numpy.spacing else made


def accepted(like: numpy.ufunc) -> Iterator[tuple[numpy.dtype, list[numpy.ndarray], Any]]:
    """Yield the dtypes that NumPy takes, with operands and its result."""
    for dtype in KINDS:
        given = operands(like, dtype)
        want, error = outcome(lambda given=given: like(*given))
        if error is None:
            yield dtype, given, want


@pytest.mark.parametrize("like", ELEMENTWISE, **ids)
def test_calls(like: numpy.ufunc) -> None:
    ours = getattr(np, like.__name__)
    assert ours is UFUNCS[like] and (ours.nin, ours.nout, ours.nargs) == (like.nin, like.nout, like.nargs)
    for dtype in KINDS:
        given = operands(like, dtype)
        want, error = outcome(lambda given=given: like(*given))
        if error is None:
            same(ours(*as_tensors(given)), want, f"{like.__name__} {dtype}")
            lists = [one.tolist() for one in given]
            want, error = outcome(lambda lists=lists: like(*lists))
            if error is None:
                same(ours(*lists), want, f"lists of {dtype}")
        else:
            same_error(lambda given=given: ours(*as_tensors(given)), lambda given=given: like(*given), str(dtype))


@pytest.mark.parametrize("like", ELEMENTWISE, **ids)
def test_out(like: numpy.ufunc) -> None:
    ours = getattr(np, like.__name__)
    for dtype, given, want in accepted(like):
        results = want if like.nout > 1 else (want,)
        for target_dtype in {one.dtype for one in results} | {dt.float64, dt.float32}:
            # The target is larger by an axis that the operands are broadcast along.
            theirs = tuple(numpy.full((2, 3, 4), 7, target_dtype) for _ in results)
            mine = tuple(trueno.from_numpy(one.copy()) for one in theirs)
            _, error = outcome(lambda given=given, theirs=theirs: like(*given, out=theirs))
            call = lambda given=given, mine=mine: ours(*as_tensors(given), out=mine if like.nout > 1 else mine[0])  # noqa: E731
            if error is not None:
                same_error(call, lambda given=given, theirs=theirs: like(*given, out=theirs), f"{dtype} {target_dtype}")
                continue
            got = call()
            assert got is mine[0] if like.nout == 1 else all(a is b for a, b in zip(got, mine, strict=True))
            for a, b, result in zip(mine, theirs, results, strict=True):
                # Half results that are widened keep the bits of the float32 in which they are computed.
                rtol = max((TOLERANCE.get(one, 0) for one in (result.dtype, target_dtype)), default=0)
                same(a, b, f"{like.__name__} {dtype} into {target_dtype}", rtol=rtol)


@pytest.mark.parametrize("like", ELEMENTWISE, **ids)
def test_where(like: numpy.ufunc) -> None:
    ours = getattr(np, like.__name__)
    _dtype, given, want = next(accepted(like))
    mask = numpy.array([True, False, True, False])
    results = want if like.nout > 1 else (want,)
    theirs = tuple(numpy.full((3, 4), 1, one.dtype) for one in results)
    mine = tuple(one.copy() for one in theirs)  # ndarrays are targets, too
    with numpy.errstate(all="ignore"):
        like(*given, out=theirs, where=mask)
    got = ours(*as_tensors(given), out=mine, where=mask)
    assert got is mine[0] or got == mine
    for a, b in zip(mine, theirs, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=TOLERANCE.get(b.dtype, 0))
    alone = plain(ours(*as_tensors(given), where=trueno.from_numpy(mask)))
    for a, b in zip(alone if like.nout > 1 else (alone,), results, strict=True):
        numpy.testing.assert_allclose(a[:, mask], b[:, mask], rtol=TOLERANCE.get(b.dtype, 0))
    with pytest.raises(TypeError, match="bool"):
        ours(*given, where=mask.astype(int))


@pytest.mark.parametrize("like", ELEMENTWISE, **ids)
def test_dtype(like: numpy.ufunc) -> None:
    ours = getattr(np, like.__name__)
    for dtype in (dt.float32, dt.float64, dt.int64, dt.bool_):
        # NumPy finds no loop for ldexp of integers in another dtype than float64.
        for source in (dt.float64,) if like is numpy.ldexp else (dt.float64, dt.int32):
            given = operands(like, source)
            want, error = outcome(lambda given=given, dtype=dtype: like(*given, dtype=dtype))
            call = lambda given=given, dtype=dtype: ours(*as_tensors(given), dtype=dtype)  # noqa: E731
            if error is None:
                same(call(), want, f"{like.__name__} {source} as {dtype}")
            else:
                theirs = lambda given=given, dtype=dtype: like(*given, dtype=dtype)  # noqa: E731
                same_error(call, theirs, f"{like.__name__} {source} as {dtype}")


@pytest.mark.parametrize("like", BINARY, **ids)
def test_methods(like: numpy.ufunc) -> None:
    ours = getattr(np, like.__name__)
    _dtype, given, _ = next(accepted(like))
    x, y = given
    tensor = as_tensors(x)
    with numpy.errstate(all="ignore"):
        same(ours.outer(tensor, y[0]), like.outer(x, y[0]), "outer")
        for arguments in ({}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0,)}):
            want, error = outcome(lambda arguments=arguments: like.reduce(x, **arguments))
            if error is None:
                same(ours.reduce(tensor, **arguments), want, f"reduce {arguments}")
            else:
                same_error(lambda a=arguments: ours.reduce(tensor, **a), lambda a=arguments: like.reduce(x, **a))
        for axis in (0, 1):
            want, error = outcome(lambda axis=axis: like.accumulate(x, axis))
            if error is None:
                same(ours.accumulate(tensor, axis), want, "accumulate")
            else:
                same_error(lambda axis=axis: ours.accumulate(tensor, axis), lambda axis=axis: like.accumulate(x, axis))
        want, error = outcome(lambda: like.reduceat(x, [0, 2, 1]))
        if error is None:
            same(ours.reduceat(tensor, [0, 2, 1]), want, "reduceat")
        theirs, mine = x.copy(), trueno.from_numpy(x.copy())
        _, error = outcome(lambda: like.at(theirs, [0, 2, 0], y[:3]))
        if error is None:
            ours.at(mine, [0, 2, 0], y[:3])
            same(mine, theirs, "at")


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum", "logical_or", "logical_and"])
def test_reduce_arguments(name: str, dtype: numpy.dtype) -> None:
    like, ours = getattr(numpy, name), getattr(np, name)
    x = values(dtype, (3, 4), (0.5, 2), name)
    mask = numpy.array([[True], [False], [True]])
    for arguments in (
        {"axis": None}, {"axis": (0, 1)}, {"axis": ()}, {"axis": 1, "initial": 1}, {"where": mask, "initial": 1},
        {"where": mask}, {"axis": 1, "where": mask, "initial": 2, "keepdims": True}, {"dtype": dt.float64},
        {"dtype": dt.float32, "initial": 3}, {"axis": 2}, {"axis": (0, 0)}, {"axis": 1.5}, {"initial": None},
        {"axis": 1, "initial": None, "where": mask},
    ):  # fmt: skip
        want, error = outcome(lambda a=arguments: like.reduce(x, **a))
        call = lambda a=arguments: ours.reduce(as_tensors(x), **a)  # noqa: E731
        if error is None:
            same(call(), want, f"{name}.reduce({dtype}, {arguments})")
        else:
            same_error(call, lambda a=arguments: like.reduce(x, **a), f"{name}.reduce({dtype}, {arguments})")
    for shape, axis, initial in (((0, 3), 0, None), ((0, 3), 0, 2), ((0, 3), 1, 2), ((), 0, 1), ((), None, None)):
        given = numpy.ones(shape, dtype)
        named = {} if initial is None else {"initial": initial}
        want, error = outcome(lambda g=given, axis=axis, named=named: like.reduce(g, axis, **named))
        call = lambda g=given, axis=axis, named=named: ours.reduce(as_tensors(g), axis, **named)  # noqa: E731
        if error is None:
            same(call(), want, f"{name} {shape}")
        else:
            same_error(call, lambda g=given, axis=axis, named=named: like.reduce(g, axis, **named), f"{name} {shape}")


def test_reduce_into_out() -> None:
    x = numpy.array([[1.5, 1.7], [2.5, 3.0]])
    for dtype in (dt.float64, dt.float32, dt.int64, dt.int8):
        theirs = numpy.zeros(2, dtype)
        mine = trueno.from_numpy(theirs.copy())
        numpy.add.reduce(x, out=theirs)
        assert np.add.reduce(as_tensors(x), out=mine) is mine
        same(mine, theirs, str(dtype))
    same_error(lambda: np.add.reduce(x, out=numpy.zeros((1, 2))), lambda: numpy.add.reduce(x, out=numpy.zeros((1, 2))))


def test_overlapping_out() -> None:
    for start, stop in ((0, 1), (1, 0), (0, 0)):
        theirs = numpy.arange(10.0)
        mine = trueno.from_numpy(theirs.copy())
        numpy.add(theirs[start : start + 9], 1, out=theirs[stop : stop + 9])
        np.add(mine[start : start + 9], 1, out=mine[stop : stop + 9])
        same(mine, theirs)


def test_scalars_are_weak() -> None:
    x = numpy.ones(3, "f4")
    for value in (2, 2.5, True, numpy.float64(2.5), numpy.int64(3), numpy.float16(1)):
        same(np.add(as_tensors(x), value), numpy.add(x, value))
        same(np.multiply(value, as_tensors(x)), numpy.multiply(value, x))
    same(np.add(1, 2), numpy.add(1, 2))
    same(np.sqrt(2), numpy.sqrt(2))
    same(np.less(numpy.ones(2, "u1"), 300), numpy.less(numpy.ones(2, "u1"), 300))
    same(np.less(numpy.ones(2, "u1"), -1, out=numpy.zeros(2, bool)) * trueno.tensor(1), numpy.zeros(2, int))


@pytest.mark.parametrize(
    ("call"),
    [
        lambda m, x: m.add(x), lambda m, x: m.add(x, x, x, x), lambda m, x: m.add(x, x, foo=1), lambda m, x: m.exp(),
        lambda m, x: m.add(x, x, out=5), lambda m, x: m.add(x, x, out=(x, x)), lambda m, x: m.add(x, x, x, out=x),
        lambda m, x: m.add(x, numpy.ones(5)), lambda m, x: m.add(x, x, out=numpy.ones(2)),
        lambda m, x: m.add(x, x, casting="some"), lambda m, x: m.add(x, 1.5, out=numpy.ones(3, int)),
        lambda m, x: m.add(x, x, out=numpy.ones(3, "f4"), casting="safe"), lambda m, x: m.exp.reduce(x),
        lambda m, x: m.exp.outer(x, x), lambda m, x: m.exp.accumulate(x), lambda m, x: m.add.accumulate(3),
        lambda m, x: m.add.accumulate(x, None), lambda m, x: m.subtract.reduce(numpy.ones((2, 2)), (0, 1)),
        lambda m, x: m.matmul(x, x, where=True), lambda m, x: m.matmul.reduce(x), lambda m, x: m.add.at(x, [5], 1),
        lambda m, x: m.add.at(x, [0]), lambda m, x: m.negative.at(x, [0], 1), lambda m, x: m.bitwise_and(x, x),
        lambda m, x: m.subtract(x > 0, x > 0), lambda m, x: m.negative(x > 0), lambda m, x: m.power([2], [-1]),
        lambda m, x: m.add(x, 3, casting="no"), lambda m, x: m.add(numpy.ones(3, "i4"), x, casting="equiv"),
    ],
)  # fmt: skip
def test_errors(call: Any) -> None:
    def run(module: Any, given: Any) -> Any:
        return lambda: call(module, given)

    x = numpy.arange(3.0)
    _, error = outcome(run(numpy, x.copy()))
    if error is None:
        same(run(np, trueno.from_numpy(x.copy()))(), run(numpy, x.copy())())
    else:
        same_error(run(np, trueno.from_numpy(x.copy())), run(numpy, x.copy()))


def test_two_forms_of_asking_for_a_dtype() -> None:
    x = numpy.arange(3)
    same(np.add(x, x, signature="ff->f"), numpy.add(x, x, signature="ff->f"))
    same(np.add(x, x, sig=(None, None, "f8")), numpy.add(x, x, sig=(None, None, "f8")))


def test_gradients_flow_through_all_forms() -> None:
    x = trueno.tensor([0.5, 1.5, -1.0], dtype="float64", requires_grad=True)
    mask = numpy.array([True, False, True])
    assert trueno.gradcheck(lambda a: np.add.outer(a, np.exp(a)), (x,))
    assert trueno.gradcheck(lambda a: np.multiply.reduce(a, where=mask, initial=2.0), (x,))
    assert trueno.gradcheck(lambda a: np.maximum.reduce(a, initial=0.7), (x,))
    assert trueno.gradcheck(lambda a: np.multiply(a, 2, dtype="f8"), (x,))
    out = np.zeros(3)
    np.square(x, out=out, where=mask)
    out.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0, -2.0]
    with pytest.raises(RuntimeError, match="leaf"):
        np.add(x, 1, out=x)


def test_a_ufunc_is_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(np.add)) is np.add
    assert repr(np.add) == repr(numpy.add) and np.add.identity == 0


def test_matmul() -> None:
    a, b = numpy.arange(6.0).reshape(2, 3), numpy.arange(12.0).reshape(3, 4)
    same(np.matmul(as_tensors(a), b), a @ b)
    out = numpy.zeros((2, 4), "f4")
    assert np.matmul(a, as_tensors(b), out=out) is out
    numpy.testing.assert_array_equal(out, a @ b)
