"""What a stage computes: expressions over affine memory accesses, free of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trueno.ir.op import Op


@dataclass(frozen=True, slots=True)
class Access:
    """An affine view of a buffer over the dimensions of a stage's domain.

    Attributes
    ----------
    buffer : int
        Number of the buffer; -1 for the linear index itself (iota), which has strides but no memory.
    dtype : numpy.dtype
    offset : int
        In elements.
    strides : tuple of int
        In elements, one for each dimension of the domain.
    """

    buffer: int
    dtype: np.dtype
    offset: int
    strides: tuple[int, ...]


class Expr:
    """A node of a stage's expression graph; equal ones are one object within a `Table`.

    Attributes
    ----------
    kind : str
        ``load``, ``iota``, ``scalar`` (arg: slot), ``const``, ``op``, ``reduce``, ``scan``, ``gather``.
    op : Op or None
    src : tuple of Expr
    dtype : numpy.dtype
    arg : hashable
        The `Access` of a load; value of a constant; slot of a scalar; (access, extent, stride) of a gather.
    """

    __slots__ = ("arg", "dtype", "kind", "op", "src")

    def __init__(self, kind: str, op: Op | None, src: tuple[Expr, ...], dtype: np.dtype, arg: Any) -> None:
        self.kind, self.op, self.src, self.dtype, self.arg = kind, op, src, dtype, arg


class Table:
    """Makes expressions, equal ones once."""

    def __init__(self) -> None:
        self._known: dict[tuple, Expr] = {}

    def make(self, kind: str, op: Op | None, src: tuple[Expr, ...], dtype: np.dtype, arg: Any = None) -> Expr:
        """Return the one expression with these parts."""
        key = (kind, op, tuple(map(id, src)), dtype, arg, repr(arg) if kind == "const" else None)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Expr(kind, op, src, dtype, arg)
        return found


@dataclass(frozen=True, slots=True)
class Store:
    """The result of an expression written to memory.

    Attributes
    ----------
    access : Access
    value : Expr
    index : Expr or None
        For scatter_add: the position along the scattered axis; the value is added there.
    scatter : tuple of int
        Extent and element stride of the scattered axis.
    """

    access: Access
    value: Expr
    index: Expr | None = None
    scatter: tuple[int, int] = (0, 0)


def topological(roots: list[Expr]) -> list[Expr]:
    """Return all expressions below the roots, operands first."""
    order: list[Expr] = []
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        expr, ready = stack.pop()
        if ready:
            order.append(expr)
        elif id(expr) not in seen:
            seen.add(id(expr))
            stack.append((expr, True))
            stack.extend((source, False) for source in reversed(expr.src) if id(source) not in seen)
    return order


def reads(expr: Expr) -> list[Access]:
    """Return the access of an expression that reads memory."""
    return [expr.arg] if expr.kind == "load" else [expr.arg[0]] if expr.kind == "gather" else []


def substituted(root: Expr, known: dict[int, Expr]) -> Expr:
    """Return the expression with others in place of those that are known, by identity; what is made becomes known."""
    stack = [root]
    while stack:
        expr = stack[-1]
        missing = [source for source in expr.src if id(source) not in known and id(expr) not in known]
        if missing:
            stack += missing
            continue
        stack.pop()
        if id(expr) not in known:
            src = tuple(known[id(source)] for source in expr.src)
            known[id(expr)] = expr if src == expr.src else Expr(expr.kind, expr.op, src, expr.dtype, expr.arg)
    return known[id(root)]
