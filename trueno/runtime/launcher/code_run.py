"""Native code that runs a record: checks, scalars, results, scratch, kernel; as text."""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    CAPSULE_POINTER,
    OB_TYPE,
    OPERAND,
    OUTPUT,
    RECORD,
    REFUSED,
    SCALAR,
    STATE,
    WEAKREF_OBJECT,
    WORD,
)
from trueno.runtime.launcher.emit import Function, Module


def emit(module: Module) -> None:
    """Add ``run(record, args)``: the result, 0 with an exception set, or REFUSED."""
    _storage_of(module)
    _operands_fit(module)
    _refused_in_place(module)
    _fill_scalar(module)
    _new_tensor(module)
    _watched(module)
    _view_on(module)
    _run_view(module)
    _launch(module)
    _pack(module)
    _run(module)


def _storage_of(module: Module) -> None:
    """``storage_of(tensor)``: its storage, or 0 if it has none in CPU memory."""
    f = module.function("storage_of", "tensor")
    (tensor,) = f.parameters
    storage = f.load(tensor, f.state(STATE["storage"]))
    with f.when(f.compare("eq", storage, 0)):
        f.ret(0)
    with f.when(f.compare("ne", f.load(storage, OB_TYPE), f.state(STATE["capsule_type"]))):
        f.ret(0)
    f.ret(storage)
    f.end()


def _operands_fit(module: Module) -> None:
    """``operands_fit(record, args, nargs)``: 1 if the arguments' tensors have the layouts that the record is for."""
    f = module.function("operands_fit", "record", "args", "nargs", cold=True)
    record, args, nargs = f.parameters
    with f.when(f.compare("slt", nargs, f.load(record, RECORD["arity"]))):
        f.ret(0)
    operands = f.load(record, RECORD["operands"])
    with f.loop(f.load(record, RECORD["operand_count"])) as index:
        operand = f.add(operands, f.mul(index, OPERAND["size"]))
        tensor = f.element(args, f.load(operand, OPERAND["position"]))
        kind = f.load(tensor, OB_TYPE)
        foreign = f.compare("ne", kind, f.state(STATE["tensor_type"]))
        with f.when(foreign), f.when(f.compare("eq", f.call("is_subclass", kind), 0)):
            f.ret(0)
        with f.when(f.compare("ne", f.load(tensor, f.state(STATE["layout"])), f.load(operand, OPERAND["layout"]))):
            f.ret(0)
    f.ret(1)
    f.end()


def _refused_in_place(module: Module) -> None:
    """``refused_in_place(record, args)``: 1 if a target has a version counter or shares memory with another operand."""
    f = module.function("refused_in_place", "record", "args", cold=True)
    record, args = f.parameters
    operands, count = f.load(record, RECORD["operands"]), f.load(record, RECORD["operand_count"])
    addresses = f.words(count)
    with f.loop(count) as index:
        operand = f.add(operands, f.mul(index, OPERAND["size"]))
        tensor = f.element(args, f.load(operand, OPERAND["position"]))
        storage = f.call("storage_of", tensor)
        with f.when(f.compare("eq", storage, 0)):
            f.ret(1)
        f.set_element(f.load(storage, CAPSULE_POINTER), addresses, index)
        is_target = f.compare("ne", f.load(operand, OPERAND["target"]), 0)
        with f.when(is_target), f.when(f.compare("ne", f.call("watched", tensor), 0)):
            f.ret(1)
    with f.loop(count) as index:
        target = f.add(operands, f.mul(index, OPERAND["size"]))
        with f.when(f.compare("ne", f.load(target, OPERAND["target"]), 0)), f.loop(count) as other_index:
            other = f.add(operands, f.mul(other_index, OPERAND["size"]))
            with f.when(_clash(f, target, other, f.element(addresses, index), f.element(addresses, other_index))):
                f.ret(1)
    f.ret(0)
    f.end()


def _clash(f: Function, target: str, other: str, target_address: str, other_address: str) -> str:
    """Emit whether a target overlaps another operand that is not the very same array, merely read."""
    starts = f.compare(
        "slt",
        f.add(target_address, f.load(target, OPERAND["low"])),
        f.add(other_address, f.load(other, OPERAND["high"])),
    )
    ends = f.compare(
        "slt",
        f.add(other_address, f.load(other, OPERAND["low"])),
        f.add(target_address, f.load(target, OPERAND["high"])),
    )
    itself = f.compare("eq", target, other)
    same = f.all(
        f.compare("eq", target_address, other_address),
        f.compare("eq", f.load(target, OPERAND["layout"]), f.load(other, OPERAND["layout"])),
        f.compare("eq", f.load(other, OPERAND["target"]), 0),
    )
    return f.all(starts, ends, f.value(f"xor i1 {f.any(itself, same)}, true"))


def _fill_scalar(module: Module) -> None:
    """``fill_scalar(slot, args, destination)``: write the slot's 8 bytes; 1 if the operand does not fit it."""
    f = module.function("fill_scalar", "slot", "args", "destination")
    slot, args, destination = f.parameters
    operand = f.load(slot, SCALAR["operand"])
    with f.when(f.compare("slt", operand, 0)):
        f.store(f.load(slot, SCALAR["bits"]), destination)
        f.ret(0)
    obj = f.element(args, operand)
    kind = f.load(obj, OB_TYPE)
    is_float = f.compare("eq", kind, f.state(STATE["float_type"]))
    is_int = f.any(
        f.compare("eq", kind, f.state(STATE["int_type"])), f.compare("eq", kind, f.state(STATE["bool_type"]))
    )
    integer = f.load(slot, SCALAR["integer"])
    with f.when(f.compare("eq", integer, 0)):
        with f.when(is_float):
            f.store(f.call_double("PyFloat_AsDouble", obj), destination)
            f.ret(0)
        with f.when(is_int):
            bits = f.call_double("PyLong_AsDouble", obj)
            minus_one = f.compare("eq", bits, -0x4010000000000000)
            with f.when(f.all(minus_one, f.compare("ne", f.call("PyErr_Occurred"), 0))):
                f.call("PyErr_Clear")
                f.ret(1)
            f.store(bits, destination)
            f.ret(0)
        f.ret(1)
    with f.when(is_int):
        overflow = f.words(1)
        value = f.call("PyLong_AsLongLongAndOverflow", obj, overflow)
        fits = f.all(
            f.compare("eq", f.load32(overflow), 0),
            f.compare("sge", value, f.load(slot, SCALAR["low"])),
            f.compare("sle", value, f.load(slot, SCALAR["high"])),
        )
        with f.when(fits):
            f.store(value, destination)
            f.ret(0)
    f.ret(1)
    f.end()


def _new_tensor(module: Module) -> None:
    """``new_tensor(storage, layout)``: a plain Tensor; takes over the reference to the storage, also on failure."""
    f = module.function("new_tensor", "storage", "layout")
    storage, layout = f.parameters
    with f.when(f.compare("eq", storage, 0)):
        f.ret(0)
    # The allocation may run the garbage collector, which may drop whatever else held the layout.
    f.call("Py_IncRef", layout)
    tensor = f.call("PyType_GenericAlloc", f.state(STATE["tensor_type"]), 0)
    with f.when(f.compare("eq", tensor, 0)):
        f.call("Py_DecRef", layout)
        f.call("Py_DecRef", storage)
        f.ret(0)
    f.store(storage, tensor, f.state(STATE["storage"]))
    f.store(layout, tensor, f.state(STATE["layout"]))
    f.ret(tensor)
    f.end()


def _run_view(module: Module) -> None:
    """``run_view(record, args)``: the view that a record stands for."""
    f = module.function("run_view", "record", "args", cold=True)
    record, args = f.parameters
    source = f.element(args, f.load(f.load(record, RECORD["operands"]), OPERAND["position"]))
    storage = f.call("storage_of", source)
    with f.when(f.compare("eq", storage, 0)):
        f.ret(REFUSED)
    layout = f.load(f.load(record, RECORD["outputs"]), OUTPUT["layout"])
    f.ret(f.call("view_on", source, storage, f.load(record, RECORD["meta"]), layout))
    f.end()


def _watched(module: Module) -> None:
    """``watched(tensor)``: whether who writes to it must look at its version (runtime/inplace).

    So it is where changes are counted, where writes were recorded, and for a view of what takes part in autograd.
    """
    f = module.function("watched", "tensor")
    (tensor,) = f.parameters
    version = f.load(tensor, f.state(STATE["version"]))
    with f.when(f.compare("eq", version, 0)):
        f.ret(0)
    for slot in ("next_version", "written", "counter"):
        with f.when(f.compare("ne", f.load(version, f.state(STATE[slot])), 0)):
            f.ret(1)
    base = f.load(version, WEAKREF_OBJECT)
    with f.when(f.any(f.compare("eq", base, tensor), f.compare("eq", base, f.state(STATE["none"])))):
        f.ret(0)
    f.ret(f.select(f.compare("ne", f.load(base, f.state(STATE["autograd"])), 0), 1, 0))
    f.end()


def _view_on(module: Module) -> None:
    """``view_on(source, storage, offset, layout)``: a Tensor on another's memory and with its version counter."""
    f = module.function("view_on", "source", "storage", "offset", "layout")
    source, storage, offset, layout = f.parameters
    tensor = f.call("new_tensor", f.call("new_view", storage, offset), layout)
    with f.when(f.compare("ne", tensor, 0)):
        with f.when(f.compare("eq", f.load(source, f.state(STATE["version"])), 0)):
            made = f.call("PyObject_CallOneArg", f.state(STATE["version_type"]), source)
            with f.when(f.compare("eq", made, 0)):
                f.call("Py_DecRef", tensor)
                f.ret(0)
            f.store(made, source, f.state(STATE["version"]))
        version = f.load(source, f.state(STATE["version"]))
        f.call("Py_IncRef", version)
        f.store(version, tensor, f.state(STATE["version"]))
    f.ret(tensor)
    f.end()


def _launch(module: Module) -> None:
    """``launch_parallel(record, buffers, scalars, held, count)``: run the kernel on all threads without the GIL.

    The storages in `held` are kept alive: without the GIL another thread may give an operand a new one.
    """
    f = module.function("launch_parallel", "record", "buffers", "scalars", "held", "count", cold=True)
    record, buffers, scalars, held, count = f.parameters
    with f.loop(count) as index:
        f.call("Py_IncRef", f.element(held, index))
    kernel, meta = f.load(record, RECORD["kernel"]), f.load(record, RECORD["meta"])
    cell = f.state(STATE["threads"])
    threads, team = f.load(cell), f.load(cell, WORD)
    thread_state = f.call("PyEval_SaveThread")
    f.call_address(kernel, buffers, meta, scalars, threads, team)
    f.call("PyEval_RestoreThread", thread_state)
    with f.loop(count) as index:
        f.call("Py_DecRef", f.element(held, index))
    f.ret(0)
    f.end()


def _run(module: Module) -> None:
    f = module.function("run", "record", "args")
    record, args = f.parameters
    with f.when(f.compare("ne", f.load(record, RECORD["view"]), 0)):
        f.ret(f.call("run_view", record, args))
    in_place = f.compare("ne", f.load(record, RECORD["in_place"]), 0)
    with f.when(in_place), f.when(f.compare("ne", f.call("refused_in_place", record, args), 0)):
        f.ret(REFUSED)
    scalar_count = f.load(record, RECORD["scalar_count"])
    scalars = f.words(scalar_count)
    slots = f.load(record, RECORD["scalars"])
    with f.loop(scalar_count) as index:
        slot = f.add(slots, f.mul(index, SCALAR["size"]))
        misfit = f.call("fill_scalar", slot, args, f.add(scalars, f.shift_left(index, 3)))
        with f.when(f.compare("ne", misfit, 0)):
            f.ret(REFUSED)
    owner = f.load(record, RECORD["owner"])
    f.call("Py_IncRef", owner)
    result = _run_held(f, record, args, scalars)
    f.call("Py_DecRef", owner)
    f.ret(result)
    f.end()


def _run_held(f: Function, record: str, args: str, scalars: str) -> str:
    """Emit results, buffers, kernel and the packing of the results; the record is kept alive by a reference."""
    result = f.variable(0)
    output_count = f.load(record, RECORD["output_count"])
    results = f.words(output_count)
    made = _results(f, record, args, results)
    complete = f.variable(f.select(f.compare("eq", made, output_count), 1, 0))
    with f.when(f.compare("ne", complete.get(), 0)):
        tensor_count, scratch_count = f.load(record, RECORD["tensor_count"]), f.load(record, RECORD["scratch_count"])
        held_count = f.add(tensor_count, output_count)
        held = f.words(held_count)
        buffers = f.words(f.add(held_count, scratch_count))
        operands = f.load(record, RECORD["operands"])
        with f.loop(held_count) as index:
            # The operands' storages are read after the last allocation, which may have run a destructor of anything.
            tensor = f.variable(0)
            with f.when(f.compare("slt", index, tensor_count)):
                operand = f.add(operands, f.mul(index, OPERAND["size"]))
                tensor.set(f.element(args, f.load(operand, OPERAND["position"])))
            with f.when(f.compare("sge", index, tensor_count)):
                tensor.set(f.element(results, f.sub(index, tensor_count)))
            storage = f.call("storage_of", tensor.get())
            with f.when(f.compare("eq", storage, 0)):
                complete.set(0)
            with f.when(f.compare("ne", storage, 0)):
                f.set_element(storage, held, index)
                f.set_element(f.load(storage, CAPSULE_POINTER), buffers, index)
        with f.when(f.compare("eq", complete.get(), 0)):
            result.set(REFUSED)
        with f.when(f.compare("ne", complete.get(), 0)):
            complete.set(_launch_with_scratch(f, record, buffers, scalars, held, held_count))
    with f.when(f.compare("eq", complete.get(), 0)), f.loop(made) as index:
        f.call("Py_DecRef", f.element(results, index))
    with f.when(f.compare("ne", complete.get(), 0)):
        single = f.load(record, RECORD["single"])
        with f.when(f.compare("ne", single, 0)):
            result.set(f.load(results))
        with f.when(f.compare("eq", single, 0)):
            result.set(f.call("pack", output_count, results))
    return result.get()


def _results(f: Function, record: str, args: str, results: str) -> str:
    """Emit the making of the results; the number made before one failed is returned."""
    made, going = f.variable(0), f.variable(1)
    output_count, outputs = f.load(record, RECORD["output_count"]), f.load(record, RECORD["outputs"])
    with f.forever() as loop:
        loop.leave_when(f.compare("eq", going.get(), 0))
        loop.leave_when(f.compare("sge", made.get(), output_count))
        output = f.add(outputs, f.mul(made.get(), OUTPUT["size"]))
        alias = f.load(output, OUTPUT["alias"])
        tensor = f.variable(0)
        with f.when(f.compare("sge", alias, 0)):
            tensor.set(f.element(args, alias))
            f.call("Py_IncRef", tensor.get())
        with f.when(f.compare("slt", alias, 0)):
            storage = f.call("new_storage", f.load(output, OUTPUT["nbytes"]))
            tensor.set(f.call("new_tensor", storage, f.load(output, OUTPUT["layout"])))
        f.set_element(tensor.get(), results, made.get())
        with f.when(f.compare("eq", tensor.get(), 0)):
            going.set(0)
        made.increase(going.get())
    return made.get()


def _launch_with_scratch(f: Function, record: str, buffers: str, scalars: str, held: str, held_count: str) -> str:
    """Emit scratch and kernel; 1, or 0 with MemoryError set."""
    scratch_count, sizes = f.load(record, RECORD["scratch_count"]), f.load(record, RECORD["scratch"])
    area = f.add(buffers, f.shift_left(held_count, 3))
    taken, going = f.variable(0), f.variable(1)
    with f.forever() as loop:
        loop.leave_when(f.compare("eq", going.get(), 0))
        loop.leave_when(f.compare("sge", taken.get(), scratch_count))
        block = f.call("take", f.element(sizes, taken.get()))
        f.set_element(block, area, taken.get())
        with f.when(f.compare("eq", block, 0)):
            f.call("PyErr_NoMemory")
            going.set(0)
        taken.increase(going.get())
    with f.when(f.compare("ne", going.get(), 0)):
        parallel = f.load(record, RECORD["parallel"])
        with f.when(f.compare("ne", parallel, 0)):
            f.call("launch_parallel", record, buffers, scalars, held, held_count)
        with f.when(f.compare("eq", parallel, 0)):
            kernel, meta = f.load(record, RECORD["kernel"]), f.load(record, RECORD["meta"])
            f.call_address(kernel, buffers, meta, scalars, 1, f.load(f.state(STATE["threads"]), WORD))
    with f.loop(taken.get()) as index:
        f.call("give", f.element(area, index), f.element(sizes, index))
    return going.get()


def _pack(module: Module) -> None:
    """``pack(count, results)``: a tuple of the results; takes over the references."""
    f = module.function("pack", "count", "results", cold=True)
    count, results = f.parameters
    pack = f.call("PyTuple_New", count)
    with f.loop(count) as index:
        item = f.element(results, index)
        with f.when(f.compare("eq", pack, 0)):
            f.call("Py_DecRef", item)
        with f.when(f.compare("ne", pack, 0)):
            f.call_int("PyTuple_SetItem", pack, index, item)
    f.ret(pack)
    f.end()
