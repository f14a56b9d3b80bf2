"""A stratified sample of the search over all float32 numbers, and what the search itself has to get right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import trueno as tn
from benchmarks import accuracy
from benchmarks.ulp import errors, stratified
from trueno import dtypes as dt
from trueno.ir.op import Op


@pytest.mark.parametrize("row", accuracy.functions(), ids=lambda row: row.name)
def test_float32_functions_are_within_a_unit(row: Op) -> None:
    inputs = accuracy.Inputs(dt.float32, 300)
    worst = accuracy.worst_in(row.name, inputs, 0, inputs.size)
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
        values = np.exp(x.numpy().astype(np.float64))
        values[x.numpy() == 1.5] *= 1 + 1e-6
        return tn.from_numpy(values.astype(np.float32))

    monkeypatch.setattr(tn, "exp", wrong)
    bits = int(np.float32(1.5).view(np.uint32))
    inputs = accuracy.Inputs(dt.float32, 0)
    found = accuracy.worst_in("exp", inputs, bits - 10_000, bits + 10_000)
    assert found.operand == 1.5 and 5 < found.error < 20
    assert accuracy.worst_in("exp", inputs, bits - 10_000, bits).error == 0.5


def test_a_pool_searches_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "TASK", 1000)
    inputs = accuracy.Inputs(dt.float32, 20)
    done: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        worst = accuracy.worst_of("log", inputs, pool, done.append)
    assert sum(done) == inputs.size
    assert worst.error == accuracy.worst_in("log", inputs, 0, inputs.size).error


def test_all_inputs_are_all_bit_patterns() -> None:
    inputs = accuracy.Inputs(dt.float32, 0)
    assert inputs.size == 1 << 32
    np.testing.assert_array_equal(inputs.part(1, 3), np.array([1, 2], np.uint32).view(np.float32))
    assert np.isnan(inputs.part(inputs.size - 1, inputs.size)[0])


def test_the_command_prints_the_worst_input(capsys: pytest.CaptureFixture) -> None:
    assert accuracy.main(["--function", "sqrt,cbrt", "--sample", "3", "--processes", "1"]) == 0
    out = capsys.readouterr().out
    assert "0.50" in out and "cbrt" in out and "float32, 3 of each binade" in out
    with pytest.raises(SystemExit):
        accuracy.main(["--function", "floor"])
