"""The code that lays a factor out in panels, converting it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from trueno.codegen.contraction.lower import TURN
from trueno.codegen.contraction.steps import Pack
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.contraction.walk import StepEmitter
from trueno.codegen.llvm import LLVMPrinter, Module, memory_type, task_function


def pack_function(module: Module, name: str, step: Pack, half_instructions: bool) -> None:
    """Append the code of a packing step to a module."""
    printer = LLVMPrinter(module, half_instructions)
    _PackEmitter(step, printer, name).run()
    if not step.dense or len(step.roles["rows"].extents) > 1:
        _turn(module, f"{name}.turn", step.tile, step.width)
    task_function(printer, name, step.name)


class _PackEmitter(StepEmitter):
    def __init__(self, step: Pack, printer: LLVMPrinter, name: str) -> None:
        super().__init__(step, printer)
        self.pack, self.name = step, name
        (self.root,) = step.roots
        self.packed = step.tile.packed

    def run(self) -> None:
        """Print one task: one panel."""
        p, step = self.printer, self.pack
        self.prepare()
        bases = [self.base(k) for k in range(len(step.accesses))]
        out = p.base(self.number("out"), "0", self.packed)
        turned = not step.dense or len(step.roles["rows"].extents) > 1
        self.buffer = p.variable(self.packed, step.width * TURN) if turned else None
        with p.tasks(self.number("tasks")) as task:
            panels = self.number("panels")
            batch, panel = p.arith("div", task, panels), p.arith("rem", task, panels)
            pointers = self.moved(bases, "batch", self.unravel("batch", batch))
            self.out = p.advance(out, p.arith("mul", task, self.number("panel")), self.packed)
            width = p.index(step.width)
            self.first = p.arith("mul", panel, width)
            self.total = "1"
            for dim in range(len(step.roles["rows"].extents)):
                self.total = p.arith("mul", self.total, self.number("rows", dim))
            rows = p.arith("min", width, p.arith("sub", self.total, self.first))
            if step.dense:
                self._lines(pointers, rows)
            else:
                self._turned(pointers)

    # --- line by line: memory runs along the rows ---------------------------------------------------------------------

    def _lines(self, pointers: list[Any], rows: Any) -> None:
        p, step = self.printer, self.pack
        indices = self.unravel("rows", self.first)
        start = self.moved(pointers, "rows", indices)
        full = p.compare("eq", rows, p.index(step.width))
        if len(indices) > 1:
            last = p.arith("add", indices[-1], p.index(step.width))
            full = p.both(full, p.compare("sle", last, self.number("rows", len(indices) - 1)))
        with p.when(full):
            self._fill(start, p.index(step.width))
        with p.when(full, False):
            if len(indices) > 1:
                self._turned(pointers)
            else:
                self._fill(start, rows)

    def _fill(self, pointers: list[Any], rows: Any) -> None:
        """Fill a panel whose rows are evenly spaced."""
        p, step = self.printer, self.pack
        dim = len(step.roles["rows"].extents) - 1
        with self._k_nest(pointers, whole=True) as (moved, position):
            line = p.advance(self.out, p.arith("mul", position, p.index(step.width)), self.packed)
            with p.vector_loop(p.index(0), rows, True) as r:
                at = [self.along(pointer, k, "rows", dim, r) for k, pointer in enumerate(moved)]
                self._put(line, r, at)
            with p.loop(rows, p.index(step.width)) as r:
                p.store(p.advance(line, r, self.packed), p.const(0, self.packed), self.packed)

    def _put(self, line: Any, at: Any, pointers: list[Any]) -> None:
        p = self.p
        value = p.cast(self.at(self.root, pointers), self.root.dtype, self.packed)
        p.store(p.advance(line, at, self.packed), value, self.packed)

    @contextmanager
    def _k_nest(self, pointers: list[Any], whole: bool) -> Iterator[tuple[list[Any], Any]]:
        """Loop over the dimensions of K, all or all but the innermost; gives pointers and the linear position."""
        p, extents = self.p, self.pack.roles["k"].extents
        position = p.index(0)
        with ExitStack() as nest:
            for dim in range(len(extents) - (0 if whole else 1)):
                i = nest.enter_context(p.loop(p.index(0), self.number("k", dim)))
                pointers = [self.along(pointer, k, "k", dim, i) for k, pointer in enumerate(pointers)]
                position = p.arith("add", p.arith("mul", position, self.number("k", dim)), i)
            yield pointers, position

    # --- in runs along K, turned over ---------------------------------------------------------------------------------

    def _turned(self, pointers: list[Any]) -> None:
        p, step, group = self.printer, self.pack, self.pack.tile.group
        assert self.buffer is not None
        place = self.buffer[0]
        last = len(step.roles["k"].extents) - 1
        extent = self.number("k", last)
        lines = p.arith("div", p.arith("add", extent, p.index(group - 1)), p.index(group))
        with self._k_nest(pointers, whole=False) as (moved, position), p.loop(p.index(0), extent, TURN) as low:
            length = p.arith("min", p.index(TURN), p.arith("sub", extent, low))
            with p.loop(p.index(0), p.index(step.width)) as r:
                row = p.arith("min", p.arith("add", self.first, r), p.arith("sub", self.total, "1"))
                starts = self.moved(moved, "rows", self.unravel("rows", row))
                starts = [self.along(pointer, k, "k", last, low) for k, pointer in enumerate(starts)]
                line = p.advance(place, p.arith("mul", r, p.index(TURN)), self.packed)
                with p.vector_loop(p.index(0), length, True) as i:
                    self._put(line, i, [self.along(pointer, k, "k", last, i) for k, pointer in enumerate(starts)])
                if group > 1:
                    rounded = p.arith("mul", p.arith("div", p.arith("add", length, p.index(group - 1)), p.index(group)),
                                      p.index(group))  # fmt: skip
                    with p.loop(length, rounded) as i:
                        p.store(p.advance(line, i, self.packed), p.const(0, self.packed), self.packed)
            done = p.arith("add", p.arith("mul", position, lines), p.arith("div", low, p.index(group)))
            target = p.advance(self.out, p.arith("mul", done, p.index(step.width * group)), self.packed)
            units = p.arith("div", p.arith("add", length, p.index(group - 1)), p.index(group))
            p.call(f"@{self.name}.turn(ptr {place}, ptr {target}, i64 {units})")


def _turn(module: Module, name: str, tile: Tile, width: int) -> None:
    """Append ``name(from, to, n)``: lines of `TURN` elements become columns; `to` gets n lines of `width` units.

    Squares of vectors are turned by exchanging halves, quarters, and so on, as in Eklundh (A fast computer method for
    matrix transposing, IEEE Trans. Comput. C-21, 1972). More than n lines may be written.
    """
    unit = "i32" if tile.group > 1 else memory_type(tile.packed)
    size = tile.packed.itemsize * tile.group
    lanes = tile.lanes
    kind = f"<{lanes} x {unit}>"
    lines: list[str] = []
    across: list[list[str]] = []
    for first in range(0, width, lanes):
        vectors = []
        for r in range(first, first + lanes):
            if r >= width:
                vectors.append("zeroinitializer")
                continue
            lines.append(f"  %p{r} = getelementptr i8, ptr %at, i64 {r * TURN * tile.packed.itemsize}")
            lines.append(f"  %v{r} = load {kind}, ptr %p{r}, align {size}")
            vectors.append(f"%v{r}")
        across.append(_exchanged(lines, vectors, kind, lanes, f"t{first}"))
    for u in range(lanes):
        for k, vectors in enumerate(across):
            lines.append(f"  %q{u}.{k} = getelementptr {unit}, ptr %to.at, i64 {u * width + k * lanes}")
            lines.append(f"  store {kind} {vectors[u]}, ptr %q{u}.{k}, align {size}")
    module.functions.append("\n".join([
        f"define internal void @{name}(ptr noalias %from, ptr noalias %to, i64 %n) noinline #0 {{",
        "entry:", "  br label %loop", "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        f"  %at = getelementptr {unit}, ptr %from, i64 %i",
        f"  %line = mul i64 %i, {width}",
        f"  %to.at = getelementptr {unit}, ptr %to, i64 %line",
        *lines,
        f"  %i.next = add i64 %i, {lanes}", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip


def _exchanged(lines: list[str], vectors: list[str], kind: str, lanes: int, prefix: str) -> list[str]:
    distance = 1
    while distance < lanes:
        result = list(vectors)
        for i in range(lanes):
            if i & distance:
                continue
            a, b = vectors[i], vectors[i + distance]
            low = [j if not j & distance else lanes + j - distance for j in range(lanes)]
            high = [j + distance if not j & distance else lanes + j for j in range(lanes)]
            for place, mask in ((i, low), (i + distance, high)):
                name = f"%{prefix}.{distance}.{place}"
                picked = ", ".join(f"i32 {one}" for one in mask)
                lines.append(f"  {name} = shufflevector {kind} {a}, {kind} {b}, <{lanes} x i32> <{picked}>")
                result[place] = name
        vectors = result
        distance *= 2
    return vectors
