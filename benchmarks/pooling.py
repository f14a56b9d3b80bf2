"""Max and average pooling of images in float32, with their gradients: python -m benchmarks.pooling.

--ops max_pool2d,avg_pool2d selects; --quick takes one image of each window.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.beside_torch import beside_torch
from benchmarks.harness import Case, Experiment
from benchmarks.program import parse, run

NO_SLOWER = {"torch": 1.0}
IMAGES = ((1, 64, 112), (8, 64, 56))
"""Number of images, channels, height and width: behind the first layer of ResNet and VGG, and in a batch."""


class Windows(NamedTuple):
    """Square windows: extent, distance of neighbours and padding."""

    size: int
    stride: int
    padding: int

    def extent(self, size: int) -> int:
        """Return the height and width of the result of square images."""
        return (size + 2 * self.padding - self.size) // self.stride + 1

    def __str__(self) -> str:
        return f"{self.size}×{self.size} / {self.stride}{f', padded {self.padding}' if self.padding else ''}"


WINDOWS = (Windows(2, 2, 0), Windows(3, 2, 1), Windows(3, 1, 0))
POOLINGS = ("max_pool2d", "avg_pool2d")


def experiment(name: str, backward: bool, windows: Windows, shape: tuple[int, ...]) -> Experiment:
    """A pooling, or its gradient, in both libraries; the right result is PyTorch's in float64."""
    generator = np.random.default_rng(20)
    x = generator.random(shape, np.float32)
    extent = windows.extent(shape[-1])
    g = generator.random((*shape[:2], extent, extent), np.float32)

    def names(library: Any, functions: Any, make: Any, dtype: Any = np.float32) -> dict[str, Any]:
        operand = make(x.astype(dtype))
        pool = functools.partial(getattr(functions, name), kernel_size=tuple(windows[:1]) * 2, stride=windows.stride)
        pool = functools.partial(pool, padding=windows.padding)
        y = pool(operand.requires_grad_()) if backward else None
        return {"x": operand, "y": y, "g": make(g.astype(dtype)), "pool": pool, "tn": library, "torch": library}

    own = "tn.grad(y, [x], g, retain_graph=True)[0]" if backward else "pool(x)"
    theirs = own.replace("tn.grad", "torch.autograd.grad")

    return beside_torch(own, theirs, names)


def cases(quick: bool) -> Iterator[Case]:
    """Two rows for each pooling, window and image: forward and backward. The size is the input's."""
    for name in POOLINGS:
        for shape in IMAGES[:1] if quick else IMAGES:
            for windows in WINDOWS:
                for backward in (False, True):
                    full = (*shape, shape[-1])
                    results = int(np.prod(shape[:2])) * windows.extent(shape[-1]) ** 2
                    # The gradient of a maximum needs to know where it was, at least a byte each.
                    width = 5 if backward and name == "max_pool2d" else 4
                    yield Case(
                        name,
                        int(np.prod(full)),
                        functools.partial(experiment, name, backward, windows, full),
                        NO_SLOWER,
                        traffic=4 * int(np.prod(full)) + width * results,
                        detail=f"{'backward ' if backward else ''}{shape[0]}×{shape[1]}×{shape[2]}², {windows}",
                    )


if __name__ == "__main__":
    options = parse(__doc__ or "")
    sys.exit(run(cases(options.quick), options, "Pooling, float32"))
