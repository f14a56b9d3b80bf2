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


def look(entry: Stored, stage: Stage, level: str | None = None) -> tuple[str | None, str]:
    """Return a stage's text and "", or None and the reason why there is none.

    `level`: the CPU feature level that the stages after LLVM IR are made for; by default the entry's own target.
    """
    if not applies(entry, stage):
        return None, f"it was made by the {entry.backend} backend"
    if stage in _STORED:
        return entry.header.get(_STORED[stage]) or None, "nothing was kept of it"
    try:
        optimised, assembly = _regenerate(entry, level)
    except RuntimeError as error:
        return None, str(error)
    return (optimised if stage is Stage.optimised else assembly), ""


def applies(entry: Stored, stage: Stage) -> bool:
    """Whether the entry's backend has such a stage."""
    return _OF_BACKEND.get(stage, entry.backend) == entry.backend


_regenerated: dict[tuple[str, str | None], tuple[str, str]] = {}


def _regenerate(entry: Stored, level: str | None) -> tuple[str, str]:
    """Run LLVM again over the stored source, for the features that the entry was made for or those of a level.

    Raises
    ------
    RuntimeError
        It cannot be done; the message says why.
    """
    known = (entry.digest, level)
    if known not in _regenerated:
        source, features = entry.header.get("source"), entry.header.get("features")
        if not source or features is None:
            raise RuntimeError("the entry holds no LLVM source or no feature list")
        try:
            from trueno.codegen.compile import stages

            _regenerated[known] = stages(source, features, level)
        except ImportError as error:
            raise RuntimeError(f"the LLVM backend cannot be imported: {error}") from error
        except ValueError as error:
            raise RuntimeError(str(error)) from error
        except RuntimeError as error:
            raise RuntimeError(f"LLVM could not compile the stored source: {error}") from error
    return _regenerated[known]


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


def print_all(entry: Stored, level: str | None = None) -> None:
    """Print what is known of the entry, then every stage that it has; `level` as for `look`."""
    console = output.console()
    console.print(Panel(_summary(entry), title=entry.name, title_align="left", expand=False))
    for stage in Stage:
        found, why = look(entry, stage, level)
        if found is not None or (applies(entry, stage) and stage not in _STORED):
            title = _TITLES[stage] + (f" for {level}" if level and stage not in _STORED else "")
            console.print(Rule(title, align="left", style="cyan"))
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
        **{f"choice {name}": str(value) for name, value in header.get("choices", {}).items()},
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
