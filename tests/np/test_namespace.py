"""The names of the namespace: the array API standard's parts that its modules of today make, and NumPy's ufuncs."""

from __future__ import annotations

import inspect

import numpy
import pytest

from trueno import np

#: From the text of the array API standard 2025.12: functions, and the parameters that may be given by keyword.
STANDARD = {
    "arange": "stop step dtype device", "asarray": "dtype device copy", "empty": "dtype device",
    "empty_like": "dtype device", "eye": "k dtype device", "full": "dtype device", "full_like": "dtype device",
    "linspace": "dtype device endpoint", "meshgrid": "indexing", "ones": "dtype device", "ones_like": "dtype device",
    "tril": "k", "triu": "k", "zeros": "dtype device", "zeros_like": "dtype device", "astype": "copy device",
    "clip": "min max", "all": "axis keepdims", "any": "axis keepdims", "argmax": "axis keepdims",
    "argmin": "axis keepdims", "count_nonzero": "axis keepdims", "cumulative_prod": "axis dtype include_initial",
    "cumulative_sum": "axis dtype include_initial", "max": "axis keepdims", "mean": "axis keepdims",
    "min": "axis keepdims", "prod": "axis dtype keepdims", "std": "axis correction keepdims",
    "sum": "axis dtype keepdims", "var": "axis correction keepdims", "can_cast": "", "finfo": "", "iinfo": "",
    "isdtype": "", "result_type": "", "round": "",
}  # fmt: skip
ELEMENTWISE = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "reciprocal",
    "remainder",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "square",
    "sqrt",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "matmul",
    "vecdot",
]
#: Complex numbers and dates have no dtypes here.
WITHOUT = {"conj", "conjugate", "isnat"}


@pytest.mark.parametrize("name", STANDARD)
def test_functions_of_the_standard_take_its_parameters(name: str) -> None:
    parameters = inspect.signature(getattr(np, name)).parameters
    assert set(STANDARD[name].split()) <= set(parameters)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_functions_of_the_standard_are_ufuncs(name: str) -> None:
    assert isinstance(getattr(np, name), np.ufunc)


def test_every_ufunc_of_numpy_is_there() -> None:
    names = {name for name in dir(numpy) if isinstance(getattr(numpy, name), numpy.ufunc)}
    assert names - set(np.__all__) <= WITHOUT
    assert all(isinstance(getattr(np, name), np.ufunc) for name in names & set(np.__all__))


@pytest.mark.parametrize("name", ["e", "inf", "nan", "pi", "newaxis"])
def test_constants(name: str) -> None:
    ours, theirs = getattr(np, name), getattr(numpy, name)
    assert ours is theirs or ours == theirs


def test_public_functions_are_documented() -> None:
    for name in np.__all__:
        found = getattr(np, name)
        if callable(found) and not isinstance(found, type):
            assert (found.__doc__ or "").strip(), name
