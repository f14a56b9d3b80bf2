"""What NumPy's own tests found (tools/numpy_suite.py): each case failed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

import trueno
import trueno.np as tnp
from tests.np.support import check, same, same_error
from tools import migration, numpy_suite
from tools.numpy_suite_scope import left_out
from trueno.np.absent import FEATURES

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


@pytest.mark.parametrize("call", [
    lambda n: n.reshape(n.zeros(3), (n.asarray([3]), -1)), lambda n: n.reshape(n.zeros(3), (True, -1)),
    lambda n: n.zeros((True, 2)), lambda n: n.take(n.zeros(3), [0], False),
    lambda n: n.sum(n.zeros(3), axis=False), lambda n: n.empty((3037000500, 3037000500), dtype="i1"),
    lambda n: n.zeros(2**62), lambda n: n.full(3, 1000, dtype="i1"),
    lambda n: n.full_like(n.zeros(3, dtype="i1"), 1000),
    lambda n: n.putmask(a=n.zeros(1), mask=[True], values=[1]), lambda n: n.arange(5, device="nowhere"),
    lambda n: n.dot(n.ones((2, 3)), n.ones(3), n.empty(2, dtype="f4")),
    lambda n: n.dot(n.ones((2, 3)), n.ones(3), n.empty((2, 2))[:, 0]),
    lambda n: n.add(1, 2, sig="ii->i", signature="ii->i"), lambda n: n.add(n.ones(3), 0.5, sig="i", casting="unsafe"),
    lambda n: n.add(1, 2, sig=(None,)), lambda n: n.add(n.float16(1), n.uint64(2), sig=("e", "d", None)),
    lambda n: n.partition(n.arange(3), 1, kind=1), lambda n: n.concatenate([[1], [2]], casting="same_value"),
    lambda n: n.add(3.0, 4.0, dtype=int, casting="safe"), lambda n: n.maximum.reduce([], initial=None),
])  # fmt: skip
def test_what_numpy_refuses(call: Any) -> None:
    same_error(lambda: call(tnp), lambda: call(numpy))


@pytest.mark.parametrize("call", [
    lambda n: n.concatenate([numpy.float32(1), 1.0], axis=None),
    lambda n: n.choose([0], (1000, numpy.ones(1, "u1"))), lambda n: n.choose(1, [numpy.float32(1), 1.0]),
    lambda n: n.add(numpy.arange(3) * 0.5, 0.5, sig="ii->i", casting="unsafe"),
    lambda n: n.power(1.5, 2.8, dtype=numpy.intp, casting="unsafe"),
    lambda n: n.add([3], [4], sig=(None, None, None)), lambda n: n.add(1, 2, out=...),
    lambda n: n.power(numpy.arange(4), 2, out=n.ones(4, dtype=int), where=[0, 1, 1, 0]),
    lambda n: n.sum(numpy.ones(3), initial=numpy._NoValue), lambda n: n.bitwise_count(-5),
    lambda n: n.bitwise_count(2**40), lambda n: n.sinc(numpy.arange(4, dtype="i2")),
    lambda n: n.sinc(numpy.asarray([True, False])), lambda n: n.power(numpy.asarray([1 + 1j]), -2),
    lambda n: n.pad(numpy.ones((8, 0, 2)), ((0, 0), (0, 0), (1, 1)), mode="maximum"),
    lambda n: n.isclose(numpy.float32(1), 1 - 1e-9, atol=0, rtol=0),
    lambda n: n.isclose(numpy.float32(1), numpy.float32(0), atol=numpy.float64(1 - 2e-16)),
    lambda n: n.linalg.qr(numpy.arange(6.0).reshape(3, 2), mode="raw"),
    lambda n: n.linalg.cond(numpy.stack([numpy.zeros((2, 2)), numpy.eye(2)])),
    lambda n: n.linalg.cond(numpy.zeros((2, 2)), -2), lambda n: n.ix_(n.asarray(numpy.zeros(0, "f4"))),
    lambda n: n.power(numpy.asarray([0j, 0j, 0j, 2j]), numpy.asarray([-1.5, 1j, 0, -1])),
])  # fmt: skip
def test_what_numpy_accepts(call: Any) -> None:
    with numpy.errstate(all="ignore"):
        same(call(tnp), call(numpy), rtol=1e-14)


@pytest.mark.parametrize("compare", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_signed_and_unsigned_integers_are_compared_exactly(compare: str) -> None:
    signed = numpy.asarray([2**60, -5, 2**60 + 1, 2**62])
    unsigned = numpy.asarray([2**60 + 1, 3, 2**60, 2**64 - 1], "u8")
    for one in (signed, numpy.asarray([-1, 3, 7, 0], "i1")):
        check(compare, one, unsigned)
        check(compare, unsigned, one)


def test_memoryviews_are_shared() -> None:
    memory = numpy.arange(6)
    for x in (tnp.asarray(memoryview(memory)), tnp.array(memoryview(memory[::2]), copy=False)):
        assert numpy.shares_memory(numpy.asarray(x), memory)
    assert not numpy.shares_memory(numpy.asarray(tnp.array(memoryview(memory))), memory)


def test_an_array_in_the_order_asked_for_needs_no_copy() -> None:
    for x in (tnp.arange(3), tnp.asarray(numpy.ones((3, 4), order="F"))):
        assert tnp.array(x, copy=False, order="F").data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match="copy"):
        tnp.array(tnp.ones((3, 4)), copy=False, order="F")


def test_strides_of_axes_without_extent_do_not_matter() -> None:
    memory = numpy.lib.stride_tricks.as_strided(numpy.arange(8), (2, 1, 4), (32, 123, 8))
    assert tnp.shares_memory(tnp.asarray(memory), memory)
    same(tnp.asarray(memory) + 1, memory + 1)


def test_members_of_npz_files(tmp_path: Path) -> None:
    tnp.savez(tmp_path / "two.npz", x=tnp.ones(2), y=tnp.arange(3))
    with tnp.load(tmp_path / "two.npz") as found, numpy.load(tmp_path / "two.npz") as theirs:
        assert repr(found) == repr(theirs) and dir(found.f) == ["x", "y"] and found.f.y.tolist() == [0, 1, 2]
        assert found.fid.name == theirs.fid.name and found.zip.namelist() == theirs.zip.namelist()
        with pytest.raises(AttributeError, match="z"):
            found.f.z


def test_quantiles_fill_arrays() -> None:
    x, out = numpy.arange(12.0).reshape(3, 4), tnp.zeros((3, 4))
    assert tnp.percentile(tnp.asarray(x), 50, axis=0, out=out) is out and out.tolist() == [[4.0, 5, 6, 7]] * 3
    check("percentile", x, 50, out=numpy.zeros(1))
    check("percentile", x, [40, 50], out=numpy.zeros(1))


def test_zeros_are_trimmed_off_lists() -> None:
    assert tnp.trim_zeros([0, 1, 0]) == [1] and tnp.trim_zeros((0, 0, 2), "f") == (2,)


def test_kinds_of_what_has_a_dtype_alone() -> None:
    class Typed:
        dtype = numpy.dtype(complex)

    class Listed(list):
        dtype = complex

    assert tnp.iscomplexobj(Typed()) and not tnp.isrealobj(Typed())
    assert tnp.iscomplexobj(Listed([1j])) and not tnp.iscomplexobj(Listed([1]))


def test_lists_beside_arrays_lose_nothing() -> None:
    tenth, whole = numpy.asarray([0.1]), numpy.arange(3)
    x = tnp.asarray(tenth)
    same(tnp.equal(x, [0.1]), numpy.asarray([True]))
    for call in (lambda a: a == [0.1], lambda a: a - [0.1], lambda a: (0.1,) - a, lambda a: a * [0.1j]):
        same(call(x), call(tenth), exact=True)
    same(tnp.asarray(whole) * [0.1, 0.2, 0.3], whole * [0.1, 0.2, 0.3], exact=True)
    big = numpy.asarray([3, 2**63 + 4096], "u8")
    same(tnp.asarray(big) == big.tolist(), big == big.tolist())
    assert (trueno.ones(2) * [0.1, 0.2]).dtype == trueno.float32
    check("choose", numpy.asarray([0, 1]), [numpy.ones(2), numpy.zeros(2)], out=numpy.zeros(2, "i4"))


def test_the_page_counts_what_is_applicable() -> None:
    results = {
        "lib/tests/test_io.py::test_a": ("passed", "", ("load",)),
        "lib/tests/test_io.py::test_b": ("uncovered", "", ()),
        "lib/tests/test_io.py::test_c": ("failed", "ValueError", ("load",)),
        "fft/tests/test_helper.py::test_d": ("left out", "dtypes", ("fft",)),
    }  # fmt: skip
    page = numpy_suite.page(results)
    assert "| lib/io | 1 | 2 | 50.00% | 0 |" in page and "| fft/helper | 0 | 0 | - | 1 |" in page
    assert "| **in all** | 1 | 2 | 50.00% | 1 |" in page and "`lib/tests/test_io.py::test_c`" in page
    assert f"| dtypes: {FEATURES['dtypes']} | 1 |" in page


def test_what_is_left_out_is_documented() -> None:
    assert left_out("_core/tests/test_x.py::test_y", "Failed: DID NOT WARN. No warnings") == "warnings"
    assert left_out("_core/tests/test_multiarray.py::TestSizeOf::test_view", "AssertionError: ") == "owners of memory"
    assert left_out("_core/tests/test_umath.py::TestPower::test_integers", "AssertionError: ") is None
    documented = migration.PATH.read_text()
    assert all(f"- *{title}*: {sentence}." in documented for title, sentence in FEATURES.items())


@pytest.mark.parametrize("dtype", ["c8", "c16", "f8"])
def test_decompositions_of_hermitian_matrices(dtype: str) -> None:
    z = Z[:, :3].astype(dtype) if dtype[0] == "c" else _REAL[0, :, :3]
    a = z + z.conj().T
    rtol = 1e-5 if dtype == "c8" else 1e-12
    u, s, vh = map(numpy.asarray, tnp.linalg.svd(tnp.asarray(a), hermitian=True))
    numpy.testing.assert_allclose((u * s) @ vh, a, rtol=rtol, atol=rtol)
    for triangle, part in (("L", numpy.tril(a)), ("U", numpy.triu(a))):
        values, vectors = map(numpy.asarray, tnp.linalg.eigh(tnp.asarray(part), triangle))
        numpy.testing.assert_allclose(vectors * values @ vectors.conj().T, a, rtol=rtol, atol=rtol)
