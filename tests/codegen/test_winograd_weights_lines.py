"""Gradients of weights seven wide, 2 apart, by minimal filtering along lines, against PyTorch in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.support import lowered
from tests.codegen.test_winograd import transformed
from tests.codegen.test_winograd_strided import threads  # noqa: F401
from tests.nn.support import normal
from trueno.codegen import winograd_lines, winograd_weights_lines
from trueno.codegen.chains import Chain
from trueno.codegen.stage import Loops
from trueno.codegen.target import resolve
from trueno.nn import functional

#: Image, results, lines of the filter, strides, padding: with tiles and blocks that fit and do not, several images.
CASES: list[tuple[tuple[int, ...], int, int, Any, Any]] = [
    ((1, 3, 64, 64), 16, 7, 2, 3),
    ((2, 3, 31, 45), 7, 7, 2, 3),
    ((1, 5, 17, 39), 6, 7, 2, 2),
    ((3, 1, 9, 23), 2, 7, 2, 0),
    ((1, 2, 23, 130), 3, 5, (3, 2), (2, 1)),
    ((2, 4, 9, 40), 5, 1, (1, 2), 0),
    ((1, 3, 226, 60), 4, 7, 2, 3),
]

pytestmark = pytest.mark.skipif(not resolve().has("avx512f"), reason="the stages are for AVX-512")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tiles wherever there is a form for them."""
    monkeypatch.setattr(winograd_weights_lines, "pays", lambda node: True)


def gradient(
    shape: tuple[int, ...], results: int, lines: int, stride: Any, padding: Any, dtype: type, positive: bool = False
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """The gradient of the weights, PyTorch's in float64, and the steps of the kernel."""
    x, w = normal(*shape, dtype=dtype), normal(results, shape[1], lines, 7, seed=1, dtype=dtype)
    wide = torch.tensor(w).double().requires_grad_()
    z = torch.nn.functional.conv2d(torch.tensor(x).double(), wide, stride=stride, padding=padding)
    g = normal(*z.shape, seed=2, dtype=dtype)
    if positive:
        x, g = np.abs(x), np.abs(g)
        z = torch.nn.functional.conv2d(torch.tensor(x).double(), wide, stride=stride, padding=padding)
    b = tn.tensor(w, requires_grad=True)
    y = functional.conv2d(tn.tensor(x), b, stride=stride, padding=padding)
    with lowered() as bound:
        own = tn.grad(y, [b], tn.tensor(g))[0].numpy()
    expected = torch.autograd.grad(z, [wide], torch.tensor(g).double())[0].numpy()
    return own, expected, [step for one in bound for step in one.steps]


def by_tiles(steps: list[Any]) -> bool:
    """Whether a step stores what gradients are at all points."""
    inside = [one for step in steps for one in (step.steps if isinstance(step, Chain) else [step])]
    return any(isinstance(one, Loops) and len(one.stage.stores) == winograd_lines.POINTS for one in inside)


@pytest.mark.parametrize("taps", [3, 4])
def test_products_at_the_points_are_the_elements(taps: int) -> None:
    count = winograd_lines.RESULTS + taps - 1
    inputs = transformed(winograd_lines.evaluate_inputs, np.eye(count))
    gradients = transformed(winograd_weights_lines.evaluate_gradients, np.eye(winograd_lines.RESULTS))[: len(inputs)]
    filters = transformed(winograd_weights_lines.interpolate_taps, np.eye(len(inputs)))
    found = np.einsum("gk,kd,kr->gdr", filters, inputs, gradients)
    want = np.zeros_like(found)
    for result, tap in itertools.product(range(winograd_lines.RESULTS), range(taps)):
        want[tap, result + tap, result] = 1
    np.testing.assert_allclose(found, want, atol=1e-15)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values(case: Any, dtype: type) -> None:
    own, expected, steps = gradient(*case, dtype)
    assert by_tiles(steps)
    assert own.dtype == dtype
    tolerance = 2e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(own, expected, rtol=0, atol=tolerance * abs(expected).max())


def test_positive_values_keep_five_digits() -> None:
    own, expected, steps = gradient((1, 3, 224, 224), 64, 7, 2, 3, np.float32, positive=True)
    assert by_tiles(steps)
    np.testing.assert_allclose(own, expected, rtol=2e-6)


@pytest.mark.unchecked
def test_blocks_are_evaluated_and_multiplied_in_turns() -> None:
    _, _, steps = gradient((1, 3, 224, 224), 48, 7, 2, 3, np.float32)
    (chain,) = (step for step in steps if isinstance(step, Chain))
    assert [isinstance(step, Loops) for step in chain.steps] == [True, True, False]
    assert chain.extents == [7]


@pytest.mark.usefixtures("threads")
def test_bits_do_not_depend_on_threads() -> None:
    results = []
    for count in (1, 2, 5):
        tn.set_num_threads(count)
        results.append(gradient((2, 3, 112, 112), 64, 7, 2, 3, np.float32)[0])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_where_it_is_taken() -> None:
    assert by_tiles(gradient((1, 3, 224, 224), 56, 7, 2, 3, np.float32)[2])
    # Few positions; inputs of many channels, of which a block would hold too few tiles; other strides.
    assert not by_tiles(gradient((1, 3, 28, 28), 64, 7, 2, 3, np.float32)[2])
    assert not by_tiles(gradient((1, 64, 56, 56), 64, 7, 2, 3, np.float32)[2])
    assert not by_tiles(gradient((1, 3, 112, 112), 32, 7, 3, 3, np.float32)[2])
