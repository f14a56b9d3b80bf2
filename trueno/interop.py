"""Exchange with other libraries: NumPy's protocols, the buffer protocol, DLPack, the array API standard's namespace.

Whatever shares memory shares it: a pointer is the same on both sides, and what is read-only stays so.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from trueno import dtypes as dt
from trueno.runtime import buffer_slot, launcher

if TYPE_CHECKING:
    from trueno.tensor import Tensor

#: DLPack's numbers of devices (dlpack.h): memory of the host, and of OpenCL devices.
CPU, OPENCL = 1, 4
#: Versions of the array API standard that `trueno.np` follows.
STANDARD_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")


class Interchange:
    """The special methods by which other libraries take a Tensor's elements, or leave their functions to it."""

    __slots__ = ()

    # --- elements out -------------------------------------------------------------------------------------------------

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the elements as an ndarray: shared memory where dtype, device and `copy` allow it.

        Raises
        ------
        ValueError
            If `copy` is False and a copy is needed.
        """
        moved = self._layout.device != "cpu"
        converted = dtype is not None and self._layout.dtype != dtype
        if copy is False and (moved or converted):
            why = f"the tensor is on {self._layout.device}" if moved else f"its dtype is {self._layout.dtype}"
            raise ValueError(f"__array__: unable to avoid a copy for dtype={dtype}: {why}")
        array = self.detach().cpu()._view_array()
        if converted:
            return array.astype(dtype)
        return array.copy() if copy and not moved else array

    def __buffer__(self: Any, flags: int) -> memoryview:
        """Return the elements' memory; Python calls it from 3.12 on.

        Raises
        ------
        BufferError
            For a tensor on another device, and for bfloat16, which buffers have no letter for.
        """
        array: Any = exported(self)
        return memoryview(array)

    @property
    def __array_interface__(self: Any) -> dict[str, Any]:
        """NumPy's array interface, version 3: address, shape, strides in bytes, type, and whether it is read-only."""
        layout = self._layout
        if layout.device != "cpu":
            raise AttributeError(f"__array_interface__: the tensor is on {layout.device}; move it with .cpu()")
        if layout.dtype == dt.bfloat16:
            raise AttributeError("__array_interface__: it has no letter for bfloat16")
        return {
            "version": 3, "shape": layout.shape, "typestr": layout.dtype.str, "strides": self.strides,
            "data": (self.data_ptr(), layout.readonly),
        }  # fmt: skip

    def __dlpack_device__(self: Any) -> tuple[int, int]:
        """Return DLPack's type and number of the device."""
        device = self._layout.device
        return (CPU, 0) if device == "cpu" else (OPENCL, int(device.partition(":")[2]))

    def __dlpack__(
        self: Any, *, stream: Any = None, max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None, copy: bool | None = None,
    ) -> Any:  # fmt: skip
        """Return a capsule of DLPack on the elements.

        Parameters
        ----------
        stream : None
            Nothing waits for the CPU.
        max_version : tuple of int, optional
            The newest version that the consumer reads. Only from (1, 0) on can memory be marked as read-only.
        dl_device : tuple of int, optional
            Where the consumer wants the elements; only (1, 0), the host's memory, can be had.
        copy : bool, optional
            True: always copy; False: never.

        Raises
        ------
        BufferError
            If the tensor requires a gradient, is on a device whose memory is not shared, or is read-only and the
            consumer could not be told.
        ValueError
            If `copy` is False and a copy is needed.
        """
        if self.requires_grad:
            raise BufferError("__dlpack__: the tensor requires a gradient, which is not handed on; use .detach()")
        elsewhere = self._layout.device != "cpu"
        if elsewhere and (dl_device is None or tuple(dl_device) != (CPU, 0)):
            raise BufferError(
                f"__dlpack__: the memory of {self._layout.device} is not shared; ask for dl_device=(1, 0) or move the "
                "tensor with .cpu()"
            )
        if elsewhere and copy is False:
            raise ValueError(
                f"__dlpack__: a tensor on {self._layout.device} cannot be handed to the CPU without a copy"
            )
        array = self.cpu()._view_array() if not elsewhere else np.array(self.cpu()._view_array())
        bfloat16 = array.dtype == dt.bfloat16
        capsule = (array.view(np.uint16) if bfloat16 else array).__dlpack__(
            stream=stream, max_version=max_version, dl_device=dl_device, copy=None if elsewhere else copy
        )
        if bfloat16:
            _element_type(capsule).code = _BFLOAT
        return capsule

    def to_device(self: Any, device: Any, /, *, stream: Any = None) -> Tensor:
        """Return the tensor on a device: itself if it is there.

        Raises
        ------
        ValueError
            For an unknown device, and for a stream: there are none.
        """
        if stream is not None:
            raise ValueError(f"to_device: stream must be None, not {stream!r}")
        return self.to(device=device)

    # --- functions in -------------------------------------------------------------------------------------------------

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        """Return the namespace of the array API standard, `trueno.np`.

        Raises
        ------
        ValueError
            For a version of the standard that it does not follow.
        """
        if api_version is not None and api_version not in STANDARD_VERSIONS:
            raise ValueError(
                f"__array_namespace__: version {api_version!r} of the standard is none of {STANDARD_VERSIONS}"
            )
        return importlib.import_module("trueno.np")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compute a ufunc of NumPy's: by trueno.np's of the same name; any other by NumPy itself, on the memory.

        Results are Tensors, except for what the caller gave as ``out``.
        """
        known = (*inputs, *kwargs.get("out", ()))
        if not all(isinstance(one, (Interchange, np.ndarray, np.generic, int, float, complex, list, tuple, type(None)))
                   for one in known):  # fmt: skip
            return NotImplemented
        ours = _ufuncs().get(ufunc)
        if ours is None:
            return _ufunc_on_host(ufunc, method, inputs, kwargs)
        if not kwargs:
            return getattr(ours, method)(*inputs)
        if not all(map(_may_share, kwargs.get("out", ()))):
            return _ufunc_on_host(ufunc, method, inputs, kwargs)
        given = kwargs.pop("out", None)
        if given is not None:
            # Tensors on the memory of arrays; reductions take one array, not a tuple.
            targets = tuple(_adopted(one) if isinstance(one, np.ndarray) else one for one in given)
            kwargs["out"] = targets if method == "__call__" else targets[0]
        made = getattr(ours, method)(*inputs, **kwargs)
        if given is None:
            return made
        many = made if isinstance(made, tuple) else (made,)
        kept = tuple(one if target is None else target for one, target in zip(many, given, strict=True))
        return kept if isinstance(made, tuple) else kept[0]

    def __array_function__(self, func: Callable, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call the function of `trueno.np` that has the name of one of NumPy's.

        Where there is none, or it lacks an argument that is given, NumPy's own is called on the memory; what it returns
        is returned as it is.
        """
        ours = _same_name(func)
        if ours is not None:
            function, signature = ours
            if signature is None or _fits(signature, args, kwargs):
                return function(*args, **kwargs)
        return func(*_on_host(args), **{name: _on_host(value) for name, value in kwargs.items()})


def exported(tensor: Any) -> np.ndarray:
    """Return the ndarray whose buffer is a tensor's.

    Raises
    ------
    BufferError
        For a tensor on another device, and for bfloat16, which buffers have no letter for.
    """
    if tensor._layout.device != "cpu":
        raise BufferError(f"buffer: the tensor is on {tensor._layout.device}; move it with .cpu()")
    if tensor._layout.dtype == dt.bfloat16:
        raise BufferError(f"buffer: there is no letter for bfloat16 (shape {tensor.shape}); view it as uint16")
    return tensor.detach()._view_array()


# --- functions of NumPy's ---------------------------------------------------------------------------------------------


@functools.cache
def _ufuncs() -> dict[np.ufunc, Any]:
    """Return trueno.np's ufuncs by NumPy's."""
    return importlib.import_module("trueno.np.ufuncs").UFUNCS


def _ufunc_on_host(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Let NumPy compute on the tensors' memory; results become tensors, targets are what was given."""
    from trueno.runtime.inplace import bump_version, check_unrecorded
    from trueno.runtime.operation import calling

    for one in inputs:
        if isinstance(one, Interchange) and getattr(one, "requires_grad", False) and launcher.grad_enabled():
            raise RuntimeError(
                f"{ufunc.__name__}: NumPy computes this form of the function (method {method!r}, arguments "
                f"{sorted(kwargs)}), and the tensor requires a gradient; use .detach()"
            )
    targets = kwargs.get("out", ())
    for one in (*targets, *(inputs[:1] if method == "at" else ())):
        if isinstance(one, Interchange):
            target: Any = one
            if target._layout.device != "cpu":
                raise TypeError(f"{ufunc.__name__}: the target is on {target._layout.device}; move it with .cpu()")
            check_unrecorded(target, (), ufunc.__name__)
            bump_version(target, calling())
    result = getattr(ufunc, method)(*_on_host(tuple(inputs)), **{key: _on_host(one) for key, one in kwargs.items()})
    if result is None:
        return None
    many = result if isinstance(result, tuple) else (result,)
    made = [given if given is not None else _adopted(one) for one, given in _paired(many, targets)]
    return tuple(made) if isinstance(result, tuple) else made[0]


def _paired(results: Sequence[Any], targets: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(one, targets[k] if k < len(targets) else None) for k, one in enumerate(results)]


def _adopted(array: Any) -> Any:
    """Return an array of NumPy's as a tensor on its memory, or as it is where its dtype is none of Trueno's."""
    from trueno.creation import from_numpy

    array = np.asarray(array)
    return from_numpy(array) if array.dtype in dt.STORED else array


def _may_share(target: Any) -> bool:
    """Whether a target can be written to as a tensor: not an ndarray of misaligned elements, or of a foreign dtype."""
    if not isinstance(target, np.ndarray):
        return True
    if target.dtype not in dt.STORED or not target.flags.writeable:
        return False
    return not target.size or _adopted(target).data_ptr() == target.ctypes.data


def _on_host(value: Any) -> Any:
    """Return nested arguments with tensors replaced by ndarrays."""
    if isinstance(value, Interchange):
        return value.__array__()
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_on_host(one) for one in value)
    if type(value) is dict:
        return {key: _on_host(one) for key, one in value.items()}
    return value


@functools.cache
def _same_name(func: Callable) -> tuple[Callable, inspect.Signature | None] | None:
    """Return the function of trueno.np, trueno.np.linalg or the like that has a NumPy function's name."""
    home, _, part = func.__module__.partition(".")
    space: Any = importlib.import_module("trueno.np") if home == "numpy" else None
    for name in (*part.split("."), func.__name__) if part else (func.__name__,):
        space = getattr(space, name, None)
    if not callable(space):
        return None
    try:
        return space, inspect.signature(space)
    except (TypeError, ValueError):
        return space, None


def _fits(signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


# --- DLPack -----------------------------------------------------------------------------------------------------------

_UNSIGNED, _BFLOAT = 1, 4


class _ElementType(ctypes.Structure):
    """DLDataType: what an element is, its bits, and how many make one."""

    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


_capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _element_type(capsule: Any) -> _ElementType:
    """Return the DLDataType in a capsule's DLTensor, which versioned ones have other fields before."""
    name = _capsule_name(capsule)
    tensor = _capsule_pointer(capsule, name) + (32 if name == b"dltensor_versioned" else 0)
    return _ElementType.from_address(tensor + 20)


class _Relabelled:
    """A producer whose bfloat16 elements are called uint16, which NumPy reads."""

    def __init__(self, producer: Any) -> None:
        self.producer, self.bfloat16 = producer, False

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.producer.__dlpack_device__()

    def __dlpack__(self, **wishes: Any) -> Any:
        try:
            capsule = self.producer.__dlpack__(**wishes)
        except TypeError:
            # A producer from before version 1.0 of DLPack knows the stream only.
            capsule = self.producer.__dlpack__(stream=wishes.get("stream"))
        kind = _element_type(capsule)
        if (kind.code, kind.bits) == (_BFLOAT, 16):
            kind.code, self.bfloat16 = _UNSIGNED, True
        return capsule


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on the memory of another library's array.

    Parameters
    ----------
    x : object
        With ``__dlpack__`` and ``__dlpack_device__``, in the host's memory or able to copy there.
    device : optional
        Where the tensor is wanted; a copy is made for a device other than the CPU.
    copy : bool, optional
        True: always copy; False: never; None: where needed.

    Returns
    -------
    Tensor
        Read-only where the array is.

    Raises
    ------
    TypeError
        For an object without the protocol.
    BufferError
        If the producer cannot share its memory, or its dtype is not supported.
    ValueError
        If `copy` is False and a copy is needed.
    """
    from trueno.creation import from_numpy
    from trueno.runtime.device import check_device

    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: {type(x).__name__!r} has no __dlpack__ and __dlpack_device__")
    target = "cpu" if device is None else check_device(str(device))
    if copy is False and target != "cpu":
        raise ValueError(f"from_dlpack: memory of the CPU cannot be on {target} without a copy")
    producer = _Relabelled(x)
    wishes: dict[str, Any] = {} if device is None and copy is None else {"device": "cpu", "copy": copy}
    array = np.from_dlpack(producer, **wishes)
    if producer.bfloat16:
        array = array.view(ml_dtypes.bfloat16)
    if array.dtype not in dt.STORED:
        raise BufferError(
            f"from_dlpack: dtype {array.dtype} is not supported; supported are {', '.join(map(str, dt.STORED))}"
        )
    result = from_numpy(array)
    if copy is False and result.size and result.data_ptr() != array.ctypes.data:
        raise ValueError("from_dlpack: the memory is read-only or misaligned and cannot be shared without a copy")
    return result.to(target)


def install(cls: type) -> None:
    """Give the class of tensors the buffer protocol where Python does not."""
    buffer_slot.fill(cls, exported)
