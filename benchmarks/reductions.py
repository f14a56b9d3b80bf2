"""Reductions and softmax of large float32 arrays, in full and along each axis: python -m benchmarks.reductions."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.harness import Case
from benchmarks.operations import MORE_REDUCTIONS, REDUCTIONS, case
from benchmarks.program import parse, run

SIZES = (100_000, 1_000_000, 10_000_000)

COLUMNS = 1000


def cases() -> Iterator[Case]:
    """Rows over one long vector, over the rows of a matrix and over its columns."""
    for name, operation in (REDUCTIONS | MORE_REDUCTIONS).items():
        same_shape = name == "softmax"
        targets = {"numpy": 0.5 if same_shape else 1.0, "torch": 1.0}
        for size in SIZES if name in REDUCTIONS else SIZES[1:2]:
            rows = size // COLUMNS
            layouts: list[tuple[str, tuple[int, ...], int | None, int]] = [
                ("one long row", (size,), -1, size) if same_shape else ("full", (size,), None, 1),
                (f"rows of {COLUMNS}", (rows, COLUMNS), -1, size if same_shape else rows),
                ("axis 0", (rows, COLUMNS), 0, size if same_shape else COLUMNS),
            ]
            for detail, shape, axis, outputs in layouts:
                yield case(name, operation, shape, outputs, targets, axis, detail)


if __name__ == "__main__":
    sys.exit(run(cases(), parse(__doc__), f"Reductions, float32, matrices of {COLUMNS} columns"))
