"""Division and powers of integers at the ends of their ranges, where floats of the same width are not exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trueno as tn
from tests.ops.support import LEVELS, available, run, trace
from trueno.ir.op import registry

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]
DIVIDING = ("floor_divide", "remainder", "fmod")


def edges(dtype: np.dtype) -> np.ndarray:
    """Return the ends of a dtype's range, powers of 2 and their neighbours, and a few random numbers."""
    limits = np.iinfo(dtype)
    found = {limits.min, limits.max, 0, 1, 2, 3, 5, 7, 10, 100}
    for k, step in itertools.product(range(limits.bits), (-1, 0, 1)):
        found |= {(1 << k) + step, -(1 << k) + step}
    found |= set(np.random.default_rng(3).integers(limits.min, limits.max, 20, dtype=dtype).tolist())
    return np.array(sorted(one for one in found if limits.min <= one <= limits.max), dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_quotients_of_edges_are_numpys(dtype: np.dtype, level: str) -> None:
    if not available(level):
        pytest.skip(f"this CPU lacks {level}")
    each = edges(dtype)
    a, b = np.repeat(each, each.size), np.tile(each, each.size)
    kernel = trace(lambda x, y: tuple(registry[name](x, y) for name in DIVIDING), (a, b))
    with np.errstate(all="ignore"):
        for name, got in zip(DIVIDING, run(kernel, (a, b), level), strict=True):
            np.testing.assert_array_equal(got, getattr(np, name)(a, b), err_msg=name)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_a_divisor_that_is_a_number_gives_the_same(dtype: np.dtype) -> None:
    a = edges(dtype)
    x = tn.tensor(a)
    with np.errstate(all="ignore"):
        for b in a.tolist():
            np.testing.assert_array_equal((x // b).numpy(), a // dtype.type(b), err_msg=f"// {b}")
            np.testing.assert_array_equal((x % b).numpy(), a % dtype.type(b), err_msg=f"% {b}")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(INTEGERS[3::4]), st.data())
def test_quotients_of_64_bits_are_pythons(dtype: np.dtype, data: st.DataObject) -> None:
    limits = np.iinfo(dtype)
    number = st.integers(limits.min, limits.max)
    b = data.draw(number.filter(lambda one: one not in (0, -1)))
    # Next to a multiple of the divisor, where a quotient that is cut off is most easily wrong.
    factor = data.draw(st.integers(-(1 << 63) // abs(b), (1 << 64) // abs(b)))
    near = [factor * b + step for step in (-2, -1, 0, 1, 2)]
    a = [one for one in (*near, data.draw(number)) if limits.min <= one <= limits.max]
    x, y = np.array(a, dtype), np.full(len(a), b, dtype)
    assert (tn.tensor(x) // tn.tensor(y)).tolist() == [one // b for one in a]
    assert (tn.tensor(x) % tn.tensor(y)).tolist() == [one % b for one in a]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_powers_wrap_as_numpys(dtype: np.dtype) -> None:
    a = edges(dtype)
    with np.errstate(all="ignore"):
        for exponent in (0, 1, 2, 3, 6, 7, 8, 9, 31, 64, 100):
            np.testing.assert_array_equal((tn.tensor(a) ** exponent).numpy(), a**exponent, err_msg=f"** {exponent}")
        mixed = np.arange(a.size) % 12
        np.testing.assert_array_equal(
            (tn.tensor(a) ** tn.tensor(mixed.astype(dtype))).numpy(), a ** mixed.astype(dtype)
        )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("target", [*INTEGERS, np.dtype("?")], ids=str)
@pytest.mark.parametrize("source", ["f4", "f8"])
def test_casts_of_floats_saturate(source: str, target: np.dtype, level: str) -> None:
    if not available(level):
        pytest.skip(f"this CPU lacks {level}")
    whole = edges(np.dtype("i8")).astype(source)
    up, down = (np.nextafter(whole, np.array(end, source)) for end in (np.inf, -np.inf))
    special = np.array([np.nan, np.inf, -np.inf, 0.5, -0.5, -0.99, -0.0, 2.0**64, 1e30, -1e30], source)
    x = np.concatenate([whole, up, down, special])
    kernel = trace(lambda one: registry["cast"](one, dtype=target), (x,))
    if target.kind == "b":
        want = [one != 0 for one in x.tolist()]
    else:
        limits = np.iinfo(target)
        want = [0 if one != one else int(min(max(one, limits.min), limits.max)) for one in x.tolist()]
    assert run(kernel, (x,), level)[0].tolist() == want
