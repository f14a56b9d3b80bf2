"""Runs of stages that may be done block by block: what one of them leaves for the next is cut by the same dimensions.

Convolutions by minimal filtering are such runs: evaluating tiles, the products, interpolating (codegen/winograd.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from trueno.codegen.expr import Access, reads, topological
from trueno.codegen.stage import Stage


class Run(NamedTuple):
    """Three stages, evaluation, product and interpolation, that share nothing but what they hand on.

    Attributes
    ----------
    begin : int
        The first one's place among the stages of a plan.
    cuts : tuple of tuple of int
        For each stage the dimensions that blocks are cut along, outermost first.
    extents : tuple of int
        Blocks along each of them.
    block_bytes : tuple of int
        What a block takes of the first hand-over and of the second.
    """

    begin: int
    cuts: tuple[tuple[int, ...], ...]
    extents: tuple[int, ...]
    block_bytes: tuple[int, int]

    @property
    def end(self) -> int:
        """The place behind the last stage."""
        return self.begin + len(self.cuts)


def runs(stages: list[Stage], first: int, aliases: Sequence[int], inputs: int) -> list[Run]:
    """Return the runs of a plan, whose stages are put next to each other, in place.

    Parameters
    ----------
    stages : list of Stage
    first : int
        Number of the first scratch buffer; no two intermediate results have the same.
    aliases : sequence of int
        For each result, the operand that it overwrites, or -1.
    inputs : int
        Number of operand arrays.
    """
    found: list[Run] = []
    for product in range(1, len(stages) - 1):
        for evaluation in reversed(range(product)):
            cut = _cuts(stages, evaluation, product, first)
            between = stages[evaluation + 1 : product]
            members = [stages[evaluation], *stages[product : product + 2]]
            if cut is None or _overwrites(members, aliases, inputs) or any(_leaves(one, first) for one in between):
                continue
            found = [run._replace(begin=run.begin - (run.begin > evaluation)) for run in found]
            stages.insert(product - 1, stages.pop(evaluation))
            found.append(Run(product - 1, *cut))
            break
    return found


def read_by(stage: Stage) -> list[Access]:
    """Return the accesses of a stage that read memory."""
    values = [one for store in stage.stores for one in (store.value, store.index) if one is not None]
    return [access for expr in topological(values) for access in reads(expr)]


def _cuts(
    stages: Sequence[Stage], at: int, then: int, first: int
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, int]] | None:
    """Return cuts, extents and bytes of the run that an evaluation, a product and the stage after it are, or None."""
    evaluation, product, interpolation = stages[at], *stages[then : then + 2]
    if product.product is None or any(one.inner or len(one.stores) == 1 for one in (evaluation, interpolation)):
        return None
    handed, made = {s.access.buffer for s in evaluation.stores}, {s.access.buffer for s in product.stores}
    both = handed | made
    users = [k for k, one in enumerate(stages) if both & {a.buffer for a in read_by(one)}]
    # What fills gaps between matrices reads nothing, and is not read.
    makers = [k for k, one in enumerate(stages) if both & {s.access.buffer for s in one.stores} and read_by(one)]
    if len(handed) != 1 or len(made) != 1 or min(both) < first or (makers, users) != ([at, then], [then, then + 1]):
        return None
    writes = [s.access for s in evaluation.stores]
    takes = [a for a in read_by(product) if a.buffer in handed]
    gives = [s.access for s in product.stores]
    ends = [a for a in read_by(interpolation) if a.buffer in made]
    if {a.buffer for a in read_by(interpolation)} & handed or not all(map(_parallel, (writes, takes, gives, ends))):
        return None
    if _elements(writes, evaluation.sizes) != _elements(takes, product.sizes):
        return None
    cut = _cut(writes, evaluation.sizes)
    between = _matching(takes, product.sizes, writes[0], evaluation.sizes, cut)
    last = _matching(ends, interpolation.sizes, gives[0], product.sizes, between) if between else None
    if not between or not last:
        return None
    steps = [min(abs(one.strides[dim]) for dim in dims) for one, dims in ((writes[0], cut), (gives[0], between))]
    blocks = ((writes, evaluation, cut, 0), (takes, product, between, 0), (gives, product, between, 1),
              (ends, interpolation, last, 1))  # fmt: skip
    if any(_reach(one, stage.sizes, dims) >= steps[which] for one, stage, dims, which in blocks):
        return None
    sizes = (steps[0] * writes[0].dtype.itemsize, steps[1] * gives[0].dtype.itemsize)
    return (cut, between, last), tuple(evaluation.sizes[dim] for dim in cut), sizes


def _leaves(stage: Stage, first: int) -> bool:
    """Whether a stage writes what is no intermediate result."""
    return any(store.access.buffer < first for store in stage.stores)


def _parallel(accesses: Sequence[Access]) -> bool:
    """Whether there are accesses, and all move alike."""
    return len({access.strides for access in accesses}) == 1


def _elements(accesses: Sequence[Access], sizes: Sequence[int]) -> tuple[int, int, int]:
    """Return first and last element of what accesses touch, and how many there are."""
    strides, offsets = accesses[0].strides, [access.offset for access in accesses]
    moving = [(s, n) for s, n in zip(strides, sizes, strict=True) if s]
    last = max(offsets) + sum(s * (n - 1) for s, n in moving)
    return min(offsets), last, len(set(offsets)) * prod(n for _, n in moving)


def _reach(accesses: Sequence[Access], sizes: Sequence[int], cut: Sequence[int]) -> int:
    """Return how far elements of one block lie from its first one; accesses all begin in the first block."""
    strides = accesses[0].strides
    rest = sum(abs(s) * (n - 1) for dim, (s, n) in enumerate(zip(strides, sizes, strict=True)) if dim not in cut)
    return rest + max(access.offset for access in accesses)


def _cut(accesses: Sequence[Access], sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the outermost dimensions of what is written, as many as leave blocks that do not touch."""
    strides = accesses[0].strides
    order = sorted((dim for dim, n in enumerate(sizes) if n > 1), key=lambda dim: -abs(strides[dim]))
    taken: list[int] = []
    for count, dim in enumerate(order, 1):
        if _reach(accesses, sizes, order[:count]) < abs(strides[dim]):
            taken = order[:count]
    return tuple(taken)


def _matching(
    accesses: Sequence[Access], sizes: Sequence[int], other: Access, others: Sequence[int], cut: Sequence[int]
) -> tuple[int, ...]:
    """Return the dimensions that walk memory as those of another access do, or none."""
    strides = accesses[0].strides
    found = []
    for dim in cut:
        same = [k for k, n in enumerate(sizes) if (n, strides[k]) == (others[dim], other.strides[dim])]
        if len(same) != 1:
            return ()
        found += same
    return tuple(found)


def _overwrites(stages: Sequence[Stage], aliases: Sequence[int], inputs: int) -> bool:
    """Whether the last stage replaces, for a block, what the others read for the next one."""
    written = {store.access.buffer for store in stages[-1].stores}
    written |= {alias for k, alias in enumerate(aliases) if alias >= 0 and inputs + k in written}
    return any(access.buffer in written for stage in stages for access in read_by(stage))
