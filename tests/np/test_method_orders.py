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
    "copy F": lambda x: x.copy("F"),
    "copy C": lambda x: x.T.copy(order="C"),
    "copy K": lambda x: x.T.copy(order="K"),
    "astype F": lambda x: x.astype("f4", order="F"),
    "astype C of the same dtype": lambda x: x.T.astype("f8", "C", "safe"),
    "reshape with a copy": lambda x: x.reshape(24, copy=True),
    "clip out": lambda x: x.clip(3, 8, out=x),
}


@pytest.mark.parametrize("name", CALLS)
def test_orders_are_numpys(name: str) -> None:
    x = numpy.arange(24.0).reshape(2, 3, 4)
    got, want = CALLS[name](np.array(x)), CALLS[name](x.copy())
    same(got, want)
    assert name in ("reshape A", "reshape F") or got.strides == want.strides


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


def test_casts_of_methods_follow_a_rule() -> None:
    with pytest.raises(TypeError, match="according to the rule 'safe'"):
        np.arange(3).astype("i4", casting="safe")
    x = np.arange(3.0)
    assert x.astype("f8", copy=False) is x and x.astype("f8", order="C", copy=False).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match="copy"):
        np.arange(6).reshape(2, 3).T.reshape(6, copy=False)
