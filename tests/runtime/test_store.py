"""The kernel store: round trips, every way it can fail, concurrency, eviction and statistics."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings

import pytest

from tests.runtime.store_support import (
    CODE,
    HEADER,
    KEY,
    PARTS,
    files_below,
    key_of,
    needs_owner,
    path_of,
    raising,
)
from trueno import config
from trueno.runtime import store_entry, store_folder
from trueno.runtime.store import CacheWarning, Key, Store

pytestmark = pytest.mark.usefixtures("fresh_warnings")


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
