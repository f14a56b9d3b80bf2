"""Sliding windows, their overlap-add, interleavings and diagonals against the interpreter and NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trueno as tn
from tests.ops.support import LAYOUTS, close, operand, run
from trueno import dtypes as dt
from trueno.codegen.plan import plan
from trueno.codegen.stage import normalise
from trueno.ir import build, windows
from trueno.ir.elementwise import gt, where
from trueno.ir.interp import evaluate
from trueno.ir.node import Kernel, Node, recording
from trueno.ir.verify import verify
from trueno.ir.views import slice_

Slides = tuple[windows.Slide, ...]


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one != "empty"])
def test_unfold_is_a_view(layout: str) -> None:
    x = operand(dt.float32, (-2, 2), layout, (9, 8))
    own = tn.from_numpy(x)
    view = own.unfold((1, 0), (3, 2), step=(2, 1), dilation=(1, 4))
    want = np.lib.stride_tricks.sliding_window_view(x, (3, 5), (1, 0))[:, ::2, :, ::4]
    assert view.shape == want.shape == (5, 3, 3, 2)
    np.testing.assert_array_equal(view.numpy(), want)
    assert np.shares_memory(view.numpy(), x)
    close((view * 2.0).numpy(), np.float32(2) * want, layout)
    np.testing.assert_array_equal(tn.unfold(own, 0, 4, 2).numpy(), np.moveaxis(
        np.lib.stride_tricks.sliding_window_view(x, 4, 0), 0, 0)[::2])  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 10), r"10 elements 1 apart do not fit axis 0 of size 9, shape \(9, 8\)"),
        ((0, 3, 1, 5), "3 elements 5 apart do not fit axis 0 of size 9"),
        ((0, 0), "size must be a positive integer"),
        (((0, 1), 2, 0), "step must be a positive integer"),
        (((0, 1), (2, 2, 2)), "size must be a positive integer, or one for each of the 2 axes"),
        (((0, -2), 2), "repeated axis"),
        ((2, 2), "axis 2 is out of bounds"),
    ],
)
def test_unfold_refuses(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tn.unfold(tn.zeros(9, 8), *given)


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_windows_of_every_dtype(dtype: np.dtype) -> None:
    x = operand(dtype, (-3, 3), "transposed", (6, 7))
    view = tn.from_numpy(x).unfold(1, 3, 2)
    want = np.lib.stride_tricks.sliding_window_view(x, 3, 1)[:, ::2]
    np.testing.assert_array_equal(tn.maximum(view, view).numpy(), want)
    np.testing.assert_array_equal(tn.max(view, axis=-1).numpy(), want.max(-1))


@st.composite
def geometries(draw: st.DrawFn) -> tuple[tuple[int, ...], Slides]:
    """A shape and windows that slide over some of its axes, of up to 64 elements or of more."""
    ndim = draw(st.integers(1, 3))
    axes = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    shape = draw(st.lists(st.integers(1, 6), min_size=ndim, max_size=ndim))
    slides = []
    for k, axis in enumerate(axes):
        size = draw(st.sampled_from([1, 2, 3, 70 if k == 0 else 4]))
        step, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        shape[axis] += dilation * (size - 1)
        slides.append((axis, size, step, dilation))
    return tuple(shape), tuple(slides)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(geometries())
def test_folds_of_anything(geometry: tuple[tuple[int, ...], Slides]) -> None:
    """Values that vary with the window, with its element, with both, and that are windows themselves."""
    shape, slides = geometry
    whole = windows.windowed_shape(shape, slides)
    ndim, count = len(shape), len(slides)
    shapes = (whole, shape, whole[:ndim] + (1,) * count, (1,) * ndim + whole[ndim:])
    arrays = [operand(dt.float64, (-2, 2), "contiguous", one, seed=k) for k, one in enumerate(shapes)]
    leaves = [build.array(k, one.dtype, one.shape) for k, one in enumerate(arrays)]

    def fold(value: Node) -> Node:
        return windows.fold(value, shape=shape, slides=slides)

    with recording():
        g, x, per_window, per_element = leaves
        u, c = build.expand(per_window, shape=whole), build.expand(per_element, shape=whole)
        axes, size, step, dilation = zip(*slides, strict=True)
        views = windows.window(x, axes, size, step, dilation)
        last, first = (build.cast(build.iota(whole, axis), dtype=g.dtype) for axis in (len(whole) - 1, axes[0]))
        many = u
        for _ in range(30):
            many = many * c + u
        outputs = (
            fold(g), fold(u), fold(u * c), fold(g * views), fold(views * views + last), fold(first * u + 1.0),
            fold(where(gt(views, 0), u, 0)), fold(where(gt(views, 0), u, 1)), fold(-u - g), fold(many),
        )  # fmt: skip
    kernel = verify(Kernel("folds", tuple(leaves), outputs))
    for k, (got, want) in enumerate(zip(run(kernel, arrays, "native"), evaluate(kernel, *arrays), strict=True)):
        scale = max(np.abs(want).max(initial=0), 1)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * scale, err_msg=f"output {k}")


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(geometries(), st.data(), st.sampled_from([0, 1 << 15]))
def test_parts_of_folds(geometry: tuple[tuple[int, ...], Slides], data: st.DataObject, cleared: int) -> None:
    """The gradient of padding cuts an axis at a time; what is around the windows is zeros, in small parts or whole."""
    shape, slides = geometry
    parts = []
    for n in shape:
        start = data.draw(st.integers(0, n - 1))
        parts.append((start, 1, data.draw(st.integers(1, n - start))))
    bounds, left = [], shape
    for axis, part in enumerate(parts):
        bounds.append(tuple(part if k == axis else (0, 1, n) for k, n in enumerate(left)))
        left = tuple(n for _, _, n in bounds[-1])
    arrays = [operand(dt.float64, (-2, 2), "contiguous", windows.windowed_shape(shape, slides))]
    leaf = build.array(0, dt.float64, arrays[0].shape)
    with recording():
        whole = windows.fold(leaf * 2.0, shape=shape, slides=slides)
        for one in bounds:
            whole = slice_(whole, bounds=one)
    kernel = verify(Kernel("folds", (leaf,), (whole,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trueno.codegen.windows.CLEARED_WHOLE", cleared)
        for got, want in zip(run(kernel, arrays, "native"), evaluate(kernel, *arrays), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_fold_refuses_windows_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"fold: windows \(\(0, 3, 1, 1\),\) of shape \(5,\) have shape \(3, 3\), not"):
        windows.fold(build.array(0, dt.float32, (4, 3)), shape=(5,), slides=((0, 3, 1, 1),))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tn.unfold(x, 1, 2),
        lambda x: tn.unfold(x, (0, 1), (2, 3), (1, 2), (2, 1)),
        lambda x: tn.unfold(x, 0, 3, 2),
    ],
)
def test_gradients_of_both_orders(call: Any) -> None:
    x = tn.tensor(np.random.default_rng(0).normal(size=(5, 6))).requires_grad_()
    assert tn.gradcheck(lambda x: tn.square(call(x)), [x])
    assert tn.gradgradcheck(lambda x: tn.square(call(x)), [x])


def _gradient_of(record: Any, shapes: list[tuple[int, ...]]) -> None:
    """Check a rule by the product of its transpose: the rows are linear."""
    from trueno.ir.grad import gradients

    arrays = [operand(dt.float64, (-2, 2), "contiguous", shape, seed=k) for k, shape in enumerate(shapes)]
    leaves = [build.array(k, one.dtype, one.shape) for k, one in enumerate(arrays)]
    with recording():
        y = record(*leaves)
        g = build.array(len(leaves), dt.float64, y.shape)
        found = gradients([y], [g], leaves)
    incoming = operand(dt.float64, (-2, 2), "contiguous", y.shape, seed="g")
    kernel = verify(Kernel("gradient", (*leaves, g), (y, *(one for one in found if one is not None))))
    value, *slopes = run(kernel, [*arrays, incoming], "native")
    product = sum(float((a * b).sum()) for a, b in zip(arrays, slopes, strict=True))
    assert math.isclose(float((value * incoming).sum()), product, rel_tol=1e-9, abs_tol=1e-9)


def test_diagonal() -> None:
    _gradient_of(lambda x: windows.diagonal(x, axis1=2, axis2=0), [(4, 3, 5)])
    _gradient_of(lambda x: windows.diagonal(x * 2.0, axis1=0, axis2=1), [(4, 4)])
    with pytest.raises(ValueError, match=r"diagonal: axes 0 and -2 are the same, of shape \(3, 3\)"):
        windows.diagonal(build.array(0, dt.float32, (3, 3)), axis1=0, axis2=-2)


def test_interleave() -> None:
    steps = ((0, 2), (1, 3))
    shapes = [tuple(size for _, _, size in one) for one in windows.interleaved_bounds((5, 4), steps)]
    _gradient_of(lambda *x: windows.interleave(*x, steps=steps, shape=(5, 4)), shapes)
    _gradient_of(lambda *x: windows.interleave(*x, steps=((0, 4),), shape=(3,)), [(1,), (1,), (1,), (0,)])


def test_windows_that_do_not_overlap_are_added_up_without_scratch() -> None:
    """The gradient of pooling 2 × 2: four stores of one stage."""
    leaf = build.array(0, dt.float32, (3, 4, 4, 2, 2))
    with recording():
        kernel = Kernel("fold", (leaf,), (windows.fold(leaf, shape=(3, 8, 8), slides=((1, 2, 2, 1), (2, 2, 2, 1))),))
    made = plan(kernel, [tn.zeros(3, 4, 4, 2, 2)._layout])
    assert len(made.stages) == 1
    assert not made.scratch
    loops = normalise(made.stages[0])
    # Neighbouring columns are stored together: how far apart they are is part of the code.
    stores = [k for k, access in enumerate(loops.accesses) if access[5]]
    assert [loops.near.get(k, (0, 0))[1] for k in stores] == [0, 1, 0, 1]


def test_padding_costs_no_stage_of_its_own_in_the_gradient() -> None:
    """Overlapping windows of a padded array: the margin of g, g, and one stage with the results of all remainders."""
    slides = ((1, 3, 2, 1), (2, 3, 2, 1))
    leaf = build.array(0, dt.float32, (3, 4, 4))
    with recording():
        spread = build.expand(build.reshape(leaf, shape=(3, 4, 4, 1, 1)), shape=(3, 4, 4, 3, 3))
        whole = windows.fold(spread, shape=(3, 9, 9), slides=slides)
        kernel = Kernel("fold", (leaf,), (slice_(whole, bounds=((0, 1, 3), (1, 1, 8), (1, 1, 8))),))
    made = plan(kernel, [tn.zeros(3, 4, 4)._layout])
    assert len(made.stages[-1].stores) == 4
    assert len(made.scratch) == 1
