"""The forms in which NumPy's functions take their arguments, read once: arrays, axes, shapes, dtypes, ``out``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from trueno import creation, functions
from trueno import dtypes as dt
from trueno.ir import promotion
from trueno.ir.promotion import can_cast
from trueno.runtime import memory
from trueno.runtime.inplace import requires_grad
from trueno.tensor import Tensor

#: Stands for an argument that was not given, where None has a meaning of its own; NumPy's, which its callers hand on.
NOT_GIVEN: Any = np._NoValue
_NUMBERS = (bool, int, float, complex)

# --- in ---------------------------------------------------------------------------------------------------------------


def array(value: Any, dtype: Any = None) -> Tensor:
    """Return an argument as a Tensor: a Tensor as it is, an ndarray without a copy, lists in float64 and int64.

    Parameters
    ----------
    value : array_like
        A Tensor, an ndarray, a number, or nested lists of them.
    dtype : optional
        Wanted dtype; without it a Tensor or an array keeps its own.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        For values that are no numbers and dtypes that are not supported.
    ValueError
        For lists of unequal lengths.
    """
    if isinstance(value, Tensor):
        return value if dtype is None else value.astype(dtype, copy=False)
    if isinstance(value, (list, tuple)) and _recorded(value):
        value = functions.stack([array(one) for one in value])
        return value if dtype is None else value.astype(dtype, copy=False)
    return creation.asarray(value, dtype=dtype, floating=dt.float64)


def _recorded(value: Any) -> bool:
    """Whether nested lists hold a Tensor that requires a gradient."""
    if isinstance(value, (list, tuple)):
        return any(_recorded(one) for one in value)
    return requires_grad(value)


def are_tensors(values: Any) -> bool:
    """Tell whether an argument is a list or tuple of Tensors, one at least, which need no conversion."""
    if type(values) not in (list, tuple) or not values:
        return False
    return all([type(one) is Tensor for one in values])


def arrays(values: Iterable[Any], name: str) -> list[Tensor]:
    """Return a sequence of arrays as Tensors; the rows of one array where it is one.

    Raises
    ------
    TypeError
        For what is no sequence.
    """
    if isinstance(values, (Tensor, np.ndarray)):
        values = list(array(values))
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name}: arrays to join must be given as a sequence such as a list or tuple, "
                        f"not {type(values).__name__}")  # fmt: skip
    return [array(one) for one in values]


def weak(values: Iterable[Any]) -> list[Tensor]:
    """Return values as Tensors, Python numbers among them in the dtype that the others give them; integers wrap."""
    many = list(values)
    if not any(type(one) in _NUMBERS for one in many):
        return [array(one) for one in many]
    given = [one if type(one) in _NUMBERS else array(one) for one in many]
    wanted = promotion.common(tuple(one.dtype if isinstance(one, Tensor) else type(one) for one in given))
    return [array(one).astype(wanted, copy=False) for one in given]


def operand(value: Any) -> Any:
    """Return an operand of an elementwise function: Python numbers stay as they are, since they are weak."""
    return value if isinstance(value, Tensor) or type(value) in _NUMBERS else array(value)


def host(value: Any, name: str) -> np.ndarray:
    """Return an argument as an ndarray on the same memory, for a call of NumPy; history is left behind.

    Raises
    ------
    TypeError
        For a Tensor on another device than the CPU.
    """
    try:
        return memory.host(value)
    except TypeError:
        made = array(value)
    if made._layout.device != "cpu":
        raise TypeError(f"{name}: the array is on {made._layout.device}; move it with .cpu() first")
    return made._view_array()


def adopt(value: Any) -> Tensor:
    """Return what NumPy gave back, an ndarray or a NumPy scalar, as a Tensor that shares its memory."""
    known = memory.adopt(value)
    return creation.from_numpy(np.asarray(value)) if known is None else known


# --- numbers, axes, shapes, dtypes ------------------------------------------------------------------------------------


def index(name: str, value: Any) -> int:
    """Return an argument that must be an integer as an int.

    Raises
    ------
    TypeError
        For anything else.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {type(value).__name__!r} object cannot be interpreted as an integer") from None


def position(name: str, value: Any) -> int:
    """Return an axis or an extent as an int; a bool is none, as in NumPy.

    Raises
    ------
    TypeError
        For bools, for what is no integer, and for arrays with axes.
    """
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: an integer is required, got the bool {value}")
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim:
        raise TypeError(f"{name}: only integer scalar arrays can be converted to a scalar index, got {value.shape}")
    return index(name, value)


def axes(name: str, axis: Any) -> int | tuple[int, ...] | None:
    """Return an ``axis`` argument as None, an int or a tuple of int: hashable, and of Python's own types.

    Whether an axis is in range is for the function itself to say, which knows the shape.
    """
    if axis is None:
        return None
    if isinstance(axis, (tuple, list, range)):
        return tuple(position(name, one) for one in axis)
    return position(name, axis)


def shape(name: str, value: Any) -> tuple[int, ...]:
    """Return a ``shape`` argument, an int or a sequence of them, as a tuple of int.

    Raises
    ------
    TypeError
        For what holds anything but integers.
    ValueError
        For a negative extent.
    """
    items: Sequence[Any]
    if isinstance(value, (tuple, list)):
        items = value
    elif isinstance(value, (Tensor, np.ndarray)) and value.ndim:
        if value.dtype.kind not in "iu":
            raise TypeError(f"{name}: a shape is made of integers, not of {value.dtype}")
        items = value.tolist()
    else:
        items = (value,)
    result = tuple(items) if set(map(type, items)) <= {int} else tuple(position(name, one) for one in items)
    if result and min(result) < 0:
        raise ValueError(f"{name}: negative dimensions are not allowed, got the shape {result}")
    return result


def dtype(value: Any, default: np.dtype | None = None) -> np.dtype | None:
    """Return a ``dtype`` argument as a dtype; `default` for None."""
    if value is None:
        return default
    if isinstance(value, (type, np.dtype)):
        return _dtype_of(value)
    return value.dtype if isinstance(value, Tensor) else dt.as_dtype(value)


#: Types and dtypes are asked for at each call, and making a dtype of a type takes longer than a small kernel.
_dtype_of = functools.lru_cache(256)(dt.as_dtype)


def order(name: str, value: Any, allowed: str = "CFAK") -> str | None:
    """Return an ``order`` argument, a letter that says how elements lie in memory, in upper case; None for none.

    Raises
    ------
    TypeError
        For what is no text.
    ValueError
        For another letter.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name}: order must be str, not {type(value).__name__}")
    if value.upper() not in tuple(allowed):
        raise ValueError(f"{name}: order must be one of {', '.join(map(repr, allowed))} (got {value!r})")
    return value.upper()


def flag(name: str, value: Any) -> bool:
    """Return a ``keepdims`` argument, which may be any integer, as a bool.

    Raises
    ------
    TypeError
        For anything else.
    """
    return bool(value) if isinstance(value, (bool, np.bool_)) else bool(index(name, value))


def mask(name: str, where: Any) -> Tensor:
    """Return a ``where`` argument as an array of bool; lists and numbers are taken for true or false.

    Raises
    ------
    TypeError
        For an array of another dtype.
    """
    found = array(where, np.bool_ if isinstance(where, (list, tuple, int)) else None)
    if found.dtype != np.bool_:
        raise TypeError(
            f"{name}: Cannot cast array data of 'where' from {found.dtype!r} to dtype('bool') according to the rule "
            f"'safe'; the mask has shape {found.shape}"
        )
    return found


# --- out --------------------------------------------------------------------------------------------------------------


def target(name: str, out: Any) -> Any:
    """Return an ``out`` argument (an array, a tuple of one, or None) as the array itself, or None.

    Raises
    ------
    TypeError
        For what is not an array.
    """
    if out is Ellipsis:  # NumPy's word for "an array, not a scalar", which results are anyway
        return None
    if isinstance(out, tuple):
        if len(out) != 1:
            raise ValueError(f"{name}: the out tuple must have exactly one entry, it has {len(out)}")
        (out,) = out
    if out is not None and not isinstance(out, (Tensor, np.ndarray)):
        raise TypeError(f"{name}: return arrays must be of ArrayType, not {type(out).__name__}")
    return out


def finish(result: Any, out: Any = None, *, name: str = "function", casting: str = "same_kind") -> Any:
    """Return a result, written into `out` where that is given.

    Parameters
    ----------
    result : Tensor
    out : Tensor, ndarray or tuple of one, optional
        Of the result's shape; it is what is returned.
    name : str
        Of the function, for the errors.
    casting : str
        Rule by which the result's dtype must be castable to that of `out`.

    Raises
    ------
    TypeError
        Where it is not.
    ValueError
        For an `out` of another shape.
    """
    out = target(name, out)
    if out is None:
        return result
    if tuple(out.shape) != result.shape:
        raise ValueError(f"{name}: output array has shape {tuple(out.shape)}, the result {result.shape}; "
                         "they must be equal")  # fmt: skip
    if not can_cast(result.dtype, dt.as_dtype(out.dtype), casting):
        raise TypeError(f"{name}: cannot cast output from {result.dtype} to {out.dtype} with casting rule {casting!r}")
    into = out if isinstance(out, Tensor) else shared(out, name)
    into[...] = result
    return out


def shared(out: np.ndarray, name: str) -> Tensor:
    """Return a Tensor on an ndarray's memory, for writing into it.

    Raises
    ------
    ValueError
        For an array that is read-only or whose elements are not aligned.
    """
    if not out.flags.writeable:
        raise ValueError(f"{name}: output array is read-only")
    made = creation.from_numpy(out)
    if out.size and made.data_ptr() != out.ctypes.data:
        raise ValueError(f"{name}: the elements of the output array are not aligned or not in native byte order")
    return made
