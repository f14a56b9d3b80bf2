"""The whole table, from 100 to 10M elements and to matrix products, against all peers: python -m benchmarks.table."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import matmul
from benchmarks.harness import Case
from benchmarks.operations import ELEMENTWISE, REDUCTIONS, case
from benchmarks.program import parse, run

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)

NO_SLOWER = {"numpy": 1.0, "torch": 1.0, "numexpr": 1.0}


def cases() -> Iterator[Case]:
    """A row for every operation and size, the reductions in full, then the matrix products."""
    for name, operation in (ELEMENTWISE | REDUCTIONS).items():
        for size in SIZES:
            axis = -1 if name == "softmax" else None
            outputs = 1 if name in REDUCTIONS and name != "softmax" else size
            yield case(name, operation, (size,), outputs, NO_SLOWER, axis, numexpr=True)
    yield from matmul.cases()


if __name__ == "__main__":
    sys.exit(run(cases(), parse(__doc__), "All operations, contiguous"))
