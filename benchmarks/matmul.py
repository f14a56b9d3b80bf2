"""Matrix products of several shapes and dtypes: python -m benchmarks.matmul."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np
import torch

import trueno as tn
from benchmarks.harness import SPIN, SUBJECT, Case, Contender, Experiment
from benchmarks.program import parse, run

SHAPES: dict[tuple[int, int, int], Mapping[str, float]] = {
    (32, 32, 32): {"numpy": 1, "torch": 1},
    (64, 64, 64): {"numpy": 1, "torch": 1},
    (128, 128, 128): {"numpy": 1 / 1.4},
    (256, 256, 256): {"numpy": 1, "torch": 1},
    (512, 512, 512): {"numpy": 1 / 1.6},
    (1024, 1024, 1024): {"numpy": 1 / 1.6},
    (2048, 2048, 2048): {"numpy": 1 / 1.6},
    (1, 1024, 1024): {"numpy": 1, "torch": 1},
    (64, 784, 128): {"numpy": 1, "torch": 1},
    (4096, 64, 64): {"numpy": 1, "torch": 1},
}
"""Rows, inner size and columns, with the ratios to reach in float32; 64×784×128 is a layer of the demo's network."""

OTHERS: dict[tuple[str, int], Mapping[str, float]] = {
    ("float64", 1024): {"numpy": 1 / 1.5},
    ("float16", 512): {"numpy": 1 / 10, "torch": 1},
    ("bfloat16", 512): {"torch": 1},
    ("int8", 512): {"numpy": 1 / 10, "torch": 1},
}
"""Square products of other dtypes. NumPy has none in bfloat16: it converts to float32 and returns that."""

_SLOTS = {"float32": 4, "float64": 8, "float16": 4, "bfloat16": 2, "int8": 1}
"""Quarters of a float32 lane that a multiply-add takes on the machine's best instruction."""


def _operands(dtype: np.dtype, m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positive operands, so that no product cancels."""
    generator = np.random.default_rng(20)
    if dtype.kind == "i":
        return generator.integers(0, 100, (m, k), dtype), generator.integers(0, 100, (k, n), dtype)
    return generator.random((m, k), np.float32).astype(dtype), generator.random((k, n), np.float32).astype(dtype)


def _torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def experiment(dtype: str, m: int, k: int, n: int) -> Experiment:
    """a @ b in all three libraries."""
    a, b = _operands(np.dtype(dtype if dtype != "bfloat16" else ml_dtypes.bfloat16), m, k, n)
    names = {"a": _torch(a), "b": _torch(b), "torch": torch, "bfloat16": ml_dtypes.bfloat16}
    bits = "(a @ b).view(torch.int16).numpy().view(bfloat16)" if dtype == "bfloat16" else ""
    contenders = {
        SUBJECT: Contender("a @ b", {"a": tn.from_numpy(a), "b": tn.from_numpy(b)}),
        "numpy": Contender("a @ b", {"a": a, "b": b}),
        "torch": Contender("a @ b", names, bits),
    }
    if dtype == "bfloat16":
        del contenders["numpy"]
    if a.dtype.kind == "i":
        return Experiment(contenders, lambda: (a.astype(np.float64) @ b.astype(np.float64)).astype("i8").astype(dtype))
    return Experiment(contenders, lambda: a.astype(np.float64) @ b.astype(np.float64))


def cases() -> Iterator[Case]:
    """One row a shape and dtype; the size is the number of multiply-adds."""
    rows = [("float32", shape, targets) for shape, targets in SHAPES.items()]
    rows += [(dtype, (size, size, size), targets) for (dtype, size), targets in OTHERS.items()]
    for dtype, (m, k, n), targets in rows:
        itemsize = np.dtype(dtype if dtype != "bfloat16" else "i2").itemsize
        yield Case(
            "matmul",
            m * k * n,
            functools.partial(experiment, dtype, m, k, n),
            targets,
            traffic=itemsize * (m * k + k * n + m * n),
            flops=2 * m * k * n * _SLOTS[dtype] // 4,
            detail=f"{m}×{k}×{n}" + (f" {dtype}" if dtype != "float32" else ""),
            pause=SPIN,
        )


if __name__ == "__main__":
    sys.exit(run(cases(), parse(__doc__), "Matrix products; the roofline counts float32 operations"))
