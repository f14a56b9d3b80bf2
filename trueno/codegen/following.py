"""Elementwise rows that follow an interleaving, evaluated in its pieces: bias and activation of a convolution by tiles.

An interleaving is memory that stages write piece by piece. What follows it would read that memory again; evaluated in
the pieces, it is a part of the stages that write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trueno.ir import build
from trueno.ir.node import Node, make, topological
from trueno.ir.views import slice_
from trueno.ir.windows import interleave, interleaved_bounds


def evaluated_in_pieces(
    outputs: tuple[Node, ...], roots: Iterable[Node], fits: Callable[[Node], bool]
) -> tuple[Node, ...]:
    """Return the outputs with elementwise rows over interleavings moved into their pieces.

    Parameters
    ----------
    outputs : tuple of Node
    roots : iterable of Node
        Interleavings, each seen as another shape by a reshape that splits axes or drops those of extent 1.
    fits : callable
        Whether a row may be evaluated together with what the pieces hold.
    """
    found = {id(root) for root in roots if root.op is build.reshape and root.src[0].op is interleave}
    return _Sinking(outputs, found, fits).run() if found else outputs


@dataclass(slots=True, eq=False)
class _Sinking:
    outputs: tuple[Node, ...]
    roots: set[int]
    fits: Callable[[Node], bool]
    users: dict[int, list[Node]] = field(default_factory=dict)
    done: dict[int, Node] = field(default_factory=dict)
    # The interleaving of a value that exists in pieces.
    assembled: dict[int, Node] = field(default_factory=dict)

    def run(self) -> tuple[Node, ...]:
        """Rebuild the graph bottom-up."""
        order = topological(self.outputs)
        for node in order:
            for source in node.src:
                self.users.setdefault(id(source), []).append(node)
        for node in order:
            src = tuple(self.done[id(source)] for source in node.src)
            same = all(new is old for new, old in zip(src, node.src, strict=True))
            fresh = node if same else make(node.op, src, node.dtype, node.shape, node.arg)
            if id(node) in self.roots and self._stays_in_pieces(node):
                self.assembled[id(node)] = fresh.src[0]
            elif self._joins(node):
                made = self._moved(node)
                fresh = build.reshape(made, shape=node.shape)
                if self._stays_in_pieces(node):
                    self.assembled[id(node)] = made
            self.done[id(node)] = fresh
        return tuple(self.done[id(node)] for node in self.outputs)

    def _stays_in_pieces(self, node: Node) -> bool:
        """Whether nothing needs the value as a whole."""
        if any(node is output for output in self.outputs):
            return False
        return all(one.op.kind == "elementwise" and one.shape == node.shape for one in self.users[id(node)]) and all(
            self.fits(one) for one in self.users[id(node)]
        )

    def _joins(self, node: Node) -> bool:
        return node.op.kind == "elementwise" and any(id(source) in self.assembled for source in node.src)

    def _moved(self, node: Node) -> Node:
        """Return a row as an interleaving of its pieces."""
        whole = next(self.assembled[id(source)] for source in node.src if id(source) in self.assembled)
        pieces = []
        for k, bounds in enumerate(interleaved_bounds(whole.shape, whole.arg)):
            src = tuple(self._piece(source, k, whole, bounds) for source in node.src)
            pieces.append(make(node.op, src, node.dtype, whole.src[k].shape, node.arg))
        return interleave(*pieces, steps=whole.arg, shape=whole.shape)

    def _piece(self, source: Node, k: int, whole: Node, bounds: tuple[tuple[int, int, int], ...]) -> Node:
        known = self.assembled.get(id(source))
        if known is not None and known.shape == whole.shape and known.arg == whole.arg:
            return known.src[k]
        return _part(self.done[id(source)], whole.shape, bounds)


def _part(node: Node, shape: tuple[int, ...], bounds: tuple[tuple[int, int, int], ...]) -> Node:
    """Return a slice of a value that is seen as another shape; what it is computed from is cut as well."""
    sizes = tuple(size for _, _, size in bounds)
    if node.op.kind == "elementwise":
        return make(node.op, tuple(_part(one, shape, bounds) for one in node.src), node.dtype, sizes, node.arg)
    inner = node.src[0] if node.op is build.expand else node
    split: list[int] = []
    rest = iter(shape)
    for extent, own in zip(node.shape, inner.shape, strict=True):
        covered = 1
        while covered < extent or not split:
            dim = next(rest)
            covered *= dim
            split.append(dim if own != 1 else 1)
    split += [1 for _ in rest]
    inner = build.reshape(inner, shape=tuple(split))
    cut = tuple(one if n != 1 else (0, 1, 1) for one, n in zip(bounds, split, strict=True))
    return build.expand(slice_(inner, bounds=cut), shape=sizes)
