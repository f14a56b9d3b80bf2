"""Which OpenCL drivers and devices there are, and which of them work.

A driver that does not work may take the process down that loads it, so each is tried in a process of its own, with a
kernel that is really built and run (`child.py`). The answer is kept: in the process, and on disk for a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform as machine
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trueno import config
from trueno.runtime.opencl_probe.attempt import timed_attempt
from trueno.runtime.opencl_probe.icd import Candidate, candidates, only, vendors_variable
from trueno.runtime.store_folder import inspect_folder, make_private

__all__ = ["Candidate", "candidates", "forget", "good_candidates", "only", "probe", "state_folder"]

SCHEMA = 1
KEPT_SECONDS = 24 * 3600
KEPT_SECONDS_WITHOUT_DEVICE = 600
"""A driver may fail for a while only: no memory, a card in use, a machine too busy to build within the time-out."""

VARIABLES = ("LD_", "OCL_", "OPENCL_", "POCL_", "OCLGRIND_", "CUDA_", "NVIDIA_", "GPU_", "ROCR_", "HIP_", "CL_", "CLC_")
"""Beginnings of the names of variables that change what drivers are found or what they offer."""

INSTALL_PYOPENCL = "pyopencl is not installed; install it with: pip install 'trueno[opencl]'"
INSTALL_DRIVER = (
    "no OpenCL driver is installed; install the graphics card's own, or one for the CPU: "
    "apt-get install pocl-opencl-icd, or pip install intel-opencl-rt intel-cmplr-lib-rt"
)

_lock = threading.Lock()
_known: dict[str, dict[str, Any]] = {}


def probe(timeout: float = 30.0, *, refresh: bool = False) -> dict[str, Any]:
    """Find the OpenCL drivers and devices, and try each.

    The first call on a machine takes a second or so; later ones, in other processes too, read the kept answer.

    Parameters
    ----------
    timeout : float
        Seconds that one driver may take to load, and to build and run a kernel on each of its devices.
    refresh : bool
        Try again even if an answer is kept.

    Returns
    -------
    dict
        JSON-able. ``"icds"``: every driver tried, each with ``"path"``, ``"source"``, ``"library"``, ``"status"``
        (``"ok"``, ``"failed"``: cannot be loaded or has no device that works, ``"conflict"``: works alone, but not
        together with the ones before it), ``"reason"``, ``"seconds"`` and ``"platforms"``, which hold their devices.
        ``"devices"``: the usable devices in the order of their numbers (graphics cards and accelerators first), as
        `child.describe` gives them, each with ``"icd"``, ``"build_ms"``. ``"pyopencl"``: its version. ``"variables"``:
        the environment variables that were in force. ``"cached"``, ``"when"``,
        ``"seconds"``. ``"error"``: what to do next, only if no device works.
    """
    found = candidates()
    key = _key(found)
    with _lock:
        if not refresh:
            report = _known.get(key) or _read(key)
            if report is not None:
                _known[key] = report
                return report
        started = time.perf_counter()
        report = _probe(found, timeout)
        report["seconds"] = round(time.perf_counter() - started, 3)
        _write(key, report)
        _known[key] = {**report, "cached": True}
        return report


def forget() -> None:
    """Drop the answers kept in this process, not those on disk."""
    with _lock:
        _known.clear()


def good_candidates(report: dict[str, Any]) -> list[Candidate]:
    """Return the drivers that a process should load, according to a report of `probe`.

    Only what is a candidate now is returned: a kept report can choose among drivers, never add one.
    """
    working = {icd["path"] for icd in report["icds"] if icd["status"] == "ok"}
    return [candidate for candidate in candidates() if candidate.path in working]


def state_folder() -> Path | None:
    """Return Trueno's folder for OpenCL, private to the user and made if need be; None where there can be none.

    It lies in the kernel cache's folder (TRUENO_CACHE_DIR, else the user's cache folder), and holds what probes found
    and what PoCL keeps.
    """
    settings = config.settings()
    base = settings.cache_dir or config.user_cache_folder()
    if not settings.cache or base is None:
        return None
    try:
        for folder in (base, os.path.join(base, "opencl")):
            if inspect_folder(folder).status not in ("ok", "absent"):
                return None
            make_private(folder, base)
    except OSError:
        return None
    return Path(folder)


def _probe(found: list[Candidate], timeout: float) -> dict[str, Any]:
    """Try all drivers, without regard to what is kept."""
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "when": time.time(),
        "cached": False,
        "pyopencl": "",
        "variables": _variables(),
        "icds": [],
        "devices": [],
    }
    if importlib.util.find_spec("pyopencl") is None:
        report["error"] = INSTALL_PYOPENCL
        report["icds"] = [_icd(candidate, None) for candidate in found]
        return report
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        report["pyopencl"] = importlib.metadata.version("pyopencl")
    sound = [candidate for candidate in found if not candidate.problem]
    if sound:
        with ThreadPoolExecutor(min(4, len(sound))) as pool:
            accounts = dict(zip(sound, pool.map(lambda one: timed_attempt([one], timeout), sound), strict=True))
        report["icds"] = [_icd(candidate, accounts.get(candidate)) for candidate in found]
    else:
        # A loader may know drivers by other means than ICD files: oclgrind puts itself in its place, for one.
        report["icds"] = [_icd(candidate, None) for candidate in found]
        alone = Candidate("(the loader's own choice)", "loader", "")
        report["icds"].append(_icd(alone, timed_attempt([], timeout)))
    _resolve_conflicts(report["icds"], sound, timeout)
    report["devices"] = _usable(report["icds"])
    if not report["devices"]:
        report["error"] = _error(report["icds"], bool(found))
    return report


def _icd(candidate: Candidate, account: dict[str, Any] | None) -> dict[str, Any]:
    """Return a driver's part of the report; without an account it was not tried."""
    entry = {"path": candidate.path, "source": candidate.source, "library": candidate.library}
    if account is None:
        reason = candidate.problem or "was not tried"
        return {**entry, "status": "failed", "reason": reason, "seconds": 0.0, "platforms": []}
    devices = [device for platform in account["platforms"] for device in platform["devices"]]
    reasons = [account["reason"], *(platform["reason"] for platform in account["platforms"])]
    reasons += [device["reason"] for device in devices]
    usable = any(device["usable"] for device in devices)
    reason = "" if usable else next(filter(None, reasons), "lists no devices")
    status = "ok" if usable else "failed"
    return {
        **entry,
        "status": status,
        "reason": reason,
        "seconds": account["seconds"],
        "platforms": account["platforms"],
    }


def _resolve_conflicts(icds: list[dict[str, Any]], sound: list[Candidate], timeout: float) -> None:
    """Mark drivers that work alone but not beside the ones before them.

    Two drivers with an LLVM each, say, may abort a process that loads both.
    """
    working = [icd for icd in icds if icd["status"] == "ok"]
    by_path = {candidate.path: candidate for candidate in sound}
    if len(working) < 2:
        return

    def together(chosen: list[dict[str, Any]]) -> bool:
        account = timed_attempt([by_path[icd["path"]] for icd in chosen], timeout * len(chosen))
        seen = sum(device["usable"] for platform in account["platforms"] for device in platform["devices"])
        return not account["reason"] and seen >= len(chosen)

    if together(working):
        return
    kept = working[:1]
    for icd in working[1:]:
        if together([*kept, icd]):
            kept.append(icd)
        else:
            before = ", ".join(other["path"] for other in kept)
            icd["status"], icd["reason"] = "conflict", f"works alone, but not in one process with {before}"


def _usable(icds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the usable devices of the drivers that are loaded, graphics cards and accelerators first."""
    devices = [
        {**device, "icd": icd["path"]}
        for icd in icds
        if icd["status"] == "ok"
        for platform in icd["platforms"]
        for device in platform["devices"]
        if device["usable"]
    ]
    rank = {"GPU": 0, "accelerator": 1}
    return sorted(devices, key=lambda device: rank.get(device["type"], 2))


def _error(icds: list[dict[str, Any]], any_found: bool) -> str:
    """Say why no device is usable, and what to install."""
    if not any_found:
        variable = vendors_variable()
        return f"{variable}={os.environ[variable]} holds no ICD file; unset it" if variable else INSTALL_DRIVER
    reasons = "; ".join(f"{icd['path']}: {icd['reason']}" for icd in icds if icd["reason"])
    return f"no OpenCL device works ({reasons}); another driver may: {INSTALL_DRIVER.partition('; ')[2]}"


def _variables() -> dict[str, str]:
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}


def _key(found: list[Candidate]) -> str:
    """Return a name for the state of this machine's drivers.

    Unlike the key of a kernel, this one holds paths and mtimes: the answer is about the files as they are on this
    machine, reading drivers of hundreds of megabytes to hash them would cost what is to be saved, and a wrong answer
    costs another probe, not a wrong result (`trueno.runtime.opencl` checks that it meets the devices that the answer
    names).
    """
    try:
        pyopencl = importlib.metadata.version("pyopencl")
    except importlib.metadata.PackageNotFoundError:
        pyopencl = ""
    parts = [SCHEMA, machine.node(), pyopencl, _variables(), [candidate.fingerprint() for candidate in found]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read(key: str) -> dict[str, Any] | None:
    """Return the answer kept on disk, if it is there, whole and young enough."""
    folder = state_folder()
    if folder is None:
        return None
    try:
        report = json.loads((folder / f"probe-{key}.json").read_text())
        age = time.time() - report["when"]
        kept = KEPT_SECONDS if report["devices"] else KEPT_SECONDS_WITHOUT_DEVICE
        return {**report, "cached": True} if report["schema"] == SCHEMA and 0 <= age < kept else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(key: str, report: dict[str, Any]) -> None:
    """Keep an answer on disk, and remove those that are too old to be read. Nothing is said if it cannot be written."""
    folder = state_folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        for path in folder.glob("probe-*.json"):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".probe-", delete=False) as file:
            json.dump(report, file)
        os.replace(file.name, folder / f"probe-{key}.json")
