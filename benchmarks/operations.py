"""The operations that are compared, as each library's users write them, and the cases made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import torch

import trueno as tn
from benchmarks.harness import SUBJECT, Case, Contender, Experiment


@dataclass(frozen=True)
class Operation:
    """One operation in the notations of several libraries over the names x, y and axis.

    Attributes
    ----------
    trueno, numpy, torch : str
        Expressions. Libraries without the operation use the expression that their users use.
    numexpr : str
        The expression that numexpr evaluates; empty where it cannot, and for reductions of single axes.
    operands : int
        1 (x) or 2 (x and y).
    domain : tuple[float, float]
        Operands are uniformly distributed in it.
    """

    trueno: str
    numpy: str
    torch: str
    operands: int = 1
    domain: tuple[float, float] = (-2.0, 2.0)
    numexpr: str = ""

    def __post_init__(self) -> None:
        if self.operands not in (1, 2):
            raise ValueError(f"Operation: operands must be 1 or 2, got {self.operands}")


ELEMENTWISE: dict[str, Operation] = {
    "add": Operation("x + y", "x + y", "x + y", operands=2, numexpr="x + y"),
    "mul": Operation("x * y", "x * y", "x * y", operands=2, numexpr="x * y"),
    "exp": Operation("tn.exp(x)", "np.exp(x)", "torch.exp(x)", numexpr="exp(x)"),
    "tanh": Operation("tn.tanh(x)", "np.tanh(x)", "torch.tanh(x)", numexpr="tanh(x)"),
    "relu": Operation("tn.relu(x)", "np.maximum(x, 0)", "torch.relu(x)", numexpr="where(x > 0, x, 0)"),
    # NumPy has no erf; scipy.special's is the one that goes with it.
    "gelu": Operation("tn.gelu(x)", "0.5 * x * (1 + erf(x * 0.7071067811865476))", "torch.nn.functional.gelu(x)"),
}

# A scalar operand: a Python number is an argument of the kernel, never compiled into it.
SCALAR: dict[str, Operation] = {
    "x + 2.5": Operation("x + 2.5", "x + 2.5", "x + 2.5"),
    "2.5 * x": Operation("2.5 * x", "2.5 * x", "2.5 * x"),
    "x / 3": Operation("x / 3", "x / 3", "x / 3"),
}

# The domain keeps sums away from zero, where a relative error means nothing.
REDUCTIONS: dict[str, Operation] = {
    "sum": Operation("x.sum(axis=axis)", "x.sum(axis=axis)", "x.sum(dim=axis)", domain=(0.5, 1.5)),
    "mean": Operation("x.mean(axis=axis)", "x.mean(axis=axis)", "x.mean(dim=axis)", domain=(0.5, 1.5)),
    "std": Operation("x.std(axis=axis)", "x.std(axis=axis)", "x.std(dim=axis, correction=0)", domain=(0.5, 1.5)),
    "softmax": Operation(
        "tn.softmax(x, axis=axis)",
        "(e := np.exp(x - x.max(axis=axis, keepdims=True))) / e.sum(axis=axis, keepdims=True)",
        "torch.softmax(x, dim=axis)",
    ),
    "argmax": Operation("tn.argmax(x, axis=axis)", "np.argmax(x, axis=axis)", "torch.argmax(x, dim=axis)"),
}

# What is measured at one size only.
MORE_REDUCTIONS: dict[str, Operation] = {
    "max": Operation("x.max(axis=axis)", "x.max(axis=axis)", "torch.amax(x, () if axis is None else axis)"),
    "var": Operation("x.var(axis=axis)", "x.var(axis=axis)", "x.var(dim=axis, correction=0)", domain=(0.5, 1.5)),
    "all": Operation("tn.all(x, axis=axis)", "np.all(x, axis=axis)", "x.all() if axis is None else x.all(axis)"),
    "count_nonzero": Operation(
        "tn.count_nonzero(x, axis=axis)", "np.count_nonzero(x, axis=axis)", "torch.count_nonzero(x, dim=axis)"
    ),
    "norm": Operation(
        "tn.norm(x, axis=axis)", "np.linalg.vector_norm(x, axis=axis)", "torch.linalg.vector_norm(x, dim=axis)"
    ),
}


def operands(operation: Operation, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Random float32 operands in the operation's domain; the same ones every time."""
    generator = np.random.default_rng(20)
    low, high = operation.domain
    return [generator.random(shape, np.float32) * (high - low) + low for _ in range(operation.operands)]


def experiment(
    operation: Operation, shape: tuple[int, ...], axis: int | None = None, numexpr: bool = False
) -> Experiment:
    """The operation in all libraries over the same memory; the right result is NumPy's in float64."""
    arrays = operands(operation, shape)
    common: dict[str, Any] = {"np": np, "torch": torch, "tn": tn, "erf": scipy.special.erf, "axis": axis}

    def names(values: list[Any]) -> dict[str, Any]:
        return common | dict(zip("xy", values, strict=False))

    def expected() -> np.ndarray:
        return np.asarray(eval(operation.numpy, names([a.astype(np.float64) for a in arrays])))

    return Experiment(
        {
            SUBJECT: Contender(operation.trueno, names([tn.from_numpy(a) for a in arrays])),
            "numpy": Contender(operation.numpy, names(arrays)),
            "torch": Contender(operation.torch, names([torch.from_numpy(a) for a in arrays])),
        }
        | (
            {
                "numexpr": Contender(
                    "evaluate(text)", names(arrays) | {"evaluate": _numexpr(), "text": operation.numexpr}
                )
            }
            if numexpr and operation.numexpr
            else {}
        ),
        expected,
    )


def _numexpr() -> Any:
    """Return numexpr's function, on as many threads as PyTorch has."""
    import numexpr

    numexpr.set_num_threads(torch.get_num_threads())
    return numexpr.evaluate


def case(
    name: str,
    operation: Operation,
    shape: tuple[int, ...],
    outputs: int,
    targets: Mapping[str, float],
    axis: int | None = None,
    detail: str = "",
    numexpr: bool = False,
) -> Case:
    """A row over float32 operands of one shape.

    Parameters
    ----------
    name : str
        What `--ops` selects.
    outputs : int
        Elements of the result; with the operands they make the traffic that the roofline judges.
    targets : Mapping[str, float]
        By peer.
    axis : int or None
        Value of the name `axis` in the expressions.
    detail : str
        Shown after the name.
    numexpr : bool
        Whether numexpr is a peer too.
    """
    size = int(np.prod(shape))
    return Case(
        name,
        size,
        lambda: experiment(operation, shape, axis, numexpr),
        targets,
        traffic=4 * (size * operation.operands + outputs),
        flops=size,
        detail=detail,
    )
