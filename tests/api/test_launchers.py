"""The core of these tests under the launcher's twin in Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trueno as tn
from trueno.runtime import launcher

HERE = Path(__file__).parent
CORE = ("test_autograd.py", "test_autograd_results.py", "test_indexing.py", "test_kernel.py", "test_memory.py")


def test_the_native_launcher_is_the_one_tested_here() -> None:
    wanted = os.environ.get("TRUENO_LAUNCHER") or "native"
    assert launcher.status()["launcher"] == wanted
    assert (tn.ones(2) + 1).tolist() == [2, 2]


@pytest.mark.skipif(os.environ.get("TRUENO_LAUNCHER") == "python", reason="this is the run under the twin")
def test_the_core_passes_under_the_python_launcher() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(str(HERE / name) for name in CORE)],
        cwd=HERE.parent.parent, env={**os.environ, "TRUENO_LAUNCHER": "python"}, capture_output=True, text=True,
        timeout=400, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout
