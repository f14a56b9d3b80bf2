"""Steps that are run block by block, so that what one of them leaves for the next stays in a core's cache.

The windows of a convolution, packed as a whole, are as many times the image as the filter has elements, and pass
through memory twice. A chain packs those of a block of positions into memory that belongs to one task, multiplies them,
and goes on to the next block (tiling of producer and consumer; as in Ragan-Kelley et al., Halide, PLDI 2013). Its steps
are planned for one block and know nothing of the others: they see buffers of their own, which the chain moves along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from trueno.codegen.contraction import lower, match
from trueno.codegen.contraction.steps import Pack
from trueno.codegen.cost import nanoseconds
from trueno.codegen.expr import Access, Expr, reads, substituted, topological
from trueno.codegen.stage import Loops, Stage, normalise, sorted_dims
from trueno.codegen.target import Target

if TYPE_CHECKING:
    from trueno.codegen.contraction.steps import Step
    from trueno.codegen.joined import Run

#: Columns that a block has at least, so that its rows are not read again too often.
LEAST_COLUMNS = 96
#: Bytes of a block that stages of a run hand on at most.
RUN_BYTES = 5 << 19
#: Packed as a whole where it takes no more than this many bytes.
WHOLE_BYTES = 1 << 20


class Own(NamedTuple):
    """A buffer as the steps of a chain see it.

    Attributes
    ----------
    source : int
        The kernel's buffer.
    task_bytes : int
        From one task's part of it to the next one's; 0 where all tasks share it.
    block_bytes : tuple of int
        From one block to the next along each of the chain's dimensions.
    """

    source: int
    task_bytes: int
    block_bytes: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Chain:
    """Steps over one block, and the blocks.

    Attributes
    ----------
    name : str
        For comments.
    steps : list of Step or Loops
        Their buffers are places in `buffers`.
    extents : list of int
        Blocks along each dimension.
    buffers : list of Own
    tasks : int
        Each task walks its share of the blocks.
    """

    name: str
    steps: list[Step | Loops]
    extents: list[int]
    buffers: list[Own]
    tasks: int

    @property
    def order(self) -> list[Expr]:
        """All expressions, operands first."""
        return [expr for step in self.steps for expr in step.order]

    @property
    def text(self) -> str:
        """All that the code depends on."""
        head = f"chain over {len(self.extents)} dimensions, {len(self.buffers)} buffers"
        return "\n".join([head, *(step.text for step in self.steps), "end of chain"])

    @property
    def offsets(self) -> list[int]:
        """Where the numbers of each step begin."""
        own = 3 + len(self.extents) + len(self.buffers) * (2 + len(self.extents))
        return list(accumulate((step.meta_size for step in self.steps), initial=own))

    @property
    def meta_size(self) -> int:
        """How many run-time numbers the chain has."""
        return self.offsets[-1]

    def meta_values(self, parallel: bool) -> list[int]:
        """Return the run-time numbers."""
        values = [self.tasks, int(parallel), prod(self.extents), *self.extents]
        for one in self.buffers:
            values += [one.source, one.task_bytes, *one.block_bytes]
        return [*values, *(number for step in self.steps for number in step.meta_values(False))]

    def cost(self) -> float:
        """Return an estimate of the time on one thread, in nanoseconds."""
        return prod(self.extents) * sum(nanoseconds(step) for step in self.steps)


def chained(stage: Stage, scratch: Callable[[int], int], target: Target, threads: int) -> list[Step | Chain] | None:
    """Return the steps of a contraction with those that depend on the block chained, or None where that does not pay.

    Parameters
    ----------
    stage : Stage
        One with a `product`.
    scratch : callable
        Takes a number of bytes, returns the number of a new buffer.
    target : Target
    threads : int
        Tasks of the chain: each has memory of its own.
    """
    blocks = _blocks(stage)
    if blocks is None:
        return None
    extents = [stage.sizes[dim] // rows for dim, rows in blocks]
    if prod(extents) < 2 * threads:
        return None
    return _Chaining(extents, scratch, threads).contraction(stage, blocks, target)


def chained_run(
    run: Run, stages: Sequence[Stage], scratch: Callable[[int], int], target: Target, threads: int, lanes: Sequence[int]
) -> list[Step | Chain] | None:
    """Return the steps of a run of stages, block by block, or None where that does not pay.

    Parameters
    ----------
    run : Run
    stages : sequence of Stage
        Those of the run.
    scratch, target, threads
        As for `chained`.
    lanes : sequence of int
        Of the vectors that each stage is printed with.
    """
    if prod(run.extents) < threads or sum(run.handed) > RUN_BYTES:
        return None
    return _Chaining(list(run.extents), scratch, threads).run(run, stages, lanes, target)


def _blocks(stage: Stage) -> list[tuple[int, int]] | None:
    """Return the dimensions that are cut, outermost first, with the extent of a block along each."""
    product = stage.product
    assert product is not None
    found = match.roles(product, stage.sizes, stage.inner)
    if found is None or 0 in stage.sizes or not (found.first and found.second):
        return None
    written = [dict(enumerate(store.access.strides)) for store in stage.stores]
    swap = match.first_gives_columns(found, written)
    factor = product.src[0].src[0 if swap else 1]
    columns = sorted_dims(found.first if swap else found.second, written)
    sizes = stage.sizes
    depth = prod(sizes[dim] for dim in found.k) * product.dtype.itemsize
    if not match.overlaps(factor, [*columns, *found.k], sizes) or match.sliding(product, sizes, found) is not None:
        return None
    if depth * prod(sizes[dim] for dim in columns) <= WHOLE_BYTES:
        return None
    limit = max(lower.BLOCK_BYTES // depth, LEAST_COLUMNS)
    block = 1
    cut: list[tuple[int, int]] = []
    for dim in reversed(columns):
        if not cut and block * sizes[dim] <= limit:
            block *= sizes[dim]
            continue
        rows = 1 if cut else max(n for n in range(1, sizes[dim] + 1) if sizes[dim] % n == 0 and block * n <= limit)
        block *= rows
        cut.append((dim, rows))
    return cut[::-1] if cut and 2 * block >= LEAST_COLUMNS else None


class _Chaining:
    def __init__(self, extents: list[int], scratch: Callable[[int], int], threads: int) -> None:
        self.extents, self.scratch, self.threads = extents, scratch, threads
        self.blocks: Sequence[tuple[int, int]] = ()  # of the stage at hand: the dimensions that are cut, and how
        self.private: dict[int, int] = {}  # what is handed on inside the chain, by its number in the plan: bytes
        self.places: dict[tuple[int, tuple[int, ...]], int] = {}
        self.buffers: list[Own | int] = []  # a number of bytes stands for memory that is not taken yet

    def contraction(self, stage: Stage, blocks: Sequence[tuple[int, int]], target: Target) -> list[Step | Chain] | None:
        """Return the steps of a product whose columns are cut."""
        product = stage.product
        assert product is not None
        order = topological([*(store.value for store in stage.stores), product])
        self.blocks = blocks
        if any(a.buffer < 0 and any(self._shifts(a)) for expr in order if expr.kind == "iota" for a in [expr.arg]):
            return None  # a place's number is no memory whose beginning could be moved
        steps = lower.steps(self._block(stage, blocks), self._reserve, target)
        return None if steps is None else self._chained(stage.name, steps)

    def run(self, run: Run, stages: Sequence[Stage], lanes: Sequence[int], target: Target) -> list[Step | Chain] | None:
        """Return the steps of stages that are cut alike."""
        given = zip(stages, run.handed, strict=True)
        self.private |= {stage.stores[0].access.buffer: nbytes for stage, nbytes in given if nbytes}
        found: list[Step | Loops] = []
        for stage, dims, wide in zip(stages, run.cuts, lanes, strict=True):
            block = self._block(stage, [(dim, 1) for dim in dims])
            if stage.product is None:
                loops = normalise(block)
                loops.lanes = wide
                found.append(loops)
                continue
            multiplying = lower.steps(block, self._reserve, target)
            if multiplying is None:
                return None
            found += multiplying
        return self._chained(next(stage.name for stage in stages if stage.product is not None), found)

    def _block(self, stage: Stage, blocks: Sequence[tuple[int, int]]) -> Stage:
        """Return a stage for one block, in memory as its step sees it."""
        self.blocks = blocks
        values = [store.value for store in stage.stores]
        order = topological([*values, stage.product] if stage.product else values)
        known = {id(expr): self._moved(expr) for expr in order if reads(expr)}
        sizes = list(stage.sizes)
        for dim, rows in blocks:
            sizes[dim] = rows
        stores = [
            replace(store, value=substituted(store.value, known), access=self._own(store.access))
            for store in stage.stores
        ]
        product = stage.product and substituted(stage.product, known)
        return replace(stage, sizes=sizes, stores=stores, product=product)

    def _chained(self, name: str, steps: Sequence[Step | Loops]) -> list[Step | Chain]:
        before = [step for step in steps if isinstance(step, Pack) and self._is_fixed(step)]
        inside = [step for step in steps if step not in before]
        for step in before:
            self._hoist(step)
        return [*before, Chain(name, inside, self.extents, self._memory(), self.threads)]

    def _shifts(self, access: Access) -> tuple[int, ...]:
        return tuple(access.strides[dim] * rows * access.dtype.itemsize for dim, rows in self.blocks)

    def _own(self, access: Access) -> Access:
        """Return an access as the steps see it."""
        nbytes = self.private.get(access.buffer)
        key = (access.buffer, self._shifts(access) if nbytes is None else ())
        if key not in self.places:
            self.places[key] = len(self.buffers)
            self.buffers.append(Own(access.buffer, 0, key[1]) if nbytes is None else nbytes)
        return replace(access, buffer=self.places[key])

    def _moved(self, expr: Expr) -> Expr:
        arg = self._own(expr.arg) if expr.kind == "load" else (self._own(expr.arg[0]), *expr.arg[1:])
        return Expr(expr.kind, expr.op, expr.src, expr.dtype, arg)

    def _reserve(self, size: int) -> int:
        self.buffers.append(size)
        return len(self.buffers) - 1

    def _is_fixed(self, step: Pack) -> bool:
        """Whether all blocks pack the same."""
        owns = [self.buffers[access.buffer] for access in step.accesses if access.buffer >= 0]
        return all(isinstance(one, Own) and not any(one.block_bytes) for one in owns)

    def _hoist(self, step: Pack) -> None:
        """Let a step that comes before the chain work on the kernel's own buffers."""
        meta = step.meta
        out = meta.places["out"]
        place = meta.values[out]
        size = self.buffers[place]
        assert isinstance(size, int)
        own = self.buffers[place] = Own(self.scratch(size), 0, (0,) * len(self.extents))
        meta.values[out] = own.source
        for k, access in enumerate(step.accesses):
            one = self.buffers[access.buffer] if access.buffer >= 0 else None
            if isinstance(one, Own):
                meta.values[meta.places[f"a{k}"]] = one.source

    def _memory(self) -> list[Own]:
        """Take the memory that each task has for itself."""
        return [one if isinstance(one, Own) else self._taken(one) for one in self.buffers]

    def _taken(self, nbytes: int) -> Own:
        # Parts of the tasks in pages of their own, and not at the same place of a page.
        size = -(-nbytes // 4096) * 4096 + 64
        return Own(self.scratch(size * self.threads), size, (0,) * len(self.extents))


def chain_function(name: str, chain: Chain, steps: Sequence[str]) -> str:
    """Return the code of a chain, whose steps' functions have the given names, as LLVM text."""
    dims, count = len(chain.extents), len(chain.buffers)
    lines: list[str] = []

    def number(result: str, place: int) -> None:
        lines.append(f"  {result}.p = getelementptr i64, ptr %meta, i64 {place}")
        lines.append(f"  {result} = load i64, ptr {result}.p, align 8")

    rest = "%b"
    for dim in reversed(range(1, dims)):
        number(f"%e{dim}", 3 + dim)
        lines += [f"  %i{dim} = urem i64 {rest}, %e{dim}", f"  %r{dim} = udiv i64 {rest}, %e{dim}"]
        rest = f"%r{dim}"
    indices = [rest, *(f"%i{dim}" for dim in range(1, dims))]
    for k in range(count):
        place = 3 + dims + k * (2 + dims)
        number(f"%s{k}", place)
        lines += [
            f"  %s{k}.b = getelementptr ptr, ptr %buffers, i64 %s{k}",
            f"  %x{k} = load ptr, ptr %s{k}.b, align 8",
        ]
        at = f"%x{k}"
        for j, index in enumerate(["%t", *indices]):
            number(f"%d{k}.{j}", place + 1 + j)
            lines.append(f"  %o{k}.{j} = mul i64 %d{k}.{j}, {index}")
            lines.append(f"  %x{k}.{j} = getelementptr i8, ptr {at}, i64 %o{k}.{j}")
            at = f"%x{k}.{j}"
        lines += [f"  %w{k} = getelementptr ptr, ptr %own, i64 {k}", f"  store ptr {at}, ptr %w{k}, align 8"]
    for k, (step, offset) in enumerate(zip(steps, chain.offsets, strict=False)):
        lines.append(f"  %m{k} = getelementptr i64, ptr %meta, i64 {offset}")
        lines.append(f"  %n{k} = load i64, ptr %m{k}, align 8")
        lines.append(f"  call void @{step}(ptr %own, ptr %m{k}, ptr %scalars, i64 0, i64 %n{k})")
    return _FUNCTION.format(name=name, about=chain.name, count=count, body="\n".join(lines))


_FUNCTION = """; {about}: blocks, each task with its share of them
define hidden void @{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %t0, i64 %t1) noinline optnone #0 {{
entry:
  %own = alloca [{count} x ptr], align 16
  %tasks = load i64, ptr %meta, align 8
  %blocks.p = getelementptr i64, ptr %meta, i64 2
  %blocks = load i64, ptr %blocks.p, align 8
  br label %tasks.test
tasks.test:
  %t = phi i64 [ %t0, %entry ], [ %t.next, %blocks.test ]
  %t.more = icmp slt i64 %t, %t1
  br i1 %t.more, label %task, label %end
task:
  %t.next = add i64 %t, 1
  %low.n = mul i64 %t, %blocks
  %low = udiv i64 %low.n, %tasks
  %high.n = mul i64 %t.next, %blocks
  %high = udiv i64 %high.n, %tasks
  br label %blocks.test
blocks.test:
  %b = phi i64 [ %low, %task ], [ %b.next, %block ]
  %b.more = icmp slt i64 %b, %high
  br i1 %b.more, label %block, label %tasks.test
block:
{body}
  %b.next = add i64 %b, 1
  br label %blocks.test
end:
  ret void
}}"""
