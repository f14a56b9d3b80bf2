"""The start-up benchmark's own parts: fresh processes and verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.store import Finding, child, finding


@pytest.mark.parametrize(("value", "limit", "met"), [(4, 4, True), (5, 4, False), (None, 4, False), (5, None, None)])
def test_finding_is_met_up_to_and_including_its_limit(
    value: float | None, limit: float | None, met: bool | None
) -> None:
    assert Finding("kernels", value, "compiled", limit).met is met


def test_child_has_its_own_cache_folder_and_answers_in_json(tmp_path: Path) -> None:
    program = "import os, json; print('noise'); print(json.dumps([os.environ['TRUENO_CACHE_DIR'], 1.5]))"
    assert child(program, tmp_path) == [str(tmp_path), 1.5]


def test_failure_of_a_child_becomes_part_of_the_finding(tmp_path: Path) -> None:
    failed = finding("x", "ms", 1.0, lambda: child("raise SystemExit('the result is wrong')", tmp_path))
    assert failed.value is None
    assert failed.met is False
    assert failed.problem == "the result is wrong"
