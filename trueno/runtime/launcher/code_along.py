"""Native code of reading by places in an axis that is not the first, ``x[:, places]``, as text."""

from __future__ import annotations

from trueno.runtime.launcher.abi import (
    DESCRIPTION,
    FLAG_ALIGNED,
    FLAG_WRITEABLE,
    JOB,
    MAX_DIMENSIONS,
    OB_SIZE,
    OB_TYPE,
    SLICE_START,
    STATE,
    WIDTHS,
    WORD,
)
from trueno.runtime.launcher.code_pick import first_byte, hold, is_places, ndim_of, release
from trueno.runtime.launcher.code_select import RowLoop, kernel_of, new_job
from trueno.runtime.launcher.emit import Module


def emit(module: Module) -> None:
    """Add ``pick_along`` and its loops."""
    for width in WIDTHS:
        _along(module, width)
    _taken_along(module)
    _pick_along(module)


def _along(module: Module, width: int) -> None:
    """Copy the rows at the places of each plane, `step` of them; note a place that does not exist, and stop.

    What is before the axis numbers the planes, what is behind it is a row.
    """
    loop = RowLoop(module, "along", width)
    f, extent, index, count = loop.f, loop.field("extent"), loop.field("index"), loop.field("step")
    first, last = loop.first, loop.last
    source, target = loop.field("source"), loop.field("target")
    with f.loop(last, first) as plane:
        given, made = loop.at(source, f.mul(plane, extent)), loop.at(target, f.mul(plane, count))

        def copy(numbers: list[str]) -> None:
            places = [loop.place(index, number, extent) for number in numbers]
            with f.when(f.any(*[f.compare("uge", place, extent) for place in places])):
                f.store(1, loop.job, JOB["failed"])
                f.ret(0)
            for number, place in zip(numbers, places, strict=True):
                loop.move(loop.at(given, place), loop.at(made, number))

        loop.first, loop.last = "0", count
        loop.each(copy)
    loop.end()


def _taken_along(module: Module) -> None:
    """``taken_along(x, description, index, places, axis)``: a tensor of the rows; 0 where a place does not exist.

    `places` is the description of the index.
    """
    f = module.function("taken_along", "x", "description", "index", "places", "axis")
    x, description, index, places, axis = f.parameters
    ndim, new = ndim_of(f, description), ndim_of(f, places)
    extents, index_extents = (f.add(one, DESCRIPTION["size"]) for one in (description, places))
    itemsize, key = f.load(description, DESCRIPTION["itemsize"]), f.words(2 + 2 * MAX_DIMENSIONS)
    f.store(f.load(description, DESCRIPTION["dtype"]), key)
    total = f.sub(f.add(ndim, new), 1)
    f.store(f.either(total, (FLAG_ALIGNED | FLAG_WRITEABLE) << 32), key, WORD)
    planes = f.variable(1)
    with f.loop(axis) as k:
        planes.set(f.mul(planes.get(), f.element(extents, k)))
        f.set_element(f.element(extents, k), key, f.add(k, 2))
    with f.loop(new) as k:
        f.set_element(f.element(index_extents, k), key, f.add(f.add(axis, k), 2))
    with f.loop(ndim, f.add(axis, 1)) as k:
        f.set_element(f.element(extents, k), key, f.add(f.add(k, new), 1))
    made = f.call("new_dense", f.load(x, f.state(STATE["layout"])), key, itemsize)
    with f.when(f.compare("eq", made, 0)):
        f.ret(0)
    extent, count = f.element(extents, axis), f.shift_right(f.load(places, DESCRIPTION["nbytes"]), 3)
    row = f.value(f"udiv i64 {f.load(description, DESCRIPTION['nbytes'])}, {f.mul(planes.get(), extent)}")
    memory = {"index": first_byte(f, index), "source": first_byte(f, x), "target": first_byte(f, made)}
    job = new_job(f, count=planes.get(), row=f.mul(count, row), extent=extent, step=count, **memory)
    f.store(row, job, JOB["row"])
    with f.when(f.compare("ne", f.call("perform", job, kernel_of(f, "along", row), 0), 0)):
        f.call("Py_DecRef", made)
        f.ret(0)
    f.ret(made)
    f.end()


def _pick_along(module: Module) -> None:
    """``pick_along(x, description, items)``: what whole slices and then places select; 0 for the slow path."""
    f = module.function("pick_along", "x", "description", "items")
    x, description, items = f.parameters
    count, ndim, first = f.load(items, OB_SIZE), ndim_of(f, description), f.add(items, f.state(STATE["tuple_items"]))
    axis, none = f.sub(count, 1), f.state(STATE["none"])
    with f.when(f.any(f.compare("slt", axis, 1), f.compare("sgt", count, ndim))):
        f.ret(0)
    with f.loop(axis) as k:
        item = f.element(first, k)
        with f.when(f.compare("ne", f.load(item, OB_TYPE), f.state(STATE["slice_type"]))):
            f.ret(0)
        bounds = [f.compare("ne", f.load(item, SLICE_START + word * WORD), none) for word in range(3)]
        with f.when(f.any(*bounds)):
            f.ret(0)
    index_at = f.words(1)
    index = f.call("as_tensor", f.element(first, axis), index_at)
    with f.when(f.compare("eq", index, 0)):
        f.ret(0)
    places, result = f.load(index_at), f.variable(0)
    index_ndim, nbytes = ndim_of(f, places), f.load(description, DESCRIPTION["nbytes"])
    few = f.compare("sle", f.add(ndim, index_ndim), MAX_DIMENSIONS // 2)
    dense = f.compare("ne", f.load(description, DESCRIPTION["dense"]), 0)
    some = [f.compare("ne", one, 0) for one in (index_ndim, nbytes, f.load(places, DESCRIPTION["nbytes"]))]
    with f.when(f.all(is_places(f, places), few, dense, *some)):
        held = hold(f, x, index)
        result.set(f.call("taken_along", x, description, index, places, axis))
        release(f, held)
    f.call("Py_DecRef", index)
    f.ret(result.get())
    f.end()
