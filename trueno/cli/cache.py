"""`trueno cache`: what the kernel store holds, what it did, and how to empty it."""

from __future__ import annotations

import enum
import fnmatch
import re
import time
from typing import Annotated, Any

import typer
from rich.text import Text

from trueno import config
from trueno.cli import output, show
from trueno.runtime.store import Store, Stored

app = typer.Typer(
    help="Look at the compiled kernels that Trueno keeps on disk, and delete them.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class Order(enum.StrEnum):
    """Orders of `cache list`."""

    used = "used"
    created = "created"
    size = "size"
    compile = "compile"
    name = "name"


class Backend(enum.StrEnum):
    """Backends to choose from."""

    llvm = "llvm"
    opencl = "opencl"


Level = enum.StrEnum("Level", {name: name for name in config.FEATURE_LEVELS})  # type: ignore[misc]


def open_store() -> Store:
    """Return the configured store; a bad setting or a folder that may not be read ends the command with exit code 2."""
    try:
        config.reload()
    except config.ConfigError as error:
        output.fail(str(error), 2)
    store = Store()
    state = store.state()
    if state.status in ("refused", "unusable"):
        output.fail(f"kernel cache {state.path}: {state.cause}. {state.remedy}", 2)
    if state.status == "off":
        output.note("The kernel cache is off (TRUENO_CACHE=0): nothing is read or written.")
    return store


def describe(entry: Stored) -> dict[str, Any]:
    """Return what `cache list --json` says of an entry."""
    header = entry.header
    return {
        "key": entry.digest,
        "name": entry.name,
        "backend": entry.backend,
        "target": entry.key.target,
        "bytes": entry.size,
        "code_bytes": len(entry.code),
        "compile_seconds": header.get("compile_seconds"),
        "created": header.get("created"),
        "used": entry.used,
        "origin": header.get("origin"),
        "path": entry.path,
    }


_ORDERS: dict[Order, Any] = {
    Order.used: lambda row: -row["used"],
    Order.created: lambda row: row["created"] or "",
    Order.size: lambda row: -row["bytes"],
    Order.compile: lambda row: -(row["compile_seconds"] or 0),
    Order.name: lambda row: (row["name"], row["key"]),
}


@app.command("list")
def list_entries(
    op: Annotated[str | None, typer.Option(help="Only kernels with this name; * stands for anything.")] = None,
    backend: Annotated[Backend | None, typer.Option(help="Only kernels of this backend.")] = None,
    sort: Annotated[
        Order, typer.Option(help="Most recently used, oldest, largest or slowest to compile first, or by name.")
    ] = Order.used,
    as_json: Json = False,
) -> None:
    """List the kernels in the cache.

    The first column is the key that `trueno cache show` takes.
    """
    rows = [describe(entry) for entry in open_store().entries()]
    rows = [
        row
        for row in rows
        if (op is None or fnmatch.fnmatchcase(row["name"], op)) and (backend is None or row["backend"] == backend)
    ]
    rows.sort(key=_ORDERS[sort])
    if as_json:
        output.print_json({"entries": rows})
        return
    shown = output.table(
        "Key", "Kernel", "Target", "Size", "Compiled in", "Used", "Asked for by", right=("Size", "Compiled in", "Used")
    )
    now = time.time()
    for row in rows:
        seconds = row["compile_seconds"]
        shown.add_row(
            Text(row["key"][:12], style="cyan"),
            Text(row["name"], style="bold"),
            Text(row["target"]),
            output.size(row["bytes"]),
            "" if seconds is None else output.duration(seconds),
            output.ago(now - row["used"]),
            Text(row["origin"] or "", style="dim"),
        )
    if rows:
        output.console().print(shown)
    total = output.size(sum(row["bytes"] for row in rows))
    output.console().print(f"{output.count(len(rows), 'kernel')}, {total}")


@app.command("show")
def show_entry(
    key: Annotated[str, typer.Argument(help="The first digits of a key, or a kernel's name: then the newest of it.")],
    stage: Annotated[
        show.Stage | None, typer.Option(help="Print only this, as plain text unless to a terminal.")
    ] = None,
    level: Annotated[
        Level | None, typer.Option(help="Optimise and assemble for this CPU feature level, whatever CPU this is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how a kernel was made: IR, plan, LLVM IR before and after optimisation, assembly, OpenCL C, build log.

    The entry `choices` is what `trueno tune` has found.
    """
    entry = find(open_store(), key)
    if as_json:
        chosen = [stage] if stage else list(show.Stage)
        texts = {str(one): show.look(entry, one, level)[0] for one in chosen}
        parts = [{"name": name, "value": value} for name, value in entry.key.parts]
        choices = entry.header.get("choices")
        output.print_json({**describe(entry), "parts": parts, "choices": choices, "stages": texts})
    elif stage is not None:
        found, why = show.look(entry, stage, level)
        if found is None:
            output.fail(f"{entry.name} {entry.digest[:12]} has no {stage}: {why}")
        show.print_stage(found, stage)
    else:
        show.print_all(entry, level)


@app.command("graph")
def graph_entry(
    key: Annotated[str, typer.Argument(help="The first digits of a key, or a kernel's name: then the newest of it.")],
    as_json: Json = False,
) -> None:
    """Draw what a kernel computes, results at the top: each value stands under what it is used for."""
    from trueno.ir.graph import draw, to_graph
    from trueno.ir.text import from_text

    entry = find(open_store(), key)
    text = entry.header.get("ir")
    if not text:
        output.fail(f"{entry.name} {entry.digest[:12]} holds no IR: it is a part of Trueno, not a recorded kernel")
    kernel = from_text(text)
    if as_json:
        graph = to_graph(kernel)
        nodes = [{"number": number, **values} for number, values in graph.nodes(data=True)]
        edges = [{"from": a, "to": b, "position": k} for a, b, k in graph.edges(data="position")]
        output.print_json({"key": entry.digest, "nodes": nodes, "edges": edges})
    else:
        print(draw(kernel))


@app.command("explain")
def explain_entry(
    key: Annotated[str, typer.Argument(help="The first digits of a key, or a kernel's name: then the newest of it.")],
    as_json: Json = False,
) -> None:
    """Say why a kernel is an entry of its own: the entry nearest to it, and what the two differ in."""
    store = open_store()
    entry = find(store, key)
    found = store.explain(entry.key)
    if as_json:
        fields = [] if found is None else [field._asdict() for field in found.fields]
        output.print_json({"key": entry.digest, "nearest": found and found.entry.digest, "fields": fields})
        return
    if found is None:
        output.console().print("It is the only entry in the cache.")
        return
    nearest = found.entry
    output.console().print(Text(f"{entry.name} {entry.digest[:12]}; nearest is {nearest.name} {nearest.digest[:12]}"))
    shown = output.table("Part of the key", "Difference")
    for field in found.fields:
        difference = field.sentence("in the nearest", "in this one").removeprefix(field.name).lstrip(":, ")
        shown.add_row(Text(field.name, style="bold"), Text(difference))
    output.console().print(shown)


def find(store: Store, key: str) -> Stored:
    """Return the entry that the user means, or end the command."""
    try:
        return store.find(key)
    except LookupError as error:
        output.fail(f"{error.args[0]}; `trueno cache list` lists what there is")


@app.command("stats")
def stats(
    reset: Annotated[bool, typer.Option("--reset", help="Set all counts to zero. Kernels are kept.")] = False,
    as_json: Json = False,
) -> None:
    """Show how often kernels came from the cache, over all processes that used it.

    A soft miss is a kernel that a process had not loaded yet but found on disk; a hard miss had to be compiled.
    """
    store = open_store()
    if reset:
        store.reset_statistics()
    found = store.statistics()
    if as_json:
        output.print_json({**found, "folder": store.folder})
        return
    backends = found["backends"]
    shown = output.table("", *backends, "total", right=(*backends, "total"))
    columns = [*backends.values(), found]
    for label, value in _LINES.items():
        shown.add_row(label, *(value(column) for column in columns))
    for reason in found["rejected"]:
        shown.add_row(f"rejected: {reason}", *(str(column["rejected"].get(reason, 0)) for column in columns))
    output.console().print(shown)
    used = f"{output.count(found['entries'], 'kernel')}, {output.size(found['bytes'])} of {output.size(found['limit'])}"
    output.console().print(Text(f"{used} in {store.folder}"))


def _share(column: dict[str, Any]) -> str:
    total = column["hits"] + column["compiled"]
    return f"{100 * column['hits'] / total:.1f} %" if total else "–"


_LINES: dict[str, Any] = {
    "from disk (soft misses)": lambda column: str(column["hits"]),
    "compiled (hard misses)": lambda column: str(column["compiled"]),
    "share from disk": _share,
    "time spent compiling": lambda column: output.duration(column["compile_seconds"]),
    "read": lambda column: output.size(column["bytes_read"]),
    "written": lambda column: output.size(column["bytes_written"]),
}


@app.command("verify")
def verify(as_json: Json = False) -> None:
    """Check every file of the cache against its checksum; exit code 1 if one is spoilt.

    Nothing is deleted: a spoilt file is replaced when its kernel is asked for.
    """
    store = open_store()
    faults = store.verify()
    checked = len(store.paths())
    if as_json:
        output.print_json({"checked": checked, "faults": [fault._asdict() for fault in faults]})
    else:
        for fault in faults:
            output.console().print(
                Text.assemble(("bad  ", "bold red"), fault.path, f": {fault.reason}: {fault.detail}")
            )
        bad = f"{len(faults)} bad" if faults else "all good"
        output.console().print(f"{output.count(checked, 'kernel')} checked, {bad}")
    if faults:
        raise typer.Exit(1)


def _age(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise typer.BadParameter("expected a number and a unit: 30s, 10m, 12h, 30d or 4w")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]


@app.command("clear")
def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    op: Annotated[str | None, typer.Option(help="Only kernels with this name.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only kernels not used for so long: 30s, 10m, 12h, 30d, 4w.", metavar="AGE")
    ] = None,
) -> None:
    """Delete kernels from the cache. They are compiled again when they are needed; nothing else is lost."""
    seconds = None if older_than is None else _age(older_than)
    store = open_store()
    if store.state().status == "off":
        return
    which = ("all kernels" if op is None else f"the kernels named {op}") + (
        "" if older_than is None else f" not used for {older_than}"
    )
    if not yes:
        typer.confirm(f"Delete {which} in {store.folder}?", abort=True)
    output.console().print(f"{output.count(store.clear(op, seconds), 'kernel')} deleted")
