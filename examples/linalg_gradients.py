"""Linear algebra with gradients: a Gaussian process finds its own parameters."""

from __future__ import annotations

import trueno as tn
from trueno import np

rng = np.random.default_rng(1)
x = np.linspace(0, 6, 40)
y = np.sin(x) + 0.2 * rng.standard_normal(40)
squares = (x[:, None] - x) ** 2


def kernel(length: np.ndarray) -> np.ndarray:
    """Return the covariance of the function's values at `x`."""
    return np.exp(-squares / (2 * length**2))


def negative_log_likelihood(logarithms: np.ndarray) -> np.ndarray:
    """Return it for the logarithms of the length scale and the noise's standard deviation."""
    length, noise = np.exp(logarithms)
    covariance = kernel(length) + noise**2 * np.eye(len(x))
    _, log_determinant = np.linalg.slogdet(covariance)
    return 0.5 * (y @ np.linalg.solve(covariance, y) + log_determinant + len(x) * np.log(2 * np.pi))


# slogdet and solve are LAPACK's; their gradients are Trueno's, so plain descent finds the parameters.
logarithms = np.log(np.array([0.3, 0.5])).requires_grad_()
for step in range(51):
    loss = negative_log_likelihood(logarithms)
    if step % 10 == 0:
        length, noise = np.exp(logarithms.detach())
        print(f"step {step:2d}: loss {loss:7.3f}, length scale {length:.3f}, noise {noise:.3f}")
    loss.backward()
    with tn.no_grad():
        logarithms -= 0.01 * logarithms.grad
    logarithms.grad = None

# What the fitted process says about the function, from noisy values.
length, noise = np.exp(logarithms.detach())
mean = kernel(length) @ np.linalg.solve(kernel(length) + noise**2 * np.eye(len(x)), y)
print(f"RMS error of the data: {np.std(y - np.sin(x)):.3f}, of the fit: {np.std(mean - np.sin(x)):.3f}")
