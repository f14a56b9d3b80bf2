"""Helpers for training (`torch.nn.utils`)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import trueno as tn
from trueno.optim import fused

#: Arrays of one launch; more would take long to compile.
_TOGETHER = 32


@tn.kernel
def _total_norm(*gradients: Any, kind: float) -> Any:
    """Return the norm of all elements of all arrays together."""
    total: Any = None
    for one in gradients:
        size = abs(one)
        if kind == math.inf:
            part = tn.max(size)
        elif kind == 2.0:
            part = tn.sum(size * size)
        else:
            part = tn.sum(size**kind)
        if total is None:
            total = part
        else:
            total = tn.maximum(total, part) if kind == math.inf else total + part
    if kind == math.inf:
        return total
    return tn.sqrt(total) if kind == 2.0 else total ** (1.0 / kind)


def clip_grad_norm_(
    parameters: tn.Tensor | Iterable[tn.Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> tn.Tensor:
    """Scale gradients in place so that the norm of all of them together is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
    norm_type : float, default 2.0
        The p of the p-norm; ``math.inf`` for the largest absolute value.
    error_if_nonfinite : bool, default False
        Whether to raise when the norm is infinite or NaN.

    Returns
    -------
    Tensor
        The norm before scaling, of shape ().

    Raises
    ------
    RuntimeError
        The norm is not finite, and error_if_nonfinite is set.
    """
    given = [parameters] if isinstance(parameters, tn.Tensor) else parameters
    gradients = [one.grad for one in given if one.grad is not None]
    if not gradients:
        return tn.zeros(())
    with tn.no_grad():
        norms = gradients
        while norms is gradients or len(norms) > 1:
            # The norm of norms is the norm of everything.
            chunks = [norms[k : k + _TOGETHER] for k in range(0, len(norms), _TOGETHER)]
            norms = [_total_norm(*chunk, kind=float(norm_type)) for chunk in chunks]
        norm = norms[0]
        if error_if_nonfinite and not math.isfinite(norm.item()):
            raise RuntimeError(
                f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
                "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
                "`error_if_nonfinite=False`"
            )
        fused.update(clip_gradients, (), (max_norm,), [(one, norm) for one in gradients], 1)
    return norm


def clip_gradients(limit: Any, gradient: Any, norm: Any) -> tuple[Any]:
    """Return a gradient scaled by what is too much of the norm."""
    return (gradient * tn.minimum(limit / (norm + 1e-6), 1.0),)
