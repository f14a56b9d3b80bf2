"""How tensors print: NumPy's format, without reading more than the edges of a large array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trueno import dtypes as dt

if TYPE_CHECKING:
    from trueno.tensor import Tensor


def _edges(value: Tensor, keep: int) -> Tensor:
    """Return a small tensor that prints like the large one: NumPy shows `keep` elements at each end of an axis."""
    from trueno.functions import concatenate

    for axis, extent in enumerate(value.shape):
        if extent > 2 * keep + 1:
            head = (slice(None),) * axis
            # One element more than is shown keeps NumPy's ellipsis.
            value = concatenate(
                [value[(*head, slice(0, keep + 1))], value[(*head, slice(extent - keep, None))]], axis=axis
            )
    return value


def _small(value: Tensor) -> np.ndarray:
    """Return what has to be formatted of a tensor, as an array that NumPy formats."""
    from trueno.autograd import no_grad

    options = np.get_printoptions()
    with no_grad():
        plain = value.detach()
        large = plain.size > options["threshold"]
        # NumPy reads little of a large array by itself, but not of what it first has to be converted to.
        moved = plain._layout.device != "cpu" or plain.dtype == dt.bfloat16
        small = _edges(plain, options["edgeitems"]) if large and moved else plain
        array = small.cpu()._view_array()
        # NumPy formats bfloat16 as an integer.
        return array.astype(np.float32) if array.dtype == dt.bfloat16 else array


def _threshold(value: Tensor, array: np.ndarray) -> int:
    """Return above how many elements NumPy is to leave some out, where `array` holds a part of the tensor only."""
    limit = np.get_printoptions()["threshold"]
    return min(limit, max(array.size - 1, 0)) if value.size > limit else limit


def plain(value: Tensor) -> str:
    """Return the elements as NumPy's ``str`` shows them: ``[1. 2.]``, a 0-d tensor as its number."""
    array = _small(value)
    with np.printoptions(threshold=_threshold(value, array)):
        return str(array)


def text(value: Tensor) -> str:
    """Return a tensor as text, e.g. ``tensor([1., 2.], dtype=float64, requires_grad=True)``."""
    array = _small(value)
    body = np.array2string(array, separator=", ", prefix="tensor(", threshold=_threshold(value, array))
    notes = []
    if str(value.dtype) not in ("float32", "int64", "bool"):
        notes.append(f"dtype={value.dtype}")
    if value._layout.device != "cpu":
        notes.append(f"device='{value._layout.device}'")
    if value.grad_fn is not None:
        notes.append(f"grad_fn=<{value.grad_fn.name}>")
    elif value.requires_grad:
        notes.append("requires_grad=True")
    if value.size == 0:
        notes.insert(0, f"shape={value.shape}")
    return f"tensor({', '.join([body, *notes])})"
