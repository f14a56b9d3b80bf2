"""Leaves for both libraries, and the comparison of their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trueno as tn

torch = pytest.importorskip("torch")


def pair(*shape: int, seed: int = 0, low: float = -2, high: float = 2) -> tuple[tn.Tensor, Any]:
    """Return the same random leaf for both libraries."""
    array = np.random.default_rng(seed).uniform(low, high, shape).astype("f4")
    return tn.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)


def close(ours: Any, theirs: Any, rtol: float = 1e-5) -> None:
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=1e-5)
