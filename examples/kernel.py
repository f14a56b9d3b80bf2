"""A kernel of one's own: one launch forward, one launch backward, on every device."""

from __future__ import annotations

import trueno as tn


@tn.kernel
def layer_norm(x, weight, bias, eps, *, axis):
    """Normalise x along an axis. The arrays and eps come at run time; axis is part of the kernel."""
    centred = x - tn.mean(x, axis, keepdims=True)
    variance = tn.mean(centred * centred, axis, keepdims=True)
    return centred * tn.rsqrt(variance + eps) * weight + bias


x = tn.randn(4, 8, requires_grad=True)
weight, bias = tn.ones(8, requires_grad=True), tn.zeros(8, requires_grad=True)
y = layer_norm(x, weight, bias, 1e-5, axis=-1)
print(y.mean(axis=-1).detach(), y.std(axis=-1).detach())

# The gradient needs no further code.
(y * y).sum().backward()
print(weight.grad)

# Another number does not make another kernel: eps is passed at run time.
before = tn.cache_statistics()["compiled"]
with tn.no_grad():
    layer_norm(x, weight, bias, 1e-5, axis=-1)
    compiled = tn.cache_statistics()["compiled"]
    for eps in (1e-6, 1e-3, 0.5):
        layer_norm(x, weight, bias, eps, axis=-1)
print(tn.cache_statistics()["compiled"] - compiled)


# What cannot be recorded is refused, with the line and what to write instead.
@tn.kernel
def wrong(x):
    """Branch on a value that is not known while the kernel is recorded."""
    return x if x.sum() > 0 else -x


try:
    wrong(tn.ones(3))
except tn.KernelError as error:
    print(error)
