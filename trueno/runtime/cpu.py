"""Kernels on the CPU: from a recorded kernel and exact layouts to an entry that the launcher can run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from trueno import dtypes as dt
from trueno.codegen import choices, driver, generator, stage
from trueno.codegen import compile as compiler
from trueno.codegen.bounds import meta_array
from trueno.codegen.cost import formula_of, nanoseconds
from trueno.codegen.domain import MOST_PIECES, STORES, Limits, Plan
from trueno.codegen.formula import conversions_text, formula_text
from trueno.codegen.kernel import print_module
from trueno.codegen.objects import bundle, unbundle
from trueno.codegen.plan import plan
from trueno.codegen.streaming import streams
from trueno.codegen.target import Target, resolve
from trueno.codegen.walks import vectors_of_rows
from trueno.config import settings
from trueno.ir import build
from trueno.ir.node import Kernel, topological
from trueno.ir.simplify import simplify
from trueno.ir.text import to_text
from trueno.runtime import bounds
from trueno.runtime.entry import Entry, ScalarSlot
from trueno.runtime.launcher.records import fork_safe_lock
from trueno.runtime.layout import Layout, results_of
from trueno.runtime.threads import default_num_threads, get_num_threads

if TYPE_CHECKING:
    from trueno.codegen.chains import Chain
    from trueno.codegen.contraction.steps import Step

_FLOAT_BITS = np.dtype("f8")


@cache
def _runtime_code(symbol: str, source: str, target: Target) -> int:
    """Return the address of code that all kernels share."""
    parts = (("generator", generator.digest()), ("source", source), *_versions(target))
    return _load(parts, lambda: source, target, symbol, {"name": symbol}, shared=True)


def _driver(target: Target) -> int:
    return _runtime_code(driver.SYMBOL, driver.SOURCE, target)


def team_setup() -> int:
    """Return the address of the function that sets up a team of threads; see runtime/team.py."""
    from trueno.runtime import team

    target = resolve()
    return _runtime_code(team.SYMBOL, team.source(target.architecture), target)


@cache
def _versions(target: Target) -> tuple[tuple[str, str], ...]:
    return (
        ("features", target.description()),
        ("llvmlite", llvmlite.__version__),
        ("llvm", ".".join(map(str, llvm.llvm_version_info))),
    )


def _load(
    parts: tuple[tuple[str, str], ...], source: Callable[[], str], target: Target, symbol: str, header: dict,
    shared: bool = False,
) -> int:  # fmt: skip
    """Return the function's address: from the store, or compiled and stored; `shared`: it is no kernel's own."""
    from trueno.runtime.store import Key, default_store

    store = default_store()
    key = Key(parts, f"llvm-{target.level}")
    found = store.load(key)
    if found is None:
        begin = time.perf_counter()
        text = source()
        # Shared code is written as the passes would leave it, and stands in the way of the first call.
        objects = compiler.compile_objects(text, target, passes=not shared)
        full = {
            "backend": "llvm", "source": text, "log": "", "features": target.description(),
            "compile_seconds": time.perf_counter() - begin, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        store.save(key, bundle(objects), full | header)
    else:
        objects = unbundle(found.code)
    imports = None if shared else {driver.SYMBOL: _driver(target)}
    return compiler.link(objects, target, symbol, imports)


_functions: dict[tuple, int] = {}
# LLVM works on one thing at a time; who waits finds the kernel compiled.
_compiling = fork_safe_lock()


@dataclass
class Lowered:
    """A kernel for exact layouts and one target, planned and not yet compiled.

    Attributes
    ----------
    kernel : Kernel
    target : Target
    planned : Plan
        Numbers its buffers: operands, results, scratch.
    steps : list of Loops or Step or Chain
    parallel : list of bool
        Whether each step is worth threads.
    extents : list of (int, int) or None
        The bytes that each buffer spans, where accesses are checked against them; see codegen/bounds.py.
    """

    kernel: Kernel
    target: Target
    planned: Plan
    steps: list[stage.Loops | Step | Chain]
    parallel: list[bool]
    extents: list[tuple[int, int]] | None = None

    @property
    def meta(self) -> list[int]:
        """The run-time numbers of all steps; a checked kernel is given the address of its second."""
        steps = [one.meta_values(flag) for one, flag in zip(self.steps, self.parallel, strict=True)]
        if self.extents is not None:
            return meta_array(steps, self.extents)
        return [number for numbers in steps for number in numbers] or [0]

    @cached_property
    def sequence(self) -> list[tuple[str, int]]:
        """For each step its text, and where its numbers begin."""
        between = 0 if self.extents is None else 1
        offsets = accumulate((one.meta_size + between for one in self.steps), initial=0)
        return [(one.text, offset) for one, offset in zip(self.steps, offsets, strict=False)]

    @cached_property
    def distinct(self) -> dict[str, int]:
        """The number of each distinct text."""
        return {text: k for k, text in enumerate(dict.fromkeys(text for text, _ in self.sequence))}

    def text(self) -> str:
        """Return the plan's text: equal texts have equal code, whatever the sizes."""
        runs = " ".join(f"{self.distinct[text]}@{at}" for text, at in self.sequence)
        return "\n".join([*self.distinct, f"run {runs}{'' if self.extents is None else ' checked'}"])

    def slots(self) -> tuple[ScalarSlot, ...]:
        """Return how the kernel's scalar slots are filled."""
        return _slots(self.planned)

    def source(self) -> str:
        """Return the LLVM IR."""
        about = f"; {self.kernel.name}" + (f", asked for at {self.kernel.origin}" if self.kernel.origin else "")
        first = {text: one for (text, _), one in reversed(list(zip(self.sequence, self.steps, strict=True)))}
        runs = [(self.distinct[text], at) for text, at in self.sequence]
        stages = [(text, first[text]) for text in self.distinct]
        checked = self.extents is not None
        return print_module(stages, runs, about, self.target.converts_halves, checked, self.target.vector_bytes)


def _function(lowered: Lowered) -> int:
    """Return the address of the kernel's code; equal stage texts share it, whatever their sizes."""
    kernel, target, plan_text = lowered.kernel, lowered.target, lowered.text()
    known = (plan_text, target)
    with _compiling:
        if known not in _functions:
            formulas = _formulas(lowered.steps) + ("" if target.converts_halves else conversions_text())
            code = (("generator", generator.digest()), ("plan", plan_text), ("formulas", formulas))
            parts = (*code, *_versions(target))
            header = {"name": kernel.name, "ir": to_text(kernel), "plan": plan_text, "origin": kernel.origin}
            _functions[known] = _load(parts, lowered.source, target, "kernel", header)
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


def _formulas(loops: Sequence[stage.Loops | Step | Chain]) -> str:
    """Return the expansions that code for these stages contains, as text."""
    named = dict.fromkeys(formula_of(expr) for one in loops for expr in one.order)
    return "\n".join(formula_text(*one) for one in named if one is not None)


def _steps(
    planned: Plan, inputs: int, aliases: Sequence[int], target: Target, chaining: bool = True
) -> list[stage.Loops | Step | Chain]:
    """Return what the stages of a plan do, in normal form; the steps of contractions may add scratch memory to it."""
    arrays = inputs + len(aliases)
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

    # Beside stages that are printed as vectors, LLVM's passes are spared for copies, too; and where several stages fill
    # borders or add up products: they would take longer for each than the code generator for a product.
    plain = sum(one.product is None for one in planned.stages)
    vectors = 1 < plain < len(planned.stages) or any(len(one.stores) > STORES for one in planned.stages)
    most = max(get_num_threads(), default_num_threads())
    runs = {run.begin: run for run in planned.joined} if chaining else {}
    # Results that overwrite an operand.
    replaced = {inputs + k for k, alias in enumerate(aliases) if alias >= 0}

    def loops_of(one: stage.Stage) -> stage.Loops:
        loops = stage.normalise(one)
        loops.streams = streams(loops, inputs, replaced, target)
        if vectors and not loops.streams:
            from trueno.codegen.vectors import lanes

            loops.lanes = lanes(loops, replaced, target)
        loops.short = vectors_of_rows(loops, target)
        plain = chaining and not (loops.short or loops.streams or loops.lanes)
        loops.copies = plain and stage.copies(loops, replaced)
        return loops

    found: list[stage.Loops | Step | Chain] = []
    waiting = list(enumerate(planned.stages))[::-1]
    while waiting:
        number, one = waiting.pop()
        free += taken
        taken.clear()
        made: Sequence[Step | Chain] | None = None
        if number in runs:
            from trueno.codegen.chains import chained_run

            group = planned.stages[number : runs[number].end]
            wide = [0 if each.product is not None else loops_of(each).lanes for each in group]
            made = chained_run(runs[number], group, scratch, target, most, wide)
            if made is not None:
                found += made
                del waiting[1 - len(group) :]
                continue
        if one.product is not None:
            # Imported where it is needed: `import trueno` does without it.
            from trueno.codegen.chains import chained
            from trueno.codegen.contraction.lower import steps

            made = (chained(one, scratch, target, most) if chaining else None) or steps(one, scratch, target, most)
        if made is not None:
            found += made
        else:
            found.append(loops_of(one))
    return found


def _limits(target: Target) -> Limits:
    """Return the limits of plans; stages of many pieces are for targets that have code for them."""
    masks = target.vectorise and target.has("avx512f")
    pieces = MOST_PIECES if masks else STORES
    return Limits(contractions=True, pieces=pieces, shared=True, bfloat16=target.multiplies_bfloat16)


def lower(
    kernel: Kernel, layouts: Sequence[Layout | None], aliases: Sequence[int], target: Target | None = None,
    checked: bool = False,
) -> Lowered:  # fmt: skip
    """Plan a kernel for exact operand layouts, as `bind` does, for this machine or another.

    Parameters
    ----------
    kernel : Kernel
    layouts, aliases : sequence
        As for `bind`.
    target : Target, optional
        By default the one that TRUENO_CPU_FEATURES names.
    checked : bool
        Whether the code checks its accesses to memory.
    """
    target = target or resolve()
    layouts = [None if layout is None else layout.parts for layout in layouts]
    planned = plan(simplify(kernel), layouts, aliases, _limits(target))
    steps = _steps(planned, sum(layout is not None for layout in layouts), aliases, target, not checked)
    parallel = [one.tasks > 1 and nanoseconds(one) > choices.current().parallel_nanoseconds for one in steps]
    spans = None
    if checked:
        inputs = [layout for layout in layouts if layout is not None]
        spans = bounds.extents(inputs, _outputs(kernel, layouts, aliases), planned.scratch)
    return Lowered(kernel, target, planned, steps, parallel, spans)


def _outputs(kernel: Kernel, layouts: Sequence[Layout | None], aliases: Sequence[int]) -> tuple[Layout, ...]:
    """Return the layouts of the results."""
    outputs = []
    for own, alias in zip(results_of(kernel), aliases, strict=True):
        target = layouts[alias] if alias >= 0 else None
        outputs.append(own if target is None else target)
    return tuple(outputs)


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
    lowered = lower(kernel, layouts, aliases, checked="bounds" in settings().debug)
    meta = np.array(lowered.meta, np.int64)
    inputs = [(k, layout) for k, layout in enumerate(layouts) if layout is not None]
    outputs = _outputs(kernel, layouts, aliases)
    begin, verify = meta.ctypes.data, None
    if lowered.extents is not None:
        begin += meta.itemsize
        verify = bounds.verifier(kernel, meta, inputs, outputs, len(lowered.extents))
    return Entry(
        function=_function(lowered), meta=meta, meta_address=begin, verify=verify,
        tensors=tuple(k for k, _ in inputs), outputs=outputs,
        aliases=tuple(aliases), scratch=tuple(lowered.planned.scratch),
        scalars=lowered.slots(), parallel=any(lowered.parallel), single=len(outputs) == 1,
    )  # fmt: skip


def uses(kernel: Kernel) -> set[int]:
    """Return the positions of the operands that a kernel's outputs depend on."""
    return {
        node.arg if isinstance(node.arg, int) else node.arg[0]
        for node in topological(kernel.outputs)
        if node.op in (build.INPUT, build.SCALAR)
    }
