"""What the CPU code does for speed alone, and must not show in any result."""

from __future__ import annotations

import re

import numpy as np
import pytest

import trueno as tn
from tests.codegen.support import lowered
from trueno.codegen import llvm
from trueno.codegen.contraction.steps import Pack
from trueno.codegen.emit import is_flat
from trueno.codegen.parts import PART
from trueno.codegen.plan import plan
from trueno.codegen.rows import BUFFER
from trueno.codegen.stage import normalise
from trueno.codegen.walks import emitter as emitter_of
from trueno.ir import build, composites, reductions
from trueno.ir.node import Kernel, recording
from trueno.runtime import cpu
from trueno.runtime.layout import layout_of

RNG = np.random.default_rng(0)


def loops_of(record, shape, dtype=np.float32):
    x = build.array(0, np.dtype(dtype), shape)
    with recording():
        kernel = Kernel("f", (x,), (record(x),))
    return [normalise(stage) for stage in plan(kernel, [layout_of(np.dtype(dtype), shape)]).stages]


def emitter(loops):
    return emitter_of(loops, llvm.LLVMPrinter(llvm.Module()), serial=True)


def test_softmax_keeps_the_exponentials_in_its_result():
    (loops,) = loops_of(lambda x: composites.softmax(x, axis=1), (4, 6))
    expr, phase, number = emitter(loops).spill
    assert expr.op.name == "exp" and phase == 1
    assert loops.accesses[number][5], "it is kept where the result is written"


@pytest.mark.parametrize(
    "record",
    [
        lambda x: composites.log_softmax(x, axis=1),  # what it needs again is a subtraction
        lambda x: x * reductions.sum(composites.exp(x), axis=1, keepdims=True),  # x itself is needed again
        lambda x: reductions.sum(composites.exp(x), axis=1),  # nothing varies in the result
    ],
)
def test_nothing_is_kept_that_is_cheap_or_not_enough(record):
    assert all(emitter(loops).spill is None for loops in loops_of(record, (4, 6)))


def test_a_result_of_another_dtype_keeps_nothing():
    (loops,) = loops_of(lambda x: composites.softmax(x, axis=1), (4, 6), np.float16)
    assert emitter(loops).spill is None


def softmax(x, axis):
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("shape", [(1, 1), (3, 100), (100, 3), (7, 64), (65, 31), (5, 300), (300, 5), (2, 70000)])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_is_right_whatever_is_kept(shape, axis):
    x = RNG.normal(size=shape).astype(np.float32)
    for operand in (x, x.T.copy().T, x[::-1, ::-1]):
        result = tn.softmax(tn.from_numpy(operand), axis)
        np.testing.assert_allclose(result.numpy(), softmax(operand, axis), rtol=1e-5, atol=1e-12)


def test_softmax_written_over_its_operand():
    @tn.kernel(inplace=(0,))
    def softmax_(x, *, axis):
        e = tn.exp(x - tn.max(x, axis, keepdims=True))
        return e / tn.sum(e, axis, keepdims=True)

    x = RNG.normal(size=(9, 130)).astype(np.float32)
    operand = tn.from_numpy(x.copy())
    softmax_(operand, axis=1)
    np.testing.assert_allclose(operand.numpy(), softmax(x, 1), rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 127, 128, 129, 131, 300])
def test_sums_down_columns_take_every_row_once(rows):
    x = RNG.integers(-50, 50, size=(rows, 37)).astype(np.float32)
    np.testing.assert_array_equal(tn.sum(tn.from_numpy(x), 0).numpy(), x.sum(0))
    np.testing.assert_array_equal(tn.max(tn.from_numpy(x), 0).numpy(), x.max(0))
    whole = x.astype(np.int32)
    np.testing.assert_array_equal(tn.prod(tn.from_numpy(whole % 3 + 1), 0).numpy(), (whole % 3 + 1).prod(0))


def test_sums_down_columns_have_the_same_bits_on_any_number_of_threads():
    x = tn.from_numpy(RNG.normal(size=(1003, 517)).astype(np.float32))
    before = tn.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 7):
            tn.set_num_threads(threads)
            results.append(tn.sum(x, 0).numpy().tobytes() + tn.softmax(x, 1).numpy().tobytes())
    finally:
        tn.set_num_threads(before)
    assert len(set(results)) == 1


def test_the_maximum_of_a_row_is_nan_if_any_element_is():
    for position in (0, 5, 31, 63, 64, 99):
        x = np.ones(100, np.float32)
        x[position] = np.nan
        assert np.isnan(tn.max(tn.from_numpy(x)).item()) and np.isnan(tn.min(tn.from_numpy(x)).item())


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 16383, 16384, 16385, 40000, 100001])
def test_one_loop_over_all_tasks_covers_every_element(size):
    x = np.arange(size, dtype=np.float32)
    (loops,) = loops_of(lambda node: node + node, (max(size, 2),))
    assert is_flat(loops)
    np.testing.assert_array_equal((tn.from_numpy(x) + tn.from_numpy(x)).numpy(), x + x)


def printed(record, shape) -> str:
    """The LLVM IR of a kernel of one operand."""
    x = build.array(0, np.dtype(np.float32), shape)
    with recording():
        kernel = Kernel("f", (x,), (record(x),))
    return cpu.lower(kernel, [layout_of(np.dtype(np.float32), shape)], [-1]).source()


def test_a_sum_of_what_is_cheap_needs_no_buffer():
    assert f"[{BUFFER} x float]" not in printed(lambda x: composites.std(x, axis=1), (4, 300))
    assert f"[{BUFFER} x float]" in printed(lambda x: reductions.sum(composites.exp(x), axis=1), (4, 300))


def test_partial_results_are_added_one_by_one():
    # Each part has all metadata.
    source = printed(lambda x: reductions.sum(x, axis=0), (1_000_000,)).partition(PART)[0]
    assert source.count('llvm.loop.vectorize.width", i32 16') == 1, "the blocks' sums"
    assert source.count('llvm.loop.vectorize.width", i32 1}') == 1, "the sum of those"


@pytest.mark.unchecked
def test_parts_of_steps_that_do_alike_are_printed_once():
    a, b, c, d = (tn.zeros(150, 150).T for _ in range(4))
    with lowered() as bound:
        tn.kernel(lambda a, b, c, d: (a @ b, c @ d, b @ c))(a, b, c, d)
    source = bound[-1].source()
    assert sum(isinstance(step, Pack) for step in bound[-1].steps) > 2
    bodies = [body for name, body in re.findall(r"^define internal void @([\w.]+)(.*?^})", source, re.M | re.S)]
    assert len(set(bodies)) == len(bodies)
    defined = set(re.findall(r"^define .*?@([\w.]+)\(", source, re.M))
    assert set(re.findall(r"call void @(stage[\w.]+)\(", source)) <= defined
