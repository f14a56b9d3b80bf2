"""Stages that transform a grid along both axes, as loops over turns."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import run, tensors, trace
from trueno.codegen import passes
from trueno.codegen.stage import Loops
from trueno.runtime import cpu

pytestmark = pytest.mark.skipif(not cpu.resolve().has("avx512f"), reason="such stages are vectors with masks")


def convolution(x, w):
    return tn.nn.functional.conv2d(x, w, padding=1)


def operands(channels: int = 64, size: int = 30) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = ((1, channels, size, size), (channels, channels, 3, 3))
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def lowered(function: Callable, arrays: list[np.ndarray]) -> cpu.Lowered:
    kernel = trace(function, arrays)
    return cpu.lower(kernel, [one._layout for one in tensors(arrays)], [-1] * len(kernel.outputs))


def grids(made: cpu.Lowered) -> list[Loops]:
    """The stages that store a grid of results."""
    found: list[Loops] = []
    for step in made.steps:
        found += [one for one in (step, *getattr(step, "steps", ())) if isinstance(one, Loops)]
    return [one for one in found if one.lanes and len(one.stage.stores) in (16, 36)]


def test_transforms_of_tiles_are_two_loops_of_turns() -> None:
    filters, inputs, results = grids(lowered(convolution, operands()))
    assert [len(one.stage.stores) for one in (filters, inputs, results)] == [36, 36, 16]
    for stage, columns, turns in ((inputs, 6, 6), (results, 6, 4)):
        two = stage.passes
        assert two is not None and two.looped
        assert [len(one) for one in two.columns] == [turns] * columns
        assert len(two.stores) == len(stage.stage.stores) // turns
    # All nine taps are read as one run.
    assert filters.passes is not None and not filters.passes.looped


def test_stages_beside_a_product_are_all_vectors_where_there_are_several() -> None:
    def spread(g, w):
        return tn.nn.functional.conv_transpose2d(g, w, stride=2, padding=1)

    random = np.random.default_rng(0)
    shapes = ((1, 64, 14, 14), (64, 32, 3, 3))
    made = lowered(spread, [random.standard_normal(shape).astype(np.float32) for shape in shapes])
    stages = [one for one in made.steps if isinstance(one, Loops)]
    assert len(stages) > 1
    assert all(one.lanes for one in stages)


def test_every_access_has_one_place_among_the_turns_of_its_loop() -> None:
    for stage in grids(lowered(convolution, operands())):
        assert stage.passes is not None
        members = [k for turns in stage.passes.turns.values() for k in turns]
        assert len(members) == len(set(members))
        written = {k for k, access in enumerate(stage.accesses) if access[5]}
        assert written <= set(members)


def test_what_a_loop_reads_lies_side_by_side_in_the_meta_array() -> None:
    for stage in grids(lowered(convolution, operands())):
        assert stage.passes is not None
        values = stage.meta_values(parallel=False)
        assert len(values) == stage.meta_size
        listed = [stage.accesses[k][2] for turns in stage.passes.turns.values() for k in turns]
        assert values[-len(listed) :] == listed


def test_code_of_a_transform_does_not_stand_there_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def products() -> int:
        text = lowered(convolution, operands()).source()
        return len(re.findall(r"call <\d+ x float> @llvm.fma", text))

    in_turns = products()
    monkeypatch.setattr(passes, "LEAST", 100)
    assert 2 * in_turns < products()


def test_turns_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = operands()
    kernel = trace(convolution, arrays)
    in_turns = run(kernel, arrays, "native")
    monkeypatch.setattr(passes, "LEAST", 100)
    monkeypatch.setattr(cpu, "_functions", {})
    monkeypatch.setattr(cpu.generator, "digest", lambda: f"written out {time.time_ns()}")
    np.testing.assert_array_equal(run(kernel, arrays, "native"), in_turns)


def test_stages_whose_stores_differ_are_written_out() -> None:
    """Sixteen stores of which no loop could make four alike."""
    arrays = [np.random.default_rng(k).standard_normal(4096).astype(np.float32) for k in range(2)]

    def function(x, y):
        ops = (tn.add, tn.mul, tn.maximum, tn.minimum)
        return tn.cat([ops[(k * k + k // 3) % 4](x, y) * float(k) for k in range(16)])

    for stage in grids(lowered(function, arrays)):
        assert stage.passes is None
    got = run(trace(function, arrays), arrays, "native")
    ops = (np.add, np.multiply, np.maximum, np.minimum)
    want = np.concatenate([ops[(k * k + k // 3) % 4](*arrays) * np.float32(k) for k in range(16)])
    np.testing.assert_array_equal(got[0] if isinstance(got, (list, tuple)) else got, want)
