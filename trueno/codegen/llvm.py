"""LLVM IR text: the printer of functions, and the module that they are gathered in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen import branches, streaming
from trueno.codegen.bounds import Bounds
from trueno.codegen.compile import AS_IS
from trueno.codegen.expr import Expr
from trueno.codegen.llvm_types import memory_type
from trueno.codegen.llvm_values import ValuePrinter
from trueno.codegen.stage import CHUNK, COLUMNS
from trueno.ir.node import Node
from trueno.ir.op import Op

_ATTRIBUTES = (
    'attributes #0 = { nounwind "prefer-vector-width"="512" "no-builtins" }',
    "attributes #1 = { nounwind willreturn memory(none) }",
)


#: Bytes of the vectors that can be masked at no cost.
_MASKED_BYTES = 64


class Module:
    """Text of one LLVM module: functions, and the declarations and metadata that they need.

    Attributes
    ----------
    as_is : Module
        What LLVM's passes would not make better, for which they would take long.
    checked : bool
        Whether accesses to memory are checked; see codegen/bounds.py.
    vector_bytes : int
        Length of the target's vectors; 0 where there are none, or loops are not vectorised.
    """

    def __init__(self, as_is: Module | None = None, checked: bool = False, vector_bytes: int = 0) -> None:
        self.as_is, self.checked, self.vector_bytes = as_is, checked, vector_bytes
        self.functions: list[str] = []
        self.declarations: dict[str, None] = {}
        self.metadata: list[str] = []
        self.helpers: dict[str, str] = {}
        self.kept: dict[str, None] = {}
        self._stream_scope = self._unlikely = ""

    def like(self, as_is: Module | None = None) -> Module:
        """Return a module without functions, with declarations and metadata of its own that are the same."""
        made = Module(as_is, self.checked, self.vector_bytes)
        made.declarations, made.metadata, made.helpers = (
            dict(self.declarations),
            list(self.metadata),
            dict(self.helpers),
        )
        return made

    def declare(self, text: str) -> None:
        self.declarations[f"declare {text}"] = None

    def node(self, text: str) -> str:
        self.metadata.append(text)
        return f"!{len(self.metadata) - 1}"

    def hints(self, loop: str) -> str:
        """Return what the metadata of a loop says."""
        return " ".join(self.metadata[int(node)] for node in re.findall(r"!(\d+)", self.metadata[int(loop[1:])]))

    def stream_scope(self) -> str:
        """Return the metadata that marks stores which go past the caches."""
        if not self._stream_scope:
            domain, scope, scopes = streaming.SCOPE
            domain = self.node(domain)
            scope = self.node(scope.replace("!DOMAIN", domain))
            self._stream_scope = self.node(scopes.replace("!SCOPE", scope))
        return self._stream_scope

    def keep(self, name: str, declaration: str) -> None:
        """Declare a function that loops may come to call once they are vectorised."""
        self.declare(declaration)
        self.kept[name] = None

    def unlikely_branch(self) -> str:
        """Return the metadata of a branch that is hardly ever taken."""
        self._unlikely = self._unlikely or self.node('!{!"branch_weights", i32 1, i32 10000}')
        return self._unlikely

    def text(self, header: str) -> str:
        if self.kept:
            stores = [f"  store volatile ptr @{name}, ptr %place" for name in self.kept]
            keeping = [f"define void @{branches.KEEP}(ptr %place) {{", *stores, "  ret void", "}"]
            self.functions.append("\n".join(keeping))
        lines = [f"!{k} = {node.replace('!SELF', f'!{k}')}" for k, node in enumerate(self.metadata)]
        text = "\n".join(
            [header, *self.declarations, *self.helpers.values(), *self.functions, *_ATTRIBUTES, *lines, ""]
        )
        if self.as_is is not None and (self.as_is.functions or self.as_is.helpers):
            text += self.as_is.text(AS_IS)
        return text


class LLVMPrinter(ValuePrinter):
    """Prints one stage as an LLVM function over a range of tasks."""

    wide_sums = True
    chunk, columns = CHUNK, COLUMNS
    run, run_columns = 256, 1
    wide = dt.float64

    def __init__(self, module: Module, half_instructions: bool = True, streams: bool = False) -> None:
        self.module = module
        self.half_instructions = half_instructions
        self.entry: list[str] = []
        self.body: list[str] = []
        # The one that is printed to.
        self.block = "entry"
        self.count = 0
        self.group: str | None = None
        self.streams = streams
        self.metas: dict[int, str] = {}
        self.in_entry = True
        self.bounds = Bounds(self) if module.checked else None
        self.masks = module.vector_bytes == _MASKED_BYTES

    # --- text ---------------------------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        (self.entry if self.in_entry else self.body).append(f"  {text}")

    def _label(self, name: str) -> None:
        self.body.append(f"{name}:")
        self.block = name

    def _name(self, hint: str = "v") -> str:
        self.count += 1
        return f"%{hint}{self.count}"

    def branching(self, op: Op, nodes: Sequence[Node], operands: list[str]) -> str | None:
        if self.lanes > 1:
            # The function's vector forms are for LLVM's vectoriser to choose; these lanes are all evaluated.
            return None
        # In the count of values, by which loops are interleaved, the call stands for all that it may compute: vectors
        # side by side, each with its branch, made sin in float64 no faster, and its compilation half as long again.
        self.count += len(nodes)
        return branches.call(self, op, nodes, operands)

    def _let(self, text: str, hint: str = "v") -> str:
        name = self._name(hint)
        self._line(f"{name} = {text}")
        return name

    def let_on_entry(self, text: str) -> str:
        """Print an instruction where the function begins, and return the name of its value."""
        name = self._name()
        self.entry.append(f"  {name} = {text}")
        return name

    def comment(self, text: str) -> None:
        self._line(f"; {text}")

    def _access_group(self) -> str:
        return f", !llvm.access.group {self.group}" if self.group else ""

    def finish_function(self, signature: str, about: str, linkage: str = "internal", quick: bool = False) -> None:
        """Append what was printed to the module as a function.

        `quick`: LLVM selects its instructions one by one, in a fraction of the time.
        """
        self.module.functions.append("\n".join([
            f"; {about}", f"define {linkage} void @{signature} noinline {'optnone ' if quick else ''}#0 {{",
            "entry:", *self.entry, *self.body, "  ret void", "}",
        ]))  # fmt: skip

    # --- indices and arguments ----------------------------------------------------------------------------------------

    def index(self, value: int) -> str:
        return str(value)

    def meta(self, place: int) -> str:
        if place not in self.metas:
            # Read on entry: stores in the loops could otherwise be taken to change it.
            pointer = self.let_on_entry(f"getelementptr i64, ptr %meta, i64 {place}")
            self.metas[place] = self.let_on_entry(f"load i64, ptr {pointer}, align 8")
        return self.metas[place]

    def scalar(self, slot: str, dtype: np.dtype) -> str:
        pointer = self._let(f"getelementptr i64, ptr %scalars, i64 {slot}", "sp")
        if dt.is_floating(dtype):
            value = self._let(f"load double, ptr {pointer}, align 8", "s")
            return self.cast(value, dt.float64, dtype)
        value = self._let(f"load i64, ptr {pointer}, align 8", "s")
        return self.cast(value, dt.int64, dtype)

    def arith(self, op: str, a: str, b: str) -> str:
        if a.lstrip("-").isdigit() and b.lstrip("-").isdigit():
            x, y = int(a), int(b)
            known = {"add": x + y, "sub": x - y, "mul": x * y, "div": x // max(y, 1), "rem": x % max(y, 1)}
            return str((known | {"min": min(x, y), "max": max(x, y)})[op])
        if (op == "add" and a == "0") or (op == "mul" and a == "1"):
            return b
        if op == "mul" and "0" in (a, b):
            return "0"
        if (op in ("add", "sub") and b == "0") or (op in ("mul", "div") and b == "1"):
            return a
        if op in ("min", "max"):
            self.module.declare(f"i64 @llvm.s{op}.i64(i64, i64)")
            return self._let(f"call i64 @llvm.s{op}.i64(i64 {a}, i64 {b})", "i")
        name = {"div": "udiv", "rem": "urem"}.get(op, f"{op} nsw")
        return self._let(f"{name} i64 {a}, {b}", "i")

    # --- memory -------------------------------------------------------------------------------------------------------

    def base(self, buffer: str, byte_offset: str, dtype: np.dtype) -> str:
        place = self._let(f"getelementptr ptr, ptr %buffers, i64 {buffer}", "bp")
        pointer = self._let(f"load ptr, ptr {place}, align 8", "b")
        made = self._let(f"getelementptr i8, ptr {pointer}, i64 {byte_offset}", "p")
        self.points_into(made, buffer)
        return made

    def points_into(self, pointer: str, buffer: str | None) -> None:
        """Say which buffer a pointer goes into; None: memory of the kernel's own, or that the caller checks."""
        if self.bounds is not None:
            self.bounds.begin(pointer, buffer)

    def advance(self, pointer: str, elements: str, dtype: np.dtype) -> str:
        if elements == "0":
            return pointer
        made = self._let(f"getelementptr {memory_type(dtype)}, ptr {pointer}, i64 {elements}", "p")
        if self.bounds is not None:
            self.bounds.follow(made, pointer)
        return made

    def check_grid(self, pointer: str, dtype: np.dtype, walks: Sequence[tuple[str, str]], writes: bool = False) -> None:
        """Check, in checked code, all that a function will access; `walks`: count and stride of each dimension."""
        if self.bounds is not None:
            self.bounds.check(pointer, dtype, writes, walks)

    def load(self, pointer: str, dtype: np.dtype) -> str:
        return self._load("load", pointer, dtype, f"align {dtype.itemsize}{self._access_group()}")

    def load_shared(self, pointer: str, dtype: np.dtype) -> str:
        return self._load("load atomic", pointer, dtype, f"align {dtype.itemsize}", " monotonic")

    def _load(self, instruction: str, pointer: str, dtype: np.dtype, marks: str, order: str = "") -> str:
        if self.bounds is not None:
            self.bounds.check(pointer, dtype)
        value = self._let(f"{instruction} {memory_type(dtype)}, ptr {pointer}{order}, {marks}", "x")
        return self._let(f"icmp ne i8 {value}, 0", "x") if dtype == dt.bool_ else value

    def store(self, pointer: str, value: str, dtype: np.dtype) -> None:
        marks = self._access_group() + (f", !alias.scope {self.module.stream_scope()}" if self.streams else "")
        self._store("store", pointer, value, dtype, f"align {dtype.itemsize}{marks}")

    def copy(self, target: str, source: str, elements: str, dtype: np.dtype) -> None:
        self.module.declare("void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        size, align = self.arith("mul", elements, str(dtype.itemsize)), f"ptr align {dtype.itemsize}"
        self._line(f"call void @llvm.memcpy.p0.p0.i64({align} {target}, {align} {source}, i64 {size}, i1 false)")

    def store_shared(self, pointer: str, value: str, dtype: np.dtype) -> None:
        self._store("store atomic", pointer, value, dtype, f"align {dtype.itemsize}", " monotonic")

    def _store(self, instruction: str, pointer: str, value: str, dtype: np.dtype, marks: str, order: str = "") -> None:
        if self.bounds is not None:
            self.bounds.check(pointer, dtype, writes=True)
        if dtype == dt.bool_:
            value = self._let(f"zext i1 {value} to i8")
        self._line(f"{instruction} {memory_type(dtype)} {value}, ptr {pointer}{order}, {marks}")

    def variable(self, dtype: np.dtype, count: int = 1) -> tuple[str, np.dtype]:
        name = self._name("acc")
        kind = memory_type(dtype)
        self.entry.insert(0, f"  {name} = alloca {kind if count == 1 else f'[{count} x {kind}]'}, align 64")
        self.points_into(name, None)
        return name, dtype

    def _place(self, variable: tuple[str, np.dtype], at: str | None) -> str:
        return variable[0] if at is None else self.advance(variable[0], at, variable[1])

    def get(self, variable: tuple[str, np.dtype], at: str | None = None) -> str:
        return self.load(self._place(variable, at), variable[1])

    def set(self, variable: tuple[str, np.dtype], value: str, at: str | None = None) -> None:
        self.store(self._place(variable, at), value, variable[1])

    # --- indices from values ------------------------------------------------------------------------------------------

    def as_index(self, value: str, dtype: np.dtype) -> str:
        return self.cast(value, dtype, dt.int64)

    def from_index(self, value: str, dtype: np.dtype) -> str:
        return self.cast(value, dt.int64, dtype)

    def wrap(self, index: str, extent: str) -> str:
        negative = self._let(f"icmp slt i64 {index}, 0")
        wrapped = self._let(f"add i64 {index}, {extent}")
        inside = self._let(f"select i1 {negative}, i64 {wrapped}, i64 {index}")
        return self.arith("max", self.arith("min", inside, self.arith("sub", extent, "1")), "0")

    # --- control ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _for(
        self, low: str, high: str, step: int = 1, loop_metadata: str = "", bits: int = 64,
        until: Callable[[], str] | None = None,
    ) -> Iterator[str]:  # fmt: skip
        n = self._name("L")[1:]
        i, following, kind = f"%i{n}", f"%n{n}", f"i{bits}"
        if bits < 64:
            low, high = (one if one.isdigit() else self._let(f"trunc i64 {one} to {kind}", "i") for one in (low, high))
        if low.isdigit() and high.isdigit() and int(low) < int(high):
            self._line(f"br label %{n}.head")
        else:
            go = self._let(f"icmp slt {kind} {low}, {high}", "c")
            self._line(f"br i1 {go}, label %{n}.head, label %{n}.end")
        before = self.block
        self._label(f"{n}.head")
        place = len(self.body)
        yield i if bits == 64 else self._let(f"sext {kind} {i} to i64", "i")
        # The block that the loop goes back from is known by now.
        self.body.insert(place, f"  {i} = phi {kind} [ {low}, %{before} ], [ {following}, %{self.block} ]")
        self._line(f"{following} = add nsw {kind} {i}, {step}")
        more = self._let(f"icmp slt {kind} {following}, {high}", "c")
        if until is not None:
            more = self._let(f"select i1 {until()}, i1 false, i1 {more}", "c")
        self._line(f"br i1 {more}, label %{n}.head, label %{n}.end{loop_metadata}")
        self._label(f"{n}.end")

    def compare(self, relation: str, a: str, b: str) -> str:
        """Return whether two index values are in a relation: eq, ne, slt, sle."""
        return self._let(f"icmp {relation} i64 {a}, {b}", "c")

    def both(self, a: str, b: str) -> str:
        """Return whether two conditions hold."""
        return self._let(f"and i1 {a}, {b}", "c")

    def select(self, condition: str, a: str, b: str, kind: str = "ptr") -> str:
        """Return a where a condition holds, else b."""
        return self._let(f"select i1 {condition}, {kind} {a}, {kind} {b}")

    def call(self, text: str) -> None:
        """Call a function of the module that returns nothing."""
        self._line(f"call void {text}")

    def leave(self) -> None:
        """Return from the function; what is printed after it is not reached."""
        self._line("ret void")
        self._label(self._name("X")[1:])

    @contextmanager
    def when(self, condition: str, holds: bool = True) -> Iterator[None]:
        """A block that runs where a condition holds, or where it does not."""
        n = self._name("W")[1:]
        labels = f"label %{n}.then, label %{n}.end" if holds else f"label %{n}.end, label %{n}.then"
        self._line(f"br i1 {condition}, {labels}")
        self._label(f"{n}.then")
        yield
        self._line(f"br label %{n}.end")
        self._label(f"{n}.end")

    @contextmanager
    def tasks(self, count: str) -> Iterator[str]:
        self.in_entry = False
        yield "%t0"

    @contextmanager
    def each_task(self) -> Iterator[str]:
        """The loop over tasks, in the function itself."""
        self.in_entry = False
        with self._for("%t0", "%t1") as task:
            yield task

    def loop(self, low: str, high: str, step: int = 1, until: Callable[[], str] | None = None) -> Any:
        return self._for(low, high, step, until=until)

    def scalar_loop(self, low: str, high: str) -> Any:
        """A loop that is not vectorised: strided loads of narrow types would become a load and an insertion each."""
        scalar = self.module.node('!{!"llvm.loop.vectorize.width", i32 1}')
        single = self.module.node('!{!"llvm.loop.interleave.count", i32 1}')
        return self._for(low, high, 1, f", !llvm.loop {self.module.node(f'distinct !{{!SELF, {scalar}, {single}}}')}")

    @contextmanager
    def vector_loop(
        self, low: str, high: str, independent: bool, elementwise: bool = False, width: int = 0, interleave: int = 0,
        masked: bool = False,
    ) -> Iterator[str]:  # fmt: skip
        before = self.group
        metadata = ""
        if independent:
            # No iteration reads what another writes: the vectoriser needs no run-time checks for overlap.
            self.group = self.module.node("distinct !{}")
            parallel = self.module.node(f'!{{!"llvm.loop.parallel_accesses", {self.group}}}')
            hints = [parallel]
            given = {"vectorize.width": width, "interleave.count": interleave, "vectorize.predicate.enable": masked}
            if self.module.checked:
                given = {}  # loops that check their accesses are not vectors, which LLVM would remark on
            for name, value in given.items():
                if value:
                    kind = "i1 true" if value is True else f"i32 {value}"
                    hints.append(self.module.node(f'!{{!"llvm.loop.{name}", {kind}}}'))
            loop = self.module.node(f"distinct !{{!SELF, {', '.join(hints)}}}")
            metadata = f", !llvm.loop {loop}"
        begin = self.count
        # Masks are comparisons of indices: narrow ones are compared in half of the vectors. Rows of vectors are short.
        with self._for(low, high, 1, metadata, 32 if masked else 64) as i:
            yield i
        self.group = before
        interleaved = 0 if interleave else _interleaving(self.count - begin, elementwise)
        if independent and interleaved:
            count = self.module.node(f'!{{!"llvm.loop.interleave.count", i32 {interleaved}}}')
            self.module.metadata[int(loop[1:])] = f"distinct !{{!SELF, {', '.join([*hints, count])}}}"

    def carry(self, expr: Expr, value: str) -> str:
        return value

    def finish(self, expr: Expr, value: str) -> str:
        return value

    @contextmanager
    def once(self) -> Iterator[None]:
        yield


def _interleaving(values: int, elementwise: bool) -> int:
    """Return how many vectors a loop with so many values in its body takes at a time; 0 leaves it to LLVM.

    LLVM would take four in any reduction and one where no value is carried on. But a reduction with a long body keeps
    the CPU busy with one, has less left over in short rows, and there is a quarter of the code to compile. A polynomial
    without a reduction is a single chain, of which four side by side hide more of the latency; the longest, which take
    long to compile, are chains beside each other already.
    """
    if not elementwise:
        return 1 if values > 32 else 0
    if values <= 12:
        return 0
    return 4 if values <= 48 else 2 if values <= 96 else 1


_TASK_LOOP = """define hidden void @{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0, i64 %t1) noinline #0 {{
entry:
  %any = icmp slt i64 %t0, %t1
  br i1 %any, label %loop, label %done
loop:
  %task = phi i64 [ %t0, %entry ], [ %next, %loop ]
  call void @{name}.task(ptr %buffers, ptr %meta, ptr %scalars, i64 %task)
  %next = add nsw i64 %task, 1
  %more = icmp slt i64 %next, %t1
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""


def task_function(printer: LLVMPrinter, name: str, about: str) -> None:
    """Append what was printed as the function of one task, and the loop over tasks.

    LLVM's loop passes take far longer over a nest that includes the tasks. Their loop is called once or twice, and
    left out of all passes.
    """
    module = printer.module
    assert module.as_is is not None
    printer.finish_function(f"{name}.task(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0)", about, "hidden")
    module.as_is.declare(f"hidden void @{name}.task(ptr, ptr, ptr, i64)")
    module.as_is.functions.append(_TASK_LOOP.format(name=name))


def step_end(printer: LLVMPrinter, name: str, about: str) -> None:
    """Append what was printed with the loop over tasks, whose tasks only call what works on many elements."""
    printer.finish_function(f"{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0, i64 %t1)", about, "hidden", True)
