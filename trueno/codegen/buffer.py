"""Memory that a plan refers to, as strided arrays, and how views of it become affine accesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from trueno.codegen.expr import Access
from trueno.ir.node import Node
from trueno.runtime.layout import contiguous_strides

# A coordinate of a node in terms of the stage's domain: (dimension or None, scale, offset).
Coordinate = tuple[int | None, int, int]
ZERO: Coordinate = (None, 0, 0)


@dataclass(slots=True)
class Buffer:
    """Memory that a plan refers to: an operand, an output or scratch, as a strided array."""

    number: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of its elements, next to each other."""
        return prod(self.shape) * self.dtype.itemsize


def reshape_strides(shape: Sequence[int], strides: Sequence[int], target: Sequence[int]) -> tuple[int, ...] | None:
    """Return strides that view a strided array under another shape, or None where that takes a copy."""
    source = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    if any(n == 0 for n in shape):
        return contiguous_strides(tuple(target))
    result: list[int] = []
    position = 0
    pending = [n for n in target]
    index = 0
    while index < len(pending):
        if pending[index] == 1:
            result.append(0)
            index += 1
            continue
        if position == len(source):
            return None
        need, have, first, begin = pending[index], source[position][0], position, index
        while need != have:
            if need < have:
                index += 1
                need *= pending[index]
            else:
                position += 1
                have *= source[position][0]
        for k in range(first, position):
            if source[k][1] != source[k + 1][1] * source[k + 1][0]:
                return None
        step = source[position][1]
        steps: list[int] = []
        for n in reversed(pending[begin : index + 1]):
            steps.append(step if n != 1 else 0)
            step *= n
        result.extend(reversed(steps))
        position += 1
        index += 1
    return tuple(result)


def viewed(base: Buffer, node: Node) -> Buffer | None:
    """Return what a view of a node shows where the node is strided memory, or None where that takes a copy."""
    offset, strides = base.offset, base.strides
    match node.op.name:
        case "reshape":
            reshaped = reshape_strides(base.shape, strides, node.shape)
            if reshaped is None:
                return None
            strides = reshaped
        case "expand":
            strides = tuple(0 if a != b else s for a, b, s in zip(base.shape, node.shape, strides, strict=True))
        case "permute":
            strides = tuple(strides[axis] for axis in node.arg)
        case "slice":
            offset += sum(start * s for (start, _, _), s in zip(node.arg, strides, strict=True))
            strides = tuple(step * s for (_, step, _), s in zip(node.arg, strides, strict=True))
        case "window":
            strides = window_strides(strides, node.arg)
        case "diagonal":
            first, second = node.arg
            rest = (s for k, s in enumerate(strides) if k not in node.arg)
            strides = (*rest, strides[first] + strides[second])
    return Buffer(base.number, base.dtype, node.shape, strides, offset)


def source_of(target: Buffer, node: Node) -> Buffer | None:
    """Return where the source of a view must lie for the view to be the target; None where it cannot.

    The inverse of `viewed`, of views that show each element once.
    """
    shape = node.src[0].shape
    strides: tuple[int, ...] | None = None
    match node.op.name:
        case "reshape":
            strides = reshape_strides(target.shape, target.strides, shape)
        case "permute":
            steps = dict(zip(node.arg, target.strides, strict=True))
            strides = tuple(steps[axis] for axis in range(len(shape)))
    return None if strides is None else Buffer(target.number, target.dtype, shape, strides, target.offset)


def window(target: Buffer, bounds: Sequence[tuple[int, int, int]]) -> Buffer:
    """Return the part of a buffer that a slice selects."""
    offset = target.offset + sum(start * s for (start, _, _), s in zip(bounds, target.strides, strict=True))
    strides = tuple(step * s for (_, step, _), s in zip(bounds, target.strides, strict=True))
    return Buffer(target.number, target.dtype, tuple(n for _, _, n in bounds), strides, offset)


def window_strides(strides: Sequence[int], slides: Sequence[tuple[int, int, int, int]]) -> tuple[int, ...]:
    """Return the strides of sliding windows: from one to the next along their axes, then inside them."""
    outer = list(strides)
    for axis, _, step, _ in slides:
        outer[axis] *= step
    return (*outer, *(dilation * strides[axis] for axis, _, _, dilation in slides))


def access_of(buffer: Buffer, coords: Sequence[Coordinate], ndim: int) -> Access:
    """Return the affine access of a strided buffer at these coordinates."""
    offset, strides = buffer.offset, [0] * ndim
    for (dim, scale, start), stride in zip(coords, buffer.strides, strict=True):
        offset += start * stride
        if dim is not None:
            strides[dim] += scale * stride
    return Access(buffer.number, buffer.dtype, offset, tuple(strides))
