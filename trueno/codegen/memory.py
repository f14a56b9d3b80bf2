"""Scratch memory of a plan: what is not needed at the same time shares a buffer, a result's memory included.

A result's memory is free until the first stage writes to it. And a stage may write into an operand that dies there,
where each point reads and writes the same element: then the lines it writes are in the cache already, and fewer are
pushed out. What may be replaced is decided here alone; stages and printers see one buffer, read and written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trueno.codegen.domain import STORES
from trueno.codegen.expr import Access, Expr, Store, reads, topological
from trueno.codegen.phases import phases
from trueno.codegen.stage import Stage


@dataclass(slots=True)
class _Slot:
    """Memory that buffers live in one after the other.

    Attributes
    ----------
    number : int
        What accesses call it.
    nbytes : int
        Of scratch memory, the most that a buffer in it takes.
    holder : int
        The buffer that was there last, -1 for none.
    last : int
        The last stage that needs that buffer, -1 for none.
    wanted : int or None
        The stage that first writes the result to whose memory this is; None for scratch memory.
    """

    number: int
    nbytes: int
    holder: int = -1
    last: int = -1
    wanted: int | None = None


@dataclass(slots=True)
class _Use:
    """What a stage does with memory.

    Attributes
    ----------
    order : list of Expr
        All its expressions, operands first.
    reads, gathers : list of Access
        Those whose index is the point's own, and those whose index is computed.
    """

    stage: Stage
    order: list[Expr]
    reads: list[Access]
    gathers: list[Access]

    @classmethod
    def of(cls, stage: Stage) -> _Use:
        """Collect what a stage reads."""
        order = topological([one for store in stage.stores for one in (store.value, store.index) if one is not None])
        plain = [access for expr in order if expr.kind == "load" for access in reads(expr)]
        return cls(stage, order, plain, [access for expr in order if expr.kind == "gather" for access in reads(expr)])

    @property
    def accesses(self) -> list[Access]:
        """All that the stage touches."""
        return [*self.reads, *self.gathers, *(store.access for store in self.stage.stores)]

    def may_replace(self, read: int, written: int) -> bool:
        """Whether a buffer that the stage reads may have the memory of one that it writes.

        Each point must read the element that it writes, and no other; and where rows are reduced, all reductions must
        have ended before the walk that writes: a later one, or one that walks a row again, would read results. Products
        read their factors at many points, and compute some tiles twice. A scan's results go to other work-items.
        """
        stage = self.stage
        stores = [store for store in stage.stores if store.access.buffer == written]
        if len(stores) != 1 or stores[0].index is not None or any(one.buffer == read for one in self.gathers):
            return False
        if stage.product is not None or stage.block or stage.serial or stage.shared:
            return False
        if any(store.access.buffer == read for store in stage.stores):
            return False
        moving = [k for k, extent in enumerate(stage.sizes) if extent != 1]
        place = _place(stores[0].access, moving)
        if 0 in place[2:] or any(one.buffer == read and _place(one, moving) != place for one in self.reads):
            return False
        return not stage.inner or self._ends_with(stores[0])

    def _ends_with(self, store: Store) -> bool:
        """Whether a result of a stage with reductions is written in its last walk, when all else has been read."""
        if any(expr.kind == "scan" for expr in self.order):
            return False
        phase = phases(self.order)
        return phase[id(store.value)] == max(phase.values())


def share_scratch(
    stages: list[Stage],
    scratch: list[int],
    first: int,
    together: Sequence[tuple[int, int]] = (),
    results: Mapping[int, int] | None = None,
) -> None:
    """Let scratch buffers share memory, in place.

    Stages run one after the other, so a buffer is needed from the first stage that touches it to the last; buffers in
    the order of their first stage take the place of one that dies there if they may, else the smallest that is free
    and large enough, else the largest, else a new one (linear scan; Poletto and Sarkar, Linear Scan Register
    Allocation, 1999).

    Parameters
    ----------
    stages : list of Stage
    scratch : list of int
        Bytes of each scratch buffer.
    first : int
        Number of the first one; operands and results come before.
    together : sequence of (int, int)
        Ranges of stages that are not run one after the other but in turns: what one needs is needed by all.
    results : mapping of int to int, optional
        Numbers and bytes of results in memory of their own: buffers may lie there until the result is written.
    """
    if not scratch:
        return
    # Stages of many pieces are printed as vectors, one piece after the other: those overwrite nothing that they read.
    replacing = all(len(stage.stores) <= STORES for stage in stages)
    uses = [_Use.of(stage) for stage in stages]
    spans = _spans(uses, together)
    homes = results if results and replacing else {}
    slots = [_Slot(k, nbytes, wanted=spans[k][0]) for k, nbytes in homes.items() if k in spans]
    fixed = len(slots)
    numbers: dict[int, int] = {}
    for buffer, (begin, end) in sorted(spans.items(), key=lambda one: one[1]):
        if buffer < first:
            continue
        nbytes = scratch[buffer - first]
        slot = _chosen(slots, buffer, (begin, end), nbytes, uses if replacing else [])
        if slot is None:
            slot = _Slot(first + len(slots) - fixed, 0)
            slots.append(slot)
        slot.holder, slot.last, slot.nbytes = buffer, end, max(slot.nbytes, nbytes)
        numbers[buffer] = slot.number
    _renumber(uses, numbers)
    scratch[:] = [slot.nbytes for slot in slots[fixed:]]


def overwrites_operands(stages: Sequence[Stage], replaced: Sequence[tuple[int, int]]) -> bool:
    """Whether a stage may read an operand that another stage, or another phase of it, has overwritten.

    `replaced`: the numbers of results that replace operands, with those of the operands.
    """
    for written, operand in replaced:
        first: Access | None = None
        for stage in stages:
            found = [a for e in topological([s.value for s in stage.stores]) for a in reads(e) if a.buffer == operand]
            writes = [store.access for store in stage.stores if store.access.buffer == written]
            if found and (first is not None or (writes and stage.inner)):
                return True
            if any((r.offset, r.strides) != (w.offset, w.strides) for r in found for w in writes):
                return True
            first = writes[0] if writes and first is None else first
    return False


def _spans(uses: Sequence[_Use], together: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Return the first and the last stage that touches each buffer."""
    spans: dict[int, list[int]] = {}
    around = {k: (begin, end - 1) for begin, end in together for k in range(begin, end)}
    for k, use in enumerate(uses):
        begin, end = around.get(k, (k, k))
        for access in use.accesses:
            spans.setdefault(access.buffer, [begin, end])[1] = end
    return spans


def _chosen(
    slots: Sequence[_Slot], buffer: int, span: tuple[int, int], nbytes: int, uses: Sequence[_Use]
) -> _Slot | None:
    """Return the memory that a buffer gets, None for new memory; `uses`: of the stages, where they may replace."""
    begin, end = span

    def replaced(slot: _Slot) -> bool:
        return slot.last == begin and bool(uses) and uses[begin].may_replace(slot.holder, buffer)

    def given_up(slot: _Slot) -> bool:
        """Whether the buffer is gone when a result needs its memory."""
        if slot.wanted is None or end < slot.wanted:
            return True
        return end == slot.wanted and begin < end and uses[end].may_replace(buffer, slot.number)

    free = [slot for slot in slots if (slot.last < begin or replaced(slot)) and given_up(slot)]
    fitting = [slot for slot in free if slot.nbytes >= nbytes]
    if fitting:
        # What dies here is in the cache; a result's memory is needed anyway.
        return min(fitting, key=lambda slot: (slot.last != begin, slot.wanted is None, slot.nbytes))
    return max((slot for slot in free if slot.wanted is None), key=lambda slot: slot.nbytes, default=None)


def _renumber(uses: Sequence[_Use], numbers: Mapping[int, int]) -> None:
    """Give all accesses the numbers of the memory that their buffers got."""
    for expr in {id(expr): expr for use in uses for expr in use.order}.values():
        if expr.kind == "load":
            expr.arg = _moved(expr.arg, numbers)
        elif expr.kind == "gather":
            expr.arg = (_moved(expr.arg[0], numbers), *expr.arg[1:])
    for use in uses:
        use.stage.stores[:] = [replace(store, access=_moved(store.access, numbers)) for store in use.stage.stores]


def _place(access: Access, moving: Sequence[int]) -> tuple[int, ...]:
    """Return which bytes an access touches, without its buffer: width of an element, offset, steps."""
    return access.dtype.itemsize, access.offset, *(access.strides[k] for k in moving)


def _moved(access: Access, numbers: Mapping[int, int]) -> Access:
    return replace(access, buffer=numbers.get(access.buffer, access.buffer))
