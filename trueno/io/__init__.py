"""Data from files: tables, images. NumPy's own formats are in `trueno.np`."""

from __future__ import annotations

from trueno.io.csv import from_csv, read_header
from trueno.io.images import convolve2d, from_image, gaussian_kernel, to_image

__all__ = ["convolve2d", "from_csv", "from_image", "gaussian_kernel", "read_header", "to_image"]
