"""The names of the namespace: NumPy's ufuncs, and documentation of all. What the standard names is in test_standard."""

from __future__ import annotations

import numpy
import pytest

from tests.np import standard
from trueno import np

#: Dates have no dtypes here.
WITHOUT = {"isnat"}
#: Elementwise functions of the standard that NumPy has no ufunc for.
FUNCTIONS = {"imag", "real", "round"}


@pytest.mark.parametrize("name", sorted({*standard.UNARY, *standard.BINARY} - FUNCTIONS))
def test_elementwise_functions_of_the_standard_are_ufuncs(name: str) -> None:
    assert isinstance(getattr(np, name), np.ufunc)


def test_every_ufunc_of_numpy_is_there() -> None:
    names = {name for name in dir(numpy) if isinstance(getattr(numpy, name), numpy.ufunc)}
    assert names - set(np.__all__) <= WITHOUT
    assert all(isinstance(getattr(np, name), np.ufunc) for name in names & set(np.__all__))


def test_public_functions_are_documented() -> None:
    for name in np.__all__:
        found = getattr(np, name)
        if callable(found) and not isinstance(found, type):
            assert (found.__doc__ or "").strip(), name
