"""Bad input to every function of the namespace: the type of NumPy's exception, and a text that says what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy
import pytest

from tests.np.comparing import error_kind, outcome
from trueno import np
from trueno.np.ufuncs import UFUNCS


class Side:
    """A namespace with arrays of its own: a matrix of 2 x 3, a vector of 3, integers, masks, a number, no elements."""

    def __init__(self, namespace: ModuleType) -> None:
        self.np: Any = namespace
        self.m = self.np.asarray(numpy.arange(6.0).reshape(2, 3))
        self.v = self.np.asarray(numpy.arange(3.0))
        self.w = self.np.asarray(numpy.arange(4.0))
        self.i = self.np.asarray(numpy.arange(3))
        self.b = self.np.asarray(numpy.array([True, False, True]))
        self.z = self.np.asarray(numpy.array(2.0))
        self.e = self.np.asarray(numpy.zeros(0))
        self.c = self.np.asarray(numpy.array([1j, 2.0]))


Call = Callable[[Side], Any]

#: Reductions: an axis that does not exist, twice the same, no integer; no elements; a mask or target of another shape.
REDUCTIONS = (
    "all", "any", "sum", "prod", "max", "min", "amax", "amin", "mean", "std", "var", "median", "ptp", "nansum",
    "nanprod", "nanmax", "nanmin", "nanmean", "nanstd", "nanvar", "nanmedian", "average", "count_nonzero",
)  # fmt: skip
#: Functions of one axis: one that does not exist, or no integer.
ONE_AXIS = (
    "argmax", "argmin", "nanargmax", "nanargmin", "cumsum", "cumprod", "nancumsum", "nancumprod", "cumulative_sum",
    "cumulative_prod", "sort", "argsort", "diff", "flip", "squeeze", "expand_dims", "unwrap", "trapezoid", "gradient",
    "unstack",
)  # fmt: skip

BAD: dict[str, list[Call]] = {
    "allclose": [lambda s: s.np.allclose(s.v, s.w)],
    "append": [lambda s: s.np.append(s.m, s.v, axis=0), lambda s: s.np.append(s.m, s.m, axis=3)],
    "arange": [lambda s: s.np.arange(0, 5, 0), lambda s: s.np.arange(), lambda s: s.np.arange("a")],
    "argpartition": [lambda s: s.np.argpartition(s.v, 7), lambda s: s.np.argpartition(s.v, 1.5)],
    "around": [lambda s: s.np.around(s.v, 1.5)],
    "array": [lambda s: s.np.array([[1, 2], [3]]), lambda s: s.np.array(1, dtype="nothing")],
    "array_equal": [lambda s: s.np.array_equal(s.v)],
    "array_split": [lambda s: s.np.array_split(s.v, 0), lambda s: s.np.array_split(s.v, 2, axis=4)],
    "asarray": [lambda s: s.np.asarray([[1], [2, 3]]), lambda s: s.np.asarray(1, dtype="f3")],
    "astype": [lambda s: s.np.astype([1.0], "f4"), lambda s: s.np.astype(s.v, "nothing")],
    "average": [
        lambda s: s.np.average(s.m, weights=s.v), lambda s: s.np.average(s.m, axis=0, weights=s.v),
        lambda s: s.np.average(s.v, weights=s.v * 0),
    ],
    "bincount": [
        lambda s: s.np.bincount(s.m), lambda s: s.np.bincount(s.v), lambda s: s.np.bincount(s.i - 1),
        lambda s: s.np.bincount(s.i, weights=s.w), lambda s: s.np.bincount(s.i, minlength=-1),
    ],
    "block": [lambda s: s.np.block([]), lambda s: s.np.block([[s.m], [s.v]])],
    "broadcast_arrays": [lambda s: s.np.broadcast_arrays(s.v, s.w)],
    "broadcast_shapes": [lambda s: s.np.broadcast_shapes((3,), (4,))],
    "broadcast_to": [lambda s: s.np.broadcast_to(s.v, (4,)), lambda s: s.np.broadcast_to(s.v, (-1, 3))],
    "can_cast": [lambda s: s.np.can_cast(1, "i4"), lambda s: s.np.can_cast("i4", "i8", casting="often")],
    "choose": [lambda s: s.np.choose(s.i, [s.v, s.v]), lambda s: s.np.choose(s.i, [s.v, s.w, s.v])],
    "clip": [lambda s: s.np.clip(s.v, s.w, 3), lambda s: s.np.clip(s.v, 0, 1, out=s.m[:, 0])],
    "column_stack": [lambda s: s.np.column_stack([s.v, s.w]), lambda s: s.np.column_stack(3)],
    "common_type": [lambda s: s.np.common_type(s.b)],
    "compress": [lambda s: s.np.compress(s.m > 1, s.m, axis=0), lambda s: s.np.compress(s.w, s.v)],
    "concat": [lambda s: s.np.concat([s.m, s.v]), lambda s: s.np.concat([])],
    "concatenate": [
        lambda s: s.np.concatenate([s.m, s.v]), lambda s: s.np.concatenate([s.v, s.v], axis=1),
        lambda s: s.np.concatenate([]), lambda s: s.np.concatenate([s.m, s.m.T]), lambda s: s.np.concatenate(s.z),
        lambda s: s.np.concatenate([s.z, s.z]),
    ],
    "convolve": [lambda s: s.np.convolve(s.v, s.e), lambda s: s.np.convolve(s.m, s.m),
                 lambda s: s.np.convolve(s.v, s.v, mode="some")],
    "copyto": [lambda s: s.np.copyto(s.v, s.w), lambda s: s.np.copyto(s.i, s.v),
               lambda s: s.np.copyto(s.v, 1.0, where=s.w > 1)],
    "corrcoef": [lambda s: s.np.corrcoef(s.v, s.w)],
    "correlate": [lambda s: s.np.correlate(s.v, s.e), lambda s: s.np.correlate(s.v, s.v, mode="some")],
    "cov": [lambda s: s.np.cov(s.v, s.w), lambda s: s.np.cov(s.v, ddof=1.5), lambda s: s.np.cov(s.v, fweights=s.v),
            lambda s: s.np.cov(numpy.zeros((2, 2, 2)))],
    "cross": [lambda s: s.np.cross(s.w, s.w), lambda s: s.np.cross(s.v, s.v, axis=2)],
    "cumulative_sum": [lambda s: s.np.cumulative_sum(s.m)],
    "cumulative_prod": [lambda s: s.np.cumulative_prod(s.m)],
    "delete": [lambda s: s.np.delete(s.v, 5), lambda s: s.np.delete(s.v, 0, axis=2), lambda s: s.np.delete(s.v, 1.5)],
    "diag": [lambda s: s.np.diag(s.z), lambda s: s.np.diag(numpy.zeros((2, 2, 2))), lambda s: s.np.diag(s.v, 1.5)],
    "diag_indices_from": [lambda s: s.np.diag_indices_from(s.v), lambda s: s.np.diag_indices_from(s.m)],
    "diagonal": [lambda s: s.np.diagonal(s.v), lambda s: s.np.diagonal(s.m, axis1=1, axis2=1),
                 lambda s: s.np.diagonal(s.m, axis1=5)],
    "diff": [lambda s: s.np.diff(s.z), lambda s: s.np.diff(s.v, n=-1)],
    "digitize": [lambda s: s.np.digitize(s.v, [1, 3, 2]), lambda s: s.np.digitize(s.c, [1, 2])],
    "dot": [lambda s: s.np.dot(s.v, s.w), lambda s: s.np.dot(s.m, s.m), lambda s: s.np.dot(s.v, s.v, out=s.v)],
    "dsplit": [lambda s: s.np.dsplit(s.m, 2)],
    "dstack": [lambda s: s.np.dstack([s.v, s.w])],
    "einsum": [
        lambda s: s.np.einsum("i,i", s.v, s.w), lambda s: s.np.einsum("ij", s.v), lambda s: s.np.einsum("i->j", s.v),
        lambda s: s.np.einsum("i,j", s.v), lambda s: s.np.einsum("i->i?", s.v),
    ],
    "einsum_path": [lambda s: s.np.einsum_path("i,i", s.v)],
    "empty": [lambda s: s.np.empty(-1), lambda s: s.np.empty("a"), lambda s: s.np.empty(2, dtype="nothing")],
    "expand_dims": [lambda s: s.np.expand_dims(s.v, (0, 0))],
    "extract": [lambda s: s.np.extract(numpy.array([0, 0, 0, 1]), s.v)],
    "eye": [lambda s: s.np.eye(-2, "a"), lambda s: s.np.eye(2.5)],
    "fill_diagonal": [lambda s: s.np.fill_diagonal(s.v, 1), lambda s: s.np.fill_diagonal(numpy.zeros((2, 3, 4)), 1)],
    "finfo": [lambda s: s.np.finfo("i4")],
    "iinfo": [lambda s: s.np.iinfo("f4")],
    "fliplr": [lambda s: s.np.fliplr(s.v)],
    "flipud": [lambda s: s.np.flipud(s.z)],
    "frombuffer": [lambda s: s.np.frombuffer(b"123", "f4"), lambda s: s.np.frombuffer(b"", "f4", offset=3)],
    "fromfunction": [lambda s: s.np.fromfunction(lambda i: i, 3)],
    "fromiter": [lambda s: s.np.fromiter(iter([1, 2]), "i4", count=5), lambda s: s.np.fromiter(3, "i4")],
    "full": [lambda s: s.np.full(-1, 2.0), lambda s: s.np.full((2, 2), [1, 2, 3])],
    "full_like": [lambda s: s.np.full_like(s.v, [1, 2])],
    "geomspace": [lambda s: s.np.geomspace(0, 5), lambda s: s.np.geomspace(1, 5, -1)],
    "gradient": [lambda s: s.np.gradient(s.v, s.w), lambda s: s.np.gradient(s.v[:1]),
                 lambda s: s.np.gradient(s.m, 1, 2, 3), lambda s: s.np.gradient(s.v, edge_order=4)],
    "histogram": [
        lambda s: s.np.histogram(s.v, bins=0), lambda s: s.np.histogram(s.v, bins=[2, 1]),
        lambda s: s.np.histogram(s.v, range=(2, 1)), lambda s: s.np.histogram(s.v, weights=s.w),
        lambda s: s.np.histogram(s.v, bins="some"), lambda s: s.np.histogram(s.v, bins=1.5),
    ],
    "histogram_bin_edges": [lambda s: s.np.histogram_bin_edges(s.v, bins=-1)],
    "histogram2d": [lambda s: s.np.histogram2d(s.v, s.w)],
    "histogramdd": [lambda s: s.np.histogramdd(s.m, bins=[1, 2])],
    "hsplit": [lambda s: s.np.hsplit(s.z, 2), lambda s: s.np.hsplit(s.m, 2)],
    "hstack": [lambda s: s.np.hstack([s.m, s.v]), lambda s: s.np.hstack([])],
    "identity": [lambda s: s.np.identity(1.5)],
    "indices": [lambda s: s.np.indices((2, -1))],
    "inner": [lambda s: s.np.inner(s.v, s.w)],
    "insert": [lambda s: s.np.insert(s.v, 9, 1), lambda s: s.np.insert(s.m, 0, s.w, axis=0),
               lambda s: s.np.insert(s.v, 0, 1, axis=3)],
    "interp": [lambda s: s.np.interp(s.v, s.v, s.w), lambda s: s.np.interp(s.v, s.e, s.e)],
    "isclose": [lambda s: s.np.isclose(s.v, s.w)],
    "isdtype": [lambda s: s.np.isdtype(numpy.float32, "some"), lambda s: s.np.isdtype(numpy.dtype("f4"), 3)],
    "isin": [lambda s: s.np.isin(s.v, s.v, kind="some"), lambda s: s.np.isin(s.v, s.v, kind="table")],
    "isneginf": [lambda s: s.np.isneginf(s.c)],
    "isposinf": [lambda s: s.np.isposinf(s.c)],
    "ix_": [lambda s: s.np.ix_(s.m)],
    "lexsort": [lambda s: s.np.lexsort((s.v, s.w)), lambda s: s.np.lexsort(s.v, axis=3)],
    "linspace": [lambda s: s.np.linspace(0, 1, -1), lambda s: s.np.linspace(0, 1, 2.5),
                 lambda s: s.np.linspace(s.v, s.w)],
    "logspace": [lambda s: s.np.logspace(0, 1, -1)],
    "matrix_transpose": [lambda s: s.np.matrix_transpose(s.v)],
    "meshgrid": [lambda s: s.np.meshgrid(s.v, s.v, indexing="kl"), lambda s: s.np.meshgrid(s.v, some=1)],
    "moveaxis": [lambda s: s.np.moveaxis(s.m, 0, 4), lambda s: s.np.moveaxis(s.m, (0, 1), 0),
                 lambda s: s.np.moveaxis(s.m, (0, 0), (0, 1))],
    "nanpercentile": [lambda s: s.np.nanpercentile(s.v, 101)],
    "nanquantile": [lambda s: s.np.nanquantile(s.v, 1.5)],
    "nonzero": [lambda s: s.np.nonzero(s.z)],
    "ones": [lambda s: s.np.ones(-2), lambda s: s.np.ones(1.5)],
    "pad": [lambda s: s.np.pad(s.v, -1), lambda s: s.np.pad(s.v, 1, mode="some"), lambda s: s.np.pad(s.v, 1.5),
            lambda s: s.np.pad(s.v, ((1, 1), (1, 1))), lambda s: s.np.pad(s.e, 1, mode="edge"),
            lambda s: s.np.pad(s.v, 1, mode="edge", constant_values=1)],
    "partition": [lambda s: s.np.partition(s.v, 5), lambda s: s.np.partition(s.v, 1, axis=2)],
    "percentile": [lambda s: s.np.percentile(s.v, 101), lambda s: s.np.percentile(s.v, -1),
                   lambda s: s.np.percentile(s.v, 50, method="some"), lambda s: s.np.percentile(s.v, 50, axis=3)],
    "permute_dims": [lambda s: s.np.permute_dims(s.m, (0,)), lambda s: s.np.permute_dims(s.m, (0, 0))],
    "piecewise": [lambda s: s.np.piecewise(s.v, [s.v > 1], [1, 2, 3])],
    "place": [lambda s: s.np.place(s.v, s.v >= 0, []), lambda s: s.np.place([1], [True], [2])],
    "polydiv": [lambda s: s.np.polydiv(s.v, s.m)],
    "polyder": [lambda s: s.np.polyder(s.v, -1)],
    "polyint": [lambda s: s.np.polyint(s.v, -1), lambda s: s.np.polyint(s.v, 3, [1, 2])],
    "polyfit": [
        lambda s: s.np.polyfit(s.v, s.w, 1), lambda s: s.np.polyfit(s.m, s.m, 1), lambda s: s.np.polyfit(s.v, s.v, -1),
        lambda s: s.np.polyfit(s.e, s.e, 1), lambda s: s.np.polyfit(s.v, s.v, 1, w=s.w),
        lambda s: s.np.polyfit(s.v, s.v, 1, w=s.m), lambda s: s.np.polyfit(s.v, s.v, 2, cov=True),
        lambda s: s.np.polyfit(s.v, numpy.zeros((3, 1, 1)), 1),
    ],
    "poly": [lambda s: s.np.poly(s.m), lambda s: s.np.poly(numpy.zeros((2, 2, 2)))],
    "roots": [lambda s: s.np.roots(s.m), lambda s: s.np.roots([1.0, numpy.nan, 2.0])],
    "promote_types": [lambda s: s.np.promote_types("f4", "nothing")],
    "put": [lambda s: s.np.put(s.v, [5], 1.0), lambda s: s.np.put([1], 0, 1)],
    "put_along_axis": [lambda s: s.np.put_along_axis(s.v, s.i + 2, 1.0, 0),
                       lambda s: s.np.put_along_axis(s.m, s.i, 1.0, 0)],
    "putmask": [lambda s: s.np.putmask(s.v, s.w > 1, 1.0)],
    "quantile": [lambda s: s.np.quantile(s.v, 2), lambda s: s.np.quantile(s.v, 0.5, method="some"),
                 lambda s: s.np.quantile(s.c, 0.5)],
    "ravel": [lambda s: s.np.ravel(s.m, order="Q")],
    "ravel_multi_index": [lambda s: s.np.ravel_multi_index((5, 1), (2, 2))],
    "repeat": [lambda s: s.np.repeat(s.v, -1), lambda s: s.np.repeat(s.v, [1, 2]), lambda s: s.np.repeat(s.v, 1.5),
               lambda s: s.np.repeat(s.v, 2, axis=3)],
    "reshape": [lambda s: s.np.reshape(s.v, (2, 2)), lambda s: s.np.reshape(s.v, (-1, -1)),
                lambda s: s.np.reshape(s.v, (2, -1)), lambda s: s.np.reshape(s.v, 1.5)],
    "resize": [lambda s: s.np.resize(s.v, (-1, 2))],
    "result_type": [lambda s: s.np.result_type(), lambda s: s.np.result_type("nothing")],
    "roll": [lambda s: s.np.roll(s.v, 1, axis=3), lambda s: s.np.roll(s.m, (1, 2, 3), axis=(0, 1))],
    "rollaxis": [lambda s: s.np.rollaxis(s.m, 4), lambda s: s.np.rollaxis(s.m, 0, 5)],
    "rot90": [lambda s: s.np.rot90(s.v), lambda s: s.np.rot90(s.m, axes=(0, 0)),
              lambda s: s.np.rot90(s.m, axes=(0, 5))],
    "round": [lambda s: s.np.round(s.v, 1.5)],
    "searchsorted": [lambda s: s.np.searchsorted(s.m, s.v), lambda s: s.np.searchsorted(s.v, 1, side="some"),
                     lambda s: s.np.searchsorted(s.v, 1, sorter=s.v)],
    "select": [lambda s: s.np.select([s.v > 1], [s.v, s.v]), lambda s: s.np.select([s.v], [s.v]),
               lambda s: s.np.select([], [])],
    "sort": [lambda s: s.np.sort(s.v, kind="x"), lambda s: s.np.sort(s.z)],
    "split": [lambda s: s.np.split(s.v, 2), lambda s: s.np.split(s.v, 1, axis=3)],
    "squeeze": [lambda s: s.np.squeeze(s.m, 0)],
    "stack": [lambda s: s.np.stack([]), lambda s: s.np.stack([s.v, s.w]), lambda s: s.np.stack([s.v, s.v], axis=5)],
    "swapaxes": [lambda s: s.np.swapaxes(s.m, 0, 4), lambda s: s.np.swapaxes(s.m, 0, 0.5)],
    "take": [lambda s: s.np.take(s.v, 3), lambda s: s.np.take(s.v, 0, axis=2),
             lambda s: s.np.take(s.v, 0, mode="some"), lambda s: s.np.take(s.e, 0)],
    "take_along_axis": [lambda s: s.np.take_along_axis(s.m, s.i, 0), lambda s: s.np.take_along_axis(s.v, s.v, 0),
                        lambda s: s.np.take_along_axis(s.v, s.i + 2, 0)],
    "tensordot": [lambda s: s.np.tensordot(s.m, s.m, axes=1), lambda s: s.np.tensordot(s.m, s.m, axes=([0], [5]))],
    "tile": [lambda s: s.np.tile(s.v, -1), lambda s: s.np.tile(s.v, 1.5)],
    "trace": [lambda s: s.np.trace(s.v), lambda s: s.np.trace(s.m, axis1=4)],
    "transpose": [lambda s: s.np.transpose(s.m, (0,)), lambda s: s.np.transpose(s.m, (0, 2))],
    "trapezoid": [lambda s: s.np.trapezoid(s.v, s.w)],
    "tril": [lambda s: s.np.tril(s.z)],
    "triu": [lambda s: s.np.triu(s.z)],
    "tril_indices_from": [lambda s: s.np.tril_indices_from(s.v)],
    "triu_indices_from": [lambda s: s.np.triu_indices_from(s.v)],
    "trim_zeros": [lambda s: s.np.trim_zeros(s.v, "x")],
    "unique": [lambda s: s.np.unique(s.v, axis=2)],
    "unravel_index": [lambda s: s.np.unravel_index(9, (2, 2)), lambda s: s.np.unravel_index(1.5, (2, 2))],
    "unstack": [lambda s: s.np.unstack(s.z)],
    "vander": [lambda s: s.np.vander(s.m)],
    "vdot": [lambda s: s.np.vdot(s.v, s.w)],
    "vsplit": [lambda s: s.np.vsplit(s.v, 2), lambda s: s.np.vsplit(s.m, 4)],
    "vstack": [lambda s: s.np.vstack([s.v, s.w]), lambda s: s.np.vstack([])],
    "where": [lambda s: s.np.where(s.b, s.v), lambda s: s.np.where(s.b, s.v, s.w)],
    "zeros": [lambda s: s.np.zeros(-1), lambda s: s.np.zeros(2, dtype="nothing"), lambda s: s.np.zeros()],
}  # fmt: skip


def _axis_calls(name: str, many: bool) -> list[Call]:
    calls: list[Call] = [lambda s: getattr(s.np, name)(s.m, axis=2), lambda s: getattr(s.np, name)(s.m, axis=1.5)]
    if many:
        calls += [lambda s: getattr(s.np, name)(s.m, axis=(0, 0)), lambda s: getattr(s.np, name)(s.m, axis=(0, -3))]
        calls.append(lambda s: getattr(s.np, name)(s.m, axis="a"))
    return calls


def _reduction_calls(name: str) -> list[Call]:
    target: Call = lambda s: getattr(s.np, name)(s.m, axis=0, out=s.w)  # noqa: E731
    mask: Call = lambda s: getattr(s.np, name)(s.m, where=s.w > 1)  # noqa: E731
    none: Call = lambda s: getattr(s.np, name)(s.e)  # noqa: E731
    return [target, mask, none]


CALLS = [(name, call) for name, calls in BAD.items() for call in calls]
CALLS += [(name, call) for name in REDUCTIONS for call in (*_axis_calls(name, True), *_reduction_calls(name))]
CALLS += [(name, call) for name in ONE_AXIS for call in _axis_calls(name, False)]
IDS = [f"{name}-{k}" for k, (name, _) in enumerate(CALLS)]


def fails_alike(name: str, call: Call) -> None:
    """Check that a call fails here as it does in NumPy; a few of the generated ones are good calls there."""
    want, got = outcome(call, Side(numpy)), outcome(call, Side(np))
    if not isinstance(want, Exception):
        assert not isinstance(got, Exception), f"{name}: NumPy gives {want!r}, here is {got!r}"
        return
    assert isinstance(got, Exception), f"{name}: NumPy raises {want!r}, here is {got!r}"
    assert issubclass(type(got), error_kind(want)), f"{name}: NumPy raises {want!r}, here is {got!r}"
    assert str(got), f"{name}: an exception without a text"


@pytest.mark.parametrize(("name", "call"), CALLS, ids=IDS)
def test_bad_calls_fail_as_in_numpy(name: str, call: Call) -> None:
    fails_alike(name, call)


def _ufunc_calls(name: str, nin: int, nout: int) -> list[Call]:
    def operands(s: Side) -> list[Any]:
        return [s.v] * nin

    calls: list[Call] = [
        lambda s: getattr(s.np, name)(),
        lambda s: getattr(s.np, name)(*operands(s), *[None] * nout, 3),
        lambda s: getattr(s.np, name)(*operands(s), some=3),
        lambda s: getattr(s.np, name)(*operands(s), casting="often"),
        lambda s: getattr(s.np, name)(*operands(s), dtype="nothing"),
        lambda s: getattr(s.np, name)(*operands(s), out=3),
        lambda s: getattr(s.np, name)(*operands(s), out=(s.w,) * nout),
        lambda s: getattr(s.np, name)(*operands(s), where=s.v),
        lambda s: getattr(s.np, name)(*[s.c] * nin),
        lambda s: getattr(s.np, name).at(s.v, [7], *[s.v] * (nin - 1)),
    ]
    if nin == 2:
        calls += [lambda s: getattr(s.np, name)(s.v, s.w), lambda s: getattr(s.np, name)(s.i, s.w.astype("i4"))]
        calls += [lambda s: getattr(s.np, name).reduce(s.v, axis=3), lambda s: getattr(s.np, name).accumulate(s.z)]
        calls += [lambda s: getattr(s.np, name).reduceat(s.v, [5]), lambda s: getattr(s.np, name).outer(s.v)]
    else:
        calls += [lambda s: getattr(s.np, name).reduce(s.v), lambda s: getattr(s.np, name).outer(s.v, s.v)]
    return calls


@pytest.mark.parametrize("like", sorted(UFUNCS, key=lambda one: one.__name__), ids=lambda one: one.__name__)
def test_bad_calls_of_ufuncs_fail_as_in_numpy(like: numpy.ufunc) -> None:
    for call in _ufunc_calls(like.__name__, like.nin, like.nout):
        fails_alike(like.__name__, call)
