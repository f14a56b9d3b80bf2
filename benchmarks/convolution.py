"""conv2d of ResNet-18, ResNet-50 and VGG-16 in float32, with both gradients: python -m benchmarks.convolution.

--ops forward,input,weight selects; --quick takes a few of the shapes, one image each.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.beside_torch import beside_torch
from benchmarks.harness import Case, Experiment
from benchmarks.program import parse, run

TARGET = {"torch": 1 / 1.3}
BATCHES = (1, 8)


MINIMAL = {(3, 1): 4.0, (3, 2): 36 / 25, (7, 2): 2.0}
"""By kernel and stride, products of a direct sum over those of minimal filtering: tiles of 4 × 4 results take 36 in
place of 144, those of 2 × 2 results with a stride of 2 take 25 in place of 36; lines of four take 14 in place of 28."""


class Layer(NamedTuple):
    """A convolution of square images with square filters, padded so that a stride of 1 keeps the size."""

    network: str
    channels: int
    size: int
    results: int
    kernel: int
    stride: int = 1

    @property
    def extent(self) -> int:
        """Height and width of the result."""
        return (self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1

    def multiply_adds(self, batch: int) -> int:
        """Products of one call, those with padding included."""
        return batch * self.results * self.extent**2 * self.channels * self.kernel**2


LAYERS = (
    Layer("ResNet", 3, 224, 64, 7, 2),
    Layer("ResNet-18", 64, 56, 64, 3),
    Layer("ResNet-18", 64, 56, 128, 3, 2),
    Layer("ResNet-18", 64, 56, 128, 1, 2),
    Layer("ResNet", 128, 28, 128, 3),
    Layer("ResNet-18", 128, 28, 256, 3, 2),
    Layer("ResNet", 256, 14, 256, 3),
    Layer("ResNet-18", 256, 14, 512, 3, 2),
    Layer("ResNet", 512, 7, 512, 3),
    Layer("ResNet-50", 64, 56, 64, 1),
    Layer("ResNet-50", 64, 56, 256, 1),
    Layer("ResNet-50", 256, 56, 64, 1),
    Layer("ResNet-50", 128, 56, 128, 3, 2),
    Layer("ResNet-50", 256, 56, 512, 1, 2),
    Layer("ResNet-50", 512, 28, 128, 1),
    Layer("ResNet-50", 128, 28, 512, 1),
    Layer("ResNet-50", 1024, 14, 256, 1),
    Layer("ResNet-50", 256, 14, 1024, 1),
    Layer("ResNet-50", 1024, 14, 2048, 1, 2),
    Layer("ResNet-50", 2048, 7, 512, 1),
    Layer("ResNet-50", 512, 7, 2048, 1),
    Layer("VGG-16", 3, 224, 64, 3),
    Layer("VGG-16", 64, 224, 64, 3),
    Layer("VGG-16", 128, 112, 128, 3),
    Layer("VGG-16", 256, 56, 256, 3),
    Layer("VGG-16", 512, 28, 512, 3),
    Layer("VGG-16", 512, 14, 512, 3),
)
"""The distinct shapes; "ResNet" are those of both depths."""

QUICK = tuple(LAYERS[k] for k in (0, 1, 2, 6, 8, 10, 13))

_STATEMENTS = {
    "forward": ("F.conv2d(x, w, stride=s, padding=p)",) * 2,
    "input": ("tn.grad(y, [x], g, retain_graph=True)[0]", "torch.autograd.grad(y, [x], g, retain_graph=True)[0]"),
    "weight": ("tn.grad(y, [w], g, retain_graph=True)[0]", "torch.autograd.grad(y, [w], g, retain_graph=True)[0]"),
}
"""What is timed: Trueno's and PyTorch's statement. A gradient is that with respect to one operand."""


def experiment(which: str, layer: Layer, batch: int) -> Experiment:
    """One of the three products of a layer in both libraries.

    The values are positive, so that no sum cancels; the right result is PyTorch's in float64.
    """
    generator = np.random.default_rng(20)
    x = generator.random((batch, layer.channels, layer.size, layer.size), np.float32)
    w = generator.random((layer.results, layer.channels, layer.kernel, layer.kernel), np.float32)
    g = generator.random((batch, layer.results, layer.extent, layer.extent), np.float32)
    given = {"stride": layer.stride, "padding": layer.kernel // 2}

    def names(library: Any, functions: Any, make: Any, dtype: Any = np.float32) -> dict[str, Any]:
        operands = {"x": make(x.astype(dtype)), "w": make(w.astype(dtype))}
        wanted = {"input": "x", "weight": "w"}.get(which)
        if wanted is not None:
            operands[wanted].requires_grad_()
        y = functions.conv2d(operands["x"], operands["w"], **given) if wanted else None
        settings = {"s": given["stride"], "p": given["padding"]}
        rest = {"F": functions, "tn": library, "torch": library, "g": make(g.astype(dtype)), "y": y}
        return operands | settings | rest

    own, theirs = _STATEMENTS[which]

    return beside_torch(own, theirs, names)


def cases(quick: bool, batches: Sequence[int] = BATCHES) -> Iterator[Case]:
    """Three rows a shape and number of images; the size is the number of multiply-adds."""
    for batch in batches[:1] if quick else batches:
        for layer in QUICK if quick else LAYERS:
            for which in _STATEMENTS:
                if which == "input" and layer.channels == 3:
                    continue  # nobody needs the gradient of the images
                products = layer.multiply_adds(batch)
                sizes = (
                    batch * layer.channels * layer.size**2,
                    layer.results * layer.channels * layer.kernel**2,
                    batch * layer.results * layer.extent**2,
                )
                # A strided 1 × 1 filter reads a part of the image only.
                touched = sizes[0] // layer.stride**2 if layer.kernel == 1 else sizes[0]
                yield Case(
                    which,
                    products,
                    functools.partial(experiment, which, layer, batch),
                    TARGET,
                    traffic=4 * (touched + sizes[1] + sizes[2]),
                    flops=2 * products * _inside(layer) // layer.extent**2,
                    detail=f"{layer.network} {batch}×{layer.channels}×{layer.size}² → {layer.results}, "
                    f"{layer.kernel}×{layer.kernel}{f' / {layer.stride}' if layer.stride > 1 else ''}",
                    shortcut=MINIMAL.get((layer.kernel, layer.stride), 1.0),
                )


def _inside(layer: Layer) -> int:
    """Return positions times the share of products that do not meet padding: those nobody has to compute."""
    low = layer.kernel // 2
    along = sum(
        sum(0 <= layer.stride * p + k - low < layer.size for k in range(layer.kernel)) for p in range(layer.extent)
    )
    return along**2 // layer.kernel**2


if __name__ == "__main__":
    options = parse(__doc__ or "")
    sys.exit(run(cases(options.quick), options, "Convolutions, float32"))
