"""OpenCL C 1.2 text from stages.

A stage becomes one kernel function, and a task of it one work-item or one work-group (`Mode`). Index arithmetic is
printed where it is used; everything else is a named constant, called after the row that it comes from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.emit import start_value
from trueno.codegen.expr import Expr
from trueno.codegen.expressions import expanded
from trueno.codegen.opencl_values import HELPERS, UNSIGNED, literal, memory_type, register_type
from trueno.codegen.stage import Loops, meta_layout, meta_values, text
from trueno.codegen.walks import emitter
from trueno.ir.elementwise import add, unlikely
from trueno.ir.node import Node, topological
from trueno.ir.op import Op

#: Changes whenever the text printed for the same stage changes: part of every program's key.
VERSION = "1"
#: Elements that one work-item adds up before the sum moves on to the wide accumulator.
SERIAL_RUN = 64
#: Rows shorter than this are left to one work-item each.
SHORT_ROW = 32
#: The same for scans, which take a group many barriers.
SHORT_SCAN = 256
#: Indices and strides up to this fit 32-bit arithmetic, the largest step of a loop included.
NARROW = 1 << 30

#: Letters of `OpenCLProgram.kernel` for a scalar argument.
_LETTERS = {
    dt.bool_: "B", dt.int8: "b", dt.uint8: "B", dt.int16: "h", dt.uint16: "H", dt.int32: "i", dt.uint32: "I",
    dt.int64: "q", dt.uint64: "Q", dt.float16: "H", dt.bfloat16: "H", dt.float32: "f", dt.float64: "d",
}  # fmt: skip
#: C leaves the overflow of these undefined for signed operands, which narrow unsigned ones become, too.
_OVERFLOWS = re.compile(r"\} (\+|-|\*|<<) \{|^\(-\{0\}\)$")
_WORDS = re.compile(r"\w+")

# --- what is decided before printing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """What all stages of a program share: decisions that follow from the device and from the sizes.

    Attributes
    ----------
    cpu : bool
        Whether the device is a processor: rows then are better walked by one work-item than shared by a group.
    fp64 : bool
        Whether sums may be kept in float64.
    group : int
        Most work-items of a group that shares a row.
    parameters : int
        Most bytes of a kernel's arguments.
    narrow : bool
        Whether 32 bits are enough for indices.
    """

    cpu: bool
    fp64: bool
    group: int
    parameters: int
    narrow: bool = True

    def __str__(self) -> str:
        return f"idx={'int' if self.narrow else 'long'} group={self.group} fp64={int(self.fp64)}"


@dataclass(frozen=True, slots=True)
class Mode:
    """How a stage is distributed and gets its numbers.

    Attributes
    ----------
    task : str
        What a task is and who does it: ``element`` and ``column``: one work-item each; ``row``: one work-item walks a
        row; ``group``: a work-group shares a row.
    by_value : bool
        Whether the numbers are passed as a struct, not in a buffer of constants.
    """

    task: str
    by_value: bool


def decide(loops: Loops, form: Form) -> Mode:
    """Choose how a stage is distributed over work-items."""
    length = min(loops.inner[-1], loops.stage.block) if loops.stage.block else loops.inner[-1]
    if loops.elementwise:
        task = "element"
    elif loops.columns:
        task = "column"
    elif form.cpu or loops.stage.serial:
        task = "row"
    elif any(expr.kind == "scan" for expr in loops.order):
        task = "group" if length >= SHORT_SCAN else "row"
    else:
        task = "group" if length >= SHORT_ROW or math.prod(loops.inner) >= SHORT_ROW * SHORT_ROW else "row"
    size = 16 * len(loops.accesses) + 8 * sum(expr.kind == "scalar" for expr in loops.order) + 8 * len(fields(loops))
    return Mode(task, size <= form.parameters)


def fits_narrow(loops: Loops) -> bool:
    """Return whether 32-bit indices reach every element of a stage."""
    extents = (*loops.outer, *loops.inner)
    reach = [loops.elements, *(abs(offset) for buffer, _, offset, *_ in loops.accesses if buffer < 0)]
    for access in loops.accesses:
        strides = (*access[3], *access[4])
        reach.append(sum(abs(stride) * max(extent, 1) for stride, extent in zip(strides, extents, strict=True)))
    for expr in loops.order:
        if expr.kind == "gather":
            reach.append(expr.arg[1] * abs(expr.arg[2]) + max(reach))
    for store in loops.stage.stores:
        reach.append(store.scatter[0] * abs(store.scatter[1]) + max(reach))
    return max(reach) < NARROW


def fields(loops: Loops) -> list[tuple[str, int, bool]]:
    """Return name, place in the stage's meta numbers and whether it takes 64 bits, of each number its code reads."""
    places = meta_layout(loops)
    wide: list[tuple[str, int, bool]] = []
    narrow = [("tasks", places["tasks"], False)]
    narrow += [(f"outer{d}", places["outer"] + d, False) for d in range(len(loops.outer))]
    narrow += [(f"inner{d}", places["inner"] + d, False) for d in range(len(loops.inner))]
    if loops.stage.block:
        narrow += [("block", places["block"], False), ("blocked", places["block"] + 1, False)]
    for k, (buffer, _, _, outer, inner, _) in enumerate(loops.accesses):
        place = places[f"a{k}"] + 2
        (wide if buffer >= 0 else narrow).append((f"a{k}_offset", place - 1, buffer >= 0))
        narrow += [(f"a{k}_outer{d}", place + d, False) for d in range(len(outer))]
        last = len(inner) - 1
        # Steps of 0, and of 1 along the innermost dimension, are part of the stage's text.
        narrow += [
            (f"a{k}_inner{d}", place + len(outer) + d, False)
            for d, stride in enumerate(inner) if stride != 0 and not (d == last and stride == 1)
        ]  # fmt: skip
    for name, place in places.items():
        if name.startswith(("gather", "scatter")):
            narrow += [(f"{name}_extent", place, False), (f"{name}_stride", place + 1, False)]
    return wide + narrow


def numbers(loops: Loops, form: Form) -> bytes:
    """Return a stage's run-time numbers as the bytes of the struct that its function takes."""
    values = meta_values(loops, False)
    values[0] = loops.count_tasks(1, 1)
    index = np.int32 if form.narrow else np.int64
    data = b"".join(
        np.asarray(values[place], np.int64 if wide else index).tobytes() for _, place, wide in fields(loops)
    )
    return data + bytes(-len(data) % 8)


def signature(loops: Loops, mode: Mode) -> str:
    """Return the argument letters of a stage's function, as `OpenCLProgram.kernel` takes them."""
    buffers = "P" * sum(access[0] >= 0 for access in loops.accesses)
    scalars = "".join(_LETTERS[expr.dtype] for expr in loops.order if expr.kind == "scalar")
    return buffers + ("s" if mode.by_value else "p") + scalars


def stage_text(loops: Loops, mode: Mode) -> str:
    """Return the canonical text of a stage with the decisions made for it: equal texts have one function."""
    return f"{text(loops)}\n  {mode.task}, numbers by {'value' if mode.by_value else 'buffer'}"


# --- printing ---------------------------------------------------------------------------------------------------------


def _is_number(index: str) -> bool:
    return index.lstrip("-").isdigit()


def _operand(index: str) -> str:
    return f"({index})" if " " in index else index


class OpenCLPrinter:
    """Prints one stage as an OpenCL C function. Index values are text; a pointer is (array, index text)."""

    backend = "opencl"
    wide_sums = True
    chunk = columns = 1
    run_columns = SERIAL_RUN

    def __init__(self, loops: Loops, mode: Mode, form: Form, name: str) -> None:
        self.loops, self.mode, self.form, self.name = loops, mode, form, name
        self.run = SERIAL_RUN * form.group if mode.task == "group" else SERIAL_RUN
        floats = [expr.dtype for expr in loops.order if expr.kind == "reduce" and dt.is_floating(expr.dtype)]
        self.wide = dt.float64 if form.fp64 or dt.float64 in floats else dt.float32
        self.lines: list[str] = []
        self.trees: dict[str, None] = {}
        # In the loop of a scan that a group shares: whether the item has an element, and what each scan goes on from.
        self.inside = ""
        self.carried = ""
        self.depth = 1
        self.count = 0
        places = meta_layout(loops)
        accessor = "n." if mode.by_value else "n->"
        self.places = {place: accessor + field for field, place, _ in fields(loops)}
        self.places |= {places[f"a{k}"]: f"b{k}" for k in range(len(loops.accesses))}
        self.places |= {places[f"scalar{k}"]: f"scalar{k}" for k, e in enumerate(loops.order) if e.kind == "scalar"}

    # --- text ---------------------------------------------------------------------------------------------------------

    def _line(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def _name(self, hint: str) -> str:
        # The underscore keeps clear of OpenCL's own log2, exp10, half4, ...
        self.count += 1
        return f"{hint}_{self.count}"

    def _let(self, kind: str, value: str, hint: str) -> str:
        name = self._name(hint)
        self._line(f"const {kind} {name} = {value};")
        return name

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._line(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self._line("}")

    def comment(self, text: str) -> None:
        self._line(f"// {text}")

    # --- indices and arguments ----------------------------------------------------------------------------------------

    def index(self, value: int) -> str:
        return str(value)

    def meta(self, place: int) -> str:
        return self.places[place]

    def scalar(self, slot: str, dtype: np.dtype) -> str:
        return f"({slot} != 0)" if dtype == dt.bool_ else slot

    def const(self, value: Any, dtype: np.dtype) -> str:
        return literal(value, dtype)

    def arith(self, op: str, a: str, b: str) -> str:
        if _is_number(a) and _is_number(b):
            x, y = int(a), int(b)
            return str({"add": x + y, "sub": x - y, "mul": x * y, "div": x // max(y, 1), "rem": x % max(y, 1),
                        "min": min(x, y), "max": max(x, y)}[op])  # fmt: skip
        if op == "mul" and "0" in (a, b):
            return "0"
        if (op == "add" and a == "0") or (op == "mul" and a == "1"):
            return b
        if (op in ("add", "sub") and b == "0") or (op in ("mul", "div") and b == "1"):
            return a
        match op:
            case "add":
                return f"{a} + {b}"
            case "sub":
                return f"{a} - {_operand(b)}"
            case "mul":
                return f"{_operand(a)} * {_operand(b)}"
            case "div" | "rem":
                return self._let("idx", f"{_operand(a)} {'/' if op == 'div' else '%'} {_operand(b)}", op)
        return f"{op}((idx)({a}), (idx)({b}))"

    # --- memory -------------------------------------------------------------------------------------------------------

    def base(self, buffer: str, byte_offset: str, dtype: np.dtype) -> tuple[str, str]:
        name, kind = f"a{buffer[1:]}", memory_type(dtype)
        self._line(f"global {kind} *{name} = (global {kind} *)({buffer} + {buffer}_at + {byte_offset});")
        return name, "0"

    def advance(self, pointer: tuple[str, str], elements: str, dtype: np.dtype) -> tuple[str, str]:
        return pointer[0], self.arith("add", pointer[1], elements)

    def load(self, pointer: tuple[str, str], dtype: np.dtype) -> str:
        place = f"{pointer[0]}[{pointer[1]}]"
        return self._let(register_type(dtype), f"{place} != 0" if dtype == dt.bool_ else place, "x")

    def store(self, pointer: tuple[str, str], value: str, dtype: np.dtype) -> None:
        self._line(f"{f'if ({self.inside}) ' if self.inside else ''}{pointer[0]}[{pointer[1]}] = {value};")

    def variable(self, dtype: np.dtype, count: int = 1) -> str:
        assert count == 1, "a work-item handles one column"
        name = self._name("acc")
        self._line(f"{register_type(dtype)} {name};")
        return name

    def get(self, variable: str, at: str | None = None) -> str:
        return variable

    def set(self, variable: str, value: str, at: str | None = None) -> None:
        self._line(f"{variable} = {value};")

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _formula(row: Op, dtype: np.dtype, operands: Sequence[str]) -> str:
        """Return a row's template filled in, with the overflow of integers wrapping around."""
        table, cls = row.opencl, dt.kind_class(dtype)
        assert not callable(table) and table is not None, f"{row.name} was not expanded"
        template = table if isinstance(table, str) else next(form for classes, form in table.items() if cls in classes)
        kind = register_type(dtype)
        if cls in "iu" and (cls == "i" or dtype.itemsize < 4) and _OVERFLOWS.search(template):
            unsigned = [f"({UNSIGNED[dtype.itemsize]}){one}" for one in operands]
            return f"({kind}){template.format(*unsigned, T=kind)}"
        return template.format(*operands, T=kind)

    def apply(self, expr: Expr | Node, operands: list[str]) -> str:
        assert expr.op is not None
        # That of the result, where the first operand is a condition.
        source = expr.src[-1].dtype
        kind = register_type(expr.dtype)
        if expr.op.name == "bitcast":
            return (
                operands[0] if register_type(source) == kind else self._let(kind, f"as_{kind}({operands[0]})", "bits")
            )
        if expr.op.name == "lookup":
            listed = ", ".join(literal(one, expr.dtype) for one in expr.arg)
            place = f"{operands[0]} & {len(expr.arg) - 1}"
            return self._let(kind, f"((const {kind}[]){{{listed}}})[{place}]", "found")
        return self._let(kind, self._formula(expr.op, source, operands), expr.op.name)

    def combine(self, expr: Expr, a: str, b: str, dtype: np.dtype | None = None) -> str:
        assert expr.op is not None and expr.op.combine is not None
        dtype = expr.dtype if dtype is None else dtype
        kind = register_type(dtype)
        if self.inside:
            start = literal(start_value(expr), expr.dtype)
            b = self._let(kind, f"{self.inside} ? {b} : {start}", "part")
            if expr.kind == "scan":
                return self._scan(expr, a, b, start)
        return self._let(kind, self._formula(expr.op.combine, dtype, [a, b]), expr.op.name)

    def _scan(self, expr: Expr, before: str, part: str, start: str) -> str:
        """Print the scan of a group's elements (Hillis and Steele, 1986) and return the item's value."""
        assert expr.op is not None and expr.op.combine is not None
        kind, row = register_type(expr.dtype), expr.op.combine
        tree = self._tree(expr.dtype)
        self._line(f"{tree}[item] = {part};")
        with self._block("for (idx reach = 1; reach < items; reach *= 2)"):
            self._line("barrier(CLK_LOCAL_MEM_FENCE);")
            self._line(f"const {kind} left = item >= reach ? {tree}[item - reach] : {start};")
            self._line("barrier(CLK_LOCAL_MEM_FENCE);")
            self._line(f"{tree}[item] = {self._formula(row, expr.dtype, ['left', f'{tree}[item]'])};")
        self._line("barrier(CLK_LOCAL_MEM_FENCE);")
        value = self._let(kind, self._formula(row, expr.dtype, [before, f"{tree}[item]"]), expr.op.name)
        self.carried = self._let(kind, self._formula(row, expr.dtype, [before, f"{tree}[items - 1]"]), "carry")
        self._line("barrier(CLK_LOCAL_MEM_FENCE);")
        return value

    def _tree(self, dtype: np.dtype) -> str:
        """Return the array of local memory in which a group exchanges values of a dtype."""
        kind = memory_type(dtype)
        self.trees[kind] = None
        return f"tree_{kind}"

    def carry(self, expr: Expr, value: str) -> str:
        return self.carried if self.inside else value

    def instruction(self, expr: Expr | Node, operands: list[str]) -> None:
        """The expansions are portable."""

    def branching(self, op: Op, nodes: Sequence[Node], operands: list[str]) -> str | None:
        if nodes[-1].op is not unlikely:
            return None
        condition, rare, common = nodes[-1].src
        values: dict[int, str] = {}
        usual = expanded(self, topological((condition, common)), operands, values)
        result = self._name(op.name)
        self._line(f"{register_type(common.dtype)} {result} = {usual};")
        with self._block(f"if ({values[id(condition)]})"):
            self._line(f"{result} = {expanded(self, topological((rare,)), operands, values)};")
        return result

    def add(self, a: str, b: str, dtype: np.dtype) -> str:
        """Return a + b."""
        return self._let(register_type(dtype), self._formula(add, dtype, [a, b]), "add")

    def float_add(self, a: str, b: str) -> str:
        return self._let(register_type(self.wide), f"{a} + {b}", "add")

    def float_sub(self, a: str, b: str) -> str:
        return self._let(register_type(self.wide), f"{a} - {b}", "sub")

    def finite_or_zero(self, value: str) -> str:
        return self._let(register_type(self.wide), f"isfinite({value}) ? {value} : 0", "lost")

    # --- casts --------------------------------------------------------------------------------------------------------

    def cast(self, value: str, source: np.dtype, target: np.dtype) -> str:
        if source == target:
            return value
        if source in dt.HALF:
            form = "half_to_float" if source == dt.float16 else "bfloat16_to_float"
            return self.cast(self._let("float", f"{form}({value})", "wide"), dt.float32, target)
        if target in dt.HALF:
            form = "float_to_half" if target == dt.float16 else "float_to_bfloat16"
            return self._let("ushort", f"{form}({self.cast(value, source, dt.float32)})", str(target))
        kind = register_type(target)
        if target == dt.bool_:
            return self._let(kind, f"{value} != 0", "truth")
        if dt.kind_class(source) == "f" and dt.kind_class(target) != "f":
            # convert_*_sat of NaN is 0 by the standard's recommendation only.
            return self._let(kind, f"isnan({value}) ? ({kind})0 : convert_{kind}_sat({value})", kind)
        return self._let(kind, f"({kind}){_operand(value)}", kind)

    def as_index(self, value: str, dtype: np.dtype) -> str:
        return self.cast(value, dtype, dt.int64)

    def from_index(self, value: str, dtype: np.dtype) -> str:
        return self.cast(f"({value})", dt.int64, dtype) if dtype != dt.int64 else f"(long)({value})"

    def wrap(self, index: str, extent: str) -> str:
        return self._let("idx", f"wrap_index({index}, {extent})", "at")

    # --- control ------------------------------------------------------------------------------------------------------

    @contextmanager
    def tasks(self, count: str) -> Iterator[str]:
        task = self.mode.task
        name = "row" if task == "group" else task
        self._line(f"const idx {name} = {'get_group_id' if task == 'group' else 'get_global_id'}(0);")
        if task == "group":
            self._line("const idx item = get_local_id(0), items = get_local_size(0);")
        # True for all items of a group or for none: barriers may stand inside.
        with self._block(f"if ({name} < {count})"):
            yield name

    @contextmanager
    def _for(self, low: str, high: str, step: str) -> Iterator[str]:
        i = self._name("i")
        with self._block(f"for (idx {i} = {low}; {i} < {high}; {i} += {step})"):
            yield i

    def loop(self, low: str, high: str, step: int = 1) -> Any:
        return self._for(low, high, str(step))

    @contextmanager
    def vector_loop(
        self, low: str, high: str, independent: bool, elementwise: bool = False, width: int = 0, interleave: int = 0,
        masked: bool = False,
    ) -> Iterator[str]:  # fmt: skip
        match self.mode.task:
            case "element" | "column":
                # One element or column per work-item.
                yield low
            case "group" if independent:
                with self._for(self.arith("add", low, "item"), high, "items") as i:
                    yield i
            case "group":
                # All items stay until the end, for the barriers; those beyond it look at the last element.
                with self._for(low, high, "items") as base:
                    self.inside = self._let("bool", f"{base} + item < {high}", "inside")
                    yield self._let("idx", f"{self.inside} ? {base} + item : {high} - 1", "i")
                    self.inside = ""
            case _:
                with self._for(low, high, "1") as i:
                    yield i

    def finish(self, expr: Expr, value: str) -> str:
        if self.mode.task != "group":
            return value
        tree = self._tree(expr.dtype)
        assert expr.op is not None and expr.op.combine is not None
        joined = self._formula(expr.op.combine, expr.dtype, [f"{tree}[item]", f"{tree}[item + half_of]"])
        self.comment(f"the work-items' parts of {expr.op.name} are joined pairwise")
        self._line(f"{tree}[item] = {value};")
        with self._block("for (idx left = items, half_of; left > 1; left = half_of)"):
            self._line("half_of = (left + 1) / 2;")
            self._line("barrier(CLK_LOCAL_MEM_FENCE);")
            self._line(f"if (item + half_of < left) {tree}[item] = {joined};")
        self._line("barrier(CLK_LOCAL_MEM_FENCE);")
        result = self._let(register_type(expr.dtype), f"{tree}[0]", expr.op.name)
        # Whoever writes the array next must not overtake those that still read it.
        self._line("barrier(CLK_LOCAL_MEM_FENCE);")
        return result

    @contextmanager
    def once(self) -> Iterator[None]:
        if self.mode.task != "group":
            yield
            return
        before = len(self.lines)
        with self._block("if (item == 0)"):
            yield
        if len(self.lines) == before + 2:
            del self.lines[before:]

    # --- the function -------------------------------------------------------------------------------------------------

    def function(self) -> str:
        """Print the stage and return the text of its struct of numbers and its function."""
        emitter(self.loops, self).run()
        loops, name = self.loops, self.name
        members = [f"    {'long' if wide else 'idx'} {field};" for field, _, wide in fields(loops)]
        parameters = [
            f"global uchar *b{k}, const long b{k}_at" for k, access in enumerate(loops.accesses) if access[0] >= 0
        ]
        parameters.append(
            f"const struct {name}_numbers n" if self.mode.by_value else f"constant struct {name}_numbers *n"
        )
        parameters += [
            f"const {memory_type(expr.dtype)} scalar{k}" for k, expr in enumerate(loops.order) if expr.kind == "scalar"
        ]
        who = {"element": "a work-item per element", "column": "a work-item per column", "row": "a work-item per row",
               "group": "a work-group per row"}[self.mode.task]  # fmt: skip
        return "\n".join([
            f"struct {name}_numbers {{", *members, "};", "",
            f"// {loops.stage.name}: {who}",
            f"kernel void {name}(", ",\n".join(f"    {one}" for one in parameters), ") {",
            *(f"    local {kind} tree_{kind}[GROUP];" for kind in self.trees), *self.lines, "}",
        ])  # fmt: skip


def print_program(stages: Sequence[tuple[Loops, Mode]], form: Form, header: str) -> str:
    """Return the OpenCL C source of a kernel.

    Parameters
    ----------
    stages : sequence of (Loops, Mode)
        The distinct stages; the function of the k-th is called ``stage<k>``.
    form : Form
    header : str
        Text of the comment at the top.
    """
    functions = [OpenCLPrinter(loops, mode, form, f"stage{k}").function() for k, (loops, mode) in enumerate(stages)]
    used = set(_WORDS.findall("\n".join(functions)))
    lines = [*(f"// {line}" for line in header.splitlines())]
    # No a * b + c in one rounding but where fma is written: formulas mean what they say on every device.
    lines += ["#pragma OPENCL FP_CONTRACT OFF"]
    if "double" in used:
        lines += ["#pragma OPENCL EXTENSION cl_khr_fp64 : enable"]
    lines += [f"#define GROUP {form.group}", f"typedef {'int' if form.narrow else 'long'} idx;", ""]
    lines += [source for name, source in HELPERS.items() if name in used]
    return "\n".join([*lines, "", "\n\n".join(functions), ""])
