"""The largest error of each unary function, over all float32 inputs: python -m benchmarks.accuracy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import scipy.special
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import trueno as tn
from benchmarks.ulp import Reference, errors, stratified
from trueno import dtypes as dt
from trueno.functions import ALIASES
from trueno.ir import promotion
from trueno.ir.op import Op, registry, rows

LIMITS = {dt.float32: 1.0, dt.float64: 2.0}
"""The largest error allowed, in units in the last place."""

CHUNK = 1 << 13  # the arrays of a chunk stay in the second-level cache and are not returned to the system
TASK = 1 << 24  # inputs that a worker searches at a time
SAMPLE = 500
"""Numbers of each binade and sign where float64 is searched and no count is given."""

_FAR = 40.0  # from here on the functions that neither NumPy has are at their limits


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest error found, and where.

    Attributes
    ----------
    error : float
        In units in the last place of the exact result.
    operand, result, exact : numpy.floating
    """

    error: float
    operand: np.floating
    result: np.floating
    exact: np.floating


def functions() -> list[Op]:
    """Return the public unary rows that give floats whatever they are given: what has to be approximated."""
    return [row for row in rows("elementwise") if row.arity == 1 and row.public and row.result is promotion.floating]


def reference(row: Op, dtype: np.dtype) -> Reference:
    """Return a row's function in a wider dtype: float64 for float32, long double for float64.

    It is NumPy's of the same name, else SciPy's or, beyond float64, mpmath's, else the row's own.
    """
    modules: tuple[Any, ...] = (np, scipy.special) if dtype == dt.float32 else (np,)
    names = (row.name, *ALIASES.get(row.name, ()))
    found = [getattr(module, name) for module in modules for name in names if callable(getattr(module, name, None))]
    if dtype == dt.float64 and not found:
        return partial(_by_mpmath, row)
    function: Any = found[0] if found else row.ref
    wide = np.float64 if dtype == dt.float32 else np.longdouble
    return lambda x: function(x.astype(wide))


def _by_mpmath(row: Op, x: np.ndarray) -> np.ndarray:
    """Return a function in long double from mpmath's, where it has one and the row's own is not at its limit."""
    import mpmath  # type: ignore[import-untyped]

    assert row.ref is not None
    context = mpmath.MPContext()
    context.prec = 80
    function = getattr(context, row.name, None)
    if function is None:
        return row.ref(x.astype(np.longdouble))
    want = row.ref(x).astype(np.longdouble)
    for k in np.flatnonzero((x != 0) & (np.abs(x) < _FAR)):
        exact = function(context.mpf(float(x[k])))
        # Two parts, since mpmath's numbers turn into Python's floats only.
        high = float(exact)
        want[k] = np.longdouble(high) + np.longdouble(float(exact - high))
    return want


def search(row: Op, x: np.ndarray) -> Worst:
    """Return the largest error of a function over some inputs of one dtype.

    Results that are the exact ones, rounded to nearest, are passed over: where all are, the error is given as 1/2.
    """
    got = getattr(tn, row.name)(tn.from_numpy(x)).numpy()
    with np.errstate(all="ignore"):
        want = np.asarray(reference(row, x.dtype)(x))
        bits = f"u{x.dtype.itemsize}"
        others = np.flatnonzero(got.view(bits) != want.astype(x.dtype).view(bits))
    if others.size == 0:
        return Worst(0.5, x[0], got[0], want[0])
    off = errors(got[others], want[others])
    most = int(np.argmax(off))
    at = others[most]
    return Worst(float(off[most]), x[at], got[at], want[at])


@dataclass(frozen=True, slots=True)
class Inputs:
    """Numbers of a dtype: a stratified sample with `count` random ones in each binade, or all if that is 0."""

    dtype: np.dtype
    count: int

    @property
    def size(self) -> int:
        return stratified(self.dtype, self.count).size if self.count else 1 << 8 * self.dtype.itemsize

    def part(self, begin: int, end: int) -> np.ndarray:
        """Return the numbers from one place to another."""
        if self.count:
            return _sample(self)[begin:end]
        return np.arange(begin, end, dtype=f"u{self.dtype.itemsize}").view(self.dtype)


def _error(worst: Worst) -> float:
    return worst.error


@lru_cache(1)
def _sample(inputs: Inputs) -> np.ndarray:
    return stratified(inputs.dtype, inputs.count)


def worst_in(name: str, inputs: Inputs, begin: int, end: int) -> Worst:
    """Return the largest error of a function over a part of its inputs."""
    row = registry[name]
    found = (search(row, inputs.part(start, min(start + CHUNK, end))) for start in range(begin, end, CHUNK))
    return max(found, key=_error)


def worst_of(name: str, inputs: Inputs, pool: Executor, advance: Callable[[int], object]) -> Worst:
    """Return the largest error of a function, searched by the workers of a pool; report how many inputs are done."""
    size = inputs.size
    tasks = {
        pool.submit(worst_in, name, inputs, k, min(k + TASK, size)): min(TASK, size - k) for k in range(0, size, TASK)
    }
    for done in as_completed(tasks):
        advance(tasks[done])
    return max((one.result() for one in tasks), key=_error)


def show(results: dict[str, Worst], limit: float, title: str) -> Table:
    """Return the table of all functions, the worst first."""
    table = Table(title=title)
    for heading in ("function", "ulp", "at", "result", "exact"):
        table.add_column(heading, justify="left" if heading == "function" else "right")
    for name, worst in sorted(results.items(), key=lambda item: -item[1].error):
        style = "red" if worst.error > limit else None
        operand = f"{worst.operand!s} ({float(worst.operand).hex()})"
        table.add_row(name, f"{worst.error:.4f}", operand, str(worst.result), f"{worst.exact:.17g}", style=style)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, print the table, and return 1 if an error lies above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--function", default="", metavar="A,B", help="only these functions")
    parser.add_argument("--sample", type=int, metavar="N", help="N random numbers of each binade and sign, not all")
    parser.add_argument("--float64", action="store_true", help=f"float64, by a sample of {SAMPLE} unless N is given")
    parser.add_argument("--processes", type=int, default=tn.get_num_threads(), metavar="N", help="that search")
    given = parser.parse_args(arguments)
    dtype = dt.float64 if given.float64 else dt.float32
    count = given.sample if given.sample is not None else SAMPLE if given.float64 else 0
    known = {row.name: row for row in functions()}
    names = [name for name in given.function.split(",") if name] or list(known)
    unknown = [name for name in names if name not in known]
    if unknown or count < 0 or given.processes < 1:
        parser.error(
            f"--function: {', '.join(unknown)}: not among {', '.join(known)}"
            if unknown
            else "--sample and --processes: N > 0"
        )
    inputs = Inputs(dtype, count)
    results: dict[str, Worst] = {}
    console = Console(width=140)
    columns = (TextColumn("{task.description:>12}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    # Processes, since NumPy's short operations make threads wait for the interpreter.
    workers = ProcessPoolExecutor(given.processes, get_context("spawn"), tn.set_num_threads, (1,))
    with workers as pool, Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=inputs.size * len(names))
        for name in names:
            bar.update(task, description=name)
            results[name] = worst_of(name, inputs, pool, partial(bar.advance, task))
    which = f"{count} of each binade" if count else "all inputs"
    console.print(show(results, LIMITS[dtype], f"Largest error, {dtype}, {which}"))
    return int(any(worst.error > LIMITS[dtype] for worst in results.values()))


if __name__ == "__main__":
    sys.exit(main())
