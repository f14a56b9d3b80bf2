"""Interned array layouts: what a kernel must know of an operand besides its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueno.dtypes import complex_of, real_of

if TYPE_CHECKING:
    import numpy as np

    from trueno.ir.node import Kernel


class Layout:
    """Shape, strides, dtype and device of an array. Equal layouts are one object; make them with `layout_of`.

    Attributes
    ----------
    dtype : numpy.dtype
    shape, strides : tuple of int
        Strides are in elements, not bytes.
    device : str
        ``"cpu"`` or ``"opencl:N"``.
    size, nbytes : int
        Number of elements, and of bytes they take when dense.
    contiguous : bool
        Whether the elements lie in C order without gaps.
    readonly : bool
        Whether nobody may write: foreign memory that is shared for reading, or elements that lie on each other.
    description : bytes
        What native code reads of it (runtime/launcher/abi); set when it first does.
    """

    __slots__ = ("contiguous", "description", "device", "dtype", "nbytes", "readonly", "shape", "size", "strides")

    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    device: str
    size: int
    nbytes: int
    contiguous: bool
    readonly: bool
    description: bytes

    @property
    def parts(self) -> Layout:
        """The layout of real numbers in the same memory: complex ones have a last axis of 2 for real and imaginary."""
        if self.dtype.kind != "c":
            return self
        strides = (*(2 * step for step in self.strides), 1)
        return layout_of(real_of(self.dtype), (*self.shape, 2), strides, self.device)

    def __repr__(self) -> str:
        readonly = ", readonly" if self.readonly else ""
        return f"Layout({self.dtype}, shape={self.shape}, strides={self.strides}, device={self.device!r}{readonly})"


_interned: dict[tuple, Layout] = {}


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the element strides of a dense C-order array of this shape."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def layout_of(
    dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...] | None = None, device: str = "cpu",
    readonly: bool = False,
) -> Layout:  # fmt: skip
    """Return the one Layout with these properties; without strides, the dense C-order one."""
    key = (dtype, shape, strides, device, readonly)
    found = _interned.get(key)
    if found is not None:
        return found
    dense = contiguous_strides(shape)
    size = 1
    for extent in shape:
        size *= extent
    actual = dense if strides is None else strides
    contiguous = size == 0 or all(
        extent == 1 or stride == expected for extent, stride, expected in zip(shape, actual, dense, strict=True)
    )
    canonical = (dtype, shape, actual, device, readonly)
    layout = _interned.get(canonical)
    if layout is None:
        layout = Layout()
        layout.dtype, layout.shape, layout.strides, layout.device = dtype, shape, actual, device
        layout.size, layout.nbytes, layout.contiguous = size, size * dtype.itemsize, contiguous
        layout.readonly = readonly
        _interned[canonical] = layout
    _interned[key] = layout
    return layout


def results_of(kernel: Kernel, device: str = "cpu") -> list[Layout]:
    """Return the layouts of a kernel's results in memory of their own."""
    layouts = []
    for k, node in enumerate(kernel.outputs):
        paired = k in kernel.complex_outputs
        dtype, shape = (complex_of(node.dtype), node.shape[:-1]) if paired else (node.dtype, node.shape)
        layouts.append(layout_of(dtype, shape, None, device))
    return layouts
