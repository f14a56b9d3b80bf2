"""The micro-kernel of factors that both run along K: a tile of inner products, whose lanes are positions along K.

Tiles whose lanes are columns need factors turned over where memory runs along K, which costs as much as several columns
do: too much where the other factor has few (a layer's weights times a few positions). Here each vector of a row is
multiplied by those of some columns, and the lanes of each sum are added up at the end.
"""

from __future__ import annotations

from trueno.codegen.contraction.masks import SUFFIX, mask_of, masked_load, masked_store
from trueno.codegen.contraction.micro import vector_type
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.llvm import Module
from trueno.codegen.llvm_types import register_type

#: Rows between those that have pointers of their own: the others are reached by a multiple of the distance.
_APART = 3


def dots_kernel(module: Module, name: str, tile: Tile) -> None:
    """Append ``name(k, a, b, a_row, b_row, b_step, a_ahead, add, out, out_row)`` to a module.

    It computes ``out[i, j] = (add ? out[i, j] : 0) + sum of a[i, p] * b[p, j]`` for all of a tile. Strides are in
    elements: vector s along K of a row begins at ``a[i * a_row + s * lanes]``, that of a column at
    ``b[j * b_row + s * b_step]``. What lies `a_ahead` elements further on in the rows is fetched.

    Parameters
    ----------
    module : Module
    name : str
    tile : Tile
        One with `dots`: at most 8 columns.
    """
    _Dots(module, name, tile).run()


class _Dots:
    def __init__(self, module: Module, name: str, tile: Tile) -> None:
        self.module, self.name, self.tile = module, name, tile
        self.unit, self.size = register_type(tile.sum), tile.sum.itemsize
        self.kind = vector_type(tile.sum, tile.lanes)
        self.cells = [(m, v) for m in range(tile.rows) for v in range(tile.columns)]
        #: Columns whose sums become neighbours in a vector.
        self.together = 4 if tile.columns <= 4 else 8
        self.lines: list[str] = []

    def run(self) -> None:
        """Print the function."""
        lines, tile = self.lines, self.tile
        bases = [("a", m) for m in range(0, tile.rows, _APART)] + [("b", v) for v in range(0, tile.columns, _APART)]
        lines.append("entry:")
        for factor in ("a", "b"):
            lines += [
                f"  %{factor}.1 = mul i64 %{factor}_row, {self.size}", f"  %{factor}.2 = shl i64 %{factor}.1, 1",
                f"  %{factor}.3 = add i64 %{factor}.1, %{factor}.2",
            ]  # fmt: skip
        for factor, first in bases:
            lines.append(f"  %{factor}.{first}.offset = mul i64 %{factor}.3, {first // _APART}")
            lines.append(f"  %{factor}.{first}.first = getelementptr i8, ptr %{factor}, i64 %{factor}.{first}.offset")
        lines += [
            f"  %b.step = mul i64 %b_step, {self.size}",
            f"  %whole = sdiv i64 %k, {tile.lanes}", f"  %rest = srem i64 %k, {tile.lanes}",
            "  %any = icmp sgt i64 %whole, 0", "  br i1 %any, label %loop, label %after",
            "loop:", "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        ]  # fmt: skip
        for factor, first in bases:
            one = f"%{factor}.{first}"
            lines.append(f"  {one}.at = phi ptr [ {one}.first, %entry ], [ {one}.next, %loop ]")
        for m, v in self.cells:
            lines.append(f"  %c{m}.{v} = phi {self.kind} [ zeroinitializer, %entry ], [ %d{m}.{v}, %loop ]")
        self._step("c", "d", "at", False)
        self._fetch()
        for factor, first in bases:
            step = str(tile.lanes * self.size) if factor == "a" else "%b.step"
            lines.append(f"  %{factor}.{first}.next = getelementptr i8, ptr %{factor}.{first}.at, i64 {step}")
        lines += [
            "  %i.next = add nuw nsw i64 %i, 1", "  %more = icmp slt i64 %i.next, %whole",
            "  br i1 %more, label %loop, label %after", "after:",
        ]  # fmt: skip
        for factor, first in bases:
            one = f"%{factor}.{first}"
            lines.append(f"  {one}.last = phi ptr [ {one}.first, %entry ], [ {one}.next, %loop ]")
        for m, v in self.cells:
            lines.append(f"  %e{m}.{v} = phi {self.kind} [ zeroinitializer, %entry ], [ %d{m}.{v}, %loop ]")
        lines += ["  %left = icmp sgt i64 %rest, 0", "  br i1 %left, label %part, label %done", "part:"]
        lines += mask_of("%mask", "%rest", 0, tile.lanes)
        self._step("e", "f", "last", True)
        lines += ["  br label %done", "done:"]
        for m, v in self.cells:
            lines.append(f"  %g{m}.{v} = phi {self.kind} [ %e{m}.{v}, %after ], [ %f{m}.{v}, %part ]")
        self._tail()
        parameters = (
            "i64 %k, ptr noalias %a, ptr noalias %b, i64 %a_row, i64 %b_row, i64 %b_step, i64 %a_ahead, i64 %add, "
            "ptr %out, i64 %out_row"
        )
        self.module.functions.append(
            "\n".join([f"define internal void @{self.name}({parameters}) noinline #0 {{", *lines, "}"])
        )

    def _load(self, name: str, factor: str, place: int, at: str, masked: bool) -> None:
        """Print the loading of a row's or a column's vector; of the last one only the lanes that are there."""
        first, rest = place - place % _APART, place % _APART
        offset = f"%{factor}.{rest}" if rest else "0"
        self.lines.append(f"  {name}.p = getelementptr i8, ptr %{factor}.{first}.{at}, i64 {offset}")
        if masked:
            self.lines.append(masked_load(self.module, name, self.kind, f"{name}.p", "%mask", self.size))
        else:
            self.lines.append(f"  {name} = load {self.kind}, ptr {name}.p, align {self.size}")

    def _step(self, old: str, new: str, at: str, masked: bool) -> None:
        """Print one vector along K of the whole tile: sums named `old` become `new`."""
        tile, kind = self.tile, self.kind
        full = f"@llvm.fma.v{tile.lanes}{SUFFIX[self.unit]}"
        self.module.declare(f"{kind} {full}({kind}, {kind}, {kind})")
        for v in range(tile.columns):
            self._load(f"%b{new}{v}", "b", v, at, masked)
        for m in range(tile.rows):
            self._load(f"%a{new}{m}", "a", m, at, masked)
            for v in range(tile.columns):
                operands = f"{kind} %a{new}{m}, {kind} %b{new}{v}, {kind} %{old}{m}.{v}"
                self.lines.append(f"  %{new}{m}.{v} = call {kind} {full}({operands})")

    def _fetch(self) -> None:
        """Print what fetches rows that are needed later into the second-level cache."""
        self.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.lines += [
            f"  %soon = getelementptr {self.unit}, ptr %a.0.at, i64 %a_ahead",
            "  call void @llvm.prefetch.p0(ptr %soon, i32 0, i32 2, i32 1)",
        ]

    def _tail(self) -> None:
        """Print the sums of each vector's lanes, and what adds them to the result or stores them there."""
        tile, lines, module = self.tile, self.lines, self.module
        together = self.together
        rows = tile.lanes // together
        few, mask = f"<{together} x {self.unit}>", f"<{together} x i1>"
        there = ", ".join(f"i1 {str(v < tile.columns).lower()}" for v in range(together))
        lines.append("  %old = icmp ne i64 %add, 0")
        lines.append(f"  %some = select i1 %old, {mask} <{there}>, {mask} zeroinitializer")
        for first in range(0, tile.rows, rows):
            sums = [
                f"%g{first + i // together}.{i % together}"
                if first + i // together < tile.rows and i % together < tile.columns
                else ""
                for i in range(tile.lanes)
            ]
            total = self._lanes(sums, f"s{first}")
            for m in range(first, min(first + rows, tile.rows)):
                picked = ", ".join(f"i32 {(m - first) * together + j}" for j in range(together))
                lines += [
                    f"  %o{m} = mul i64 %out_row, {m}", f"  %q{m} = getelementptr {self.unit}, ptr %out, i64 %o{m}",
                    masked_load(module, f"%x{m}", few, f"%q{m}", "%some", self.size),
                    f"  %y{m} = shufflevector {self.kind} {total}, {self.kind} poison, <{together} x i32> <{picked}>",
                    f"  %z{m} = fadd {few} %x{m}, %y{m}",
                    masked_store(module, f"%z{m}", few, f"%q{m}", f"<{there}>", self.size),
                ]  # fmt: skip
        lines.append("  ret void")

    def _lanes(self, vectors: list[str], prefix: str) -> str:
        """Print the sums of the lanes of as many vectors as one has lanes; lane i of the result is that of vector i.

        Halves of pairs of vectors are added, then quarters, and so on. An empty name stands for no vector.
        """
        lines, kind, lanes = self.lines, self.kind, self.tile.lanes
        distance = lanes // 2
        while distance:
            result = []
            for i in range(distance):
                a, b, name = vectors[i], vectors[i + distance], f"%{prefix}.{distance}.{i}"
                if not a:
                    assert not b, "the first of a pair is there if the second is"
                    result.append("")
                    continue
                for half, flip in (("low", 0), ("high", distance)):
                    picked = ", ".join(f"i32 {(j ^ flip) + (lanes if j & distance else 0)}" for j in range(lanes))
                    both = f"{kind} {a}, {kind} {b or 'poison'}"
                    lines.append(f"  {name}.{half} = shufflevector {both}, <{lanes} x i32> <{picked}>")
                lines.append(f"  {name} = fadd {kind} {name}.low, {name}.high")
                result.append(name)
            vectors = result
            distance //= 2
        return vectors[0]
