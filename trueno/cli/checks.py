"""What `trueno doctor` looks at. Each check answers on its own and never raises; nothing here prints."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Callable
from typing import Any, NamedTuple

from trueno import config

OK, WARNING, BROKEN = "ok", "warning", "broken"


class Check(NamedTuple):
    """One finding.

    Attributes
    ----------
    name : str
    status : str
        ``"ok"``; ``"warning"``: something is missing that nobody asked for; ``"broken"``: something that the user asked
        for, by installing or setting it, does not work.
    summary : str
        One line.
    details : dict
        JSON-able facts.
    remedy : str
        What to do about it.
    """

    name: str
    status: str
    summary: str
    details: dict[str, Any]
    remedy: str = ""


def run_all() -> list[Check]:
    """Run every check, in the order in which they are shown."""
    with contextlib.suppress(config.ConfigError):
        config.reload()
    return [_guarded(name, check) for name, check in _CHECKS.items()]


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except config.ConfigError as error:
        return Check(name, WARNING, f"not checked: {error}", {}, "Correct the variable.")
    except ImportError as error:
        return Check(name, WARNING, f"not checked: {error}", {"error": str(error)}, _REINSTALL)
    except Exception as error:
        # A doctor that dies of the disease tells nothing: whatever goes wrong in a part is that part's finding.
        text = f"{type(error).__name__}: {error}"
        return Check(name, BROKEN, f"the check itself failed: {text}", {"error": text})


def version() -> str:
    """Return Trueno's version."""
    from importlib import metadata

    try:
        return metadata.version("trueno")
    except metadata.PackageNotFoundError:
        return str(getattr(importlib.import_module("trueno"), "__version__", "unknown"))


def check_python() -> Check:
    """Interpreter, platform and Trueno's own version."""
    threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    details = {
        "trueno": version(),
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "free_threaded": threaded,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "executable": sys.executable,
        "numpy": importlib.import_module("numpy").__version__,
    }
    kind = f"{details['implementation']} {details['version']}{' free-threaded' if threaded else ''}"
    return Check("python", OK, f"Trueno {details['trueno']}, {kind}, NumPy {details['numpy']}", details)


def check_settings() -> Check:
    """The environment variables."""
    rows = config.table()
    details = {"settings": [row._asdict() for row in rows]}
    errors = [row.error for row in rows if row.error]
    if errors:
        return Check("settings", BROKEN, "; ".join(errors), details, "`trueno config` says what each variable takes.")
    given = [f"{row.variable}={row.value}" for row in rows if row.origin == "environment"]
    return Check("settings", OK, ", ".join(given) or "all at their defaults", details)


def check_llvm() -> Check:
    """Llvmlite, its LLVM, and other LLVMs in this process."""
    import llvmlite
    import llvmlite.binding as llvm

    number = ".".join(map(str, llvm.llvm_version_info))
    others = loaded_llvms()
    details = {"llvmlite": llvmlite.__version__, "llvm": number, "other_llvms_in_process": others}
    more = f"; also loaded in this process: {', '.join(map(os.path.basename, others))}" if others else ""
    return Check("llvm", OK, f"llvmlite {llvmlite.__version__} with LLVM {number}{more}", details)


_LLVM_CARRIERS = re.compile(
    r"/(libLLVM|libclang|libpocl|libtorch_cpu|libintelocl|libOclCpuBackEnd|libigc|libigdrcl|libamdocl|libcomgr"
    r"|libamd_comgr|libnvidia-opencl|libnvidia-nvvm|libjax|libtensorflow|_pywrap_tensorflow)[^/]*$"
)


def loaded_llvms(maps: str | None = None) -> list[str]:
    """Return the libraries in this process, llvmlite apart, that are or carry an LLVM.

    Parameters
    ----------
    maps : str, optional
        Text of a /proc/self/maps. Where there is none the answer is empty.
    """
    if maps is None:
        try:
            with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
                maps = file.read()
        except OSError:
            return []
    paths = {fields[5].strip() for line in maps.splitlines() if len(fields := line.split(None, 5)) == 6}
    return sorted(path for path in paths if _LLVM_CARRIERS.search(path))


def check_cpu() -> Check:
    """The CPU, and the feature level that kernels are compiled for.

    `trueno.codegen.target.status` answers with ``level`` and ``features``, the resolved ones; it raises ValueError if
    this CPU lacks what TRUENO_CPU_FEATURES asks for.
    """
    import llvmlite.binding as llvm

    wanted = config.settings().cpu_features
    name = llvm.get_host_cpu_name()
    details: dict[str, Any] = {
        "cpu": name,
        "cpu_features": sorted(feature for feature, there in llvm.get_host_cpu_features().items() if there),
        "asked": wanted,
    }
    status, missing = _status_of("trueno.codegen.target")
    if status is None:
        return Check("cpu", WARNING, f"{name}; the feature level is unknown: {missing}", details, _REINSTALL)
    try:
        details |= status()
    except ValueError as error:
        remedy = "Set TRUENO_CPU_FEATURES to a level that this CPU has, or unset it."
        return Check("cpu", BROKEN, f"{name}: TRUENO_CPU_FEATURES={wanted}: {error}", details, remedy)
    return Check("cpu", OK, f"{name}, feature level {details['level']} ({wanted} asked for)", details)


def check_launcher() -> Check:
    """What dispatches calls: generated native code or its Python twin.

    `trueno.runtime.launcher.status` answers with ``launcher`` (``"native"`` or ``"python"``) and ``reason``, why it is
    not the native one.
    """
    status, missing = _status_of("trueno.runtime.launcher")
    if status is None:
        return Check("launcher", WARNING, f"not checked: {missing}", {}, _REINSTALL)
    details = status()
    wanted, used, reason = config.settings().launcher, details["launcher"], details.get("reason")
    if used == "native" or wanted == "python":
        return Check("launcher", OK, f"{used}{' (asked for)' if wanted else ''}", details)
    state = BROKEN if wanted == "native" else WARNING
    return Check("launcher", state, f"{used}, calls take longer: {reason}", details)


_REINSTALL = "Reinstall Trueno."


def _status_of(module: str) -> tuple[Callable[[], dict[str, Any]] | None, str]:
    """Return a module's `status` function, or None and why there is none."""
    try:
        return importlib.import_module(module).status, ""
    except (ImportError, AttributeError) as error:
        return None, str(error)


def check_threads() -> Check:
    """The team of threads that large kernels are split over."""
    from trueno.runtime import threads

    details = threads.status()
    number, workers = details["num_threads"], details["workers"]
    if workers == number - 1:
        return Check("threads", OK, f"{number} {'thread' if number == 1 else 'threads'}", details)
    asked = (config.settings().num_threads or 1) > 1
    summary = f"{workers + 1} of {number} threads run: {details['reason'] or 'the system refused to start more'}"
    return Check("threads", BROKEN if asked else WARNING, summary, details, "Raise the limit of threads (ulimit -u).")


def check_opencl() -> Check:
    """OpenCL drivers and devices, and why there are none."""
    from trueno.runtime.opencl_probe import probe

    details = probe()
    wanted = config.settings().device
    devices = details["devices"]
    names = [f"opencl:{number} {device['name']}" for number, device in enumerate(devices)]
    failed = [f"{icd['path']}: {icd['reason']}" for icd in details["icds"] if icd["status"] != "ok"]
    number = int(wanted.partition(":")[2]) if wanted.startswith("opencl:") else -1
    if number >= len(devices):
        there = "; ".join(names) or details.get("error") or "none"
        summary = f"TRUENO_DEVICE={wanted}, but the devices are: {there}"
        return Check("opencl", BROKEN, summary, details, "Set TRUENO_DEVICE to a device that is there, or unset it.")
    if not devices:
        return Check("opencl", WARNING, details.get("error") or "no device", details)
    summary = "; ".join(names)
    if failed:
        return Check("opencl", WARNING, f"{summary}; passed over: {'; '.join(failed)}", details)
    return Check("opencl", OK, summary, details)


def check_cache() -> Check:
    """The kernel cache's folder."""
    from trueno.cli.output import size
    from trueno.runtime.store import Store

    store = Store()
    state = store.state()
    details: dict[str, Any] = {"folder": state.path, "status": state.status, "limit": store.limit}
    if state.status == "off":
        return Check("cache", OK, "off (TRUENO_CACHE=0)", details)
    if state.status == "absent":
        return Check("cache", OK, f"{state.path}, empty; it is made when the first kernel is compiled", details)
    if state.status == "ok":
        found = store.statistics()
        details |= {name: found[name] for name in ("entries", "bytes", "hits", "compiled")}
        summary = f"{state.path}: {found['entries']} kernels, {size(found['bytes'])} of {size(store.limit)}"
        return Check("cache", OK, summary, details)
    status = BROKEN if config.settings().cache_dir is not None else WARNING
    details["cause"] = state.cause
    summary = f"{state.path or 'no folder'}: {state.cause}; every process compiles anew"
    return Check("cache", status, summary, details, state.remedy)


_CHECKS: dict[str, Callable[[], Check]] = {
    "python": check_python,
    "settings": check_settings,
    "llvm": check_llvm,
    "cpu": check_cpu,
    "threads": check_threads,
    "launcher": check_launcher,
    "opencl": check_opencl,
    "cache": check_cache,
}
