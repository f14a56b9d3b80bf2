"""Argument forms that all functions of trueno.np share."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

import trueno
from trueno.np import arguments


def test_the_namespace_is_not_imported_with_trueno() -> None:
    code = "import sys, trueno; raise SystemExit('trueno.np' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lists_are_read_in_numpys_dtypes() -> None:
    for value in ([1.5, 2], [1, 2], [True], [[1, 2.5]], 3, 2.5, True, numpy.float32(3), [numpy.float32(1)]):
        made = arguments.array(value)
        assert made.dtype == numpy.asarray(value).dtype
        assert numpy.array_equal(made.numpy(), value)


def test_arrays_are_taken_without_a_copy() -> None:
    given = numpy.arange(6.0).reshape(2, 3)[:, ::2]
    assert numpy.shares_memory(arguments.array(given).numpy(), given)
    tensor = trueno.tensor([1.0])
    assert arguments.array(tensor) is tensor


def test_lists_of_tensors_keep_their_history() -> None:
    x = trueno.tensor(2.0, dtype="float64", requires_grad=True)
    made = arguments.array([[x, 1.0], [3.0, x]])
    assert made.shape == (2, 2)
    made.sum().backward()
    assert x.grad is not None and x.grad.item() == 2


@pytest.mark.parametrize("axis", [None, 1, -1, numpy.int64(1), (0, 1), [0, numpy.int8(1)]])
def test_axes(axis: object) -> None:
    hash(arguments.axes("sum", axis))
    with pytest.raises(TypeError, match="sum"):
        arguments.axes("sum", 1.5)


def test_shape() -> None:
    assert arguments.shape("zeros", 3) == (3,)
    assert arguments.shape("zeros", [numpy.int64(2), 3]) == (2, 3)
    assert arguments.shape("zeros", numpy.array([2, 3])) == (2, 3)
    with pytest.raises(ValueError, match="zeros"):
        arguments.shape("zeros", -1)
    with pytest.raises(TypeError, match="zeros"):
        arguments.shape("zeros", (1, 2.0))


def test_finish_writes_into_out() -> None:
    result = arguments.array([1.0, 2.0])
    for out in (numpy.zeros(2, "f4"), trueno.zeros(2)):
        assert arguments.finish(result, out) is out
        assert arguments.finish(result, (out,)) is out
        assert out.tolist() == [1, 2]
    assert arguments.finish(result) is result
    with pytest.raises(TypeError, match="cannot cast"):
        arguments.finish(result, numpy.zeros(2, int))
    with pytest.raises(ValueError, match="shape"):
        arguments.finish(result, numpy.zeros(3))
    frozen = numpy.zeros(2)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        arguments.finish(result, frozen)


@pytest.mark.parametrize("casting", ["no", "equiv", "safe", "same_kind", "unsafe"])
def test_can_cast_agrees_with_numpy(casting: str) -> None:
    dtypes = [one for one in trueno.dtypes.ALL if one != trueno.bfloat16]
    for source in dtypes:
        for target in dtypes:
            assert arguments.can_cast(source, target, casting) == numpy.can_cast(source, target, casting)  # type: ignore[arg-type]


def test_can_cast_of_bfloat16() -> None:
    half = trueno.bfloat16
    assert arguments.can_cast(half, trueno.float32) and not arguments.can_cast(trueno.float32, half)
    assert arguments.can_cast(trueno.float64, half, "same_kind") and not arguments.can_cast(half, trueno.float16)
    assert arguments.can_cast(trueno.int64, half, "same_kind")
    assert not arguments.can_cast(half, trueno.int64, "same_kind")
