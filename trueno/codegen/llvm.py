"""LLVM IR text: the printer of functions, and the module that they are gathered in."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen import streaming
from trueno.codegen.bounds import Bounds
from trueno.codegen.compile import AS_IS
from trueno.codegen.expr import Expr
from trueno.codegen.expressions import expanded
from trueno.codegen.formula import float_to_half, half_to_float
from trueno.codegen.stage import CHUNK, COLUMNS
from trueno.codegen.windows import EITHER_ZERO
from trueno.ir.elementwise import add
from trueno.ir.node import Node

_REGISTER = {
    dt.bool_: "i1", dt.int8: "i8", dt.uint8: "i8", dt.int16: "i16", dt.uint16: "i16", dt.int32: "i32",
    dt.uint32: "i32", dt.int64: "i64", dt.uint64: "i64", dt.float16: "half", dt.bfloat16: "i16",
    dt.float32: "float", dt.float64: "double",
}  # fmt: skip
_SUFFIX = {
    "i1": "i1",
    "i8": "i8",
    "i16": "i16",
    "i32": "i32",
    "i64": "i64",
    "half": "f16",
    "float": "f32",
    "double": "f64",
}
_C_LIBRARY_NAMES = {"float": "f", "double": ""}


def register_type(dtype: np.dtype) -> str:
    """Return the LLVM type of a value of this dtype in a register."""
    return _REGISTER[dtype]


def memory_type(dtype: np.dtype) -> str:
    """Return the LLVM type of a value of this dtype in memory."""
    return "i8" if dtype == dt.bool_ else _REGISTER[dtype]


def literal(value: Any, dtype: np.dtype) -> str:
    """Return a constant as LLVM text."""
    if dtype == dt.bool_:
        return "true" if value else "false"
    if dtype == dt.bfloat16:
        return str(int(np.asarray(value, dt.bfloat16).view(np.uint16)))
    if dt.is_floating(dtype):
        if dtype == dt.float16:
            return f"0xH{int(np.asarray(value, np.float16).view(np.uint16)):04X}"
        with np.errstate(over="ignore"):
            exact = float(np.asarray(value, dtype))
        return f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
    return str(int(value))


#: Binary exponentiation: a loop, since its steps unrolled as expressions are too much for the optimiser.
_INTEGER_POWER = """define internal {T} {name}({T} %a, {T} %b) #0 {{
entry:
  %negative = icmp {first} {T} %b, 0
  %start = select i1 %negative, {T} 0, {T} 1
  br label %test
test:
  %result = phi {T} [ %start, %entry ], [ %next, %step ]
  %factor = phi {T} [ %a, %entry ], [ %squared, %step ]
  %rest = phi {T} [ %b, %entry ], [ %half, %step ]
  %more = icmp {compare} {T} %rest, 0
  br i1 %more, label %step, label %done
step:
  %bit = and {T} %rest, 1
  %odd = icmp ne {T} %bit, 0
  %product = mul {T} %result, %factor
  %next = select i1 %odd, {T} %product, {T} %result
  %squared = mul {T} %factor, %factor
  %half = lshr {T} %rest, 1
  br label %test
done:
  ret {T} %result
}}"""


_ATTRIBUTES = (
    'attributes #0 = { nounwind "prefer-vector-width"="512" "no-builtins" }',
    "attributes #1 = { nounwind willreturn memory(none) }",
)


class Module:
    """Text of one LLVM module: functions, and the declarations and metadata that they need.

    Attributes
    ----------
    as_is : Module
        What LLVM's passes would not make better, for which they would take long.
    checked : bool
        Whether accesses to memory are checked; see codegen/bounds.py.
    """

    def __init__(self, as_is: Module | None = None, checked: bool = False) -> None:
        self.as_is, self.checked = as_is, checked
        self.functions: list[str] = []
        self.declarations: dict[str, None] = {}
        self.metadata: list[str] = []
        self.helpers: dict[str, str] = {}
        self._stream_scope = ""

    def declare(self, text: str) -> None:
        self.declarations[f"declare {text}"] = None

    def node(self, text: str) -> str:
        self.metadata.append(text)
        return f"!{len(self.metadata) - 1}"

    def stream_scope(self) -> str:
        """Return the metadata that marks stores which go past the caches."""
        if not self._stream_scope:
            domain, scope, scopes = streaming.SCOPE
            domain = self.node(domain)
            scope = self.node(scope.replace("!DOMAIN", domain))
            self._stream_scope = self.node(scopes.replace("!SCOPE", scope))
        return self._stream_scope

    def text(self, header: str) -> str:
        lines = [f"!{k} = {node.replace('!SELF', f'!{k}')}" for k, node in enumerate(self.metadata)]
        text = "\n".join(
            [header, *self.declarations, *self.helpers.values(), *self.functions, *_ATTRIBUTES, *lines, ""]
        )
        if self.as_is is not None and self.as_is.functions:
            text += self.as_is.text(AS_IS)
        return text


class LLVMPrinter:
    """Prints one stage as an LLVM function over a range of tasks."""

    wide_sums = True
    backend = "llvm"
    chunk, columns = CHUNK, COLUMNS
    run, run_columns = 256, 1
    wide = dt.float64

    def __init__(self, module: Module, half_instructions: bool = True, streams: bool = False) -> None:
        self.module = module
        self.half_instructions = half_instructions
        self.entry: list[str] = []
        self.body: list[str] = []
        self.count = 0
        self.group: str | None = None
        self.streams = streams
        self.metas: dict[int, str] = {}
        self.in_entry = True
        self.bounds = Bounds(self) if module.checked else None

    # --- text ---------------------------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        (self.entry if self.in_entry else self.body).append(f"  {text}")

    def _label(self, name: str) -> None:
        self.body.append(f"{name}:")

    def _name(self, hint: str = "v") -> str:
        self.count += 1
        return f"%{hint}{self.count}"

    def _let(self, text: str, hint: str = "v") -> str:
        name = self._name(hint)
        self._line(f"{name} = {text}")
        return name

    def let(self, text: str) -> str:
        """Print an instruction and return the name of its value."""
        return self._let(text)

    def let_on_entry(self, text: str) -> str:
        """Print an instruction where the function begins, and return the name of its value."""
        name = self._name()
        self.entry.append(f"  {name} = {text}")
        return name

    def comment(self, text: str) -> None:
        self._line(f"; {text}")

    def _access_group(self) -> str:
        return f", !llvm.access.group {self.group}" if self.group else ""

    def finish_function(self, signature: str, about: str, linkage: str = "internal") -> None:
        """Append what was printed to the module as a function."""
        self.module.functions.append("\n".join([
            f"; {about}", f"define {linkage} void @{signature} noinline #0 {{",
            "entry:", *self.entry, "  br label %start", "start:", *self.body, "  ret void", "}",
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

    def const(self, value: Any, dtype: np.dtype) -> str:
        return literal(value, dtype)

    def arith(self, op: str, a: str, b: str) -> str:
        if a.lstrip("-").isdigit() and b.lstrip("-").isdigit():
            x, y = int(a), int(b)
            return str(
                {
                    "add": x + y,
                    "sub": x - y,
                    "mul": x * y,
                    "div": x // max(y, 1),
                    "rem": x % max(y, 1),
                    "min": min(x, y),
                    "max": max(x, y),
                }[op]
            )
        if (op == "add" and a == "0") or (op == "mul" and a == "1"):
            return b
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
        if self.bounds is not None:
            self.bounds.check(pointer, dtype)
        value = self._let(
            f"load {memory_type(dtype)}, ptr {pointer}, align {dtype.itemsize}{self._access_group()}", "x"
        )
        return self._let(f"icmp ne i8 {value}, 0", "x") if dtype == dt.bool_ else value

    def store(self, pointer: str, value: str, dtype: np.dtype) -> None:
        if self.bounds is not None:
            self.bounds.check(pointer, dtype, writes=True)
        if dtype == dt.bool_:
            value = self._let(f"zext i1 {value} to i8")
        marks = self._access_group() + (f", !alias.scope {self.module.stream_scope()}" if self.streams else "")
        self._line(f"store {memory_type(dtype)} {value}, ptr {pointer}, align {dtype.itemsize}{marks}")

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

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def _intrinsic(self, name: str, kind: str, operands: Sequence[str], extra: str = "", flags: str = "") -> str:
        full = f"@llvm.{name}.{_SUFFIX[kind]}"
        listed = ", ".join(f"{kind} {one}" for one in operands)
        more = ", i1" if extra else ""
        self.module.declare(f"{kind} {full}({', '.join([kind] * len(operands))}{more})")
        return self._let(f"call {flags}{kind} {full}({listed}{extra})")

    def apply(self, expr: Expr | Node, operands: list[str]) -> str:
        assert expr.op is not None
        source = expr.src[0].dtype if expr.op.name != "where" else expr.dtype
        if expr.op.name == "bitcast":
            a, b = register_type(source), register_type(expr.dtype)
            return operands[0] if a == b else self._let(f"bitcast {a} {operands[0]} to {b}")
        table = expr.op.llvm
        cls = dt.kind_class(source)
        assert isinstance(table, dict), f"{expr.op.name} was not expanded"
        form = next(form for classes, form in table.items() if cls in classes)
        return self._form(form, register_type(source), source, operands, expr.arg == EITHER_ZERO)

    def _form(self, form: str, kind: str, dtype: np.dtype, operands: list[str], either_zero: bool = False) -> str:
        if form == "":
            return operands[0]
        if form in ("true", "false"):
            return form
        if form.startswith("@"):
            flags = "nsz " if either_zero and dt.is_floating(dtype) else ""
            return self._intrinsic(form[1:], kind, operands, ", i1 false" if form == "@abs" else "", flags)
        if form.startswith("libm "):
            function = f"@{form[5:]}{_C_LIBRARY_NAMES[kind]}"
            self.module.declare(f"{kind} {function}({', '.join([kind] * len(operands))}) #1")
            return self._let(f"call {kind} {function}({', '.join(f'{kind} {one}' for one in operands)})")
        match form:
            case "select":
                return self._let(f"select i1 {operands[0]}, {kind} {operands[1]}, {kind} {operands[2]}")
            case "not":
                return self._let(f"xor {kind} {operands[0]}, {'true' if kind == 'i1' else '-1'}")
            case "0 sub":
                return self._let(f"sub {kind} 0, {operands[0]}")
            case "fneg":
                return self._let(f"fneg {kind} {operands[0]}")
            case "isnan":
                return self._let(f"fcmp uno {kind} {operands[0]}, {operands[0]}")
            case "mul_add":
                product = self._let(f"{'and' if kind == 'i1' else 'mul'} {kind} {operands[0]}, {operands[1]}")
                return self._let(f"{'or' if kind == 'i1' else 'add'} {kind} {product}, {operands[2]}")
            case "int_pow":
                return self._integer_power(kind, dt.kind_class(dtype) == "i", operands)
            case "fptosi":
                whole = register_type(dt.int_of_same_width(dtype))
                return self._let(f"fptosi {kind} {operands[0]} to {whole}")
        return self._let(f"{form} {kind} {', '.join(operands)}")

    def _integer_power(self, kind: str, signed: bool, operands: list[str]) -> str:
        name = f"@int_pow.{'s' if signed else 'u'}.{kind}"
        self.module.helpers[name] = _INTEGER_POWER.format(name=name, T=kind, compare="sgt" if signed else "ugt",
                                                          first="slt" if signed else "ult")  # fmt: skip
        return self._let(f"call {kind} {name}({kind} {operands[0]}, {kind} {operands[1]})")

    def combine(self, expr: Expr, a: str, b: str, dtype: np.dtype | None = None) -> str:
        assert expr.op is not None and expr.op.combine is not None
        dtype = expr.dtype if dtype is None else dtype
        row = expr.op.combine
        table = row.llvm
        assert isinstance(table, dict)
        form = next(form for classes, form in table.items() if dt.kind_class(dtype) in classes)
        # Sums and products of a reduction may be taken in the vector's order; the plan fixes the rest.
        if form in ("fadd", "fmul") and expr.kind == "reduce":
            form += " reassoc"
        return self._form(form, register_type(dtype), dtype, [a, b], row.name in ("maximum", "minimum"))

    def add(self, a: str, b: str, dtype: np.dtype) -> str:
        """Return a + b."""
        table = add.llvm
        assert isinstance(table, dict)
        return self._form(table[dt.kind_class(dtype)], register_type(dtype), dtype, [a, b])

    def float_add(self, a: str, b: str) -> str:
        return self._let(f"fadd double {a}, {b}")

    def float_sub(self, a: str, b: str) -> str:
        return self._let(f"fsub double {a}, {b}")

    def finite_or_zero(self, value: str) -> str:
        size = self._intrinsic("fabs", "double", [value])
        finite = self._let(f"fcmp olt double {size}, 0x7FF0000000000000")
        return self._let(f"select i1 {finite}, double {value}, double 0.0")

    # --- casts --------------------------------------------------------------------------------------------------------

    def cast(self, value: str, source: np.dtype, target: np.dtype) -> str:
        if source == target:
            return value
        if source in dt.HALF and target != dt.bool_:
            wide = self._from_half(value, source)
            return wide if target == dt.float32 else self.cast(wide, dt.float32, target)
        if target in dt.HALF:
            return self._to_half(self.cast(value, source, dt.float32), target)
        a, b = register_type(source), register_type(target)
        ca, cb = dt.kind_class(source), dt.kind_class(target)
        if target == dt.bool_:
            if source in dt.HALF:
                return self.cast(self._from_half(value, source), dt.float32, target)
            return self._let(f"fcmp une {a} {value}, 0.0" if ca == "f" else f"icmp ne {a} {value}, 0")
        if ca == "f" and cb == "f":
            return self._let(f"{'fpext' if source.itemsize < target.itemsize else 'fptrunc'} {a} {value} to {b}")
        if ca == "f":
            name = f"fpto{'s' if cb == 'i' else 'u'}i.sat"
            full = f"@llvm.{name}.{b}.{_SUFFIX[a]}"
            self.module.declare(f"{b} {full}({a})")
            return self._let(f"call {b} {full}({a} {value})")
        if cb == "f":
            return self._let(f"{'sitofp' if ca == 'i' else 'uitofp'} {a} {value} to {b}")
        if source.itemsize == target.itemsize and source != dt.bool_:
            return value
        widen = target.itemsize > source.itemsize or source == dt.bool_
        return self._let(f"{('sext' if ca == 'i' else 'zext') if widen else 'trunc'} {a} {value} to {b}")

    def _from_half(self, value: str, source: np.dtype) -> str:
        if source == dt.bfloat16:
            wide = self._let(f"zext i16 {value} to i32")
            return self._let(f"bitcast i32 {self._let(f'shl i32 {wide}, 16')} to float")
        if not self.half_instructions:
            return expanded(self, half_to_float(), [self._let(f"bitcast half {value} to i16")])
        return self._let(f"fpext half {value} to float")

    def _to_half(self, value: str, target: np.dtype) -> str:
        if target == dt.float16 and not self.half_instructions:
            return self._let(f"bitcast i16 {expanded(self, float_to_half(), [value])} to half")
        if target == dt.float16:
            return self._let(f"fptrunc float {value} to half")
        bits = self._let(f"bitcast float {value} to i32")
        odd = self._let(f"and i32 {self._let(f'lshr i32 {bits}, 16')}, 1")
        rounded = self._let(f"add i32 {self._let(f'add i32 {bits}, 32767')}, {odd}")
        quiet = self._let(f"or i32 {bits}, 4194304")
        nan = self._let(f"fcmp uno float {value}, {value}")
        chosen = self._let(f"select i1 {nan}, i32 {quiet}, i32 {rounded}")
        return self._let(f"trunc i32 {self._let(f'lshr i32 {chosen}, 16')} to i16")

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
    def _for(self, low: str, high: str, step: int, loop_metadata: str = "") -> Iterator[str]:
        n = self._name("L")[1:]
        i, following = f"%i{n}", f"%n{n}"
        go = self._let(f"icmp slt i64 {low}, {high}", "c")
        self._line(f"br i1 {go}, label %{n}.pre, label %{n}.end")
        self._label(f"{n}.pre")
        self._line(f"br label %{n}.head")
        self._label(f"{n}.head")
        self._line(f"{i} = phi i64 [ {low}, %{n}.pre ], [ {following}, %{n}.latch ]")
        yield i
        self._line(f"br label %{n}.latch")
        self._label(f"{n}.latch")
        self._line(f"{following} = add nsw i64 {i}, {step}")
        more = self._let(f"icmp slt i64 {following}, {high}", "c")
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

    def loop(self, low: str, high: str, step: int = 1) -> Any:
        return self._for(low, high, step)

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
            for name, value in given.items():
                if value:
                    kind = "i1 true" if value is True else f"i32 {value}"
                    hints.append(self.module.node(f'!{{!"llvm.loop.{name}", {kind}}}'))
            loop = self.module.node(f"distinct !{{!SELF, {', '.join(hints)}}}")
            metadata = f", !llvm.loop {loop}"
        begin = self.count
        with self._for(low, high, 1, metadata) as i:
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


_TASK_LOOP = """define {linkage} void @{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0, i64 %t1) noinline #0 {{
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


def task_function(printer: LLVMPrinter, name: str, about: str, linkage: str = "internal") -> None:
    """Append what was printed as the function of one task, and the loop over tasks."""
    printer.finish_function(f"{name}.task(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0)", about)
    printer.module.functions.append(_TASK_LOOP.format(name=name, linkage=linkage))
