"""Gradients of 3 × 3 weights by minimal filtering, against PyTorch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.test_winograd import toom_cook, transformed
from tests.nn.support import normal
from trueno.codegen import winograd_weights
from trueno.codegen.stage import Loops
from trueno.codegen.target import resolve
from trueno.ir.convolution import Geometry
from trueno.ir.node import Node
from trueno.nn import functional
from trueno.runtime import cpu, threads

CASES: list[tuple[tuple[int, ...], int, Any]] = [
    # image, results, padding
    ((1, 5, 9, 11), 7, 1),
    ((3, 16, 14, 14), 17, 1),  # images are part of K
    ((2, 3, 8, 10), 4, 0),
    ((1, 1, 7, 7), 1, 2),
    ((1, 9, 13, 30), 33, (0, 2)),
    ((2, 40, 29, 37), 48, 1),  # the last tiles reach over the end
    ((1, 32, 60, 100), 64, 1),  # matrices that are a multiple of pages apart
    ((2, 17, 100, 90), 12, 1),
]

pytestmark = pytest.mark.skipif(not resolve().has("avx512f"), reason="the stages are for AVX-512")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tiles wherever there is a form for them."""
    monkeypatch.setattr(winograd_weights, "pays", lambda node: True)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps of the kernels that are made meanwhile."""
    found: list[Any] = []
    lower = cpu.lower

    def watched(*args: Any, **keywords: Any) -> Any:
        made = lower(*args, **keywords)
        found.extend(made.steps)
        return made

    monkeypatch.setattr(cpu, "lower", watched)
    return found


def by_tiles(steps: list[Any]) -> bool:
    """Whether a step stores the nine elements of filters that are interpolated."""
    return any(isinstance(one, Loops) and len(one.stage.stores) == winograd_weights.TAPS**2 for one in steps)


def gradient(shape: tuple[int, ...], results: int, padding: Any, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the weights, and PyTorch's in float64."""
    x, w = normal(*shape, dtype=dtype), normal(results, shape[1], 3, 3, seed=1, dtype=dtype)
    b = tn.tensor(w, requires_grad=True)
    y = functional.conv2d(tn.tensor(x), b, padding=padding)
    g = normal(*y.shape, seed=2, dtype=dtype)
    own = tn.grad(y, [b], tn.tensor(g))[0].numpy()
    wide = torch.tensor(w).double().requires_grad_()
    result = torch.nn.functional.conv2d(torch.tensor(x).double(), wide, padding=padding)
    return own, torch.autograd.grad(result, [wide], torch.tensor(g).double())[0].numpy()


def test_transforms_are_those_of_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters of four elements and three results have the points of three elements and four results."""
    near, far = np.sqrt(0.5), np.sqrt(2)
    monkeypatch.setattr("trueno.codegen.winograd.TAPS", 4)
    monkeypatch.setattr("trueno.codegen.winograd.RESULTS", 3)
    _, gradients, taps = toom_cook((0, near, -near, far, -far))
    for transform, matrix in (
        (winograd_weights.evaluate_gradients, gradients),
        (winograd_weights.interpolate_taps, taps),
    ):
        np.testing.assert_allclose(transformed(transform, np.eye(matrix.shape[1])), matrix, atol=1e-15)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "results", "padding"), CASES, ids=str)
def test_values(shape: tuple[int, ...], results: int, padding: Any, dtype: type, steps: list[Any]) -> None:
    own, expected = gradient(shape, results, padding, dtype)
    assert by_tiles(steps)
    tolerance = 5e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(own, expected, rtol=0, atol=tolerance * abs(expected).max())


def test_positive_values_keep_five_digits() -> None:
    generator = np.random.default_rng(3)
    x, g = generator.random((1, 64, 112, 112), np.float32), generator.random((1, 32, 112, 112), np.float32)
    w = tn.zeros(32, 64, 3, 3).requires_grad_()
    own = tn.grad(functional.conv2d(tn.tensor(x), w, padding=1), [w], tn.tensor(g))[0].numpy()
    wide = torch.zeros(32, 64, 3, 3, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.conv2d(torch.tensor(x).double(), wide, padding=1)
    expected = torch.autograd.grad(y, [wide], torch.tensor(g).double())[0].numpy()
    np.testing.assert_allclose(own, expected, rtol=3e-6)


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results.append(gradient((2, 24, 40, 44), 32, 1, np.float32)[0])
    finally:
        threads.set_num_threads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_both_gradients_in_one_kernel() -> None:
    x, w, g = normal(1, 32, 30, 30), normal(48, 32, 3, 3, seed=1), normal(1, 48, 30, 30, seed=2)
    mine, theirs = [tn.tensor(x), tn.tensor(w)], [torch.tensor(x).double(), torch.tensor(w).double()]
    for one in (*mine, *theirs):
        one.requires_grad_()
    functional.conv2d(*mine, padding=1).backward(tn.tensor(g))
    torch.nn.functional.conv2d(*theirs, padding=1).backward(torch.tensor(g).double())
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=0, atol=4e-6 * float(b.grad.abs().max()))


@pytest.mark.parametrize(
    ("channels", "size", "results", "taken"),
    [(64, 56, 64, True), (512, 28, 512, True), (3, 224, 64, False), (256, 7, 256, False)],
)
def test_when_it_pays(channels: int, size: int, results: int, taken: bool) -> None:
    x, g = (Node(None, (), np.dtype(np.float32), (n, 1, size, size), None) for n in (channels, results))
    arg = tuple(Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1))
    node = Node(None, (x, g), np.dtype(np.float32), (channels, results, 3, 3), arg)
    assert winograd_weights.applies(node) is taken


@pytest.mark.parametrize("given", [{"stride": 2}, {"dilation": 2}, {"groups": 2}], ids=str)
def test_other_forms_are_sums_over_positions(given: dict[str, int], steps: list[Any]) -> None:
    x = tn.tensor(normal(1, 64, 47, 49))
    w = tn.tensor(normal(64, 64 // given.get("groups", 1), 3, 3, seed=1), requires_grad=True)
    tn.grad(functional.conv2d(x, w, **given).sum(), [w])
    assert steps
    assert not by_tiles(steps)
