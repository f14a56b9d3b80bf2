"""The recorder: turns calls of rows into nodes, with broadcasting, promotion and casts made explicit."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.ir import pairs, promotion
from trueno.ir.node import Node, Shape, make
from trueno.ir.op import Op

# --- leaves -----------------------------------------------------------------------------------------------------------

INPUT: Op = Op("input", "leaf", 0, ref=lambda: None, public=False)
SCALAR: Op = Op("scalar", "leaf", 0, ref=lambda: None, public=False)
PARAM: Op = Op("param", "leaf", 0, ref=lambda: None, public=False)
CONST: Op = Op("const", "leaf", 0, ref=lambda: None, public=False)
IOTA: Op = Op("iota", "leaf", 0, ref=lambda: None, public=False)
PAIR: Op = Op("pair", "leaf", 2, ref=lambda re, im: re + 1j * im, public=False)


def array(index: int, dtype: np.dtype, shape: Shape) -> Node:
    """Return the leaf for array operand `index`."""
    return Node(INPUT, (), dtype, shape, index)


def scalar(index: int, kind: type) -> Node:
    """Return the leaf for a Python scalar (bool, int or float) given at run time as operand `index`."""
    dtype = {bool: dt.bool_, int: dt.int64, float: dt.float64}[kind]
    return Node(SCALAR, (), dtype, (), (index, kind))


def const(value: Any, dtype: np.dtype) -> Node:
    """Return a literal; it becomes part of the kernel's key."""
    if dt.is_complex(dtype):
        return pair(const(value.real, dt.real_of(dtype)), const(value.imag, dt.real_of(dtype)))
    if dt.is_floating(dtype):
        value = float(value)
    elif dtype == dt.bool_:
        value = bool(value)
    else:
        value = int(value)
        info = np.iinfo(dtype)
        if not info.min <= value <= info.max:
            raise OverflowError(f"Python integer {value} out of bounds for {dtype}")
    return make(CONST, (), dtype, (), value)


def param(value: float | int, dtype: np.dtype) -> Node:
    """Return a number that follows from shapes: passed to the kernel at run time, so that it is not part of its key.

    It is real where complex numbers are computed with.
    """
    dtype = dt.real_of(dtype)
    return make(PARAM, (), dtype, (), float(value) if dt.is_floating(dtype) else int(value))


def pair(re: Node, im: Node) -> Node:
    """Return the complex numbers of these parts. There are such nodes only while a kernel is recorded: ir/pairs.py."""
    return make(PAIR, (re, im), dt.complex_of(re.dtype), re.shape)


def iota(shape: Shape, axis: int, dtype: np.dtype = dt.int64) -> Node:
    """Return an array that holds each element's index along `axis`."""
    return make(IOTA, (), dtype, shape, axis)


# --- shapes -----------------------------------------------------------------------------------------------------------


def given_type(value: Any) -> np.dtype | type:
    """Return the dtype of a node, or the Python type of a weak scalar."""
    if isinstance(value, Node):
        return weak_type(value) or value.dtype
    if isinstance(value, (bool, np.bool_)):
        return bool
    if isinstance(value, np.generic):
        return value.dtype
    if isinstance(value, numbers.Integral):
        return int
    if isinstance(value, numbers.Real):
        return float
    if isinstance(value, numbers.Complex):
        return complex
    raise TypeError(f"cannot use {type(value).__name__!r} object in a kernel; it takes arrays and Python numbers")


def as_node(value: Any, dtype: np.dtype) -> Node:
    """Return the value as a node of this dtype."""
    if isinstance(value, Node):
        return cast(value, dtype=dtype)
    return const(value, dtype)


def shape_of(value: Any) -> Shape:
    """Return the shape of a node; a Python number has the shape ()."""
    return value.shape if isinstance(value, Node) else ()


def broadcast_shape(op: str, shapes: Sequence[Shape]) -> Shape:
    """Return the shape to which these shapes broadcast.

    Raises
    ------
    ValueError
        When they do not; the text names op and shapes, as NumPy's does.
    """
    if shapes and all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    ndim = max((len(shape) for shape in shapes), default=0)
    result = []
    for axis in range(1, ndim + 1):
        extents = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(extents) > 1:
            listed = " ".join(str(tuple(shape)) for shape in shapes)
            raise ValueError(
                f"{op}: operands could not be broadcast together with shapes {listed}; axis -{axis} has the sizes "
                f"{sorted(extents)}, which must be equal or 1"
            )
        result.append(extents.pop() if extents else 1)
    return tuple(reversed(result))


def normalise_axes(op: str, axis: Any, ndim: int, shape: Shape) -> tuple[int, ...]:
    """Return sorted non-negative axes; None means all of them.

    Raises
    ------
    ValueError
        `numpy.exceptions.AxisError` for an axis out of range, ValueError for a repeated one.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, numbers.Integral) else tuple(axis)
    result = []
    for one in axes:
        index = operator.index(one)
        if not -ndim <= index < ndim:
            raise np.exceptions.AxisError(
                f"{op}: axis {index} is out of bounds for an array of {ndim} dimensions with shape {tuple(shape)}"
            )
        result.append(index % ndim)
    if len(set(result)) != len(result):
        raise ValueError(f"{op}: repeated axis in {axis}")
    return tuple(sorted(result))


# --- casts and views that every rule needs ----------------------------------------------------------------------------


def _ref_cast(x: np.ndarray, *, dtype: np.dtype) -> np.ndarray:
    if dt.is_floating(x.dtype) and not dt.is_floating(dtype) and dtype != dt.bool_:
        info = np.iinfo(dtype)
        wide = np.nan_to_num(np.asarray(x, np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        inside = (wide > float(info.min) - 1) & (wide < float(info.max) + 1)
        with np.errstate(invalid="ignore"):
            exact = np.where(inside, wide, 0.0).astype(dtype)
        return np.where(inside, exact, np.where(wide < 0, dtype.type(info.min), dtype.type(info.max)))
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(dtype)


def _record_cast(op: Op, x: Node, *, dtype: Any) -> Node:
    dtype = dt.as_dtype(dtype)
    weak = weak_type(x)
    if x.dtype == dtype and not (weak and node_is_weak(x)):
        return x
    if x.op is CONST:
        return const(_ref_cast(np.asarray(x.arg, x.dtype), dtype=dtype).item(), dtype) if x.dtype != dtype else x
    if x.op is PARAM:
        return param(x.arg, dtype)
    if weak is not None and dtype == dt.bool_ and weak is not bool:
        # Any number is true or false, whatever a bool could hold.
        return make(op, (_retyped(x, x.dtype),), dtype, (), dtype)
    if weak is not None and not (weak is float and not dt.is_floating(dtype)) and dtype not in dt.HALF:
        return _retyped(x, dtype)
    if node_is_weak(x):
        # The launcher fills the slot in the wanted dtype: a scalar is weak until it meets an array.
        return Node(SCALAR, (), dtype, (), x.arg[0])
    return make(op, (x,), dtype, x.shape, dtype)


cast: Op = Op(
    "cast", "elementwise", 1, ref=_ref_cast, result=promotion.promote, domain=((-100, 100),), llvm={}, opencl={},
    record=lambda op, x, dtype=None: _record_cast(op, x, dtype=dtype), grad=lambda g, y, x: [g], pair=pairs.cast,
    doc="The values in another dtype; floats out of an integer's range saturate, NaN becomes 0.",
)  # fmt: skip


def _record_expand(op: Op, x: Node, *, shape: Shape) -> Node:
    shape, given = tuple(shape), x.shape
    if given == shape:
        return x
    if len(given) < len(shape):
        x = reshape(x, shape=(1,) * (len(shape) - len(x.shape)) + x.shape)
        if x.shape == shape:
            return x
    if len(given) > len(shape) or any(a not in (1, b) for a, b in zip(x.shape, shape, strict=True)):
        raise ValueError(f"expand: shape {given} cannot be broadcast to {shape}")
    return make(op, (x,), x.dtype, shape, None)


def _record_reshape(op: Op, x: Node, *, shape: Shape) -> Node:
    shape = tuple(int(extent) for extent in shape)
    if shape == x.shape:
        return x
    if shape.count(-1) == 1:
        known = 1
        for extent in shape:
            known *= 1 if extent == -1 else extent
        if known == 0 or x.size % known:
            raise ValueError(f"reshape: cannot reshape array of size {x.size}, shape {x.shape}, into shape {shape}")
        shape = tuple(x.size // known if extent == -1 else extent for extent in shape)
    size = 1
    for extent in shape:
        size *= extent
    if size != x.size or min(shape, default=0) < 0:
        raise ValueError(f"reshape: cannot reshape array of size {x.size}, shape {x.shape}, into shape {shape}")
    if shape == x.shape:
        return x
    if x.op is op:
        x = x.src[0]
        if shape == x.shape:
            return x
    return make(op, (x,), x.dtype, shape, None)


expand: Op = Op(
    "expand", "view", 1, ref=lambda x, *, shape: np.broadcast_to(x, shape), record=_record_expand,
    grad=lambda g, y, x: [g],  # the walker in ir/grad.py sums to the operand's shape
    doc="The array broadcast to a shape.",
)  # fmt: skip
reshape: Op = Op(
    "reshape", "view", 1, ref=lambda x, *, shape: np.reshape(x, shape), record=_record_reshape,
    grad=lambda g, y, x: [reshape(g, shape=x.shape)],
    doc="The same elements in C order under another shape.",
)  # fmt: skip


# --- recorders of the row kinds ---------------------------------------------------------------------------------------


def record_elementwise(op: Op, *operands: Any) -> Node:
    """Record an elementwise row: promote, cast, broadcast, and compute halves in float32."""
    if len(operands) != op.arity:
        raise TypeError(f"{op.name} takes {op.arity} operands, got {len(operands)}")
    assert op.result is not None
    wanted, result = op.result(op.name, tuple(given_type(one) for one in operands))
    shape = broadcast_shape(op.name, [shape_of(one) for one in operands])
    half = wanted in dt.HALF
    compute = dt.float32 if half else wanted
    src = []
    for one in operands:
        # Weak scalars are rounded to the array's own dtype before halves widen, as NumPy does.
        node = as_node(one, wanted) if not isinstance(one, Node) or node_is_weak(one) else one
        if node.dtype != compute or node.shape != shape or node_is_weak(node):
            node = expand(cast(node, dtype=compute), shape=shape)
        src.append(node)
    node = make(op, tuple(src), compute if half and result == wanted else result, shape)
    return node if node.dtype == result else cast(node, dtype=result)


def weak_type(node: Node) -> type | None:
    """Return the Python type of a value that is computed from Python scalars alone, None for any other.

    Such a value is weak as the scalars are: ``(1 - p) * x`` has x's dtype, as it has outside of kernels.
    """
    if node.shape != () or node.op.kind not in ("leaf", "elementwise") or node.op.name in ("cast", "bitcast", "const"):
        return None
    if node.op is SCALAR:
        return node.arg[1] if isinstance(node.arg, tuple) else _PYTHON_TYPE.get(node.dtype)
    if not node.src or node.dtype not in _PYTHON_TYPE:
        return None
    if all(source.op is CONST or weak_type(source) is not None for source in node.src) and any(
        source.op is not CONST for source in node.src
    ):
        return _PYTHON_TYPE[node.dtype]
    return None


_PYTHON_TYPE = {dt.bool_: bool, dt.int64: int, dt.float64: float}


def _retyped(node: Node, dtype: np.dtype) -> Node:
    """Return a weak value computed in the dtype of the array that it meets."""
    if node.op is CONST:
        return const(node.arg, dtype)
    if node.op is SCALAR:
        return Node(SCALAR, (), dtype, (), node.arg[0] if isinstance(node.arg, tuple) else node.arg)
    if node.dtype == dt.bool_ or node.op.record is record_select:
        # Comparisons stay as they are; only their result is cast.
        return node if node.dtype == dtype else make(cast, (node,), dtype, node.shape, dtype)
    return make(node.op, tuple(_retyped(source, dtype) for source in node.src), dtype, ())


def node_is_weak(node: Node) -> bool:
    """Whether the node is a Python scalar that has not met an array yet."""
    return node.op is SCALAR and isinstance(node.arg, tuple)


def record_select(op: Op, condition: Any, x: Any, y: Any) -> Node:
    """Record `where`: a bool condition, and two operands of a common dtype."""
    dtype = promotion.common((given_type(x), given_type(y)))
    shape = broadcast_shape(op.name, [shape_of(one) for one in (condition, x, y)])
    if given_type(condition) not in (bool, dt.bool_):
        if not isinstance(condition, Node):
            condition = as_node(condition, promotion.common((given_type(condition),)))
        condition = not_equal_zero(condition)
    chosen = [expand(as_node(one, dtype), shape=shape) for one in (x, y)]
    return make(op, (expand(as_node(condition, dt.bool_), shape=shape), *chosen), dtype, shape)


def not_equal_zero(x: Node) -> Node:
    """Return the truth of each element: whether it differs from zero (NaN does)."""
    return cast(x, dtype=dt.bool_)
