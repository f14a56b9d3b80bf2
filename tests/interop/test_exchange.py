"""Elements that are shared with other libraries: buffers, NumPy's array interface, DLPack."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno.runtime import buffer_slot
from trueno.runtime.layout import layout_of
from trueno.tensor import wrap


def base() -> tn.Tensor:
    return tn.arange(24, dtype=tn.float32).reshape(2, 3, 4)


LAYOUTS = {
    "dense": lambda x: x, "transposed": lambda x: x.permute(2, 0, 1), "backwards": lambda x: x[:, ::-1],
    "strided": lambda x: x[1, :, ::2], "scalar": lambda x: x[1, 2, 3], "empty": lambda x: x[:, :0],
}  # fmt: skip


def elsewhere() -> tn.Tensor:
    return wrap(object(), layout_of(np.dtype("f4"), (2, 2), None, "opencl:3"))


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# --- buffers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_buffer_shares_the_memory(layout: str) -> None:
    x = LAYOUTS[layout](base())
    view: Any = memoryview(x)  # type: ignore[arg-type]
    assert (view.format, view.shape, view.itemsize, view.readonly) == ("f", x.shape, 4, False)
    if x.size:
        assert view.strides == x.strides
    assert view.tolist() == x.tolist()
    if x.size:
        np.asarray(view)[...] = 7.0
        assert (x == 7).all().item()


@pytest.mark.parametrize("dtype", [one for one in dt.ALL if one != dt.bfloat16], ids=str)
def test_buffers_of_all_dtypes(dtype: np.dtype) -> None:
    x = tn.ones(3, dtype=dtype)
    assert np.asarray(memoryview(x)).dtype == dtype  # type: ignore[arg-type]
    assert np.frombuffer(x, dtype).tolist() == x.tolist()  # type: ignore[call-overload]


def test_a_buffer_keeps_the_memory_alive() -> None:
    x = base()
    view = memoryview(x)[::-1]  # type: ignore[arg-type]
    del x
    gc.collect()
    assert view.tolist() == base()[::-1].tolist()


def test_a_buffer_that_cannot_be_had() -> None:
    with pytest.raises(BufferError, match=r"on opencl:3; move it with .cpu\(\)"):
        memoryview(elsewhere())  # type: ignore[arg-type]
    with pytest.raises(BufferError, match="no letter for bfloat16"):
        memoryview(tn.ones(2, dtype="bfloat16"))  # type: ignore[arg-type]


def test_subclasses_have_buffers() -> None:
    from trueno.nn import Parameter

    assert memoryview(Parameter(tn.ones(2))).tolist() == [1.0, 1.0]  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Python has the protocol for classes from 3.12 on")
def test_the_slot_of_a_class_of_ones_own() -> None:
    class Bytes:
        pass

    def refuse(instance: Any) -> Any:
        raise BufferError("not this one")

    before = ctypes.c_int64.from_address(buffer_slot._linked()[1]).value
    assert before == 0
    assert buffer_slot.fill(Bytes, lambda instance: b"abc")
    assert bytes(memoryview(Bytes())) == b"abc"  # type: ignore[arg-type]
    assert buffer_slot.fill(Bytes, refuse) is False, "a slot that is taken stays as it is"

    class Refusing:
        pass

    assert buffer_slot.fill(Refusing, refuse)
    with pytest.raises(BufferError, match="not this one"):
        memoryview(Refusing())  # type: ignore[arg-type]
    assert bytes(memoryview(Bytes())) == b"abc", "each class has its own exporter"  # type: ignore[arg-type]


# --- ndarrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_array_interface(layout: str) -> None:
    x = LAYOUTS[layout](base())
    interface = x.__array_interface__
    want = x.numpy().__array_interface__
    assert interface["version"] == 3
    assert interface["shape"] == want["shape"]
    assert interface["typestr"] == want["typestr"]
    if x.size:
        assert interface["data"] == want["data"]
        assert interface["strides"] == x.numpy().strides

    class Plain:
        __array_interface__ = interface

    assert np.asarray(Plain()).tolist() == x.tolist()
    assert not hasattr(elsewhere(), "__array_interface__")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_share_the_memory(layout: str) -> None:
    x = LAYOUTS[layout](base())
    array = np.asarray(x)
    assert (array.dtype, array.shape, array.tolist()) == (x.dtype, x.shape, x.tolist())
    if x.size:
        assert address(array) == x.data_ptr()
        assert address(np.array(x)) != x.data_ptr()
        assert address(np.array(x, copy=False)) == x.data_ptr()
        assert address(x.__array__(copy=True)) != x.data_ptr()


def test_a_copy_that_was_forbidden() -> None:
    with pytest.raises(ValueError, match="unable to avoid a copy"):
        base().__array__(np.float64, copy=False)
    with pytest.raises(ValueError, match=r"[Uu]nable to avoid"):
        np.array(base(), dtype=np.int32, copy=False)
    assert base().__array__(np.float64).dtype == np.float64


def test_arrays_of_bfloat16_and_of_tensors_with_history() -> None:
    x = tn.tensor([1.0, 2.0], dtype="bfloat16")
    assert np.asarray(x).dtype == ml_dtypes.bfloat16
    assert address(np.asarray(x)) == x.data_ptr()
    y = tn.ones(2).requires_grad_()
    assert address(np.asarray(y)) == y.data_ptr()
    assert not hasattr(x, "__array_interface__")


# --- DLPack -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pytorch_shares_the_memory(layout: str) -> None:
    torch = pytest.importorskip("torch")
    x = LAYOUTS[layout](base())
    if layout == "backwards":
        x = x[:, ::-1]  # PyTorch has no negative strides.
    theirs = torch.from_dlpack(x)
    assert tuple(theirs.shape) == x.shape
    assert theirs.tolist() == x.tolist()
    back = tn.from_dlpack(theirs)
    assert back.tolist() == x.tolist()
    if x.size:
        assert theirs.data_ptr() == x.data_ptr() == back.data_ptr()
        theirs += 1
        assert back.tolist() == x.tolist() == theirs.tolist()


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_all_dtypes_go_both_ways(dtype: np.dtype) -> None:
    torch = pytest.importorskip("torch")
    x = tn.tensor([0, 1, 1], dtype=dtype)
    theirs = torch.from_dlpack(x)
    assert str(theirs.dtype).removeprefix("torch.") == str(dtype)
    assert theirs.tolist() == x.tolist()
    back = tn.from_dlpack(theirs)
    assert back.dtype == dtype
    assert back.data_ptr() == x.data_ptr()
    assert tn.from_dlpack(x).dtype == dtype


def test_numpy_reads_and_is_read() -> None:
    x = base()
    array = np.from_dlpack(x)
    assert address(array) == x.data_ptr()
    assert tn.from_dlpack(array).data_ptr() == x.data_ptr()


def test_shared_memory_lives_as_long_as_either_side() -> None:
    x = base()
    taken = tn.from_dlpack(x)
    del x
    gc.collect()
    assert taken.tolist() == base().tolist()
    capsule = base().__dlpack__()
    del capsule
    gc.collect()


def test_read_only_memory_stays_read_only() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    taken = tn.from_dlpack(array)
    assert taken.tolist() == [0, 1, 2]
    if taken.data_ptr() == address(array):
        assert not taken.numpy().flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            taken[0] = 5.0
        with pytest.raises(BufferError):
            taken.__dlpack__()
        assert not np.from_dlpack(taken).flags.writeable
    else:
        with pytest.raises(ValueError, match="read-only"):
            tn.from_dlpack(array, copy=False)
    assert array[0] == 0


def test_copies() -> None:
    x = base()
    assert tn.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    assert tn.from_dlpack(x, copy=False).data_ptr() == x.data_ptr()
    assert tn.from_dlpack(x, device="cpu").data_ptr() == x.data_ptr()
    assert tn.from_dlpack(x.__class__(x), copy=None).tolist() == x.tolist()
    assert address(np.from_dlpack(x, copy=True)) != x.data_ptr()
    with pytest.raises(ValueError, match="without a copy"):
        tn.from_dlpack(x, device="opencl:0", copy=False) if "opencl:0" in tn.devices() else _no_copy()


def _no_copy() -> None:
    raise ValueError("without a copy")


def test_versions_of_the_capsule() -> None:
    assert '"dltensor"' in repr(base().__dlpack__())
    assert '"dltensor_versioned"' in repr(base().__dlpack__(max_version=(1, 0)))
    assert '"dltensor_versioned"' in repr(tn.ones(1, dtype="bfloat16").__dlpack__(max_version=(1, 1)))


def test_streams_and_devices() -> None:
    assert base().__dlpack_device__() == (1, 0)
    assert elsewhere().__dlpack_device__() == (4, 3)
    with pytest.raises(RuntimeError, match="stream"):
        base().__dlpack__(stream=1)
    with pytest.raises((BufferError, ValueError)):
        base().__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="is not shared"):
        elsewhere().__dlpack__()
    with pytest.raises(ValueError, match="without a copy"):
        elsewhere().__dlpack__(dl_device=(1, 0), copy=False)


def test_gradients_are_not_handed_on() -> None:
    x = tn.ones(2).requires_grad_()
    with pytest.raises(BufferError, match=r"use .detach\(\)"):
        x.__dlpack__()
    assert np.from_dlpack(x.detach()).tolist() == [1, 1]


def test_what_cannot_be_taken() -> None:
    with pytest.raises(TypeError, match="__dlpack__"):
        tn.from_dlpack([1, 2])
    assert tn.from_dlpack(Old(base())).tolist() == base().tolist()


class Old:
    """A producer from before version 1.0 of DLPack."""

    def __init__(self, tensor: tn.Tensor) -> None:
        self.tensor = tensor

    def __dlpack_device__(self) -> tuple:
        return (1, 0)

    def __dlpack__(self, stream: Any = None) -> Any:
        return self.tensor.__dlpack__()


@pytest.mark.opencl
def test_tensors_on_other_devices_are_copied() -> None:
    x = base().to("opencl:0")
    with pytest.raises(BufferError, match="is not shared"):
        np.from_dlpack(x)
    assert np.from_dlpack(x, device="cpu").tolist() == x.tolist()
    assert tn.from_dlpack(base(), device="opencl:0").device == "opencl:0"
    assert np.asarray(x).tolist() == base().tolist()
    with pytest.raises(ValueError, match="unable to avoid a copy"):
        np.array(x, copy=False)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_come_by_dlpack(dtype: str) -> None:
    array = np.array([1 + 2j, 3], dtype)
    x = tn.from_dlpack(array)
    x[0] = 5j
    assert array.tolist() == [5j, 3]
    assert pytest.importorskip("torch").from_dlpack(x).tolist() == [5j, 3]
