"""Starting values and gradient clipping."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import trueno as tn
from trueno import nn

SHAPE = (300, 100)


@pytest.mark.parametrize(
    ("name", "settings", "std", "bound"),
    [
        ("uniform_", {"a": -1.0, "b": 3.0}, 4 / math.sqrt(12), None),
        ("normal_", {"mean": 1.0, "std": 2.0}, 2.0, None),
        ("xavier_uniform_", {}, math.sqrt(2 / 400), math.sqrt(6 / 400)),
        ("xavier_normal_", {"gain": 2.0}, 2 * math.sqrt(2 / 400), None),
        ("kaiming_uniform_", {"nonlinearity": "relu"}, math.sqrt(2 / 100), math.sqrt(6 / 100)),
        ("kaiming_uniform_", {"a": math.sqrt(5)}, 0.1 / math.sqrt(3), 0.1),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 300), None),
    ],
)
def test_distribution(name: str, settings: dict, std: float, bound: float | None) -> None:
    tn.manual_seed(0)
    tensor = nn.Parameter(tn.zeros(*SHAPE))
    assert getattr(nn.init, name)(tensor, **settings) is tensor
    values = tensor.detach().numpy()
    assert abs(values.std() / std - 1) < 0.02
    assert abs(values.mean() - 1.0 * (name in ("uniform_", "normal_"))) < 0.03
    if bound is not None:
        assert 0.99 * bound < np.abs(values).max() <= bound


def test_constants() -> None:
    tensor = nn.Parameter(tn.zeros(2))
    assert nn.init.constant_(tensor, 3).detach().numpy().tolist() == [3, 3]
    assert nn.init.ones_(tensor).detach().numpy().tolist() == [1, 1]
    assert nn.init.zeros_(tensor).detach().numpy().tolist() == [0, 0]


@pytest.mark.parametrize("name", ["linear", "relu", "tanh", "sigmoid", "selu", "leaky_relu"])
def test_gain_is_pytorchs(name: str) -> None:
    assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))


def test_errors() -> None:
    with pytest.raises(ValueError, match="fewer than 2 dimensions, got shape"):
        nn.init.xavier_uniform_(tn.zeros(3))
    with pytest.raises(ValueError, match="Unsupported nonlinearity sine"):
        nn.init.calculate_gain("sine")
    with pytest.raises(ValueError, match="Mode fan not supported"):
        nn.init.kaiming_normal_(tn.zeros(3, 3), mode="fan")


@pytest.mark.parametrize("kind", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("limit", [0.5, 1000.0])
def test_clip_grad_norm(kind: float, limit: float) -> None:
    arrays = [np.random.default_rng(k).normal(size=(3, k + 1)).astype(np.float32) for k in range(3)]
    mine, theirs = [nn.Parameter(tn.tensor(a)) for a in arrays], [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
    for a, b, array in zip(mine[1:], theirs[1:], arrays[1:]):
        a.grad, b.grad = tn.tensor(array), torch.tensor(array)
    norm = nn.utils.clip_grad_norm_(mine, limit, kind)
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit, kind)
    np.testing.assert_allclose(norm.item(), expected.item(), rtol=1e-5)
    for a, b in zip(mine[1:], theirs[1:]):
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5)


def test_clip_grad_norm_of_many_parameters() -> None:
    parameters = [nn.Parameter(tn.zeros(2)) for _ in range(70)]
    for one in parameters:
        one.grad = tn.full((2,), 3.0)
    assert nn.utils.clip_grad_norm_(parameters, 1.0).item() == pytest.approx(math.sqrt(140 * 9), rel=1e-5)
    assert parameters[-1].grad is not None
    np.testing.assert_allclose(parameters[-1].grad.numpy(), 3 / math.sqrt(140 * 9), rtol=1e-5)


def test_clip_grad_norm_reports_what_is_not_finite() -> None:
    parameter = nn.Parameter(tn.ones(2))
    assert nn.utils.clip_grad_norm_(parameter, 1.0).item() == 0
    parameter.grad = tn.tensor([math.inf, 1.0])
    with pytest.raises(RuntimeError, match="non-finite, so it cannot be clipped"):
        nn.utils.clip_grad_norm_(parameter, 1.0, error_if_nonfinite=True)
