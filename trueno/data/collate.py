"""From a list of samples to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import trueno as tn


def default_collate(samples: Sequence[Any]) -> Any:
    """Return samples joined along a new first axis.

    Parameters
    ----------
    samples : sequence
        Arrays and numbers become one Tensor; tuples, lists and mappings are joined item by item; strings stay a list.
        Python floats give float32, ints int64.

    Raises
    ------
    ValueError
        The samples differ in shape or in length.
    TypeError
        Samples of this type cannot be joined.
    """
    first = samples[0]
    if isinstance(first, tn.Tensor):
        return tn.stack(list(samples))
    if isinstance(first, (np.ndarray, np.generic)):
        return tn.from_numpy(np.stack([np.asarray(one) for one in samples]))
    if isinstance(first, (bool, int, float)):
        return tn.tensor(list(samples))
    if isinstance(first, (str, bytes)):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: default_collate([one[key] for one in samples]) for key in first}
    if isinstance(first, Sequence):
        if len({len(one) for one in samples}) > 1:
            raise ValueError("default_collate: each sample must have the same number of items")
        columns = [default_collate(column) for column in zip(*samples)]
        if isinstance(first, tuple):
            return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
        return columns
    raise TypeError(
        "default_collate: samples must hold arrays, numbers, strings, mappings or sequences, got "
        f"{type(first).__name__}"
    )
