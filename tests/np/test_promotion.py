"""Promotion of every pair of dtypes and of Python numbers, by every ufunc: result dtypes and refusals are NumPy's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.np import strategies
from trueno import dtypes as dt
from trueno.functions import comparable
from trueno.np.ufuncs import UFUNCS, ufunc
from trueno.runtime.operation import _as_operands

NUMBERS: tuple[Any, ...] = (True, 2, 1.5, 1 + 2j)


def combinations(like: np.ufunc) -> Iterator[tuple[Any, ...]]:
    """Yield operands: arrays of every dtype, with each other and with Python numbers on either side."""
    arrays = [np.ones((2, 2) if like.signature else (1,), dtype) for dtype in strategies.DTYPES]
    numbers = () if like.signature else NUMBERS
    if like.nin == 1:
        yield from ((one,) for one in (*arrays, *numbers))
        return
    yield from product(arrays, arrays)
    yield from product(arrays, numbers)
    yield from product(numbers, arrays)
    yield from product(numbers, numbers)


def recorded(one: ufunc, operands: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """Return the dtypes of what a ufunc records for operands; nothing is compiled."""
    given = [tn.from_numpy(value) if isinstance(value, np.ndarray) else value for value in operands]
    given = comparable(given) if one._checks_integers else given
    kernel = one.operation.trace(_as_operands(given, one.__name__), (), {})
    complex_ones, made = kernel.complex_outputs, enumerate(kernel.outputs)
    return tuple(dt.complex_of(node.dtype) if k in complex_ones else node.dtype for k, node in made)


def dtypes_of(call: Any, *args: Any) -> Any:
    """Return the dtypes that a call gives, or TypeError, or OverflowError."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = call(*args)
    except (TypeError, OverflowError) as error:
        return TypeError if isinstance(error, TypeError) else OverflowError
    made = found if isinstance(found, tuple) else (found,)
    return tuple(one if isinstance(one, np.dtype) else one.dtype for one in made)


@pytest.mark.parametrize("like", sorted(UFUNCS, key=lambda one: one.__name__), ids=lambda one: one.__name__)
def test_results_have_numpys_dtypes(like: np.ufunc) -> None:
    wrong = []
    for operands in combinations(like):
        want, got = dtypes_of(like, *operands), dtypes_of(recorded, UFUNCS[like], operands)
        if want != got:
            kinds = ", ".join(str(getattr(one, "dtype", one)) for one in operands)
            wrong.append(f"{like.__name__}({kinds}): {got}, NumPy {want}")
    assert not wrong, "\n".join(wrong[:20]) + f"\n{len(wrong)} in all"
