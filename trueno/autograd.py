"""Reverse-mode automatic differentiation: a tape of kernels with PyTorch's semantics."""

from __future__ import annotations

import heapq
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator
from functools import cache
from types import CodeType
from typing import TYPE_CHECKING, Any

from trueno import dtypes as dt
from trueno.runtime import launcher
from trueno.runtime.inplace import Patch, Version, address, counter_of, current, untouched
from trueno.runtime.operation import PACKAGE, BackwardPlan, Operation, place

if TYPE_CHECKING:
    from trueno.runtime.layout import Layout
    from trueno.tensor import Tensor

_sequence = itertools.count()


class Autograd:
    """What a tensor that requires a gradient carries.

    Attributes
    ----------
    node : GradNode or None
        The operation that made the tensor; None for a leaf.
    index : int
        Which of its results the tensor is.
    grad : Tensor or None
    hooks : dict
    retains : bool
        Whether a non-leaf keeps its gradient.
    """

    # Most results of operations never get these: they stay with the class until they are set.
    grad: Tensor | None = None
    hooks: dict[int, Callable] | None = None
    retains = False

    def __init__(self, node: GradNode | None = None, index: int = 0) -> None:
        self.node = node
        self.index = index


class _Saved:
    """What is kept of a tensor for backward, with the version it had.

    `history` is the number of the result that the tensor is, where it is one of the recorded operation's own: its
    `Autograd` would close a cycle.
    """

    __slots__ = ("count", "history", "layout", "storage", "version")

    def __init__(self, tensor: Tensor, history: Autograd | int | None) -> None:
        self.count = counter_of(tensor).count
        self.version = tensor._version
        self.storage, self.layout, self.history = tensor._storage, tensor._layout, history


class GradNode:
    """One recorded operation of the tape."""

    __slots__ = ("code", "edges", "instruction", "plan", "saved", "sequence")

    def __init__(
        self, plan: BackwardPlan, edges: Sequence[Autograd | None], saved: list[Any], code: CodeType, instruction: int
    ) -> None:
        self.plan = plan
        self.edges = edges
        self.saved: list[Any] | None = saved
        self.code = code
        self.instruction = instruction
        self.sequence = next(_sequence)

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.plan.name

    @property
    def layouts(self) -> list[Layout]:
        """Layouts of the operation's results."""
        assert self.plan.layouts is not None
        return self.plan.layouts

    def __repr__(self) -> str:
        return f"<{self.name} backward, recorded at {place(self.code, self.instruction)}>"

    def unpack(self, owners: Sequence[Autograd | None]) -> list[Any]:
        """Return the saved operands; `owners` are those of the results.

        Raises
        ------
        RuntimeError
            When the graph was freed, or a saved tensor was changed in place since.
        """
        if self.saved is None:
            raise RuntimeError(
                f"backward through {self.name} a second time: its saved tensors were freed after the first; "
                "pass retain_graph=True to the first backward()"
            )
        result: list[Any] = []
        tensors = _tensors()
        for one in self.saved:
            if type(one) is not _Saved:
                result.append(one)
                continue
            counter = one.version.counter
            if counter.count != one.count:
                changed = place(*counter.where) if counter.where else "an unknown line"
                raise RuntimeError(
                    f"backward of {self.name}: a tensor of shape {one.layout.shape}, dtype {one.layout.dtype}, that "
                    f"was saved at {place(self.code, self.instruction)} (version {one.count}) was changed in place at "
                    f"{changed} (now version {counter.count}); change a copy of it (clone()) instead"
                )
            tensor = tensors.wrap(one.storage, one.layout)
            tensor._version = one.version
            if type(one.history) is int:
                tensor._autograd = owners[one.history] or Autograd(self, one.history)
            elif one.history is not None:
                tensor._autograd = one.history
            result.append(tensor)
        return result


class GradientRule:
    """What the tape calls for the gradients of an operation that is no kernel."""

    def __init__(self, call: Callable[[Tensor], Any]) -> None:
        self.call = call


def record_node(
    plan: BackwardPlan, operands: Sequence[Any], history: Sequence[Autograd | None], outputs: Sequence[Tensor],
    written: Sequence[Tensor] = (),
) -> None:  # fmt: skip
    """Put an operation on the tape and mark its results as requiring a gradient.

    Parameters
    ----------
    plan : BackwardPlan
    operands : sequence
    history : sequence of Autograd or None
        Of the operands, before the operation ran.
    outputs : sequence of Tensor
    written : sequence of Tensor
        Those of the outputs that are operands changed in place.
    """
    layouts = plan.layouts
    if layouts is None:
        layouts = plan.layouts = [one._layout for one in outputs]
    saved: list[Any] = [None] * len(plan.picks) if plan.kept else plan.nothing
    edges = history if plan.all_targets else [history[target] for target in plan.targets]
    # The line that asked is the nearest frame outside Trueno, usually the caller's caller. Its code and instruction say
    # where that is, should anybody want to know, at a third of what a line number costs.
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    node = GradNode(plan, edges, saved, frame.f_code, frame.f_lasti)
    if len(layouts) == 1:
        outputs[0]._autograd = Autograd(node)
    else:
        for k, layout in enumerate(layouts):
            if dt.is_inexact(layout.dtype):
                outputs[k]._autograd = Autograd(node, k)
    for one in written:
        _note_write(one)
    for position, kind, index in plan.kept:
        if kind == "out":
            saved[position] = _Saved(outputs[index], index if hasattr(outputs[index], "_autograd") else None)
        else:
            one = operands[index]
            saved[position] = _Saved(one, history[index]) if hasattr(one, "_layout") else one


def record_constants(written: Sequence[Tensor]) -> None:
    """Note that an operation without a gradient has changed tensors in place: they have no history any more."""
    for one in written:
        if hasattr(one, "_autograd"):
            del one._autograd
        _note_write(one)


def _note_write(tensor: Tensor) -> None:
    """End the version of a tensor that was written to on the tape: what shares its memory is stale from now on."""
    old: Version | None = getattr(tensor, "_version", None)
    if old is None:
        return
    owner, counter = getattr(tensor, "_autograd", None), counter_of(tensor)
    while hasattr(old, "next"):
        old = old.next
    base = old()
    new = Version(tensor if base is None else base)
    new.counter, new.written = counter, True
    old.patch, old.next = Patch(address(tensor), tensor._layout, owner), new
    tensor._version = new if owner is not None else untouched(new, tensor)


def recorder(plan: BackwardPlan, count: int) -> Callable[..., None]:
    """Return the function that puts a call on the tape when it has run, given its result and its arguments.

    Parameters
    ----------
    plan : BackwardPlan
    count : int
        How many of the arguments are operands.
    """

    def record(result: Any, *args: Any) -> None:
        operands = args if len(args) == count else args[:count]
        history = [getattr(one, "_autograd", None) for one in operands]
        record_node(plan, operands, history, result if type(result) is tuple else (result,))

    return record


# --- running backward -------------------------------------------------------------------------------------------------


def _apply_hooks(owner: Autograd, gradient: Tensor) -> Tensor:
    if owner.hooks:
        for hook in list(owner.hooks.values()):
            replaced = hook(gradient)
            if replaced is not None:
                gradient = replaced
    return gradient


class _Pass:
    """One run of backward over the tape."""

    def __init__(self, retain_graph: bool, create_graph: bool, wanted: Sequence[Autograd] | None) -> None:
        self.retain, self.create = retain_graph or create_graph, create_graph
        # For each node its gradients, and the owners of the results that they arrived at.
        self.pending: dict[int, tuple[list[Any], list[Any]]] = {}
        self.heap: list[tuple[int, GradNode]] = []
        self.leaves: dict[int, tuple[Autograd, Tensor]] = {}
        self.wanted = None if wanted is None else {id(one) for one in wanted}
        self.found: dict[int, Tensor] = {}

    def arrive(self, owner: Autograd, gradient: Tensor) -> None:
        node = owner.node
        if node is None:
            before = self.leaves.get(id(owner))
            self.leaves[id(owner)] = (owner, gradient if before is None else before[1] + gradient)
            return
        found = self.pending.get(id(node))
        if found is None:
            count = len(node.layouts)
            found = self.pending[id(node)] = [None] * count, [None] * count
            heapq.heappush(self.heap, (-node.sequence, node))
        slots, owners = found
        index = owner.index
        slots[index] = gradient if slots[index] is None else slots[index] + gradient
        owners[index] = owner

    def run(self) -> None:
        while self.heap:
            _, node = heapq.heappop(self.heap)
            self._step(node, *self.pending.pop(id(node)))
        for owner, gradient in self.leaves.values():
            final = _apply_hooks(owner, gradient)
            if self.wanted is None:
                owner.grad = final if owner.grad is None else owner.grad + final
            elif id(owner) in self.wanted:
                self.found[id(owner)] = final

    def _step(self, node: GradNode, slots: list[Any], owners: list[Any]) -> None:
        for k, owner in enumerate(owners):
            if owner is None:
                layout = node.layouts[k]
                if node.plan.fills and ("grad", k) in node.plan.picks:
                    slots[k] = _tensors().zeros(layout.shape, dtype=layout.dtype, device=layout.device)
                continue
            if owner.hooks:
                slots[k] = _apply_hooks(owner, slots[k])
            if self.wanted is not None and id(owner) in self.wanted:
                self.found[id(owner)] = slots[k]
            if owner.retains and self.wanted is None:
                owner.grad = slots[k] if owner.grad is None else owner.grad + slots[k]
        operands = node.unpack(owners)
        for position, (kind, index) in enumerate(node.plan.picks):
            if kind == "grad":
                operands[position] = slots[index]
        result = node.plan.operation.call(*operands)
        if not self.retain:
            node.saved = None
        for owner, gradient in zip(node.edges, result if isinstance(result, tuple) else (result,), strict=True):
            if owner is not None:
                self.arrive(owner, gradient)


@cache
def _tensors() -> Any:
    """Return the module that makes tensors, which are built on this one."""
    return importlib.import_module("trueno.creation")


@cache
def _one(layout: Layout) -> Tensor:
    """Return 1 in the shape, dtype and device of a layout."""
    return _tensors().ones(layout.shape, dtype=layout.dtype, device=layout.device)


def _start(tensors: Sequence[Tensor], gradients: Sequence[Any], one_pass: _Pass) -> None:
    module = _tensors()
    for tensor, given in zip(tensors, gradients, strict=True):
        owner = current(tensor)
        if owner is None:
            raise RuntimeError(
                f"backward: a tensor of shape {tensor.shape}, dtype {tensor.dtype}, does not require a gradient; "
                "call requires_grad_() on what it is computed from"
            )
        if given is None:
            if tensor.size != 1:
                raise RuntimeError(
                    "backward: a gradient can be made up only for a tensor of one element, not for shape "
                    f"{tensor.shape}; pass one of the tensor's shape"
                )
            if dt.is_complex(tensor.dtype):
                raise RuntimeError(
                    f"backward: a gradient can be made up only for real numbers, not for {tensor.dtype}; pass one, or "
                    "differentiate abs, real or imag of the tensor"
                )
            gradient = _one(tensor._layout).clone()
        else:
            gradient = module.asarray(given, dtype=tensor.dtype)
            if gradient.shape != tensor.shape:
                raise RuntimeError(f"backward: gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}")
        one_pass.arrive(owner, gradient)


def _listed(value: Any) -> list[Any]:
    """Return one tensor or a sequence of them as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def backward(
    tensors: Tensor | Sequence[Tensor], gradients: Any = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Accumulate the gradients of tensors into the ``grad`` of the leaves they depend on.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
    gradients : Tensor or sequence, optional
        The gradient of some scalar with respect to each tensor; 1 for tensors of one element when omitted.
    retain_graph : bool
        Keep the saved tensors, so that backward can run again.
    create_graph : bool
        Record the backward computation too, for gradients of higher order.

    Raises
    ------
    RuntimeError
    """
    many = _listed(tensors)
    given = gradients if isinstance(gradients, (list, tuple)) else [gradients] * len(many)
    one_pass = _Pass(retain_graph, create_graph, None)
    before = launcher.set_grad_enabled(create_graph)
    try:
        _start(many, given, one_pass)
        one_pass.run()
    finally:
        launcher.set_grad_enabled(before)


def grad(
    outputs: Tensor | Sequence[Tensor], inputs: Tensor | Sequence[Tensor], grad_outputs: Any = None,
    retain_graph: bool | None = None, create_graph: bool = False, allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Return the gradients of outputs with respect to inputs, leaving every ``grad`` alone.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
    grad_outputs : Tensor or sequence, optional
    retain_graph : bool, optional
        By default what `create_graph` is.
    create_graph : bool
    allow_unused : bool
        Give None for an input that the outputs do not depend on, instead of an error.

    Returns
    -------
    tuple of Tensor or None
    """
    many = _listed(outputs)
    wanted = _listed(inputs)
    given = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(many)
    owners: list[Autograd] = []
    for one in wanted:
        owner = current(one)
        if owner is None:
            raise RuntimeError(f"grad: an input of shape {one.shape} does not require a gradient")
        owners.append(owner)
    one_pass = _Pass(create_graph if retain_graph is None else retain_graph, create_graph, owners)
    with set_grad_enabled(create_graph):
        _start(many, given, one_pass)
        one_pass.run()
    result = tuple(one_pass.found.get(id(owner)) for owner in owners)
    if not allow_unused and any(one is None for one in result):
        raise RuntimeError(
            "grad: an input was not used in the graph of the outputs; pass allow_unused=True to get None"
        )
    return result


# --- modes ------------------------------------------------------------------------------------------------------------


class set_grad_enabled(ContextDecorator):
    """Switch recording on or off, at once and, as a context manager or decorator, until the end of the block."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.before = launcher.set_grad_enabled(mode)

    def __enter__(self) -> set_grad_enabled:
        launcher.set_grad_enabled(self.mode)
        return self

    def __exit__(self, *exc: object) -> None:
        launcher.set_grad_enabled(self.before)


class _Mode(ContextDecorator):
    _mode = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> _Mode:
        self._before.append(launcher.set_grad_enabled(self._mode))
        return self

    def __exit__(self, *exc: object) -> None:
        launcher.set_grad_enabled(self._before.pop())


class no_grad(_Mode):
    """Context manager and decorator: operations inside are not recorded."""

    _mode = False


class enable_grad(_Mode):
    """Context manager and decorator: operations inside are recorded, also within `no_grad`."""


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require a gradient are recorded."""
    return launcher.grad_enabled()


class Handle:
    """What `register_hook` returns: remove() takes the hook away."""

    def __init__(self, hooks: dict[int, Callable], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Remove the hook."""
        self._hooks.pop(self._key, None)


# --- checking gradients -----------------------------------------------------------------------------------------------


def _perturbed(function: Callable, inputs: Sequence[Tensor], which: int, eps: float) -> Iterator[tuple[int, list[Any]]]:
    import numpy as np

    from trueno.creation import from_numpy

    base = np.array(inputs[which].detach().numpy(), copy=True)
    for position in range(base.size):
        results = []
        for step in (eps, -eps):
            moved = base.copy()
            moved.reshape(-1)[position] += step
            operands = [from_numpy(moved) if k == which else one.detach() for k, one in enumerate(inputs)]
            with no_grad():
                value = function(*operands)
            many = value if isinstance(value, tuple) else (value,)
            results.append([np.array(one.detach().numpy(), dtype=np.float64) for one in many])
        yield position, [(a - b) / (2 * eps) for a, b in zip(*results, strict=True)]


def gradcheck(
    function: Callable, inputs: Tensor | Sequence[Tensor], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Compare the gradients of a function with central differences.

    Parameters
    ----------
    function : callable
        From tensors to a tensor or a tuple of them.
    inputs : Tensor or sequence of Tensor
        Of float64; those that require a gradient are checked.
    eps, atol, rtol : float
    raise_exception : bool
        Raise instead of returning False.

    Returns
    -------
    bool

    Raises
    ------
    RuntimeError
        Naming output, input and the two Jacobian entries that differ most.
    """
    import numpy as np

    from trueno.creation import from_numpy

    many = _listed(inputs)
    value = function(*many)
    outputs = [one for one in (value if isinstance(value, tuple) else (value,)) if one.requires_grad]
    checked = [k for k, one in enumerate(many) if one.requires_grad]
    if not outputs or not checked:
        raise ValueError("gradcheck: no input or no output requires a gradient")
    all_outputs = list(value) if isinstance(value, tuple) else [value]
    for which in checked:
        columns = dict(_perturbed(function, many, which, eps))
        for k, output in enumerate(all_outputs):
            if not output.requires_grad:
                continue
            numeric = np.zeros((many[which].size, output.size))
            for position, slopes in columns.items():
                numeric[position] = slopes[k].reshape(-1)
            analytic = np.zeros_like(numeric)
            for position in range(output.size):
                seed = np.zeros(output.size)
                seed[position] = 1.0
                (g,) = grad(
                    output, many[which], from_numpy(seed.reshape(output.shape)), retain_graph=True, allow_unused=True
                )
                if g is not None:
                    analytic[:, position] = g.detach().numpy().reshape(-1)
            if not np.allclose(analytic, numeric, rtol=rtol, atol=atol):
                worst = np.unravel_index(np.argmax(np.abs(analytic - numeric)), numeric.shape)
                if not raise_exception:
                    return False
                raise RuntimeError(
                    f"gradcheck: output {k}, input {which}: d out[{worst[1]}] / d in[{worst[0]}] is "
                    f"{analytic[worst]} by backward and {numeric[worst]} by differences (shapes {output.shape} and "
                    f"{many[which].shape})"
                )
    return True


def gradgradcheck(
    function: Callable, inputs: Tensor | Sequence[Tensor], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Compare second derivatives with differences of the first ones; see `gradcheck`."""
    import numpy as np

    from trueno.creation import from_numpy

    many = _listed(inputs)
    checked = [k for k, one in enumerate(many) if one.requires_grad]
    value = function(*many)
    outputs = value if isinstance(value, tuple) else (value,)
    generator = np.random.default_rng(0)
    seeds = [from_numpy(generator.uniform(0.5, 1.5, one.shape)).requires_grad_() for one in outputs]

    def first(*operands: Tensor) -> tuple[Tensor, ...]:
        with enable_grad():
            arguments = [
                one if one.requires_grad or k not in checked else one.detach().requires_grad_()
                for k, one in enumerate(operands[: len(many)])
            ]
            value_ = function(*arguments)
            outs = value_ if isinstance(value_, tuple) else (value_,)
            kept = [(one, seed) for one, seed in zip(outs, operands[len(many) :], strict=True) if one.requires_grad]
            found = grad(
                [one for one, _ in kept], [arguments[k] for k in checked], [seed for _, seed in kept],
                create_graph=True, allow_unused=True,
            )  # fmt: skip
        return tuple(one for one in found if one is not None)

    return gradcheck(first, [*many, *seeds], eps, atol, rtol, raise_exception)


__all__ = [
    "Operation", "backward", "enable_grad", "grad", "gradcheck", "gradgradcheck", "is_grad_enabled", "no_grad",
    "set_grad_enabled",
]  # fmt: skip
