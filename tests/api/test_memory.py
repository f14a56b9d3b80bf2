"""Memory shared with NumPy and between views, indexing, and changes in place."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import trueno as tn

BASE = np.arange(24, dtype="f4").reshape(2, 3, 4)


def base() -> tn.Tensor:
    return tn.tensor(BASE)


# --- NumPy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "i1", "u2", "i8", "f2", "f4", "f8", tn.bfloat16], ids=str)
def test_from_numpy_shares_memory_both_ways(dtype: Any) -> None:
    array = np.zeros((2, 3), dtype)
    made = tn.from_numpy(array)
    assert made.data_ptr() == array.ctypes.data
    assert (made.dtype, made.shape, made.strides) == (array.dtype, array.shape, array.strides)
    array[0, 1] = 1
    assert made[0, 1].item() == 1
    made[1, 2] = 1
    assert array[1, 2] == 1
    assert made.numpy().ctypes.data == array.ctypes.data


@pytest.mark.parametrize("key", [np.s_[::2], np.s_[::-1], np.s_[:, ::-2], np.s_[1:, 1], np.s_[..., None]], ids=str)
def test_from_numpy_takes_strides(key: Any) -> None:
    array = np.arange(20.0).reshape(4, 5)
    made = tn.from_numpy(array[key])
    assert (made.shape, made.strides) == (array[key].shape, array[key].strides)
    np.testing.assert_array_equal(made.numpy(), array[key])
    np.testing.assert_array_equal((made * 2).numpy(), array[key] * 2)
    made += 100
    assert array.max() >= 100


def test_what_cannot_be_shared_is_copied() -> None:
    swapped = np.arange(3, dtype=">f4")
    assert tn.from_numpy(swapped).tolist() == [0, 1, 2]
    odd = np.zeros(9, "u1")[1:].view("f4")
    odd[:] = (1, 2)
    assert tn.from_numpy(odd).tolist() == [1, 2]
    record = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i1"), ("b", "f4")])
    assert tn.from_numpy(record["b"]).tolist() == [2, 4]


def test_read_only_memory_is_shared_and_not_written_to() -> None:
    fixed = np.arange(6.0).reshape(2, 3)
    fixed.flags.writeable = False
    made = tn.from_numpy(fixed)
    assert made.data_ptr() == fixed.ctypes.data
    broadcast = tn.zeros(3).expand(2, 3)
    for one in (made, made[1], made.T, made.detach(), made.reshape(-1), broadcast, broadcast[0]):
        assert not one.numpy().flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            one += 1  # noqa: PLW2901
        for change in (one.zero_, lambda one=one: one.__setitem__([0], 1), lambda one=one: one.add_(2)):
            with pytest.raises(ValueError, match="read-only"):
                change()
    assert fixed.tolist() == [[0, 1, 2], [3, 4, 5]]
    for free in (made + 1, made.clone(), tn.tensor(fixed), broadcast.clone(), made[[0]], made.astype("f4")):
        free += 1  # noqa: PLW2901
        assert free.numpy().flags.writeable


def test_arrays_and_scalars_of_numpy_are_operands() -> None:
    x, array = tn.tensor([1.0, 2.0], dtype="f4"), np.array([3.0, 4.0])
    for _ in range(3):
        for got in (x + array, array + x, x + array[::-1][::-1], tn.add(x, array)):
            assert (got.dtype, got.tolist()) == (np.dtype("f8"), [4, 6])
        for scalar in (np.float64(2), np.float32(2), np.int8(2), np.bool_(True)):
            for got, expected in ((x * scalar, x.numpy() * scalar), (scalar * x, scalar * x.numpy())):
                assert (got.dtype, got.tolist()) == (expected.dtype, expected.tolist())
    x += array
    x *= np.float64(0.5)
    assert (x.dtype, x.tolist()) == (tn.float32, [2, 3])
    y = tn.tensor([1.0, 2.0], requires_grad=True)
    (y * array.astype("f4") * np.float32(2)).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [6, 8]


def test_from_numpy_refuses_what_is_not_an_array() -> None:
    with pytest.raises(TypeError, match=r"expected a numpy\.ndarray, got list"):
        tn.from_numpy([1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="complex256 is not supported"):
        tn.from_numpy(np.zeros(2, np.clongdouble))


def test_either_side_keeps_the_memory_alive() -> None:
    array = np.arange(1000.0)
    gone = weakref.ref(array)
    made = tn.from_numpy(array)
    del array
    gc.collect()
    assert gone() is not None
    assert made.sum().item() == 499500
    out = tn.ones(1000).numpy()
    gc.collect()
    np.testing.assert_array_equal(out, np.ones(1000))


def test_numpy_reads_tensors() -> None:
    x = base()
    assert np.asarray(x).ctypes.data == x.data_ptr()
    assert np.asarray(x, dtype="f8").dtype == np.float64
    assert np.array(x).ctypes.data != x.data_ptr()
    assert np.asarray(x[:, ::-1]).tolist() == BASE[:, ::-1].tolist()
    np.testing.assert_array_equal(np.asarray(tn.ones(2, requires_grad=True)), [1, 1])
    np.testing.assert_array_equal(np.asarray(tn.ones(2, dtype="bfloat16")).astype("f4"), [1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array(x, copy=True).shape == (2, 3, 4)


def test_the_buffer_protocol() -> None:
    x = base()
    view = memoryview(x)  # type: ignore[arg-type]
    assert (view.format, view.shape, view.strides) == ("f", (2, 3, 4), (48, 16, 4))
    view[0, 0, 1] = 50.0
    assert x[0, 0, 1].item() == 50


def test_the_buffer_holds_the_elements() -> None:
    view = base().__buffer__(0)
    assert view.tolist() == BASE.tolist()


def test_operators_with_arrays_give_tensors() -> None:
    x = base()
    for made in (BASE + x, x + BASE, np.float32(1) * x, x - np.ones(4, "f4"), np.ones(4, "f4") - x):
        assert type(made) is tn.Tensor
    np.testing.assert_array_equal((np.ones(4, "f4") - x).numpy(), np.ones(4, "f4") - BASE)


# --- views ------------------------------------------------------------------------------------------------------------

VIEWS = {
    "reshape": (lambda x: x.reshape(6, 4), lambda a: a.reshape(6, 4)),
    "view": (lambda x: x.view(2, -1), lambda a: a.reshape(2, -1)),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    "ravel": (lambda x: x.ravel(), lambda a: a.ravel()),
    "T": (lambda x: x.T, lambda a: a.T),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(-1, -2)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "transpose": (lambda x: x.transpose(0, 2), lambda a: a.swapaxes(0, 2)),
    "swapaxes": (lambda x: x.swapaxes(0, -1), lambda a: a.swapaxes(0, -1)),
    "moveaxis": (lambda x: x.moveaxis(0, 2), lambda a: np.moveaxis(a, 0, 2)),
    "squeeze": (lambda x: x[:1].squeeze(0), lambda a: a[:1].squeeze(0)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "flip": (lambda x: x.flip(1), lambda a: np.flip(a, 1)),
    "slice": (lambda x: x[:, 1:, ::2], lambda a: a[:, 1:, ::2]),
    "index": (lambda x: x[1, -1], lambda a: a[1, -1]),
    "split": (lambda x: x.split(3, axis=1)[2], lambda a: np.split(a, 3, axis=1)[2]),
    "detach": (lambda x: x.detach(), lambda a: a),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name: str) -> None:
    view, expected = VIEWS[name]
    x, array = base(), BASE.copy()
    for _ in range(2):  # the second view is made by the launcher
        one = view(x)
        np.testing.assert_array_equal(one.numpy(), expected(array))
        assert np.shares_memory(one.numpy(), x.numpy())
        one += 1
        expected(array)[...] += 1
        np.testing.assert_array_equal(x.numpy(), array)
    x[...] = 7
    assert (view(x).numpy() == 7).all()


def test_expand_repeats_without_a_copy() -> None:
    x = tn.arange(3.0)
    wide = x.expand(4, 3)
    assert wide.strides == (0, 4)
    assert wide.data_ptr() == x.data_ptr()
    x[1] = 9
    assert wide[2].tolist() == [0, 9, 2]
    assert x.unsqueeze(1).expand(-1, 2).shape == (3, 2)
    assert tn.broadcast_to(x, (2, 3)).shape == (2, 3)


def test_reshape_copies_where_strides_do_not_allow_a_view() -> None:
    x = base()
    flat = x.T.reshape(-1)
    np.testing.assert_array_equal(flat.numpy(), BASE.T.reshape(-1))
    flat[0] = 99
    assert x[0, 0, 0].item() == 0
    assert x.T.contiguous().is_contiguous()
    assert x.contiguous() is x
    assert not x.T.is_contiguous()


def test_clone_and_copy_are_dense_copies() -> None:
    x = base()
    for made in (x.T.clone(), x.T.copy(), tn.copy(x.T)):
        assert made.is_contiguous()
        np.testing.assert_array_equal(made.numpy(), BASE.T)
        made[0] = -1
    np.testing.assert_array_equal(x.numpy(), BASE)


# --- indexing ---------------------------------------------------------------------------------------------------------

KEYS = [
    0, -1, (0, 1), (1, -1, 2), slice(None), slice(1, None), (slice(None), slice(None, None, 2)), (..., 0), (0, ..., 1),
    (None, 0), (slice(None), None), (slice(None), slice(None, None, -1)), (slice(None), slice(2, 0, -1)),
    (slice(5, 9),), Ellipsis, None, (), (np.int64(1), 0), (slice(None), 1, slice(None, -1)),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_reads_as_numpy(key: Any) -> None:
    got, expected = base()[key], BASE[key]
    assert got.shape == np.shape(expected)
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_writes_as_numpy(key: Any) -> None:
    x, array = base(), BASE.copy()
    x[key] = 5.5
    array[key] = 5.5
    np.testing.assert_array_equal(x.numpy(), array)
    values = np.arange(array[key].size, dtype="f8").reshape(np.shape(array[key]))
    x[key] = values
    array[key] = values
    np.testing.assert_array_equal(x.numpy(), array)


def test_assignment_broadcasts_and_casts() -> None:
    x, array = base(), BASE.copy()
    x[:, 1] = tn.arange(4)
    array[:, 1] = np.arange(4)
    x[..., :2] = np.ones((1, 1, 3, 1))
    array[..., :2] = np.ones((1, 1, 3, 1))
    np.testing.assert_array_equal(x.numpy(), array)
    k = tn.zeros(2, dtype="int32")
    k[:] = np.array([1.7, -2.7])
    assert k.tolist() == [1, -2]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (2, "index 2 is out of bounds for axis 0 with size 2"),
        ((0, -4), "index -4 is out of bounds for axis 1 with size 3"), ((0, 0, 0, 0), "too many indices"),
        ((..., ...), "single ellipsis"), (1.0, "only integers"), ("a", "only integers"),
    ],
)  # fmt: skip
def test_wrong_indices_are_refused(key: Any, text: str) -> None:
    x = base()
    with pytest.raises(IndexError, match=text):
        x[key]
    with pytest.raises(IndexError, match=text):
        x[key] = 0
    np.testing.assert_array_equal(x.numpy(), BASE)


def test_wrong_assignments_are_refused() -> None:
    x = base()
    with pytest.raises(ValueError, match=r"\(5,\).*\(3, 4\)"):
        x[0] = np.zeros(5)
    with pytest.raises(ValueError, match=r"zero step|step cannot be zero"):
        x[::0]
    with pytest.raises(OverflowError, match="300"):
        tn.zeros(2, dtype="int8")[0] = 300
    np.testing.assert_array_equal(x.numpy(), BASE)


def test_tensors_are_indices() -> None:
    assert base()[tn.tensor(1), tn.tensor(2)].tolist() == BASE[1, 2].tolist()
    assert [10, 20, 30][tn.tensor(2)] == 30
    with pytest.raises(TypeError, match="only an integer tensor of one element"):
        [1, 2][tn.tensor(1.0)]


# --- changes in place -------------------------------------------------------------------------------------------------

OPERATORS = {
    "+=": lambda a, b: a.__iadd__(b), "-=": lambda a, b: a.__isub__(b), "*=": lambda a, b: a.__imul__(b),
    "/=": lambda a, b: a.__itruediv__(b), "//=": lambda a, b: a.__ifloordiv__(b), "%=": lambda a, b: a.__imod__(b),
    "**=": lambda a, b: a.__ipow__(b),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(
    "other", [2, 2.5, np.full(4, 1.5, "f4"), np.full((2, 3, 4), 3, "i4")], ids=["int", "float", "row", "int32"]
)
def test_operators_change_the_tensor_itself(name: str, other: Any) -> None:
    x, array = base() + 1, BASE + 1
    address = x.data_ptr()
    result = OPERATORS[name](x, other)
    with np.errstate(all="ignore"):
        expected = OPERATORS[name](array.astype("f8"), other)
    assert result is x
    assert x.data_ptr() == address
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-5)


def test_integer_operators_in_place() -> None:
    x, array = tn.arange(6), np.arange(6)
    for change in (
        "x += 3",
        "x *= 2",
        "x <<= 1",
        "x |= 1",
        "x &= 29",
        "x ^= 5",
        "x >>= 1",
        "x //= 2",
        "x %= 4",
        "x -= 1",
    ):
        names = {"x": x}
        exec(change, names)
        assert names["x"] is x
        names = {"x": array}
        exec(change, names)
        np.testing.assert_array_equal(x.numpy(), array)


@pytest.mark.parametrize("target", ["int32", "uint8", "bool"])
def test_a_float_result_does_not_go_into_integers(target: str) -> None:
    x = tn.ones(3, dtype=target)
    array = x.numpy().copy()
    with pytest.raises(TypeError, match=f"cannot cast the result from float64 to the target's {target}"):
        x += 1.5
    with pytest.raises(TypeError):
        array += 1.5
    with pytest.raises(TypeError):
        x /= 2
    np.testing.assert_array_equal(x.numpy(), array)


def test_bfloat16_goes_into_floats_only() -> None:
    x = tn.ones(2, dtype="int32")
    with pytest.raises(TypeError, match="cannot cast the result from bfloat16 to the target's int32"):
        x += tn.ones(2, dtype="bfloat16")
    y = tn.ones(2)
    y += tn.ones(2, dtype="bfloat16")
    assert y.tolist() == [2, 2]


def test_narrower_floats_take_wider_results() -> None:
    x, array = tn.ones(3, dtype="float16"), np.ones(3, "f2")
    x += np.full(3, 0.5, "f8")
    array += np.full(3, 0.5, "f8")
    np.testing.assert_array_equal(x.numpy(), array)
    assert x.dtype == np.float16
    b = tn.ones(3, dtype="bfloat16")
    b *= 3
    assert (b.dtype, b.tolist()) == (tn.bfloat16, [3, 3, 3])


def test_a_result_of_another_shape_is_refused() -> None:
    x = tn.ones(3)
    with pytest.raises(ValueError, match=r"non-broadcastable output: the target has shape \(3,\), the result \(2, 3\)"):
        x += tn.ones(2, 3)
    assert x.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("target", "source"),
    [
        (np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[:], np.s_[::-1]), (np.s_[::2], np.s_[:5]),
        (np.s_[:5], np.s_[1::2]), (np.s_[:], np.s_[:]),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("size", [10, 10_000])
def test_overlapping_operands_give_numpys_result(target: Any, source: Any, size: int) -> None:
    if size != 10 and (target, source) != (np.s_[1:], np.s_[:-1]):
        size = 10
    x, array = tn.arange(size, dtype="f4"), np.arange(size, dtype="f4")
    x[target] += x[source]
    array[target] += array[source]
    np.testing.assert_array_equal(x.numpy(), array)
    x[target] = x[source]
    array[target] = array[source].copy()
    np.testing.assert_array_equal(x.numpy(), array)


def test_a_transposed_operand_overlaps() -> None:
    x, array = tn.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3)
    x += x.T
    array += array.T
    np.testing.assert_array_equal(x.numpy(), array)


def test_overlap_with_memory_from_numpy() -> None:
    array = np.arange(8.0)
    expected = array.copy()
    first, second = tn.from_numpy(array[1:]), tn.from_numpy(array[:-1])
    first += second
    expected[1:] += expected[:-1].copy()
    np.testing.assert_array_equal(array, expected)


def test_functions_in_place() -> None:
    x = tn.tensor([-1.5, 0.25, 4.0])
    assert x.abs_() is x
    x.sqrt_().mul_(2).clip_(1.5, 3)
    np.testing.assert_allclose(x.numpy(), np.clip(np.sqrt([1.5, 0.25, 4]) * 2, 1.5, 3), rtol=1e-6)
    assert x.zero_().tolist() == [0, 0, 0]
    assert x.fill_(2).tolist() == [2, 2, 2]
    with pytest.raises(AttributeError):
        x.sum_()  # type: ignore[attr-defined]


@pytest.mark.opencl
@pytest.mark.parametrize("target, source", [(slice(1, None), slice(None, -1)), (slice(None), slice(None, None, -1))])
def test_overlapping_operands_in_place_on_opencl(target, source):
    expected = np.arange(1000, dtype=np.float32)
    there = tn.from_numpy(expected.copy()).to("opencl:0")
    expected[target] += expected[source].copy()
    view = there[target]
    view += there[source]
    np.testing.assert_array_equal(there.cpu().numpy(), expected)
