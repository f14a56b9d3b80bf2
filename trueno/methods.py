"""Puts the functions on the Tensor class and on the nodes that kernels are recorded with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trueno import attributes, functions, indexing
from trueno import dtypes as dt
from trueno.functions import ALIASES, operations
from trueno.ir import promotion, views
from trueno.ir.node import Node
from trueno.runtime import launcher
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor
from trueno.viewing import known, viewing

#: Python's operators by special name, and the functions that they call.
OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
    "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
UNARY = {"neg": "neg", "pos": "positive", "abs": "abs", "invert": "bitwise_not"}
#: Elementwise functions with an in-place form ``name_``.
_INPLACE = (
    "add", "sub", "mul", "div", "pow", "floor_divide", "remainder", "relu", "exp", "log", "sqrt", "neg", "abs",
    "sigmoid", "tanh", "reciprocal", "floor", "ceil", "round", "trunc", "square", "maximum", "minimum",
)  # fmt: skip


def _in_place(operation: Operation) -> Operation:
    """Return the form of an operation that overwrites its first operand, in that operand's dtype."""

    def record(x: Node, *operands: Any, **static: Any) -> Node:
        result = operation.record(x, *operands, **static)
        if not promotion.can_cast(result.dtype, x.dtype, "same_kind"):
            raise TypeError(
                f"{operation.name}: cannot cast the result from {result.dtype} to the target's {x.dtype} in place"
            )
        return functions.build.cast(result, dtype=x.dtype)

    return Operation(f"{operation.name}_", record, operation.operands, (0,), operation.guard)


_clip_ = _in_place(operations["clip"])


def clip_(x: Any, min: Any = None, max: Any = None) -> Any:
    """Limit the values to [min, max] in place."""
    return _clip_.call(x, *functions.bounds(x, min, max))


def where(x: Any, condition: Any, other: Any) -> Any:
    """Return x where the condition holds, else `other`: as PyTorch's method, which takes the array first."""
    return operations["where"].call(condition, x, other)


@viewing
def _real(self: Any) -> Any:
    """Return the real part, a view."""
    return functions.real(self)


@viewing
def _imag(self: Any) -> Any:
    """Return the imaginary part, a view of complex numbers."""
    return functions.imag(self)


@viewing
def _matrix_transpose(self: Any) -> Any:
    """Return a view with the last two axes exchanged."""
    return functions.swapaxes(self, -1, -2)


def _set_real(self: Any, value: Any) -> None:
    functions.real(self)[...] = value


def _set_imag(self: Any, value: Any) -> None:
    if not dt.is_complex(self.dtype):
        raise TypeError(f"array does not have imaginary part to set (shape {self.shape}, dtype {self.dtype})")
    functions.imag(self)[...] = value


def _install() -> None:
    _put(Tensor, real=property(known(_real), _set_real), imag=property(known(_imag), _set_imag))
    _put(Node, real=property(_real), imag=property(_imag))
    for name, operation in operations.items():
        for alias in (name, *ALIASES.get(name, ())):
            if not hasattr(Tensor, alias):
                setattr(Tensor, alias, operation.call)
            if not hasattr(Node, alias):
                setattr(Node, alias, _recorder(operation))
    for name in _INPLACE:
        changing = _in_place(operations[name])
        for alias in (name, *ALIASES.get(name, ())):
            setattr(Tensor, f"{alias}_", changing.call)
    for special, name in OPERATORS.items():
        call = operations[name].as_operator().call
        setattr(Tensor, f"__{special}__", call)
        setattr(Tensor, f"__r{special}__", launcher.method(call, reflected=True))
        setattr(Tensor, f"__i{special}__", _in_place(operations[name]).as_operator().call)
    for special, name in (COMPARISONS | UNARY).items():
        setattr(Tensor, f"__{special}__", operations[name].as_operator().call)
    for special in ("pow", "matmul", "eq", "ne"):
        name = (OPERATORS | COMPARISONS)[special]
        if special in ("pow", "matmul"):
            setattr(Node, f"__{special}__", _recorder(operations[name]))
            setattr(Node, f"__r{special}__", lambda a, b, record=operations[name].record: record(b, a))
    for owner, special, ending in ((Tensor, "__pow__", ""), (Tensor, "__ipow__", "_"), (Node, "__pow__", "")):
        square, root, inverse = (getattr(owner, f"{name}{ending}") for name in ("square", "sqrt", "reciprocal"))
        setattr(owner, special, _power(getattr(owner, special), square, root, inverse))
    divmod_ = operations["divmod"].as_operator().call
    _put(Tensor, __divmod__=divmod_, __rdivmod__=launcher.method(divmod_, reflected=True))
    _install_views()


def _power(general: Callable[..., Any], square: Any, root: Any, inverse: Any) -> Callable[..., Any]:
    """Return ``**`` that squares, takes roots and inverts for the exponents for which NumPy does: faster, exactly."""
    of_floats = {2.0: square, 0.5: root, -1.0: inverse}

    def power(self: Any, exponent: Any) -> Any:
        kind = type(exponent)
        if kind is int and exponent == 2:
            return square(self)
        if kind is float and exponent in of_floats and dt.is_inexact(self.dtype):
            return of_floats[exponent](self)
        return general(self, exponent)

    return power


def _recorder(operation: Operation) -> Callable[..., Any]:
    def record(self: Node, *args: Any, **kwargs: Any) -> Any:
        return operation.call(self, *args, **kwargs)

    return record


def _install_views() -> None:
    both = (
        "reshape", "permute", "transpose", "swapaxes", "moveaxis", "expand", "squeeze", "unsqueeze", "flatten", "ravel",
        "flip", "split", "broadcast_to", "unfold",
    )  # fmt: skip
    for name in both:
        setattr(Tensor, name, known(getattr(functions, name)))
        setattr(Node, name, getattr(functions, name))
    for owner in (Tensor, Node):
        _put(
            owner,
            view=functions.reshape,
            T=property(known(functions.permute)),
            mT=property(known(_matrix_transpose)),
        )
    _put(Tensor, __getitem__=indexing.get_item, __setitem__=indexing.set_item, contiguous=functions.contiguous)
    _put(Tensor, view=attributes.view, round=attributes.rounded)
    for owner in (Tensor, Node):
        _put(owner, where=where, clip=functions.clip, clamp=functions.clip)
    _put(Tensor, clip_=clip_, clamp_=clip_)
    _put(Tensor, clone=functions.copy, copy=functions.copy, __copy__=functions.copy)
    _put(Node, __getitem__=views.getitem, astype=lambda self, dtype: functions.build.cast(self, dtype=dtype))


def _put(owner: type, **members: Any) -> None:
    for name, member in members.items():
        setattr(owner, name, member)


_install()
