"""The code that lays a factor out in panels, converting it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.contraction.amx import clear_function, group_function, lace_function, zeros_function
from trueno.codegen.contraction.lower import TURN
from trueno.codegen.contraction.masks import mask_of, masked_load, masked_store
from trueno.codegen.contraction.steps import Pack
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.contraction.walk import StepEmitter
from trueno.codegen.llvm import LLVMPrinter, Module, step_end
from trueno.codegen.llvm_types import memory_type, register_type

#: A vector that needs no instructions.
_ZEROS = "zeroinitializer"


def pack_function(module: Module, name: str, step: Pack, half_instructions: bool) -> None:
    """Append the code of a packing step to a module."""
    assert module.as_is is not None
    printer = LLVMPrinter(module.as_is, half_instructions)
    task = _PackEmitter(step, printer, name)
    task.run()
    for used, function in (("fill", _fill), ("run", _run)):
        if used in task.used:
            values = LLVMPrinter(module, half_instructions)
            signature = function(_Values(step, values))
            values.finish_function(f"{name}.{used}({signature})", f"{step.name}: {used}", "hidden")
            module.as_is.declare(f"hidden void @{name}.{used}({signature})")
    if "weave" in task.used:
        (root,) = step.roots
        _weave(module.as_is, f"{name}.weave", step.tile, step.width, root.dtype)
    if "copy" in task.used:
        # Lines of bytes and halves are copied by vectors as long as those of the sums.
        lanes = max(step.tile.lanes, 64 // step.tile.packed.itemsize) if step.tile.masks else step.tile.lanes
        _copy(module.as_is, f"{name}.copy", step.tile._replace(lanes=lanes), step.width)
    if "pick" in task.used:
        _pick(module.as_is, f"{name}.pick", step.tile, step.width)
    if "join" in task.used:
        _join(module.as_is, f"{name}.join", step.tile, step.width)
    for used, form in (("group", group_function), ("lace", lace_function)):
        if used in task.used:
            form(module.as_is, f"{name}.{used}", step.tile.packed, step.width, step.woven)
    for used, one in (("zeros", zeros_function), ("clear", clear_function)):
        if used in task.used:
            one(module.as_is, f"{name}.{used}", step.tile.packed, step.width)
    if "turn" in task.used:
        turn_function(module.as_is, f"{name}.turn", step.tile, step.width)
    step_end(printer, name, step.name)


class _Values(StepEmitter):
    """Prints functions that evaluate the factor at many points; where each access begins is a parameter."""

    def __init__(self, step: Pack, printer: LLVMPrinter) -> None:
        super().__init__(step, printer)
        self.pack = step
        (self.root,) = step.roots
        self.starts = [f"%x{k}" for k in range(len(step.accesses))]
        self.parameters = "ptr %buffers, ptr %meta, ptr %scalars, ptr noalias %to, i64 %n" + "".join(
            f", {'i64' if access.buffer < 0 else 'ptr'} %x{k}" for k, access in enumerate(step.accesses)
        )

    def begin(self, buffer: Any) -> None:
        """Print what comes before the loops; `buffer`: where results go, None for the caller's own memory."""
        self.prepare()
        self.printer.points_into("%to", buffer)
        for k, access in enumerate(self.step.accesses):
            if access.buffer >= 0:
                self.printer.points_into(self.starts[k], self.number(f"a{k}"))
        self.printer.in_entry = False

    def put(self, line: Any, at: Any, pointers: list[Any]) -> None:
        """Print the value at these pointers into place `at` of a line."""
        p, packed = self.p, self.step.tile.packed
        value = p.cast(self.at(self.root, pointers), self.root.dtype, packed)
        p.store(p.advance(line, at, packed), value, packed)


def _fill(values: _Values) -> str:
    """Print the filling of a panel of n rows that are evenly spaced, line by line; return the parameters."""
    p, step = values.printer, values.pack
    packed, width = step.tile.packed, p.index(step.width)
    dim = len(step.roles["rows"].extents) - 1
    values.begin(values.number("out"))
    with k_nest(values, values.starts, True) as (moved, position):
        line = p.advance("%to", p.arith("mul", position, width), packed)
        with p.vector_loop("0", "%n", True, interleave=1, masked=p.masks) as r:
            values.put(line, r, [values.along(pointer, k, "rows", dim, r) for k, pointer in enumerate(moved)])
        with p.scalar_loop("%n", width) as r:
            p.store(p.advance(line, r, packed), p.const(0, packed), packed)
    return values.parameters


def _run(values: _Values) -> str:
    """Print the evaluation of n points along the innermost dimension of K, and zeros up to a group's end."""
    p, step = values.printer, values.pack
    packed, group = step.tile.packed, p.index(step.tile.group)
    last = len(step.roles["k"].extents) - 1
    values.begin(None)
    strided = all(step.roles["k"].last_class(access) == "s" for access in step.accesses)
    masked = p.masks and step.tile.group == 1
    with p.scalar_loop("0", "%n") if strided else p.vector_loop("0", "%n", True, masked=masked) as i:
        values.put("%to", i, [values.along(pointer, k, "k", last, i) for k, pointer in enumerate(values.starts)])
    if step.tile.group > 1:
        groups = p.arith("div", p.arith("add", "%n", p.index(step.tile.group - 1)), group)
        with p.scalar_loop("%n", p.arith("mul", groups, group)) as i:
            p.store(p.advance("%to", i, packed), p.const(0, packed), packed)
    return values.parameters


@contextmanager
def k_nest(emitter: StepEmitter, pointers: list[Any], whole: bool) -> Iterator[tuple[list[Any], Any]]:
    """Loop over the dimensions of K, all or all but the innermost; gives pointers and the linear position."""
    p, extents = emitter.p, emitter.step.roles["k"].extents
    position = p.index(0)
    with ExitStack() as nest:
        for dim in range(len(extents) - (0 if whole else 1)):
            i = nest.enter_context(p.loop(p.index(0), emitter.number("k", dim)))
            pointers = [emitter.along(pointer, k, "k", dim, i) for k, pointer in enumerate(pointers)]
            position = p.arith("add", p.arith("mul", position, emitter.number("k", dim)), i)
        yield pointers, position


class _PackEmitter(StepEmitter):
    """Prints one task: one panel."""

    def __init__(self, step: Pack, printer: LLVMPrinter, name: str) -> None:
        super().__init__(step, printer)
        self.pack, self.name = step, name
        self.packed = step.tile.packed
        self.used: set[str] = set()
        (root,) = step.roots
        single = all(len(step.roles[role].extents) == 1 for role in ("rows", "k"))
        # Memory that can be taken over as it is, without evaluating anything.
        self.plain = single and step.copies(root, step.tile) and (step.tile.group == 1 or step.runs)
        # Lines of memory are woven on their way into a panel, others in it.
        self.laced = step.woven > 1 and step.dense and self.plain

    def run(self) -> None:
        """Print the task."""
        p, step = self.printer, self.pack
        bases = [self.base(k) for k in range(len(step.accesses))]
        out = p.base(self.number("out"), "0", self.packed)
        self.buffer = p.variable(self.packed, step.width * TURN)[0]
        with p.each_task() as task:
            panels = self.number("panels")
            batch, panel = p.arith("div", task, panels), p.arith("rem", task, panels)
            pointers = self.moved(bases, "batch", self.unravel("batch", batch))
            self.out = p.advance(out, p.arith("mul", task, self.number("panel")), self.packed)
            self.first = p.arith("mul", panel, p.index(step.width))
            self.total = "1"
            for dim in range(len(step.roles["rows"].extents)):
                self.total = p.arith("mul", self.total, self.number("rows", dim))
            rows = p.arith("min", p.index(step.width), p.arith("sub", self.total, self.first))
            full = p.compare("eq", rows, p.index(step.width))
            if step.picked and p.bounds is None:
                self._gathered(pointers, rows, full)
            elif step.dense:
                self._lines(pointers, rows, full)
            else:
                self._columns(pointers, rows, full)
            if step.woven > 1 or step.cleared:
                self._completed(rows, full)

    def _completed(self, rows: Any, full: Any) -> None:
        """Make a panel that has been filled line by line one of AMX's tiles."""
        p, step = self.printer, self.pack
        count = "1"
        for dim in range(len(step.roles["k"].extents)):
            count = p.arith("mul", count, self.number("k", dim))
        if step.cleared:
            with p.when(full, False):
                p.check_grid(self.out, self.packed, [(count, p.index(step.width)), (p.index(step.width), "1")], True)
                self._use("clear", f"ptr {self.out}, i64 {count}, i64 {rows}")
            return
        group = step.woven if self.laced else 1
        filled, unit = self._up(count, group), step.woven * step.tile.lanes
        whole = self._up(count, unit)
        p.check_grid(self.out, self.packed, [(whole, p.index(step.width)), (p.index(step.width), "1")], True)
        end = p.advance(self.out, p.arith("mul", filled, p.index(step.width)), self.packed)
        self._use("zeros", f"ptr {end}, i64 {p.arith('sub', whole, filled)}")
        if not self.laced:
            self._use("group", f"ptr {self.out}, i64 {whole}")

    def _up(self, count: Any, unit: int) -> Any:
        """Return a number of lines rounded up to a multiple."""
        p = self.printer
        return p.arith("mul", p.arith("div", p.arith("add", count, p.index(unit - 1)), p.index(unit)), p.index(unit))

    def _call(self, function: str, target: Any, count: Any, pointers: list[Any]) -> None:
        self.used.add(function)
        extra = "".join(
            f", {'i64' if access.buffer < 0 else 'ptr'} {pointer}"
            for access, pointer in zip(self.step.accesses, pointers, strict=True)
        )
        self.printer.call(
            f"@{self.name}.{function}(ptr %buffers, ptr %meta, ptr %scalars, ptr {target}, i64 {count}{extra})"
        )

    def _bytes(self, role: str) -> Any:
        """Return the stride in bytes of the only access along the only dimension of a role."""
        size = self.step.accesses[0].dtype.itemsize
        return self.printer.arith("mul", self.number(f"a0 {role}"), self.printer.index(size))

    # --- line by line: memory runs along the rows ---------------------------------------------------------------------

    def _lines(self, pointers: list[Any], rows: Any, full: Any) -> None:
        p, step = self.printer, self.pack
        indices = self.unravel("rows", self.first)
        start = self.moved(pointers, "rows", indices)
        if len(indices) > 1:
            last = p.arith("add", indices[-1], p.index(step.width))
            full = p.both(full, p.compare("sle", last, self.number("rows", len(indices) - 1)))
        if step.tile.group > 1 or (self.plain and step.tile.masks):
            self._copied(start, rows)
            return
        with p.when(full):
            if self.plain:
                self._copied(start, rows)
            else:
                self._call("fill", self.out, step.width, start)
        with p.when(full, False):
            if len(indices) > 1:
                self._turned(pointers, p.index(0))
            else:
                self._call("fill", self.out, rows, start)

    def _copied(self, start: list[Any], rows: Any) -> None:
        function = "lace" if self.laced else "copy" if self.step.tile.group == 1 else "weave"
        self.used.add(function)
        p, count, width = self.printer, self.number("k"), self.printer.index(self.pack.width)
        group = p.index(self.step.tile.group)
        lines = p.arith("mul", p.arith("div", p.arith("add", count, p.arith("sub", group, "1")), group), group)
        p.check_grid(start[0], self.step.accesses[0].dtype, [(count, self.number("a0 k")), (rows, "1")])
        p.check_grid(self.out, self.packed, [(lines, width), (width, "1")], writes=True)
        p.call(
            f"@{self.name}.{function}(ptr {start[0]}, i64 {self._bytes('k')}, i64 {rows}, ptr {self.out}, i64 {count})"
        )

    # --- element by element, where rows are unevenly spaced -----------------------------------------------------------

    def _gathered(self, pointers: list[Any], rows: Any, full: Any) -> None:
        p, step = self.printer, self.pack
        indices = self.unravel("rows", self.first)
        even = joined = "false"
        start = pointers
        if step.dense:
            # A vector that reaches over a run's end does so over at most one.
            extent = self.number("rows", len(indices) - 1)
            joined = p.both(full, p.compare("sle", p.index(step.tile.lanes), extent))
            even = p.both(full, p.compare("sle", p.arith("add", indices[-1], p.index(step.width)), extent))
            moved = self.moved(pointers, "rows", indices)
            start = [p.select(even, one, other) for one, other in zip(moved, pointers, strict=True)]
        offsets = p.variable(dt.int32, step.width)[0]
        with p.when(even, False), p.loop("0", p.index(step.width)) as r:
            row = p.arith("min", p.arith("add", self.first, r), p.arith("sub", self.total, "1"))
            offset = p.index(0)
            for dim, index in enumerate(self.unravel("rows", row)):
                offset = p.arith("add", offset, p.arith("mul", index, self.number("a0 rows", dim)))
            p.store(p.advance(offsets, r, dt.int32), p.cast(offset, dt.int64, dt.int32), dt.int32)
        for moved, line, count, distance in self._runs_of_k(start):
            given = f"ptr {moved}, i64 {distance}, "
            picked = f"ptr {offsets}, i64 {rows}, ptr {line}, i64 {count}"
            if not step.dense:
                self._use("pick", given + picked)
                continue
            with p.when(even):
                self._use("copy", f"{given}i64 {step.width}, ptr {line}, i64 {count}")
            with p.when(even, False):
                with p.when(joined):
                    self._use("join", f"{given}ptr {offsets}, ptr {line}, i64 {count}")
                with p.when(joined, False):
                    self._use("pick", given + picked)

    def _use(self, function: str, arguments: str) -> None:
        self.used.add(function)
        self.printer.call(f"@{self.name}.{function}({arguments})")

    def _runs_of_k(self, pointers: list[Any]) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Loop over the dimensions of K but the innermost.

        Gives pointer, line of the panel, and number and distance in bytes of the elements along the innermost.
        """
        p, step = self.printer, self.pack
        last = len(step.roles["k"].extents) - 1
        count, width = self.number("k", last), p.index(step.width)
        distance = p.arith("mul", self.number("a0 k", last), p.index(self.packed.itemsize))
        with k_nest(self, pointers, False) as (moved, position):
            lines = p.arith("mul", position, count)
            line = p.advance(self.out, p.arith("mul", lines, width), self.packed)
            p.check_grid(line, self.packed, [(count, width), (width, "1")], writes=True)
            yield moved[0], line, count, distance

    # --- in runs along K, turned over ---------------------------------------------------------------------------------

    def _columns(self, pointers: list[Any], rows: Any, full: Any) -> None:
        p, step = self.printer, self.pack
        (root,) = step.roots
        if not (self.plain and step.roles["k"].strides[root.arg] == [1]):
            self._turned(pointers, p.index(0))
            return
        start = self.moved(pointers, "rows", [self.first])
        self.used.add("turn")
        whole = p.arith("div", self.number("k"), p.index(step.tile.group))
        if not step.tile.masks:
            lanes = p.index(step.tile.lanes)
            whole = p.select(full, p.arith("mul", p.arith("div", whole, lanes), lanes), "0", "i64")
        row_bytes = self._bytes("rows")
        run = p.arith("mul", whole, p.index(step.tile.group))
        p.check_grid(start[0], self.packed, [(rows, self.number("a0 rows")), (run, "1")])
        self._check_turned(self.out, whole)
        p.call(f"@{self.name}.turn(ptr {start[0]}, i64 {row_bytes}, i64 {rows}, ptr {self.out}, i64 {whole})")
        if not step.tile.masks:
            self._turned(pointers, whole)

    def _turned(self, pointers: list[Any], begin: Any) -> None:
        """Evaluate runs into a buffer, and turn that over."""
        p, step, group = self.printer, self.pack, self.pack.tile.group
        last = len(step.roles["k"].extents) - 1
        extent = self.number("k", last)
        lines = p.arith("div", p.arith("add", extent, p.index(group - 1)), p.index(group))
        self.used.add("turn")
        with k_nest(self, pointers, False) as (moved, position), p.loop(begin, extent, TURN) as low:
            length = p.arith("min", p.index(TURN), p.arith("sub", extent, low))
            with p.loop(p.index(0), p.index(step.width)) as r:
                row = p.arith("min", p.arith("add", self.first, r), p.arith("sub", self.total, "1"))
                starts = self.moved(moved, "rows", self.unravel("rows", row))
                starts = [self.along(pointer, k, "k", last, low) for k, pointer in enumerate(starts)]
                self._call("run", p.advance(self.buffer, p.arith("mul", r, p.index(TURN)), self.packed), length, starts)
            done = p.arith("add", p.arith("mul", position, lines), p.arith("div", low, p.index(group)))
            target = p.advance(self.out, p.arith("mul", done, p.index(step.width * group)), self.packed)
            units = p.arith("div", p.arith("add", length, p.index(group - 1)), p.index(group))
            row_bytes = TURN * self.packed.itemsize
            self._check_turned(target, units)
            p.call(
                f"@{self.name}.turn(ptr {self.buffer}, i64 {row_bytes}, i64 {step.width}, ptr {target}, i64 {units})"
            )

    def _check_turned(self, target: Any, lines: Any) -> None:
        """Check what turning over writes: whole vectors of lines, the last of which may reach past its line's end."""
        p, tile, width = self.printer, self.pack.tile, self.pack.width
        lanes = p.index(tile.lanes)
        begun = p.arith("mul", p.arith("div", p.arith("add", lines, p.index(tile.lanes - 1)), lanes), lanes)
        line = p.index(-(-width // tile.lanes) * tile.lanes * tile.group)
        p.check_grid(target, self.packed, [(begun, p.index(width * tile.group)), (line, "1")], writes=True)


def _copy(module: Module, name: str, tile: Tile, width: int) -> None:
    """Append ``name(from, from_bytes, rows, to, n)``: n lines of a panel, each `width` elements side by side.

    Where the target has masks, elements from `rows` on are zero; elsewhere `rows` has to be the width.
    """
    unit, size = memory_type(tile.packed), tile.packed.itemsize
    moves: list[str] = []
    masks: list[str] = []
    for at, lanes in _vectors(tile, width):
        kind = f"<{lanes} x {unit}>"
        moves.append(f"  %p{at} = getelementptr {unit}, ptr %from.at, i64 {at}")
        if tile.masks:
            masks += mask_of(f"%m{at}", "%rows", at, lanes)
            moves.append(masked_load(module, f"%v{at}", kind, f"%p{at}", f"%m{at}", size))
        else:
            moves.append(f"  %v{at} = load {kind}, ptr %p{at}, align {size}")
        moves += [
            f"  %q{at} = getelementptr {unit}, ptr %to.at, i64 {at}",
            f"  store {kind} %v{at}, ptr %q{at}, align {size}",
        ]
    parameters = "ptr noalias %from, i64 %from_bytes, i64 %rows, ptr noalias %to, i64 %n"
    module.functions.append(_line_loop(name, parameters, unit, width, masks, moves))


def _pick(module: Module, name: str, tile: Tile, width: int) -> None:
    """Append ``name(from, from_bytes, offsets, rows, to, n)``: n lines of a panel from elements at 32-bit offsets.

    Elements from `rows` on are zero.
    """
    unit, size = memory_type(tile.packed), tile.packed.itemsize
    setup: list[str] = []
    lines: list[str] = []
    for at, lanes in _vectors(tile, width):
        kind, index = f"<{lanes} x {unit}>", f"<{lanes} x i32>"
        full = f"@llvm.masked.gather.v{lanes}{'f' if tile.packed.kind == 'f' else 'i'}{8 * size}.v{lanes}p0"
        module.declare(f"{kind} {full}(<{lanes} x ptr>, i32, <{lanes} x i1>, {kind})")
        setup += [
            *mask_of(f"%m{at}", "%rows", at, lanes),
            f"  %o{at} = getelementptr i32, ptr %offsets, i64 {at}",
            f"  %n{at} = load {index}, ptr %o{at}, align 4",
            f"  %w{at} = sext {index} %n{at} to <{lanes} x i64>",
        ]
        lines += [
            f"  %p{at} = getelementptr {unit}, ptr %from.at, <{lanes} x i64> %w{at}",
            f"  %v{at} = call {kind} {full}(<{lanes} x ptr> %p{at}, i32 {size}, <{lanes} x i1> %m{at}, "
            f"{kind} zeroinitializer)",
            f"  %q{at} = getelementptr {unit}, ptr %to.at, i64 {at}",
            f"  store {kind} %v{at}, ptr %q{at}, align {size}",
        ]
    parameters = "ptr noalias %from, i64 %from_bytes, ptr noalias %offsets, i64 %rows, ptr noalias %to, i64 %n"
    module.functions.append(_line_loop(name, parameters, unit, width, setup, lines))


def _join(module: Module, name: str, tile: Tile, width: int) -> None:
    """Append ``name(from, from_bytes, offsets, to, n)``: as `_pick`, where a vector's elements are at most two runs.

    Each vector takes its first elements from where its first one lies and the others from before its last one.
    """
    unit, size = memory_type(tile.packed), tile.packed.itemsize
    setup: list[str] = []
    lines: list[str] = []
    for at, lanes in _vectors(tile, width):
        kind, index = f"<{lanes} x {unit}>", f"<{lanes} x i32>"
        numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
        setup += [
            f"  %o{at} = getelementptr i32, ptr %offsets, i64 {at}",
            f"  %n{at} = load {index}, ptr %o{at}, align 4",
            f"  %s{at} = sub {index} %n{at}, <{numbers}>",
            f"  %a{at} = extractelement {index} %s{at}, i32 0",
            f"  %z{at} = extractelement {index} %s{at}, i32 {lanes - 1}",
            f"  %b{at}.one = insertelement {index} poison, i32 %a{at}, i32 0",
            f"  %b{at} = shufflevector {index} %b{at}.one, {index} poison, <{lanes} x i32> zeroinitializer",
            f"  %m{at} = icmp eq {index} %s{at}, %b{at}",
            f"  %r{at} = icmp ne {index} %s{at}, %b{at}",
            f"  %a{at}.w = sext i32 %a{at} to i64", f"  %z{at}.w = sext i32 %z{at} to i64",
        ]  # fmt: skip
        lines += [
            f"  %f{at} = getelementptr {unit}, ptr %from.at, i64 %a{at}.w",
            f"  %g{at} = getelementptr {unit}, ptr %from.at, i64 %z{at}.w",
            masked_load(module, f"%v{at}", kind, f"%f{at}", f"%m{at}", size),
            masked_load(module, f"%u{at}", kind, f"%g{at}", f"%r{at}", size),
            f"  %w{at} = select <{lanes} x i1> %m{at}, {kind} %v{at}, {kind} %u{at}",
            f"  %q{at} = getelementptr {unit}, ptr %to.at, i64 {at}",
            f"  store {kind} %w{at}, ptr %q{at}, align {size}",
        ]
    parameters = "ptr noalias %from, i64 %from_bytes, ptr noalias %offsets, ptr noalias %to, i64 %n"
    module.functions.append(_line_loop(name, parameters, unit, width, setup, lines))


def _vectors(tile: Tile, width: int) -> Iterator[tuple[int, int]]:
    """Yield where each vector of a line begins, and its lanes: powers of two."""
    at = lanes = 0
    while (at := at + lanes) < width:
        lanes = min(tile.lanes, 1 << (width - at).bit_length() - 1)
        yield at, lanes


def _line_loop(name: str, parameters: str, unit: str, width: int, setup: list[str], lines: list[str]) -> str:
    """Return a function that does the same for n lines, `from_bytes` apart, into lines of `width` elements."""
    return "\n".join([
        f"define internal void @{name}({parameters}) noinline #0 {{",
        "entry:", *setup, "  %any = icmp sgt i64 %n, 0", "  br i1 %any, label %loop, label %done", "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        "  %from.at = phi ptr [ %from, %entry ], [ %from.next, %loop ]",
        "  %to.at = phi ptr [ %to, %entry ], [ %to.next, %loop ]",
        *lines,
        "  %from.next = getelementptr i8, ptr %from.at, i64 %from_bytes",
        f"  %to.next = getelementptr {unit}, ptr %to.at, i64 {width}",
        "  %i.next = add i64 %i, 1", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ])  # fmt: skip


def _weave(module: Module, name: str, tile: Tile, width: int, source: np.dtype) -> None:
    """Append ``name(from, from_bytes, rows, to, n)``: as `_copy`, with the elements of `group` lines side by side.

    The elements of a group are shifted to their places in 32 bits. Past the last line, they are zero.
    """
    group, bits = tile.group, 32 // tile.group
    narrow, kind = register_type(source), f"<{tile.lanes} x i32>"
    lanes = f"<{tile.lanes} x i1>"
    setup: list[str] = []
    lines: list[str] = []
    for j in range(group):
        lines += [
            f"  %k{j} = add i64 %i, {j}", f"  %in{j} = icmp slt i64 %k{j}, %n",
            f"  %o{j} = mul i64 %k{j}, %from_bytes", f"  %f{j} = getelementptr i8, ptr %from, i64 %o{j}",
        ]  # fmt: skip
    for at in range(0, width, tile.lanes):
        count = min(tile.lanes, width - at)
        setup += mask_of(f"%m{at}", "%rows", at, tile.lanes)
        word = ""
        for j in range(group):
            x = f"{at}.{j}"
            lines.append(f"  %m{x} = select i1 %in{j}, {lanes} %m{at}, {lanes} zeroinitializer")
            lines.append(f"  %p{x} = getelementptr {narrow}, ptr %f{j}, i64 {at}")
            loaded = f"<{tile.lanes} x {narrow}>"
            lines.append(masked_load(module, f"%x{x}", loaded, f"%p{x}", f"%m{x}", source.itemsize))
            extend = "sext" if source.kind == "i" else "zext"
            lines.append(f"  %w{x} = {extend} {loaded} %x{x} to {kind}")
            ones = ", ".join([f"i32 {(1 << bits) - 1}"] * tile.lanes)
            lines.append(f"  %y{x} = and {kind} %w{x}, <{ones}>")
            places = ", ".join([f"i32 {bits * j}"] * tile.lanes)
            lines.append(f"  %z{x} = shl {kind} %y{x}, <{places}>")
            lines.append(f"  %s{x} = or {kind} {word or 'zeroinitializer'}, %z{x}")
            word = f"%s{x}"
        lines.append(f"  %q{at} = getelementptr i32, ptr %to.at, i64 {at}")
        if count == tile.lanes:
            lines.append(f"  store {kind} {word}, ptr %q{at}, align 4")
        else:
            setup += mask_of(f"%part{at}", str(count), 0, tile.lanes)
            lines.append(masked_store(module, word, kind, f"%q{at}", f"%part{at}", 4))
    parameters = "ptr noalias %from, i64 %from_bytes, i64 %rows, ptr noalias %to, i64 %n"
    module.functions.append("\n".join([
        f"define internal void @{name}({parameters}) noinline #0 {{",
        "entry:", *setup, "  %any = icmp sgt i64 %n, 0", "  br i1 %any, label %loop, label %done", "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        "  %to.at = phi ptr [ %to, %entry ], [ %to.next, %loop ]",
        *lines,
        f"  %to.next = getelementptr i32, ptr %to.at, i64 {width}",
        f"  %i.next = add i64 %i, {group}", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip


def turn_function(module: Module, name: str, tile: Tile, width: int) -> None:
    """Append ``name(from, row_bytes, rows, to, n)``: `width` rows become columns of n lines.

    Squares of vectors are turned by exchanging halves, quarters, and so on, as in Eklundh (A fast computer method for
    matrix transposing, IEEE Trans. Comput. C-21, 1972). A vector that is begun is
    written in full, and read in full where the target has no masks. The last of the `rows` stands for those past it.
    """
    unit = "i32" if tile.group > 1 else memory_type(tile.packed)
    size, lanes = tile.packed.itemsize * tile.group, tile.lanes
    kind = f"<{lanes} x {unit}>"
    # Rows by the vector are independent of each other, unless the last vector of a line reaches into the next line.
    together = lanes if width % lanes == 0 else width
    module.declare("i64 @llvm.smin.i64(i64, i64)")
    starts: list[str] = []
    lines: list[str] = []
    if tile.masks:
        lines += ["  %rest = sub i64 %n, %i", *mask_of("%mask", "%rest", 0, lanes)]
    across: list[list[str]] = []
    for first in range(0, together, lanes):
        vectors = []
        for r in range(first, first + lanes):
            if r >= together:
                vectors.append(_ZEROS)
                continue
            starts += [
                f"  %k{r} = add i64 %r, {r}", f"  %s{r} = call i64 @llvm.smin.i64(i64 %k{r}, i64 %last)",
                f"  %o{r} = mul i64 %s{r}, %row_bytes", f"  %f{r} = getelementptr i8, ptr %from, i64 %o{r}",
            ]  # fmt: skip
            lines.append(f"  %p{r} = getelementptr {unit}, ptr %f{r}, i64 %i")
            if tile.masks:
                lines.append(masked_load(module, f"%v{r}", kind, f"%p{r}", "%mask", size))
            else:
                lines.append(f"  %v{r} = load {kind}, ptr %p{r}, align {size}")
            vectors.append(f"%v{r}")
        across.append(_exchanged(lines, vectors, kind, lanes, f"t{first}"))
    for u in range(lanes):
        for k, vectors in enumerate(across):
            lines.append(f"  %q{u}.{k} = getelementptr {unit}, ptr %to.at, i64 {u * width + k * lanes}")
            lines.append(f"  store {kind} {vectors[u]}, ptr %q{u}.{k}, align {size}")
    module.functions.append("\n".join([
        f"define internal void @{name}(ptr noalias %from, i64 %row_bytes, i64 %rows, ptr noalias %to, i64 %n) "
        "noinline #0 {",
        "entry:", "  %last = sub i64 %rows, 1", "  %any = icmp sgt i64 %n, 0",
        "  br i1 %any, label %begin, label %done", "begin:",
        "  %r = phi i64 [ 0, %entry ], [ %r.next, %next ]",
        *starts,
        f"  %to.r = getelementptr {unit}, ptr %to, i64 %r",
        "  br label %loop", "loop:",
        "  %i = phi i64 [ 0, %begin ], [ %i.next, %loop ]",
        f"  %line = mul i64 %i, {width}",
        f"  %to.at = getelementptr {unit}, ptr %to.r, i64 %line",
        *lines,
        f"  %i.next = add i64 %i, {lanes}", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %next", "next:",
        f"  %r.next = add i64 %r, {together}", f"  %again = icmp slt i64 %r.next, {width}",
        "  br i1 %again, label %begin, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip


def _exchanged(lines: list[str], vectors: list[str], kind: str, lanes: int, prefix: str) -> list[str]:
    distance = 1
    while distance < lanes:
        result = list(vectors)
        for i in range(lanes):
            if i & distance:
                continue
            a, b = vectors[i], vectors[i + distance]
            if a == b == _ZEROS:
                continue
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
