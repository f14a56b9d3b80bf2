"""`@trueno.kernel`: a Python function over arrays becomes one recorded kernel."""

from __future__ import annotations

import functools
import inspect
import linecache
from collections.abc import Callable
from typing import Any

from trueno.errors import KernelError
from trueno.ir.node import Node
from trueno.runtime.operation import Operation, caller


def _refuse(what: str, instead: str) -> KernelError:
    file, line = caller()
    code = linecache.getline(file, line).strip()
    return KernelError(
        f"{file}:{line}: {what} inside a kernel, in `{code}`: values are not known while it is recorded. {instead}"
    )


def _install_refusals() -> None:
    reasons = {
        "__bool__": ("the truth value of an array is used", "Write where(condition, a, b) instead of if, and "
                     "logical_and / logical_or instead of and / or."),
        "__float__": ("an array is turned into a Python float", "Keep it an array; 0-d arrays broadcast."),
        "__int__": ("an array is turned into a Python int", "Keep it an array; use cast(x, dtype=...) for a dtype."),
        "__index__": ("an array is used as an index", "Use gather(x, index, axis=...) for indices that are data."),
        "__iter__": ("an array is iterated over", "Use operations on whole arrays, or x[0], x[1]: constant indices."),
        "__setitem__": ("an element is assigned", "Arrays in a kernel do not change: use where, concatenate or pad."),
        "__array__": ("a NumPy function is called on an array", "Call the function of the same name from trueno."),
        "item": ("item() is called", "Keep the value an array."),
        "numpy": ("numpy() is called", "Return the array from the kernel and convert the result."),
        "backward": ("backward() is called", "Call it on the kernel's result: kernels are differentiated as a whole."),
    }  # fmt: skip
    for name, (what, instead) in reasons.items():

        def refuse(self: Node, *args: Any, what: str = what, instead: str = instead, **kwargs: Any) -> Any:
            raise _refuse(what, instead)

        setattr(Node, name, refuse)
    Node.__array_ufunc__ = None  # type: ignore[attr-defined]


_install_refusals()


def _count_operands(function: Callable) -> int:
    """Return how many leading parameters are arrays or runtime scalars; the rest are static."""
    count = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return -1
        if parameter.kind is parameter.KEYWORD_ONLY or parameter.kind is parameter.VAR_KEYWORD:
            break
        if parameter.default is not parameter.empty and type(parameter.default) is not float:
            break
        count += 1
    return count


def kernel(function: Callable | None = None, *, inplace: tuple[int, ...] = (), name: str | None = None) -> Any:
    """Turn a Python function over arrays into one kernel.

    The function is run once for each new combination of dtypes, layouts and static arguments, on symbolic arrays; what
    it computes is one launch on every backend, and so is its gradient.

    Parameters
    ----------
    function : callable
        Positional parameters without a default, or with a float default, are arrays or Python numbers given at run
        time (no value of theirs causes a compilation); all others (axis, flags) are static.
    inplace : tuple of int
        Output i is written into the memory of operand ``inplace[i]``.
    name : str, optional

    Returns
    -------
    callable
        Takes tensors, NumPy arrays and Python numbers; returns what the function returns, as tensors.

    Raises
    ------
    KernelError
        At the call, when the function does something with an array that cannot be recorded.

    Examples
    --------
    >>> @trueno.kernel
    ... def softmax(x, *, axis):
    ...     e = trueno.exp(x - trueno.max(x, axis, keepdims=True))
    ...     return e / trueno.sum(e, axis, keepdims=True)
    """
    if function is None:
        return functools.partial(kernel, inplace=inplace, name=name)
    operands = _count_operands(function)
    parameters = list(inspect.signature(function).parameters)
    chosen = name or str(getattr(function, "__name__", "kernel"))
    operation = Operation(
        chosen, function, operands, inplace, doc=function.__doc__, names=tuple(parameters[: max(operands, 0)])
    )
    return operation.call
