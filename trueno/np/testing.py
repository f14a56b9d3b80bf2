"""NumPy's assertions for Tensors: ``numpy.testing``, whose functions get the arrays on the tensors' memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy.testing

from trueno.tensor import Tensor


def _plain(value: Any) -> Any:
    """Return an argument with its Tensors as ndarrays, those in lists, tuples and dictionaries too."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if type(value) in (list, tuple):
        return type(value)(_plain(one) for one in value)
    if type(value) is dict:
        return {key: _plain(one) for key, one in value.items()}
    return value


def _of_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_plain, args), **{key: _plain(value) for key, value in kwargs.items()})

    return call


def _is_assertion(name: str) -> bool:
    return name.startswith("assert_") and callable(getattr(numpy.testing, name))


__all__ = [name for name in numpy.testing.__all__ if _is_assertion(name)]
globals().update({name: _of_tensors(getattr(numpy.testing, name)) for name in __all__})
