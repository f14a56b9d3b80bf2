"""LLVM IR text of values: rows and casts, of one element or of a vector of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.expr import Expr
from trueno.codegen.expressions import expanded
from trueno.codegen.formula import float_to_half, half_to_float
from trueno.codegen.llvm_types import literal, register_type
from trueno.codegen.lookups import PERMUTED_BYTES, fills, look_up, scale
from trueno.codegen.windows import EITHER_ZERO
from trueno.ir.elementwise import add
from trueno.ir.node import Node
from trueno.ir.op import Op

if TYPE_CHECKING:
    from trueno.codegen.llvm import Module

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

#: Euclid's algorithm on numbers without a sign.
_COMMON_DIVISOR = """define internal {T} {name}({T} %a, {T} %b) #0 {{
entry:
  br label %test
test:
  %x = phi {T} [ %a, %entry ], [ %y, %step ]
  %y = phi {T} [ %b, %entry ], [ %rest, %step ]
  %more = icmp ne {T} %y, 0
  br i1 %more, label %step, label %done
step:
  %rest = urem {T} %x, %y
  br label %test
done:
  ret {T} %x
}}"""


class ValuePrinter:
    """Prints the arithmetic of a function: values are names of LLVM's registers, or literals.

    Attributes
    ----------
    module : Module
    half_instructions : bool
        Whether the target converts float16 itself.
    bfloat_instructions : bool
        Whether the target's instructions round to bfloat16, though they take subnormal numbers for zeros.
    lanes : int
        Elements of a value; 1 for scalars.
    permuted : int
        Bytes of the vectors whose elements one instruction puts into any order.
    """

    module: Module
    half_instructions: bool
    bfloat_instructions = False
    lanes = 1
    permuted = 0
    #: Whether LLVM may choose the order in which a reduction's sums and products are taken.
    reassociates = True
    backend = "llvm"

    def _let(self, text: str, hint: str = "v") -> str:
        """Print an instruction and return the name of its value."""
        raise AssertionError("what prints lines knows how")

    def let(self, text: str) -> str:
        """Print an instruction and return the name of its value."""
        return self._let(text)

    def instruction(self, expr: Expr | Node, operands: list[str]) -> str | None:
        """Print the instruction that the target has for a row with an expansion; None: it has none."""
        assert expr.op is not None
        if expr.op.name == "scaleb" and self.permuted == PERMUTED_BYTES and fills(self.lanes, expr.dtype):
            return scale(self, operands, expr.dtype)
        return None

    def branching(self, op: Op, nodes: Sequence[Node], operands: list[str]) -> str | None:
        """Print an expansion that ends in `unlikely` with a branch; None: like the others."""
        return None

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def kind(self, dtype: np.dtype) -> str:
        """Return the LLVM type of a value of this dtype."""
        return register_type(dtype) if self.lanes == 1 else f"<{self.lanes} x {register_type(dtype)}>"

    def const(self, value: Any, dtype: np.dtype) -> str:
        return self._all(literal(value, dtype), register_type(dtype))

    def _all(self, text: str, kind: str) -> str:
        """Return the literal of a value all of whose elements are this one."""
        return text if self.lanes == 1 else f"splat ({kind} {text})"

    def _suffix(self, dtype: np.dtype) -> str:
        """Return how an intrinsic's name ends."""
        return ("" if self.lanes == 1 else f"v{self.lanes}") + _SUFFIX[register_type(dtype)]

    def intrinsic(self, name: str, dtype: np.dtype, operands: Sequence[str], extra: str = "", flags: str = "") -> str:
        """Print a call of one of LLVM's intrinsics, whose operands and result have one dtype."""
        kind, full = self.kind(dtype), f"@llvm.{name}.{self._suffix(dtype)}"
        listed = ", ".join(f"{kind} {one}" for one in operands)
        more = ", i1" if extra else ""
        self.module.declare(f"{kind} {full}({', '.join([kind] * len(operands))}{more})")
        return self._let(f"call {flags}{kind} {full}({listed}{extra})")

    def apply(self, expr: Expr | Node, operands: list[str]) -> str:
        assert expr.op is not None
        # That of the result, where the first operand is a condition.
        source = expr.src[-1].dtype
        if expr.op.name == "bitcast":
            a, b = self.kind(source), self.kind(expr.dtype)
            return operands[0] if a == b else self._let(f"bitcast {a} {operands[0]} to {b}")
        if expr.op.name == "lookup":
            return look_up(self, operands[0], expr.arg, expr.dtype)
        table = expr.op.llvm
        cls = dt.kind_class(source)
        assert isinstance(table, dict), f"{expr.op.name} was not expanded"
        form = next(form for classes, form in table.items() if cls in classes)
        return self._form(form, source, operands, expr.arg == EITHER_ZERO)

    def _form(self, form: str, dtype: np.dtype, operands: list[str], either_zero: bool = False) -> str:
        kind, one = self.kind(dtype), register_type(dtype)
        if form == "":
            return operands[0]
        if form in ("true", "false"):
            return self._all(form, "i1")
        if form.startswith("@"):
            flags = "nsz " if either_zero and dt.is_floating(dtype) else ""
            return self.intrinsic(form[1:], dtype, operands, ", i1 false" if form == "@abs" else "", flags)
        if form.startswith("libm ") or form in ("int_pow", "int_gcd"):
            return self._one_by_one(form, dtype, operands)
        match form:
            case "select":
                held, a, b = operands
                return self._let(f"select {self.kind(dt.bool_)} {held}, {kind} {a}, {kind} {b}")
            case "not":
                return self._let(f"xor {kind} {operands[0]}, {self._all('true' if one == 'i1' else '-1', one)}")
            case "0 sub":
                return self._let(f"sub {kind} {self._all('0', one)}, {operands[0]}")
            case "fneg":
                return self._let(f"fneg {kind} {operands[0]}")
            case "isnan":
                return self._let(f"fcmp uno {kind} {operands[0]}, {operands[0]}")
            case "mul_add":
                product = self._let(f"{'and' if one == 'i1' else 'mul'} {kind} {operands[0]}, {operands[1]}")
                return self._let(f"{'or' if one == 'i1' else 'add'} {kind} {product}, {operands[2]}")
            case "fptosi":
                whole = self.kind(dt.int_of_same_width(dtype))
                return self._let(f"fptosi {kind} {operands[0]} to {whole}")
        return self._let(f"{form} {kind} {', '.join(operands)}")

    def _one_by_one(self, form: str, dtype: np.dtype, operands: list[str]) -> str:
        """Print the calls of a function that has no vectors."""
        one = register_type(dtype)
        if form == "int_pow":
            signed = dt.kind_class(dtype) == "i"
            name = f"@int_pow.{'s' if signed else 'u'}.{one}"
            first, compare = ("slt", "sgt") if signed else ("ult", "ugt")
            self.module.helpers[name] = _INTEGER_POWER.format(name=name, T=one, compare=compare, first=first)
        elif form == "int_gcd":
            name = f"@int_gcd.{one}"
            self.module.helpers[name] = _COMMON_DIVISOR.format(name=name, T=one)
        else:
            name = f"@{form[5:]}{_C_LIBRARY_NAMES[one]}"
            self.module.declare(f"{one} {name}({', '.join([one] * len(operands))}) #1")
        if self.lanes == 1:
            return self._let(f"call {one} {name}({', '.join(f'{one} {x}' for x in operands)})")
        kind, result = self.kind(dtype), "poison"
        for lane in range(self.lanes):
            parts = [self._let(f"extractelement {kind} {x}, i64 {lane}") for x in operands]
            value = self._let(f"call {one} {name}({', '.join(f'{one} {x}' for x in parts)})")
            result = self._let(f"insertelement {kind} {result}, {one} {value}, i64 {lane}")
        return result

    def combine(self, expr: Expr, a: str, b: str, dtype: np.dtype | None = None) -> str:
        assert expr.op is not None and expr.op.combine is not None
        dtype = expr.dtype if dtype is None else dtype
        row = expr.op.combine
        table = row.llvm
        assert isinstance(table, dict)
        form = next(form for classes, form in table.items() if dt.kind_class(dtype) in classes)
        # Sums and products of a reduction may be taken in the vector's order; the plan fixes the rest.
        if self.reassociates and form in ("fadd", "fmul") and expr.kind == "reduce":
            form += " reassoc"
        return self._form(form, dtype, [a, b], row.name in ("maximum", "minimum"))

    def add(self, a: str, b: str, dtype: np.dtype) -> str:
        """Return a + b."""
        table = add.llvm
        assert isinstance(table, dict)
        return self._form(table[dt.kind_class(dtype)], dtype, [a, b])

    def float_add(self, a: str, b: str) -> str:
        return self._let(f"fadd {self.kind(dt.float64)} {a}, {b}")

    def float_sub(self, a: str, b: str) -> str:
        return self._let(f"fsub {self.kind(dt.float64)} {a}, {b}")

    def finite_or_zero(self, value: str) -> str:
        size = self.intrinsic("fabs", dt.float64, [value])
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
        a, b = self.kind(source), self.kind(target)
        ca, cb = dt.kind_class(source), dt.kind_class(target)
        if target == dt.bool_:
            if source in dt.HALF:
                return self.cast(self._from_half(value, source), dt.float32, target)
            zero = self.const(0, source)
            return self._let(f"fcmp une {a} {value}, {zero}" if ca == "f" else f"icmp ne {a} {value}, {zero}")
        if ca == "f" and cb == "f":
            return self._let(f"{'fpext' if source.itemsize < target.itemsize else 'fptrunc'} {a} {value} to {b}")
        if ca == "f":
            return self._saturated(value, source, target)
        if cb == "f":
            return self._let(f"{'sitofp' if ca == 'i' else 'uitofp'} {a} {value} to {b}")
        if source.itemsize == target.itemsize and source != dt.bool_:
            return value
        widen = target.itemsize > source.itemsize or source == dt.bool_
        return self._let(f"{('sext' if ca == 'i' else 'zext') if widen else 'trunc'} {a} {value} to {b}")

    def _saturated(self, value: str, source: np.dtype, target: np.dtype) -> str:
        """Print the cast of a float to an integer: the nearest one in its range, and 0 for NaN.

        LLVM's own fptosi.sat becomes a chain of scalar instructions for each element. What fptosi leaves open outside
        the range, no selection takes.
        """
        a, b, limits = self.kind(source), self.kind(target), np.iinfo(target)
        signed = limits.min < 0
        whole = self._let(f"fpto{'si' if signed else 'ui'} {a} {value} to {b}")
        least, most = (self.const(limit, target) for limit in (limits.min, limits.max))
        under = self._let(f"fcmp olt {a} {value}, {self.const(float(limits.max) + 1, source)}")
        whole = self._let(f"select {self.kind(dt.bool_)} {under}, {b} {whole}, {b} {most}")
        over = self._let(f"fcmp oge {a} {value}, {self.const(float(limits.min), source)}")
        whole = self._let(f"select {self.kind(dt.bool_)} {over}, {b} {whole}, {b} {least}")
        if not signed:
            return whole
        number = self._let(f"fcmp ord {a} {value}, {value}")
        return self._let(f"select {self.kind(dt.bool_)} {number}, {b} {whole}, {b} {self.const(0, target)}")

    def _from_half(self, value: str, source: np.dtype) -> str:
        if source == dt.bfloat16:
            wide = self._let(f"zext i16 {value} to i32")
            return self._let(f"bitcast i32 {self._let(f'shl i32 {wide}, 16')} to float")
        if not self.half_instructions:
            return expanded(self, half_to_float(), [self._let(f"bitcast half {value} to i16")])
        return self._let(f"fpext {self.kind(dt.float16)} {value} to {self.kind(dt.float32)}")

    def _to_half(self, value: str, target: np.dtype) -> str:
        if target == dt.float16 and not self.half_instructions:
            return self._let(f"bitcast i16 {expanded(self, float_to_half(), [value])} to half")
        if target == dt.float16:
            return self._let(f"fptrunc {self.kind(dt.float32)} {value} to {self.kind(dt.float16)}")
        if self.bfloat_instructions:
            return self._let(f"bitcast bfloat {self._let(f'fptrunc float {value} to bfloat')} to i16")
        bits = self._let(f"bitcast float {value} to i32")
        odd = self._let(f"and i32 {self._let(f'lshr i32 {bits}, 16')}, 1")
        rounded = self._let(f"add i32 {self._let(f'add i32 {bits}, 32767')}, {odd}")
        quiet = self._let(f"or i32 {bits}, 4194304")
        nan = self._let(f"fcmp uno float {value}, {value}")
        chosen = self._let(f"select i1 {nan}, i32 {quiet}, i32 {rounded}")
        return self._let(f"trunc i32 {self._let(f'lshr i32 {chosen}, 16')} to i16")
