"""Gradients of 3 × 3 weights of filters 2 apart by minimal filtering, against PyTorch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.support import lowered
from tests.codegen.test_winograd import transformed
from tests.codegen.test_winograd_strided import threads  # noqa: F401
from tests.nn.support import normal
from trueno.codegen import winograd_strided, winograd_weights_strided
from trueno.codegen.chains import Chain
from trueno.codegen.stage import Loops
from trueno.codegen.target import resolve
from trueno.nn import functional

#: Image, results and padding: sizes that are no multiple of a tile, several images, channels cut into parts.
CASES: list[tuple[tuple[int, ...], int, Any]] = [
    ((1, 5, 9, 11), 7, 1),
    ((3, 16, 14, 14), 17, 1),
    ((2, 3, 8, 10), 4, 0),
    ((1, 1, 3, 3), 1, 0),
    ((1, 9, 13, 30), 33, (0, 2)),
    ((1, 64, 56, 56), 24, 1),
    ((2, 40, 29, 37), 48, 1),
    ((2, 17, 100, 90), 12, 1),
]

pytestmark = pytest.mark.skipif(not resolve().has("avx512f"), reason="the stages are for AVX-512")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tiles wherever there is a form for them."""
    monkeypatch.setattr(winograd_weights_strided, "pays", lambda node: True)


def gradient(
    shape: tuple[int, ...], results: int, padding: Any, dtype: type, positive: bool = False
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """The gradient of the weights, PyTorch's in float64, and the steps of the kernel."""
    x, w = normal(*shape, dtype=dtype), normal(results, shape[1], 3, 3, seed=1, dtype=dtype)
    x = np.abs(x) if positive else x
    wide = torch.tensor(w).double().requires_grad_()
    z = torch.nn.functional.conv2d(torch.tensor(x).double(), wide, stride=2, padding=padding)
    g = normal(*z.shape, seed=2, dtype=dtype)
    g = np.abs(g) if positive else g
    b = tn.tensor(w, requires_grad=True)
    y = functional.conv2d(tn.tensor(x), b, stride=2, padding=padding)
    with lowered() as bound:
        own = tn.grad(y, [b], tn.tensor(g))[0].numpy()
    expected = torch.autograd.grad(z, [wide], torch.tensor(g).double())[0].numpy()
    return own, expected, [step for one in bound for step in one.steps]


def by_tiles(steps: list[Any]) -> bool:
    """Whether a step stores the factors of all products."""
    inside = [one for step in steps for one in (step.steps if isinstance(step, Chain) else [step])]
    return any(isinstance(one, Loops) and len(one.stage.stores) == winograd_strided.INPUTS**2 for one in inside)


def test_sums_of_products_are_the_elements() -> None:
    inputs = transformed(winograd_strided.evaluate_inputs, np.eye(winograd_strided.INPUTS))
    given = transformed(winograd_weights_strided.evaluate_gradients, np.eye(winograd_strided.RESULTS))
    met = np.array([[k in of for of in winograd_strided.SUMS] for k in range(5)], float) @ given
    taps = transformed(winograd_weights_strided.interpolate_taps, np.eye(winograd_strided.INPUTS))
    found = np.einsum("gk,kd,kr->gdr", taps, inputs, met)
    want = np.zeros_like(found)
    for result in range(winograd_strided.RESULTS):
        for tap in range(3):
            want[tap, 2 * result + tap, result] = 1
    np.testing.assert_array_equal(found, want)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values(case: Any, dtype: type) -> None:
    own, expected, steps = gradient(*case, dtype)
    assert by_tiles(steps)
    assert own.dtype == dtype
    tolerance = 4e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(own, expected, rtol=0, atol=tolerance * abs(expected).max())


def test_positive_values_keep_five_digits() -> None:
    own, expected, steps = gradient((1, 64, 56, 56), 128, 1, np.float32, positive=True)
    assert by_tiles(steps)
    np.testing.assert_allclose(own, expected, rtol=3e-6)


@pytest.mark.unchecked
def test_parts_of_the_channels_stay_in_a_cache() -> None:
    _, _, steps = gradient((1, 128, 56, 56), 96, 1, np.float32)
    (chain,) = (step for step in steps if isinstance(step, Chain))
    assert chain.extents == [4]
    first, last = (one for one in chain.steps if isinstance(one, Loops))
    assert (len(first.stage.stores), len(last.stage.stores)) == (25, 9)


@pytest.mark.usefixtures("threads")
def test_bits_do_not_depend_on_threads() -> None:
    results = []
    for count in (1, 2, 5):
        tn.set_num_threads(count)
        results.append(gradient((2, 64, 40, 44), 72, 1, np.float32)[0])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_where_it_is_taken() -> None:
    assert by_tiles(gradient((1, 64, 56, 56), 112, 1, np.float32)[2])
    # Few positions, of which the products are many; few channels.
    assert not by_tiles(gradient((1, 256, 14, 14), 64, 1, np.float32)[2])
    assert not by_tiles(gradient((1, 3, 64, 64), 16, 1, np.float32)[2])
