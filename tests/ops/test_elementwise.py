"""Every public elementwise row: interpreter, compiled code at each feature level and NumPy agree, on every layout."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest

from tests.ops.support import LAYOUTS, LEVELS, accepts, available, close, numpy_function, operand, run, trace
from trueno import dtypes as dt
from trueno.ir.interp import evaluate
from trueno.ir.op import Op, rows

ROWS = [row for row in rows("elementwise") if row.public and row.name != "cast"]
ARITIES = sorted({row.arity for row in ROWS})
MATRIX = [(dtype, level, layout) for dtype in dt.ALL for level in LEVELS for layout in (*LAYOUTS, "mixed")]
# Each row meets every dtype, every layout and every level, and float32 meets all of them together.
SELECTION = [
    *((dtype, LEVELS[k % len(LEVELS)], [*LAYOUTS, "mixed"][k % (len(LAYOUTS) + 1)]) for k, dtype in enumerate(dt.ALL)),
    *((dt.float32, level, layout) for level, layout in zip(cycle(LEVELS), [*LAYOUTS, "mixed"])),
]


def cases() -> list:
    chosen = dict.fromkeys(SELECTION)
    return [
        pytest.param(*case, id="-".join(map(str, case)), marks=() if case in chosen else pytest.mark.matrix)
        for case in MATRIX
    ]


def layout_of(layout: str, position: int) -> str:
    """Operands of the layout "mixed" have a different one each, all of the same shape."""
    mixed = [name for name in LAYOUTS if name != "empty"]
    return mixed[position % len(mixed)] if layout == "mixed" else layout


def operands(used: list[Op], dtype: np.dtype, layout: str) -> tuple[list[np.ndarray], dict[str, list[int]]]:
    """Return arrays for the rows' domains, and which of them each row takes; equal domains share an array."""
    arrays: list[np.ndarray] = []
    places: dict[tuple, int] = {}
    taken: dict[str, list[int]] = {}
    for row in used:
        taken[row.name] = []
        for position, interval in enumerate(row.domain):
            if row.name == "pow" and not dt.is_floating(dtype):
                interval = (0, interval[1])  # noqa: PLW2901 - NumPy refuses negative exponents of integers
            key = (interval, position)
            if key not in places:
                places[key] = len(arrays)
                arrays.append(operand(dtype, interval, layout_of(layout, len(arrays)), seed=position))
            taken[row.name].append(places[key])
    return arrays, taken


@pytest.mark.parametrize(("dtype", "level", "layout"), cases())
def test_rows_agree_with_interpreter_and_numpy(dtype: np.dtype, level: str, layout: str) -> None:
    if not available(level):
        pytest.skip(f"this CPU lacks {level}")
    used = [row for row in ROWS if accepts(row, dtype)]
    arrays, taken = operands(used, dtype, layout)
    kernel = trace(lambda *x: tuple(row(*(x[k] for k in taken[row.name])) for row in used), arrays)
    want = evaluate(kernel, *arrays)
    got = run(kernel, arrays, level)
    for row, a, b in zip(used, got, want, strict=True):
        what = f"{row.name} {dtype} {layout} {level}"
        close(a, b, what)
        function = numpy_function(row.name)
        if function is None or dtype == dt.bfloat16:
            continue
        with np.errstate(all="ignore"):
            own = np.asarray(function(*(arrays[k] for k in taken[row.name])))
        close(b, own, f"interpreter of {what}")
