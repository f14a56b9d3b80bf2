"""Library operations: functions that NumPy or LAPACK computes on host memory, with gradient rules written in Trueno.

A library operation is declared in one place, as a row of the op table is:

    inv = library(
        "inv", np.linalg.inv, domain=well_conditioned, doc="The inverse of square matrices.",
        grad=lambda g, y, _a: [-(y.mT @ g @ y.mT)],
    )

From the declaration follow the call with its checks, its place on the tape, and its tests: `rows` lists all of them.
The rule is made of functions of tensors and runs under the grad mode of the backward pass, so that gradients of higher
order need nothing more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.autograd import no_grad, record_node
from trueno.creation import asarray, from_numpy, zeros
from trueno.errors import KernelError, explained
from trueno.ir.node import Node
from trueno.runtime import launcher
from trueno.runtime.inplace import requires_grad
from trueno.runtime.operation import BackwardPlan, caller
from trueno.tensor import Tensor

if TYPE_CHECKING:
    from trueno.runtime.layout import Layout

#: Operands and static arguments of one call.
Case = tuple[tuple[np.ndarray, ...], dict[str, Any]]

_rows: dict[str, LibraryOperation] = {}


def host(value: Any, name: str) -> Tensor:
    """Return an operand as a tensor on the CPU; lists and numbers are read in float64 or int64, as NumPy reads them.

    Raises
    ------
    KernelError
        For a node of a kernel that is being recorded.
    TypeError
        For a tensor on another device, and for what is no array of a supported dtype.
    """
    if isinstance(value, Node):
        raise KernelError(
            "{}:{}: ".format(*caller()) + f"{name} is called inside a kernel, but is computed by a library on whole "
            "arrays. Call it outside and pass the result to the kernel."
        )
    result = value if isinstance(value, Tensor) else from_numpy(np.asarray(value))
    if result._layout.device != "cpu":
        raise TypeError(f"{name}: the tensor is on {result._layout.device}; move it with .cpu()")
    return result


class LibraryOperation:
    """A function of arrays on the CPU that a library computes; made with `library`.

    Attributes
    ----------
    name : str
    forward : callable
        ``forward(*arrays, **static)`` returns an array or a tuple of arrays, on memory of their own.
    operands : int
        How many leading arguments are arrays; further ones are static and given by keyword.
    domain : callable
        ``domain(generator, dtype)`` gives operands and static arguments for tests: where the function is defined and,
        if it has a gradient, smooth. Operands with gradients are of `dtype`, one of `dtypes`.
    dtypes : sequence of dtype
        What the function is defined for: float64, complex128, or both. It is tested with them.
    grad : callable or None
        ``grad(g, y, *operands, **static)`` returns the gradient for each operand. An entry may be None (no gradient) or
        a function without arguments, which is called only if the operand needs a gradient. For several results, `g` and
        `y` are tuples, and results that no gradient arrived at have None in `g`. A parameter whose name begins with
        ``_`` is not needed: it gets None, and nothing is kept for it.
    project : callable
        Maps any operands onto those that the function is defined for (symmetric matrices), as a differentiable
        function; for tests.
    observe : callable
        What of the results is unique (not the signs of singular vectors, say); for tests.
    peer : callable or None
        ``peer(torch, *operands, **static)``: the same function in PyTorch; for tests.
    doc : str
    """

    def __init__(
        self, name: str, forward: Callable[..., Any], operands: int, domain: Callable[..., Iterable[Case]],
        grad: Callable[..., Sequence[Any]] | None, project: Callable[..., Any], observe: Callable[..., Any],
        peer: Callable[..., Any] | None, doc: str, dtypes: Sequence[np.dtype],
    ) -> None:  # fmt: skip
        self.name, self.forward, self.operands, self.domain, self.doc = name, forward, operands, domain, doc
        self.dtypes = tuple(dtypes)
        self.grad, self.project, self.observe, self.peer = grad, project, observe, peer
        self.needs_result, self.needs_operand = False, [False] * operands
        if grad is not None:
            names = list(inspect.signature(grad).parameters)
            if len(names) < operands + 2:
                raise TypeError(f"{name}: the gradient rule takes {names}, not g, y and {operands} operands")
            self.needs_result = not names[1].startswith("_")
            self.needs_operand = [not one.startswith("_") for one in names[2 : operands + 2]]

    def __repr__(self) -> str:
        return f"<library operation {self.name}>"

    def __call__(self, *args: Any, **static: Any) -> Any:
        """Compute the function of arrays, and put the call on the tape where an operand requires a gradient.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As the library raises them.
        """
        tensors = [host(one, self.name) for one in args]
        try:
            made = self.forward(*(one._view_array() for one in tensors), **static)
        except Exception as error:
            raise explained(error, self.name, tensors) from error.__cause__
        many = isinstance(made, tuple)
        results = tuple(from_numpy(np.asarray(one)) for one in (made if many else (made,)))
        if self.grad is not None and launcher.grad_enabled():
            needs = [requires_grad(one) for one in tensors]
            if True in needs:
                history = [one._autograd if need else None for one, need in zip(tensors, needs, strict=True)]
                record_node(self._plan(tensors, needs, len(results), many, static), tensors, history, results)
        return results if many else results[0]

    def _plan(
        self, tensors: Sequence[Tensor], needs: Sequence[bool], results: int, many: bool, static: dict[str, Any]
    ) -> BackwardPlan:
        picks = [("grad", k) for k in range(results)]
        picks += [("out", k) for k in range(results)] if self.needs_result else []
        picks += [("in", k) for k, needed in enumerate(self.needs_operand) if needed]
        targets = [k for k, need in enumerate(needs) if need]
        backward: Any = _Backward(self, [tensors[k]._layout for k in targets], targets, results, many, static)
        return BackwardPlan(backward, picks, targets, self.name, targets == list(range(len(tensors))), fills=False)


class _Backward:
    """The backward operation of one call: the rule, with its results in the operands' shapes and dtypes."""

    def __init__(
        self, operation: LibraryOperation, layouts: Sequence[Layout], targets: Sequence[int], results: int, many: bool,
        static: dict[str, Any],
    ) -> None:  # fmt: skip
        self.operation, self.layouts, self.targets, self.static = operation, layouts, targets, static
        self.results, self.many = results, many

    def call(self, *saved: Any) -> tuple[Tensor, ...]:
        """Return the gradients of the operands that need one."""
        operation, left = self.operation, iter(saved)
        g = self._group(left)
        y = self._group(left) if operation.needs_result else None
        operands = [next(left) if needed else None for needed in operation.needs_operand]
        assert operation.grad is not None
        found = operation.grad(g, y, *operands, **self.static)
        return tuple(_fitted(found[k], layout) for k, layout in zip(self.targets, self.layouts, strict=True))

    def _group(self, left: Iterator[Any]) -> Any:
        group = tuple(next(left) for _ in range(self.results))
        return group if self.many else group[0]


def _fitted(gradient: Any, layout: Layout) -> Tensor:
    """Return a gradient in the shape and dtype of the operand that it belongs to, summed over what was broadcast.

    Of a complex gradient of real numbers it is the real part.
    """
    if callable(gradient) and not isinstance(gradient, Tensor):
        gradient = gradient()
    if gradient is None:
        return zeros(layout.shape, dtype=layout.dtype)
    if dt.is_complex(gradient.dtype) and not dt.is_complex(layout.dtype):
        gradient = gradient.real
    lead = gradient.ndim - len(layout.shape)
    axes = (*range(lead), *(lead + k for k, n in enumerate(layout.shape) if n == 1 and gradient.shape[lead + k] != 1))
    if axes:
        gradient = gradient.sum(axis=axes, keepdims=True)
    if gradient.shape != layout.shape:
        gradient = gradient.reshape(layout.shape)
    return gradient if gradient.dtype == layout.dtype else gradient.astype(layout.dtype)


def library(
    name: str, forward: Callable[..., Any], *, operands: int = 1, domain: Callable[..., Iterable[Case]],
    grad: Callable[..., Sequence[Any]] | None, doc: str, project: Callable[..., Any] | None = None,
    observe: Callable[..., Any] | None = None, peer: Callable[..., Any] | None = None,
    dtypes: Sequence[np.dtype] = (dt.float64,),
) -> LibraryOperation:  # fmt: skip
    """Declare a library operation; the parameters are the attributes of `LibraryOperation`.

    Raises
    ------
    TypeError
        When an obligation is missing: the documentation, operands to test with, or a rule with fewer parameters than
        ``g, y`` and the operands.
    ValueError
        When the name is taken.
    """
    if not doc or not callable(domain) or not callable(forward):
        raise TypeError(f"library operation {name!r} lacks its {'doc' if not doc else 'domain or forward function'}")
    if name in _rows:
        raise ValueError(f"there is a library operation {name!r} already")
    operation = _rows[name] = LibraryOperation(
        name, forward, operands, domain, grad, project or _unchanged, observe or _unchanged, peer, doc, dtypes
    )
    return operation


def _unchanged(*values: Any) -> Any:
    """Return the values as they are."""
    return values if len(values) != 1 else values[0]


def rows() -> list[LibraryOperation]:
    """Return all library operations that were declared, in order."""
    return list(_rows.values())


def constant(array: np.ndarray, like: Tensor) -> Tensor:
    """Return an array as a tensor of another's dtype, for use in gradient rules."""
    with no_grad():
        return asarray(np.ascontiguousarray(array, dtype=dt.as_dtype(like.dtype)))
