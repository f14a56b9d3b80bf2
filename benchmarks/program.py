"""What the benchmark programs share: options, the table, the JSON file and the exit status."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import SUBJECT, Case, Outcome, Plan, Ratio, measure
from benchmarks.roofline import Roofline, cache_sizes

_MULTIPLES = {"K": 1_000, "M": 1_000_000}
_QUICK_ROUNDS = 7
_CONSOLE_WIDTH = 220
_OWN_CACHE = 1 << 26  # a larger cache is shared with other machines' work: its bandwidth is no constant


@dataclass(frozen=True)
class Options:
    """The command line of every benchmark program."""

    quick: bool
    threads: int
    ops: tuple[str, ...]
    sizes: tuple[int, ...]
    rounds: int | None
    json: Path | None
    strict: bool
    sections: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        """How long to measure."""
        plan = Plan(rounds=_QUICK_ROUNDS, seconds=2e-3) if self.quick else Plan()
        return plan if self.rounds is None else replace(plan, rounds=self.rounds)

    def wants(self, case: Case) -> bool:
        """Whether --ops and --sizes select the case."""
        return (not self.ops or case.name in self.ops) and (not self.sizes or case.size in self.sizes)


def size(text: str) -> int:
    """A number of elements, such as 100, 100K or 10M."""
    unit = _MULTIPLES.get(text[-1:].upper(), 1)
    return int(text if unit == 1 else text[:-1]) * unit


def show_size(elements: int) -> str:
    """The inverse of `size`."""
    for letter, unit in reversed(_MULTIPLES.items()):
        if elements >= unit and elements % unit == 0:
            return f"{elements // unit}{letter}"
    return str(elements)


def parse(description: str, arguments: Sequence[str] | None = None, sections: Iterable[str] = ()) -> Options:
    """Read the command line.

    Parameters
    ----------
    description : str
        What the program does, for --help.
    arguments : sequence of str, optional
        The process's own, if not given.
    sections : iterable of str
        Parts of the program that --sections selects, where it has any.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a first impression")
    parser.add_argument("--threads", type=int, default=2, help="threads of Trueno and PyTorch (default: 2)")
    parser.add_argument("--ops", default="", metavar="A,B", help="only these operations")
    parser.add_argument("--sizes", default="", metavar="N,M", help="only these sizes, such as 100,100K,10M")
    parser.add_argument("--rounds", type=int, help="timings of each library")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    parser.add_argument("--strict", action="store_true", help="a missed target is a failure, too")
    known = tuple(sections)
    if known:
        parser.add_argument("--sections", default="", metavar="A,B", help=f"only these of {', '.join(known)}")
    given = parser.parse_args(arguments)
    chosen = _listed(given.sections) if known else ()
    if not set(chosen) <= set(known):
        parser.error(f"--sections: {given.sections!r} is not a list of some of {', '.join(known)}")
    try:
        sizes = tuple(size(part) for part in _listed(given.sizes))
    except ValueError:
        parser.error(f"--sizes: {given.sizes!r} is not a list of sizes such as 100,100K,10M")
    if given.threads < 1 or (given.rounds is not None and given.rounds < 1):
        parser.error("--threads and --rounds must be at least 1")
    ops = _listed(given.ops)
    return Options(given.quick, given.threads, ops, sizes, given.rounds, given.json, given.strict, chosen)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def run(cases: Iterable[Case], options: Options, title: str, means: Mapping[str, float] | None = None) -> int:
    """Measure the selected cases, print a table, and return the exit status.

    `means`: by peer, what the geometric mean of all ratios is to reach.

    Returns
    -------
    int
        1 if an output was wrong, an operation failed, a figure lies above the roofline, nothing was selected, or, with
        --strict, a target was missed; else 0.
    """
    import torch

    import trueno as tn

    torch.set_num_threads(options.threads)
    tn.set_num_threads(options.threads)
    console = new_console()
    limits = Roofline(options.threads)
    describe_machine(console, limits)
    selected = list(filter(options.wants, cases))
    outcomes = []
    with console.status("") as status:
        for number, case in enumerate(selected, 1):
            text = f"{number} of {len(selected)}: {case.label} {show_size(case.size)}"
            status.update(text)
            if not console.is_terminal:
                print(text, file=sys.stderr, flush=True)
            outcomes.append(measure(case, options.plan, limits))
    console.print(table(outcomes, title))
    reached = summarise(console, outcomes, means or {})
    if options.json is not None:
        write_json(options.json, {"machine": machine(limits), "rows": [as_json(o) for o in outcomes]})
    invalid = [o for o in outcomes if o.problem]
    missed = not reached or any(o.missed for o in outcomes)
    return int(not outcomes or bool(invalid) or (options.strict and missed))


def new_console() -> Console:
    """A console that is wide enough for the tables even where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_CONSOLE_WIDTH)


def versions() -> dict[str, str]:
    """Versions of what is compared."""
    names = ("trueno", "numpy", "torch", "llvmlite")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "from the working directory"


def machine(limits: Roofline) -> dict[str, Any]:
    """The processor, its measured limits and the versions in use."""
    working_sets = {level: bytes // 2 for level, bytes in cache_sizes().items() if bytes < 1 << 26} | {
        "256 MB": 1 << 28
    }
    return {
        "threads": limits.threads,
        "flops": limits.flops,
        "bandwidth": {level: limits.bandwidth(size) for level, size in working_sets.items()},
        "load": os.getloadavg()[0],
        "versions": versions(),
    }


def describe_software(console: Console) -> None:
    """Print the versions, and a warning where other programs keep the machine busy."""
    console.print(", ".join(f"{name} {version}" for name, version in versions().items()))
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        warning = f"load average {load:.1f} on {cores} cores: other programs run, do not trust these figures"
        console.print(warning, style="yellow")


def describe_machine(console: Console, limits: Roofline) -> None:
    """Print the versions and the measured limits."""
    describe_software(console)
    facts = machine(limits)
    bandwidths = ", ".join(f"{level} {value / 1e9:.0f} GB/s" for level, value in facts["bandwidth"].items())
    console.print(f"{limits.threads} threads: {limits.flops / 1e9:.0f} GFLOP/s float32; {bandwidths}\n")


def table(outcomes: Sequence[Outcome], title: str) -> Table:
    """A row for every outcome: times, ratios with quartiles and targets, share of the measured limit, memory."""
    peers = list(dict.fromkeys(peer for outcome in outcomes for peer in outcome.times if peer != SUBJECT))
    result = Table(
        title=title, caption=r"ratio: Trueno's time divided by the peer's, median \[quartiles] of the rounds"
    )
    result.add_column("operation", no_wrap=True)
    result.add_column("elements", justify="right")
    for name in (SUBJECT, *peers):
        result.add_column(f"{name} µs", justify="right")
    for peer in peers:
        result.add_column(f"ratio to {peer}")
        result.add_column("target")
    result.add_column("of roofline", justify="right")
    result.add_column("memory", justify="right")
    for outcome in outcomes:
        start = [outcome.case.label, show_size(outcome.case.size)]
        if outcome.problem:
            result.add_row(*start, *[""] * (1 + 3 * len(peers)), "[red]invalid", "")
            continue
        times = [f"{outcome.median(n) * 1e6:.3g}" if n in outcome.times else "" for n in (SUBJECT, *peers)]
        ratios = [cell for peer in peers for cell in _ratio_cells(outcome.ratios.get(peer))]
        result.add_row(*start, *times, *ratios, _roofline_cell(outcome), _memory_cell(outcome.memory))
    return result


def _ratio_cells(ratio: Ratio | None) -> tuple[str, str]:
    if ratio is None:
        return "", ""
    figures = rf"{ratio.median:.2f} \[{ratio.low:.2f}–{ratio.high:.2f}]"
    if ratio.target is None:
        return figures, ""
    return figures, f"≤ {ratio.target:g} " + ("[green]met" if ratio.met else "[red]missed")


def _roofline_cell(outcome: Outcome) -> str:
    if outcome.share is None:
        return ""
    wanted = outcome.case.share
    if wanted is None:
        return f"{outcome.share:.0%}"
    return f"{outcome.share:.0%}, ≥ {wanted:.0%} " + ("[green]met" if outcome.share >= wanted else "[red]missed")


def _memory_cell(held: int | None) -> str:
    if held is None:
        return ""
    return f"{held / 1e6:.1f} MB" if held >= 1e5 else f"{held / 1e3:.1f} KB"


def summarise(console: Console, outcomes: Sequence[Outcome], means: Mapping[str, float]) -> bool:
    """Print what is wrong or below its target, the means of the ratios, and how many targets are met.

    Returns
    -------
    bool
        Whether `means` are reached.
    """
    reached = True
    for outcome in outcomes:
        if outcome.problem:
            message = f"{outcome.case.label} {show_size(outcome.case.size)}: {outcome.problem}"
            console.print(message, style="red", markup=False)
    below = [(outcome, text) for outcome in outcomes if (text := _below_target(outcome))]
    if below:
        console.print("below target:")
    for outcome, text in below:
        console.print(f"  {outcome.case.label} {show_size(outcome.case.size)}: {text}", markup=False)
    for peer in dict.fromkeys(peer for outcome in outcomes for peer in outcome.ratios):
        medians = [outcome.ratios[peer].median for outcome in outcomes if peer in outcome.ratios]
        mean = statistics.geometric_mean(medians)
        text = f"geometric mean of {len(medians)} ratios to {peer}: {mean:.2f}, {1 / mean:.2f} times as fast"
        if peer in means:
            met = mean <= means[peer]
            reached &= met
            text += f", target {1 / means[peer]:.2g}: " + ("[green]met" if met else "[red]missed")
        console.print(text)
    verdicts = [met for outcome in outcomes for met in outcome.verdicts]
    console.print(
        f"{sum(verdicts)} of {len(verdicts)} targets met, {sum(bool(o.problem) for o in outcomes)} rows invalid"
    )
    return reached


def _below_target(outcome: Outcome) -> str:
    """Say which targets of a row are missed, if any."""
    missed = [
        f"{r.median:.2f} of {peer}, target {r.target:.2g}" for peer, r in outcome.ratios.items() if r.met is False
    ]
    wanted = outcome.case.share
    if wanted is not None and outcome.share is not None and outcome.share < wanted:
        missed.append(f"{outcome.share:.0%} of the roofline, target {wanted:.0%}")
    return "; ".join(missed)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain data."""
    return {
        "operation": outcome.case.name,
        "detail": outcome.case.detail,
        "elements": outcome.case.size,
        "seconds": {name: list(samples) for name, samples in outcome.times.items()},
        "ratios": {
            peer: {"median": r.median, "low": r.low, "high": r.high, "target": r.target, "met": r.met}
            for peer, r in outcome.ratios.items()
        },
        "share_of_roofline": outcome.share,
        "bytes": outcome.memory,
        "problem": outcome.problem,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain data to a file."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
