"""NaN, infinities, signed zeros, subnormals, integer extremes, division by zero and shifts past the width, as NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.ops.support import accepts, close, numpy_function, run, trace
from trueno import dtypes as dt
from trueno.ir.elementwise import maximum, minimum, reciprocal
from trueno.ir.interp import evaluate
from trueno.ir.op import Op, rows
from trueno.ir.transcendental import pow

ROWS = [row for row in rows("elementwise") if row.public and row.name != "cast"]
#: Which of 0.0 and -0.0 is the larger is left open by NumPy too.
SIGN_OPEN = (maximum, minimum)


def specials(dtype: np.dtype) -> np.ndarray:
    """Return the values of a dtype at which functions tend to be wrong."""
    if dtype == dt.bool_:
        return np.array([False, True])
    if dt.is_floating(dtype):
        info = ml_dtypes.finfo(dtype)
        steps = [float(one) for one in (info.smallest_subnormal, info.smallest_normal, info.max)]
        sizes = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 20.0, 100.0, *steps, np.inf]
        return np.array([*sizes, *(-one for one in sizes), np.nan]).astype(dtype)
    info, width = np.iinfo(dtype), 8 * dtype.itemsize
    near = [-width, -3, -2, -1, 0, 1, 2, 3, 7, width - 1, width, width + 1]
    chosen = {info.min, info.min + 1, *near, info.max - 1, info.max}
    return np.array(sorted(one for one in chosen if info.min <= one <= info.max), dtype)


def grids(dtype: np.dtype) -> dict[int, list[np.ndarray]]:
    """Return, for one, two and three operands, arrays that hold all combinations of special values."""
    chosen = specials(dtype)
    few = chosen[:: max(1, len(chosen) // 8)]
    return {
        count: [one.ravel() for one in np.meshgrid(*[few if count == 3 else chosen] * count, indexing="ij")]
        for count in (1, 2, 3)
    }


def defined_by_numpy(row: Op, dtype: np.dtype, arrays: list[np.ndarray]) -> np.ndarray:
    """Return where NumPy has a result: it refuses integer powers with negative exponents, and 1 / 0 is any integer."""
    if not dt.is_floating(dtype) and row is pow:
        return arrays[1] >= 0
    if not dt.is_floating(dtype) and row is reciprocal:
        return arrays[0] != 0
    return np.ones(arrays[0].shape, bool)


@pytest.mark.parametrize("level", ["native", pytest.param("scalar", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_special_values(dtype: np.dtype, level: str) -> None:
    used = [row for row in ROWS if accepts(row, dtype)]
    operands = grids(dtype)
    arrays = [one for count in operands for one in operands[count]]
    first = {1: 0, 2: 1, 3: 3}

    def every(*x: object) -> tuple:
        return tuple(row(*x[first[row.arity] : first[row.arity] + row.arity]) for row in used)

    kernel = trace(every, arrays)
    want = evaluate(kernel, *arrays)
    got = run(kernel, arrays, level)
    for row, a, b in zip(used, got, want, strict=True):
        mine = operands[row.arity]
        close(a, b, f"{row.name} {dtype} {level}", signs=row not in SIGN_OPEN, operands=mine)
        function = numpy_function(row.name)
        if function is None or dtype == dt.bfloat16:
            continue
        known = defined_by_numpy(row, dtype, mine)
        with np.errstate(all="ignore"):
            own = np.asarray(function(*(one[known] for one in mine)))
        what = f"interpreter of {row.name} {dtype}"
        close(b[known], own, what, signs=row not in SIGN_OPEN, operands=[one[known] for one in mine])
