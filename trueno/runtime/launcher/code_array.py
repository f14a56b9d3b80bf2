"""Native code between tensors and NumPy's arrays, as text: arrays on tensors, tensors on arrays and scalars."""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    ARRAY_DATA,
    ARRAY_DTYPE,
    ARRAY_EXTENTS,
    ARRAY_FLAGS,
    ARRAY_NDIM,
    ARRAY_STRIDES,
    CALLABLE,
    CAPSULE_POINTER,
    DESCRIPTION,
    FLAG_ALIGNED,
    FLAG_WRITEABLE,
    FUNCTION,
    MAX_DIMENSIONS,
    MAX_WORDS,
    OB_SIZE,
    OB_TYPE,
    RECORD,
    REFUSED,
    SCALAR_VALUE,
    STATE,
    WORD,
)
from trueno.runtime.launcher.emit import Function, Module

_INT = 0xFFFFFFFF


def emit(module: Module) -> None:
    """Add the builtins host and adopt, and what lets arrays and NumPy's scalars be operands of known calls."""
    _description(module)
    _find_layout(module)
    _host(module)
    _adopt_array(module)
    _adopt_scalar(module)
    _adopt(module)
    _call_adopted(module)
    _taped(module)


def is_tensor(f: Function, obj: str) -> str:
    """Emit whether an object is of the Tensor class or a registered subclass."""
    kind = f.load(obj, OB_TYPE)
    known = f.variable(f.select(f.compare("eq", kind, f.state(STATE["tensor_type"])), 1, 0))
    with f.when(f.compare("eq", known.get(), 0)):
        known.set(f.call("is_subclass", kind))
    return f.compare("ne", known.get(), 0)


def _description(module: Module) -> None:
    """``description(tensor)``: the address of its layout's DESCRIPTION, made if need be; 0 with an exception set."""
    f = module.function("description", "tensor")
    (tensor,) = f.parameters
    layout = f.load(tensor, f.state(STATE["layout"]))
    words = f.variable(f.load(layout, f.state(STATE["description"])))
    with f.when(f.compare("eq", words.get(), 0)):
        made = f.call("PyObject_CallOneArg", f.state(STATE["describe"]), layout)
        with f.when(f.compare("eq", made, 0)):
            f.ret(0)
        f.call("Py_DecRef", made)
        words.set(f.load(layout, f.state(STATE["description"])))
    f.ret(f.add(words.get(), f.state(STATE["bytes_items"])))
    f.end()


def _find_layout(module: Module) -> None:
    """``find_layout(words, n)``: the layout of arrays with this key, or 0."""
    f = module.function("find_layout", "words", "n")
    words, n = f.parameters
    record = f.call("lookup", f.load(f.state(STATE["arrays"]), FUNCTION["table"]), words, n)
    with f.when(f.compare("eq", record, 0)):
        f.ret(0)
    f.ret(f.load(record, RECORD["meta"]))
    f.end()


def _host(module: Module) -> None:
    f = module.function("host", "module", "tensor", export=True)
    _, tensor = f.parameters
    storage = f.variable(0)
    with f.when(is_tensor(f, tensor)):
        storage.set(f.call("storage_of", tensor))
    with f.when(f.compare("eq", storage.get(), 0)):
        message = module.string("no_memory", "expected a tensor on the CPU; move it with .cpu() first")
        f.call("PyErr_SetString", f.load(module.external_data("PyExc_TypeError")), message)
        f.ret(0)
    words = f.call("description", tensor)
    with f.when(f.compare("eq", words, 0)):
        f.ret(0)
    dtype, kind = f.load(words, DESCRIPTION["dtype"]), f.load(words, DESCRIPTION["kind"])
    extents = f.add(words, DESCRIPTION["size"])
    ndim = f.both(kind, _INT)
    # The array takes over one reference to each: its dtype, and what keeps its memory.
    f.call("Py_IncRef", dtype)
    array = f.call_address(
        f.state(STATE["new_array"]),
        *(f.state(STATE["array_type"]), dtype, ndim, extents, f.add(extents, f.shift_left(ndim, 3))),
        *(f.load(storage.get(), CAPSULE_POINTER), f.shift_right(kind, 32), 0),
    )
    with f.when(f.compare("ne", array, 0)):
        f.call("Py_IncRef", storage.get())
        failed = f.both(f.call_address(f.state(STATE["set_base"]), array, storage.get()), _INT)
        with f.when(f.compare("ne", failed, 0)):
            f.call("Py_DecRef", array)
            f.ret(0)
    f.ret(array)
    f.end()


def _adopt_array(module: Module) -> None:
    """``adopt_array(array)``: a Tensor on its memory, or 0 if its layout is not known."""
    f = module.function("adopt_array", "array")
    (array,) = f.parameters
    ndim = f.both(f.load(array, ARRAY_NDIM), _INT)
    with f.when(f.compare("ugt", ndim, MAX_DIMENSIONS)):
        f.ret(0)
    words = f.words(MAX_WORDS)
    f.store(f.load(array, ARRAY_DTYPE), words)
    flags = f.both(f.load(array, ARRAY_FLAGS), FLAG_ALIGNED | FLAG_WRITEABLE)
    f.store(f.either(ndim, f.shift_left(flags, 32)), words, WORD)
    extents, strides = f.load(array, ARRAY_EXTENTS), f.load(array, ARRAY_STRIDES)
    n = f.add(ndim, 2)
    with f.loop(ndim) as index:
        f.set_element(f.element(extents, index), words, f.add(index, 2))
        f.set_element(f.element(strides, index), words, f.add(index, n))
    layout = f.call("find_layout", words, f.add(n, ndim))
    with f.when(f.compare("eq", layout, 0)):
        f.ret(0)
    f.ret(f.call("new_tensor", f.call("new_wrapper", f.load(array, ARRAY_DATA), array), layout))
    f.end()


def _adopt_scalar(module: Module) -> None:
    """``adopt_scalar(object)``: a 0-d Tensor with the value of a NumPy scalar; 0 if it is none, or on failure."""
    f = module.function("adopt_scalar", "object")
    (obj,) = f.parameters
    kind = f.load(obj, OB_TYPE)
    table = f.add(f.address_of("state"), STATE["scalars"])
    with f.loop(f.state(STATE["scalar_count"])) as index:
        place = f.add(table, f.shift_left(index, 4))
        with f.when(f.compare("eq", kind, f.load(place))):
            storage = f.call("new_storage", WORD)
            with f.when(f.compare("ne", storage, 0)):
                f.store(f.load(obj, SCALAR_VALUE), f.load(storage, CAPSULE_POINTER))
            f.ret(f.call("new_tensor", storage, f.load(place, WORD)))
    f.ret(0)
    f.end()


def _adopt(module: Module) -> None:
    f = module.function("adopt", "module", "array", cold=True, export=True)
    _, array = f.parameters
    with f.when(f.compare("eq", f.load(array, OB_TYPE), f.state(STATE["array_type"]))):
        tensor = f.call("adopt_array", array)
        with f.when(f.any(f.compare("ne", tensor, 0), f.compare("ne", f.call("PyErr_Occurred"), 0))):
            f.ret(tensor)
    f.call("Py_IncRef", f.state(STATE["none"]))
    f.ret(f.state(STATE["none"]))
    f.end()


def _call_adopted(module: Module) -> None:
    """``call_adopted(callable, args, nargs, kwnames)``: the call with tensors in place of arrays and NumPy's scalars.

    REFUSED where there are none among the operands whose layouts are known.
    """
    f = module.function("call_adopted", "callable", "args", "nargs", "kwnames")
    function, args, nargs, kwnames = f.parameters
    keywords = f.variable(0)
    with f.when(f.compare("ne", kwnames, 0)):
        keywords.set(f.load(kwnames, OB_SIZE))
    count = f.add(nargs, keywords.get())
    with f.when(f.compare("sge", count, MAX_WORDS)):
        f.ret(REFUSED)
    given = f.words(MAX_WORDS)
    with f.loop(count) as index:
        f.set_element(f.element(args, index), given, index)
    operands = f.load(f.load(function, CALLABLE["target"]), FUNCTION["operands"])
    bound = f.select(f.compare("slt", nargs, operands), nargs, operands)
    changed = f.variable(0)
    with f.loop(bound) as index:
        obj = f.element(args, index)
        made = f.variable(0)
        an_array = f.compare("eq", f.load(obj, OB_TYPE), f.state(STATE["array_type"]))
        with f.when(an_array):
            made.set(f.call("adopt_array", obj))
        with f.when(f.value(f"xor i1 {an_array}, true")):
            made.set(f.call("adopt_scalar", obj))
        with f.when(f.compare("ne", made.get(), 0)):
            f.set_element(made.get(), given, index)
            changed.increase(1)
    with f.when(f.compare("eq", changed.get(), 0)):
        # There was no memory for a wrapper: the slow path will find that, too.
        f.call("PyErr_Clear")
        f.ret(REFUSED)
    result = f.call("call", function, given, nargs, kwnames)
    with f.loop(bound) as index:
        made_one = f.element(given, index)
        with f.when(f.compare("ne", made_one, f.element(args, index))):
            f.call("Py_DecRef", made_one)
    f.ret(result)
    f.end()


def _taped(module: Module) -> None:
    f = module.function("taped", "module", "object", export=True)
    _, obj = f.parameters
    with f.when(is_tensor(f, obj)):
        with f.when(f.compare("ne", f.load(obj, f.state(STATE["autograd"])), 0)):
            f.ret(f.call("PyBool_FromLong", 1))
        f.ret(f.call("PyBool_FromLong", f.call("stale", obj)))
    # A tensor of a class that was not registered, or no tensor.
    f.ret(f.call("PyBool_FromLong", f.call_int("PyObject_HasAttrString", obj, module.string("slot", "_autograd"))))
    f.end()
