"""Comparing trueno.np with NumPy: one call on both, results or errors alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import trueno
from trueno import dtypes as dt
from trueno.tensor import Tensor

#: Relative error that a result of each dtype may have; integers and bool are exact.
TOLERANCE = {dt.float16: 2e-3, dt.bfloat16: 1e-2, dt.float32: 2e-6, dt.float64: 1e-13}


def plain(value: Any) -> Any:
    """Return a result with its Tensors as ndarrays."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    return [plain(one) for one in value] if isinstance(value, list) else value


def as_tensors(value: Any) -> Any:
    """Return arguments with their ndarrays as Tensors on copies of the same layout."""
    if isinstance(value, numpy.ndarray):
        return trueno.from_numpy(value.copy(order="K"))
    if isinstance(value, (tuple, list)):
        return type(value)(as_tensors(one) for one in value)
    return value


def same(got: Any, want: Any, what: str = "", exact: bool = False, rtol: float | None = None) -> None:
    """Assert that a result equals NumPy's in value, shape and dtype; containers element by element."""
    if isinstance(want, (tuple, list)):
        assert isinstance(got, (tuple, list)) and len(got) == len(want), what
        for k, (a, b) in enumerate(zip(got, want, strict=True)):
            same(a, b, f"{what}[{k}]", exact, rtol)
        return
    if not isinstance(want, (numpy.ndarray, numpy.generic)):
        assert plain(got) == want, f"{what}: {got!r}, NumPy {want!r}"
        return
    assert isinstance(got, Tensor), f"{what}: {type(got)}"
    array = plain(got)
    assert array.shape == want.shape, f"{what}: shape {array.shape}, NumPy {want.shape}"
    assert array.dtype == want.dtype, f"{what}: dtype {array.dtype}, NumPy {want.dtype}"
    if exact or (want.dtype not in TOLERANCE and rtol is None):
        numpy.testing.assert_array_equal(array, want, err_msg=what)
    else:
        rtol = TOLERANCE[want.dtype] if rtol is None else rtol
        finite = numpy.abs(want[numpy.isfinite(want)])
        atol = rtol * float(finite.max(initial=0)) * 1e-2
        numpy.testing.assert_allclose(array, want, rtol=rtol, atol=atol, err_msg=what)


def outcome(call: Callable[[], Any]) -> tuple[Any, type | None]:
    """Return a call's result and None, or None and the type of its error."""
    try:
        with numpy.errstate(all="ignore"):
            return call(), None
    except Exception as error:
        return None, type(error)


def same_error(ours: Callable[[], Any], theirs: Callable[[], Any], what: str = "") -> None:
    """Assert that NumPy's call fails, and that ours fails with an error of that type."""
    _, wanted = outcome(theirs)
    assert wanted is not None, f"NumPy accepts {what}"
    result, raised = outcome(ours)
    assert raised is not None, f"{what}: NumPy raises {wanted.__name__}, here it gives {result!r}"
    # NumPy's errors of casting are private subclasses of TypeError.
    public = next(one for one in wanted.__mro__ if not one.__name__.startswith(("_", "UFunc")))
    assert issubclass(raised, public), f"{what}: {raised.__name__}, NumPy {wanted.__name__}"


def check(name: str, *args: Any, **kwargs: Any) -> None:
    """Assert that a function of the namespace gives what NumPy's gives, result or error, for ndarrays as Tensors."""
    import trueno.np

    what = f"{name}({', '.join(map(str, args))}, {kwargs})"
    theirs, ours = getattr(numpy, name), getattr(trueno.np, name)
    want, error = outcome(lambda: theirs(*args, **kwargs))
    given = tuple(as_tensors(one) for one in args)
    keywords = {key: as_tensors(value) for key, value in kwargs.items()}
    if error is None:
        same(ours(*given, **keywords), want, what)
    else:
        same_error(lambda: ours(*given, **keywords), lambda: theirs(*args, **kwargs), what)
