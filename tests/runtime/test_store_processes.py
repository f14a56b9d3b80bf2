"""The store in use: by many processes at once, kept below its limit, looked into, counted."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
import types
import warnings

import pytest

from tests.runtime.store_support import (
    CODE,
    HEADER,
    KEY,
    PARTS,
    files_below,
    key_of,
    needs_fork,
    path_of,
    raising,
)
from trueno import config
from trueno.runtime import store_eviction, store_folder, store_statistics
from trueno.runtime.store import Key, Store, counters, default_store

pytestmark = pytest.mark.usefixtures("fresh_warnings")


# TRUENO_CACHE=0 and the default store


def test_cache_off_creates_reads_and_writes_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    Store(folder).save(KEY, CODE, HEADER)
    before = {path: os.stat(path).st_mtime_ns for path in files_below(tmp_path)}
    monkeypatch.setenv("TRUENO_CACHE_DIR", str(folder))
    monkeypatch.setenv("TRUENO_CACHE", "0")
    config.reload()
    default_store.cache_clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert default_store().load(KEY) is None
            default_store().save(key_of(1), CODE, HEADER)
        assert counters()["compiled"] == 1
        assert default_store().state().status == "off"
        assert default_store().statistics()["entries"] == 0
        assert default_store().sweep() == 0
        assert {path: os.stat(path).st_mtime_ns for path in files_below(tmp_path)} == before
    finally:
        monkeypatch.undo()
        config.reload()
        default_store.cache_clear()


def test_default_store_follows_the_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUENO_CACHE_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("TRUENO_CACHE_BYTES", "1M")
    monkeypatch.delenv("TRUENO_CACHE", raising=False)
    config.reload()
    default_store.cache_clear()
    try:
        assert default_store().folder == str(tmp_path / "mine")
        assert default_store().limit == 2**20
        assert default_store() is default_store()
    finally:
        monkeypatch.undo()
        config.reload()
        default_store.cache_clear()


# Many processes


def write_until_killed(folder: str, seed: int, seconds: float) -> None:
    """Body of a writer process: save and load at random for a while."""
    generator = random.Random(seed)
    store = Store(folder)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        number = generator.randrange(20)
        found = store.load(key_of(number))
        if found is not None and found.code != bytes([number]) * 20000:
            os._exit(1)
        store.save(key_of(number), bytes([number]) * 20000, {"name": f"k{number}"})
    os._exit(0)


@needs_fork
def test_eight_writers_with_random_kills(store):
    children = []
    for seed in range(8):
        child = os.fork()
        if child == 0:
            try:
                # Those that are to be killed must not be done before, however late that comes.
                write_until_killed(store.folder, seed, 1.0 if seed % 2 else 60.0)
            finally:
                os._exit(2)
        children.append(child)
    generator = random.Random(0)
    killed = children[::2]
    for child in killed:
        time.sleep(generator.uniform(0.02, 0.15))
        os.kill(child, signal.SIGKILL)
    codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert [codes[one] for one in children] == [-signal.SIGKILL if one in killed else 0 for one in children]
    assert store.verify() == []
    assert all(store.load(key_of(number)).code == bytes([number]) * 20000 for number in range(20))
    assert store.statistics()["compiled"] >= 20


def test_litter_of_killed_writers_is_swept(store):
    store.save(KEY, CODE, HEADER)
    folder = os.path.dirname(path_of(store))
    old, young = os.path.join(folder, ".old.tmp"), os.path.join(folder, ".young.tmp")
    for path in (old, young):
        with open(path, "wb") as file:
            file.write(b"half")
    os.utime(old, (0, 0))
    assert store.sweep() == 0
    assert not os.path.exists(old)
    assert os.path.exists(young)
    store.clear()
    assert not os.path.exists(young)


# Eviction


def test_least_recently_used_goes_first(tmp_path):
    store = Store(tmp_path / "cache")
    for number in range(10):
        store.save(key_of(number), bytes(1000), {})
        os.utime(path_of(store, key_of(number)), (1000 + number, 1000 + number))
    reader = Store(store.folder)
    assert reader.load(key_of(0)) is not None
    size = os.path.getsize(path_of(store, key_of(0)))
    reader.limit = 4 * size
    assert reader.sweep() == 6
    left = [number for number in range(10) if os.path.exists(path_of(store, key_of(number)))]
    assert left == [0, 7, 8, 9]
    assert reader.statistics()["bytes"] <= reader.limit


def test_use_is_noted_once_per_process(store):
    store.save(KEY, CODE, HEADER)
    path = path_of(store)
    os.utime(path, (5, 5))
    store.load(KEY)
    assert os.stat(path).st_mtime > 5
    os.utime(path, (5, 5))
    store.load(KEY)
    assert os.stat(path).st_mtime == 5


def test_swept_at_most_hourly_over_processes(tmp_path):
    first = Store(tmp_path / "cache", limit=0)
    first.save(key_of(0), CODE, HEADER)
    assert first.paths() == []
    second = Store(tmp_path / "cache", limit=0)
    for store, number in ((first, 1), (second, 2)):
        store.save(key_of(number), CODE, HEADER)
    assert len(second.paths()) == 2
    os.utime(os.path.join(second.folder, "v1", "swept"), (0, 0))
    third = Store(tmp_path / "cache", limit=0)
    third.save(key_of(3), CODE, HEADER)
    assert third.paths() == []


def test_sweep_that_fails_does_no_harm(store, monkeypatch):
    monkeypatch.setattr(store_eviction, "due", raising(errno.EIO))
    store.save(KEY, CODE, HEADER)
    assert store.load(KEY).code == CODE


# Tools


def test_entries_find_and_clear(store):
    for number, name in enumerate(("exp", "add", "add")):
        store.save(key_of(number), b"x", {"name": name, "created": f"2025-01-0{number + 1}T00:00:00"})
    assert sorted(entry.header["name"] for entry in store.entries()) == ["add", "add", "exp"]
    assert store.find("add").digest == key_of(2).digest
    assert store.find(key_of(0).digest[:12]).header["name"] == "exp"
    assert store.find(key_of(0).digest.upper()).header["name"] == "exp"
    with pytest.raises(LookupError, match="no entry has the name 'tan'"):
        store.find("tan")
    assert store.clear(older_than=1000) == 0
    assert store.clear(name="add") == 2
    assert store.clear() == 1
    assert store.paths() == []


def test_ambiguous_prefix_lists_the_candidates(store):
    for number in range(40):
        store.save(key_of(number), b"x", {"name": f"n{number}"})
    digests = [key_of(number).digest for number in range(40)]
    prefix = next(digest[0] for digest in digests if sum(other[0] == digest[0] for other in digests) > 1)
    with pytest.raises(LookupError, match="give more digits"):
        store.find(prefix)


def test_entries_pass_over_spoilt_files(store):
    store.save(KEY, CODE, HEADER)
    store.save(key_of(1), CODE, HEADER)
    with open(path_of(store), "ab") as file:
        file.write(b"x")
    assert [entry.digest for entry in store.entries()] == [key_of(1).digest]
    assert os.path.exists(path_of(store))


def test_explain_names_the_fields_that_differ(store):
    assert store.explain(KEY) is None
    store.save(Key((("schema", "1"), ("ir", "mul(x, y)"), ("dtypes", "int8"), ("features", "")), "opencl-x"), b"", {})
    store.save(KEY, CODE, HEADER)
    asked = Key((*PARTS[:3], ("features", "+avx512f")), "llvm-x86-64-v4")
    found = store.explain(asked)
    assert found.entry.digest == KEY.digest
    assert [(field.name, field.stored, field.asked) for field in found.fields] == [
        ("target", "llvm-x86-64-v3", "llvm-x86-64-v4"),
        ("features", "+avx2,+fma", "+avx512f"),
    ]
    assert "'+avx2,+fma' in the cache, '+avx512f' asked for" in found.sentence()


def test_explain_shows_the_first_line_that_differs_in_long_texts(store):
    lines = [f"%{number} = add" for number in range(30)]
    store.save(Key((("ir", "\n".join(lines)),), "llvm"), b"", {"name": "long"})
    lines[20] = "%20 = mul"
    sentence = store.explain(Key((("ir", "\n".join(lines)), ("flags", "fast")), "llvm")).sentence()
    assert "ir, line 21: '%20 = add' in the cache, '%20 = mul' asked for" in sentence
    assert "flags: nothing in the cache, 'fast' asked for" in sentence


def test_explain_says_when_only_the_order_differs(store):
    store.save(KEY, CODE, HEADER)
    (field,) = store.explain(Key(PARTS[::-1], KEY.target)).fields
    assert field.name == "order of fields"


def test_debug_tells_what_was_compiled_and_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRUENO_DEBUG", "2")
    config.reload()
    try:
        store = Store(tmp_path / "cache")
        store.save(KEY, CODE, HEADER)
        store.save(Key((*PARTS[:3], ("features", "+sse4.2")), KEY.target), CODE, HEADER)
    finally:
        monkeypatch.undo()
        config.reload()
    told = capsys.readouterr().err
    assert "compiled add for llvm-x86-64-v3 in 250.0 ms (model.py:12)" in told
    assert "the cache is empty" in told
    assert "features: '+avx2,+fma' in the cache, '+sse4.2' asked for" in told
    assert "--- ir\nadd(x, y)" in told


# Statistics


def test_counters_of_a_process(store):
    opencl = key_of(1, "opencl-pocl")
    store.load(KEY)
    store.save(KEY, CODE, HEADER)
    store.load(KEY)
    store.save(opencl, b"x", {"compile_seconds": 0.5})
    found = store.counters()
    assert (found["hits"], found["misses"], found["compiled"], found["compile_seconds"]) == (1, 1, 2, 0.75)
    assert found["backends"]["opencl"]["compiled"] == found["backends"]["llvm"]["compiled"] == 1
    assert found["bytes_read"] == os.path.getsize(path_of(store))
    assert found["bytes_written"] == found["bytes_read"] + os.path.getsize(path_of(store, opencl))
    total = store.statistics()
    assert {name: total[name] for name in found} == found
    assert (total["entries"], total["bytes"], total["limit"]) == (2, found["bytes_written"], store.limit)


def test_second_process_compiles_nothing_and_counts_are_summed(store):
    code = (
        "import sys\n"
        "from trueno.runtime.store import Store, Key\n"
        f"store, key = Store(sys.argv[1]), Key({PARTS!r}, {KEY.target!r})\n"
        f"if store.load(key) is None: store.save(key, b'code', {{'name': 'add', 'compile_seconds': 0.1}})\n"
        "print(store.counters()['compiled'], store.counters()['hits'])\n"
    )
    printed = []
    for _ in range(2):
        command = [sys.executable, "-c", code, store.folder]
        printed.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert printed == [["1", "0"], ["0", "1"]]
    total = store.statistics()
    assert (total["hits"], total["misses"], total["compiled"]) == (1, 1, 1)
    assert store.counters()["compiled"] == 0


@needs_fork
def test_forked_child_does_not_count_twice(store):
    store.save(KEY, CODE, HEADER)
    store._statistics.count("llvm", hits=5)
    child = os.fork()
    if child == 0:
        store.load(KEY)
        store._statistics.flush(force=True)
        os._exit(0 if store.counters()["hits"] == 1 and store.counters()["compiled"] == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    total = store.statistics()
    assert (total["hits"], total["compiled"]) == (6, 1)


def test_counts_survive_compaction_exactly(store, monkeypatch):
    monkeypatch.setattr(store_statistics, "_ROTATE_BYTES", 0)
    monkeypatch.setattr(store_statistics, "_SETTLED_SECONDS", 0)
    folder = os.path.join(store.folder, "v1")
    for number in range(12):
        store.save(key_of(number), CODE, HEADER)
        assert store.statistics()["compiled"] == number + 1
        store_statistics.compact(folder)
        assert store.statistics()["compiled"] == number + 1
    for _ in range(3):
        store_statistics.compact(folder)
    assert sorted(name for name in os.listdir(folder) if "statistics" in name) == ["statistics.sum"]
    assert store.statistics()["compiled"] == 12
    store.reset_statistics()
    assert store.statistics()["compiled"] == 0
    assert store.statistics()["entries"] == 12


def test_log_in_use_is_not_absorbed(store, monkeypatch):
    monkeypatch.setattr(store_statistics, "_ROTATE_BYTES", 0)
    folder = os.path.join(store.folder, "v1")
    store.save(KEY, CODE, HEADER)
    for _ in range(3):
        store_statistics.compact(folder)
    assert any(name.endswith(".old") for name in os.listdir(folder))
    assert store.statistics()["compiled"] == 1


def test_spoilt_statistics_are_passed_over(store):
    store.save(KEY, CODE, HEADER)
    folder = os.path.join(store.folder, "v1")
    with open(os.path.join(folder, "statistics.log"), "ab") as file:
        file.write(b'\n{"llvm.compiled": 1, "ll\n[1]\n\xff\n{"llvm.hits": "x"}')
    with open(os.path.join(folder, "statistics.sum"), "wb") as file:
        file.write(b"\0\0")
    assert store.statistics()["compiled"] == 1
    store.save(key_of(1), CODE, HEADER)
    assert store.statistics()["compiled"] == 2


def test_counts_that_cannot_be_written_are_kept_for_later(store, monkeypatch):
    store.save(KEY, CODE, HEADER)
    monkeypatch.setattr(store_statistics, "_append", raising(errno.ENOSPC))
    store.load(KEY)
    store._statistics.flush(force=True)
    monkeypatch.undo()
    assert store.statistics()["hits"] == 1


def test_windows_has_no_owners(monkeypatch):
    fake = types.SimpleNamespace(st_uid=99, st_mode=0o777)
    assert store_folder.foreign(fake) != ""
    monkeypatch.delattr(os, "getuid", raising=False)
    assert store_folder.foreign(fake) == ""
