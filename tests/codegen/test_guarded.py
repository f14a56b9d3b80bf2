"""What no bounds check covers touches nothing outside of operands and results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.unchecked
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are protected by mprotect")
def test_convolutions_stay_within_their_operands(tmp_path: Path) -> None:
    folder = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(folder), "TRUENO_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.codegen.guarded"], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    last = run.stdout.strip().rpartition("\n")[2]
    assert run.returncode == 0, f"ended with {run.returncode} at {last}: {run.stderr[-2000:]}"
