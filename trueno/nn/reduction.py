"""What losses have in common: how the losses of elements become one number."""

from __future__ import annotations

from typing import Any

import trueno as tn


def check_reduction(reduction: str) -> None:
    """Raise ValueError if a reduction is none of ``"mean"``, ``"sum"``, ``"none"``."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction; it is 'mean', 'sum' or 'none'")


def reduced(loss: Any, reduction: str, total: Any = None) -> Any:
    """Record the reduction of the losses of elements; the mean divides by `total` if it is given."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return tn.sum(loss)
    return tn.mean(loss) if total is None else tn.sum(loss) / total
