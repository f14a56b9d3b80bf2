"""A kernel as an AArch64 Linux program without a C library: operands in, results out, run by QEMU's user mode.

The start-up is LLVM IR: it calls the kernel on operands, meta array and scalars that lie in the program as data, writes
all results to standard output, and ends the process. So the objects are linked and loaded as on a machine of that kind.
"""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueno.codegen import compile as compiler
from trueno.codegen import driver
from trueno.runtime import cpu

EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")
LINKERS = ("aarch64-linux-gnu-ld", "ld.lld")

#: The last two functions are what LLVM makes calls to.
_START = """
define void @serial(ptr %team, ptr %body, ptr %data, i64 %threads) {
entry:
  call void %body(ptr %data, i64 0)
  ret void
}
define internal void @print(ptr %data, i64 %size) #0 {
entry:
  br label %head
head:
  %done = phi i64 [ 0, %entry ], [ %sum, %write ]
  %more = icmp ult i64 %done, %size
  br i1 %more, label %write, label %end
write:
  %at = getelementptr i8, ptr %data, i64 %done
  %left = sub i64 %size, %done
  %count = call i64 @system(i64 1, ptr %at, i64 %left, i64 64)
  %sum = add i64 %done, %count
  br label %head
end:
  ret void
}
define void @_start() #0 {
  call void @kernel(ptr @buffers, ptr @meta, ptr @scalars, i64 2, ptr @team)
RESULTS
  call i64 @system(i64 0, ptr null, i64 0, i64 94)
  unreachable
}
define ptr @memset(ptr %to, i32 %value, i64 %size) #0 {
entry:
  %byte = trunc i32 %value to i8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %set ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %set, label %end
set:
  %at = getelementptr i8, ptr %to, i64 %i
  store i8 %byte, ptr %at
  %next = add i64 %i, 1
  br label %head
end:
  ret ptr %to
}
define ptr @memcpy(ptr %to, ptr %from, i64 %size) #0 {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %copy ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %copy, label %end
copy:
  %source = getelementptr i8, ptr %from, i64 %i
  %byte = load i8, ptr %source
  %at = getelementptr i8, ptr %to, i64 %i
  store i8 %byte, ptr %at
  %next = add i64 %i, 1
  br label %head
end:
  ret ptr %to
}
declare void @kernel(ptr, ptr, ptr, i64, ptr)
; mov x8, x3; svc #0; ret: a system call whose number is the fourth argument
@system = constant [3 x i32] [i32 u0xAA0303E8, i32 u0xD4000001, i32 u0xD65F03C0], section ".text.system", align 4
@team = constant [1 x ptr] [ptr @serial]
attributes #0 = { nounwind "no-builtins" }
"""


def missing() -> str | None:
    """Return what this machine lacks for running such programs, or None."""
    if _found(EMULATORS) is None:
        return f"no emulator of AArch64 programs ({' or '.join(EMULATORS)}; Debian: qemu-user)"
    if _found(LINKERS) is None:
        return f"no linker for AArch64 ({' or '.join(LINKERS)}; Debian: binutils-aarch64-linux-gnu)"
    return None


def _found(names: Sequence[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def run(lowered: cpu.Lowered, operands: Sequence[Any], folder: Path) -> list[np.ndarray]:
    """Compile a kernel for its AArch64 target and run it in an emulated process; return its results.

    Parameters
    ----------
    lowered : Lowered
    operands : sequence
        Arrays as they lie in memory, and Python numbers.
    folder : Path
        For the program's files.
    """
    target = lowered.target
    texts = {"kernel": lowered.source(), "driver": driver.SOURCE, "start": _start_up(lowered, operands)}
    files = []
    for name, text in texts.items():
        for k, code in enumerate(compiler.compile_objects(text, target, passes=name == "kernel")):
            files.append(folder / f"{name}{k}.o")
            files[-1].write_bytes(code)
    program = folder / "program"
    linker, emulator = _found(LINKERS), _found(EMULATORS)
    assert linker is not None and emulator is not None
    subprocess.run([linker, "-static", "-o", program, *files], check=True, timeout=60)
    done = subprocess.run([emulator, program], check=True, capture_output=True, timeout=60)
    results, offset = [], 0
    for node in lowered.kernel.outputs:
        count = int(np.prod(node.shape, dtype=np.int64))
        results.append(np.frombuffer(done.stdout, node.dtype, count, offset).reshape(node.shape))
        offset += count * node.dtype.itemsize
    assert offset == len(done.stdout)
    return results


def assembly(lowered: cpu.Lowered) -> str:
    """Return the assembly text of a kernel."""
    return compiler.stages(lowered.source(), lowered.target.description())[1]


def memory(array: np.ndarray) -> tuple[bytes, int]:
    """Return the bytes from an array's first to its last element in memory, and where among them it begins."""
    begin, end = np.lib.array_utils.byte_bounds(array)
    return ctypes.string_at(begin, end - begin), array.__array_interface__["data"][0] - begin


def _start_up(lowered: cpu.Lowered, operands: Sequence[Any]) -> str:
    data, places, prints = [], [], []
    for k, array in enumerate(one for one in operands if isinstance(one, np.ndarray)):
        held, offset = memory(array)
        data.append(f"@in{k} = global {_bytes(held)}, align 64")
        places.append(f"ptr getelementptr (i8, ptr @in{k}, i64 {offset})")
    for k, node in enumerate(lowered.kernel.outputs):
        size = int(np.prod(node.shape, dtype=np.int64)) * node.dtype.itemsize
        data.append(f"@out{k} = global [{size} x i8] zeroinitializer, align 64")
        places.append(f"ptr @out{k}")
        prints.append(f"  call void @print(ptr @out{k}, i64 {size})")
    for k, size in enumerate(lowered.planned.scratch):
        data.append(f"@scratch{k} = global [{size} x i8] zeroinitializer, align 64")
        places.append(f"ptr @scratch{k}")
    data.append(f"@buffers = global [{len(places)} x ptr] [{', '.join(places)}]")
    data.append(f"@meta = constant {_bytes(struct.pack(f'<{len(lowered.meta)}q', *lowered.meta))}, align 8")
    scalars = [
        struct.pack("<d" if slot.kind == "f" else "<q", operands[slot.operand])
        if slot.operand >= 0
        else struct.pack("<q", slot.bits)
        for slot in lowered.slots()
    ]
    data.append(f"@scalars = constant {_bytes(b''.join(scalars))}, align 8")
    return "\n".join([*data, _START.replace("RESULTS", "\n".join(prints))])


def _bytes(data: bytes) -> str:
    text = "".join(f"\\{byte:02X}" for byte in data)
    return f'[{len(data)} x i8] c"{text}"'
