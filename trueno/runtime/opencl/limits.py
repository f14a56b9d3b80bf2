"""What a device can do, and profiles that pretend it can do less."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that a device allows. Bytes where nothing else is said.

    Attributes
    ----------
    compute_units : int
    work_group_size : int
        Items in a work-group at most. A built kernel may allow fewer: `OpenCLKernel.work_group_size`.
    work_item_sizes : tuple of int
        Items in a work-group along each dimension at most.
    local_memory, global_memory, max_allocation : int
    base_alignment : int
        Alignment of a buffer, and what the origin of a sub-buffer must be a multiple of.
    cache_line : int
        0 if the driver does not tell.
    max_parameter_bytes : int
        All of a kernel's arguments together.
    address_bits : int
    clock_mhz : int
    """

    compute_units: int
    work_group_size: int
    work_item_sizes: tuple[int, ...]
    local_memory: int
    global_memory: int
    max_allocation: int
    base_alignment: int
    cache_line: int
    max_parameter_bytes: int
    address_bits: int
    clock_mhz: int


@dataclass(frozen=True, slots=True)
class Features:
    """Optional abilities of a device.

    Attributes
    ----------
    fp64 : bool
        float64 storage and arithmetic.
    fp16 : bool
        float16 arithmetic. Storage through vload_half and vstore_half is there always.
    subgroups, int64_atomics : bool
    """

    fp64: bool
    fp16: bool
    subgroups: bool
    int64_atomics: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """Limits for a simulated device: it has what the real one has, but no more than this. None: as the real one.

    Attributes
    ----------
    name : str
    work_group_size, local_memory, max_allocation : int or None
    base_alignment : int or None
        At least this.
    fp64, fp16, subgroups, int64_atomics : bool
        False takes the feature away.
    """

    name: str
    work_group_size: int | None = None
    local_memory: int | None = None
    max_allocation: int | None = None
    base_alignment: int | None = None
    fp64: bool = True
    fp16: bool = True
    subgroups: bool = True
    int64_atomics: bool = True

    def limit(self, limits: Limits) -> Limits:
        """Return limits lowered to this profile."""
        group = min(self.work_group_size or limits.work_group_size, limits.work_group_size)
        return replace(
            limits,
            work_group_size=group,
            work_item_sizes=tuple(min(group, size) for size in limits.work_item_sizes),
            local_memory=min(self.local_memory or limits.local_memory, limits.local_memory),
            max_allocation=min(self.max_allocation or limits.max_allocation, limits.max_allocation),
            base_alignment=max(self.base_alignment or 1, limits.base_alignment),
        )

    def restrict(self, features: Features) -> Features:
        """Return features without those that this profile takes away."""
        kept = {field.name: getattr(features, field.name) and getattr(self, field.name) for field in fields(features)}
        return Features(**kept)


MINIMAL = Profile(
    "minimal",
    work_group_size=64,
    local_memory=16 * 1024,
    base_alignment=128,
    fp64=False,
    fp16=False,
    subgroups=False,
    int64_atomics=False,
)
"""What an embedded graphics processor offers: no float64, no float16, small groups and little local memory."""


def from_report(device: dict[str, Any]) -> tuple[Limits, Features]:
    """Return limits and features from a probe's record of a device."""
    limits = {**device["limits"], "work_item_sizes": tuple(device["limits"]["work_item_sizes"])}
    return Limits(**limits), Features(**device["features"])
