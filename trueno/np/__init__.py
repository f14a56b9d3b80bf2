"""NumPy's namespace, and the Python array API standard's: ``import trueno.np as np``.

The functions are NumPy's in name, arguments, results and errors; `ndarray` is `trueno.Tensor`. Floating-point numbers
are float64 by default here, float32 in `trueno` itself. Every module of this package that has an ``__all__`` adds its
names.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from types import FunctionType
from typing import Any

from trueno.errors import explaining

#: Namespaces within this one, imported when they are first asked for, and the modules that they are.
_NAMESPACES = {
    "linalg": "trueno.linalg",
    "fft": "trueno.fft",
    "random": "trueno.np.random",
    "testing": "trueno.np.testing",
}

#: The functions, which get their place in the namespace when they are first asked for.
_FUNCTIONS: dict[str, FunctionType] = {}


def _collect() -> list[str]:
    """Put the public names of this package's modules here and return them; a name that two of them have is an error."""
    owners: dict[str, str] = {}
    for found in pkgutil.iter_modules(__path__):
        if found.name in _NAMESPACES or found.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{found.name}")
        for name in getattr(module, "__all__", ()):
            if name in owners:
                raise ImportError(f"trueno.np: {name!r} is made by both {owners[name]!r} and {found.name!r}")
            owners[name] = found.name
            value = getattr(module, name)
            (_FUNCTIONS if isinstance(value, FunctionType) else globals())[name] = value
    return sorted(owners)


__all__ = _collect()  # noqa: PLE0605 - a list, by the function's annotation


@functools.cache
def _public(function: FunctionType) -> Any:
    """Return a function with errors that name it and the arrays: one for all names that it has."""
    return explaining(function, __name__)


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return globals().setdefault(name, _public(_FUNCTIONS[name]))
    if name in _NAMESPACES and importlib.util.find_spec(_NAMESPACES[name]) is not None:
        return importlib.import_module(_NAMESPACES[name])
    if importlib.util.find_spec(f"{__name__}.absent") is not None:
        instead = importlib.import_module(f"{__name__}.absent").ABSENT.get(name)
        if instead is not None:
            raise AttributeError(f"module 'trueno.np' has no attribute {name!r}: {instead}")
    raise AttributeError(f"module 'trueno.np' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_NAMESPACES})
