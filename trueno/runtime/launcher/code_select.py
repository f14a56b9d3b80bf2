"""Native loops that move elements by places and masks, as text; large ones are spread over the team of threads.

Places are int64 and count from the end where negative. A mask is cut into parts: what is true in each is counted, and
each part then begins where those before it end, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trueno.runtime.launcher.abi import JOB, MAX_PARTS, PART_BYTES, PART_ROWS, STATE, WIDTHS, WORD
from trueno.runtime.launcher.emit import Function, Module

_AHEAD, _PLACES_AHEAD, _NEAR = 2048, 32, 1 << 19  # bytes, rows, bytes
_LOW_BITS, _LOW_SEVEN = 0x0101010101010101, 0x7F7F7F7F7F7F7F7F


def emit(module: Module) -> None:
    """Add ``take``, ``put``, ``compress``, ``expand`` and ``fill`` for each width of a row, and what runs them."""
    for width in WIDTHS:
        _take(module, width)
        _put(module, width)
        _compress(module, width)
        _expand(module, width)
        _fill(module, width)
    _check(module)
    _number(module)
    _join(module)
    _count(module)
    _serve(module)
    _perform(module)
    _count_parts(module)


def kernel_of(f: Function, name: str, row: str) -> str:
    """Emit the address of the loop for rows of so many bytes."""
    address = f.address_of(f"{name}0")
    for width in WIDTHS[1:]:
        address = f.select(f.compare("eq", row, width), f.address_of(f"{name}{width}"), address)
    return address


def new_job(f: Function, **fields: str | int) -> str:
    """Emit a job on the stack, cut into parts."""
    job = f.words(JOB["size"] // WORD)
    for name in ("places", "index", "source", "step", "target", "count", "extent", "row"):
        f.store(fields.get(name, 0), job, JOB[name])
    count, row = fields["count"], fields["row"]
    narrow = f.compare("ule", row, WIDTHS[-1])
    f.store(count, job, JOB["chunk"])
    f.store(1, job, JOB["parts"])
    with f.when(f.value(f"xor i1 {f.all(narrow, f.compare('ule', count, PART_ROWS))}, true")):
        rows = f.select(narrow, PART_ROWS, f.add(f.value(f"udiv i64 {PART_BYTES}, {f.select(narrow, 1, row)}"), 1))
        least = f.add(f.value(f"udiv i64 {count}, {MAX_PARTS}"), 1)
        chunk = f.select(f.compare("ugt", least, rows), least, rows)
        f.store(chunk, job, JOB["chunk"])
        f.store(f.value(f"udiv i64 {f.sub(f.add(count, chunk), 1)}, {chunk}"), job, JOB["parts"])
    return job


class RowLoop:
    """What loops over the rows of a part share: the job's fields, and moving rows of one width."""

    def __init__(self, module: Module, name: str, width: int) -> None:
        self.f = module.function(f"{name}{width}", "job", "first", "last", "part")
        self.job, self.first, self.last, self.part = self.f.parameters
        self.width = width
        self.row = self.field("row")

    def field(self, name: str) -> str:
        return self.f.load(self.job, JOB[name])

    def at(self, base: str, index: str) -> str:
        """Emit the address of a row."""
        return self.f.add(base, self.f.mul(index, self.width or self.row))

    def move(self, source: str, target: str) -> None:
        if self.width:
            self.f.store_bits(self.f.load_bits(source, self.width), target, self.width)
        else:
            self.f.call("memcpy", target, source, self.row)

    def place(self, index: str, number: str, extent: str) -> str:
        """Emit the place that a number of the index stands for; wrong ones are not below the extent."""
        given = self.f.element(index, number)
        return self.f.select(self.f.compare("slt", given, 0), self.f.add(given, extent), given)

    def fetch(self, array: str, numbers: list[str]) -> None:
        """Emit a hint that words further on in an array will be read, where several rows are done at a time.

        Loops of single words keep few lines of memory on their way; vectors would keep more.
        """
        if len(numbers) > 1:
            ahead = self.f.add(array, self.f.shift_left(numbers[0], 3))
            self.f.prefetch(self.f.add(ahead, _AHEAD))

    def fetch_places(self, array: str, numbers: list[str]) -> None:
        """Emit hints that the rows at places further on will be touched, in an array that is beyond the near caches."""
        if len(numbers) > 1:
            f, index = self.f, self.field("index")
            later = f.add(numbers[0], _PLACES_AHEAD)
            far = f.compare("ugt", f.mul(self.field("extent"), self.width or self.row), _NEAR)
            with f.when(f.all(far, f.compare("sle", f.add(later, len(numbers)), self.last))):
                for k in range(len(numbers)):
                    f.prefetch(self.at(array, f.element(index, f.add(later, k))))

    def chosen(self, mask: str, number: str) -> str:
        return self.f.value(f"icmp ne i8 {self.f.load_bits(self.f.add(mask, number), 1)}, 0")

    def each(self, body: Callable[[list[str]], None], together: int = 4) -> None:
        """Emit a body for the numbers of several rows of the part at a time, and for one at a time of what is left."""
        f, at = self.f, self.f.variable(self.first)
        for count in sorted({together, 1}, reverse=True):
            with f.forever() as steps:
                number = at.get()
                steps.leave_when(f.compare("sgt", f.add(number, count), self.last))
                body([f.add(number, k) for k in range(count)])
                at.increase(count)

    @contextmanager
    def each_until_found(self) -> Iterator[tuple[str, str]]:
        """Run the block for each row of the part, and the place among what is chosen; as long as some are left."""
        f = self.f
        places = f.add(self.field("places"), f.shift_left(self.part, 3))
        stop, at, found = f.load(places, WORD), f.variable(self.first), f.variable(f.load(places))
        with f.forever() as loop:
            number, k = at.get(), found.get()
            loop.leave_when(f.any(f.compare("sge", k, stop), f.compare("sge", number, self.last)))
            yield number, k
            found.increase(f.value(f"zext i1 {self.chosen(self.field('index'), number)} to i64"))
            at.increase(1)

    def end(self) -> None:
        self.f.ret(0)
        self.f.end()


def _take(module: Module, width: int) -> None:
    """Copy the rows at the places; note a place that does not exist, and stop."""
    loop = RowLoop(module, "take", width)
    f, extent, index = loop.f, loop.field("extent"), loop.field("index")
    source, target = loop.field("source"), loop.field("target")

    def copy(numbers: list[str]) -> None:
        places = [loop.place(index, number, extent) for number in numbers]
        with f.when(f.any(*[f.compare("uge", place, extent) for place in places])):
            f.store(1, loop.job, JOB["failed"])
            f.ret(0)
        for number, place in zip(numbers, places, strict=True):
            loop.move(loop.at(source, place), loop.at(target, number))

    loop.each(copy)
    loop.end()


def _put(module: Module, width: int) -> None:
    """Write rows to the places, all in order; one that was changed meanwhile, and does not exist, is passed."""
    loop = RowLoop(module, "put", width)
    f, extent, index = loop.f, loop.field("extent"), loop.field("index")
    source, target, step = f.variable(loop.field("source")), loop.field("target"), loop.field("step")

    def write(numbers: list[str]) -> None:
        loop.fetch_places(target, numbers)
        for number in numbers:
            place = loop.place(index, number, extent)
            with f.when(f.compare("ult", place, extent)):
                loop.move(source.get(), loop.at(target, place))
            source.increase(step)

    loop.each(write)
    loop.end()


def _check(module: Module) -> None:
    """``check0``: note a place that does not exist."""
    loop = RowLoop(module, "check", 0)
    f, extent, index = loop.f, loop.field("extent"), loop.field("index")
    wrong, span = f.variable(0), f.shift_left(extent, 1)

    def look(numbers: list[str]) -> None:
        loop.fetch(index, numbers)
        beyond = f.any(*[f.compare("uge", f.add(f.element(index, number), extent), span) for number in numbers])
        wrong.set(f.either(wrong.get(), f.value(f"zext i1 {beyond} to i64")))

    loop.each(look)
    with f.when(f.compare("ne", wrong.get(), 0)):
        f.store(1, loop.job, JOB["failed"])
    loop.end()


def _compress(module: Module, width: int) -> None:
    """Copy the rows where the mask is true, one behind the other."""
    loop = RowLoop(module, "compress", width)
    f, source, target = loop.f, loop.field("source"), loop.field("target")
    with loop.each_until_found() as (number, k):
        # A narrow row is written in any case, and again by the next one that is chosen: no branch can be mispredicted.
        if width:
            loop.move(loop.at(source, number), loop.at(target, k))
        else:
            with f.when(loop.chosen(loop.field("index"), number)):
                loop.move(loop.at(source, number), loop.at(target, k))
    loop.end()


def _expand(module: Module, width: int) -> None:
    """Write one row after the other where the mask is true."""
    loop = RowLoop(module, "expand", width)
    f, source, target = loop.f, loop.field("source"), loop.field("target")
    with loop.each_until_found() as (number, k):
        chosen = loop.chosen(loop.field("index"), number)
        given, address = loop.at(source, k), loop.at(target, number)
        if width:
            loop.move(f.select(chosen, given, address), address)
        else:
            with f.when(chosen):
                loop.move(given, address)
    loop.end()


def _fill(module: Module, width: int) -> None:
    """Write one and the same row where the mask is true."""
    loop = RowLoop(module, "fill", width)
    f, source, target, mask = loop.f, loop.field("source"), loop.field("target"), loop.field("index")
    with f.loop(loop.last, loop.first) as number:
        chosen, address = loop.chosen(mask, number), loop.at(target, number)
        if width:
            loop.move(f.select(chosen, source, address), address)
        else:
            with f.when(chosen):
                loop.move(source, address)
    loop.end()


def _number(module: Module) -> None:
    """``number8``: write the place of each true element of the mask, one behind the other."""
    loop = RowLoop(module, "number", 8)
    target = loop.field("target")
    with loop.each_until_found() as (number, k):
        loop.f.set_element(number, target, k)
    loop.end()


def _join(module: Module) -> None:
    """``join8``: what stands at `target` times the extent, and the place; at first, without a step, the place alone."""
    loop = RowLoop(module, "join", 8)
    f, extent, index, target = loop.f, loop.field("extent"), loop.field("index"), loop.field("target")
    keep = f.select(f.compare("eq", loop.field("step"), 0), 0, -1)
    with f.loop(loop.last, loop.first) as number:
        place = loop.place(index, number, extent)
        with f.when(f.compare("uge", place, extent)):
            f.store(1, loop.job, JOB["failed"])
            f.ret(0)
        before = f.both(f.element(target, number), keep)
        f.set_element(f.add(f.mul(before, extent), place), target, number)
    loop.end()


def _count(module: Module) -> None:
    """``count0``: the number of true elements of a part, into the word of `places` behind the part's own."""
    loop = RowLoop(module, "count", 0)
    f, mask, total = loop.f, loop.field("index"), loop.f.variable(0)
    length = f.sub(loop.last, loop.first)
    start, words = f.add(mask, loop.first), f.shift_right(length, 3)
    with f.loop(words) as number:
        # A byte of 0 gives 0, any other gives 1; the product adds the bytes up in the highest one.
        eight = f.element(start, number)
        carried = f.either(eight, f.add(f.both(eight, _LOW_SEVEN), _LOW_SEVEN))
        ones = f.both(f.shift_right(carried, 7), _LOW_BITS)
        total.increase(f.shift_right(f.mul(ones, _LOW_BITS), 56))
    with f.loop(length, f.shift_left(words, 3)) as number:
        total.increase(f.value(f"zext i1 {loop.chosen(start, number)} to i64"))
    f.set_element(total.get(), f.add(loop.field("places"), WORD), loop.part)
    loop.end()


def _serve(module: Module) -> None:
    """``serve(job, number)``: run parts of a job that nobody has begun; what a thread of the team is given."""
    f = module.function("serve", "job", "number")
    job, _ = f.parameters
    count, chunk = f.load(job, JOB["count"]), f.load(job, JOB["chunk"])
    counter = f.value(f"inttoptr i64 {f.add(job, JOB['next'])} to ptr")
    with f.forever() as loop:
        part = f.value(f"atomicrmw add ptr {counter}, i64 1 monotonic")
        loop.leave_when(f.compare("sge", part, f.load(job, JOB["parts"])))
        first = f.mul(part, chunk)
        last = f.add(first, chunk)
        f.call_address(
            f.load(job, JOB["kernel"]), job, first, f.select(f.compare("slt", last, count), last, count), part
        )
    f.ret(0)
    f.end()


def _perform(module: Module) -> None:
    """``perform(job, kernel, in_order)``: run a job; whether it noted a failure. Jobs of many parts let the GIL go."""
    f = module.function("perform", "job", "kernel", "in_order")
    job, kernel, in_order = f.parameters
    f.store(kernel, job, JOB["kernel"])
    f.store(0, job, JOB["failed"])
    f.store(0, job, JOB["next"])
    single = f.any(f.compare("ule", f.load(job, JOB["parts"]), 1), f.compare("ne", in_order, 0))
    with f.when(single):
        f.call_address(kernel, job, 0, f.load(job, JOB["count"]), 0)
        f.ret(f.load(job, JOB["failed"]))
    cell = f.state(STATE["threads"])
    with f.when(f.compare("eq", f.load(cell, WORD), 0)):
        made = f.call("PyObject_CallNoArgs", f.state(STATE["make_team"]))
        with f.when(f.compare("eq", made, 0)):
            f.call("PyErr_Clear")
        with f.when(f.compare("ne", made, 0)):
            f.call("Py_DecRef", made)
    threads, team = f.load(cell), f.load(cell, WORD)
    parts = f.load(job, JOB["parts"])
    used = f.select(f.compare("slt", threads, parts), threads, parts)
    alone = f.any(f.compare("sle", used, 1), f.compare("eq", team, 0))
    thread_state = f.call("PyEval_SaveThread")
    with f.when(alone):
        f.call("serve", job, 0)
    with f.when(f.value(f"xor i1 {alone}, true")):
        f.call_address(f.load(team), team, f.address_of("serve"), job, used)
    f.call("PyEval_RestoreThread", thread_state)
    f.ret(f.load(job, JOB["failed"]))
    f.end()


def _count_parts(module: Module) -> None:
    """``count_parts(job)``: fill a job's `places` with where each part of the mask begins; how many are true."""
    f = module.function("count_parts", "job")
    (job,) = f.parameters
    places = f.load(job, JOB["places"])
    f.store(0, places)
    f.call("perform", job, f.address_of("count0"), 0)
    total = f.variable(0)
    with f.loop(f.load(job, JOB["parts"])) as part:
        at = f.add(part, 1)
        total.increase(f.element(places, at))
        f.set_element(total.get(), places, at)
    f.ret(total.get())
    f.end()
