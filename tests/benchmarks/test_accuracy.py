"""A stratified sample of the search over all float32 numbers, and what the search itself has to get right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import trueno as tn
from benchmarks import accuracy
from benchmarks.ulp import errors, stratified
from trueno import dtypes as dt
from trueno.ir.op import Op, registry


@pytest.mark.parametrize("row", accuracy.functions(), ids=lambda row: row.name)
def test_float32_functions_are_within_a_unit(row: Op) -> None:
    with ThreadPoolExecutor(1) as pool:
        worst = accuracy.worst_of(row, accuracy.sampled(dt.float32, 300), pool)
    assert worst.error <= accuracy.LIMITS[dt.float32], worst


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a long double wider than float64")
@pytest.mark.parametrize("row", accuracy.functions(), ids=lambda row: row.name)
def test_float64_functions_are_within_two_units(row: Op) -> None:
    x = stratified(np.float64, 2)
    x = np.concatenate([x, np.random.default_rng(1).uniform(-5, 5, 3000)])
    worst = accuracy.search(row, x)
    assert worst.error <= accuracy.LIMITS[dt.float64], worst


def test_the_table_names_functions_and_no_arithmetic() -> None:
    names = {row.name for row in accuracy.functions()}
    assert {"exp", "erfc", "cbrt", "atanh", "rsqrt"} <= names
    assert not names & {"neg", "floor", "isnan", "relu", "normal_cdf", "cast"}


def test_errors_are_counted_in_units_of_the_exact_result() -> None:
    got = np.array([1.0, 1.0, 1e-45, 3.4028235e38, np.inf, 2.0], np.float32)
    want = np.array([1 + 2**-23, 1 - 2**-24, 0.0, 3.4028235677973366e38, 1e39, 2.0])
    np.testing.assert_allclose(errors(got, want), [1, 1, 1, 1, 0, 0], rtol=1e-6)
    wide = errors(got.astype(np.float64), want.astype(np.longdouble) + np.longdouble(0))
    assert wide[5] == 0 and wide[0] == 2**29


def test_wrong_special_values_are_infinite_errors() -> None:
    got = np.array([np.nan, 1.0, 0.0, -0.0, np.inf, np.nan], np.float32)
    want = np.array([1.0, np.nan, -0.0, 0.0, -np.inf, np.nan])
    assert np.isinf(errors(got, want)[:4]).all()
    assert errors(got, want)[4] > 2**20
    assert errors(got, want)[5] == 0


def test_the_search_finds_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: tn.Tensor) -> tn.Tensor:
        values = np.exp(x.numpy())
        values[x.numpy() == 1.5] *= 1 + 1e-6
        return tn.from_numpy(values)

    monkeypatch.setattr(tn, "exp", wrong)
    pieces = iter(np.array([[1.25, 1.5], [1.75, 2.0]], np.float32))
    done: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        worst = accuracy.worst_of(registry["exp"], pieces, pool, done.append)
    assert worst.operand == 1.5 and 5 < worst.error < 20
    assert sum(done) == 4


def test_everything_is_every_number() -> None:
    first = next(accuracy.everything())
    assert first.dtype == dt.float32 and first.size == accuracy.CHUNK
    assert (1 << 32) % accuracy.CHUNK == 0
    np.testing.assert_array_equal(first.view(np.uint32)[[0, 1, -1]], [0, 1, accuracy.CHUNK - 1])


def test_the_command_prints_the_worst_input(capsys: pytest.CaptureFixture) -> None:
    threads = tn.get_num_threads()
    try:
        assert accuracy.main(["--function", "sqrt,cbrt", "--sample", "3"]) == 0
        assert accuracy.main(["--function", "cbrt", "--sample", "1", "--float64"]) == 0
    finally:
        tn.set_num_threads(threads)
    out = capsys.readouterr().out
    assert "0.50" in out and "cbrt" in out and "float64, 1 of each binade" in out
    with pytest.raises(SystemExit):
        accuracy.main(["--function", "floor"])
