"""The same code on an OpenCL device."""

from __future__ import annotations

import sys

import numpy as np

import trueno as tn
from trueno.runtime import opencl

print(tn.devices())
if not opencl.devices():
    sys.exit(f"No OpenCL device: {opencl.unavailable_reason()}. `trueno doctor` tells more.")

x = tn.randn(300, 200)
there = x.to("opencl:0")
print(there.device, opencl.device(0).name)
difference = tn.softmax(there @ there.T).cpu().numpy() - tn.softmax(x @ x.T).numpy()
print(np.abs(difference).max() < 1e-5)

# New arrays are made on the device inside the block. Random numbers are the same bits on every device.
tn.manual_seed(0)
here = tn.rand(1000)
tn.manual_seed(0)
with tn.device("opencl:0"):
    drawn = tn.rand(1000)
print(drawn.device, np.array_equal(here.numpy(), drawn.cpu().numpy()))
