"""Tables of numbers from text files with separators."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.creation import from_numpy
from trueno.tensor import Tensor

#: What stands for a value that is missing, whatever the case of its letters.
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


def read_header(path: str | Path, *, delimiter: str = ",", encoding: str = "utf-8") -> list[str]:
    """Return the names in the first line of a file.

    Parameters
    ----------
    path : str or Path
    delimiter, encoding : str

    Returns
    -------
    list of str
        Without the spaces around them.

    Raises
    ------
    ValueError
        If the file is empty.
    """
    with open(path, newline="", encoding=encoding) as file:
        for row in csv.reader(file, delimiter=delimiter):
            if row:
                return [name.strip() for name in row]
    raise ValueError(f"read_header: {path} has no lines")


def from_csv(
    path: str | Path, *, header: bool = True, columns: Sequence[int | str] | None = None, dtype: Any = dt.float32,
    missing: float | None = math.nan, missing_values: Iterable[str] = MISSING, delimiter: str = ",",
    encoding: str = "utf-8",
) -> Tensor:  # fmt: skip
    """Return the numbers of a table as a tensor.

    Parameters
    ----------
    path : str or Path
        A text file with a row in each line; values may be quoted; empty lines are passed over.
    header : bool
        Whether the first line has the columns' names.
    columns : sequence of int or str, optional
        Which columns to take, and in which order: positions, or names of the header. All of them by default.
    dtype : optional
        Of the result. Integers are read exactly.
    missing : float, optional
        The value in place of a missing one; None: a missing value is an error.
    missing_values : iterable of str
        What counts as missing, besides nothing: words, whose case does not matter.
    delimiter, encoding : str

    Returns
    -------
    Tensor of shape (rows, columns)

    Raises
    ------
    ValueError
        With file, line and column: for what is no number of the dtype, for a missing value if `missing` is None or the
        dtype does not hold it, for lines of unequal lengths, and for columns that do not exist.
    """
    wanted = dt.as_dtype(dtype)
    table = _Table(str(path), wanted, missing, {"", *(one.strip().lower() for one in missing_values)})
    with open(path, newline="", encoding=encoding) as file:
        reader = csv.reader(file, delimiter=delimiter)
        lines = ((reader.line_num, row) for row in reader if row)
        names = [name.strip() for name in next(lines, (0, []))[1]] if header else None
        values, height, width = table.read(lines, names, columns)
    array = np.array(values, dtype=wanted if wanted.kind in "iub" else np.float64)
    return from_numpy(array.reshape(height, width).astype(wanted, copy=False))


class _Table:
    """The values of a table, read line by line."""

    def __init__(self, path: str, dtype: np.dtype, missing: float | None, words: set[str]) -> None:
        self.path, self.dtype, self.missing, self.words = path, dtype, missing, words
        self.integers = not dt.is_floating(dtype)

    def read(
        self, lines: Iterator[tuple[int, list[str]]], names: list[str] | None, columns: Sequence[int | str] | None
    ) -> tuple[list[Any], int, int]:
        """Return the values of the wanted columns, and how many rows and columns they make."""
        width = None if names is None else len(names)
        chosen: list[int] | None = None
        values: list[Any] = []
        height = 0
        for line, row in lines:
            width = len(row) if width is None else width
            if len(row) != width:
                raise ValueError(f"from_csv: {self.path}:{line}: {len(row)} values where other lines have {width}")
            if chosen is None:
                chosen = self._positions(columns, names, width)
            try:
                values.extend(map(int if self.integers else float, (row[k] for k in chosen)))
            except ValueError:
                del values[height * len(chosen) :]
                values.extend(self._value(row[k], line, k, names) for k in chosen)
            height += 1
        if chosen is None:
            chosen = self._positions(columns, names, width or 0)
        if self.integers:
            self._check_range(values, len(chosen))
        return values, height, len(chosen)

    def _positions(self, columns: Sequence[int | str] | None, names: list[str] | None, width: int) -> list[int]:
        if columns is None:
            return list(range(width))
        found = []
        for one in columns:
            if isinstance(one, str):
                if names is None or one not in names:
                    known = "there is no header" if names is None else f"the columns are {', '.join(names)}"
                    raise ValueError(f"from_csv: {self.path}: no column {one!r}: {known}")
                found.append(names.index(one))
            elif -width <= one < width:
                found.append(one % width)
            else:
                raise ValueError(f"from_csv: {self.path}: no column {one}: there are {width}")
        return found

    def _value(self, text: str, line: int, column: int, names: list[str] | None) -> Any:
        """Return the number that a text stands for; what is missing is replaced."""
        name = repr(names[column]) if names else str(column)
        where = f"from_csv: {self.path}:{line}: column {name}"
        if text.strip().lower() in self.words:
            if self.missing is None:
                raise ValueError(f"{where}: the value is missing; say what to take instead with missing=")
            if self.integers and self.missing != self.missing // 1:
                raise ValueError(f"{where}: the value is missing, and {self.dtype} does not hold {self.missing}; take "
                                 "a floating dtype or say what to take instead with missing=")  # fmt: skip
            return int(self.missing) if self.integers else float(self.missing)
        try:
            return int(text) if self.integers else float(text)
        except ValueError:
            raise ValueError(f"{where}: {text!r} is no number of dtype {self.dtype}") from None

    def _check_range(self, values: list[Any], width: int) -> None:
        low, high = (0, 1) if self.dtype == dt.bool_ else (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
        for k, value in enumerate(values):
            if not low <= value <= high:
                raise ValueError(f"from_csv: {self.path}: row {k // width}, column {k % width}: {value} is no number "
                                 f"of dtype {self.dtype}")  # fmt: skip
