"""The array itself: thin, without formulas. Functions and methods come from the op table (trueno/functions.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno import interop
from trueno.attributes import Attributes
from trueno.autograd import Autograd, Handle, backward, no_grad
from trueno.interop import Interchange
from trueno.runtime import device as devices
from trueno.runtime import launcher, memory
from trueno.runtime.inplace import Version, current, part_history, version_of
from trueno.runtime.layout import Layout, layout_of

if TYPE_CHECKING:
    from trueno.declared import Methods
else:
    Methods = object


class Tensor(Attributes, Interchange, Methods):
    """An array of one dtype on one device; NumPy's semantics, PyTorch's autograd.

    Make one with `tensor`, `from_numpy`, `zeros` and the like.
    """

    __slots__ = ("__weakref__", "_autograd", "_layout", "_storage", "_version")

    _storage: Any
    _layout: Layout
    _autograd: Autograd
    _version: Version

    def __init__(self, data: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> None:
        from trueno.creation import tensor

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
        return memory.host(self if self._layout.device == "cpu" else self.detach().cpu())

    def numpy(self) -> np.ndarray:
        """Return the elements as a NumPy array that shares the memory.

        Raises
        ------
        TypeError
            For a tensor on another device.
        RuntimeError
            For a tensor that requires a gradient; use ``detach().numpy()``.
        """
        if self.requires_grad:
            raise RuntimeError("numpy: the tensor requires a gradient; use .detach().numpy()")
        self._need_cpu("numpy")
        return self._view_array()

    def item(self, *args: Any) -> Any:
        """Return the value of a tensor of one element, or of the element at an index, as a Python number."""
        if args:
            return self.detach().cpu()._view_array().item(*args)
        if self.size != 1:
            raise ValueError(f"item: can only convert a tensor of one element, not of shape {self.shape}")
        return self._view_array().item()

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self._view_array().tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth value of a tensor of shape {self.shape} is ambiguous; use any() or all()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __complex__(self) -> complex:
        return complex(self._number())

    def _number(self) -> Any:
        """Return the one element as a Python number; any axes of extent 1 are as good as none, as in PyTorch."""
        if self.size != 1:
            raise TypeError(f"only a tensor of one element can be converted to a Python number, not shape {self.shape}")
        return self.item()

    def __index__(self) -> int:
        if self.size != 1 or dt.is_inexact(self.dtype) or self.dtype == dt.bool_:
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
        return map(self.__getitem__, range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from trueno.printing import text

        return text(self)

    def __format__(self, spec: str) -> str:
        if self.ndim and spec:
            raise TypeError(f"format {spec!r} is for one number, not for a tensor of shape {self.shape}")
        return str(self) if self.ndim else format(self.item(), spec)

    def __deepcopy__(self, memo: dict) -> Tensor:
        copied = self.detach().clone()
        if self.requires_grad and self._autograd.node is None:
            copied.requires_grad_()
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple:
        return _rebuild, (np.array(self._view_array()), self.requires_grad)

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

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Tensor:
        """Return the elements in another dtype.

        Parameters
        ----------
        dtype : dtype
        order : {"K", "A", "C", "F"}
            Of the result's memory.
        casting : {"no", "equiv", "safe", "same_kind", "unsafe"}
            The rule by which the elements must be castable.
        subok : bool
            Accepted; there are no subclasses to pass through.
        copy : bool
            False: return the tensor itself where nothing changes.

        Raises
        ------
        TypeError
            The rule does not allow the cast.
        """
        wanted = dt.as_dtype(dtype)
        if casting != "unsafe":
            from trueno.ir.promotion import can_cast

            if not can_cast(self.dtype, wanted, casting):
                raise TypeError(
                    f"astype: cannot cast an array of shape {self.shape} from {self.dtype!r} to {wanted!r} "
                    f"according to the rule {casting!r}"
                )
        if order != "K":
            from trueno import np as namespace

            return namespace.array(self, wanted, copy=copy or None, order=order)
        if wanted == self._layout.dtype:
            return self.clone() if copy else self
        return self.cast(dtype=wanted)

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
        return memory.taped(self) and current(self) is not None

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
            if not dt.is_inexact(self.dtype):
                raise RuntimeError(f"only floating-point and complex tensors can require a gradient, not {self.dtype}")
            if not self.requires_grad:
                self._autograd = Autograd()
        elif self.requires_grad:
            if self._autograd.node is not None:
                raise RuntimeError("requires_grad can be changed only on leaf tensors; use detach()")
            del self._autograd
        return self

    @property
    def is_leaf(self) -> Any:
        """Whether the tensor is not the result of a recorded operation."""
        owner = current(self)
        return owner is None or owner.node is None

    @property
    def grad_fn(self) -> Any:
        """The recorded operation that made the tensor, or None."""
        owner = current(self)
        return None if owner is None else owner.node

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None."""
        owner = current(self)
        return None if owner is None else owner.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        owner = current(self)
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
        part_history(result, self)
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
        owner = current(self)
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


def wrap(storage: Any, layout: Layout) -> Tensor:
    """Return a tensor of this storage and layout."""
    result = Tensor.__new__(Tensor)
    result._storage, result._layout = storage, layout
    return result


launcher.bind(Tensor, version_class=Version)
interop.install(Tensor)


def _rebuild(array: np.ndarray, requires_grad: bool) -> Tensor:
    from trueno.creation import from_numpy

    result = from_numpy(array)
    return result.requires_grad_() if requires_grad else result


def view_of(
    base: Tensor, shape: Sequence[int], strides: Sequence[int], offset: int, readonly: bool = False,
    dtype: np.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor on the memory of another, with its version; see `window`."""
    result = window(base, shape, strides, offset, readonly, dtype)
    result._version = version_of(base)
    return result


def window(
    base: Tensor, shape: Sequence[int], strides: Sequence[int], offset: int, readonly: bool = False,
    dtype: np.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor on part of the memory of another, without history.

    `strides` and `offset` are in elements of `dtype`, the base's own if it is None. The result is read-only where the
    base is, or where `readonly` says so.
    """
    layout = base._layout
    storage, dtype = base._storage, layout.dtype if dtype is None else dtype
    if offset:
        nbytes = offset * dtype.itemsize
        storage = memory.view(storage, nbytes) if base._layout.device == "cpu" else storage.view(nbytes)
    return wrap(storage, layout_of(dtype, tuple(shape), tuple(strides), layout.device, readonly or layout.readonly))


def _download(source: Tensor) -> np.ndarray:
    dense = source.contiguous()
    array = np.empty(dense.shape, dense.dtype)
    devices.download(dense._storage, array)
    return array


def _move(source: Tensor, target: str) -> Tensor:
    from trueno.creation import from_numpy

    array = source._view_array() if source._layout.device == "cpu" else _download(source)
    if target == "cpu":
        return from_numpy(array)
    return wrap(devices.upload(np.ascontiguousarray(array), target), layout_of(array.dtype, array.shape, None, target))


def _transfer(source: Tensor, target: str) -> Tensor:
    """Move between devices; the gradient moves back."""
    from trueno.autograd_transfer import transfer

    if source.requires_grad and launcher.grad_enabled():
        return transfer(source, target, _move)
    with no_grad():
        return _move(source.detach(), target)
