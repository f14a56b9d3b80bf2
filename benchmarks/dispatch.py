"""Small arrays, where the cost of a call decides, and small autograd graphs: python -m benchmarks.dispatch."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import numpy as np
import torch

import trueno as tn
from benchmarks.harness import SUBJECT, Case, Contender, Experiment
from benchmarks.operations import ELEMENTWISE, REDUCTIONS, SCALAR, Operation, case
from benchmarks.program import parse, run

SIZES = (100, 1_000)

SMALL: dict[str, Operation] = {
    **{name: ELEMENTWISE[name] for name in ("add", "mul", "exp", "relu", "gelu")},
    **SCALAR,
    "sum": Operation("x.sum()", "x.sum()", "x.sum()", domain=(0.5, 1.5)),
    "mean": Operation("x.mean()", "x.mean()", "x.mean()", domain=(0.5, 1.5)),
    "softmax": REDUCTIONS["softmax"],
}

ADD_100_TARGET = 0.6
"""Of NumPy's time, for a + b over 100 elements."""

GRADIENTS: dict[str, tuple[str, str, str]] = {
    "forward add": ("x + y", "x + y", "pass"),
    "backward of a sum": (
        "total.backward(retain_graph=True)",
        "x.grad",
        "x.grad = None; total.backward(retain_graph=True)",
    ),
    "sum and its backward": ("x.sum().backward()", "x.grad", "x.grad = None; x.sum().backward()"),
    "add, sum, backward": ("(x + y).sum().backward()", "x.grad", "x.grad = None; (x + y).sum().backward()"),
}
"""By name: statement, what is checked, and what is run before the check. x and y require gradients."""


def gradient_experiment(statement: str, result: str, prepare: str, size: int) -> Experiment:
    """The same autograd statement in Trueno and PyTorch; the right result is NumPy's sum or a gradient of ones."""
    generator = np.random.default_rng(20)
    arrays = [generator.random(size, np.float32) for _ in range(2)]

    def names(x: object, y: object, total: object) -> dict[str, object]:
        return {"x": x, "y": y, "total": total}

    x, y = (tn.from_numpy(array.copy()).requires_grad_() for array in arrays)
    p, q = (torch.from_numpy(array.copy()).requires_grad_() for array in arrays)
    expected = np.ones(size) if result == "x.grad" else np.add(*(array.astype(np.float64) for array in arrays))
    return Experiment(
        {
            SUBJECT: Contender(statement, names(x, y, x.sum()), result, prepare),
            "torch": Contender(statement, names(p, q, p.sum()), result, prepare),
        },
        lambda: expected,
    )


def cases() -> Iterator[Case]:
    """Plain calls against both peers, then autograd against PyTorch."""
    for name, operation in SMALL.items():
        for size in SIZES:
            target = ADD_100_TARGET if (name, size) == ("add", 100) else 1.0
            outputs = 1 if name in ("sum", "mean") else size
            axis = -1 if name == "softmax" else None
            yield case(name, operation, (size,), outputs, {"numpy": target}, axis)
    for name, statement in GRADIENTS.items():
        for size in SIZES:
            yield Case(
                name,
                size,
                functools.partial(gradient_experiment, *statement, size),
                {"torch": 1.0},
                detail="(grad)",
            )


if __name__ == "__main__":
    sys.exit(run(cases(), parse(__doc__), "Dispatch, float32, contiguous"))
