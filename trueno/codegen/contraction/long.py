"""Products with a long K: pieces of K are summed apart, and the pieces' results are added up by another stage.

Sums of float32 add one block of K after the other to what is there, which costs accuracy in proportion to the number of
blocks; the second stage adds in float64. The pieces follow from the shape alone, so that the same bits come out for any
number of threads; they are tasks, too, where a product with few results has no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from trueno.codegen.contraction.match import overlaps, roles
from trueno.codegen.expr import Access, Expr, Table, topological

#: Elements along K of a piece, at least; products shorter than two pieces are summed at once.
SPAN = 4096
#: The same where a factor are windows, which are packed, and results so few that every row of tiles reads all of them
#: again: those of a piece stay in the second-level cache.
WINDOWS, NARROW = 1024, 1 << 14
#: Elements that the pieces' results have together, at most.
PARTIAL = 1 << 22


class Pieces(NamedTuple):
    """Pieces of equal length as one contraction, over a domain that has the pieces as its first dimension.

    Attributes
    ----------
    first : int
        Number of the first of them.
    sizes, inner : tuple of int
        The domain, `sizes[0]` being the number of pieces.
    product : Expr
        The reduction over the inner dimensions.
    """

    first: int
    sizes: tuple[int, ...]
    inner: tuple[int, ...]
    product: Expr


def pieces(product: Expr, sizes: Sequence[int], inner: Sequence[int], table: Table) -> list[Pieces]:
    """Return the pieces of a contraction: those of equal length and what remains, or nothing where K is short.

    Parameters
    ----------
    product : Expr
        The reduction, over the inner dimensions of a domain.
    sizes, inner : sequence of int
        The domain.
    table : Table
        Where expressions are made.
    """
    if product.dtype.kind != "f":
        return []  # integers are exact in any order
    results = prod(extent for k, extent in enumerate(sizes) if k not in inner)
    windows = any(overlaps(factor, range(len(sizes)), sizes) for factor in product.src[0].src)
    span = WINDOWS if windows and results <= NARROW else SPAN
    wanted = min(prod(sizes[k] for k in inner) // span, PARTIAL // max(results, 1))
    axis = max(inner, key=lambda k: sizes[k])
    length = _length(sizes[axis], wanted)
    count, rest = divmod(sizes[axis], length)
    if count < 2:
        return []
    found = []
    for first, number, extent in ((0, count, length), (count, 1, rest)):
        if extent:
            domain = (number, *(extent if k == axis else n for k, n in enumerate(sizes)))
            dims = tuple(k + 1 for k in inner)
            found.append(Pieces(first, domain, dims, _shifted(product, axis, length, first, table)))
    if any(roles(part.product, part.sizes, part.inner) is None for part in found):
        return []
    return found


def _length(extent: int, wanted: int) -> int:
    """Return the length of about so many pieces: one that leaves no rest, if there is any up to twice as long."""
    least = -(-extent // max(wanted, 1))
    return next((n for n in range(least, min(2 * least, extent + 1)) if extent % n == 0), least)


def _shifted(product: Expr, axis: int, length: int, first: int, table: Table) -> Expr:
    """Return an expression over a domain with one more dimension, at its front, that steps along an axis."""

    def moved(access: Access) -> Access:
        step = access.strides[axis] * length
        return replace(access, offset=access.offset + first * step, strides=(step, *access.strides))

    known: dict[int, Expr] = {}
    for expr in topological([product]):
        arg = expr.arg
        if expr.kind in ("load", "iota"):
            arg = moved(arg)
        elif expr.kind == "gather":
            arg = (moved(arg[0]), *arg[1:])
        src = tuple(known[id(source)] for source in expr.src)
        known[id(expr)] = table.make(expr.kind, expr.op, src, expr.dtype, arg)
    return known[id(product)]
