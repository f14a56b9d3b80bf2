"""Every function of the namespaces, given bad input: NumPy's type of exception, and the function's name and the shapes
in the text. The calls are generated (tests/np/bad_input.py); a conformance run makes more of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

import trueno.np
from tests.np.bad_input import BadCall, bad_calls, functions_of, shapes_in
from tests.np.comparing import error_kind

_SPACES = {"": (trueno.np, numpy), "linalg.": (trueno.np.linalg, numpy.linalg), "fft.": (trueno.np.fft, numpy.fft)}
#: How many good calls of a function are spoilt.
_GOOD_CALLS = 8 if "TRUENO_CONFORMANCE" in os.environ else 1

#: What tells that NumPy did not check its arguments, but ran into an error of Python's: any refusal is as good.
_ACCIDENTS = re.compile(
    "index out of range|has no attribute|not enough values to unpack|too many values|list.remove|invalid literal for"
    "|object is not iterable|object is not subscriptable|not callable|unhashable|unsupported operand|division or modulo"
    "|dispatcher for|reshape\\(\\) takes|len\\(\\) of unsized"
    "|can't multiply sequence|must be integers or slices|slice indices must be"
    "|returned a result with an exception set|truth value of an array"
    "|cannot unpack|not supported between|concatenate str|non-empty take from an empty axes|string to float"
    "|float16 is unsupported in linalg"
    "|object arrays|from python type|only 0-dimensional arrays can be|index 0 is out of bounds for axis 0 with size 0"
)


def _is_foreign(call: BadCall) -> bool:
    """Whether a call brings a dtype that no tensor has (text, objects, dates), or what is no array at all."""

    def foreign(value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return any(map(foreign, value))
        if isinstance(value, numpy.ndarray):
            return value.dtype.kind not in "biufc"
        return value is None or callable(value) or value is object or isinstance(value, str) or type(value) is object

    return foreign(call.args) or foreign(list(call.kwargs.values()))


def _complaint(name: str, call: BadCall, want: Exception, got: Any) -> str | None:
    """Return what is wrong with the outcome of a call that NumPy refuses; None where it is as it should be."""
    accident = _ACCIDENTS.search(str(want)) or isinstance(want, (SystemError, AttributeError))
    if not isinstance(got, Exception):
        return None if accident else f"NumPy raises {want!r}, here is {got!r}"
    kinds: tuple[type[BaseException], ...] = (error_kind(want),)
    if _is_foreign(call):
        kinds += (TypeError, ValueError)
    if accident or "ragged" in call.what:
        kinds += (TypeError, ValueError, IndexError)
    if not isinstance(got, kinds):
        return f"NumPy raises {want!r}, here is {got!r}"
    text = str(got)
    if not re.search(rf"\b{name}\b", text):
        return f"the text does not name the function: {got!r}"
    shapes = shapes_in([*call.args, *call.kwargs.values()])
    if shapes and not any(str(shape) in text for shape in shapes):
        return f"the text names no shape: {got!r}"
    return None


def _cases() -> list[Any]:
    return [
        pytest.param(ours, theirs, name, id=prefix + name)
        for prefix, (ours, theirs) in _SPACES.items()
        for name in functions_of(ours, theirs)
    ]


@pytest.mark.parametrize(("ours", "theirs", "name"), _cases())
def test_bad_input_is_refused_as_in_numpy(
    ours: ModuleType, theirs: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some functions write files
    function, like = getattr(ours, name), getattr(theirs, name)
    complaints = []
    with numpy.printoptions():  # some functions change them
        for call in bad_calls(like, _GOOD_CALLS):
            want = call.of(like, False)
            if isinstance(want, Exception):
                wrong = _complaint(function.__name__, call, want, call.of(function, True))
                complaints += [f"{call.what}: {wrong}"] if wrong else []
    assert not complaints, f"{name}:\n" + "\n".join(complaints)
