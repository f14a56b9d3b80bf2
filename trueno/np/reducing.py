"""How every reduction takes ``axis``, ``dtype``, ``out``, ``initial`` and ``where``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.ir import promotion, reductions
from trueno.ir.op import Op, rows
from trueno.np import arguments
from trueno.np.arguments import NOT_GIVEN
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor


class Reduction:
    """A reduction row with all arguments that NumPy's reductions have.

    Parameters
    ----------
    row : Op
    """

    def __init__(self, row: Op) -> None:
        self.row = row
        found = functions.operations.get(row.name)
        self._plain = (Operation(row.name, row, 1) if found is None else found).call
        self._full = Operation(row.name, partial(reductions.reduced, row), 3).call

    def __call__(
        self, name: str, a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
        initial: Any = NOT_GIVEN, where: Any = True,
    ) -> Any:  # fmt: skip
        """Reduce an array.

        Parameters
        ----------
        name : str
            Of the function that is called, for the errors.
        a : array_like
        axis : int or tuple of int, optional
            All axes when None.
        dtype : dtype, optional
            In which it is computed; the row's own rule by default, joined with the dtype of `out`.
        out : array, optional
            Takes the result, cast to its dtype.
        keepdims : bool
            Keep reduced axes with extent 1.
        initial : number, optional
            Joined with the result. None: there is none, and nothing to reduce is an error.
        where : array_like of bool
            Elements that take part; it broadcasts to `a`.

        Raises
        ------
        ValueError
            Nothing to reduce where the row has no neutral element, or a mask of more axes than the array.
        """
        x = arguments.array(a)
        into = arguments.target(name, out)
        wanted = arguments.dtype(dtype)
        if self.row.result is promotion.truth:
            if wanted is not None and wanted != dt.bool_:
                raise TypeError(f"No loop matching the specified signature and casting was found for ufunc {name}: its "
                                f"result is bool, not {wanted}")  # fmt: skip
        elif wanted is None and into is not None:
            wanted = promotion.common((self._natural(x), dt.as_dtype(into.dtype)))
        named: dict[str, Any] = {"keepdims": True} if keepdims is not False and arguments.flag(name, keepdims) else {}
        if wanted is not None:
            named["dtype"] = wanted
        found = arguments.axes(name, axis)
        mask = None if where is True else _mask(name, x, where)
        if initial is NOT_GIVEN and where is True:
            return arguments.finish(self._plain(x, axis=found, **named), into, name=name, casting="unsafe")
        given = self._initial(name, x, found, wanted, initial, where is not True)
        return arguments.finish(self._full(x, mask, given, axis=found, **named), into, name=name, casting="unsafe")

    def _natural(self, x: Tensor) -> np.dtype:
        """Return the dtype of the result where nothing else is asked for."""
        assert self.row.result is not None
        return self.row.result(self.row.name, (x.dtype,))[1]

    def _initial(self, name: str, x: Tensor, axis: Any, wanted: Any, initial: Any, masked: bool) -> Any:
        """Return an ``initial`` argument as the row takes it: None for none, else a number of the result's dtype."""
        if masked and (initial is None or (initial is NOT_GIVEN and self.row.start in ("lowest", "highest"))):
            raise ValueError(
                f"reduction operation {name!r} does not have an identity, so to use a where mask one has to specify it "
                "as 'initial'"
            )
        if initial is NOT_GIVEN:
            return None
        if initial is None:
            extents = [x.shape[k] for k in functions.normalise_axes(name, axis, x.ndim, x.shape)] if x.ndim else []
            if 0 in extents:
                raise ValueError(
                    f"zero-size array to reduction operation {name} which has no identity, shape {x.shape}"
                )
            return None
        if isinstance(initial, Tensor):
            return initial
        if isinstance(initial, str):
            raise ValueError(f"{name}: could not convert the initial value {initial!r} to a number")
        result = wanted or self._natural(x)
        return initial if dt.is_inexact(result) else int(initial) if result != dt.bool_ else bool(initial)


def _mask(name: str, x: Tensor, where: Any) -> Tensor:
    mask = arguments.mask(name, where)
    if mask.ndim > x.ndim:
        raise ValueError(f"{name}: the mask of shape {mask.shape} has more axes than the array of shape {x.shape}")
    return mask


REDUCTIONS: dict[str, Reduction] = {row.name: Reduction(row) for row in rows("reduction")}
