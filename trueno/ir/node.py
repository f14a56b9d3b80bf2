"""Nodes and kernels: the immutable, typed graph that everything is lowered from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno.ir.op import Op

Shape = tuple[int, ...]


class Node:
    """One value of a kernel: an op applied to other nodes.

    Attributes
    ----------
    op : Op
    src : tuple of Node
    dtype : numpy.dtype
    shape : tuple of int
    arg : hashable
        Static parameters of the op (axes, bounds, the value of a constant).
    """

    __slots__ = ("_frozen", "arg", "dtype", "op", "shape", "src")

    op: Op
    src: tuple[Node, ...]
    dtype: np.dtype
    shape: Shape
    arg: Any

    def __init__(self, op: Op, src: tuple[Node, ...], dtype: np.dtype, shape: Shape, arg: Any = None) -> None:
        put = object.__setattr__
        put(self, "op", op)
        put(self, "src", src)
        put(self, "dtype", dtype)
        put(self, "shape", shape)
        put(self, "arg", arg)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("nodes are immutable")

    if TYPE_CHECKING:
        # Python's operators and the functions' names are put on the class from the rows (elementwise.py, methods.py).
        def __add__(self, other: Any) -> Node: ...
        def __neg__(self) -> Node: ...
        def __getitem__(self, index: Any) -> Node: ...
        def __getattr__(self, name: str) -> Any: ...

        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
        __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __add__
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __add__
        __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        __pos__ = __abs__ = __invert__ = __neg__

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __repr__(self) -> str:
        arg = "" if self.arg is None else f", {self.arg}"
        return f"<{self.op.name}{arg} {self.dtype}{list(self.shape)}>"


_interned: ContextVar[dict | None] = ContextVar("interned", default=None)


@contextmanager
def recording() -> Iterator[None]:
    """Intern equal interior nodes made inside the block; leaves stay distinct."""
    token = _interned.set({})
    try:
        yield
    finally:
        _interned.reset(token)


def make(op: Op, src: tuple[Node, ...], dtype: np.dtype, shape: Shape, arg: Any = None) -> Node:
    """Return a node, the existing one if the current recording holds an equal interior node."""
    table = _interned.get()
    if table is None or (op.kind == "leaf" and op.name in ("input", "scalar")):
        return Node(op, src, dtype, shape, arg)
    # repr tells 0.0 from -0.0 and 1 from True, which compare equal.
    key = (op, tuple(map(id, src)), dtype, shape, arg, repr(arg) if op.kind == "leaf" else None)
    node = table.get(key)
    if node is None:
        node = table[key] = Node(op, src, dtype, shape, arg)
    return node


@dataclass(frozen=True, slots=True)
class Kernel:
    """A recorded function: outputs as a graph over inputs.

    Attributes
    ----------
    name : str
    inputs : tuple of Node
        `input` and `scalar` leaves, in the order of the call's operands.
    outputs : tuple of Node
    origin : str
        ``file:line`` of the Python code that asked; not part of any key.
    complex_outputs : frozenset of int
        Which outputs hold complex numbers, as an array of real ones with a last axis of 2.
    """

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    origin: str = ""
    complex_outputs: frozenset[int] = frozenset()


def topological(outputs: Iterable[Node]) -> list[Node]:
    """Return all nodes below `outputs`, operands before users, without recursion."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(tuple(outputs))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((source, False) for source in reversed(node.src) if id(source) not in seen)
    return order


def rewrite(outputs: tuple[Node, ...], rule: Callable[[Node], Node | None]) -> tuple[Node, ...]:
    """Rebuild a graph bottom-up; `rule` sees each node with rewritten operands and may return a replacement."""
    done: dict[int, Node] = {}
    for node in topological(outputs):
        src = tuple(done[id(source)] for source in node.src)
        same = all(new is old for new, old in zip(src, node.src, strict=True))
        fresh = node if same else make(node.op, src, node.dtype, node.shape, node.arg)
        replacement = rule(fresh)
        done[id(node)] = fresh if replacement is None else replacement
    return tuple(done[id(node)] for node in outputs)


def substitute(outputs: tuple[Node, ...], places: dict[int, Node]) -> tuple[Node, ...]:
    """Rebuild a graph with the nodes of these identities replaced."""
    done: dict[int, Node] = {}
    for node in topological(outputs):
        if id(node) in places:
            done[id(node)] = places[id(node)]
            continue
        src = tuple(done[id(source)] for source in node.src)
        same = all(new is old for new, old in zip(src, node.src, strict=True))
        done[id(node)] = node if same else make(node.op, src, node.dtype, node.shape, node.arg)
    return tuple(done[id(node)] for node in outputs)
