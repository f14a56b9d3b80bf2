"""The loops of one task of a multiplication: a block of the result, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from trueno.codegen.contraction.finish import buffer_row
from trueno.codegen.contraction.steps import Factor, Multiply
from trueno.codegen.contraction.tile import k_block
from trueno.codegen.contraction.walk import StepEmitter
from trueno.codegen.llvm import LLVMPrinter


class _Part(NamedTuple):
    """A block of K: its first position, its length, and where it begins in the rows, in elements."""

    begin: Any
    count: Any
    offset: Any


class Blocks(StepEmitter):
    """The loops of one task.

    Where the sums are the result, blocks of K are outermost: a block of columns stays in the second-level cache while
    rows pass by, and complete tiles are added up in the result itself, those of a last row that lacks rows in a buffer.
    Tiles that lack columns, and all where something follows the sums, are added up over all of K row of tiles by row of
    tiles, in that buffer.
    """

    def __init__(self, step: Multiply, printer: LLVMPrinter, name: str) -> None:
        super().__init__(step, printer)
        self.multiply, self.name = step, name

    def run(self) -> None:
        """Print one task: one block of the result."""
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None and step.b is not None
        numbers = step.numbers
        used = {numbers[one] for one in (step.a.access, step.b.access)}
        if step.plain:
            used.add(numbers[step.stores[0].access])
        bases = [self.base(k) if k in used else "null" for k in range(len(step.accesses))]
        sums = p.variable(tile.sum, tile.rows * buffer_row(step))
        self.sums = p.advance(sums[0], p.index(tile.columns), tile.sum)
        room = step.strip * k_block(tile.sum) + (tile.lanes * tile.columns if step.turned else 0)
        self.kept = p.variable(tile.packed, room)[0] if step.kept else "null"
        self.rest = p.variable(tile.packed, step.rest * k_block(tile.sum))[0] if step.rest else "null"
        if tile.amx:
            p.call(f"@{self.name}.configure()")
        with p.each_task() as task:
            down, across = self.number("down"), self.number("across")
            if step.plain and not tile.dots:
                # The strips of one block of rows follow each other: a thread has all columns of its rows.
                strip, rest = p.arith("rem", task, across), p.arith("div", task, across)
                block, self.batch = p.arith("rem", rest, down), p.arith("div", rest, down)
            else:
                # Windows slide over one block of rows after the other.
                slides = self.number("slides")
                slide, rest = p.arith("rem", task, slides), p.arith("div", task, slides)
                block, rest = p.arith("rem", rest, down), p.arith("div", rest, down)
                strip, rest = p.arith("rem", rest, across), p.arith("div", rest, across)
                self.batch = p.arith("add", p.arith("mul", rest, slides), slide)
            indices = self.unravel("batch", self.batch)
            pointers = list(bases)
            for dim, index in enumerate(indices):
                for k in used:
                    pointers[k] = self.along(pointers[k], k, "batch", dim, index)
            self.pa, self.pb = pointers[numbers[step.a.access]], pointers[numbers[step.b.access]]
            self.pc = pointers[numbers[step.stores[0].access]] if step.plain else "null"
            m0 = p.arith("mul", block, self.number("high"))
            m1 = p.arith("min", self.number("M"), p.arith("add", m0, self.number("high")))
            self.n0 = p.arith("mul", strip, self.number("wide"))
            self.n1 = p.arith("min", self.number("N"), p.arith("add", self.n0, self.number("wide")))
            # Where the complete tiles end.
            width = p.index(tile.columns)
            self.end = p.arith("mul", p.arith("div", self.n1, width), width)
            if step.added_up:
                self._complete(m0, m1)
            if not step.rest:
                with p.loop(m0, m1, tile.rows) as row:
                    self._row_of_tiles(row, p.arith("min", p.index(tile.rows), p.arith("sub", m1, row)))
        if tile.amx:
            # Tiles in use would be saved whenever the kernel switches to another thread.
            p.call("@llvm.x86.tilerelease()")

    # --- tiles with all their columns, added up in the result ---------------------------------------------------------

    def _complete(self, m0: Any, m1: Any) -> None:
        """Print the tiles that have all their columns; a last row of tiles that lacks rows goes through the buffer."""
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None
        height = p.index(tile.rows)
        whole = p.arith("add", m0, p.arith("mul", p.arith("div", p.arith("sub", m1, m0), height), height))
        with self._rounds() as part:
            if step.kept:
                self._keep(part)
            if step.rest:
                self._copy_rest(part)
            with p.loop(m0, m1, tile.rows) as row:
                self._complete_row(part, row, whole, "kept" if step.kept else "tile")
        left = p.both(p.compare("slt", whole, m1), p.compare("slt", self.n0, self.end))
        with p.when(left):
            _, skipped = self._factor(step.a, self.pa, "a steps", whole, self.number("M"), tile.rows)
            end = self.n1 if step.rest else self.end
            self._finish(whole, p.arith("sub", m1, whole), skipped, self.n0, end)

    def _keep(self, part: _Part) -> None:
        """Copy a block of columns that are read as they lie into panels in the task's own memory."""
        p, step, packed = self.printer, self.multiply, self.multiply.tile.packed
        assert step.b is not None
        if step.turned:
            self._turn(part)
            return
        b_step, width = self.number("b steps", 1), p.arith("sub", self.end, self.n0)
        first = p.advance(p.advance(self.pb, self.n0, packed), p.arith("mul", part.begin, b_step), packed)
        p.check_grid(first, packed, [(part.count, b_step), (width, "1")])
        panel = p.arith("mul", self.number("K block"), p.index(step.tile.columns))
        p.call(
            f"@{self.name}.keep(ptr {first}, i64 {b_step}, i64 {part.count}, i64 {width}, ptr {self.kept}, i64 {panel})"
        )

    def _turn(self, part: _Part) -> None:
        """Turn a block of columns that run along K over into panels in the task's own memory.

        A panel is written a vector of lines at a time, and the next one after what is written past its end.
        """
        p, step, packed = self.printer, self.multiply, self.multiply.tile.packed
        columns, row = step.tile.columns, self.number("b steps")
        row_bytes = p.arith("mul", row, p.index(packed.itemsize))
        with p.loop(self.n0, self.end, columns) as column:
            first = p.advance(p.advance(self.pb, p.arith("mul", column, row), packed), part.begin, packed)
            p.check_grid(first, packed, [(p.index(columns), row), (part.count, "1")])
            to = p.arith("mul", p.arith("sub", column, self.n0), self.number("K block"))
            p.call(
                f"@{self.name}.turn(ptr {first}, i64 {row_bytes}, i64 {columns}, "
                f"ptr {p.advance(self.kept, to, packed)}, i64 {part.count})"
            )

    def _complete_row(self, part: _Part, row: Any, whole: Any, kernel: str) -> None:
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None and step.b is not None
        access = step.numbers[step.stores[0].access]
        inside = p.compare("slt", row, whole)
        line, down = self.along(self.pc, access, "rows", 0, row), self.number(f"a{access} rows")
        pa, _ = self._factor(step.a, self.pa, "a steps", row, self.number("M"), tile.rows)
        with p.loop(self.n0, self.end, tile.columns) as column:
            place = self.along(line, access, "columns", 0, column)
            if p.bounds is not None:
                with p.when(inside):
                    walks = [(p.index(tile.rows), down), (p.index(tile.columns), "1")]
                    p.check_grid(place, tile.sum, walks, writes=True)
            place = p.select(inside, place, p.advance(self.sums, p.arith("sub", column, self.n0), tile.sum))
            place_row = p.select(inside, down, p.index(buffer_row(step)), "i64")
            pb, _ = self._factor(step.b, self.pb, "b steps", column, self.number("N"), tile.columns)
            kept = p.arith("mul", p.arith("sub", column, self.n0), self.number("K block"))
            # The same block of K of the next row of tiles.
            ahead = p.arith("mul", self.number("a steps"), p.index(tile.packed.itemsize))
            self._tile(part, kernel, pa, pb, kept, ahead, place, place_row)
        if step.rest:
            self._rest_of_row(part, pa, line, down, inside)

    def _copy_rest(self, part: _Part) -> None:
        """Copy a block of the columns that are left over, so that each runs along K."""
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.b is not None
        first = p.advance(self.pb, self.end, tile.packed)
        if not step.b.direct and step.b.step == tile.columns:
            first, _ = self._factor(step.b, self.pb, "b steps", self.end, self.number("N"), tile.columns)
        b_step = self.number("b steps", 1)
        first = p.advance(first, p.arith("mul", part.begin, b_step), tile.packed)
        p.check_grid(first, tile.packed, [(part.count, b_step), (p.index(step.rest), "1")])
        for column in range(step.rest):
            to = p.advance(self.rest, p.arith("mul", p.index(column), self.number("K block")), tile.packed)
            from_ = p.advance(first, p.index(column), tile.packed)
            p.call(f"@{self.name}.column(ptr {from_}, i64 {b_step}, i64 {part.count}, ptr {to})")

    def _rest_of_row(self, part: _Part, pa: Any, line: Any, down: Any, inside: Any) -> None:
        """Call what computes the columns that are left over for a row of tiles; `inside`: it has all of its rows."""
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        place = self.along(line, step.numbers[step.stores[0].access], "columns", 0, self.end)
        if p.bounds is not None:
            with p.when(inside):
                p.check_grid(place, tile.sum, [(p.index(tile.rows), down), (p.index(step.rest), "1")], writes=True)
        place = p.select(inside, place, p.advance(self.sums, p.arith("sub", self.end, self.n0), tile.sum))
        place_row = p.select(inside, down, p.index(buffer_row(step)), "i64")
        p.call(
            f"@{self.name}.rest(i64 {part.count}, ptr {p.advance(pa, part.offset, tile.packed)}, ptr {self.rest}, "
            f"i64 {self.number('a steps')}, i64 {self.number('K block')}, i64 {tile.lanes}, i64 0, i64 {part.begin}, "
            f"ptr {place}, i64 {place_row})"
        )

    # --- rows of tiles, added up in the buffer ------------------------------------------------------------------------

    def _row_of_tiles(self, row: Any, rows: Any) -> None:
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None
        begin = self.end if step.added_up else self.n0
        with p.when(p.compare("slt", begin, self.n1)):
            pa, skipped = self._factor(step.a, self.pa, "a steps", row, self.number("M"), tile.rows)
            if step.lines:
                self._lines(pa, p.arith("sub", self.n1, self.n0))
            else:
                self._tiles(pa, begin)
            self._finish(row, rows, skipped, begin, self.n1)

    def _finish(self, row: Any, rows: Any, skipped: Any, begin: Any, end: Any) -> None:
        """Call what evaluates a row of tiles from the buffer, between two columns."""
        p, step = self.printer, self.multiply
        offset = p.arith("add", p.arith("mul", skipped, p.index(buffer_row(step))), p.arith("sub", begin, self.n0))
        sums = p.advance(self.sums, offset, step.tile.sum)
        p.call(
            f"@{self.name}.finish(ptr %buffers, ptr %meta, ptr %scalars, ptr {sums}, i64 {self.batch}, "
            f"i64 {row}, i64 {rows}, i64 {begin}, i64 {p.arith('sub', end, begin)})"
        )

    def _lines(self, pa: Any, width: Any) -> None:
        p, packed = self.printer, self.multiply.tile.packed
        depth, a_step, b_step = self.number("K"), self.number("a steps", 1), self.number("b steps", 1)
        b = p.advance(self.pb, self.n0, packed)
        p.check_grid(pa, packed, [(depth, a_step)])
        p.check_grid(b, packed, [(depth, b_step), (width, "1")])
        p.call(
            f"@{self.name}.lines(i64 {depth}, ptr {pa}, i64 {a_step}, ptr {b}, i64 {b_step}, ptr {self.sums}, "
            f"i64 {width})"
        )

    def _tiles(self, pa: Any, begin: Any) -> None:
        """Print a row of tiles: those in full, then the last one of the result, which may reach back over others."""
        p, step = self.printer, self.multiply
        assert step.b is not None
        if not step.b.direct and not step.narrow:
            # Panels are filled up: the last tile is like the others.
            with self._rounds() as part, p.loop(begin, self.n1, step.tile.columns) as column:
                self._summed(part, pa, column, "tile")
            return
        with self._rounds() as part, p.loop(begin, self.end, step.tile.columns) as column:
            self._summed(part, pa, column, "tile")
        with p.when(p.compare("slt", self.end, self.n1)), self._rounds() as part:
            self._summed(part, pa, self.end, "narrow" if step.narrow else "tile")

    def _summed(self, part: _Part, pa: Any, column: Any, kernel: str) -> None:
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.b is not None
        width = tile.narrow_columns if kernel == "narrow" else tile.columns
        pb, back = self._factor(step.b, self.pb, "b steps", column, self.number("N"), width)
        sums = p.advance(self.sums, p.arith("sub", p.arith("sub", column, self.n0), back), tile.sum)
        if tile.dots:
            # Of the next row of tiles one row, another one for each tile.
            turn = p.arith("rem", p.arith("div", p.arith("sub", column, self.n0), p.index(width)), p.index(tile.rows))
            ahead = p.arith("mul", p.arith("add", turn, p.index(tile.rows)), self.number("a steps"))
            self._dots(part, pa, pb, ahead, sums)
            return
        # The next block of K of the same rows.
        ahead = p.arith("mul", part.count, p.index(tile.rows * tile.group * tile.packed.itemsize))
        self._tile(part, kernel, pa, pb, "0", ahead, sums, p.index(buffer_row(step)))

    # --- what both share ----------------------------------------------------------------------------------------------

    def _factor(self, factor: Factor, pointer: Any, name: str, at: Any, total: Any, width: int) -> tuple[Any, Any]:
        """Return the pointer to a tile's part of a factor and how far before `at` it begins.

        A tile that would reach past the end of a factor that is read where it lies begins earlier instead.
        """
        p = self.printer
        if factor.direct:
            first = p.arith("min", at, p.arith("sub", total, p.index(width)))
            apart = name == "a steps" or self.multiply.tile.dots
            offset = p.arith("mul", first, self.number(name)) if apart else first
            return p.advance(pointer, offset, factor.access.dtype), p.arith("sub", at, first)
        panel = p.arith(
            "div", at, p.index(self.multiply.tile.rows if name == "a steps" else self.multiply.tile.columns)
        )
        return p.advance(pointer, p.arith("mul", panel, self.number(name)), factor.access.dtype), p.index(0)

    @contextmanager
    def _rounds(self) -> Iterator[_Part]:
        """Walk along K block by block; where K has several dimensions in the rows, along the innermost one."""
        p, step = self.printer, self.multiply
        assert step.a is not None
        block, a_step = self.number("K block"), self.number("a steps", 1)
        if "k" in step.roles:
            last = len(step.roles["k"].extents) - 1
            access, depth = step.numbers[step.a.access], self.number("k", last)
            with p.loop("0", p.arith("div", self.number("K"), depth)) as run, p.loop("0", depth, block) as low:
                offset = p.arith("mul", low, a_step)
                for dim, index in enumerate(self._outer(run, last)):
                    offset = p.arith("add", offset, p.arith("mul", index, self.number(f"a{access} k", dim)))
                begin = p.arith("add", p.arith("mul", run, depth), low)
                yield _Part(begin, p.arith("min", p.arith("sub", depth, low), block), offset)
            return
        depth = self.number("K")
        # An empty sum takes one round, too: it is 0.
        rounds = p.arith("max", p.arith("div", p.arith("sub", p.arith("add", depth, block), "1"), block), "1")
        with p.loop(p.index(0), rounds) as turn:
            k = p.arith("mul", turn, block)
            count = p.arith("min", p.arith("sub", depth, k), block)
            yield _Part(k, count, k if step.tile.dots else p.arith("mul", k, a_step))

    def _outer(self, run: Any, count: int) -> list[Any]:
        """Return the number of a run along the innermost dimension of K as indices of the `count` outer ones."""
        p = self.printer
        indices: list[Any] = []
        for dim in reversed(range(1, count)):
            indices.append(p.arith("rem", run, self.number("k", dim)))
            run = p.arith("div", run, self.number("k", dim))
        return [run, *indices[::-1]] if count else []

    def _tile(
        self, part: _Part, kernel: str, pa: Any, pb: Any, kept: Any, ahead: Any, place: Any, place_row: Any
    ) -> None:
        """Call a micro-kernel for one tile and one block of K, added to what is at `place` unless it is the first.

        `kept`: where in the memory for columns that are kept. `ahead`: bytes to rows that are needed later.
        """
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None and step.b is not None
        width = tile.narrow_columns if kernel == "narrow" else tile.columns
        a_row, a_step, b_step = self.number("a steps"), self.number("a steps", 1), self.number("b steps", 1)
        a = p.advance(pa, part.offset, tile.packed)
        self._check_rows(part, a)
        if kernel == "kept":
            kernel, b_step = "tile", p.index(tile.columns)
            b = p.advance(self.kept, kept, tile.packed)
        else:
            b = p.advance(pb, p.arith("mul", part.begin, b_step), tile.packed)
            p.check_grid(b, tile.packed, [(part.count, b_step), (p.index(width * tile.group), "1")])
        p.call(
            f"@{self.name}.{kernel}(i64 {part.count}, ptr {a}, ptr {b}, i64 {a_row}, i64 {a_step}, i64 {b_step}, "
            f"i64 {ahead}, i64 {part.begin}, ptr {place}, i64 {place_row})"
        )

    def _check_rows(self, part: _Part, a: Any) -> None:
        """Check what a micro-kernel reads of the rows for a block of K."""
        p, step, tile = self.printer, self.multiply, self.multiply.tile
        assert step.a is not None
        a_row, a_step = self.number("a steps"), self.number("a steps", 1)
        # What lies side by side in panels is a row apart in a factor that is read as it lies.
        rows = (p.index(tile.rows), a_row) if step.a.direct else (p.index(tile.rows * tile.group), "1")
        walks = [(part.count, a_step), rows]
        if tile.amx and step.a.direct:
            walks.append((p.index(tile.group), "1"))
        elif tile.amx:
            # Lines of all rows lie side by side, and as many groups in each as a tile has lanes.
            lanes = p.index(tile.lanes)
            rounds = p.arith("div", p.arith("add", part.count, p.index(tile.lanes - 1)), lanes)
            walks = [(rounds, p.arith("mul", a_step, lanes)), (p.index(tile.rows * tile.group * tile.lanes), "1")]
        p.check_grid(a, tile.packed, walks)

    def _dots(self, part: _Part, pa: Any, pb: Any, ahead: Any, place: Any) -> None:
        """Call the micro-kernel of inner products for one tile and one block of K, as `_tile` does.

        `ahead`: elements to rows that are needed later.
        """
        p, tile = self.printer, self.multiply.tile
        a_row, b_row, b_step = self.number("a steps"), self.number("b steps"), self.number("b steps", 1)
        lanes = p.index(tile.lanes)
        a = p.advance(pa, part.offset, tile.packed)
        b = p.advance(pb, p.arith("mul", p.arith("div", part.begin, lanes), b_step), tile.packed)
        p.check_grid(a, tile.packed, [(part.count, "1"), (p.index(tile.rows), a_row)])
        vectors, rest = p.arith("div", part.count, lanes), p.arith("rem", part.count, lanes)
        last = p.advance(b, p.arith("mul", vectors, b_step), tile.packed)
        for first, walks in ((b, [(vectors, b_step), (lanes, "1")]), (last, [(rest, "1")])):
            p.check_grid(first, tile.packed, [*walks, (p.index(tile.columns), b_row)])
        p.call(
            f"@{self.name}.tile(i64 {part.count}, ptr {a}, ptr {b}, i64 {a_row}, i64 {b_row}, i64 {b_step}, "
            f"i64 {ahead}, i64 {part.begin}, ptr {place}, i64 {buffer_row(self.multiply)})"
        )
