"""Several object files as one piece of stored code: each behind its size (8 bytes, little-endian)."""

from __future__ import annotations

from collections.abc import Sequence


def bundle(objects: Sequence[bytes]) -> bytes:
    """Join object files into one stored code."""
    return b"".join(len(one).to_bytes(8, "little") + one for one in objects)


def unbundle(code: bytes) -> list[bytes]:
    """Return the object files that were joined."""
    objects = []
    while code:
        end = 8 + int.from_bytes(code[:8], "little")
        objects.append(code[8:end])
        code = code[end:]
    return objects
