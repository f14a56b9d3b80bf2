"""The CPU that code is made for: a named feature level, resolved to the features that enter the key."""

from __future__ import annotations

import ctypes
import platform
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from trueno.config import FEATURE_LEVELS, settings

#: Features of the x86-64 micro-architecture levels (System V ABI, x86-64 psABI supplement).
_V2 = ("cx16", "sahf", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_LEVELS = {"scalar": _V3, "x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}
#: LLVM's name of the feature that all code with tiles of matrices needs (AMX).
TILES = "amx-tile"
#: Linux' numbers: the system call arch_prctl, ARCH_REQ_XCOMP_PERM, and the state that is asked for.
_ARCH_PRCTL, _REQUEST_STATE, _TILE_DATA = 158, 0x1023, 18
#: What platform.machine() calls the architectures.
_ARCHITECTURES = {"amd64": "x86-64", "x86_64": "x86-64", "arm64": "aarch64", "aarch64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Target:
    """A feature level, resolved.

    Attributes
    ----------
    level : str
    cpu : str
        The CPU name that LLVM schedules for.
    features : str
        LLVM's feature string, e.g. ``+avx2,+fma``; part of every key.
    vectorise : bool
    architecture : str
        ``x86-64``, ``aarch64``, or what the operating system calls another one.
    """

    level: str
    cpu: str
    features: str
    vectorise: bool
    architecture: str

    def has(self, feature: str) -> bool:
        """Whether code for this target may use a feature."""
        return f"+{feature}" in self.features.split(",")

    @property
    def converts_halves(self) -> bool:
        """Whether the target has instructions between float16 and float32."""
        return self.has("f16c") or self.has("neon")

    @property
    def has_tiles(self) -> bool:
        """Whether code may use AMX's tiles, beside the vectors of those CPUs."""
        return self.vectorise and self.has(TILES) and self.has("avx512bw")

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether products of bfloat16 take a fraction of the time of those of float32."""
        return self.has_tiles and self.has("amx-bf16") and self.has("avx512bf16")

    @property
    def vector_bytes(self) -> int:
        """Length of the vectors that loops are given; 0 where they are given none."""
        return 0 if not self.vectorise else 64 if self.has("avx512f") else 32 if self.has("avx2") else 16

    def description(self) -> str:
        """Return what `parse` reads back: everything that machine code depends on."""
        return f"{self.architecture};{self.cpu};{self.features};{'vector' if self.vectorise else 'scalar'}"


def parse(description: str) -> Target:
    """Return the target that a description stands for.

    Raises
    ------
    ValueError
        When the text is no description of a target.
    """
    parts = description.split(";")
    if len(parts) != 4:
        raise ValueError(f"{description!r} does not describe a target: architecture;cpu;features;mode")
    architecture, cpu, features, mode = parts
    return Target("stored", cpu, features, mode == "vector", architecture)


def host_architecture() -> str:
    """Return the architecture of this machine."""
    name = platform.machine().lower()
    return _ARCHITECTURES.get(name, name)


@cache
def host_features() -> frozenset[str]:
    """Return the names of the features that this CPU has, and this process may use."""
    found = frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)
    return found if TILES not in found or _tiles_granted() else frozenset(n for n in found if not n.startswith("amx-"))


def _tiles_granted() -> bool:
    """Ask the kernel to keep the state of tiles for all threads of this process; whether it does.

    Linux does so for processes that ask only (Documentation/arch/x86/xstate.rst); a process forked later has it, too.
    """
    if sys.platform != "linux" or host_architecture() != "x86-64":
        return False
    return bool(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_STATE, _TILE_DATA) == 0)


@cache
def resolve(level: str | None = None) -> Target:
    """Return the target of a feature level that this CPU has.

    Parameters
    ----------
    level : str, optional
        One of `FEATURE_LEVELS`; by default the one that TRUENO_CPU_FEATURES names.

    Raises
    ------
    ValueError
        When this CPU lacks a feature of the level, or the level is for another architecture.
    """
    target = named(level or settings().cpu_features)
    if target.architecture != host_architecture():
        raise ValueError(f"CPU feature level {target.level!r} is not for this machine ({platform.machine()})")
    have = host_features()
    needed = target.features.replace("+", "").split(",") if target.level in _LEVELS else []
    missing = [name for name in needed if name not in have]
    if missing:
        raise ValueError(
            f"this CPU lacks {', '.join(missing)}, which level {target.level} needs; "
            "unset TRUENO_CPU_FEATURES or name a lower level"
        )
    return target


@cache
def named(level: str) -> Target:
    """Return the target of a feature level, whether or not this CPU can run its code.

    Raises
    ------
    ValueError
        When there is no such level.
    """
    if level not in FEATURE_LEVELS:
        raise ValueError(f"unknown CPU feature level {level!r}; known are {', '.join(FEATURE_LEVELS)}")
    host = host_architecture()
    if level == "native" or (level == "scalar" and host != "x86-64"):
        flags = ",".join(f"+{name}" for name in sorted(host_features()))
        return Target(level, llvm.get_host_cpu_name(), flags, level == "native", host)
    if level == "neon":
        return Target(level, "generic", "+neon", True, "aarch64")
    flags = ",".join(f"+{name}" for name in sorted(_LEVELS[level]))
    return Target(level, "x86-64", flags, level != "scalar", "x86-64")


def runnable() -> list[str]:
    """Return the feature levels whose code this CPU runs."""
    found = []
    for level in FEATURE_LEVELS:
        try:
            found.append(resolve(level).level)
        except ValueError:
            continue
    return found


def status() -> dict[str, Any]:
    """Return the resolved level, its features, and the levels that run here and not, for `trueno doctor`."""
    target, here = resolve(), runnable()
    return {
        "level": target.level,
        "cpu": target.cpu,
        "features": target.features.replace("+", "").split(","),
        "runs": here,
        "compiles_only": [level for level in FEATURE_LEVELS if level not in here],
    }
