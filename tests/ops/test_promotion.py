"""Result dtypes of every row, and what it refuses, are NumPy's (NEP 50)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import accepts, close, numpy_function, run, trace, values
from tests.ops.test_special_values import specials
from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.interp import evaluate
from trueno.ir.op import Op, rows

ROWS = [row for row in rows("elementwise") if row.public and row.name != "cast" and numpy_function(row.name)]
NUMPY_DTYPES = [dtype for dtype in dt.ALL if dtype != dt.bfloat16]
SCALARS: dict[type, Any] = {bool: True, int: 1, float: 1.0}


def combinations(row: Op) -> list[tuple]:
    """Return every tuple of operand dtypes, and every one with a Python scalar type at one place."""
    first = [dt.bool_] if row.name == "where" else NUMPY_DTYPES
    arrays = list(product(first, *[NUMPY_DTYPES] * (row.arity - 1)))
    if row.arity == 1:
        return arrays
    mixed = [
        tuple(kind if k == place else dtype for k in range(row.arity))
        for dtype, kind, place in product(NUMPY_DTYPES, SCALARS, range(row.arity))
        if place or isinstance(numpy_function(row.name), np.ufunc)  # NumPy's other functions make an array of the first
    ]
    return arrays + [
        tuple(dt.bool_ if row.name == "where" and k == 0 else d for k, d in enumerate(one)) for one in mixed
    ]


def outcome(call: Callable, operands: Sequence[Any]) -> Any:
    """Return the result's dtype, or the type of the error."""
    try:
        with np.errstate(all="ignore"):
            return call(*operands).dtype
    except (TypeError, OverflowError) as error:
        return TypeError if isinstance(error, TypeError) else OverflowError


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_result_dtypes_are_those_of_numpy(row: Op) -> None:
    function = numpy_function(row.name)
    assert function is not None
    wrong = []
    for given in combinations(row):
        arrays = [SCALARS[one] if isinstance(one, type) else np.ones(1, one) for one in given]
        leaves = [
            build.scalar(k, one) if isinstance(one, type) else build.array(k, one, (1,)) for k, one in enumerate(given)
        ]
        want, got = outcome(function, arrays), outcome(row, leaves)
        if got != want:
            wrong.append(
                f"{row.name}({', '.join(getattr(one, '__name__', str(one)) for one in given)}): {got}, NumPy {want}"
            )
    assert not wrong, "\n".join(wrong[:20]) + f"\n{len(wrong)} in all"


def representatives() -> list[Op]:
    """Return one binary row for each promotion rule."""
    return list({row.result: row for row in reversed(rows("elementwise")) if row.public and row.arity == 2}.values())


@pytest.mark.parametrize("row", representatives(), ids=lambda row: row.name)
def test_operands_of_two_dtypes(row: Op) -> None:
    """All pairs of dtypes in one kernel: compiled casts and the interpreter's agree."""
    arrays = [values(dtype, (9,), interval, k) for interval in row.domain for k, dtype in enumerate(dt.ALL)]
    pairs = []
    for a, b in product(range(len(dt.ALL)), repeat=2):
        try:
            assert row.result is not None
            row.result(row.name, (dt.ALL[a], dt.ALL[b]))
        except TypeError:
            continue
        pairs.append((a, b))
    if row.name == "pow":
        arrays = [np.abs(one) for one in arrays]
    kernel = trace(lambda *x: tuple(row(x[a], x[b + len(dt.ALL)]) for a, b in pairs), arrays)
    for (a, b), got, want in zip(pairs, run(kernel, arrays, "native"), evaluate(kernel, *arrays), strict=True):
        close(got, want, f"{row.name}({dt.ALL[a]}, {dt.ALL[b]})")


@pytest.mark.parametrize("source", dt.ALL, ids=str)
def test_casts(source: np.dtype) -> None:
    """Casts are NumPy's where NumPy defines them; floats past an integer's range saturate, and NaN becomes 0."""
    x = specials(source)
    kernel = trace(lambda a: tuple(build.cast(a, dtype=target) for target in dt.ALL), [x])
    # A cast to the operand's own dtype is the operand, which is no result of a launch.
    with np.errstate(all="ignore"):
        for target, got in zip(dt.ALL, run(kernel, [x], "native"), strict=True):
            if dt.is_floating(source) and not dt.is_floating(target) and target != dt.bool_:
                info = np.iinfo(target)
                exact = [0 if one != one else min(max(one, info.min), info.max) for one in x.astype(float).tolist()]
                want = np.array([int(one) for one in exact], target)
            else:
                want = x.astype(target)
            close(got, want, f"{source} to {target}", rtol=0, signs=True, operands=[x])


def attempt(call: Callable) -> Any:
    try:
        return np.asarray(call())
    except (TypeError, OverflowError) as error:
        return type(error)


INTEGER_ROWS = [
    row for row in ROWS
    if row.arity == 2 and isinstance(numpy_function(row.name), np.ufunc) and accepts(row, dt.int8) and row.name != "pow"
]  # fmt: skip


@pytest.mark.parametrize("row", INTEGER_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize(("dtype", "number"), [(dt.uint8, 300), (dt.uint8, -1), (dt.int8, 200), (dt.uint64, -5)])
def test_python_integers_out_of_range(row: Op, dtype: np.dtype, number: int) -> None:
    """An integer that the array's dtype does not hold is an OverflowError, except in comparisons, as in NumPy."""
    x = np.array([1, 2, 100], dtype)
    function = numpy_function(row.name)
    assert function is not None
    call = getattr(tn, row.name)
    for want, got in (
        (attempt(lambda: function(x, number)), attempt(lambda: call(tn.from_numpy(x), number))),
        (attempt(lambda: function(number, x)), attempt(lambda: call(number, tn.from_numpy(x)))),
    ):
        if isinstance(want, type) or isinstance(got, type):
            assert got is want, f"{row.name}({dtype} array, {number}): {got}, NumPy {want}"
        else:
            close(got, want, f"{row.name}({dtype} array, {number})")


def test_integers_that_only_uint64_holds() -> None:
    x = np.array([1, 2**63], np.uint64)
    close((tn.from_numpy(x) ^ 2**63).numpy(), x ^ np.uint64(2**63), "uint64 ^ 2**63")
    with pytest.raises(OverflowError, match="18446744073709551616 out of bounds for uint64"):
        tn.from_numpy(x) + 2**64
    with pytest.raises(OverflowError, match="out of bounds for uint8"):
        tn.from_numpy(np.ones(3, np.uint8)) + 300
