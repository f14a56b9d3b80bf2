"""Eager calls on OpenCL devices: a bound kernel as a function from operands to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trueno.ir.node import Kernel
from trueno.runtime.device import opencl_device
from trueno.runtime.layout import Layout, results_of
from trueno.runtime.opencl_kernel import bind as bind_kernel


def bind(kernel: Kernel, layouts: Sequence[Layout | None], aliases: Sequence[int], device: str) -> Callable[..., Any]:
    """Compile (or find) a kernel for a device and return what runs it.

    Parameters
    ----------
    kernel : Kernel
    layouts : sequence of Layout or None
        One for each operand; None for a Python scalar.
    aliases : sequence of int
        For each output, the operand that is overwritten, or -1.
    device : str
        ``"opencl:N"``.

    Returns
    -------
    callable
        ``run(operands)`` enqueues the kernel and returns a Tensor, or a tuple of them, at once.
    """
    from trueno.tensor import wrap

    parts = [None if layout is None else layout.parts for layout in layouts]
    entry = bind_kernel(kernel, parts, aliases, opencl_device(device))
    results = results_of(kernel, device)
    tensors = [k for k, layout in enumerate(layouts) if layout is not None]
    scalars = [k for k, layout in enumerate(layouts) if layout is None]

    def run(operands: Sequence[Any]) -> Any:
        made = entry.run([operands[k]._storage for k in tensors], [operands[k] for k in scalars])
        outputs = tuple(
            operands[alias] if alias >= 0 else wrap(storage, layout)
            for storage, layout, alias in zip(made, results, aliases, strict=True)
        )
        return outputs[0] if len(outputs) == 1 else outputs

    return run
