"""NumPy's functions on tensors: ufuncs, functions, the namespace of the array API standard."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import special

import trueno as tn
from trueno import interop


def pair() -> tuple[tn.Tensor, np.ndarray]:
    array = np.arange(6, dtype=np.float32).reshape(2, 3) / 4 + 0.1
    return tn.from_numpy(array.copy()), array


def agrees(got: Any, want: Any, rtol: float = 1e-6) -> None:
    assert type(got) is tn.Tensor
    want = np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(np.asarray(got), want, rtol=rtol)


@pytest.mark.parametrize("ufunc", sorted(interop._ufuncs(), key=lambda one: one.__name__), ids=lambda one: one.__name__)
def test_ufuncs_are_computed_by_the_operation_of_their_name(ufunc: np.ufunc) -> None:
    floats, integers = np.array([[0.25, 0.5, 0.75]] * 3), np.array([[1, 2, 3]] * 3)
    letters = next((one for one in ufunc.types if one.startswith("d")), ufunc.types[-1]).split("->")[0]
    operands = [integers if one in "il" or not letters.startswith("d") else floats for one in letters]
    with np.errstate(all="ignore"):
        want = ufunc(*operands)
    got = ufunc(*map(tn.from_numpy, operands))
    for one, other in zip(got, want, strict=True) if ufunc.nout > 1 else [(got, want)]:
        agrees(one, other)


def test_the_table_covers_most_of_numpys_ufuncs() -> None:
    assert len(interop._ufuncs()) >= 65


def test_ufuncs_are_recorded_on_the_tape() -> None:
    x = tn.tensor([0.5, 1.0]).requires_grad_()
    np.multiply(np.exp(x), np.float32(2)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([0.5, 1.0]), rtol=1e-6)


def test_operators_with_arrays_and_numbers_of_numpys() -> None:
    x, a = pair()
    for got, want in (
        (a + x, a + a), (np.float32(2) * x, np.float32(2) * a), (np.float64(2) * x, np.float64(2) * a),
        (a @ x.T, a @ a.T), (a[0] < x, a[0] < a), (np.int64(2) - x, np.int64(2) - a), (a == x, a == a),
    ):  # fmt: skip
        agrees(got, want)


def test_an_array_changed_in_place_stays_that_array() -> None:
    x, a = pair()
    target = a.copy()
    same = target
    same += x
    assert same is target
    np.testing.assert_allclose(target, 2 * a)
    np.multiply(x, 3, out=target)
    np.testing.assert_allclose(target, 3 * a)


def test_a_tensor_as_target() -> None:
    x, a = pair()
    saved = x.detach().requires_grad_()
    product = saved * saved
    target = saved.detach()
    assert np.add(a, 1, out=target) is target
    np.testing.assert_allclose(x.numpy(), a + 1)
    with pytest.raises(RuntimeError, match="changed in place"):
        product.sum().backward()
    leaf = tn.ones(2).requires_grad_()
    with pytest.raises(RuntimeError):
        np.add(np.ones(2), 1, out=leaf)


def test_methods_and_arguments_of_ufuncs() -> None:
    x, a = pair()
    agrees(np.add.reduce(x), np.add.reduce(a))
    agrees(np.add.accumulate(x, axis=1), np.add.accumulate(a, axis=1))
    agrees(np.multiply.outer(x, x), np.multiply.outer(a, a))
    agrees(np.add.reduceat(x, [0, 2], axis=1), np.add.reduceat(a, [0, 2], axis=1))
    agrees(np.add(x, x, dtype=np.float64), np.add(a, a, dtype=np.float64))
    out = np.zeros_like(a)
    assert np.add(x, x, out=out, where=x > 0.5) is out
    np.testing.assert_allclose(out, np.where(a > 0.5, 2 * a, 0))
    assert np.add.at(x, (0, [1, 1]), 1) is None
    np.add.at(a, (0, [1, 1]), 1)
    agrees(x, a)
    for one, other in zip(np.modf(x), np.modf(a), strict=True):
        agrees(one, other)


def test_ufuncs_that_only_numpy_has() -> None:
    agrees(special.gamma(tn.tensor([3.0, 4.0], dtype=tn.float64)), [2.0, 6.0])
    double = np.frompyfunc(lambda x: 2 * x, 1, 1)
    assert double(tn.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
    x = tn.ones(2).requires_grad_()
    with pytest.raises(RuntimeError, match=r"gamma: .* use .detach\(\)"):
        special.gamma(x)
    with tn.no_grad():
        assert special.gamma(x).tolist() == [1, 1]


def test_other_classes_have_their_say() -> None:
    class Greedy:
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> str:
            return "mine"

    x, _ = pair()
    assert np.add(x, Greedy()) == "mine"
    with pytest.raises(TypeError):
        np.add(x, object())


# --- functions --------------------------------------------------------------------------------------------------------


def test_functions_of_the_same_name_are_taken() -> None:
    x, a = pair()
    agrees(np.linalg.norm(x), np.linalg.norm(a))
    # The last digit of a product moves the solution by as much as the condition number says.
    agrees(np.linalg.solve(x @ x.T, x), np.linalg.solve(a @ a.T, a), rtol=1e-6 * np.linalg.cond(a @ a.T))
    agrees(np.zeros_like(x), np.zeros_like(a))
    leaf = tn.from_numpy(np.eye(2)).requires_grad_()
    np.linalg.inv(leaf).sum().backward()
    assert leaf.grad.tolist() == [[-1.0, -1.0], [-1.0, -1.0]]


def test_other_functions_are_numpys_on_the_memory() -> None:
    x, a = pair()
    result = np.apply_along_axis(lambda row: row[::-1], 1, x)
    np.testing.assert_allclose(result, a[:, ::-1])
    np.testing.assert_allclose(np.piecewise(x, [x > 0.5], [1.0, 0.0]), np.piecewise(a, [a > 0.5], [1.0, 0.0]))
    np.testing.assert_allclose(np.block([[x, x], [x, x]]), np.block([[a, a], [a, a]]))


def test_arguments_that_ours_lacks_are_left_to_numpy() -> None:
    x, _ = pair()

    def norm(x: Any) -> str:
        return "ours"

    signature = interop.inspect.signature(norm)
    assert interop._fits(signature, (x,), {})
    assert not interop._fits(signature, (x,), {"ord": 2})
    assert interop._same_name(np.save) is None or callable(interop._same_name(np.save)[0])


# --- the namespace ----------------------------------------------------------------------------------------------------


def test_the_namespace() -> None:
    x, _ = pair()
    space = x.__array_namespace__()
    assert space.__name__ == "trueno.np"
    for version in interop.STANDARD_VERSIONS:
        assert x.__array_namespace__(api_version=version) is space
    with pytest.raises(ValueError, match=r"2019\.12"):
        x.__array_namespace__(api_version="2019.12")


def test_to_device() -> None:
    x, _ = pair()
    assert x.to_device("cpu") is x
    assert x.to_device(x.device) is x
    with pytest.raises(ValueError, match="unknown device"):
        x.to_device("tpu")
    with pytest.raises(ValueError, match="stream"):
        x.to_device("cpu", stream=1)


def test_importing_trueno_imports_no_namespace() -> None:
    code = (
        "import sys, trueno; print([one for one in sys.modules if one in ('trueno.np', 'trueno.linalg', 'trueno.io')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"


FOREIGN = {
    "misaligned": lambda: np.zeros(3, [("a", "i1"), ("b", "f8")])["b"],
    "misaligned strides": lambda: np.zeros(3, np.dtype([("a", "c16"), ("b", "f8")], align=True))["a"],
    "byte-swapped": lambda: np.zeros(3, np.dtype("f8").newbyteorder()), "longdouble": lambda: np.zeros(3, "g"),
}  # fmt: skip


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_targets_whose_memory_cannot_be_shared_are_written_to(make: Any) -> None:
    a, t = make(), tn.tensor([1.0, 2.0, 3.0], dtype="float64")
    a += t
    assert a.tolist() == [1, 2, 3]
    assert np.multiply(t, 2, out=a) is a
    assert a.tolist() == [2, 4, 6]
    np.add.reduce(tn.ones((2, 3), dtype="float64"), axis=0, out=a)
    assert a.tolist() == [2, 2, 2]


def test_complex_results_of_numpys_own_computation_are_tensors() -> None:
    agrees(
        np.add.outer(tn.tensor([1j]), np.array([1.0, 2.0])), np.add.outer(np.array([1j], "c8"), np.array([1.0, 2.0]))
    )
