"""Runs of stages that may be done block by block: what one of them leaves for the next is cut by the same dimensions.

Convolutions by minimal filtering are such runs: evaluating tiles, the products, interpolating (codegen/winograd.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    end = 0
    while end < len(stages):
        begin, end = end, end + 1
        if stages[begin].product is None:
            continue
        while end < len(stages) and stages[end].product is not None:
            end += 1
        for leader in reversed(range(begin)):
            joining = _Joining(stages, leader, begin, end, first)
            if not joining.fits() or joining.overwrites(aliases, inputs):
                continue
            moved = joining.evaluations
            between = [one for k, one in enumerate(stages[:begin]) if k > moved[0] and k not in moved]
            if any(_leaves(one, first) for one in between):
                continue
            found = [run._replace(begin=run.begin - sum(run.begin > k for k in moved)) for run in found]
            found.append(joining.run())
            stages[moved[0] : begin] = [*between, *(stages[k] for k in moved)]
            end += joining.ends
            break
    return found


def read_by(stage: Stage) -> list[Access]:
    """Return the accesses of a stage that read memory."""
    values = [one for store in stage.stores for one in (store.value, store.index) if one is not None]
    return [access for expr in topological(values) for access in reads(expr)]


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

    def __init__(self, stages: Sequence[Stage], leader: int, begin: int, end: int, first: int) -> None:
        self.stages, self.leader, self.first = stages, leader, first
        self.products = range(begin, end)
        self.evaluations = [leader]
        self.ends = False
        self.cuts: dict[int, tuple[int, ...]] = {}
        self.handed: dict[int, int] = {}

    def fits(self) -> bool:
        """Whether there is a run; if so, the attributes describe it."""
        leader = self.stages[self.leader]
        if not self._in_pieces(self.leader):
            return False
        self.cuts[self.leader] = _cut([store.access for store in leader.stores], leader.sizes)
        if not self.cuts[self.leader] or not self._hands_on(self.leader, self.products):
            return False
        if not self.cuts.keys() >= set(self.products):
            return False
        others = (k for k in range(self.products[0]) if k != self.leader and self._in_pieces(k))
        self.evaluations = sorted([self.leader, *(k for k in others if self._hands_on(k, self.products))])
        self.ends = self._is_followed()
        # Where the products are the end, they may read nothing for each block that is not made for it.
        return self.ends or {a.buffer for k in self.products for a in read_by(self.stages[k])} <= self.handed.keys()

    def overwrites(self, aliases: Sequence[int], inputs: int) -> bool:
        """Whether what one block replaces is read for the next one."""
        members = [self.stages[k] for k in self._places()]
        written = {store.access.buffer for one in members for store in one.stores} - self.handed.keys()
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

    def _in_pieces(self, place: int) -> bool:
        """Whether a stage evaluates or interpolates: an elementwise one that stores many pieces of one buffer."""
        stage = self.stages[place]
        pieces = len(stage.stores) > 1 and len({store.access.buffer for store in stage.stores}) == 1
        return pieces and stage.product is None and not stage.inner

    def _is_followed(self) -> bool:
        """Whether the stage behind the products takes all that they make, and none of their factors."""
        then = self.products[-1] + 1
        if then >= len(self.stages) or not self._in_pieces(then):
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
        makers = [k for k, one in enumerate(stages) if buffer in {s.access.buffer for s in one.stores} and read_by(one)]
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


def _leaves(stage: Stage, first: int) -> bool:
    """Whether a stage writes what is no intermediate result."""
    return any(store.access.buffer < first for store in stage.stores)


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
