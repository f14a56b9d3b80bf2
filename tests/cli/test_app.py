"""The command's own options, `trueno config` and `trueno doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types

import pytest

from trueno import config
from trueno.cli import checks

DEVICE = {"name": "pthread", "type": "CPU"}
WORKING = {"icds": [{"path": "/v/pocl.icd", "status": "ok", "reason": ""}], "devices": [DEVICE]}
NOTHING = {"icds": [], "devices": [], "error": "no OpenCL driver is installed"}


@pytest.fixture
def opencl(monkeypatch):
    """Sets what the OpenCL probe answers."""

    def answer(report):
        monkeypatch.setattr("trueno.runtime.opencl_probe.probe", lambda: report)

    answer(WORKING)
    return answer


def doctor(run):
    shown = run("doctor", "--json")
    return shown, {name: check["status"] for name, check in shown.json()["checks"].items()}


# The command itself


def test_help_for_a_newcomer(run):
    for arguments in ((), ("--help",)):
        shown = run(*arguments)
        assert [word for word in ("doctor", "config", "cache", "trueno doctor") if word not in shown.out] == []
    for name in ("list", "show", "stats", "verify", "clear", "explain"):
        assert run("cache", name, "--help").code == 0


def test_version(run):
    shown = run("--version")
    assert shown.code == 0
    assert shown.out.startswith("trueno ")


def test_as_a_process(tmp_path):
    environ = {**os.environ, "TRUENO_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "trueno.cli"]
    done = subprocess.run([*command, "doctor", "--json"], env=environ, capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert done.returncode == (0 if document["ok"] else 1)
    assert {"python", "settings", "llvm", "cpu", "threads", "launcher", "opencl", "cache"} == set(document["checks"])
    assert document["checks"]["cache"]["details"]["folder"] == str(tmp_path / "cache")


def test_bad_setting_as_a_process_is_named(tmp_path):
    environ = {**os.environ, "TRUENO_DEVICE": "cuda"}
    command = [sys.executable, "-m", "trueno.cli", "config"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "TRUENO_DEVICE='cuda'" in done.stdout + done.stderr


# config


def test_config_shows_every_variable_and_its_origin(run, monkeypatch):
    monkeypatch.setenv("TRUENO_DEBUG", "1")
    shown = run("config")
    assert shown.code == 0
    assert [row.variable for row in config.table() if row.variable not in shown.out] == []
    settings = {row["name"]: row for row in run("config", "--json").json()["settings"]}
    assert settings["debug"]["origin"] == "environment"
    assert settings["pool_bytes"]["origin"] == "default"


def test_config_reports_bad_and_unknown_variables(run, monkeypatch):
    monkeypatch.setenv("TRUENO_DEVICE", "cuda")
    monkeypatch.setenv("TRUENO_CACHEDIR", "/tmp")
    shown = run("config")
    assert shown.code == 1
    assert "TRUENO_DEVICE='cuda': expected cpu" in shown.out
    assert "is TRUENO_CACHE_DIR meant?" in shown.err
    assert run("config", "--json").json()["unknown"] == {"TRUENO_CACHEDIR": "TRUENO_CACHE_DIR"}


# doctor


def test_doctor_finds_nothing_wrong(run, opencl):
    shown, status = doctor(run)
    assert status["opencl"] == status["cache"] == status["settings"] == "ok"
    assert shown.code == 0
    text = run("doctor", "--verbose")
    assert "opencl:0 pthread" in text.out
    assert "All that you asked for works." in text.out
    assert "free_threaded" in text.out


def test_doctor_without_opencl_warns_only(run, opencl):
    opencl(NOTHING)
    shown, status = doctor(run)
    assert (shown.code, status["opencl"]) == (0, "warning")
    assert "no OpenCL driver is installed" in run("doctor").out


def test_doctor_tells_of_drivers_passed_over(run, opencl):
    failed = {"path": "/v/broken.icd", "status": "failed", "reason": "crashed"}
    opencl({"icds": [*WORKING["icds"], failed], "devices": [DEVICE]})
    shown, status = doctor(run)
    assert (shown.code, status["opencl"]) == (0, "warning")
    assert "/v/broken.icd: crashed" in run("doctor").out


@pytest.mark.parametrize("report", [WORKING, NOTHING])
def test_doctor_fails_if_the_device_asked_for_is_not_there(run, opencl, monkeypatch, report):
    opencl(report)
    monkeypatch.setenv("TRUENO_DEVICE", "opencl:3")
    shown, status = doctor(run)
    assert (shown.code, status["opencl"]) == (1, "broken")
    assert "TRUENO_DEVICE=opencl:3" in run("doctor").out


def test_doctor_fails_if_the_folder_asked_for_cannot_be_used(run, opencl, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("TRUENO_CACHE_DIR", str(tmp_path / "file"))
    shown, status = doctor(run)
    assert (shown.code, status["cache"]) == (1, "broken")
    text = run("doctor").out
    assert "it is not a folder" in text
    assert "TRUENO_CACHE_DIR" in text
    assert "Does not work: cache" in text


def test_doctor_says_how_to_mend_a_folder_that_others_may_write(run, opencl, store):
    os.chmod(store.folder, 0o770)
    assert f"chmod 700 {store.folder}" in run("doctor").out.replace("\n", " ")


def test_doctor_shows_the_caches_content_and_state(run, opencl, store, monkeypatch):
    assert "3 kernels" in run("doctor").out
    monkeypatch.setenv("TRUENO_CACHE", "0")
    assert "off (TRUENO_CACHE=0)" in run("doctor").out


def test_doctor_reports_a_bad_setting(run, opencl, monkeypatch):
    monkeypatch.setenv("TRUENO_NUM_THREADS", "many")
    shown, status = doctor(run)
    assert (shown.code, status["settings"]) == (1, "broken")
    assert "TRUENO_NUM_THREADS='many'" in run("doctor").out


def test_doctor_survives_a_check_that_fails(run, opencl, monkeypatch):
    def fail():
        raise OSError("no such driver")

    monkeypatch.setattr("trueno.runtime.opencl_probe.probe", fail)
    shown, status = doctor(run)
    assert (shown.code, status["opencl"]) == (1, "broken")
    monkeypatch.setitem(sys.modules, "trueno.runtime.opencl_probe", None)
    shown, status = doctor(run)
    assert status["opencl"] == "warning"


def test_threads_that_were_asked_for_and_are_missing(monkeypatch):
    from trueno.runtime import threads

    missing = {"num_threads": 2, "workers": 0, "reason": "no POSIX threads", "forked": False}
    monkeypatch.setattr(threads, "status", lambda: missing)
    assert checks.check_threads().status == "warning"
    monkeypatch.setenv("TRUENO_NUM_THREADS", "2")
    config.reload()
    assert checks.check_threads().status == "broken"


@pytest.fixture
def part(monkeypatch):
    """Puts a module with this `status` in the place of a part of Trueno."""

    def put(name, status):
        module = types.ModuleType(name)
        module.status = status
        monkeypatch.setitem(sys.modules, name, module)

    return put


@pytest.mark.parametrize(
    ("wanted", "used", "expected"),
    [
        (None, "native", "ok"),
        ("native", "native", "ok"),
        ("python", "python", "ok"),
        (None, "python", "warning"),
        ("native", "python", "broken"),
    ],
)
def test_launcher(part, monkeypatch, wanted, used, expected):
    part("trueno.runtime.launcher", lambda: {"launcher": used, "reason": "the self-test failed"})
    if wanted:
        monkeypatch.setenv("TRUENO_LAUNCHER", wanted)
    config.reload()
    check = checks.check_launcher()
    assert check.status == expected
    assert ("the self-test failed" in check.summary) == (expected != "ok")


def test_feature_level(part):
    part("trueno.codegen.target", lambda: {"level": "x86-64-v3", "features": ["avx2"]})
    check = checks.check_cpu()
    assert check.status == "ok"
    assert "x86-64-v3 (native asked for)" in check.summary
    assert check.details["features"] == ["avx2"]


def test_feature_level_that_the_cpu_lacks(part, monkeypatch):
    def refuse():
        raise ValueError("this CPU lacks avx512f")

    part("trueno.codegen.target", refuse)
    monkeypatch.setenv("TRUENO_CPU_FEATURES", "x86-64-v4")
    config.reload()
    check = checks.check_cpu()
    assert check.status == "broken"
    assert "TRUENO_CPU_FEATURES=x86-64-v4: this CPU lacks avx512f" in check.summary


def test_parts_that_are_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "trueno.codegen.target", None)
    monkeypatch.setitem(sys.modules, "trueno.runtime.launcher", None)
    assert checks.check_cpu().status == "warning"
    assert checks.check_cpu().details["cpu"]
    assert checks.check_launcher().status == "warning"


def test_other_llvms_in_the_process():
    maps = (
        "7f00-7f01 r-xp 00000000 fe:01 123    /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n"
        "7f01-7f02 r--p 00000000 fe:01 123    /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n"
        "7f02-7f03 r-xp 00000000 fe:01 124    /opt/my libs/torch/lib/libtorch_cpu.so\n"
        "7f03-7f04 r-xp 00000000 fe:01 125    /usr/lib/libc.so.6\n"
        "7f04-7f05 rw-p 00000000 00:00 0 \n"
    )
    assert checks.loaded_llvms(maps) == [
        "/opt/my libs/torch/lib/libtorch_cpu.so",
        "/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1",
    ]
    assert checks.loaded_llvms("") == []


def test_sizes_and_times_in_words():
    from trueno.cli import output

    assert [output.size(count) for count in (0, 1023, 1536, 2**31)] == ["0 B", "1023 B", "1.5 KiB", "2.0 GiB"]
    assert [output.duration(seconds) for seconds in (0.0066, 3.21, 600)] == ["6.6 ms", "3.2 s", "10.0 min"]
    assert [output.ago(seconds) for seconds in (3, 300, 7200, 200000)] == [
        "just now",
        "5 min ago",
        "2 h ago",
        "2 d ago",
    ]
