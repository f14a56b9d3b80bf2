"""Runs of stages that may be done block by block: what one of them leaves for the next is cut by the same dimensions.

Convolutions by minimal filtering are such runs: evaluating tiles, the products, interpolating (codegen/winograd.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from trueno.codegen.expr import Access, reads, topological
from trueno.codegen.stage import Stage


class Run(NamedTuple):
    """Evaluations, products and what is interpolated from those: stages that share nothing but what they hand on.

    Attributes
    ----------
    begin : int
        The first one's place among the stages of a plan.
    cuts : tuple of tuple of int
        For each stage the dimensions that blocks are cut along, outermost first.
    extents : tuple of int
        Blocks along each of them.
    handed : tuple of int
        For each stage what a block takes of the buffer that it hands on, in bytes; 0 where nobody in the run takes it.
    """

    begin: int
    cuts: tuple[tuple[int, ...], ...]
    extents: tuple[int, ...]
    handed: tuple[int, ...]

    @property
    def end(self) -> int:
        """The place behind the last stage."""
        return self.begin + len(self.cuts)


def runs(stages: list[Stage], first: int, aliases: Sequence[int], inputs: int) -> list[Run]:
    """Return the runs of a plan, whose stages are put next to each other, in place.

    Stages that fill gaps in what is handed on, which nobody reads, are taken out.

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
    handed: set[int] = set()
    end = 0
    while end < len(stages):
        begin, end = end, end + 1
        if stages[begin].product is None:
            continue
        while end < len(stages) and stages[end].product is not None:
            end += 1
        joining = _joining(stages, begin, end, first, aliases, inputs)
        if joining is not None:
            moved = joining.evaluations
            between = [one for k, one in enumerate(stages[:begin]) if k > moved[0] and k not in moved]
            found = [run._replace(begin=run.begin - sum(run.begin > k for k in moved)) for run in found]
            found.append(joining.run())
            stages[moved[0] : begin] = [*between, *(stages[k] for k in moved)]
            end += joining.ends
            handed |= joining.handed.keys()
    gaps = [k for k, one in enumerate(stages) if _written(one) <= handed and not read_by(one)]
    for k in reversed(gaps):
        del stages[k]
    return [run._replace(begin=run.begin - sum(run.begin > k for k in gaps)) for run in found]


def read_by(stage: Stage) -> list[Access]:
    """Return the accesses of a stage that read memory."""
    values = [one for store in stage.stores for one in (store.value, store.index) if one is not None]
    return [access for expr in topological(values) for access in reads(expr)]


def _joining(
    stages: Sequence[Stage], begin: int, end: int, first: int, aliases: Sequence[int], inputs: int
) -> _Joining | None:
    """Return how the products between two places are joined with others, or None."""
    for leader in reversed(range(begin)):
        for cut in _cuts(stages[leader]):
            joining = _Joining(stages, leader, cut, range(begin, end), first)
            if not joining.fits() or joining.overwrites(aliases, inputs):
                continue
            # What evaluates factors is done behind the stages between.
            between = set(range(joining.evaluations[0], begin)) - set(joining.evaluations)
            if not any(_leaves(stages[k], first) for k in between):
                return joining
    return None


class _Joining:
    """Whether neighbouring products, what evaluates their factors and what follows them can be cut alike.

    Attributes
    ----------
    evaluations : list of int
        Places of the stages that evaluate factors: the leader, along whose outermost dimensions blocks are cut, and
        others whose factors move along those, too.
    ends : bool
        Whether the stage that follows the products belongs to the run.
    cuts : dict of int to tuple of int
        By a stage's place.
    handed : dict of int to int
        Bytes that a block takes, by the buffer's number.
    """

    def __init__(self, stages: Sequence[Stage], leader: int, cut: tuple[int, ...], products: range, first: int) -> None:
        self.stages, self.leader, self.products, self.first = stages, leader, products, first
        self.evaluations = [leader]
        self.ends = False
        self.cuts: dict[int, tuple[int, ...]] = {leader: cut}
        self.handed: dict[int, int] = {}

    def fits(self) -> bool:
        """Whether there is a run; if so, the attributes describe it."""
        if not self._hands_on(self.leader, self.products) or not self.cuts.keys() >= set(self.products):
            return False
        others = (k for k in range(self.products[0]) if k != self.leader and _in_pieces(self.stages[k]))
        self.evaluations = sorted([self.leader, *(k for k in others if self._hands_on(k, self.products))])
        self.ends = self._is_followed()
        # Where the products are the end, they may read nothing for each block that is not made for it.
        return self.ends or {a.buffer for k in self.products for a in read_by(self.stages[k])} <= self.handed.keys()

    def overwrites(self, aliases: Sequence[int], inputs: int) -> bool:
        """Whether what one block replaces is read for the next one."""
        members = [self.stages[k] for k in self._places()]
        written = set().union(*map(_written, members)) - self.handed.keys()
        written |= {alias for k, alias in enumerate(aliases) if alias >= 0 and inputs + k in written}
        return any(access.buffer in written for one in members for access in read_by(one))

    def run(self) -> Run:
        """Return the run, its stages next to each other."""
        extents = tuple(self.stages[self.leader].sizes[dim] for dim in self.cuts[self.leader])
        cuts = tuple(self.cuts[k] for k in self._places())
        handed = tuple(self.handed.get(self.stages[k].stores[0].access.buffer, 0) for k in self._places())
        return Run(self.products[0] - len(self.evaluations), cuts, extents, handed)

    def _places(self) -> list[int]:
        return [*self.evaluations, *range(self.products[0], self.products[-1] + 1 + self.ends)]

    def _is_followed(self) -> bool:
        """Whether the stage behind the products takes all that they make, and none of their factors."""
        then = self.products[-1] + 1
        if then >= len(self.stages) or not _in_pieces(self.stages[then]):
            return False
        before = dict(self.handed)
        if before.keys().isdisjoint(access.buffer for access in read_by(self.stages[then])) and all(
            self._hands_on(k, [then]) for k in self.products
        ):
            return True
        self.handed = before
        return False

    def _hands_on(self, maker: int, users: Sequence[int]) -> bool:
        """Whether what a stage writes is for these users alone, block by block; then `handed` and `cuts` say how."""
        stages = self.stages
        buffer = stages[maker].stores[0].access.buffer
        readers = {k: [a for a in read_by(one) if a.buffer == buffer] for k, one in enumerate(stages)}
        readers = {k: found for k, found in readers.items() if found}
        # What fills gaps between matrices reads nothing, and is not read.
        makers = [k for k, one in enumerate(stages) if buffer in _written(one) and read_by(one)]
        if buffer < self.first or makers != [maker] or not readers or not readers.keys() <= set(users):
            return False
        writes = [store.access for store in stages[maker].stores]
        accesses = {maker: writes, **readers}
        if not all(map(_parallel, accesses.values())):
            return False
        if _elements({maker: writes}, stages) != _elements(readers, stages):
            return False
        known = next(k for k in accesses if k in self.cuts)
        lead = accesses[known][0]
        cuts = {known: self.cuts[known]}
        for k, found in accesses.items():
            if k != known:
                cuts[k] = _matching(found, stages[k].sizes, lead, stages[known].sizes, cuts[known])
            if not cuts[k] or self.cuts.get(k, cuts[k]) != cuts[k]:
                return False
        step = min(abs(lead.strides[dim]) for dim in cuts[known])
        if any(_reach(found, stages[k].sizes, cuts[k]) >= step for k, found in accesses.items()):
            return False
        self.cuts |= cuts
        self.handed[buffer] = step * lead.dtype.itemsize
        return True


def _written(stage: Stage) -> set[int]:
    """Return the buffers that a stage writes."""
    return {store.access.buffer for store in stage.stores}


def _in_pieces(stage: Stage) -> bool:
    """Whether a stage evaluates or interpolates: an elementwise one that stores many pieces of one buffer."""
    pieces = len(stage.stores) > 1 and len(_written(stage)) == 1
    return pieces and stage.product is None and not stage.inner


def _leaves(stage: Stage, first: int) -> bool:
    """Whether a stage writes what is no intermediate result."""
    return min(_written(stage)) < first


def _parallel(accesses: Sequence[Access]) -> bool:
    """Whether all accesses move alike."""
    return len({access.strides for access in accesses}) == 1


def _elements(accesses: Mapping[int, Sequence[Access]], stages: Sequence[Stage]) -> tuple[int, int, int]:
    """Return first and last element of what accesses touch, by the stages' places, and how many there are."""
    begin, end, count = [], [], 0
    for place, found in accesses.items():
        offsets = {access.offset for access in found}
        moving = [(s, n) for s, n in zip(found[0].strides, stages[place].sizes, strict=True) if s]
        begin.append(min(offsets))
        end.append(max(offsets) + sum(s * (n - 1) for s, n in moving))
        count += len(offsets) * prod(n for _, n in moving)
    return min(begin), max(end), count


def _reach(accesses: Sequence[Access], sizes: Sequence[int], cut: Sequence[int]) -> int:
    """Return how far elements of one block lie from its first one; accesses all begin in the first block."""
    strides = accesses[0].strides
    rest = sum(abs(s) * (n - 1) for dim, (s, n) in enumerate(zip(strides, sizes, strict=True)) if dim not in cut)
    return rest + max(access.offset for access in accesses)


def _cuts(stage: Stage) -> Iterator[tuple[int, ...]]:
    """Yield outermost dimensions of what a stage writes in pieces, most of them first, that leave blocks apart."""
    if not _in_pieces(stage):
        return
    accesses = [store.access for store in stage.stores]
    strides = accesses[0].strides
    order = sorted((dim for dim, n in enumerate(stage.sizes) if n > 1), key=lambda dim: -abs(strides[dim]))
    for count in reversed(range(1, len(order) + 1)):
        if _reach(accesses, stage.sizes, order[:count]) < abs(strides[order[count - 1]]):
            yield tuple(order[:count])


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
