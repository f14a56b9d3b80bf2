"""Settings: values, defaults, origins and the errors for bad values."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trueno import config


def test_defaults_without_variables():
    settings = config.read({})
    assert settings.cache is True
    assert settings.cache_dir is None
    assert settings.cache_bytes == settings.pool_bytes == 2**30
    assert settings.launcher is None
    assert settings.num_threads is None
    assert settings.cpu_features == "native"
    assert settings.device == "cpu"
    assert settings.debug == frozenset()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("TRUENO_CACHE", "0", "cache", False),
        ("TRUENO_CACHE", "On", "cache", True),
        ("TRUENO_CACHE_DIR", "/tmp/x/../y", "cache_dir", "/tmp/y"),
        ("TRUENO_CACHE_BYTES", "500", "cache_bytes", 500),
        ("TRUENO_CACHE_BYTES", "2GiB", "cache_bytes", 2**31),
        ("TRUENO_CACHE_BYTES", "1.5 M", "cache_bytes", 3 * 2**19),
        ("TRUENO_POOL_BYTES", "0", "pool_bytes", 0),
        ("TRUENO_LAUNCHER", "Python", "launcher", "python"),
        ("TRUENO_NUM_THREADS", "3", "num_threads", 3),
        ("TRUENO_CPU_FEATURES", "x86-64-v3", "cpu_features", "x86-64-v3"),
        ("TRUENO_DEVICE", "opencl", "device", "opencl:0"),
        ("TRUENO_DEVICE", "opencl:2", "device", "opencl:2"),
        ("TRUENO_DEBUG", "0", "debug", set()),
        ("TRUENO_DEBUG", "1", "debug", {"ir", "compiles"}),
        ("TRUENO_DEBUG", "2", "debug", {"ir", "compiles", "code"}),
        ("TRUENO_DEBUG", "bounds, IR", "debug", {"ir", "bounds"}),
        ("TRUENO_DEBUG", "  ", "debug", set()),
    ],
)
def test_values(variable, text, name, value):
    assert getattr(config.read({variable: text}), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("TRUENO_CACHE", "maybe", "0 or 1"),
        ("TRUENO_CACHE_BYTES", "big", "512M"),
        ("TRUENO_CACHE_BYTES", "-1", "512M"),
        ("TRUENO_POOL_BYTES", "1 X", "512M"),
        ("TRUENO_LAUNCHER", "c", "native, python"),
        ("TRUENO_NUM_THREADS", "0", "at least 1"),
        ("TRUENO_NUM_THREADS", "two", "at least 1"),
        ("TRUENO_CPU_FEATURES", "avx", "x86-64-v3"),
        ("TRUENO_DEVICE", "cuda", "opencl:N"),
        ("TRUENO_DEBUG", "3", "0, 1, 2 or some of ir,compiles,code,bounds"),
        ("TRUENO_DEBUG", "bounds,", "parted by commas"),
    ],
)
def test_bad_values_name_the_variable_and_what_is_right(variable, text, expected):
    with pytest.raises(config.ConfigError) as caught:
        config.read({variable: text})
    assert f"{variable}={text!r}" in str(caught.value)
    assert expected in str(caught.value)


def test_table_has_every_setting_and_reports_bad_values():
    rows = config.table({"TRUENO_DEVICE": "cuda", "TRUENO_DEBUG": "1"})
    assert [row.name for row in rows] == list(config.rows())
    by_name = {row.name: row for row in rows}
    assert by_name["device"].origin == "error"
    assert "opencl:N" in (by_name["device"].error or "")
    assert (by_name["debug"].value, by_name["debug"].origin) == ("ir,compiles", "environment")
    assert (by_name["cache"].value, by_name["cache"].origin) == ("1", "default")
    assert all(row.meaning and row.type and row.variable.startswith("TRUENO_") for row in rows)


def test_settings_do_not_change():
    settings = config.read({"TRUENO_DEBUG": "1"})
    with pytest.raises(AttributeError, match="reload"):
        settings.debug = set()
    assert "debug=frozenset" in repr(settings)


def test_settings_are_read_once_and_again_on_reload(monkeypatch):
    monkeypatch.setenv("TRUENO_DEBUG", "1")
    try:
        assert "code" not in config.reload().debug
        monkeypatch.setenv("TRUENO_DEBUG", "2")
        assert "code" not in config.settings().debug
        assert "code" in config.reload().debug
        assert "code" in config.settings().debug
    finally:
        monkeypatch.undo()
        config.reload()


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/home/u"}, "/home/u/.cache/trueno"),
        ("linux", {"HOME": "/home/u", "XDG_CACHE_HOME": "/c"}, "/c/trueno"),
        ("linux", {"HOME": "/home/u", "XDG_CACHE_HOME": "relative"}, "/home/u/.cache/trueno"),
        ("darwin", {"HOME": "/Users/u", "XDG_CACHE_HOME": "/c"}, "/Users/u/Library/Caches/trueno"),
        ("win32", {"HOME": "/u", "LOCALAPPDATA": "/local"}, "/local/trueno"),
        ("win32", {"HOME": "/u"}, "/u/AppData/Local/trueno"),
        ("linux", {"HOME": "not/absolute"}, None),
    ],
)
def test_user_cache_folder(platform, environ, expected):
    assert config.user_cache_folder(environ, platform) == expected


def test_cache_folder_without_home_comes_from_the_account():
    pwd = pytest.importorskip("pwd")
    expected = os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "trueno")
    assert config.user_cache_folder({}, "linux") == expected


def test_cache_folder_of_an_unknown_account_is_none(monkeypatch):
    pwd = pytest.importorskip("pwd")

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert config.user_cache_folder({}, "linux") is None


def test_settings_and_store_do_not_import_the_command_line():
    code = "import sys, trueno.runtime.store; print(sorted({'typer', 'rich', 'pyopencl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
