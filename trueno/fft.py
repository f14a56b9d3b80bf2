"""Discrete Fourier transforms with NumPy's names and gradients: pocketfft, through NumPy, on tensors on the CPU.

All are one of three library operations: complex to complex, real to half of a spectrum, and back. A gradient is the
adjoint of the transform: the transform in the other direction without its scale.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import functions
from trueno.creation import asarray
from trueno.errors import explain_all
from trueno.library import Case, constant, host, library
from trueno.tensor import Tensor

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

#: The scale of the transform in the other direction: where the one divides, the other does not.
_OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _domain(*extents: int, **static: Any) -> Any:
    def domain(generator: np.random.Generator, dtype: np.dtype) -> Iterator[Case]:
        for extent in extents or (5, 6):
            parts = generator.uniform(-1, 1, (2, 3, extent))
            yield (
                (parts[0] + 1j * parts[1] if dt.is_complex(dtype) else parts[0],),
                {"axes": (0, 1), "norm": "backward", **static},
            )

    return domain


def _backward_of_complex(g: Tensor, _y: None, _x: None, *, axes: Sequence[int], norm: str, inverse: bool) -> list[Any]:
    return [_complex(g, axes=axes, norm=_OTHER[norm], inverse=not inverse)]


def _backward_of_real(g: Tensor, _y: None, x: Tensor, *, axes: Sequence[int], norm: str) -> list[Any]:
    missing = [(0, x.shape[axis] - g.shape[axis] if axis == axes[-1] else 0) for axis in range(g.ndim)]
    return [_complex(functions.pad(g, missing), axes=axes, norm=_OTHER[norm], inverse=True).real]


def _backward_of_half(g: Tensor, _y: None, _x: None, *, axes: Sequence[int], norm: str, extent: int) -> list[Any]:
    found = _real(g, axes=axes, norm=_OTHER[norm])
    # All but the first number, and the last of an even transform, stand for their conjugates as well.
    weights = np.full(extent // 2 + 1, 2.0)
    weights[0] = 1
    if extent % 2 == 0:
        weights[-1] = 1
    last = tuple(-1 if axis == axes[-1] else 1 for axis in range(g.ndim))
    return [found * constant(weights.reshape(last), g)]


def _forward_complex(x: np.ndarray, *, axes: Sequence[int], norm: Any, inverse: bool) -> np.ndarray:
    return (np.fft.ifftn if inverse else np.fft.fftn)(x, axes=axes, norm=norm)


_complex = library(
    "fftn", _forward_complex, domain=_domain(inverse=False), grad=_backward_of_complex,
    dtypes=(dt.float64, dt.complex128),
    doc="The discrete Fourier transform over axes, or its inverse.",
)  # fmt: skip
_real = library(
    "rfftn", lambda x, *, axes, norm: np.fft.rfftn(x, axes=axes, norm=norm), domain=_domain(), grad=_backward_of_real,
    doc="The half of the transform of real numbers that the other half follows from.",
)  # fmt: skip


def _forward_half(x: np.ndarray, *, axes: Sequence[int], norm: Any, extent: int) -> np.ndarray:
    return np.fft.irfftn(x, [*(x.shape[axis] for axis in axes[:-1]), extent], axes, norm)


_half = library(
    "irfftn", _forward_half, domain=_domain(4, extent=7), grad=_backward_of_half,
    doc="Real numbers from half of their transform.", dtypes=(dt.float64, dt.complex128),
)  # fmt: skip


# --- arguments --------------------------------------------------------------------------------------------------------


def _operand(name: str, a: Any) -> Tensor:
    x = host(a, name)
    return x.float() if x.dtype == dt.bfloat16 else x


def _norm(name: str, norm: str | None) -> str:
    norm = "backward" if norm is None else norm
    if norm not in _OTHER:
        raise ValueError(f'{name}: invalid norm value {norm}; should be "backward", "ortho" or "forward"')
    return norm


def _axes(name: str, x: Tensor, s: Any, axes: Any) -> tuple[tuple[int, ...], list[int]]:
    """Return non-negative axes, and the number of points along each; -1 leaves an axis as it is."""
    if s is not None:
        s = [operator.index(one) for one in s]
    if axes is None:
        axes = range(x.ndim) if s is None else range(-len(s), 0)
    chosen = []
    for axis in axes:
        index = operator.index(axis)
        if not -x.ndim <= index < x.ndim:
            raise np.exceptions.AxisError(
                f"{name}: axis {index} is out of bounds for an array of {x.ndim} dimensions with shape {x.shape}"
            )
        chosen.append(index % x.ndim)
    if s is not None and len(s) != len(chosen):
        raise ValueError(f"{name}: Shape and axes have different lengths: s={tuple(s)}, axes={tuple(axes)}")
    points = [x.shape[axis] for axis in chosen] if s is None else s
    return tuple(chosen), [x.shape[axis] if n == -1 else n for n, axis in zip(points, chosen, strict=True)]


def _resized(name: str, x: Tensor, axes: Sequence[int], points: Sequence[int]) -> Tensor:
    """Return an array cut, or filled up with zeros, to so many points along axes."""
    for axis, n in zip(axes, points, strict=True):
        if n < 1:
            raise ValueError(f"{name}: invalid number of FFT data points ({n}) specified, shape {x.shape}")
        if n < x.shape[axis]:
            x = x[(slice(None),) * axis + (slice(0, n),)]
        elif n > x.shape[axis]:
            x = functions.pad(x, [(0, n - x.shape[axis] if k == axis else 0) for k in range(x.ndim)])
    return x


def _twice(axes: Sequence[int]) -> bool:
    return len(set(axes)) != len(axes)


def _transform(name: str, a: Any, s: Any, axes: Any, norm: str | None, inverse: bool) -> Tensor:
    x, norm = _operand(name, a), _norm(name, norm)
    chosen, points = _axes(name, x, s, axes)
    x = _resized(name, x, chosen, points)
    if not chosen:
        return x.astype(dt.complex_of(x.dtype))
    if _twice(chosen):
        for axis in reversed(chosen):
            x = _complex(x, axes=(axis,), norm=norm, inverse=inverse)
        return x
    return _complex(x, axes=chosen, norm=norm, inverse=inverse)


def _from_real(name: str, a: Any, s: Any, axes: Any, norm: str | None) -> Tensor:
    x, norm = _operand(name, a), _norm(name, norm)
    # NumPy looks for the axes before the dtype: for the last, which is transformed first, and for all if their extents
    # are the numbers of points.
    _axes(name, x, None, axes if s is None or axes is None else tuple(axes)[-1:])
    if dt.is_complex(x.dtype):
        raise TypeError(f"{name}: takes real numbers, not {x.dtype} of shape {x.shape}; use {name.replace('r', '')}")
    chosen, points = _axes(name, x, s, axes)
    return _real(_resized(name, x, chosen, points), axes=chosen, norm=norm)


def _to_real(name: str, a: Any, s: Any, axes: Any, norm: str | None) -> Tensor:
    x, norm = _operand(name, a), _norm(name, norm)
    chosen, points = _axes(name, x, s, axes)
    extent = points[-1] if s is not None else 2 * (x.shape[chosen[-1]] - 1)
    if extent < 1:
        raise ValueError(f"{name}: invalid number of FFT data points ({extent}) specified, shape {x.shape}")
    x = _resized(name, x, chosen, [*points[:-1], extent // 2 + 1])
    return _half(x, axes=chosen, norm=norm, extent=extent)


# --- the transforms ---------------------------------------------------------------------------------------------------


def _stored(name: str, found: Tensor, out: Any) -> Any:
    """Return a result, written into `out` where that is given."""
    if out is None:
        return found
    from trueno.np.arguments import finish

    return finish(found, out, name=name)


def _points(n: int | None) -> tuple[int, ...] | None:
    """Return the number of points of one axis as those of several are given, where -1 means all."""
    return None if n is None else (0 if n == -1 else n,)


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the discrete Fourier transform along an axis.

    Parameters
    ----------
    a : array_like
        Real or complex; float32 and complex64 are transformed in single precision, others in double.
    n : int, optional
        Points: `a` is cut, or filled up with zeros, to so many.
    axis : int
    norm : {"backward", "ortho", "forward"}, optional
        Where the scale 1/n belongs: to the inverse transform (the default), half to each, or to this one.
    out : Tensor or ndarray, optional
        For the result, of its shape; it is what is returned.

    Returns
    -------
    Tensor
        complex64 or complex128.

    Raises
    ------
    numpy.exceptions.AxisError, ValueError
        For an axis out of range, and for n < 1.
    """
    return _stored("fft", _transform("fft", a, _points(n), (axis,), norm, False), out)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the inverse discrete Fourier transform along an axis; see `fft`."""
    return _stored("ifft", _transform("ifft", a, _points(n), (axis,), norm, True), out)


def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Tensor:
    """Return the discrete Fourier transform over two axes; see `fftn`."""
    return _stored("fft2", _transform("fft2", a, s, axes, norm, False), out)


def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Tensor:
    """Return the inverse discrete Fourier transform over two axes; see `fftn`."""
    return _stored("ifft2", _transform("ifft2", a, s, axes, norm, True), out)


def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the discrete Fourier transform over axes.

    Parameters
    ----------
    a : array_like
    s : sequence of int, optional
        Points along each axis, -1 for as many as there are: `a` is cut, or filled up with zeros.
    axes : sequence of int, optional
        All by default, or the last ``len(s)``.
    norm : {"backward", "ortho", "forward"}, optional
        See `fft`.
    """
    return _stored("fftn", _transform("fftn", a, s, axes, norm, False), out)


def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the inverse discrete Fourier transform over axes; see `fftn`."""
    return _stored("ifftn", _transform("ifftn", a, s, axes, norm, True), out)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the first n // 2 + 1 numbers of the transform of real numbers; see `fft`.

    Raises
    ------
    TypeError
        For complex numbers.
    """
    return _stored("rfft", _from_real("rfft", a, _points(n), (axis,), norm), out)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the real numbers whose `rfft` is given; n is 2 (m - 1) for m numbers unless it is said."""
    return _stored("irfft", _to_real("irfft", a, _points(n), (axis,), norm), out)


def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Tensor:
    """Return half of the transform of real numbers over two axes; see `rfftn`."""
    return _stored("rfft2", _from_real("rfft2", a, s, axes, norm), out)


def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Tensor:
    """Return the real numbers whose `rfft2` is given."""
    return _stored("irfft2", _to_real("irfft2", a, s, axes, norm), out)


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the transform of real numbers over axes, of which the last keeps n // 2 + 1 numbers; see `fftn`."""
    return _stored("rfftn", _from_real("rfftn", a, s, axes, norm), out)


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the real numbers whose `rfftn` is given."""
    return _stored("irfftn", _to_real("irfftn", a, s, axes, norm), out)


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the real transform of numbers of which half is given, the other half being their conjugates."""
    found = _to_real("hfft", functions.conj(_operand("hfft", a)), _points(n), (axis,), _OTHER[_norm("hfft", norm)])
    return _stored("hfft", found, out)


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Tensor:
    """Return the inverse of `hfft`."""
    found = functions.conj(_from_real("ihfft", a, _points(n), (axis,), _OTHER[_norm("ihfft", norm)]))
    return _stored("ihfft", found, out)


# --- frequencies ------------------------------------------------------------------------------------------------------


def fftfreq(n: int, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of `fft`'s numbers, in cycles per unit of d, the distance of samples; float64."""
    return asarray(np.fft.fftfreq(n, d), dtype=dtype, device=device)


def rfftfreq(n: int, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of `rfft`'s numbers, in cycles per unit of d, the distance of samples; float64."""
    return asarray(np.fft.rfftfreq(n, d), dtype=dtype, device=device)


def _shifted(name: str, x: Any, axes: Any, sign: int) -> Tensor:
    from trueno.np.manipulation import roll

    x = x if isinstance(x, Tensor) else host(x, name)
    chosen, _ = _axes(name, x, None, (axes,) if isinstance(axes, int) else axes)
    return roll(x, tuple(sign * (x.shape[axis] // 2) for axis in chosen), chosen)


def fftshift(x: Any, axes: Any = None) -> Tensor:
    """Return a spectrum with frequency 0 moved to the middle of axes (all by default)."""
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: Any, axes: Any = None) -> Tensor:
    """Return the inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, -1)


explain_all(globals())
