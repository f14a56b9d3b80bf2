"""Tensors as text and as Python's own objects."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt

PRINTED = [
    np.array([1.0, 2.5, -3.0], "f4"), np.arange(5), np.array(3.5, "f4"), np.array([[True, False]]),
    np.array([np.nan, np.inf, -np.inf], "f4"), np.arange(12.0, dtype="f4").reshape(3, 4), np.array([1e-8, 1.0], "f4"),
    np.arange(24, dtype="i8").reshape(2, 3, 4), np.array(7),
]  # fmt: skip


@pytest.mark.parametrize("array", PRINTED, ids=lambda one: str(one.shape))
def test_tensors_print_like_arrays(array: np.ndarray) -> None:
    assert repr(tn.tensor(array)) == "tensor(" + np.array2string(array, separator=", ", prefix="tensor(") + ")"
    assert str(tn.tensor(array)) == str(array)


def test_notes() -> None:
    assert repr(tn.ones(2, dtype="float64")) == "tensor([1., 1.], dtype=float64)"
    assert repr(tn.ones(2, dtype="bfloat16")) == "tensor([1., 1.], dtype=bfloat16)"
    assert repr(tn.ones(2, requires_grad=True)) == "tensor([1., 1.], requires_grad=True)"
    assert repr(tn.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<mul>)"
    assert repr(tn.zeros(0, 3)) == "tensor([], shape=(0, 3))"


def test_numpys_print_options_hold() -> None:
    x = tn.arange(10.0) / 3
    with np.printoptions(precision=2, threshold=5, edgeitems=1):
        assert repr(x) == "tensor([0., ..., 3.])"
    with np.printoptions(precision=2, suppress=True):
        assert "0.33" in repr(x)


@pytest.mark.parametrize("shape", [(2000,), (40, 50), (3, 1000), (7, 8, 40), (1500, 1)])
def test_large_tensors_print_their_edges(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype="i8").reshape(shape)
    assert repr(tn.tensor(array)) == "tensor(" + np.array2string(array, separator=", ", prefix="tensor(") + ")"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
@pytest.mark.parametrize("shape", [(100_000_000,), (10_000, 10_000), (100_000_000, 1)])
def test_printing_a_large_tensor_converts_little_of_it(shape: tuple[int, ...], dtype: str) -> None:
    wide = tn.ones(1, dtype=dtype).expand(shape)
    repr(wide)
    tracemalloc.start()
    try:
        text = repr(wide)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert text.count("1") < 60
    assert "..." in text
    assert peak < 1_000_000


def test_format() -> None:
    assert f"{tn.tensor(2.0):.3f}" == "2.000"
    assert f"{tn.tensor(2.0)}" == "2.0"
    assert f"{tn.ones(2)}" == "[1. 1.]"
    with pytest.raises(TypeError, match="format"):
        f"{tn.ones(2):.3f}"


# --- numbers and lists ------------------------------------------------------------------------------------------------


def test_numbers() -> None:
    assert type(tn.tensor(2.5).item()) is float
    assert type(tn.tensor(2).item()) is int
    assert type(tn.tensor(True).item()) is bool
    assert type(tn.tensor(2.5, dtype="bfloat16").item()) is float
    assert (float(tn.tensor([2.5])), int(tn.tensor(2.9)), complex(tn.tensor(1.0)), bool(tn.tensor(0.0))) == (
        2.5,
        2,
        1 + 0j,
        False,
    )
    assert tn.ones(1, requires_grad=True).item() == 1
    with pytest.raises(ValueError, match=r"only convert a tensor of one element, not of shape \(2,\)"):
        tn.ones(2).item()
    with pytest.raises(ValueError, match=r"truth value of a tensor of shape \(2,\) is ambiguous"):
        bool(tn.ones(2))


def test_lists() -> None:
    assert tn.arange(6).reshape(2, 3).T.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tn.tensor(1.5).tolist() == 1.5
    assert tn.zeros(2, 0).tolist() == [[], []]
    assert tn.ones(2, dtype="float16").tolist() == [1.0, 1.0]


def test_sequences() -> None:
    x = tn.arange(6).reshape(3, 2)
    assert len(x) == 3
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    first, *_ = x
    assert first.tolist() == [0, 1]
    assert 3 in x
    assert 9 not in x
    with pytest.raises(TypeError, match="0-d"):
        len(tn.tensor(1))
    with pytest.raises(TypeError, match="0-d"):
        iter(tn.tensor(1))


def test_properties() -> None:
    x = tn.zeros(2, 3, dtype="int16")
    assert (x.shape, x.ndim, x.dim(), x.size, x.numel(), x.itemsize, x.nbytes, x.strides) == (
        (2, 3),
        2,
        2,
        6,
        6,
        2,
        12,
        (6, 2),
    )
    assert (x.is_leaf, x.grad, x.grad_fn) == (True, None, None)
    assert x.device == "cpu"
    assert hash(x) == id(x)
    assert len({x, x, tn.zeros(1)}) == 2


def test_numpy_of_a_tensor_with_history_needs_detach() -> None:
    x = tn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"requires a gradient; use \.detach\(\)\.numpy\(\)"):
        x.numpy()
    assert x.detach().numpy().tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int64", "bool"])
def test_pickle(dtype: str) -> None:
    x = tn.ones(2, 3, dtype=dtype).T
    again = pickle.loads(pickle.dumps(x))
    assert (again.dtype, again.shape, again.tolist()) == (x.dtype, x.shape, x.tolist())
    assert pickle.loads(pickle.dumps(tn.ones(1, requires_grad=True))).requires_grad


def test_deepcopy_and_copy() -> None:
    x = tn.ones(2, requires_grad=True)
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    assert both[0].requires_grad
    assert both[0].is_leaf
    with tn.no_grad():
        both[0][0] = 9
    assert x.tolist() == [1, 1]
    shallow = copy.copy(x.detach())
    shallow[0] = 3
    assert x.tolist() == [1, 1]


def test_comparisons_are_elementwise() -> None:
    x = tn.tensor([1.0, 2.0])
    assert (x == 2).tolist() == [False, True]
    assert (x != tn.tensor([1.0, 3.0])).tolist() == [False, True]
    assert (x == None).tolist() == [False, False]  # noqa: E711
    assert (x != None).tolist() == [True, True]  # noqa: E711
    assert (x == "a").tolist() == [False, False]


@pytest.mark.parametrize("dtype", dt.STORED, ids=str)
def test_a_dtype_is_one_object_however_it_is_spelled(dtype: np.dtype) -> None:
    # Calls are known by the identity of their static arguments: a copy of a dtype would take the slow path each time.
    spelled = [dtype, dtype.type, str(dtype), dtype.newbyteorder("="), pickle.loads(pickle.dumps(dtype))]
    assert all(dt.as_dtype(one) is dtype for one in spelled)


@pytest.mark.parametrize("wrong", ["S4", object, [("a", "f4")], "M8[s]", "none such", 3.5])
def test_what_is_no_dtype_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match="supported are bool, int8"):
        dt.as_dtype(wrong)
