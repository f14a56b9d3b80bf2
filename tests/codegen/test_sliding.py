"""Gradients of convolutions' weights whose windows are read as they lie, against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.support import lowered
from tests.codegen.test_chains import convolve, operands
from trueno.codegen import winograd_weights
from trueno.codegen.contraction.steps import Multiply, Pack
from trueno.nn import functional
from trueno.runtime import threads

CASES = [
    # images, channels, extents, results, kernel, stride, padding, groups
    (1, 16, (96, 96), 24, (3, 3), 1, 1, 1),
    (3, 13, (50, 70), 40, (3, 3), 1, 1, 1),  # images are part of K; the last row of tiles reaches back
    (1, 40, (63, 50), 13, (5, 3), 1, 0, 1),
    (1, 20, (64, 140), 33, (3, 3), 2, 1, 1),  # strided along K
    (2, 32, (60, 60), 32, (3, 3), 1, 1, 2),
    (1, 12, (300, 52), 70, (3, 3), 1, 1, 1),  # pieces of K
    (2, 64, (3000,), 24, (9,), 1, 4, 1),
    (1, 12, (20, 24, 60), 16, (3, 2, 3), 1, 1, 1),
]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute all gradients as sums over positions."""
    monkeypatch.setattr(winograd_weights, "pays", lambda node: False)


def gradient(case: tuple, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the weights, and PyTorch's in float64."""
    x, w, given = operands(case)
    a, b = tn.tensor(x.astype(dtype)), tn.tensor(w.astype(dtype), requires_grad=True)
    y = convolve(functional, a, b, given)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    own = tn.grad(y, [b], tn.tensor(g))[0].numpy()
    wide = torch.tensor(w).double().requires_grad_()
    result = convolve(torch.nn.functional, torch.tensor(x).double(), wide, given)
    return own, torch.autograd.grad(result, [wide], torch.tensor(g).double())[0].numpy()


def steps_of(case: tuple) -> list:
    """What the CPU would run for the gradient of the weights."""
    with lowered() as bound:
        gradient(case)
    return [step for one in bound for step in one.steps]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_weights_agree_with_pytorch(case: tuple, dtype: type) -> None:
    own, expected = gradient(case, dtype)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(own, expected, rtol=tolerance, atol=tolerance * abs(expected).max())


def test_windows_are_not_packed() -> None:
    steps = steps_of((1, 64, (72, 56), 32, (3, 3), 1, 1, 1))
    (product,) = (one for one in steps if isinstance(one, Multiply) and "k" in one.roles)
    assert product.a is not None
    assert product.a.direct
    assert product.roles["k"].extents == [72, 56]
    assert all(one.tasks <= 2 for one in steps if isinstance(one, Pack)), "only the results' gradients are packed"


def test_short_lines_are_left_to_packed_windows() -> None:
    steps = steps_of((1, 64, (14, 14), 32, (3, 3), 1, 1, 1))
    assert not any("k" in one.roles for one in steps if isinstance(one, Multiply))


@pytest.mark.parametrize("case", [CASES[1], CASES[5]], ids=str)
def test_the_bits_do_not_depend_on_the_number_of_threads(case: tuple) -> None:
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results.append(gradient(case)[0])
    finally:
        threads.set_num_threads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_what_is_not_finite_stays_with_the_elements_that_meet_it() -> None:
    x, w, given = operands((1, 12, (40, 60), 16, (3, 3), 1, 1, 1))
    x[0, 3, 0, 59] = np.inf
    b = tn.tensor(w, requires_grad=True)
    y = convolve(functional, tn.tensor(x), b, given)
    own = tn.grad(y, [b], tn.tensor(np.ones(y.shape, np.float32)))[0].numpy()
    met = np.zeros((3, 3), bool)
    met[:2, 1:] = True
    assert np.array_equal(np.isinf(own[:, 3]), np.broadcast_to(met, (16, 3, 3)))
    assert np.isfinite(np.delete(own, 3, axis=1)).all()
    assert not np.isnan(own).any()
