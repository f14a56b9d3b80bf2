"""Losses over classes."""

from __future__ import annotations

import math
from typing import Any

import trueno as tn
from trueno import dtypes as dt
from trueno.nn.reduction import check_reduction, reduced


def _class_losses(values: Any, target: Any, weight: Any, ignore: Any) -> tuple[Any, Any, Any]:
    """Record, for each sample, minus its weighted value of the target class; its weight; and whether it counts.

    Values are ``(n, classes, ...)``, targets ``(n, ...)``. A target that is no class gives NaN.
    """
    classes = values.shape[1]
    target = tn.cast(target, dtype=tn.int64)
    counts = tn.ne(target, ignore)
    index = tn.where(counts, target, 0)
    picked = tn.squeeze(tn.gather(values, tn.unsqueeze(index, 1), axis=1), 1)
    picked = tn.where(tn.logical_and(tn.ge(index, 0), tn.lt(index, classes)), picked, math.nan)
    weights = 1.0 if weight is None else _of_classes(weight, index)
    weights = tn.where(counts, tn.cast(weights, dtype=values.dtype) if weight is not None else 1.0, tn.cast(counts, dtype=values.dtype) * 0.0)
    return -picked * weights, weights, counts


def _of_classes(weight: Any, index: Any) -> Any:
    return tn.reshape(tn.gather(weight, tn.reshape(index, (-1,)), axis=0), index.shape)
