"""The table of functions as Markdown: ``python -m trueno.ir.table > docs/ops.md``."""

from __future__ import annotations

from trueno.ir import composites, ufuncs
from trueno.ir.op import rows

_KINDS = {
    "elementwise": "Elementwise", "reduction": "Reductions", "scan": "Scans", "view": "Views", "assemble": "Assembling",
    "gather": "Gather", "scatter": "Scatter", "contraction": "Contractions",
}  # fmt: skip


def _library() -> list[str]:
    """Return the table of what a library computes; the modules that declare it are above the op table."""
    from importlib import import_module

    for name in ("trueno.linalg", "trueno.fft"):
        import_module(name)
    lines = ["## Library operations", "", "LAPACK and pocketfft, on whole arrays on the CPU.", ""]
    lines += ["| function | operands | gradient | complex | meaning |", "|---|---|---|---|---|"]
    for row in sorted(import_module("trueno.library").rows(), key=lambda one: one.name):
        gradient, kinds = "yes" if row.grad is not None else "no", "".join(one.kind for one in row.dtypes)
        lines.append(f"| `{row.name}` | {row.operands} | {gradient} | {'yes' if 'c' in kinds else 'no'} | {row.doc} |")
    return [*lines, ""]


def markdown() -> str:
    """Return one table a kind: name, operands, whether it has a gradient, and its line of documentation."""
    note = "Generated from the op table by `python -m trueno.ir.table`; a test keeps it current."
    lines = ["# Functions", "", note, ""]
    for kind, title in _KINDS.items():
        listed = [op for op in rows(kind) if op.public]
        if listed:
            lines += [f"## {title}", "", "| function | operands | gradient | meaning |", "|---|---|---|---|"]
            for op in listed:
                arity = "any" if op.arity < 0 else op.arity
                gradient = "yes" if op.differentiable else "no"
                lines.append(f"| `{op.name}` | {arity} | {gradient} | {op.doc} |")
            lines.append("")
    lines += _library()
    lines += ["## Composites", "", "One kernel each, and one for the gradient.", ""]
    lines += ["| function | meaning |", "|---|---|"]
    for function in (*composites.COMPOSITES, *ufuncs.COMPOSITES):
        lines.append(f"| `{function.__name__}` | {(function.__doc__ or '').splitlines()[0]} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(markdown(), end="")
