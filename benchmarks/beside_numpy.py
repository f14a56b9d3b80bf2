"""One statement, read with NumPy's namespace and with Trueno's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

import trueno.np
from benchmarks.harness import SUBJECT, Contender, Experiment, as_numpy


def beside_numpy(statement: str, operands: Mapping[str, Any], result: str = "", wide: bool = True) -> Experiment:
    """Return the experiment.

    Parameters
    ----------
    statement : str
        It calls the library `np`.
    operands : mapping
        Arrays of NumPy by name; Trueno gets copies of its own.
    result : str
        What is checked, where it is not the statement's value: an expression that is evaluated after it.
    wide : bool
        Whether the right result is NumPy's in float64 (float32 operands are converted), not that in their own dtypes.
    """

    def names(library: Any, convert: Any) -> dict[str, Any]:
        return {"np": library, **{name: convert(value) for name, value in operands.items()}}

    def widened(value: Any) -> Any:
        narrow = isinstance(value, numpy.ndarray) and value.dtype == numpy.float32
        return value.astype(numpy.float64) if wide and narrow else own(numpy)(value)

    def own(library: Any) -> Any:
        return lambda value: library.array(value) if isinstance(value, numpy.ndarray) else value

    def expected() -> numpy.ndarray:
        found = names(numpy, widened)
        if not result:
            return as_numpy(eval(statement, found))
        exec(statement, found)
        return as_numpy(eval(result, found))

    prepare = statement if result else "pass"
    return Experiment(
        {
            SUBJECT: Contender(statement, names(trueno.np, own(trueno.np)), result, prepare),
            "numpy": Contender(statement, names(numpy, own(numpy)), result, prepare),
        },
        expected,
    )
