"""Arrays made of one array's elements: continued beyond their ends, rolled, tiled, repeated; each of them one kernel.

An axis of the result is a row of *pieces* of the operand's axis. What stands where pieces of all axes meet is a view of
the operand, and a store of its own into the result: no axis is done before another one, and nothing is copied twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trueno.ir import build, pairs, views
from trueno.ir.node import Node, make
from trueno.ir.op import registry

#: Start, step and number of the positions of an axis that a piece takes; a step of 0 repeats the first.
Piece = tuple[int, int, int]

#: Axes that may be continued by one kernel: each has three pieces, and LLVM takes long for many stores.
MOST_AXES = 3
#: Up to this many times, neighbours that repeat are stores that are woven in registers; else a short row for each.
WOVEN = 4


def copied(x: Node) -> Node:
    """Return the elements as a result of their own, whatever they are a view of."""
    return make(registry["positive"], (x,), x.dtype, x.shape)


def _as_stored(move: Callable[..., Node], x: Node, **static: Any) -> Node:
    """Record a movement of the leading axes; the two parts of complex numbers stay together."""
    given = pairs.joined(x) if x.op is build.PAIR else x
    moved = move(given, **static)
    moved = copied(moved) if moved is given else moved
    return moved if given is x else pairs.split(moved)


def _piece(x: Node, chosen: Sequence[Piece]) -> Node:
    whole = [(0, 1, extent) for extent in x.shape[len(chosen) :]]
    bounds = [(start, step, size) if step else (start, 1, 1) for start, step, size in chosen]
    cut = views.slice_(x, bounds=(*bounds, *whole))
    return build.expand(cut, shape=(*(size for _, _, size in chosen), *x.shape[len(chosen) :]))


def assembled(x: Node, parts: Sequence[Sequence[Piece]]) -> Node:
    """Return the array whose leading axes are rows of pieces of the operand's."""

    def along(axis: int, chosen: tuple[Piece, ...]) -> Node:
        if axis == len(parts):
            return _piece(x, chosen)
        some = [one for one in parts[axis] if one[2]] or [(0, 1, 0)]
        return views.concatenate(*(along(axis + 1, (*chosen, one)) for one in some), axis=axis)

    return along(0, ())


def _runs(places: np.ndarray) -> list[Piece]:
    """Return positions as pieces: runs that go up, down, or stay where they are."""
    found: list[Piece] = []
    at = 0
    while at < len(places):
        step = int(places[at + 1] - places[at]) if at + 1 < len(places) else 1
        step = step if step in (-1, 0, 1) else 1
        steps = np.diff(places[at:]) == step
        size = len(places) - at if steps.all() else int(np.argmin(steps)) + 1
        found.append((int(places[at]), step, size))
        at += size
    return found


def _continued(extent: int, pair: tuple[int, int], mode: Any) -> list[Piece]:
    if pair == (0, 0):
        return [(0, 1, extent)]
    # NumPy says which elements continue an axis: it pads the positions.
    places = np.pad(np.arange(extent), pair, mode)
    return [*_runs(places[: pair[0]]), (0, 1, extent), *_runs(places[pair[0] + extent :])]


def is_simple(extent: int, pair: tuple[int, int], mode: str) -> bool:
    """Tell whether each end of an axis is continued by one piece."""
    reach = extent - 1 if mode == "reflect" else extent
    return mode == "edge" or max(pair) <= reach


def continued(x: Node, *, widths: tuple[tuple[int, int], ...], mode: str) -> Node:
    """The array with elements of its own around it: "edge", "reflect", "symmetric" or "wrap", as in `numpy.pad`."""
    parts = [_continued(extent, pair, mode) for extent, pair in zip(x.shape, widths, strict=True)]
    return _as_stored(assembled, x, parts=parts)


def rolled(x: Node, *, cuts: tuple[int, ...]) -> Node:
    """The array whose axes begin at these positions; what was before them comes last."""
    parts = [[(cut, 1, extent - cut), (0, 1, cut)] for extent, cut in zip(x.shape, cuts, strict=True)]
    return _as_stored(assembled, x, parts=parts)


def tiled(x: Node, *, times: tuple[int, ...]) -> Node:
    """The array as often as `times` says along each axis."""

    def move(given: Node) -> Node:
        parts = given.shape[len(times) :]
        thin = [one for extent in given.shape[: len(times)] for one in (1, extent)]
        wide = [one for extent, many in zip(given.shape, times, strict=False) for one in (many, extent)]
        shape = [extent * many for extent, many in zip(given.shape, times, strict=False)]
        made = build.expand(build.reshape(given, shape=(*thin, *parts)), shape=(*wide, *parts))
        return build.reshape(made, shape=(*shape, *parts))

    return _as_stored(move, x)


def repeated(x: Node, *, times: int, axis: int) -> Node:
    """The array with each position of an axis as often as `times` says, next to itself."""

    def move(given: Node) -> Node:
        head, extent, rest = given.shape[:axis], given.shape[axis], given.shape[axis + 1 :]
        thin = build.reshape(given, shape=(*head, extent, 1, *rest))
        if 1 < times <= WOVEN and all(one == 1 for one in rest):
            made = views.concatenate(*[thin] * times, axis=axis + 1)
        else:
            made = build.expand(thin, shape=(*head, extent, times, *rest))
        return build.reshape(made, shape=(*head, extent * times, *rest))

    return _as_stored(move, x)
