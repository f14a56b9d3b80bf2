"""The benchmark harness: its statistics, its refusals and its checks. Nothing here asserts a measured time."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import time
import timeit
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import harness, program
from benchmarks.harness import (
    SUBJECT,
    Case,
    Contender,
    Experiment,
    Outcome,
    Plan,
    Ratio,
    WrongOutputError,
    as_numpy,
    calibrate,
    check_output,
    compare,
    interleave,
    judge,
    measure,
    warm_up,
)
from benchmarks.roofline import TOLERANCE, Roofline, _aligned, cache_sizes

SHORT = Plan(rounds=3, seconds=1e-5, pause=0.0, warm=0.0)


class KnownLimits(Roofline):
    """A roofline of 1 GFLOP/s and 1 GB/s, whatever the machine."""

    def __init__(self) -> None:
        self.threads = 1
        self.measured_again = 0
        self._bandwidths = {}
        self._flops = 1e9

    def _multiply_adds(self) -> float:
        return 1e9

    def _stream(self, working_set: int) -> float:
        self.measured_again += 1
        return 1e9


def doubling(statement: str = "x + x", factor: float = 2.0) -> Case:
    x = np.arange(8, dtype=np.float32)

    def build() -> Experiment:
        contenders = {SUBJECT: Contender(statement, {"x": x}), "numpy": Contender("x * 2", {"x": x})}
        return Experiment(contenders, lambda: x.astype(np.float64) * factor)

    return Case("double", 8, build, {"numpy": 1.0}, traffic=64, flops=8)


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ratio = compare([1.0, 4.0, 9.0, 1.0, 1.0], [2.0, 4.0, 3.0, 4.0, 2.0], target=0.5)
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 0.5, 1.0)
    assert ratio.met is True


def test_ratio_pairs_rounds_so_that_a_slow_moment_of_the_machine_cancels() -> None:
    assert compare([1.0, 10.0, 2.0], [2.0, 20.0, 4.0], None).median == 0.5


@pytest.mark.parametrize(("median", "target", "met"), [(0.6, 0.6, True), (0.61, 0.6, False), (9.0, None, None)])
def test_target_is_met_up_to_and_including_its_value(median: float, target: float | None, met: bool | None) -> None:
    assert Ratio(median, median, median, target).met is met


def test_rounds_of_unequal_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare([1.0], [1.0, 2.0], None)


def test_outcome_reports_the_median_time() -> None:
    assert Outcome(doubling(), {SUBJECT: (3.0, 1.0, 2.0)}).median(SUBJECT) == 2.0


def test_interleaving_gives_every_contender_a_figure_each_round_and_rotates_the_order() -> None:
    order: list[str] = []
    timers = {
        name: timeit.Timer("order.append(name)", globals={"order": order, "name": name}) for name in ("a", "b", "c")
    }
    times = interleave(timers, Plan(rounds=3, seconds=0.0, pause=0.0, warm=0.0))
    assert {name: len(samples) for name, samples in times.items()} == {"a": 3, "b": 3, "c": 3}
    turns = "".join(name for name, _ in itertools.groupby(order))  # a timing runs its statement for warmth, too
    assert turns.endswith("abcbcacab")


def test_warming_up_takes_its_time_and_runs_the_statement_at_least_once() -> None:
    for seconds in (0.0, 2e-3):
        calls: list[float] = []
        timer = timeit.Timer("calls.append(now())", globals={"calls": calls, "now": time.perf_counter})
        begin = time.perf_counter()
        warm_up(timer, 3, seconds)
        assert time.perf_counter() - begin >= seconds
        assert len(calls) >= 3 and len(calls) % 3 == 0


def test_calibration_repeats_until_the_time_is_reached() -> None:
    class Clock(timeit.Timer):
        def timeit(self, number: int = 1) -> float:
            return number * 1e-6

    inner = calibrate(Clock(), 1e-3)
    assert 1000 <= inner <= 2000


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_check_accepts_what_differs_by_less_than_the_tolerance_of_the_dtype(dtype: str) -> None:
    exact = np.linspace(0.5, 2.0, 50)
    rounded = exact.astype(dtype)
    check_output("test", rounded, exact)
    assert rounded.dtype == dtype


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (np.float32([1, 2, 3.001]), np.array([1.0, 2, 3]), "1 of 3 values are wrong, the first at (2,): 3.0"),
        (np.float32([1, np.nan]), np.array([1.0, 2]), "1 of 2 values are wrong, the first at (1,): nan"),
        (np.float32([[1, 2]]), np.array([1.0, 2]), "shape (1, 2), expected (2,)"),
        (np.array([1, 3]), np.array([1, 2]), "1 of 2 values are wrong"),
        (np.array([1, 2]), np.array([1.0, 2.0]), "dtype int64"),
        (np.float64([1 + 1e-9]), np.array([1.0]), "1 of 1 values are wrong"),
    ],
)
def test_check_fails_loudly(actual: np.ndarray, expected: np.ndarray, message: str) -> None:
    with pytest.raises(WrongOutputError, match=re.escape(message)):
        check_output("test", actual, expected)


def test_check_accepts_equal_nans_and_empty_arrays() -> None:
    check_output("test", np.float32([np.nan, 1]), np.array([np.nan, 1.0]))
    check_output("test", np.float32([]), np.array([]))
    with pytest.raises(WrongOutputError):
        check_output("test", np.float32([np.inf]), np.array([1.0]))


def test_lenience_is_for_peers_only() -> None:
    near = np.float32([1.0001])
    check_output("peer", near, np.array([1.0]), lenience=100.0)
    with pytest.raises(WrongOutputError):
        check_output("subject", near, np.array([1.0]))


def test_measure_gives_times_and_ratios_for_a_right_case() -> None:
    outcome = measure(doubling(), SHORT, Roofline(threads=1, seconds=1e-3))
    assert outcome.problem == ""
    assert set(outcome.times) == {SUBJECT, "numpy"}
    assert outcome.ratios["numpy"].median > 0


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (doubling(factor=3.0), "WrongOutputError: trueno: 7 of 8 values are wrong"),
        (doubling("x - x"), "WrongOutputError: trueno: 7 of 8 values are wrong"),
        (doubling("x + y"), "NameError: name 'y' is not defined"),
    ],
)
def test_a_case_that_is_wrong_or_fails_gives_a_problem_and_no_figure(case: Case, problem: str) -> None:
    outcome = measure(case, SHORT, KnownLimits())
    assert outcome.problem.startswith(problem)
    assert not outcome.ratios
    assert outcome.missed


@pytest.mark.parametrize(
    ("traffic", "flops", "message"),
    [(2_000, 0, "2 GB/s is above the measured limit of 1 GB/s"), (0, 3_000, "3 GFLOP/s is above the measured limit")],
)
def test_a_figure_above_the_roofline_is_refused_whoever_it_belongs_to(traffic: int, flops: int, message: str) -> None:
    case = dataclasses.replace(doubling(), traffic=traffic, flops=flops)
    impossible, slow = (1e-6,) * 3, (1e-3,) * 3
    for name, times in (
        (SUBJECT, {SUBJECT: impossible, "numpy": slow}),
        ("numpy", {SUBJECT: slow, "numpy": impossible}),
    ):
        outcome = judge(case, times, KnownLimits())
        assert outcome.problem.startswith(f"refused: {name}: {message}")
        assert not outcome.ratios


def test_an_algorithm_with_fewer_operations_may_be_above_the_roofline_by_as_much() -> None:
    case = dataclasses.replace(doubling(), flops=3_000, shortcut=4.0)
    times = {SUBJECT: (1e-6,) * 3, "numpy": (1e-3,) * 3}
    outcome = judge(case, times, KnownLimits())
    assert (outcome.problem, outcome.share) == ("", 3.0)
    assert judge(dataclasses.replace(case, flops=8_000), times, KnownLimits()).problem


def test_a_figure_within_the_spread_of_the_limit_is_admitted() -> None:
    limits = KnownLimits()
    assert limits.admits(1e-6, traffic=int(1000 * TOLERANCE) - 1, flops=0) == ""
    assert limits.admits(1e-6, traffic=int(1000 * TOLERANCE) + 1, flops=0) != ""


def test_a_limit_is_measured_again_before_a_figure_is_refused() -> None:
    limits = KnownLimits()
    limits._bandwidths[2000] = 1.0
    assert limits.admits(4e-6, traffic=2000, flops=0) == ""
    assert limits.measured_again == 1


def test_the_highest_of_the_measured_limits_counts() -> None:
    limits = KnownLimits()
    limits._flops = 1.0
    assert limits.admits(4e-6, traffic=0, flops=2000) == ""
    assert limits.flops == 1e9
    limits._flops = 8e9
    assert limits.admits(4e-6, traffic=0, flops=40_000) != ""
    assert limits.flops == 8e9


def test_a_case_pauses_as_long_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(harness.time, "sleep", pauses.append)
    measure(dataclasses.replace(doubling(), pause=harness.SPIN), SHORT, KnownLimits())
    assert set(pauses) == {harness.SPIN}
    # After the outputs' check, before each calibration and each timing.
    assert len(pauses) == 1 + 2 * (SHORT.rounds + 1)
    assert all(case.pause == harness.SPIN for case in pytest.importorskip("benchmarks.matmul").cases())


def test_roofline_measures_plausible_limits() -> None:
    limits = Roofline(threads=2, seconds=1e-3)
    assert limits.flops > 1e8
    assert limits.bandwidth(1 << 16) > 1e8
    with pytest.raises(ValueError, match="at least 1"):
        Roofline(threads=0)


@pytest.mark.parametrize("pattern", range(5))
def test_stream_kernels_do_move_their_bytes(pattern: int) -> None:
    limits = Roofline(threads=1, seconds=1e-3)  # owns the compiled code
    arrays, kernel = limits._streams[pattern]
    a, b, c = (_aligned(256) for _ in range(3))
    a[:] = np.arange(256)
    c[:] = -1
    kernel(a.ctypes.data, b.ctypes.data, c.ctypes.data, 2, 3)
    if arrays == 1:  # reading alone leaves eight vectors of sums
        assert c[:128].sum() == 3 * a.sum()
    else:
        assert np.array_equal(c, a if arrays == 2 else a + b)


def test_cache_sizes_are_bytes_by_level() -> None:
    assert all(re.fullmatch(r"L\d", level) and size >= 1024 for level, size in cache_sizes().items())


def test_as_numpy_takes_results_of_every_library() -> None:
    torch = pytest.importorskip("torch")
    assert as_numpy(np.float32(2)).shape == ()
    assert as_numpy(torch.ones(3, requires_grad=True)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("text", "elements"), [("100", 100), ("100K", 100_000), ("10m", 10_000_000)])
def test_sizes_are_read_and_shown(text: str, elements: int) -> None:
    assert program.size(text) == elements
    assert program.size(program.show_size(elements)) == elements


def test_options_select_cases_and_set_the_rounds() -> None:
    options = program.parse("test", ["--quick", "--ops", "double,exp", "--sizes", "8,1M", "--rounds", "5"])
    assert options.wants(doubling())
    assert not options.wants(dataclasses.replace(doubling(), size=9))
    assert not options.wants(dataclasses.replace(doubling(), name="sin"))
    assert options.plan.rounds == 5


@pytest.mark.parametrize("arguments", [["--sizes", "many"], ["--threads", "0"], ["--rounds", "0"]])
def test_bad_options_end_the_program(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.parse("test", arguments)
    assert arguments[0] in capsys.readouterr().err


def test_sections_select_parts_of_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.parse("test", ["--sections", "b"], sections=("a", "b")).sections == ("b",)
    assert program.parse("test", [], sections=("a", "b")).sections == ()
    with pytest.raises(SystemExit):
        program.parse("test", ["--sections", "c"], sections=("a", "b"))
    assert "'c' is not a list of some of a, b" in capsys.readouterr().err


def test_a_share_of_the_roofline_is_a_target_too() -> None:
    case = dataclasses.replace(doubling(), targets={}, traffic=0, flops=1_000_000, share=0.75)
    outcomes = [judge(case, {SUBJECT: (seconds,)}, KnownLimits()) for seconds in (1e-3, 1.0)]
    assert [outcome.verdicts for outcome in outcomes] == [[True], [False]]
    console = Console(width=150, record=True, file=io.StringIO())
    assert program.summarise(console, outcomes, {})
    assert "of the roofline, target 75%" in console.export_text()


def test_table_and_json_say_what_was_missed_and_what_is_invalid(tmp_path: Path) -> None:
    case = doubling()
    times = {SUBJECT: (2e-3, 2e-3), "numpy": (1e-3, 1e-3)}
    outcomes = [judge(case, times, KnownLimits()), Outcome(case, problem="refused: trueno: too fast")]
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(program.table(outcomes, "test"))
    assert not program.summarise(console, outcomes, {"numpy": 1 / 1.8})
    text = console.export_text()
    for part in ("2.00 [2.00–2.00]", "≤ 1 missed", "invalid", "refused: trueno: too fast", "0 of 1 targets met"):
        assert part in text
    assert "double 8: 2.00 of numpy, target 1" in text
    path = tmp_path / "rows.json"
    program.write_json(path, {"rows": [program.as_json(outcome) for outcome in outcomes]})
    rows = json.loads(path.read_text())["rows"]
    assert rows[0]["ratios"]["numpy"] == {"median": 2.0, "low": 2.0, "high": 2.0, "target": 1.0, "met": False}
    assert rows[1]["problem"] == "refused: trueno: too fast"
