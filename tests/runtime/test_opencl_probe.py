"""Finding OpenCL drivers: broken ones are passed over with a reason, and nothing takes the process down."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trueno import config
from trueno.runtime import opencl_probe
from trueno.runtime.opencl_probe import attempt as attempt_module
from trueno.runtime.opencl_probe import child, icd

needs_pyopencl = pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="pyopencl is not installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder for each test, and no answers kept from before."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRUENO_CACHE_DIR", str(folder))
    monkeypatch.delenv("OPENCL_VENDOR_PATH", raising=False)
    config.reload()
    opencl_probe.forget()
    yield folder
    opencl_probe.forget()
    monkeypatch.undo()
    config.reload()


@pytest.fixture
def vendors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that OCL_ICD_VENDORS names."""
    folder = tmp_path / "vendors"
    folder.mkdir()
    monkeypatch.setenv("OCL_ICD_VENDORS", str(folder))
    return folder


@pytest.fixture
def compile_driver(tmp_path: Path) -> Callable[[str, str], str]:
    """A function that compiles C code into a shared library and returns its path."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a crashing driver with")

    def compile_(name: str, code: str) -> str:
        source, library = tmp_path / f"{name}.c", tmp_path / f"{name}.so"
        source.write_text(code)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        return str(library)

    return compile_


CRASH = """
#include <stdlib.h>
int clIcdGetPlatformIDsKHR(unsigned n, void **platforms, unsigned *count) { abort(); }
void *clGetExtensionFunctionAddress(const char *name) { return (void *)clIcdGetPlatformIDsKHR; }
int clGetPlatformInfo(void *p, unsigned name, unsigned long size, void *value, unsigned long *needed) { abort(); }
"""
HANG = """
#include <unistd.h>
__attribute__((constructor)) static void hang(void) { sleep(1000); }
"""


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {Path(entry["path"]).name: entry for entry in report["icds"]}


@needs_pyopencl
def test_broken_drivers_are_passed_over(vendors: Path, compile_driver: Callable[[str, str], str]) -> None:
    (vendors / "absent.icd").write_text("/nowhere/libabsent.so\n")
    (vendors / "bare.icd").write_text("libtrueno-no-such-driver.so\n")
    (vendors / "crash.icd").write_text(compile_driver("crash", CRASH) + "\n")
    (vendors / "empty.icd").write_text("")
    (vendors / "text.icd").write_text(f"{vendors}/absent.icd\n")
    report = opencl_probe.probe()
    found = by_name(report)
    assert {entry["status"] for entry in found.values()} == {"failed"}
    assert "/nowhere/libabsent.so, which does not exist" in found["absent.icd"]["reason"]
    assert "cannot be loaded: libtrueno-no-such-driver.so" in found["bare.icd"]["reason"]
    assert "crashed (SIGABRT) while the driver was loaded" in found["crash.icd"]["reason"]
    assert found["empty.icd"]["reason"] == "the ICD file is empty"
    assert "cannot be loaded" in found["text.icd"]["reason"]
    assert report["devices"] == []
    assert "crash.icd: crashed" in report["error"] and "pocl-opencl-icd" in report["error"]
    assert json.loads(json.dumps(report)) == report


@needs_pyopencl
def test_a_hanging_driver_is_given_up(vendors: Path, compile_driver: Callable[[str, str], str]) -> None:
    (vendors / "hang.icd").write_text(compile_driver("hang", HANG) + "\n")
    started = time.monotonic()
    report = opencl_probe.probe(timeout=1.5)
    assert time.monotonic() - started < 10
    assert "took longer than 1.5 s" in by_name(report)["hang.icd"]["reason"]


@pytest.mark.opencl
def test_a_working_driver_beside_a_crashing_one(
    vendors: Path, compile_driver: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCL_ICD_VENDORS")
    working = [candidate for candidate in icd.candidates() if not candidate.problem]
    monkeypatch.setenv("OCL_ICD_VENDORS", str(vendors))
    icd.write_vendors(str(vendors), working)
    (vendors / "99-crash.icd").write_text(compile_driver("crash", CRASH) + "\n")
    report = opencl_probe.probe()
    assert not report["cached"] and "error" not in report
    assert by_name(report)["99-crash.icd"]["status"] == "failed"
    first = report["devices"][0]
    assert first["usable"] and first["build_ms"] > 0
    assert first["limits"]["work_group_size"] >= 1 and first["limits"]["base_alignment"] >= 1
    assert "1.2" in first["opencl_c"] and set(first["features"]) == {"fp64", "fp16", "subgroups", "int64_atomics"}
    good = opencl_probe.good_candidates(report)
    assert good and all("crash" not in candidate.library for candidate in good)
    # In this very process, were the loader to start now, it would be given the working drivers only.
    with icd.only(good):
        assert len(list(Path(os.environ["OCL_ICD_VENDORS"]).glob("*.icd"))) == len(good)
        assert os.environ["OCL_ICD_VENDORS"] != str(vendors)
    assert os.environ["OCL_ICD_VENDORS"] == str(vendors)

    assert opencl_probe.probe()["cached"]
    opencl_probe.forget()
    started = time.perf_counter()
    again = opencl_probe.probe()
    assert again["cached"] and again["devices"] == report["devices"]
    assert time.perf_counter() - started < 0.5


def test_no_driver_at_all(monkeypatch: pytest.MonkeyPatch, vendors: Path) -> None:
    monkeypatch.setattr(opencl_probe, "timed_attempt", lambda chosen, timeout: account([]))
    error = opencl_probe.probe()["error"]
    assert f"OCL_ICD_VENDORS={vendors} holds no ICD file" in error
    monkeypatch.delenv("OCL_ICD_VENDORS")
    monkeypatch.setattr(opencl_probe, "candidates", list)
    error = opencl_probe.probe()["error"]
    assert "apt-get install pocl-opencl-icd" in error and "pip install intel-opencl-rt" in error


def test_pyopencl_missing(monkeypatch: pytest.MonkeyPatch, vendors: Path) -> None:
    (vendors / "some.icd").write_text("libsome.so\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report = opencl_probe.probe()
    assert report["error"] == opencl_probe.INSTALL_PYOPENCL
    assert by_name(report)["some.icd"]["reason"] == "was not tried"


def account(devices: list[dict[str, Any]], reason: str = "") -> dict[str, Any]:
    """What `timed_attempt` returns for one platform with these devices."""
    platform = {"name": "P", "version": "1", "vendor": "V", "reason": "", "devices": devices}
    return {"platforms": [platform], "reason": reason, "pyopencl": "1", "seconds": 0.0}


def some_device(name: str, kind: str = "CPU") -> dict[str, Any]:
    return {"name": name, "type": kind, "usable": True, "reason": "", "build_ms": 1.0}


def test_drivers_that_do_not_bear_each_other(monkeypatch: pytest.MonkeyPatch, vendors: Path) -> None:
    for name in "abc":
        (vendors / f"{name}.icd").write_text(f"lib{name}.so\n")

    def timed_attempt(chosen: list[icd.Candidate], timeout: float) -> dict[str, Any]:
        names = [candidate.library for candidate in chosen]
        if "liba.so" in names and "libb.so" in names:
            return account([], "crashed (SIGABRT)")
        return account([some_device(name, "GPU" if name == "libc.so" else "CPU") for name in names])

    monkeypatch.setattr(opencl_probe, "timed_attempt", timed_attempt)
    report = opencl_probe.probe()
    found = by_name(report)
    assert [found[f"{name}.icd"]["status"] for name in "abc"] == ["ok", "conflict", "ok"]
    assert "not in one process with" in found["b.icd"]["reason"]
    assert [device["name"] for device in report["devices"]] == ["libc.so", "liba.so"]  # graphics cards come first


def test_the_kept_answer_follows_the_drivers_files(monkeypatch: pytest.MonkeyPatch, vendors: Path) -> None:
    calls = []

    def timed_attempt(chosen: list[icd.Candidate], timeout: float) -> dict[str, Any]:
        calls.append(chosen)
        return account([some_device("x")])

    monkeypatch.setattr(opencl_probe, "timed_attempt", timed_attempt)
    path = vendors / "a.icd"
    path.write_text("liba.so\n")
    opencl_probe.probe()
    opencl_probe.forget()
    assert opencl_probe.probe()["cached"] and len(calls) == 1
    os.utime(path, (1, 1))
    assert not opencl_probe.probe()["cached"] and len(calls) == 2
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere/else")
    opencl_probe.probe()
    assert len(calls) == 3
    opencl_probe.probe(refresh=True)
    assert len(calls) == 4
    # Spoilt, outdated and old answers are not read.
    folder = opencl_probe.state_folder()
    assert folder is not None
    opencl_probe.forget()
    for spoil in (b"{", b'{"schema": 0, "when": 1, "devices": []}'):
        for file in folder.glob("probe-*.json"):
            file.write_bytes(spoil)
        assert not opencl_probe.probe()["cached"]
        opencl_probe.forget()
    monkeypatch.setattr(opencl_probe, "KEPT_SECONDS", -1)
    assert not opencl_probe.probe()["cached"]
    assert len(list(folder.glob("probe-*.json"))) == 1  # what is too old was removed


def test_without_a_cache_folder(monkeypatch: pytest.MonkeyPatch, vendors: Path, own_cache: Path) -> None:
    monkeypatch.setattr(opencl_probe, "timed_attempt", lambda chosen, timeout: account([some_device("x")]))
    (vendors / "a.icd").write_text("liba.so\n")
    monkeypatch.setenv("TRUENO_CACHE", "0")
    config.reload()
    assert opencl_probe.state_folder() is None
    assert len(opencl_probe.probe()["devices"]) == 1
    assert not own_cache.exists()
    monkeypatch.setenv("TRUENO_CACHE", "1")
    config.reload()
    own_cache.mkdir(mode=0o777)
    own_cache.chmod(0o777)  # others could have written an answer
    assert opencl_probe.state_folder() is None


FAKE_CHILD = """
import json, os, signal, sys
MARK = {mark!r}
skip = set(map(int, sys.argv[3:]))
def say(**finding):
    print("noise " + MARK + json.dumps(finding), flush=True)
say(stage="imported", pyopencl="1")
say(stage="platform", name="P", version="1", vendor="V")
for position in range(3):
    if position in skip:
        continue
    say(stage="device", platform=0, position=position, device=dict(name=str(position), platform="P", type="CPU"))
    if position == 0:
        say(stage="failed", position=0, reason="RuntimeError: wrong")
    elif position == 1:
        print("about to die", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    else:
        say(stage="tried", position=2, milliseconds=5.0)
say(stage="done")
"""


def test_a_device_whose_compiler_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "child.py"
    script.write_text(FAKE_CHILD.format(mark=child.MARK))
    monkeypatch.setattr(attempt_module, "CHILD", script)
    result = attempt_module.attempt([icd.Candidate("x.icd", "variable", "libx.so")], timeout=20)
    devices = {device["name"]: device for device in result["platforms"][0]["devices"]}
    assert devices["2"]["usable"] and devices["2"]["build_ms"] == 5.0
    assert not devices["0"]["usable"] and devices["0"]["reason"] == "RuntimeError: wrong"
    assert not devices["1"]["usable"]
    assert "crashed (SIGSEGV) (it said: about to die) while a kernel was built or run" in devices["1"]["reason"]


def test_a_probe_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "child.py"
    script.write_text("raise SystemExit(3)")
    monkeypatch.setattr(attempt_module, "CHILD", script)
    result = attempt_module.attempt([], timeout=20)
    assert result["reason"] == "ended its process with exit code 3 while the driver was loaded"
    assert result["platforms"] == []


@pytest.mark.opencl
def test_what_the_probing_process_reports(capsys: pytest.CaptureFixture[str]) -> None:
    from trueno.runtime import opencl

    opencl.devices()
    with warnings.catch_warnings():
        child.main("", "", [])
    lines = [line.partition(child.MARK)[2] for line in capsys.readouterr().out.splitlines()]
    findings = [json.loads(line) for line in lines if line]
    stages = [finding["stage"] for finding in findings]
    assert stages[:3] == ["imported", "platform", "device"] and "tried" in stages and stages[-1] == "done"
    described = next(finding["device"] for finding in findings if finding["stage"] == "device")
    assert described["name"] and described["limits"]["address_bits"] in (32, 64)
    assert "cannot be loaded" in child.load_error("libtrueno-no-such-driver.so")
    assert child.load_error("libc.so.6") == "was loaded, but offers no OpenCL platform"


def test_drivers_inside_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ICD files that pip's packages bring are found, and corrected where the path in them does not exist."""
    prefix, packages = tmp_path / "prefix", tmp_path / "packages"
    monkeypatch.delenv("OCL_ICD_VENDORS", raising=False)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(
        icd.sysconfig,
        "get_paths",
        lambda: {"data": str(prefix), "purelib": str(packages), "platlib": str(packages)},
    )
    monkeypatch.setattr(icd, "SYSTEM_VENDORS", str(tmp_path / "none"))
    monkeypatch.setattr(icd, "BARE_LIBRARIES", ("libbare.so.1",))
    monkeypatch.setattr(icd, "LIBRARY_FOLDERS", (str(tmp_path),))
    (tmp_path / "libbare.so.1").touch()
    for folder in (prefix / "etc/OpenCL/vendors", prefix / "lib", packages / "pyopencl/.libs"):
        folder.mkdir(parents=True)
    (packages / "other/etc/OpenCL/vendors").mkdir(parents=True)
    (prefix / "lib/libintelocl.so").touch()
    (prefix / "etc/OpenCL/vendors/intel.icd").write_text("/opt/conda/lib/libintelocl.so\n")
    (packages / "pyopencl/.libs/libpocl-1.so").touch()
    (packages / "pyopencl/.libs/pocl.icd").write_text("libpocl-1.so")
    (packages / "other/etc/OpenCL/vendors/other.icd").write_text("libother.so")
    found = {Path(candidate.path).name: candidate for candidate in icd.candidates()}
    assert found["intel.icd"].library == str(prefix / "lib/libintelocl.so")
    assert found["pocl.icd"].library == str(packages / "pyopencl/.libs/libpocl-1.so")
    assert found["other.icd"].library == "libother.so"
    assert found["libbare.so.1"].source == "library"
    assert all(not candidate.problem for candidate in found.values())


def test_the_users_variable_names_a_file_or_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.icd"
    path.write_text("libone.so\n")
    monkeypatch.setenv("OCL_ICD_VENDORS", str(path))
    assert icd.candidates() == [icd.Candidate(str(path), "variable", "libone.so")]
    monkeypatch.setenv("OCL_ICD_VENDORS", "libtwo.so")
    assert icd.candidates() == [icd.Candidate("libtwo.so", "variable", "libtwo.so")]
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path / "absent.icd"))
    assert "cannot be read" in icd.candidates()[0].problem


def test_asking_costs_no_import() -> None:
    """Neither `import trueno` nor the OpenCL runtime's modules import pyopencl before a device is asked for."""
    code = textwrap.dedent("""
        import sys
        import trueno.runtime.opencl
        assert "pyopencl" not in sys.modules
        assert "networkx" not in sys.modules
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
