"""The micro-kernel: one register tile over a run along K, as vector IR."""

from __future__ import annotations

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.contraction.masks import SUFFIX
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.llvm import Module
from trueno.codegen.llvm_types import register_type

#: Bytes ahead in the columns' panel that are fetched.
_AHEAD = 1024
#: The same in each row of rows that are read as they lie: across memory, and along it. Of the latter, which the tile
#: before has brought into the second-level cache, lines of rows whole pages apart compete for a place in the first.
_A_AHEAD, _ALONG_AHEAD = 256, 64
#: Rows ahead that are fetched where columns are read as they lie.
_ROWS_AHEAD = 16
#: Steps along K in one round of the loop over panels, 2 at most.
_UNROLL = 2
#: Bytes of a cache line.
_LINE = 64


def vector_type(dtype: np.dtype, lanes: int) -> str:
    """Return the LLVM type of a vector of packed elements or sums."""
    return f"<{lanes} x {register_type(dtype)}>"


def micro_kernel(
    module: Module, name: str, tile: Tile, direct_a: bool, direct_b: bool, panel: int = 0, kept: bool = False,
    along: bool = False,
) -> None:  # fmt: skip
    """Append ``name(k, a, b, a_row, a_step, b_step, a_ahead, add, out, out_row)`` to a module.

    It computes ``out[i, j] = (add ? out[i, j] : 0) + sum of a[i, p] * b[p, j]`` for all of a tile. Strides are in
    elements. Of a direct factor it reads ``a[i * a_row + p * a_step]``, ``b[p * b_step + j]``; panels are dense. A step
    of grouped elements counts as one along k.

    Parameters
    ----------
    module : Module
    name : str
    tile : Tile
    direct_a, direct_b : bool
        Whether a factor is read where it lies. Of packed rows, those `a_ahead` bytes further on are fetched.
    panel : int, optional
        The width of the columns' panel, where it is not the tile's.
    kept : bool
        Whether most of the columns that it reads as they lie have been copied to panels, `b_step` being their width.
    along : bool
        Whether memory of rows that are read as they lie runs along K: `a_step` is 1.
    """
    _Micro(module, name, tile, direct_a, direct_b, panel or tile.columns, kept, along).run()


class _Micro:
    def __init__(
        self, module: Module, name: str, tile: Tile, direct_a: bool, direct_b: bool, panel: int, kept: bool,
        along: bool,
    ) -> None:  # fmt: skip
        self.module, self.name, self.tile, self.panel = module, name, tile, panel
        self.direct_a, self.direct_b, self.kept, self.along = direct_a, direct_b, kept, direct_a and along
        self.sum = vector_type(tile.sum, tile.lanes)
        # What one lane takes in one step: an element, or a group of 32 bits.
        self.unit = register_type(tile.packed) if tile.group == 1 else "i32"
        self.units = f"<{tile.lanes} x {self.unit}>"
        self.unit_bytes = tile.packed.itemsize * tile.group
        # More steps a round, fewer instructions beside the products; not where pointers take most of them.
        self.unroll = 1 if (direct_a and not along) or (direct_b and not kept) else _UNROLL
        self.lines: list[str] = []
        # Where the tile's vectors are added.
        self.out: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        cells = [(m, v) for m in range(self.tile.rows) for v in range(self.tile.vectors)]
        before = "steps" if self.along else "loop"
        lines, last = self.lines, before if self.unroll == 1 else "second"
        self._head(cells)
        lines += ["loop:", f"  %i = phi i64 [ {'%i.first' if self.unroll > 1 else '0'}, %entry ], [ %i.next, %{last} ]"]
        for base in self._bases():
            lines.append(f"  %a.{base} = phi ptr [ {self._first(base)}, %entry ], [ %a.{base}.next, %{last} ]")
        lines.append(f"  %b.at = phi ptr [ {'%b.first' if self.unroll > 1 else '%b'}, %entry ], [ %b.next, %{last} ]")
        if self.direct_a and not self.along:
            lines.append(f"  %a.soon = phi ptr [ %a.soon.first, %entry ], [ %a.soon.next, %{last} ]")
        for m, v in cells:
            lines.append(f"  %c{m}.{v} = phi {self.sum} [ zeroinitializer, %entry ], [ %d{m}.{v}, %{last} ]")
        begun = "c"
        if self.along:
            self._prefetch_rows()
        if self.unroll > 1:
            lines += ["  %skip = icmp slt i64 %i, 0", "  br i1 %skip, label %second, label %first", "first:"]
            self._step("c", "x", 0)
            lines += ["  br label %second", "second:"]
            for m, v in cells:
                lines.append(f"  %y{m}.{v} = phi {self.sum} [ %c{m}.{v}, %{before} ], [ %x{m}.{v}, %first ]")
            begun = "y"
        self._step(begun, "d", self.unroll - 1)
        self._advance()
        self._prefetch()
        lines += ["  %more = icmp slt i64 %i.next, %k", "  br i1 %more, label %loop, label %done"]
        self._tail(cells, last)
        parameters = (
            "i64 %k, ptr noalias %a, ptr noalias %b, i64 %a_row, i64 %a_step, i64 %b_step, "
            "i64 %a_ahead, i64 %add, ptr %out, i64 %out_row"
        )
        self.module.functions.append(
            "\n".join([f"define internal void @{self.name}({parameters}) noinline #0 {{", *self.lines, "}"])
        )

    def _first(self, base: int) -> str:
        """Return the pointer to a row that has one, where the loop begins."""
        return f"%a.{base}.first" if base or self.unroll > 1 else "%a"

    def _step(self, old: str, new: str, at: int) -> None:
        """Print one step along K of the whole tile: sums named `old` become `new`; `at` steps into a round."""
        tile, lines, b = self.tile, self.lines, "%b.at"
        if at and self.direct_b:
            lines.append(f"  %b.second = getelementptr {self.unit}, ptr {b}, i64 %b_step")
            b = "%b.second"
        for v in range(tile.vectors):
            place = (0 if self.direct_b else at * self.panel) + v * tile.lanes
            align = 64 if not self.direct_b and tile.lanes * self.unit_bytes == 64 else self.unit_bytes
            from_ = self._at(f"%b.p{new}{v}", self.unit, b, place)
            lines.append(f"  %b{new}{v} = load {self.units}, ptr {from_}, align {align}")
        for m in range(tile.rows):
            self._broadcast(m, new, at)
            for v in range(tile.vectors):
                self._product(m, v, old, new)

    def _at(self, name: str, kind: str, pointer: str, elements: int | str) -> str:
        """Return a pointer moved on, as a value of this name unless it stays where it is."""
        if elements == 0:
            return pointer
        self.lines.append(f"  {name} = getelementptr {kind}, ptr {pointer}, i64 {elements}")
        return name

    def _prefetch(self) -> None:
        """Print what fetches columns ahead: hardware does not follow rows that lie in pages of their own.

        Packed rows that are needed later are fetched into the second-level cache.
        """
        lines = self.lines
        self.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        lines.append(f"  %ahead = getelementptr i8, ptr %b.at, i64 {'%b.ahead' if self.direct_b else _AHEAD}")
        scattered = self.direct_b and not self.kept
        for at in range(0, self.tile.columns * self.unit_bytes if scattered else 1, _LINE):
            fetched = self._at(f"%ahead.{at}", "i8", "%ahead", at)
            lines.append(f"  call void @llvm.prefetch.p0(ptr {fetched}, i32 0, i32 3, i32 1)")
        if not self.direct_a:
            lines.append("  %a.later = getelementptr i8, ptr %a.0, i64 %a_ahead")
            lines.append("  call void @llvm.prefetch.p0(ptr %a.later, i32 0, i32 2, i32 1)")
        elif not self.along:
            # A line of one row in each step; after as many steps as a line has elements, the rows' next lines.
            line = max(_LINE // self.unit_bytes, 1)
            lines += [
                "  call void @llvm.prefetch.p0(ptr %a.soon, i32 0, i32 3, i32 1)",
                "  %a.soon.row = getelementptr i8, ptr %a.soon, i64 %row.1",
                f"  %a.soon.at = getelementptr i8, ptr %a.0.next, i64 {_A_AHEAD}",
                f"  %a.soon.turn = and i64 %i.next, {line - 1}",
                "  %a.soon.new = icmp eq i64 %a.soon.turn, 0",
                "  %a.soon.next = select i1 %a.soon.new, ptr %a.soon.at, ptr %a.soon.row",
            ]

    def _prefetch_rows(self) -> None:
        """Print what fetches a line of each row, once as many steps as a line has elements.

        It comes before the products: LLVM would move some of them behind the branch.
        """
        lines, moved = self.lines, self.unroll * self.unit_bytes
        lines += [
            "  %a.place = ptrtoint ptr %a.0 to i64",
            f"  %a.within = and i64 %a.place, {-moved % _LINE}",
            "  %a.crossed = icmp eq i64 %a.within, 0",
            "  br i1 %a.crossed, label %fetch, label %steps", "fetch:",
        ]  # fmt: skip
        for m in range(self.tile.rows):
            row = self._at(f"%fetch.{m}.row", "i8", f"%a.{m - m % 3}", f"%row.{m % 3}" if m % 3 else 0)
            at = self._at(f"%fetch.{m}", "i8", row, _ALONG_AHEAD)
            lines.append(f"  call void @llvm.prefetch.p0(ptr {at}, i32 0, i32 3, i32 1)")
        for base in self._bases():
            lines.append(f"  %later.{base} = getelementptr i8, ptr %a.{base}, i64 %row.later")
        for m in range(self.tile.rows):
            at = self._at(f"%later.{m}.row", "i8", f"%later.{m - m % 3}", f"%row.{m % 3}" if m % 3 else 0)
            lines.append(f"  call void @llvm.prefetch.p0(ptr {at}, i32 0, i32 2, i32 1)")
        self._prefetch_result_row()
        lines += ["  br label %steps", "steps:"]

    def _prefetch_result_row(self) -> None:
        """Print what fetches a row of the tile's part of the result: the rows one after the other, the last one last.

        Fetched all at once before the loop, they would hold up the columns, and be gone from the first-level cache.
        """
        lines, tile, steps = self.lines, self.tile, _LINE // self.unit_bytes
        for name in ("smin", "smax"):
            self.module.declare(f"i64 @llvm.{name}.i64(i64, i64)")
        lines += [
            "  %left = sub i64 %k, %i",
            f"  %left.lines = ashr i64 %left, {steps.bit_length() - 1}",
            f"  %turn.any = sub i64 {tile.rows}, %left.lines",
            "  %turn.low = call i64 @llvm.smax.i64(i64 %turn.any, i64 0)",
            f"  %turn = call i64 @llvm.smin.i64(i64 %turn.low, i64 {tile.rows - 1})",
            "  %turn.at = mul i64 %turn, %out_row",
            f"  %turn.row = getelementptr {register_type(tile.sum)}, ptr %out, i64 %turn.at",
        ]
        for at in self._result_lines():
            line = self._at(f"%turn.{at}", "i8", "%turn.row", at)
            lines.append(f"  call void @llvm.prefetch.p0(ptr {line}, i32 1, i32 3, i32 1)")

    def _result_lines(self) -> range:
        """Where the cache lines of a row of the tile's part of the result begin, in bytes."""
        vector = self.tile.lanes * self.tile.sum.itemsize
        return range(0, self.tile.vectors * vector, max(_LINE, vector))

    def _bases(self) -> list[int]:
        """Rows with pointers of their own; the two after each are reached by a multiple of the row's stride."""
        return list(range(0, self.tile.rows, 3)) if self.direct_a else [0]

    def _head(self, cells: list[tuple[int, int]]) -> None:
        lines = self.lines
        zeros = f"[{self.tile.columns} x {register_type(self.tile.sum)}]"
        lines += ["entry:", f"  %zeros = alloca {zeros}, align 16"]
        self._cells(cells)
        if not self.along:
            self._prefetch_result()
        if self.unroll > 1:
            # An odd number of steps begins with the second of a round, one step before the factors.
            lines += [
                "  %odd = and i64 %k, 1",
                "  %i.first = sub i64 0, %odd",
                f"  %a.back = mul i64 %i.first, {1 if self.along else self.tile.rows}",
                f"  %a.0.first = getelementptr {self.unit}, ptr %a, i64 %a.back",
                f"  %b.back = mul i64 %i.first, {'%b_step' if self.direct_b else self.panel}",
                f"  %b.first = getelementptr {self.unit}, ptr %b, i64 %b.back",
            ]
        if self.direct_a:
            size = self.unit_bytes
            lines += [f"  %row.1 = mul i64 %a_row, {size}", "  %row.2 = shl i64 %row.1, 1"]
            for base in self._bases()[1:]:
                lines.append(f"  %a.{base}.offset = mul i64 %row.1, {base}")
                lines.append(f"  %a.{base}.first = getelementptr i8, ptr {self._first(0)}, i64 %a.{base}.offset")
            lines.append(f"  %a.step = mul i64 %a_step, {size}")
            if self.along:
                lines.append(f"  %row.later = mul i64 %row.1, {self.tile.rows}")
            else:
                lines.append(f"  %a.soon.first = getelementptr i8, ptr %a, i64 {_A_AHEAD}")
        if self.direct_b:
            rows = _AHEAD // (self.tile.columns * self.unit_bytes) if self.kept else _ROWS_AHEAD
            lines.append(f"  %b.ahead = mul i64 %b_step, {rows * self.unit_bytes}")
        lines += ["  %any = icmp sgt i64 %k, 0", "  br i1 %any, label %loop, label %done"]

    def _prefetch_result(self) -> None:
        """Print what fetches the tile's part of the result, which is needed after the loop only."""
        self.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        vector = self.tile.lanes * self.tile.sum.itemsize
        for m in range(self.tile.rows):
            for at in self._result_lines():
                self.lines.append(
                    f"  call void @llvm.prefetch.p0(ptr {self.out[m, at // vector]}, i32 1, i32 3, i32 1)"
                )

    def _cells(self, cells: list[tuple[int, int]]) -> None:
        """Print the addresses of the tile's vectors in the result."""
        kind = register_type(self.tile.sum)
        for m, v in cells:
            if v:
                self.out[m, v] = self._at(f"%out.{m}.{v}", kind, self.out[m, 0], v * self.tile.lanes)
            else:
                self.out[m, 0] = self._at(f"%out.{m}", kind, self.out[m - 1, 0], "%out_row") if m else "%out"

    def _broadcast(self, m: int, new: str, at: int) -> None:
        lines, lanes = self.lines, self.tile.lanes
        if self.direct_a:
            base, rest = m - m % 3, m % 3
            row = self._at(f"%a.r{new}{m}", "i8", f"%a.{base}", f"%row.{rest}" if rest else 0)
            from_ = self._at(f"%a.p{new}{m}", self.unit, row, at)
        else:
            from_ = self._at(f"%a.p{new}{m}", self.unit, "%a.0", at * self.tile.rows + m)
        lines.append(f"  %a.x{new}{m} = load {self.unit}, ptr {from_}, align {self.unit_bytes}")
        lines.append(f"  %a.i{new}{m} = insertelement {self.units} poison, {self.unit} %a.x{new}{m}, i32 0")
        mask = f"<{lanes} x i32> zeroinitializer"
        lines.append(f"  %a{new}{m} = shufflevector {self.units} %a.i{new}{m}, {self.units} poison, {mask}")

    def _product(self, m: int, v: int, old: str, new: str) -> None:
        """Print one step of one accumulator."""
        tile, lines, kind = self.tile, self.lines, self.sum
        a, b, c, d = f"%a{new}{m}", f"%b{new}{v}", f"%{old}{m}.{v}", f"%{new}{m}.{v}"
        match tile.kind:
            case "fma":
                full = f"@llvm.fma.v{tile.lanes}{SUFFIX[register_type(tile.sum)]}"
                self.module.declare(f"{kind} {full}({kind}, {kind}, {kind})")
                lines.append(f"  {d} = call {kind} {full}({kind} {a}, {kind} {b}, {kind} {c})")
            case "mul add":
                letter = "f" if dt.is_floating(tile.sum) else ""
                lines.append(f"  %p.{new}{m}.{v} = {letter}mul {kind} {a}, {b}")
                lines.append(f"  {d} = {letter}add {kind} {c}, %p.{new}{m}.{v}")
            case "pairs":
                wide = f"<{2 * tile.lanes} x i16>"
                full = {16: "avx512.pmaddw.d.512", 8: "avx2.pmadd.wd", 4: "sse2.pmadd.wd"}[tile.lanes]
                self.module.declare(f"{kind} @llvm.x86.{full}({wide}, {wide})")
                lines.append(f"  %x.{new}{m}.{v} = bitcast {kind} {a} to {wide}")
                lines.append(f"  %y.{new}{m}.{v} = bitcast {kind} {b} to {wide}")
                lines.append(
                    f"  %p.{new}{m}.{v} = call {kind} @llvm.x86.{full}({wide} %x.{new}{m}.{v}, {wide} %y.{new}{m}.{v})"
                )
                lines.append(f"  {d} = add {kind} {c}, %p.{new}{m}.{v}")
            case "vnni pairs" | "vnni quads":
                full = "vpdpwssd" if tile.kind == "vnni pairs" else "vpdpbusd"
                self.module.declare(f"{kind} @llvm.x86.avx512.{full}.512({kind}, {kind}, {kind})")
                lines.append(f"  {d} = call {kind} @llvm.x86.avx512.{full}.512({kind} {c}, {kind} {a}, {kind} {b})")

    def _advance(self) -> None:
        lines, tile = self.lines, self.tile
        for base in self._bases():
            step = str(self.unroll * self.unit_bytes * (1 if self.along else tile.rows))
            step = "%a.step" if self.direct_a and not self.along else step
            lines.append(f"  %a.{base}.next = getelementptr i8, ptr %a.{base}, i64 {step}")
        step = "%b_step" if self.direct_b else str(self.unroll * self.panel)
        last = "%b.second" if self.direct_b and self.unroll > 1 else "%b.at"
        lines.append(f"  %b.next = getelementptr {self.unit}, ptr {last}, i64 {step}")
        lines.append(f"  %i.next = add nsw i64 %i, {self.unroll}")

    def _tail(self, cells: list[tuple[int, int]], end: str) -> None:
        """Print the addition to the result; a first block is added to zeros of the function's own, without a branch."""
        lines, kind, align = self.lines, register_type(self.tile.sum), self.tile.sum.itemsize
        lines.append("done:")
        for m, v in cells:
            lines.append(f"  %r{m}.{v} = phi {self.sum} [ zeroinitializer, %entry ], [ %d{m}.{v}, %{end} ]")
        for v in range(self.tile.vectors):
            zeros = self._at(f"%zeros.{v}", kind, "%zeros", v * self.tile.lanes)
            lines.append(f"  store {self.sum} zeroinitializer, ptr {zeros}, align {align}")
        lines += [
            "  %old = icmp ne i64 %add, 0",
            "  %old.0 = select i1 %old, ptr %out, ptr %zeros",
            "  %old_row = select i1 %old, i64 %out_row, i64 0",
        ]
        for m in range(1, self.tile.rows):
            lines.append(f"  %old.{m} = getelementptr {kind}, ptr %old.{m - 1}, i64 %old_row")
        letter = "f" if dt.is_floating(self.tile.sum) else ""
        for m, v in cells:
            from_ = self._at(f"%t.p{m}.{v}", kind, f"%old.{m}", v * self.tile.lanes)
            lines.append(f"  %t{m}.{v} = load {self.sum}, ptr {from_}, align {align}")
            lines.append(f"  %u{m}.{v} = {letter}add {self.sum} %t{m}.{v}, %r{m}.{v}")
            lines.append(f"  store {self.sum} %u{m}.{v}, ptr {self.out[m, v]}, align {align}")
        lines.append("  ret void")
