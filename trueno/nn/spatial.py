"""What convolutions and pooling share: numbers for each spatial axis, and inputs without a batch."""

from __future__ import annotations

import operator
from typing import Any

import trueno as tn


def integers(name: str, what: str, value: Any, count: int, least: int) -> tuple[int, ...]:
    """Return one integer for each of `count` spatial axes, from one for all or a sequence of them.

    Raises
    ------
    TypeError
        Something else is given.
    ValueError
        There are more or fewer, or one is below `least`.
    """
    try:
        if isinstance(value, (tuple, list)):
            given = tuple(operator.index(one) for one in value)
            if len(given) == 1:
                given *= count
        else:
            given = (operator.index(value),) * count
    except TypeError:
        raise TypeError(f"{name}: {what} must be an int or a tuple of ints, but got {what}={value!r}") from None
    if len(given) != count:
        raise ValueError(
            f"{name}: expected {what} to be a single integer value or {count} values, one for each spatial axis, but "
            f"got {what}={value}"
        )
    if min(given) < least:
        raise ValueError(f"{name}: {what} must be at least {least}, but got {what}={value}")
    return given


def check_array(name: str, what: str, value: Any) -> None:
    """Raise TypeError for what is no array: a tensor, an ndarray, or an array inside a kernel."""
    if not hasattr(value, "ndim"):
        raise TypeError(f"{name}: {what} must be a Tensor, but got {type(value).__name__}")


def batched(x: Any, single: bool) -> Any:
    """Return the input with an axis for the batch."""
    return tn.reshape(x, (1, *x.shape)) if single else x


def unbatched(y: Any, single: bool) -> Any:
    """Return the result without the axis that `batched` has put there."""
    return tn.reshape(y, y.shape[1:]) if single else y
