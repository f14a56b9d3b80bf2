"""The steps of a contraction in normal form: packing a factor, and multiplying.

Like the loops of a stage, a step has a text that holds everything its code depends on and no sizes, and run-time
numbers for the rest. The dimensions of a role are merged where all accesses of the step walk them as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from trueno import dtypes as dt
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.expr import Access, Expr, Store, topological
from trueno.codegen.stage import expression_lines, merge, stride_class

#: Parts of a thread's share of a multiplication that others may take over.
SHARES = 8
#: Rows of a tile that are fetched ahead, all at once, where they are read as they lie along K.
ROWS_ALONG = 6
#: Groups of products of AMX's tiles in a nanosecond.
AMX_RATE = 500.0
#: What a multiplication's code depends on, by the names of its properties.
_WORDS = ("plain", "kept", "turned", "along", "lines", "narrow")


def _is_half(value: Expr, store: Store) -> bool:
    return value.dtype == store.access.dtype == dt.bfloat16


class Meta:
    """Run-time numbers with names.

    Attributes
    ----------
    places : dict
        Where the numbers of a name begin.
    values : list of int
    """

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.values: list[int] = []

    def put(self, name: str, *values: int) -> None:
        """Append numbers under a name."""
        self.places[name] = len(self.values)
        self.values += values


@dataclass(slots=True, eq=False)
class Axes:
    """Merged dimensions of one role.

    Attributes
    ----------
    extents : list of int
        At least one.
    strides : dict
        For each access, its strides in elements.
    """

    extents: list[int]
    strides: dict[Access, list[int]]

    @property
    def size(self) -> int:
        """Number of points."""
        return prod(self.extents)

    def last_class(self, access: Access) -> str:
        """Return how an access steps along the innermost dimension."""
        return stride_class(self.strides[access][-1])

    def describe(self, access: Access) -> str:
        """Return all that code depends on."""
        moves = "".join("0" if s == 0 else "s" for s in self.strides[access][:-1])
        return moves + self.last_class(access)


def axes(dims: Sequence[int], sizes: Sequence[int], accesses: Sequence[Access]) -> Axes:
    """Merge dimensions, given outermost first, as far as the accesses allow."""
    extents = {dim: sizes[dim] for dim in dims}
    strides = {access: {dim: access.strides[dim] for dim in dims} for access in accesses}
    kept = merge(list(dims), extents, list(strides.values()))
    if not kept:
        return Axes([1], {access: [0] for access in accesses})
    return Axes([extents[dim] for dim in kept], {access: [s[dim] for dim in kept] for access, s in strides.items()})


@dataclass(slots=True, eq=False)
class Step:
    """What the two kinds of step share.

    Attributes
    ----------
    name : str
        For comments.
    tile : Tile
    roots : list of Expr
        Expressions that the step evaluates.
    roles : dict of str to Axes
        By role: ``batch``, ``rows``, ``columns``, ``k``.
    accesses : list of Access
    meta : Meta
    tasks : int
    """

    name: str
    tile: Tile
    roots: list[Expr]
    roles: dict[str, Axes]
    accesses: list[Access]
    meta: Meta = field(default_factory=Meta)
    tasks: int = 0

    @property
    def text(self) -> str:
        """All that the code depends on."""
        raise AssertionError("a step packs or multiplies")

    def cost(self) -> float:
        """Return an estimate of the time on one thread, in nanoseconds."""
        raise AssertionError("a step packs or multiplies")

    @property
    def order(self) -> list[Expr]:
        """All expressions of the step, operands first."""
        return topological(self.roots)

    @property
    def numbers(self) -> dict[Access, int]:
        """The position of each access."""
        return {access: k for k, access in enumerate(self.accesses)}

    def put_common(self) -> None:
        """Append the numbers of roles, accesses and expressions."""
        meta = self.meta
        for role, one in self.roles.items():
            meta.put(role, *one.extents)
        for k, access in enumerate(self.accesses):
            offset = access.offset * (1 if access.buffer < 0 else access.dtype.itemsize)
            meta.put(f"a{k}", access.buffer, offset)
            for role, one in self.roles.items():
                meta.put(f"a{k} {role}", *one.strides[access])
        for k, expr in enumerate(self.order):
            if expr.kind == "gather":
                meta.put(f"gather{k}", expr.arg[1], expr.arg[2])
            elif expr.kind == "scalar":
                meta.put(f"scalar{k}", expr.arg)

    def common_text(self) -> list[str]:
        """Return the lines of roles, accesses and expressions."""
        lines = [f"  {role} {len(one.extents)}" for role, one in self.roles.items()]
        for k, access in enumerate(self.accesses):
            walks = " ".join(f"{role}={one.describe(access)}" for role, one in self.roles.items())
            lines.append(f"  a{k}: {'iota' if access.buffer < 0 else access.dtype} {walks}")
        number = {id(expr): k for k, expr in enumerate(self.order)}
        lines += expression_lines(self.order, self.numbers)
        return [*lines, *(f"  -> %{number[id(root)]}" for root in self.roots)]

    @property
    def meta_size(self) -> int:
        """How many run-time numbers the step has."""
        return len(self.meta.values)

    def meta_values(self, parallel: bool) -> list[int]:
        """Return the run-time numbers."""
        return [self.tasks, self.shares if parallel else 0, *self.meta.values[2:]]

    @property
    def shares(self) -> int:
        """Shares of the tasks that a thread begins with; it takes those that others have not begun when it is done."""
        return 1


@dataclass(slots=True, eq=False)
class Pack(Step):
    """A factor converted and laid out in panels.

    A panel holds `width` rows (or columns) for all of K: for each group of K, the group's elements of each row side by
    side, as the register tile reads them. A task is a panel; the last one is
    filled up with zeros or copies of its last row.

    Attributes
    ----------
    width : int
    dense : bool
        Whether memory runs along the rows: then a panel is filled line by line; else runs along K are turned over.
    picked : bool
        Whether elements are gathered from memory one by one where the rows of a panel are not evenly spaced.
    woven : int
        Lines along K whose elements are put side by side once the panel is filled, for tiles of AMX; the panel ends
        with lines of zeros, up to the end of a tile.
    cleared : bool
        Whether rows past the last one are zeros. They are positions along K, which other factors' zeros do not undo.
    runs : bool
        Whether groups are runs of memory, which are turned over as they lie.
    """

    width: int = 0
    dense: bool = False
    picked: bool = False
    woven: int = 1
    cleared: bool = False
    runs: bool = False

    @staticmethod
    def copies(expr: Expr, tile: Tile) -> bool:
        """Whether a factor is memory whose elements are packed as they are."""
        same = expr.dtype == tile.packed or (expr.dtype.kind == "u" and expr.dtype.itemsize == tile.packed.itemsize)
        return expr.kind == "load" and same

    @property
    def text(self) -> str:
        """All that the code depends on."""
        tile = self.tile
        head = (
            f"pack {self.width} of {tile.packed} in groups of {tile.group}, {tile.lanes} lanes"
            f"{', dense' if self.dense else ''}{', picked' if self.picked else ''}"
            f"{f', woven by {self.woven}' if self.woven > 1 else ''}{', cleared' if self.cleared else ''}"
            f"{', runs' if self.runs else ''}"
        )
        return "\n".join([head, *self.common_text()])

    def cost(self) -> float:
        """Return an estimate of the time on one thread, in nanoseconds."""
        elements = prod(one.size for one in self.roles.values())
        return elements * (0.1 if self.dense else 0.3)


@dataclass(slots=True, eq=False)
class Factor:
    """Where the multiplication reads a factor.

    Attributes
    ----------
    direct : bool
        Whether it is read where it lies, else from panels.
    access : Access
        The factor in memory, or the panels, with strides along the stage's dimensions.
    panel : int
        Elements from one panel to the next; for a direct factor from one row (column) to the next.
    step : int
        Elements from one position along K to the next; for panels the width, times the group. Of a tile of inner
        products from one vector along K to the next; its factors are always direct, panels being lines of vectors.
        The rows of AMX's tiles are lines along K; those of a panel are as long as a tile's, and `panel` is the distance
        to the next row of tiles.
    """

    direct: bool
    access: Access
    panel: int
    step: int


@dataclass(slots=True, eq=False)
class Multiply(Step):
    """Register tiles over blocks of the result, and what follows the sums.

    Attributes
    ----------
    total : Expr
        The reduction, which the sums stand for.
    a, b : Factor
    stores : list of Store
    plain : bool
        Whether the sums are the result, and tiles can be written where they belong.
    narrow : bool
        Whether the last tile of a row of tiles is half as wide as the others.
    kept : bool
        Whether the first row of tiles of a block reads the columns as they lie and keeps them dense for the others.
    turned : bool
        Whether columns are kept that run along K, and are turned over into the task's memory.
    rest : int
        Columns left over beside complete tiles that are inner products; see contraction/rest.py.
    lines : bool
        Whether a single row is multiplied by a matrix in memory, line by line, without tiles.
    strip : int
        Columns of a block at most: those of the buffer that a row of tiles is computed in.
    """

    total: Expr | None = None
    a: Factor | None = None
    b: Factor | None = None
    stores: list[Store] = field(default_factory=list)
    plain: bool = False
    narrow: bool = False
    kept: bool = False
    turned: bool = False
    rest: int = 0
    lines: bool = False
    strip: int = 0

    @property
    def shares(self) -> int:
        """Shares of the tasks that a thread begins with: enough that none waits long for one that was late."""
        return SHARES

    @property
    def along(self) -> bool:
        """Whether its few rows are read where they lie, and neighbours along K are neighbours in memory."""
        return self.a is not None and self.a.direct and self.a.step == 1 and self.tile.rows <= ROWS_ALONG

    @property
    def moved(self) -> bool:
        """Whether the sums, or what they are narrowed to, only have to be moved to their place, under masks."""
        return self.tile.masks and (self.plain or (self.tile.amx and self._is_narrowed()))

    def _is_narrowed(self) -> bool:
        store, *others = self.stores
        total, value, rows, columns = self.total, store.value, self.roles["rows"], self.roles["columns"]
        if others or total is None or len(rows.extents) > 1 or columns.strides[store.access] != [1]:
            return False
        if self.tile.sum.kind == "f":
            return value.op is not None and value.op.name == "cast" and value.src == (total,) and _is_half(value, store)
        return value is total and store.access.dtype == total.dtype

    @property
    def added_up(self) -> bool:
        """Whether complete tiles are added up in the result itself, not in a buffer."""
        return self.plain and not self.lines and not self.tile.dots

    @property
    def text(self) -> str:
        """All that the code depends on."""
        tile = self.tile
        assert self.a is not None and self.b is not None
        modes = [f"{name} {'direct' if one.direct else 'packed'}" for name, one in (("a", self.a), ("b", self.b))]
        head = (
            f"multiply {tile.kind} {tile.packed} into {tile.sum}, tile {tile.rows} x {tile.vectors} x {tile.lanes}, "
            f"strip {self.strip}, {', '.join(modes)}"
            f"{''.join(f', {word}' for word in _WORDS if getattr(self, word))}"
            f"{', dots' if tile.dots else ''}{self._rest_text()}"
        )
        stores = [f"  a{self.numbers[store.access]} <- value {k}" for k, store in enumerate(self.stores)]
        return "\n".join([head, *self.common_text(), *stores])

    def _rest_text(self) -> str:
        if not self.rest or self.b is None:
            return ""
        return f", rest {self.rest}" + ("" if self.b.direct else f" in panels of {self.b.step}")

    def cost(self) -> float:
        """Return an estimate of the time on one thread, in nanoseconds."""
        results = prod(one.size for role, one in self.roles.items() if role != "k")
        flops = results * max(self.meta.values[self.meta.places["K"]], 1)
        return flops / (AMX_RATE if self.tile.amx else 4.0 * self.tile.lanes * self.tile.group)
