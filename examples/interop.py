"""Arrays shared with NumPy, PyTorch and the buffer protocol: one memory, no copies."""

from __future__ import annotations

import importlib.util
import pickle

import numpy

import trueno as tn
from trueno import np

# NumPy's functions, given Trueno's arrays, call Trueno's: the result is one of its arrays, and has a gradient.
t = np.linspace(0.0, 1.0, 4).requires_grad_()
total = numpy.sum(numpy.exp(t))
total.backward()
print(type(total).__name__, numpy.array_equal(t.grad, numpy.exp(t.detach())))

# Both directions share memory.
array = numpy.zeros(4)
shared = tn.from_numpy(array)
shared[1:3] = [1, 2]
print(array, numpy.asarray(shared) is not array, numpy.shares_memory(numpy.asarray(shared), array))

# What may not be written stays so.
array.flags.writeable = False
try:
    tn.from_numpy(array)[0] = 1
except ValueError as error:
    print("ValueError:", error)

# Whatever reads buffers reads arrays.
print(memoryview(np.arange(3, dtype=np.uint8)).tobytes(), pickle.loads(pickle.dumps(shared)).tolist())

# DLPack: PyTorch, JAX, CuPy and others see the same elements.
if importlib.util.find_spec("torch") is None:
    print("PyTorch is not installed")
else:
    import torch

    mine = np.arange(3.0)
    theirs = torch.from_dlpack(mine)
    theirs.mul_(10)
    print(mine, theirs)
    back = tn.from_dlpack(theirs)
    back += 1
    print(mine, theirs)
