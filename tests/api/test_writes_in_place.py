"""Writes in place through tensors that share memory: gradients as PyTorch's, or an error where PyTorch's is one."""

from __future__ import annotations

import gc
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import trueno as tn
import trueno.np as tnp

SHAPE = (3, 4)
#: Ways to make a view, by name: from a library and a tensor with axes.
VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "row": lambda lib, t: t[t.shape[0] // 2, ...],
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
    "tanh_": lambda lib, t, v: t.tanh_(),
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
        # PyTorch keeps no copy of what a write replaces, and takes views of what became a result for leaves.
        assert "modified by an inplace operation" in theirs or "a leaf Variable that requires grad" in theirs
        theirs, tolerance = slopes(steps, recorded), 1e-6
    if isinstance(ours, str) and "read-only" in ours:
        return  # NumPy's rule for elements that a broadcast laid on each other; PyTorch fills them
    if isinstance(ours, str) or isinstance(theirs, str):
        assert isinstance(ours, str) and isinstance(theirs, str), (ours, theirs)
        return
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1, np.abs(other).max()))


def both(function: Callable[..., Any]) -> None:
    """Compare the gradients of a function of the library and two leaves."""
    grads = []
    for lib in (tn, torch):
        x, w = leaves(lib)
        function(lib, x, w.reshape(SHAPE)).backward()
        grads.append([one.grad.detach().numpy() for one in (x, w)])
    for one, other in zip(*grads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_view_of_a_result_is_multiplied() -> None:
    x = tn.ones(4, requires_grad=True)
    y = x * 2
    v = y[1:3]
    v *= 3
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 6, 6, 2]


def test_views_whose_base_is_gone() -> None:
    def function(lib: Any, x: Any, w: Any) -> Any:
        y = (x * 2)[:2]
        row, columns = y[1], y[:, 1:3]
        columns *= 3
        row *= w[0]
        return (y * y).sum() + columns.sum() + (row * w[1]).sum()

    both(function)


def test_zeros_are_filled_row_by_row() -> None:
    def function(lib: Any, x: Any, w: Any) -> Any:
        if lib is torch:
            y = w * x[0]  # rows that were made before the first write are leaves to PyTorch
        else:
            y = lib.zeros(12, dtype=lib.float64).reshape(3, 4)
            for k, row in enumerate([y[0], y[1], y[2]]):
                row.add_(w[k] * x[0])
        y[1:] *= x[1:]
        return (y * x).sum()

    both(function)


def test_views_made_before_and_after_a_write_to_the_base() -> None:
    def function(lib: Any, x: Any, w: Any) -> Any:
        y = x * 2
        before = y[1]
        y *= w
        after = y[:, 2]
        before *= w[2]
        return (before * after[0]).sum() + (after * after).sum() + (y * w).sum()

    both(function)


def test_real_and_imaginary_parts_are_written() -> None:
    def function(lib: Any, x: Any, w: Any) -> Any:
        z = lib.complex(x, w) if lib is torch else x + 1j * w
        row = z[1]
        z.real[1:] *= w[1:]
        z.imag *= z.real.clone() if lib is torch else z.real
        row *= 2 + 1j
        return (row.real * w[0]).sum() + (z.imag * x[0]).sum() + (z.real * x).sum()

    both(function)


def test_windows_see_what_is_written() -> None:
    def function(lib: Any, x: Any, w: Any) -> Any:
        y = (x * 2).reshape(-1)
        windows = y.unfold(0, 3, 2)
        y[2:7] *= w.reshape(-1)[2:7]
        return (windows * windows).sum()

    both(function)


def test_gradients_of_second_order() -> None:
    def function(x: tn.Tensor, w: tn.Tensor) -> tn.Tensor:
        y = x * x
        v, u = y.T[1:], y[:, ::2]
        v *= w.T[1:]
        u[1] = v[0, 1] * w[0, :2]
        return (u * u).sum(axis=0) + y[1, ::2]

    x, w = leaves(tn)
    assert tn.autograd.gradcheck(function, [x, w.detach().reshape(SHAPE).requires_grad_()])
    assert tn.autograd.gradgradcheck(function, [x, w.detach().reshape(SHAPE).requires_grad_()])


def test_a_target_that_an_operation_without_gradient_overwrites() -> None:
    x = tn.ones(4, dtype=tn.float64, requires_grad=True)
    y = x * 2
    v = y[:2]
    tnp.floor(tn.full((4,), 2.5, dtype=tn.float64), out=y)
    assert not y.requires_grad
    assert not v.requires_grad
    y = x * 2
    v = y[:2]
    v.floor_()
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 2, 2]


def test_a_detached_tensor_has_no_part_in_what_is_written() -> None:
    x = tn.ones(3, requires_grad=True)
    y = x * 2
    apart = y.detach()
    y *= 3
    assert not apart.requires_grad
    assert not apart[1:].requires_grad
    apart *= 2
    assert not apart.requires_grad
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6, 6, 6]


def test_a_change_through_a_detached_tensor_or_a_view_is_noticed() -> None:
    for change in (lambda y: y.detach().zero_(), lambda y: y[1:].zero_(), lambda y: y[1:].detach()[0:1].zero_()):
        y = tn.ones(3, requires_grad=True) * 2
        z = y * y
        change(y)
        with pytest.raises(RuntimeError, match="was changed in place"):
            z.sum().backward()


@pytest.mark.parametrize("leaf", [False, True])
@pytest.mark.parametrize("write", [operator.imul, lambda v, w: operator.setitem(v, slice(0, 1), w[0])])
def test_views_made_without_recording_are_not_written_to_on_the_tape(leaf: bool, write: Callable[..., Any]) -> None:
    x, w = tn.ones(3, requires_grad=True), tn.ones(2, requires_grad=True)
    y = x if leaf else x * 2
    with tn.no_grad():
        v = y[1:]
    v *= 2
    with pytest.raises(RuntimeError, match="made while nothing was recorded"):
        write(v, w)
    if not leaf:
        y *= w[0]
        with tn.no_grad():
            v = y[1:]
        with pytest.raises(RuntimeError, match="made while nothing was recorded"):
            write(v, w)


def test_a_leaf_that_shares_memory_with_what_is_written() -> None:
    z, w = tn.zeros(4), tn.ones(4, requires_grad=True)
    leaf = z[:2].requires_grad_()
    z *= w
    with pytest.raises(RuntimeError, match="leaf tensor of shape"):
        leaf * 2


def test_writes_that_cannot_be_recorded() -> None:
    x = tn.ones(3, requires_grad=True)
    y = x * 2
    with pytest.raises(RuntimeError, match="this form of writing in place has no gradient"):
        tnp.add.at(y, [0, 0], 1.0)
    with pytest.raises(RuntimeError, match="this form of writing in place has no gradient"):
        tnp.add.at(tn.zeros(3), [0, 0, 1], x)
    with tn.no_grad():
        tnp.add.at(x, [0, 0], 1.0)
    assert x.tolist() == [3, 1, 1]
    with pytest.raises(RuntimeError, match="lie on each other"):
        windows = y.unfold(0, 2, 1)
        windows *= 2


def test_an_alias_is_recorded_and_other_dtypes_are_refused() -> None:
    x = tn.ones(4, requires_grad=True)
    y = x * 2
    for alias in (y.view(), y.view("float32")):
        alias.mul_(3)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [18] * 4
    with pytest.raises(RuntimeError, match="cannot be read as complex64"):
        y.view("complex64")
    assert y.view("int32").dtype == tn.int32


def test_nothing_is_left_to_the_garbage_collector() -> None:
    x = tn.ones(4, requires_grad=True)

    def graph() -> list[weakref.ref]:
        y = x * 2
        v, u = y[1:3], y[2:]
        v *= 3
        u.exp_()
        y.tanh_()
        total = (y * y).sum() + (u * v.sum()).sum()
        return [weakref.ref(one) for one in (y, v, u, total)]

    graph()
    gc.collect()
    gc.disable()
    try:
        assert [one() for one in graph()] == [None] * 4
    finally:
        gc.enable()


@pytest.mark.opencl
def test_tensors_on_another_device() -> None:
    x = tn.tensor([1.0, 2, 3, 4], requires_grad=True)
    y = x.to("opencl:0") * 2
    v, u = y[1:3], y[2:]
    v *= 3
    ((y * y).sum() + u.sum()).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [8, 144, 216 + 6, 32 + 2]
