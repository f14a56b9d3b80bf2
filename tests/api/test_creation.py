"""Functions that make tensors, against NumPy and PyTorch's defaults."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import trueno as tn


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"), (1.5, "float32"), (True, "bool"), ([1, 2], "int64"), ([1.0, 2], "float32"),
        ([[True], [False]], "bool"), ([], "float32"), (np.float64(2), "float64"), (np.int8(2), "int8"),
        (np.ones(2), "float64"),
        ([np.ones(2), np.zeros(2)], "float64"), (np.ones(2, ml_dtypes.bfloat16), "bfloat16"), ((1, 2), "int64"),
        (range(3), "int64"),
    ],
)  # fmt: skip
def test_tensor_infers_the_dtype(data: Any, dtype: str) -> None:
    made = tn.tensor(data)
    assert str(made.dtype) == dtype
    assert made.shape == np.shape(data)
    np.testing.assert_array_equal(made.numpy().astype("f8"), np.asarray(data, "f8"))
    assert not made.requires_grad
    assert str(made.device) == "cpu"


def test_lists_are_read_in_the_dtype_asked_for() -> None:
    assert tn.tensor([0, 2**64 - 1], dtype="uint64").tolist() == [0, 2**64 - 1]
    assert tn.tensor([1.7, -1.7], dtype="int32").tolist() == [1, -1]
    assert tn.tensor([1, 2], dtype="bfloat16").tolist() == [1, 2]
    assert tn.tensor([tn.tensor(3), tn.tensor(4)], dtype="float16").tolist() == [3, 4]
    with pytest.raises(OverflowError, match="int8"):
        tn.tensor([300], dtype="int8")


def test_tensor_copies() -> None:
    array = np.zeros(3, "f4")
    made = tn.tensor(array)
    array[0] = 1
    assert made.tolist() == [0, 0, 0]
    again = tn.tensor(made)
    made[1] = 5
    assert again.tolist() == [0, 0, 0]


def test_tensor_takes_tensors_in_lists() -> None:
    assert tn.tensor([tn.tensor([1.0, 2.0]), tn.tensor([3.0, 4.0])]).tolist() == [[1, 2], [3, 4]]
    assert tn.tensor([tn.tensor(1.0), tn.tensor(2.0)]).tolist() == [1, 2]


@pytest.mark.parametrize(
    "dtype", ["float16", np.float64, float, int, bool, tn.bfloat16, np.dtype("u2"), "half", "double"]
)
def test_dtypes_have_many_spellings(dtype: Any) -> None:
    made = tn.tensor([0, 1], dtype=dtype)
    assert isinstance(made.dtype, np.dtype)
    assert made.dtype == tn.zeros(2, dtype=dtype).dtype
    assert made.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [object, "datetime64[s]", "nonsense", "U3"])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="supported are bool, int8"):
        tn.zeros(2, dtype=dtype)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0, 3)])
def test_fills(shape: tuple[int, ...]) -> None:
    for made, value in ((tn.zeros(shape), 0), (tn.ones(shape), 1), (tn.full(shape, 2.5), 2.5)):
        assert (made.shape, made.dtype) == (shape, np.float32)
        np.testing.assert_array_equal(made.numpy(), np.full(shape, value))
    assert tn.empty(shape).shape == shape


def test_shapes_are_given_as_one_tuple_or_as_numbers() -> None:
    assert tn.zeros(2, 3).shape == tn.zeros((2, 3)).shape == tn.zeros([2, 3]).shape == (2, 3)
    assert tn.ones(4).shape == (4,)
    assert tn.full(4, 1.0).shape == (4,)
    with pytest.raises(ValueError, match=r"negative dimensions are not allowed: \(2, -1\)"):
        tn.zeros(2, -1)
    with pytest.raises((TypeError, AttributeError)):
        tn.zeros(2.5)


@pytest.mark.parametrize(
    ("value", "dtype"), [(1, "int64"), (1.5, "float32"), (True, "bool"), (np.float64(1), "float64")]
)
def test_full_takes_the_dtype_of_the_value(value: Any, dtype: str) -> None:
    assert str(tn.full((2,), value).dtype) == dtype
    assert str(tn.full((2,), value, dtype="float16").dtype) == "float16"


def test_full_of_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(OverflowError, match=r"300.*uint8"):
        tn.full((2,), 300, dtype="uint8")


def test_like() -> None:
    base = tn.zeros(2, 3, dtype="int16")
    for made, value in ((tn.zeros_like(base), 0), (tn.ones_like(base), 1), (tn.full_like(base, 7), 7)):
        assert (made.shape, made.dtype) == ((2, 3), np.int16)
        assert (made.numpy() == value).all()
    assert tn.empty_like(base).shape == (2, 3)
    assert tn.ones_like(base, dtype="float64").dtype == np.float64
    assert tn.ones_like(tn.ones(2, requires_grad=True)).requires_grad is False


@pytest.mark.parametrize("args", [(5,), (2, 9), (2, 9, 3), (9, 2, -2), (0.0, 1.0, 0.25), (3.0,), (5, 5), (-2.5, 2)])
def test_arange(args: tuple[float, ...]) -> None:
    made, expected = tn.arange(*args), np.arange(*args)
    assert made.dtype == (np.float32 if expected.dtype == np.float64 else expected.dtype)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-6)
    assert tn.arange(*args, dtype="float64").dtype == np.float64


def test_linspace_and_eye() -> None:
    np.testing.assert_allclose(tn.linspace(0, 1, 7).numpy(), np.linspace(0, 1, 7), rtol=1e-6)
    np.testing.assert_allclose(tn.linspace(0, 1, 7, endpoint=False).numpy(), np.linspace(0, 1, 7, False), rtol=1e-6)
    assert tn.linspace(0, 1, 3).dtype == tn.eye(2).dtype == np.float32
    for args in ((3,), (2, 4), (4, 2, 1), (3, 3, -1)):
        np.testing.assert_array_equal(tn.eye(*args).numpy(), np.eye(*args))


def test_requires_grad_at_creation() -> None:
    for make in (tn.zeros, tn.ones, tn.empty, tn.eye, tn.rand, tn.randn):
        assert make(2, requires_grad=True).requires_grad
    assert tn.tensor([1.0], requires_grad=True).is_leaf
    assert tn.arange(3.0, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="only floating-point and complex tensors can require a gradient, not int64"):
        tn.tensor([1], requires_grad=True)


def test_asarray_copies_only_where_needed() -> None:
    array, made = np.ones(3, "f4"), tn.ones(3)
    assert tn.asarray(made) is made
    assert tn.asarray(made, dtype="float32") is made
    assert tn.asarray(made, copy=True) is not made
    assert tn.asarray(array).data_ptr() == array.ctypes.data
    assert tn.asarray(array, copy=True).data_ptr() != array.ctypes.data
    assert tn.asarray(array, dtype="float64").dtype == np.float64
    assert tn.asarray([1, 2]).tolist() == [1, 2]


def test_the_class_makes_tensors_too() -> None:
    made = tn.Tensor([1.0, 2.0], requires_grad=True)
    assert (made.tolist(), made.requires_grad, made.is_leaf) == ([1, 2], True, True)


def test_casts() -> None:
    x = tn.tensor([0.0, 1.5, -2.5])
    assert [str(one.dtype) for one in (x.float(), x.double(), x.half(), x.bfloat16(), x.long(), x.int(), x.bool())] == [
        "float32", "float64", "float16", "bfloat16", "int64", "int32", "bool",
    ]  # fmt: skip
    assert x.float() is x
    assert x.astype("float32") is not x
    assert x.astype("float32", copy=False) is x
    assert x.int().tolist() == [0, 1, -2]
    assert x.bool().tolist() == [False, True, True]
    assert (
        x.to("float64").dtype == x.to(dtype="float64").dtype == x.to(tn.zeros(1, dtype="float64")).dtype == np.float64
    )
    assert x.to("cpu") is x


def test_constants_and_names() -> None:
    assert tn.inf == float("inf")
    assert tn.nan != tn.nan
    assert (tn.pi, tn.e) == (np.pi, np.e)
    assert tn.half == np.float16
    assert isinstance(tn.__version__, str)
    with pytest.raises(AttributeError, match="module 'trueno' has no attribute 'nosuch'"):
        tn.nosuch
