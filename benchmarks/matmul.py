"""Matrix products in float32: python -m benchmarks.matmul."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import numpy as np
import torch

import trueno as tn
from benchmarks.harness import SUBJECT, Case, Contender, Experiment
from benchmarks.program import parse, run

SHAPES = (*((n, n, n) for n in (32, 64, 128, 256, 512, 1024)), (64, 784, 128))
"""Rows, inner size and columns; the last is a layer of the demo's network."""


def experiment(m: int, k: int, n: int) -> Experiment:
    """a @ b in all three libraries; the operands are positive, so that no product cancels."""
    generator = np.random.default_rng(20)
    a, b = generator.random((m, k), np.float32), generator.random((k, n), np.float32)
    return Experiment(
        {
            SUBJECT: Contender("a @ b", {"a": tn.from_numpy(a), "b": tn.from_numpy(b)}),
            "numpy": Contender("a @ b", {"a": a, "b": b}),
            "torch": Contender("a @ b", {"a": torch.from_numpy(a), "b": torch.from_numpy(b)}),
        },
        lambda: a.astype(np.float64) @ b.astype(np.float64),
    )


def cases() -> Iterator[Case]:
    """One row a shape; the size is the number of multiply-adds."""
    for m, k, n in SHAPES:
        yield Case(
            "matmul",
            m * k * n,
            functools.partial(experiment, m, k, n),
            traffic=4 * (m * k + k * n + m * n),
            flops=2 * m * k * n,
            detail=f"{m}×{k}×{n}",
        )


if __name__ == "__main__":
    sys.exit(run(cases(), parse(__doc__), "Matrix products, float32"))
