"""Rows of arrays chosen by number: what makes a batch of an array in one go."""

from __future__ import annotations

from typing import Any

import numpy as np

import trueno as tn


def take(array: Any, indices: np.ndarray) -> Any:
    """Return the rows of an array with these numbers, as a Tensor on the array's device.

    Parameters
    ----------
    array : Tensor or numpy.ndarray
        Shape ``(n, ...)``.
    indices : numpy.ndarray
        int64, shape ``(k,)``, each in ``[0, n)``.

    Returns
    -------
    Tensor
        Shape ``(k, ...)``; always a copy, so that a batch may be changed in place.
    """
    if not isinstance(array, tn.Tensor):
        return tn.from_numpy(np.take(array, indices, axis=0))
    if str(array.device) == "cpu" and not array.requires_grad:
        return tn.from_numpy(np.take(array.numpy(), indices, axis=0))
    index = tn.tensor(indices.reshape(-1, *[1] * (array.ndim - 1)), device=array.device)
    return tn.gather(array, index, axis=0)


def is_array(value: Any) -> bool:
    """Whether a value is a Tensor or a NumPy array of at least one dimension."""
    return isinstance(value, (tn.Tensor, np.ndarray)) and value.ndim > 0
