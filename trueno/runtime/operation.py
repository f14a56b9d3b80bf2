"""Eager operations: what happens when the launcher does not know a call yet."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import operator
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.config import settings
from trueno.errors import explained
from trueno.ir import build, pairs, promotion, verify
from trueno.ir.grad import gradients
from trueno.ir.node import Kernel, Node, recording, substitute, topological
from trueno.ir.op import Op, is_complex
from trueno.runtime import launcher
from trueno.runtime.inplace import (
    bump_version,
    check_target,
    copied,
    is_tensor,
    kept_operands,
    partly_overlaps,
    requires_grad,
)
from trueno.runtime.layout import Layout, results_of

if TYPE_CHECKING:
    pass

if "ir" in settings().debug:
    verify.enable()

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


#: Signatures that one operation remembers.
MAX_SIGNATURES = 4096


def caller() -> tuple[str, int]:
    """Return file and line of the nearest Python frame outside Trueno."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        if frame.f_back is None:
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def calling() -> tuple[CodeType, int]:
    """Return code and instruction of the nearest Python frame outside Trueno: `caller` at a third of its price."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def place(code: CodeType, instruction: int) -> str:
    """Return a call site as ``file:line``."""
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return f"{code.co_filename}:{next(lines, None) or code.co_firstlineno}"


@dataclass(slots=True)
class Bound:
    """A recorded kernel and what runs it for exact layouts."""

    kernel: Kernel
    entry: Any
    device: str
    backward: dict[tuple[bool, ...], BackwardPlan | None] = field(default_factory=dict)
    installed: bool = False


@dataclass(slots=True)
class BackwardPlan:
    """How the gradients of one forward signature are computed.

    Attributes
    ----------
    operation : Operation
        The backward kernel.
    picks : list of tuple
        Its operands: ("in", operand), ("out", output) or ("grad", output).
    targets : list of int
        The forward operands that its results are the gradients of.
    kept : list of tuple
        The picks that are kept on the tape, each after its position.
    nothing : list of None
        What is saved when nothing is kept.
    name : str
        Of the forward operation.
    all_targets : bool
        Whether `targets` are all the operands, in order.
    layouts : list of Layout or None
        Of the forward results; None before the first of them.
    fills : bool
        Whether the gradient of a result that none arrived at is given as zeros; else as None.
    view : bool
        Whether the result shares the operand's memory.
    """

    operation: Operation
    picks: list[tuple[str, int]]
    targets: list[int]
    name: str
    kept: list[tuple[int, str, int]] = field(init=False)
    nothing: list[None] = field(init=False)
    all_targets: bool = False
    layouts: list[Layout] | None = None
    fills: bool = True
    view: bool = False

    def __post_init__(self) -> None:
        self.kept = [(position, *pick) for position, pick in enumerate(self.picks) if pick[0] != "grad"]
        self.nothing = [None] * len(self.picks)


class Operation:
    """A function that can be recorded, run eagerly on any device, and differentiated.

    Parameters
    ----------
    name : str
    record : callable
        ``record(*operands, **static)`` on nodes returns a node or a tuple of them.
    operands : int
        How many leading positional arguments are arrays or runtime scalars; -1: all.
    inplace : tuple of int
        For output i, the operand that it overwrites.
    guard : callable, optional
        ``guard(*args, **static)`` checks values that only the data tell, and returns whether it had to look.
    """

    def __init__(
        self, name: str, record: Callable[..., Any], operands: int = -1, inplace: tuple[int, ...] = (),
        guard: Callable[..., bool] | None = None, doc: str | None = None, names: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.name, self.record, self.operands, self.inplace, self.guard = name, record, operands, inplace, guard
        self.names = names
        self.bound: dict[tuple, Bound] = {}
        self.call = launcher.function(name, max(operands, 0), self.miss, variadic=operands < 0, doc=doc)

    #: Whether what is no operand gives NotImplemented instead of an error.
    is_operator = False

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    # --- the slow path ------------------------------------------------------------------------------------------------

    def miss(self, *args: Any, **kwargs: Any) -> Any:
        """Answer a call that the launcher does not know; what goes wrong is said with name and shapes."""
        try:
            return self.answer(*args, **kwargs)
        except Exception as error:
            raise explained(error, self.name, args, kwargs) from error.__cause__

    def answer(self, *args: Any, **kwargs: Any) -> Any:
        """Record, compile where needed, run, and install the call for next time."""
        if any(isinstance(one, Node) for one in args) or any(isinstance(one, Node) for one in kwargs.values()):
            return self.record(*args, **_spelled(kwargs))
        if kwargs and any(name in kwargs for name in self.names[len(args) :]):
            return self.call(*self._positional(args, kwargs), **kwargs)
        split = len(args) if self.operands < 0 else min(self.operands, len(args))
        operands = _as_operands(args[:split], self.name)
        if operands is NotImplemented or (self.is_operator and any(one is None for one in args)):
            return self._refuse(args[:split])
        static = _hashable(args[split:])
        named = {key: _hashable(value) for key, value in _spelled(kwargs).items()}
        looked = self.guard is not None and self.guard(*operands, *static, **named)
        if launcher.grad_enabled() and any(requires_grad(one) for one in operands):
            result = self.differentiable(operands, static, named)
            if not looked and not self.inplace and all(map(operator.is_, operands, args)):
                bound = self.bind(operands, static, named)
                self.make_known(bound, args, kwargs, result, self._after(bound, operands))
            return result
        bound = self.bind(operands, static, named)
        try:
            result = self.run(bound, operands)
        except launcher.LaunchRefused:
            wide = _wide_integers(bound.entry, operands)
            if wide is None:
                raise
            return self.answer(*wide, *args[split:], **kwargs)
        if not looked and not (self.inplace and bound.installed):
            # Once is enough in place: targets with a version counter come here at each call.
            bound.installed = self.make_known(bound, args, kwargs, result)
        return result

    def make_known(
        self, bound: Bound, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any,
        after: Callable[..., None] | None = None,
    ) -> bool:  # fmt: skip
        """Let the launcher run calls like this one; return whether it does."""
        return bound.device == "cpu" and launcher.install(self.call, args, kwargs, bound.entry, after)

    def _after(self, bound: Bound, operands: Sequence[Any]) -> Callable[..., None] | None:
        """Return what puts a call on the tape when the launcher has run it; None where nothing is differentiable."""
        plan = bound.backward[tuple(map(requires_grad, operands))]
        return None if plan is None else _tape().recorder(plan, len(operands))

    def _refuse(self, args: Sequence[Any]) -> Any:
        """Return NotImplemented from an operator, so that Python asks the other side; a function raises TypeError."""
        if self.is_operator:
            return NotImplemented
        types = ", ".join(type(one).__name__ for one in args)
        raise TypeError(
            f"{self.name}: operands of types {types}; it takes tensors, arrays, numbers and lists of numbers"
        )

    def as_operator(self) -> Operation:
        """Return the operation in the form that stands behind one of Python's operators."""
        twin = copy.copy(self)
        twin.is_operator = True
        twin.call = launcher.function(self.name, max(self.operands, 0), twin.miss, variadic=self.operands < 0)
        return twin

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return the arguments with operands that were given by keyword in their places, taken out of `kwargs`."""
        given = list(args)
        for name in self.names[len(args) :]:
            if name not in kwargs:
                break
            given.append(kwargs.pop(name))
        missing = [name for name in self.names if name in kwargs]
        if missing:
            raise TypeError(f"{self.name}: operand {missing[0]!r} is given by keyword, but one before it is missing")
        return tuple(given)

    def bind(self, operands: Sequence[Any], static: tuple, named: dict[str, Any]) -> Bound:
        """Return the bound kernel of a signature."""
        signature = (tuple(map(_key, operands)), _frozen(static), tuple((k, _frozen(named[k])) for k in sorted(named)))
        found = self.bound.get(signature)
        if found is None:
            if len(self.bound) >= MAX_SIGNATURES:
                # Shapes that keep changing must not fill the memory; what is compiled stays loaded.
                self.bound.clear()
            found = self.bound[signature] = self._bind(operands, static, named)
        return found

    def trace(self, operands: Sequence[Any], static: tuple, named: dict[str, Any]) -> Kernel:
        """Record the operation for operands like these."""
        leaves: list[Any] = []
        for position, one in enumerate(operands):
            if one is None:
                leaves.append(None)
            elif type(one) in (bool, int, float):
                leaves.append(build.scalar(position, type(one)))
            else:
                parts = one._layout.parts
                leaves.append(build.array(position, parts.dtype, parts.shape))
        inputs = tuple(leaf for leaf in leaves if leaf is not None)
        with recording():
            for position, one in enumerate(operands):
                if _is_complex(one):
                    leaves[position] = pairs.split(leaves[position])
            # Where there is no array among the operands, `device` says where to run; it is nothing to record.
            keywords = {k: v for k, v in named.items() if k != "device"}
            try:
                result = self.record(*leaves, *static, **keywords)
            except TypeError:
                self._check_arguments(leaves, static, keywords)
                raise
            outputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
            outputs = tuple(_settled(one, self.name) for one in outputs)
            paired = frozenset(k for k, one in enumerate(outputs) if one.op is build.PAIR)
            outputs = tuple(pairs.joined(one) if k in paired else one for k, one in enumerate(outputs))
        where = "{}:{}".format(*caller())
        return verify.checked(Kernel(self.name, inputs, outputs, where, paired), "recording")

    def _check_arguments(self, leaves: Sequence[Any], static: tuple, keywords: dict[str, Any]) -> None:
        """Raise a TypeError that shows what the operation takes, where the arguments do not fit it."""
        record: Any = self.record
        if isinstance(record, Op):
            record = functools.partial(record.record or record, record)
        signature = inspect.signature(record)
        try:
            given = signature.bind(*leaves, *static, **keywords).arguments
        except TypeError as error:
            bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
            raise TypeError(f"{self.name}{inspect.Signature(bare)}: {error}") from None
        for name, value in given.items():
            if hasattr(value, "__dlpack__"):
                raise TypeError(
                    f"{self.name}: {name!r} is given an array, but parameters with a default are static, unless it is "
                    "a float; one for an array has no default"
                ) from None

    def _bind(self, operands: Sequence[Any], static: tuple, named: dict[str, Any]) -> Bound:
        kernel = self.trace(operands, static, named)
        layouts: list[Layout | None] = [_layout(one) for one in operands]
        device = common_device(self.name, layouts) or named.get("device", "cpu")
        aliases = [self.inplace[k] if k < len(self.inplace) else -1 for k in range(len(kernel.outputs))]
        for result, alias in zip(results_of(kernel), aliases, strict=True):
            if alias >= 0:
                self._check_target(result, operands[alias])
        if device == "cpu":
            # The code generator is imported by the first call that needs a kernel: it is a tenth of the import.
            from trueno.runtime import cpu, tuned

            tuned.restore()
            return Bound(kernel, cpu.bind(kernel, layouts, aliases), device)
        from trueno.runtime import opencl_device

        return Bound(kernel, opencl_device.bind(kernel, layouts, aliases, device), device)

    def _check_target(self, result: Layout, target: Any) -> None:
        if target._layout.readonly:
            raise ValueError(
                f"{self.name}: output array is read-only: it shares memory that only may be read, or was broadcast "
                f"(shape {target.shape}, dtype {target.dtype}); write into a copy"
            )
        if result.shape != target.shape:
            raise ValueError(
                f"{self.name}: non-broadcastable output: the target has shape {target.shape}, the result {result.shape}"
            )
        if result.dtype != target.dtype:
            raise TypeError(
                f"{self.name}: cannot write a result of dtype {result.dtype} into an array of {target.dtype}"
            )

    def run(self, bound: Bound, operands: Sequence[Any]) -> Any:
        """Run a bound kernel, taking care of in-place targets."""
        changed = [operands[alias] for alias in self.inplace]
        if not changed:
            return self._launch(bound, operands)
        where = calling()
        plain = [one._alias() if is_tensor(one) else one for one in operands]
        for k, one in enumerate(plain):
            if is_tensor(one) and k not in self.inplace and any(partly_overlaps(one, t) for t in changed):
                plain[k] = copied(one)
        made = self._launch(bound, plain)
        for target in changed:
            bump_version(target, where)
        if len(bound.kernel.outputs) == 1:
            return changed[0]
        return (*changed, *made[len(changed) :])

    def _launch(self, bound: Bound, operands: Sequence[Any]) -> Any:
        if bound.device == "cpu":
            return launcher.invoke(bound.entry, tuple(operands))
        return bound.entry(operands)

    # --- differentiation ----------------------------------------------------------------------------------------------

    def differentiable(self, operands: Sequence[Any], static: tuple, named: dict[str, Any]) -> Any:
        """Run forward and put a node on the tape."""
        bound = self.bind(operands, static, named)
        needs = tuple(requires_grad(one) for one in operands)
        if self.inplace:
            for alias in self.inplace:
                check_target(operands[alias], self.name)
        if needs not in bound.backward:
            bound.backward[needs] = self._plan_backward(bound.kernel, needs, list(map(_is_complex, operands)))
        plan = bound.backward[needs]
        if plan is not None:
            plan.view = bound.device == "view"
        saved_inputs = operands if not self.inplace or plan is None else kept_operands(operands, plan, self.inplace)
        history = [getattr(one, "_autograd", None) if need else None for one, need in zip(operands, needs, strict=True)]
        result = self.run(bound, operands)
        targets = [operands[alias] for alias in self.inplace]
        if plan is not None:
            outputs = result if isinstance(result, tuple) else (result,)
            _tape().record_node(plan, saved_inputs, history, outputs, targets)
        elif targets:
            _tape().record_constants(targets)
        return result

    def _plan_backward(self, kernel: Kernel, needs: tuple[bool, ...], paired: Sequence[bool]) -> BackwardPlan | None:
        count, results = len(needs), len(kernel.outputs)
        leaves = {leaf.arg: leaf for leaf in kernel.inputs if leaf.op is build.INPUT}
        wrt = [position for position, need in enumerate(needs) if need]
        incoming = [
            build.array(count + k, node.dtype, node.shape) if dt.is_floating(node.dtype) else None
            for k, node in enumerate(kernel.outputs)
        ]
        with recording():
            found = gradients(kernel.outputs, incoming, [leaves[position] for position in wrt])
            targets = [position for position, g in zip(wrt, found, strict=True) if g is not None]
            if not targets:
                return None
            stored = {
                id(node): build.array(count + results + k, node.dtype, node.shape)
                for k, node in enumerate(kernel.outputs) if node.src and k >= len(self.inplace)
            }  # fmt: skip
            outputs = substitute(tuple(g for g in found if g is not None), stored)
            outputs, picks, inputs = _renumbered(outputs, count, results)
        complex_outputs = frozenset(k for k, position in enumerate(targets) if paired[position])
        backward = Kernel(f"{kernel.name}_backward", inputs, outputs, kernel.origin, complex_outputs)
        return BackwardPlan(from_kernel(backward), picks, targets, self.name, targets == list(range(count)))


def _renumbered(outputs: tuple[Node, ...], count: int, results: int) -> tuple[tuple[Node, ...], list, tuple[Node, ...]]:
    """Number the leaves that occur from 0 and say where each operand comes from."""
    order: dict[int, int] = {}
    picks: list[tuple[str, int]] = []
    places: dict[int, Node] = {}
    inputs: list[Node] = []
    for node in topological(outputs):
        if node.op not in (build.INPUT, build.SCALAR):
            continue
        weak = isinstance(node.arg, tuple)
        old = node.arg[0] if weak else node.arg
        if old not in order:
            order[old] = len(picks)
            kind, index = ("in", old) if old < count else ("grad", old - count)
            picks.append((kind, index) if index < results or kind == "in" else ("out", index - results))
        arg = (order[old], node.arg[1]) if weak else order[old]
        places[id(node)] = leaf = Node(node.op, (), node.dtype, node.shape, arg)
        inputs.append(leaf)
    return substitute(outputs, places), picks, tuple(inputs)


def from_kernel(kernel: Kernel) -> Operation:
    """Return an operation that runs a recorded kernel on operands of the same shapes."""

    def record(*operands: Any) -> tuple[Node, ...]:
        places = {}
        for leaf in kernel.inputs:
            given = operands[leaf.arg[0] if isinstance(leaf.arg, tuple) else leaf.arg]
            given = pairs.joined(given) if is_complex(given) else given
            places[id(leaf)] = build.as_node(given, leaf.dtype)
        outputs = substitute(kernel.outputs, places)
        return tuple(pairs.split(one) if k in kernel.complex_outputs else one for k, one in enumerate(outputs))

    return Operation(kernel.name, record)


# --- operands ---------------------------------------------------------------------------------------------------------


def _layout(value: Any) -> Layout | None:
    return value._layout if is_tensor(value) else None


def _key(value: Any) -> Any:
    return value._layout if is_tensor(value) else type(value)


def _as_operands(args: Sequence[Any], name: str) -> Any:
    """Return arrays as tensors, Python numbers as they are; NotImplemented for what is neither."""
    from trueno.creation import from_numpy, tensor

    result: list[Any] = []
    for one in args:
        if is_tensor(one) or type(one) in (bool, int, float) or one is None:
            result.append(one)
        elif isinstance(one, (np.ndarray, np.generic)):
            result.append(from_numpy(np.asarray(one)))
        elif isinstance(one, (int, float)):
            result.append(int(one) if isinstance(one, int) else float(one))
        elif isinstance(one, (list, tuple)):
            result.append(tensor(one, floating=_floats_of_lists(args)))
        elif isinstance(one, complex):
            result.append(one)
        else:
            return NotImplemented
    if any(type(one) is complex for one in result):
        # The launcher passes no complex scalars: they become arrays of the dtype that they would promote to.
        dtype = promotion.common(tuple(_given(one) for one in result if one is not None))
        result = [tensor(one, dtype) if type(one) is complex else one for one in result]
    return result


def _floats_of_lists(args: Sequence[Any]) -> np.dtype:
    """Return what the floats of lists become: float32 beside narrow floats, else float64, so that they lose nothing."""
    given = [one.dtype for one in args if is_tensor(one) or isinstance(one, (np.ndarray, np.generic))]
    inexact = [one for one in given if dt.is_inexact(one)]
    narrow = bool(inexact) and dt.float64 not in map(dt.real_of, inexact)
    return dt.float32 if narrow or not given else dt.float64


def _is_complex(value: Any) -> bool:
    return is_tensor(value) and dt.is_complex(value._layout.dtype)


def _given(value: Any) -> Any:
    return value.dtype if is_tensor(value) else type(value)


def _wide_integers(entry: Any, operands: Sequence[Any]) -> list[Any] | None:
    """Return the operands with integers that only uint64 holds as arrays of it; None where there are none.

    Raises
    ------
    OverflowError
        For an integer that the dtype it meets does not hold.
    """
    from trueno.creation import from_numpy

    result, changed = list(operands), False
    for slot in entry.scalars:
        value = operands[slot.operand] if slot.operand >= 0 else None
        if slot.kind != "i" or type(value) is not int or slot.low <= value <= slot.high:
            continue
        unsigned = slot.low == 0 and slot.high == 2**63 - 1
        if not unsigned or not 0 <= value < 2**64:
            bits = (slot.high - slot.low).bit_length() if not unsigned else 64
            dtype = f"{'uint' if slot.low == 0 else 'int'}{bits}"
            raise OverflowError(f"Python integer {value} out of bounds for {dtype}")
        result[slot.operand], changed = from_numpy(np.asarray(value, dt.uint64)), True
    return result if changed else None


_SPELLING = {"dim": "axis", "keepdim": "keepdims"}


def _spelled(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments with PyTorch's spellings replaced by NumPy's."""
    if not kwargs:
        return kwargs
    return {_SPELLING.get(key, key): value for key, value in kwargs.items()}


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(one) for one in value)
    return int(value) if isinstance(value, np.integer) else value


def _frozen(value: Any) -> Any:
    """Return static arguments as a key: slices are hashable only from Python 3.12 on, and 1 is not True."""
    if isinstance(value, tuple):
        return tuple(_frozen(one) for one in value)
    if isinstance(value, slice):
        return slice, _frozen(value.start), _frozen(value.stop), _frozen(value.step)
    return (type(value), value) if isinstance(value, (bool, int, float)) else value


def _settled(value: Any, name: str) -> Node:
    """Return a recorded result as a node of a definite dtype."""
    if not isinstance(value, Node):
        given = build.given_type(value)
        dtype = promotion.common((given,))
        return build.const(value, dtype)
    return build.cast(value, dtype=value.dtype) if build.node_is_weak(value) else value


def common_device(name: str, layouts: Sequence[Layout | None]) -> str | None:
    """Return the one device of the operands, or None when there is no array among them.

    Raises
    ------
    RuntimeError
        When they are on several devices.
    """
    devices = {layout.device for layout in layouts if layout is not None}
    if len(devices) > 1:
        raise RuntimeError(
            f"{name}: operands are on different devices, {' and '.join(sorted(devices))}; move one with .to(device)"
        )
    return devices.pop() if devices else None


@functools.cache
def _tape() -> ModuleType:
    """Return the module of the tape, which is built on this one."""
    return importlib.import_module("trueno.autograd")
