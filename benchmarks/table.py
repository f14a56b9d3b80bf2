"""The whole table against all peers, from 100 elements to the layers of VGG-16: python -m benchmarks.table.

Elementwise operations and reductions of 100 to 10M elements, matrix products, and conv2d of one image, forward and both
gradients. --sections matmul,conv2d and --ops add,conv2d-forward select; --quick takes some of the sizes and layers, and
shorter rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from benchmarks import convolution, matmul
from benchmarks.harness import Case
from benchmarks.operations import ELEMENTWISE, REDUCTIONS, case
from benchmarks.program import parse, run

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (100, 10_000, 1_000_000)

NO_SLOWER = {"numpy": 1.0, "torch": 1.0, "numexpr": 1.0}
MEANS = {"numpy": 1 / 1.8, "torch": 1 / 1.8}
"""What the geometric mean of all rows' ratios is to reach."""

SHARES = {512: 0.75, 1024: 0.75, 2048: 0.75}
"""By size of square float32 products, the share of the measured peak of multiply-adds that is to be reached."""


def _elementwise_cases(quick: bool) -> Iterator[Case]:
    for name, operation in ELEMENTWISE.items():
        for size in QUICK_SIZES if quick else SIZES:
            yield case(name, operation, (size,), size, NO_SLOWER, numexpr=True)


def _reduction_cases(quick: bool) -> Iterator[Case]:
    for name, operation in REDUCTIONS.items():
        rows = name == "softmax"
        for size in QUICK_SIZES if quick else SIZES:
            yield case(name, operation, (size,), size if rows else 1, NO_SLOWER, -1 if rows else None, numexpr=True)


def _matmul_cases(quick: bool) -> Iterator[Case]:
    shares = {f"{n}×{n}×{n}": share for n, share in SHARES.items()}
    for one in matmul.cases():
        yield replace(one, targets=NO_SLOWER | dict(one.targets), share=shares.get(one.detail))


def _conv2d_cases(quick: bool) -> Iterator[Case]:
    for one in convolution.cases(quick, convolution.BATCHES[:1]):
        yield replace(one, name=f"conv2d-{one.name}")


SECTIONS: dict[str, Callable[[bool], Iterator[Case]]] = {
    "elementwise": _elementwise_cases,
    "reductions": _reduction_cases,
    "matmul": _matmul_cases,
    "conv2d": _conv2d_cases,
}


def cases(quick: bool, sections: Sequence[str] = ()) -> Iterator[Case]:
    """A row for every operation and size, the reductions in full; then products and convolutions.

    No row may be slower than any peer; some have a target of their own for one of them. `sections`: some of `SECTIONS`;
    none means all.
    """
    for name, rows in SECTIONS.items():
        if not sections or name in sections:
            yield from rows(quick)


if __name__ == "__main__":
    options = parse(__doc__ or "", sections=SECTIONS)
    sys.exit(run(list(cases(options.quick, options.sections)), options, "All operations, contiguous", MEANS))
