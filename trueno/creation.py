"""Making tensors: from Python and NumPy, filled, and with regular values."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir.promotion import holds
from trueno.runtime import device as devices
from trueno.runtime import memory
from trueno.runtime.layout import layout_of
from trueno.tensor import Tensor, wrap

#: Bytes up to which NumPy fills an array.
_SMALL = 1 << 14
_NUMBERS = (int, float, bool)


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor on the CPU that shares a NumPy array's memory; it is read-only if the array is.

    Raises
    ------
    TypeError
        For something that is not an array, and for dtypes that are not supported.
    """
    known = memory.adopt(array)
    if known is not None:
        return known
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    dtype = dt.as_dtype(array.dtype)
    itemsize = dtype.itemsize
    steps = [step for step, extent in zip(array.strides, array.shape, strict=True) if extent > 1]
    aligned = array.flags.aligned and array.dtype.isnative and all(step % itemsize == 0 for step in steps)
    if not aligned:
        array = np.array(array, dtype=dtype)
    strides = tuple(step // itemsize for step in array.strides)
    layout = layout_of(dtype, array.shape, strides, "cpu", not array.flags.writeable)
    memory.learn(array, layout)
    return wrap(memory.wrap(array.ctypes.data, array), layout)


def tensor(
    data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, *, floating: np.dtype = dt.float32
) -> Tensor:
    """Return a new tensor with a copy of the data.

    Parameters
    ----------
    data : array_like or Tensor
        Numbers, nested lists, NumPy arrays. Python floats become float32, as in PyTorch; arrays keep their dtype.
    dtype : optional
    device : optional
    requires_grad : bool
    floating : dtype
        What Python floats become where no dtype is asked for.
    """
    if isinstance(data, Tensor):
        result = data.detach().clone()
        result = result if dtype is None else result.astype(dtype, copy=False)
    else:
        typed = hasattr(data, "dtype") or hasattr(data, "__array_interface__")
        # Lists are read in the dtype asked for: NumPy's guess for integers beyond int64 would be float64.
        array = np.array(data) if typed or dtype is None else np.array(data, dt.as_dtype(dtype))
        if array.dtype == object:
            array = np.array([np.asarray(one) for one in data])
        if dtype is None and not typed and array.dtype == np.float64 and not _holds_arrays(data):
            dtype = floating
        result = from_numpy(array.astype(dt.as_dtype(array.dtype if dtype is None else dtype), copy=False))
    place = devices.current_device() if device is None else str(device)
    result = result.to(place)
    return result.requires_grad_() if requires_grad else result


def _holds_arrays(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return hasattr(data, "dtype")


def asarray(
    data: Any, dtype: Any = None, device: Any = None, copy: bool | None = None, *, floating: np.dtype = dt.float32
) -> Tensor:
    """Return the data as a tensor, without a copy where none is needed."""
    if isinstance(data, Tensor):
        result = data if dtype is None else data.astype(dtype, copy=False)
        result = result if device is None else result.to(device=device)
        return result.clone() if copy and result is data else result
    if isinstance(data, memoryview) and not copy:
        data = np.asarray(data)
    if isinstance(data, np.ndarray) and not copy:
        result = from_numpy(data if dtype is None else data.astype(dt.as_dtype(dtype), copy=False))
        return result if device is None else result.to(device=device)
    return tensor(data, dtype=dtype, device=device, floating=floating)


def shape_of(shape: tuple) -> tuple[int, ...]:
    """Return a shape that was given as one sequence or as separate extents; a negative one is a ValueError."""
    items = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    result = tuple(map(operator.index, items))
    if result and min(result) < 0:
        raise ValueError(f"negative dimensions are not allowed: {result}")
    return result


def finished(result: Tensor, requires_grad: bool) -> Tensor:
    """Return a new tensor as its maker's caller asked for it."""
    return result.requires_grad_() if requires_grad else result


def empty(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of a shape whose elements are not set."""
    wanted = dt.float32 if dtype is None else dt.as_dtype(dtype)
    place = devices.current_device() if device is None else devices.check_device(str(device))
    extents = shape_of(shape)
    if math.prod(extents) * wanted.itemsize > sys.maxsize:
        raise ValueError(f"array of shape {extents} and dtype {wanted} is too big: it has more bytes than addresses")
    layout = layout_of(wanted, extents, None, place)
    nbytes = max(layout.nbytes, 1)
    storage = memory.allocate(nbytes) if place == "cpu" else devices.opencl_device(place).allocate(nbytes)
    return finished(wrap(storage, layout), requires_grad)


def full(shape: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of a shape filled with a value."""
    if dtype is None:
        given = fill_value.dtype if hasattr(fill_value, "dtype") else type(fill_value)
        dtype = {bool: dt.bool_, int: dt.int64, float: dt.float32}.get(given, given)
    extents = shape_of((shape,))
    result = filled(extents, fill_value, dt.as_dtype(dtype), device) if type(fill_value) in _NUMBERS else None
    if result is None:
        result = empty(extents, dtype=dtype, device=device)
        result[...] = fill_value
    return finished(result, requires_grad)


def filled(
    extents: tuple[int, ...], value: float, dtype: np.dtype, device: Any = None, fortran: bool = False
) -> Tensor | None:
    """Return a small tensor of one number on the CPU, which NumPy fills before a kernel has been launched.

    None where it is not small, is on another device, or where the dtype does not hold the number.
    """
    if type(value) is float and not dt.is_inexact(dtype):
        return None
    place = devices.current_device() if device is None else str(device)
    if place != "cpu" or math.prod(extents) * dtype.itemsize > _SMALL or not holds(dtype, value):
        return None
    order: Any = "F" if fortran else "C"
    return from_numpy(np.full(extents, value, dtype, order) if value else np.zeros(extents, dtype, order))


def zeros(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros."""
    return full(shape_of(shape), 0, dt.float32 if dtype is None else dtype, device, requires_grad)


def ones(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones."""
    return full(shape_of(shape), 1, dt.float32 if dtype is None else dtype, device, requires_grad)


def _like(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def like(other: Tensor, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        other = asarray(other)
        wanted = other.dtype if dtype is None else dtype
        return make(
            other.shape,
            *args,
            dtype=wanted,
            device=other.device if device is None else device,
            requires_grad=requires_grad,
        )

    name = make.__name__
    like.__name__ = f"{name}_like"
    like.__doc__ = f"Return what `{name}` gives for another tensor's shape, dtype and device."
    return like


empty_like, zeros_like, ones_like, full_like = (_like(one) for one in (empty, zeros, ones, full))


def arange(
    start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return evenly spaced values in [start, stop), as `numpy.arange`; floats are float32 unless `dtype` is given."""
    array = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    wanted = dt.float32 if dtype is None and array.dtype.kind == "f" else array.dtype if dtype is None else dtype
    return finished(
        from_numpy(array.astype(dt.as_dtype(wanted))).to(devices.current_device() if device is None else str(device)),
        requires_grad,
    )


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `num` evenly spaced values from start to stop, as `numpy.linspace`; float32 unless `dtype` is given."""
    array = np.linspace(start, stop, num, endpoint)
    wanted = dt.float32 if dtype is None else dt.as_dtype(dtype)
    return finished(
        from_numpy(array.astype(wanted)).to(devices.current_device() if device is None else str(device)), requires_grad
    )


def eye(
    rows: int,
    columns: int | None = None,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a matrix with ones on the k-th diagonal and zeros elsewhere."""
    array = np.eye(rows, columns, k, dtype=dt.float32 if dtype is None else dt.as_dtype(dtype))
    return finished(from_numpy(array).to(devices.current_device() if device is None else str(device)), requires_grad)
