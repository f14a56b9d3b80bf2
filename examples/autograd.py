"""Automatic differentiation: gradients of the first and the second order."""

from __future__ import annotations

import trueno as tn

# backward() accumulates into .grad, as in PyTorch.
x = tn.tensor([0.5, 1.0, 2.0], requires_grad=True)
y = (tn.sin(x) * x).sum()
y.backward()
print(x.grad)
print((tn.sin(x) + x * tn.cos(x)).detach())

# grad() returns gradients; with create_graph they can be differentiated again.
(first,) = tn.grad((x**3).sum(), x, create_graph=True)
(second,) = tn.grad(first.sum(), x)
print(first.detach(), second)

# The gradients of any function can be checked against differences.
print(tn.gradcheck(lambda a, b: tn.softmax(a @ b), [tn.rand(2, 3, dtype=tn.float64, requires_grad=True) for _ in "a"]
                   + [tn.rand(3, 4, dtype=tn.float64, requires_grad=True)]))  # fmt: skip

# Nothing is recorded inside no_grad.
with tn.no_grad():
    print((x * 2).requires_grad)
