"""Other libraries take Tensors where they take arrays that follow the standard: the real packages, next to NumPy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.np import foreign
from tests.np.foreign_scipy import SCIPY


@pytest.mark.parametrize("expression", foreign.SMALL)
def test_small_libraries(expression):
    for package in ("einops", "opt_einsum", "array_api_extra", "array_api_compat"):
        pytest.importorskip(package)
    assert not foreign.difference(expression, foreign.small_libraries())


@pytest.fixture(scope="module")
def differences():
    """What differs, by expression: SciPy reads SCIPY_ARRAY_API when it is imported, so another process looks."""
    pytest.importorskip("sklearn")
    pytest.importorskip("scipy")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.np.foreign"], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2], env=os.environ | {"SCIPY_ARRAY_API": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("expression", foreign.SKLEARN)
def test_scikit_learn(differences, expression):
    assert not differences[expression]


@pytest.mark.parametrize("expression", SCIPY)
def test_scipy(differences, expression):
    assert not differences[expression]
