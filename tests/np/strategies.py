"""Random arrays, layouts, index expressions, axes and numbers for the comparison with NumPy.

TRUENO_CONFORMANCE=N makes the tests that use `cases` run N random cases together in place of the few of a usual run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import trueno as tn

DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
REAL = tuple(one for one in DTYPES if not one.startswith("complex"))
NUMBERS = tuple(one for one in DTYPES if one != "bool")

#: What part of the conformance run's cases a test gets; the parts add up to 1.
_TOTAL = int(os.environ.get("TRUENO_CONFORMANCE", "0"))
_USUAL = 150


def cases(part: float) -> Callable[[Any], Any]:
    """Return the settings of a fuzz test: `part` of the conformance run's cases, or those of a usual run.

    A usual run draws the same cases each time; a conformance run draws new ones and prints how to repeat a failure.
    """
    many = round(_TOTAL * part) if _TOTAL else _USUAL
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=many, deadline=None, derandomize=not _TOTAL, database=None, print_blob=True,
        suppress_health_check=quiet, report_multiple_bugs=True,
    )  # fmt: skip


def shapes(max_ndim: int = 4, max_extent: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    """Return shapes; a few have an axis without elements or of extent 1."""
    extent = st.one_of(st.integers(2, max_extent), st.integers(1, max_extent), st.integers(0, max_extent))
    return st.lists(extent, max_size=max_ndim).map(tuple)


def _values(seed: int, shape: tuple[int, ...], dtype: str, special: bool) -> np.ndarray:
    generator = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return generator.integers(0, 2, size=shape).astype(np.bool_)
    if kind == "c":
        return np.asarray(generator.normal(size=shape) * 4 + 1j * generator.integers(-2, 3, size=shape), dtype)
    if kind == "f":
        made = generator.normal(size=shape) * 4
        if special and made.size:
            chosen = generator.random(size=shape)
            made = np.where(chosen < 0.1, generator.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], size=shape), made)
        return np.asarray(made, dtype)
    return generator.integers(0 if kind == "u" else -9, 10, size=shape).astype(dtype)


@st.composite
def arrays(
    draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES, shape: Any = None, special: bool = False, repeated: bool = False
) -> np.ndarray:
    """Draw an array: any dtype, shape and layout (C, Fortran, permuted, with steps, backwards; repeated if asked)."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(shapes()) if shape is None else shape
    layouts = ["C", "C", "F", "permuted", "steps", "backwards"] + (["repeated"] if repeated else [])
    layout = draw(st.sampled_from(layouts))
    seed = draw(st.integers(0, 2**20))
    if layout == "F":
        return np.asfortranarray(_values(seed, shape, dtype, special))
    if layout == "permuted" and shape:
        order = draw(st.permutations(range(len(shape))))
        return np.ascontiguousarray(_values(seed, shape, dtype, special).transpose(order)).transpose(np.argsort(order))
    if layout in ("steps", "backwards") and shape:
        steps = [draw(st.sampled_from([1, 2, 3] if layout == "steps" else [-1, 1, -2])) for _ in shape]
        whole = _values(seed, tuple(abs(step) * n for step, n in zip(steps, shape, strict=True)), dtype, special)
        return whole[tuple(slice(None, None, step) for step in steps)]
    if layout == "repeated" and shape:
        axis = draw(st.integers(0, len(shape) - 1))
        thin = _values(seed, (*shape[:axis], 1, *shape[axis + 1 :]), dtype, special)
        return np.broadcast_to(thin, shape)
    return _values(seed, shape, dtype, special)


@st.composite
def broadcastable(draw: st.DrawFn, count: int = 2) -> list[tuple[int, ...]]:
    """Draw shapes that broadcast with each other, but for a few that do not."""
    whole = draw(shapes(4, 4))
    result = []
    for _ in range(count):
        kept = whole[draw(st.integers(0, len(whole))) :]
        shape = [1 if draw(st.integers(0, 3)) == 0 else extent for extent in kept]
        if shape and draw(st.integers(0, 15)) == 0:
            shape[draw(st.integers(0, len(shape) - 1))] += 2
        result.append(tuple(shape))
    return result


# --- indices ----------------------------------------------------------------------------------------------------------


def _rarely(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.integers(0, one_in - 1)) == 0


def _integer(draw: st.DrawFn, extent: int) -> int:
    if extent == 0 or _rarely(draw, 25):
        return draw(st.integers(-extent - 2, extent + 1))
    return draw(st.integers(-extent, extent - 1))


def _slice(draw: st.DrawFn, extent: int) -> slice:
    bound = st.one_of(st.none(), st.integers(-extent - 2, extent + 2))
    step = st.sampled_from([None, None, 1, 2, 3, -1, -2, -3] + ([0] if _rarely(draw, 30) else []))
    return slice(draw(bound), draw(bound), draw(step))


def _positions(draw: st.DrawFn, extent: int, shape: tuple[int, ...]) -> Any:
    """Draw an array of positions, as an array of some dtype or as a nested list."""
    thin = tuple(1 if _rarely(draw, 5) else n for n in shape)[
        draw(st.integers(0, len(shape))) if _rarely(draw, 4) else 0 :
    ]
    seed = draw(st.integers(0, 2**20))
    low, high = (-extent, extent) if extent else (0, 1)
    made = np.random.default_rng(seed).integers(low, high, size=thin)
    if _rarely(draw, 25):
        made = made + extent
    form = draw(st.sampled_from(["int64", "int64", "list", "int8", "uint8"]))
    if form == "list":
        return made.tolist()
    return made.astype(form) if form != "uint8" else (made % max(extent, 1)).astype(form)


def _mask(draw: st.DrawFn, extents: tuple[int, ...]) -> Any:
    seed = draw(st.integers(0, 2**20))
    if extents and _rarely(draw, 25):
        extents = (extents[0] + 1, *extents[1:])
    made = np.random.default_rng(seed).integers(0, 2, size=extents).astype(np.bool_)
    return made.tolist() if made.ndim == 1 and made.size and _rarely(draw, 4) else made


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Draw an index expression for a shape: every form that NumPy has, and a few wrong ones."""
    together = draw(st.sampled_from([(3,), (2,), (2, 3), (1,), (), (0,)]))
    items: list[Any] = []
    axis, dots = 0, False
    basic_only = draw(st.booleans())
    kinds = ["int", "slice", "slice", "none", "dots"] + ([] if basic_only else ["array", "array", "mask", "bool", "np"])
    limit = len(shape) + (1 if _rarely(draw, 20) else 0)
    for _ in range(draw(st.integers(0, len(shape) + 2))):
        kind = draw(st.sampled_from(kinds))
        extent = shape[axis] if axis < len(shape) else 2
        if kind == "none":
            items.append(None)
        elif kind == "dots":
            if not dots or _rarely(draw, 20):
                items.append(Ellipsis)
                axis += draw(st.integers(0, max(len(shape) - axis, 0))) if not dots else 0
                dots = True
        elif kind == "bool":
            items.append(draw(st.sampled_from([True, False, np.True_, np.array(True)])))
        elif axis >= limit:
            continue
        elif kind == "mask":
            covered = draw(st.integers(1, 2))
            items.append(_mask(draw, shape[axis : axis + covered]))
            axis += covered
        else:
            if kind == "int":
                items.append(_integer(draw, extent))
            elif kind == "slice":
                items.append(_slice(draw, extent))
            elif kind == "np":
                one = _integer(draw, extent)
                items.append(draw(st.sampled_from([np.int64(one), np.int8(one), np.array(one)])))
            else:
                items.append(_positions(draw, extent, together))
            axis += 1
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


def for_tensors(index: Any) -> Any:
    """Return an index with its arrays as tensors."""
    if isinstance(index, tuple):
        return tuple(for_tensors(one) for one in index)
    return tn.from_numpy(index.copy()) if isinstance(index, np.ndarray) else index


# --- axes and numbers -------------------------------------------------------------------------------------------------


@st.composite
def axes(draw: st.DrawFn, ndim: int, many: bool = True) -> Any:
    """Draw an axis argument: None, an axis, or several; a few are out of range or repeated."""
    one = st.integers(-ndim, max(ndim - 1, 0)) if draw(st.integers(0, 20)) else st.integers(-ndim - 2, ndim + 1)
    kind = draw(st.sampled_from(["none", "one", "one", "many"] if many else ["none", "one", "one"]))
    if kind == "none":
        return None
    if kind == "one" or not ndim:
        return draw(one)
    chosen = draw(st.lists(one, max_size=ndim, unique_by=lambda axis: axis % max(ndim, 1)))
    return tuple(chosen)


def numbers() -> st.SearchStrategy[Any]:
    """Return Python numbers and NumPy scalars."""
    return st.one_of(
        st.integers(-9, 9), st.sampled_from([0.5, -1.5, 2.0, 0.0]), st.booleans(), st.sampled_from([300, -200, 70_000]),
        st.sampled_from([1.5 - 2j, 2 + 0j, np.complex64(1j), np.complex128(-1 + 1j)]),
        st.sampled_from([np.float32(1.5), np.int8(3), np.uint64(7), np.float64(0.25), np.bool_(True), np.float16(2)]),
    )  # fmt: skip
