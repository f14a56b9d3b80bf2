"""What NumPy's own tests found (tools/numpy_suite.py): each case failed once."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import trueno
import trueno.np as tnp
from tests.np.support import check, same, same_error
from tools import numpy_suite

_REAL = numpy.random.default_rng(2).normal(size=(2, 3, 5))
Z = _REAL[0] + 1j * _REAL[1]


@pytest.mark.parametrize("name, args, keywords", [
    ("correlate", (Z[0], Z[1, :3]), {"mode": "full"}), ("correlate", (Z[0, :2], Z[1]), {"mode": "same"}),
    ("cov", (Z,), {}), ("cov", (Z,), {"aweights": numpy.arange(1.0, 6)}), ("corrcoef", (Z,), {}),
    ("round", (Z,), {"decimals": 1}), ("nan_to_num", (Z * numpy.asarray([1, numpy.nan, numpy.inf, 1, 1]),), {}),
    ("vdot", (Z, Z[::-1]), {}), ("vecdot", (Z, Z[::-1]), {}), ("vecmat", (Z[0, :3], Z), {}),
    ("vdot", (_REAL, _REAL), {}),
    ("real", (Z,), {}), ("imag", (Z,), {}), ("imag", (_REAL,), {}), ("angle", (Z,), {"deg": True}),
])  # fmt: skip
def test_complex_numbers(name: str, args: tuple, keywords: dict[str, Any]) -> None:
    want = getattr(numpy, name)(*args, **keywords)
    given = [tnp.asarray(one) for one in args]
    same(getattr(tnp, name)(*given, **keywords), want, name, rtol=1e-13)


@pytest.mark.parametrize("order", [None, 1, -1, numpy.inf, -numpy.inf, 2, "fro", "nuc"])
def test_norms_of_complex_numbers(order: Any) -> None:
    same(tnp.linalg.norm(tnp.asarray(Z), order), numpy.linalg.norm(Z, order), rtol=1e-13)
    if not isinstance(order, str):
        same(tnp.linalg.norm(tnp.asarray(Z[0]), order), numpy.linalg.norm(Z[0], order), rtol=1e-13)


def test_insert_at_unsorted_positions() -> None:
    check("insert", [1, 2, 3], [-1, 1, 3], [7, 8, 9])
    check("insert", [1, 2, 3], numpy.asarray([1.0, 2.0]), [7, 8])
    check("insert", [1, 2, 3], numpy.asarray([], float), [])
    check("insert", [1, 2, 3], [], [])


@pytest.mark.parametrize("bounds", [(-(2**70), 3), (1, 2**70), (-(2**70), None), (-1, 300)])
def test_clip_with_bounds_that_the_dtype_does_not_hold(bounds: tuple) -> None:
    check("clip", numpy.arange(8, dtype=numpy.uint8), *bounds)
    check("clip", numpy.arange(-4, 4), *bounds)


@pytest.mark.parametrize("kind", ["quick", "merge", "heap", "Stab", "x"])
def test_sort_kinds_by_their_first_letter(kind: str) -> None:
    check("sort", numpy.asarray([3, 1, 2]), kind=kind)
    check("argsort", numpy.asarray([3, 1, 2]), kind=kind)


@pytest.mark.parametrize("name", ["fft", "ifft", "fftn", "ifft2", "hfft", "ihfft", "rfft", "irfft", "rfftn", "irfftn"])
def test_fft_into_an_array(name: str) -> None:
    x = _REAL[0] if name in ("rfft", "rfftn", "ihfft") else Z
    want = getattr(numpy.fft, name)(x)
    for out in (tnp.empty(want.shape, dtype=want.dtype), numpy.empty(want.shape, want.dtype)):
        assert getattr(tnp.fft, name)(tnp.asarray(x), out=out) is out
        numpy.testing.assert_allclose(numpy.asarray(out), want, rtol=1e-12)
    with pytest.raises(ValueError, match="shape"):
        getattr(tnp.fft, name)(tnp.asarray(x), out=tnp.empty((1,), dtype=want.dtype))


def test_products_into_an_operand() -> None:
    a = numpy.arange(9.0).reshape(3, 3)
    for name in ("matmul", "vecmat"):
        left, right = (a, a + 1) if name == "matmul" else (a[0], a + 1)
        want = getattr(numpy, name)(left, right)
        mine, other = tnp.asarray(left.copy()), tnp.asarray(right.copy())
        same(getattr(tnp, name)(mine, other, out=mine), want)
        same(getattr(tnp, name)(tnp.asarray(left), other, out=other[0] if name == "vecmat" else other), want)


@pytest.mark.parametrize("keywords", [{"out": "text"}, {"order": "W"}, {"casting": "odd"}])
def test_einsum_refuses_arguments(keywords: dict[str, Any]) -> None:
    a = numpy.eye(2)
    same_error(lambda: tnp.einsum("ij->i", a, **keywords), lambda: numpy.einsum("ij->i", a, **keywords))


def test_einsum_refuses_axes_that_have_no_letter() -> None:
    for axis in (52, -1):
        same_error(lambda axis=axis: tnp.einsum(numpy.eye(2), [0, axis]),
                   lambda axis=axis: numpy.einsum(numpy.eye(2), [0, axis]))  # fmt: skip


def test_complex_numbers_are_compared_with_integers() -> None:
    same(tnp.asarray(Z) == 1, Z == 1)
    same(tnp.equal(tnp.asarray([1 + 0j, 2j]), 1), numpy.asarray([True, False]))


def test_axes_may_be_a_range() -> None:
    check("moveaxis", _REAL, range(2), range(1, 3))


def test_the_runner_counts_what_it_calls() -> None:
    translate = numpy_suite.translation(tensors=False)
    proxy, before = translate(numpy), len(numpy_suite.RECORDER.calls)
    assert proxy.add(numpy.ones(2), 1).tolist() == [2, 2] and proxy.sort is translate(numpy.sort)
    assert proxy.concatenate([numpy.asarray(["a"]), numpy.asarray(["b"])]).tolist() == ["a", "b"]
    assert numpy_suite.RECORDER.calls[before:] == ["add"]
    out = numpy.zeros(2)
    assert proxy.exp(numpy.zeros(2), out=out) is out and out.tolist() == [1, 1]
    assert isinstance(proxy.sum(numpy.ones(3)), numpy.float64) and proxy.zeros(()).shape == ()


@pytest.mark.parametrize("other", [numpy.nan + 1j, complex(1, numpy.nan), 2])
def test_array_equal_of_complex_numbers(other: complex) -> None:
    check("array_equal", numpy.asarray([1j, numpy.nan]), numpy.asarray([1j, other]), equal_nan=True)


def test_what_follows_a_sum_over_nothing_is_computed() -> None:
    empty, three = numpy.zeros(0), numpy.asarray(3.0)
    for subscripts, other in (("i,->", three), ("i,j->", numpy.ones(3)), ("i,i->", empty), ("i,j->j", numpy.ones(3))):
        check("einsum", subscripts, empty, other)

    @trueno.kernel
    def scaled(x: Any, y: Any) -> Any:
        return x.sum() * y + y

    @trueno.kernel
    def product(x: Any, y: Any) -> Any:
        return y * trueno.prod(x, axis=0)

    x, y = tnp.zeros((0,)), tnp.asarray(3.0)
    assert scaled(x, y).item() == 3 and product(x, y).item() == 3 and scaled(tnp.ones(4), y).item() == 15
    assert product(tnp.zeros((0, 2)), tnp.asarray([4.0, 5.0])).tolist() == [4, 5]


@pytest.mark.parametrize("shape", [None, (3, 4, 5), (3, 4)])
def test_arrays_like_others_keep_the_order_of_axes(shape: tuple | None) -> None:
    memory = numpy.zeros((4, 6, 8))
    for other in (memory, memory.T, memory.swapaxes(0, 1), memory[::2, ::2, ::2].T, memory[::2, ::2, ::2]):
        want = numpy.zeros_like(other, shape=shape)
        assert tnp.zeros_like(tnp.asarray(other), shape=shape).strides == want.strides


def test_choices_take_python_numbers_by_kind() -> None:
    for choices in ([numpy.float32(1), 1.0], [numpy.arange(3, dtype=numpy.int8), 2], [1, 2.0]):
        check("choose", numpy.asarray([1, 0, 1]), choices)


def test_arguments_that_are_scalars_empty_or_missing() -> None:
    check("astype", numpy.int64(10), numpy.float64)
    check("can_cast", None, "i4")
    check("can_cast", "i4", None)
    same(tnp.add.reduceat(tnp.arange(3.0), []), numpy.add.reduceat(numpy.arange(3.0), []))


def test_signs_of_complex_infinities() -> None:
    inf = numpy.inf
    z = numpy.asarray([inf, complex(0, -inf), complex(inf, 1), complex(inf, inf), numpy.nan, 3 + 4j, 0])
    with numpy.errstate(invalid="ignore"):
        same(tnp.sign(tnp.asarray(z)), numpy.sign(z))
