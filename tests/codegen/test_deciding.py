"""Reductions that one element decides: where any and all end does not show, save in what they read."""

from __future__ import annotations

import resource

import numpy as np
import pytest

import trueno as tn
from tests.codegen.support import lowered
from trueno.codegen.deciding import PIECE

RNG = np.random.default_rng(7)


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = tn.get_num_threads()
    tn.set_num_threads(request.param)
    yield request.param
    tn.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.bool_, np.float32, np.int64])
@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 65536, 100_003, 1_000_003])
def test_one_element_decides_wherever_it_is(threads, size, dtype):
    x = np.zeros(size, dtype)
    for place in {0, size // 3, size // 2, size - 1}:
        assert not tn.any(tn.from_numpy(x)).item()
        assert tn.all(tn.from_numpy(x == 0)).item()
        x[place] = 1
        assert tn.any(tn.from_numpy(x)).item()
        assert not tn.all(tn.from_numpy(x == 0)).item()
        x[place] = 0


@pytest.mark.parametrize("shape", [(3, 70_000), (2, 3, 40_000), (40_000, 3, 2), (3, 2, 30_000), (5, 900, 30)])
def test_rows_are_decided_each_by_its_own_elements(threads, shape):
    for chance in (1e-6, 3e-5, 1e-2):
        x = RNG.random(shape) < chance
        for operand in (x, x[..., ::-1], x.T.copy().T, x[..., ::2]):
            for axis in (None, *range(len(shape)), tuple(range(len(shape) - 1)), (0, len(shape) - 1)):
                given = tn.from_numpy(operand)
                np.testing.assert_array_equal(tn.any(given, axis).numpy(), operand.any(axis))
                np.testing.assert_array_equal(tn.all(~given, axis).numpy(), (~operand).all(axis))


def test_a_condition_inside_of_a_kernel(threads):
    @tn.kernel
    def facts(x, y):
        low = tn.any(x < y)
        return low, tn.all(x >= y), tn.where(low, x, -x), tn.any(x >= tn.max(x)), tn.sum(x)

    x = RNG.random(100_000).astype(np.float32)
    for place in (None, 0, 50_000, 99_999):
        y = x.copy()
        if place is not None:
            y[place] += 1
        low, high, chosen, top, _ = facts(tn.from_numpy(x), tn.from_numpy(y))
        assert low.item() == (place is not None) and high.item() == (place is None) and top.item()
        np.testing.assert_array_equal(chosen.numpy(), x if place is not None else -x)


def test_a_result_that_replaces_what_it_is_made_of(threads):
    for place in (None, 0, 5, 99_999):
        x = np.zeros(100_000, bool)
        if place is not None:
            x[place] = True
        np.any(tn.from_numpy(x), out=tn.from_numpy(x[7:8].reshape(())))
        assert x[7] == (place is not None)


def test_nothing_is_read_behind_the_element_that_decides(threads):
    x = np.zeros(1 << 26, bool)
    x[0] = True
    tn.any(tn.from_numpy(x[: 1 << 20]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert tn.any(tn.from_numpy(x)).item()
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert pages < (x.nbytes >> 12) // 4


def test_blocks_share_their_result():
    with lowered() as kernels:
        tn.kernel(lambda x: tn.any(x > 3))(tn.from_numpy(np.full(200_000, 3, np.int16)))
    assert [step.stage.shared for step in kernels[-1].steps] == [False, True]
