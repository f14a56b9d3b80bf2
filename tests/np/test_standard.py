"""The namespace is the array API standard's: names, parameters, defaults, results, promotion, errors."""

from __future__ import annotations

import gc
import inspect
import itertools
from types import ModuleType
from typing import Any

import numpy
import pytest

import trueno.np as tnp
from tests.np import standard
from tests.np.standard_calls import CALLS, arrays
from trueno import Tensor
from trueno.runtime import launcher

SIGNATURES = dict(standard.functions())


@pytest.fixture
def reference() -> Any:
    """The namespace that has nothing but the standard, where it is installed."""
    return pytest.importorskip("array_api_strict")


def find(xp: ModuleType, name: str) -> Any:
    """Return what a dotted name stands for."""
    found: Any = xp
    for part in name.split("."):
        found = getattr(found, part)
    return found


def names(value: Any) -> Any:
    """Return a result with its dtypes by name, for values that are no arrays."""
    return (
        str(value).rpartition(".")[2]
        if type(value).__name__ in ("DType", "dtype") or "DType" in repr(type(value))
        else value
    )


def same(got: Any, want: Any, what: str) -> None:
    """Assert that a result is the reference's: arrays by dtype, shape and value."""
    if isinstance(want, (tuple, list)):
        assert isinstance(got, tuple) == isinstance(want, tuple) and len(got) == len(want), what
        for one, other in zip(got, want, strict=True):
            same(one, other, what)
    elif hasattr(want, "__array_namespace__"):
        assert isinstance(got, Tensor), f"{what}: {type(got)}"
        assert str(got.dtype) == names(want.dtype), f"{what}: {got.dtype}, the reference has {want.dtype}"
        assert got.shape == want.shape, f"{what}: shape {got.shape}, the reference has {want.shape}"
        single = str(got.dtype) in ("float32", "complex64")
        numpy.testing.assert_allclose(
            numpy.asarray(got), numpy.from_dlpack(want), rtol=1e-5 if single else 1e-10, atol=1e-6 if single else 1e-12,
            err_msg=what,
        )  # fmt: skip
    else:
        assert names(got) == names(want), what


def test_constants_and_dtypes() -> None:
    assert [getattr(tnp, name) for name in standard.CONSTANTS] == pytest.approx(
        [numpy.e, numpy.inf, numpy.nan, None, numpy.pi], nan_ok=True
    )
    for name in standard.DTYPES:
        assert tnp.zeros(1, dtype=getattr(tnp, name)).dtype == getattr(tnp, name)
    assert tnp.__array_api_version__ == "2025.12"


def test_the_data_covers_the_reference(reference: Any) -> None:
    for prefix, space in (("", reference), ("linalg.", reference.linalg), ("fft.", reference.fft)):
        public = {prefix + name for name in space.__all__ if inspect.isfunction(getattr(space, name))}
        assert not {one for one in public if "strict" not in one and "__" not in one} - SIGNATURES.keys()
    assert set(standard.NEW) < SIGNATURES.keys()
    elementwise = {*standard.UNARY, *standard.BINARY}
    assert SIGNATURES.keys() - elementwise - {"finfo", "iinfo"} == CALLS.keys()


@pytest.mark.parametrize("name", SIGNATURES)
def test_parameters(name: str) -> None:
    wanted, found = SIGNATURES[name].parameters.values(), find(tnp, name)
    if isinstance(found, type(tnp.add)) and name in {*standard.UNARY, *standard.BINARY}:
        assert found.nin == len(wanted) and found.nout == 1
        return
    positional = [one for one in wanted if one.kind is one.POSITIONAL_ONLY or one.kind is one.VAR_POSITIONAL]
    keywords = {one.name: None for one in wanted if one not in positional}
    ours = inspect.signature(found)
    ours.bind(*(None for _ in positional), **keywords)
    required = [one for one in wanted if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
    ours.bind(
        *(None for one in required if one in positional), **{k.name: None for k in required if k not in positional}
    )


@pytest.mark.parametrize("name", CALLS)
def test_calls_give_the_reference_s_results(name: str, reference: Any) -> None:
    theirs, ours = arrays(reference), arrays(tnp)
    for call in CALLS[name]:
        same(eval(call, ours), eval(call, theirs), call)


def _end(call: str, start: int) -> int:
    """Return where the parenthesis closes that was opened before `start`."""
    depth = 1
    for place in range(start, len(call)):
        depth += (call[place] in "([") - (call[place] in ")]")
        if not depth:
            return place
    raise ValueError(call)


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith(("unique", "linalg.eig"))])
def test_defaults(name: str) -> None:
    scope = arrays(tnp)
    call = CALLS[name][0]
    plain = eval(call, scope)
    for one in SIGNATURES[name].parameters.values():
        if one.default is one.empty or f"{one.name}=" in call or one.kind is one.POSITIONAL_ONLY:
            continue
        # The argument goes into the call of the function itself, which others may surround.
        start = call.index(f"{name}(") + len(name) + 1
        with_default = eval(f"{call[:start]}{call[start:_end(call, start)]}, {one.name}={one.default!r}"
                            f"{call[_end(call, start):]}", scope)  # fmt: skip
        first, second = (value if isinstance(value, (tuple, list)) else (value,) for value in (plain, with_default))
        for a, b in zip(first, second, strict=True):
            if isinstance(a, Tensor):
                assert a.dtype == b.dtype
                numpy.testing.assert_array_equal(numpy.asarray(a), numpy.asarray(b), err_msg=one.name)
            else:
                assert a == b


@pytest.mark.parametrize("name", standard.NAMED)
def test_results_with_named_parts(name: str) -> None:
    made = find(tnp, name)(tnp.asarray([[4.0, 1.0], [1.0, 3.0]]))
    assert isinstance(made, tuple) and tuple(made._fields) == standard.NAMED[name]


# --- elementwise functions --------------------------------------------------------------------------------------------


def values(dtype: str) -> numpy.ndarray:
    given = numpy.asarray([1, 0, 1, 1]) if dtype == "bool" else numpy.asarray([1, 2, 3, 1])
    return given.astype(dtype)


def components(dtype: str) -> str:
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


@pytest.mark.parametrize("name", standard.UNARY)
def test_dtypes_of_unary_functions(name: str) -> None:
    dtypes, result = standard.UNARY[name]
    for dtype in dtypes:
        got = getattr(tnp, name)(tnp.asarray(values(dtype)))
        assert str(got.dtype) == {"same": dtype, "bool": "bool", "real": components(dtype)}[result], dtype
        assert got.shape == (4,)


@pytest.mark.parametrize("name", standard.BINARY)
def test_dtypes_of_binary_functions(name: str) -> None:
    dtypes, result = standard.BINARY[name]
    # Neighbours in the list promote within a kind and across; all pairs are tested with two functions below.
    pairs = [(one, one) for one in dtypes] + [*itertools.pairwise(dtypes)] + [*zip(dtypes, dtypes[2:], strict=False)]
    for first, second in pairs:
        dtype = standard.promoted(first, second)
        if dtype is not None:
            got = getattr(tnp, name)(tnp.asarray(values(first)), tnp.asarray(values(second)))
            assert str(got.dtype) == ("bool" if result == "bool" else dtype), (first, second)


def test_promotion_of_all_pairs() -> None:
    for first, second in itertools.product(standard.DTYPES, repeat=2):
        dtype = standard.promoted(first, second)
        if dtype is None:
            continue
        a, b = tnp.asarray(values(first)), tnp.asarray(values(second))
        assert str(tnp.result_type(a, b)) == str(tnp.result_type(a.dtype, b.dtype)) == dtype, (first, second)
        assert str(tnp.where(tnp.asarray([True, False, True, False]), a, b).dtype) == dtype, (first, second)
        assert (a == b).dtype == tnp.bool
        if dtype != "bool":
            assert str((a + b).dtype) == str(tnp.multiply(a, b).dtype) == dtype, (first, second)


@pytest.mark.parametrize("dtype", standard.DTYPES)
def test_python_scalars_take_part_by_kind(dtype: str) -> None:
    x = tnp.asarray(values(dtype))
    if dtype == "bool":
        assert tnp.logical_and(x, True).dtype == tnp.logical_or(False, x).dtype == tnp.equal(x, True).dtype == tnp.bool
        return
    assert str(tnp.add(x, 1).dtype) == str(tnp.multiply(2, x).dtype) == str(tnp.where(x == 1, x, 2).dtype) == dtype
    if dtype in standard.REAL_FLOATING + standard.COMPLEX:
        assert str((x + 1.5).dtype) == str(tnp.pow(2.0, x).dtype) == dtype
    if dtype in standard.REAL_FLOATING:
        assert components(str((x * 1j).dtype)) == dtype and str((x * 1j).dtype) in standard.COMPLEX
        assert str(tnp.maximum(x, 1).dtype) == str(tnp.atan2(1.0, x).dtype) == dtype
    if dtype in standard.KINDS["integral"]:
        assert str(tnp.bitwise_and(x, 1).dtype) == str(tnp.clip(x, 1, 2).dtype) == dtype


def scalar(text: str) -> Any:
    """Return the number that a text of the data names."""
    return eval(text, {"nan": numpy.nan, "inf": numpy.inf, "pi": numpy.pi})


def alike(got: complex, want: complex, dtype: str) -> bool:
    """Return whether two numbers are equal, NaN to NaN, zeros by sign."""
    if isinstance(want, complex) and not isinstance(want, float):
        return alike(got.real, want.real, dtype) and alike(got.imag, want.imag, dtype)
    if numpy.isnan(want):
        return bool(numpy.isnan(got))
    close = got == want or abs(got - want) <= (1e-6 if "64" not in dtype or dtype == "complex64" else 1e-14) * abs(want)
    return bool(close and numpy.signbit(got) == numpy.signbit(want))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype: str) -> None:
    wrong = []
    for name, cases in standard.special(standard.SPECIAL):
        operands = [numpy.asarray(column, dtype) for column in
                    zip(*([scalar(one) for one in given] for given, _ in cases), strict=True)]  # fmt: skip
        got = numpy.asarray(getattr(tnp, name)(*map(tnp.asarray, operands)))
        wrong += [f"{name}{given}: {one}, not {want}" for (given, want), one in zip(cases, got, strict=True)
                  if not alike(one, scalar(want), dtype)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_special_values_of_complex_numbers(dtype: str) -> None:
    wrong = []
    for name, cases in standard.special(standard.COMPLEX_SPECIAL):
        operand = numpy.asarray([scalar(given[0]) for given, _ in cases], dtype)
        got = numpy.asarray(getattr(tnp, name)(tnp.asarray(operand)))
        wrong += [f"{name}{given}: {one}, not {want}" for (given, want), one in zip(cases, got, strict=True)
                  if not alike(one, (complex if got.dtype.kind == "c" else float)(scalar(want)), dtype)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


#: Functions of complex numbers in which NumPy differs from the standard's special values (expm1), or that the standard
#: leaves open for numbers that are not finite.
OPEN = {"expm1", "reciprocal", "sign"}


@pytest.mark.parametrize(
    "name", [name for name, (dtypes, _) in standard.UNARY.items() if "complex64" in dtypes and name not in OPEN]
)
def test_special_complex_numbers_are_numpys(name: str) -> None:
    parts = [0.0, -0.0, 1.0, -1.0, numpy.inf, -numpy.inf, numpy.nan]
    operand = numpy.asarray([complex(re, im) for re in parts for im in parts])
    with numpy.errstate(all="ignore"):
        want = getattr(numpy, name)(operand)
    got = numpy.asarray(getattr(tnp, name)(tnp.asarray(operand)))
    assert got.dtype == want.dtype
    for part, other in (("real", "imag"), ("imag", "real")) if want.dtype.kind == "c" else (("real", "real"),):
        mine, theirs = getattr(got, part), getattr(want, part)
        # The sign of an infinity beside NaN is left open.
        loose = numpy.isinf(theirs) & numpy.isnan(getattr(want, other))
        mine, theirs = numpy.where(loose, numpy.abs(mine), mine), numpy.where(loose, numpy.abs(theirs), theirs)
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-14, err_msg=str(operand))


def shared(first: Tensor, second: Tensor) -> bool:
    return numpy.shares_memory(numpy.asarray(first), numpy.asarray(second))


# --- the array object, inspection, devices, copies --------------------------------------------------------------------


@pytest.mark.parametrize("name", standard.ATTRIBUTES + standard.METHODS)
def test_members_of_arrays(name: str) -> None:
    assert hasattr(tnp.ones((2, 2)), name)


def test_operators_of_python_scalars_and_arrays() -> None:
    x, i = tnp.asarray([1.0, 2.0]), tnp.asarray([6, 3])
    assert [(2 - x).tolist(), (2 / x).tolist(), (2**x).tolist(), (7 % i).tolist()] == [[1, 0], [2, 1], [2, 4], [1, 1]]
    assert [(7 // i).tolist(), (1 << i).tolist(), (5 & i).tolist(), (~i).tolist()] == [
        [1, 2],
        [64, 8],
        [4, 1],
        [-7, -4],
    ]
    square = tnp.eye(2)
    same_one = square
    square @= tnp.asarray([[0.0, 1.0], [2.0, 0.0]])
    assert square is same_one and square.tolist() == [[0, 1], [2, 0]]
    i <<= 1
    i |= 1
    assert i.tolist() == [13, 7]


def test_conversions_of_arrays_without_axes() -> None:
    assert (int(tnp.asarray(3)), float(tnp.asarray(2)), bool(tnp.asarray(0.0)), complex(tnp.asarray(1.5))) == (
        3,
        2.0,
        False,
        1.5,
    )
    assert [10, 20][tnp.asarray(1)] == 20
    with pytest.raises((TypeError, ValueError)):
        float(tnp.asarray([1.0, 2.0]))
    with pytest.raises(TypeError):
        range(tnp.asarray(1.0))  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        int(tnp.asarray(1j))


@pytest.mark.parametrize("version", ["2021.12", "2022.12", "2023.12", "2024.12", "2025.12", None])
def test_array_namespace(version: str | None) -> None:
    assert tnp.ones(1).__array_namespace__(api_version=version) is tnp
    with pytest.raises(ValueError, match=r"1999\.12"):
        tnp.ones(1).__array_namespace__(api_version="1999.12")


def test_inspection() -> None:
    info = tnp.__array_namespace_info__()
    assert all(callable(getattr(info, name)) for name in standard.INSPECTION)
    assert {"boolean indexing", "data-dependent shapes", "max dimensions"} <= info.capabilities().keys()
    assert {str(value) for value in info.default_dtypes().values()} == {"float64", "complex128", "int64"}
    assert info.default_device() in info.devices()
    assert set(info.dtypes()) == set(standard.DTYPES)
    for kind, dtypes in standard.KINDS.items():
        assert tuple(sorted(info.dtypes(kind=kind))) == tuple(sorted(dtypes))
        assert info.dtypes(kind=(kind, "bool")).keys() == {*dtypes, "bool"}
        for dtype in standard.DTYPES:
            assert tnp.isdtype(getattr(tnp, dtype), kind) == (dtype in dtypes)
    with pytest.raises(ValueError, match="nonsense"):
        info.dtypes(kind="nonsense")


def test_limits() -> None:
    for dtype in standard.REAL_FLOATING + standard.COMPLEX:
        found = tnp.finfo(getattr(tnp, dtype))
        assert str(found.dtype) == components(dtype)
        for field in ("eps", "max", "min", "smallest_normal"):
            assert isinstance(getattr(found, field), float) or numpy.isscalar(getattr(found, field))
    for dtype in standard.KINDS["integral"]:
        assert (tnp.iinfo(dtype).bits, tnp.iinfo(dtype).max) == (numpy.iinfo(dtype).bits, numpy.iinfo(dtype).max)
    assert tnp.finfo(tnp.ones(1)).bits == 64 and tnp.iinfo(tnp.asarray([1])).bits == 64


def test_device_keyword() -> None:
    x = tnp.ones((2, 2))
    device = x.device
    made = [
        tnp.asarray([1.0], device=device), tnp.arange(3, device=device), tnp.empty(2, device=device),
        tnp.empty_like(x, device=device), tnp.eye(2, device=device), tnp.full(2, 1.0, device=device),
        tnp.full_like(x, 1, device=device), tnp.linspace(0, 1, 3, device=device), tnp.ones(2, device=device),
        tnp.ones_like(x, device=device), tnp.zeros(2, device=device), tnp.zeros_like(x, device=device),
        tnp.astype(x, tnp.float32, device=device), tnp.fft.fftfreq(3, device=device),
        tnp.fft.rfftfreq(3, device=device), x.to_device(device), tnp.from_dlpack(x, device=device),
    ]  # fmt: skip
    assert all(one.device == device for one in made)
    with pytest.raises((ValueError, RuntimeError), match="nowhere"):
        tnp.ones(2, device="nowhere")
    with pytest.raises(ValueError, match="stream"):
        x.to_device(device, stream=1)


def test_copy_keyword() -> None:
    x = tnp.asarray([[1.0, 2.0], [3.0, 4.0]])
    assert tnp.asarray(x, copy=False) is x or shared(tnp.asarray(x, copy=False), x)
    assert not shared(tnp.asarray(x, copy=True), x)
    assert not shared(tnp.reshape(x, (4,), copy=True), x)
    assert shared(tnp.reshape(x, (4,), copy=False), x)
    assert tnp.astype(x, tnp.float64, copy=False) is x
    assert not shared(tnp.astype(x, tnp.float64), x)
    assert not shared(tnp.from_dlpack(x, copy=True), x)
    assert shared(tnp.from_dlpack(x, copy=False), x)
    for refused in (lambda: tnp.asarray([1.0], copy=False), lambda: tnp.asarray(x, dtype=tnp.float32, copy=False),
                    lambda: tnp.reshape(x.T, (4,), copy=False)):  # fmt: skip
        with pytest.raises(ValueError, match="copy"):
            refused()


def test_isin_inverted() -> None:
    i = tnp.asarray([[1, 2], [3, 1]])
    assert tnp.isin(i, tnp.asarray([1, 5]), invert=True).tolist() == [[False, True], [True, False]]
    assert tnp.isin(2, i).item() and not tnp.isin(i, 7).any().item()


def test_nan_and_signed_zero_in_sets() -> None:
    x = tnp.asarray([numpy.nan, 0.0, -0.0, numpy.nan])
    found, _, inverse, counts = tnp.unique_all(x)
    assert found.shape == counts.shape == (3,) and counts.tolist() == [2, 1, 1] and inverse.shape == (4,)
    assert tnp.unique_values(x).shape == tnp.unique_counts(x).values.shape == tnp.unique_inverse(x).values.shape == (3,)


ERRORS = {
    ValueError: (
        "xp.reshape(x, (5, 5))", "xp.concat([x, v])", "xp.permute_dims(x, (0, 0))", "xp.squeeze(x, axis=0)",
        "xp.matmul(x, x)", "xp.broadcast_to(x, (2, 2))", "xp.broadcast_shapes((2,), (3,))",
        "xp.isdtype(xp.int8, 'odd')",
        "xp.result_type()", "xp.linalg.cross(v, v)", "xp.argmax(e)", "xp.max(e)",
        "xp.unstack(xp.asarray(1.))",
    ),
    IndexError: ("xp.sum(x, axis=2)", "xp.expand_dims(x, axis=7)", "xp.take(v, i + 100)"),
    TypeError: (
        "xp.bitwise_and(x, x)", "xp.add(x, 'a')", "xp.can_cast(1, xp.int8)", "xp.asarray([1, 2], dtype='odd')",
    ),
    numpy.linalg.LinAlgError: ("xp.linalg.inv(x)",),
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_errors(error: type[Exception]) -> None:
    scope = arrays(tnp)
    for call in ERRORS[error]:
        with pytest.raises(error):
            pytest.fail(f"{call} gives {eval(call, scope)}")


def test_stored_values_of_another_kind() -> None:
    i = tnp.asarray([1, 2, 3])
    i[0] = 7
    assert i.tolist() == [7, 2, 3]
    x = tnp.asarray([1.0, 2.0])
    x[tnp.asarray([True, False])] = tnp.asarray([5.0])
    assert x.tolist() == [5, 2] and shared(x, x[0:1])


@pytest.fixture
def no_collection() -> Any:
    """Functions of earlier tests that the collector frees take their counts with them."""
    gc.disable()
    yield
    gc.enable()


#: Operations whose operands' values decide whether a call is allowed: the launcher knows no such call.
BY_VALUE = {"getitem", "setitem", "gather"}


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("name", CALLS)
def test_the_launcher_knows_a_call_that_was_made_before(name: str) -> None:
    values = arrays(tnp)
    for text in CALLS[name]:
        eval(text, dict(values))
        eval(text, dict(values))
        before = launcher.statistics()
        eval(text, dict(values))
        after = launcher.statistics()
        missed = {op for op in after if op != "total" and after[op]["misses"] > before.get(op, after[op])["misses"]}
        # A function that makes views answers itself where it is told to copy.
        allowed = BY_VALUE | {"reshape"} if "copy=True" in text else BY_VALUE
        assert missed <= allowed, f"{text}: the slow path again, in {missed}"
