"""AMX's tiles in LLVM IR without AMX: code made for a CPU that has them runs on any with AVX-512.

A micro-kernel leaves nothing in the tiles that a later one reads, so that each function that uses them has tiles of its
own, and the intrinsics become functions on those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from trueno.codegen import compile as compiler
from trueno.codegen import target
from trueno.codegen.parts import PART
from trueno.runtime import cpu

FEATURES = ("amx-tile", "amx-bf16", "amx-int8")

_MOVES = """
define internal ptr @tile.row(ptr %tiles, i8 %n, i64 %row) {
  %wide = zext i8 %n to i64
  %first = shl i64 %wide, 10
  %line = shl i64 %row, 6
  %at = add i64 %first, %line
  %found = getelementptr i8, ptr %tiles, i64 %at
  ret ptr %found
}
define internal void @tile.tilezero(ptr %tiles, i8 %n) {
  %to = call ptr @tile.row(ptr %tiles, i8 %n, i64 0)
  store [1024 x i8] zeroinitializer, ptr %to
  ret void
}
"""
_MOVE = """
define internal void @tile.NAME(ptr %tiles, i8 %n, ptr %memory, i64 %stride) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %offset = mul i64 %i, %stride
  %outside = getelementptr i8, ptr %memory, i64 %offset
  %inside = call ptr @tile.row(ptr %tiles, i8 %n, i64 %i)
  %x = load <64 x i8>, ptr FROM, align 1
  store <64 x i8> %x, ptr TO, align 1
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, 16
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
_PRODUCT = """
define internal void @tile.NAME(ptr %tiles, i8 %c, i8 %a, i8 %b) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %m = lshr i64 %i, 4
  %k = and i64 %i, 15
  %c.at = call ptr @tile.row(ptr %tiles, i8 %c, i64 %m)
  %a.row = call ptr @tile.row(ptr %tiles, i8 %a, i64 %m)
  %a.at = getelementptr i32, ptr %a.row, i64 %k
  %b.at = call ptr @tile.row(ptr %tiles, i8 %b, i64 %k)
  %s0 = load <16 x SUM>, ptr %c.at, align 4
  %a.one = load i32, ptr %a.at, align 4
  %a.first = insertelement <16 x i32> poison, i32 %a.one, i32 0
  %a.all = shufflevector <16 x i32> %a.first, <16 x i32> poison, <16 x i32> zeroinitializer
  %b.all = load <16 x i32>, ptr %b.at, align 4
STEPS
  store <16 x SUM> %sLAST, ptr %c.at, align 4
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, 256
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def _splat(number: int) -> str:
    return "<" + ", ".join([f"i32 {number}"] * 16) + ">"


def _halves() -> str:
    lines = []
    for j in range(2):
        for x in "ab":
            lines += [
                f"  %{x}{j} = {'and' if j else 'shl'} <16 x i32> %{x}.all, {_splat(-65536 if j else 16)}",
                f"  %{x}{j}.f = bitcast <16 x i32> %{x}{j} to <16 x float>",
            ]
        lines += [
            f"  %p{j} = fmul <16 x float> %a{j}.f, %b{j}.f",
            f"  %s{j + 1} = fadd <16 x float> %s{j}, %p{j}",
        ]
    return _PRODUCT.replace("STEPS", "\n".join(lines)).replace("SUM", "float").replace("LAST", "2")


def _bytes(signs: str) -> str:
    lines = []
    for j in range(4):
        for x, sign in zip("ab", signs, strict=True):
            lines += [
                f"  %{x}{j}.up = shl <16 x i32> %{x}.all, {_splat(24 - 8 * j)}",
                f"  %{x}{j} = {'ashr' if sign == 's' else 'lshr'} <16 x i32> %{x}{j}.up, {_splat(24)}",
            ]
        lines += [
            f"  %p{j} = mul <16 x i32> %a{j}, %b{j}",
            f"  %s{j + 1} = add <16 x i32> %s{j}, %p{j}",
        ]
    return _PRODUCT.replace("STEPS", "\n".join(lines)).replace("SUM", "i32").replace("LAST", "4")


def emulated(text: str) -> str:
    """Return LLVM IR text with functions in place of the intrinsics of tiles."""
    return PART.join(map(_emulated, text.split(PART)))


def _emulated(text: str) -> str:
    text = re.sub(r"declare void @llvm\.x86\.(tile|ldtile|tdp)\w+\(.*\)\n", "", text)
    text = re.sub(r"  call void @llvm\.x86\.(ldtilecfg|tilerelease)\(.*\)\n", "", text)

    def function(found: re.Match[str]) -> str:
        body = re.sub(r"@llvm\.x86\.((?:tile|tdp)\w+)\(", r"@tile.\1(ptr %tiles, ", found[0])
        if body == found[0]:
            return body
        return body.replace("entry:\n", "entry:\n  %tiles = alloca [8192 x i8], align 64\n", 1)

    text = re.sub(r"^define .*?^}", function, text, flags=re.MULTILINE | re.DOTALL)
    products = {"tdpbf16ps": _halves(), **{f"tdpb{signs}d": _bytes(signs) for signs in ("ss", "su", "us", "uu")}}
    moves = {"tileloadd64": ("%outside", "%inside"), "tilestored64": ("%inside", "%outside")}
    if "(ptr %tiles" not in text:
        return text
    parts = [text, _MOVES]
    parts += [form.replace("NAME", name) for name, form in products.items()]
    parts += [
        _MOVE.replace("NAME", name).replace("FROM", from_).replace("TO", to) for name, (from_, to) in moves.items()
    ]
    return "\n".join(parts)


def with_tiles() -> target.Target:
    """Return a target like this machine's, as if its CPU had AMX; stored kernels are for neither."""
    host = target.named("native")
    features = dict.fromkeys([*host.features.split(","), *(f"+{name}" for name in FEATURES)])
    cpu_name = "sapphirerapids" if host.cpu == "graniterapids" else "graniterapids"
    return replace(host, level="amx", cpu=cpu_name, features=",".join(features))


@contextmanager
def emulation() -> Iterator[target.Target]:
    """Make code for AMX inside the block and run it without; where the CPU has no AVX-512, skip the test."""
    host = target.resolve("native")
    if not host.has("avx512bw"):
        pytest.skip("this CPU has no AVX-512")
    chosen, compile_objects = with_tiles(), compiler.compile_objects

    def compiled(source: str, _target: target.Target, passes: bool = True) -> list[bytes]:
        return compile_objects(emulated(source), host, passes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "resolve", lambda: chosen)
        patch.setattr(compiler, "compile_objects", compiled)
        yield chosen
