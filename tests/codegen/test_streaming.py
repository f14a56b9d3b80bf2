"""Results that are written past the caches: the same values, and only where the memory is fresh and dense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno.codegen import streaming
from trueno.codegen.choices import Choices, using
from trueno.codegen.compile import optimise
from trueno.codegen.target import host_features, resolve
from trueno.runtime import store

pytestmark = pytest.mark.skipif("avx" not in host_features(), reason="only x86 with AVX streams its results")


@pytest.fixture(autouse=True)
def every_size_streams() -> Iterator[None]:
    with using(Choices(stream_bytes=0)):
        yield


def kernel(name: str, formula: Any) -> Any:
    return tn.kernel(formula, name=name)


def optimised(name: str) -> list[str]:
    """Return the optimised LLVM IR of the kernels of this name in the store.

    Kernels are stored by content: those of these tests hold constants that no others do.
    """
    found = [one.header for one in store.default_store().entries() if one.header.get("name") == name]
    return [str(optimise(header["source"], resolve())) for header in found]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 63, 64, 1000, 16384, 16385, 50_001])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool", "float16", "int64"])
def test_values(size: int, dtype: str) -> None:
    array = np.random.default_rng(size).integers(0, 2, size).astype(dtype)
    x = tn.tensor(array)
    np.testing.assert_array_equal(
        (x | x if dtype == "bool" else x + x).numpy(), array | array if dtype == "bool" else array + array
    )


def test_several_results_of_several_dtypes_on_any_number_of_threads() -> None:
    both = kernel("streams_both", lambda x: (x * 2.0, tn.cast(x, dtype="int8"), tn.cast(x, dtype="float64") + 1.0))
    array = np.arange(300_001, dtype=np.float32) % 100
    before = tn.get_num_threads()
    try:
        for threads in (1, 2, 5):
            tn.set_num_threads(threads)
            double, small, wide = both(tn.tensor(array))
            np.testing.assert_array_equal(double.numpy(), array * 2)
            np.testing.assert_array_equal(small.numpy(), array.astype(np.int8))
            np.testing.assert_array_equal(wide.numpy(), array.astype(np.float64) + 1)
    finally:
        tn.set_num_threads(before)


@pytest.mark.unchecked
def test_vectors_are_non_temporal_and_aligned() -> None:
    kernel("streams_sum", lambda x, y: x + y * 1.015625)(tn.ones(100_000), tn.ones(100_000))
    (text,) = optimised("streams_sum")
    assert streaming.MARK in text
    vectors = [line for line in text.splitlines() if "store <" in line]
    assert any("!nontemporal" in line for line in vectors)
    assert all("align 64" in line or "align 32" in line for line in vectors if "!nontemporal" in line)
    assert not any("!nontemporal" in line for line in text.splitlines() if "store float" in line)


@pytest.mark.parametrize(
    ("formula", "inplace", "shapes"),
    [
        (lambda a: a * 3.015625, (0,), [(100_000,)]),
        (lambda a: tn.pad(a * 3.015625, ((1, 1),)), (), [(100_000,)]),
        (lambda a: tn.sum(a * 3.015625), (), [(100_000,)]),
        (lambda a, b: (a + b) * 3.015625, (), [(100, 1000), (100, 1)]),
    ],
    ids=["in place", "a part of the result", "reduction", "rows of any length"],
)
def test_what_does_not_stream(formula: Any, inplace: tuple[int, ...], shapes: list[tuple[int, ...]]) -> None:
    tn.kernel(formula, inplace=inplace, name="streams_not")(*map(tn.ones, shapes))
    found = optimised("streams_not")
    assert found
    assert not any("!nontemporal" in text for text in found)


@pytest.mark.unchecked
def test_small_calls_do_not_stream() -> None:
    square = kernel("streams_square", lambda x: x * x + 2.015625)
    with using(Choices(stream_bytes=1 << 20)):
        square(tn.ones(100_000))
        assert ["!nontemporal" in text for text in optimised("streams_square")] == [False]
        square(tn.ones(200_000))
    assert sorted("!nontemporal" in text for text in optimised("streams_square")) == [False, True]


def test_text_without_marks_is_left_alone() -> None:
    text = "define void @f(ptr %p) {\n  store <16 x float> zeroinitializer, ptr %p, align 4\n  ret void\n}\n"
    assert streaming.past_caches(text) == text
