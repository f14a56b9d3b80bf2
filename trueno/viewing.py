"""Views that functions of one array make, answered in native code once they are known.

A function such as ``flip(x, axis)`` reads its arguments, and makes a view by one or several steps. Where it starts and
which layout it has depends on the array's layout and the other arguments alone, so that the launcher can make the next
one without any of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from trueno.runtime import launcher, memory
from trueno.tensor import Tensor

_Function = TypeVar("_Function", bound=Callable[..., Any])


def viewing(function: _Function) -> _Function:
    """Give a function whose first argument is an array, and which mostly returns a view of it, a form in native code.

    The form is the attribute `known`. It calls the function where it has not seen a call with an array of this layout
    and these arguments; what is recorded for backward, and results that are no views, stay the function's.
    """

    def miss(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if args and _is_view(result, args[0]):
            offset = memory.pointer(result._storage) - memory.pointer(args[0]._storage)
            launcher.install(known, args, kwargs, launcher.View(result._layout, offset))
        return result

    name, module = function.__name__, function.__module__
    known: Any = launcher.function(name, 1, miss, doc=function.__doc__, module=module)
    function.known = known  # type: ignore[attr-defined]
    return function


def known(function: Any) -> Any:
    """Return the native form of a function, the function itself if it has none."""
    return getattr(function, "known", function)


def _is_view(result: Any, x: Any) -> bool:
    """Tell whether a tensor shares another's memory and version, and nothing is recorded for the two."""
    if type(result) is not Tensor or not isinstance(x, Tensor) or result is x or x._layout.device != "cpu":
        return False
    if launcher.grad_enabled() and (memory.taped(x) or memory.taped(result)):
        return False
    return hasattr(result, "_version") and getattr(x, "_version", None) is result._version
