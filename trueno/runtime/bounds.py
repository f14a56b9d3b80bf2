"""What a checked kernel found: TRUENO_DEBUG=bounds, see codegen/bounds.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trueno.codegen.bounds import REPORT
from trueno.ir.node import Kernel
from trueno.runtime.launcher.records import extent
from trueno.runtime.layout import Layout


class BoundsError(RuntimeError):
    """A generated kernel was about to access memory that is none of its operands, results or scratch."""


def extents(inputs: Sequence[Layout], outputs: Sequence[Layout], scratch: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each buffer, in bytes from its first element, where the memory of a kernel begins and ends.

    For a view that is what the view spans, however large the array that it belongs to.
    """
    spans = [extent(layout) if layout.size else (0, 0) for layout in (*inputs, *outputs)]
    return [*spans, *((0, size) for size in scratch)]


def verifier(
    kernel: Kernel, meta: np.ndarray, inputs: Sequence[tuple[int, Layout]], outputs: Sequence[Layout], buffers: int
) -> Callable[[], None]:
    """Return a function that raises BoundsError if the launch before it was refused an access.

    Parameters
    ----------
    kernel : Kernel
    meta : numpy.ndarray
        The meta array that the kernel is run with.
    inputs : sequence of (int, Layout)
        Operand numbers and layouts, in the order of the buffers.
    outputs : sequence of Layout
    buffers : int
        Number of buffers.
    """
    table = len(meta) - 2 * buffers
    report, spans = meta[table - REPORT : table], meta[table:].reshape(buffers, 2)
    names = [(f"operand {position}", layout) for position, layout in inputs]
    names += [(f"result {k}", layout) for k, layout in enumerate(outputs)]

    def verify() -> None:
        if not report[0]:
            return
        _, buffer, offset, stores = map(int, report)
        report[:] = 0
        low, high = map(int, spans[buffer])
        if buffer < len(names):
            name, layout = names[buffer]
            size, what = layout.dtype.itemsize, f"{name}, {layout.dtype} of shape {layout.shape}"
        else:
            size, what = 1, f"scratch memory {buffer - len(names)}, in bytes"
        raise BoundsError(
            f"{kernel.name}: its code {'writes' if stores else 'reads'} element {offset // size} of {what}, whose "
            f"memory is elements {low // size} to {high // size - 1}; the access was not made "
            f"(kernel asked for at {kernel.origin or 'an unknown line'})"
        )

    return verify
