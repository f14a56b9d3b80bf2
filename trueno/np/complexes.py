"""Parts and angles of complex numbers."""

from __future__ import annotations

import math
from typing import Any

from trueno.functions import operations
from trueno.np import arguments
from trueno.tensor import Tensor


def real(val: Any) -> Tensor:
    """Return the real parts of an array as a view; an array of real numbers is its own."""
    return arguments.array(val).real


def imag(val: Any) -> Tensor:
    """Return the imaginary parts of an array, of complex numbers as a view; zeros for real numbers."""
    return arguments.array(val).imag


def angle(z: Any, deg: bool = False) -> Tensor:
    """Return the angles of numbers in the complex plane, counterclockwise from the positive real axis.

    Parameters
    ----------
    z : array_like
    deg : bool
        In degrees, not radians.
    """
    found = operations["angle"].call(arguments.array(z))
    return found * (180.0 / math.pi) if deg else found


__all__ = ["angle", "imag", "real"]
