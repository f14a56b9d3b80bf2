"""Tuning: measures the choices of trueno.codegen.choices on this machine, and keeps what it finds in the store.

Each parameter is tried in turn, the others being what was found best so far (coordinate descent). A candidate is used
only if its kernels give the results of the defaults, bit by bit, and only kept if it is faster by more than the noise.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from trueno.codegen.choices import Choices, current, use, using
from trueno.runtime import cpu, launcher, tuned

#: A candidate has to be faster than this share of the best time so far.
GAIN = 0.97
#: Timings of each candidate and each workload.
_ROUNDS = 5
_LEAST_SECONDS = 1e-3


class Workload(NamedTuple):
    """Something to time: a few calls that use each other's results.

    Attributes
    ----------
    operations : sequence of str
        Names of functions of one or two operands; each gets the result before, and the first operand.
    shape : tuple of int
        Of the first operand, float32.
    """

    operations: tuple[str, ...]
    shape: tuple[int, ...]


class Parameter(NamedTuple):
    """A field of `Choices`, the values to try, and what to time them with."""

    name: str
    candidates: tuple[int, ...]
    workloads: tuple[Workload, ...]


PARAMETERS = (
    Parameter(
        "parallel_nanoseconds",
        (2000, 4000, 6000, 10_000, 20_000, 50_000, 200_000),
        tuple(Workload((name,), (size,)) for name in ("mul", "exp") for size in (20_000, 50_000, 100_000, 300_000)),
    ),
    Parameter(
        "stream_bytes",
        (8 << 20, 16 << 20, 32 << 20, 64 << 20, 128 << 20, 1 << 40),
        tuple(Workload(("mul", "add", "mul", "add"), (size << 20,)) for size in (1, 2, 4, 8)),
    ),
    Parameter("product_rows", (4, 5, 6, 8, 10, 12, 13, 14), tuple(Workload(("matmul",), (n, n)) for n in (256, 1024))),
    Parameter("product_high", (160, 320, 480, 640, 1024, 2048), (Workload(("matmul",), (1024, 1024)),)),
)


class Finding(NamedTuple):
    """What tuning a parameter came to.

    Attributes
    ----------
    name : str
    before, after : int
        The value at the beginning and the one found.
    ratio : float
        Time with the value found divided by that before: the geometric mean over the workloads.
    tried : dict
        The same for every candidate; None where its results were not those of the defaults.
    complete : bool
        Whether time sufficed for all candidates.
    """

    name: str
    before: int
    after: int
    ratio: float
    tried: dict[int, float | None]
    complete: bool


def tune(
    seconds: float = 30.0, parameters: Sequence[str] = (), progress: Callable[[str, float], None] | None = None
) -> list[Finding]:
    """Measure the choices on this machine, follow them, and keep them for later processes.

    Parameters
    ----------
    seconds : float
        Time to spend; each parameter gets an equal part of what is left.
    parameters : sequence of str, optional
        Names of fields of `Choices`; all by default.
    progress : callable, optional
        Called with the name of a parameter and the share of the time that is gone.

    Returns
    -------
    list of Finding

    Raises
    ------
    ValueError
        For a name that is no parameter, or less than no time.
    """
    known = {one.name: one for one in PARAMETERS}
    unknown = [name for name in parameters if name not in known]
    if unknown or seconds <= 0:
        raise ValueError(
            f"tune: unknown parameters {', '.join(unknown)}; known are {', '.join(known)}"
            if unknown
            else f"tune: expected a positive number of seconds, got {seconds}"
        )
    wanted = [known[name] for name in parameters] or list(PARAMETERS)
    start = time.perf_counter()
    findings = []
    for k, parameter in enumerate(wanted):
        left = seconds - (time.perf_counter() - start)
        deadline = time.perf_counter() + left / (len(wanted) - k)
        for finding in _search(parameter, deadline):
            if progress is not None:
                progress(finding.name, min((time.perf_counter() - start) / seconds, 1.0))
        findings.append(finding)
        use(current()._replace(**{parameter.name: finding.after}))
    forget_entries()
    tuned.save()
    return findings


def _search(parameter: Parameter, deadline: float) -> Iterator[Finding]:
    """Try the candidates while there is time; yield what is known after each."""
    before = getattr(current(), parameter.name)
    tried: dict[int, float | None] = {before: 1.0}
    base = [_Run(one, current()) for one in parameter.workloads]
    best = before
    waiting = [value for value in parameter.candidates if value != before]
    yield Finding(parameter.name, before, best, 1.0, tried, not waiting)
    while waiting and time.perf_counter() < deadline:
        value = waiting.pop(0)
        runs = [_Run(one, current()._replace(**{parameter.name: value})) for one in parameter.workloads]
        tried[value] = _compare(base, runs)
        known = {one: ratio for one, ratio in tried.items() if ratio is not None}
        least = min(known, key=lambda one: known[one])
        best = least if known[least] < GAIN else before
        yield Finding(parameter.name, before, best, known[best], tried, not waiting)


class _Run:
    """A workload bound to kernels that follow some choices."""

    def __init__(self, workload: Workload, choices: Choices) -> None:
        from trueno.creation import from_numpy
        from trueno.functions import operations

        numbers = np.linspace(0.5, 1.5, math.prod(workload.shape), dtype=np.float32)
        x = from_numpy(numbers.reshape(workload.shape)).clone()
        self.x, self.calls = x, []
        with using(choices):
            for name in workload.operations:
                operation = operations[name]
                args = (x,) * max(operation.operands, 1)
                entry = cpu.bind(operation.trace(args, (), {}), [one._layout for one in args], [-1])
                self.calls.append((launcher.prepare(entry, args), len(args)))

    def __call__(self) -> Any:
        result = self.x
        for call, count in self.calls:
            result = call(result, self.x) if count == 2 else call(result)
        return result

    def time(self, repeats: int) -> float:
        """Return the seconds of one run."""
        begin = time.perf_counter()
        for _ in range(repeats):
            self()
        return (time.perf_counter() - begin) / repeats


def _compare(base: Sequence[_Run], runs: Sequence[_Run]) -> float | None:
    """Return the geometric mean of the ratios of times; None where results differ."""
    ratios = []
    for before, after in zip(base, runs, strict=True):
        if before().numpy().tobytes() != after().numpy().tobytes():
            return None
        repeats = max(1, round(_LEAST_SECONDS / max(before.time(1), 1e-9)))
        pairs = [(after.time(repeats), before.time(repeats)) for _ in range(_ROUNDS)]
        ratios.append(statistics.median(a / b for a, b in pairs))
    return statistics.geometric_mean(ratios)


def forget_entries() -> None:
    """Let the functions of the op table plan anew; what users made keeps its plans, with the same results."""
    from trueno.functions import operations

    for operation in operations.values():
        operation.bound.clear()
    launcher.clear()


def reset() -> bool:
    """Follow the defaults again and forget what was kept; return whether there was anything."""
    use(Choices())
    forget_entries()
    return tuned.remove()
