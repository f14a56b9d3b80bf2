"""cross_entropy and nll_loss against PyTorch's, in all combinations of their settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as reference

import trueno as tn
import trueno.nn.functional as F

CLASSES = 5
SHAPES = {"flat": (6, CLASSES), "image": (2, CLASSES, 3)}


def logits(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32) * 3


def classes_for(shape: tuple[int, ...]) -> np.ndarray:
    target = np.random.default_rng(1).integers(0, CLASSES, (shape[0], *shape[2:]))
    target.flat[0] = -100
    return target


def weights(weighted: bool) -> np.ndarray | None:
    return np.array([0.5, 1, 2, 0.25, 3], np.float32) if weighted else None


def compare(name: str, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, **settings: Any) -> None:
    mine, theirs = tn.tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    value = getattr(F, name)(mine, tn.tensor(target), None if weight is None else tn.tensor(weight), **settings)
    expected = getattr(reference, name)(
        theirs, torch.tensor(target), None if weight is None else torch.tensor(weight), **settings
    )
    assert value.shape == tuple(expected.shape)
    np.testing.assert_allclose(value.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    value.sum().backward()
    expected.sum().backward()
    assert mine.grad is not None
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_classes(weighted: bool, reduction: str, smoothing: float) -> None:
    x = logits(SHAPES["flat"])
    compare("cross_entropy", x, classes_for(x.shape), weights(weighted), reduction=reduction, label_smoothing=smoothing)


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_with_more_axes(weighted: bool) -> None:
    x = logits(SHAPES["image"])
    compare("cross_entropy", x, classes_for(x.shape), weights(weighted), label_smoothing=0.2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_of_probabilities(weighted: bool, reduction: str) -> None:
    x = logits(SHAPES["image"])
    target = np.random.default_rng(2).dirichlet(np.ones(CLASSES), (2, 3)).astype(np.float32).transpose(0, 2, 1)
    compare(
        "cross_entropy", x, np.ascontiguousarray(target), weights(weighted), reduction=reduction, label_smoothing=0.1
    )


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_cross_entropy_of_one_sample(reduction: str) -> None:
    compare("cross_entropy", logits((CLASSES,)), np.array(3), None, reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_nll_loss(weighted: bool, reduction: str) -> None:
    x = logits(SHAPES["image"])
    compare(
        "nll_loss", x, np.abs(classes_for(x.shape)) % CLASSES, weights(weighted), reduction=reduction, ignore_index=2
    )


def test_unsigned_targets() -> None:
    x = logits(SHAPES["flat"])
    compare("cross_entropy", x, np.abs(classes_for(x.shape)).astype(np.uint8) % CLASSES, None)


def test_cross_entropy_of_large_logits_is_finite() -> None:
    x = np.array([[1e4, -1e4, 0, 0, 0]], np.float32)
    compare("cross_entropy", x, np.array([1]), None)


def test_mean_over_nothing_is_nan_as_in_pytorch() -> None:
    loss = F.cross_entropy(tn.tensor(logits((2, CLASSES))), tn.tensor([-100, -100]))
    assert np.isnan(loss.item())


@pytest.mark.parametrize(
    ("shape", "target", "settings", "error", "text"),
    [
        ((3, 4), [1, 2], {}, ValueError, r"batch_size \(3\) to match target batch_size \(2\)"),
        ((3, 4), [1, 2, 9], {}, IndexError, "Target 9 is out of bounds"),
        ((3, 4), [1, 2, -1], {}, IndexError, "Target -1 is out of bounds"),
        ((3, 4), [1.0, 2.0, 3.0], {}, TypeError, "integer dtype, got float32"),
        ((3, 4), [1, 2, 3], {"reduction": "x"}, ValueError, "not a valid value for reduction"),
        ((3, 4), [1, 2, 3], {"label_smoothing": 2.0}, ValueError, "label_smoothing must be between"),
        ((3, 4, 2), [1, 2, 3], {}, ValueError, r"takes targets of shape \(3, 2\)"),
        ((), 1, {}, ValueError, "must have an axis of classes"),
    ],
)
def test_bad_arguments(shape: tuple[int, ...], target: Any, settings: dict[str, Any], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        F.cross_entropy(tn.ones(*shape), tn.tensor(target), **settings)


def test_weight_must_fit_the_classes() -> None:
    with pytest.raises(ValueError, match=r"each of the 4 classes, got shape \(3,\)"):
        F.cross_entropy(tn.ones(3, 4), tn.tensor([1, 2, 3]), tn.ones(3))


@pytest.mark.parametrize("ignored", [-100, 1])
def test_ignore_index_is_a_run_time_number(ignored: int) -> None:
    target = np.array([1, 2, 0])
    compare("cross_entropy", logits((3, CLASSES)), target, None, ignore_index=ignored)


@pytest.mark.opencl
def test_cross_entropy_on_opencl() -> None:
    x, target = logits(SHAPES["flat"]), classes_for(SHAPES["flat"])
    here = tn.tensor(x).requires_grad_()
    there = tn.tensor(x).to("opencl:0").requires_grad_()
    F.cross_entropy(here, tn.tensor(target)).backward()
    loss = F.cross_entropy(there, tn.tensor(target).to("opencl:0"))
    loss.backward()
    assert here.grad is not None
    assert there.grad is not None
    np.testing.assert_allclose(there.grad.cpu().numpy(), here.grad.numpy(), rtol=1e-5, atol=1e-6)
    wrong = tn.tensor(np.full(6, CLASSES)).to("opencl:0")
    assert np.isnan(F.cross_entropy(there, wrong).item())
