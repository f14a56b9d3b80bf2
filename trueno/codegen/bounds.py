"""Bounds checks in generated CPU code: every access is compared with the extent of the buffer that it goes to.

A checked kernel's meta array holds more: a word before the numbers of each step, the distance from those to the
report; after the last step the report, `REPORT` words that are 0 until an access is refused; then for each buffer, in
bytes from its first element, where its memory begins and ends. A refused access ends its function without being made,
and the first of a launch, on whichever thread, fills the report. Printers know from which buffer each of their pointers
was derived; code that is printed without them is checked where it is called, for all that it will touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from trueno.codegen.llvm import LLVMPrinter

REPORT = 4
"""Words of the report: whether an access was refused, its buffer, its byte offset, whether it was a store."""

_REFUSE = """define internal void @trueno.refuse(ptr %report, i64 %buffer, i64 %offset, i64 %store) noinline cold #0 {
entry:
  %exchanged = cmpxchg ptr %report, i64 0, i64 1 monotonic monotonic
  %first = extractvalue { i64, i1 } %exchanged, 1
  br i1 %first, label %tell, label %end
tell:
  %p1 = getelementptr i64, ptr %report, i64 1
  store i64 %buffer, ptr %p1, align 8
  %p2 = getelementptr i64, ptr %report, i64 2
  store i64 %offset, ptr %p2, align 8
  %p3 = getelementptr i64, ptr %report, i64 3
  store i64 %store, ptr %p3, align 8
  br label %end
end:
  ret void
}"""


def meta_array(steps: Sequence[Sequence[int]], extents: Sequence[tuple[int, int]]) -> list[int]:
    """Return the meta array of a checked kernel; its first step's numbers are those from word 1 on.

    Parameters
    ----------
    steps : sequence of sequence of int
        The numbers of each step.
    extents : sequence of (int, int)
        Of each buffer, in bytes.
    """
    words: list[int] = []
    end = sum(1 + len(numbers) for numbers in steps)
    for numbers in steps:
        words += [end - len(words) - 1, *numbers]
    return [*words, *[0] * REPORT, *(bound for extent in extents for bound in extent)]


class Region(NamedTuple):
    """Names of the values that describe a buffer in a function: its number, and addresses as integers."""

    buffer: str
    base: str
    low: str
    high: str


class Bounds:
    """What the printer of a checked function knows of its pointers."""

    def __init__(self, printer: LLVMPrinter) -> None:
        self.p = printer
        self._report = ""
        self._regions: dict[str, Region | None] = {}

    def begin(self, pointer: str, buffer: str | None) -> None:
        """Say that a pointer goes into a buffer; None: into memory of the kernel's own, or that the caller checks."""
        self._regions[pointer] = None if buffer is None else self._region(buffer)

    def follow(self, made: str, pointer: str) -> None:
        """Say that a pointer was made from another one."""
        self._regions[made] = self._regions[pointer]

    def _region(self, buffer: str) -> Region:
        p = self.p
        if not self._report:
            distance = p.meta(-1)
            self._report = p.let_on_entry(f"getelementptr i64, ptr %meta, i64 {distance}")
        place = p.let(f"getelementptr ptr, ptr %buffers, i64 {buffer}")
        base = p.let(f"ptrtoint ptr {p.let(f'load ptr, ptr {place}, align 8')} to i64")
        row = p.arith("add", p.arith("mul", buffer, "2"), str(REPORT))
        bounds = []
        for side in ("0", "1"):
            at = p.let(f"getelementptr i64, ptr {self._report}, i64 {p.arith('add', row, side)}")
            bounds.append(p.let(f"add i64 {base}, {p.let(f'load i64, ptr {at}, align 8')}"))
        return Region(buffer, base, *bounds)

    def check(self, pointer: str, dtype: np.dtype, writes: bool = False, walks: Sequence[tuple[str, str]] = ()) -> None:
        """Print the check of an element, or of all elements of a grid.

        Parameters
        ----------
        pointer : str
        dtype : numpy.dtype
        writes : bool
        walks : sequence of (str, str)
            Count and stride in elements of each dimension of the grid; nothing is checked where a count is 0.
        """
        region = self._regions[pointer]
        if region is None:
            return
        p, size = self.p, str(dtype.itemsize)
        with ExitStack() as nest:
            low = high = "0"
            for count, stride in walks:
                nest.enter_context(p.when(p.compare("slt", "0", count)))
                reach = p.arith("mul", p.arith("sub", count, "1"), stride)
                low = p.arith("add", low, p.arith("min", reach, "0"))
                high = p.arith("add", high, p.arith("max", reach, "0"))
            address = p.let(f"ptrtoint ptr {pointer} to i64")
            first = p.arith("add", address, p.arith("mul", low, size))
            last = p.arith("add", address, p.arith("mul", high, size))
            self._compare(region, first, last, size, writes)

    def _compare(self, region: Region, first: str, last: str, size: str, writes: bool) -> None:
        p = self.p
        p.module.helpers["@trueno.refuse"] = _REFUSE
        begins = p.let(f"icmp uge i64 {first}, {region.low}")
        end = p.let(f"add i64 {last}, {size}")
        ends = p.let(f"icmp ule i64 {end}, {region.high}")
        with p.when(p.both(begins, ends), False):
            outside = p.select(begins, last, first, "i64")
            offset = p.let(f"sub i64 {outside}, {region.base}")
            p.call(f"@trueno.refuse(ptr {self._report}, i64 {region.buffer}, i64 {offset}, i64 {int(writes)})")
            p.leave()
