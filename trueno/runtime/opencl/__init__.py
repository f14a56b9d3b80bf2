"""OpenCL devices: which there are, and what runs on them.

Nothing is imported or started before the first call of `devices` or `device`; see `trueno.runtime.opencl_probe` for how
drivers are found and why they are tried in a process of their own first.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from trueno.runtime import opencl_probe
from trueno.runtime.opencl import pocl
from trueno.runtime.opencl.errors import (
    OpenCLBuildError,
    OpenCLDeviceError,
    OpenCLError,
    OpenCLForkError,
    OpenCLUnsupportedError,
)
from trueno.runtime.opencl.limits import MINIMAL, Features, Limits, Profile
from trueno.runtime.opencl.memory import OpenCLStorage, Pool, PoolStatistics
from trueno.runtime.opencl.opencl_device import OpenCLDevice
from trueno.runtime.opencl.program import OpenCLKernel, OpenCLProgram

__all__ = [
    "MINIMAL",
    "Features",
    "Limits",
    "OpenCLBuildError",
    "OpenCLDevice",
    "OpenCLDeviceError",
    "OpenCLError",
    "OpenCLForkError",
    "OpenCLKernel",
    "OpenCLProgram",
    "OpenCLStorage",
    "OpenCLUnsupportedError",
    "Pool",
    "PoolStatistics",
    "Profile",
    "device",
    "devices",
    "unavailable_reason",
]

_lock = threading.Lock()
_devices: list[OpenCLDevice] | None = None
_reason = ""


def devices() -> list[OpenCLDevice]:
    """Return the usable devices in the order of their numbers; an empty list if there are none.

    The first call may take a second, if no probe's answer is kept; it never fails or hangs because of a broken driver.
    """
    global _devices, _reason
    if _devices is None:
        with _lock:
            if _devices is None:
                _devices, _reason = _find()
    return list(_devices)


def device(index: int = 0) -> OpenCLDevice:
    """Return device `index`.

    Raises
    ------
    OpenCLDeviceError
        There is no such device. The message says which there are, or why there are none.
    """
    found = devices()
    if 0 <= index < len(found):
        return found[index]
    if not found:
        raise OpenCLDeviceError(f"no OpenCL device: {_reason}. `trueno doctor` shows what was tried")
    names = ", ".join(f"opencl:{number} ({one.name})" for number, one in enumerate(found))
    raise OpenCLDeviceError(f"no device opencl:{index}; there are {names}. `trueno doctor` shows what was tried")


def unavailable_reason() -> str:
    """Return why there is no OpenCL device and what to install; empty if there is one."""
    return "" if devices() else _reason


def _find() -> tuple[list[OpenCLDevice], str]:
    """Load the drivers that work, and match their devices with those that the probe tried."""
    for refresh in (False, True):
        report = opencl_probe.probe(refresh=refresh)
        if not report["devices"]:
            return [], report["error"]
        found = _match(report, _load(report))
        # A kept answer that names devices which are not there is out of date.
        if len(found) == len(report["devices"]) or not report["cached"]:
            break
    return found, "" if found else "the devices that worked when they were tried are not there any more"


def _load(report: dict[str, Any]) -> list[Any]:
    """Start the ICD loader with the drivers that work and return all their `pyopencl.Device` objects."""
    import pyopencl as cl

    extra = pocl.variables(opencl_probe.state_folder())
    with opencl_probe.only(opencl_probe.good_candidates(report), extra):
        try:
            platforms = cl.get_platforms()
        except cl.Error:
            return []
        found = []
        for platform in platforms:
            try:
                found += platform.get_devices()
            except cl.Error:
                continue
    return found


def _match(report: dict[str, Any], handles: list[Any]) -> list[OpenCLDevice]:
    """Return the devices that the probe found usable, as far as they are there now."""

    def identity(handle: Any) -> tuple[str, ...]:
        texts = (handle.platform.name, handle.platform.version, handle.name, handle.driver_version)
        return tuple(text.strip() for text in texts)

    left = [(identity(handle), handle) for handle in handles]
    found: list[OpenCLDevice] = []
    for record in report["devices"]:
        wanted = (record["platform"], record["platform_version"], record["name"], record["driver"])
        for position, (seen, handle) in enumerate(left):
            if seen == wanted:
                del left[position]
                found.append(OpenCLDevice(len(found), handle, record))
                break
    return found


def _after_fork() -> None:
    """In the child of a fork, forget a lock that a thread of the parent may have held."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
