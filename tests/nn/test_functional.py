"""Functions of trueno.nn.functional: values and gradients against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as reference

import trueno as tn
import trueno.nn.functional as F

RTOL = ATOL = 1e-5


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 2


def run_torch(function: Callable[..., Any], arrays: list[Any], settings: dict[str, Any]) -> tuple[Any, list[Any]]:
    tensors = [None if one is None else torch.tensor(one) for one in arrays]
    for one in tensors:
        if one is not None and one.is_floating_point():
            one.requires_grad_()
    result = function(*tensors, **settings)
    result.backward(torch.cos(torch.arange(result.numel(), dtype=result.dtype)).reshape(result.shape))
    return result.detach().numpy(), [None if one is None or one.grad is None else one.grad.numpy() for one in tensors]


def run_trueno(function: Callable[..., Any], arrays: list[Any], settings: dict[str, Any]) -> tuple[Any, list[Any]]:
    tensors = [None if one is None else tn.tensor(one) for one in arrays]
    for one in tensors:
        if one is not None and one.dtype.kind == "f":
            one.requires_grad_()
    result = function(*tensors, **settings)
    result.backward(tn.from_numpy(np.cos(np.arange(result.size, dtype=np.float32)).reshape(result.shape)))
    return (
        result.detach().numpy(),
        [None if one is None or one.grad is None else one.grad.numpy() for one in tensors],
    )


def compare(name: str, arrays: list[Any], **settings: Any) -> None:
    value, gradients = run_trueno(getattr(F, name), arrays, settings)
    expected, wanted = run_torch(getattr(reference, name), arrays, settings)
    assert value.shape == expected.shape
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(value, expected, rtol=RTOL, atol=ATOL)
    for mine, theirs in zip(gradients, wanted):
        if theirs is not None:
            assert mine is not None
            np.testing.assert_allclose(mine, theirs, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("relu", {}),
        ("leaky_relu", {}),
        ("leaky_relu", {"negative_slope": 0.2}),
        ("elu", {"alpha": 1.5}),
        ("selu", {}),
        ("sigmoid", {}),
        ("tanh", {}),
        ("silu", {}),
        ("gelu", {}),
        ("gelu", {"approximate": "tanh"}),
        ("softplus", {}),
        ("softplus", {"beta": 2.0, "threshold": 3.0}),
        ("hardswish", {}),
        ("hardsigmoid", {}),
        ("mish", {}),
        ("hardtanh", {}),
        ("hardtanh", {"min_val": -0.5, "max_val": 2.0}),
        ("softmax", {"dim": 1}),
        ("softmax", {"dim": 0}),
        ("log_softmax", {"dim": -1}),
    ],
)
def test_activation(name: str, settings: dict[str, Any]) -> None:
    compare(name, [normal(4, 7)], **settings)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_nothing_is_nothing(name: str) -> None:
    x = tn.zeros(3, 0).requires_grad_()
    y = getattr(F, name)(x, dim=1)
    assert y.shape == torch.nn.functional.softmax(torch.zeros(3, 0), 1).shape == (3, 0)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == (3, 0)


def test_softmax_without_dim_warns_and_chooses_as_pytorch() -> None:
    x = normal(2, 3)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        result = F.softmax(tn.tensor(x))
    np.testing.assert_allclose(result.numpy(), torch.softmax(torch.tensor(x), 1).numpy(), rtol=RTOL)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    compare("linear", [normal(*shape), normal(4, 5, seed=1), normal(4, seed=2) if bias else None])


def test_linear_names_shapes_that_do_not_match() -> None:
    with pytest.raises(ValueError, match=r"linear: input of shape \(3, 4\) and weight of shape \(2, 3\)"):
        F.linear(tn.ones(3, 4), tn.ones(2, 3))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss"])
def test_regression_loss(name: str, reduction: str) -> None:
    compare(name, [normal(3, 5), normal(3, 5, seed=1)], reduction=reduction)


@pytest.mark.parametrize("beta", [0.0, 0.25])
def test_smooth_l1_beta(beta: float) -> None:
    compare("smooth_l1_loss", [normal(3, 5), normal(3, 5, seed=1)], beta=beta)


def test_losses_warn_when_sizes_differ() -> None:
    with pytest.warns(UserWarning, match=r"target size \(\(4,\)\) that is different to the input size \(\(3, 4\)\)"):
        F.mse_loss(tn.ones(3, 4), tn.zeros(4))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy(reduction: str, weighted: bool) -> None:
    p = 1 / (1 + np.exp(-normal(3, 5)))
    weight = np.abs(normal(5, seed=3)) if weighted else None
    arrays = [p.astype(np.float32), np.random.default_rng(1).random((3, 5), np.float32)]
    value, gradients = run_trueno(
        lambda a, b: F.binary_cross_entropy(a, b, _maybe(tn, weight), reduction=reduction), arrays, {}
    )
    expected, wanted = run_torch(
        lambda a, b: reference.binary_cross_entropy(a, b, _maybe(torch, weight), reduction=reduction), arrays, {}
    )
    np.testing.assert_allclose(value, expected, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(gradients[0], wanted[0], rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(gradients[1], wanted[1], rtol=RTOL, atol=ATOL)


def _maybe(library: Any, array: Any) -> Any:
    return None if array is None else library.tensor(array)


def test_binary_cross_entropy_of_certain_probabilities() -> None:
    p, target = np.array([0, 1, 0, 1, 1e-20], np.float32), np.array([0, 1, 1, 0, 1], np.float32)
    (value, gradients), (expected, wanted) = (
        run(lambda a, f=f, b=b: f(a, b, reduction="none"), [p], {})
        for run, f, b in (
            (run_trueno, F.binary_cross_entropy, tn.tensor(target)),
            (run_torch, reference.binary_cross_entropy, torch.tensor(target)),
        )
    )
    np.testing.assert_allclose(value, expected, rtol=RTOL, atol=ATOL)
    # At a perfect fit PyTorch's gradient is 0; here it is the limit from inside, 1 and -1.
    np.testing.assert_allclose(gradients[0][:2], np.cos([0, 1]) * [1, -1], rtol=RTOL)
    np.testing.assert_allclose(gradients[0][2:], wanted[0][2:], rtol=RTOL)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("positive", [False, True])
def test_binary_cross_entropy_with_logits(reduction: str, positive: bool) -> None:
    pos_weight = np.abs(normal(5, seed=3)) if positive else None
    logits = np.concatenate([normal(3, 5), np.array([[-200, -60, 0, 60, 200]], np.float32)])
    arrays = [logits, np.random.default_rng(1).random((4, 5), np.float32)]
    value, gradients = run_trueno(
        lambda a, b: F.binary_cross_entropy_with_logits(a, b, reduction=reduction, pos_weight=_maybe(tn, pos_weight)),
        arrays,
        {},
    )
    expected, wanted = run_torch(
        lambda a, b: reference.binary_cross_entropy_with_logits(
            a, b, reduction=reduction, pos_weight=_maybe(torch, pos_weight)
        ),
        arrays,
        {},
    )
    np.testing.assert_allclose(value, expected, rtol=RTOL, atol=ATOL)
    for mine, theirs in zip(gradients, wanted):
        np.testing.assert_allclose(mine, theirs, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_losses_refuse_sizes_that_differ(name: str) -> None:
    with pytest.raises(ValueError, match=r"Target size \(\(4,\)\) must be the same as input size \(\(3, 4\)\)"):
        getattr(F, name)(tn.ones(3, 4), tn.ones(4))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout(p: float) -> None:
    tn.manual_seed(0)
    x = tn.ones(100, 100).requires_grad_()
    y = F.dropout(x, p)
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - (1 - p)) < 0.02
    if 0 < p < 1:
        np.testing.assert_allclose(y.detach().numpy()[kept], 1 / (1 - p), rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_follows_the_seed_and_ends_with_training() -> None:
    x = tn.ones(64)
    tn.manual_seed(1)
    first = F.dropout(x)
    second = F.dropout(x)
    tn.manual_seed(1)
    again = F.dropout(x)
    assert np.array_equal(first.numpy(), again.numpy())
    assert not np.array_equal(first.numpy(), second.numpy())
    assert F.dropout(x, training=False) is x


def test_dropout_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, but got 1\.5"):
        F.dropout(tn.ones(3), 1.5)


def test_one_hot() -> None:
    classes = np.array([[0, 2], [1, 4]])
    expected = reference.one_hot(torch.tensor(classes)).numpy()
    assert np.array_equal(F.one_hot(tn.tensor(classes)).numpy(), expected)
    assert F.one_hot(tn.tensor(classes), 7).shape == (2, 2, 7)


@pytest.mark.parametrize(
    ("values", "classes", "error"),
    [
        ([1, 2], 2, r"smaller than num_classes, got 2"),
        ([-1], -1, "non-negative, got -1"),
    ],
)
def test_one_hot_refuses_what_is_no_class(values: list[int], classes: int, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        F.one_hot(tn.tensor(values), classes)


def test_one_hot_takes_integers() -> None:
    with pytest.raises(TypeError, match="float32"):
        F.one_hot(tn.tensor([1.0]))


def test_loss_refuses_an_unknown_reduction() -> None:
    with pytest.raises(ValueError, match="average is not a valid value for reduction"):
        F.mse_loss(tn.ones(2), tn.ones(2), reduction="average")
