"""A small writer of LLVM text in which every value is a 64-bit word.

The native launcher is written with it. Integers, pointers and the bits of doubles are all ``i64``, so that a piece of
code needs no types: addresses are dereferenced with `Function.load`, C functions are called with words. Structured
control flow (`when`, `loop`, `forever`) replaces labels; variables live in stack slots that LLVM turns into registers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Word = str | int
"""An operand: the name of an LLVM value, or a literal."""


class Module:
    """The text of the launcher: functions, constants, and declarations of the C functions that they call.

    It comes in two tiers, an LLVM module each: ``"hot"`` is optimised, ``"cold"`` compiled as fast as can be.
    """

    TIERS = ("hot", "cold")

    def __init__(self, state_words: int) -> None:
        self._parts: dict[str, dict[str, str]] = {tier: {} for tier in self.TIERS}
        self._declarations: dict[str, str] = {}
        self._exports: list[str] = []
        self._data("state", f"[{state_words} x i64] zeroinitializer, align 64", "global")

    def function(self, name: str, *parameters: str, cold: bool = False, export: bool = False) -> Function:
        """Begin a function of words; its text is added to the module by `Function.end`."""
        if export:
            self._exports.append(name)
        return Function(self, name, parameters, "cold" if cold else "hot")

    def define(self, tier: str, name: str, text: str) -> None:
        """Add the definition of a function."""
        self._parts[tier][name] = text

    def string(self, name: str, text: str) -> str:
        """Define a C string constant and return its address, a word."""
        self._data(name, f'[{len(text) + 1} x i8] c"{text}\\00"', "constant")
        return f"ptrtoint (ptr @{name} to i64)"

    def _data(self, name: str, text: str, kind: str) -> None:
        self._parts["cold"][name] = f"@{name} = {kind} {text}"
        self._declarations[name] = f"@{name} = external global i64"

    def declare(self, name: str, result: str, parameters: Iterable[str]) -> None:
        """Note the signature of a function that is called."""
        self._declarations[name] = f"declare {result} @{name}({', '.join(parameters)})"

    def external_data(self, name: str) -> str:
        """Declare a pointer variable of another library and return its address, a word."""
        self._declarations[name] = f"@{name} = external global i64"
        return f"ptrtoint (ptr @{name} to i64)"

    @property
    def exports(self) -> tuple[str, ...]:
        """Names in the order of the table ``@exports``, whose first word is the address of the state."""
        return ("state", *self._exports)

    def text(self, tier: str) -> str:
        """Return the LLVM module of one tier; functions that only it uses are internal to it."""
        parts = dict(self._parts[tier])
        if tier == "cold":
            table = ", ".join(f"ptr @{name}" for name in self.exports)
            parts["exports"] = f"@exports = constant [{len(self.exports)} x ptr] [{table}]"
        elsewhere = {*self.exports, *_names(part for t in self.TIERS if t != tier for part in self._parts[t].values())}
        for name in parts.keys() - elsewhere:
            parts[name] = parts[name].replace("define i64", "define internal i64", 1)
        foreign = sorted(_names(parts.values()) - parts.keys())
        missing = [self._declarations.get(name, f"declare i64 @{name}()") for name in foreign]
        return "\n".join([*missing, *parts.values(), ""])


def _names(texts: Iterable[str]) -> set[str]:
    """Return the global names that occur in pieces of LLVM text."""
    return {name for text in texts for name in re.findall(r"@([\w.]+)", text)}


def bits_of(width: int, lanes: int = 1) -> str:
    """Return LLVM's type of the bits of so many bytes, or of a vector of such."""
    return f"i{8 * width}" if lanes == 1 else f"<{lanes} x i{8 * width}>"


class Variable:
    """A word in a stack slot."""

    def __init__(self, function: Function, slot: str) -> None:
        self._function, self._slot = function, slot

    def get(self) -> str:
        """Return the present value."""
        return self._function.value(f"load i64, ptr {self._slot}")

    def set(self, value: Word) -> None:
        """Assign."""
        self._function.line(f"store i64 {value}, ptr {self._slot}")

    def increase(self, by: Word) -> None:
        """Add to the variable."""
        self.set(self._function.add(self.get(), by))


class Loop:
    """An endless loop that is left by `leave_when`."""

    def __init__(self, function: Function, end: str) -> None:
        self._function, self._end = function, end

    def leave_when(self, condition: str) -> None:
        """Leave the loop if the condition holds."""
        self._function.jump_when(condition, self._end)


class Function:
    """A function being written. Parameters are words named as in its definition; it returns a word."""

    def __init__(self, module: Module, name: str, parameters: tuple[str, ...], tier: str) -> None:
        self.module = module
        self.parameters = tuple(f"%{parameter}" for parameter in parameters)
        self._name, self._tier = name, tier
        signature = ", ".join(f"i64 {parameter}" for parameter in self.parameters)
        self._head = f"define i64 @{name}({signature}) nounwind {{"
        self._slots: list[str] = []
        self._lines: list[str] = []
        self._count = 0

    def line(self, text: str) -> None:
        """Append one instruction."""
        self._lines.append(text)

    def value(self, text: str) -> str:
        """Append one instruction and return the name of its result."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"{name} = {text}")
        return name

    def end(self) -> None:
        """Finish the function; the end of its text is never reached."""
        text = "\n".join([self._head, "entry:", *self._slots, *self._lines, "unreachable", "}"])
        self.module.define(self._tier, self._name, text)

    # -- arithmetic and comparisons

    def add(self, a: Word, b: Word) -> str:
        return self.value(f"add i64 {a}, {b}")

    def sub(self, a: Word, b: Word) -> str:
        return self.value(f"sub i64 {a}, {b}")

    def mul(self, a: Word, b: Word) -> str:
        return self.value(f"mul i64 {a}, {b}")

    def both(self, a: Word, b: Word) -> str:
        return self.value(f"and i64 {a}, {b}")

    def either(self, a: Word, b: Word) -> str:
        return self.value(f"or i64 {a}, {b}")

    def xor(self, a: Word, b: Word) -> str:
        return self.value(f"xor i64 {a}, {b}")

    def shift_left(self, a: Word, b: Word) -> str:
        return self.value(f"shl i64 {a}, {b}")

    def shift_right(self, a: Word, b: Word) -> str:
        return self.value(f"lshr i64 {a}, {b}")

    def compare(self, predicate: str, a: Word, b: Word) -> str:
        """Return the condition ``a predicate b`` with LLVM's names: eq ne slt sle sgt sge ult ule ugt uge."""
        return self.value(f"icmp {predicate} i64 {a}, {b}")

    def all(self, *conditions: str) -> str:
        """Return the condition that all of these hold."""
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.value(f"and i1 {result}, {condition}")
        return result

    def any(self, *conditions: str) -> str:
        """Return the condition that one of these holds."""
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.value(f"or i1 {result}, {condition}")
        return result

    def select(self, condition: str, a: Word, b: Word) -> str:
        """Return a where the condition holds, else b."""
        return self.value(f"select i1 {condition}, i64 {a}, i64 {b}")

    def leading_zeros(self, a: Word) -> str:
        """Return the number of leading zero bits of a word that is not 0."""
        self.module.declare("llvm.ctlz.i64", "i64", ("i64", "i1"))
        return self.value(f"call i64 @llvm.ctlz.i64(i64 {a}, i1 true)")

    # -- memory

    def _pointer(self, address: Word, offset: Word) -> str:
        base = self.value(f"inttoptr i64 {address} to ptr")
        return base if offset == 0 else self.value(f"getelementptr i8, ptr {base}, i64 {offset}")

    def load(self, address: Word, offset: Word = 0) -> str:
        """Return the word at address + offset."""
        return self.value(f"load i64, ptr {self._pointer(address, offset)}")

    def load32(self, address: Word, offset: Word = 0) -> str:
        """Return the C int at address + offset."""
        return self.value(f"sext i32 {self.value(f'load i32, ptr {self._pointer(address, offset)}')} to i64")

    def store(self, value: Word, address: Word, offset: Word = 0) -> None:
        """Write a word to address + offset."""
        self.line(f"store i64 {value}, ptr {self._pointer(address, offset)}")

    def load_bits(self, address: Word, width: int, lanes: int = 1) -> str:
        """Return the bits of so many bytes, aligned or not: an LLVM integer, not a word, or a vector of integers."""
        return self.value(f"load {bits_of(width, lanes)}, ptr {self._pointer(address, 0)}, align 1")

    def store_bits(self, value: str, address: Word, width: int, lanes: int = 1) -> None:
        """Write bits that `load_bits` has read."""
        self.line(f"store {bits_of(width, lanes)} {value}, ptr {self._pointer(address, 0)}, align 1")

    def element(self, address: Word, index: Word) -> str:
        """Return the word number `index` of an array."""
        return self.load(address, self.shift_left(index, 3))

    def set_element(self, value: Word, address: Word, index: Word) -> None:
        """Write the word number `index` of an array."""
        self.store(value, address, self.shift_left(index, 3))

    def prefetch(self, address: Word) -> None:
        """Hint that the memory at an address, valid or not, will be read."""
        self.module.declare("llvm.prefetch.p0", "void", ("ptr", "i32", "i32", "i32"))
        self.line(f"call void @llvm.prefetch.p0(ptr {self._pointer(address, 0)}, i32 0, i32 3, i32 1)")

    def words(self, count: Word) -> str:
        """Return the address of an array on the stack; one of constant size lives as long as the call."""
        self._count += 1
        name = f"%a{self._count}"
        text = f"{name} = alloca i64, i64 {count}, align 16"
        (self._slots if isinstance(count, int) else self._lines).append(text)
        return self.value(f"ptrtoint ptr {name} to i64")

    def variable(self, value: Word) -> Variable:
        """Return a variable that starts with this value."""
        self._count += 1
        name = f"%a{self._count}"
        self._slots.append(f"{name} = alloca i64")
        result = Variable(self, name)
        result.set(value)
        return result

    def state(self, offset: int) -> str:
        """Return a word of the module's state."""
        return self.load("ptrtoint (ptr @state to i64)", offset)

    def set_state(self, offset: int, value: Word) -> None:
        """Write a word of the module's state."""
        self.store(value, "ptrtoint (ptr @state to i64)", offset)

    def increase_state(self, offset: int, by: Word) -> str:
        """Add to a word of the state and return the new value."""
        total = self.add(self.state(offset), by)
        self.set_state(offset, total)
        return total

    # -- calls

    def _arguments(self, arguments: tuple[Word, ...]) -> str:
        return ", ".join(f"i64 {argument}" for argument in arguments)

    def call(self, name: str, *arguments: Word) -> str:
        """Call a function of words, of this module or of C; the result of a void function is not to be used."""
        self.module.declare(name, "i64", ["i64"] * len(arguments))
        return self.value(f"call i64 @{name}({self._arguments(arguments)})")

    def call_int(self, name: str, *arguments: Word) -> str:
        """Call a C function that returns an int."""
        self.module.declare(name, "i32", ["i64"] * len(arguments))
        return self.value(f"sext i32 {self.value(f'call i32 @{name}({self._arguments(arguments)})')} to i64")

    def call_double(self, name: str, *arguments: Word) -> str:
        """Call a C function that returns a double; the result is its bits."""
        self.module.declare(name, "double", ["i64"] * len(arguments))
        return self.value(f"bitcast double {self.value(f'call double @{name}({self._arguments(arguments)})')} to i64")

    def call_address(self, address: Word, *arguments: Word) -> str:
        """Call the function at an address."""
        pointer = self.value(f"inttoptr i64 {address} to ptr")
        return self.value(f"call i64 {pointer}({self._arguments(arguments)})")

    def address_of(self, name: str) -> str:
        """Return the address of a function of this module."""
        return f"ptrtoint (ptr @{name} to i64)"

    # -- control flow

    def _label(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def jump_when(self, condition: str, label: str) -> None:
        """Jump to a label if the condition holds, else go on."""
        on = self._label("on")
        self.line(f"br i1 {condition}, label %{label}, label %{on}")
        self.line(f"{on}:")

    def ret(self, value: Word) -> None:
        """Return a word; what is written behind it in the same block is never run."""
        self.line(f"ret i64 {value}")
        self.line(f"{self._label('dead')}:")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Run the block if the condition holds."""
        then, end = self._label("then"), self._label("end")
        self.line(f"br i1 {condition}, label %{then}, label %{end}")
        self.line(f"{then}:")
        yield
        self.line(f"br label %{end}")
        self.line(f"{end}:")

    @contextmanager
    def forever(self) -> Iterator[Loop]:
        """Repeat the block until `Loop.leave_when` or a return leaves it."""
        head, end = self._label("head"), self._label("end")
        self.line(f"br label %{head}")
        self.line(f"{head}:")
        yield Loop(self, end)
        self.line(f"br label %{head}")
        self.line(f"{end}:")

    @contextmanager
    def loop(self, count: Word, start: Word = 0) -> Iterator[str]:
        """Run the block for each index in [start, count)."""
        index = self.variable(start)
        with self.forever() as endless:
            present = index.get()
            endless.leave_when(self.compare("sge", present, count))
            yield present
            index.set(self.add(present, 1))
