"""Writes docs/numpy-migration.md: every name of NumPy's namespaces, and what becomes of it in trueno.np.

python tools/migration.py            write the file
python tools/migration.py --check    exit with status 1 where it is not current
python tools/migration.py --missing  list the names that are neither there nor in trueno/np/absent.py
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import trueno.np
from trueno.np.absent import ABSENT, FEATURES

PATH = Path(__file__).parent.parent / "docs" / "numpy-migration.md"

#: Title, prefix, NumPy's namespace, Trueno's.
SPACES: tuple[tuple[str, str, Any, Any], ...] = (
    ("numpy", "", np, trueno.np),
    ("numpy.ndarray", "ndarray.", np.ndarray, trueno.np.ndarray),
    ("numpy.linalg", "linalg.", np.linalg, trueno.np.linalg),
    ("numpy.fft", "fft.", np.fft, trueno.np.fft),
    ("numpy.random", "random.", np.random, trueno.np.random),
    ("numpy.random.Generator", "random.Generator.", np.random.Generator, trueno.np.random.Generator),
)

_HEAD = """# From NumPy to trueno.np

Change `import numpy as np` to `import trueno.np as np`. This is what becomes of every public name of NumPy {version}:
*same* takes NumPy's arguments and gives its results, *differs* says how it differs, *absent* what to use instead. The
page is written by `python tools/migration.py` from the two namespaces; a test keeps it current.

What holds everywhere:

- Arrays are `trueno.Tensor`; they take part in autograd, and live on the CPU or an OpenCL device.
- Reductions and full indexing give arrays of no dimensions, not NumPy's scalars; `item()` gives a Python number, and
  such an array works where a number does. Arrays are hashed by identity: use `item()` for a key.
- `x[i]` with all indices given is a copy, as in NumPy; `repr` shows `tensor(...)`, `str` is NumPy's.
- There are no floating-point warnings; integers divided by zero give 0.
- What is random comes from another stream (Philox) with the same distributions.
- `testing` has NumPy's assertions for Tensors.

| namespace | same | differs | absent |
|---|---|---|---|
"""


class Row(NamedTuple):
    """A name of NumPy's, its state and a note."""

    name: str
    state: str
    note: str


def public_names(space: Any) -> list[str]:
    """Return the names of a namespace that users call: without modules, private and deprecated ones."""
    names = getattr(space, "__all__", None) or [name for name in vars(space) if not name.startswith("_")]
    return sorted({name for name in names if not name.startswith("_") and not inspect.ismodule(getattr(space, name))})


def difference(theirs: Any, ours: Any) -> str:
    """Return how a function differs from NumPy's by its docstring and its parameters; empty if it does not."""
    text = inspect.getdoc(ours) or ""
    found = re.search(r"Differs from NumPy:\s*(.*?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    notes = [" ".join(found[1].split())] if found else []
    own = _parameters(ours, inspect.Parameter.POSITIONAL_ONLY)
    lacking = [name for name in _parameters(theirs) if name not in own] if callable(ours) else []
    if lacking and not _takes_any(ours):
        notes.append("without " + ", ".join(f"`{name}`" for name in lacking))
    return "; ".join(note.removesuffix(".") for note in notes)


def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _parameters(function: Any, *further: Any) -> list[str]:
    """Return the names by which arguments can be given, and those of further kinds of parameters."""
    signature = _signature(function)
    if signature is None:
        return []
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, *further)
    return [one.name for one in signature.parameters.values() if one.kind in named and one.name != "self"]


def _takes_any(function: Any) -> bool:
    signature = _signature(function)
    kinds = {one.kind for one in signature.parameters.values()} if signature is not None else set()
    return signature is None or inspect.Parameter.VAR_KEYWORD in kinds


def table(prefix: str, theirs: Any, ours: Any) -> Iterator[Row]:
    """Yield a row for each name of a namespace of NumPy's."""
    for name in public_names(theirs):
        full = prefix + name
        try:
            own = getattr(ours, name)
        except AttributeError:
            yield Row(full, "absent", ABSENT.get(full, ""))
            continue
        note = difference(getattr(theirs, name), own)
        yield Row(full, "differs" if note else "same", note)


def text() -> str:
    """Return what the file should contain."""
    tables = {title: list(table(prefix, theirs, ours)) for title, prefix, theirs, ours in SPACES}
    version = ".".join(np.__version__.split(".")[:2])
    lines = [_HEAD.format(version=version).rstrip("\n")]
    for title, rows in tables.items():
        counts = [sum(row.state == state for row in rows) for state in ("same", "differs", "absent")]
        lines.append(f"| {title} | {' | '.join(map(str, counts))} |")
    lines += ["", "What Trueno does not have, or has otherwise, beyond single names:", ""]
    lines += [f"- *{title}*: {sentence}." for title, sentence in FEATURES.items()]
    for title, rows in tables.items():
        same = [f"`{row.name}`" for row in rows if row.state == "same"]
        lines += ["", f"## {title}", "", f"Same: {', '.join(same)}."]
        others = [f"| `{row.name}` | {row.state} | {row.note} |" for row in rows if row.state != "same"]
        lines += ["", "| name | | |", "|---|---|---|", *others] if others else []
    return "\n".join([*lines, ""])


def missing() -> list[str]:
    """Return the names that are absent without a word on what to use instead."""
    return [row.name for _, *space in SPACES for row in table(*space) if row.state == "absent" and not row.note]


if __name__ == "__main__":
    if "--missing" in sys.argv[1:]:
        print("\n".join(missing()))
    elif "--check" in sys.argv[1:]:
        current = PATH.exists() and PATH.read_text() == text()
        sys.exit(0 if current else f"{PATH.name} is not current; run python tools/migration.py")
    else:
        PATH.write_text(text())
