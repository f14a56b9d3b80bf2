"""The compilation benchmark's own parts: first calls in fresh processes, and verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import compile, program, table


@pytest.mark.parametrize(
    ("cold", "warm", "missed"),
    [
        (compile.Call((("add", 60.0),)), compile.Call(), ""),
        (compile.Call((("add", 20.0), ("mul", 61.0))), compile.Call(), "mul takes 61 ms"),
        (compile.Call((("add", 20.0),)), compile.Call((("add", 20.0),)), "the second process compiled add again"),
        (compile.Call(problem="ValueError: no"), compile.Call(), "ValueError: no"),
    ],
)
def test_a_finding_says_what_is_missed(cold: compile.Call, warm: compile.Call, missed: str) -> None:
    assert compile.Finding("row", 1, cold, warm).missed == missed


def test_rows_are_compiled_once_and_found_by_the_second_process(tmp_path: Path) -> None:
    options = program.parse("test", ["--quick", "--ops", "add", "--sizes", "100"])
    (found,) = compile.measure(options, tmp_path)
    assert (found.label, found.size) == ("add", 100)
    assert [name for name, _ in found.cold.kernels] == ["add"]
    assert found.cold.milliseconds > found.slowest > 0
    assert found.warm == compile.Call((), found.warm.milliseconds)


def test_the_table_has_every_kind_of_row() -> None:
    names = {case.name for case in table.cases(quick=True)}
    assert {"add", "softmax", "matmul", "conv2d-forward", "conv2d-input", "conv2d-weight"} <= names
    assert {case.name for case in table.cases(False, ("matmul",))} == {"matmul"}
    sizes = {case.size for case in table.cases(quick=False) if case.name == "add"}
    assert sizes == {100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000}
    assert all({"numpy", "torch"} <= case.targets.keys() for case in table.cases(False) if case.name == "matmul")
