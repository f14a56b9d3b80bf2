"""The scripts of examples/numpy under NumPy and under Trueno: python -m benchmarks.np_scripts.

Their text is the same but for the import line. --ops images,features,signals selects; they need scikit-image,
scikit-learn and pillow.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import SPIN, SUBJECT, Case, Contender, Experiment, as_numpy
from benchmarks.program import parse, run

FOLDER = Path(__file__).parents[1] / "examples" / "numpy"
NO_SLOWER = {"numpy": 1.0}
IMPORTS = {SUBJECT: "import trueno.np as np", "numpy": "import numpy as np"}


def names(path: Path, library: str) -> dict[str, Any]:
    """Return what a script defines when it uses one of the libraries."""
    text = path.read_text()
    if text.count(IMPORTS[SUBJECT]) != 1:
        raise ValueError(f"{path} does not have the line {IMPORTS[SUBJECT]!r} once")
    found: dict[str, Any] = {"__name__": path.stem, "flat": flat}
    exec(compile(text.replace(IMPORTS[SUBJECT], IMPORTS[library]), str(path), "exec"), found)
    return found


def flat(results: Mapping[str, Any]) -> np.ndarray:
    """Return all results of a script as one array, each divided by its largest element."""
    parts = [as_numpy(value).astype(np.float64).ravel() for value in results.values()]
    return np.concatenate([part / max(np.abs(part).max(initial=0), 1e-30) for part in parts]).astype(np.float32)


def experiment(path: Path) -> Experiment:
    """A script under both libraries; the right result is NumPy's."""
    contenders = {library: Contender("main()", names(path, library), "flat(main())") for library in IMPORTS}
    return Experiment(contenders, contenders["numpy"].value)


def cases() -> Iterator[Case]:
    """A row for each script."""
    for path in sorted(FOLDER.glob("*.py")):
        yield Case(path.stem, 1, functools.partial(experiment, path), NO_SLOWER, detail="script", pause=SPIN)


if __name__ == "__main__":
    options = parse(__doc__ or "")
    sys.exit(run(cases(), options, "Scripts with another import line"))
