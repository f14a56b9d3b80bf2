"""`trueno tune`: measure on this machine what plans cannot know."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from trueno.cli import output


def tune(
    seconds: Annotated[float, typer.Option(help="Time to spend.", min=1.0)] = 30.0,
    only: Annotated[list[str] | None, typer.Option(help="Tune only this choice; may be given several times.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Measure thresholds and the tiles of products on this machine; later processes follow what is found.

    No choice changes a result. Let the machine be idle meanwhile.
    """
    from trueno.runtime import tuning

    if reset:
        gone = tuning.reset()
        output.note("The defaults are back." if gone else "Nothing was tuned: the defaults hold.")
        return
    try:
        with _bar(not as_json) as bar:
            task = bar.add_task("", total=1.0)
            findings = tuning.tune(
                seconds, only or (), lambda name, share: bar.update(task, completed=share, description=name)
            )
    except ValueError as error:
        output.fail(str(error), 2)
    if as_json:
        output.print_json({"choices": [one._asdict() for one in findings]})
        return
    shown = output.table("Choice", "Before", "Now", "Time", "Tried", right=("Before", "Now", "Time"))
    for one in findings:
        tried = ", ".join(f"{v:,}: {'wrong' if r is None else f'{r:.2f}'}" for v, r in one.tried.items())
        tried += "" if one.complete else " (out of time)"
        shown.add_row(one.name, f"{one.before:,}", f"{one.after:,}", f"{one.ratio:.2f}", tried)
    output.console().print(shown)


def _bar(visible: bool) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=output.console(error=True), transient=True, disable=not visible)
