"""What plans decide by measurement: one record of numbers, tuned on a machine or as they are here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Choices(NamedTuple):
    """Numbers that no rule gives. The defaults were measured on servers with AVX-512 and 2 MB of cache a core.

    No choice changes a result's bits: those that decide how elements are grouped in sums are not here.

    Attributes
    ----------
    parallel_nanoseconds : int
        Estimated time of a stage, on one thread, above which it is spread over threads.
    stream_bytes : int
        Bytes read and written above which an elementwise stage's results go past the caches. Below, the next call would
        miss them in the last-level cache: one call gains from 6 MB on, but calls that use each other's results still
        lost at 48 MB (docs/performance.md).
    product_rows : int
        Rows of the register tile of a matrix product, two vectors wide; 0: as many as the registers hold.
    product_high : int
        Rows of a block of a product that is added up in memory, at most. Each block copies the columns anew.
    """

    parallel_nanoseconds: int = 6000
    stream_bytes: int = 64 << 20
    product_rows: int = 0
    product_high: int = 2048


_state = {"current": Choices()}


def current() -> Choices:
    """Return the choices that plans follow."""
    return _state["current"]


def use(choices: Choices) -> None:
    """Make plans follow other choices from now on."""
    _state["current"] = choices


@contextmanager
def using(choices: Choices) -> Iterator[None]:
    """Follow other choices inside the block."""
    before = current()
    use(choices)
    try:
        yield
    finally:
        use(before)
