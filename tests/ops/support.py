"""How the op table becomes test cases: operands of every layout, kernels at every feature level, NumPy's answers."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno.codegen import target
from trueno.functions import ALIASES
from trueno.ir.node import Kernel
from trueno.ir.op import Op
from trueno.runtime import cpu, launcher
from trueno.runtime.operation import Operation

LEVELS = ("native", "x86-64-v3", "scalar")
#: Relative error that a result of each dtype may have; integers and bool are exact.
TOLERANCE = {dt.float16: 1e-2, dt.bfloat16: 1e-2, dt.float32: 1e-5, dt.float64: 1e-12}


def available(level: str) -> bool:
    """Whether this CPU runs code of a feature level."""
    try:
        target.resolve(level)
    except ValueError:
        return False
    return True


@contextmanager
def feature_level(level: str) -> Iterator[None]:
    """Compile CPU kernels for a named feature level inside the block."""
    chosen = target.resolve(level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "resolve", lambda: chosen)
        yield


# --- operands ---------------------------------------------------------------------------------------------------------

#: Shapes have a size above the widest vector and not divisible by it.
SHAPE = (5, 37)


def values(dtype: np.dtype, shape: tuple[int, ...], interval: tuple[float, float], seed: Any = 0) -> np.ndarray:
    """Return random values from an interval, in C order; integers and bool are rounded from it."""
    generator = np.random.default_rng(zlib.crc32(repr((seed, shape, interval)).encode()))
    low, high = interval
    if dt.is_floating(dtype):
        return generator.uniform(low, high, shape).astype(dtype)
    if dtype == dt.bool_:
        return generator.integers(0, 2, shape).astype(dtype)
    low, high = int(np.ceil(low)), int(np.floor(high))
    if dtype.kind == "u":
        low, high = max(low, 0), max(high, 0)
    return generator.integers(low, high, shape, endpoint=True).astype(dtype)


def _contiguous(make: Callable, shape: tuple[int, ...]) -> np.ndarray:
    return make(shape)


def _transposed(make: Callable, shape: tuple[int, ...]) -> np.ndarray:
    return make(shape[::-1]).T


def _sliced(make: Callable, shape: tuple[int, ...]) -> np.ndarray:
    wide = make(tuple(2 * n + 3 for n in shape))
    return wide[tuple(slice(1, 1 + 2 * n, 2) for n in shape)]


def _backwards(make: Callable, shape: tuple[int, ...]) -> np.ndarray:
    return make(shape)[(slice(None, None, -1),) * len(shape)]


def _broadcast(make: Callable, shape: tuple[int, ...]) -> np.ndarray:
    narrow = make((*shape[:-1], 1) if len(shape) % 2 else (1, *shape[1:]))
    strides = tuple(0 if n != m else s for n, m, s in zip(narrow.shape, shape, narrow.strides, strict=True))
    return np.lib.stride_tricks.as_strided(narrow, shape, strides, writeable=True)


def _empty(make: Callable, shape: tuple[int, ...]) -> np.ndarray:
    return make((0, *shape[1:]))


LAYOUTS: dict[str, Callable[[Callable, tuple[int, ...]], np.ndarray]] = {
    "contiguous": _contiguous,
    "transposed": _transposed,
    "sliced": _sliced,
    "backwards": _backwards,
    "broadcast": _broadcast,
    "empty": _empty,
}


def operand(
    dtype: np.dtype, interval: tuple[float, float], layout: str, shape: tuple[int, ...] = SHAPE, seed: Any = 0
) -> np.ndarray:
    """Return an operand of a layout with random values from an interval."""
    return np.asarray(LAYOUTS[layout](lambda made: values(dtype, made, interval, seed), shape))


# --- running ----------------------------------------------------------------------------------------------------------


def tensors(arrays: Sequence[Any]) -> list[Any]:
    """Return NumPy arrays as tensors on the same memory, Python numbers as they are."""
    return [tn.from_numpy(one) if isinstance(one, np.ndarray) else one for one in arrays]


def trace(function: Callable, arrays: Sequence[Any]) -> Kernel:
    """Record a function over operands like these as one kernel."""
    return Operation("matrix", function, len(arrays)).trace(tensors(arrays), (), {})


def run(kernel: Kernel, arrays: Sequence[Any], level: str) -> list[np.ndarray]:
    """Run a kernel on the CPU at a feature level."""
    given = tensors(arrays)
    layouts = [getattr(one, "_layout", None) for one in given]
    with feature_level(level):
        entry = cpu.bind(kernel, layouts, [-1] * len(kernel.outputs))
    result = launcher.invoke(entry, tuple(given))
    return [one.numpy() for one in (result if isinstance(result, tuple) else (result,))]


# --- comparing --------------------------------------------------------------------------------------------------------


def close(
    got: np.ndarray, want: np.ndarray, what: str, rtol: float | None = None, scale: Any = None, signs: bool = False,
    operands: Sequence[np.ndarray] = (),
) -> None:  # fmt: skip
    """Assert that a result has the dtype, shape and, within the dtype's tolerance, the values that it must have.

    Parameters
    ----------
    got, want : numpy.ndarray
    what : str
        Names the case in the message.
    rtol : float, optional
        Instead of the dtype's own tolerance.
    scale : array_like, optional
        What the tolerance is relative to; the wanted value itself when omitted.
    signs : bool
        Whether zeros must agree in sign too.
    operands : sequence of numpy.ndarray
        What the results were computed from, element by element, for the message.
    """
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype}, NumPy gives {want.dtype}"
    assert got.shape == want.shape, f"{what}: shape {got.shape}, NumPy gives {want.shape}"
    if not dt.is_floating(got.dtype):
        _none(got != want, got, want, what, operands)
        return
    rtol = TOLERANCE[got.dtype] if rtol is None else rtol
    a, b = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        size = np.abs(b) if scale is None else np.broadcast_to(np.abs(scale), b.shape)
        near = np.abs(a - b) <= rtol * size + float(ml_dtypes.finfo(got.dtype).smallest_subnormal)
    wrong = ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))
    if signs:
        wrong |= (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
    _none(wrong, got, want, what, operands)


def _none(wrong: np.ndarray, got: np.ndarray, want: np.ndarray, what: str, operands: Sequence[np.ndarray]) -> None:
    if wrong.any():
        given = "".join(f" of {one[wrong][:5]}" for one in operands)
        raise AssertionError(f"{what}{given}: {got[wrong][:5]} instead of {want[wrong][:5]}, {wrong.sum()} in all")


# --- what NumPy calls it ----------------------------------------------------------------------------------------------


@cache
def numpy_function(name: str) -> Callable | None:
    """Return NumPy's own function for a row or composite, found by its name and aliases; None where NumPy has none."""
    for candidate in (name, *ALIASES.get(name, ())):
        found = getattr(np, candidate, None)
        if callable(found) and not inspect.isclass(found):
            return found
    return None


def accepts(row: Op, dtype: np.dtype) -> bool:
    """Whether a row takes operands that are all of this dtype."""
    assert row.result is not None
    try:
        row.result(row.name, (dtype,) * max(row.arity, 1))
    except TypeError:
        return False
    return True
