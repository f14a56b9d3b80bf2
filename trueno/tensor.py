"""The array itself: thin, without formulas. Functions and methods come from the op table (trueno/functions.py)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.autograd import Autograd, Handle, backward, no_grad
from trueno.runtime import device as devices
from trueno.runtime import launcher, memory
from trueno.runtime.layout import Layout, layout_of
from trueno.runtime.operation import Version, bump_version, caller, version_of

if TYPE_CHECKING:
    from trueno.declared import Methods
else:
    Methods = object


class Tensor(Methods):
    """An array of one dtype on one device; NumPy's semantics, PyTorch's autograd.

    Make one with `tensor`, `from_numpy`, `zeros` and the like.
    """

    __slots__ = ("__weakref__", "_autograd", "_layout", "_storage", "_version")

    _storage: Any
    _layout: Layout
    _autograd: Autograd
    _version: Version

    # NumPy leaves binary operations to this class.
    __array_priority__ = 1000

    def __init__(self, data: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> None:
        made = tensor(data, dtype=dtype, device=device)
        self._storage, self._layout = made._storage, made._layout
        if requires_grad:
            self.requires_grad_()

    def _alias(self) -> Tensor:
        """Return a tensor on the same memory, without history."""
        return wrap(self._storage, self._layout)

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype:
        """The `numpy.dtype` of the elements."""
        return self._layout.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent of each axis."""
        return self._layout.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return tuple(step * self._layout.dtype.itemsize for step in self._layout.strides)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._layout.shape)

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self._layout.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._layout.size

    def numel(self) -> int:
        """Return the number of elements."""
        return self._layout.size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._layout.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._layout.nbytes

    @property
    def device(self) -> devices.device:
        """Where the elements are."""
        return devices.device(self._layout.device)

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        return self._layout.contiguous

    def data_ptr(self) -> int:
        """Return the address of the first element of a tensor on the CPU."""
        self._need_cpu("data_ptr")
        return memory.pointer(self._storage)

    def _need_cpu(self, what: str) -> None:
        if self._layout.device != "cpu":
            raise TypeError(f"{what}: the tensor is on {self._layout.device}; move it with .cpu() first")

    # --- out to Python and NumPy --------------------------------------------------------------------------------------

    def _view_array(self) -> np.ndarray:
        layout = self._layout
        itemsize = layout.dtype.itemsize
        low = sum((n - 1) * s for n, s in zip(layout.shape, layout.strides, strict=True) if s < 0 and n > 0)
        high = sum((n - 1) * s for n, s in zip(layout.shape, layout.strides, strict=True) if s > 0 and n > 0)
        if layout.size == 0:
            return np.empty(layout.shape, layout.dtype)
        raw = (ctypes.c_char * ((high - low + 1) * itemsize)).from_address(
            memory.pointer(self._storage) + low * itemsize
        )
        raw._owner = self._storage  # type: ignore[attr-defined]
        buffer: Any = raw
        return np.ndarray(layout.shape, layout.dtype, buffer, -low * itemsize, self.strides)

    def numpy(self) -> np.ndarray:
        """Return the elements as a NumPy array that shares the memory.

        Raises
        ------
        TypeError
            For a tensor on another device.
        RuntimeError
            For a tensor that requires a gradient; use ``detach().numpy()``.
        """
        if hasattr(self, "_autograd"):
            raise RuntimeError("numpy: the tensor requires a gradient; use .detach().numpy()")
        self._need_cpu("numpy")
        return self._view_array()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.detach().cpu()._view_array()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __buffer__(self, flags: int) -> memoryview:
        self._need_cpu("buffer")
        array: Any = self._view_array()
        return memoryview(array)

    def item(self) -> Any:
        """Return the value of a tensor of one element as a Python number."""
        if self.size != 1:
            raise ValueError(f"item: can only convert a tensor of one element, not of shape {self.shape}")
        return self.detach().cpu()._view_array().item()

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self.detach().cpu()._view_array().tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth value of a tensor of shape {self.shape} is ambiguous; use any() or all()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.size != 1 or dt.is_floating(self.dtype) or self.dtype == dt.bool_:
            raise TypeError(
                f"only an integer tensor of one element can be an index, not shape {self.shape}, {self.dtype}"
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[k] for k in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from trueno.printing import text

        return text(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 and spec else repr(self)

    def __deepcopy__(self, memo: dict) -> Tensor:
        copied = self.detach().clone()
        if hasattr(self, "_autograd") and self._autograd.node is None:
            copied.requires_grad_()
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple:
        return _rebuild, (np.array(self.detach().cpu()._view_array()), self.requires_grad)

    # --- devices and dtypes -------------------------------------------------------------------------------------------

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Tensor:
        """Return the tensor on another device, in another dtype, or both.

        Parameters
        ----------
        *args
            A device, a dtype, or a tensor whose device and dtype are taken.
        dtype, device : optional
        """
        for one in args:
            if isinstance(one, Tensor):
                dtype, device = one.dtype, one.device
            elif isinstance(one, devices.device) or (
                isinstance(one, str) and (one == "cpu" or one.startswith("opencl"))
            ):
                device = one
            else:
                dtype = one
        result = self if dtype is None else self.astype(dtype, copy=False)
        target = result._layout.device if device is None else devices.check_device(str(device))
        return result if target == result._layout.device else _transfer(result, target)

    def cpu(self) -> Tensor:
        """Return the tensor on the CPU."""
        return self if self._layout.device == "cpu" else self.to("cpu")

    def astype(self, dtype: Any, copy: bool = True) -> Tensor:
        """Return the elements in another dtype (a copy, unless nothing changes and `copy` is False)."""
        wanted = dt.as_dtype(dtype)
        if wanted == self.dtype:
            return self.clone() if copy else self
        from trueno.functions import cast

        return cast(self, dtype=wanted)

    def float(self) -> Tensor:
        """Return the elements as float32."""
        return self.astype(dt.float32, copy=False)

    def double(self) -> Tensor:
        """Return the elements as float64."""
        return self.astype(dt.float64, copy=False)

    def half(self) -> Tensor:
        """Return the elements as float16."""
        return self.astype(dt.float16, copy=False)

    def bfloat16(self) -> Tensor:
        """Return the elements as bfloat16."""
        return self.astype(dt.bfloat16, copy=False)

    def long(self) -> Tensor:
        """Return the elements as int64."""
        return self.astype(dt.int64, copy=False)

    def int(self) -> Tensor:
        """Return the elements as int32."""
        return self.astype(dt.int32, copy=False)

    def bool(self) -> Tensor:
        """Return whether each element differs from zero."""
        return self.astype(dt.bool_, copy=False)

    # --- autograd -----------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> Any:
        """Whether operations on the tensor are recorded."""
        return hasattr(self, "_autograd")

    @requires_grad.setter
    def requires_grad(self, value: Any) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: Any = True) -> Tensor:
        """Set whether operations on this tensor are recorded, and return it.

        Raises
        ------
        RuntimeError
            For dtypes without gradients, and for results of recorded operations.
        """
        if requires_grad:
            if not dt.is_floating(self.dtype):
                raise RuntimeError(f"only floating-point tensors can require a gradient, not {self.dtype}")
            if not hasattr(self, "_autograd"):
                self._autograd = Autograd()
        elif hasattr(self, "_autograd"):
            if self._autograd.node is not None:
                raise RuntimeError("requires_grad can be changed only on leaf tensors; use detach()")
            del self._autograd
        return self

    @property
    def is_leaf(self) -> Any:
        """Whether the tensor is not the result of a recorded operation."""
        owner = getattr(self, "_autograd", None)
        return owner is None or owner.node is None

    @property
    def grad_fn(self) -> Any:
        """The recorded operation that made the tensor, or None."""
        owner = getattr(self, "_autograd", None)
        return None if owner is None else owner.node

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None."""
        owner = getattr(self, "_autograd", None)
        return None if owner is None else owner.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        owner = getattr(self, "_autograd", None)
        if owner is None:
            if value is None:
                return
            raise RuntimeError("grad: the tensor does not require a gradient")
        if value is not None and value.shape != self.shape:
            raise ValueError(f"grad: a gradient of shape {value.shape} for a tensor of shape {self.shape}")
        owner.grad = value

    def backward(self, gradient: Any = None, retain_graph: Any = False, create_graph: Any = False) -> None:
        """Accumulate gradients of this tensor into the leaves it depends on; see `trueno.backward`."""
        backward(self, gradient, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """Return a tensor on the same memory that is not recorded."""
        result = self._alias()
        result._version = version_of(self)
        return result

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is not a leaf."""
        self._need_history("retain_grad").retains = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call ``hook(gradient)`` when the tensor's gradient is known; what it returns replaces the gradient."""
        owner = self._need_history("register_hook")
        if owner.hooks is None:
            owner.hooks = {}
        key = max(owner.hooks, default=-1) + 1
        owner.hooks[key] = hook
        return Handle(owner.hooks, key)

    def _need_history(self, what: str) -> Autograd:
        owner = getattr(self, "_autograd", None)
        if owner is None:
            raise RuntimeError(f"{what}: the tensor does not require a gradient")
        return owner

    # --- memory -------------------------------------------------------------------------------------------------------

    def zero_(self) -> Tensor:
        """Set all elements to zero."""
        return self.fill_(0)

    def fill_(self, value: Any) -> Tensor:
        """Set all elements to a value."""
        self[...] = value
        return self

    def __dlpack_device__(self) -> tuple:
        return (1, 0) if self._layout.device == "cpu" else (4, self.device.name.partition(":")[2])


def wrap(storage: Any, layout: Layout) -> Tensor:
    """Return a tensor of this storage and layout."""
    result = Tensor.__new__(Tensor)
    result._storage, result._layout = storage, layout
    return result


launcher.bind(Tensor)


def _rebuild(array: np.ndarray, requires_grad: bool) -> Tensor:
    result = from_numpy(array)
    return result.requires_grad_() if requires_grad else result


def view_of(base: Tensor, shape: Sequence[int], strides: Sequence[int], offset: int) -> Tensor:
    """Return a tensor on the memory of another; `strides` and `offset` are in elements."""
    storage = base._storage
    if offset:
        nbytes = offset * base._layout.dtype.itemsize
        storage = memory.view(storage, nbytes) if base._layout.device == "cpu" else storage.view(nbytes)
    result = wrap(storage, layout_of(base._layout.dtype, tuple(shape), tuple(strides), base._layout.device))
    result._version = version_of(base)
    return result


def _download(source: Tensor) -> np.ndarray:
    dense = source.contiguous()
    array = np.empty(dense.shape, dense.dtype)
    devices.download(dense._storage, array)
    return array


def _move(source: Tensor, target: str) -> Tensor:
    array = source._view_array() if source._layout.device == "cpu" else _download(source)
    if target == "cpu":
        return from_numpy(array)
    return wrap(devices.upload(np.ascontiguousarray(array), target), layout_of(array.dtype, array.shape, None, target))


def _transfer(source: Tensor, target: str) -> Tensor:
    """Move between devices; the gradient moves back."""
    from trueno.autograd_transfer import transfer

    if hasattr(source, "_autograd") and launcher.grad_enabled():
        return transfer(source, target, _move)
    with no_grad():
        return _move(source.detach(), target)


# --- creation ---------------------------------------------------------------------------------------------------------


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor on the CPU that shares a NumPy array's memory.

    Raises
    ------
    TypeError
        For something that is not an array, and for dtypes that are not supported.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    dtype = dt.as_dtype(array.dtype)
    itemsize = dtype.itemsize
    aligned = array.flags.aligned and array.dtype.isnative and all(step % itemsize == 0 for step in array.strides)
    if not aligned or not array.flags.writeable:
        # A read-only array must not become writable through its tensor.
        array = np.array(array, dtype=dtype)
    strides = tuple(step // itemsize for step in array.strides)
    return wrap(memory.wrap(array.__array_interface__["data"][0] if itemsize != 2 else array.ctypes.data, array),
                layout_of(dtype, array.shape, strides))  # fmt: skip


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a new tensor with a copy of the data.

    Parameters
    ----------
    data : array_like or Tensor
        Numbers, nested lists, NumPy arrays. Python floats become float32, as in PyTorch; arrays keep their dtype.
    dtype : optional
    device : optional
    requires_grad : bool
    """
    if isinstance(data, Tensor):
        result = data.detach().clone()
        result = result if dtype is None else result.astype(dtype, copy=False)
    else:
        typed = hasattr(data, "dtype") or hasattr(data, "__array_interface__")
        array = np.array(data)
        if array.dtype == object:
            array = np.array([np.asarray(one) for one in data])
        if dtype is None and not typed and array.dtype == np.float64 and not _holds_arrays(data):
            dtype = dt.float32
        result = from_numpy(array.astype(dt.as_dtype(array.dtype if dtype is None else dtype), copy=False))
    place = devices.current_device() if device is None else str(device)
    result = result.to(place)
    return result.requires_grad_() if requires_grad else result


def _holds_arrays(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return hasattr(data, "dtype")


def asarray(data: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return the data as a tensor, without a copy where none is needed."""
    if isinstance(data, Tensor):
        result = data if dtype is None else data.astype(dtype, copy=False)
        result = result if device is None else result.to(device=device)
        return result.clone() if copy and result is data else result
    if isinstance(data, np.ndarray) and not copy:
        result = from_numpy(data if dtype is None else data.astype(dt.as_dtype(dtype), copy=False))
        return result if device is None else result.to(device=device)
    return tensor(data, dtype=dtype, device=device)


def _shape_of(shape: tuple) -> tuple[int, ...]:
    items = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    result = tuple(one.__index__() for one in items)
    if any(one < 0 for one in result):
        raise ValueError(f"negative dimensions are not allowed: {result}")
    return result


def _finish(result: Tensor, requires_grad: bool) -> Tensor:
    return result.requires_grad_() if requires_grad else result


def empty(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of a shape whose elements are not set."""
    wanted = dt.float32 if dtype is None else dt.as_dtype(dtype)
    place = devices.current_device() if device is None else devices.check_device(str(device))
    layout = layout_of(wanted, _shape_of(shape), None, place)
    nbytes = max(layout.nbytes, 1)
    storage = memory.allocate(nbytes) if place == "cpu" else devices.opencl_device(place).allocate(nbytes)
    return _finish(wrap(storage, layout), requires_grad)


def full(shape: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of a shape filled with a value."""
    if dtype is None:
        given = fill_value.dtype if hasattr(fill_value, "dtype") else type(fill_value)
        dtype = {bool: dt.bool_, int: dt.int64, float: dt.float32}.get(given, given)
    result = empty(shape if isinstance(shape, (tuple, list)) else (shape,), dtype=dtype, device=device)
    result[...] = fill_value
    return _finish(result, requires_grad)


def zeros(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros."""
    return full(_shape_of(shape), 0, dt.float32 if dtype is None else dtype, device, requires_grad)


def ones(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones."""
    return full(_shape_of(shape), 1, dt.float32 if dtype is None else dtype, device, requires_grad)


def _like(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def like(other: Tensor, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        other = asarray(other)
        wanted = other.dtype if dtype is None else dtype
        return make(
            other.shape,
            *args,
            dtype=wanted,
            device=other.device if device is None else device,
            requires_grad=requires_grad,
        )

    name = make.__name__
    like.__name__ = f"{name}_like"
    like.__doc__ = f"Return what `{name}` gives for another tensor's shape, dtype and device."
    return like


empty_like, zeros_like, ones_like, full_like = (_like(one) for one in (empty, zeros, ones, full))


def arange(
    start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return evenly spaced values in [start, stop), as `numpy.arange`; floats are float32 unless `dtype` is given."""
    array = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    wanted = dt.float32 if dtype is None and array.dtype.kind == "f" else array.dtype if dtype is None else dtype
    return _finish(
        from_numpy(array.astype(dt.as_dtype(wanted))).to(devices.current_device() if device is None else str(device)),
        requires_grad,
    )


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `num` evenly spaced values from start to stop, as `numpy.linspace`; float32 unless `dtype` is given."""
    array = np.linspace(start, stop, num, endpoint)
    wanted = dt.float32 if dtype is None else dt.as_dtype(dtype)
    return _finish(
        from_numpy(array.astype(wanted)).to(devices.current_device() if device is None else str(device)), requires_grad
    )


def eye(
    rows: int,
    columns: int | None = None,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a matrix with ones on the k-th diagonal and zeros elsewhere."""
    array = np.eye(rows, columns, k, dtype=dt.float32 if dtype is None else dt.as_dtype(dtype))
    return _finish(from_numpy(array).to(devices.current_device() if device is None else str(device)), requires_grad)


__all__ = [
    "Tensor",
    "arange",
    "asarray",
    "bump_version",
    "caller",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]  # fmt: skip
