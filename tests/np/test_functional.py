"""Functions of parts, windows, what an argument is, text, and the state of errors."""

from __future__ import annotations

import numpy as np
import pytest

import trueno
import trueno.np as tnp
from tests.np.comparing import compare, gradient

X = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("function", ["sum", "cumsum", "diag"])
def test_apply_along_axis(axis, function):
    compare(lambda xp, x: xp.apply_along_axis(getattr(xp, function), axis, x), X)


def test_apply_along_axis_passes_arguments_and_keeps_the_first_dtype():
    compare(lambda xp, x: xp.apply_along_axis(lambda line, k, *, s: line[k] * s, 1, x, 2, s=3), X.astype(np.int32))


def test_apply_along_axis_has_a_gradient():
    gradient(lambda xp, x: xp.apply_along_axis(lambda line: line * xp.sum(line), 1, x), X[0] + 1)


@pytest.mark.parametrize("axis", [3, -4])
def test_apply_along_axis_refuses_an_axis(axis):
    compare(lambda xp, x: xp.apply_along_axis(xp.sum, axis, x), X)


def test_apply_along_axis_needs_lines():
    compare(lambda xp, x: xp.apply_along_axis(xp.sum, 1, x), np.zeros((0, 3)))


@pytest.mark.parametrize("axes", [0, (0, 2), (-1, 0), [1]])
def test_apply_over_axes(axes):
    compare(lambda xp, x: xp.apply_over_axes(xp.sum, x, axes), X)


def test_apply_over_axes_refuses_other_shapes():
    compare(lambda xp, x: xp.apply_over_axes(lambda one, axis: xp.sum(one), x, [0]), X)


def test_vectorize():
    compare(lambda xp, x: xp.vectorize(lambda a, b: a if a > b else b - 1)(x, 5.0), X)
    compare(lambda xp, x: xp.vectorize(lambda a: (a, int(a) % 2))(x), X)
    compare(lambda xp, x: xp.vectorize(lambda a, b: (a * b).sum(), signature="(n),(n)->()")(x, x), X)
    compare(lambda xp, x: xp.vectorize(otypes=[np.float32])(lambda a: a + 1)(x), X)


def test_vectorize_keeps_the_name_and_documentation():
    @tnp.vectorize
    def nearest(a):
        """The nearest even number."""
        return round(a / 2) * 2

    assert (nearest.__name__, nearest.__doc__) == ("nearest", "The nearest even number.")
    assert nearest([3.2, 5.0]).tolist() == [4, 4]


def test_ndenumerate():
    found = list(tnp.ndenumerate(tnp.asarray(X)))
    assert [(place, float(one)) for place, one in found] == list(np.ndenumerate(X))
    assert all(isinstance(one, trueno.Tensor) for _, one in found)
    assert [place for place, _ in tnp.ndenumerate(3)] == [()]
    assert list(tnp.ndindex(2, 2)) == list(np.ndindex(2, 2))


@pytest.mark.parametrize("value", [X, [1, 2], 3.0, [[1], [2]]])
def test_what_an_argument_is(value):
    given = tnp.asarray(value) if isinstance(value, np.ndarray) else value
    for name in ("ndim", "shape", "size", "iterable"):
        assert getattr(tnp, name)(given) == getattr(np, name)(value), name
    assert tnp.size(tnp.asarray(X), 1) == 3 and tnp.size(tnp.asarray(X), (0, -1)) == 8
    with pytest.raises(ValueError, match="axis"):
        tnp.size(tnp.asarray(X), 3)


def test_sharing_of_memory():
    x = tnp.asarray(X)
    assert tnp.shares_memory(x, x[1:]) and tnp.may_share_memory(x[0], x[:1])
    assert not tnp.shares_memory(x[0], x[1]) and not tnp.shares_memory(x, x.copy())


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning"])
@pytest.mark.parametrize("points", [0, 1, 2, 17])
def test_windows(name, points):
    compare(lambda xp: getattr(xp, name)(points))


def test_kaiser():
    compare(lambda xp: xp.kaiser(12, 8.6))
    assert tnp.kaiser(tnp.asarray(5), tnp.asarray(2.0)).shape == (5,)


def test_text():
    x = X / 7
    ours = tnp.asarray(x)
    assert tnp.array_repr(ours) == np.array_repr(x)
    assert tnp.array_str(ours, precision=2) == np.array_str(x, precision=2)
    assert tnp.array2string(ours, separator=", ") == np.array2string(x, separator=", ")
    assert tnp.array_str(ours.bfloat16()[0, 0, :2] * 7) == "[0. 1.]"
    with tnp.printoptions(precision=1):
        assert str(ours) == str(x)
        assert tnp.get_printoptions()["precision"] == 1


def test_errstate():
    with tnp.errstate(divide="ignore", invalid="warn"):
        assert tnp.geterr()["divide"] == "ignore"
        assert float(tnp.asarray(1.0) / 0) == np.inf
    before = tnp.seterr(over="ignore")
    assert tnp.geterr()["over"] == "ignore"
    tnp.seterr(**before)
    for refused in (lambda: tnp.errstate(all="raise"), lambda: tnp.seterr(divide="call")):
        with pytest.raises(ValueError, match="floating-point errors"):
            refused()
