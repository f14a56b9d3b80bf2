"""From a recorded kernel to stages: what is computed where, and what passes through memory in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trueno.codegen.buffer import ZERO, Buffer, Coordinate, access_of, source_of, viewed, window
from trueno.codegen.contraction.long import Pieces, pieces
from trueno.codegen.contraction.match import roles
from trueno.codegen.convolution import as_windows
from trueno.codegen.domain import STORES, Domain, Limits, NotFusable, Plan, block_of, root_coordinates
from trueno.codegen.expr import Access, Expr, Store, Table, reads, topological
from trueno.codegen.memory import overwrites_operands, share_scratch
from trueno.codegen.products import as_sums
from trueno.codegen.search import extreme_of, search_among
from trueno.codegen.stage import Stage
from trueno.codegen.windows import around
from trueno.ir import build
from trueno.ir.elementwise import mul
from trueno.ir.node import Kernel, Node
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import slice_
from trueno.ir.windows import interleaved_bounds
from trueno.runtime.layout import Layout, contiguous_strides


class Planner:
    """Builds the stages of one kernel."""

    def __init__(
        self,
        kernel: Kernel,
        layouts: Sequence[Layout | None],
        aliases: Sequence[int],
        limits: Limits,
        staged: bool = False,
    ) -> None:
        # Staged: results that replace operands are written when everything else has been read.
        self.aliases, self.staged = aliases, staged
        self.plan = Plan(kernel)
        self.limits = limits
        self.table = Table()
        self.buffers: dict[int, Buffer] = {}
        self.views: dict[int, Buffer] = {}
        self.slots: dict[tuple, int] = {}
        self.alive: list[Node] = []
        self.joined: dict[tuple, Node | None] = {}
        # Buffers of the blocks' results of split reductions.
        self.partial: set[int] = set()
        # The last stage that writes each buffer.
        self.writers: dict[int, int] = {}
        # The stage that sets a buffer to zeros which later stages write into.
        self.cleared: dict[int, int] = {}
        present = [(position, layout) for position, layout in enumerate(layouts) if layout is not None]
        self.operands = by_operand = {
            position: Buffer(k, one.dtype, one.shape, one.strides) for k, (position, one) in enumerate(present)
        }
        for leaf in kernel.inputs:
            if leaf.op is build.INPUT:
                self.buffers[id(leaf)] = by_operand[leaf.arg]
        self.outputs: list[Buffer] = []
        for k, (node, alias) in enumerate(zip(kernel.outputs, aliases, strict=True)):
            number = len(present) + k
            target = by_operand[alias] if alias >= 0 else None
            strides = target.strides if target else contiguous_strides(node.shape)
            self.outputs.append(Buffer(number, node.dtype, node.shape, strides))
        self.next_buffer = len(present) + len(kernel.outputs)

    def run(self) -> Plan:
        """Plan every output."""
        waiting: list[tuple[Buffer, Buffer]] = []
        for node, buffer, alias in zip(self.plan.kernel.outputs, self.outputs, self.aliases, strict=True):
            target = buffer
            if self.staged and alias >= 0:
                target = self.scratch(node.dtype, node.shape)
                waiting.append((target, buffer))
            self.compute(node, target)
            if target.strides == contiguous_strides(target.shape) and id(node) not in self.buffers:
                self.buffers[id(node)] = target
        for source, target in waiting:
            leaf = self._keep(Node(build.INPUT, (), source.dtype, source.shape, None))
            self.buffers[id(leaf)] = source
            self._store(leaf, target)
        return self.plan

    # --- memory -------------------------------------------------------------------------------------------------------

    def scratch(self, dtype: np.dtype, shape: tuple[int, ...]) -> Buffer:
        """Return a new scratch buffer."""
        made = Buffer(self.next_buffer, dtype, shape, contiguous_strides(shape))
        self.plan.scratch.append(max(made.nbytes, 1))
        self.next_buffer += 1
        return made

    def materialise(self, node: Node) -> Buffer:
        """Return memory that holds the node, computing it in stages of its own when there is none yet."""
        found = self.buffers.get(id(node))
        if found is None:
            found = self.scratch(node.dtype, node.shape)
            self.compute(node, found)
            self.buffers[id(node)] = found
        return found

    def view(self, node: Node) -> Buffer | None:
        """Return the node as strided memory, if it is a view of something in memory."""
        found = self.buffers.get(id(node)) or self.views.get(id(node))
        if found is not None or node.op.kind != "view":
            return found
        base = self.view(node.src[0])
        found = None if base is None else viewed(base, node)
        if found is not None:
            self.views[id(self._keep(node))] = found
        return found

    # --- stages -------------------------------------------------------------------------------------------------------

    def compute(self, node: Node, target: Buffer) -> None:
        """Append stages that compute the node into the target."""
        dense = target.strides == contiguous_strides(target.shape)
        self._keep(node)
        while node.op.name == "reshape" and dense and self.view(node) is None:
            node = node.src[0]
            target = Buffer(target.number, target.dtype, node.shape, contiguous_strides(node.shape), target.offset)
        match node.op.name:
            case "concatenate":
                self._concatenate(node, target)
            case "place":
                for part in around(node.src[0], node.shape, node.arg):
                    zeros = build.expand(build.const(0, node.dtype), shape=tuple(size for _, _, size in part))
                    self._store(self._keep(zeros), window(target, part))
                    if zeros.shape == node.shape:
                        # What goes into the zeros may join no stage before them.
                        self.cleared[target.number] = self.writers[target.number]
                self.compute(node.src[0], window(target, node.arg))
            case "interleave":
                self._materialise_shared(node.src)
                for piece, bounds in zip(node.src, interleaved_bounds(node.shape, node.arg), strict=True):
                    self.compute(piece, window(target, bounds))
            case "permute" if self._turned(node, target) is not None:
                pass
            case "scatter_add":
                self._store(self._keep(build.expand(build.const(0, node.dtype), shape=node.shape)), target)
                self._scatter(node, target)
            case _:
                self._store(node, target)

    def _turned(self, node: Node, target: Buffer) -> Node | None:
        """Store the product of matrices that the node is a view of, so that the view lies in the target; else None.

        A product may be written across memory as well as along it. Gradients of weights are such views.
        """
        found: Buffer | None = target
        while node.op.name in ("permute", "reshape") and self.view(node) is None and found is not None:
            found, node = source_of(found, node), node.src[0]
        if found is None or self.view(node) is not None or not self._is_product(node):
            return None
        self._store(node, found)
        self.buffers[id(self._keep(node))] = found
        return node

    def _is_product(self, node: Node) -> bool:
        """Whether a node is a product of matrices; what its factors need in memory is computed."""
        while node.op is sum_rows and node.src[0].op is mul:
            try:
                return self._product(node, Domain(node.src[0].shape, node.arg)) is not None
            except NotFusable as refusal:
                self.materialise(refusal.node)
        return False

    def _materialise_shared(self, pieces: Sequence[Node]) -> None:
        """Compute what several pieces reduce before them, so that no piece is computed apart from the others."""
        known: set[int] = set()
        for piece in pieces:
            while (found := self._first_reduction(piece)) is not None and id(found) in known:
                self.materialise(found)
            known.add(id(found))

    def _concatenate(self, node: Node, target: Buffer) -> None:
        offset = 0
        for piece in node.src:
            extent = piece.shape[node.arg]
            bounds = tuple((offset, 1, extent) if k == node.arg else (0, 1, n) for k, n in enumerate(piece.shape))
            self.compute(piece, window(target, bounds))
            offset += extent

    def _store(self, root: Node, target: Buffer) -> None:
        """Append one stage (or merge into an earlier one) that evaluates `root` and stores it."""
        while True:
            try:
                self._try_store(root, target)
                return
            except NotFusable as refusal:
                self.materialise(refusal.node)

    def _try_store(self, root: Node, target: Buffer) -> None:
        reduce_node = self._first_reduction(root)
        if reduce_node is None:
            domain = Domain(root.shape, ())
            coords: list[Coordinate] = [(k, 1, 0) for k in range(root.ndim)]
            value = self._expression(root, tuple(coords), domain)
            self._append(root, domain, Store(access_of(target, coords, root.ndim), value), target)
            return
        source = reduce_node.src[0]
        axes = reduce_node.arg if reduce_node.op.kind == "reduction" else (reduce_node.arg,)
        domain = Domain(source.shape, axes)
        if root is not reduce_node and any(domain.sizes[k] == 0 for k in axes):
            # Loops over no elements would not reach what follows the reduction.
            raise NotFusable(reduce_node)
        product = self._product(reduce_node, domain)
        parts = [] if product is None else pieces(product, domain.sizes, domain.inner, self.table)
        block = 0
        if reduce_node.op.kind == "reduction" and product is None:
            block = block_of(domain, self.limits, lambda: self._column_wise(source, domain))
        if block or parts:
            if root is not reduce_node:
                raise NotFusable(reduce_node)
            if parts:
                return self._sum_pieces(reduce_node, parts, target)
            return self._split(reduce_node, domain, block, target)
        coords = root_coordinates(root, domain, reduce_node)
        if product is not None and any(c[0] in axes and domain.sizes[c[0]] != 1 for c in coords if c[0] is not None):
            raise NotFusable(reduce_node)
        value = self._expression(root, tuple(coords), domain)
        self._append(root, domain, Store(access_of(target, coords, len(domain.sizes)), value), target, product)

    def _product(self, node: Node, domain: Domain) -> Expr | None:
        """Return the reduction as an expression if it is a contraction; no other reduction may join its stage then."""
        if not self.limits.contractions or node.op is not sum_rows:
            return None
        identity = tuple((k, 1, 0) for k in range(len(domain.sizes)))
        product = self.table.make("reduce", node.op, (self._expression(node.src[0], identity, domain),), node.dtype)
        if roles(product, domain.sizes, domain.inner) is None:
            return None
        domain.product = node
        return product

    def _append(self, root: Node, domain: Domain, store: Store, target: Buffer, product: Expr | None = None) -> None:
        """Add the store to an earlier stage over the same domain if what it reads is there by then, else to a new."""
        stages = self.plan.stages
        for index in range(len(stages) - 1, max(domain.writer, self.cleared.get(target.number, -1)), -1):
            stage = stages[index]
            same = tuple(stage.sizes) == domain.sizes and stage.inner == domain.inner
            if (
                same
                and stage.product is product
                and not stage.block
                and not stage.serial
                and self._has_room(stage, target)
            ):
                stage.stores.append(store)
                self.writers[target.number] = max(self.writers.get(target.number, -1), index)
                return
        partial = any(a.buffer in self.partial for e in topological([store.value]) for a in reads(e))
        stages.append(Stage(root.op.name, list(domain.sizes), domain.inner, [store], product=product, partial=partial))
        self.writers[target.number] = len(stages) - 1

    def _has_room(self, stage: Stage, target: Buffer) -> bool:
        """Whether one more store may join a stage; pieces of one result, which share what they compute, may be many."""
        most = self.limits.pieces if all(s.access.buffer == target.number for s in stage.stores) else STORES
        return len(stage.stores) < most

    def _column_wise(self, source: Node, domain: Domain) -> bool:
        """Return whether memory runs along a kept dimension, and not along the reduced ones, in what is reduced."""
        inner = [k for k in domain.inner if domain.sizes[k] != 1]
        kept = [k for k, extent in enumerate(domain.sizes) if k not in domain.inner and extent != 1]
        body = self._expression(source, tuple((k, 1, 0) for k in range(source.ndim)), domain)
        return any(
            any(expr.arg.strides[k] == 1 for k in kept) and all(expr.arg.strides[k] != 1 for k in inner)
            for expr in topological([body])
            if expr.kind == "load"
        )

    def _split(self, node: Node, domain: Domain, block: int, target: Buffer) -> None:
        """Reduce blocks into partial results, then those."""
        source, axes = node.src[0], node.arg
        if len(axes) > 1 and axes == tuple(range(axes[0], axes[-1] + 1)):
            # Neighbouring axes that memory steps through as one are split as one.
            joined = self._join(source, source.shape[: axes[0]], source.shape[axes[-1] + 1 :])
            if joined is not None:
                shape = tuple(1 if k == axes[0] else n for k, n in enumerate(joined.shape))
                merged = build.make(node.op, (joined,), node.dtype, shape, (axes[0],))
                self.compute(self._keep(build.reshape(merged, shape=node.shape)), target)
                return
        # Blocks run along the longest reduced axis; the others are left to the second step.
        axis = max(axes, key=lambda k: source.shape[k])
        rest = (*(k for k in axes if k != axis), source.ndim)
        across = self._column_wise(source, domain)
        if node.op.absorbing is not None and self.limits.shared and len(axes) == 1 and not across:
            return self._split_until_decided(node, axis, block, target)
        extreme = extreme_of(node)
        if extreme is None:
            (leaf,) = self._partials([node], axis, block, False, across)
        else:
            # Where a block's own extreme is, and what it is.
            leaf = search_among(node, *self._partials([node, extreme], axis, block, True, across))
        shape = tuple(1 if k in rest else n for k, n in enumerate(leaf.shape))
        final = build.make(node.op, (leaf,), node.dtype, shape, rest)
        self.compute(self._keep(build.reshape(final, shape=node.shape)), target)

    def _split_until_decided(self, node: Node, axis: int, block: int, target: Buffer) -> None:
        """Reduce the first block into the target, then the others, which stop once one of them has decided it."""
        source = node.src[0]
        extent = source.shape[axis]
        whole = [(0, 1, n) for n in source.shape]
        first, rest = (
            self._keep(slice_(source, bounds=(*whole[:axis], part, *whole[axis + 1 :])))
            for part in ((0, 1, block), (block, 1, extent - block))
        )
        coords: list[Coordinate] = [(k, 1, 0) for k in range(source.ndim)]
        domain = Domain(rest.shape, (axis,), False)
        value = self.table.make("reduce", node.op, (self._expression(rest, tuple(coords), domain),), node.dtype)
        self.compute(self._keep(build.make(node.op, (first,), node.dtype, node.shape, node.arg)), target)
        coords[axis] = ZERO
        access = access_of(target, coords, source.ndim)
        store = Store(replace(access, strides=(*access.strides, 0)), value)
        self.writers[target.number] = len(self.plan.stages)
        self.plan.stages.append(Stage(node.op.name, list(rest.shape), (axis,), [store], block, shared=True))

    def _partials(self, nodes: list[Node], axis: int, block: int, whole: bool, across: bool) -> list[Node]:
        """Append a stage that reduces blocks along an axis; return leaves that have the blocks as one more axis.

        `whole`: whether a reduction that another one needs is the block's own. `across`: whether the results of a block
        lie side by side, not those of all blocks.
        """
        shape = nodes[0].src[0].shape
        first = Domain(shape, (axis,), whole)
        identity = tuple((k, 1, 0) for k in range(len(shape)))
        stage = Stage(nodes[0].op.name, list(shape), first.inner, [], block)
        values = [
            self.table.make("reduce", node.op, (self._expression(node.src[0], identity, first),), node.dtype)
            for node in nodes
        ]
        leaves = []
        for value in values:
            kept = tuple(1 if k == axis else n for k, n in enumerate(shape))
            count = -(-shape[axis] // block)
            if across:
                base = self.scratch(value.dtype, (count, *kept))
                moved = (*base.strides[1:], base.strides[0])
                partial = Buffer(base.number, base.dtype, (*kept, count), moved)
            else:
                partial = self.scratch(value.dtype, (*kept, count))
            strides = tuple(0 if k == axis else s for k, s in enumerate(partial.strides[:-1]))
            access = Access(partial.number, partial.dtype, 0, (*strides, partial.strides[-1]))
            self.partial.add(partial.number)
            stage.stores.append(Store(access, value))
            self.writers[partial.number] = len(self.plan.stages)
            leaves.append(self._keep(Node(build.INPUT, (), value.dtype, partial.shape, None)))
            self.buffers[id(leaves[-1])] = partial
        self.plan.stages.append(stage)
        return leaves

    def _sum_pieces(self, node: Node, parts: list[Pieces], target: Buffer) -> None:
        """Append stages for the pieces of a product's K, then one that sums their results."""
        partial = self.scratch(node.dtype, (sum(part.sizes[0] for part in parts), *node.shape))
        for part in parts:
            strides = tuple(0 if k in part.inner else s for k, s in enumerate(partial.strides))
            store = Store(Access(partial.number, partial.dtype, part.first * strides[0], strides), part.product)
            self.writers[partial.number] = len(self.plan.stages)
            self.plan.stages.append(Stage(node.op.name, list(part.sizes), part.inner, [store], product=part.product))
        self.partial.add(partial.number)
        leaf = self._keep(Node(build.INPUT, (), node.dtype, partial.shape, None))
        self.buffers[id(leaf)] = partial
        final = build.make(node.op, (leaf,), node.dtype, (1, *node.shape), (0,))
        self.compute(self._keep(build.reshape(final, shape=node.shape)), target)

    def _join(self, node: Node, before: tuple[int, ...], after: tuple[int, ...]) -> Node | None:
        """Return the node with its axes between `before` and `after` joined, where no copy is needed for it."""
        key = (id(node), before, after)
        if key not in self.joined:
            self.joined[key] = self._joined(node, before, after)
        return self.joined[key]

    def _joined(self, node: Node, before: tuple[int, ...], after: tuple[int, ...]) -> Node | None:
        middle = node.size
        for extent in (*before, *after):
            middle //= max(extent, 1)
        shape = (*before, middle, *after)
        joined = self._keep(build.reshape(node, shape=shape))
        if self.view(joined) is not None:
            return joined
        if node.op.name == "expand" and node.src[0].size == 1:
            return build.expand(build.reshape(node.src[0], shape=()), shape=shape)
        if node.op.kind != "elementwise":
            return None
        parts = [self._join(source, before, after) for source in node.src]
        joined_parts = tuple(part for part in parts if part is not None)
        if len(joined_parts) < len(parts):
            return None
        return self._keep(build.make(node.op, joined_parts, node.dtype, shape, node.arg))

    def _keep(self, node: Node) -> Node:
        """Keep a node alive as long as the planner: memory is found by a node's identity."""
        self.alive.append(node)
        return node

    def _scatter(self, node: Node, target: Buffer) -> None:
        source, index = node.src
        axis = node.arg
        for part in node.src:
            # A scan's values exist while its own loop runs; the loop of a scatter is another.
            while (scan := self._first_reduction(part, ("scan",))) is not None:
                self.materialise(scan)
        while True:
            domain = Domain(source.shape, (axis,))
            identity: list[Coordinate] = [(k, 1, 0) for k in range(source.ndim)]
            try:
                value = self._expression(source, tuple(identity), domain)
                position = self._expression(index, tuple(identity), domain)
                break
            except NotFusable as refusal:
                self.materialise(refusal.node)
        coords = [ZERO if k == axis else c for k, c in enumerate(identity)]
        access = access_of(target, coords, source.ndim)
        store = Store(access, value, position, (node.shape[axis], target.strides[axis]))
        self.plan.stages.append(Stage(node.op.name, list(domain.sizes), domain.inner, [store], serial=True))
        self.writers[target.number] = len(self.plan.stages) - 1

    # --- expressions --------------------------------------------------------------------------------------------------

    def _first_reduction(self, root: Node, kinds: tuple[str, ...] = ("reduction", "scan")) -> Node | None:
        """Return a reduction or scan that is reached from the root through rows that can be fused, else None."""
        stack, seen = [root], set()
        while stack:
            node = stack.pop()
            if id(node) in seen or self.view(node) is not None:
                continue
            seen.add(id(node))
            if node.op.kind in kinds:
                return node
            if node.op.kind in ("elementwise", "view"):
                stack.extend(node.src)
            elif node.op.kind == "gather":
                stack.append(node.src[1])
        return None

    def _expression(self, node: Node, coords: tuple[Coordinate, ...], domain: Domain) -> Expr:
        key = (id(node), coords)
        found = domain.known.get(key)
        if found is None:
            found = domain.known[key] = self._made(node, coords, domain)
        return found

    def _made(self, node: Node, coords: tuple[Coordinate, ...], domain: Domain) -> Expr:
        memory = self.view(node)
        if memory is not None:
            domain.writer = max(domain.writer, self.writers.get(memory.number, -1))
            return self.table.make("load", None, (), node.dtype, access_of(memory, coords, len(domain.sizes)))
        make = self.table.make
        op, kind = node.op, node.op.kind
        if op is build.CONST:
            return make("const", None, (), node.dtype, node.arg)
        if op in (build.PARAM, build.SCALAR):
            return make("scalar", None, (), node.dtype, self._slot(node))
        if op is build.IOTA:
            strides = tuple(int(k == node.arg) for k in range(node.ndim))
            virtual = Buffer(-1, node.dtype, node.shape, strides)
            return make("iota", None, (), node.dtype, access_of(virtual, coords, len(domain.sizes)))
        if kind == "elementwise":
            for inner in self._chain(node, coords, domain):
                src = tuple(self._expression(source, coords, domain) for source in inner.src)
                domain.known[(id(inner), coords)] = made = make("op", inner.op, src, inner.dtype, inner.arg)
            return made
        if kind == "view":
            return self._expression(node.src[0], self._through_view(node, coords), domain)
        if kind in ("reduction", "scan"):
            return self._reduced(node, coords, domain)
        if kind == "gather":
            return self._gathered(node, coords, domain)
        raise NotFusable(node)

    def _chain(self, root: Node, coords: tuple[Coordinate, ...], domain: Domain) -> list[Node]:
        """Return the elementwise nodes below (and with) the root that are still to be made, operands first.

        A kernel of a thousand steps is a graph that deep; walking it here keeps recursion to views and reductions.
        """
        order: list[Node] = []
        stack = [(root, False)]
        seen: set[int] = set()
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif id(node) not in seen and (id(node), coords) not in domain.known:
                seen.add(id(node))
                stack.append((node, True))
                stack += [(s, False) for s in reversed(node.src) if s.op.kind == "elementwise" and self.view(s) is None]
        return order

    def _through_view(self, node: Node, coords: tuple[Coordinate, ...]) -> tuple[Coordinate, ...]:
        source = node.src[0]
        match node.op.name:
            case "expand":
                return tuple(ZERO if a != b else c for a, b, c in zip(source.shape, node.shape, coords, strict=True))
            case "permute":
                inverse = [ZERO] * len(coords)
                for k, axis in enumerate(node.arg):
                    inverse[axis] = coords[k]
                return tuple(inverse)
            case "slice":
                return tuple(
                    (dim, scale * step, start + step * offset)
                    for (start, step, _), (dim, scale, offset) in zip(node.arg, coords, strict=True)
                )
            case "window":
                # Two of the domain's dimensions step along one axis: that is a view of memory.
                while source.op is node.op and self.view(source) is None:
                    source = source.src[0]
                raise NotFusable(source)
            case "diagonal":
                rest = iter(coords)
                return tuple(coords[-1] if k in node.arg else next(rest) for k in range(source.ndim))
        wide = [c for c, n in zip(coords, node.shape, strict=True) if n != 1]
        if [n for n in node.shape if n != 1] != [n for n in source.shape if n != 1]:
            # Strided memory that no view reshapes is copied; anything else is computed densely, and then viewed.
            if self.view(source) is not None:
                raise NotFusable(node)
            # A part of what is put together in memory anyway is a view of that.
            part = source.op.name == "slice" and source.src[0].op.name == "concatenate"
            raise NotFusable(source.src[0] if part else source)
        rest = iter(wide)
        return tuple(ZERO if n == 1 else next(rest) for n in source.shape)

    def _reduced(self, node: Node, coords: tuple[Coordinate, ...], domain: Domain) -> Expr:
        source = node.src[0]
        axes = node.arg if node.op.kind == "reduction" else (node.arg,)
        kept = () if node.op.kind == "scan" else axes
        aligned = domain.whole and source.shape == domain.sizes and axes == domain.inner and domain.inner != ()
        for k, (coordinate, n) in enumerate(zip(coords, source.shape, strict=True)):
            if k not in kept and n != 1 and coordinate != (k, 1, 0):
                aligned = False
        if not aligned or domain.product not in (None, node):
            raise NotFusable(node)
        identity = tuple((k, 1, 0) for k in range(source.ndim))
        kind = "reduce" if node.op.kind == "reduction" else "scan"
        return self.table.make(kind, node.op, (self._expression(source, identity, domain),), node.dtype)

    def _gathered(self, node: Node, coords: tuple[Coordinate, ...], domain: Domain) -> Expr:
        memory = self.view(node.src[0])
        if memory is None:
            raise NotFusable(node.src[0])
        domain.writer = max(domain.writer, self.writers.get(memory.number, -1))
        axis = node.arg
        index = self._expression(node.src[1], coords, domain)
        rest = tuple(ZERO if k == axis else c for k, c in enumerate(coords))
        access = access_of(memory, rest, len(domain.sizes))
        return self.table.make("gather", None, (index,), node.dtype, (access, memory.shape[axis], memory.strides[axis]))

    def _slot(self, node: Node) -> int:
        operand = None if node.op is build.PARAM else node.arg if isinstance(node.arg, int) else node.arg[0]
        value = node.arg if operand is None else None
        key = (operand, node.dtype, repr(value))
        if key not in self.slots:
            self.slots[key] = len(self.plan.slots)
            self.plan.slots.append((operand, node.dtype, value))
        return self.slots[key]


def plan(
    kernel: Kernel, layouts: Sequence[Layout | None], aliases: Sequence[int] | None = None, limits: Limits | None = None
) -> Plan:
    """Plan a kernel for operands of these layouts.

    Parameters
    ----------
    kernel : Kernel
    layouts : sequence of Layout or None
        One for each operand of the call; None for a Python scalar.
    aliases : sequence of int, optional
        For each output, the operand whose memory it overwrites, or -1.
    limits : Limits, optional
    """
    limits = Limits() if limits is None else limits
    aliases = [-1] * len(kernel.outputs) if aliases is None else aliases
    lowered = as_sums(as_windows(kernel, limits.pieces > STORES, limits.contractions, limits.bfloat16))
    planner = Planner(lowered, layouts, aliases, limits)
    planned = planner.run()
    pairs = [
        (out.number, planner.operands[at].number) for out, at in zip(planner.outputs, aliases, strict=True) if at >= 0
    ]
    if overwrites_operands(planned.stages, pairs):
        planned = Planner(lowered, layouts, aliases, limits, staged=True).run()
    arrays = sum(layout is not None for layout in layouts) + len(kernel.outputs)
    if any(len(stage.stores) > STORES for stage in planned.stages):
        # Imported where it is needed: `import trueno` does without it.
        from trueno.codegen.joined import runs

        planned.joined = runs(planned.stages, arrays, aliases, arrays - len(kernel.outputs))
    fresh = {buffer.number: buffer.nbytes for buffer, at in zip(planner.outputs, aliases, strict=True) if at < 0}
    share_scratch(planned.stages, planned.scratch, arrays, [(run.begin, run.end) for run in planned.joined], fresh)
    return planned
