"""What planning takes and makes: the limits of the device, the space that a stage walks, and the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trueno.codegen.buffer import ZERO, Coordinate
from trueno.codegen.expr import Expr
from trueno.codegen.stage import COLUMNS, Stage
from trueno.ir.node import Kernel, Node

if TYPE_CHECKING:
    from trueno.codegen.joined import Run

#: Stores of a stage at most: LLVM takes long for loops over more places.
STORES = 8
#: Those of a stage that is printed as vectors, if all go into one result: see codegen/vectors.py.
MOST_PIECES = 64


class Limits(NamedTuple):
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
    pieces : int
        Pieces of one result that a stage stores at most.
    shared : bool
        Whether a task sees what another one of its stage has stored.
    bfloat16 : bool
        Whether products of bfloat16 take a fraction of the time of those of float32.
    """

    split_elements: int = 65536
    split_tasks: int = 16
    block: int = 16384
    columns: int = COLUMNS
    contractions: bool = False
    rows: int = 256
    pieces: int = STORES
    shared: bool = False
    bfloat16: bool = False


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


def block_of(domain: Domain, limits: Limits, column_wise: Callable[[], bool]) -> int:
    """Return the block of a reduction that is long and makes few tasks, else 0.

    `column_wise` tells whether it walks columns; finding out takes longer than the rest.
    """
    rows = elements = 1
    for k, extent in enumerate(domain.sizes):
        elements *= extent
        rows *= 1 if k in domain.inner else extent
    if elements < limits.split_elements:
        return 0
    if not column_wise():
        # Rows of less than two blocks are not worth another stage.
        few = rows < limits.split_tasks and elements >= 2 * limits.block * rows
        return limits.block if few else 0
    if -(-rows // limits.columns) >= limits.split_tasks:
        return 0
    length = max(domain.sizes[k] for k in domain.inner)
    count = -(-length // max(limits.block // min(rows, limits.columns), limits.rows))
    return -(-length // count) if count > 1 else 0


def root_coordinates(root: Node, domain: Domain, reduce_node: Node) -> list[Coordinate]:
    """Return the coordinates, in the domain of its reductions, of what is stored."""
    if root.shape == domain.sizes:
        return [(k, 1, 0) for k in range(root.ndim)]
    outer = [k for k, n in enumerate(domain.sizes) if k not in domain.inner and n != 1]
    wide = [k for k, n in enumerate(root.shape) if n != 1]
    if [root.shape[k] for k in wide] != [domain.sizes[k] for k in outer]:
        raise NotFusable(reduce_node)
    coords: list[Coordinate] = [ZERO] * root.ndim
    for k, dim in zip(wide, outer, strict=True):
        coords[k] = (dim, 1, 0)
    return coords


@dataclass(slots=True)
class Plan:
    """The stages of a kernel for exact layouts.

    Attributes
    ----------
    kernel : Kernel
    stages : list of Stage
    scratch : list of int
        Bytes of each scratch buffer; they are numbered after operands and outputs.
    slots : list of tuple
        (operand position or None, dtype, value) of each scalar slot.
    joined : list of Run
        Stages that may be run block by block; see codegen/joined.py.
    """

    kernel: Kernel
    stages: list[Stage] = field(default_factory=list)
    scratch: list[int] = field(default_factory=list)
    slots: list[tuple[int | None, np.dtype, Any]] = field(default_factory=list)
    joined: list[Run] = field(default_factory=list)
