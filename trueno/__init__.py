"""Trueno: arrays, automatic differentiation and neural networks from one compiler."""

from __future__ import annotations

import gc as _gc
from typing import TYPE_CHECKING, Any

_collecting = _gc.isenabled()
_gc.disable()  # what is made here lives as long as the process: looking for garbage meanwhile is a tenth of the import
try:
    from trueno import functions as _functions
    from trueno import methods as _methods  # noqa: F401 - puts the functions on the classes
    from trueno.autograd import (  # noqa: F401
        backward,
        enable_grad,
        grad,
        gradcheck,
        gradgradcheck,
        is_grad_enabled,
        no_grad,
        set_grad_enabled,
    )
    from trueno.creation import (  # noqa: F401
        arange,
        asarray,
        empty,
        empty_like,
        eye,
        from_numpy,
        full,
        full_like,
        linspace,
        ones,
        ones_like,
        tensor,
        zeros,
        zeros_like,
    )
    from trueno.dtypes import (  # noqa: F401
        bfloat16,
        bool_,
        float16,
        float32,
        float64,
        int8,
        int16,
        int32,
        int64,
        uint8,
        uint16,
        uint32,
        uint64,
    )
    from trueno.functions import *  # noqa: F403
    from trueno.indexing import getitem, setitem  # noqa: F401
    from trueno.interop import from_dlpack  # noqa: F401
    from trueno.kernel import KernelError, kernel  # noqa: F401
    from trueno.random import manual_seed, rand, randint, randn  # noqa: F401
    from trueno.runtime.device import (  # noqa: F401
        device,
        devices,
        empty_cache,
        memory_statistics,
        reset_memory_statistics,
        synchronize,
    )
    from trueno.runtime.threads import get_num_threads, set_num_threads  # noqa: F401
    from trueno.tensor import Tensor  # noqa: F401
finally:
    if _collecting:
        if not _gc.get_freeze_count():
            # Everything so far is old: else the first allocation would start the collection that was saved.
            _gc.freeze()
            _gc.unfreeze()
        _gc.enable()

if TYPE_CHECKING:
    from trueno.declared import *  # noqa: F403 - put here from the op table below

__version__ = "0.3.0"

for _name in _functions.operations:
    for _alias in (_name, *_functions.ALIASES.get(_name, ())):
        globals()[_alias] = getattr(_functions, _alias)

inf, nan, pi, e = float("inf"), float("nan"), 3.141592653589793, 2.718281828459045
half, float, double, long = float16, float32, float64, int64


def cache_statistics() -> dict[str, Any]:
    """Return this process's counters of the kernel store: compiled, hits, misses and more."""
    from trueno.runtime.store import counters

    return counters()


def __getattr__(name: str) -> Any:
    if name in ("nn", "optim", "data", "linalg", "io", "np"):
        import importlib

        return importlib.import_module(f"trueno.{name}")
    raise AttributeError(f"module 'trueno' has no attribute {name!r}")
