"""Expansions with a rare part: loops stay vectors, and every element has the value that it has alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

import trueno as tn
from tests.codegen import freestanding
from tests.ops.support import available, close, run, tensors, trace
from trueno import config
from trueno import dtypes as dt
from trueno.codegen import target
from trueno.codegen.opencl import Form, Mode, print_program
from trueno.config import FEATURE_LEVELS
from trueno.functions import operations
from trueno.ir import build, promotion
from trueno.ir.elementwise import add, elementwise, gt, like, logical_and, mul, sub, unlikely, where
from trueno.ir.grad import gradients
from trueno.ir.interp import evaluate
from trueno.ir.node import Kernel, recording
from trueno.ir.op import registry
from trueno.runtime import cpu

LEVELS = [level for level in FEATURE_LEVELS if available(level)]


def lowered(function, operands, level, checked=False):
    kernel = trace(function, operands)
    layouts = [getattr(one, "_layout", None) for one in tensors(operands)]
    return cpu.lower(kernel, layouts, [-1] * len(kernel.outputs), target.named(level), checked=checked)


@pytest.fixture
def chosen():
    """A row that is x * y, but where x > 100 it is x - y: exact, so that results can be compared bit by bit."""
    expansion = lambda x, y: unlikely(gt(x, like(x, 100)), sub(x, y), mul(x, y))  # noqa: E731
    yield elementwise(
        "chosen_for_test", 2, result=promotion.promote, domain=(-4, 4), llvm=expansion, opencl=expansion,
        ref=lambda x, y: np.where(x > 100, x - y, x * y), doc="A row of a test.",
    )  # fmt: skip
    del registry["chosen_for_test"]
    operations.pop("chosen_for_test", None)


def patterns(length):
    """Return which elements are rare: none, all, and each one alone of the first vectors and of the remainder."""
    yield np.zeros(length, bool)
    yield np.ones(length, bool)
    for place in (0, 1, 7, 8, 15, 16, length - 2, length - 1):
        if 0 <= place < length:
            yield np.arange(length) == place


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64, dt.int32, dt.int8, dt.uint16], ids=str)
def test_every_lane_and_every_remainder(chosen, dtype, level):
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 47, 64, 65, 130):
        y = rng.integers(1, 9, length).astype(dtype)
        rows = [np.where(rare, 120 - y, y + 1).astype(dtype) for rare in patterns(length)]
        x = np.stack(rows)
        y = np.broadcast_to(y, x.shape).copy()
        (got,) = run(trace(chosen, (x, y)), (x, y), level)
        np.testing.assert_array_equal(got, np.where(x > 100, x - y, x * y).astype(dtype))


@pytest.mark.parametrize("level", LEVELS)
def test_reductions_views_and_several_uses(chosen, level):
    rng = np.random.default_rng(1)
    x = rng.integers(-20, 20, (37, 66)).astype(np.float32)
    y = rng.integers(1, 9, (37, 66)).astype(np.float32)
    x[::5, ::7] = 128
    functions = [
        lambda x, y: tn.sum(chosen(x, y), 1),
        lambda x, y: tn.sum(chosen(x, y), 0),
        lambda x, y: tn.max(chosen(x, y), 1),
        lambda x, y: (chosen(x, y), chosen(chosen(y, x), x)),
        lambda x, y: tn.cast(chosen(tn.cast(x, dtype=tn.float64), tn.cast(y, dtype=tn.float64)), dtype=tn.int8),
        lambda x, y: chosen(tn.cast(x, dtype=tn.float16), tn.cast(y, dtype=tn.float16)),
        lambda x, y: chosen(tn.matmul(x, tn.permute(y, (1, 0))), tn.sum(y, 1, keepdims=True)),
    ]
    for function in functions:
        for operands in ((x, y), (x[::-1, ::2], y[::-1, ::2]), (x.T.copy().T, y)):
            kernel = trace(function, operands)
            for got, want in zip(run(kernel, operands, level), evaluate(kernel, *operands), strict=True):
                close(got, np.asarray(want), level)


def test_checked_kernels_compute_the_same(chosen, monkeypatch):
    monkeypatch.setenv("TRUENO_DEBUG", "bounds")
    config.reload()
    x = np.append(np.arange(40.0), [500.0, 101.0])
    (got,) = run(trace(chosen, (x, x)), (x, x), "native")
    np.testing.assert_array_equal(got, np.where(x > 100, 0, x * x))
    assert "call double @chosen_for_test" in lowered(chosen, (x, x), "native", checked=True).source()
    monkeypatch.undo()
    config.reload()


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4", "neon"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_are_vectors_and_call_the_rare_part_only(dtype, level):
    text = freestanding.assembly(lowered(tn.sin, (np.ones(100, dtype),), level))
    lanes = {"x86-64-v3": 32, "x86-64-v4": 64, "neon": 16}[level] // np.dtype(dtype).itemsize
    called = set(re.findall(r"\b(?:callq|bl)\s+(\S+)", text)) - {"trueno_run"}
    name = f"sin.{np.dtype(dtype)}.{np.dtype(dtype)}"
    # What is left over may be taken in half of a vector.
    assert {f"{name}.rare", f"{name}.v{lanes}.rare"} <= called
    assert called <= {f"{name}.rare", *(f"{name}.v{one}.rare" for one in (lanes, lanes // 2))}


def test_the_rare_part_is_a_branch_in_opencl(chosen):
    x = np.ones(5, np.float32)
    (loops,) = lowered(chosen, (x, x), "native").steps
    text = print_program([(loops, Mode("element", True))], Form(True, True, 64, 1024), "")
    assert re.search(r"if \(gt_\d+\) \{\s+const float (sub_\d+) = .*;\s+chosen_for_test_\d+ = \1;\s+\}", text), text


def test_the_gradient_is_that_of_where():
    operands = np.array([-1.0, 2.0, 3.0]), np.array([5.0, 6.0, -7.0]), np.array([1.0, 2.0, 4.0])

    def slopes(choose):
        x, y, g = (build.array(k, dt.float64, (3,)) for k in range(3))
        with recording():
            result = choose(gt(x, like(x, 0)), mul(x, y), add(x, y))
            outputs = tuple(gradients([result], [g], [x, y]))
        return evaluate(Kernel("slopes", (x, y, g), outputs), *operands)

    for got, want in zip(slopes(unlikely), slopes(where), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(slopes(unlikely)[0], [1, 12, -28])


def test_the_row_is_a_choice_on_every_dtype():
    condition = np.array([True, False, True, False, True])
    for dtype in dt.ALL:
        a, b = (np.array([k, 1, 0, k, 1]).astype(dtype) for k in (0, 1))
        kernel = trace(lambda c, a, b: unlikely(logical_and(c, c), a, b), (condition, a, b))
        (got,), (want,) = run(kernel, (condition, a, b), "native"), evaluate(kernel, condition, a, b)
        np.testing.assert_array_equal(got, np.where(condition, a, b))
        np.testing.assert_array_equal(want, got)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rare_parts_that_call_the_c_library_do_so_for_each_lane(dtype, level):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-1e3, 1e3, (2, 3, 37)).astype(dtype)
    x[1, ::5] *= dtype(1e30)
    x[2] = dtype(1e35)
    x[0, 3], x[1, 5], y[0, 9], y[1, 11], y[0, 12] = np.inf, np.nan, np.inf, 0, np.nan
    for function, want in ((tn.remainder, np.remainder), (tn.floor_divide, np.floor_divide)):
        (got,) = run(trace(function, (x, y)), (x, y), level)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(got, want(x, y))


def test_powers_agree_on_both_sides_of_the_rare_ones():
    tiny, huge = np.finfo(np.float64).smallest_normal, np.finfo(np.float64).max
    a = np.array([tiny, tiny / 2, huge, 2.0, 2.0, 2.0, 2.0, 2.0, 10.0, 0.1, -2.0, -2.0, 0.0, np.inf, 1.0, np.nan, 3.0])
    b = np.array([1, 1, 1, 1019.5, 1020.5, -1019.5, -1020.5, -1074, 308, 308, 3, 0.5, -1, -1, np.inf, 0, 0.0])
    with np.errstate(all="ignore"):
        want = np.power(a.astype(np.longdouble), b).astype(np.float64)
    for level in LEVELS:
        # Beside usual ones, and alone.
        for x, y in ((a, b), (np.tile(a[:, None], 9), np.tile(b[:, None], 9))):
            (got,) = run(trace(tn.pow, (x, y)), (x, y), level)
            np.testing.assert_allclose(got, want if x.ndim == 1 else np.tile(want[:, None], 9), rtol=3e-16)
