"""Which generator made a piece of code: part of every key, so that a changed generator never meets old code."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources


@cache
def digest() -> str:
    """Return a digest of this package's source text: the same wherever and whenever it was installed."""
    text = hashlib.sha256()
    for folder in (resources.files("trueno.codegen"), resources.files("trueno.codegen.contraction")):
        for file in sorted(folder.iterdir(), key=lambda one: one.name):
            if file.name.endswith(".py"):
                text.update(file.name.encode() + b"\0" + file.read_bytes())
    return text.hexdigest()[:16]
