"""The command's tree, and the commands that need no module of their own."""

from __future__ import annotations

import difflib
import os
from typing import Annotated

import typer
from rich.text import Text

from trueno import config
from trueno.cli import cache, checks, doctor, output, tune

app = typer.Typer(
    name="trueno",
    help="Look at your Trueno installation: what works here, and which compiled kernels are kept.",
    epilog="Start with: trueno doctor",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cache.app, name="cache")
app.command("doctor")(doctor.doctor)
app.command("tune")(tune.tune)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"trueno {checks.version()}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print Trueno's version and leave.")
    ] = False,
) -> None:
    """Look at your Trueno installation: what works here, and which compiled kernels are kept."""


@app.command("config")
def show_config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show every setting: its environment variable, its value and where the value comes from.

    Leaves with exit code 1 if a variable holds a value that it cannot hold.
    """
    rows = config.table()
    strange = unknown_variables()
    if as_json:
        output.print_json({"settings": [row._asdict() for row in rows], "unknown": strange})
    else:
        shown = output.table("Variable", "Value", "From", "Meaning")
        for row in rows:
            style = {"environment": "green", "error": "bold red"}.get(row.origin, "dim")
            meaning = Text(row.meaning if row.error is None else f"{row.error}")
            shown.add_row(Text(row.variable), Text(row.value), Text(row.origin, style=style), meaning)
        output.console().print(shown)
        for name, meant in strange.items():
            output.note(f"{name} is set but is no setting of Trueno" + (f"; is {meant} meant?" if meant else ""))
    if any(row.error for row in rows):
        raise typer.Exit(1)


def unknown_variables() -> dict[str, str | None]:
    """Return TRUENO_* variables that are set but are no settings, each with the setting that it resembles."""
    known = [row.variable for row in config.rows().values()]
    found = [name for name in sorted(os.environ) if name.startswith("TRUENO_") and not name.startswith("TRUENO_TEST_")]
    return {name: next(iter(difflib.get_close_matches(name, known, 1)), None) for name in found if name not in known}
