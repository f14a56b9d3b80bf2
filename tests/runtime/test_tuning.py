"""Tuning: what is measured is checked first, what is found is followed and kept, and nothing on disk can do harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import trueno as tn
from trueno.cli import app, cache
from trueno.codegen import choices
from trueno.codegen.choices import Choices
from trueno.runtime import store_folder, tuned, tuning
from trueno.runtime.store import Store

SMALL = tuning.Parameter("stream_bytes", (1 << 10, 1 << 50), (tuning.Workload(("mul", "add"), (5000,)),))


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    kept = Store(folder)
    monkeypatch.setattr(tuned, "default_store", lambda: kept)
    monkeypatch.setattr(tuning, "PARAMETERS", (SMALL,))
    tuned.restore.cache_clear()
    with choices.using(Choices()):
        yield kept
    tuned.restore.cache_clear()
    tuning.forget_entries()


def timed(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> None:
    """Replace the clock: a run takes the time that is given for its choice."""
    make = tuning._Run.__init__

    def remember(self: Any, workload: Any, chosen: Choices) -> None:
        make(self, workload, chosen)
        self.seconds = seconds[chosen.stream_bytes]

    monkeypatch.setattr(tuning._Run, "__init__", remember)
    monkeypatch.setattr(tuning._Run, "time", lambda self, repeats: self.seconds)


def test_the_fastest_is_followed_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, {64 << 20: 1.0, 1 << 10: 0.5, 1 << 50: 0.7})
    seen: list[tuple[str, float]] = []
    (finding,) = tuning.tune(60, progress=lambda name, share: seen.append((name, share)))
    assert (finding.before, finding.after, finding.ratio) == (64 << 20, 1 << 10, 0.5)
    assert finding.tried == {64 << 20: 1.0, 1 << 10: 0.5, 1 << 50: 0.7}
    assert finding.complete
    assert choices.current().stream_bytes == 1 << 10
    assert {name for name, _ in seen} == {"stream_bytes"}
    assert all(0 <= share <= 1 for _, share in seen)
    choices.use(Choices())
    tuned.restore.cache_clear()
    tuned.restore()
    assert choices.current() == Choices(stream_bytes=1 << 10)


def test_a_gain_within_the_noise_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, {64 << 20: 1.0, 1 << 10: 0.99, 1 << 50: 1.2})
    (finding,) = tuning.tune(60)
    assert finding.after == finding.before == choices.current().stream_bytes


def test_a_candidate_with_other_results_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, {64 << 20: 1.0, 1 << 10: 0.1, 1 << 50: 0.9})
    run = tuning._Run.__call__
    monkeypatch.setattr(tuning._Run, "__call__", lambda self: run(self) + (1.0 if self.seconds == 0.1 else 0.0))
    (finding,) = tuning.tune(60)
    assert finding.tried[1 << 10] is None
    assert finding.after == 1 << 50


def test_time_is_kept_to() -> None:
    (finding,) = tuning.tune(1e-9)
    assert not finding.complete
    assert finding.after == finding.before


def test_the_real_parameters_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    names = {one.name for one in tuning.PARAMETERS}
    assert names == set(Choices._fields)
    for parameter in tuning.PARAMETERS:
        value = parameter.candidates[0]
        other = choices.current()._replace(**{parameter.name: value})
        workload = parameter.workloads[0]
        assert tuning._compare([tuning._Run(workload, choices.current())], [tuning._Run(workload, other)]) is not None


@pytest.mark.parametrize("choice", [{"product_rows": 5}, {"product_rows": 14}, {"product_high": 24}])
@pytest.mark.parametrize("shape", [(29, 300, 70), (150, 40, 33), (64, 64, 64)])
def test_tiles_do_not_show_in_the_bits_of_a_product(shape: tuple[int, int, int], choice: dict[str, int]) -> None:
    m, k, n = shape
    generator = np.random.default_rng(0)
    a, b = (tn.from_numpy(generator.normal(size=size).astype("f4")) for size in ((m, k), (k, n)))
    expected = (a @ b).numpy()
    tuning.forget_entries()
    with choices.using(Choices(**choice)):
        found = (a @ b).numpy()
    np.testing.assert_allclose(expected, a.numpy() @ b.numpy(), rtol=1e-4, atol=1e-4)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("seconds", "names"), [(0, ()), (-1, ()), (1, ("speed",))])
def test_bad_arguments(seconds: float, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="tune"):
        tuning.tune(seconds, names)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"stream_bytes": "many"}', b'{"stream_bytes": null}'])
def test_spoilt_content_is_told_once_and_does_no_harm(own_store: Store, content: bytes) -> None:
    own_store.save(tuned._key(), content, {"name": "choices"})
    store_folder.forget_warnings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuned.restore()
        tuned.restore()
    assert choices.current() == Choices()
    assert len(caught) == 1
    assert "trueno tune" in str(caught[0].message)


def test_names_that_are_no_choice_any_more_are_passed_over(own_store: Store) -> None:
    own_store.save(tuned._key(), b'{"stream_bytes": 4096, "speed": 7, "product_high": 0}', {"name": "choices"})
    tuned.restore()
    assert choices.current() == Choices(stream_bytes=4096)


def test_reset(own_store: Store) -> None:
    choices.use(Choices(stream_bytes=4096))
    tuned.save()
    assert tuning.reset()
    assert choices.current() == Choices()
    assert own_store.peek(tuned._key()) is None
    assert not tuning.reset()


def test_the_command(monkeypatch: pytest.MonkeyPatch, own_store: Store) -> None:
    run = CliRunner()
    monkeypatch.setattr(cache, "open_store", lambda: own_store)
    timed(monkeypatch, {64 << 20: 1.0, 1 << 10: 0.5, 1 << 50: 0.7})
    shown = run.invoke(app, ["tune", "--seconds", "60"])
    assert shown.exit_code == 0, shown.output
    assert "stream_bytes" in shown.output
    assert "1,024" in shown.output
    assert '"after": 1024' in run.invoke(app, ["tune", "--json"]).stdout
    text = run.invoke(app, ["cache", "show", "choices"]).output
    assert re.search(r"choice stream_bytes +1024\b", text)
    shown_as_json = json.loads(run.invoke(app, ["cache", "show", "choices", "--json"]).stdout)
    assert shown_as_json["choices"] == choices.current()._asdict()
    assert "The defaults are back" in run.invoke(app, ["tune", "--reset"]).output
    assert run.invoke(app, ["tune", "--only", "speed"]).exit_code == 2


def test_other_processes_follow_what_was_kept(tmp_path: Path) -> None:
    code = """
        import sys, numpy as np, trueno as tn
        from trueno.codegen import choices
        from trueno.runtime import tuned
        if sys.argv[1] == "keep":
            choices.use(choices.Choices(parallel_nanoseconds=123))
            tuned.save()
        else:
            tn.ones(3) + 1
            print(choices.current().parallel_nanoseconds)
    """
    lines = "\n".join(line.strip() if line.startswith("        import") else line[8:] for line in code.splitlines()[1:])
    environment = {
        "TRUENO_CACHE_DIR": str(tmp_path / "shared"),
        "PATH": "",
        "PYTHONPATH": str(Path(tn.__file__).parents[1]),
    }
    for step in ("keep", "follow"):
        run = subprocess.run(
            [sys.executable, "-c", lines, step],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "123"
    assert np.array_equal(tn.ones(3).numpy(), np.ones(3))
