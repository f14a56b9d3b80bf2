"""A thin sample of the table through the public API on an OpenCL device."""

from __future__ import annotations

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import accepts, close, operand
from trueno import dtypes as dt
from trueno.ir.composites import COMPOSITES
from trueno.ir.op import rows

pytestmark = pytest.mark.opencl

UNARY = [row for row in rows("elementwise") if row.public and row.arity == 1 and row.name != "cast"]
SHAPE = (5, 37)


def device() -> str:
    return next(str(one) for one in tn.devices() if str(one).startswith("opencl"))


def names() -> list[str]:
    """Every seventh row and composite of one array: each run of the matrix takes them all."""
    unary = [row.name for row in UNARY if accepts(row, dt.float32)]
    every = [*unary, *(row.name for row in rows("reduction") if row.public)]
    every += [one.__name__ for one in COMPOSITES if one.__name__ != "stop_gradient"]
    return every


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if k % 7 == 0 else pytest.mark.matrix) for k, name in enumerate(names())]
)
def test_calls_agree_with_the_cpu(name: str) -> None:
    x = tn.from_numpy(operand(dt.float32, (0.1, 0.9), "transposed", SHAPE))
    call = getattr(tn, name)
    want = call(x)
    got = call(x.to(device()))
    assert str(got.device) == device()
    # Single-precision functions of a device may be a few ulp off, as the standard allows.
    close(got.cpu().numpy(), want.numpy(), name, rtol=1e-5)


@pytest.mark.parametrize("layout", ["sliced", "backwards", "broadcast", "empty"])
def test_layouts(layout: str) -> None:
    x = operand(dt.float32, (-2, 2), layout, SHAPE)
    on_device = tn.from_numpy(operand(dt.float32, (-2, 2), "contiguous", SHAPE)).to(device())
    if layout == "sliced":
        view, same = on_device[1:4, ::2], on_device.cpu()[1:4, ::2]
    elif layout == "backwards":
        view, same = on_device[::-1, ::-1], on_device.cpu()[::-1, ::-1]
    else:
        view, same = tn.from_numpy(x).to(device()), tn.from_numpy(x)
    close((view * 2.0 + view).cpu().numpy(), (same * 2.0 + same).numpy(), layout)


def test_gradients_come_back_to_the_cpu() -> None:
    x = tn.from_numpy(operand(dt.float32, (-2, 2), "contiguous", SHAPE)).requires_grad_()
    tn.softmax(x.to(device()), axis=1).square().sum().backward()
    own = x.detach().requires_grad_()
    tn.softmax(own, axis=1).square().sum().backward()
    assert x.grad is not None
    assert own.grad is not None
    size = np.abs(own.grad.numpy()).max()
    close(x.grad.cpu().numpy(), own.grad.numpy(), "softmax", rtol=1e-4, scale=size)


def test_operands_on_two_devices_are_refused() -> None:
    x = tn.from_numpy(np.ones(3, np.float32))
    with pytest.raises(RuntimeError, match="different devices"):
        x + x.to(device())
