"""What compiling the kernels of the table costs: python -m benchmarks.compile.

Each row of benchmarks.table is called once in a process of its own with an empty cache folder, then in a second process
with the same folder, which must compile nothing. A kernel may take 60 ms. --sections and --ops select as in the table.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.harness import SUBJECT, Case
from benchmarks.program import Options, describe_software, new_console, parse, show_size, versions, write_json
from benchmarks.store import child

LIMIT = 60.0
"""Milliseconds that one kernel may take to compile."""

PROGRAM = (
    "import json; from benchmarks import compile; print(json.dumps(compile.first_calls({rows}, {given}, {folder!r})))"
)

_ROUNDS = 3
_GROUP = 20
"""Rows that one interpreter serves: its imports take longer than most rows."""


@dataclass(frozen=True)
class Call:
    """The first call of a row in a process.

    Attributes
    ----------
    kernels : tuple of (str, float)
        Name and milliseconds of each kernel that the compiler made for the call.
    milliseconds : float
        Of the whole call: recording, compiling, loading, running.
    problem : str
        Why there is nothing to tell.
    """

    kernels: tuple[tuple[str, float], ...] = ()
    milliseconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Finding:
    """A row's first calls with an empty and with a filled cache."""

    label: str
    size: int
    cold: Call
    warm: Call

    @property
    def slowest(self) -> float:
        """Milliseconds of the kernel that took longest."""
        return max((milliseconds for _, milliseconds in self.cold.kernels), default=0.0)

    @property
    def missed(self) -> str:
        """What is not as it should be, or nothing."""
        for call in (self.cold, self.warm):
            if call.problem:
                return call.problem
        if self.warm.kernels:
            return f"the second process compiled {', '.join(name for name, _ in self.warm.kernels)} again"
        slow = [f"{name} takes {taken:.0f} ms" for name, taken in self.cold.kernels if taken > LIMIT]
        return "; ".join(slow)


def first_calls(rows: Sequence[int], given: tuple[bool, tuple[str, ...]], folder: str) -> list[dict[str, Any]]:
    """Call rows of the table, each in a fork of this interpreter and with a cache folder of its own.

    They are counted from 0 in the table of `given`, its --quick and --sections.
    """
    import trueno as tn
    from benchmarks import table

    # The launcher and LLVM's start are no part of a row; nothing else of it has a kernel of float64.
    -tn.zeros(3, dtype=tn.float64)
    cases = list(table.cases(*given))
    # What the peers' packages keep alive is collected here, where no row waits for it.
    gc.collect()
    gc.freeze()
    return [_forked(cases[number], os.path.join(folder, str(number))) for number in rows]


def _forked(case: Case, folder: str) -> dict[str, Any]:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        try:
            found = _first_call(case, folder)
        except BaseException as error:  # whatever it is, the row shows it
            found = Call(problem=f"{type(error).__name__}: {error}")
        with os.fdopen(writer, "w") as stream:
            json.dump(asdict(found), stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(process, 0)
    return json.loads(text) if text else asdict(Call(problem="the process died"))


def _first_call(case: Case, folder: str) -> Call:
    """Make the operands, then the call, and look what was compiled for it."""
    import trueno as tn
    from trueno import config
    from trueno.runtime.store import default_store

    os.environ["TRUENO_CACHE_DIR"] = folder
    config.reload()
    default_store.cache_clear()
    # A fork shares LLVM's code and data with its parent, but finds each page anew when it first touches it: that is
    # LLVM's start once more, and no part of a row. Nothing else of the table has a kernel of int16.
    -tn.zeros(3, dtype=tn.int16)
    contender = case.build().contenders[SUBJECT]
    names = dict(contender.namespace)
    before = {entry.digest for entry in default_store().entries()}
    compiled = tn.cache_statistics()["compiled"]
    begin = time.perf_counter()
    eval(contender.statement, names)
    taken = time.perf_counter() - begin
    fresh = [entry for entry in default_store().entries() if entry.digest not in before]
    kernels = tuple((entry.name, 1e3 * float(entry.header["compile_seconds"])) for entry in fresh)
    if len(kernels) != tn.cache_statistics()["compiled"] - compiled:
        return Call(problem="a kernel was compiled and not stored, or twice")
    return Call(kernels, 1e3 * taken)


def _call(found: dict[str, Any]) -> Call:
    return Call(tuple((name, taken) for name, taken in found["kernels"]), found["milliseconds"], found["problem"])


def measure(options: Options, folder: Path) -> Iterable[Finding]:
    """Yield what every selected row of the table shows: of several rounds the one with the median compilation."""
    from benchmarks import table

    rounds = options.rounds or (1 if options.quick else _ROUNDS)
    given = (options.quick, options.sections)
    cases = list(table.cases(*given))
    wanted = [number for number, case in enumerate(cases) if options.wants(case)]
    for begin in range(0, len(wanted), _GROUP):
        rows = wanted[begin : begin + _GROUP]
        programs = [PROGRAM.format(rows=rows, given=given, folder=str(folder / str(k))) for k in range(rounds)]
        cold = [child(program, folder / "launcher") for program in programs]
        warm = child(programs[0], folder / "launcher")
        for number, second, *first in zip(rows, warm, *cold, strict=True):
            found = [Finding(cases[number].label, cases[number].size, _call(one), _call(second)) for one in first]
            yield sorted(found, key=lambda one: one.slowest)[len(found) // 2]


def show(found: Sequence[Finding]) -> Table:
    """A row for every finding."""
    result = Table(title="First calls with an empty kernel cache", caption="a second process must compile nothing")
    result.add_column("operation", no_wrap=True)
    for heading in ("elements", "kernels", "slowest ms", "call ms", "call ms, second process", "compiled by it"):
        result.add_column(heading, justify="right")
    result.add_column("target")
    for one in found:
        counts = (str(len(one.cold.kernels)), f"{one.slowest:.1f}", f"{one.cold.milliseconds:.1f}")
        again = (f"{one.warm.milliseconds:.1f}", str(len(one.warm.kernels)))
        verdict = f"≤ {LIMIT:g} ms, 0 " + ("[red]missed" if one.missed else "[green]met")
        result.add_row(one.label, show_size(one.size), *counts, *again, verdict)
    return result


def main(options: Options) -> int:
    """Measure, print and return the exit status: 1 for failures and, with --strict, for missed targets."""
    console = new_console()
    describe_software(console)
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="trueno-bench-") as folder, console.status("") as status:
        for one in measure(options, Path(folder)):
            found.append(one)
            text = f"{len(found)}: {one.label} {show_size(one.size)}"
            status.update(text)
            if not console.is_terminal:
                print(text, file=sys.stderr, flush=True)
    console.print(show(found))
    missed = [one for one in found if one.missed]
    for one in missed:
        console.print(f"{one.label} {show_size(one.size)}: {one.missed}", style="red", markup=False)
    console.print(f"{len(found) - len(missed)} of {len(found)} rows within {LIMIT:g} ms a kernel, none compiled twice")
    if options.json is not None:
        rows = [asdict(one) | {"missed": one.missed} for one in found]
        write_json(options.json, {"versions": versions(), "rows": rows})
    failed = any(one.cold.problem or one.warm.problem for one in found)
    return int(not found or failed or (options.strict and bool(missed)))


if __name__ == "__main__":
    from benchmarks.table import SECTIONS

    sys.exit(main(parse(__doc__ or "", sections=SECTIONS)))
