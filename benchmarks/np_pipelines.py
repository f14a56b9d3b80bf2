"""Data-processing pipelines over 10M elements next to NumPy: python -m benchmarks.np_pipelines.

--quick takes 1M elements; --ops selects.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.beside_numpy import beside_numpy
from benchmarks.harness import Case, Experiment
from benchmarks.program import parse, run

TWICE = {"numpy": 0.5}

STATEMENTS = {
    "normalise": "(x - x.mean()) / x.std()",
    "normalise columns": "(t - t.mean(axis=0)) / t.std(axis=0)",
    "clip and scale": "(np.clip(x, 0.05, 0.95) - 0.05) / 0.9",
    "masked mean": "np.where(x > 0.5, x, 0).sum() / np.count_nonzero(x > 0.5)",
    "mean of a selection": "x[x > 0.5].mean()",
    "root mean square error": "np.sqrt(np.mean((x - y) ** 2))",
    "missing values": "np.nanmean(np.where(y < 0.1, np.nan, y))",
    "normalise, mask, reduce": "np.where(np.abs((x - x.mean()) / x.std()) < 1.5, x, 0).sum()",
    "sums of groups": "np.bincount(k, weights=x)",
    "histogram": "np.histogram(x, bins=64, range=(0.0, 1.0))[0]",
    "correlation": "((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std())",
    "logistic": "(1 / (1 + np.exp(-x))).mean()",
    "great circle": "np.arcsin(np.sqrt(np.sin(x / 2) ** 2 + np.cos(x) * np.cos(y) * np.sin(y / 2) ** 2))",
}


def experiment(name: str, size: int) -> Experiment:
    """A pipeline over float64 numbers, as NumPy's users have them."""
    generator = np.random.default_rng(41)
    x, y = generator.random(size), generator.random(size)
    operands = {"x": x, "y": y, "t": x.reshape(-1, 20), "k": generator.integers(0, 1000, size)}
    return beside_numpy(STATEMENTS[name], operands)


def cases(quick: bool) -> Iterator[Case]:
    """A row for each pipeline."""
    size = 1_000_000 if quick else 10_000_000
    for name in STATEMENTS:
        yield Case(name, size, functools.partial(experiment, name, size), TWICE)


if __name__ == "__main__":
    options = parse(__doc__ or "")
    sys.exit(run(cases(options.quick), options, "Pipelines of data processing, float64"))
