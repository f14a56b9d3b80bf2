"""Random index expressions, read and written, and chains of views: all as in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume, given, note
from hypothesis import strategies as st

import trueno as tn
import trueno.np as tnp
from tests.np import strategies
from tests.np.comparing import check_equal, error_kind, laid_out_as, outcome


def agree(want: Any, got: Any) -> bool:
    """Check that both sides raise the same kind of exception; return whether they do."""
    if not isinstance(want, Exception):
        if isinstance(got, Exception):
            raise AssertionError(f"NumPy gives {want!r}, here is {got!r}") from got
        return False
    assert isinstance(got, Exception), f"NumPy raises {want!r}, here is {got!r}"
    assert issubclass(type(got), error_kind(want)), f"NumPy raises {want!r}, here is {got!r}"
    return True


@strategies.cases(0.25)
@given(st.data())
def test_reading(data: st.DataObject) -> None:
    array = data.draw(strategies.arrays(repeated=True))
    index = data.draw(strategies.indices(array.shape))
    note(f"shape {array.shape}, strides {array.strides}, index {index!r}")
    tensor = tn.from_numpy(laid_out_as(array))
    want = outcome(lambda: array[index])
    got = outcome(lambda: tensor[strategies.for_tensors(index) if data.draw(st.booleans()) else index])
    if agree(want, got):
        return
    check_equal(got, want)
    if want.size and array.size:
        shared = isinstance(want, np.ndarray) and np.shares_memory(want, array)
        assert np.shares_memory(np.asarray(got), np.asarray(tensor)) == shared, "memory is shared unlike in NumPy"


def _value(data: st.DataObject, shape: tuple[int, ...], array: np.ndarray) -> Any:
    """Draw a number or an array that broadcasts to a shape, mostly; or a part of the array itself."""
    kind = data.draw(st.sampled_from(["number", "array", "array", "other", "own"]))
    if kind == "number":
        return data.draw(strategies.numbers())
    if kind == "own" and array.shape == shape and array.ndim:
        return "own"
    start = data.draw(st.integers(0, len(shape)))
    wanted = tuple(1 if data.draw(st.integers(0, 4)) == 0 else extent for extent in shape[start:])
    if data.draw(st.integers(0, 15)) == 0:
        wanted = (2, *wanted)
    dtypes = strategies.DTYPES if kind == "other" else (str(array.dtype),)
    return data.draw(strategies.arrays(dtypes=dtypes, shape=wanted))


@strategies.cases(0.3)
@given(st.data())
def test_writing(data: st.DataObject) -> None:
    array = laid_out_as(data.draw(strategies.arrays()))
    index = data.draw(strategies.indices(array.shape))
    part = outcome(lambda: array[index])
    value = _value(data, np.shape(part) if not isinstance(part, Exception) else (), array)
    note(f"shape {array.shape}, strides {array.strides}, {array.dtype}, index {index!r}, value {value!r}")
    tensor = tn.from_numpy(laid_out_as(array))
    ours = strategies.for_tensors(index) if data.draw(st.booleans()) else index
    if isinstance(value, str):
        turned = (slice(None, None, -1),)
        want = outcome(lambda: array.__setitem__(index, array[turned]))
        got = outcome(lambda: tensor.__setitem__(ours, tensor[turned]))
    else:
        # What a negative float, or a complex number with such a real part, is as an unsigned integer, C leaves open.
        floats = np.asarray(value).dtype.kind in "fc" and array.dtype.kind == "u"
        assume(not (floats and np.any(np.real(value) < 0)))
        # Which error comes first where the index is wrong as well depends on NumPy's path.
        assume(type(value) is not complex or array.dtype.kind == "c")
        # An element of bools takes what an array with axes is as a condition: an accident of bool(array). One of
        # complex numbers refuses it by TypeError, all others by ValueError.
        assume(isinstance(part, np.ndarray) or np.ndim(value) == 0 or array.dtype.kind not in "bc")
        want = outcome(lambda: array.__setitem__(index, value))
        given_value = tn.from_numpy(laid_out_as(value)) if isinstance(value, np.ndarray) else value
        got = outcome(lambda: tensor.__setitem__(ours, given_value))
    if not agree(want, got):
        np.testing.assert_array_equal(np.asarray(tensor), array)


_KINDS = (
    "index", "index", "permute", "reshape", "flip", "expand", "squeeze", "moveaxis", "ravel", "rot", "split", "mT",
)  # fmt: skip


def _views(data: st.DataObject, x: np.ndarray) -> tuple[str, Callable[[Any, Any], Any]]:
    """Draw a function that makes a view, and its name."""
    ndim = x.ndim
    kind = data.draw(st.sampled_from(_KINDS))
    if kind == "index":
        index = data.draw(strategies.indices(x.shape).filter(lambda index: not _advanced(index)))
        return f"[{index!r}]", lambda xp, x: x[index]
    if kind == "permute":
        order = tuple(data.draw(st.permutations(range(ndim))))
        return f"transpose {order}", lambda xp, x: xp.transpose(x, order)
    if kind == "reshape":
        shape = (data.draw(st.sampled_from([1, 2, 3])), -1)
        return f"reshape {shape}", lambda xp, x: xp.reshape(x, shape)
    if kind == "flip":
        axis = data.draw(strategies.axes(ndim))
        return f"flip {axis}", lambda xp, x: xp.flip(x, axis)
    if kind == "expand":
        axis = data.draw(st.integers(-ndim - 1, ndim))
        return f"expand_dims {axis}", lambda xp, x: xp.expand_dims(x, axis)
    if kind == "squeeze":
        return "squeeze", lambda xp, x: xp.squeeze(x)
    if kind == "moveaxis":
        pair = data.draw(st.tuples(*[st.integers(-ndim, max(ndim - 1, 0))] * 2))
        return f"moveaxis {pair}", lambda xp, x: xp.moveaxis(x, *pair)
    if kind == "ravel":
        order = data.draw(st.sampled_from("CFAK"))
        return f"ravel {order}", lambda xp, x: xp.ravel(x, order=order)
    if kind == "rot":
        turns = data.draw(st.integers(-4, 4))
        return f"rot90 {turns}", lambda xp, x: xp.rot90(x, turns)
    if kind == "split":
        parts = data.draw(st.integers(1, 3))
        return f"array_split {parts}", lambda xp, x: xp.array_split(x, parts)[-1]
    return "mT", lambda xp, x: xp.matrix_transpose(x)


def _advanced(index: Any) -> bool:
    items = index if isinstance(index, tuple) else (index,)
    return any(not isinstance(one, (int, slice, type(None), type(Ellipsis))) or isinstance(one, bool) for one in items)


@strategies.cases(0.1)
@given(st.data())
def test_writing_through_chains_of_views(data: st.DataObject) -> None:
    base = laid_out_as(data.draw(strategies.arrays(dtypes=("float64", "int16"))))
    tensor = tn.from_numpy(laid_out_as(base))
    theirs, ours = base, tensor
    for _ in range(data.draw(st.integers(1, 4))):
        name, make = _views(data, theirs)
        note(f"{name} of shape {theirs.shape}, strides {theirs.strides}")
        want, got = outcome(make, np, theirs), outcome(make, tnp, ours)
        if agree(want, got):
            return
        if not isinstance(want, np.ndarray):
            check_equal(got, want)
            return
        theirs, ours = want, got
        check_equal(ours, theirs)
    if theirs.flags.writeable:
        theirs[...], ours[...] = 77, 77
        np.testing.assert_array_equal(np.asarray(ours), theirs)
        np.testing.assert_array_equal(np.asarray(tensor), base)
