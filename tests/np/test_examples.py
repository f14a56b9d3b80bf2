"""The scripts of examples/numpy give the same under NumPy and under trueno.np; only their import line differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trueno

FOLDER = Path(__file__).parents[2] / "examples" / "numpy"
OURS, THEIRS = "import trueno.np as np", "import numpy as np"
NEEDS = {"images": ("skimage", "PIL"), "features": ("sklearn",), "signals": ()}

#: Differences that a chain of float64 operations may make, relative to a result's largest element. Logarithms of
#: spectra, in which much is cancelled, come near to it.
TOLERANCE = 1e-9


def results(path: Path, line: str) -> Mapping[str, Any]:
    """Return what a script's `main` returns under an import line."""
    text = path.read_text()
    assert text.count(OURS) == 1
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(text.replace(OURS, line), str(path), "exec"), names)
    return names["main"]()


def test_every_script_is_named_here():
    assert sorted(NEEDS) == sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("script", NEEDS)
def test_outputs_equal_numpys(script):
    for package in NEEDS[script]:
        pytest.importorskip(package)
    path = FOLDER / f"{script}.py"
    ours, theirs = results(path, OURS), results(path, THEIRS)
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        assert isinstance(ours[name], trueno.Tensor), name
        got, want = np.asarray(ours[name]), np.asarray(expected)
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        if want.dtype.kind == "f":
            np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * np.abs(want).max(), err_msg=name)
        else:
            np.testing.assert_array_equal(got, want, err_msg=name)
