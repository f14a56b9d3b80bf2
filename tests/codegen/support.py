"""What tests of generated code share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from trueno.runtime import cpu


@contextmanager
def lowered() -> Iterator[list[Any]]:
    """Collect what the CPU lowers inside the block: kernels with their steps."""
    found: list[Any] = []
    lower = cpu.lower

    def watched(*args: Any, **keywords: Any) -> Any:
        found.append(lower(*args, **keywords))
        return found[-1]

    with mock.patch.object(cpu, "lower", watched):
        yield found
