"""Which stages are contractions, and the role of each of their dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from trueno import dtypes as dt
from trueno.codegen.expr import Access, Expr, topological
from trueno.codegen.stage import sorted_dims
from trueno.ir.elementwise import mul
from trueno.ir.reductions import sum as sum_rows

#: A product of fewer multiplications than this is left to the loops of a plain reduction.
SMALLEST = 64
#: Sliding rows are read as they lie where K has at least so many elements, runs of so many, and so many rows are even.
LONG, RUN, ROWS = 512, 24, 12


class Roles(NamedTuple):
    """The dimensions of a contraction's domain by role, without those of extent 1.

    Attributes
    ----------
    batch : tuple of int
        Both factors move along them, or neither.
    first, second : tuple of int
        Only the first or only the second factor moves along them.
    k : tuple of int
        Summed.
    """

    batch: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    k: tuple[int, ...]


def accesses(root: Expr) -> list[Access]:
    """Return the distinct accesses below an expression."""
    found: dict[Access, None] = {}
    for expr in topological([root]):
        if expr.kind in ("load", "iota"):
            found[expr.arg] = None
        elif expr.kind == "gather":
            found[expr.arg[0]] = None
    return list(found)


def moves_along(root: Expr, dim: int) -> bool:
    """Whether an expression may change along a dimension."""
    return any(access.strides[dim] != 0 for access in accesses(root))


def roles(reduce: Expr, sizes: Sequence[int], inner: Sequence[int]) -> Roles | None:
    """Return the roles of a domain's dimensions, or None where the reduction is not a contraction.

    Parameters
    ----------
    reduce : Expr
        A reduction over the inner dimensions.
    sizes : sequence of int
        Extents of the domain.
    inner : sequence of int
        Dimensions that are reduced.
    """
    product = reduce.src[0]
    if reduce.op is not sum_rows or product.kind != "op" or product.op is not mul or product.dtype == dt.bool_:
        return None
    if any(expr.kind in ("reduce", "scan") for expr in topological([product])):
        return None
    first, second = product.src
    wide = [dim for dim, extent in enumerate(sizes) if extent != 1]
    moving = {dim: (moves_along(first, dim), moves_along(second, dim)) for dim in wide}
    kept = [dim for dim in wide if dim not in inner]
    found = Roles(
        tuple(dim for dim in kept if moving[dim][0] == moving[dim][1]),
        tuple(dim for dim in kept if moving[dim] == (True, False)),
        tuple(dim for dim in kept if moving[dim] == (False, True)),
        tuple(dim for dim in wide if dim in inner),
    )
    if not (found.first and found.second) and not _streams(first if found.first else second, found):
        return None
    work = 1
    for dim in (*found.first, *found.second, *found.k):
        work *= sizes[dim]
    return found if work >= SMALLEST else None


def first_gives_columns(found: Roles, written: Sequence[Mapping[int, int]]) -> bool:
    """Whether the columns are the first factor's: those along which the result's memory runs.

    Parameters
    ----------
    found : Roles
    written : sequence of mapping
        The strides of each access of the result, by dimension.
    """
    return sorted_dims([*found.first, *found.second], written)[-1] in found.first


def overlaps(factor: Expr, dims: Sequence[int], sizes: Sequence[int]) -> bool:
    """Whether elements of a factor share memory, as those of windows do."""
    return any(
        prod(sizes[dim] for dim in dims if access.strides[dim])
        > 1 + sum(abs(access.strides[dim]) * (sizes[dim] - 1) for dim in dims)
        for access in accesses(factor)
        if access.buffer >= 0
    )


def sliding(product: Expr, sizes: Sequence[int], found: Roles) -> int | None:
    """Return which factor's rows are windows that slide along K, to be read as they lie, or None.

    Those of the gradient of a convolution's weights are: one row for each element of a filter, and all positions along
    K. Packed, they would be as many times the image as a filter has elements; a row is a run of the image already.
    """
    if product.dtype.kind != "f" or prod(sizes[dim] for dim in found.k) < LONG:
        return None
    for which, rows in enumerate((found.first, found.second)):
        factor = product.src[0].src[which]
        if factor.kind != "load" or factor.dtype != product.dtype or not rows:
            continue
        inner = min(found.k, key=lambda dim: abs(factor.arg.strides[dim]))
        long = sizes[inner] >= RUN and max(sizes[dim] for dim in rows) >= ROWS
        if long and len(rows) > 1 and overlaps(factor, [*rows, *found.k], sizes):
            return which
    return None


def _streams(matrix: Expr, found: Roles) -> bool:
    """Whether a matrix that is multiplied by a vector is summed across the direction in which its memory runs.

    Then rows of it are added up like columns of a tile; along that direction, a plain reduction is as good.
    """
    kept = (*found.first, *found.second)
    moving = accesses(matrix)
    return (
        bool(kept and found.k)
        and any(access.strides[kept[-1]] == 1 for access in moving)
        and not any(access.strides[dim] == 1 for access in moving for dim in found.k)
    )
