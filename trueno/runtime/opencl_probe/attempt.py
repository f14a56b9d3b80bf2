"""Run `child.py` over a set of drivers, and make one account of what it reports, also when it crashes or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trueno.runtime.opencl_probe.child import MARK
from trueno.runtime.opencl_probe.icd import Candidate, write_vendors

CHILD = Path(__file__).with_name("child.py")

MOST_CRASHES = 4
"""A driver that brings this many processes down is not tried again."""


def attempt(chosen: list[Candidate], timeout: float) -> dict[str, Any]:
    """Load drivers together in a process of their own, and build and run a kernel on each of their devices.

    Parameters
    ----------
    chosen : list of Candidate
        With none the ICD loader is left to itself.
    timeout : float
        Seconds a process may take.

    Returns
    -------
    dict
        ``"platforms"``: name, version, vendor and ``"devices"`` of each; ``"reason"``: why nothing (more) was found,
        empty when all went well; ``"pyopencl"``: its version, empty if it cannot be imported.
    """
    skip: dict[int, dict[str, Any]] = {}
    while True:
        findings, ending = _run(chosen, sorted(skip), timeout)
        stages = [finding["stage"] for finding in findings]
        account = _account(findings, skip)
        if "done" in stages or "error" in stages:
            return account
        crashed_at = findings[-1]["position"] if stages and stages[-1] == "device" else None
        if crashed_at is None or len(skip) >= MOST_CRASHES:
            account["reason"] = ending if "platform" in stages else f"{ending} while the driver was loaded"
            return account
        skip[crashed_at] = {**findings[-1]["device"], "reason": f"{ending} while a kernel was built or run"}


def _run(chosen: list[Candidate], skip: list[int], timeout: float) -> tuple[list[dict[str, Any]], str]:
    """Run one process and return its findings and how it ended."""
    with tempfile.TemporaryDirectory(prefix="trueno-opencl-probe-") as folder:
        vendors = os.path.join(folder, "vendors")
        os.mkdir(vendors)
        write_vendors(vendors, chosen)
        output, errors = Path(folder, "output"), Path(folder, "errors")
        # A fresh folder for PoCL's own cache, so that the kernel is really compiled.
        environment = {**os.environ, "POCL_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        library = chosen[0].library if len(chosen) == 1 else ""
        arguments = [vendors if chosen else "", library, *map(str, skip)]
        with output.open("wb") as out, errors.open("wb") as err:
            # Files, not pipes: a compiler that the driver started could keep a pipe open for ever. A session of its
            # own, so that such a compiler ends with it. -P: the script's folder is not for importing from.
            process = subprocess.Popen(
                [sys.executable, "-P", str(CHILD), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )
            ending = _wait(process, timeout)
        findings = []
        for line in output.read_text(errors="replace").splitlines():
            _, mark, text = line.partition(MARK)
            if mark:
                with contextlib.suppress(json.JSONDecodeError):
                    findings.append(json.loads(text))
        last = errors.read_text(errors="replace").strip().splitlines()[-3:]
    return findings, f"{ending} (it said: {' / '.join(last)})" if last else ending


def _wait(process: subprocess.Popen[bytes], timeout: float) -> str:
    """Wait for a process, ending it and what it started after the time-out, and say in words how it ended."""
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"took longer than {timeout:g} s"
    if code >= 0:
        return f"ended its process with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"crashed ({signal.Signals(-code).name})"
    return f"crashed (signal {-code})"


def _account(findings: list[dict[str, Any]], crashed: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Put findings together. `crashed` holds what is known of devices that were left out, by position."""
    account: dict[str, Any] = {"platforms": [], "reason": "", "pyopencl": ""}
    devices: dict[int, dict[str, Any]] = {}
    platforms = account["platforms"]
    for finding in findings:
        match finding["stage"]:
            case "imported":
                account["pyopencl"] = finding["pyopencl"]
            case "platform":
                named = {name: finding[name] for name in ("name", "version", "vendor")}
                platforms.append({**named, "reason": "", "devices": []})
            case "platform_error":
                platforms[finding["platform"]]["reason"] = finding["reason"]
            case "device":
                device = {**finding["device"], "usable": False, "reason": "was not tried to the end", "build_ms": None}
                devices[finding["position"]] = device
                platforms[finding["platform"]]["devices"].append(device)
            case "tried":
                devices[finding["position"]].update(usable=True, reason="", build_ms=finding["milliseconds"])
            case "failed":
                devices[finding["position"]]["reason"] = finding["reason"]
            case "error":
                account["reason"] = finding["reason"]
    for device in crashed.values():
        record = {**device, "usable": False, "build_ms": None}
        for platform in platforms:
            if platform["name"].strip() == record["platform"]:
                platform["devices"].append(record)
                break
    return account


def timed_attempt(chosen: list[Candidate], timeout: float) -> dict[str, Any]:
    """Do `attempt` and add the seconds it took as ``"seconds"``."""
    started = time.perf_counter()
    account = attempt(chosen, timeout)
    account["seconds"] = round(time.perf_counter() - started, 3)
    return account
