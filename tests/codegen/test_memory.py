"""Scratch memory: intermediate results share buffers where they are not needed at the same time."""

from __future__ import annotations

from typing import Any

import numpy as np

import trueno as tn
from trueno.codegen.expr import Access, Expr, Store
from trueno.codegen.memory import share_scratch
from trueno.codegen.plan import Plan, plan
from trueno.codegen.stage import Stage
from trueno.ir import build
from trueno.ir.node import Kernel, recording
from trueno.runtime.layout import layout_of

SHAPE = (64, 64)


def planned(record: Any, operands: int) -> Plan:
    leaves = [build.array(k, np.dtype("f4"), SHAPE) for k in range(operands)]
    with recording():
        kernel = Kernel("f", tuple(leaves), (record(*leaves),))
    return plan(kernel, [layout_of(np.dtype("f4"), SHAPE)] * operands)


def chain(x: Any, *others: Any) -> Any:
    for other in others:
        x = tn.softmax(x @ other, axis=0)
    return x


def test_a_long_chain_needs_no_more_memory_than_a_short_one() -> None:
    short, long = planned(chain, 4), planned(chain, 9)
    assert len(short.stages) < len(long.stages)
    assert sum(long.scratch) == sum(short.scratch)


def test_buffers_are_numbered_without_gaps_and_large_enough() -> None:
    made = planned(chain, 6)
    first = 7
    used = {store.access.buffer for stage in made.stages for store in stage.stores}
    assert used - {first - 1} == set(range(first, first + len(made.scratch)))
    for stage in made.stages:
        for store in stage.stores:
            access = store.access
            if access.buffer >= first:
                reach = access.offset + sum((n - 1) * s for n, s in zip(stage.sizes, access.strides, strict=False))
                assert (reach + 1) * access.dtype.itemsize <= made.scratch[access.buffer - first]


def test_what_a_stage_reads_and_writes_stays_apart() -> None:
    from trueno.codegen.expr import topological

    for stage in planned(chain, 8).stages:
        written = {store.access.buffer for store in stage.stores}
        read = {e.arg.buffer for e in topological([store.value for store in stage.stores]) if e.kind == "load"}
        assert not written & read


def test_values_and_gradients_of_a_deep_kernel() -> None:
    generator = np.random.default_rng(3)
    arrays = [generator.normal(size=(7, 7)).astype(np.float64) for _ in range(6)]

    def deep_chain(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        return chain(a, b, c, d, e, f)

    deep = tn.kernel(deep_chain)
    expected = arrays[0]
    for other in arrays[1:]:
        powers = np.exp(expected @ other - (expected @ other).max(0))
        expected = powers / powers.sum(0)
    np.testing.assert_allclose(deep(*map(tn.tensor, arrays)).numpy(), expected, rtol=1e-12)
    assert tn.gradcheck(deep, [tn.tensor(one, requires_grad=True) for one in arrays])


def test_one_buffer_or_none_is_left_alone() -> None:
    for scratch in ([], [5]):
        before = list(scratch)
        share_scratch([], scratch, 3)
        assert scratch == before


def test_what_is_run_in_turns_shares_nothing() -> None:
    access = [Access(number, np.dtype("f4"), 0, (1,)) for number in range(5)]
    for together, count in (([], 2), ([(0, 4)], 4), ([(1, 3)], 3)):
        stages = []
        for k in range(4):  # each reads what the one before has written
            value = Expr("load", None, (), access[k].dtype, access[k])
            stages.append(Stage("copy", [8], (), [Store(access[k + 1], value)]))
        scratch = [32] * 4
        share_scratch(stages, scratch, 1, together)
        assert len(scratch) == count
