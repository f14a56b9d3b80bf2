"""Compiled kernels on disk, seen from the outside: reused, and never a reason to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, warnings
import trueno as tn
x = tn.arange(12.0).reshape(3, 4).requires_grad_()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y = (tn.softmax(x * 0.1, axis=1) + x.T.sum(axis=0, keepdims=True).T).sum()
    y.backward()
    z = tn.randn(3)
print(json.dumps({"value": y.item(), "grad": x.grad.tolist(), "warnings": [str(one.message) for one in caught],
                  "counts": tn.cache_statistics()}))
"""


def run(folder: Path, **environment: str) -> tuple[dict[str, Any], str]:
    """Run the program in a process of its own; return what it prints and its stderr."""
    variables = {**os.environ, "TRUENO_CACHE_DIR": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=variables, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("store") / "kernels"
    result, _ = run(folder)
    assert result["counts"]["compiled"] > 0
    assert result["warnings"] == []
    return folder, result


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return (first["value"], first["grad"]) == (second["value"], second["grad"])


def test_a_second_process_compiles_nothing(filled: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = filled
    result, stderr = run(folder)
    assert result["counts"]["compiled"] == 0
    assert result["counts"]["hits"] > 0
    assert same(result, expected)
    assert stderr == ""


def test_the_python_launcher_uses_the_same_entries(filled: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = filled
    result, _ = run(folder, TRUENO_LAUNCHER="python")
    assert result["counts"]["compiled"] == 0
    assert same(result, expected)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_entries_give_one_warning_and_the_right_result(
    damage: str, filled: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, expected = filled
    folder = tmp_path / "kernels"
    run(folder)
    entries = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert entries
    for path in entries:
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(
            {
                "truncated": data[: len(data) // 2],
                "flipped": data[:-100] + bytes([data[-100] ^ 255]) + data[-99:],
                "empty": b"",
            }[damage]
        )
    result, stderr = run(folder)
    assert same(result, expected)
    assert result["counts"]["compiled"] > 0
    told = [*result["warnings"], *(line for line in stderr.splitlines() if "Warning" in line)]
    assert len(told) == 1, told
    again, _ = run(folder)
    assert again["counts"]["compiled"] == 0, "what was damaged is written anew"


@pytest.mark.parametrize("place", ["file", "read-only"])
def test_a_folder_that_cannot_be_written_gives_one_message_and_the_right_result(
    place: str, filled: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, expected = filled
    folder = tmp_path / "kernels"
    if place == "file":
        folder.write_text("not a folder")
    elif os.geteuid() == 0:
        folder = Path("/proc/trueno-kernels")
    else:
        folder.mkdir(mode=0o500)
    result, stderr = run(folder)
    assert same(result, expected)
    told = [*result["warnings"], *(line for line in stderr.splitlines() if "Warning" in line)]
    assert len(told) == 1, told


def test_without_a_cache_nothing_is_written(filled: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, expected = filled
    result, stderr = run(tmp_path / "none", TRUENO_CACHE="0")
    assert same(result, expected)
    assert stderr == ""
    assert not (tmp_path / "none").exists()
