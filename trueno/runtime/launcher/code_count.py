"""Native code that adds up by places, as text: values added to elements of a vector, and sums of groups.

A sum that waits for the one before it, since both are of one group, takes as long as a store and a load of it. Where
there are few groups, neighbours therefore go to `_APART` tables, each with instructions of its own, which processors
take to be independent. Large vectors have tables for each of several blocks, which threads take. How many tables there
are depends on the number of elements and groups alone, and so do the bits of the result.
"""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    CAPSULE_POINTER,
    DESCRIPTION,
    FLAG_WRITEABLE,
    JOB,
    MAX_PARTS,
    OB_TYPE,
    PART_ROWS,
    STATE,
    STORED_FLOAT32,
    STORED_FLOAT64,
    STORED_SIGNED,
    WORD,
)
from trueno.runtime.launcher.code_array import is_tensor
from trueno.runtime.launcher.code_pick import first_byte, hold, is_places, ndim_of, release
from trueno.runtime.launcher.code_select import RowLoop, new_job
from trueno.runtime.launcher.emit import Function, Module, Variable, bits_of

_APART = 4
_FEW = 1 << 10
"""Groups of which `_APART` tables fit into a first-level cache."""
_BLOCKS = 8
_LANES = 4
_SPARE = 1 << 20
"""Groups that a table may have beyond 16 for each element; with more, most of it would be empty."""
_FLOATS = {WORD: "double", 4: "float"}


def emit(module: Module) -> None:
    """Add the builtins ``add_at`` and ``count``."""
    for width in _FLOATS:
        _add(module, "addf", width)
        _add(module, "addi", width)
    _add_at(module)
    _largest(module)
    for tables in (1, _APART):
        _tally(module, "tally", tables)
        _tally(module, "weigh", tables)
    _summed(module, "tally")
    _summed(module, "weigh")
    _tables(module)
    _counted(module)
    _count(module)


def _sum(f: Function, a: str, b: str, width: int, floats: bool, lanes: int = 1) -> str:
    """Emit the bits of the sum of two numbers, or vectors of them, that are given by theirs."""
    bits, kind = bits_of(width, lanes), bits_of(width, lanes).replace(f"i{8 * width}", _FLOATS[width])
    if not floats:
        return f.value(f"add {bits} {a}, {b}")
    left, right = (f.value(f"bitcast {bits} {one} to {kind}") for one in (a, b))
    return f.value(f"bitcast {kind} {f.value(f'fadd {kind} {left}, {right}')} to {bits}")


def _add(module: Module, name: str, width: int) -> None:
    """Add values to elements at places, all in order; one that was changed meanwhile, and does not exist, is passed."""
    loop = RowLoop(module, name, width)
    f, extent, index = loop.f, loop.field("extent"), loop.field("index")
    source, target, step = f.variable(loop.field("source")), loop.field("target"), loop.field("step")

    def add(numbers: list[str]) -> None:
        loop.fetch_places(target, numbers)
        for number in numbers:
            place = loop.place(index, number, extent)
            with f.when(f.compare("ult", place, extent)):
                address = loop.at(target, place)
                before, value = f.load_bits(address, width), f.load_bits(source.get(), width)
                f.store_bits(_sum(f, before, value, width, name == "addf"), address, width)
            source.increase(step)

    loop.each(add)
    loop.end()


def _add_at(module: Module) -> None:
    """``add_at(module, arguments, count)``: add a value, or one for each place, to elements of a vector, in order."""
    f = module.function("add_at", "module", "arguments", "count", export=True)
    _, arguments, count = f.parameters
    with f.when(f.compare("ne", count, 3)):
        f.ret(f.call("PyBool_FromLong", 0))
    x, done = f.load(arguments), f.variable(0)
    with f.when(is_tensor(f, x)), f.when(f.compare("ne", f.call("storage_of", x), 0)):
        description = f.call("description", x)
        with f.when(f.compare("eq", description, 0)):
            f.ret(0)
        loop = f.variable(0)
        code, itemsize = f.load(description, DESCRIPTION["code"]), f.load(description, DESCRIPTION["itemsize"])
        floats = f.any(f.compare("eq", code, STORED_FLOAT32), f.compare("eq", code, STORED_FLOAT64))
        for name, condition in (("addf", floats), ("addi", f.compare("sge", code, STORED_SIGNED))):
            for width in _FLOATS:
                with f.when(f.all(condition, f.compare("eq", itemsize, width))):
                    loop.set(f.address_of(f"{name}{width}"))
        flags = f.shift_right(f.load(description, DESCRIPTION["kind"]), 32)
        writable = f.compare("ne", f.both(flags, FLAG_WRITEABLE), 0)
        vector, known = f.compare("eq", ndim_of(f, description), 1), f.compare("ne", loop.get(), 0)
        untaped = f.compare("eq", f.load(x, f.state(STATE["autograd"])), 0)
        with f.when(f.all(writable, vector, known, untaped)):
            index, value = f.load(arguments, WORD), f.load(arguments, 2 * WORD)
            done.set(f.call("pick_set", x, description, index, value, loop.get()))
            with f.when(f.all(f.compare("eq", done.get(), 0), f.compare("ne", f.call("PyErr_Occurred"), 0))):
                f.ret(0)
            with f.when(f.all(f.compare("ne", done.get(), 0), f.compare("ne", f.call("watched", x), 0))):
                told = f.call("PyObject_CallOneArg", f.state(STATE["changed"]), x)
                with f.when(f.compare("eq", told, 0)):
                    f.ret(0)
                f.call("Py_DecRef", told)
    f.ret(f.call("PyBool_FromLong", done.get()))
    f.end()


def _largest(module: Module) -> None:
    """``largest8``: the largest of a part's words without a sign, into that of `places` behind the part's own."""
    loop = RowLoop(module, "largest", WORD)
    f, index = loop.f, loop.field("index")
    found = [f.variable(0) for _ in range(_APART)]

    def compare(numbers: list[str]) -> None:
        loop.fetch(index, numbers)
        for number, top in zip(numbers, found, strict=False):
            _raise(f, top, f.element(index, number))

    loop.each(compare, _APART)
    for other in found[1:]:
        _raise(f, found[0], other.get())
    f.set_element(found[0].get(), f.add(loop.field("places"), WORD), loop.part)
    loop.end()


def _raise(f: Function, top: Variable, value: str) -> None:
    """Emit the larger of a variable and a word, without a sign, into the variable."""
    top.set(f.select(f.compare("ugt", value, top.get()), value, top.get()))


def _tally(module: Module, name: str, tables: int) -> None:
    """``tally``, ``weigh``: count the elements of each group, or add their weights up, in tables of the part's own."""
    loop = RowLoop(module, name, tables)
    f, extent, index, weights = loop.f, loop.field("extent"), loop.field("index"), loop.field("source")
    nbytes = f.shift_left(extent, 3)
    total = f.mul(nbytes, tables)
    base = f.add(loop.field("target"), f.mul(loop.part, total))
    f.call("memset", base, 0, total)

    def add(numbers: list[str]) -> None:
        for streamed in (index, weights) if name == "weigh" else (index,):
            loop.fetch(streamed, numbers)
        for k, number in enumerate(numbers):
            group = f.element(index, number)
            # What another thread has changed meanwhile may not exist any more.
            with f.when(f.compare("ult", group, extent)):
                table = f.add(base, f.mul(nbytes, k % tables))
                value = f.element(weights, number) if name == "weigh" else "1"
                f.set_element(_sum(f, f.element(table, group), value, WORD, name == "weigh"), table, group)

    loop.each(add, _APART)
    loop.end()


def _summed(module: Module, name: str) -> None:
    """``tally_summed(tables, count, extent, target)``: the sum of tables, in order; ``weigh_summed`` that of floats."""
    f = module.function(f"{name}_summed", "tables", "count", "extent", "target")
    tables, count, extent, target = f.parameters
    nbytes = f.shift_left(extent, 3)
    f.call("memcpy", target, tables, nbytes)
    whole = f.both(extent, -_LANES)
    with f.loop(count, 1) as number:
        table = f.add(tables, f.mul(nbytes, number))
        with f.loop(f.shift_right(whole, _LANES.bit_length() - 1)) as vector:
            at = f.mul(vector, _LANES * WORD)
            before, value = (f.load_bits(f.add(base, at), WORD, _LANES) for base in (target, table))
            f.store_bits(_sum(f, before, value, WORD, name == "weigh", _LANES), f.add(target, at), WORD, _LANES)
        with f.loop(extent, whole) as group:
            before, value = f.element(target, group), f.element(table, group)
            f.set_element(_sum(f, before, value, WORD, name == "weigh"), target, group)
    f.ret(0)
    f.end()


def _tables(module: Module) -> None:
    """``tables_of(job, few, target, weighted)``: run a job over blocks and add their tables up at `target`."""
    f = module.function("tables_of", "job", "few", "target", "weighted")
    job, few, target, weighted = f.parameters
    each = f.select(f.compare("ne", few, 0), _APART, 1)
    extent, weighs = f.load(job, JOB["extent"]), f.compare("ne", weighted, 0)
    single = f.select(weighs, f.address_of("weigh1"), f.address_of("tally1"))
    several = f.select(weighs, f.address_of(f"weigh{_APART}"), f.address_of(f"tally{_APART}"))
    kernel = f.select(f.compare("ne", few, 0), several, single)
    count = f.mul(f.load(job, JOB["parts"]), each)
    with f.when(f.compare("eq", count, 1)):
        f.store(target, job, JOB["target"])
        f.call("perform", job, kernel, 0)
        f.ret(1)
    scratch = f.call("new_storage", f.shift_left(f.mul(count, extent), 3))
    with f.when(f.compare("eq", scratch, 0)):
        f.ret(0)
    memory = f.load(scratch, CAPSULE_POINTER)
    f.store(memory, job, JOB["target"])
    f.call("perform", job, kernel, 0)
    summed = f.select(weighs, f.address_of("weigh_summed"), f.address_of("tally_summed"))
    f.call_address(summed, memory, count, extent, target)
    f.call("Py_DecRef", scratch)
    f.ret(1)
    f.end()


def _counted(module: Module) -> None:
    """``counted(index, weights, count, extent)``: the tensor of `count`; 0 where that is not served, or failed."""
    f = module.function("counted", "index", "weights", "count", "extent")
    index, weights, count, least = f.parameters
    source, weighs = f.variable(0), f.compare("ne", weights, 0)
    with f.when(weighs):
        source.set(first_byte(f, weights))
    job = new_job(
        f, count=count, row=WORD, index=first_byte(f, index), source=source.get(), places=f.words(MAX_PARTS + 2)
    )
    f.call("perform", job, f.address_of("largest8"), 0)
    top, places = f.variable(0), f.add(f.load(job, JOB["places"]), WORD)
    with f.loop(f.load(job, JOB["parts"])) as part:
        _raise(f, top, f.element(places, part))
    # A negative number is as large as can be, without its sign.
    extent = f.variable(f.add(top.get(), 1))
    _raise(f, extent, least)
    _raise(f, top, least)
    with f.when(f.compare("ugt", top.get(), f.add(f.shift_left(count, 4), _SPARE))):
        f.ret(0)
    few = f.all(f.compare("sle", extent.get(), _FEW), f.compare("sle", f.mul(extent.get(), 2 * _APART), count))
    each, blocks = f.select(few, _APART, 1), f.variable(1)
    with f.when(f.compare("sgt", count, PART_ROWS)):
        blocks.set(_BLOCKS)
        with f.forever() as steps:
            words = f.mul(f.mul(extent.get(), each), f.mul(blocks.get(), 4))
            steps.leave_when(f.any(f.compare("sle", words, count), f.compare("eq", blocks.get(), 1)))
            blocks.set(f.shift_right(blocks.get(), 1))
    chunk = f.value(f"udiv i64 {f.sub(f.add(count, blocks.get()), 1)}, {blocks.get()}")
    f.store(chunk, job, JOB["chunk"])
    f.store(f.value(f"udiv i64 {f.sub(f.add(count, chunk), 1)}, {chunk}"), job, JOB["parts"])
    f.store(extent.get(), job, JOB["extent"])
    made = f.call("new_vector", weights, extent.get())
    with f.when(f.compare("eq", made, 0)):
        f.ret(0)
    target = first_byte(f, made)
    with f.when(f.compare("eq", f.call("tables_of", job, f.select(few, 1, 0), target, weights), 0)):
        f.call("Py_DecRef", made)
        f.ret(0)
    f.ret(made)
    f.end()


def _is_vector(f: Function, description: str, nbytes: str) -> str:
    same = f.compare("eq", f.load(description, DESCRIPTION["nbytes"]), nbytes)
    return f.all(f.compare("eq", ndim_of(f, description), 1), same)


def _count(module: Module) -> None:
    """``count(module, arguments, count)``: see trueno.runtime.memory; None where it is not served."""
    f = module.function("count", "module", "arguments", "count", export=True)
    _, arguments, given = f.parameters
    index_at, weights_at, overflow = f.words(1), f.words(1), f.words(1)
    result, extent = f.variable(0), f.variable(-1)
    with f.when(f.compare("eq", given, 3)):
        least = f.load(arguments, 2 * WORD)
        with f.when(f.compare("eq", f.load(least, OB_TYPE), f.state(STATE["int_type"]))):
            number = f.call("PyLong_AsLongLongAndOverflow", least, overflow)
            extent.set(f.select(f.compare("eq", f.load32(overflow), 0), number, -1))
    with f.when(f.compare("sge", extent.get(), 0)):
        index, wanted = f.call("as_tensor", f.load(arguments), index_at), f.load(arguments, WORD)
        with f.when(f.compare("ne", index, 0)):
            nbytes = f.load(f.load(index_at), DESCRIPTION["nbytes"])
            vector = _is_vector(f, f.load(index_at), nbytes)
            with f.when(f.all(vector, is_places(f, f.load(index_at)), f.compare("ne", nbytes, 0))):
                held, count = hold(f, index), f.shift_right(nbytes, 3)
                with f.when(f.compare("eq", wanted, f.state(STATE["none"]))):
                    result.set(f.call("counted", index, 0, count, extent.get()))
                with f.when(f.compare("ne", wanted, f.state(STATE["none"]))):
                    weights = f.call("as_tensor", wanted, weights_at)
                    with f.when(f.compare("ne", weights, 0)):
                        kind = f.load(weights_at)
                        double = f.compare("eq", f.load(kind, DESCRIPTION["code"]), STORED_FLOAT64)
                        untaped = f.compare("eq", f.load(weights, f.state(STATE["autograd"])), 0)
                        with f.when(f.all(double, untaped, _is_vector(f, kind, nbytes))):
                            kept = hold(f, weights)
                            result.set(f.call("counted", index, weights, count, extent.get()))
                            release(f, kept)
                        f.call("Py_DecRef", weights)
                release(f, held)
            f.call("Py_DecRef", index)
    with f.when(f.all(f.compare("eq", result.get(), 0), f.compare("eq", f.call("PyErr_Occurred"), 0))):
        f.call("Py_IncRef", f.state(STATE["none"]))
        result.set(f.state(STATE["none"]))
    f.ret(result.get())
    f.end()
