"""From a stage that is a contraction to its steps: which factors are packed, and how the result is cut into blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from trueno.codegen.choices import current
from trueno.codegen.contraction import match, rest, tile
from trueno.codegen.contraction.steps import ROWS_ALONG, Axes, Factor, Multiply, Pack, axes
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.expr import Access, Expr, substituted
from trueno.codegen.stage import Stage, sorted_dims
from trueno.codegen.target import Target

#: Columns of the buffer of sums where a single row is multiplied line by line, and the length of a line from which on
#: that is done.
LINE_STRIP, LINE = 1024, 128
#: Products up to which one task is enough, whatever the number of threads.
SHARED = 1 << 18
#: Bytes of packed columns that a block reads for each of its rows of tiles: half of a common second-level cache.
BLOCK_BYTES = 1 << 20
#: Tasks that a large result is cut into at least, so that several threads end together.
TASKS = 16
#: The same where each block of rows copies the columns anew, in all and for each thread; a block then has so many rows
#: of tiles at least.
KEPT_TASKS, KEPT_TASKS_A_THREAD, KEPT_PANELS = 4, 2, 5
#: The same where several threads read rows as they lie along K, and the products of a task then: two cores are
#: seldom equally fast, and who is done waits for the end of the other's task.
FINE_TASKS_A_THREAD, FINE = 8, 1 << 23
#: Columns beside which some are left over that are worth so many rows to a task, which copies all of them.
REST_COLUMNS, REST_ROWS = 128, 512
#: Up to so many columns, rows are read as they lie; up to so many tiles of rows, columns are.
DIRECT_COLUMNS, DIRECT_ROWS = 512, 12
#: Bytes that rows may span which are read as they lie across memory, half of a common first-level cache, where the
#: steps along K are so many bytes apart or more.
DIRECT_BYTES, DIRECT_STEP = 24 << 10, 1 << 10
#: Rows of a product at most whose other factor takes their place, where it runs along K.
AMX_FEW = 32
#: Rows this many bytes apart share few lines of the first-level cache: those of AMX's tiles are packed then.
AMX_APART = 2048
#: The same columns where memory of the rows runs along K.
DIRECT_COLUMNS_ALONG = 3072
#: Rows of tiles up to which columns that are read as they lie are not kept for the next one.
FEW = 2
#: Columns that are worth a batch of their own; fewer would fill the last tile badly, and read the rows' panels again.
ENOUGH_COLUMNS = 64
#: Elements along K from which on lanes are summed up at the end, and bytes of a row of tiles that stay in the cache.
INNER_LEAST, INNER_BYTES = 256, 28 << 10
#: Cycles in which a vector of a factor is turned over, that is read from far caches and written, or kept in a near one.
TURNED, TURNED_NEAR = 16, 8
#: Rows of tiles that share columns which a task turns over, at least; blocks of rows at most, each of which turns them
#: over anew; and tasks that there are to be.
TURNED_PANELS, TURNED_MOST, TURNED_TASKS = 16, 2, 4
#: Elements along K that are evaluated at a time before they are turned over.
TURN = 64

Scratch = Callable[[int], int]


def steps(stage: Stage, scratch: Scratch, target: Target, threads: int = 1) -> list[Pack | Multiply] | None:
    """Return the steps of a contraction, or None where it is better left to the loops of a reduction.

    Parameters
    ----------
    stage : Stage
        One with a `product`.
    scratch : callable
        Takes a number of bytes, returns the number of a new buffer.
    target : Target
    threads : int
        That the tasks are for. What an element is summed up of does not depend on it.
    """
    product = stage.product
    assert product is not None
    found = match.roles(product, stage.sizes, stage.inner)
    if found is None or 0 in stage.sizes:
        return None
    return _Lowering(stage, product, found, scratch, target, threads).run()


class _Lowering:
    def __init__(
        self, stage: Stage, product: Expr, found: match.Roles, scratch: Scratch, target: Target, threads: int
    ) -> None:
        self.stage, self.product, self.scratch, self.target, self.threads = stage, product, scratch, target, threads
        sizes = stage.sizes
        written = [dict(enumerate(store.access.strides)) for store in stage.stores]
        first, second = product.src[0].src
        slides = match.sliding(product, sizes, found)
        swap = match.first_gives_columns(found, written) if slides is None else slides == 1
        if slides is None and self._rows_lie_better(found, swap):
            swap = not swap
        a, b = (second, first) if swap else (first, second)
        rows, columns = (found.second, found.first) if swap else (found.first, found.second)
        columns = tuple(sorted_dims(list(columns), written))
        batch = list(found.batch)
        # Columns that the result's memory does not step through as one: the outer ones are batches, if the rest do.
        while len(axes(columns, sizes, [store.access for store in stage.stores]).extents) > 1 and self._enough(columns):
            batch.append(columns[0])
            columns = columns[1:]
        places: list[int] = []
        if slides is not None:
            # Rows that are evenly spaced, the longest dimension, are read as they lie; the others are batches.
            even = max(rows, key=lambda dim: sizes[dim])
            places = [dim for dim in rows if dim != even]
            rows = (even,)
        self.slides = self._size(places) if places else 0
        self.batch = (*sorted_dims(batch, written), *sorted_dims(places, written))
        self.rows, self.columns = tuple(sorted_dims(list(rows), written)), columns
        self.m, self.n = self._size(self.rows), self._size(self.columns)
        self.k_size = self._size(found.k)
        self.tile = tile.choose(product.dtype, a, b, self.m, self.n, target)
        self.plain = self._is_plain()
        self.a, self.b = tile.stripped(a, self.tile), tile.stripped(b, self.tile)
        ordered = sorted(((self.a, self.rows), (self.b, self.columns)), key=lambda one: self._dense(*one))
        guides = [dict(enumerate(access.strides)) for one, _ in ordered for access in match.accesses(one)]
        self.k = tuple(sorted_dims(list(found.k), guides))
        #: Columns that are left over beside complete tiles.
        self.rest = 0
        self.tile = self._with_rest() or self._inner_products() or self.tile

    def _rows_lie_better(self, found: match.Roles, swap: bool) -> bool:
        """Whether what would be the columns should be the rows of AMX's tiles: few rows times a matrix along K.

        Its elements would be turned over for a single use; as rows they are read as they lie, and the few results are
        written one by one.
        """
        (first, second), dims = self.product.src[0].src, (found.first, found.second)
        kind = tile.amx_kind(self.product.dtype, first, second, self.target)
        few, many = (dims[1], dims[0]) if swap else dims
        if (
            kind is None
            or len(found.k) > 1
            or len(many) > 1
            or not few
            or self._size(few) > AMX_FEW
            or self._size(many) < 2 * AMX_FEW
        ):
            return False
        columns = match.accesses(first if swap else second)
        runs = any(access.strides[dim] == 1 for access in columns for dim in found.k)
        return runs and self._size(found.k) >= 4 * self._size(few)

    def _size(self, dims: Sequence[int]) -> int:
        return prod(self.stage.sizes[dim] for dim in dims)

    def _enough(self, columns: Sequence[int]) -> bool:
        return self._size(columns[1:]) >= ENOUGH_COLUMNS

    def _dense(self, expr: Expr, rows: Sequence[int]) -> bool:
        """Whether memory runs along the rows of a factor."""
        return bool(rows) and any(access.strides[rows[-1]] == 1 for access in match.accesses(expr))

    # --- factors ------------------------------------------------------------------------------------------------------

    def _plain_access(self, expr: Expr, rows: Sequence[int]) -> tuple[Access, int, int] | None:
        """Return access, stride of the rows and stride of K where a factor is memory that can be read as it lies."""
        if expr.kind != "load" or expr.dtype != self.tile.packed or self.tile.group > 1:
            return None
        return self._strides(expr, rows)

    def _strides(self, expr: Expr, rows: Sequence[int]) -> tuple[Access, int, int] | None:
        """Return access, stride of the rows and stride of K of memory in which both are evenly spaced."""
        access: Access = expr.arg
        by_row, by_k = (axes(dims, self.stage.sizes, [access]) for dims in (rows, self.k))
        if len(by_row.extents) > 1 or len(by_k.extents) > 1:
            return None
        return access, by_row.strides[access][0], by_k.strides[access][0]

    def _runs(self, expr: Expr, rows: Sequence[int]) -> tuple[Access, int] | None:
        """Return access and stride of the rows where a factor is memory along K that can be read as it lies."""
        plain = self._plain_access(expr, rows)
        return plain[:2] if plain is not None and plain[2] == 1 else None

    def _inner_products(self) -> Tile | None:
        """Return the tile of inner products if one takes less time than turning over factors that run along K."""
        one, inner = self.tile, tile.inner_products(self.tile)
        if self.slides or not (one.masks and one.kind == "fma"):
            return None
        a, b = self._runs(self.a, self.rows), self._runs(self.b, self.columns)
        if a is None or self.k_size < INNER_LEAST or self.m < inner.rows or self.n < inner.columns:
            return None
        # For each step along K, in cycles.
        turn, turn_b = TURNED / one.lanes, (TURNED if self._turned() is None else TURNED_NEAR) / one.lanes
        product = self.m * self.n / (2 * one.lanes)
        panels = product / tile.reached(one, self.m, self.n)
        panels += (0 if self._direct_rows() else turn * self.m) + (turn_b * self.n if b else 0)
        return inner if product / tile.reached(inner, self.m, self.n) + (0 if b else turn * self.n) < panels else None

    def _with_rest(self) -> Tile | None:
        """Return the tile beside which columns are left over as inner products, if that takes less time."""
        one = self.tile
        form = self.plain and one.masks and one.kind == "fma" and not self.slides and self.n <= tile.STRIP
        if not form or self._runs(self.a, self.rows) is None:
            return None
        least, best = self.m * self.n / one.lanes / tile.reached(one, self.m, self.n), None
        for rows, vectors, most in rest.FORMS:
            wide = one._replace(rows=rows, vectors=vectors)
            whole, left = divmod(self.n, wide.columns)
            if not 0 < left <= most or not whole or self.m < rows:
                continue
            # Products of vectors for each row and step along K.
            beside = left * (rest.PRODUCTS / one.lanes + rest.END / min(self.k_size, tile.k_block(one.sum)))
            products = _rounded(self.m, rows) * (whole * vectors + beside)
            if products < least:
                least, best, self.rest = products, wide, left
        return best

    def _direct_rows(self) -> Factor | None:
        """Return the rows if they are read as they lie."""
        plain = self._plain_access(self.a, self.rows)
        if plain is None or self.m < self.tile.rows:
            return None
        access, row, step = plain
        size = self.tile.packed.itemsize
        # Few rows of short elements that run along K are fetched ahead in time, however far apart they lie.
        fetched = step == 1 and size <= 4 and self.tile.rows <= ROWS_ALONG and self.n % self.tile.columns == 0
        if fetched and self.n <= DIRECT_COLUMNS_ALONG:
            return Factor(True, self._batch_only(access), row, step)
        if self.n > DIRECT_COLUMNS:
            return None
        # Rows whole pages apart would compete for the same lines of the first-level cache.
        if self.k_size * size > 64 and row * size % 4096 == 0:
            return None
        # Where memory runs along the rows, a tile reads a piece of a line for each step along K: packing copies lines.
        scattered = row == 1 and step * size >= DIRECT_STEP and self.k_size * step * size > DIRECT_BYTES
        if scattered and self.n > self.tile.lanes:
            return None
        return Factor(True, self._batch_only(access), row, step)

    def _factor_a(self, out: list[Pack | Multiply]) -> Factor:
        if self.tile.amx:
            return self._tile_rows(out)
        if self.tile.dots or self.rest:
            runs = self._runs(self.a, self.rows)
            assert runs is not None
            return Factor(True, self._batch_only(runs[0]), runs[1], self.tile.lanes if self.tile.dots else 1)
        if self.slides and self.m >= self.tile.rows:
            access = self.a.arg
            return Factor(True, self._batch_only(access), access.strides[self.rows[0]], self._walk(access)[-1])
        return self._direct_rows() or self._packed("rows", self.a, self.rows, self.tile.rows, out)

    def _tile_rows(self, out: list[Pack | Multiply]) -> Factor:
        """Return the rows of AMX's tiles: lines along K, as they lie where those end with K, else in panels."""
        one, size = self.tile, self.tile.packed.itemsize
        if Pack.copies(self.a, one) and self.m >= one.rows:
            plain = self._strides(self.a, self.rows)
            far = plain is not None and plain[1] * size % AMX_APART == 0 and self.n > 2 * one.columns
            if plain is not None and plain[2] == 1 and self.k_size * size % tile.AMX_ROW == 0 and not far:
                return Factor(True, self._batch_only(plain[0]), plain[1], one.group)
        width = tile.AMX_ROW // size
        packed = self._packed("rows", self.a, self.k, width, out, self.rows, one._replace(group=1))
        return Factor(False, packed.access, one.rows * width, packed.panel // one.lanes)

    def _tile_columns(self, out: list[Pack | Multiply]) -> Factor:
        """Return the columns of AMX's tiles: panels of groups."""
        one = self.tile
        runs = Pack.copies(self.b, one) and self.k_size % one.group == 0
        plain = self._strides(self.b, self.columns) if runs else None
        if plain is not None and plain[2] == 1:
            return self._packed("columns", self.b, self.columns, one.columns, out, runs=True)
        packed = self._packed("columns", self.b, self.columns, one.columns, out, one=one._replace(group=1))
        return replace(packed, step=one.columns * one.group)

    def _factor_b(self, out: list[Pack | Multiply]) -> Factor:
        if self.tile.amx:
            return self._tile_columns(out)
        if self.tile.dots:
            runs = self._runs(self.b, self.columns)
            if runs is not None:
                return Factor(True, self._batch_only(runs[0]), runs[1], self.tile.lanes)
            # Panels of a vector along K, whose lines are the columns.
            packed = self._packed("columns", self.b, self.k, self.tile.lanes, out, self.columns)
            return Factor(True, packed.access, self.tile.lanes, packed.panel)
        turned = self._turned()
        if turned is not None:
            return Factor(True, self._batch_only(turned[0]), turned[1], 1)
        plain = self._plain_access(self.b, self.columns)
        if (
            plain is not None
            and plain[1] == 1
            and self.n >= self.tile.columns
            and (self.plain or self.m <= DIRECT_ROWS * self.tile.rows)
        ):
            return Factor(True, self._batch_only(plain[0]), 1, plain[2])
        # A single tile and what is left over beside it share a panel.
        alone = self.rest and self.n < 2 * self.tile.columns
        width = _rounded(self.n, self.tile.lanes) if alone else self.tile.columns
        return self._packed("columns", self.b, self.columns, width, out)

    def _turned(self) -> tuple[Access, int] | None:
        """Return access and stride of columns along K that tasks turn over into their own memory."""
        one = self.tile
        whole = self.n % one.columns == 0 and self.m > FEW * one.rows
        if not (whole and self.plain and one.masks and one.kind == "fma") or self.slides:
            return None
        across, most = self._turned_blocks()
        return self._runs(self.b, self.columns) if self._size(self.batch) * across * most >= TURNED_TASKS else None

    def _turned_blocks(self) -> tuple[int, int]:
        """Return strips of columns and blocks of rows at most where tasks turn columns over."""
        strips, panels = self.n // self.tile.columns, -(-self.m // self.tile.rows)
        return min(-(-KEPT_TASKS // self._size(self.batch)), strips), min(max(panels // TURNED_PANELS, 1), TURNED_MOST)

    def _walk(self, access: Access) -> list[int]:
        """Return the strides of an access along the merged dimensions of K."""
        return axes(self.k, self.stage.sizes, [access]).strides[access]

    def _batch_only(self, access: Access) -> Access:
        strides = tuple(s if dim in self.batch else 0 for dim, s in enumerate(access.strides))
        return replace(access, strides=strides)

    def _packed(
        self, what: str, expr: Expr, rows: Sequence[int], width: int, out: list[Pack | Multiply],
        lines: Sequence[int] | None = None, one: Tile | None = None, runs: bool = False,
    ) -> Factor:  # fmt: skip
        """Append the step that packs a factor.

        `lines`: the dimensions along a panel, where they are not those of K. `one`: the tile whose groups are filled,
        where that is not the one that multiplies. `runs`: whether groups are turned over as they lie in memory.
        """
        sizes, one = self.stage.sizes, one or self.tile
        woven = self.tile.group if self.tile.amx and lines is None and not runs else 1
        accesses = match.accesses(expr)
        batch = [dim for dim in self.batch if match.moves_along(expr, dim)]
        k = self._joint_k(accesses, one) if lines is None else axes(lines, sizes, accesses)
        roles = {"batch": axes(batch, sizes, accesses), "rows": axes(rows, sizes, accesses), "k": k}
        # Groups do not reach across an end of the innermost dimension of K.
        deep = prod(k.extents[:-1]) * -(-k.extents[-1] // one.group)
        if self.tile.amx:
            # Whole tiles of rows, or of groups along K.
            deep = _rounded(deep, self.tile.rows if lines is not None else one.lanes * woven)
        panels = -(-roles["rows"].size // width)
        # What is turned over is written by whole vectors, past the end of lines and of the panel.
        panel = _rounded(((deep + one.lanes) * width + one.lanes) * one.group, 64)
        count = roles["batch"].size * panels
        step = Pack(
            f"{self.stage.name}: {what} into panels", one, [expr], roles, accesses, tasks=count, width=width,
            dense=self._dense(expr, rows) and (one.group == 1 or self._weavable(expr, roles)),
            picked=self._pickable(expr, roles, one), woven=woven, runs=runs,
            cleared=self.tile.amx and lines is not None,
        )  # fmt: skip
        buffer = self.scratch(count * panel * one.packed.itemsize)
        step.meta.put("tasks", count, 0)
        step.meta.put("out", buffer)
        step.meta.put("panel", panel)
        step.meta.put("panels", panels)
        step.put_common()
        out.append(step)
        strides = [0] * len(sizes)
        stride = panels * panel
        for dim in reversed(batch):
            strides[dim] = stride
            stride *= sizes[dim]
        return Factor(False, Access(buffer, one.packed, 0, tuple(strides)), panel, width * one.group)

    def _pickable(self, expr: Expr, roles: dict[str, Axes], one: Tile) -> bool:
        """Whether a factor is memory whose elements are better gathered: windows, whose runs are short."""
        if not one.masks or expr.kind != "load" or expr.dtype != one.packed or one.group > 1:
            return False
        rows, k = roles["rows"], roles["k"]
        reach = sum(abs(s) * (n - 1) for n, s in zip(rows.extents, rows.strides[expr.arg], strict=True))
        short = k.strides[expr.arg][-1] != 1 or (len(k.extents) > 1 and k.extents[-1] < self.tile.lanes)
        return reach < 1 << 31 and (len(rows.extents) > 1 or (short and rows.last_class(expr.arg) != "1"))

    def _weavable(self, expr: Expr, roles: dict[str, Axes]) -> bool:
        """Whether lines of narrow integers in memory can be woven into groups, vector by vector."""
        single = len(roles["rows"].extents) == len(roles["k"].extents) == 1
        return self.tile.masks and single and expr.kind == "load" and expr.dtype.kind in "iu"

    def _joint_k(self, accesses: Sequence[Access], one: Tile) -> Axes:
        """Return the dimensions of K of a factor; where groups count, those of both factors, cut in the same way."""
        sizes = self.stage.sizes
        if one.group == 1 or one.amx:
            return axes(self.k, sizes, accesses)
        both = axes(self.k, sizes, [*match.accesses(self.a), *match.accesses(self.b)])
        return Axes(both.extents, {access: both.strides[access] for access in accesses})

    # --- the product --------------------------------------------------------------------------------------------------

    def run(self) -> list[Pack | Multiply]:
        """Return the steps."""
        out: list[Pack | Multiply] = []
        a, b = self._factor_a(out), self._factor_b(out)
        sizes = self.stage.sizes
        total = Expr("total", None, (), self.product.dtype, None)
        known: dict[int, Expr] = {id(self.product): total}
        stores = [replace(store, value=substituted(store.value, known)) for store in self.stage.stores]
        accesses = list(dict.fromkeys([
            *(access for store in stores for access in match.accesses(store.value)),
            *(store.access for store in stores),
        ]))  # fmt: skip
        factors = [a.access, b.access]
        roles = {
            "batch": axes(self.batch, sizes, [*accesses, *factors]),
            "rows": axes(self.rows, sizes, accesses),
            "columns": axes(self.columns, sizes, accesses),
        }
        for role in ("rows", "columns"):
            roles[role].strides.update({access: [0] * len(roles[role].extents) for access in factors})
        if a.direct and self.slides:
            # Blocks of K do not reach across an end of its innermost dimension.
            along = axes(self.k, sizes, [self.a.arg])
            still = [0] * len(along.extents)
            roles["k"] = Axes(along.extents, {access: still for access in accesses + factors})
            roles["k"].strides[a.access] = along.strides[self.a.arg]
        lines = self.m == 1 and b.direct and self.n >= LINE
        step = Multiply(
            self.stage.name, self.tile, [store.value for store in stores], roles,
            list(dict.fromkeys([*accesses, *factors])),
            total=total, a=a, b=b, stores=stores, plain=self.plain, lines=lines, rest=self.rest,
            turned=not self.tile.dots and self._turned() is not None,
            narrow=not (lines or self.rest) and self._is_narrow(),
            kept=self.plain and not self.tile.dots and b.direct and self.m > FEW * self.tile.rows,
            strip=LINE_STRIP if lines else self.tile.strip,
        )  # fmt: skip
        self._blocks(step)
        out.append(step)
        return out

    def _is_plain(self) -> bool:
        """Whether the sums are the result, and tiles can be written where they belong."""
        stores, sizes = self.stage.stores, self.stage.sizes
        if len(stores) > 1 or stores[0].value is not self.product or self.product.dtype != self.tile.sum:
            return False
        access = stores[0].access
        rows, columns = (axes(dims, sizes, [access]) for dims in (self.rows, self.columns))
        return len(rows.extents) == len(columns.extents) == 1 and columns.strides[access] == [1]

    def _is_narrow(self) -> bool:
        """Whether a tile of half the width takes what remains of the columns; many share the code of full tiles."""
        return (
            not self.tile.dots
            and self.n <= self.tile.strip
            and 0 < self.n % self.tile.columns <= self.tile.narrow_columns
        )

    def _blocks(self, step: Multiply) -> None:
        """Cut the result into blocks, the tasks of the step, and append the step's numbers."""
        rows, columns = self.tile.rows, self.tile.columns
        deep = self.k_size
        if step.tile.amx:
            deep = -(-deep // step.tile.group)
        elif step.tile.group > 1:
            k = self._joint_k([], step.tile)
            deep = prod(k.extents[:-1]) * -(-k.extents[-1] // step.tile.group)
        widest = step.strip // columns * columns
        if not (step.lines or step.added_up):
            fitting = BLOCK_BYTES // max(deep * step.tile.group * step.tile.packed.itemsize, 1)
            widest = min(widest, max(fitting // columns * columns, columns))
        across = -(-self.n // widest)
        small = self.m * self.n * deep <= SHARED
        batches = step.roles["batch"].size
        panels = -(-self.m // rows)
        strips, kept_tasks = self._kept_tasks(step, batches * self.m * self.n * deep)
        tasks, most = (kept_tasks, max(panels // KEPT_PANELS, 1)) if step.kept else (TASKS, panels)
        if (
            across == 1
            and not self.tile.dots
            and self.n >= 2 * columns
            and not (small or step.rest or (step.kept and most * batches >= tasks))
        ):
            across = 2
        if step.turned and not small:
            turned, most = self._turned_blocks()
            across = max(across, turned)
        elif step.kept and not (small or step.rest):
            # Blocks of rows copy the columns anew each, strips of columns only read packed rows again.
            across = _even(self.n, columns, across, min(-(-strips // batches), self.n // columns))
        wide = _rounded(-(-self.n // across), columns)
        across = -(-self.n // wide)
        down = 1 if small else min(most, max(-(-tasks // (across * batches)), 1))
        if step.added_up:
            down = max(down, -(-self.m // current().product_high))
        if self.slides:
            # What a row of tiles reads stays in the second-level cache while the windows slide over it.
            down = panels
        high = -(-panels // down) * rows
        down = -(-self.m // high)
        step.tasks = batches * across * down
        meta = step.meta
        meta.put("tasks", step.tasks, 0)
        meta.put("across", across)
        meta.put("down", down)
        meta.put("slides", self.slides or 1)
        meta.put("wide", wide)
        meta.put("high", high)
        meta.put("M", self.m)
        meta.put("N", self.n)
        meta.put("K", deep)
        meta.put("K block", self._k_block(step, deep))
        assert step.a is not None and step.b is not None
        meta.put("a steps", step.a.panel, step.a.step)
        meta.put("b steps", step.b.panel, step.b.step)
        step.put_common()

    def _kept_tasks(self, step: Multiply, products: int) -> tuple[int, int]:
        """Return strips of columns at most, and tasks at least, where each task copies its columns."""
        if step.rest and self.n >= REST_COLUMNS:
            return 1, max(self.threads, self.m // REST_ROWS)
        coarse = max(KEPT_TASKS, KEPT_TASKS_A_THREAD * self.threads)
        fine = min(FINE_TASKS_A_THREAD * self.threads, products // FINE) if step.along and self.threads > 1 else 0
        # Two blocks of rows: a thread reads half of them, which its second-level cache may hold from strip to strip.
        return (max(coarse, fine // 2), fine) if fine > coarse else (coarse, coarse)

    def _k_block(self, step: Multiply, deep: int) -> int:
        """Return the steps along K, of so many, after which sums pass through memory: all blocks are equally long."""
        block = tile.AMX_BLOCK if step.tile.amx else tile.k_block(step.tile.sum)
        if "k" in step.roles:
            deep = step.roles["k"].extents[-1]
        if self.tile.dots:
            block = INNER_BYTES // (step.tile.rows * step.tile.packed.itemsize)
        unit = self.tile.lanes if self.tile.dots or self.tile.amx or step.rest else 4
        return _rounded(-(-deep // max(-(-deep // block), 1)), unit)


def _rounded(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _even(n: int, columns: int, least: int, most: int) -> int:
    """Return how many strips `n` columns are cut into: as many as leave the last one half as wide as others or more."""
    for across in range(most, least, -1):
        wide = _rounded(-(-n // across), columns)
        if 2 * (n - wide * (-(-n // wide) - 1)) >= wide:
            return across
    return least
