"""What type checkers know of the names that are made from the op table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trueno as tn
from tools import declare

ROOT = Path(declare.__file__).parent.parent


def test_the_declarations_are_current() -> None:
    assert declare.PATH.read_text() == declare.text(), "run python tools/declare.py"


def test_every_public_function_is_declared() -> None:
    text = declare.PATH.read_text()
    for name in tn.functions.operations:
        assert f"def {name}(" in text
        assert hasattr(tn, name)


def test_every_method_of_tensors_is_declared_or_written() -> None:
    written = (Path(tn.__file__).parent / "tensor.py").read_text() + declare.PATH.read_text()
    for name in vars(tn.Tensor):
        if not name.startswith("_"):
            assert f"def {name}(" in written, name


def test_the_check_fails_where_the_file_is_not_current(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "declare.py"), "--check"], cwd=ROOT, capture_output=True, text=True,
        timeout=60, env={"PYTHONPATH": str(ROOT), "TRUENO_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
