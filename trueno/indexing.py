"""Indexing, reading and writing, with every form of index that NumPy has.

An index is *basic* if it is made of integers, slices, Ellipsis and None: its result is a view, and a kernel writes into
it. Index arrays, lists, masks and bools make it *advanced*: where the launcher's native code does not serve it, NumPy
reads and writes, on the memory of the tensor.
An index that names one element by integers alone gives a copy of it, a 0-d tensor, where NumPy gives a scalar.

Reading is linear in the array, and its transpose adds up what was read at the places where it came from: the two are
each other's gradients, so that gradients of any order follow.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.autograd import GradientRule, record_node
from trueno.creation import asarray, from_numpy
from trueno.functions import ViewOperation, copy, operations, reshape
from trueno.ir import build, views
from trueno.ir.node import Node
from trueno.runtime import launcher, memory
from trueno.runtime.inplace import address, bump_version, check_target, is_tensor, requires_grad
from trueno.runtime.layout import Layout
from trueno.runtime.operation import BackwardPlan, Operation, calling
from trueno.tensor import Tensor, view_of, window

_BASIC = frozenset((int, slice, type(None), type(Ellipsis)))
#: Integers that are places; uint64 is left to NumPy, which refuses some of it.
_PLACES = (dt.int8, dt.int16, dt.int32, dt.int64, dt.uint8, dt.uint16, dt.uint32)
_WIDER = {dt.float16: dt.float32, dt.bfloat16: dt.float32}


# --- what an index is -------------------------------------------------------------------------------------------------


def normalised(index: Any) -> tuple[Any, ...]:
    """Return the items of an index: Python integers, slices of such, None, Ellipsis; arrays and bools as NumPy's."""
    items = index if type(index) is tuple else (index,)
    for item in items:
        if type(item) not in _BASIC or type(item) is slice:
            return tuple([item if type(item) is int else _item(item) for item in items])
    return items


def _item(item: Any) -> Any:
    if type(item) is np.ndarray:
        if item.dtype in dt.ALL:
            from_numpy(item)  # so that native code knows the next index of this layout
        return item
    if isinstance(item, Tensor):
        # Also without axes: NumPy reads a copy by a 0-d array, where an integer makes a view.
        return item._view_array()
    if isinstance(item, slice):
        return slice(_bound(item.start), _bound(item.stop), _bound(item.step))
    if isinstance(item, (bool, np.bool_)) or item is None or item is Ellipsis:
        return item
    if isinstance(item, (int, np.integer)):
        return int(item)
    if hasattr(item, "__index__") and not isinstance(item, (np.ndarray, Node)):
        return operator.index(item)
    return item


def _bound(value: Any) -> int | None:
    return value if value is None or type(value) is int else _slice_index(value)


def _slice_index(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"slice indices must be integers or None or have an __index__ method, not {type(value).__name__}"
        ) from None


def _is_integer(item: Any) -> bool:
    """Whether an item is an array of one integer, without axes: to writing it is that integer."""
    return isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu"


def is_basic(items: tuple[Any, ...]) -> bool:
    """Whether an index is made of integers, slices, Ellipsis and None alone."""
    return all([type(item) in _BASIC for item in items])


def _names_one(items: tuple[Any, ...], ndim: int) -> bool:
    """Whether a basic index names one element by an integer for each axis."""
    return len(items) == ndim and all([type(item) is int for item in items])


def _kept(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an index that does not change when the arrays in it do."""
    return tuple([item if type(item) in _BASIC else _copied(item) for item in items])


def _copied(item: Any) -> np.ndarray:
    array = np.array(item)
    return array if isinstance(item, np.ndarray) or array.size else array.astype(np.intp)


def _refusal(error: Exception, shape: tuple[int, ...]) -> Exception:
    """Return NumPy's error with the shape that was indexed."""
    text = str(error) if isinstance(error, IndexError) else "index is out of bounds for any axis"
    return IndexError(f"{text}; the array has shape {shape}")


def layout_of_view(x: Any, index: Any) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return shape, strides and offset, in elements, of the view that a basic index makes."""
    limits, axes = views.resolve_index(x.shape, index)
    offset = builtins.sum(start * s for (start, _, _), s in zip(limits, x._layout.strides, strict=True))
    shape = tuple(1 if axis is None else limits[axis][2] for axis in axes)
    strides = tuple(0 if axis is None else limits[axis][1] * x._layout.strides[axis] for axis in axes)
    return shape, strides, offset


_view = ViewOperation("getitem", views.getitem, layout_of_view)


def _record_assign(target: Node, value: Any) -> Node:
    """Record a value in the shape and dtype of what it is assigned to; axes of extent 1 in front fall away.

    Without axes the target is an element that integers name, which takes no array with axes, as NumPy's.
    """
    node = build.as_node(value, target.dtype)
    if node.ndim and not target.ndim:
        raise ValueError(f"setting an array element with a sequence: an element takes no array of shape {node.shape}")
    extra = max(node.ndim - target.ndim, 0)
    if extra and math.prod(node.shape[:extra]) == 1:
        node = build.reshape(node, shape=node.shape[extra:])
    return build.expand(node, shape=target.shape)


class _Assign(Operation):
    """The kernel behind assignments; arrays of dtypes that no tensor has (objects, text) are read in the target's."""

    def answer(self, *args: Any, **kwargs: Any) -> Any:
        """Convert the value if need be, then record, compile and run."""
        target, value = args
        if isinstance(value, np.ndarray) and value.dtype not in dt.STORED:
            value = _source(target, value)
        elif type(value) is int and target.dtype == dt.bool_ and value.bit_length() > 63:
            value = True
        return super().answer(target, value, **kwargs)


_assign = _Assign("assign", _record_assign, 2, (0,))


# --- reading ----------------------------------------------------------------------------------------------------------


def getitem(x: Any, index: Any) -> Any:
    """Return what an index selects.

    Parameters
    ----------
    x : Tensor
    index : int, slice, Ellipsis, None, bool, array of integers or bools, nested list of such, or a tuple of these

    Returns
    -------
    Tensor
        Of NumPy's shape for this index. A view of `x` for slices, and for integers that leave axes over; else a copy.

    Raises
    ------
    IndexError
        As NumPy's, with the shape of `x`.
    """
    if isinstance(x, Node):
        return views.getitem(x, index)
    dense = _dense_places(x, index)
    if dense is not None:
        return x[dense]
    items = normalised(index)
    if not is_basic(items):
        return _read(x, items) if x._layout.device == "cpu" else _read(x.cpu(), items).to(x.device)
    if _names_one(items, x.ndim):
        return _read(x, items) if x._layout.device == "cpu" else copy(_part(x, index, items))
    return _part(x, index, items)


def _dense_places(x: Tensor, index: Any) -> Tensor | None:
    """Return an array of integers as places that native code reads: int64, side by side; None for all others."""
    if type(index) not in (Tensor, np.ndarray) or not index.ndim or index.dtype not in _PLACES:
        return None
    if requires_grad(x) or x._layout.device != "cpu" or not x._layout.contiguous or not x.size or not index.size:
        return None
    places = asarray(index)
    if places._layout.device != "cpu" or (places.dtype == dt.int64 and places.is_contiguous()):
        return None
    return places.astype(dt.int64)


def _part(x: Tensor, index: Any, items: tuple[Any, ...]) -> Tensor:
    """Return the view that a basic index makes."""
    if requires_grad(x) and launcher.grad_enabled():
        plain = items is index or (len(items) == 1 and items[0] is index)
        return _view.call(x, index if plain else items)
    result = view_of(x, *layout_of_view(x, items))
    memory.learn_view(result._layout, x._layout)
    return result


def _steady(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an index for NumPy, which checks places, lets the GIL go and reads them again: nobody may change them."""
    return tuple([one.copy() if isinstance(one, np.ndarray) and one.dtype.kind in "iu" else one for one in items])


def _read(x: Tensor, items: tuple[Any, ...]) -> Tensor:
    """Return a copy of selected elements of a tensor on the CPU."""
    try:
        found = memory.host(x)[_steady(items)]
    except (IndexError, OverflowError) as error:
        raise _refusal(error, x.shape) from None
    result = from_numpy(np.asarray(found))
    if requires_grad(x):
        layout = x._layout
        _record_linear("getitem", x, result, items, lambda g, kept: _add_up(g, kept, layout))
    return result


def _add_up(g: Tensor, items: tuple[Any, ...], layout: Layout) -> Tensor:
    """Return zeros of a layout's shape and dtype with `g` added where it was read from: the transpose of reading."""
    total = np.zeros(layout.shape, _WIDER.get(layout.dtype, layout.dtype))
    array = memory.host(g)
    if _may_repeat(items):
        np.add.at(total, items, array.astype(total.dtype, copy=False))
    else:
        total[items] = array
    result = from_numpy(total.astype(layout.dtype, copy=False))
    _record_linear("add_up", g, result, items, _read)
    return result


def _may_repeat(items: tuple[Any, ...]) -> bool:
    """Whether an index can name an element twice."""
    return any([isinstance(item, np.ndarray) and item.dtype != dt.bool_ and item.size > 1 for item in items])


def _record_linear(
    name: str, x: Tensor, result: Tensor, items: tuple[Any, ...], transpose: Callable[[Tensor, tuple[Any, ...]], Tensor]
) -> None:
    """Put a linear operation on the tape, where its operand takes part in autograd."""
    if requires_grad(x) and launcher.grad_enabled():
        kept = _kept(items)
        backward: Any = GradientRule(lambda g: transpose(g, kept))
        record_node(BackwardPlan(backward, [("grad", 0)], [0], name), [x], [x._autograd], [result])


# --- writing ----------------------------------------------------------------------------------------------------------


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """Assign to what an index selects; where the index names an element repeatedly, the last value stays.

    Parameters
    ----------
    x : Tensor
    index : as for `getitem`
    value : Tensor, array_like or number
        Broadcasts to the selected shape; cast to the dtype of `x`.

    Raises
    ------
    IndexError
        As NumPy's, with the shape of `x`.
    ValueError
        The value does not broadcast, or the memory is read-only.
    OverflowError
        A Python integer that the dtype does not hold.
    RuntimeError
        A leaf that requires a gradient would change while gradients are enabled.
    """
    items = tuple([int(item) if _is_integer(item) else item for item in normalised(index)])
    if x._layout.readonly:
        raise ValueError(f"assignment destination is read-only (shape {x.shape}, dtype {x.dtype})")
    value = _source(x, value)
    needs = requires_grad(x), requires_grad(value)
    recorded = launcher.grad_enabled() and dt.is_inexact(x.dtype) and True in needs
    if recorded:
        if _writes_itself(x, items, value):
            return
        check_target(x, "setitem")
    _write(x, items, value.detach() if isinstance(value, Tensor) else value)
    if hasattr(x, "_version"):
        _changed(x)
    if recorded:
        _record_write(x, items, value)


def _writes_itself(x: Tensor, items: tuple[Any, ...], value: Any) -> bool:
    """Whether a value is the very part of the array that it is assigned to, as in ``x[1:3] *= 2``.

    Its history is that of the part then, as long as both are of one version.
    """
    if not isinstance(value, Tensor) or not is_basic(items) or not hasattr(x, "_version"):
        return False
    if getattr(value, "_version", None) is not x._version:
        return False
    target = window(x, *layout_of_view(x, items))
    return target._layout is value._layout and address(target) == address(value)


def _changed(x: Tensor) -> None:
    """Note that a tensor with a version was written to by the nearest line outside Trueno, if anybody counts."""
    if hasattr(x._version, "counter"):
        bump_version(x, calling())


def _source(x: Tensor, value: Any) -> Any:
    """Return what is assigned as a tensor on the device of `x`, or a Python number that its dtype can take."""
    if type(value) is float and x.dtype.kind in "iu":
        return int(value)  # which refuses what is no integer as NumPy does
    if type(value) in (bool, int, float):
        return value
    if not isinstance(value, Tensor):
        typed = isinstance(value, (np.ndarray, np.generic)) and value.dtype in dt.STORED
        value = asarray(np.asarray(value) if typed else np.asarray(value, x.dtype))
    return value if value._layout.device == x._layout.device else value.to(x.device)


def _write(x: Tensor, items: tuple[Any, ...], value: Any) -> None:
    if is_basic(items):
        target = window(x, *layout_of_view(x, items))
        if not target.shape and is_tensor(value) and value.size == 1 and not _names_one(items, x.ndim):
            value = reshape(value, ())
        if not target.shape and x._layout.device == "cpu" and not is_tensor(value):
            with np.errstate(over="ignore", invalid="ignore"):
                memory.host(target)[...] = float(value) if dt.is_floating(x.dtype) else value
        else:
            _assign.call(target, value)
        memory.learn_view(target._layout, x._layout)
    elif x._layout.device != "cpu":
        changed = x.detach().cpu()
        _write(changed, items, value.cpu() if is_tensor(value) else value)
        _assign.call(x._alias(), changed.to(x.device))
    else:
        try:
            memory.host(x)[_steady(items)] = memory.host(value) if is_tensor(value) else value
        except IndexError as error:
            raise _refusal(error, x.shape) from None


def _record_write(x: Tensor, items: tuple[Any, ...], value: Any) -> None:
    """Put an assignment on the tape: the tensor is the result of an operation of its old self and of the value."""
    history = [getattr(x, "_autograd", None), getattr(value, "_autograd", None)]
    targets = [k for k, owner in enumerate(history) if owner is not None]
    kept = _kept(items)
    shape, dtype = (value.shape, value.dtype) if isinstance(value, Tensor) else ((), x.dtype)
    parts: list[Callable[[Tensor], Tensor]] = [
        lambda g: _cleared(g, kept), lambda g: _cast_back(_summed(_received(g, kept), shape), dtype),
    ]  # fmt: skip
    backward: Any = GradientRule(lambda g: tuple([parts[target](g) for target in targets]))
    record_node(BackwardPlan(backward, [("grad", 0)], targets, "setitem"), [x, value], history, [x], [x])


def _cleared(g: Tensor, items: tuple[Any, ...]) -> Tensor:
    """Return `g` with zeros where something was assigned."""
    result = g.clone()
    setitem(result, items, 0)
    return result


def _received(g: Tensor, items: tuple[Any, ...]) -> Tensor:
    """Return `g` where something was assigned; 0 for a value that another one replaced."""
    part = getitem(g, items)
    if not _may_repeat(items):
        return part
    number = np.arange(part.size).reshape(part.shape)
    last = np.empty(g.shape, number.dtype)
    last[items] = number
    return part * from_numpy(last[items] == number).to(g.device)


def _cast_back(part: Tensor, dtype: np.dtype) -> Tensor:
    """Return a gradient in the dtype of the value: of a real value that became complex, the real part."""
    part = part.real if dt.is_complex(part.dtype) and not dt.is_complex(dtype) else part
    return part.astype(dtype, copy=False)


def _summed(part: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the sum over the axes along which a value of this shape was broadcast."""
    target = shape[max(len(shape) - part.ndim, 0) :]
    lead = part.ndim - len(target)
    axes = tuple(k for k, n in enumerate(part.shape) if k < lead or target[k - lead] != n)
    if axes:
        part = operations["sum"].call(part, axis=axes, keepdims=True)
    return reshape(part, shape)


# What stands behind x[index]: native code where it can be, else the functions above.
get_item = launcher.getter(_view.call, getitem)
set_item = launcher.setter(_assign.call, setitem, _changed)

__all__ = ["getitem", "setitem"]
