"""Native code of callables and of their type, as text: vectorcalls, binding to an instance, garbage collection."""

from __future__ import annotations

from trueno.runtime.launcher.abi import CALLABLE, FUNCTION, MAX_WORDS, OB_TYPE, RECORD, REFUSED, WORD
from trueno.runtime.launcher.emit import Function, Module

_COUNT_MASK = (1 << 63) - 1  # the top bit of a vectorcall's argument count is a flag
_OBJECT_FIELDS = ("miss", "owner", "dict")


def emit(module: Module) -> None:
    """Add the vectorcalls, the functions of the type, and the kernel of the self-test."""
    _miss(module)
    _run_and_tell(module)
    _call(module)
    _call_reflected(module)
    _call_record(module)
    _type_functions(module)
    _selftest_kernel(module)


def _miss(module: Module) -> None:
    """``miss(callable, args, nargs, kwnames)``: the slow path."""
    f = module.function("miss", "callable", "args", "nargs", "kwnames", cold=True)
    function, args, nargs, kwnames = f.parameters
    f.ret(f.call("PyObject_Vectorcall", f.load(function, CALLABLE["miss"]), args, nargs, kwnames))
    f.end()


def _run_and_tell(module: Module) -> None:
    """``run_and_tell(record, args, nargs)``: run the record, then call its ``after(result, *args)``."""
    f = module.function("run_and_tell", "record", "args", "nargs")
    record, args, nargs = f.parameters
    # Allocations and the callable may run anything, also what forgets the record.
    after = f.load(record, RECORD["after"])
    f.call("Py_IncRef", after)
    result = f.variable(f.call("run", record, args))
    with f.when(f.compare("ne", result.get(), REFUSED)), f.when(f.compare("ne", result.get(), 0)):
        given = f.words(f.add(nargs, 1))
        f.store(result.get(), given)
        with f.loop(nargs) as index:
            f.set_element(f.element(args, index), given, f.add(index, 1))
        none = f.call("PyObject_Vectorcall", after, given, f.add(nargs, 1), 0)
        with f.when(f.compare("eq", none, 0)):
            f.call("Py_DecRef", result.get())
            result.set(0)
        with f.when(f.compare("ne", none, 0)):
            f.call("Py_DecRef", none)
    f.call("Py_DecRef", after)
    f.ret(result.get())
    f.end()


def _call(module: Module) -> None:
    f = module.function("call", "callable", "args", "nargsf", "kwnames", export=True)
    function, args, nargsf, kwnames = f.parameters
    nargs = f.both(nargsf, _COUNT_MASK)
    target = f.load(function, CALLABLE["target"])
    words = f.words(MAX_WORDS)
    n = f.call("build_key", f.load(target, FUNCTION["operands"]), args, nargs, kwnames, words)
    with f.when(f.compare("sgt", n, 0)):
        record = f.call("lookup", f.load(target, FUNCTION["table"]), words, n)
        with f.when(f.compare("ne", record, 0)):
            result = f.variable(REFUSED)
            recorded = f.compare("ne", f.load(record, RECORD["after"]), 0)
            with f.when(recorded):
                result.set(f.call("run_and_tell", record, args, nargs))
            with f.when(f.value(f"xor i1 {recorded}, true")):
                result.set(f.call("run", record, args))
            with f.when(f.compare("ne", result.get(), REFUSED)):
                f.store(f.add(f.load(target, FUNCTION["hits"]), 1), target, FUNCTION["hits"])
                f.ret(result.get())
    with f.when(f.compare("slt", n, 0)):
        adopted = f.call("call_adopted", function, args, nargs, kwnames)
        with f.when(f.compare("ne", adopted, REFUSED)):
            f.ret(adopted)
    f.store(f.add(f.load(target, FUNCTION["misses"]), 1), target, FUNCTION["misses"])
    f.ret(f.call("miss", function, args, nargs, kwnames))
    f.end()


def _call_reflected(module: Module) -> None:
    """The same with two operands swapped, for the reflected operators."""
    f = module.function("call_reflected", "callable", "args", "nargsf", "kwnames", cold=True, export=True)
    function, args, nargsf, kwnames = f.parameters
    two = f.all(f.compare("eq", f.both(nargsf, _COUNT_MASK), 2), f.compare("eq", kwnames, 0))
    with f.when(two):
        swapped = f.words(2)
        f.store(f.load(args, WORD), swapped)
        f.store(f.load(args), swapped, WORD)
        f.ret(f.call("call", function, swapped, 2, 0))
    f.ret(f.call("call", function, args, nargsf, kwnames))
    f.end()


def _call_record(module: Module) -> None:
    """The vectorcall of a bound entry: no key, no look-up. Its `miss` raises."""
    f = module.function("call_record", "callable", "args", "nargsf", "kwnames", cold=True, export=True)
    function, args, nargsf, kwnames = f.parameters
    nargs = f.both(nargsf, _COUNT_MASK)
    result = f.variable(REFUSED)
    record = f.load(function, CALLABLE["target"])
    with f.when(f.all(f.compare("eq", kwnames, 0), f.compare("eq", f.call("operands_fit", record, args, nargs), 1))):
        result.set(f.call("run", record, args))
    with f.when(f.compare("ne", result.get(), REFUSED)):
        f.ret(result.get())
    f.ret(f.call("miss", function, args, nargs, kwnames))
    f.end()


def _type_functions(module: Module) -> None:
    f = module.function("bind", "callable", "instance", "type", cold=True, export=True)
    function, instance, _ = f.parameters
    with f.when(f.compare("eq", instance, 0)):
        f.call("Py_IncRef", function)
        f.ret(function)
    f.ret(f.call("PyMethod_New", function, instance))
    f.end()

    f = module.function("traverse", "callable", "visit", "extra", cold=True, export=True)
    function, visit, extra = f.parameters
    offsets = (OB_TYPE, *(CALLABLE[name] for name in _OBJECT_FIELDS))
    for offset in offsets:
        obj = f.load(function, offset)
        with f.when(f.compare("ne", obj, 0)):
            stop = f.both(f.call_address(visit, obj, extra), 0xFFFFFFFF)  # visit returns a C int
            with f.when(f.compare("ne", stop, 0)):
                f.ret(stop)
    f.ret(0)
    f.end()

    f = module.function("clear", "callable", cold=True, export=True)
    (function,) = f.parameters
    _drop_fields(f, function, "dict")  # a call reads the others; their own types break cycles through them
    f.ret(0)
    f.end()

    f = module.function("dealloc", "callable", cold=True, export=True)
    (function,) = f.parameters
    f.call("PyObject_GC_UnTrack", function)
    kind = f.load(function, OB_TYPE)
    _drop_fields(f, function, *_OBJECT_FIELDS)
    f.call("PyObject_GC_Del", function)
    f.call("Py_DecRef", kind)
    f.ret(0)
    f.end()


def _drop_fields(f: Function, function: str, *names: str) -> None:
    for name in names:
        obj = f.load(function, CALLABLE[name])
        f.store(0, function, CALLABLE[name])
        with f.when(f.compare("ne", obj, 0)):
            f.call("Py_DecRef", obj)


def _selftest_kernel(module: Module) -> None:
    """A kernel that adds the integer scalar to each of ``meta[0]`` words."""
    f = module.function("selftest_kernel", "buffers", "meta", "scalars", "threads", "parallel", cold=True, export=True)
    buffers, meta, scalars, _, _ = f.parameters
    source, destination, addend = f.load(buffers), f.load(buffers, WORD), f.load(scalars)
    with f.loop(f.load(meta)) as index:
        f.set_element(f.add(f.element(source, index), addend), destination, index)
    f.ret(0)
    f.end()
