"""Functions applied to parts of arrays, windows, text, and the state of errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir.build import normalise_axes
from trueno.np.arguments import NOT_GIVEN, adopt, array, axes, host
from trueno.np.joining import stack
from trueno.np.manipulation import axis_of
from trueno.tensor import Tensor

ndindex, printoptions = np.ndindex, np.printoptions
get_printoptions, set_printoptions = np.get_printoptions, np.set_printoptions
base_repr, binary_repr = np.base_repr, np.binary_repr

#: What NumPy does about floating-point errors that has a counterpart here: nothing that programs could rely on.
_QUIET = (None, "ignore", "warn")


# --- functions of parts -----------------------------------------------------------------------------------------------


def apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Return the results of a function of one-dimensional arrays, called for each line along an axis.

    Parameters
    ----------
    func1d : callable
        ``func1d(line, *args, **kwargs)`` gets Tensors; its results all have one shape.
    axis : int
    arr : array_like
    *args, **kwargs
        Further arguments of the function.

    Returns
    -------
    Tensor
        Of `arr`'s shape with the axis replaced by the shape of a result, in the dtype of the first. It has a gradient.

    Raises
    ------
    AxisError
        The axis is out of bounds.
    ValueError
        There are no lines, or the results have different shapes.
    """
    x = array(arr)
    axis = axis_of("apply_along_axis", axis, x.ndim, x.shape)
    lines = functions.moveaxis(x, axis, -1)
    outer = lines.shape[:-1]
    if 0 in outer:
        raise ValueError(f"apply_along_axis: there are no lines along axis {axis} of an array of shape {x.shape}")
    found = [array(func1d(lines[place], *args, **kwargs)) for place in np.ndindex(outer)]
    joined = stack([one.astype(found[0].dtype, copy=False) for one in found]).reshape((*outer, *found[0].shape))
    inner = range(len(outer), joined.ndim)
    return functions.moveaxis(joined, tuple(inner), tuple(range(axis, axis + len(inner))))


def apply_over_axes(func: Callable, a: Any, axes: Any) -> Tensor:
    """Return the result of a function of an array and an axis, applied to one axis after the other.

    Parameters
    ----------
    func : callable
        ``func(array, axis)`` keeps the number of axes or takes that axis away, which is then put back with extent 1.
    a : array_like
    axes : int or sequence of int

    Raises
    ------
    ValueError
        The function returns something of another number of axes.
    """
    x = array(a)
    ndim = x.ndim
    for axis in np.atleast_1d(np.asarray(axes)).tolist():
        along = axis + ndim if axis < 0 else axis
        found = array(func(x, along))
        if found.ndim == ndim - 1:
            found = functions.unsqueeze(found, along)
        if found.ndim != ndim:
            raise ValueError(f"apply_over_axes: the function is not returning an array of the correct shape: "
                             f"{found.shape} from {x.shape}, axis {along}")  # fmt: skip
        x = found
    return x


class vectorize:
    """A function of numbers as a function of arrays: it is called for each element, by NumPy's `vectorize`.

    Parameters
    ----------
    pyfunc : callable, optional
        Without it the object is a decorator.
    otypes, doc, excluded, cache, signature
        As NumPy's. With a signature the function gets Tensors, without one NumPy's numbers.

    Notes
    -----
    A convenience, as in NumPy: a loop in Python, without gradients.
    """

    def __init__(
        self, pyfunc: Any = NOT_GIVEN, otypes: Any = None, doc: str | None = None, excluded: Any = None,
        cache: bool = False, signature: str | None = None,
    ) -> None:  # fmt: skip
        self._options = {"otypes": otypes, "doc": doc, "excluded": excluded, "cache": cache, "signature": signature}
        self.pyfunc = pyfunc
        if pyfunc is not NOT_GIVEN:
            self._made = np.vectorize(_of_arrays(pyfunc) if signature else pyfunc, **self._options)
            functools.update_wrapper(self, pyfunc, updated=())
            self.__doc__ = doc or pyfunc.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the array of results, or a tuple of arrays where the function returns tuples."""
        if self.pyfunc is NOT_GIVEN:
            return vectorize(*args, **{**self._options, **kwargs})
        made = self._made(*map(_plain, args), **{name: _plain(one) for name, one in kwargs.items()})
        return tuple(map(adopt, made)) if isinstance(made, tuple) else adopt(made)


def _plain(value: Any) -> Any:
    return host(value, "vectorize") if isinstance(value, Tensor) else value


def _of_arrays(function: Callable) -> Callable:
    """Return a function of Tensors as one of ndarrays."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        made = function(*(adopt(one) if isinstance(one, np.ndarray) else one for one in args), **kwargs)
        return tuple(map(_plain, made)) if isinstance(made, tuple) else _plain(made)

    return called


class ndenumerate:
    """Iterator over pairs of an element's index and the element, a 0-d Tensor, in C's order.

    Parameters
    ----------
    arr : array_like
    """

    def __init__(self, arr: Any) -> None:
        self._array = array(arr)
        self._places = np.ndindex(self._array.shape)

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        return self

    def __next__(self) -> tuple[tuple[int, ...], Tensor]:
        place = next(self._places)
        return place, self._array[place]


# --- what an argument is ----------------------------------------------------------------------------------------------


def iterable(y: Any) -> bool:
    """Return whether an object can be iterated over."""
    try:
        iter(y)
    except TypeError:
        return False
    return True


def ndim(a: Any) -> int:
    """Return the number of axes of an array or of what would become one."""
    return len(shape(a))


def shape(a: Any) -> tuple[int, ...]:
    """Return the shape of an array or of what would become one."""
    return tuple(a.shape) if hasattr(a, "shape") else array(a).shape


def size(a: Any, axis: Any = None) -> int:
    """Return the number of elements, or of those along one axis or several."""
    extents = shape(a)
    if axis is None:
        return int(np.prod(extents, dtype=np.int64))
    chosen = axes("size", axis)
    found = chosen if isinstance(chosen, tuple) else (chosen,)
    found = normalise_axes("size", found, len(extents), extents)
    return int(np.prod([extents[one] for one in found], dtype=np.int64))


def shares_memory(a: Any, b: Any, /, max_work: Any = None) -> bool:
    """Return whether two arrays have an element in common; may take long, as NumPy's."""
    return np.shares_memory(host(a, "shares_memory"), host(b, "shares_memory"), max_work)


def may_share_memory(a: Any, b: Any, /, max_work: Any = None) -> bool:
    """Return whether the memory that two arrays span overlaps."""
    return np.may_share_memory(host(a, "may_share_memory"), host(b, "may_share_memory"), max_work)


# --- windows ----------------------------------------------------------------------------------------------------------


def _window(name: str, *arguments: Any) -> Tensor:
    """Return one of NumPy's windows."""
    return adopt(getattr(np, name)(*(one.item() if isinstance(one, Tensor) else one for one in arguments)))


def bartlett(M: int) -> Tensor:
    """Return Bartlett's window (a triangle) of so many points, in float64."""
    return _window("bartlett", M)


def blackman(M: int) -> Tensor:
    """Return Blackman's window (three cosines) of so many points, in float64."""
    return _window("blackman", M)


def hamming(M: int) -> Tensor:
    """Return Hamming's window (a cosine on a pedestal) of so many points, in float64."""
    return _window("hamming", M)


def hanning(M: int) -> Tensor:
    """Return von Hann's window (a raised cosine) of so many points, in float64."""
    return _window("hanning", M)


def kaiser(M: int, beta: float) -> Tensor:
    """Return Kaiser's window (a Bessel function of shape `beta`) of so many points, in float64."""
    return _window("kaiser", M, beta)


# --- text -------------------------------------------------------------------------------------------------------------


def _printable(a: Any, name: str) -> np.ndarray:
    x = host(a, name)
    # NumPy formats bfloat16 as an integer.
    return x.astype(np.float32) if x.dtype == dt.bfloat16 else x


def array2string(a: Any, *args: Any, **kwargs: Any) -> str:
    """Return the elements as text; further arguments are those of NumPy's function."""
    return np.array2string(_printable(a, "array2string"), *args, **kwargs)


def array_repr(
    arr: Any, max_line_width: int | None = None, precision: int | None = None, suppress_small: bool | None = None
) -> str:
    """Return the text by which NumPy shows such an array: ``array([1., 2.])``."""
    return np.array_repr(_printable(arr, "array_repr"), max_line_width, precision, suppress_small)


def array_str(
    a: Any, max_line_width: int | None = None, precision: int | None = None, suppress_small: bool | None = None
) -> str:
    """Return the elements as NumPy's ``str`` shows them: ``[1. 2.]``."""
    return np.array_str(_printable(a, "array_str"), max_line_width, precision, suppress_small)


# --- floating-point errors --------------------------------------------------------------------------------------------


def _only_quiet(name: str, wanted: Iterable[tuple[str, Any]]) -> None:
    for kind, reaction in wanted:
        if reaction not in _QUIET:
            raise ValueError(
                f"{name}: {kind}={reaction!r} cannot be had: Trueno's kernels do not look for floating-point errors. "
                "Check results with isfinite."
            )


class errstate(np.errstate):
    """A context in which floating-point errors are treated so, for what NumPy computes.

    Parameters
    ----------
    call, **kwargs
        As NumPy's; of the reactions "ignore" and "warn".

    Raises
    ------
    ValueError
        For the other reactions.

    Notes
    -----
    Differs from NumPy: kernels raise no warnings, whatever the state; reactions that a program could rely on are
    refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        _only_quiet("errstate", kwargs.items())
        super().__init__(**kwargs)


def geterr() -> dict[str, str]:
    """Return how NumPy treats floating-point errors, by kind; kernels do not look for them."""
    return dict(np.geterr())  # type: ignore[arg-type]


def seterr(
    all: Any = None, divide: Any = None, over: Any = None, under: Any = None, invalid: Any = None
) -> dict[str, str]:  # fmt: skip
    """Set how NumPy treats floating-point errors and return what was set before; see `errstate`.

    Raises
    ------
    ValueError
        For reactions other than "ignore" and "warn".
    """
    wanted = {"all": all, "divide": divide, "over": over, "under": under, "invalid": invalid}
    _only_quiet("seterr", wanted.items())
    return dict(np.seterr(all, divide, over, under, invalid))  # type: ignore[arg-type]


__all__ = [
    "apply_along_axis",
    "apply_over_axes",
    "array2string",
    "array_repr",
    "array_str",
    "bartlett",
    "base_repr",
    "binary_repr",
    "blackman",
    "errstate",
    "get_printoptions",
    "geterr",
    "hamming",
    "hanning",
    "iterable",
    "kaiser",
    "may_share_memory",
    "ndenumerate",
    "ndim",
    "ndindex",
    "printoptions",
    "set_printoptions",
    "seterr",
    "shape",
    "shares_memory",
    "size",
    "vectorize",
]
