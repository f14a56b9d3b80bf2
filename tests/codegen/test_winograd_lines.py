"""Convolutions seven wide, 2 apart, by minimal filtering along lines: transforms, values, gradients, when taken."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.test_winograd import checked, steps_of, transformed  # noqa: F401
from tests.codegen.test_winograd_strided import threads  # noqa: F401
from tests.nn.support import normal
from tests.ops.support import tensors, trace
from trueno.codegen import winograd_lines
from trueno.codegen.chains import Chain
from trueno.codegen.stage import Loops
from trueno.codegen.target import resolve
from trueno.ir.convolution import convolution
from trueno.runtime import cpu, launcher
from trueno.runtime.bounds import BoundsError

#: Image, results, lines of the filter, strides, padding: with tiles and blocks that fit and do not, several images.
CASES: list[tuple[tuple[int, ...], int, int, Any, Any]] = [
    ((1, 3, 64, 64), 16, 7, 2, 3),
    ((2, 3, 31, 45), 7, 7, 2, 3),
    ((1, 5, 17, 19), 6, 7, 2, 2),
    ((3, 1, 7, 7), 2, 7, 2, 0),
    ((1, 2, 23, 130), 3, 5, (3, 2), ((2, 1), (0, 4))),
    ((2, 4, 9, 24), 5, 1, (1, 2), 0),
    ((1, 2, 40, 29), 3, 7, 2, ((-1, 2), (-2, -3))),
    ((1, 3, 226, 60), 4, 7, 2, 3),
]

pytestmark = pytest.mark.skipif(not resolve().has("avx512f"), reason="the stages are for AVX-512")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tiles wherever there is a form for them."""
    monkeypatch.setattr(winograd_lines, "pays", lambda node: True)


def strided(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any) -> np.ndarray:
    """The convolution in float64, by PyTorch."""
    pairs = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    (top, bottom), (left, right) = pairs
    wide = torch.nn.functional.pad(torch.tensor(x.astype(np.float64)), (left, right, top, bottom))
    return torch.nn.functional.conv2d(wide, torch.tensor(w.astype(np.float64)), stride=stride).numpy()


def by_tiles(steps: Any) -> bool:
    """Whether a step stores what even and odd inputs are at all points."""
    inside = (one for step in steps for one in (step.steps if isinstance(step, Chain) else [step]))
    found = [one for one in inside if isinstance(one, Loops) and len(one.stage.stores) == 2 * winograd_lines.POINTS]
    return len(found) == 2


@pytest.mark.parametrize("taps", [3, 4])
def test_products_at_the_points_are_the_results(taps: int) -> None:
    count = winograd_lines.RESULTS + taps - 1
    inputs = transformed(winograd_lines.evaluate_inputs, np.eye(count))
    filters = transformed(winograd_lines.evaluate_taps, np.eye(taps))[: len(inputs)]
    results = transformed(winograd_lines.interpolate, np.eye(winograd_lines.POINTS))[:, : len(inputs)]
    found = np.einsum("rk,kd,kg->rdg", results, inputs, filters)
    want = np.zeros_like(found)
    for result, tap in itertools.product(range(winograd_lines.RESULTS), range(taps)):
        want[result, result + tap, tap] = 1
    np.testing.assert_allclose(found, want, atol=1e-15)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("shape", "results", "lines", "stride", "padding"), CASES, ids=str)
def test_values(shape: tuple[int, ...], results: int, lines: int, stride: Any, padding: Any) -> None:
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 2e-15)):
        x, w = normal(*shape, dtype=dtype), normal(results, shape[1], lines, 7, seed=1, dtype=dtype)

        def function(x: Any, w: Any) -> Any:
            return convolution(x, w, stride=stride, padding=padding)

        want = strided(x, w, stride, padding)
        got = tn.kernel(function)(tn.tensor(x), tn.tensor(w)).numpy()
        assert by_tiles(steps_of(function, (x, w)))
        assert (got.shape, got.dtype) == (want.shape, dtype)
        # Products may cancel: the error is one of their sizes.
        size = np.abs(strided(np.abs(x), np.abs(w), stride, padding)).max()
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * size)


def test_positive_values_keep_five_digits() -> None:
    generator = np.random.default_rng(3)
    x, w = generator.random((1, 3, 112, 112), np.float32), generator.random((64, 3, 7, 7), np.float32)
    function = tn.kernel(lambda x, w: convolution(x, w, stride=2, padding=3), name="positive")
    want = strided(x, w, 2, 3)
    np.testing.assert_allclose(function(tn.tensor(x), tn.tensor(w)).numpy(), want, rtol=2e-6, atol=1e-6 * want.max())


@pytest.mark.usefixtures("always")
def test_gradients() -> None:
    for shape, results, padding in ((2, 3, 29, 33), 8, 3), ((1, 4, 16, 24), 5, 1):
        x, w = normal(*shape), normal(results, shape[1], 7, 7, seed=1)
        mine, theirs = [tn.tensor(x), tn.tensor(w)], [torch.tensor(x).double(), torch.tensor(w).double()]
        for one in (*mine, *theirs):
            one.requires_grad_()
        y = tn.kernel(lambda x, w, p=padding: convolution(x, w, stride=2, padding=p), name=f"seven{padding}")(*mine)
        z = torch.nn.functional.conv2d(*theirs, stride=2, padding=padding)
        g = normal(*z.shape, seed=2)
        y.backward(tn.tensor(g))
        z.backward(torch.tensor(g).double())
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=0, atol=4e-6 * float(b.grad.abs().max()))


@pytest.mark.unchecked
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", [(1, 3, 128, 192), (2, 3, 30, 28)], ids=str)
def test_what_follows(shape: tuple[int, ...]) -> None:
    arrays = [normal(*shape), normal(8, 3, 7, 7, seed=1), normal(8, 1, 1, seed=2)]

    def function(x: Any, w: Any, b: Any) -> Any:
        return tn.relu((convolution(x, w, stride=2, padding=3) + b) * 0.5)

    got = tn.kernel(function)(*tensors(arrays)).numpy()
    want = np.maximum((strided(*arrays[:2], 2, 3) + arrays[2]) * 0.5, 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * want.max())
    last = steps_of(function, arrays)[-1]
    assert "relu" in last.text
    # Where tiles cover the image, all is done in the stage that writes their results, block by block.
    assert isinstance(last, Chain) == (shape[3] % 8 == 0)


@pytest.mark.usefixtures("always", "checked")
def test_accesses_are_checked() -> None:
    arrays = normal(2, 3, 21, 30), normal(9, 3, 7, 7, seed=1)
    operands, want = tuple(tensors(arrays)), strided(*arrays, 2, 3)
    layouts = [one._layout for one in operands]
    entry = cpu.bind(trace(lambda x, w: convolution(x, w, stride=2, padding=3), arrays), layouts, [-1])
    got = launcher.invoke(entry, operands).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())
    first = next(k for k, both in enumerate(itertools.pairwise(entry.meta.tolist())) if both == (9, 21))  # of filters
    entry.meta[first] += 1
    with pytest.raises(BoundsError):
        launcher.invoke(entry, operands)


@pytest.mark.usefixtures("threads")
def test_bits_do_not_depend_on_threads() -> None:
    x, w = tn.tensor(normal(2, 3, 112, 112)), tn.tensor(normal(64, 3, 7, 7, seed=1))
    function = tn.kernel(lambda x, w: tn.relu(convolution(x, w, stride=2, padding=3)), name="threads")
    results = []
    for count in (1, 2, 5):
        tn.set_num_threads(count)
        results.append(function(x, w).numpy())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.unchecked
def test_where_it_is_taken() -> None:
    def taken(channels: int, size: int, results: int, kernel: int = 7, stride: int = 2) -> bool:
        arrays = [np.empty((1, channels, size, size), np.float32), np.empty((results, channels, kernel, kernel), "f4")]
        return by_tiles(steps_of(lambda x, w: convolution(x, w, stride=stride, padding=kernel // 2), arrays))

    assert taken(3, 224, 64)
    assert taken(3, 112, 64)
    # Other widths and strides, and more channels than evaluated windows of fit a cache.
    assert not taken(3, 224, 64, stride=1)
    assert not taken(3, 224, 64, stride=4)
    assert not taken(3, 224, 64, kernel=5)
    assert not taken(128, 56, 64)
