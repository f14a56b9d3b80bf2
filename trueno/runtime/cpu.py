"""Kernels on the CPU: from a recorded kernel and exact layouts to an entry that the launcher can run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from trueno import dtypes as dt
from trueno.codegen import choices, driver, generator, stage
from trueno.codegen import compile as compiler
from trueno.codegen import llvm as printer
from trueno.codegen.contraction.lower import steps as contraction_steps
from trueno.codegen.contraction.steps import Step
from trueno.codegen.expr import Expr
from trueno.codegen.formula import formula_size, formula_text, is_composite
from trueno.codegen.plan import Limits, Plan, plan
from trueno.codegen.streaming import streams
from trueno.codegen.target import Target, resolve
from trueno.ir import build
from trueno.ir.node import Kernel, topological
from trueno.ir.simplify import simplify
from trueno.ir.text import to_text
from trueno.runtime.entry import Entry, ScalarSlot
from trueno.runtime.launcher.records import fork_safe_lock
from trueno.runtime.layout import Layout, layout_of

_FLOAT_BITS = np.dtype("f8")


@cache
def _driver(target: Target) -> int:
    parts = (("generator", generator.digest()), ("source", driver.SOURCE), *_versions(target))
    return _load(parts, lambda: driver.SOURCE, target, driver.SYMBOL, {"name": driver.SYMBOL})


@cache
def _versions(target: Target) -> tuple[tuple[str, str], ...]:
    return (
        ("features", target.description()),
        ("llvmlite", llvmlite.__version__),
        ("llvm", ".".join(map(str, llvm.llvm_version_info))),
    )


def _load(
    parts: tuple[tuple[str, str], ...], source: Callable[[], str], target: Target, symbol: str, header: dict
) -> int:
    """Return the function's address: from the store, or compiled and stored."""
    from trueno.runtime.store import Key, default_store

    store = default_store()
    key = Key(parts, f"llvm-{target.level}")
    found = store.load(key)
    if found is None:
        begin = time.perf_counter()
        text = source()
        # The driver is written as the passes would leave it, and stands in the way of the first call.
        code = compiler.compile_object(text, target, passes=symbol != driver.SYMBOL)
        full = {
            "backend": "llvm", "source": text, "log": "", "features": target.description(),
            "compile_seconds": time.perf_counter() - begin, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        store.save(key, code, full | header)
    else:
        code = found.code
    imports = None if symbol == driver.SYMBOL else {driver.SYMBOL: _driver(target)}
    return compiler.link(code, target, symbol, imports)


_functions: dict[tuple, int] = {}
# LLVM works on one thing at a time; who waits finds the kernel compiled.
_compiling = fork_safe_lock()


def _function(kernel: Kernel, loops: Sequence[stage.Loops | Step]) -> int:
    """Return the address of the kernel's code; equal stage texts share it, whatever their sizes."""
    target = resolve()
    texts = [one.text for one in loops]
    distinct = list(dict.fromkeys(texts))
    sequence = []
    offset = 0
    for one, text in zip(loops, texts, strict=True):
        sequence.append((distinct.index(text), offset))
        offset += one.meta_size
    plan_text = "\n".join([*distinct, "run " + " ".join(f"{which}@{at}" for which, at in sequence)])
    known = (plan_text, target)
    with _compiling:
        if known not in _functions:

            def source() -> str:
                about = f"; {kernel.name}" + (f", asked for at {kernel.origin}" if kernel.origin else "")
                stages = [(text, loops[texts.index(text)]) for text in distinct]
                return printer.print_module(stages, sequence, about, target.has("f16c"))

            code = (("generator", generator.digest()), ("plan", plan_text), ("formulas", _formulas(loops)))
            parts = (*code, *_versions(target))
            header = {"name": kernel.name, "ir": to_text(kernel), "plan": plan_text, "origin": kernel.origin}
            _functions[known] = _load(parts, source, target, "kernel", header)
        return _functions[known]


def loaded() -> int:
    """Return how many different kernels this process has loaded for the CPU."""
    return len(_functions)


def _slots(planned: Plan) -> tuple[ScalarSlot, ...]:
    slots = []
    for operand, dtype, value in planned.slots:
        floating = dt.is_floating(dtype)
        kind = "f" if floating else "i"
        if operand is None:
            bits = np.asarray(value, _FLOAT_BITS).view("i8") if floating else np.asarray(value).astype("i8")
            slots.append(ScalarSlot(-1, kind, bits=int(bits)))
        elif floating:
            slots.append(ScalarSlot(operand, kind))
        else:
            low, high = dt.lowest(dtype), dt.highest(dtype)
            slots.append(ScalarSlot(operand, kind, max(int(low), -(2**63)), min(int(high), 2**63 - 1)))
    return tuple(slots)


def _formula_of(expr: Expr) -> tuple | None:
    """Return what names the expansion of a composite row, or None for a row that is one instruction."""
    if expr.kind != "op" or expr.op is None or expr.op.name == "cast" or not is_composite(expr.op, "llvm"):
        return None
    return expr.op, "llvm", tuple(source.dtype for source in expr.src), expr.dtype


def _rows(expr: Expr) -> int:
    named = _formula_of(expr)
    return 1 if named is None else formula_size(*named)


def _formulas(loops: Sequence[stage.Loops | Step]) -> str:
    """Return the expansions that code for these stages contains, as text."""
    named = dict.fromkeys(_formula_of(expr) for one in loops for expr in one.order)
    return "\n".join(formula_text(*one) for one in named if one is not None)


def _cost(one: stage.Loops | Step) -> float:
    """Return an estimate of a stage's time on one thread, in nanoseconds."""
    if isinstance(one, Step):
        return one.cost()
    per_element = 0.05 * len(one.accesses) + 0.03 * sum(_rows(expr) for expr in one.order if expr.kind == "op")
    return per_element * one.elements


def _steps(planned: Plan, inputs: int, aliases: Sequence[int]) -> list[stage.Loops | Step]:
    """Return what the stages of a plan do, in normal form; the steps of contractions may add scratch memory to it."""
    target, arrays = resolve(), inputs + len(aliases)
    # Packed factors are needed by their own product only: the next one packs into the same memory.
    free: list[int] = []
    taken: list[int] = []

    def scratch(size: int) -> int:
        if free:
            number = free.pop()
            planned.scratch[number - arrays] = max(planned.scratch[number - arrays], size)
        else:
            planned.scratch.append(max(size, 1))
            number = arrays + len(planned.scratch) - 1
        taken.append(number)
        return number

    found: list[stage.Loops | Step] = []
    for one in planned.stages:
        free += taken
        taken.clear()
        steps = contraction_steps(one, scratch, target) if one.product is not None else None
        if steps is not None:
            found += steps
            continue
        loops = stage.normalise(one)
        loops.streams = streams(loops, inputs, aliases, target)
        found.append(loops)
    return found


def bind(kernel: Kernel, layouts: Sequence[Layout | None], aliases: Sequence[int]) -> Entry:
    """Compile (or find) a kernel and bind it to exact operand layouts.

    Parameters
    ----------
    kernel : Kernel
    layouts : sequence of Layout or None
        One for each operand; None for a Python scalar.
    aliases : sequence of int
        For each output, the operand that is overwritten, or -1.

    Returns
    -------
    Entry
    """
    lowered = simplify(kernel)
    planned = plan(lowered, layouts, aliases, Limits(contractions=True))
    loops = _steps(planned, sum(layout is not None for layout in layouts), aliases)
    parallel = [one.tasks > 1 and _cost(one) > choices.current().parallel_nanoseconds for one in loops]
    meta = np.array(
        [value for one, flag in zip(loops, parallel, strict=True) for value in one.meta_values(flag)] or [0],
        np.int64,
    )
    outputs = []
    for node, alias in zip(kernel.outputs, aliases, strict=True):
        target = layouts[alias] if alias >= 0 else None
        outputs.append(layout_of(node.dtype, node.shape) if target is None else target)
    return Entry(
        function=_function(kernel, loops), meta=meta, meta_address=meta.ctypes.data,
        tensors=tuple(k for k, layout in enumerate(layouts) if layout is not None), outputs=tuple(outputs),
        aliases=tuple(aliases), scratch=tuple(planned.scratch), scalars=_slots(planned),
        parallel=any(parallel), single=len(outputs) == 1,
    )  # fmt: skip


def uses(kernel: Kernel) -> set[int]:
    """Return the positions of the operands that a kernel's outputs depend on."""
    return {
        node.arg if isinstance(node.arg, int) else node.arg[0]
        for node in topological(kernel.outputs)
        if node.op in (build.INPUT, build.SCALAR)
    }
