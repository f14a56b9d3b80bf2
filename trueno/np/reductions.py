"""Reductions and running sums with NumPy's arguments, and their twins that skip NaNs."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.functions import operations
from trueno.ir import masked, promotion
from trueno.ir.op import registry
from trueno.np import arguments
from trueno.np.arguments import NOT_GIVEN, finish
from trueno.np.reducing import REDUCTIONS, Reduction
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor


def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN,
    where: Any = True,
) -> Any:  # fmt: skip
    """Return the sum of elements over axes.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        All axes by default.
    dtype : dtype, optional
        In which it is computed; integers are added in 64 bits by default.
    out : array, optional
        Takes the result, and is returned.
    keepdims : bool
        Keep reduced axes with extent 1.
    initial : number, optional
        Added to the result.
    where : array_like of bool
        Elements that take part; it broadcasts to `a`.
    """
    return REDUCTIONS["sum"]("add", a, axis, dtype, out, keepdims, initial, where)


def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN,
    where: Any = True,
) -> Any:  # fmt: skip
    """Return the product of elements over axes; the arguments are those of `sum`."""
    return REDUCTIONS["prod"]("multiply", a, axis, dtype, out, keepdims, initial, where)


def max(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN, where: Any = True
) -> Any:
    """Return the largest element over axes, NaN where there is one.

    Raises
    ------
    ValueError
        Nothing to reduce, or a mask, without an `initial` value.
    """
    return REDUCTIONS["max"]("maximum", a, axis, None, out, keepdims, initial, where)


def min(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN, where: Any = True
) -> Any:
    """Return the smallest element over axes, NaN where there is one; see `max`."""
    return REDUCTIONS["min"]("minimum", a, axis, None, out, keepdims, initial, where)


amax, amin = max, min


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """Return whether an element is true, over axes."""
    return REDUCTIONS["any"]("logical_or", a, axis, None, out, keepdims, NOT_GIVEN, where)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """Return whether all elements are true, over axes."""
    return REDUCTIONS["all"]("logical_and", a, axis, None, out, keepdims, NOT_GIVEN, where)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the number of elements that differ from zero over axes, as int64."""
    x = arguments.array(a)
    name = "count_nonzero"
    return operations[name].call(x, axis=arguments.axes(name, axis), keepdims=arguments.flag(name, keepdims))


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """Return the range of values over axes: the largest less the smallest."""
    x = arguments.array(a)
    difference = max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)
    return finish(difference, out, name="ptp")


# --- means ------------------------------------------------------------------------------------------------------------

_mean = Operation("mean", masked.mean, 2)
_var = Operation("var", masked.var, 4)
_std = Operation("std", masked.std, 4)


def _averaged(
    name: str, full: Operation, a: Any, axis: Any, dtype: Any, out: Any, keepdims: Any, where: Any, *rest: Any,
    skip: bool = False,
) -> Any:  # fmt: skip
    """Run a mean, variance or deviation with all of its arguments; `rest` are its further operands."""
    x, into = arguments.array(a), arguments.target(name, out)
    mask = None if where is True else arguments.mask(name, where)
    named: dict[str, Any] = {"axis": arguments.axes(name, axis), "keepdims": arguments.flag(name, keepdims)}
    if skip and dt.is_floating(x.dtype):
        named["axis"] = () if not x.ndim and axis in (0, -1) else named["axis"]
    if dtype is not None:
        named["dtype"] = arguments.dtype(dtype)
    for wanted in (named.get("dtype"), None if into is None else dt.as_dtype(into.dtype)):
        if wanted is not None and not dt.is_inexact(wanted) and (
            name.endswith("std") or (skip and dt.is_inexact(x.dtype))
        ):  # fmt: skip
            raise TypeError(f"{name}: the result of {x.dtype} is a floating-point number, which cannot be {wanted}")
    if mask is not None and mask.ndim > x.ndim:
        raise ValueError(f"{name}: the mask of shape {mask.shape} has more axes than the array of shape {x.shape}")
    if mask is None and not rest and "dtype" not in named and not skip:
        return finish(operations[name].call(x, **named), into, name=name, casting="unsafe")
    if skip:
        named["skip"] = True
    return finish(full.call(x, mask, *rest, **named), into, name=name, casting="unsafe")


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True
) -> Any:
    """Return the mean of elements over axes; integers are averaged in float64, halves in float32.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        All axes by default.
    dtype : dtype, optional
        Of the result, and at least of the computation.
    out : array, optional
    keepdims : bool
    where : array_like of bool
        Elements that take part.
    """
    return _averaged("mean", _mean, a, axis, dtype, out, keepdims, where)


def _freedom(name: str, ddof: Any, correction: Any) -> float:
    if isinstance(ddof, str) or isinstance(correction, str):
        raise TypeError(f"{name}: ddof and correction are numbers, not texts")
    if correction is NOT_GIVEN:
        return float(ddof)
    if ddof != 0:
        raise ValueError(f"{name}: ddof and correction can't be provided simultaneously")
    return float(correction)


def _spread(
    name: str, full: Operation, a: Any, axis: Any, dtype: Any, out: Any, ddof: Any, keepdims: Any, where: Any,
    mean: Any, correction: Any,
) -> Any:  # fmt: skip
    less = _freedom(name, ddof, correction)
    if where is True and mean is NOT_GIVEN and dtype is None and out is None:
        axes = arguments.axes(name, axis)
        result = operations[name].call(
            arguments.array(a), axis=axes, ddof=less, keepdims=arguments.flag(name, keepdims)
        )
        return result
    centre = None if mean is NOT_GIVEN else arguments.array(mean)
    return _averaged(name, full, a, axis, dtype, out, keepdims, where, centre, less)


def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
    where: Any = True, mean: Any = NOT_GIVEN, correction: Any = NOT_GIVEN,
) -> Any:  # fmt: skip
    """Return the variance over axes: squared distances from the mean, added and divided by N - ddof.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        All axes by default.
    dtype : dtype, optional
    out : array, optional
    ddof : float
        Degrees of freedom less than N.
    keepdims : bool
    where : array_like of bool
        Elements that take part.
    mean : array_like, optional
        The mean, where it is known already, with reduced axes kept.
    correction : float, optional
        The array API standard's name of `ddof`.

    Raises
    ------
    ValueError
        For both `ddof` and `correction`.
    """
    return _spread("var", _var, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
    where: Any = True, mean: Any = NOT_GIVEN, correction: Any = NOT_GIVEN,
) -> Any:  # fmt: skip
    """Return the standard deviation over axes, the square root of `var`; the arguments are the same."""
    return _spread("std", _std, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """Return the weighted mean over axes.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
    weights : array_like, optional
        Of a's shape, or of the shape of the axes that are averaged over.
    returned : bool
        Return a pair, of the mean and the sum of the weights.
    keepdims : bool

    Raises
    ------
    TypeError
        Weights of another shape without an axis.
    ValueError
        Weights whose shape is not that of the axes.
    ZeroDivisionError
        Weights that add up to zero.
    """
    x = arguments.array(a)
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        total = np.asarray(x.size / builtins.max(result.size, 1), result.dtype)
        scale = functions.broadcast_to(arguments.adopt(total), result.shape)
        return (result, scale.clone()) if returned else result
    w = _fitting_weights(x, axis, arguments.array(weights))
    dtype = np.promote_types(x.dtype, w.dtype) if dt.bfloat16 not in (x.dtype, w.dtype) else (x * w).dtype
    dtype = dtype if dt.is_inexact(dtype) else np.promote_types(dtype, dt.float64)
    total = sum(functions.broadcast_to(w.astype(dtype, copy=False), x.shape), axis, keepdims=keepdims)
    if (total == 0).any().item():
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    result = sum(x.astype(dtype, copy=False) * w.astype(dtype, copy=False), axis, keepdims=keepdims) / total
    return (result, total) if returned else result


def _fitting_weights(x: Tensor, axis: Any, w: Tensor) -> Tensor:
    """Return weights in a shape that broadcasts to the array's."""
    if w.shape == x.shape:
        return w
    if axis is None:
        raise TypeError(f"Axis must be specified when shapes of a and weights differ; they are {x.shape} and {w.shape}")
    found = arguments.axes("average", axis)
    given = found if isinstance(found, tuple) else (arguments.index("average", found),)
    functions.normalise_axes("average", given, x.ndim, x.shape)
    many = [one % x.ndim for one in given]
    if w.shape != tuple(x.shape[k] for k in many):
        raise ValueError(
            "Shape of weights must be consistent with shape of a along specified axis; "
            f"they are {w.shape} and {x.shape}"
        )
    order = sorted(range(len(many)), key=many.__getitem__)
    turned = functions.permute(w, order) if len(order) > 1 else w
    return functions.reshape(turned, tuple(n if k in many else 1 for k, n in enumerate(x.shape)))


# --- places of extremes, running sums ---------------------------------------------------------------------------------


def _place(name: str, operation: Operation, a: Any, axis: Any, out: Any, keepdims: Any, **named: Any) -> Any:
    x = arguments.array(a)
    found = None if axis is None else arguments.index(name, axis)
    into = arguments.target(name, out)
    result = operation.call(x, axis=found, keepdims=bool(keepdims), **named)
    if into is not None and into.shape == result.shape and not arguments.can_cast(dt.as_dtype(into.dtype), dt.int64):
        raise TypeError(f"{name}: Cannot cast array data from {into.dtype} to int64 according to the rule 'safe'")
    return finish(result, into, name=name)


def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """Return the index of the first largest element along an axis, or of all; a NaN is the largest.

    Raises
    ------
    ValueError
        For an empty axis.
    """
    return _place("argmax", operations["argmax"], a, axis, out, keepdims)


def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """Return the index of the first smallest element along an axis, or of all; a NaN is the smallest."""
    return _place("argmin", operations["argmin"], a, axis, out, keepdims)


def _scan(name: str, operation: Operation, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    x, into = arguments.array(a), arguments.target(name, out)
    wanted = arguments.dtype(dtype)
    if wanted is None and into is not None:
        wanted = promotion.common((promotion.accumulate(name, (x.dtype,))[1], dt.as_dtype(into.dtype)))
    named = {} if wanted is None else {"dtype": wanted}
    found = None if axis is None else arguments.index(name, axis)
    return finish(operation.call(x, axis=found, **named), into, name=name, casting="unsafe")


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Return the running sum along an axis, or over all elements in C order."""
    return _scan("cumsum", operations["cumsum"], a, axis, dtype, out)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Return the running product along an axis, or over all elements in C order."""
    return _scan("cumprod", operations["cumprod"], a, axis, dtype, out)


def _cumulative(name: str, scan: Callable, x: Any, axis: Any, dtype: Any, out: Any, initial: Any) -> Any:
    given = arguments.array(x)
    given = functions.reshape(given, (1,)) if not given.ndim else given
    if axis is None:
        if given.ndim > 1:
            raise ValueError(f"{name}: For arrays which have more than one dimension ``axis`` argument is required.")
        axis = 0
    if isinstance(axis, tuple):
        functions.normalise_axes(name, axis, given.ndim, given.shape)
        raise ValueError(f"{name}: accumulates along one axis, not along {axis} of an array of shape {given.shape}")
    if initial is None:
        return scan(given, axis, dtype, out)
    made = scan(given, axis, dtype)
    (place,) = functions.normalise_axes(name, arguments.index(name, axis), made.ndim, made.shape)
    shape = tuple(1 if k == place else n for k, n in enumerate(made.shape))
    first = functions.broadcast_to(arguments.array(np.asarray(initial, made.dtype)), shape)
    return finish(functions.concatenate([first, made], axis=place), out, name=name, casting="unsafe")


def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """Return the running sum along an axis, as the array API standard defines it.

    Parameters
    ----------
    x : array_like
    axis : int, optional
        Required where there are several.
    dtype : dtype, optional
    out : array, optional
    include_initial : bool
        Begin with a 0: one element more along the axis.

    Raises
    ------
    ValueError
        Without an axis, for more than one.
    """
    return _cumulative("cumulative_sum", cumsum, x, axis, dtype, out, 0 if include_initial else None)


def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """Return the running product along an axis; with `include_initial` it begins with a 1. See `cumulative_sum`."""
    return _cumulative("cumulative_prod", cumprod, x, axis, dtype, out, 1 if include_initial else None)


# --- twins that skip NaNs ---------------------------------------------------------------------------------------------


class _Skipping(Reduction):
    """A reduction of the elements that are not NaN."""

    def __init__(self, name: str, record: Callable[..., Any]) -> None:
        super().__init__(registry[name])
        full = Operation(f"nan{name}", partial(record, self.row), 3)
        self._full = full.call
        self._plain = lambda x, **named: self._full(x, None, None, **named)


_NAN = {
    "sum": _Skipping("sum", masked.without_nan), "prod": _Skipping("prod", masked.without_nan),
    "max": _Skipping("max", masked.extreme), "min": _Skipping("min", masked.extreme),
}  # fmt: skip
_nanplace = Operation("nanplace", masked.place, 1)
_nancumsum = Operation("nancumsum", masked.nancumsum, 1)
_nancumprod = Operation("nancumprod", masked.nancumprod, 1)


def nansum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN,
    where: Any = True,
) -> Any:  # fmt: skip
    """Return the sum over axes of the elements that are not NaN; see `sum`."""
    return _NAN["sum"]("add", a, axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN,
    where: Any = True,
) -> Any:  # fmt: skip
    """Return the product over axes of the elements that are not NaN; see `prod`."""
    return _NAN["prod"]("multiply", a, axis, dtype, out, keepdims, initial, where)


def nanmax(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN, where: Any = True
) -> Any:
    """Return the largest element over axes that is not NaN; NaN where there is none. See `max`."""
    return _NAN["max"]("fmax", a, axis, None, out, keepdims, initial, where)


def nanmin(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOT_GIVEN, where: Any = True
) -> Any:
    """Return the smallest element over axes that is not NaN; NaN where there is none. See `min`."""
    return _NAN["min"]("fmin", a, axis, None, out, keepdims, initial, where)


def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True
) -> Any:
    """Return the mean over axes of the elements that are not NaN; NaN where there is none. See `mean`."""
    return _averaged("nanmean", _mean, a, axis, dtype, out, keepdims, where, skip=True)


def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
    where: Any = True, mean: Any = NOT_GIVEN, correction: Any = NOT_GIVEN,
) -> Any:  # fmt: skip
    """Return the variance over axes of the elements that are not NaN; NaN for ddof of them or fewer. See `var`."""
    given = None if mean is NOT_GIVEN else arguments.array(mean), _freedom("nanvar", ddof, correction)
    return _averaged("nanvar", _var, a, axis, dtype, out, keepdims, where, *given, skip=True)


def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False, *,
    where: Any = True, mean: Any = NOT_GIVEN, correction: Any = NOT_GIVEN,
) -> Any:  # fmt: skip
    """Return the standard deviation over axes of the elements that are not NaN; see `nanvar`."""
    given = None if mean is NOT_GIVEN else arguments.array(mean), _freedom("nanstd", ddof, correction)
    return _averaged("nanstd", _std, a, axis, dtype, out, keepdims, where, *given, skip=True)


def _check_rows(name: str, a: Any, axis: Any) -> Tensor:
    """Refuse rows of NaNs alone, which have no place of an extreme."""
    x = arguments.array(a)
    if dt.is_inexact(x.dtype) and x.size and all(operations["isnan"].call(x), axis).any().item():
        raise ValueError(f"{name}: All-NaN slice encountered, shape {x.shape}, axis {axis}")
    return x


def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """Return the index of the first largest element along an axis that is not NaN.

    Raises
    ------
    ValueError
        For an empty axis, and where all elements along it are NaN.
    """
    return _place("nanargmax", _nanplace, _check_rows("nanargmax", a, axis), axis, out, keepdims)


def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """Return the index of the first smallest element along an axis that is not NaN; see `nanargmax`."""
    return _place("nanargmin", _nanplace, _check_rows("nanargmin", a, axis), axis, out, keepdims, largest=False)


def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Return the running sum along an axis, with NaN taken for 0; see `cumsum`."""
    return _scan("nancumsum", _nancumsum, a, axis, dtype, out)


def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Return the running product along an axis, with NaN taken for 1; see `cumprod`."""
    return _scan("nancumprod", _nancumprod, a, axis, dtype, out)


__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod", "cumsum",
    "cumulative_prod", "cumulative_sum", "max", "mean", "min", "nanargmax", "nanargmin", "nancumprod", "nancumsum",
    "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "prod", "ptp", "std", "sum", "var",
]  # fmt: skip
