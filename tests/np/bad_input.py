"""Bad calls of any function, made of good ones: a good call is found by trial in NumPy, then one argument is spoilt.

Nothing here names a function. `GOOD` is a pool of arguments that are tried one after the other on NumPy's function;
`SPOILT` says what takes the place of an array in a good call, and `KEYWORDS` what a parameter of that name may get.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy

from tests.np.comparing import outcome
from tests.np.support import as_tensors

_square = numpy.asarray([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])
_matrix = numpy.arange(1.0, 7.0).reshape(2, 3)
_vector = numpy.asarray([0.5, 1.5, 2.5])
_integers = numpy.asarray([0, 1, 2])
_mask = numpy.asarray([True, False, True])
_identity = numpy.eye(4).reshape(4, 2, 2)
_cube = numpy.arange(1.0, 9.0).reshape(2, 2, 2)

#: Arguments of good calls, the plain ones first.
GOOD: tuple[tuple[Any, ...], ...] = (
    (_matrix,), (_vector,), (_square,), (_integers,), (_cube,), (_matrix, _matrix), (_vector, _vector),
    (_square, _square), (_square, _vector), (_integers, _integers), (_vector, _integers), (_vector, 1), (_matrix, 0),
    (_matrix, 1, 1), (_square, 2), (_matrix, (3, 2)), (_mask, _vector), (_vector, _mask, 1.0),
    (_mask, _vector, _vector),
    (_vector, _vector, _vector), (_vector, _vector, 1), (_vector, _integers, 1.0), (_matrix, 0, 1), (_matrix, 0, 0),
    ([_vector, _vector],), ((_matrix, _matrix),), ([_mask], [_vector]), (_integers, [_vector] * 3),
    ("ij,jk", _matrix, _square),
    (_matrix, numpy.zeros((2, 3), int), 1), (_matrix, numpy.zeros((2, 3), int), 1.0, 1), (_vector, _integers, _vector),
    (3,), (3, 3), (2, _vector), (_matrix, (0, 1)), (_cube, 1, 2), ((_integers, _integers), (3, 3)), (_vector, 0.5),
    (_matrix, 2.0), (_matrix, "f4"), (_vector, (2, 3)), (_cube, 2), (_identity, 1),
    (lambda x: x, 0, _matrix), (_vector, [_mask], [1.0]),
)  # fmt: skip

#: What takes the place of an array: the kind of the mistake, and an array or an object.
SPOILT: dict[str, Any] = {
    "shape (4,)": numpy.arange(1.0, 5.0),
    "shape (4, 5)": numpy.arange(1.0, 21.0).reshape(4, 5),
    "shape (3, 2, 2)": numpy.arange(1.0, 13.0).reshape(3, 2, 2),
    "no axes": numpy.asarray(2.0),
    "no elements": numpy.zeros(0),
    "no rows": numpy.zeros((0, 3)),
    "complex": numpy.asarray([1j, 2.0, 3.0]),
    "complex matrix": numpy.asarray([[1j, 2.0, 3.0]] * 3),
    "bool": numpy.asarray([True, False, True]),
    "bool matrix": numpy.ones((3, 3), bool),
    "float32 as index": numpy.asarray([0.5, 1.5, 2.0], "f4"),
    "float16": numpy.ones((3, 3), "f2"),
    "out of bounds": numpy.asarray([0, 7, 1]),
    "negative": numpy.asarray([-9, 0, 1]),
    "text": numpy.asarray(["a", "b", "c"]),
    "objects": numpy.asarray([{}, None, 3], object),
    "dates": numpy.asarray(["2020-01-01"] * 3, "M8[D]"),
    "a string": "text",
    "None": None,
    "an object": object(),
    "ragged": [[1.0, 2.0], [3.0]],
}

#: What takes the place of an integer.
INTEGERS = (99, -99, 1.5, "a", None)

#: What a parameter gets by keyword: the parameter, and bad values of it.
KEYWORDS: dict[str, tuple[Any, ...]] = {
    "axis": (9, -9, 1.5, "a", (0, 0), (0, 9), None),
    "axes": ((9,), (0, 9), (0, 0), "a"),
    "axis1": (9, 1),
    "axis2": (9, 0),
    "dtype": ("nothing", "U3", object, 3),
    "where": (numpy.ones((7, 5), bool), numpy.asarray(2.0)),
    "weights": (numpy.ones(7), numpy.ones((7, 5))),
    "n": (-1, 1.5, "a"),
    "s": ((-1, 2), (2, 2, 2, 2), 1.5),
    "norm": ("some", 3),
    "order": ("Q", 3),
    "mode": ("some", 3),
    "method": ("some", 3),
    "kind": ("some", 3),
    "side": ("some", 3),
    "shape": ((-1, 2), 1.5, "a"),
    "k": (1.5, "a"),
    "initial": ("a", None),
    "keepdims": ("a",),
    "casting": ("some",),
    "ord": ("some", 7, (1, 2)),
    "bins": (0, "some", [3, 1]),
    "range": ((2, 1), (1, 2, 3)),
    "decimals": (1.5, "a"),
    "ddof": ("a",),
    "repeats": (-1, [1, 2, 3, 4, 5, 6, 7]),
    "shift": ("a", (1, 2, 3)),
    "UPLO": ("X",),
}


@dataclass
class BadCall:
    """A call of a function with one bad argument."""

    what: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def of(self, function: Callable[..., Any], ours: bool) -> Any:
        """Return the outcome, on copies of the arrays; as Tensors where the function is ours."""
        convert = _tensors if ours else _copies
        return outcome(lambda: function(*convert(self.args), **{key: convert(one) for key, one in self.kwargs.items()}))


def _copies(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(map(_copies, value))
    return value.copy() if isinstance(value, numpy.ndarray) else value


def _tensors(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(map(_tensors, value))
    return as_tensors(value) if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufc" else value


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's parameters."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def good_calls(function: Callable[..., Any], most: int = 1) -> list[tuple[tuple[Any, ...], Any]]:
    """Return arguments that NumPy's function takes, and what comes of them."""
    found: list[tuple[tuple[Any, ...], Any]] = []
    for args in GOOD:
        result = BadCall("", args, {}).of(function, False)
        if not isinstance(result, Exception):
            found.append((args, result))
            if len(found) == most:
                break
    return found


def bad_calls(theirs: Callable[..., Any], most: int = 1) -> Iterator[BadCall]:
    """Generate calls of a function with one argument spoilt, a position or a keyword; NumPy may accept some."""
    for args, result in good_calls(theirs, most):
        for place, one in enumerate(args):
            many = isinstance(one, (list, tuple)) and any(isinstance(each, numpy.ndarray) for each in one)
            bad: Any
            for what, bad in SPOILT.items() if many or isinstance(one, numpy.ndarray) else ():
                changed = type(one)([*one[:-1], bad]) if many else bad
                yield BadCall(f"argument {place}: {what}", (*args[:place], changed, *args[place + 1 :]), {})
            for bad in INTEGERS if type(one) is int else ():
                yield BadCall(f"argument {place}: {bad!r}", (*args[:place], bad, *args[place + 1 :]), {})
        names = parameters(theirs)
        for name, values in KEYWORDS.items():
            for bad in values if name in names[len(args) :] else ():
                text = f"array of {bad.shape} {bad.dtype}" if isinstance(bad, numpy.ndarray) else repr(bad)
                yield BadCall(f"{name}={text}", args, {name: bad})
        if "out" in names[len(args) :] and isinstance(result, (numpy.ndarray, numpy.generic)):
            yield BadCall("out= of another shape", args, {"out": numpy.zeros((7, 5), result.dtype)})
            yield BadCall("out= of bools", args, {"out": numpy.zeros(result.shape, bool)})
            yield BadCall("out=3", args, {"out": 3})


def functions_of(ours: ModuleType, theirs: ModuleType) -> list[str]:
    """Return the names of functions that both namespaces have."""
    both = (name for name in ours.__all__ if hasattr(theirs, name))
    return sorted(name for name in both if callable(getattr(ours, name)) and not isinstance(getattr(ours, name), type))


def shapes_in(value: Any) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays among arguments."""
    if isinstance(value, (tuple, list)):
        return list(itertools.chain.from_iterable(map(shapes_in, value)))
    return [value.shape] if isinstance(value, numpy.ndarray) else []
