"""The walk along rows: the innermost of the reduced or scanned dimensions is the vector."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

from trueno.codegen.emit import start_value
from trueno.codegen.expr import Expr, Store
from trueno.codegen.search import find_searches
from trueno.codegen.searching import SearchEmitter
from trueno.codegen.sums import SumEmitter

#: Elements added up before they go to a wide accumulator; how many such sums are neighbours; elements of a run.
GROUP, NEIGHBOURS, RUN = 8, 16, 4096
#: Elements that are computed before they are added up, where a wide accumulator would halve the vectors' lanes.
BUFFER = 1024
#: Elements that a compensated sum adds up in vectors of `VECTOR`, one at a time: those of a block of pairwise sums.
SHORT, VECTOR = 128, 8


@dataclass(slots=True)
class Walk:
    """One walk over the inner dimensions of a task.

    Attributes
    ----------
    sums, scans : list of Expr
    stores : list of tuple
        (number, Store) of the results that are written on the way.
    accumulators, totals : dict
        By the identity of a reduction or scan: its accumulator; of a compensated sum, the pair that carries it on.
    pointers : list
        The accesses, moved to the row.
    """

    sums: list[Expr]
    scans: list[Expr]
    stores: list
    accumulators: dict[int, Any] = field(default_factory=dict)
    totals: dict[int, Any] = field(default_factory=dict)
    pointers: list[Any] = field(default_factory=list)


class RowEmitter(SumEmitter, SearchEmitter):
    """Prints a stage whose tasks each walk rows."""

    def _reduce(self, pointers: list[Any], begin: Any) -> None:
        p = self.p
        self.searches = find_searches(self.loops) if self.serial else {}
        self.blocks = {}
        self.pointers = pointers
        for sums, scans, late in self._phases():
            found = [expr for expr in sums if id(expr) in self.searches]
            rest = [expr for expr in sums if id(expr) not in self.searches]
            if rest or late:
                self._row_phase(Walk(rest, scans, late), pointers)
            for expr in found:
                self.memo[id(expr)] = self._found(expr, self.searches[id(expr)], pointers)
        self.pointers = pointers
        with p.once():
            for _, store in self._final_stores():
                self._store_final(store, pointers[self.loops.numbers[store.access]])

    def _store_final(self, store: Store, pointer: Any) -> None:
        """Store what does not change along the row."""
        self.p.store(pointer, self._value(store.value, self.memo), store.access.dtype)

    def _around(self, walk: Walk, high: Any) -> AbstractContextManager[Any]:
        """Return a loop around the innermost one."""
        return self.p.loop(self.p.index(0), high)

    def _row_phase(self, walk: Walk, pointers: list[Any]) -> None:
        p = self.p
        for expr in (*walk.sums, *walk.scans):
            walk.accumulators[id(expr)] = p.variable(self._carried(expr))
            self._restart(expr, walk.accumulators[id(expr)])
            if self._totals(expr) == 2 and not self._is_one_short_row():
                walk.totals[id(expr)] = (p.variable(p.wide), p.variable(p.wide))
                for total in walk.totals[id(expr)]:
                    p.set(total, p.const(0.0, p.wide))
        self._hoist([*(e.src[0] for e in (*walk.sums, *walk.scans)), *(s.value for _, s in walk.stores)])
        wanted = {id(search.extreme) for search in self.searches.values()}
        tracked = [expr for expr in walk.sums if id(expr) in wanted]
        with ExitStack() as nest:
            walk.pointers = list(pointers)
            for dim in range(len(self.loops.inner) - 1):
                i = nest.enter_context(self._around(walk, self.extents[dim]))
                walk.pointers = self._step(walk.pointers, dim, i)
            low, high = p.index(0), self.extents[-1]
            if tracked and not self.loops.short:
                low, high = self._tracking(nest, tracked, walk.accumulators)
            self._walk(walk, low, high)
        for expr in walk.sums:
            self.memo[id(expr)] = p.finish(expr, self._result(expr, walk))
        self.pointers = pointers

    def _is_one_short_row(self) -> bool:
        """Whether all that is reduced is a short row: lanes of few elements each are as accurate as pairwise sums."""
        return bool(self.loops.short) and len(self.loops.inner) == 1

    def _is_widened(self, expr: Expr) -> bool:
        return super()._is_widened(expr) and not self._is_one_short_row()

    def _restart(self, expr: Expr, accumulator: Any) -> None:
        self.p.set(accumulator, self.p.const(start_value(expr), self._carried(expr)))

    def _carried(self, expr: Expr) -> Any:
        """Return the dtype of a reduction's or scan's accumulator."""
        return self.p.wide if self._is_widened(expr) or self._is_wide_scan(expr) else expr.dtype

    def _scan(self, expr: Expr, accumulator: Any, value: Any) -> Any:
        """Join an element with a scan's accumulator; return what the scan gives there."""
        p, carried = self.p, self._carried(expr)
        value = p.combine(expr, p.get(accumulator), p.cast(value, expr.dtype, carried), carried)
        p.set(accumulator, p.carry(expr, value))
        return p.cast(value, carried, expr.dtype)

    def _result(self, expr: Expr, walk: Walk) -> Any:
        if id(expr) in walk.totals:
            return self._total(walk.totals[id(expr)], expr)
        if id(expr) in self.blocks:
            return self.p.get(self.blocks[id(expr)][0])
        value = self.p.get(walk.accumulators[id(expr)])
        return self.p.cast(value, self.p.wide, expr.dtype) if self._is_widened(expr) else value

    # --- one walk -----------------------------------------------------------------------------------------------------

    def _walk(self, walk: Walk, low: Any, high: Any) -> None:
        """Walk part of the innermost dimension."""
        widened = [expr for expr in walk.sums if self._is_widened(expr)]
        if self.loops.stage.partial and self.serial:
            # Too few for vectors to pay, or for their code to be compiled.
            self._loop(walk, low, high, self._into_totals(walk), 1)
        elif self.loops.short:
            self._walk_short(walk, low, high)
        elif walk.totals:
            self._walk_compensated(walk, low, high)
        elif not widened:
            self._loop(walk, low, high, self._into(walk))
        elif widened == walk.sums and not walk.scans and not walk.stores and not self._any_costly(walk):
            self._walk_groups(walk, low, high)
        else:
            self._walk_buffered(walk, low, high, widened)

    def _any_costly(self, walk: Walk) -> bool:
        """Whether a composite row is evaluated for each element."""
        pending = [expr.src[0] for expr in walk.sums]
        while pending:
            expr = pending.pop()
            if id(expr) not in self.memo:
                if self._is_costly(expr):
                    return True
                pending += expr.src
        return False

    def _into(self, walk: Walk) -> Callable[[Expr, Any, Any], None]:
        """Return what takes an element of a reduction into its accumulator."""
        p = self.p

        def fold(expr: Expr, value: Any, i: Any) -> None:
            accumulator = walk.accumulators[id(expr)]
            if self._is_widened(expr):
                p.set(accumulator, p.combine(expr, p.get(accumulator), self._widen(value, expr), p.wide))
            else:
                p.set(accumulator, p.combine(expr, p.get(accumulator), value))

        return fold

    def _loop(
        self, walk: Walk, low: Any, high: Any, fold: Callable[[Expr, Any, Any], None], lanes: int | None = None
    ) -> None:
        """Print the innermost loop; `fold` takes the elements of reductions.

        `lanes`: 1 where iterations follow each other, another number for one vector at a time, None for what is best.
        """
        p = self.p
        independent = not walk.scans and not any(store.index is not None for _, store in walk.stores)
        masked = bool(self.loops.short) and lanes != 1
        width = (lanes or 0) if masked else int(lanes == 1)
        interleave = int(lanes is not None or masked)
        with p.vector_loop(low, high, independent, width=width, interleave=interleave, masked=masked) as i:
            self.pointers = self._step(walk.pointers, len(self.loops.inner) - 1, i, vector=True)
            memo = dict(self.memo)
            for expr in walk.scans:
                memo[id(expr)] = self._scan(expr, walk.accumulators[id(expr)], self._value(expr.src[0], memo))
            for expr in walk.sums:
                fold(expr, self._value(expr.src[0], memo), i)
            self._keep_spilled(memo)
            self._write_all(walk.stores, memo)

    def _walk_short(self, walk: Walk, low: Any, high: Any) -> None:
        """Walk by single vectors, the last one in part.

        No element is left over, and sums are of so few elements in each of `NEIGHBOURS` lanes that they need no more.
        """
        sums = any(self._is_float_sum(expr) for expr in walk.sums)
        self._run(walk, low, high, NEIGHBOURS if sums else None)

    # --- sums ---------------------------------------------------------------------------------------------------------

    def _walk_compensated(self, walk: Walk, low: Any, high: Any) -> None:
        """Walk in runs after which sums go to their compensated totals.

        A vector loop would add elements that fill no vector to the sum of all others, one after the other: they are
        walked separately.
        """
        p = self.p
        if not self.serial:
            with p.loop(low, high, p.run) as begin:
                self._run(walk, begin, p.arith("min", high, p.arith("add", begin, p.index(p.run))))
            return
        extent = p.arith("sub", high, low)
        # What is added to a total is rounded once more: short rows gain nothing from it, others from at least two runs.
        runs = p.arith("mul", p.arith("div", extent, p.index(SHORT)), p.index(SHORT))
        run = p.arith("max", p.arith("div", runs, p.index(4)), p.index(SHORT // 2))
        run = p.arith("min", run, p.index(p.run))
        count = p.arith("div", p.arith("add", runs, p.arith("sub", run, p.index(1))), run)
        end = p.arith("add", low, runs)
        with p.loop(p.index(0), count) as k:
            begin = p.arith("add", low, p.arith("mul", k, run))
            self._run(walk, begin, p.arith("min", end, p.arith("add", begin, run)))
        middle = p.arith("sub", high, p.arith("rem", extent, p.index(VECTOR)))
        self._run(walk, end, middle, VECTOR)
        self._loop(walk, middle, high, self._into_totals(walk), 1)

    def _run(self, walk: Walk, low: Any, high: Any, lanes: int | None = None) -> None:
        """Walk a run and add its sums to the totals."""
        pairs = [expr for expr in walk.sums if id(expr) in walk.totals]
        for expr in pairs:
            self._restart(expr, walk.accumulators[id(expr)])
        self._loop(walk, low, high, self._into(walk), lanes)
        for expr in pairs:
            self._add_wide(walk.totals[id(expr)], self._widen(self.p.get(walk.accumulators[id(expr)]), expr))

    def _into_totals(self, walk: Walk) -> Callable[[Expr, Any, Any], None]:
        """Return what takes an element of a compensated sum into its total at once."""
        into = self._into(walk)

        def fold(expr: Expr, value: Any, i: Any) -> None:
            if id(expr) in walk.totals:
                self._add_wide(walk.totals[id(expr)], self._widen(value, expr))
            else:
                into(expr, value, i)

        return fold

    def _walk_buffered(self, walk: Walk, low: Any, high: Any, widened: list[Expr]) -> None:
        """Walk in two loops: a wide accumulator in the first would halve the lanes of all that is computed there."""
        p = self.p
        # softmax keeps its exponentials in its result, whence they can be read back.
        spilled = self.spill[0] if self.spill is not None and self.spill[1] == self.now else None
        kept = {id(e): None if e.src[0] is spilled else p.variable(e.dtype, BUFFER) for e in widened}
        into = self._into(walk)
        with p.loop(low, high, BUFFER) as begin:
            end = p.arith("min", high, p.arith("add", begin, p.index(BUFFER)))

            def fold(expr: Expr, value: Any, i: Any) -> None:
                if id(expr) not in kept:
                    into(expr, value, i)
                elif kept[id(expr)] is not None:
                    p.set(kept[id(expr)], value, p.arith("sub", i, begin))

            def value(expr: Expr, i: Any) -> Any:
                if kept[id(expr)] is not None:
                    return p.get(kept[id(expr)], i)
                assert self.spill is not None
                at = self._step(walk.pointers, len(self.loops.inner) - 1, p.arith("add", begin, i), vector=True)
                return p.load(at[self.spill[2]], expr.dtype)

            self._loop(walk, begin, end, fold)
            self._add_groups(walk, widened, p.index(0), p.arith("sub", end, begin), value)

    def _walk_groups(self, walk: Walk, low: Any, high: Any) -> None:
        """Walk in runs of which groups of elements are added up first."""
        p = self.p
        memos: dict[Any, dict] = {}

        def value(expr: Expr, i: Any) -> Any:
            self.pointers = self._step(walk.pointers, len(self.loops.inner) - 1, i, vector=True)
            return self._value(expr.src[0], memos.setdefault(i, dict(self.memo)))

        with p.loop(low, high, RUN) as begin:
            end = p.arith("min", high, p.arith("add", begin, p.index(RUN)))
            self._add_groups(walk, walk.sums, begin, end, value)

    def _add_groups(self, walk: Walk, sums: list[Expr], low: Any, high: Any, value: Callable[[Expr, Any], Any]) -> None:
        """Add elements to wide accumulators, groups of them by their sum: of pairs, of pairs of pairs, and so on.

        The elements of a group lie far from each other, so that vectors of neighbours are added.
        """
        p, fold = self.p, self._into(walk)
        part = p.arith("div", p.arith("sub", high, low), p.index(GROUP * NEIGHBOURS))
        part = p.arith("mul", part, p.index(NEIGHBOURS))
        with p.vector_loop(p.index(0), part, True, width=NEIGHBOURS) as i:
            places = [p.arith("add", p.arith("add", low, p.arith("mul", part, p.index(k))), i) for k in range(GROUP)]
            for expr in sums:
                fold(expr, self._tree([value(expr, place) for place in places], expr), i)
        with p.vector_loop(p.arith("add", low, p.arith("mul", part, p.index(GROUP))), high, True, interleave=1) as i:
            for expr in sums:
                fold(expr, value(expr, i), i)
