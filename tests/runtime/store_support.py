"""Keys, entries and failures that tests of the store share."""

from __future__ import annotations

import os

import pytest

from trueno.runtime.store import Key, Store

PARTS = (("schema", "1"), ("ir", "add(x, y)"), ("dtypes", "float32"), ("features", "+avx2,+fma"))
KEY = Key(PARTS, "llvm-x86-64-v3")
CODE = bytes(range(256)) * 4
HEADER = {"name": "add", "backend": "llvm", "ir": "add(x, y)", "compile_seconds": 0.25, "origin": "model.py:12"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_owner = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")


def key_of(number: int, target: str = "llvm-x86-64-v3") -> Key:
    return Key((("schema", "1"), ("ir", f"kernel {number}")), target)


def path_of(store: Store, key: Key = KEY) -> str:
    return os.path.join(store.folder, "v1", key.target, key.digest[:2], key.digest + ".tnk")


def files_below(folder) -> list[str]:
    return sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names)


def raising(code: int):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail
