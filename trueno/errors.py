"""What an error's text says beside its cause: the function that was called, and the arrays that it was given.

Checks of Trueno's own name both where they raise. What is raised further down - by NumPy or LAPACK on the memory, by a
row that is a part of a composite, by the reading of an argument - does not know them. The few places through which all
such calls go (operations, library operations, ufuncs, reductions, and the functions marked by `explaining`) add what is
missing on the way out; a call that succeeds pays nothing for it but for the marked functions' frame.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, TracebackType
from typing import Any

import numpy as np

_OWN = tuple(os.path.dirname(os.path.abspath(one)) + os.sep for one in (__file__, np.__file__))
#: What bad arguments raise: not what a device, the memory or the tape complains about.
_OF_INPUT = (TypeError, ValueError, LookupError, ArithmeticError, BufferError)
#: The name of a function that the called one is made of, in front of a text.
_PART = re.compile(r"[a-z_][a-z_0-9]*: ")
#: How many arrays are listed.
_MOST = 6


class KernelError(TypeError):
    """Python code inside a kernel that cannot be recorded; the text names the line and what to write instead."""


def explained(
    error: Exception, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> Exception:
    """Return an error with the function's name and the arrays' shapes and dtypes in its text, where they are missing.

    Parameters
    ----------
    error : Exception
        Its text is changed in place. What a user's own function raised stays as it is.
    name : str
        Of the function that was called.
    args, kwargs
        The arguments; arrays are found in lists and tuples, too.

    Returns
    -------
    Exception
        The same error, but for private subclasses of NumPy's, whose text is made of other things: their public base.
    """
    if not isinstance(error, _OF_INPUT) or isinstance(error, KernelError) or not _raised_here(error.__traceback__):
        return error
    text = str(error)
    described = [(key, one) for key, one in _arrays(args, kwargs or {})]
    known = any(str(tuple(one.shape)) in text for _, one in described)
    prefix = "" if re.search(rf"\b{re.escape(name)}\b", text) else f"{name}: "
    if prefix:
        text = _PART.sub("", text, count=1) if _PART.match(text) else text
    if (known and not prefix) or not (described or prefix):
        return error
    listed = ", ".join(f"{key}{tuple(one.shape)} {one.dtype}" for key, one in described[:_MOST])
    listed += ", ..." if len(described) > _MOST else ""
    suffix = "" if known or not listed else f" (given: {listed})"
    if isinstance(error, np.exceptions.AxisError):
        # Its text is made of the numbers, where it has them, and begins with a prefix then.
        numbers: Any = () if error.axis is None else (error.axis, error.ndim, f"{prefix[:-2]}{suffix}".strip())
        made = np.exceptions.AxisError(*(numbers or (f"{prefix}{text}{suffix}",)))
        return made.with_traceback(error.__traceback__)
    if len(error.args) == 1 and isinstance(error.args[0], str) and not isinstance(error, KeyError):
        error.args = (f"{prefix}{text}{suffix}",)
        return error
    public = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return public(f"{prefix}{text}{suffix}").with_traceback(error.__traceback__)


def explaining(function: FunctionType, module: str) -> Callable[..., Any]:
    """Return a function of the same signature whose errors are `explained`, as a public function of a module.

    It is compiled with the parameters written out: the call behind it then takes a third of what ``*args`` would.
    """
    code = function.__code__
    names = code.co_varnames
    positional, keyword = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    first = positional - len(function.__defaults__ or ())
    wanted = [name if k < first else f"{name}=None" for k, name in enumerate(names[:positional])]
    given = list(names[:positional])
    if code.co_posonlyargcount:
        wanted.insert(code.co_posonlyargcount, "/")
    if code.co_flags & inspect.CO_VARARGS:
        wanted.append(f"*{names[keyword]}")
        given.append(wanted[-1])
    elif keyword > positional:
        wanted.append("*")
    defaults = function.__kwdefaults__ or {}
    wanted += [f"{name}=None" if name in defaults else name for name in names[positional:keyword]]
    given += [f"{name}={name}" for name in names[positional:keyword]]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        wanted.append(f"**{names[keyword + bool(code.co_flags & inspect.CO_VARARGS)]}")
        given.append(wanted[-1])
    made: dict[str, Any] = {"_function": getattr(function, "known", function), "_explained": explained}
    exec(_SOURCE.format(name=function.__name__, wanted=", ".join(wanted), given=", ".join(given)), made)
    call: Any = functools.update_wrapper(made[function.__name__], function)
    call.__defaults__, call.__kwdefaults__, call.__module__ = function.__defaults__, function.__kwdefaults__, module
    return call


_SOURCE = """
def {name}({wanted}):
    try:
        return _function({given})
    except Exception as _error:
        raise _explained(_error, {name!r}, (), dict(locals())) from _error.__cause__
"""


def explain_all(namespace: dict[str, Any]) -> None:
    """Replace the functions that a module's ``__all__`` names by such whose errors are `explained`."""
    for name in namespace["__all__"]:
        if isinstance(namespace[name], FunctionType):
            namespace[name] = explaining(namespace[name], namespace["__name__"])


def _raised_here(traceback: TracebackType | None) -> bool:
    """Whether the innermost frame of a traceback is Trueno's or NumPy's: not one of a function given as argument."""
    if traceback is None:
        return True
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename.startswith(_OWN)


def _arrays(args: Any, kwargs: Mapping[str, Any], depth: int = 2) -> Iterator[tuple[str, Any]]:
    """Give the arrays among arguments, those by keyword with their names."""
    for one in args:
        if isinstance(getattr(one, "shape", None), tuple) and hasattr(one, "dtype"):
            yield "", one
        elif depth and isinstance(one, (list, tuple)):
            yield from _arrays(one[: _MOST + 1], {}, depth - 1)
    for key, one in kwargs.items():
        yield from ((f"{key}: ", found) for _, found in _arrays((one,), {}, depth))
