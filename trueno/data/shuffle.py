"""Where random orders come from."""

from __future__ import annotations

import numpy as np

import trueno as tn

Generator = np.random.Generator | int | None
"""A NumPy generator, the seed of one, or None: one seeded from Trueno's own, so that `trueno.manual_seed` rules it."""


def as_generator(value: Generator) -> np.random.Generator:
    """Return the NumPy generator that a value stands for.

    Raises
    ------
    TypeError
        The value is neither a generator, an int nor None.
    """
    if isinstance(value, np.random.Generator):
        return value
    if value is None:
        return np.random.default_rng(int(tn.randint(0, 2**31 - 1, ()).item()))
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return np.random.default_rng(int(value))
    raise TypeError(f"generator must be a numpy.random.Generator, an int or None, got {type(value).__name__}")
