"""Arrays from and to files, in NumPy's formats: .npy, .npz, text, raw memory, files mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from trueno import dtypes as dt
from trueno.np import arguments
from trueno.tensor import Tensor


class _Names:
    """The items of a mapping as attributes."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self._mapping = mapping

    def __getattr__(self, name: str) -> Any:
        try:
            return self._mapping[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> list[str]:
        return list(self._mapping)


class NpzFile(Mapping[str, Tensor]):
    """The arrays of an .npz file by name, each read when it is asked for; a context manager, which closes the file.

    Attributes
    ----------
    files : list of str
        The names.
    zip, fid
        The open archive, and the file that it is read from.
    f
        The arrays as attributes: ``npz.f.name``.
    """

    def __init__(self, archive: Any) -> None:
        self._archive = archive
        self.files: list[str] = archive.files
        self.f = _Names(self)

    def __getitem__(self, key: str) -> Tensor:
        return arguments.adopt(self._archive[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return repr(self._archive)

    def __getattr__(self, name: str) -> Any:
        if name in ("zip", "fid"):
            return getattr(self._archive, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()


def _stored(value: Any, name: str) -> np.ndarray:
    """Return an array as NumPy stores it."""
    array = arguments.host(value, name)
    if array.dtype == dt.bfloat16:
        raise TypeError(f"{name}: NumPy's format has no bfloat16; store astype('float32'), which loses nothing")
    return array


def load(
    file: Any, mmap_mode: Any = None, allow_pickle: bool = False, fix_imports: bool = True, encoding: str = "ASCII", *,
    max_header_size: int = 10000,
) -> Any:  # fmt: skip
    """Return the array of an .npy file, or the arrays of an .npz file.

    Parameters
    ----------
    file : str, Path or binary file
    mmap_mode : {None, "r", "r+", "w+", "c"}
        Map an .npy file into memory instead of reading it: for reading; for writing; with changes that are not written.
    allow_pickle, fix_imports, encoding, max_header_size
        As in NumPy.

    Returns
    -------
    Tensor or NpzFile

    Raises
    ------
    OSError, ValueError
        If the file cannot be read.
    TypeError
        For an array of a dtype that Trueno does not have.
    """
    found = np.load(file, mmap_mode, allow_pickle, fix_imports, encoding, max_header_size=max_header_size)  # type: ignore[arg-type]
    return NpzFile(found) if hasattr(found, "files") else arguments.adopt(found)


def save(file: Any, arr: Any, allow_pickle: bool = True) -> None:
    """Write an array to an .npy file.

    Raises
    ------
    TypeError
        For bfloat16, and for an array on another device.
    """
    np.save(file, _stored(arr, "save"), allow_pickle=allow_pickle)


def savez(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Write arrays to an .npz file, under the names ``arr_0``, ``arr_1``, ... and those of keywords.

    Raises
    ------
    TypeError
        For bfloat16, and for an array on another device.
    """
    np.savez(file, *_many(args), allow_pickle=allow_pickle, **_named(kwds))


def savez_compressed(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Write arrays to an .npz file and compress them; see `savez`."""
    np.savez_compressed(file, *_many(args), allow_pickle=allow_pickle, **_named(kwds))


def _many(arrays: tuple[Any, ...]) -> list[np.ndarray]:
    return [_stored(one, "savez") for one in arrays]


def _named(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: _stored(one, "savez") for name, one in arrays.items()}


def loadtxt(
    fname: Any, dtype: Any = float, comments: Any = "#", delimiter: Any = None, converters: Any = None,
    skiprows: int = 0, usecols: Any = None, unpack: bool = False, ndmin: int = 0, encoding: Any = None,
    max_rows: int | None = None, *, quotechar: str | None = None,
) -> Tensor:  # fmt: skip
    """Return the numbers of a text file; parameters as in NumPy.

    Returns
    -------
    Tensor
        Of `dtype`; 2-D unless there is one row or column. Columns first with `unpack`.

    Raises
    ------
    ValueError
        For what is no number, and for lines of unequal lengths.
    TypeError
        For a dtype that Trueno does not have, as structured ones.
    """
    dimensions: Any = ndmin
    found = np.loadtxt(
        fname, dt.as_dtype(dtype), comments, delimiter, converters, skiprows, usecols, unpack, dimensions, encoding,
        max_rows, quotechar=quotechar,
    )  # fmt: skip
    return arguments.adopt(found)


def savetxt(
    fname: Any, X: Any, fmt: Any = "%.18e", delimiter: str = " ", newline: str = "\n", header: str = "",
    footer: str = "", comments: str = "# ", encoding: str | None = None,
) -> None:  # fmt: skip
    """Write a 1-D or 2-D array as text; parameters as in NumPy.

    Raises
    ------
    ValueError
        For more dimensions.
    """
    np.savetxt(fname, arguments.host(X, "savetxt"), fmt, delimiter, newline, header, footer, comments, encoding)


def genfromtxt(
    fname: Any, dtype: Any = float, comments: Any = "#", delimiter: Any = None, skip_header: int = 0,
    skip_footer: int = 0, converters: Any = None, missing_values: Any = None, filling_values: Any = None,
    usecols: Any = None, names: Any = None, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """Return the numbers of a text file, with missing values replaced; parameters as in NumPy.

    Raises
    ------
    ValueError
        For lines of unequal lengths.
    TypeError
        Where the result would have named fields (`names`, or a dtype that is None for columns that differ).
    """
    found = np.genfromtxt(
        fname, dtype=dtype, comments=comments, delimiter=delimiter, skip_header=skip_header, skip_footer=skip_footer,
        converters=converters, missing_values=missing_values, filling_values=filling_values, usecols=usecols,
        names=names, **kwargs,
    )  # fmt: skip
    if found.dtype.names is not None:
        raise TypeError(
            f"genfromtxt: there are no arrays with named fields, as {found.dtype.names}; use trueno.io.from_csv"
        )
    return arguments.adopt(found)


def fromfile(file: Any, dtype: Any = float, count: int = -1, sep: str = "", offset: int = 0) -> Tensor:
    """Return the elements that a file holds as raw memory or, with `sep`, as text; parameters as in NumPy."""
    return arguments.adopt(np.fromfile(file, dt.as_dtype(dtype), count, sep, offset))


def memmap(
    filename: Any, dtype: Any = np.uint8, mode: Any = "r+", offset: int = 0, shape: Any = None, order: Any = "C"
) -> Tensor:
    """Return an array on the memory of a mapped file; parameters as in NumPy.

    What is written to it is in the file when the array and its views are gone.

    Differs from NumPy: the result is an ordinary array, without ``flush``; mode "r" makes it read-only.

    Raises
    ------
    OSError, ValueError
        If the file cannot be mapped.
    """
    return arguments.adopt(np.memmap(filename, dt.as_dtype(dtype), mode, offset, shape, order))


def open_memmap(
    filename: Any, mode: Any = "r+", dtype: Any = None, shape: Any = None, fortran_order: bool = False,
    version: Any = None, *, max_header_size: int = 10000,
) -> Tensor:  # fmt: skip
    """Return an array on the memory of a mapped .npy file, which mode "w+" makes; parameters as in numpy.lib.format."""
    wanted = None if dtype is None else dt.as_dtype(dtype)
    return arguments.adopt(
        npy.open_memmap(filename, mode, wanted, shape, fortran_order, version, max_header_size=max_header_size)
    )


__all__ = [
    "fromfile", "genfromtxt", "load", "loadtxt", "memmap", "open_memmap", "save", "savetxt", "savez",
    "savez_compressed",
]  # fmt: skip
