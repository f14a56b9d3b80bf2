"""The same call on Trueno's and on PyTorch's functions, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as reference

import trueno as tn
import trueno.nn.functional as F

RTOL = ATOL = 1e-5


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Return normal values, the same ones every time."""
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


def weights(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Return what comes in from above in backward: a value of its own for each element."""
    return np.cos(np.arange(np.prod(shape))).reshape(shape).astype(dtype)


def run(library: Any, function: Callable[..., Any], arrays: list[Any], settings: dict[str, Any]) -> list[Any]:
    """Return a call's results, and its gradients with respect to the arrays that are floats."""
    tensors = [None if one is None else library.tensor(one) for one in arrays]
    for one in tensors:
        if one is not None:
            one.requires_grad_()
    result = function(*tensors, **settings)
    results = list(result) if isinstance(result, tuple) else [result]
    results[0].backward(library.tensor(weights(tuple(results[0].shape), results[0].detach().numpy().dtype)))
    return [one.detach().numpy() for one in results] + [None if one is None else one.grad.numpy() for one in tensors]


def compare(name: str, arrays: list[Any], tolerance: float = RTOL, **settings: Any) -> None:
    """Compare a function of nn.functional with PyTorch's: values, dtypes, shapes, gradients."""
    mine = run(tn, getattr(F, name), arrays, settings)
    theirs = run(torch, getattr(reference, name), arrays, settings)
    assert len(mine) == len(theirs)
    for got, want in zip(mine, theirs, strict=True):
        if want is not None:
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
