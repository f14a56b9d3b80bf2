"""The stages of one stored kernel, as text."""

from __future__ import annotations

import enum
from typing import Any

from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from trueno.cli import output
from trueno.runtime.store import Stored


class Stage(enum.StrEnum):
    """What `cache show --stage` takes."""

    ir = "ir"
    plan = "plan"
    llvm = "llvm"
    optimised = "optimised"
    assembly = "assembly"
    opencl = "opencl"
    log = "log"


_TITLES = {
    Stage.ir: "IR",
    Stage.plan: "Plan",
    Stage.llvm: "LLVM IR before optimisation",
    Stage.optimised: "LLVM IR after optimisation",
    Stage.assembly: "Assembly",
    Stage.opencl: "OpenCL C",
    Stage.log: "Build log",
}
_LINE = 60
_LEXERS = {Stage.llvm: "llvm", Stage.optimised: "llvm", Stage.assembly: "gas", Stage.opencl: "c"}
_STORED = {Stage.ir: "ir", Stage.plan: "plan", Stage.llvm: "source", Stage.opencl: "source", Stage.log: "log"}
_OF_BACKEND = {Stage.llvm: "llvm", Stage.optimised: "llvm", Stage.assembly: "llvm", Stage.opencl: "opencl"}


def look(entry: Stored, stage: Stage) -> tuple[str | None, str]:
    """Return a stage's text and "", or None and the reason why there is none."""
    if not applies(entry, stage):
        return None, f"it was made by the {entry.backend} backend"
    if stage in _STORED:
        return entry.header.get(_STORED[stage]) or None, "nothing was kept of it"
    try:
        optimised, assembly = _regenerate(entry)
    except RuntimeError as error:
        return None, str(error)
    return (optimised if stage is Stage.optimised else assembly), ""


def applies(entry: Stored, stage: Stage) -> bool:
    """Whether the entry's backend has such a stage."""
    return _OF_BACKEND.get(stage, entry.backend) == entry.backend


_regenerated: dict[str, tuple[str, str]] = {}


def _regenerate(entry: Stored) -> tuple[str, str]:
    """Run LLVM again over the stored source, for the features that the entry was made for.

    Raises
    ------
    RuntimeError
        It cannot be done; the message says why.
    """
    if entry.digest not in _regenerated:
        source, features = entry.header.get("source"), entry.header.get("features")
        if not source or features is None:
            raise RuntimeError("the entry holds no LLVM source or no feature list")
        try:
            from trueno.codegen.compile import stages

            _regenerated[entry.digest] = stages(source, features)
        except ImportError as error:
            raise RuntimeError(f"the LLVM backend cannot be imported: {error}") from error
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(f"LLVM could not compile the stored source: {error}") from error
    return _regenerated[entry.digest]


def print_stage(found: str, stage: Stage) -> None:
    """Print a stage alone: coloured on a terminal, else exactly the text."""
    if output.terminal():
        output.console().print(_coloured(found, stage))
    else:
        print(found, end="" if found.endswith("\n") else "\n")


def _coloured(found: str, stage: Stage) -> Syntax | Text:
    lexer = _LEXERS.get(stage)
    if lexer is None:
        return Text(found)
    return Syntax(found, lexer, theme="ansi_dark", background_color="default", word_wrap=False)


def print_all(entry: Stored) -> None:
    """Print what is known of the entry, then every stage that it has."""
    console = output.console()
    console.print(Panel(_summary(entry), title=entry.name, title_align="left", expand=False))
    for stage in Stage:
        found, why = look(entry, stage)
        if found is not None or (applies(entry, stage) and stage not in _STORED):
            console.print(Rule(_TITLES[stage], align="left", style="cyan"))
            console.print(
                _coloured(found.rstrip("\n"), stage) if found else Text(f"not available: {why}", style="yellow")
            )


def _summary(entry: Stored) -> Table:
    header = entry.header
    seconds = header.get("compile_seconds")
    lines: dict[str, Any] = {
        "key": entry.digest,
        "target": entry.key.target,
        "device": header.get("device"),
        "asked for by": header.get("origin"),
        "created": header.get("created"),
        "compiled in": None if seconds is None else output.duration(seconds),
        "code": output.size(len(entry.code)),
        "file": entry.path,
        **{f"key part {name}": value for name, value in entry.key.parts},
    }
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines.items():
        if value:
            grid.add_row(name, Text(_shortened(str(value)) if name.startswith("key part") else str(value)))
    return grid


def _shortened(value: str) -> str:
    """Return a part of a key as one line; what is left out stands in the stages, and in --json."""
    if len(value) <= _LINE and "\n" not in value:
        return value
    lines = output.count(value.count("\n") + 1, "line")
    return f"{value.splitlines()[0][:_LINE]}… ({lines}, {output.count(len(value), 'character')})"
