"""Gradients of strided convolutions' inputs, and transposed convolutions, by adding up products, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from trueno.codegen import transposed, winograd
from trueno.codegen.contraction.steps import Multiply
from trueno.nn import functional
from trueno.runtime import cpu

CASES = [
    # images, channels, extents, results, kernel, stride, padding, dilation, groups
    (1, 32, (40, 36), 48, (3, 3), 2, 1, 1, 1),
    (3, 20, (37, 41), 33, (3, 3), 2, 1, 1, 1),  # odd extents
    (2, 24, (22, 22), 32, (3, 3), 2, 1, 1, 1),  # few positions: rows of the product
    (1, 40, (7, 9), 64, (3, 3), 2, 1, 1, 1),
    (1, 17, (50, 31), 23, (5, 4), (3, 2), (2, 0), 1, 1),
    (2, 32, (30, 33), 40, (3, 3), 2, 1, 2, 1),  # elements of the filter are apart
    (1, 32, (30, 33), 40, (3, 3), 2, 0, (1, 3), 1),
    (1, 64, (36, 40), 64, (3, 3), 2, 1, 1, 2),
    (1, 20, (44, 39), 32, (7, 7), 2, 3, 1, 1),
    (2, 16, (500,), 16, (9,), 4, 4, 1, 1),
    (1, 16, (13, 12, 15), 20, (3, 3, 3), 2, 1, 1, 1),
    (1, 16, (33, 20), 16, (3, 3), (1, 2), 1, 1, 1),  # strided along one axis
    (1, 16, (33, 23), 16, (2, 5), 3, 0, 1, 1),  # rows that meet no filter
    (1, 128, (7, 7), 96, (1, 1), 1, 0, 1, 1),  # few positions without overlap
    (2, 32, (5, 9), 200, (1, 1), 1, 0, 1, 2),
    (1, 48, (14, 13), 96, (1, 1), 2, 0, 1, 1),  # few positions, and results that meet none
    (2, 32, (9,), 40, (1,), 3, 0, 1, 1),
]


def arrays(case: tuple, dtype: type) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    images, channels, extents, results, kernel, stride, padding, dilation, groups = case
    generator = np.random.default_rng(3)
    x = generator.standard_normal((images, channels, *extents)).astype(dtype)
    w = generator.standard_normal((results, channels // groups, *kernel)).astype(dtype)
    return x, w, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def gradient(case: tuple, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the input, and PyTorch's in float64."""
    x, w, given = arrays(case, dtype)
    name = f"conv{x.ndim - 2}d"
    a = tn.tensor(x, requires_grad=True)
    y = getattr(functional, name)(a, tn.tensor(w), **given)
    g = np.random.default_rng(4).standard_normal(y.shape).astype(dtype)
    own = tn.grad(y, [a], tn.tensor(g))[0].numpy()
    wide = torch.tensor(x).double().requires_grad_()
    result = getattr(torch.nn.functional, name)(wide, torch.tensor(w).double(), **given)
    return own, torch.autograd.grad(result, [wide], torch.tensor(g).double())[0].numpy()


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[Multiply]:
    """The products of the kernels that are made meanwhile."""
    found: list[Multiply] = []
    lower = cpu.lower

    def watched(*args: Any, **keywords: Any) -> Any:
        made = lower(*args, **keywords)
        found.extend(step for step in made.steps if isinstance(step, Multiply))
        return made

    monkeypatch.setattr(cpu, "lower", watched)
    return found


@pytest.mark.parametrize("few", [0, 1 << 20], ids=["columns", "rows"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_strided_inputs_agree_with_pytorch(
    case: tuple, dtype: type, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transposed, "FEW", few)
    own, expected = gradient(case, dtype)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(own, expected, rtol=tolerance, atol=tolerance * abs(expected).max())


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_all_remainders_are_one_product(case: tuple, products: list[Multiply]) -> None:
    x, w, given = arrays((4, *case[1:]), np.float32)  # images that no other test has: kernels are made once
    a = tn.tensor(x, requires_grad=True)
    y = functional.conv2d(a, tn.tensor(w), **given)
    products.clear()
    tn.grad(y, [a], tn.ones(*y.shape))
    assert len(products) == 1
    assert products[0].plain


@pytest.mark.parametrize(
    ("kernel", "given"),
    [
        ((3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((4, 4), {"stride": 2, "padding": 1}),
        ((5, 3), {"stride": 3, "padding": (4, 0), "output_padding": 2}),
        ((3, 3), {"stride": 2, "dilation": 3, "padding": 3}),
        ((4, 4), {"stride": 2, "groups": 2}),
        ((2, 2), {"stride": 2}),  # nothing overlaps
    ],
    ids=str,
)
def test_transposed_convolutions_agree_with_pytorch(kernel: tuple, given: dict[str, Any]) -> None:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((2, 48, 9, 11)).astype(np.float32)
    w = generator.standard_normal((48, 20, *kernel)).astype(np.float32)
    b = generator.standard_normal(20 * given.get("groups", 1)).astype(np.float32)
    own = functional.conv_transpose2d(tn.tensor(x), tn.tensor(w), tn.tensor(b), **given).numpy()
    wide = [torch.tensor(one).double() for one in (x, w, b)]
    expected = torch.nn.functional.conv_transpose2d(*wide, **given).numpy()
    np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


def test_few_channels_are_left_to_the_remainders(products: list[Multiply]) -> None:
    x, w = tn.ones(1, 4, 30, 30), tn.ones(4, 40, 3, 3)
    functional.conv_transpose2d(x, w, stride=2)
    assert len(products) == 4


def test_what_is_not_finite_reaches_what_meets_it_only() -> None:
    g = np.zeros((1, 32, 12, 12), np.float32)
    g[0, 5, 11, 4] = np.inf
    own = functional.conv_transpose2d(tn.tensor(g), tn.ones(32, 24, 3, 3), stride=2, padding=1).numpy()
    met = np.zeros(own.shape[2:], bool)
    met[21:23, 7:10] = True
    assert np.array_equal(~np.isfinite(own), np.broadcast_to(met, own.shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "case",
    [
        (1, 48, (7, 7), 40, (3, 3), 1, 1, 1, 1),
        (2, 20, (5, 8), 24, (5, 3), 1, (4, 0), 1, 1),
        (1, 32, (8, 7), 64, (3, 2), 1, 1, (2, 1), 1),
        (1, 40, (2, 1), 40, (3, 3), 1, 1, 1, 1),  # smaller than the filter
        (1, 64, (40,), 33, (3,), 1, 2, 1, 1),
    ],
    ids=str,
)
def test_weights_of_few_positions_are_not_turned_over(
    case: tuple, dtype: type, products: list[Multiply], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "pays", lambda node: False)
    own, expected = gradient(case, dtype)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(own, expected, rtol=tolerance, atol=tolerance * abs(expected).max())
    last = products[-1]
    assert last.a is not None
    assert last.b is not None
    assert last.b.direct


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_weights_are_left_to_sums_over_positions(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are convolutions with filters as large as the images, of which most products would not be wanted."""
    x, w = tn.tensor(np.ones((32, 16, 7, 7), np.float32)), tn.zeros(20, 16, 3, 3).requires_grad_()
    y = functional.conv2d(x, w, stride=stride, padding=1)
    monkeypatch.setattr(transposed, "added_up", lambda node: pytest.fail("products are added up"))
    own = tn.grad(y.sum(), [w])[0].numpy()
    assert own[0, 0, 1, 1] == 32 * y.shape[2] * y.shape[3]
