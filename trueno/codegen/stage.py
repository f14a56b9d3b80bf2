"""Stages: loop nests with concrete sizes, and their normal form whose text does not mention sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trueno.codegen.expr import Access, Expr, Store, topological

if TYPE_CHECKING:
    from trueno.codegen.passes import Passes

#: Columns that one task of a column-wise reduction handles; its accumulators live on the stack.
COLUMNS = 256
#: Elements of the innermost dimension that one task of an elementwise stage handles.
CHUNK = 16384
#: Strides of elementwise stages that are part of the code: registers put vectors of them together, or turn them over.
SHORT = (2, 3, -1)
#: Rows of up to that many elements are too short for several vectors at a time.
SHORT_ROW = 256
#: Rows of up to that many are reduced by code that is printed as vectors; see codegen/row_vectors.py.
SEVERAL_ROW = 1024
#: Rows of up to that many are scanned some at a time.
SCANNED_ROW = 1024
#: How many short rows a task walks at most, and how many elements of them.
SHORT_ROWS, TASK = 16, 16384
#: The same of a stage that is printed as vectors, and how many of its rows.
VECTOR_CHUNK, VECTOR_ROWS = 2048, 16
#: Strides along which its accesses may take turns: those of tiles, and of 3 × 3 filters.
RUNS = (2, 4, 8, 9)
#: Kinds of expressions that have an access.
_READING = ("load", "iota", "gather")
#: Rows of up to that many elements are not walked where so many others are read for each, if another dimension is long.
FEW, MANY, LONG = 4, 9, 64
#: Pieces from which on a stage may be written out of order.
PIECES = 4


@dataclass(slots=True)
class Stage:
    """A loop nest over a domain: parallel outer dimensions, then phases that each walk the inner ones.

    Attributes
    ----------
    name : str
        What the stage computes, for comments.
    sizes : list of int
        Extents of the domain's dimensions.
    inner : tuple of int
        Dimensions that are reduced or scanned; empty for an elementwise stage.
    stores : list of Store
    block : int
        When not 0, the (only) inner dimension is split in blocks of this many elements, each a task of its own; the
        stores then have one stride more, that of the block number.
    serial : bool
        Whether iterations of the inner loop depend on each other through memory.
    product : Expr or None
        The reduction, where it is the only one and a contraction.
    partial : bool
        Whether partial results are reduced: so few that sums need not save instructions.
    shared : bool
        Whether the tasks of a row share its result, which is there already: they look at it first, and one that finds
        the reduction's absorbing element stores that.
    """

    name: str
    sizes: list[int]
    inner: tuple[int, ...]
    stores: list[Store] = field(default_factory=list)
    block: int = 0
    serial: bool = False
    product: Expr | None = None
    partial: bool = False
    shared: bool = False


@dataclass
class Loops:
    """A stage in normal form: dimensions dropped, merged, sorted and classified.

    Attributes
    ----------
    outer, inner : list of int
        Extents. An elementwise stage has its last dimension as the inner one.
    accesses : list of tuple
        (buffer, dtype, byte offset, strides over outer dims, strides over inner dims, written).
    numbers : dict
        From the identity of an access to its position.
    columns : bool
        Whether the vector dimension is the last outer one (a reduction over rows of a matrix).
    streams : bool
        Whether the results of an elementwise stage are written past the caches; see codegen/streaming.py.
    short : str
        How a stage walks rows that are too short for several vectors at a time: ``single``, one after the other, or
        ``masked``, the last one in part; empty where rows are long. Reductions know ``masked`` only, and ``vectors``,
        groups of them, see codegen/row_vectors.py; ``scans`` are walked some rows at a time.
    lanes : int
        Elements of the vectors that an elementwise stage is printed with, 0 for LLVM's; see codegen/vectors.py.
    copies : bool
        Whether an elementwise stage moves runs of memory, which the C library does.
    """

    stage: Stage
    outer: list[int]
    inner: list[int]
    accesses: list[tuple[int, np.dtype, int, tuple[int, ...], tuple[int, ...], bool]]
    numbers: dict[Access, int]
    columns: bool
    elementwise: bool
    order: list[Expr]
    streams: bool = False
    short: str = ""
    lanes: int = 0
    copies: bool = False

    @cached_property
    def near(self) -> dict[int, tuple[int, int]]:
        """Accesses that step as an earlier one of the same buffer does: which one, and how many elements behind it.

        Where they are, they need no walk of their own. What lies between the elements of a short stride is taken as
        whole vectors with those, if code knows the distance; 0: it is a run-time number.
        """
        return near(self) if self.elementwise else {}

    @cached_property
    def passes(self) -> Passes | None:
        """How a stage that is printed as vectors is walked in two passes; see codegen/passes.py."""
        from trueno.codegen.passes import passes

        return passes(self, relations(self)) if self.lanes else None

    @cached_property
    def overwritten(self) -> frozenset[int]:
        """Numbers of the accesses that are read and written: of operands whose memory the results get."""
        loaded = _loaded(self.order)
        return frozenset(self.numbers[one.access] for one in self.stage.stores if one.access in loaded)

    @property
    def tasks(self) -> int:
        """Number of independent pieces of work on the CPU."""
        if self.lanes:
            rows = -(-self.outer[-1] // VECTOR_ROWS) if self.outer else 1
            return prod(self.outer[:-1]) * rows * -(-self.inner[-1] // VECTOR_CHUNK)
        if self.short:
            return -(-prod(self.outer) // self.task_rows)
        return self.count_tasks(CHUNK, COLUMNS)

    @property
    def apart(self) -> bool:
        """Whether an elementwise stage reads many elements far from each other for each that it writes.

        Vectors of them would be put together one by one: single elements take as long, and half of the code.
        """
        reads = [access for access in self.accesses if not access[5]]
        return self.elementwise and len(reads) >= MANY and all(access[4][-1] > FEW for access in reads)

    @property
    def task_rows(self) -> int:
        """How many short rows a task walks: of reductions over several dimensions fewer, since each is long then."""
        return min(max(TASK // max(prod(self.inner), 1), 1), SHORT_ROWS)

    def count_tasks(self, chunk: int, columns: int) -> int:
        """Return the number of tasks, if one handles so many elements of an elementwise stage, or so many columns."""
        count = 1
        for extent in self.outer[:-1] if self.columns else self.outer:
            count *= extent
        if self.columns:
            count *= -(-self.outer[-1] // columns)
        if self.elementwise:
            count *= -(-self.inner[-1] // chunk)
        return count

    @property
    def elements(self) -> int:
        """Number of points of the domain."""
        count = 1
        for extent in self.outer + self.inner:
            count *= extent
        return count

    @property
    def text(self) -> str:
        """The stage's canonical text."""
        return text(self)

    @property
    def meta_size(self) -> int:
        """How many run-time numbers the stage has."""
        return meta_layout(self)["end"]

    def meta_values(self, parallel: bool) -> list[int]:
        """Return the run-time numbers."""
        return meta_values(self, parallel)


def merge(dims: list[int], sizes: dict[int, int], columns_of: list[dict[int, int]]) -> list[int]:
    """Merge neighbours that every access steps through as one dimension; sizes and strides change in place."""
    merged: list[int] = []
    for dim in dims:
        if sizes[dim] == 1:
            continue
        if merged:
            previous = merged[-1]
            if all(strides[previous] == strides[dim] * sizes[dim] for strides in columns_of):
                sizes[previous] *= sizes[dim]
                for strides in columns_of:
                    strides[previous] = strides[dim]
                continue
        merged.append(dim)
    return merged


def accesses_of(order: Sequence[Expr], stores: Sequence[Store]) -> list[Access]:
    """Return the distinct accesses in the order of first use."""
    return list(_loaded(order) | dict.fromkeys(store.access for store in stores))


def _loaded(order: Sequence[Expr]) -> dict[Access, None]:
    """Return the distinct accesses that are read."""
    read = (expr.arg if expr.kind in ("load", "iota") else expr.arg[0] for expr in order if expr.kind in _READING)
    return dict.fromkeys(read)


def sorted_dims(dims: Sequence[int], guides: Sequence[Mapping[int, int]]) -> list[int]:
    """Order dims by falling stride of the first guiding access that tells them apart."""
    return sorted(dims, key=lambda dim: tuple(-abs(strides[dim]) for strides in guides))


def _guides(dims: Sequence[int], writes: list[dict[int, int]], reads: list[dict[int, int]]) -> list[dict[int, int]]:
    """Return the accesses that order the dimensions of an elementwise stage, those that decide first.

    Memory is written in order, unless many pieces are read to write few, all of them along another dimension.
    """
    if dims and PIECES <= len(writes) < len(reads):
        inner = sorted_dims(dims, writes + reads)[-1]
        dense = [dim for dim in dims if all(abs(one[dim]) == 1 for one in reads)]
        if dense and inner not in dense:
            return reads + writes
    return writes + reads


def _walked(dims: Sequence[int], sizes: Mapping[int, int], reads: Sequence[Any], writes: Sequence[Any]) -> int:
    """Return which of an elementwise stage's dimensions is walked by vectors: the last, unless it is no row at all.

    Windows of small images are large, few and apart: vectors of images, whose elements are gathered, are longer.
    """
    last = len(dims) - 1
    if len(reads) < MANY or len(writes) > 2 or sizes[dims[last]] > FEW:
        return last
    longest = max(range(len(dims)), key=lambda k: sizes[dims[k]])
    return longest if sizes[dims[longest]] >= LONG else last


def _emptied(stage: Stage) -> Stage:
    """Return an elementwise stage over no elements with all axes but one of extent 1."""
    return Stage(stage.name, [0 if k == len(stage.sizes) - 1 else 1 for k in range(len(stage.sizes))], (), stage.stores)


def normalise(stage: Stage) -> Loops:
    """Bring a stage to normal form."""
    if not stage.inner and 0 in stage.sizes:
        # Nothing to do, in whatever shape: the loop over one axis does it.
        stage = _emptied(stage)
    order = topological([e for store in stage.stores for e in (store.value, store.index) if e is not None])
    accesses = accesses_of(order, stage.stores)
    written = {store.access for store in stage.stores}
    sizes = dict(enumerate(stage.sizes))
    blocks = len(stage.sizes)
    if stage.block:
        (split,) = stage.inner
        sizes[blocks] = -(-stage.sizes[split] // stage.block)
    strides = []
    for access in accesses:
        steps = dict(enumerate(access.strides))
        if stage.block:
            # A written partial result has its own stride for the block; a read moves by whole blocks.
            steps.setdefault(blocks, access.strides[stage.inner[0]] * stage.block)
        strides.append(steps)
    outer = [dim for dim in sizes if dim not in stage.inner]
    inner = list(stage.inner)
    elementwise = not inner
    writes = [s for s, access in zip(strides, accesses, strict=True) if access in written]
    # A stage may write into an operand: that access is of both kinds.
    loaded = _loaded(order)
    reads = [s for s, access in zip(strides, accesses, strict=True) if access in loaded] or strides
    for dim in (dim for dim, extent in sizes.items() if extent == 0):
        # What does not move along a dimension is read before its loop: operands without elements must move.
        for steps in strides if elementwise else reads:
            steps[dim] = 1
    outer = [dim for dim in outer if dim != blocks]
    guides = _guides([dim for dim in outer if sizes[dim] > 1], writes, reads) if elementwise else (writes or reads)
    outer = merge(sorted_dims(outer, guides), sizes, strides)
    if stage.block:
        outer.insert(0, blocks)
    if elementwise:
        inner = [outer.pop(_walked(outer, sizes, reads, writes))] if outer else []
    elif not stage.block:
        inner = merge(sorted_dims(inner, reads), sizes, strides)
    if not inner:
        # All extents are 1: step as along the last axis, so that one element runs the code of many.
        last = (stage.inner or range(len(stage.sizes)))[-1] if stage.sizes else None
        inner = [len(sizes)]
        sizes[inner[0]] = 1
        for steps in strides:
            steps[inner[0]] = 0 if last is None else steps[last]
    columns = False
    if not elementwise and outer and not stage.serial:
        last, vector = inner[-1], outer[-1]
        moving = [s for s, a in zip(strides, accesses, strict=True) if s[last] and a.buffer >= 0 and a in loaded]
        columns = vector != blocks and any(s[last] != 1 and s[vector] == 1 for s in moving)
    listed = [
        (
            a.buffer,
            a.dtype,
            a.offset * a.dtype.itemsize,
            tuple(s[d] for d in outer),
            tuple(s[d] for d in inner),
            a in written,
        )
        for a, s in zip(accesses, strides, strict=True)
    ]
    return Loops(
        stage, [sizes[d] for d in outer], [sizes[d] for d in inner], listed,
        {access: k for k, access in enumerate(accesses)}, columns, elementwise, order,
    )  # fmt: skip


def near(loops: Loops) -> dict[int, tuple[int, int]]:
    """Return the accesses that step as an earlier one does, as `Loops.near` has them."""
    found: dict[int, tuple[int, int]] = {}
    first: dict[tuple, list[int]] = {}
    for k, (buffer, dtype, offset, outer, inner, written) in enumerate(loops.accesses):
        leaders = first.setdefault((buffer, dtype, outer, inner, written), [])
        apart = [(leader, (offset - loops.accesses[leader][2]) // dtype.itemsize) for leader in leaders]
        together = [one for one in apart if inner[-1] in SHORT and 0 < one[1] < 2 * inner[-1]]
        if buffer >= 0 and together:
            found[k] = together[0]
        elif buffer >= 0 and apart and apart[0][1] > 0:
            found[k] = apart[0][0], 0
        leaders += [] if k in found and found[k][1] else [k]
    return found


def copied(store: Store) -> Access | None:
    """Return what a store moves as it is, or None where it computes something."""
    value = store.value
    if value.kind == "op" and value.op is not None and value.op.name == "positive":
        (value,) = value.src
    return value.arg if value.kind == "load" and value.dtype == store.access.dtype and store.index is None else None


def copies(loops: Loops, replaced: Set[int]) -> bool:
    """Tell whether all that an elementwise stage does is to move runs of memory.

    `replaced`: results that overwrite an operand; all of a point is read before they are written.
    """
    if not loops.elementwise or loops.stage.serial or any(kind != "1" for kind in vector_classes(loops)):
        return False
    stores = loops.stage.stores
    if len(stores) > 1 and any(store.access.buffer in replaced for store in stores):
        return False
    return all(copied(store) is not None for store in stores)


class Relations(NamedTuple):
    """How accesses of a stage lie to each other.

    Attributes
    ----------
    leaders : list of int
        For each access the first one of the same buffer and strides, from which it lies a fixed distance away.
    runs : list of tuple
        Accesses that take turns along memory: the numbers of those at positions 0, 1, ..., None for none; as many as
        their stride.
    """

    leaders: list[int]
    runs: list[tuple[int | None, ...]]

    def text(self) -> str:
        """Return all of it for the text of a stage."""
        return f"leaders={self.leaders} runs={self.runs}"


def relations(loops: Loops) -> Relations:
    """Return how the accesses of an elementwise stage lie to each other."""
    groups: dict[tuple, list[int]] = {}
    for k, (buffer, _, _, outer, inner, _) in enumerate(loops.accesses):
        groups.setdefault((buffer, outer, inner), []).append(k)
    leaders = [0] * len(loops.accesses)
    runs: list[tuple[int | None, ...]] = []
    for (_, _, inner), members in groups.items():
        for k in members:
            leaders[k] = members[0]
        if inner[-1] in RUNS:
            runs += _runs(loops, members, inner[-1])
    return Relations(leaders, runs)


def _runs(loops: Loops, members: list[int], stride: int) -> list[tuple[int | None, ...]]:
    """Return which accesses of one stride take turns along memory; stores do only where nothing is left between.

    Nor do stores at odd strides, which there are none of: they could not be woven pair by pair.
    """
    found: list[tuple[int | None, ...]] = []
    waiting = sorted(members, key=lambda k: loops.accesses[k][2])
    while waiting:
        _, dtype, begin, _, _, written = loops.accesses[waiting[0]]
        positions = {(loops.accesses[k][2] - begin) // dtype.itemsize: k for k in reversed(waiting)}
        run = tuple(positions.get(place) for place in range(stride))
        taken = {k for k in run if k is not None}
        waiting = [k for k in waiting[1:] if k not in taken]
        if len(taken) > 1 and not (written and (len(taken) < stride or stride % 2)):
            found.append(run)
    return found


def stride_class(stride: int) -> str:
    """Return how code steps along the vector dimension: ``0`` not at all, ``1`` densely, ``s`` by a run-time stride."""
    return str(stride) if stride in (0, 1) else "s"


def vector_classes(loops: Loops) -> list[str]:
    """Return the stride class of each access along the dimension that is vectorised; short ones are numbers."""
    if loops.elementwise:
        return [str(a[4][-1]) if a[4][-1] in SHORT else stride_class(a[4][-1]) for a in loops.accesses]
    return [stride_class(a[3][-1] if loops.columns else a[4][-1]) for a in loops.accesses]


def text(loops: Loops) -> str:
    """Return the stage's canonical text: all that its code depends on, and nothing else."""
    kind = "columns" if loops.columns else "elementwise" if loops.elementwise else "rows"
    flags = f"{' block' if loops.stage.block else ''}{' serial' if loops.stage.serial else ''}"
    flags += " apart" if loops.apart else ""
    flags += " streams" if loops.streams else ""
    flags += " copies" if loops.copies else ""
    flags += f" {loops.short}" if loops.short else ""
    if loops.lanes:
        flags += f" lanes={loops.lanes} {relations(loops).text()}"
    flags += " partial" if loops.stage.partial else ""
    flags += " shared" if loops.stage.shared else ""
    lines = [f"stage {kind} outer={len(loops.outer)} inner={len(loops.inner)}{flags}"]
    for k, (access, cls) in enumerate(zip(loops.accesses, vector_classes(loops), strict=True)):
        moves = "".join("0" if s == 0 else "s" for s in access[4][:-1])
        memory = "iota" if access[0] < 0 else "write" if access[5] else "read"
        memory = "overwrite" if k in loops.overwritten else memory
        inner_class = stride_class(access[4][-1]) if loops.columns else cls
        walk = f"inner={moves}{inner_class} vector={cls}"
        if k in loops.near:
            leader, ahead = loops.near[k]
            walk += f" a{leader} + {ahead or 's'}"
        lines.append(f"  a{k}: {memory} {access[1]} {walk}")
    number = {id(expr): k for k, expr in enumerate(loops.order)}
    lines += expression_lines(loops.order, loops.numbers)
    for store in loops.stage.stores:
        at = f"[%{number[id(store.index)]}]" if store.index is not None else ""
        lines.append(f"  a{loops.numbers[store.access]}{at} <- %{number[id(store.value)]}")
    return "\n".join(lines)


def expression_lines(order: Sequence[Expr], numbers: Mapping[Access, int]) -> list[str]:
    """Return the text of expressions, a line for each, free of sizes and strides."""
    number = {id(expr): k for k, expr in enumerate(order)}
    lines = []
    for k, expr in enumerate(order):
        operands = " ".join(f"%{number[id(s)]}" for s in expr.src)
        match expr.kind:
            case "load" | "iota":
                detail = f"a{numbers[expr.arg]}"
            case "gather":
                detail = f"a{numbers[expr.arg[0]]}"
            case "scalar":
                detail = ""
            case "const":
                detail = float(expr.arg).hex() if isinstance(expr.arg, float) else repr(expr.arg)
            case _:
                detail = expr.op.name if expr.op else ""
                detail += f" {expr.arg}" if isinstance(expr.arg, str) else ""
        lines.append(f"  %{k} = {expr.kind} {detail} {operands} : {expr.dtype}")
    return lines


def meta_layout(loops: Loops) -> dict[str, int]:
    """Return where each run-time number of a stage lies in its part of the meta array."""
    places: dict[str, int] = {}

    def put(name: str, count: int = 1) -> None:
        places[name] = places["end"]
        places["end"] += count

    places["end"] = 0
    put("tasks")
    put("parallel")
    put("outer", len(loops.outer))
    put("inner", len(loops.inner))
    put("block", 2)
    if loops.short:
        put("rows")
    for k in range(len(loops.accesses)):
        put(f"a{k}", 2 + len(loops.outer) + len(loops.inner))
    for k, expr in enumerate(loops.order):
        if expr.kind == "gather":
            put(f"gather{k}", 2)
        elif expr.kind == "scalar":
            put(f"scalar{k}")
    for k, store in enumerate(loops.stage.stores):
        if store.index is not None:
            put(f"scatter{k}", 2)
    for k, members in turns(loops).items():
        put(f"turns{k}", len(members))
    return places


def meta_values(loops: Loops, parallel: bool) -> list[int]:
    """Return the run-time numbers of a stage, as `meta_layout` places them."""
    block, extent = loops.stage.block, loops.stage.sizes[loops.stage.inner[0]] if loops.stage.block else 0
    values = [loops.tasks, int(parallel), *loops.outer, *loops.inner, block, extent]
    values += [loops.task_rows] if loops.short else []
    for access in loops.accesses:
        offset = access[2] // access[1].itemsize if access[0] < 0 else access[2]
        values += [access[0], offset, *access[3], *access[4]]
    for expr in loops.order:
        if expr.kind == "gather":
            values += [expr.arg[1], expr.arg[2]]
        elif expr.kind == "scalar":
            values.append(expr.arg)
    for store in loops.stage.stores:
        if store.index is not None:
            values += list(store.scatter)
    for members in turns(loops).values():
        values += [loops.accesses[k][2] for k in members]
    return values


def turns(loops: Loops) -> dict[int, tuple[int, ...]]:
    """Return the accesses at the same place of the turns of a loop, by the first of them."""
    return loops.passes.turns if loops.lanes and loops.passes else {}
