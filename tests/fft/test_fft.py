"""Fourier transforms against NumPy's, gradients against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from trueno import dtypes as dt
from trueno import fft

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
MANY = ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
REAL = ("rfft", "ihfft", "rfft2", "rfftn")


def operand(name: str, shape: tuple[int, ...], dtype: str = "complex128") -> np.ndarray:
    generator = np.random.default_rng(3)
    x = generator.normal(size=shape) + 1j * generator.normal(size=shape)
    return x.real.astype(dt.real_of(np.dtype(dtype))) if name in REAL else x.astype(dtype)


def agree(own: tn.Tensor, expected: np.ndarray) -> None:
    assert own.dtype == expected.dtype
    assert own.shape == expected.shape
    tolerance = 1e-5 if expected.dtype in (np.float32, np.complex64) else 1e-12
    np.testing.assert_allclose(own.detach().numpy(), expected, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", ONE)
def test_along_one_axis(name: str, dtype: str) -> None:
    x = operand(name, (4, 7, 6), dtype)
    for given in ({}, {"axis": 1}, {"n": 5}, {"n": 9, "axis": 0}, {"norm": "ortho"}, {"norm": "forward", "n": 8}):
        agree(getattr(fft, name)(tn.from_numpy(x), **given), getattr(np.fft, name)(x, **given))


@pytest.mark.parametrize("name", MANY)
def test_over_axes(name: str) -> None:
    x = operand(name, (4, 7, 6))
    cases: list[dict[str, Any]] = [{}, {"axes": (0, 1)}, {"s": (3, 8), "axes": (2, 0)}, {"norm": "ortho"}]
    cases += [] if name.endswith("2") else [{"axes": (1,)}, {"s": (5, -1), "axes": (0, 2)}]
    for given in cases:
        agree(getattr(fft, name)(tn.from_numpy(x), **given), getattr(np.fft, name)(x, **given))


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
def test_real_dtypes(dtype: np.dtype) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype)
    wide = x.astype(np.float32) if dtype == dt.bfloat16 else x
    agree(fft.fft(tn.from_numpy(x)), np.fft.fft(wide))
    agree(fft.rfft(tn.from_numpy(x)), np.fft.rfft(wide))


@pytest.mark.parametrize("given", [{}, {"n": 5}, {"n": 9}, {"norm": "ortho"}, {"norm": "forward"}], ids=str)
@pytest.mark.parametrize("name", ONE)
def test_gradients_along_one_axis(name: str, given: dict) -> None:
    check_gradient(name, (3, 7), given, given | ({"dim": -1}))


@pytest.mark.parametrize("name", MANY)
def test_gradients_over_axes(name: str) -> None:
    check_gradient(name, (3, 4, 6), {"s": (5, 6), "axes": (1, 0)}, {"s": (5, 6), "dim": (1, 0)})


def check_gradient(name: str, shape: tuple[int, ...], given: dict, theirs: dict) -> None:
    x = operand(name, shape)
    own, other = tn.from_numpy(x.copy()).requires_grad_(), torch.tensor(x, requires_grad=True)
    y, expected = getattr(fft, name)(own, **given), getattr(torch.fft, name)(other, **theirs)
    agree(y, expected.detach().resolve_conj().numpy())
    generator = np.random.default_rng(1)
    g = generator.normal(size=y.shape) + (1j * generator.normal(size=y.shape) if dt.is_complex(y.dtype) else 0)
    y.backward(tn.from_numpy(g))
    expected.backward(torch.tensor(g))
    assert own.grad is not None
    agree(own.grad, other.grad.resolve_conj().numpy())


def test_gradients_of_second_order() -> None:
    x = tn.from_numpy(operand("rfft", (8,))).requires_grad_()

    def power(values: tn.Tensor) -> tn.Tensor:
        return (tn.abs(fft.rfft(values)) ** 2).sum()

    assert tn.gradcheck(power, x)
    assert tn.gradgradcheck(power, x)


def test_frequencies_and_shifts() -> None:
    for n in (1, 6, 7):
        agree(fft.fftfreq(n, 0.5), np.fft.fftfreq(n, 0.5))
        agree(fft.rfftfreq(n, 0.5), np.fft.rfftfreq(n, 0.5))
    assert fft.fftfreq(4, dtype=tn.float32).dtype == tn.float32
    x = np.arange(35.0).reshape(5, 7)
    for axes in (None, 0, (1,), (0, -1)):
        agree(fft.fftshift(tn.from_numpy(x), axes), np.fft.fftshift(x, axes))
        agree(fft.ifftshift(tn.from_numpy(x), axes), np.fft.ifftshift(x, axes))


def test_the_namespace_has_it() -> None:
    import trueno.np

    assert trueno.np.fft is fft
    assert set(fft.__all__) == {name for name in np.fft.__all__ if name in fft.__all__}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda module, x: module.fft(x, n=0), ValueError),
        (lambda module, x: module.irfft(x[:, :1]), ValueError),
        (lambda module, x: module.fft(x, axis=2), IndexError),
        (lambda module, x: module.fft(x, norm="forwards"), ValueError),
        (lambda module, x: module.fftn(x, s=(2,), axes=(0, 1)), ValueError),
        (lambda module, x: module.rfft(x * 1j), TypeError),
    ],
)
def test_errors_are_numpys(call: Any, error: type) -> None:
    x = np.ones((2, 3))
    with pytest.raises(error):
        call(np.fft, x)
    with pytest.raises(error, match=r"\(2, 3\)|\(2, 1\)|norm|s=\(2,\)"):
        call(fft, tn.from_numpy(x))
