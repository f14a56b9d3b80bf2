"""Random numbers: the published words of Philox, streams, and distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno.ir import build, interp
from trueno.ir.node import Kernel, recording
from trueno.random import Generator, philox

# kat_vectors of Random123 (Salmon et al. 2011), philox4x32 with 10 rounds, for counters that leave the upper half zero.
KNOWN = [
    ((0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
]


def words(counter: int, key: tuple[int, int]) -> list[int]:
    leaves = [build.array(0, dt.uint64, ()), build.array(1, dt.uint64, ()), build.array(2, dt.uint64, ())]
    with recording():
        kernel = Kernel("philox", tuple(leaves), philox(*leaves))
    return [int(one) for one in interp.evaluate(kernel, *(np.uint64(one) for one in (counter, *key)))]


def reference(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as the paper states it, on Python's integers."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def test_the_reference_gives_the_published_words() -> None:
    assert reference([0, 0, 0, 0], [0, 0]) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = 0xFFFFFFFF
    assert reference([full] * 4, [full] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert reference([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]) == [
        0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1,
    ]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, int], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert words(counter[0] | counter[1] << 32, key) == list(expected)


@pytest.mark.parametrize("counter", [1, 12345, 2**32 - 1, 2**32, 2**63 + 17])
@pytest.mark.parametrize("key", [(0, 0), (7, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0xA4093822, 0x299F31D0)])
def test_philox_agrees_with_the_reference(counter: int, key: tuple[int, int]) -> None:
    assert words(counter, key) == reference([counter & 0xFFFFFFFF, counter >> 32, 0, 0], list(key))


def test_uniform_numbers_are_the_words() -> None:
    first = reference([0, 0, 0, 0], [42, 0]) + reference([1, 0, 0, 0], [42, 0])
    drawn = tn.rand(7, generator=Generator(42))
    assert drawn.tolist() == [(word >> 8) * 2.0**-24 for word in first[:7]]


def test_seeds_make_streams_repeat() -> None:
    tn.manual_seed(3)
    first = [tn.rand(5), tn.randn(5), tn.randint(0, 100, (5,))]
    tn.manual_seed(3)
    again = [tn.rand(5), tn.randn(5), tn.randint(0, 100, (5,))]
    assert [one.tolist() for one in first] == [one.tolist() for one in again]
    tn.manual_seed(4)
    assert tn.rand(5).tolist() != first[0].tolist()
    assert tn.rand(5).tolist() != tn.rand(5).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, -1])
def test_any_seed_of_64_bits_works(seed: int) -> None:
    assert tn.rand(3, generator=Generator(seed)).tolist() == tn.rand(3, generator=Generator(seed)).tolist()


def test_generators_are_independent_and_continue() -> None:
    one = Generator(5)
    both = tn.rand(8, generator=Generator(5)).tolist()
    assert tn.rand(4, generator=one).tolist() + tn.rand(4, generator=one).tolist() == both
    state = one.get_state()
    ahead = tn.rand(4, generator=one).tolist()
    one.set_state(state)
    assert tn.rand(4, generator=one).tolist() == ahead


def test_streams_do_not_overlap() -> None:
    one = Generator(9)
    drawn = np.concatenate([tn.rand(size, generator=one, dtype="float64").numpy() for size in (1, 2, 3, 5, 1000)])
    assert len(np.unique(drawn)) == drawn.size


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_moments_of_uniform_numbers(dtype: str) -> None:
    drawn = tn.rand(50_000, dtype=dtype, generator=Generator(1)).numpy().astype("f8")
    assert drawn.min() >= 0
    assert drawn.max() <= 1 if dtype in ("float16", "bfloat16") else drawn.max() < 1
    # Five standard errors of the mean and of the variance.
    assert abs(drawn.mean() - 0.5) < 5 * math.sqrt(1 / 12 / drawn.size) + 2e-3 * (dtype == "bfloat16")
    assert abs(drawn.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / drawn.size) + 1e-3 * (dtype == "bfloat16")
    assert len(np.histogram(drawn, 20, (0, 1))[0].nonzero()[0]) == 20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_of_normal_numbers(dtype: str) -> None:
    drawn = tn.randn(50_000, dtype=dtype, generator=Generator(1)).numpy().astype("f8")
    assert np.isfinite(drawn).all()
    size = drawn.size
    assert abs(drawn.mean()) < 5 / math.sqrt(size)
    assert abs(drawn.var() - 1) < 5 * math.sqrt(2 / size)
    assert abs((drawn**3).mean()) < 5 * math.sqrt(15 / size)
    assert abs((drawn**4).mean() - 3) < 5 * math.sqrt(96 / size)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / math.sqrt(size)
    assert 0.02 < (np.abs(drawn) > 2).mean() < 0.07


@pytest.mark.parametrize(("low", "high"), [(0, 10), (-5, 5), (3, 4), (-(2**31), 2**31), (2**40, 2**40 + 6)])
def test_integers_lie_in_their_range(low: int, high: int) -> None:
    drawn = tn.randint(low, high, (2000,), generator=Generator(2)).numpy()
    assert drawn.dtype == np.int64
    assert drawn.min() >= low
    assert drawn.max() < high
    if high - low <= 10:
        counts = np.bincount(drawn - low, minlength=high - low)
        assert counts.min() > 0.7 * drawn.size / (high - low)
        assert len(counts) == high - low


def test_integers_up_to_one_bound_and_shapes() -> None:
    assert tn.randint(3).shape == ()
    assert tn.randint(3, size=4).shape == (4,)
    assert tn.randint(0, 3, (2, 5)).shape == (2, 5)
    assert set(tn.randint(2, size=100).tolist()) == {0, 1}
    assert str(tn.randint(2, size=3, dtype="uint8").dtype) == "uint8"


@pytest.mark.parametrize("bounds", [(5, 5), (5, 2), (0,), (0, 2**32 + 1)])
def test_empty_ranges_are_refused(bounds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be below high"):
        tn.randint(*bounds, size=2)


def test_floats_only() -> None:
    with pytest.raises(TypeError, match="int32: name a floating-point dtype, or use randint"):
        tn.rand(2, dtype="int32")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 2), (2, 0, 5), (5, 7)])
def test_shapes(shape: Any) -> None:
    assert tn.rand(shape).shape == tn.randn(*shape).shape == shape


def test_random_tensors_may_require_gradients() -> None:
    assert tn.randn(3, requires_grad=True).is_leaf
