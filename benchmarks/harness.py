"""Compare one operation in several libraries fairly: interleaved rounds, checked outputs, measured limits.

A `Case` holds the same operation as statements of several libraries. `measure` checks the outputs, then times the
statements in interleaved rounds, so that a slow moment of the machine hits all of them, and `judge` turns the times
into ratios, refuses what lies above the measured roofline and says which targets are met.
"""

from __future__ import annotations

import gc
import statistics
import time
import timeit
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.roofline import Roofline

SUBJECT = "trueno"

RELATIVE_TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "float64": 1e-12}
"""Relative error allowed by dtype of the result; integers and bool have to be exact."""

PEER_LENIENCE = 100.0
"""Peers may be this much less accurate: their check only tells that they do the same operation."""

SPIN = 150e-3
"""Seconds after which a library's idle threads have left the cores: OpenBLAS's spin for 120 ms after a product."""

SHORT_SPIN = 20e-3
"""The same where nobody multiplies matrices: PyTorch's threads (libgomp's) were seen to spin for 3 to 6 ms."""

_MAX_INNER = 1_000_000


@dataclass(frozen=True)
class Contender:
    """One library's way to write the operation.

    Attributes
    ----------
    statement : str
        What is timed, as its user would write it; the result is dropped.
    namespace : Mapping[str, Any]
        The names that the statement uses.
    result : str
        Expression whose value is checked; the statement itself if empty. It is evaluated after one run of `prepare`.
    prepare : str
        Statement that is run, untimed, before the result is taken.
    """

    statement: str
    namespace: Mapping[str, Any]
    result: str = ""
    prepare: str = "pass"

    def value(self) -> np.ndarray:
        """The result as a NumPy array."""
        names = dict(self.namespace)
        exec(self.prepare, names)
        return as_numpy(eval(self.result or self.statement, names))

    def timer(self) -> timeit.Timer:
        """A timer of the statement, with the garbage collector on as in a user's program."""
        return timeit.Timer(self.statement, setup="__gc.enable()", globals={**self.namespace, "__gc": gc})


@dataclass(frozen=True)
class Experiment:
    """Operands in place: the contenders by library, "trueno" being the subject, and the right result.

    `expected` is called once; it is NumPy's result in float64 unless the row says otherwise.
    """

    contenders: Mapping[str, Contender]
    expected: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One row of a benchmark.

    Attributes
    ----------
    name, detail : str
        The operation, and what distinguishes this row from others with the same operation and size ("axis 0").
    size : int
        Elements of an operand.
    build : Callable[[], Experiment]
        Makes the operands; called when the row's turn comes, so that only one row's operands exist at a time.
    targets : Mapping[str, float]
        By peer, the ratio of times, subject to peer, that is to be reached.
    traffic, flops : int
        Bytes read and written, and floating point operations, at least. Zero where they do not matter.
    pause : float
        Idle seconds before each timing where this case needs more than the plan gives: see `SPIN`.
    share : float or None
        The share of the machine's measured limit that is to be reached.
    shortcut : float
        How many times fewer operations than `flops` the best algorithm needs, where there is one: a share of the limit
        above 1 is then no mistake.
    """

    name: str
    size: int
    build: Callable[[], Experiment]
    targets: Mapping[str, float] = field(default_factory=dict)
    traffic: int = 0
    flops: int = 0
    detail: str = ""
    pause: float = 0.0
    share: float | None = None
    shortcut: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.name} {self.detail}".strip()


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Timings of each contender.
    seconds : float
        Least time of one timing: small operations are repeated inside it.
    pause : float
        Idle time before each timing: worker threads of the library timed before stop spinning meanwhile.
    warm : float
        Least time that a contender runs untimed before each timing: its threads are awake and its operands in cache
        then, as in a program that calls it again and again.
    """

    rounds: int = 21
    seconds: float = 4e-3
    pause: float = SHORT_SPIN
    warm: float = 10e-3


@dataclass(frozen=True)
class Ratio:
    """Subject's time divided by a peer's: median of the rounds' ratios, with quartiles, and its target."""

    median: float
    low: float
    high: float
    target: float | None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.median <= self.target


@dataclass(frozen=True)
class Outcome:
    """What became of a case: times, ratios, or the problem for which no figure counts.

    `memory`: the most bytes that one call of the subject held at a time, results included; None where nobody looked.
    """

    case: Case
    times: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    ratios: Mapping[str, Ratio] = field(default_factory=dict)
    problem: str = ""
    share: float | None = None
    memory: int | None = None

    @property
    def verdicts(self) -> list[bool]:
        """Whether each target of the row is met."""
        found = [ratio.met for ratio in self.ratios.values() if ratio.met is not None]
        if self.case.share is not None and self.share is not None:
            found.append(self.share >= self.case.share)
        return found

    @property
    def missed(self) -> bool:
        """Whether a target was missed or no valid figure exists to tell."""
        return bool(self.problem) or not all(self.verdicts)

    def median(self, contender: str) -> float:
        """Median seconds of one call."""
        return statistics.median(self.times[contender])


class WrongOutputError(AssertionError):
    """A contender's output is not the expected one."""


def as_numpy(value: Any) -> np.ndarray:
    """The values of an array, a tensor or a scalar of any of the libraries."""
    if hasattr(value, "detach"):
        value = value.detach()
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def check_output(name: str, actual: np.ndarray, expected: np.ndarray, lenience: float = 1.0) -> None:
    """Compare a result with the expected one.

    Parameters
    ----------
    name : str
        Who computed it, for the message.
    actual, expected : numpy.ndarray
        Shapes must be equal; the dtype of `actual` sets the tolerance.
    lenience : float
        Factor of the tolerance.

    Raises
    ------
    WrongOutputError
        If shapes, kinds of dtype or values differ.
    """
    if actual.shape != expected.shape:
        raise WrongOutputError(f"{name}: shape {actual.shape}, expected {expected.shape}")
    tolerance = lenience * RELATIVE_TOLERANCE.get(actual.dtype.name, 0.0)
    if (tolerance == 0.0) != (expected.dtype.kind in "biu"):
        raise WrongOutputError(f"{name}: dtype {actual.dtype}, expected the kind of {expected.dtype}")
    if tolerance == 0.0:
        close = actual == expected
    else:
        finite = np.abs(expected[np.isfinite(expected)])
        floor = tolerance * 0.1 * float(finite.max(initial=0.0))
        close = np.isclose(actual.astype(expected.dtype), expected, rtol=tolerance, atol=floor, equal_nan=True)
    if not close.all():
        first = tuple(int(i) for i in np.argwhere(~close)[0])
        raise WrongOutputError(
            f"{name}: {np.count_nonzero(~close)} of {close.size} values are wrong, the first at {first}: "
            f"{actual[first]}, expected {expected[first]}"
        )


def calibrate(timer: timeit.Timer, seconds: float) -> int:
    """Repetitions of a statement that take at least `seconds`; runs it long enough to be warm."""
    inner = 1
    timer.timeit(1)
    while True:
        taken = timer.timeit(inner)
        if taken >= seconds or inner >= _MAX_INNER:
            return inner
        inner = min(_MAX_INNER, max(inner + 1, int(inner * min(10.0, 1.2 * seconds / max(taken, 1e-9)))))


def warm_up(timer: timeit.Timer, inner: int, seconds: float) -> None:
    """Run a statement, so many times at once, for as long as `seconds`, at least once."""
    end = time.perf_counter() + seconds
    timer.timeit(inner)
    while time.perf_counter() < end:
        timer.timeit(inner)


def interleave(timers: Mapping[str, timeit.Timer], plan: Plan) -> dict[str, tuple[float, ...]]:
    """Seconds of one call, for each timer one figure a round; every round times all of them, in rotating order."""
    inner = {}
    for name, timer in timers.items():
        time.sleep(plan.pause)
        inner[name] = calibrate(timer, plan.seconds)
    samples: dict[str, list[float]] = {name: [] for name in timers}
    names = list(timers)
    for turn in range(plan.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(plan.pause)
            warm_up(timers[name], max(1, inner[name] // 20), plan.warm)
            samples[name].append(timers[name].timeit(inner[name]) / inner[name])
    return {name: tuple(values) for name, values in samples.items()}


def compare(subject: Iterable[float], peer: Iterable[float], target: float | None) -> Ratio:
    """The ratio of two contenders' times, paired by round."""
    ratios = [own / other for own, other in zip(subject, peer, strict=True)]
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return Ratio(float(median), float(low), float(high), target)


def judge(case: Case, times: Mapping[str, tuple[float, ...]], limits: Roofline) -> Outcome:
    """Ratios to the peers, unless a contender's time lies above the measured roofline."""
    for name, samples in times.items():
        problem = limits.admits(statistics.median(samples), case.traffic, round(case.flops / case.shortcut))
        if problem:
            return Outcome(case, times, problem=f"refused: {name}: {problem}")
    ratios = {
        peer: compare(times[SUBJECT], samples, case.targets.get(peer))
        for peer, samples in times.items()
        if peer != SUBJECT and SUBJECT in times
    }
    share = None
    if SUBJECT in times and (case.traffic or case.flops):
        seconds = statistics.median(times[SUBJECT])
        by_traffic = case.traffic / seconds / limits.bandwidth(case.traffic) if case.traffic else 0.0
        share = max(by_traffic, case.flops / seconds / limits.flops)
    return Outcome(case, times, ratios, share=share)


def memory_of(contender: Contender) -> int:
    """The most bytes of Trueno's pool that one call holds beyond what was in use before it."""
    from trueno.runtime import memory

    timer = contender.timer()
    timer.timeit(1)
    memory.reset_statistics()
    before = memory.statistics()["active"]
    timer.timeit(1)
    return memory.statistics()["peak"] - before


def measure(case: Case, plan: Plan, limits: Roofline) -> Outcome:
    """Check a case's outputs, time it and judge it; whatever fails is a problem of this row only."""
    try:
        experiment = case.build()
        expected = np.asarray(experiment.expected())
        for name, contender in experiment.contenders.items():
            check_output(name, contender.value(), expected, 1.0 if name == SUBJECT else PEER_LENIENCE)
    except Exception as error:
        return Outcome(case, problem=f"{type(error).__name__}: {error}")
    # NumPy computes what is expected.
    time.sleep(SPIN)
    plan = replace(plan, pause=max(plan.pause, case.pause))
    times = interleave({name: contender.timer() for name, contender in experiment.contenders.items()}, plan)
    held = memory_of(experiment.contenders[SUBJECT]) if SUBJECT in experiment.contenders else None
    return replace(judge(case, times, limits), memory=held)
