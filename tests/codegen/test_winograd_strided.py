"""3 × 3 convolutions of stride 2 by minimal filtering: transforms, values, gradients, when it is taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.test_winograd import checked, convolved, steps_of, transformed  # noqa: F401
from tests.nn.support import normal
from tests.ops.support import tensors, trace
from trueno.codegen import winograd_strided
from trueno.codegen.chains import Chain
from trueno.codegen.contraction.steps import Multiply
from trueno.codegen.stage import Loops
from trueno.codegen.target import resolve
from trueno.ir.convolution import convolution
from trueno.runtime import cpu, launcher
from trueno.runtime.bounds import BoundsError

#: Image, results and padding: sizes that are no multiple of a tile, one tile, matrices next to each other and apart.
CASES: list[tuple[tuple[int, ...], int, Any]] = [
    ((1, 5, 9, 11), 7, 1),
    ((3, 16, 14, 14), 17, 1),
    ((2, 3, 6, 6), 4, 0),
    ((1, 1, 3, 3), 1, 0),
    ((2, 4, 1, 1), 3, 1),
    ((1, 9, 13, 30), 5, ((2, 2), (0, 0))),
    ((2, 6, 10, 7), 8, ((0, 3), (2, 1))),
    ((1, 4, 12, 17), 3, ((-1, -2), (1, -3))),
    ((6, 40, 8, 8), 64, 1),
    ((1, 64, 32, 32), 128, 1),
    ((1, 17, 64, 300), 12, 1),
]

pytestmark = pytest.mark.skipif(not resolve().has("avx512f"), reason="the stages are for AVX-512")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tiles wherever there is a form for them."""
    monkeypatch.setattr(winograd_strided, "pays", lambda node: True)


def by_tiles(steps: Any) -> bool:
    """Whether a step stores the factors of all products."""
    inside = [one for step in steps for one in (step.steps if isinstance(step, Chain) else [step])]
    return any(isinstance(one, Loops) and len(one.stage.stores) == winograd_strided.INPUTS**2 for one in inside)


def test_sums_of_products_are_the_results() -> None:
    inputs = transformed(winograd_strided.evaluate_inputs, np.eye(winograd_strided.INPUTS))
    taps = transformed(winograd_strided.evaluate_taps, np.eye(3))
    summed = np.array([[k in of for k in range(5)] for of in winograd_strided.SUMS], float)
    results = transformed(winograd_strided.interpolate, np.eye(3)) @ summed
    found = np.einsum("rk,kd,kg->rdg", results, inputs, taps)
    want = np.zeros_like(found)
    for result in range(winograd_strided.RESULTS):
        for tap in range(3):
            want[result, 2 * result + tap, tap] = 1
    np.testing.assert_array_equal(found, want)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("shape", "results", "padding"), CASES, ids=str)
def test_values(shape: tuple[int, ...], results: int, padding: Any) -> None:
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 2e-15)):
        x, w = normal(*shape, dtype=dtype), normal(results, shape[1], 3, 3, seed=1, dtype=dtype)

        def function(x: Any, w: Any) -> Any:
            return convolution(x, w, stride=2, padding=padding)

        want = convolved(x, w, padding, 2)
        got = tn.kernel(function)(tn.tensor(x), tn.tensor(w)).numpy()
        assert by_tiles(steps_of(function, (x, w)))
        assert (got.shape, got.dtype) == (want.shape, dtype)
        # Products may cancel: the error is one of their sizes.
        size = np.abs(convolved(np.abs(x), np.abs(w), padding, 2)).max()
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("channels", [64, 512])
def test_positive_values_keep_five_digits(channels: int) -> None:
    generator = np.random.default_rng(3)
    x, w = generator.random((1, channels, 28, 28), np.float32), generator.random((96, channels, 3, 3), np.float32)
    function = tn.kernel(lambda x, w: convolution(x, w, stride=2, padding=1), name="positive")
    np.testing.assert_allclose(function(tn.tensor(x), tn.tensor(w)).numpy(), convolved(x, w, 1, 2), rtol=2e-6)


@pytest.mark.usefixtures("always")
def test_gradients() -> None:
    for shape, results, padding in ((2, 20, 9, 13), 18, 1), ((1, 16, 16, 8), 16, 2), ((2, 5, 7, 7), 4, 0):
        x, w = normal(*shape), normal(results, shape[1], 3, 3, seed=1)
        mine, theirs = [tn.tensor(x), tn.tensor(w)], [torch.tensor(x).double(), torch.tensor(w).double()]
        for one in (*mine, *theirs):
            one.requires_grad_()
        y = tn.kernel(lambda x, w, p=padding: convolution(x, w, stride=2, padding=p), name=f"grad{padding}")(*mine)
        z = torch.nn.functional.conv2d(*theirs, stride=2, padding=padding)
        g = normal(*z.shape, seed=2)
        y.backward(tn.tensor(g))
        z.backward(torch.tensor(g).double())
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=0, atol=4e-6 * float(b.grad.abs().max()))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", [(1, 8, 32, 40), (4, 8, 8, 8), (1, 8, 9, 10)], ids=str)
def test_what_follows(shape: tuple[int, ...]) -> None:
    halves = (shape[0], 8, -(-shape[2] // 2), -(-shape[3] // 2))
    arrays = [normal(*shape), normal(8, 8, 3, 3, seed=1), normal(8, 1, 1, seed=2), normal(*halves, seed=3)]
    x, w, b, r = arrays

    def function(x: Any, w: Any, b: Any, r: Any) -> Any:
        return tn.relu((convolution(x, w, stride=2, padding=1) + b) * 0.5 + r)

    got = tn.kernel(function)(*tensors(arrays)).numpy()
    want = np.maximum((convolved(x, w, 1, 2) + b) * 0.5 + r, 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * want.max())
    last = steps_of(function, arrays)[-1]
    assert "relu" in last.text
    # Where tiles cover the image, all is done in the stage that writes their results.
    assert len(last.stage.stores) == (4 if halves[2] % 2 == halves[3] % 2 == 0 else 1)


@pytest.mark.usefixtures("always")
def test_operands_of_any_layout() -> None:
    x, w = normal(20, 30, 6, 2), normal(3, 6, 3, 8, seed=1)
    mine = [tn.tensor(x).permute(3, 2, 0, 1)[:, :, ::-2, 1:], tn.tensor(w).permute(3, 1, 0, 2)]
    got = tn.kernel(lambda x, w: convolution(x, w, stride=2, padding=1), name="layouts")(*mine).numpy()
    want = convolved(np.transpose(x, (3, 2, 0, 1))[:, :, ::-2, 1:], np.transpose(w, (3, 1, 0, 2)), 1, 2)
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())


@pytest.mark.usefixtures("always", "checked")
def test_accesses_are_checked() -> None:
    arrays = normal(2, 7, 13, 30), normal(9, 7, 3, 3, seed=1)
    operands, want = tuple(tensors(arrays)), convolved(*arrays, 1, 2)
    layouts = [one._layout for one in operands]
    entry = cpu.bind(trace(lambda x, w: convolution(x, w, stride=2, padding=1), arrays), layouts, [-1])
    got = launcher.invoke(entry, operands).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())
    numbers = entry.meta.tolist()
    first = next(k for k, both in enumerate(itertools.pairwise(numbers)) if both == (9, 7))  # of filters
    entry.meta[first] += 1
    with pytest.raises(BoundsError):
        launcher.invoke(entry, operands)


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore the number of threads."""
    before = tn.get_num_threads()
    yield
    tn.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_bits_do_not_depend_on_threads() -> None:
    x, w = tn.tensor(normal(2, 64, 28, 28)), tn.tensor(normal(96, 64, 3, 3, seed=1))
    function = tn.kernel(lambda x, w: tn.relu(convolution(x, w, stride=2, padding=1)), name="threads")
    results = []
    for count in (1, 2, 5):
        tn.set_num_threads(count)
        results.append(function(x, w).numpy())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_where_it_is_taken() -> None:
    def taken(channels: int, size: int, results: int, stride: int = 2) -> bool:
        arrays = [np.empty((1, channels, size, size), np.float32), np.empty((results, channels, 3, 3), np.float32)]
        return by_tiles(steps_of(lambda x, w: convolution(x, w, stride=stride, padding=1), arrays))

    assert taken(64, 56, 128)
    assert taken(128, 56, 128)
    assert taken(128, 28, 256)
    assert taken(64, 224, 128)
    assert taken(32, 64, 64)
    # Few positions, for which evaluating the filters takes too long; few channels.
    assert not taken(256, 14, 512)
    assert not taken(3, 224, 64)
    assert not taken(64, 56, 128, 3)


@pytest.mark.unchecked
@pytest.mark.parametrize(("shape", "results", "blocks"), [((1, 64, 56, 56), 128, 2), ((1, 128, 28, 28), 256, 16)])
def test_blocks_of_tiles_and_parts_of_filters_stay_in_a_cache(
    shape: tuple[int, ...], results: int, blocks: int
) -> None:
    arrays = [normal(*shape), normal(results, shape[1], 3, 3, seed=1)]
    steps = steps_of(lambda x, w: convolution(x, w, stride=2, padding=1), arrays)
    (chain,) = (one for one in steps if isinstance(one, Chain))
    assert chain.extents == [blocks]
    products = [one for one in chain.steps if isinstance(one, Multiply)]
    assert [one.a.direct and one.b.direct for one in products] == [True] * 3
    assert len(chain.steps) == 5
