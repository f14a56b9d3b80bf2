"""Arrays: NumPy's semantics, shared memory, random numbers that are equal on every device."""

from __future__ import annotations

import numpy as np

import trueno as tn

# Creation, arithmetic and reductions follow NumPy. Literals are float32, the dtype of neural networks.
x = tn.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(x.mean(axis=0), x.std(), (x @ x.T).shape)

# Views share memory, here with NumPy: nothing is copied in either direction.
array = np.arange(6.0).reshape(2, 3)
view = tn.from_numpy(array)[:, ::-1].T
array[0, 0] = 100
print(view)
print(view.numpy()[2, 0] == array[0, 0])

# A whole expression over broadcast operands, and its NumPy counterpart.
mine = tn.where(x > 2, tn.log1p(x), -x).sum(axis=1, keepdims=True)
theirs = np.where(x.numpy() > 2, np.log1p(x.numpy()), -x.numpy()).sum(axis=1, keepdims=True)
print(np.allclose(mine.numpy(), theirs))

# dtypes are promoted as NumPy 2 does; bfloat16 is one of them.
print((tn.ones(2, dtype=tn.int8) + tn.ones(2, dtype=tn.float32)).dtype, tn.ones(1, dtype=tn.bfloat16) * 2)

tn.manual_seed(7)
print(tn.rand(3), tn.randint(0, 10, (5,)))
