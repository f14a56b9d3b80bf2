"""Reverse-mode automatic differentiation: a tape of kernels with PyTorch's semantics."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

from trueno import dtypes as dt
from trueno.runtime import launcher
from trueno.runtime.operation import BackwardPlan, Operation, caller, version_of

if TYPE_CHECKING:
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

    __slots__ = ("__weakref__", "grad", "hooks", "index", "node", "retains")

    def __init__(self, node: GradNode | None = None, index: int = 0) -> None:
        self.node, self.index = node, index
        self.grad: Tensor | None = None
        self.hooks: dict[int, Callable] | None = None
        self.retains = False


class _Saved:
    """A tensor kept for backward, with the version it had."""

    __slots__ = ("count", "history", "tensor")

    def __init__(self, tensor: Tensor, history: Autograd | None) -> None:
        self.count = version_of(tensor).count
        self.tensor = tensor._alias()
        self.tensor._version = tensor._version
        self.history = history


class GradNode:
    """One recorded operation of the tape."""

    __slots__ = ("edges", "layouts", "name", "outputs", "plan", "saved", "sequence", "where")

    def __init__(self, name: str, plan: BackwardPlan, where: tuple[str, int]) -> None:
        self.name, self.plan, self.where = name, plan, where
        self.sequence = next(_sequence)
        self.edges: list[Autograd | None] = []
        self.saved: list[Any] | None = []
        self.layouts: list[Any] = []
        self.outputs: list[Autograd | None] = []

    def __repr__(self) -> str:
        return f"<{self.name} backward, recorded at {self.where[0]}:{self.where[1]}>"

    def unpack(self) -> list[Any]:
        """Return the saved operands.

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
        for one in self.saved:
            if not isinstance(one, _Saved):
                result.append(one)
                continue
            version = one.tensor._version
            if version.count != one.count:
                changed = "{}:{}".format(*version.where) if version.where else "an unknown line"
                raise RuntimeError(
                    f"backward of {self.name}: a tensor of shape {one.tensor.shape}, dtype {one.tensor.dtype}, that was "
                    f"saved at {self.where[0]}:{self.where[1]} (version {one.count}) was changed in place at {changed} "
                    f"(now version {version.count}); change a copy of it (clone()) instead"
                )
            tensor = one.tensor._alias()
            if one.history is not None:
                tensor._autograd = one.history
            result.append(tensor)
        return result


def record_node(
    name: str, plan: BackwardPlan, operands: Sequence[Any], history: Sequence[Autograd | None], outputs: Sequence[Tensor]
) -> None:
    """Put an operation on the tape and mark its results as requiring a gradient."""
    node = GradNode(name, plan, caller())
    node.edges = [history[target] for target in plan.targets]
    node.layouts = [one._layout for one in outputs]
    for k, one in enumerate(outputs):
        if dt.is_floating(one._layout.dtype):
            one._autograd = made = Autograd(node, k)
            node.outputs.append(made)
        else:
            node.outputs.append(None)
    saved: list[Any] = []
    for kind, index in plan.picks:
        if kind == "in":
            one = operands[index]
            saved.append(_Saved(one, history[index]) if hasattr(one, "_layout") else one)
        elif kind == "out":
            saved.append(_Saved(outputs[index], node.outputs[index]))
        else:
            saved.append(None)
    node.saved = saved


# --- running backward -------------------------------------------------------------------------------------------------------


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
        self.pending: dict[int, list[Any]] = {}
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
        slots = self.pending.get(id(node))
        if slots is None:
            slots = self.pending[id(node)] = [None] * len(node.layouts)
            heapq.heappush(self.heap, (-node.sequence, node))
        before_ = slots[owner.index]
        slots[owner.index] = gradient if before_ is None else before_ + gradient

    def run(self) -> None:
        while self.heap:
            _, node = heapq.heappop(self.heap)
            self._step(node, self.pending.pop(id(node)))
        for owner, gradient in self.leaves.values():
            final = _apply_hooks(owner, gradient)
            if self.wanted is None:
                owner.grad = final if owner.grad is None else owner.grad + final
            elif id(owner) in self.wanted:
                self.found[id(owner)] = final

    def _step(self, node: GradNode, slots: list[Any]) -> None:
        from trueno.tensor import zeros  # noqa: PLC0415 - tensors are built on autograd

        for k, owner in enumerate(node.outputs):
            if owner is None:
                continue
            if slots[k] is None:
                layout = node.layouts[k]
                if ("grad", k) in node.plan.picks:
                    slots[k] = zeros(layout.shape, dtype=layout.dtype, device=layout.device)
                continue
            slots[k] = _apply_hooks(owner, slots[k])
            if self.wanted is not None and id(owner) in self.wanted:
                self.found[id(owner)] = slots[k]
            if owner.retains and self.wanted is None:
                owner.grad = slots[k] if owner.grad is None else owner.grad + slots[k]
        operands = node.unpack()
        for position, (kind, index) in enumerate(node.plan.picks):
            if kind == "grad":
                operands[position] = slots[index]
        result = node.plan.operation.call(*operands)
        if not self.retain:
            node.saved = None
        for owner, gradient in zip(node.edges, result if isinstance(result, tuple) else (result,), strict=True):
            if owner is not None:
                self.arrive(owner, gradient)


def _start(tensors: Sequence[Tensor], gradients: Sequence[Any], one_pass: _Pass) -> None:
    from trueno.tensor import asarray, ones  # noqa: PLC0415

    for tensor, gradient in zip(tensors, gradients, strict=True):
        owner = getattr(tensor, "_autograd", None)
        if owner is None:
            raise RuntimeError(
                f"backward: a tensor of shape {tensor.shape}, dtype {tensor.dtype}, does not require a gradient; "
                "call requires_grad_() on what it is computed from"
            )
        if gradient is None:
            if tensor.size != 1:
                raise RuntimeError(
                    f"backward: a gradient can be made up only for a tensor of one element, not for shape {tensor.shape}; "
                    "pass one of the tensor's shape"
                )
            gradient = ones(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        else:
            gradient = asarray(gradient, dtype=tensor.dtype)
            if gradient.shape != tensor.shape:
                raise RuntimeError(f"backward: gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}")
        one_pass.arrive(owner, gradient)


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
    many = tensors if isinstance(tensors, (list, tuple)) else [tensors]
    given = gradients if isinstance(gradients, (list, tuple)) else [gradients] * len(many)
    one_pass = _Pass(retain_graph, create_graph, None)
    with set_grad_enabled(create_graph):
        _start(many, given, one_pass)
        one_pass.run()


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
    many = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    wanted = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    given = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(many)
    owners: list[Autograd] = []
    for one in wanted:
        owner = getattr(one, "_autograd", None)
        if owner is None:
            raise RuntimeError(f"grad: an input of shape {one.shape} does not require a gradient")
        owners.append(owner)
    one_pass = _Pass(create_graph if retain_graph is None else retain_graph, create_graph, owners)
    with set_grad_enabled(create_graph):
        _start(many, given, one_pass)
        one_pass.run()
    result = tuple(one_pass.found.get(id(owner)) for owner in owners)
    if not allow_unused and any(one is None for one in result):
        raise RuntimeError("grad: an input was not used in the graph of the outputs; pass allow_unused=True to get None")
    return result


# --- modes ----------------------------------------------------------------------------------------------------------------


class set_grad_enabled(ContextDecorator):  # noqa: N801 - PyTorch's name
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


class no_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Context manager and decorator: operations inside are not recorded."""

    _mode = False


class enable_grad(_Mode):  # noqa: N801 - PyTorch's name
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


# --- checking gradients -----------------------------------------------------------------------------------------------------


def _perturbed(function: Callable, inputs: Sequence[Tensor], which: int, eps: float) -> Iterator[tuple[int, list[Any]]]:
    import numpy as np  # noqa: PLC0415

    from trueno.tensor import from_numpy  # noqa: PLC0415

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
    import numpy as np  # noqa: PLC0415

    from trueno.tensor import from_numpy  # noqa: PLC0415

    many = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    value = function(*many)
    outputs = [one for one in (value if isinstance(value, tuple) else (value,)) if hasattr(one, "_autograd")]
    checked = [k for k, one in enumerate(many) if hasattr(one, "_autograd")]
    if not outputs or not checked:
        raise ValueError("gradcheck: no input or no output requires a gradient")
    all_outputs = list(value) if isinstance(value, tuple) else [value]
    for which in checked:
        columns = dict(_perturbed(function, many, which, eps))
        for k, output in enumerate(all_outputs):
            if not hasattr(output, "_autograd"):
                continue
            numeric = np.zeros((many[which].size, output.size))
            for position, slopes in columns.items():
                numeric[position] = slopes[k].reshape(-1)
            analytic = np.zeros_like(numeric)
            for position in range(output.size):
                seed = np.zeros(output.size)
                seed[position] = 1.0
                (g,) = grad(output, many[which], from_numpy(seed.reshape(output.shape)), retain_graph=True, allow_unused=True)
                if g is not None:
                    analytic[:, position] = g.detach().numpy().reshape(-1)
            if not np.allclose(analytic, numeric, rtol=rtol, atol=atol):
                worst = np.unravel_index(np.argmax(np.abs(analytic - numeric)), numeric.shape)
                if not raise_exception:
                    return False
                raise RuntimeError(
                    f"gradcheck: output {k}, input {which}: d out[{worst[1]}] / d in[{worst[0]}] is {analytic[worst]} by "
                    f"backward and {numeric[worst]} by differences (shapes {output.shape} and {many[which].shape})"
                )
    return True


def gradgradcheck(
    function: Callable, inputs: Tensor | Sequence[Tensor], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Compare second derivatives with differences of the first ones; see `gradcheck`."""
    import numpy as np  # noqa: PLC0415

    from trueno.tensor import from_numpy  # noqa: PLC0415

    many = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    checked = [k for k, one in enumerate(many) if hasattr(one, "_autograd")]
    value = function(*many)
    outputs = value if isinstance(value, tuple) else (value,)
    generator = np.random.default_rng(0)
    seeds = [from_numpy(generator.uniform(0.5, 1.5, one.shape)).requires_grad_() for one in outputs]

    def first(*operands: Tensor) -> tuple[Tensor, ...]:
        with enable_grad():
            arguments = [
                one if hasattr(one, "_autograd") or k not in checked else one.detach().requires_grad_()
                for k, one in enumerate(operands[: len(many)])
            ]
            value_ = function(*arguments)
            outs = value_ if isinstance(value_, tuple) else (value_,)
            kept = [(one, seed) for one, seed in zip(outs, operands[len(many) :], strict=True) if hasattr(one, "_autograd")]
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
