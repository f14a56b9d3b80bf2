"""Within what a stage is planned: the limits of the device, and the space that is walked."""

from __future__ import annotations

from dataclasses import dataclass, field

from trueno.codegen.expr import Expr
from trueno.codegen.stage import COLUMNS
from trueno.ir.node import Node


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan needs to know of the device.

    Attributes
    ----------
    split_elements : int
        Reductions over at least this many elements are split when they make fewer than `split_tasks` tasks.
    split_tasks : int
    block : int
        Elements of one block of a split reduction.
    columns : int
        Columns that one task handles where memory runs across the reduced dimensions.
    contractions : bool
        Whether sums of products get stages of their own, for a back end that has code for them.
    rows : int
        Rows that a block of them has at least.
    """

    split_elements: int = 65536
    split_tasks: int = 16
    block: int = 16384
    columns: int = COLUMNS
    contractions: bool = False
    rows: int = 256


class NotFusable(Exception):
    """Raised with the node that has to be computed by a stage of its own."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.node = node


@dataclass(slots=True)
class Domain:
    """The iteration space of the stage that is being built."""

    sizes: tuple[int, ...]
    inner: tuple[int, ...]
    # Whether a task walks the inner dimensions from end to end: a block's own maximum is not the row's.
    whole: bool = True
    # A contraction is the only reduction of its stage.
    product: Node | None = None
    writer: int = -1
    known: dict[tuple, Expr] = field(default_factory=dict)
