"""A cache folder of its own for each test, and the command line run inside the process."""

from __future__ import annotations

import json
import os
import types

import pytest

typer_testing = pytest.importorskip("typer.testing")

from trueno import config  # noqa: E402
from trueno.runtime import store_folder  # noqa: E402
from trueno.runtime.store import Key, Store  # noqa: E402

ADD = Key((("schema", "1"), ("ir", "add(x, y)"), ("dtypes", "float32"), ("features", "+avx2")), "llvm-x86-64-v3")
ADD_NEW = Key((("schema", "1"), ("ir", "add(x, y)"), ("dtypes", "int64"), ("features", "+avx2")), "llvm-x86-64-v3")
EXP = Key((("schema", "1"), ("ir", "exp(x)"), ("device", "pthread")), "opencl-pocl")

LLVM_TEXT = "define void @kernel() {\n  ret void\n}"
OPENCL_TEXT = "kernel void exp_0(global float *x) { x[0] = exp(x[0]); }"


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("TRUENO_") and not name.startswith("TRUENO_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRUENO_CACHE_DIR", str(tmp_path / "cache"))
    config.reload()
    store_folder.forget_warnings()
    yield
    monkeypatch.undo()
    store_folder.forget_warnings()
    config.reload()


@pytest.fixture
def keys():
    """The keys of the store's three kernels."""
    return types.SimpleNamespace(add=ADD, add_new=ADD_NEW, exp=EXP)


@pytest.fixture
def store(tmp_path):
    """A store with three kernels in the folder that the command line looks at."""
    made = Store(tmp_path / "cache")
    common = {"backend": "llvm", "ir": "add(x, y)", "plan": "loop i < n", "source": LLVM_TEXT, "features": "+avx2"}
    made.save(
        ADD, b"old", {**common, "name": "add", "compile_seconds": 0.25, "created": "2025-01-01", "origin": "a.py:1"}
    )
    made.save(
        ADD_NEW, b"new", {**common, "name": "add", "compile_seconds": 0.5, "created": "2025-01-02", "origin": "a.py:2"}
    )
    opencl = {"name": "exp", "backend": "opencl", "ir": "exp(x)", "source": OPENCL_TEXT, "log": "[1 remark]"}
    made.save(EXP, b"binary" * 100, {**opencl, "compile_seconds": 0.01, "created": "2025-01-03"})
    return made


@pytest.fixture
def run():
    """Run the command line: an object with .code, .out, .err and .json()."""
    from trueno.cli import app

    def call(*arguments: str, input: str | None = None):
        result = typer_testing.CliRunner().invoke(app, list(arguments), input=input, prog_name="trueno")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return types.SimpleNamespace(
            code=result.exit_code, out=result.stdout, err=result.stderr, json=lambda: json.loads(result.stdout)
        )

    return call
