"""Start-up and the kernel cache, in fresh processes: python -m benchmarks.store."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.program import Options, describe_software, new_console, parse, versions, write_json

_ROUNDS = 11
_QUICK_ROUNDS = 5

IMPORT = """
import time
begin = time.perf_counter()
import {module}
print((time.perf_counter() - begin) * 1e3)
"""

FIRST_OPERATION = """
import json, time
import numpy as np
import trueno as tn
x = tn.from_numpy(np.ones(100, np.float32))
if {device!r} != "cpu":
    x = x.to({device!r})
begin = time.perf_counter()
{statement}.cpu().numpy()
milliseconds = (time.perf_counter() - begin) * 1e3
print(json.dumps([milliseconds, tn.cache_statistics()["compiled"]]))
"""

MANY_SCALARS = """
import numpy as np
import trueno as tn
x = tn.from_numpy(np.arange(10, dtype=np.float32))
-x  # compiles the launcher, too, which is no kernel of the operation that is counted
before = tn.cache_statistics()["compiled"]
for i in range(1000):
    value = i + 0.5
    if not np.array_equal((x * value).numpy(), np.arange(10, dtype=np.float32) * np.float32(value)):
        raise SystemExit(f"x * {value} is wrong")
compiled = tn.cache_statistics()["compiled"] - before
if compiled < 1:
    raise SystemExit("an empty cache, and yet nothing was compiled")
print(compiled)
"""

MANY_SHAPES = """
import numpy as np
import trueno as tn
-tn.from_numpy(np.ones(10, np.float32))  # compiles the launcher, too
before = tn.cache_statistics()["compiled"]
for i in range(1000):
    a = np.full((1 + i % 10, 1 + i // 100, 1 + i // 10 % 10), i, np.float32)
    y = tn.from_numpy(a) + tn.from_numpy(a)
    if not np.array_equal(y.numpy(), a + a):
        raise SystemExit(f"x + x of shape {a.shape} is wrong")
compiled = tn.cache_statistics()["compiled"] - before
if compiled < 1:
    raise SystemExit("an empty cache, and yet nothing was compiled")
print(compiled)
"""

STATEMENTS = {"x + x": "(x + x)", "sum": "x.sum()", "softmax": "tn.softmax(x, axis=-1)"}
"""Operations whose first call is timed with an empty and with a filled cache."""


@dataclass(frozen=True)
class Finding:
    """One measured quantity and the most it may be; `problem` tells why there is no value."""

    name: str
    value: float | None
    unit: str
    limit: float | None = None
    problem: str = ""

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value is not None and self.value <= self.limit


def child(program: str, cache: Path) -> Any:
    """Run a program in a fresh interpreter with a cache folder and return what its last line of output says in JSON.

    Raises
    ------
    RuntimeError
        If it fails; the message is the last line of its errors.
    """
    environment = os.environ | {"TRUENO_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def finding(name: str, unit: str, limit: float | None, value: Callable[[], float]) -> Finding:
    """Measure one quantity; a failure becomes part of the finding."""
    try:
        return Finding(name, value(), unit, limit)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return Finding(name, None, unit, limit, str(error))


def imports(rounds: int, folder: Path) -> list[Finding]:
    """Import times in fresh processes, interleaved with the peers' imports."""
    rows = {"trueno, filled cache": 200.0, "trueno, empty cache": 200.0, "numpy": None, "torch": None}
    times: dict[str, list[float]] = {row: [] for row in rows}
    problems: dict[str, str] = {}
    try:
        child(IMPORT.format(module="trueno"), folder / "import")
    except RuntimeError as error:
        problems["trueno, filled cache"] = str(error)
    for i in range(rounds):
        for row, samples in times.items():
            cache = folder / (f"import-{i}" if "empty" in row else "import")
            try:
                samples.append(child(IMPORT.format(module=row.split(",")[0]), cache))
            except RuntimeError as error:
                problems[row] = str(error)
    return [
        Finding(f"import {row}", statistics.median(t) if t else None, "ms", rows[row], problems.get(row, ""))
        for row, t in times.items()
    ]


def first_operations(device: str, rounds: int, folder: Path) -> list[Finding]:
    """First calls on a device: with an empty cache, then in a second process that has to find everything stored."""
    found = []
    for name, statement in STATEMENTS.items():
        program = FIRST_OPERATION.format(device=device, statement=statement)
        cold: list[list[float]] = []
        warm: list[list[float]] = []
        try:
            for i in range(rounds):
                cache = folder / f"{device}-{name}-{i}".replace(" ", "")
                cold.append(child(program, cache))
                warm.append(child(program, cache))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            found.append(Finding(f"{device}: first {name}", None, "ms", problem=str(error)))
            continue
        limit = 40.0 if (device, name) == ("cpu", "x + x") else None
        found += [
            Finding(f"{device}: first {name}, empty cache", statistics.median(t for t, _ in cold), "ms", limit),
            Finding(f"{device}: first {name}, filled cache", statistics.median(t for t, _ in warm), "ms"),
            Finding(f"{device}: {name}, second process", max(count for _, count in warm), "compiled", 0),
        ]
        if min(count for _, count in cold) < 1:
            found.append(Finding(f"{device}: {name}", None, "compiled", problem="the empty cache compiled nothing"))
    return found


def devices(folder: Path) -> list[str]:
    """The CPU and the first OpenCL device, if there is one."""
    program = "import json, trueno; print(json.dumps([str(device) for device in trueno.devices()]))"
    try:
        names = child(program, folder / "devices")
    except RuntimeError:
        return ["cpu"]
    return ["cpu", *[name for name in names if name.startswith("opencl")][:1]]


def measure(options: Options, folder: Path) -> list[Finding]:
    """Everything this program shows."""
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    found = imports(rounds, folder)
    for device in devices(folder):
        found += first_operations(device, rounds if device == "cpu" else min(rounds, 3), folder)
    found.append(finding("x * s, 1,000 Python scalars", "compiled", 1, lambda: child(MANY_SCALARS, folder / "scalars")))
    found.append(
        finding("x + x, 1,000 contiguous shapes", "compiled", 4, lambda: child(MANY_SHAPES, folder / "shapes"))
    )
    return found


def table(found: list[Finding]) -> Table:
    """A row for every finding."""
    result = Table(title="Start-up and kernel cache, fresh processes")
    result.add_column("quantity")
    result.add_column("value", justify="right")
    result.add_column("unit")
    result.add_column("target")
    for item in found:
        value = "[red]failed" if item.value is None else f"{item.value:.4g}"
        verdict = "" if item.met is None else "[green]met" if item.met else "[red]missed"
        target = "" if item.limit is None else f"≤ {item.limit:g} {verdict}"
        result.add_row(item.name, value, item.unit, target)
    return result


def main(options: Options) -> int:
    """Measure, print and return the exit status: 1 for failures and, with --strict, for missed targets."""
    console = new_console()
    describe_software(console)
    with tempfile.TemporaryDirectory(prefix="trueno-bench-") as folder, console.status("measuring"):
        found = measure(options, Path(folder))
    console.print(table(found))
    for item in found:
        if item.problem:
            console.print(f"{item.name}: {item.problem}", style="red", markup=False)
    verdicts = [item.met for item in found if item.met is not None]
    console.print(f"{sum(verdicts)} of {len(verdicts)} targets met")
    if options.json is not None:
        write_json(options.json, {"versions": versions(), "rows": [asdict(item) | {"met": item.met} for item in found]})
    failed = any(item.problem for item in found)
    return int(failed or (options.strict and not all(verdicts)))


if __name__ == "__main__":
    sys.exit(main(parse(__doc__)))
