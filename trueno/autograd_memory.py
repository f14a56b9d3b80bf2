"""Histories of tensors that share memory, after one of them was written to on the tape.

A recorded write leaves a `Patch` in the version that the writer shared with its base and its views (runtime/inplace). A
tensor that still has that version is brought up to date when somebody asks for its history: it is what the tensor was,
with the patch's elements in place of its own. PyTorch's way is to rebase the history of the base and to make those of
its views anew; patches need no base, which may be gone, and no view that contains the other.

Elements are matched by their addresses, so that any two layouts will do. Both functions here are linear and each
other's, or their own, transpose: gradients of any order follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from trueno import dtypes as dt
from trueno.autograd import Autograd, GradientRule, GradNode, record_node
from trueno.creation import from_numpy, zeros
from trueno.functions import operations
from trueno.runtime import launcher, memory
from trueno.runtime.inplace import Patch, Version, address, may_repeat, requires_grad, untouched
from trueno.runtime.layout import Layout, layout_of
from trueno.runtime.operation import BackwardPlan, calling
from trueno.tensor import Tensor, window, wrap


class Region(NamedTuple):
    """Where an array lies: the address of its first element, and its layout."""

    address: int
    layout: Layout

    @property
    def bounds(self) -> tuple[int, int]:
        """The addresses between which all elements are."""
        low, high = launcher.extent(self.layout)
        return self.address + low, self.address + high

    @property
    def dense(self) -> bool:
        """Whether there is nothing else between the first and the last element."""
        low, high = self.bounds
        return high - low == self.layout.nbytes and not may_repeat(self.layout)

    def array(self, space: np.ndarray, start: int) -> np.ndarray:
        """Return an array that lies in bytes of memory as the region lies in memory that begins at `start`."""
        itemsize = self.layout.dtype.itemsize
        strides = [step * itemsize for step in self.layout.strides]
        return np.ndarray(self.layout.shape, f"V{itemsize}", space, self.address - start, strides)

    def window(self, image: Tensor, start: int) -> Tensor:
        """Return the region's elements, complex ones as pairs, in a line of real numbers that begins at `start`."""
        parts = self.layout.parts
        return window(image, parts.shape, parts.strides, (self.address - start) // parts.dtype.itemsize)


def refresh(tensor: Tensor) -> None:
    """Bring the history of a stale tensor up to date.

    Raises
    ------
    RuntimeError
        For a leaf that requires a gradient: what was written to it makes it the result of an operation.
    """
    version: Version = tensor._version
    patches: list[Patch] = []
    region = Region(address(tensor), tensor._layout)
    owner: Autograd | None = getattr(tensor, "_autograd", None)
    while hasattr(version, "next"):
        patch: Patch | None = getattr(version, "patch", None)
        if patch is not None and dt.is_inexact(region.layout.dtype) and _meet(region, Region(*patch[:2])):
            if owner is not None and owner.node is None:
                raise RuntimeError(
                    f"a leaf tensor of shape {tensor.shape} that requires a gradient was changed in place, by a "
                    "recorded operation on a tensor that shares its memory; do that under no_grad()"
                )
            if _covers(Region(*patch[:2]), region):
                owner, patches = None, []
            patches.append(patch)
        version = version.next
    for patch in patches:
        owner = _patched(region, owner, patch)
    if owner is not None:
        tensor._autograd, tensor._version = owner, version
        return
    if hasattr(tensor, "_autograd"):
        del tensor._autograd
    tensor._version = untouched(version, tensor)


def _meet(one: Region, other: Region) -> bool:
    """Whether two regions have an element in common."""
    (low, high), (start, end) = one.bounds, other.bounds
    if low >= end or start >= high or one == other:
        return one == other
    first = min(low, start)
    space = np.empty(max(high, end) - first, np.uint8)
    mine, theirs = (region.array(space, first) for region in (one, other))
    shares: Any = np.shares_memory  # typed as if it took no bound
    try:
        return bool(shares(mine, theirs, max_work=10_000))
    except np.exceptions.TooHardError:
        return True


def _covers(patch: Region, region: Region) -> bool:
    """Whether a patch is known to hold all elements of a region."""
    if patch == region:
        return True
    (low, high), (start, end) = patch.bounds, region.bounds
    return patch.dense and low <= start and end <= high


def _patched(region: Region, owner: Autograd | None, patch: Patch) -> Autograd | None:
    """Return the history of a region that has a patch's elements in place of its own."""
    hole = Region(*patch[:2])
    if hole == region:
        return patch.owner
    if region.layout.parts.dtype != hole.layout.parts.dtype:
        raise RuntimeError(
            f"a tensor of shape {region.layout.shape}, dtype {region.layout.dtype}, shares memory with one of dtype "
            f"{hole.layout.dtype} that was changed in place by a recorded operation: such a change has no gradient"
        )
    edges: list[Autograd] = []
    parts: list[Callable[[Tensor], Tensor]] = []
    if owner is not None:
        edges.append(owner)
        parts.append(lambda g: cleared(g, region, hole))
    if patch.owner is not None:
        edges.append(patch.owner)
        parts.append(lambda g: moved(g, region, hole))
    if not edges:
        return None
    rule: Any = GradientRule(lambda g: tuple([part(g) for part in parts]))
    plan = BackwardPlan(rule, [("grad", 0)], list(range(len(edges))), "a write in place", True, [region.layout])
    return Autograd(GradNode(plan, edges, [None], *calling()))


def moved(g: Tensor, source: Region, target: Region) -> Tensor:
    """Return what values of a region's elements are in another region of the same memory.

    Parameters
    ----------
    g : Tensor
        Values of the elements of `source`, of its shape and dtype.
    source, target : Region

    Returns
    -------
    Tensor
        Of the target's shape and dtype: for each element the sum of the values of elements at its address, else 0.
    """
    image, start = _image(source, target, source.layout.parts.dtype)
    values = _parts(g)
    if may_repeat(source.layout):
        _add_up(image, source.window(image, start), values)
    else:
        source.window(image, start)[...] = values
    result = _joined(target.window(image, start).clone(), target.layout)
    _record("moved", g, result, lambda h: moved(h, target, source))
    return result


def cleared(g: Tensor, region: Region, hole: Region) -> Tensor:
    """Return values of a region's elements, with 0 for those that lie in another region too.

    Parameters
    ----------
    g : Tensor
        Values of the elements of `region`, of its shape and dtype.
    region, hole : Region

    Returns
    -------
    Tensor
    """
    image, start = _image(region, hole, dt.bool_)
    hole.window(image, start)[...] = True
    values = operations["where"].call(region.window(image, start), 0, _parts(g))
    result = _joined(values, region.layout)
    _record("cleared", g, result, lambda h: cleared(h, region, hole))
    return result


def _image(one: Region, other: Region, dtype: np.dtype) -> tuple[Tensor, int]:
    """Return zeros for all real numbers of the memory that two regions span, and the address where it begins."""
    (low, high), (start, end) = one.bounds, other.bounds
    first = min(low, start)
    count = (max(high, end) - first) // one.layout.parts.dtype.itemsize
    return zeros(count, dtype=dtype, device=one.layout.device), first


def _parts(values: Tensor) -> Tensor:
    """Return values without history, complex ones as pairs of real numbers."""
    return wrap(values._storage, values._layout.parts)


def _joined(values: Tensor, layout: Layout) -> Tensor:
    """Return dense real numbers in the shape and dtype of a layout."""
    return wrap(values._storage, layout_of(layout.dtype, layout.shape, None, layout.device))


def _add_up(image: Tensor, places: Tensor, values: Tensor) -> None:
    """Add values to the elements of an image that a window into it shows, as often as it shows them."""
    numbers = np.arange(image.size)
    first = (address(places) - address(image)) // image.itemsize
    strides = [step * numbers.itemsize for step in places._layout.strides]
    shown = np.lib.stride_tricks.as_strided(numbers[first:], places.shape, strides)
    total = np.zeros(image.size, np.float64)
    np.add.at(total, shown, memory.host(values.cpu()))
    image[...] = from_numpy(total).to(image.device)


def _record(name: str, g: Tensor, result: Tensor, transpose: Callable[[Tensor], Tensor]) -> None:
    """Put a linear operation on the tape, where its operand takes part in autograd."""
    if requires_grad(g) and launcher.grad_enabled():
        rule: Any = GradientRule(transpose)
        record_node(BackwardPlan(rule, [("grad", 0)], [0], name), [g], [g._autograd], [result])
