"""`trueno cache`: every subcommand, for people and for programs."""

from __future__ import annotations

import os
import sys
import types

import pytest

# list


def test_list_shows_every_kernel(run, store, keys):
    shown = run("cache", "list")
    assert shown.code == 0
    for key in (keys.add, keys.add_new, keys.exp):
        assert key.digest[:12] in shown.out
    assert "opencl-pocl" in shown.out
    assert "a.py:2" in shown.out
    assert "250.0 ms" in shown.out
    assert "3 kernels" in shown.out


def test_list_json_is_versioned_and_complete(run, store, keys):
    document = run("cache", "list", "--json").json()
    assert document["schema"] == 1
    rows = {row["key"]: row for row in document["entries"]}
    row = rows[keys.exp.digest]
    assert (row["name"], row["backend"], row["target"], row["code_bytes"]) == ("exp", "opencl", "opencl-pocl", 600)
    assert row["compile_seconds"] == 0.01
    assert row["bytes"] == os.path.getsize(row["path"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--op", "add"), {"add"}),
        (("--op", "e*"), {"exp"}),
        (("--backend", "opencl"), {"exp"}),
        (("--op", "add", "--backend", "opencl"), set()),
    ],
)
def test_list_selects(run, store, options, expected):
    rows = run("cache", "list", "--json", *options).json()["entries"]
    assert {row["name"] for row in rows} == expected


@pytest.mark.parametrize(
    ("order", "first"), [("size", "exp"), ("compile", "add_new"), ("created", "add"), ("name", None), ("used", "exp")]
)
def test_list_sorts(run, store, keys, order, first):
    for age, key in ((30, keys.add), (20, keys.add_new), (10, keys.exp)):
        os.utime(store.find(key.digest).path, (1e9 - age, 1e9 - age))
    rows = run("cache", "list", "--json", "--sort", order).json()["entries"]
    if first is None:
        assert [row["name"] for row in rows] == ["add", "add", "exp"]
    else:
        assert rows[0]["key"] == getattr(keys, first).digest


def test_list_of_an_empty_cache(run):
    shown = run("cache", "list")
    assert shown.code == 0
    assert "0 kernels" in shown.out


def test_wrong_choice_is_explained(run, store):
    shown = run("cache", "list", "--sort", "colour")
    assert shown.code == 2
    assert "colour" in shown.err


# show


@pytest.fixture
def llvm_stages(monkeypatch):
    """Stands for the LLVM backend, which makes the later stages again."""
    asked = []

    def stages(source: str, features: str, level: str | None) -> tuple[str, str]:
        asked.append((source, features, level))
        return "; optimised", "vaddps %ymm0"

    module = types.ModuleType("trueno.codegen.compile")
    module.stages = stages
    monkeypatch.setitem(sys.modules, "trueno.codegen.compile", module)
    monkeypatch.setattr("trueno.cli.show._regenerated", {})
    return asked


def test_show_prints_all_stages_of_an_llvm_kernel(run, store, keys, llvm_stages):
    shown = run("cache", "show", keys.add.digest[:16])
    assert shown.code == 0
    expected = ("add(x, y)", "loop i < n", "define void @kernel", "; optimised", "vaddps %ymm0", "a.py:1", "float32")
    assert [text for text in expected if text not in shown.out] == []
    assert "OpenCL C" not in shown.out
    assert len(llvm_stages) == 1
    assert llvm_stages[0][1] == "+avx2"


def test_show_assembles_for_another_level(run, store, keys, llvm_stages):
    shown = run("cache", "show", keys.add.digest[:16], "--level", "neon")
    assert shown.code == 0 and "Assembly for neon" in shown.out
    assert [asked[1:] for asked in llvm_stages] == [("+avx2", "neon")]
    assert "avx" in run("cache", "show", "add", "--level", "avx").err


def test_show_prints_all_stages_of_an_opencl_kernel(run, store, llvm_stages):
    shown = run("cache", "show", "exp")
    assert [text for text in ("exp(x)", "kernel void exp_0", "[1 remark]", "OpenCL C") if text not in shown.out] == []
    assert "Assembly" not in shown.out
    assert llvm_stages == []


def test_show_takes_the_newest_of_a_name(run, store, keys, llvm_stages):
    assert run("cache", "show", "add", "--json").json()["key"] == keys.add_new.digest


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("ir", "add(x, y)"),
        ("plan", "loop i < n"),
        ("llvm", "define void @kernel() {\n  ret void\n}"),
        ("optimised", "; optimised"),
        ("assembly", "vaddps %ymm0"),
    ],
)
def test_show_one_stage_prints_just_its_text(run, store, llvm_stages, stage, expected):
    assert run("cache", "show", "add", "--stage", stage).out == expected + "\n"


def test_show_json_has_stages_and_key_parts(run, store, llvm_stages):
    document = run("cache", "show", "exp", "--json").json()
    assert document["stages"]["log"] == "[1 remark]"
    assert document["stages"]["assembly"] is None
    assert {"name": "device", "value": "pthread"} in document["parts"]


def test_show_says_why_a_stage_is_missing(run, store, monkeypatch):
    wrong = run("cache", "show", "exp", "--stage", "assembly")
    assert wrong.code == 1
    assert "made by the opencl backend" in wrong.err
    none = run("cache", "show", "exp", "--stage", "plan")
    assert "nothing was kept" in none.err
    monkeypatch.setitem(sys.modules, "trueno.codegen.compile", None)
    monkeypatch.setattr("trueno.cli.show._regenerated", {})
    gone = run("cache", "show", "add")
    assert gone.code == 0
    assert "not available: the LLVM backend cannot be imported" in gone.out


def test_show_says_when_llvm_refuses_the_source(run, store, monkeypatch):
    module = types.ModuleType("trueno.codegen.compile")

    def stages(source, features, level):
        raise RuntimeError("expected '}'")

    module.stages = stages
    monkeypatch.setitem(sys.modules, "trueno.codegen.compile", module)
    monkeypatch.setattr("trueno.cli.show._regenerated", {})
    assert "expected '}'" in run("cache", "show", "add", "--stage", "optimised").err


def test_show_colours_on_a_terminal(run, store, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr("trueno.cli.output.terminal", lambda: True)
    monkeypatch.setattr("trueno.cli.output.console", lambda: Console(force_terminal=True, width=100))
    assert "\x1b[" in run("cache", "show", "exp", "--stage", "opencl").out


def test_show_of_an_unknown_key(run, store):
    shown = run("cache", "show", "tan")
    assert shown.code == 1
    assert "no entry has the name 'tan'" in shown.err
    assert "trueno cache list" in shown.err


# explain


def test_explain_names_the_difference(run, store, keys):
    shown = run("cache", "explain", keys.add.digest[:12])
    assert keys.add_new.digest[:12] in shown.out
    assert "dtypes" in shown.out
    assert "'int64' in the nearest, 'float32' in this one" in shown.out
    document = run("cache", "explain", keys.add.digest, "--json").json()
    assert document["nearest"] == keys.add_new.digest
    assert document["fields"] == [{"name": "dtypes", "stored": "int64", "asked": "float32"}]


def test_explain_of_the_only_entry(run, store):
    store.clear(name="add")
    assert "only entry" in run("cache", "explain", "exp").out


# stats


def test_stats_count_over_processes(run, store, keys):
    store.load(keys.add)
    store._statistics.flush(force=True)
    document = run("cache", "stats", "--json").json()
    assert document["schema"] == 1
    assert (document["hits"], document["compiled"], document["entries"]) == (1, 3, 3)
    assert document["backends"]["opencl"]["compiled"] == 1
    assert document["compile_seconds"] == pytest.approx(0.76)
    shown = run("cache", "stats").out
    assert "compiled (hard misses)" in shown
    assert "25.0 %" in shown
    assert "3 kernels" in shown


def test_stats_tell_of_rejected_entries(run, store, keys):
    path = store.find(keys.exp.digest).path
    with open(path, "ab") as file:
        file.write(b"x")
    with pytest.warns(UserWarning):
        store.load(keys.exp)
    store._statistics.flush(force=True)
    assert "rejected: checksum" in run("cache", "stats").out


def test_stats_reset(run, store):
    assert run("cache", "stats", "--reset", "--json").json()["compiled"] == 0
    assert run("cache", "stats", "--json").json()["entries"] == 3


# verify


def test_verify(run, store, keys):
    good = run("cache", "verify")
    assert (good.code, good.out) == (0, "3 kernels checked, all good\n")
    path = store.find(keys.exp.digest).path
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    bad = run("cache", "verify")
    assert bad.code == 1
    assert path in bad.out.replace("\n", "")
    document = run("cache", "verify", "--json").json()
    assert (document["checked"], [fault["reason"] for fault in document["faults"]]) == (3, ["checksum"])
    assert os.path.exists(path)


# clear


def test_clear_asks_first(run, store):
    refused = run("cache", "clear", input="n\n")
    assert refused.code == 1
    assert len(store.paths()) == 3
    agreed = run("cache", "clear", input="y\n")
    assert agreed.code == 0
    assert "3 kernels deleted" in agreed.out
    assert store.paths() == []


def test_clear_by_name_and_age(run, store, keys):
    assert "0 kernels deleted" in run("cache", "clear", "--yes", "--older-than", "1h").out
    os.utime(store.find(keys.add.digest).path, (0, 0))
    assert "1 kernel deleted" in run("cache", "clear", "--yes", "--op", "add", "--older-than", "30d").out
    assert {entry.name for entry in store.entries()} == {"add", "exp"}
    assert "1 kernel deleted" in run("cache", "clear", "-y", "--op", "add").out


def test_clear_with_a_bad_age(run, store):
    shown = run("cache", "clear", "--yes", "--older-than", "old")
    assert shown.code == 2
    assert "30d" in shown.err
    assert len(store.paths()) == 3


# A cache that cannot be used


def test_cache_that_others_may_write_is_refused(run, store):
    os.chmod(store.folder, 0o777)
    shown = run("cache", "list")
    assert shown.code == 2
    assert f"chmod 700 {store.folder}" in shown.err


def test_bad_setting_is_an_error_that_names_it(run, monkeypatch):
    monkeypatch.setenv("TRUENO_CACHE_BYTES", "lots")
    shown = run("cache", "stats")
    assert shown.code == 2
    assert "TRUENO_CACHE_BYTES='lots'" in shown.err


def test_cache_that_is_off(run, store, monkeypatch):
    monkeypatch.delenv("TRUENO_CACHE_DIR")
    monkeypatch.setenv("TRUENO_CACHE", "0")
    shown = run("cache", "list", "--json")
    assert shown.json()["entries"] == []
    assert "TRUENO_CACHE=0" in shown.err
    assert run("cache", "clear").code == 0
