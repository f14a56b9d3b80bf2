"""What NumPy's arrays have besides operations: flags, ``flat``, text, bytes, and methods that trueno.np computes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.runtime import launcher
from trueno.runtime.inplace import requires_grad, version_of

if TYPE_CHECKING:
    from trueno.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Flags:
    """How a Tensor's elements lie in memory; read by attribute, or by NumPy's names: ``flags["C_CONTIGUOUS"]``.

    Attributes
    ----------
    c_contiguous, f_contiguous : bool
        Whether the elements lie without gaps in C order, and in Fortran's.
    writeable : bool
        Whether elements can be assigned to.
    aligned : bool
        Whether addresses are multiples of an element's size, which they always are.

    Notes
    -----
    Differs from NumPy: there is no OWNDATA, since memory belongs to all arrays that share it; and flags are only read.
    """

    c_contiguous: bool
    f_contiguous: bool
    writeable: bool
    aligned: bool = True
    writebackifcopy: bool = False

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        return self.c_contiguous

    @property
    def forc(self) -> bool:
        """Whether the elements lie without gaps, in either order."""
        return self.c_contiguous or self.f_contiguous

    @property
    def fnc(self) -> bool:
        """Whether the elements lie in Fortran's order and not in C's."""
        return self.f_contiguous and not self.c_contiguous

    @property
    def behaved(self) -> bool:
        """Whether the elements are aligned and can be assigned to."""
        return self.aligned and self.writeable

    @property
    def carray(self) -> bool:
        """Whether `behaved`, in C order."""
        return self.behaved and self.c_contiguous

    @property
    def farray(self) -> bool:
        """Whether `behaved`, in Fortran's order and not in C's."""
        return self.behaved and self.fnc

    def __getitem__(self, name: str) -> bool:
        short = {"C": "c_contiguous", "F": "f_contiguous", "W": "writeable", "A": "aligned"}
        try:
            found = getattr(self, short.get(name, name.lower()))
        except AttributeError:
            raise KeyError(f"Unknown flag {name!r}") from None
        return bool(found)

    def __str__(self) -> str:
        names = ("c_contiguous", "f_contiguous", "writeable", "aligned", "writebackifcopy")
        return "\n".join(f"  {name.upper()} : {getattr(self, name)}" for name in names)


class Flat:
    """The elements of a Tensor as one axis in C order: indexing reads them, assigning writes them."""

    def __init__(self, base: Tensor) -> None:
        self.base = base

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.copy())

    def __getitem__(self, index: Any) -> Tensor:
        return self.base.ravel()[index].clone()

    def __setitem__(self, index: Any, value: Any) -> None:
        from trueno.creation import asarray, from_numpy

        base = self.base
        line = base.reshape(-1) if base.is_contiguous() else base.ravel().clone()
        wanted = line[index].size
        given = asarray(value, dtype=base.dtype).ravel()
        if given.size not in (1, wanted):
            # NumPy begins again where the values end.
            given = from_numpy(np.resize(given.detach().cpu()._view_array(), wanted))
        line[index] = given.reshape(line[index].shape) if given.size == wanted else given
        if not base.is_contiguous():
            base[...] = line.reshape(base.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.copy().cpu()._view_array(), dtype)

    def copy(self) -> Tensor:
        """Return the elements as a Tensor of one axis."""
        return self.base.detach().ravel().clone()


def _by_numpy(name: str) -> Callable[..., Any]:
    """Return the method that a function of trueno.np is; the namespace is imported when it is first called."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module("trueno.np"), name)(self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Return ``trueno.np.{name}`` of the array and the arguments."
    return method


class Attributes:
    """Members of NumPy's arrays that are no operations."""

    __slots__ = ()

    @property
    def flags(self: Any) -> Flags:
        """How the elements lie in memory; see `Flags`."""
        layout = self._layout
        ordered = [s for n, s in zip(layout.shape, layout.strides, strict=True) if n != 1]
        expected, step = [], 1
        for extent in layout.shape:
            if extent != 1:
                expected.append(step)
            step *= extent
        fortran = layout.size == 0 or ordered == expected
        return Flags(layout.contiguous, fortran, not layout.readonly)

    @property
    def flat(self: Any) -> Flat:
        """The elements as one axis in C order, for reading and writing."""
        return Flat(self)

    @flat.setter
    def flat(self: Any, value: Any) -> None:
        Flat(self)[:] = value

    @property
    def ctypes(self: Any) -> Any:
        """NumPy's object for passing the array to foreign functions."""
        return self.numpy().ctypes

    def __str__(self: Any) -> str:
        from trueno.printing import plain

        return plain(self)

    def __trunc__(self: Any) -> int:
        return int(self)

    def __round__(self: Any, ndigits: int | None = None) -> Any:
        if self.ndim:
            raise TypeError(f"round() takes 0-d arrays, not shape {self.shape}; use the method round")
        return round(self.item(), ndigits)

    def tobytes(self: Any, order: str = "C") -> bytes:
        """Return the elements' bytes, in C order unless `order` says otherwise."""
        return self.detach().cpu()._view_array().tobytes(order)

    def tofile(self: Any, fid: Any, sep: str = "", format: str = "%s") -> None:
        """Write the elements to a file, as bytes, or as text with `sep` between them; see `numpy.fromfile`."""
        self.detach().cpu()._view_array().tofile(fid, sep, format)

    def fill(self: Any, value: Any) -> None:
        """Set all elements to a value."""
        self[...] = value

    def sort(self: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None) -> None:
        """Sort the elements along an axis in place; ``trueno.np.sort`` returns a sorted copy."""
        self[...] = _by_numpy("sort")(self, axis, kind, order, stable=stable)

    def partition(self: Any, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None) -> None:
        """Put the elements in place so that the k-th is where a sorted axis has it, smaller ones before it."""
        self[...] = _by_numpy("partition")(self, kth, axis, kind, order)

    def compress(self: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """Return the elements along an axis where a condition holds: ``trueno.np.compress``."""
        return _by_numpy("compress")(condition, self, axis, out)

    argpartition = _by_numpy("argpartition")
    argsort = _by_numpy("argsort")
    choose = _by_numpy("choose")
    diagonal = _by_numpy("diagonal")
    dot = _by_numpy("dot")
    nonzero = _by_numpy("nonzero")
    put = _by_numpy("put")
    repeat = _by_numpy("repeat")
    searchsorted = _by_numpy("searchsorted")
    take = _by_numpy("take")
    trace = _by_numpy("trace")


def view(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Return the same memory under another shape, or read as another dtype.

    Parameters
    ----------
    *shape : int, tuple of int or dtype
        Extents, as `reshape` takes them; or one dtype, whose elements the bytes are read as; nothing: an alias.
    dtype : dtype, optional
        The same by its name in NumPy.

    Raises
    ------
    TypeError
        For a dtype, where the tensor is not on the CPU.
    ValueError
        The bytes of the last axis are not whole elements of the dtype, or not aligned as such.
    RuntimeError
        For another floating-point or complex dtype, where the tensor requires a gradient.
    """
    from trueno.functions import reshape

    shape = shape if dtype is None else (*shape, dt.as_dtype(dtype))
    if not shape:
        return x[...]
    if len(shape) > 1 or isinstance(shape[0], (int, np.integer, tuple, list)):
        return reshape(x, *shape)
    from trueno.creation import from_numpy

    x._need_cpu("view")
    wanted = dt.as_dtype(shape[0])
    if dt.is_inexact(wanted) and launcher.grad_enabled() and requires_grad(x):
        if wanted == x.dtype:
            return x[...]
        raise RuntimeError(
            f"view: a tensor of shape {x.shape}, {x.dtype}, that requires a gradient cannot be read as {wanted}, which "
            "has no gradient; use detach(), or astype for the same numbers in another dtype"
        )
    array = x.detach()._view_array().view(wanted)
    result = from_numpy(array)
    if array.size and result.data_ptr() != array.ctypes.data:
        raise ValueError(
            f"view: a tensor of shape {x.shape}, {x.dtype}, cannot be read as {wanted} without a copy: its elements "
            f"would not lie at multiples of {wanted.itemsize} bytes; copy it first (clone())"
        )
    result._version = version_of(x)
    return result


def rounded(x: Tensor, decimals: int = 0, out: Any = None) -> Any:
    """Return the values rounded to a number of decimals, halves to even; `out` is as of `trueno.np.round`."""
    from trueno.functions import operations

    if out is not None:
        return importlib.import_module("trueno.np").round(x, decimals, out)
    return operations["around"].call(x, decimals=decimals) if decimals else operations["round"].call(x)
