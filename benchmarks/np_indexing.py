"""Indexing, searching and sorting next to NumPy: python -m benchmarks.np_indexing.

--ops take,mask,sort selects; --sizes 100,10K as everywhere; --quick takes 100 and 1M.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.beside_numpy import beside_numpy
from benchmarks.harness import Case, Experiment
from benchmarks.program import parse, run

NO_SLOWER = {"numpy": 1.0}
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)

STATEMENTS = {
    "take": "x[i]",
    "take rows": "rows[i % len(rows)]",
    "mask": "x[m]",
    "mask by comparison": "x[x > 0.5]",
    "assign by index": ("y[i] = v", "y"),
    "assign by mask": ("y[m] = 0.0", "y"),
    "assign masked values": ("y[m] = z[m]", "y"),
    "add by index": ("np.add.at(y, i, v); y[...] = x", "y"),
    "nonzero": "np.nonzero(m)[0]",
    "where": "np.where(m, x, z)",
    "sort": "np.sort(x)",
    "argsort": "np.argsort(x)",
    "unique": "np.unique(k)",
    "searchsorted": "np.searchsorted(s, x)",
    "isin": "np.isin(k, few)",
    "bincount": "np.bincount(k)",
}
"""What is timed, with what is checked where that is not its value."""


def experiment(name: str, size: int) -> Experiment:
    """A statement over float64 values, random places and a mask of half the elements."""
    generator = np.random.default_rng(40)
    x, z, v = (generator.random(size) for _ in range(3))
    operands = {
        "x": x,
        "y": x.copy(),
        "z": z,
        "v": v,
        "s": np.sort(z),
        "i": generator.permutation(size),
        "m": generator.random(size) < 0.5,
        "k": generator.integers(0, max(size // 10, 10), size),
        "few": np.arange(0, 50, 3),
        "rows": generator.random((max(size // 8, 1), 8)),
    }
    given = STATEMENTS[name]
    statement, result = given if isinstance(given, tuple) else (given, "")
    return beside_numpy(statement, operands, result)


def cases(quick: bool) -> Iterator[Case]:
    """A row for each statement and size."""
    for name in STATEMENTS:
        for size in (SIZES[0], SIZES[-1]) if quick else SIZES:
            yield Case(name, size, functools.partial(experiment, name, size), NO_SLOWER)


if __name__ == "__main__":
    options = parse(__doc__ or "")
    sys.exit(run(cases(options.quick), options, "Indexing, searching, sorting; float64"))
