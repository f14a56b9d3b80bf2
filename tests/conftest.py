"""What every test runs under: kernel caches of its own, and OpenCL tests that skip, loudly, where no device works."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

_RUN_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a cache folder of its own, before anything imports trueno.

    Under pytest-xdist the controller creates the folder and the workers, which inherit its environment, share it: a
    kernel is compiled once for the whole run. XDG_CACHE_HOME moves too, so that neither PoCL nor a test that unsets
    TRUENO_CACHE_DIR reaches the user's cache.
    """
    if hasattr(config, "workerinput"):
        return
    folder = Path(tempfile.mkdtemp(prefix="trueno-tests-"))
    config.stash[_RUN_FOLDER] = folder
    os.environ["XDG_CACHE_HOME"] = str(folder)
    os.environ["TRUENO_CACHE_DIR"] = str(folder / "kernels")
    os.environ.setdefault("TRUENO_NUM_THREADS", "2")  # plans depend on it: the same on machines of any size


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run's cache folder."""
    folder = config.stash.get(_RUN_FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cache_folder() -> Path:
    """The kernel cache that this run's processes share."""
    return Path(os.environ["TRUENO_CACHE_DIR"])


@pytest.fixture(scope="session", autouse=True)
def verified_ir() -> None:
    """Check every kernel that the tests record against the rules of the IR, after each pass."""
    from trueno.ir import verify

    verify.enable()


@functools.cache
def _opencl_devices() -> tuple[str, ...]:
    import trueno

    return tuple(str(device) for device in trueno.devices() if str(device).startswith("opencl"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``opencl`` where no device works, or fail it where TRUENO_TEST_REQUIRE_OPENCL=1 promises one.

    Skip a test marked ``unchecked`` in a sanitised run.
    """
    if item.get_closest_marker("unchecked") is not None and "bounds" in os.environ.get("TRUENO_DEBUG", ""):
        pytest.skip("TRUENO_DEBUG=bounds: loops that check their accesses are not vectors")
    if item.get_closest_marker("opencl") is None or _opencl_devices():
        return
    message = "no OpenCL device works here; see `trueno doctor`"
    if os.environ.get("TRUENO_TEST_REQUIRE_OPENCL") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
