"""Native code of indexing by one array of places or one mask, read and written, as text.

It serves dense tensors on the CPU that nothing is recorded for: places are int64 and select along the first axis, a
mask covers the leading axes. All else, and every error, is left to the slow path.
"""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    CAPSULE_POINTER,
    DESCRIPTION,
    FLAG_ALIGNED,
    FLAG_WRITEABLE,
    JOB,
    MAX_DIMENSIONS,
    MAX_PARTS,
    OB_SIZE,
    OB_TYPE,
    STATE,
    STORED_BOOL,
    STORED_SIGNED,
    WORD,
)
from trueno.runtime.launcher.code_array import is_tensor
from trueno.runtime.launcher.code_select import kernel_of, new_job
from trueno.runtime.launcher.emit import Function, Module

_INT = 0xFFFFFFFF
_PICKED = {"masked": 0, "count": WORD, "row": 2 * WORD, "extent": 3 * WORD, "key": 4 * WORD}
_PICKED_WORDS = 6 + 2 * MAX_DIMENSIONS


def emit(module: Module) -> None:
    """Add ``pick_get``, ``pick_set`` and the builtin ``nonzero``."""
    _as_tensor(module)
    _apart(module)
    _joined(module)
    _index(module)
    _resolve(module)
    _dense_strides(module)
    _result_layout(module)
    _new_dense(module)
    _new_vector(module)
    _gathered(module)
    _compressed(module)
    _pick_get(module)
    _source(module)
    _scattered(module)
    _pick_set(module)
    _numbered(module)
    _nonzero(module)


def _as_tensor(module: Module) -> None:
    """``as_tensor(object, description_at)``: a new reference to a dense tensor on the CPU; 0 if it is none."""
    f = module.function("as_tensor", "object", "description_at")
    obj, description_at = f.parameters
    tensor = f.variable(0)
    with f.when(f.compare("eq", f.load(obj, OB_TYPE), f.state(STATE["array_type"]))):
        tensor.set(f.call("adopt_array", obj))
        with f.when(f.compare("eq", tensor.get(), 0)):
            f.ret(0)
    with f.when(f.compare("eq", tensor.get(), 0)):
        with f.when(is_tensor(f, obj)), f.when(f.compare("ne", f.call("storage_of", obj), 0)):
            f.call("Py_IncRef", obj)
            tensor.set(obj)
        with f.when(f.compare("eq", tensor.get(), 0)):
            tensor.set(f.call("adopt_scalar", obj))
    with f.when(f.compare("eq", tensor.get(), 0)):
        f.ret(0)
    description = f.call("description", tensor.get())
    f.store(description, description_at)
    with f.when(f.compare("ne", description, 0)), f.when(f.compare("ne", f.load(description, DESCRIPTION["dense"]), 0)):
        f.ret(tensor.get())
    f.call("Py_DecRef", tensor.get())
    f.ret(0)
    f.end()


def _apart(module: Module) -> None:
    """``apart(a, description_a, b, description_b)``: whether two dense tensors have no memory in common."""
    f = module.function("apart", "a", "description_a", "b", "description_b")
    a, description_a, b, description_b = f.parameters
    low_a, low_b = first_byte(f, a), first_byte(f, b)
    before = f.compare("ule", f.add(low_a, f.load(description_a, DESCRIPTION["nbytes"])), low_b)
    behind = f.compare("ule", f.add(low_b, f.load(description_b, DESCRIPTION["nbytes"])), low_a)
    f.ret(f.select(f.any(before, behind), 1, 0))
    f.end()


def first_byte(f: Function, tensor: str) -> str:
    """Emit the address of a tensor's first element."""
    return f.load(f.load(tensor, f.state(STATE["storage"])), CAPSULE_POINTER)


def ndim_of(f: Function, description: str) -> str:
    """Emit the number of axes that a description tells."""
    return f.both(f.load(description, DESCRIPTION["kind"]), _INT)


def _extents(f: Function, description: str) -> str:
    return f.add(description, DESCRIPTION["size"])


def _when_shapes_differ(f: Function, ndim: str, extents: str, others: str) -> None:
    """Emit a return of 0 where two lists of extents differ."""
    with f.loop(ndim) as axis, f.when(f.compare("ne", f.element(extents, axis), f.element(others, axis))):
        f.ret(0)


def is_places(f: Function, index: str) -> str:
    """Emit whether a description is that of places."""
    whole = f.compare("eq", f.load(index, DESCRIPTION["code"]), STORED_SIGNED)
    return f.all(whole, f.compare("eq", f.load(index, DESCRIPTION["itemsize"]), WORD))


def _joined(module: Module) -> None:
    """``joined_places(description, items, count, description_at)``: places in the leading axes, numbered as one axis.

    The items are arrays of places of one shape, one for each axis. A new reference; 0 where that is not served.
    """
    f = module.function("joined_places", "description", "items", "count", "description_at")
    description, items, count, description_at = f.parameters
    joined, item_at = f.variable(0), f.words(1)
    with f.when(f.any(f.compare("sgt", count, ndim_of(f, description)), f.compare("eq", count, 0))):
        f.ret(0)
    with f.loop(count) as axis:
        item, good = f.call("as_tensor", f.element(items, axis), item_at), f.variable(0)
        with f.when(f.compare("ne", item, 0)):
            with f.when(is_places(f, f.load(item_at))):
                with f.when(f.compare("eq", joined.get(), 0)):
                    storage = f.call("new_storage", f.load(f.load(item_at), DESCRIPTION["nbytes"]))
                    joined.set(f.call("new_tensor", storage, f.load(item, f.state(STATE["layout"]))))
                with f.when(f.compare("ne", joined.get(), 0)):
                    extent = f.element(_extents(f, description), axis)
                    good.set(f.call("join_axis", joined.get(), item, f.load(item_at), extent, axis))
            f.call("Py_DecRef", item)
        with f.when(f.compare("eq", good.get(), 0)):
            with f.when(f.compare("ne", joined.get(), 0)):
                f.call("Py_DecRef", joined.get())
            f.ret(0)
    f.store(f.call("description", joined.get()), description_at)
    f.ret(joined.get())
    f.end()
    _join_axis(module)


def _join_axis(module: Module) -> None:
    """``join_axis(joined, item, given, extent, axis)``: number what was joined, times the extent, and these places."""
    f = module.function("join_axis", "joined", "item", "given", "extent", "axis")
    joined, item, given, extent, axis = f.parameters
    with f.when(f.compare("ne", f.load(joined, f.state(STATE["layout"])), f.load(item, f.state(STATE["layout"])))):
        f.ret(0)
    count = f.shift_right(f.load(given, DESCRIPTION["nbytes"]), 3)
    fields = {"index": first_byte(f, item), "target": first_byte(f, joined), "step": axis}
    held = hold(f, item)
    failed = f.call("perform", new_job(f, count=count, row=WORD, extent=extent, **fields), f.address_of("join8"), 0)
    release(f, held)
    f.ret(f.select(f.compare("eq", failed, 0), 1, 0))
    f.end()


def _index(module: Module) -> None:
    """``pick_index(description, object, description_at, axes_at)``: an array, or those of a tuple joined, as a tensor.

    A new reference, and how many axes the places in it stand for; 0 where that is not served.
    """
    f = module.function("pick_index", "description", "object", "description_at", "axes_at")
    description, obj, description_at, axes_at = f.parameters
    with f.when(f.compare("eq", f.load(obj, OB_TYPE), f.state(STATE["tuple_type"]))):
        count = f.load(obj, OB_SIZE)
        f.store(count, axes_at)
        f.ret(f.call("joined_places", description, f.add(obj, f.state(STATE["tuple_items"])), count, description_at))
    f.store(1, axes_at)
    f.ret(f.call("as_tensor", obj, description_at))
    f.end()


def _resolve(module: Module) -> None:
    """``resolve_pick(description, index, axes, out)``: work out what an array selects; 0 where that is not served.

    Places are those in so many leading axes, numbered as one.
    The words at `out`: whether it is a mask; its number of elements; bytes of a row; extent of the first axis; and the
    key of the result's layout without strides. The first extent of what a mask selects is not known yet.
    """
    f = module.function("resolve_pick", "description", "index", "axes", "out")
    description, index, axes, out = f.parameters
    masked, places = f.compare("eq", f.load(index, DESCRIPTION["code"]), STORED_BOOL), is_places(f, index)
    ndim, index_ndim, nbytes = ndim_of(f, description), ndim_of(f, index), f.load(description, DESCRIPTION["nbytes"])
    few = f.compare("sle", f.add(ndim, index_ndim), MAX_DIMENSIONS // 2)
    dense = f.compare("ne", f.load(description, DESCRIPTION["dense"]), 0)
    some = f.all(f.compare("ne", ndim, 0), f.compare("ne", index_ndim, 0), f.compare("ne", nbytes, 0))
    reach = f.any(places, f.compare("sle", index_ndim, ndim))
    with f.when(f.value(f"xor i1 {f.all(f.any(masked, places), few, dense, some, reach)}, true")):
        f.ret(0)
    extents, index_extents, index_nbytes = (
        _extents(f, description), _extents(f, index), f.load(index, DESCRIPTION["nbytes"]),
    )  # fmt: skip
    with f.when(masked):
        _when_shapes_differ(f, index_ndim, extents, index_extents)
    extent = f.variable(1)
    with f.loop(axes) as axis:
        extent.set(f.mul(extent.get(), f.element(extents, axis)))
    f.store(f.select(masked, 1, 0), out, _PICKED["masked"])
    f.store(f.select(masked, index_nbytes, f.shift_right(index_nbytes, 3)), out, _PICKED["count"])
    f.store(f.value(f"udiv i64 {nbytes}, {f.select(masked, index_nbytes, extent.get())}"), out, _PICKED["row"])
    f.store(extent.get(), out, _PICKED["extent"])
    used, new = f.select(masked, index_ndim, axes), f.select(masked, 1, index_ndim)
    key = f.add(out, _PICKED["key"])
    f.store(f.load(description, DESCRIPTION["dtype"]), key)
    made = f.add(new, f.sub(ndim, used))
    f.store(f.either(made, (FLAG_ALIGNED | FLAG_WRITEABLE) << 32), key, WORD)
    with f.loop(new) as axis:
        f.set_element(f.element(index_extents, axis), key, f.add(axis, 2))
    with f.loop(f.sub(ndim, used)) as axis:
        f.set_element(f.element(extents, f.add(axis, used)), key, f.add(f.add(axis, new), 2))
    f.ret(1)
    f.end()


def _dense_strides(module: Module) -> None:
    """``dense_strides(key, itemsize)``: complete a key by the strides of a dense array; its number of elements."""
    f = module.function("dense_strides", "key", "itemsize")
    key, itemsize = f.parameters
    ndim = f.both(f.load(key, WORD), _INT)
    stride, total = f.variable(itemsize), f.variable(1)
    with f.loop(ndim) as number:
        axis = f.sub(f.sub(ndim, number), 1)
        extent = f.element(key, f.add(axis, 2))
        f.set_element(stride.get(), key, f.add(f.add(axis, 2), ndim))
        stride.set(f.mul(stride.get(), f.select(f.compare("eq", extent, 0), 1, extent)))
        total.set(f.mul(total.get(), extent))
    f.ret(total.get())
    f.end()


def _result_layout(module: Module) -> None:
    """``result_layout(like, key)``: the layout of a dense result of a layout's dtype; 0 where asking Python fails."""
    f = module.function("result_layout", "like", "key")
    layout, key = f.parameters
    words = f.add(f.shift_left(f.both(f.load(key, WORD), _INT), 1), 2)
    found = f.call("find_layout", key, words)
    with f.when(f.compare("ne", found, 0)):
        f.ret(found)
    given = f.call("PyTuple_New", 2)
    with f.when(f.compare("eq", given, 0)):
        f.ret(0)
    f.call("Py_IncRef", layout)
    f.call_int("PyTuple_SetItem", given, 0, layout)
    text = f.call("PyBytes_FromStringAndSize", key, f.shift_left(words, 3))
    with f.when(f.compare("ne", text, 0)):
        f.call_int("PyTuple_SetItem", given, 1, text)
        told = f.call("PyObject_CallOneArg", f.state(STATE["learn_result"]), given)
        with f.when(f.compare("ne", told, 0)):
            f.call("Py_DecRef", told)
            found_now = f.call("find_layout", key, words)
            f.call("Py_DecRef", given)
            f.ret(found_now)
    f.call("Py_DecRef", given)
    f.ret(0)
    f.end()


def _new_dense(module: Module) -> None:
    """``new_dense(like, key, itemsize)``: a dense tensor of a layout's dtype, with the extents in a key; 0 if it fails.

    The key's strides are written here.
    """
    f = module.function("new_dense", "like", "key", "itemsize")
    like, key, itemsize = f.parameters
    total = f.call("dense_strides", key, itemsize)
    layout = f.call("result_layout", like, key)
    with f.when(f.compare("eq", layout, 0)):
        f.ret(0)
    made = f.call("new_storage", f.mul(total, itemsize))
    with f.when(f.compare("eq", made, 0)):
        f.ret(0)
    f.ret(f.call("new_tensor", made, layout))
    f.end()


def _new_vector(module: Module) -> None:
    """``new_vector(like, extent)``: a vector of the dtype of a tensor of 8-byte elements; without one, of int64."""
    f = module.function("new_vector", "like", "extent")
    like, extent = f.parameters
    layout, dtype = (f.variable(f.state(STATE[name])) for name in ("place_layout", "place_dtype"))
    key = f.words(4)
    with f.when(f.compare("ne", like, 0)):
        layout.set(f.load(like, f.state(STATE["layout"])))
        dtype.set(f.load(f.call("description", like), DESCRIPTION["dtype"]))
    f.store(dtype.get(), key)
    f.store(1 | (FLAG_ALIGNED | FLAG_WRITEABLE) << 32, key, WORD)
    f.store(extent, key, 2 * WORD)
    f.ret(f.call("new_dense", layout.get(), key, WORD))
    f.end()


def _job(f: Function, out: str, index: str, **fields: str) -> str:
    count, row, extent = (f.load(out, _PICKED[name]) for name in ("count", "row", "extent"))
    return new_job(f, count=count, row=row, extent=extent, index=first_byte(f, index), **fields)


def _gathered(module: Module) -> None:
    """``gathered(x, description, index, out)``: a tensor of the rows at the places; 0 where one does not exist."""
    f = module.function("gathered", "x", "description", "index", "out")
    x, description, index, out = f.parameters
    key, itemsize = f.add(out, _PICKED["key"]), f.load(description, DESCRIPTION["itemsize"])
    made = f.call("new_dense", f.load(x, f.state(STATE["layout"])), key, itemsize)
    with f.when(f.compare("eq", made, 0)):
        f.ret(0)
    job = _job(f, out, index, source=first_byte(f, x), target=first_byte(f, made))
    failed = f.call("perform", job, kernel_of(f, "take", f.load(out, _PICKED["row"])), 0)
    with f.when(f.compare("ne", failed, 0)):
        f.call("Py_DecRef", made)
        f.ret(0)
    f.ret(made)
    f.end()


def _compressed(module: Module) -> None:
    """``compressed(x, description, mask, out)``: a tensor of the rows where the mask is true."""
    f = module.function("compressed", "x", "description", "mask", "out")
    x, description, mask, out = f.parameters
    job = _job(f, out, mask, source=first_byte(f, x), places=f.words(MAX_PARTS + 2))
    key, itemsize = f.add(out, _PICKED["key"]), f.load(description, DESCRIPTION["itemsize"])
    f.store(f.call("count_parts", job), key, 2 * WORD)
    made = f.call("new_dense", f.load(x, f.state(STATE["layout"])), key, itemsize)
    with f.when(f.compare("eq", made, 0)):
        f.ret(0)
    f.store(first_byte(f, made), job, JOB["target"])
    f.call("perform", job, kernel_of(f, "compress", f.load(out, _PICKED["row"])), 0)
    f.ret(made)
    f.end()


def hold(f: Function, *tensors: str) -> list[str]:
    """Emit references to the storages of tensors: while the GIL is let go, another thread may replace them."""
    storages = [f.load(tensor, f.state(STATE["storage"])) for tensor in tensors]
    for storage in storages:
        f.call("Py_IncRef", storage)
    return storages


def release(f: Function, objects: list[str]) -> None:
    """Emit the release of references to objects."""
    for obj in objects:
        f.call("Py_DecRef", obj)


def _pick_get(module: Module) -> None:
    """``pick_get(x, description, index)``: what an array selects; 0 for the slow path, or with an exception."""
    f = module.function("pick_get", "x", "description", "index")
    x, description, obj = f.parameters
    index_at, axes_at, out = f.words(1), f.words(1), f.words(_PICKED_WORDS)
    index = f.call("pick_index", description, obj, index_at, axes_at)
    with f.when(f.compare("eq", index, 0)):
        with f.when(f.compare("eq", f.load(obj, OB_TYPE), f.state(STATE["tuple_type"]))):
            f.ret(f.call("pick_along", x, description, obj))
        f.ret(0)
    result = f.variable(0)
    with f.when(f.compare("ne", f.call("resolve_pick", description, f.load(index_at), f.load(axes_at), out), 0)):
        held = hold(f, x, index)
        masked = f.compare("ne", f.load(out, _PICKED["masked"]), 0)
        with f.when(masked):
            result.set(f.call("compressed", x, description, index, out))
        with f.when(f.value(f"xor i1 {masked}, true")):
            result.set(f.call("gathered", x, description, index, out))
        release(f, held)
    f.call("Py_DecRef", index)
    f.ret(result.get())
    f.end()


def _source(module: Module) -> None:
    """``pick_source(x, description, value, given, out)``: whether a tensor can be assigned: 1 row by row, 2 as one row.

    `given` is its description; the key at `out` has the shape that a value for each row has.
    """
    f = module.function("pick_source", "x", "description", "value", "given", "out")
    x, description, value, given, out = f.parameters
    taped = f.compare("ne", f.load(value, f.state(STATE["autograd"])), 0)
    recorded = f.all(taped, f.compare("ne", f.state(STATE["grad_enabled"]), 0))
    # Equal dtypes can be several objects; their 0-d layout is one.
    other = f.compare("ne", f.load(given, DESCRIPTION["element"]), f.load(description, DESCRIPTION["element"]))
    shared = f.compare("eq", f.call("apart", x, description, value, given), 0)
    with f.when(f.any(recorded, other, shared)):
        f.ret(0)
    row, nbytes, ndim = f.load(out, _PICKED["row"]), f.load(given, DESCRIPTION["nbytes"]), ndim_of(f, given)
    one = f.all(f.compare("eq", nbytes, f.load(given, DESCRIPTION["itemsize"])), f.compare("sle", ndim, 1))
    with f.when(f.all(one, f.compare("eq", nbytes, row))):
        f.ret(2)
    key, extents = f.add(out, _PICKED["key"]), _extents(f, given)
    with f.when(f.compare("ne", ndim, f.both(f.load(key, WORD), _INT))):
        f.ret(0)
    _when_shapes_differ(f, ndim, extents, f.add(key, 2 * WORD))
    f.ret(1)
    f.end()


def _scattered(module: Module) -> None:
    """``scattered(x, description, index, value, given, address, out, loop)``: write; 0 where the slow path must see it.

    Without a `value`, one row is at the address. With a `loop`, that is what writes to places.
    """
    f = module.function("scattered", "x", "description", "index", "value", "given", "address", "out", "loop")
    x, description, index, value, given, address, out, loop = f.parameters
    row = f.load(out, _PICKED["row"])
    job = _job(f, out, index, target=first_byte(f, x), places=f.words(MAX_PARTS + 2))
    masked = f.compare("ne", f.load(out, _PICKED["masked"]), 0)
    how, source = f.variable(2), f.variable(address)
    with f.when(f.compare("ne", value, 0)):
        single = f.compare("eq", f.load(given, DESCRIPTION["nbytes"]), f.load(given, DESCRIPTION["itemsize"]))
        with f.when(f.all(masked, f.value(f"xor i1 {single}, true"))):
            f.store(f.call("count_parts", job), out, _PICKED["key"] + 2 * WORD)
        how.set(f.call("pick_source", x, description, value, given, out))
        with f.when(f.compare("eq", how.get(), 0)):
            f.ret(0)
        source.set(first_byte(f, value))
    f.store(source.get(), job, JOB["source"])
    each = f.compare("eq", how.get(), 1)
    f.store(f.select(each, row, 0), job, JOB["step"])
    with f.when(masked):
        kernel = f.select(each, kernel_of(f, "expand", row), kernel_of(f, "fill", row))
        f.call("perform", job, kernel, 0)
        f.ret(1)
    with f.when(f.compare("ne", f.call("perform", job, f.address_of("check0"), 0), 0)):
        f.ret(0)
    f.call("perform", job, f.select(f.compare("eq", loop, 0), kernel_of(f, "put", row), loop), 1)
    f.ret(1)
    f.end()


def _pick_set(module: Module) -> None:
    """``pick_set(x, description, index, value, loop)``: assign; 0 for the slow path, or with an exception set.

    With a `loop`, which takes single elements, the index must be places.
    """
    f = module.function("pick_set", "x", "description", "index", "value", "loop")
    x, description, obj, given, loop = f.parameters
    index_at, axes_at, value_at, bits = (f.words(1) for _ in range(4))
    out = f.words(_PICKED_WORDS)
    index = f.call("pick_index", description, obj, index_at, axes_at)
    with f.when(f.compare("eq", index, 0)):
        f.ret(0)
    done = f.variable(0)
    resolved = f.call("resolve_pick", description, f.load(index_at), f.load(axes_at), out)
    single = f.compare("eq", f.load(out, _PICKED["row"]), f.load(description, DESCRIPTION["itemsize"]))
    by_places = f.all(single, f.compare("eq", f.load(out, _PICKED["masked"]), 0))
    with f.when(f.all(f.compare("ne", resolved, 0), f.any(f.compare("eq", loop, 0), by_places))):
        held = hold(f, x, index)
        with f.when(f.compare("ne", f.call("apart", x, description, index, f.load(index_at)), 0)):
            number = f.call("store_element", description, bits, given)
            with f.when(f.all(f.compare("ne", number, 0), single)):
                done.set(f.call("scattered", x, description, index, 0, 0, bits, out, loop))
            with f.when(f.compare("eq", number, 0)):
                value = f.call("as_tensor", given, value_at)
                with f.when(f.compare("ne", value, 0)):
                    kept = hold(f, value)
                    done.set(f.call("scattered", x, description, index, value, f.load(value_at), 0, out, loop))
                    release(f, [*kept, value])
        release(f, held)
    f.call("Py_DecRef", index)
    f.ret(done.get())
    f.end()


def _nonzero(module: Module) -> None:
    """``nonzero(module, mask)``: the places, as int64, where a vector of bools is true; None for all else."""
    f = module.function("nonzero", "module", "mask", export=True)
    _, obj = f.parameters
    index_at, result = f.words(1), f.variable(0)
    mask = f.call("as_tensor", obj, index_at)
    with f.when(f.compare("ne", mask, 0)):
        index = f.load(index_at)
        truth = f.compare("eq", f.load(index, DESCRIPTION["code"]), STORED_BOOL)
        with f.when(f.all(truth, f.compare("eq", ndim_of(f, index), 1))):
            held = hold(f, mask)
            result.set(f.call("numbered", mask, f.load(index, DESCRIPTION["nbytes"])))
            release(f, held)
        f.call("Py_DecRef", mask)
    with f.when(f.all(f.compare("eq", result.get(), 0), f.compare("eq", f.call("PyErr_Occurred"), 0))):
        f.call("Py_IncRef", f.state(STATE["none"]))
        result.set(f.state(STATE["none"]))
    f.ret(result.get())
    f.end()


def _numbered(module: Module) -> None:
    """``numbered(mask, count)``: a tensor of the places where a mask is true."""
    f = module.function("numbered", "mask", "count")
    mask, count = f.parameters
    job = new_job(f, count=count, row=WORD, index=first_byte(f, mask), places=f.words(MAX_PARTS + 2))
    made = f.call("new_vector", 0, f.call("count_parts", job))
    with f.when(f.compare("eq", made, 0)):
        f.ret(0)
    f.store(first_byte(f, made), job, JOB["target"])
    f.call("perform", job, f.address_of("number8"), 0)
    f.ret(made)
    f.end()
