"""Elementwise operations on large float32 arrays: python -m benchmarks.elementwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.harness import Case
from benchmarks.operations import ELEMENTWISE, case
from benchmarks.program import parse, run

SIZES = (100_000, 1_000_000, 10_000_000)

HALF_OF_NUMPY = ("exp", "gelu")
"""At least twice as fast as NumPy; the others no slower."""


def cases() -> Iterator[Case]:
    """A row for every operation and size."""
    for name, operation in ELEMENTWISE.items():
        for size in SIZES:
            targets = {"numpy": 0.5 if name in HALF_OF_NUMPY else 1.0, "torch": 1.0}
            yield case(name, operation, (size,), size, targets)


if __name__ == "__main__":
    sys.exit(run(cases(), parse(__doc__), "Elementwise, float32, contiguous"))
