"""What the commands share in showing things: consoles, tables, sizes, JSON."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

SCHEMA = 1
"""Version of what --json prints. It changes when a name is removed or changes its meaning, not when one is added."""

_PIPED_WIDTH = 200


def console(*, error: bool = False) -> Console:
    """Return a console for stdout or stderr; one that is no terminal is wide, so that nothing is cut off."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else max(_PIPED_WIDTH, shutil.get_terminal_size().columns)
    return Console(stderr=error, width=width, highlight=False)


def terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Return an empty table; the columns named in `right` are right-aligned."""
    made = Table(box=box.SIMPLE_HEAD, header_style="bold", title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def table_line(width: int) -> Table:
    """Return a table without frame whose first column has this width: a heading and text that wraps beside it."""
    made = Table.grid(padding=(0, 1))
    made.add_column(width=width)
    made.add_column(overflow="fold")
    return made


def print_json(document: dict[str, Any]) -> None:
    """Print a document with the schema's number in front."""
    print(json.dumps({"schema": SCHEMA, **document}, indent=2))


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error and leave with this exit code."""
    console(error=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)


def note(message: str) -> None:
    """Print a remark on stderr, where it does not get into --json or a pipe."""
    console(error=True).print(Text(message, style="yellow"), soft_wrap=True)


def size(count: float) -> str:
    """Return a number of bytes in words, such as ``12.3 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Return a time in words, such as ``6.6 ms`` or ``3.2 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def ago(seconds: float) -> str:
    """Return an age in words, such as ``5 min ago``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return number and noun, such as ``1 entry`` or ``2 entries``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
