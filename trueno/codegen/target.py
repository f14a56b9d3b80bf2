"""The CPU that code is made for: a named feature level, resolved to the features that enter the key."""

from __future__ import annotations

import platform
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
    """

    level: str
    cpu: str
    features: str
    vectorise: bool

    def has(self, feature: str) -> bool:
        """Whether code for this target may use a feature."""
        return f"+{feature}" in self.features.split(",")

    def description(self) -> str:
        """Return what `parse` reads back: everything that machine code depends on."""
        return f"{self.cpu};{self.features};{'vector' if self.vectorise else 'scalar'}"


def parse(description: str) -> Target:
    """Return the target that a description stands for."""
    cpu, features, mode = description.split(";")
    return Target("stored", cpu, features, mode == "vector")


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def host_features() -> frozenset[str]:
    """Return the names of the features that this CPU has."""
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


@cache
def resolve(level: str | None = None) -> Target:
    """Return the target of a feature level (by default the one that TRUENO_CPU_FEATURES names).

    Raises
    ------
    ValueError
        When this CPU lacks a feature of the level, or the level is for another architecture.
    """
    level = level or settings().cpu_features
    if level not in FEATURE_LEVELS:
        raise ValueError(f"unknown CPU feature level {level!r}; known are {', '.join(FEATURE_LEVELS)}")
    have = host_features()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if level == "native" or (level == "scalar" and not x86):
        flags = ",".join(f"+{name}" for name in sorted(have))
        return Target(level, llvm.get_host_cpu_name(), flags, level == "native")
    if (level == "neon") == x86:
        raise ValueError(f"CPU feature level {level!r} is not for this machine ({platform.machine()})")
    if level == "neon":
        return Target(level, "generic", "+neon", True)
    missing = [name for name in _LEVELS[level] if name not in have]
    if missing:
        raise ValueError(
            f"this CPU lacks {', '.join(missing)}, which level {level} needs; "
            "unset TRUENO_CPU_FEATURES or name a lower level"
        )
    names = _LEVELS[level]
    return Target(level, "x86-64", ",".join(f"+{name}" for name in sorted(names)), level != "scalar")


@cache
def machine(target: Target) -> Any:
    """Return LLVM's target machine."""
    _initialise()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, jit=True
    )


def status() -> dict[str, Any]:
    """Return the resolved level and its features, for `trueno doctor`."""
    target = resolve()
    return {"level": target.level, "cpu": target.cpu, "features": target.features.replace("+", "").split(",")}
