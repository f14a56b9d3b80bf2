"""The kernel store: round trips, every way it can fail, concurrency, eviction and statistics."""

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

from trueno import config
from trueno.runtime import store_entry, store_eviction, store_folder, store_statistics
from trueno.runtime.store import CacheWarning, Key, Store, counters, default_store

PARTS = (("schema", "1"), ("ir", "add(x, y)"), ("dtypes", "float32"), ("features", "+avx2,+fma"))
KEY = Key(PARTS, "llvm-x86-64-v3")
CODE = bytes(range(256)) * 4
HEADER = {"name": "add", "backend": "llvm", "ir": "add(x, y)", "compile_seconds": 0.25, "origin": "model.py:12"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_owner = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")


@pytest.fixture(autouse=True)
def fresh_warnings():
    store_folder.forget_warnings()
    yield
    store_folder.forget_warnings()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def key_of(number: int, target: str = "llvm-x86-64-v3") -> Key:
    return Key((("schema", "1"), ("ir", f"kernel {number}")), target)


def path_of(store: Store, key: Key = KEY) -> str:
    return os.path.join(store.folder, "v1", key.target, key.digest[:2], key.digest + ".tnk")


def files_below(folder) -> list[str]:
    return sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names)


# Keys


def test_digest_does_not_depend_on_process_or_hash_seed():
    code = f"from trueno.runtime.store_entry import Key; print(Key({PARTS!r}, {KEY.target!r}).digest)"
    digests = {KEY.digest}
    for seed in ("0", "12345"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize("position", range(len(PARTS)))
def test_every_part_counts(store, position):
    store.save(KEY, CODE, HEADER)
    name, value = PARTS[position]
    for other in ((name, value + " "), (name + "2", value)):
        changed = Key((*PARTS[:position], other, *PARTS[position + 1 :]), KEY.target)
        assert changed.digest != KEY.digest
        assert store.load(changed) is None
    assert store.load(Key(PARTS, "llvm-x86-64-v4")) is None
    assert store.load(KEY) is not None


def test_parts_cannot_run_into_each_other():
    texts = [(("a", "b"), ("c", "d")), (("a", "b1:c"), ("", "d")), (("a", "b1:c1:d"),), (("ab", ""), ("c", "d"))]
    assert len({Key(parts, "llvm").digest for parts in texts}) == len(texts)


@pytest.mark.parametrize(
    ("parts", "target", "error"),
    [
        ((("a", "1"), ("a", "2")), "llvm", ValueError),
        ((("a", 1),), "llvm", TypeError),
        ((("a", "1", "2"),), "llvm", TypeError),
        ((), "../up", ValueError),
        ((), "", ValueError),
        ((), "a" * 101, ValueError),
    ],
)
def test_bad_keys_are_refused(parts, target, error):
    with pytest.raises(error, match="Key: "):
        Key(parts, target)


# Round trips


def test_saved_entry_comes_back_and_in_another_store_too(store):
    assert store.load(KEY) is None
    store.save(KEY, CODE, HEADER)
    for reader in (store, Store(store.folder)):
        found = reader.load(KEY)
        assert found.code == CODE
        assert found.header == HEADER
        assert found.key == KEY
        assert found.path == path_of(store)
        assert found.size == os.path.getsize(found.path)


def test_empty_code_and_odd_text_round_trip(store):
    key = Key((("ir", "λ \ud800 \0"),), "opencl-x")
    store.save(key, b"", {"log": "warning: “quoted”\n"})
    found = store.load(key)
    assert (found.code, found.header["log"], found.key) == (b"", "warning: “quoted”\n", key)


def test_header_must_be_json(store):
    with pytest.raises(TypeError):
        store.save(KEY, CODE, {"bad": object()})
    assert files_below(store.folder) == []


def test_nothing_is_made_before_the_first_save(store):
    assert store.load(KEY) is None
    assert not os.path.exists(store.folder)


@needs_owner
def test_folders_and_files_are_the_users_alone(store):
    previous = os.umask(0)
    try:
        store.save(KEY, CODE, HEADER)
    finally:
        os.umask(previous)
    path = path_of(store)
    assert os.stat(path).st_mode & 0o777 == 0o600
    while path != store.folder:
        path = os.path.dirname(path)
        assert os.stat(path).st_mode & 0o777 == 0o700


# Content errors


def spoil_truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def spoil_shorten(data: bytes) -> bytes:
    return data[:20]


def spoil_empty(data: bytes) -> bytes:
    return b""


def spoil_zero(data: bytes) -> bytes:
    return bytes(len(data))


def spoil_append(data: bytes) -> bytes:
    return data + b"x"


@pytest.mark.parametrize("spoil", [spoil_truncate, spoil_shorten, spoil_empty, spoil_zero, spoil_append])
def test_spoilt_entry_is_deleted_missed_and_told_once(store, spoil):
    keys = [key_of(number) for number in range(3)]
    for key in keys:
        store.save(key, CODE, HEADER)
        path = path_of(store, key)
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(spoil(data))
    assert len(store.verify()) == 3
    with pytest.warns(CacheWarning, match="spoilt") as caught:
        assert [store.load(key) for key in keys] == [None] * 3
    assert len(caught) == 1
    assert not any(os.path.exists(path_of(store, key)) for key in keys)
    assert sum(store.counters()["rejected"].values()) == 3
    store.save(keys[0], CODE, HEADER)
    assert store.load(keys[0]).code == CODE


def test_every_flipped_bit_is_noticed(store):
    store.save(KEY, b"code", {"name": "f"})
    with open(path_of(store), "rb") as file:
        data = file.read()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(store_entry.ContentError):
            store_entry.decode(bytes(changed), KEY.digest, "x")


def test_entry_under_another_name_is_not_used(store):
    other = key_of(1)
    store.save(KEY, CODE, HEADER)
    store.save(other, b"other", HEADER)
    os.replace(path_of(store, other), path_of(store))
    with pytest.warns(CacheWarning):
        assert store.load(KEY) is None
    assert store.counters()["rejected"] == {"name": 1}


def test_verify_finds_a_header_that_does_not_fit(store):
    store.save(KEY, CODE, HEADER)
    data = store_entry.encode(KEY, CODE, HEADER)
    forged = data.replace(b"+avx2", b"+avx3")
    checked = forged[40:]
    import hashlib

    with open(path_of(store), "wb") as file:
        file.write(forged[:8] + hashlib.sha256(checked).digest() + checked)
    assert [fault.reason for fault in store.verify()] == ["header"]


# Input and output errors


def raising(code: int):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def test_read_error_is_a_miss_and_deletes_nothing(store, monkeypatch):
    store.save(KEY, CODE, HEADER)
    monkeypatch.setattr("trueno.runtime.store.open", raising(errno.EIO), raising=False)
    with pytest.warns(CacheWarning, match="cannot be read") as caught:
        assert store.load(KEY) is None
        assert store.load(KEY) is None
    assert len(caught) == 1
    monkeypatch.undo()
    assert store.load(KEY).code == CODE
    assert store.counters()["rejected"] == {"io": 2}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_write_error_runs_from_memory_with_one_message(store, monkeypatch, code):
    store.save(KEY, CODE, HEADER)
    monkeypatch.setattr(store_folder, "write_new", raising(code))
    with pytest.warns(CacheWarning) as caught:
        store.save(key_of(1), CODE, HEADER)
        store.save(key_of(2), CODE, HEADER)
    (message,) = [str(warning.message) for warning in caught]
    assert store.folder in message
    assert os.strerror(code) in message
    assert "TRUENO_CACHE_DIR" in message
    assert store.load(KEY).code == CODE
    assert store.counters()["compiled"] == 3
    assert len(store.paths()) == 1


def test_disk_full_while_writing_leaves_no_file(store, monkeypatch):
    store.save(KEY, CODE, HEADER)
    before = files_below(store.folder)
    monkeypatch.setattr(os, "replace", raising(errno.ENOSPC))
    with pytest.warns(CacheWarning):
        store.save(key_of(1), CODE, HEADER)
    assert [name for name in files_below(store.folder) if "statistics" not in name] == [
        name for name in before if "statistics" not in name
    ]


def test_passing_write_error_is_tried_again(store, monkeypatch):
    monkeypatch.setattr(os, "replace", raising(errno.EIO))
    with pytest.warns(CacheWarning):
        store.save(KEY, CODE, HEADER)
    monkeypatch.undo()
    store.save(KEY, CODE, HEADER)
    assert store.load(KEY).code == CODE


def test_path_below_a_file_runs_from_memory(tmp_path):
    (tmp_path / "file").write_text("x")
    store = Store(tmp_path / "file" / "cache")
    with pytest.warns(CacheWarning, match="TRUENO_CACHE_DIR") as caught:
        assert store.load(KEY) is None
        store.save(KEY, CODE, HEADER)
        assert store.load(KEY) is None
    assert len(caught) == 1
    assert store.state().status == "unusable"


def test_folder_that_is_a_file_is_unusable(tmp_path):
    (tmp_path / "cache").write_text("precious")
    store = Store(tmp_path / "cache")
    with pytest.warns(CacheWarning, match="not a folder"):
        store.save(KEY, CODE, HEADER)
    assert (tmp_path / "cache").read_text() == "precious"


def test_folder_that_cannot_be_made(tmp_path, monkeypatch):
    store = Store(tmp_path / "cache")
    monkeypatch.setattr(os, "mkdir", raising(errno.EACCES))
    with pytest.warns(CacheWarning, match=os.strerror(errno.EACCES)):
        store.save(KEY, CODE, HEADER)
    assert store.load(KEY) is None
    assert store.counters()["compiled"] == 1


def test_read_only_folder_is_read(store, monkeypatch):
    store.save(KEY, CODE, HEADER)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    monkeypatch.setattr(os, "utime", raising(errno.EROFS))
    reader = Store(store.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reader.load(KEY).code == CODE
    with pytest.warns(CacheWarning, match="not writable"):
        reader.save(key_of(1), CODE, HEADER)
    assert len(reader.paths()) == 1


def test_no_home_runs_from_memory(monkeypatch):
    monkeypatch.setattr(config, "user_cache_folder", lambda: None)
    monkeypatch.delenv("TRUENO_CACHE_DIR", raising=False)
    monkeypatch.delenv("TRUENO_CACHE", raising=False)
    config.reload()
    try:
        store = Store()
        with pytest.warns(CacheWarning, match="no home folder"):
            assert store.load(KEY) is None
        store.save(KEY, CODE, HEADER)
        assert store.statistics()["entries"] == 0
        assert store.counters()["compiled"] == 1
    finally:
        monkeypatch.undo()
        config.reload()


def test_folder_deleted_meanwhile_is_made_again(store):
    import shutil

    store.save(KEY, CODE, HEADER)
    shutil.rmtree(store.folder)
    assert store.load(KEY) is None
    store.save(KEY, CODE, HEADER)
    assert store.load(KEY).code == CODE


# Owners and permissions


@needs_owner
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_folder_that_others_may_write_is_not_read(store, mode):
    store.save(KEY, CODE, HEADER)
    os.chmod(store.folder, mode)
    reader = Store(store.folder)
    with pytest.warns(CacheWarning, match="chmod 700") as caught:
        assert reader.load(KEY) is None
        reader.save(KEY, CODE, HEADER)
    assert len(caught) == 1
    assert list(reader.entries()) == []
    assert reader.clear() == 0
    assert os.path.exists(path_of(store))
    os.chmod(store.folder, 0o700)
    assert Store(store.folder).load(KEY).code == CODE


@needs_owner
def test_folder_of_somebody_else_is_not_read(store, monkeypatch):
    store.save(KEY, CODE, HEADER)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    reader = Store(store.folder)
    with pytest.warns(CacheWarning, match=f"belongs to user {owner}"):
        assert reader.load(KEY) is None
    assert reader.state().status == "refused"


@needs_owner
def test_file_of_somebody_else_is_not_read_nor_deleted(store, monkeypatch):
    store.save(KEY, CODE, HEADER)
    assert store.load(KEY) is not None
    os.chmod(path_of(store), 0o666)
    with pytest.warns(CacheWarning, match="others may write"):
        assert store.load(KEY) is None
    assert os.path.exists(path_of(store))
    assert [fault.reason for fault in store.verify()] == ["foreign"]
    assert store.counters()["rejected"] == {"foreign": 1}


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


def write_until_killed(folder: str, seed: int) -> None:
    """Body of a writer process: save and load at random for a while."""
    generator = random.Random(seed)
    store = Store(folder)
    deadline = time.monotonic() + 1.0
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
                write_until_killed(store.folder, seed)
            finally:
                os._exit(2)
        children.append(child)
    generator = random.Random(0)
    killed = children[::2]
    for child in killed:
        time.sleep(generator.uniform(0.02, 0.15))
        os.kill(child, signal.SIGKILL)
    codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert all(codes[child] == (-signal.SIGKILL if child in killed else 0) for child in children)
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
