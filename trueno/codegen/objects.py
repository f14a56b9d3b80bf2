"""Object files: several as one piece of stored code, each behind its size (8 bytes, little-endian); their linker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def bundle(objects: Sequence[bytes]) -> bytes:
    """Join object files into one stored code."""
    return b"".join(len(one).to_bytes(8, "little") + one for one in objects)


def unbundle(code: bytes) -> list[bytes]:
    """Return the object files that were joined."""
    objects = []
    while code:
        end = 8 + int.from_bytes(code[:8], "little")
        objects.append(code[8:end])
        code = code[end:]
    return objects


def linker(machine: Any) -> Any:
    """Return what links object files into the process (llvmlite's LLJIT).

    LLVM's older linker, RuntimeDyld, maps the code and the constants of an object one by one, wherever there is room.
    In a process whose address space is cut up (drivers of GPUs reserve many gigabytes of it) they can come to lie more
    than 2 GB apart, beyond a relative address, which ends the process. JITLink maps them as one piece.
    """
    import llvmlite.binding as llvm

    return llvm.create_lljit_compiler(machine, use_jit_link=True)
