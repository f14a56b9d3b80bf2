"""Writes in place through tensors that share memory: gradients as PyTorch's, or an error where PyTorch's is one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import trueno as tn

SHAPE = (3, 4)
#: Ways to make a view, by name: from a library and a tensor with axes.
VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "row": lambda lib, t: t[t.shape[0] // 2],
    "slice": lambda lib, t: t[1:],
    "steps": lambda lib, t: t[::2],
    "last axis": lambda lib, t: t[..., :2],
    "last element": lambda lib, t: t[..., -1:],
    "None": lambda lib, t: t[None],
    "all": lambda lib, t: t[...],
    "transposed": lambda lib, t: t.swapaxes(0, -1),
    "flat": lambda lib, t: t.reshape(-1),
    "split": lambda lib, t: t.reshape(t.shape[0], -1)[:, :1],
    "diagonal": lambda lib, t: t.reshape(-1)[:: t.shape[-1] + 1],
    "expanded": lambda lib, t: t[None].expand(2, *t.shape),
}
#: Ways to write, by name: given the library, a target, and values of its shape.
WRITES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "*=": lambda lib, t, v: operator.imul(t, v),
    "+=": lambda lib, t, v: operator.iadd(t, v),
    "*= number": lambda lib, t, v: operator.imul(t, 1.5),
    "-= itself": lambda lib, t, v: operator.isub(t, t * v),
    "exp_": lambda lib, t, v: t.exp_(),
    "zero_": lambda lib, t, v: t.zero_(),
    "fill_": lambda lib, t, v: t.fill_(0.5),
    "set all": lambda lib, t, v: operator.setitem(t, Ellipsis, v),
    "set first": lambda lib, t, v: operator.setitem(t, slice(0, 1), v[0:1]),
    "set places": lambda lib, t, v: operator.setitem(t, _places(lib, t), v[_places(lib, t)]),
    "multiply first": lambda lib, t, v: operator.setitem(t, slice(0, 1), operator.imul(t[0:1], v[0:1])),
    "clip": lambda lib, t, v: t.clamp_(-1.4321, 1.4321),
    "without recording": lambda lib, t, v: _unrecorded(lib, t),
}  # fmt: skip

step = st.one_of(
    st.tuples(st.just("view"), st.integers(0, 9), st.sampled_from(sorted(VIEWS))),
    st.tuples(st.just("write"), st.integers(0, 9), st.sampled_from(sorted(WRITES))),
    st.tuples(st.just("use"), st.integers(0, 9), st.sampled_from(["square", "product"])),
)


def _places(lib: Any, t: Any) -> Any:
    return lib.tensor(list(range(t.shape[0]))[::-2])


def _unrecorded(lib: Any, t: Any) -> None:
    with lib.no_grad():
        t += 1


def leaves(lib: Any) -> list[Any]:
    """Return two leaves."""
    return [
        lib.tensor(np.linspace(*bounds, 12).reshape(shape).tolist(), dtype=lib.float64, requires_grad=True)
        for bounds, shape in (((-1, 1), SHAPE), ((0.5, 2), (12,)))
    ]


def program(lib: Any, x: Any, w: Any, steps: Sequence[tuple[str, int, str]], recorded: bool) -> Any:
    """Return a number after these steps on a tensor and its views; the tensor is made of `x`, or has no history."""
    base = x * 1.5 if recorded else lib.zeros(SHAPE, dtype=lib.float64)
    known, total = [base], (w * w).sum()
    for number, (kind, which, name) in enumerate(steps):
        t = known[which % len(known)]
        if kind == "view":
            if len(t.shape) and t.shape[0] > 1:
                known.append(VIEWS[name](lib, t))
        elif kind == "write":
            if len(t.shape):
                places = lib.tensor(np.arange(int(np.prod(t.shape))).tolist()) % 12
                WRITES[name](lib, t, (w * (number + 1))[places].reshape(t.shape))
        elif name == "square":
            total = total + (t * t * (number + 1)).sum()
        else:
            total = total + (t * known[-1].sum()).sum()
    for number, t in enumerate(known):
        total = total + (t * (number + 1.5)).sum()
    return total


def gradients(lib: Any, *given: Any) -> list[np.ndarray] | str:
    """Return the gradients, or the error's text."""
    x, w = leaves(lib)
    try:
        program(lib, x, w, *given).backward()
    except (RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return [np.zeros(one.shape) if one.grad is None else np.array(one.grad.detach().numpy()) for one in (x, w)]


def slopes(*given: Any) -> list[np.ndarray]:
    """Return what the gradients are by central differences of PyTorch's values."""
    found = []
    with torch.no_grad():
        for k in range(2):
            slope = np.zeros(12)
            for place in range(12):
                values = []
                for eps in (1e-5, -1e-5):
                    moved = [one.clone() for one in leaves(torch)]
                    moved[k].view(-1)[place] += eps
                    values.append(program(torch, *moved, *given).item())
                slope[place] = (values[0] - values[1]) / 2e-5
            found.append(slope.reshape(leaves(torch)[k].shape))
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(step, min_size=2, max_size=8), st.booleans())
def test_chains_of_views_and_writes(steps: list[tuple[str, int, str]], recorded: bool) -> None:
    ours, theirs = gradients(tn, steps, recorded), gradients(torch, steps, recorded)
    tolerance = 1e-10
    if isinstance(theirs, str) and not isinstance(ours, str):
        # PyTorch does not keep what a write replaces, so that it refuses more.
        assert "modified by an inplace operation" in theirs
        theirs, tolerance = slopes(steps, recorded), 1e-6
    if isinstance(ours, str) or isinstance(theirs, str):
        assert isinstance(ours, str) and isinstance(theirs, str), (ours, theirs)
        return
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1, np.abs(other).max()))
