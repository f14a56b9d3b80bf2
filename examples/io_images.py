"""Images as arrays: read, blur, find edges, mask, write. Needs pillow: ``pip install trueno[io]``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from trueno import io, np

# A disc and a bar, 24 pixels high: channels come first, values are from 0 to 1.
rows, columns = np.mgrid[0:24, 0:48]
drawing = np.zeros((24, 48))
drawing[(rows - 12) ** 2 + (columns - 14) ** 2 < 80] = 1
drawing[4:20, 30:40] = 0.6


def show(image: np.ndarray) -> None:
    """Print every second line of a grey image, as letters from dark to bright."""
    levels = (np.clip(image, 0, 1) * 4.99).astype(int)
    print(*("".join(" .:*#"[level] for level in line) for line in levels[::2].tolist()), sep="\n")


with TemporaryDirectory() as folder:
    path = Path(folder, "drawing.png")
    io.to_image(drawing, path)
    image = io.from_image(path)
print(image.shape, image.dtype)
show(image[0])

# Blur, then the length of the gradient: edges.
blurred = io.convolve2d(image, io.gaussian_kernel(1.0), boundary="edge")
slope = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=np.float32) / 4
edges = np.hypot(io.convolve2d(blurred, slope, boundary="edge"), io.convolve2d(blurred, slope.T, boundary="edge"))
show(edges[0])
print(f"bright pixels: {(image > 0.9).sum()}, pixels at edges: {(edges > 0.3).sum()}")
