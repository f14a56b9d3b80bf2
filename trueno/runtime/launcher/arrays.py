"""What the launchers know of NumPy's arrays: where their parts lie, and the layouts that tensors on them have."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

from trueno import dtypes as dt
from trueno.runtime.launcher.abi import (
    DESCRIPTION,
    FLAG_ALIGNED,
    FLAG_WRITEABLE,
    MAX_DIMENSIONS,
    STORED_BOOL,
    STORED_FLOAT32,
    STORED_FLOAT64,
    STORED_SIGNED,
    STORED_UNSIGNED,
    WORD,
)
from trueno.runtime.layout import Layout, layout_of

_NEW_FROM_DESCRIPTOR, _SET_BASE = 94, 282  # places in the table of NumPy's C API, part of its ABI

#: How the elements of a dtype are written from Python numbers; 0: not by native code.
_CODES = {
    dtype: {"b": STORED_BOOL, "i": STORED_SIGNED, "u": STORED_UNSIGNED, "f": 0}[dt.kind_class(dtype)]
    for dtype in dt.ALL
} | {dt.float32: STORED_FLOAT32, dt.float64: STORED_FLOAT64}


_descriptions: dict[Layout, bytes] = {}


def functions() -> tuple[int, int]:
    """Return the addresses of PyArray_NewFromDescr and PyArray_SetBaseObject."""
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    table = ctypes.cast(get(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_int64))
    return table[_NEW_FROM_DESCRIPTOR], table[_SET_BASE]


def scalar_types() -> list[tuple[type, Layout]]:
    """Return NumPy's scalar types whose value lies behind the object's header, with the layouts of such values."""
    return [(dtype.type, layout_of(dtype, ())) for dtype in dt.ALL if dtype.type.__basicsize__ >= 3 * WORD]


def describe(layout: Layout) -> bytes:
    """Return the words of DESCRIPTION, extents and byte strides of a layout on the CPU; the layout keeps them.

    Raises
    ------
    TypeError
        For a layout on another device.
    """
    if layout.device != "cpu":
        raise TypeError(f"the tensor is on {layout.device}; move it with .cpu() first")
    itemsize = layout.dtype.itemsize
    words = {
        "dtype": id(layout.dtype),
        "kind": len(layout.shape) | _flags(layout) << 32,
        "element": id(layout_of(layout.dtype, ())),
        "itemsize": itemsize,
        "code": _CODES.get(layout.dtype, 0),
        "nbytes": layout.nbytes,
        "dense": int(layout.contiguous),
    }
    head = [words[name] for name in DESCRIPTION if name != "size"]
    strides = [stride * itemsize for stride in layout.strides]
    made = struct.pack(f"={len(head) + 2 * len(strides)}q", *head, *layout.shape, *strides)
    # Native code keeps addresses into the bytes: where two threads describe a layout, both must give it the same.
    layout.description = _descriptions.setdefault(layout, made)
    return layout.description


def _flags(layout: Layout) -> int:
    return FLAG_ALIGNED | (0 if layout.readonly else FLAG_WRITEABLE)


def key_of_array(array: np.ndarray) -> tuple[int, ...] | None:
    """Return what decides about the layout of an array, as native code reads it; None for too many axes."""
    if array.ndim > MAX_DIMENSIONS:
        return None
    flags = array.flags.num & (FLAG_ALIGNED | FLAG_WRITEABLE)
    return id(array.dtype), array.ndim | flags << 32, *array.shape, *array.strides


def key_of_view(layout: Layout, source: Layout) -> tuple[int, ...]:
    """Return the key of a view's layout, with the dtype object of the layout that it is a view of."""
    itemsize = layout.dtype.itemsize
    kind = len(layout.shape) | _flags(layout) << 32
    return id(source.dtype), kind, *layout.shape, *[stride * itemsize for stride in layout.strides]


def array_on(layout: Layout, address: int, owner: Any) -> np.ndarray:
    """Return the array of a layout at an address; it keeps the owner of the memory."""
    if layout.size == 0:
        array = np.empty(layout.shape, layout.dtype)
    else:
        itemsize = layout.dtype.itemsize
        reach = [(extent - 1) * stride for extent, stride in zip(layout.shape, layout.strides, strict=True)]
        low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
        raw = (ctypes.c_char * ((high - low + 1) * itemsize)).from_address(address + low * itemsize)
        raw._owner = owner  # type: ignore[attr-defined]
        buffer: Any = raw
        strides = tuple([stride * itemsize for stride in layout.strides])
        array = np.ndarray(layout.shape, layout.dtype, buffer, -low * itemsize, strides)
    if layout.readonly:
        array.flags.writeable = False
    return array
