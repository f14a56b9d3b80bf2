"""The expansions against NumPy's long double functions, over all exponents and at the edges of their ranges."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

import trueno.ir.libm
import trueno.ir.transcendental  # noqa: F401
from benchmarks.ulp import errors, stratified
from trueno.ir import build, expand
from trueno.ir.expand import angles, trigonometry
from trueno.ir.interp import evaluate
from trueno.ir.node import Kernel, Node, recording, topological

#: The C library's, in float64.
ERF, ERFC = np.vectorize(math.erf, otypes=[np.float64]), np.vectorize(math.erfc, otypes=[np.float64])
#: The greatest error of each function in units in the last place: float32, and float64 where the expansion covers it.
UNARY: dict[str, tuple[Callable, float, float | None]] = {
    "exp": (np.exp, 0.9, 1.0),
    "exp2": (np.exp2, 0.9, 1.0),
    "expm1": (np.expm1, 1.0, 1.5),
    "log": (np.log, 0.9, 1.1),
    "log2": (np.log2, 1.0, 1.3),
    "log10": (np.log10, 0.9, 1.3),
    "log1p": (np.log1p, 0.9, 1.0),
    "sin": (np.sin, 0.85, 1.0),
    "cos": (np.cos, 0.85, 1.0),
    "tan": (np.tan, 1.0, 1.9),
    "sinh": (np.sinh, 0.95, 2.0),
    "cosh": (np.cosh, 0.8, 1.5),
    "tanh": (np.tanh, 1.0, 1.1),
    "asin": (np.arcsin, 0.7, 1.5),
    "acos": (np.arccos, 0.7, 1.5),
    "atan": (np.arctan, 0.8, 1.5),
    "asinh": (np.arcsinh, 0.9, 2.0),
    "acosh": (np.arccosh, 0.9, 1.5),
    "atanh": (np.arctanh, 0.9, 1.5),
    "erf": (ERF, 1.0, 2.0),
    "erfc": (ERFC, 0.9, 5.0),
    "cbrt": (np.cbrt, 0.6, 0.6),
}
BINARY: dict[str, tuple[Callable, float, float | None]] = {
    "pow": (np.power, 0.8, 0.8), "atan2": (np.arctan2, 1.0, 2.0), "hypot": (np.hypot, 0.6, 1.1),
}  # fmt: skip
#: Where the polynomials, clamps and selects of the functions change over.
EDGES = (
    0.5, 0.7, 0.75, 0.9, 1.0, 2.0, 2.0**30, 2.0**-100,
    3.95, 4.0, 9.0, 10.0, 10.2, 16.6, 17.0, 22.0, 26.6, 36.7, 40.0, 87.33, 88.0, 88.38, 88.72284, 89.0,
    89.5, 103.28, 103.98, 104.0, 126.0, 127.0, 128.0, 129.0, 149.5, 150.0, 151.0, 708.4, 709.79, 710.4758, 744.5,
    745.14, 1022.0, 1024.0, 1074.5, 1076.0, 2.0**-12, 2.0**-13, 2.0**-24, 2.0**-25, 2.0**-53, 2.0**-54, 2.0**24,
    0.3465736, 0.7071068, 1.4142135, np.pi / 4, np.pi / 2, np.pi, 1.0000001, 0.99999994,
)  # fmt: skip
SPECIAL = (0.0, 1.0, 2.0, 3.0, 0.5, 1.5, np.inf, np.nan, 1e-45, 3.4028235e38, 16777215.0, 16777216.0, 2.5, 1e-20)


#: Float64 angles above this are reduced in another way.
FAR = trigonometry._FORMATS[np.dtype(np.float64)].far


def inputs(dtype: type, count: int) -> np.ndarray:
    """Return `count` random numbers in each binade of both signs, the neighbourhood of every edge, and dense ranges."""
    rng = np.random.default_rng(3)
    around = np.array(EDGES, dtype)
    whole = np.dtype(f"u{around.itemsize}")
    steps = np.arange(-8, 9).astype(whole)
    near = (around.view(whole)[:, None] + steps).ravel().view(dtype)
    dense = rng.uniform(-8, 8, 20_000).astype(dtype)
    return np.concatenate([stratified(dtype, count), near, -near, dense, dense * dtype(0.1), dense * dtype(100)])


def call(expansion: Callable[..., Node], *operands: np.ndarray) -> np.ndarray:
    """Run an expansion through the interpreter."""
    with recording():
        inputs = tuple(build.array(k, x.dtype, x.shape) for k, x in enumerate(operands))
        kernel = Kernel("expansion", inputs, (expansion(*inputs),))
    with np.errstate(all="ignore"):
        return evaluate(kernel, *operands)[0]


def check(name: str, bound: float, reference: Callable, *operands: np.ndarray) -> None:
    got = call(getattr(expand, name), *operands)
    wide = np.float64 if reference in (ERF, ERFC) else np.longdouble
    with np.errstate(all="ignore"):
        error = errors(got, reference(*(x.astype(wide) for x in operands)))
    worst = int(np.argmax(error))
    at = ", ".join(repr(x[worst]) for x in operands)
    assert error[worst] <= bound, f"{name}({at}) = {got[worst]!r} is off by {error[worst]:.4f} ulp"


@pytest.mark.parametrize("name", UNARY)
def test_float32_is_accurate_over_all_exponents(name: str) -> None:
    reference, bound, _ = UNARY[name]
    check(name, bound, reference, inputs(np.float32, 120))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a long double wider than float64")
@pytest.mark.parametrize("name", [name for name, (_, _, bound) in UNARY.items() if bound])
def test_float64_is_accurate_over_all_exponents(name: str) -> None:
    reference, _, bound = UNARY[name]
    assert bound is not None
    check(name, bound, reference, inputs(np.float64, 8))


@pytest.mark.parametrize("name", BINARY)
def test_float32_of_two_operands_is_accurate(name: str) -> None:
    reference, bound, _ = BINARY[name]
    rng = np.random.default_rng(5)
    values = np.array(SPECIAL, np.float32)
    values = np.concatenate([values, -values])
    first, second = (grid.ravel() for grid in np.meshgrid(values, values))
    spread = inputs(np.float32, 20)
    base = (2.0 ** rng.uniform(-60, 60, 40_000)).astype(np.float32)
    power = (rng.uniform(-150, 129, base.size) / np.log2(base)).astype(np.float32)
    whole = rng.integers(-40, 40, 20_000).astype(np.float32)
    a = np.concatenate([first, rng.permutation(spread), base, -base[:20_000]])
    b = np.concatenate([second, rng.permutation(spread), power, whole])
    check(name, bound, reference, a, b)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a long double wider than float64")
@pytest.mark.parametrize("name", [name for name, (_, _, bound) in BINARY.items() if bound])
def test_float64_of_two_operands_is_accurate(name: str) -> None:
    reference, _, bound = BINARY[name]
    assert bound is not None
    rng = np.random.default_rng(7)
    values = np.array([*SPECIAL, 5e-324, 1e-310, 1.7e308, 1e160, 1e-170])
    values = np.concatenate([values, -values])
    first, second = (grid.ravel() for grid in np.meshgrid(values, values))
    exponents = rng.integers(-1020, 1020, 20_000)
    a = np.ldexp(rng.uniform(-2, 2, exponents.size), exponents)
    b = np.ldexp(rng.uniform(-2, 2, exponents.size), exponents + rng.integers(-3, 3, exponents.size))
    near = rng.normal(size=(2, 20_000))
    check(name, bound, reference, np.concatenate([first, a, near[0]]), np.concatenate([second, b, near[1]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_numbers_next_to_one_and_to_the_borders_of_pieces_are_accurate(dtype: type) -> None:
    if dtype is np.float64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("needs a long double wider than float64")
    rng = np.random.default_rng(13)
    info = np.finfo(dtype)
    size = 40_000
    near = 1 + rng.choice([-1, 1], size) * 2.0 ** -rng.uniform(1, info.nmant, size)
    pieces = np.concatenate([0.734375 + np.arange(8) / 32, 1.03125 + np.arange(8) / 16])
    borders = rng.choice(pieces, size) * 2.0 ** rng.integers(-30, 30, size)
    a = np.concatenate([near, borders]).astype(dtype)
    whole = np.dtype(f"i{a.itemsize}")
    a[size:] = (a[size:].view(whole) + rng.integers(-40, 40, size).astype(whole)).view(dtype)
    a = a[a != 1]
    exponents = rng.uniform(info.minexp, info.maxexp, a.size)
    check("pow", 0.8, np.power, a, (exponents / np.log2(a.astype(np.float64))).astype(dtype))


def test_erfc_is_accurate_at_the_ends_of_its_pieces() -> None:
    ends = np.concatenate([np.arange(1, 5) / 16 + 0.75, *(2.0**k * (1 + np.arange(8) / 8) for k in range(4))]) - 0.75
    x = ends.astype(np.float32)[:, None].view(np.int32) + np.arange(-2000, 2001).astype(np.int32)
    x = np.concatenate([x.ravel().view(np.float32), np.linspace(-10.2, 10.2, 50_000, dtype=np.float32)])
    check("erfc", 0.9, ERFC, x[np.abs(x) < 10.2])


def test_the_normal_distribution_is_accurate_where_it_counts() -> None:
    x = inputs(np.float32, 120)
    x = x[np.abs(x) < 12.9]
    got = call(expand.normal_cdf, x).astype(np.float64)
    want = ERFC(x.astype(np.float64) * -math.sqrt(0.5)) / 2
    error = np.abs(got - want) / want
    assert error[x >= -0.5].max() < 2.5e-7
    # Below, relative to the share above -x, which the same polynomial gives.
    assert (error * np.maximum(want, 1e-5))[x < 0].max() < 1e-7
    assert error.max() < 2e-3
    ends = np.array([-np.inf, -13.5, -200, 8, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(call(expand.normal_cdf, ends), np.array([0, 0, 0, 1, 1, np.nan], np.float32))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_float32_angles_next_to_quarter_turns_keep_their_last_bits(name: str) -> None:
    quarters = (np.arange(1, 40_000) * (np.pi / 2)).astype(np.float32)
    hard = np.array([2.1999385e10], np.float32)
    check(name, UNARY[name][1], UNARY[name][0], np.concatenate([hard, -hard, quarters, quarters * np.float32(2**20)]))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a long double wider than float64")
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_next_to_quarter_turns_keep_their_last_bits(name: str) -> None:
    # The two numbers of float64 that are nearest to multiples of pi/2, by size of the multiple (J.-M. Muller).
    hard = [6381956970095103 * 2.0**797, 5.319372648326541e255, 1e22, np.finfo(np.float64).max, 2.0**1023, 2.0**-27]
    quarters = np.arange(1, 4000) * (np.pi / 2)
    check(
        name,
        max(1.2, UNARY[name][2] or 0),
        UNARY[name][0],
        np.concatenate([hard, quarters, np.nextafter(quarters, np.inf), quarters / 2]),
    )


def nearest_to_quarter_turns(limit: float) -> np.ndarray:
    """Return the float64 numbers next to multiples of pi / 2, one or more of each binade up to a limit.

    They are among the convergents of the continued fraction of ``2 / pi`` times a power of two (W. Kahan, Minimizing
    q * m - n, 1983).
    """
    bits = 320
    # 2 / pi: the fourfold of 1 / (2 pi), whose words begin with 128 bits of zeros.
    turn = functools.reduce(lambda whole, word: whole << 64 | word, angles._TURN[2:9])
    quarters = turn >> (448 - bits - 2)
    found = []
    for exponent in range(-52, int(math.log2(limit)) - 52):
        a, b = (quarters << exponent + 52, 1 << bits + 52)
        before, now = 1, 0
        while b:
            before, now = now, a // b * now + before
            a, b = b, a % b
            if now >= 1 << 53:
                break
            if now >= 1 << 52:
                found.append(math.ldexp(now, exponent))
    return np.array(found)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a long double wider than float64")
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_below_the_rare_ones_keep_their_last_bits(name: str) -> None:
    hard = nearest_to_quarter_turns(2 * FAR)
    assert hard.size > 20
    wide = hard.astype(np.longdouble)
    assert np.minimum(np.abs(np.sin(wide)), np.abs(np.cos(wide))).max() < 1e-12
    rng = np.random.default_rng(9)
    spread = 2.0 ** rng.uniform(0, 41, 20_000)
    multiples = np.round(spread) * (np.pi / 2)
    edge = FAR + np.arange(-40, 40) * 2.0**-12
    x = np.concatenate([hard, np.nextafter(hard, np.inf), spread, multiples, edge])
    check(name, max(1.2, UNARY[name][2] or 0), UNARY[name][0], np.concatenate([x, -x]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainders_are_exact(dtype: type) -> None:
    rng = np.random.default_rng(11)
    values = np.array([*SPECIAL, np.finfo(dtype).smallest_normal, np.finfo(dtype).max], dtype)
    values = np.concatenate([values, -values])
    first, second = (grid.ravel() for grid in np.meshgrid(values, values))
    spread = inputs(dtype, 20)
    divisor = rng.uniform(1, 2, 60_000).astype(dtype)
    # Next to multiples of the divisor the rounded quotient is the next integer.
    quotient = (2.0 ** rng.uniform(0, np.finfo(dtype).nmant + 3, divisor.size)).round().astype(dtype)
    product = quotient * divisor
    a = np.concatenate([first, rng.permutation(spread), product, np.nextafter(product, dtype(0)), -product])
    b = np.concatenate([second, rng.permutation(spread), divisor, divisor, divisor])
    with np.errstate(all="ignore"):
        want = np.fmod(a, b)
    got = call(expand.fmod, a, b)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got)[want == 0], np.signbit(want)[want == 0])


def test_powers_that_are_numbers_are_exact() -> None:
    a = np.array([2.5, -2.5, 3.0, 7.0, 1.5, 0.75, -11.0, 10.0, 9.0, 1e10, 65536.0, 2.0])
    b = np.array([2.0, 3.0, 33.0, -0.0, 10.0, 4.0, 5.0, 15.0, 0.5, 2.0, 0.25, -1074.0])
    want = np.power(a.astype(np.longdouble), b).astype(np.float64)
    np.testing.assert_array_equal(call(expand.pow, a, b), want)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_expansions_call_nothing(name: str, dtype: type) -> None:
    x = build.array(0, np.dtype(dtype), (4,))
    operands = (x, x) if name in BINARY else (x,)
    named = {node.op.name for node in topological([getattr(expand, name)(*operands)])}
    assert not [one for one in named if one.startswith("libm")]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_convert_exactly_as_hardware_does(dtype: type) -> None:
    is_half = dtype is np.float16
    bits = np.arange(1 << 16).astype(np.uint16).view(np.int16)
    want = bits.view(dtype).astype(np.float32)
    got = call(expand.half_to_float if is_half else expand.bfloat16_to_float, bits)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))

    neighbours = np.sort(want[np.isfinite(want)])
    ties = ((neighbours[1:].astype(np.float64) + neighbours[:-1]) / 2).astype(np.float32)
    x = np.concatenate([inputs(np.float32, 40), want, ties, np.nextafter(ties, np.float32(0))])
    with np.errstate(all="ignore"):
        rounded = x.astype(dtype)
    back = call(expand.float_to_half if is_half else expand.float_to_bfloat16, x)
    nan = np.isnan(x)
    np.testing.assert_array_equal(back[~nan], rounded[~nan].view(np.int16))
    assert np.isnan(back[nan].view(dtype)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.uint32])
def test_integer_division_is_numpys(dtype: type) -> None:
    info = np.iinfo(dtype)
    values = np.unique(np.array([info.min, info.min + 1, info.max, 0, 1, 2, 3, 7, info.max // 2], dtype))
    if info.min < 0:
        values = np.concatenate([values, -values[1:]])
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(call(expand.floor_divide, a, b), np.floor_divide(a, b))
        np.testing.assert_array_equal(call(expand.remainder, a, b), np.remainder(a, b))


def test_float_division_is_numpys() -> None:
    values = np.array([*SPECIAL, *(-one for one in SPECIAL)])
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(call(expand.remainder, a, b), np.remainder(a, b))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16])
def test_shifts_beyond_the_width_are_defined(dtype: type) -> None:
    bits = np.iinfo(dtype).bits
    a, b = (grid.ravel().astype(dtype) for grid in np.meshgrid([1, 3, 100, -5], [0, 1, bits - 1, bits, bits + 1, 100]))
    np.testing.assert_array_equal(call(expand.left_shift, a, b), np.left_shift(a, b))
    np.testing.assert_array_equal(call(expand.right_shift, a, b), np.right_shift(a, b))


def test_integer_power_wraps_and_drops_negative_exponents() -> None:
    a, b = (grid.ravel().astype(np.int32) for grid in np.meshgrid([0, 1, -1, 2, -3, 10], [0, 1, 2, 5, 31, 40]))
    np.testing.assert_array_equal(call(expand.pow, a, b), np.power(a, b))
    np.testing.assert_array_equal(call(expand.pow, a, -b - 1), np.zeros_like(a))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nextafter_and_signs_are_numpys(dtype: type) -> None:
    values = np.array([*SPECIAL, *(-one for one in SPECIAL)], dtype)
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        want = np.nextafter(a, b)
    np.testing.assert_array_equal(call(expand.nextafter, a, b), want)
    np.testing.assert_array_equal(call(expand.sign, values), np.sign(values))
    np.testing.assert_array_equal(call(expand.signbit, values), np.signbit(values))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(call(expand.reciprocal, values), 1 / values)
