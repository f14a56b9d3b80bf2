"""Chains: convolutions whose windows are packed block by block, against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import trueno as tn
from tests.codegen.support import lowered
from trueno.codegen.chains import WHOLE_BYTES, Chain
from trueno.codegen.contraction.long import WINDOWS
from trueno.codegen.contraction.steps import Multiply, Pack
from trueno.codegen.filtering import FORMS, OF_WEIGHTS
from trueno.nn import functional
from trueno.runtime import threads

CASES = [
    # images, channels, extents, results, kernel, stride, padding, groups
    (1, 16, (96, 96), 24, (3, 3), 1, 1, 1),
    (3, 24, (50, 70), 13, (3, 3), 1, 1, 1),  # rows of 70: vectors reach over the ends of runs
    (2, 40, (63, 20), 30, (5, 3), 1, 0, 1),
    (4, 48, (31, 37), 20, (3, 3), 1, 1, 1),  # extents without divisors
    (12, 64, (15, 9), 16, (3, 3), 1, 1, 1),  # runs shorter than a vector
    (1, 3, (180, 200), 20, (7, 7), 2, 3, 1),  # strided: windows are laid side by side first
    (1, 5, (121, 150), 33, (5, 4), 2, (2, 1), 1),
    (1, 4, (20, 34, 48), 16, (3, 5, 3), 2, 1, 2),
    (1, 64, (72, 60), 24, (3, 3), 2, 1, 1),  # strided: elements are gathered
    (2, 32, (60, 60), 32, (3, 3), 1, 1, 2),
    (2, 64, (6000,), 24, (9,), 1, 4, 1),
    (1, 8, (20, 24, 28), 16, (3, 3, 3), 1, 1, 1),
]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute all convolutions as sums over windows."""
    for form in (*FORMS, *OF_WEIGHTS):
        monkeypatch.setattr(form, "pays", lambda node: False)


def operands(case: tuple, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict]:
    images, channels, extents, results, kernel, stride, padding, groups = case
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((images, channels, *extents), np.float32)
    w = generator.standard_normal((results, channels // groups, *kernel), np.float32)
    return x, w, {"stride": stride, "padding": padding, "groups": groups}


def convolve(library, x, w, given, bias=None):
    return getattr(library, f"conv{x.ndim - 2}d")(x, w, bias, **given)


def chains_of(function, *operands) -> list[Chain]:
    """The chains that the CPU would run."""
    with lowered() as bound:
        function(*operands)
    return [step for one in bound for step in one.steps if isinstance(step, Chain)]


@pytest.mark.unchecked
def test_windows_of_wide_strided_filters_are_packed_by_vectors() -> None:
    x, w, given = operands((1, 3, (180, 200), 20, (8, 8), 2, 3, 1))
    (chain,) = chains_of(lambda a, b: convolve(functional, a, b, given), tn.tensor(x), tn.tensor(w))
    (packed,) = (step for step in chain.steps if isinstance(step, Pack))
    assert packed.dense
    assert packed.roles["k"].extents == [3, 64]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolutions_agree_with_pytorch(case: tuple) -> None:
    x, w, given = operands(case)
    expected = convolve(torch.nn.functional, torch.tensor(x).double(), torch.tensor(w).double(), given).numpy()
    own = convolve(functional, tn.tensor(x), tn.tensor(w), given).numpy()
    np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


@pytest.mark.unchecked
def test_large_windows_are_chained_and_small_ones_are_not() -> None:
    x, w, given = operands((2, 24, (50, 74), 13, (3, 3), 1, 1, 1))
    (chain,) = chains_of(lambda a, b: convolve(functional, a, b, given), tn.tensor(x), tn.tensor(w))
    assert WHOLE_BYTES < 24 * 9 * 50 * 74 * 2 * 4
    assert len(chain.steps) == 2, "the weights are packed once, before the chain"
    assert chain.extents[0] == 2, "images are blocks"
    small, w, given = operands((1, 8, (12, 14), 13, (3, 3), 1, 1, 1))
    assert not chains_of(lambda a, b: convolve(functional, a, b, given), tn.tensor(small), tn.tensor(w))


@pytest.mark.unchecked
def test_what_follows_is_in_the_chain() -> None:
    x, w, given = operands(CASES[1])
    bias = np.arange(13, dtype=np.float32)

    @tn.kernel
    def layer(x, w, b):
        return tn.relu(convolve(functional, x, w, given, b))

    arguments = (tn.tensor(x), tn.tensor(w), tn.tensor(bias))
    (chain,) = chains_of(layer, *arguments)
    assert "relu" in chain.text
    own = layer(*arguments).numpy()
    wide = [torch.tensor(one).double() for one in (x, w, bias)]
    expected = torch.relu(convolve(torch.nn.functional, wide[0], wide[1], given, wide[2])).numpy()
    np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_blocks_give_the_same_bits_on_any_number_of_threads() -> None:
    x, w, given = operands(CASES[1])
    a, b = tn.tensor(x), tn.tensor(w)
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results.append(convolve(functional, a, b, given).numpy())
    finally:
        threads.set_num_threads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_gradients_agree_with_pytorch() -> None:
    x, w, given = operands((2, 24, (50, 70), 16, (3, 3), 1, 1, 1))
    a, b = tn.tensor(x, requires_grad=True), tn.tensor(w, requires_grad=True)
    y = convolve(functional, a, b, given)
    ta, tb = (torch.tensor(one).double().requires_grad_() for one in (x, w))
    ty = convolve(torch.nn.functional, ta, tb, given)
    weight = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    tn.sum(y * tn.tensor(weight)).backward()
    (ty * torch.tensor(weight)).sum().backward()
    for own, other in ((a.grad, ta.grad), (b.grad, tb.grad)):
        expected = other.numpy()
        np.testing.assert_allclose(own.numpy(), expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


@pytest.mark.unchecked
def test_windows_that_few_results_are_summed_from_are_multiplied_in_pieces_that_a_cache_holds() -> None:
    x, w, given = operands((1, 3, (128, 128), 16, (7, 7), 2, 3, 1))
    weights = tn.tensor(w)
    weights.requires_grad_()
    y = convolve(functional, tn.tensor(x), weights, given)
    with lowered() as bound:
        tn.grad(y, [weights], tn.tensor(np.ones(y.shape, np.float32)))
    products = [step for one in bound for step in one.steps if isinstance(step, Multiply)]
    assert [step.roles["batch"].size for step in products] == [64 * 64 // WINDOWS]
