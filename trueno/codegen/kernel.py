"""The LLVM IR of a whole kernel: its stages and the steps of contractions, and the function that runs them in turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trueno.codegen import driver
from trueno.codegen.emit import is_flat
from trueno.codegen.llvm import Module, task_function
from trueno.codegen.parts import parted, texts
from trueno.codegen.stage import Loops, meta_layout
from trueno.codegen.walks import emitter, printer_of

if TYPE_CHECKING:
    from trueno.codegen.chains import Chain
    from trueno.codegen.contraction.steps import Step

#: A kernel of one stage calls it directly where it is not worth threads: the driver would be a tenth of a small call.
_ONE_STAGE = """  %flag.p = getelementptr i64, ptr %meta, i64 1
  %flag = load i64, ptr %flag.p, align 8
  %small = icmp eq i64 %flag, 0
  br i1 %small, label %alone, label %shared
alone:
  %tasks = load i64, ptr %meta, align 8
  tail call void @stage0(ptr %buffers, ptr %meta, ptr %scalars, i64 0, i64 %tasks)
  ret void
shared:"""


def stage_function(module: Module, name: str, loops: Loops, half_instructions: bool) -> None:
    """Print one stage as ``void name(buffers, meta, scalars, first task, end task)``."""
    printer = printer_of(loops)(module, half_instructions, loops.streams)
    flat = is_flat(loops)
    emitter(loops, printer, "%t1" if flat else None, serial=True).run()
    if flat:
        signature = f"{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0, i64 %t1)"
        printer.finish_function(signature, loops.stage.name, "hidden")
        assert module.as_is is not None
        module.as_is.declare(f"hidden void @{name}(ptr, ptr, ptr, i64, i64)")
    else:
        task_function(printer, name, loops.stage.name)


def _function(module: Module, name: str, step: Loops | Step | Chain, half_instructions: bool) -> None:
    """Print a step of any kind as ``void name(buffers, meta, scalars, first task, end task)``."""
    # Imported where it is needed: `import trueno` does without it.
    if isinstance(step, Loops) and step.lanes:
        from trueno.codegen.vectors import vector_function

        vector_function(module, name, step)
        return
    if isinstance(step, Loops):
        stage_function(module, name, step, half_instructions)
        return
    from trueno.codegen.chains import Chain, chain_function
    from trueno.codegen.contraction.code import step_function

    if isinstance(step, Chain):
        names = [f"{name}.part{k}" for k in range(len(step.steps))]
        for part, inner in zip(names, step.steps, strict=True):
            _function(module, part, inner, half_instructions)
        assert module.as_is is not None
        # It is called once for a task: LLVM's passes would take longer than all its calls.
        module.as_is.functions.append(chain_function(name, step, names))
        return
    step_function(module, name, step, half_instructions)


def _unless_decided(loops: Loops, number: int) -> list[str]:
    """Return the beginning of a branch past a stage whose only result is known: threads are not woken for nothing."""
    (store,) = loops.stage.stores
    assert store.value.op is not None
    at = meta_layout(loops)[f"a{loops.numbers[store.access]}"]
    m, d = f"%m{number}", f"%decided{number}"
    return [
        f"  {d}.number.p = getelementptr i64, ptr {m}, i64 {at}",
        f"  {d}.number = load i64, ptr {d}.number.p, align 8",
        f"  {d}.buffer.p = getelementptr ptr, ptr %buffers, i64 {d}.number",
        f"  {d}.buffer = load ptr, ptr {d}.buffer.p, align 8",
        f"  {d}.offset.p = getelementptr i64, ptr {m}, i64 {at + 1}",
        f"  {d}.offset = load i64, ptr {d}.offset.p, align 8",
        f"  {d}.p = getelementptr i8, ptr {d}.buffer, i64 {d}.offset",
        f"  {d}.value = load i8, ptr {d}.p, align 1",
        f"  {d} = icmp eq i8 {d}.value, {int(store.value.op.absorbing)}",
        f"  br i1 {d}, label %past{number}, label %go{number}",
        f"go{number}:",
    ]


def print_module(
    stages: Sequence[tuple[str, Loops | Step | Chain]],
    sequence: Sequence[tuple[int, int]],
    header: str,
    half_instructions: bool = True,
    checked: bool = False,
    vector_bytes: int = 0,
) -> str:
    """Return the LLVM IR of a kernel.

    Parameters
    ----------
    stages : sequence of (str, Loops or Step or Chain)
        The distinct stages, steps of contractions and chains, with their text.
    sequence : sequence of (int, int)
        For each step of the kernel: which stage, and where its numbers begin in the meta array.
    header : str
        Comment and target lines.
    half_instructions : bool
        Whether the target converts float16 itself.
    checked : bool
        Whether accesses to memory are checked.
    vector_bytes : int
        Length of the vectors that loops are given; 0 where they are given none.
    """
    module = Module(Module(checked=checked), checked, vector_bytes)
    for k, (_, step) in enumerate(stages):
        _function(module, f"stage{k}", step, half_instructions)
    calls = [_ONE_STAGE] if len(sequence) == 1 else []
    for k, (stage, offset) in enumerate(sequence):
        step = stages[stage][1]
        decided = step if isinstance(step, Loops) and step.stage.shared and len(step.outer) == 1 else None
        calls += [
            f"  %m{k} = getelementptr i64, ptr %meta, i64 {offset}",
            *(_unless_decided(decided, k) if decided else ()),
            f"  tail call void @{driver.SYMBOL}(ptr @stage{stage}, ptr %buffers, ptr %m{k}, ptr %scalars, "
            "i64 %threads, ptr %team)",
            *((f"  br label %past{k}", f"past{k}:") if decided else ()),
        ]
    assert module.as_is is not None
    module.as_is.declare(f"void @{driver.SYMBOL}(ptr, ptr, ptr, ptr, i64, ptr)")
    module.as_is.functions.append("\n".join([
        "define void @kernel(ptr %buffers, ptr %meta, ptr %scalars, i64 %threads, ptr %team) #0 {",
        *calls, "  ret void", "}",
    ]))  # fmt: skip
    _share(module)
    return texts(parted(module, module.as_is), header)


#: A function that is called by its name only: part of a stage or step.
_PART = re.compile(r"^define .*?@([\w.]+\.[a-z]+)\(", re.MULTILINE)


def _share(module: Module) -> None:
    """Leave one of the functions that differ in their name only: steps of a kernel do alike."""
    assert module.as_is is not None
    parts = (module, module.as_is)
    names: dict[str, str] = {}
    for part in parts:
        first: dict[str, str] = {}
        for function in list(part.functions):
            found = _PART.search(function)
            if found is None:
                continue
            name = first.setdefault(function.replace(f"@{found[1]}(", "@("), found[1])
            if name != found[1]:
                names[f"@{found[1]}("] = f"@{name}("
                part.functions.remove(function)
    if names:
        called = re.compile("|".join(map(re.escape, names)))
        for part in parts:
            part.functions = [called.sub(lambda name: names[name[0]], text) for text in part.functions]
            part.declarations = dict.fromkeys(called.sub(lambda name: names[name[0]], one) for one in part.declarations)
