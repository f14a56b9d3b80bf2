"""Kernels on an OpenCL device: planned, printed, built or loaded from the store, and launched."""

from __future__ import annotations

import ctypes
import math
import re
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt
from trueno.codegen import opencl as printer
from trueno.codegen import stage as stages
from trueno.codegen.formula import formula, formula_text, is_composite
from trueno.codegen.opencl import Form, Mode
from trueno.codegen.plan import Limits, Plan, plan
from trueno.codegen.stage import Loops
from trueno.ir.simplify import simplify
from trueno.ir.text import to_text
from trueno.runtime import store_folder
from trueno.runtime.layout import Layout, layout_of
from trueno.runtime.opencl import OpenCLBuildError
from trueno.runtime.store import Key, Store, default_store

if TYPE_CHECKING:
    from trueno.codegen.expr import Expr
    from trueno.ir.node import Kernel, Node
    from trueno.runtime.opencl import OpenCLDevice, OpenCLKernel, OpenCLProgram, OpenCLStorage

__all__ = ["OPTIONS", "OpenCLEntry", "bind"]

OPTIONS = ("-cl-std=CL1.2",)
"""Options of every build. None of those that trade accuracy for speed is among them."""

_GROUP = 256
"""Most work-items that share a row: what every driver allows without being asked for more."""

_ELEMENTS = 8
"""Elements of a row that each of the items sharing it gets at least, if the row is not too short."""

_COLUMN_GROUP = 64
"""Work-items of a group whose items handle a column each."""

_MANY = 1 << 16
"""From this many rows on, a work-group of a graphics processor takes many of those that have a work-item each."""


class _Program:
    """A program on one device, its kernels, and what is to be stored once it has run.

    Attributes
    ----------
    program : OpenCLProgram
    pending : tuple of (Key, dict) or None
        Key and header of the store's entry, until it is saved.
    """

    def __init__(self, program: OpenCLProgram, pending: tuple[Key, dict[str, Any]] | None) -> None:
        self.program, self.pending = program, pending
        self._kernels: dict[str, OpenCLKernel] = {}

    def kernel(self, name: str, signature: str) -> OpenCLKernel:
        """Return the one kernel object of a function."""
        found = self._kernels.get(name)
        if found is None:
            found = self._kernels[name] = self.program.kernel(name, signature)
        return found

    def save(self) -> None:
        """Store what was built. Called after a launch: see `OpenCLProgram.binary`."""
        with _lock:
            pending, self.pending = self.pending, None
        if pending is not None:
            key, header = pending
            default_store().save(key, self.program.binary, header)


_lock = threading.RLock()
_programs: weakref.WeakKeyDictionary[OpenCLDevice, dict[str, _Program]] = weakref.WeakKeyDictionary()


@dataclass(slots=True)
class _Step:
    """One launch of an entry.

    Attributes
    ----------
    kernel : OpenCLKernel
    buffers : tuple of int
        Which of the call's buffers (operands, outputs, scratch) each access reads or writes.
    numbers : bytes or OpenCLStorage
        The stage's run-time numbers.
    slots : tuple of int
        The scalar slots that it takes.
    global_size, local_size : tuple of int
    """

    kernel: OpenCLKernel
    buffers: tuple[int, ...]
    numbers: Any
    slots: tuple[int, ...]
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]


@dataclass(slots=True)
class OpenCLEntry:
    """One kernel bound to exact layouts on a device. Made by `bind`.

    Attributes
    ----------
    device : OpenCLDevice
    outputs : tuple of Layout
        Layouts of the results.
    results : tuple of (int, int)
        For each output the tensor in whose memory it is written, or -1, and its bytes.
    scratch : tuple of int
        Bytes of each scratch buffer.
    key : Key
        The program's key in the store.
    source : str
        OpenCL C text; empty if the program came from the store.
    """

    device: OpenCLDevice
    outputs: tuple[Layout, ...]
    results: tuple[tuple[int, int], ...]
    scratch: tuple[int, ...]
    key: Key
    source: str = ""
    _scalars: list[tuple[int, Callable[[Any], Any], Any]] = field(default_factory=list)
    _steps: list[_Step] = field(default_factory=list)
    _program: Any = None

    def run(self, tensors: Sequence[OpenCLStorage], scalars: Sequence[Any] = ()) -> list[OpenCLStorage]:
        """Put the kernel's launches into the device's queue and return the outputs' storages at once.

        Parameters
        ----------
        tensors : sequence of OpenCLStorage
            One for each array operand, in order.
        scalars : sequence of bool, int or float
            One for each Python scalar among the operands, in order.

        Raises
        ------
        OverflowError
            An integer does not fit the dtype that it is used in.
        MemoryError, OpenCLError
            From the device.
        """
        device = self.device
        outputs = [tensors[alias] if alias >= 0 else device.allocate(nbytes) for alias, nbytes in self.results]
        buffers = [*tensors, *outputs, *(device.allocate(nbytes) for nbytes in self.scratch)]
        values = [fixed if position < 0 else convert(scalars[position]) for position, convert, fixed in self._scalars]
        for step in self._steps:
            arguments = [buffers[k] for k in step.buffers]
            arguments.append(step.numbers)
            arguments += [values[k] for k in step.slots]
            step.kernel.enqueue(arguments, step.global_size, step.local_size)
        if self._program.pending is not None and all(step.global_size[0] for step in self._steps):
            self._program.save()
        return outputs


def _integer(dtype: np.dtype) -> Callable[[Any], int]:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max

    def convert(value: Any) -> int:
        whole = int(value)
        if not low <= whole <= high:
            raise OverflowError(f"Python integer {whole} out of bounds for {dtype}")
        return whole

    return convert


def _bits(dtype: np.dtype) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        with np.errstate(over="ignore"):
            return int(np.asarray(value, dtype).view(np.uint16))

    return convert


def _converter(dtype: np.dtype) -> Callable[[Any], Any]:
    """Return the function that makes a kernel's argument of this dtype from a Python number."""
    if dtype in dt.HALF:
        return _bits(dtype)
    if dtype == dt.float32:
        return lambda value: ctypes.c_float(value).value
    if dtype == dt.float64:
        return float
    if dtype == dt.bool_:
        return lambda value: int(bool(value))
    return _integer(dtype)


def _form(device: OpenCLDevice) -> Form:
    limits = device.limits
    return Form(
        cpu=device.record["type"] == "CPU",
        fp64=device.features.fp64,
        group=min(_GROUP, limits.work_group_size, limits.work_item_sizes[0]),
        parameters=limits.max_parameter_bytes,
    )


def _limits(device: OpenCLDevice) -> Limits:
    """Return what the planner is to know of the device: a graphics processor wants more and smaller pieces of work."""
    units = device.limits.compute_units
    if device.record["type"] == "CPU":
        return Limits(split_tasks=max(16, 4 * units), rows=64)
    return Limits(split_tasks=4 * max(units, 16), block=8192, columns=_COLUMN_GROUP, rows=64)


def _check(planned: Plan, loops: Sequence[Loops], device: OpenCLDevice) -> None:
    """Raise where a kernel needs float64 and the device has none."""
    if device.features.fp64:
        return
    for one in loops:
        needing = [
            expr.op.name if expr.op else ""
            for expr in one.order
            if dt.float64 in (expr.dtype, *(s.dtype for s in expr.src), *(node.dtype for node in _expansion(expr)))
        ]
        if needing:
            name = next(filter(None, needing), one.stage.name)
            device.require("fp64", name if name == planned.kernel.name else f"{name} in {planned.kernel.name}")


def _expansion(expr: Expr) -> tuple[Node, ...]:
    """Return the nodes of a composite row's expansion, none for a row that is a template."""
    if expr.kind != "op" or expr.op is None or not is_composite(expr.op, "opencl"):
        return ()
    return formula(expr.op, "opencl", tuple(source.dtype for source in expr.src), expr.dtype)


def _rows(loops: Sequence[Loops]) -> str:
    """Return the templates and expansions that the stages' code is made of, as text."""
    found: dict[str, None] = {}
    for expr in (expr for stage in loops for expr in stage.order):
        row = expr.op if expr.kind == "op" else expr.op.combine if expr.op else None
        if row is None:
            continue
        if is_composite(row, "opencl"):
            found[formula_text(row, "opencl", tuple(source.dtype for source in expr.src), expr.dtype)] = None
        for one in (row, *(node.op for node in _expansion(expr))):
            if one.kind == "elementwise" and not is_composite(one, "opencl"):
                found[f"{one.name}: {one.opencl}"] = None
    return "\n".join(found)


def _slug(device: OpenCLDevice) -> str:
    return re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")[:60] or "device"


def _sizes(loops: Loops, mode: Mode, form: Form) -> tuple[tuple[int], tuple[int]]:
    """Return global and local size of a stage's launch."""
    tasks = loops.count_tasks(1, 1)
    if mode.task == "group":
        length = min(loops.inner[-1], loops.stage.block or loops.inner[-1])
        local = min(max(1 << math.ceil(math.log2(max(length / _ELEMENTS, 1))), 32), form.group)
        return (tasks * local,), (local,)
    if mode.task == "row":
        # Each item has much to do: on a processor, where a group runs on one core, every row is a group of its own.
        return (tasks,), (1 if form.cpu else min(_GROUP if tasks >= _MANY else 32, form.group),)
    return (tasks,), (min(_COLUMN_GROUP if mode.task == "column" else _GROUP, form.group),)


def _describe(planned: Plan, loops: Sequence[Loops], modes: Sequence[Mode]) -> str:
    """Return the plan in words, a line for each stage."""
    lines = [
        f"{one.stage.name}: {mode.task}, outer {one.outer}, inner {one.inner}"
        f"{f', in blocks of {one.stage.block}' if one.stage.block else ''}"
        for one, mode in zip(loops, modes, strict=True)
    ]
    return "\n".join([*lines, *(f"scratch: {nbytes} bytes" for nbytes in planned.scratch)])


def _load(store: Store, key: Key, device: OpenCLDevice) -> OpenCLProgram | None:
    """Return the program that the store holds for a key, None if there is none that the driver takes."""
    stored = store.load(key)
    if stored is None:
        return None
    try:
        return device.load(stored.code, OPTIONS)
    except OpenCLBuildError as error:
        store_folder.warn_once(
            "driver", f"kernel cache: {device} does not take {stored.path}; it was compiled anew ({error.log.strip()})"
        )
        return None


def _program(
    key: Key, device: OpenCLDevice, source: Callable[[], str], header: Callable[[], dict[str, Any]]
) -> _Program:
    """Return the program of a key: loaded before in this process, from the store, or built now."""
    with _lock:
        known = _programs.setdefault(device, {})
        found = known.get(key.digest)
        if found is None:
            loaded = _load(default_store(), key, device)
            if loaded is not None:
                found = _Program(loaded, None)
            else:
                text = source()
                begin = time.perf_counter()
                built = device.build(text, OPTIONS)
                seconds = time.perf_counter() - begin
                found = _Program(
                    built, (key, {**header(), "source": text, "log": built.log, "compile_seconds": seconds})
                )
            known[key.digest] = found
        return found


def bind(
    kernel: Kernel, layouts: Sequence[Layout | None], aliases: Sequence[int] | None, device: OpenCLDevice
) -> OpenCLEntry:
    """Prepare a kernel for operands of these layouts on a device.

    Parameters
    ----------
    kernel : Kernel
    layouts : sequence of Layout or None
        One for each operand of the call; None for a Python scalar.
    aliases : sequence of int or None
        For each output the operand whose memory it overwrites, or -1. None: all outputs are new.
    device : OpenCLDevice

    Returns
    -------
    OpenCLEntry

    Raises
    ------
    OpenCLUnsupportedError
        The kernel computes in float64, and the device cannot. A TypeError.
    OpenCLBuildError
        The driver's compiler refused the program.
    """
    aliases = [-1] * len(kernel.outputs) if aliases is None else list(aliases)
    planned = plan(simplify(kernel), layouts, aliases, _limits(device))
    loops = [stages.normalise(stage) for stage in planned.stages]
    _check(planned, loops, device)
    form = replace(_form(device), narrow=all(map(printer.fits_narrow, loops)))
    modes = [printer.decide(one, form) for one in loops]
    texts = [printer.stage_text(one, mode) for one, mode in zip(loops, modes, strict=True)]
    order = list(dict.fromkeys(texts))
    distinct = [(loops[texts.index(text)], modes[texts.index(text)]) for text in order]
    key = Key(
        (("schema", "1"), ("printer", printer.VERSION), ("stages", "\n".join(order)), ("rows", _rows(loops)),
         ("form", str(form)), *device.key_parts(OPTIONS)),
        f"opencl-{_slug(device)}",
    )  # fmt: skip
    printed: list[str] = []

    def source() -> str:
        header = f"{kernel.name}{f', asked for by {kernel.origin}' if kernel.origin else ''}"
        printed.append(printer.print_program(distinct, form, header))
        return printed[0]

    def header() -> dict[str, Any]:
        return {
            "name": kernel.name, "backend": "opencl", "ir": to_text(kernel), "plan": _describe(planned, loops, modes),
            "origin": kernel.origin, "device": device.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }  # fmt: skip

    program = _program(key, device, source, header)
    entry = _entry(planned, layouts, aliases, device, key)
    entry._program, entry.source = program, printed[0] if printed else program.program.source
    for one, mode, text in zip(loops, modes, texts, strict=True):
        entry._steps.append(_step(one, mode, form, program, f"stage{order.index(text)}", device))
    return entry


def _entry(
    planned: Plan, layouts: Sequence[Layout | None], aliases: Sequence[int], device: OpenCLDevice, key: Key
) -> OpenCLEntry:
    """Return an entry that has no steps yet."""
    # Positions among the call's operands, counted for arrays and for scalars by themselves.
    tensor_of: dict[int, int] = {}
    scalar_of: dict[int, int] = {}
    for position, layout in enumerate(layouts):
        places = scalar_of if layout is None else tensor_of
        places[position] = len(places)
    outputs = []
    for node, alias in zip(planned.kernel.outputs, aliases, strict=True):
        given = layouts[alias] if alias >= 0 else None
        outputs.append(given or layout_of(node.dtype, node.shape, None, f"opencl:{device.index}"))
    results = tuple(
        (tensor_of[alias] if alias >= 0 else -1, layout.nbytes) for alias, layout in zip(aliases, outputs, strict=True)
    )
    entry = OpenCLEntry(device, tuple(outputs), results, tuple(planned.scratch), key)
    for operand, dtype, value in planned.slots:
        convert = _converter(dtype)
        if operand is None:
            entry._scalars.append((-1, convert, convert(value)))
        else:
            entry._scalars.append((scalar_of[operand], convert, None))
    return entry


def _step(loops: Loops, mode: Mode, form: Form, program: _Program, name: str, device: OpenCLDevice) -> _Step:
    """Return the launch of one stage."""
    numbers: Any = printer.numbers(loops, form)
    if not mode.by_value:
        data = np.frombuffer(numbers, np.uint8)
        numbers = device.allocate(data.nbytes)
        device.upload(numbers, data)
    buffers = tuple(access[0] for access in loops.accesses if access[0] >= 0)
    slots = tuple(expr.arg for expr in loops.order if expr.kind == "scalar")
    kernel = program.kernel(name, printer.signature(loops, mode))
    return _Step(kernel, buffers, numbers, slots, *_sizes(loops, mode, form))
