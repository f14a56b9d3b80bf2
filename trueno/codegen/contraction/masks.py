"""Vector loads and stores of part of a vector, for targets that mask them at no cost."""

from __future__ import annotations

from trueno.codegen.llvm import Module

#: What intrinsics' names end in, by the type of an element.
SUFFIX = {"float": "f32", "double": "f64"}


def mask_of(name: str, count: str, first: int, lanes: int) -> list[str]:
    """Return the lines that make a mask: lane j is set where ``first + j < count``."""
    kind = f"<{lanes} x i64>"
    numbers = ", ".join(f"i64 {first + lane}" for lane in range(lanes))
    return [
        f"  {name}.one = insertelement {kind} poison, i64 {count}, i32 0",
        f"  {name}.all = shufflevector {kind} {name}.one, {kind} poison, <{lanes} x i32> zeroinitializer",
        f"  {name} = icmp slt {kind} <{numbers}>, {name}.all",
    ]


def _intrinsic_suffix(kind: str) -> str:
    lanes, _, unit = kind.strip("<>").split(" ")
    return f"v{lanes}{SUFFIX.get(unit, unit)}"


def masked_load(module: Module, name: str, kind: str, pointer: str, mask: str, align: int) -> str:
    """Return the line that loads the lanes of a mask, and zero in the others."""
    full = f"@llvm.masked.load.{_intrinsic_suffix(kind)}.p0"
    lanes = f"<{kind.strip('<>').split(' ')[0]} x i1>"
    module.declare(f"{kind} {full}(ptr, i32, {lanes}, {kind})")
    return f"  {name} = call {kind} {full}(ptr {pointer}, i32 {align}, {lanes} {mask}, {kind} zeroinitializer)"


def masked_store(module: Module, value: str, kind: str, pointer: str, mask: str, align: int) -> str:
    """Return the line that stores the lanes of a mask."""
    full = f"@llvm.masked.store.{_intrinsic_suffix(kind)}.p0"
    lanes = f"<{kind.strip('<>').split(' ')[0]} x i1>"
    module.declare(f"void {full}({kind}, ptr, i32, {lanes})")
    return f"  call void {full}({kind} {value}, ptr {pointer}, i32 {align}, {lanes} {mask})"
