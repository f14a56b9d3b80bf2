"""Native code that turns the arguments of a call into a key and looks it up, as text."""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    ABSENT,
    CALLABLE,
    FUNCTION,
    MAX_WORDS,
    OB_SIZE,
    OB_TYPE,
    RECORD,
    SCALAR_BOOL,
    SCALAR_FLOAT,
    SCALAR_INT,
    SLICE_START,
    STATE,
    STATIC_FLOAT,
    STATIC_INT,
    STATIC_SLICE,
    STATIC_TUPLE,
    WORD,
)
from trueno.runtime.launcher.emit import Function, Module

_HASH_FACTOR = 0x9E3779B97F4A7C15 - (1 << 64)


def emit(module: Module) -> None:
    """Add build_key, lookup and the callable that returns a call's key as bytes."""
    _static_words(module)
    _subclass(module)
    _stale(module)
    _build_key(module)
    _hash(module)
    _lookup(module)
    _call_key(module)


def _static_words(module: Module) -> None:
    """``static_words(object, words, n)``: append what identifies a static argument; the new n, or -1."""
    f = module.function("static_words", "object", "words", "n", cold=True)
    obj, words, n = f.parameters
    with f.when(f.compare("sge", n, MAX_WORDS - 2)):
        f.ret(-1)
    kind = f.load(obj, OB_TYPE)

    def put(tag: int, value: str) -> str:
        f.set_element(tag, words, n)
        f.set_element(value, words, f.add(n, 1))
        return f.add(n, 2)

    with f.when(f.compare("eq", kind, f.state(STATE["int_type"]))):
        overflow = f.words(1)
        value = f.call("PyLong_AsLongLongAndOverflow", obj, overflow)
        with f.when(f.compare("ne", f.load32(overflow), 0)):
            f.ret(-1)
        f.ret(put(STATIC_INT, value))
    with f.when(f.compare("eq", kind, f.state(STATE["float_type"]))):
        f.ret(put(STATIC_FLOAT, f.call_double("PyFloat_AsDouble", obj)))
    with f.when(f.compare("eq", kind, f.state(STATE["tuple_type"]))):
        length = f.load(obj, OB_SIZE)
        _append_all(f, f.add(obj, f.state(STATE["tuple_items"])), length, words, put(STATIC_TUPLE, length))
    with f.when(f.compare("eq", kind, f.state(STATE["slice_type"]))):
        f.set_element(STATIC_SLICE, words, n)
        _append_all(f, f.add(obj, SLICE_START), "3", words, f.add(n, 1))
    f.set_element(obj, words, n)
    f.ret(f.add(n, 1))
    f.end()


def _append_all(f: Function, items: str, length: str, words: str, n: str) -> None:
    """Emit the return of n after the words of `length` objects were appended."""
    at = f.variable(n)
    with f.loop(length) as index:
        at.set(f.call("static_words", f.element(items, index), words, at.get()))
        with f.when(f.compare("slt", at.get(), 0)):
            f.ret(-1)
    f.ret(at.get())


def _subclass(module: Module) -> None:
    """``is_subclass(type)``: whether it is a registered subclass of the Tensor class."""
    f = module.function("is_subclass", "type", cold=True)
    (kind,) = f.parameters
    with f.loop(f.state(STATE["subclass_count"])) as index:
        registered = f.element(f.add(f.address_of("state"), STATE["subclasses"]), index)
        with f.when(f.compare("eq", kind, registered)):
            f.ret(1)
    f.ret(0)
    f.end()


def _stale(module: Module) -> None:
    """``stale(tensor)``: whether memory that it shares was written to on the tape, so that its history may be old."""
    f = module.function("stale", "tensor")
    (tensor,) = f.parameters
    version = f.load(tensor, f.state(STATE["version"]))
    with f.when(f.compare("eq", version, 0)):
        f.ret(0)
    with f.when(f.compare("ne", f.load(version, OB_TYPE), f.state(STATE["version_type"]))):
        f.ret(0)
    f.ret(f.select(f.compare("ne", f.load(version, f.state(STATE["next_version"])), 0), 1, 0))
    f.end()


def takes_part(f: Function, tensor: str) -> str:
    """Emit whether a tensor takes part in autograd while gradients are enabled, or may do so: it is stale."""
    taped = f.variable(f.select(f.compare("ne", f.load(tensor, f.state(STATE["autograd"])), 0), 1, 0))
    with f.when(f.compare("eq", taped.get(), 0)):
        taped.set(f.call("stale", tensor))
    return f.compare("ne", f.both(taped.get(), f.state(STATE["grad_enabled"])), 0)


def _build_key(module: Module) -> None:
    """``build_key(operands, args, nargs, kwnames, words)``: the key's length, or -1 where a call cannot have one."""
    f = module.function("build_key", "operands", "args", "nargs", "kwnames", "words")
    operands, args, nargs, kwnames, words = f.parameters
    keywords = f.variable(0)
    with f.when(f.compare("ne", kwnames, 0)):
        keywords.set(f.load(kwnames, OB_SIZE))
    with f.when(f.compare("sge", f.add(nargs, keywords.get()), MAX_WORDS - 2)):
        f.ret(-1)
    f.store(f.either(nargs, f.shift_left(keywords.get(), 32)), words)
    bound = f.select(f.compare("slt", nargs, operands), nargs, operands)
    with f.loop(bound) as index:
        word = _operand_word(f, f.element(args, index))
        f.set_element(word, words, f.add(index, 1))
    n = f.variable(f.add(bound, 1))
    with f.loop(nargs, bound) as index:
        n.set(f.call("static_words", f.element(args, index), words, n.get()))
        with f.when(f.compare("slt", n.get(), 0)):
            f.ret(-1)
    with f.loop(keywords.get()) as index:
        with f.when(f.compare("sge", n.get(), MAX_WORDS)):
            f.ret(-1)
        f.set_element(f.element(f.add(kwnames, f.state(STATE["tuple_items"])), index), words, n.get())
        value = f.element(args, f.add(nargs, index))
        n.set(f.call("static_words", value, words, f.add(n.get(), 1)))
        with f.when(f.compare("slt", n.get(), 0)):
            f.ret(-1)
    f.ret(n.get())
    f.end()


def _operand_word(f: Function, arg: str) -> str:
    """Emit the word of an operand: a tensor's layout, or the tag of a scalar's type; otherwise the call has no key.

    The lowest bit of a layout's address is free: while gradients are enabled, it marks tensors that take part in
    autograd. A call with a stale one has no key then.
    """
    kind = f.load(arg, OB_TYPE)
    tensor = f.variable(f.select(f.compare("eq", kind, f.state(STATE["tensor_type"])), 1, 0))
    word = f.variable(0)
    with f.when(f.compare("eq", tensor.get(), 0)):
        tag = f.select(f.compare("eq", arg, f.state(STATE["none"])), ABSENT, 0)
        for name, value in (("bool", SCALAR_BOOL), ("int", SCALAR_INT), ("float", SCALAR_FLOAT)):
            tag = f.select(f.compare("eq", kind, f.state(STATE[f"{name}_type"])), value, tag)
        word.set(tag)
        with f.when(f.compare("eq", tag, 0)):
            tensor.set(f.call("is_subclass", kind))
    with f.when(f.compare("ne", tensor.get(), 0)):
        word.set(f.load(arg, f.state(STATE["layout"])))
        takes_part = f.compare("ne", f.load(arg, f.state(STATE["autograd"])), 0)
        with f.when(f.compare("ne", word.get(), 0)):
            word.set(f.either(word.get(), f.select(takes_part, f.state(STATE["grad_enabled"]), 0)))
            with f.when(f.compare("ne", f.load(arg, f.state(STATE["version"])), 0)):
                old = f.both(f.call("stale", arg), f.state(STATE["grad_enabled"]))
                with f.when(f.compare("ne", old, 0)):
                    f.ret(-1)
    with f.when(f.compare("eq", word.get(), 0)):
        f.ret(-1)
    return word.get()


def _hash(module: Module) -> None:
    f = module.function("hash_words", "words", "count", export=True)
    words, count = f.parameters
    mixed = f.variable(0)
    with f.loop(count) as index:
        product = f.mul(f.xor(mixed.get(), f.element(words, index)), _HASH_FACTOR)
        mixed.set(f.xor(product, f.shift_right(product, 29)))
    f.ret(mixed.get())
    f.end()


def _lookup(module: Module) -> None:
    """``lookup(table, words, n)``: the record with this key, or 0."""
    f = module.function("lookup", "table", "words", "n")
    table, words, n = f.parameters
    mixed = f.call("hash_words", words, n)
    mask = f.load(table)
    place = f.variable(f.both(mixed, mask))
    with f.forever():
        record = f.element(f.add(table, WORD), place.get())
        with f.when(f.compare("eq", record, 0)):
            f.ret(0)
        alike = f.all(
            f.compare("eq", f.load(record, RECORD["hash"]), mixed),
            f.compare("eq", f.load(record, RECORD["key_words"]), n),
        )
        with f.when(alike):
            difference = f.variable(0)
            key = f.load(record, RECORD["key"])
            with f.loop(n) as index:
                unequal = f.xor(f.element(key, index), f.element(words, index))
                difference.set(f.either(difference.get(), unequal))
            with f.when(f.compare("eq", difference.get(), 0)):
                f.ret(record)
        place.set(f.both(f.add(place.get(), 1), mask))
    f.end()


def _call_key(module: Module) -> None:
    """The vectorcall that returns a call's key as bytes, or None where it has none."""
    f = module.function("call_key", "callable", "args", "nargsf", "kwnames", cold=True, export=True)
    function, args, nargsf, kwnames = f.parameters
    words = f.words(MAX_WORDS)
    operands = f.load(f.load(function, CALLABLE["target"]), FUNCTION["operands"])
    n = f.call("build_key", operands, args, f.both(nargsf, (1 << 63) - 1), kwnames, words)
    with f.when(f.compare("slt", n, 0)):
        f.call("Py_IncRef", f.state(STATE["none"]))
        f.ret(f.state(STATE["none"]))
    f.ret(f.call("PyBytes_FromStringAndSize", words, f.shift_left(n, 3)))
    f.end()
