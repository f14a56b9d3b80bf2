"""Results too large for the caches: stores that go past them.

An ordinary store reads the line that it overwrites and pushes something else out of the cache; a non-temporal one does
neither (Intel 64 and IA-32 Optimization Reference Manual, section "Non-temporal Stores").

LLVM's vectoriser leaves loops with non-temporal stores alone where it cannot see that vectors are aligned. So the loop
is printed with marked stores, and their vectors become non-temporal in what the optimiser returns: a stage that streams
writes fresh memory, whose beginning is aligned, from an index that is a multiple of the vector's length.
"""

from __future__ import annotations

import re
from collections.abc import Set

from trueno.codegen import choices
from trueno.codegen.stage import Loops
from trueno.codegen.target import Target

MARK = "trueno.streams"
#: Metadata that survives vectorisation: the scope of an alias analysis in which nothing else is.
SCOPE = ("distinct !{!SELF}", f'distinct !{{!SELF, !DOMAIN, !"{MARK}"}}', "!{!SCOPE}")

_STORE = re.compile(r"(store <(\d+) x (\w+)> .*), align \d+(.*)!alias.scope (!\d+)(.*)")
_BITS = {"float": 32, "double": 64, "half": 16}
#: Of fresh memory, in bytes.
ALIGNMENT = 64
#: Narrower vectors are what is left over of a loop.
_LEAST_BYTES = 32


def streams(loops: Loops, inputs: int, replaced: Set[int], target: Target) -> bool:
    """Whether a stage should stream its results.

    Parameters
    ----------
    loops : Loops
    inputs : int
        Number of operand arrays; the buffers of results and scratch follow them.
    replaced : set of int
        Numbers of the results that overwrite an operand.
    target : Target
    """
    if not loops.elementwise or loops.outer or not target.vectorise or not target.has("avx"):
        return False
    written = [access for access in loops.accesses if access[5]]
    if any(number < inputs or number in replaced or offset for number, _, offset, *_ in written):
        return False  # an operand's memory, or a part of a result, may begin anywhere
    if loops.overwritten:
        return False  # lines that were read are in the cache
    if any(access[4][-1] != 1 for access in written) or any(store.index for store in loops.stage.stores):
        return False
    nbytes = sum(access[1].itemsize * (loops.elements if access[4][-1] else 1) for access in loops.accesses)
    return nbytes >= choices.current().stream_bytes


def past_caches(text: str) -> str:
    """Return optimised LLVM IR in which the vectors of marked stores are non-temporal."""
    scope = re.search(rf'^(!\d+) = distinct !{{!\d+, !\d+, !"{MARK}"}}$', text, re.MULTILINE)
    group = scope and re.search(rf"^(!\d+) = !{{{scope[1]}}}$", text, re.MULTILINE)
    if not group:
        return text
    numbers = map(int, re.findall(r"^!(\d+) =", text, re.MULTILINE))
    fresh = f"!{1 + max(numbers)}"

    def replaced(found: re.Match[str]) -> str:
        head, count, kind, middle, marks, tail = found.groups()
        nbytes = int(count) * (_BITS.get(kind) or int(kind[1:])) // 8
        if marks != group[1] or nbytes < _LEAST_BYTES:
            return found[0]
        return f"{head}, align {min(nbytes, ALIGNMENT)}{middle}!alias.scope {marks}, !nontemporal {fresh}{tail}"

    return f"{_STORE.sub(replaced, text)}\n{fresh} = !{{i32 1}}\n"
