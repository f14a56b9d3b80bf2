"""What one call needs once the layouts of its operands are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueno.runtime.layout import Layout


@dataclass(slots=True)
class ScalarSlot:
    """How one 8-byte scalar slot of a kernel is filled.

    Attributes
    ----------
    operand : int
        Position of the Python scalar among the call's operands; -1 for a value that is fixed for the entry.
    kind : str
        ``"f"``: the bits of a float64; ``"i"``: an int64 that must lie in [low, high].
    low, high : int
        Bounds of an integer operand; outside them the call takes the slow path, which raises OverflowError.
    bits : int
        The fixed value's 64 bits as a signed integer, where operand is -1.
    """

    operand: int
    kind: str
    low: int = -(2**63)
    high: int = 2**63 - 1
    bits: int = 0


@dataclass(slots=True)
class Entry:
    """One compiled kernel bound to exact layouts: everything a launch needs but the pointers and the scalars.

    Attributes
    ----------
    function : int
        Address of the kernel (ABI in docs/architecture.md).
    meta : Any
        Owner of the int64 array `meta_address` points to.
    tensors : tuple of int
        Positions, among the call's operands, of the tensors, in the order of the kernel's input buffers.
    outputs : tuple of Layout
        Layouts of the results. A result whose `aliases` item is not -1 is written into that operand's memory.
    aliases : tuple of int
        For each output, the operand position that is updated in place and returned, or -1 for a new tensor.
    scratch : tuple of int
        Bytes of each scratch buffer.
    scalars : tuple of ScalarSlot
    parallel : bool
        Whether the work is large enough to be split over threads (and to release the GIL).
    single : bool
        Whether the call returns one Tensor, not a tuple of them.
    verify : callable, optional
        Called after each launch; raises if the kernel reports that it was refused an access (TRUENO_DEBUG=bounds).
    """

    function: int
    meta: Any
    meta_address: int
    tensors: tuple[int, ...]
    outputs: tuple[Layout, ...]
    aliases: tuple[int, ...]
    scratch: tuple[int, ...]
    scalars: tuple[ScalarSlot, ...]
    parallel: bool
    single: bool = True
    verify: Callable[[], None] | None = None
    keep: list[Any] = field(default_factory=list)
