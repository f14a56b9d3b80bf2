"""The operator ``**``: dtypes, exponents that NumPy refuses, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import trueno as tn
from tests.codegen.support import lowered
from tests.np.support import as_tensors, same, same_error

ARRAYS: dict[str, numpy.ndarray] = {
    "bool": numpy.asarray([True, False]), "uint8": numpy.asarray([1, 2], "u1"), "int8": numpy.asarray([1, 2], "i1"),
    "int64": numpy.asarray([-1, 2]), "float32": numpy.asarray([0.5, 2], "f4"),
    "complex64": numpy.asarray([1j, 2], "c8"), "complex128": numpy.asarray([1 - 1j, 2]),
}  # fmt: skip
EXPONENTS = (2, 0, 1, -1, -2, 300, -300, 2.0, 0.5, -1.0, True)


@pytest.mark.parametrize("exponent", EXPONENTS, ids=str)
@pytest.mark.parametrize("dtype", ARRAYS)
def test_powers_are_numpys(dtype: str, exponent: Any) -> None:
    power: Callable[[Any], Any] = lambda x: x**exponent  # noqa: E731
    x = ARRAYS[dtype]
    try:
        with numpy.errstate(all="ignore"):
            want = power(x)
    except (ValueError, OverflowError):
        same_error(lambda: power(as_tensors(x)), lambda: power(x), f"{dtype} ** {exponent}")
        return
    same(power(as_tensors(x)), want, f"{dtype} ** {exponent}", rtol=1e-5 if dtype == "complex64" else 1e-13)


@pytest.mark.parametrize("exponent", [2, 0.5, -1.0])
@pytest.mark.parametrize("form", ["operator", "in place", "kernel"])
def test_special_exponents_take_no_powers(form: str, exponent: float) -> None:
    # No other test has operands of this shape.
    x = numpy.linspace(0.25, 4, 41 + EXPONENTS.index(exponent), dtype="f4")
    square = {"operator": lambda t: t**exponent, "in place": lambda t: t.__ipow__(exponent)}
    with lowered() as found:
        got = square.get(form, tn.kernel(lambda t: t**exponent))(tn.tensor(x))
    assert found
    assert not any(
        expr.op is not None and expr.op.name == "pow" for one in found for s in one.steps for expr in s.order
    )
    numpy.testing.assert_array_equal(got.numpy(), x**exponent)


@pytest.mark.parametrize("dtype", ["c8", "c16"])
@pytest.mark.parametrize("exponent", [3, 7, -3, 31, 99])
def test_whole_powers_of_complex_numbers_are_products(dtype: str, exponent: int) -> None:
    x = numpy.asarray([-0.5284, 1.25 - 0.5j, 1j, -1.0], dtype)
    got = numpy.asarray(as_tensors(x) ** exponent)
    numpy.testing.assert_allclose(got, x**exponent, rtol=1e-5 if dtype == "c8" else 1e-13)
    assert not got[[0, 3]].imag.any(), "powers of real numbers are real"


def test_only_one_element_is_a_python_number() -> None:
    for kind in (float, int, complex):
        same_error(lambda kind=kind: kind(as_tensors(numpy.ones(2))), lambda kind=kind: kind(numpy.ones(2)), str(kind))
    with pytest.raises(TypeError, match=r"\(2, 1\)"):
        float(as_tensors(numpy.ones((2, 1))))
    assert float(as_tensors(numpy.ones((1, 1)))) == 1.0
