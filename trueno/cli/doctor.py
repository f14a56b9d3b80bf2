"""`trueno doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from trueno.cli import output
from trueno.cli.checks import BROKEN, OK, WARNING, Check, run_all

_MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), BROKEN: ("✗", "bold red")}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every detail.")] = False,
) -> None:
    """Check this machine: Python, LLVM, the CPU, threads, the launcher, OpenCL devices and the kernel cache.

    Leaves with exit code 1 if something that you asked for, by installing it or by setting a variable, does not work.
    """
    checks = run_all()
    broken = [check for check in checks if check.status == BROKEN]
    if as_json:
        output.print_json({"ok": not broken, "checks": {check.name: _document(check) for check in checks}})
    else:
        _print(checks, verbose)
    if broken:
        raise typer.Exit(1)


def _document(check: Check) -> dict[str, Any]:
    return {"status": check.status, "summary": check.summary, "remedy": check.remedy, "details": check.details}


def _print(checks: list[Check], verbose: bool) -> None:
    console = output.console()
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARKS[check.status]
        line = output.table_line(width + 4)
        line.add_row(
            Text.assemble((mark, style), " ", (check.name, "bold")),
            Text.assemble(check.summary, (f"\n{check.remedy}" if check.remedy else "", "yellow")),
        )
        console.print(line)
        if verbose:
            console.print(_tree(check.details))
    bad = [check.name for check in checks if check.status == BROKEN]
    verdict = f"Does not work: {', '.join(bad)}." if bad else "All that you asked for works."
    console.print(Text(verdict, style="bold red" if bad else "green"))


def _tree(details: Any) -> Tree:
    tree = Tree("", hide_root=True, guide_style="dim")
    _grow(tree, details)
    return tree


def _grow(tree: Tree, value: Any) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(one, dict) for one in item)):
            _grow(tree.add(Text(str(name), style="bold")), item)
        else:
            shown = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
            tree.add(Text.assemble((f"{name}: ", "dim"), shown))
