"""Scratch memory: intermediate results share buffers where they are not needed at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.codegen.support import lowered
from trueno.codegen.expr import Access, Expr, Store, topological
from trueno.codegen.memory import share_scratch
from trueno.codegen.plan import Plan, plan
from trueno.codegen.stage import Stage
from trueno.ir import build
from trueno.ir.node import Kernel, recording
from trueno.ir.reductions import sum as sum_rows
from trueno.runtime import memory
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


def test_a_stage_writes_only_what_it_reads_at_the_same_place() -> None:
    for stage in planned(chain, 8).stages:
        written = {store.access.buffer: store.access for store in stage.stores}
        for expr in topological([store.value for store in stage.stores]):
            if expr.kind == "load" and expr.arg.buffer in written:
                assert expr.arg == written[expr.arg.buffer]


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


def loaded(access: Access) -> Expr:
    return Expr("load", None, (), access.dtype, access)


def test_one_buffer_or_none_is_left_alone() -> None:
    scratch: list[int] = []
    share_scratch([], scratch, 3)
    assert scratch == []
    scratch, stages = [5], [Stage("copy", [5], (), [Store(at(3, dtype="u1"), loaded(at(0)))])]
    share_scratch(stages, scratch, 3)
    assert scratch == [5]
    assert stages[0].stores[0].access.buffer == 3


def test_what_is_run_in_turns_shares_nothing() -> None:
    access = [Access(number, np.dtype("f4"), 0, (1,)) for number in range(5)]
    for together, count in (([], 2), ([(0, 4)], 4), ([(1, 3)], 3)):
        stages = []
        for k in range(4):  # each reads, in another order, what the one before has written
            backwards = replace(access[k], offset=7, strides=(-1,))
            stages.append(Stage("copy", [8], (), [Store(access[k + 1], loaded(backwards))]))
        scratch = [32] * 4
        share_scratch(stages, scratch, 1, together)
        assert len(scratch) == count


def at(buffer: int, strides: Sequence[int] = (1,), offset: int = 0, dtype: Any = "f4") -> Access:
    return Access(buffer, np.dtype(dtype), offset, tuple(strides))


def total(source: Expr) -> Expr:
    return Expr("reduce", sum_rows, (source,), source.dtype, None)


def op(*sources: Expr) -> Expr:
    return Expr("op", sum_rows, sources, sources[0].dtype, None)


def taken(stages: list[Stage], results: dict[int, int] | None = None) -> tuple[list[Stage], list[int]]:
    """Plan stages for one operand, one result of 80 bytes and two buffers of 80 bytes."""
    scratch = [80, 80]
    share_scratch(stages, scratch, 2, (), results)
    return stages, scratch


def test_a_dying_operand_and_a_waiting_result_give_their_memory() -> None:
    def stages() -> list[Stage]:
        return [Stage("copy", [20], (), [Store(at(to), loaded(at(of)))]) for of, to in ((0, 2), (2, 3), (3, 1))]

    made, scratch = taken(stages())
    assert scratch == [80]
    assert [stage.stores[0].access.buffer for stage in made] == [2, 2, 1]
    made, scratch = taken(stages(), {1: 80})
    assert scratch == []
    assert [stage.stores[0].access.buffer for stage in made] == [1, 1, 1]
    made, scratch = taken(stages(), {1: 40})  # a smaller result has no room
    assert scratch == [80]


ROW = (20, 1)


@pytest.mark.parametrize(
    "store, sizes, inner",
    [
        (Store(at(3, offset=1), loaded(at(2))), [19], ()),  # another element
        (Store(at(3, (2,)), loaded(at(2))), [10], ()),
        (Store(at(3, dtype="f8"), loaded(at(2))), [10], ()),
        (Store(at(3, dtype="i2"), loaded(at(2))), [20], ()),
        (Store(at(3), op(loaded(at(2)), loaded(at(2, (-1,), 19)))), [20], ()),  # two elements
        (Store(at(3), Expr("gather", None, (loaded(at(0)),), at(2).dtype, (at(2), 20, 1))), [20], ()),
        (Store(at(3), loaded(at(2)), loaded(at(0)), (20, 1)), [20], ()),  # scatter_add
        (Store(at(3, (1, 0)), total(loaded(at(2, ROW)))), [4, 5], (1,)),  # a row's result
        (Store(at(3, ROW), Expr("scan", sum_rows, (loaded(at(2, ROW)),), at(2).dtype, None)), [1, 20], (1,)),
    ],
)  # fmt: skip
def test_memory_that_is_read_elsewhere_is_not_overwritten(
    store: Store, sizes: list[int], inner: tuple[int, ...]
) -> None:
    first = Stage("make", [20], (), [Store(at(2), loaded(at(0)))])
    last = Stage("end", [20], (), [Store(at(1), loaded(at(3, (0,))))])
    made, scratch = taken([first, Stage("use", sizes, inner, [store]), last])
    assert len(scratch) == 2
    assert made[0].stores[0].access.buffer != made[1].stores[0].access.buffer


@pytest.mark.parametrize(
    "record, count",
    [
        (lambda x, share, more: [Store(at(3, ROW), share)], 1),
        (lambda x, share, more: [Store(at(3, ROW), op(x, x))], 1),
        (lambda x, share, more: [Store(at(3, ROW), share), more], 2),
        (lambda x, share, more: [Store(at(3, ROW), x), more], 2),
    ],
)
def test_rows_are_overwritten_in_the_last_walk_only(record: Any, count: int) -> None:
    element = loaded(at(2, ROW))
    share = op(element, total(element))
    more = Store(at(1, (1, 0)), total(share))  # walks the row again
    first = Stage("make", [20], (), [Store(at(2), loaded(at(0)))])
    end = Stage("end", [20], (), [Store(at(1), loaded(at(3, (-1,), 19)))])
    _, scratch = taken([first, Stage("use", [1, 20], (1,), record(element, share, more)), end])
    assert len(scratch) == count


def shifted_softmax(x: Any, y: Any, z: Any) -> Any:
    return tn.softmax(tn.relu(x @ y) + z.mT, -1) * z


def normalised(x: Any, y: Any, z: Any) -> Any:
    rows = x @ y + z.mT
    centred = rows - rows.mean(0)
    return centred * tn.rsqrt((centred * centred).mean(0) + 1e-3) + z


def twice(x: Any, y: Any, z: Any) -> Any:
    rows = x @ y
    return tn.sin(rows.mT) + tn.cos(rows) * tn.cumsum(z, 1), tn.exp(rows) - z


KERNELS = (shifted_softmax, normalised, twice)


def in_numpy(function: Any, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    rows = x @ y
    if function is shifted_softmax:
        powers = np.exp(np.maximum(rows, 0) + z.T)
        return [powers / powers.sum(1, keepdims=True) * z]
    if function is normalised:
        centred = rows + z.T - (rows + z.T).mean(0)
        return [centred / np.sqrt((centred * centred).mean(0) + 1e-3) + z]
    return [np.sin(rows.T) + np.cos(rows) * np.cumsum(z, 1), np.exp(rows) - z]


@pytest.mark.parametrize("extent", [5, 67, 300])
@pytest.mark.parametrize("function", KERNELS)
def test_values_where_operands_are_overwritten(function: Any, extent: int) -> None:
    generator = np.random.default_rng(extent)
    arrays = [generator.normal(size=(extent, extent)) / np.sqrt(extent) for _ in range(3)]
    expected = in_numpy(function, *arrays)
    before = tn.get_num_threads()
    try:
        for threads in (1, 3):
            tn.set_num_threads(threads)
            made = tn.kernel(function)(*map(tn.tensor, arrays))
            for one, other in zip(made if isinstance(made, tuple) else [made], expected, strict=True):
                np.testing.assert_allclose(one.numpy(), other, rtol=1e-9, atol=1e-9)
    finally:
        tn.set_num_threads(before)


@pytest.mark.opencl
@pytest.mark.parametrize("function", KERNELS)
def test_values_where_operands_are_overwritten_on_opencl(function: Any) -> None:
    device = next(str(one) for one in tn.devices() if str(one).startswith("opencl"))
    generator = np.random.default_rng(1)
    arrays = [generator.normal(size=(67, 67)).astype("f4") / 8 for _ in range(3)]
    made = tn.kernel(function)(*(tn.tensor(one, device=device) for one in arrays))
    for one, other in zip(made if isinstance(made, tuple) else [made], in_numpy(function, *arrays), strict=True):
        np.testing.assert_allclose(one.cpu().numpy(), other, rtol=1e-4, atol=1e-5)


def test_a_product_and_its_softmax_take_the_memory_of_the_result() -> None:
    x, y, z = (tn.tensor(np.ones((512, 512), np.float32)) for _ in range(3))
    kernel = tn.kernel(shifted_softmax)
    with lowered() as found:
        result = kernel(x, y, z)
    (one,) = found
    texts = "\n".join(text for text, _ in one.sequence)
    assert "overwrite float32" in texts
    packed = 2 * 512 * 576 * 4  # panels of both factors, with what their ends are filled up with
    assert sum(one.planned.scratch) < packed
    del result
    memory.reset_statistics()
    before = memory.statistics()["active"]
    kernel(x, y, z)
    assert memory.statistics()["peak"] - before < 512 * 512 * 4 + 1.25 * packed


def turned(x: Any, y: Any) -> Any:
    return (x.mT @ y).mT


def turned_and_plain(x: Any, y: Any) -> Any:
    product = x.mT @ y
    return product.mT, tn.relu(product), product.mT.reshape(-1)


@pytest.mark.parametrize("shape", [(40, 50, 60), (3, 40, 50, 60), (300, 1, 200), (2, 9000, 20, 30)])
def test_a_transposed_product_is_written_as_its_view_lies(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(4)
    *batch, k, m, n = shape
    a, b = generator.normal(size=(*batch, k, m)), generator.normal(size=(*batch, k, n))
    expected = np.swapaxes(a, -1, -2) @ b
    with lowered() as found:
        made = tn.kernel(turned)(tn.tensor(a), tn.tensor(b))
    np.testing.assert_allclose(made.numpy(), np.swapaxes(expected, -1, -2), rtol=1e-9, atol=1e-9)
    assert not any(stage.name == "permute" for stage in found[0].planned.stages)
    with lowered() as found:
        first, second, third = tn.kernel(turned_and_plain)(tn.tensor(a), tn.tensor(b))
    np.testing.assert_allclose(first.numpy(), np.swapaxes(expected, -1, -2), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(second.numpy(), np.maximum(expected, 0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(third.numpy(), np.swapaxes(expected, -1, -2).reshape(-1), rtol=1e-9, atol=1e-9)
    assert sum(stage.product is not None for stage in found[0].planned.stages) == 1


def test_gradients_of_weights_need_no_copy() -> None:
    x = tn.tensor(np.ones((64, 96), np.float32))
    weight = tn.tensor(np.ones((80, 96), np.float32), requires_grad=True)
    result = tn.nn.functional.linear(x, weight)
    with lowered() as found:
        result.sum().backward()
    assert not any(stage.name == "permute" for one in found for stage in one.planned.stages)
    np.testing.assert_array_equal(weight.grad.numpy(), np.full((80, 96), 64))
