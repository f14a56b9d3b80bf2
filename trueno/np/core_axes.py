"""``axes``, ``axis`` and ``keepdims`` of generalised ufuncs: which axes of operands and results a signature names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from numpy.exceptions import AxisError

from trueno import functions
from trueno.np import arguments
from trueno.tensor import Tensor

#: The keywords that are read here.
KEYWORDS = ("axes", "axis", "keepdims")

Cores = list[tuple[str, ...]]


def _cores(signature: str, operands: Sequence[Tensor]) -> tuple[Cores, Cores]:
    """Return the names of the core dimensions of operands and results; those with ``?`` are left out by vectors."""
    sides = [
        [tuple(filter(None, one.strip("()").split(","))) for one in side.split("),(")] for side in signature.split("->")
    ]
    absent = {
        name
        for core, x in zip(sides[0], operands, strict=True)
        for name in core
        if name.endswith("?") and x.ndim < len(core)
    }
    given, made = ([tuple(name for name in core if name not in absent) for core in side] for side in sides)
    return given, made


def _entries(name: str, axes: Any, wanted: Sequence[int], required: int) -> list[tuple[int, ...]]:
    """Return the entries of ``axes``, one for each operand and result; results without core dimensions need none."""
    if not isinstance(axes, list):
        raise TypeError(f"{name}: axes should be a list, not {type(axes).__name__}")
    if len(axes) not in (required, len(wanted)):
        raise ValueError(f"{name}: axes should be a list with an entry for all {len(wanted)} inputs and outputs; "
                         f"entries for outputs can only be omitted if none has core axes; got {len(axes)}")  # fmt: skip
    result = [tuple(arguments.position(name, k) for k in (one if isinstance(one, tuple) else (one,))) for one in axes]
    for k, (entry, size) in enumerate(zip(result, wanted)):
        if len(entry) != size:
            raise AxisError(f"{name}: axes item {k} should be a tuple with {size} elements, got {axes[k]!r}")
    return result


def _moved(x: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    return functions.moveaxis(x, tuple(source), tuple(target))


def call(name: str, signature: str, operands: Sequence[Any], run: Callable[..., Tensor], keywords: dict) -> Tensor:
    """Return what a generalised ufunc gives for operands whose core dimensions lie along chosen axes.

    Parameters
    ----------
    name : str
        Of the function, for the errors.
    signature : str
        As ``"(n?,k),(k,m?)->(n?,m?)"``; of one result.
    operands : sequence of array_like
    run : callable
        The function, which takes core dimensions from the last axes.
    keywords : dict
        Some of `KEYWORDS`.

    Raises
    ------
    TypeError
        For keywords that the signature does not allow, and values of wrong types.
    ValueError
        For ``axes`` that do not fit the signature; AxisError for axes that an operand does not have.
    """
    given = [arguments.array(one) for one in operands]
    for x, core in zip(given, _cores(signature, given)[0], strict=True):
        if x.ndim < len(core):
            raise ValueError(f"{name}: input of shape {x.shape} does not have enough dimensions, it needs {len(core)}")
    cores, (made,) = _cores(signature, given)
    axes, axis, keepdims = (keywords.get(key) for key in KEYWORDS)
    sizes = [len(core) for core in (*cores, made)]
    if keepdims is not None:
        if not isinstance(keepdims, bool):
            raise TypeError(f"{name}: keepdims must be a bool, not {type(keepdims).__name__}")
        if made or len(set(sizes[:-1])) != 1:
            raise TypeError(
                f"{name}: keepdims can only be used where no result has core dimensions, unlike {signature}"
            )
        sizes[-1] = sizes[0] if keepdims else 0
    if "axis" in keywords:
        if axes is not None:
            raise TypeError(f"{name}: cannot specify both 'axis' and 'axes'")
        names = {one for one in re.split(r"[(),>-]", signature) if one}
        if made or len(names) != 1:
            raise TypeError(f"{name}: axis can only be used with a single shared core dimension, not with {signature}")
        axis = arguments.position(name, axis)
        axes = [axis] * len(given) + ([axis] if keepdims else [()])
    entries = [tuple(range(-size, 0)) for size in sizes]
    if axes is not None:
        found = _entries(name, axes, sizes, len(sizes) if made else len(given))
        entries[: len(found)] = found
    given = [_moved(x, entry, range(-len(entry), 0)) for x, entry in zip(given, entries)]
    result = run(*given)
    if keepdims:
        result = functions.reshape(result, result.shape + (1,) * sizes[-1])
    return _moved(result, range(-sizes[-1], 0), entries[-1])
