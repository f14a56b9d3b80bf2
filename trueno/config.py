"""Settings: one table, read from the environment.

Every setting is one row of `Settings`; its type, default, variable and meaning stand there and nowhere else.
`settings()` reads the environment once, on first use; `reload()` reads it again.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

FEATURE_LEVELS = ("native", "scalar", "x86-64-v2", "x86-64-v3", "x86-64-v4", "neon")
"""Names that TRUENO_CPU_FEATURES takes; trueno.codegen.target gives each its instruction sets."""

LAUNCHERS = ("native", "python")

DEBUG = ("ir", "compiles", "code", "bounds")
"""Words that TRUENO_DEBUG takes."""

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class ConfigError(ValueError):
    """A TRUENO_* variable holds a value that is not one of those it takes."""


def _switch(text: str) -> bool:
    word = text.lower()
    if word in ("1", "on", "yes", "true"):
        return True
    if word in ("0", "off", "no", "false"):
        return False
    raise ValueError("expected 0 or 1")


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?)(?:i?b)?", text.lower())
    if match is None:
        raise ValueError("expected a number of bytes such as 500000000, 512M or 2GiB")
    return int(float(match[1]) * _UNITS[match[2]]) if "." in match[1] else int(match[1]) * _UNITS[match[2]]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("expected an integer of at least 1")
    return int(text)


def _debug(text: str) -> frozenset[str]:
    numbers = {"0": set[str](), "1": {"ir", "compiles"}, "2": {"ir", "compiles", "code"}}
    if text in numbers:
        return frozenset(numbers[text])
    words = {word.strip() for word in text.lower().split(",")}
    if not words <= set(DEBUG):
        raise ValueError(f"expected 0, 1, 2 or some of {','.join(DEBUG)}, parted by commas")
    return frozenset(words)


def _choice(names: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return text.lower()

    return parse


def _folder(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def _device(text: str) -> str:
    if re.fullmatch(r"cpu|opencl(:\d+)?", text.lower()) is None:
        raise ValueError("expected cpu, opencl or opencl:N with N the device's number")
    return "opencl:0" if text.lower() == "opencl" else text.lower()


class Setting(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    variable : str
        The environment variable.
    type : str
        The values it takes, in words.
    default : Any
    parse : callable
        From the variable's text to the value; raises ValueError with what would be right.
    meaning : str
    unset : str
        What a default of None comes to, in words.
    """

    variable: str
    type: str
    default: Any
    parse: Callable[[str], Any]
    meaning: str
    unset: str = ""


def _setting(*row: Any) -> Any:
    return Setting(*row)


class Settings:
    """Values of all settings. On the class itself, each name holds its row of the table.

    Attributes
    ----------
    cache : bool
    cache_dir : str or None
        None stands for `user_cache_folder()`.
    cache_bytes, pool_bytes : int
    launcher : str or None
        None: native where its self-test passes, else python.
    num_threads : int or None
        None: as many as the CPUs that the process may use.
    cpu_features : str
        One of FEATURE_LEVELS.
    device : str
        ``"cpu"`` or ``"opencl:N"``.
    debug : frozenset of str
        Some of DEBUG.
    """

    cache: bool = _setting(
        "TRUENO_CACHE",
        "0 or 1",
        True,
        _switch,
        "Keep compiled kernels on disk. 0: no file is created, read or written.",
    )
    cache_dir: str | None = _setting(
        "TRUENO_CACHE_DIR",
        "folder",
        None,
        _folder,
        "Where compiled kernels are kept. It must belong to you and be writable by nobody else.",
        "the platform's user cache folder",
    )
    cache_bytes: int = _setting(
        "TRUENO_CACHE_BYTES",
        "bytes",
        2**30,
        _bytes,
        "Size the kernel cache is cut back to, at most once an hour; least recently used entries go first.",
    )
    launcher: str | None = _setting(
        "TRUENO_LAUNCHER",
        "native or python",
        None,
        _choice(LAUNCHERS),
        "What dispatches a call: generated machine code, or its Python twin.",
        "native where it works",
    )
    num_threads: int | None = _setting(
        "TRUENO_NUM_THREADS",
        "integer >= 1",
        None,
        _positive,
        "Threads that a large kernel is split over. Results do not depend on it.",
        "the CPUs that the process may use",
    )
    cpu_features: str = _setting(
        "TRUENO_CPU_FEATURES",
        "feature level",
        "native",
        _choice(FEATURE_LEVELS),
        f"Instruction sets that CPU kernels may use: {', '.join(FEATURE_LEVELS)}.",
    )
    pool_bytes: int = _setting(
        "TRUENO_POOL_BYTES",
        "bytes",
        2**30,
        _bytes,
        "Most memory that is kept for reuse after arrays are freed. 0 keeps none.",
    )
    device: str = _setting(
        "TRUENO_DEVICE", "cpu or opencl:N", "cpu", _device, "Device of arrays that are created without device=."
    )
    debug: frozenset[str] = _setting(
        "TRUENO_DEBUG",
        "ir, compiles, code, bounds",
        frozenset(),
        _debug,
        "Words parted by commas. ir: check each kernel's IR after every pass. compiles: print a line for each kernel "
        "compiled, and why the cache did not hold it. code: print its code. bounds: CPU kernels check each access to "
        "memory, and one outside of it raises BoundsError. 1 stands for ir,compiles; 2 for ir,compiles,code.",
    )

    def __init__(self, **values: Any) -> None:
        for name, row in rows().items():
            vars(self)[name] = values.get(name, row.default)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"settings do not change; to set {name}, set its variable and call config.reload()")

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def rows() -> dict[str, Setting]:
    """Return the table: each setting's name and row."""
    return {name: row for name, row in vars(Settings).items() if isinstance(row, Setting)}


class Row(NamedTuple):
    """One setting as `trueno config` shows it.

    Attributes
    ----------
    name, variable, type, meaning : str
    value : str
        The value in use, in words where the default is worked out later.
    origin : str
        ``"environment"``, ``"default"`` or ``"error"``.
    error : str or None
        What is wrong with the variable's value.
    """

    name: str
    variable: str
    type: str
    value: str
    origin: str
    meaning: str
    error: str | None = None


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings from the environment. An empty variable counts as unset.

    Raises
    ------
    ConfigError
        A variable holds a bad value; the message names it.
    """
    environ = os.environ if environ is None else environ
    return Settings(**{name: _parse(row, environ) for name, row in rows().items() if _given(row, environ)})


def _given(row: Setting, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(row.variable, "").strip())


def _parse(row: Setting, environ: Mapping[str, str]) -> Any:
    text = environ[row.variable].strip()
    try:
        return row.parse(text)
    except ValueError as error:
        raise ConfigError(f"{row.variable}={text!r}: {error}") from None


_current: Settings | None = None


def settings() -> Settings:
    """Return the process's settings; the environment is read on the first call.

    Raises
    ------
    ConfigError
        A TRUENO_* variable holds a bad value.
    """
    return _current if _current is not None else reload()


def reload() -> Settings:
    """Read the environment again and return the new settings."""
    global _current
    _current = read()
    return _current


def table(environ: Mapping[str, str] | None = None) -> list[Row]:
    """Return every setting with its value and origin; bad values are reported in the rows, not raised."""
    environ = os.environ if environ is None else environ
    shown = []
    for name, row in rows().items():
        value, origin, error = row.default, "default", None
        if _given(row, environ):
            try:
                value, origin = _parse(row, environ), "environment"
            except ConfigError as problem:
                value, origin, error = environ[row.variable], "error", str(problem)
        shown.append(Row(name, row.variable, row.type, _in_words(row, value), origin, row.meaning, error))
    return shown


def _in_words(row: Setting, value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None and row.variable == "TRUENO_CACHE_DIR":
        return user_cache_folder() or "none: no home folder is known"
    if isinstance(value, frozenset):
        return ",".join(word for word in DEBUG if word in value) or "0"
    return row.unset if value is None else str(value)


def user_cache_folder(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> str | None:
    """Return the folder for Trueno's files where this platform keeps a user's caches.

    Linux: XDG_CACHE_HOME, else ~/.cache; macOS: ~/Library/Caches; Windows: LOCALAPPDATA. Where HOME is unset the
    account database gives the home folder; None if it does not know one either.
    """
    environ = os.environ if environ is None else environ
    given = environ.get("LOCALAPPDATA" if platform == "win32" else "XDG_CACHE_HOME", "")
    if platform != "darwin" and os.path.isabs(given):
        return os.path.join(given, "trueno")
    home = environ.get("HOME") or _account_home()
    if home is None or not os.path.isabs(home):
        return None
    below = {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(platform, ".cache")
    return os.path.join(home, *below.split("/"), "trueno")


def _account_home() -> str | None:
    if sys.platform == "win32":
        return os.path.expanduser("~")
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
