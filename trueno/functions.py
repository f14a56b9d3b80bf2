"""The functions and methods: one Operation for each row of the op table and each composite."""

from __future__ import annotations

import builtins
import importlib
import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.creation import asarray
from trueno.ir import build, composites, movement, pairs, promotion, ufuncs, views, windows
from trueno.ir.build import normalise_axes
from trueno.ir.node import Node
from trueno.ir.op import registry, rows
from trueno.kernel import _count_operands
from trueno.runtime import launcher
from trueno.runtime.operation import Bound, Operation
from trueno.tensor import Tensor, view_of
from trueno.viewing import viewing

if TYPE_CHECKING:
    from trueno.declared import *  # noqa: F403 - what `_define` makes below

#: Other names under which NumPy and PyTorch users look for a function.
ALIASES = {
    "sub": ("subtract",), "mul": ("multiply",), "div": ("divide", "true_divide"), "neg": ("negative",),
    "abs": ("absolute",), "asin": ("arcsin",), "acos": ("arccos",), "atan": ("arctan",), "atan2": ("arctan2",),
    "asinh": ("arcsinh",), "acosh": ("arccosh",), "atanh": ("arctanh",), "pow": ("power",), "clip": ("clamp",),
    "bitwise_not": ("invert", "bitwise_invert"), "eq": ("equal",), "ne": ("not_equal",), "lt": ("less",),
    "le": ("less_equal",), "gt": ("greater",), "ge": ("greater_equal",), "silu": ("swish",),
    "gather": ("take_along_axis",), "floor_divide": (), "remainder": ("mod",), "max": ("amax",), "min": ("amin",),
    "conj": ("conjugate",), "concatenate": ("cat", "concat"),
    "left_shift": ("bitwise_left_shift",), "right_shift": ("bitwise_right_shift",),
    "deg2rad": ("radians",), "rad2deg": ("degrees",),
}  # fmt: skip

operations: dict[str, Operation] = {}


def _guard_power(a: Any, b: Any) -> bool:
    """NumPy refuses negative integer exponents of integers; whether there are any, only the data tell."""
    dtype = promotion.common((build_type(a), build_type(b)))
    if dt.is_inexact(dtype):
        return False
    if not builtins.all(promotion.holds(dtype, one) for one in (a, b)):
        return True  # The launch refuses such a number by OverflowError: NumPy, too, says that first.
    lowest = b if not isinstance(b, Tensor) else min(b).item() if b.size and b.dtype.kind == "i" else 0
    if lowest < 0:
        raise ValueError(f"pow: integers to negative integer powers are not allowed (exponent {lowest}); use floats")
    return True


def build_type(value: Any) -> Any:
    """Return an array's dtype or a number's type."""
    return value.dtype if isinstance(value, (Tensor, np.ndarray, np.generic)) else type(value)


def _guard_indices(x: Any, index: Any, *rest: Any, axis: int = 0, **static: Any) -> bool:
    """An index out of bounds is an error in NumPy; whether there is one, only the data tell."""
    axis = rest[0] if rest and isinstance(rest[0], int) else axis
    if not isinstance(index, Tensor) or not index.size or dt.is_floating(index.dtype) or index.dtype == dt.bool_:
        return True
    extent = static.get("extent", x.shape[axis] if -x.ndim <= axis < x.ndim else 0)
    low, high = min(index).item(), max(index).item()
    if low < -extent or high >= extent:
        wrong = low if low < -extent else high
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {extent}, shape {x.shape}")
    return True


_GUARDS: dict[str, Callable[..., bool]] = {"pow": _guard_power, "gather": _guard_indices, "scatter_add": _guard_indices}


class _Comparison(Operation):
    """A comparison: a Python integer that the array's dtype does not hold is an answer, not an error."""

    def answer(self, *args: Any, **kwargs: Any) -> Any:
        """Replace such integers by infinities."""
        return super().answer(*(comparable(args) if len(args) == 2 and not kwargs else args), **kwargs)

    def _refuse(self, args: Sequence[Any]) -> Any:
        """Compare with None and texts element by element, as NumPy: no number is equal to one."""
        if self.is_operator and self.name in ("eq", "ne") and (args[1] is None or isinstance(args[1], (str, bytes))):
            return asarray(np.full(args[0].shape, self.name == "ne")).to(args[0].device)
        return super()._refuse(args)


def comparable(operands: Sequence[Any]) -> list[Any]:
    """Return two operands of a comparison with integers that the other's dtype does not hold as infinities."""
    kinds = [build_type(one) for one in operands]
    return [promotion.comparable(a, kind) for a, kind in zip(operands, reversed(kinds), strict=True)]


def _define(name: str, record: Callable, operands: int, doc: str | None) -> Operation:
    kind = _Comparison if getattr(record, "result", None) is promotion.comparison else Operation
    operation = operations[name] = kind(name, record, operands, guard=_GUARDS.get(name), doc=doc)
    for alias in (name, *ALIASES.get(name, ())):
        setattr(_module, alias, operation.call)
    return operation


_module = sys.modules[__name__]
for _row in rows("elementwise", "reduction", "scan", "contraction", "gather", "scatter"):
    if _row.public:
        _define(_row.name, _row, 1 if _row.name == "cast" else builtins.max(_row.arity, 1), _row.doc)
for _function in (*composites.COMPOSITES, *ufuncs.COMPOSITES):
    _define(_function.__name__, _function, _count_operands(_function), _function.__doc__)

_concatenate = Operation("concatenate", views.concatenate)
_stack = Operation("stack", views.stack)


def _record_copy(x: Node) -> Node:
    source = pairs.joined(x) if x.op is build.PAIR else x
    made = movement.copied(source)
    return made if source is x else pairs.split(made)


_copy = Operation("copy", _record_copy, 1)
_pad = Operation("pad", lambda x, value, widths: views.pad(x, widths, value), 2)


# --- bounds -----------------------------------------------------------------------------------------------------------


def clip(x: Any, min: Any = None, max: Any = None, out: Any = None) -> Any:
    """Limit the values to [min, max].

    Parameters
    ----------
    x : array of any dtype
    min, max : array or number, optional
        Bounds that broadcast with `x`; without one, the values have no limit on that side.
    out : array, optional
        As of `trueno.np.clip`.

    Returns
    -------
    Tensor
        Of the dtype that `x` and the bounds promote to; `max` where `min` is greater.
    """
    if out is not None:
        return _namespace().clip(x, min, max, out)
    return operations["clip"].call(x, *bounds(x, min, max))


def bounds(x: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Return the bounds of a clip, the limits of x's dtype where there are none."""
    if low is None or high is None:
        dtype = (x if isinstance(x, (Tensor, Node)) else asarray(x)).dtype
        limits: tuple[Any, Any]
        if dt.is_complex(dtype):
            limits = complex(-math.inf, -math.inf), complex(math.inf, math.inf)
        elif dt.is_floating(dtype):
            limits = -math.inf, math.inf
        else:
            limits = (False, True) if dtype == dt.bool_ else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        low, high = limits[0] if low is None else low, limits[1] if high is None else high
    return low, high


clamp = clip


# --- views ------------------------------------------------------------------------------------------------------------


class ViewOperation(Operation):
    """An operation whose result shares the operand's memory where strides allow it, else copies."""

    def __init__(
        self, name: str, record: Callable[..., Any], layout: Callable[..., Any], doc: str | None = None,
        readonly: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, record, 1, doc=doc)
        self.layout, self.readonly = layout, readonly

    def run(self, bound: Any, operands: Sequence[Any]) -> Any:
        """Return the view, without a launch."""
        (x,) = operands
        found = bound.entry
        return view_of(x, *found) if isinstance(found, tuple) else super().run(bound, operands)

    def _bind(self, operands: Sequence[Any], static: tuple, named: dict[str, Any]) -> Any:
        (x,) = operands
        found = self.layout(x, *static, **named)
        if found is not None and self.readonly:
            found = (*found[:3], True)
        if found is None:
            return super()._bind(operands, static, named)
        # The kernel is what is differentiated; running it is not needed.
        return Bound(self.trace(operands, static, named), found, "view")

    def make_known(
        self, bound: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any,
        after: Callable[..., None] | None = None,
    ) -> bool:  # fmt: skip
        """Let the launcher make views like this one."""
        if not isinstance(bound.entry, tuple):
            return super().make_known(bound, args, kwargs, result, after)
        from trueno.runtime import memory

        source = args[0]
        if not isinstance(source, Tensor) or source._layout.device != "cpu" or result is source:
            return False
        offset = memory.pointer(result._storage) - memory.pointer(source._storage)
        return launcher.install(self.call, args, kwargs, launcher.View(result._layout, offset), after)


def _reshape_layout(x: Tensor, *, shape: tuple[int, ...]) -> tuple | None:
    from trueno.codegen.buffer import reshape_strides

    target = build.reshape(build.array(0, x.dtype, x.shape), shape=shape).shape
    strides = reshape_strides(x.shape, x._layout.strides, target)
    return None if strides is None else (target, strides, 0)


def _permute_layout(x: Tensor, *, axes: tuple[int, ...] | None = None) -> tuple:
    node = build.array(0, x.dtype, x.shape)
    result = views.permute(node, axes=axes)
    order = result.arg if result is not node else tuple(range(x.ndim))
    return result.shape, tuple(x._layout.strides[axis] for axis in order), 0


def expand_layout(x: Tensor, *, shape: tuple[int, ...]) -> tuple:
    """Return shape, strides, offset of the view that broadcasting makes, and whether it is read-only."""
    result = build.expand(build.array(0, x.dtype, x.shape), shape=shape)
    lead = result.ndim - x.ndim
    strides = [0] * lead + [
        0 if n != m else s for n, m, s in zip(x.shape, result.shape[lead:], x._layout.strides, strict=True)
    ]
    # Elements that lie on each other are not written to, as in NumPy.
    return result.shape, tuple(strides), 0, result.size > x.size


def _window_layout(x: Tensor, axis: Any, size: Any, step: Any, dilation: Any) -> tuple:
    from trueno.codegen.buffer import window_strides

    result = windows.window(build.array(0, x.dtype, x.shape), axis, size, step, dilation)
    return result.shape, window_strides(x._layout.strides, result.arg), 0


def _part_layout(part: int) -> Callable[[Tensor], tuple | None]:
    """Return what a view of the real (0) or imaginary (1) parts looks like; None where it is no view."""

    def layout(x: Tensor) -> tuple | None:
        if not dt.is_complex(x.dtype):
            return None if part else (x.shape, x._layout.strides, 0)
        return x.shape, tuple(2 * step for step in x._layout.strides), part, False, dt.real_of(x.dtype)

    return layout


for _part, _name in enumerate(("real", "imag")):
    _view = operations[_name] = ViewOperation(_name, registry[_name], _part_layout(_part), registry[_name].doc)
    setattr(_module, _name, _view.call)

_reshape = ViewOperation("reshape", build.reshape, _reshape_layout)
_permute = ViewOperation("permute", views.permute, _permute_layout)
_expand = ViewOperation("expand", build.expand, expand_layout)
_window = ViewOperation("window", windows.window, _window_layout)


def _sizes(shape: tuple) -> tuple[int, ...]:
    items = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return tuple(one.__index__() for one in items)


@viewing
def reshape(x: Any, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    """Return the same elements under another shape, a view where strides allow it.

    One extent may be -1. `trueno.np.reshape` has the orders, and what `copy` means.
    """
    if order != "C" or copy is not None:
        return _namespace().reshape(x, shape[0] if len(shape) == 1 else shape, order, copy=copy)
    return _reshape.call(x, shape=_sizes(shape))


def _namespace() -> Any:
    """Return NumPy's namespace, which is imported where NumPy's orders of memory are asked for."""
    return importlib.import_module("trueno.np")


@viewing
def permute(x: Any, *axes: Any) -> Any:
    """Return a view with the axes in another order (reversed when none are given)."""
    return _permute.call(x, axes=_sizes(axes) if axes and axes != (None,) else None)


@viewing
def transpose(x: Any, *axes: Any) -> Any:
    """Return a view with the axes permuted; PyTorch's ``transpose(a, b)`` of two axes swaps them."""
    if len(axes) == 2 and not isinstance(axes[0], (tuple, list)) and x.ndim != 2:
        return swapaxes(x, *axes)
    return permute(x, *axes)


@viewing
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Return a view with two axes exchanged."""
    first, second = (normalise_axes("swapaxes", axis, x.ndim, x.shape)[0] for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return permute(x, order)


@viewing
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Return a view with axes moved to other positions."""
    many = [(one,) if isinstance(one, int) else tuple(one) for one in (source, destination)]
    start, end = ([normalise_axes("moveaxis", axis, x.ndim, x.shape)[0] for axis in axes] for axes in many)
    order = [axis for axis in range(x.ndim) if axis not in start]
    for to, axis in sorted(zip(end, start, strict=True)):
        order.insert(to, axis)
    return permute(x, order)


@viewing
def expand(x: Any, *shape: Any) -> Any:
    """Return a view broadcast to a shape; -1 keeps an extent."""
    sizes = _sizes(shape)
    lead = len(sizes) - x.ndim
    return _expand.call(x, shape=tuple(x.shape[k - lead] if n == -1 and k >= lead else n for k, n in enumerate(sizes)))


def broadcast_to(x: Any, shape: Any) -> Any:
    """Return a view broadcast to a shape."""
    return expand(asarray(x) if not isinstance(x, Node) else x, tuple(shape))


@viewing
def squeeze(x: Any, axis: Any = None, *, dim: Any = None) -> Any:
    """Return a view without axes of extent 1 (all of them, or those named)."""
    return reshape(x, views.squeeze(_symbol(x), axis if dim is None else dim).shape)


@viewing
def unsqueeze(x: Any, axis: Any = None, *, dim: Any = None) -> Any:
    """Return a view with new axes of extent 1 at these positions."""
    return reshape(x, views.unsqueeze(_symbol(x), axis if dim is None else dim).shape)


@viewing
def flatten(x: Any, start_dim: int | str = 0, end_dim: int = -1, *, order: str | None = None) -> Any:
    """Return the array with the axes from start_dim to end_dim joined.

    With an order, as NumPy's ``flatten("F")``: a copy of all elements in that order.
    """
    if isinstance(start_dim, str):
        order, start_dim = start_dim, 0
    if order is not None:
        return copy(_namespace().ravel(x, order))
    if x.ndim == 0:
        return reshape(x, (1,))
    first, last = (normalise_axes("flatten", axis, x.ndim, x.shape)[0] for axis in (start_dim, end_dim))
    return reshape(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@viewing
def ravel(x: Any, order: str = "C") -> Any:
    """Return the elements as one axis; `trueno.np.ravel` has the orders."""
    if order != "C":
        return _namespace().ravel(x, order)
    return reshape(x, (-1,)) if x.size else reshape(x, (0,))


@viewing
def flip(x: Any, axis: Any = None, *, dims: Any = None) -> Any:
    """Return a view with the order of elements reversed along axes."""
    axes = normalise_axes("flip", axis if dims is None else dims, x.ndim, x.shape)
    return x[tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(x.ndim))]


def unfold(x: Any, axis: Any = None, size: Any = None, step: Any = 1, dilation: Any = 1, *, dim: Any = None) -> Any:
    """Return a view of sliding windows, as further axes at the end.

    Parameters
    ----------
    axis : int or tuple of int
        Axes along which windows slide; their extents become the numbers of windows.
    size : int or tuple of int
        Elements of a window, for each axis.
    step : int or tuple of int
        Distance of one window's start to the next.
    dilation : int or tuple of int
        Distance of neighbouring elements of a window.

    Raises
    ------
    ValueError
        A window does not fit, or a number is not positive.
    """
    return _window.call(x, _nested(axis if dim is None else dim), _nested(size), _nested(step), _nested(dilation))


def _symbol(x: Any) -> Node:
    return x if isinstance(x, Node) else build.array(0, x.dtype, x.shape)


# --- assembling and splitting -----------------------------------------------------------------------------------------


def concatenate(arrays: Sequence[Any], axis: int = 0, *, dim: int | None = None) -> Any:
    """Return arrays joined along an existing axis."""
    return _concatenate.call(*arrays, axis=axis if dim is None else dim)


cat = concat = concatenate


def stack(arrays: Sequence[Any], axis: int = 0, *, dim: int | None = None) -> Any:
    """Return arrays of equal shape joined along a new axis."""
    many = [one if isinstance(one, (Tensor, Node)) else asarray(one) for one in arrays]
    return _stack.call(*many, axis=axis if dim is None else dim)


def pad(x: Any, pad_width: Any, constant_values: Any = 0) -> Any:
    """Return the array padded with a constant; `pad_width` as in `numpy.pad`."""
    return _pad.call(x, constant_values, widths=_nested(pad_width))


def _nested(value: Any) -> Any:
    return tuple(_nested(one) for one in value) if isinstance(value, (list, tuple)) else value


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """Return the parts of an array along an axis: equal ones for a number, else cut at indices, as `numpy.split`."""
    (axis,) = normalise_axes("split", axis, x.ndim, x.shape)
    extent = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if extent % indices_or_sections:
            raise ValueError(
                f"split: axis {axis} of size {extent} does not divide into {indices_or_sections} equal parts"
            )
        step = extent // indices_or_sections
        cuts = list(range(step, extent, step)) if step else [0] * (indices_or_sections - 1)
    else:
        cuts = list(indices_or_sections)
    head = (slice(None),) * axis
    return [x[(*head, slice(low, high))] for low, high in zip([0, *cuts], [*cuts, extent], strict=True)]


def copy(x: Any, order: str = "C") -> Any:
    """Return a copy, in C order or in another of NumPy's."""
    return _copy.call(x) if order == "C" else _namespace().copy(x, order)


def contiguous(x: Tensor) -> Tensor:
    """Return the tensor itself if it is C-contiguous, else a copy that is."""
    return x if x.is_contiguous() else copy(x)


__all__ = [
    "broadcast_to", "cat", "clamp", "clip", "concat", "concatenate", "contiguous", "copy", "expand", "flatten", "flip",
    "moveaxis", "operations", "pad", "permute", "ravel", "reshape", "split", "squeeze", "stack",
    "swapaxes", "transpose", "unfold", "unsqueeze",
]  # fmt: skip
