"""Keys of the kernel store and the format of its files.

A file is a fixed prelude (magic, SHA-256 of all that follows the checksum, digest of the key, length of the header),
the header as JSON and the code. Nothing in it is executed or unpickled when it is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from functools import cached_property
from typing import Any

SCHEMA = 1
"""Version of the file format; a folder of the store is named after it."""

SUFFIX = ".tnk"

_MAGIC = b"TRUENO1\n"
_PRELUDE = struct.Struct("<8s32s32sQ")
_CHECKED_FROM = 40
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class ContentError(ValueError):
    """A file of the store does not hold what was written; `reason` is one word for the statistics."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Key:
    """What an entry depends on: named parts, in order. Equal keys have equal code.

    Parameters
    ----------
    parts : tuple of (str, str)
        Names and values. Only content belongs here: no path, time, process number, hash or id of an object.
    target : str
        What the code runs on; the name of a folder, beginning with the backend: ``"llvm-x86-64-v4"``,
        ``"opencl-pocl"``.

    Raises
    ------
    TypeError
        A name or value is not a string.
    ValueError
        Two parts have one name, or the target does not fit a folder's name.
    """

    def __init__(self, parts: tuple[tuple[str, str], ...], target: str) -> None:
        for part in parts:
            if len(part) != 2 or not all(isinstance(text, str) for text in part):
                raise TypeError(f"Key: a part is a pair of strings (name, value), got {part!r}")
        names = [name for name, _ in parts]
        if len(set(names)) != len(names):
            raise ValueError(f"Key: the names of parts must differ, got {names}")
        if _TARGET.fullmatch(target) is None:
            raise ValueError(f"Key: target {target!r} must be letters, digits and . _ + -, 100 at most")
        self.parts = parts
        self.target = target

    def __repr__(self) -> str:
        return f"Key({self.parts!r}, {self.target!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.parts == other.parts and self.target == other.target

    def __hash__(self) -> int:
        return hash((self.parts, self.target))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of target and parts, 64 hex digits; the same in every process and on every machine."""
        hasher = hashlib.sha256()
        for text in (self.target, *(text for part in self.parts for text in part)):
            data = text.encode("utf-8", "surrogatepass")
            # Lengths go first, so that no two lists of texts have one encoding.
            hasher.update(b"%d:" % len(data))
            hasher.update(data)
        return hasher.hexdigest()

    @property
    def backend(self) -> str:
        """The target's first word, ``"llvm"`` or ``"opencl"``: statistics are kept for each."""
        return self.target.partition("-")[0]


class Stored:
    """One entry as it was read.

    Attributes
    ----------
    digest : str
    code : bytes
    path : str
        Its file.
    size : int
        Bytes of the file.
    used : float
        When it was last written or loaded before this (seconds since the epoch).
    """

    def __init__(self, digest: str, code: bytes, document: bytes, path: str, size: int, used: float) -> None:
        self.digest = digest
        self.code = code
        self.path = path
        self.size = size
        self.used = used
        self._document = document

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        return json.loads(self._document)

    @property
    def header(self) -> dict[str, Any]:
        """What the compiler said of the entry; parsed when it is first asked for."""
        return self._parsed["header"]

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return str(self.header.get("name") or self.header.get("op") or "?")

    @property
    def backend(self) -> str:
        """What made the code: ``"llvm"`` or ``"opencl"``."""
        return str(self.header.get("backend") or self.key.backend)

    @property
    def key(self) -> Key:
        """The key that the entry was saved under."""
        return Key(tuple((name, value) for name, value in self._parsed["key"]), self._parsed["target"])


def encode(key: Key, code: bytes, header: dict[str, Any]) -> bytes:
    """Return the bytes of an entry's file.

    Raises
    ------
    TypeError, ValueError
        The header holds something JSON cannot.
    """
    document = json.dumps(
        {"target": key.target, "key": [list(part) for part in key.parts], "header": header}, allow_nan=False
    ).encode("ascii")
    prelude = _PRELUDE.pack(_MAGIC, bytes(32), bytes.fromhex(key.digest), len(document))
    checked = b"".join((prelude[_CHECKED_FROM:], document, code))
    return b"".join((_MAGIC, hashlib.sha256(checked).digest(), checked))


def decode(data: bytes, digest: str, path: str, used: float = 0.0) -> Stored:
    """Return the entry that a file's bytes hold.

    Parameters
    ----------
    data : bytes
    digest : str
        Digest that the file's name promises.
    path : str
    used : float

    Raises
    ------
    ContentError
        The bytes are not a whole, unchanged entry with this digest.
    """
    if len(data) < _PRELUDE.size:
        raise ContentError("truncated", f"{len(data)} bytes are fewer than an entry's first {_PRELUDE.size}")
    magic, checksum, own, length = _PRELUDE.unpack_from(data)
    if magic != _MAGIC:
        raise ContentError("magic", "not an entry of this version")
    view = memoryview(data)
    if hashlib.sha256(view[_CHECKED_FROM:]).digest() != checksum:
        raise ContentError("checksum", "checksum and content differ")
    if own.hex() != digest:
        raise ContentError("name", f"holds the entry {own.hex()}")
    start = _PRELUDE.size + length
    return Stored(digest, data[start:], data[_PRELUDE.size : start], path, len(data), used)


def check(entry: Stored) -> None:
    """Check what `decode` leaves for later: that the header parses and its key is the one the file is named after.

    Raises
    ------
    ContentError
    """
    try:
        key, header = entry.key, entry.header
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError("header", f"the header does not parse: {error}") from error
    if key.digest != entry.digest or not isinstance(header, dict):
        raise ContentError("header", "the header's key is not the one that the file is named after")
