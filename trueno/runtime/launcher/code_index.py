"""Native code of indexing by integers, slices, Ellipsis and None, read and written, as text.

Such an index is worked out anew at each call, so that no entry depends on the numbers in it: what is looked up is the
layout of the view that it makes.
"""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    CALLABLE,
    CAPSULE_POINTER,
    DESCRIPTION,
    FLAG_WRITEABLE,
    FUNCTION,
    MAX_DIMENSIONS,
    OB_SIZE,
    OB_TYPE,
    STATE,
    STORED_BOOL,
    STORED_FLOAT32,
    STORED_FLOAT64,
    STORED_SIGNED,
    STORED_UNSIGNED,
    WORD,
)
from trueno.runtime.launcher.code_array import is_tensor
from trueno.runtime.launcher.code_key import takes_part
from trueno.runtime.launcher.emit import Function, Module

_COUNT_MASK, _INT = (1 << 63) - 1, 0xFFFFFFFF
_RESOLVED = {"offset": 0, "ndim": WORD, "copy": 2 * WORD, "key": 3 * WORD}
_RESOLVED_WORDS = 5 + 2 * MAX_DIMENSIONS
_NO, _ELEMENT, _PART = 0, 1, 2


def emit(module: Module) -> None:
    """Add the vectorcalls of ``__getitem__`` and ``__setitem__``."""
    _resolve_item(module)
    _resolve(module)
    _store_element(module)
    _call_getitem(module)
    _writable(module)
    _call_setitem(module)


def _resolve_item(module: Module) -> None:
    """``resolve_item(item, extent, stride, out)``: write offset, new extent, new stride; what the item is, or 0."""
    f = module.function("resolve_item", "item", "extent", "stride", "out")
    item, extent, stride, out = f.parameters
    with f.when(f.compare("eq", f.load(item, OB_TYPE), f.state(STATE["int_type"]))):
        overflow = f.words(1)
        given = f.call("PyLong_AsLongLongAndOverflow", item, overflow)
        place = f.select(f.compare("slt", given, 0), f.add(given, extent), given)
        fits = f.all(f.compare("eq", f.load32(overflow), 0), f.compare("ult", place, extent))
        with f.when(fits):
            f.store(f.mul(place, stride), out)
            f.ret(_ELEMENT)
        f.ret(_NO)
    start, stop, step = f.words(1), f.words(1), f.words(1)
    with f.when(f.compare("ne", f.call_int("PySlice_Unpack", item, start, stop, step), 0)):
        f.call("PyErr_Clear")
        f.ret(_NO)
    length = f.call("PySlice_AdjustIndices", extent, start, stop, f.load(step))
    f.store(f.select(f.compare("eq", length, 0), 0, f.mul(f.load(start), stride)), out)
    f.store(length, out, WORD)
    f.store(f.select(f.compare("sgt", length, 1), f.mul(f.load(step), stride), stride), out, 2 * WORD)
    f.ret(_PART)
    f.end()


def _resolve(module: Module) -> None:
    """``resolve(description, index, out)``: work out a basic index; 0 where it is none, or is wrong.

    The words at `out`: offset in bytes; number of axes; whether one element is named by integers alone; and the key of
    the view's layout.
    """
    f = module.function("resolve", "description", "index", "out")
    description, index, out = f.parameters
    single = f.words(1)
    f.store(index, single)
    items, count = f.variable(single), f.variable(1)
    with f.when(f.compare("eq", f.load(index, OB_TYPE), f.state(STATE["tuple_type"]))):
        items.set(f.add(index, f.state(STATE["tuple_items"])))
        count.set(f.load(index, OB_SIZE))
    with f.when(f.compare("sgt", count.get(), MAX_DIMENSIONS // 2)):
        f.ret(_NO)
    dots, used = _count_items(f, items.get(), count.get())
    kind = f.load(description, DESCRIPTION["kind"])
    ndim = f.both(kind, _INT)
    wrong = f.any(f.compare("sgt", used, ndim), f.compare("sgt", dots, 1))
    with f.when(f.any(wrong, f.compare("sgt", ndim, MAX_DIMENSIONS // 2))):
        f.ret(_NO)
    extents = f.add(description, DESCRIPTION["size"])
    source = (extents, f.add(extents, f.shift_left(ndim, 3)), f.sub(ndim, used))
    offset, made, strides = _walk(f, items.get(), count.get(), dots, source, f.add(out, _RESOLVED["key"] + 2 * WORD))
    f.store(offset, out, _RESOLVED["offset"])
    f.store(made, out, _RESOLVED["ndim"])
    whole = f.all(f.compare("eq", dots, 0), f.compare("eq", made, 0))
    f.store(f.select(whole, 1, 0), out, _RESOLVED["copy"])
    key = f.add(out, _RESOLVED["key"])
    f.store(f.load(description, DESCRIPTION["dtype"]), key)
    f.store(f.either(made, f.shift_left(f.shift_right(kind, 32), 32)), key, WORD)
    with f.loop(made) as axis:
        f.set_element(f.element(strides, axis), key, f.add(f.add(axis, 2), made))
    f.ret(1)
    f.end()


def _count_items(f: Function, items: str, count: str) -> tuple[str, str]:
    """Emit the number of Ellipses and of items that stand for an axis; a return where an item is another thing."""
    dots, used = f.variable(0), f.variable(0)
    with f.loop(count) as number:
        item = f.element(items, number)
        kind = f.load(item, OB_TYPE)
        axis = f.any(
            f.compare("eq", kind, f.state(STATE["int_type"])), f.compare("eq", kind, f.state(STATE["slice_type"]))
        )
        dot = f.compare("eq", item, f.state(STATE["ellipsis"]))
        known = f.any(axis, dot, f.compare("eq", item, f.state(STATE["none"])))
        with f.when(f.value(f"xor i1 {known}, true")):
            f.ret(_NO)
        used.increase(f.select(axis, 1, 0))
        dots.increase(f.select(dot, 1, 0))
    return dots.get(), used.get()


def _walk(
    f: Function, items: str, count: str, dots: str, source: tuple[str, str, str], extents: str
) -> tuple[str, str, str]:
    """Emit the walk over the items: extents are written, offset, number of axes and an array of strides returned."""
    from_extents, from_strides, missing = source
    strides = f.words(2 * MAX_DIMENSIONS)
    offset, axis, made = f.variable(0), f.variable(0), f.variable(0)
    found = f.words(3)

    def put(extent: str | int, stride: str | int) -> None:
        f.set_element(extent, extents, made.get())
        f.set_element(stride, strides, made.get())
        made.increase(1)

    def keep_axes() -> None:
        with f.loop(missing):
            put(f.element(from_extents, axis.get()), f.element(from_strides, axis.get()))
            axis.increase(1)

    with f.loop(count) as number:
        item = f.element(items, number)
        none, dot = f.compare("eq", item, f.state(STATE["none"])), f.compare("eq", item, f.state(STATE["ellipsis"]))
        with f.when(none):
            put(1, 0)
        with f.when(dot):
            keep_axes()
        with f.when(f.value(f"xor i1 {f.any(none, dot)}, true")):
            extent, stride = f.element(from_extents, axis.get()), f.element(from_strides, axis.get())
            what = f.call("resolve_item", item, extent, stride, found)
            with f.when(f.compare("eq", what, _NO)):
                f.ret(_NO)
            offset.increase(f.load(found))
            axis.increase(1)
            with f.when(f.compare("eq", what, _PART)):
                put(f.load(found, WORD), f.load(found, 2 * WORD))
    with f.when(f.compare("eq", dots, 0)):
        keep_axes()
    return offset.get(), made.get(), strides


def _slow(f: Function, function: str, args: str, nargs: str, kwnames: str) -> None:
    """Emit the slow path."""
    target = f.load(function, CALLABLE["target"])
    f.store(f.add(f.load(target, FUNCTION["misses"]), 1), target, FUNCTION["misses"])
    f.ret(f.call("miss", function, args, nargs, kwnames))


def _count_hit(f: Function, function: str) -> None:
    target = f.load(function, CALLABLE["target"])
    f.store(f.add(f.load(target, FUNCTION["hits"]), 1), target, FUNCTION["hits"])


def _call_getitem(module: Module) -> None:
    f = module.function("call_getitem", "callable", "args", "nargsf", "kwnames", export=True)
    function, args, nargsf, kwnames = f.parameters
    nargs = f.both(nargsf, _COUNT_MASK)
    fits = f.all(f.compare("eq", nargs, 2), f.compare("eq", kwnames, 0))
    with f.when(fits), f.when(is_tensor(f, f.load(args))):
        x = f.load(args)
        with f.when(takes_part(f, x)):
            # What is recorded is an entry's: its `after` puts the call on the tape.
            f.ret(f.call("call", function, args, nargsf, kwnames))
        storage = f.call("storage_of", x)
        with f.when(f.compare("ne", storage, 0)):
            description, out = f.call("description", x), f.words(_RESOLVED_WORDS)
            with f.when(f.compare("eq", description, 0)):
                f.ret(0)
            resolved = f.call("resolve", description, f.load(args, WORD), out)
            with f.when(f.compare("ne", resolved, _NO)):
                result = _read(f, x, description, out)
                with f.when(f.compare("ne", result, 0)):
                    _count_hit(f, function)
                    f.ret(result)
            with f.when(f.compare("eq", resolved, _NO)):
                picked = f.call("pick_get", x, description, f.load(args, WORD))
                with f.when(f.compare("ne", picked, 0)):
                    _count_hit(f, function)
                    f.ret(picked)
            with f.when(f.compare("ne", f.call("PyErr_Occurred"), 0)):
                f.ret(0)
    _slow(f, function, args, nargs, kwnames)
    f.end()


def _read(f: Function, x: str, description: str, out: str) -> str:
    """Emit the copy of an element or the view; 0 for a layout that is not known, or with an exception set."""
    result = f.variable(0)
    offset, copy = f.load(out, _RESOLVED["offset"]), f.load(out, _RESOLVED["copy"])
    storage = _storage_now(f, x)
    with f.when(f.compare("ne", copy, 0)):
        itemsize = f.load(description, DESCRIPTION["itemsize"])
        made = f.call("new_storage", itemsize)
        with f.when(f.compare("ne", made, 0)):
            f.call("memcpy", f.load(made, CAPSULE_POINTER), f.add(f.load(storage, CAPSULE_POINTER), offset), itemsize)
        result.set(f.call("new_tensor", made, f.load(description, DESCRIPTION["element"])))
    with f.when(f.compare("eq", copy, 0)):
        layout = _view_layout(f, out)
        with f.when(f.compare("ne", layout, 0)):
            result.set(f.call("view_on", x, storage, offset, layout))
    return result.get()


def _storage_now(f: Function, x: str) -> str:
    """Emit a tensor's storage and a return where it has none any more: a slice's bounds may have run anything."""
    storage = f.call("storage_of", x)
    with f.when(f.compare("eq", storage, 0)):
        f.call("PyErr_BadArgument")
        f.ret(0)
    return storage


def _view_layout(f: Function, out: str) -> str:
    ndim = f.load(out, _RESOLVED["ndim"])
    return f.call("find_layout", f.add(out, _RESOLVED["key"]), f.add(f.shift_left(ndim, 1), 2))


def _store_element(module: Module) -> None:
    """``store_element(description, address, value)``: write a Python number; 0 where the slow path must see it."""
    f = module.function("store_element", "description", "address", "value")
    description, address, value = f.parameters
    code, itemsize = f.load(description, DESCRIPTION["code"]), f.load(description, DESCRIPTION["itemsize"])
    kind = f.load(value, OB_TYPE)
    bits = f.words(1)
    single, double = f.compare("eq", code, STORED_FLOAT32), f.compare("eq", code, STORED_FLOAT64)

    def store_float(number: str) -> None:
        """Emit the store of a double into an array of floats."""
        narrow = f.value(f"bitcast float {f.value(f'fptrunc double {number} to float')} to i32")
        wide = f.value(f"bitcast double {number} to i64")
        f.store(f.select(single, f.value(f"zext i32 {narrow} to i64"), wide), bits)
        f.call("memcpy", address, bits, itemsize)
        f.ret(1)

    with f.when(f.compare("eq", kind, f.state(STATE["float_type"]))):
        with f.when(f.any(single, double)):
            store_float(f.value(f"bitcast i64 {f.call_double('PyFloat_AsDouble', value)} to double"))
        f.ret(0)
    integer = f.any(
        f.compare("eq", kind, f.state(STATE["int_type"])), f.compare("eq", kind, f.state(STATE["bool_type"]))
    )
    with f.when(integer):
        overflow = f.words(1)
        number = f.call("PyLong_AsLongLongAndOverflow", value, overflow)
        with f.when(f.compare("ne", f.load32(overflow), 0)):
            f.ret(0)
        with f.when(f.any(single, double)):
            store_float(f.value(f"sitofp i64 {number} to double"))
        with f.when(f.compare("eq", code, STORED_BOOL)):
            f.store(f.select(f.compare("ne", number, 0), 1, 0), bits)
            f.call("memcpy", address, bits, itemsize)
            f.ret(1)
        # Cut to the width and widened again, a number that fits is the same.
        rest = f.sub(64, f.shift_left(itemsize, 3))
        cut = f.shift_left(number, rest)
        widened = f.select(
            f.compare("eq", code, STORED_SIGNED), f.value(f"ashr i64 {cut}, {rest}"), f.shift_right(cut, rest)
        )
        whole = f.any(f.compare("eq", code, STORED_SIGNED), f.compare("eq", code, STORED_UNSIGNED))
        positive = f.any(f.compare("eq", code, STORED_SIGNED), f.compare("sge", number, 0))
        with f.when(f.all(whole, positive, f.compare("eq", widened, number))):
            f.store(number, bits)
            f.call("memcpy", address, bits, itemsize)
            f.ret(1)
    f.ret(0)
    f.end()


def _is_type(f: Function, kind: str, table: str, index: str) -> str:
    """Emit whether a type is the one at a place of the table of NumPy's scalars."""
    return f.compare("eq", kind, f.load(table, f.shift_left(index, 4)))


def _writable(module: Module) -> None:
    """``may_be_written(value, description)``: whether assigning a value needs no look from the slow path."""
    f = module.function("may_be_written", "value", "description")
    value, description = f.parameters
    kind = f.load(value, OB_TYPE)
    whole = f.compare("sge", f.load(description, DESCRIPTION["code"]), STORED_SIGNED)
    with f.when(f.compare("eq", kind, f.state(STATE["float_type"]))):
        f.ret(f.select(whole, 0, 1))
    for name in ("int_type", "bool_type", "array_type"):
        with f.when(f.compare("eq", kind, f.state(STATE[name]))):
            f.ret(1)
    with f.when(is_tensor(f, value)):
        on_cpu = f.compare("ne", f.call("storage_of", value), 0)
        free = f.value(f"xor i1 {takes_part(f, value)}, true")
        f.ret(f.select(f.all(free, on_cpu), 1, 0))
    table = f.add(f.address_of("state"), STATE["scalars"])
    with f.loop(f.state(STATE["scalar_count"])) as index, f.when(_is_type(f, kind, table, index)):
        f.ret(1)
    f.ret(0)
    f.end()


def _call_setitem(module: Module) -> None:
    f = module.function("call_setitem", "callable", "args", "nargsf", "kwnames", export=True)
    function, args, nargsf, kwnames = f.parameters
    nargs = f.both(nargsf, _COUNT_MASK)
    fits = f.all(f.compare("eq", nargs, 3), f.compare("eq", kwnames, 0))
    with f.when(fits), f.when(is_tensor(f, f.load(args))):
        x = f.load(args)
        free = f.value(f"xor i1 {takes_part(f, x)}, true")
        storage = f.call("storage_of", x)
        with f.when(f.all(free, f.compare("ne", storage, 0))):
            description = f.call("description", x)
            with f.when(f.compare("eq", description, 0)):
                f.ret(0)
            flags = f.shift_right(f.load(description, DESCRIPTION["kind"]), 32)
            with f.when(f.compare("ne", f.both(flags, FLAG_WRITEABLE), 0)):
                _write(f, function, args, description)
    _slow(f, function, args, nargs, kwnames)
    f.end()


def _write(f: Function, function: str, args: str, description: str) -> None:
    """Emit the assignment and a return; what the slow path must see goes on behind it."""
    value, out = f.load(args, 2 * WORD), f.words(_RESOLVED_WORDS)
    resolved = f.call("resolve", description, f.load(args, WORD), out)
    with f.when(f.compare("eq", resolved, _NO)):
        with f.when(f.compare("ne", f.call("pick_set", f.load(args), description, f.load(args, WORD), value, 0), 0)):
            _written(f, function, args)
        with f.when(f.compare("ne", f.call("PyErr_Occurred"), 0)):
            f.ret(0)
    with f.when(f.compare("ne", resolved, _NO)):
        offset, storage = f.load(out, _RESOLVED["offset"]), _storage_now(f, f.load(args))
        done = f.variable(0)
        with f.when(f.compare("eq", f.load(out, _RESOLVED["ndim"]), 0)):
            address = f.add(f.load(storage, CAPSULE_POINTER), offset)
            done.set(f.call("store_element", description, address, value))
        integer = f.compare("eq", f.load(value, OB_TYPE), f.state(STATE["int_type"]))
        # An integer that an element does not hold is for the slow path: what it means depends on the dtype.
        element = f.compare("eq", f.load(out, _RESOLVED["ndim"]), 0)
        # So is a view without axes: it takes a value of one element with axes, where an element that integers name
        # does not.
        view = f.all(element, f.compare("eq", f.load(out, _RESOLVED["copy"]), 0))
        misfit = f.any(f.all(integer, element), view)
        fits = f.variable(f.select(f.any(misfit, f.compare("ne", done.get(), 0)), 0, 1))
        with f.when(f.compare("ne", fits.get(), 0)):
            fits.set(f.call("may_be_written", value, description))
        with f.when(f.compare("ne", fits.get(), 0)):
            layout = _view_layout(f, out)
            with f.when(f.compare("ne", layout, 0)):
                # A target without a version counter, which the launcher writes to directly.
                given = f.words(2)
                target = f.call("new_tensor", f.call("new_view", storage, offset), layout)
                with f.when(f.compare("eq", target, 0)):
                    f.ret(0)
                f.store(target, given)
                f.store(value, given, WORD)
                result = f.call("call", f.state(STATE["assign"]), given, 2, 0)
                f.call("Py_DecRef", target)
                with f.when(f.compare("eq", result, 0)):
                    f.ret(0)
                f.call("Py_DecRef", result)
                done.set(1)
        with f.when(f.compare("ne", done.get(), 0)):
            _written(f, function, args)


def _written(f: Function, function: str, args: str) -> None:
    """Emit the end of an assignment that has been made."""
    _count_hit(f, function)
    with f.when(f.compare("ne", f.call("watched", f.load(args)), 0)):
        f.ret(f.call("PyObject_CallOneArg", f.state(STATE["changed"]), f.load(args)))
    f.call("Py_IncRef", f.state(STATE["none"]))
    f.ret(f.state(STATE["none"]))
