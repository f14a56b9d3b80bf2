"""The methods that lay elements out anew take NumPy's orders."""

from __future__ import annotations

import numpy
import pytest

from tests.np.support import same
from trueno import np

CALLS = {
    "reshape F": lambda x: x.reshape(2, 12, order="F"),
    "reshape F of a tuple": lambda x: x.reshape((-1, 4), order="F"),
    "reshape A": lambda x: x.T.reshape(6, 4, order="A"),
    "reshape C": lambda x: x.reshape(6, 4, order="C"),
    "ravel F": lambda x: x.ravel("F"),
    "ravel order": lambda x: x.ravel(order="F"),
    "ravel K": lambda x: x.T.ravel("K"),
    "flatten F": lambda x: x.flatten("F"),
    "flatten order": lambda x: x.flatten(order="F"),
    "flatten A": lambda x: x.T.flatten("A"),
    "flatten C": lambda x: x.T.flatten("C"),
}


@pytest.mark.parametrize("name", CALLS)
def test_orders_are_numpys(name: str) -> None:
    x = numpy.arange(24.0).reshape(2, 3, 4)
    same(CALLS[name](np.array(x)), CALLS[name](x))


def test_a_flattened_array_in_another_order_has_a_gradient() -> None:
    x = np.arange(6.0).reshape(2, 3).requires_grad_()
    (x.flatten("F") * np.arange(6.0)).sum().backward()
    same(x.grad, numpy.arange(6.0).reshape((2, 3), order="F"))


@pytest.mark.parametrize("method", ["ravel", "flatten"])
def test_unknown_orders_are_numpys_error(method: str) -> None:
    with pytest.raises(ValueError, match="order must be one of"):
        getattr(np.ones((2, 2)), method)("Z")


@pytest.mark.parametrize("order", ["C", "F"])
def test_flattening_in_an_order_copies(order: str) -> None:
    x = np.arange(6.0).reshape(2, 3)
    (x if order == "C" else x.T).flatten(order)[0] = 9
    assert x[0, 0] == 0
