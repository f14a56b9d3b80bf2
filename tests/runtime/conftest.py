"""Fixtures of several files: a launcher's bench, a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.launcher_support import Bench
from trueno.runtime import launcher, store_folder
from trueno.runtime.store import Store


@pytest.fixture(scope="module", params=["native", "python"])
def shared_bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.fixture
def bench(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose launcher stands behind the public functions."""
    monkeypatch.setattr(launcher, "_launcher", shared_bench.launcher)
    yield shared_bench
    launcher.set_grad_enabled(True)
    launcher.clear()


@pytest.fixture
def fresh_warnings() -> Iterator[None]:
    """Warnings that are given once in a process are given again."""
    store_folder.forget_warnings()
    yield
    store_folder.forget_warnings()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")
