"""Images from and to files (with pillow), and filters for them."""

from __future__ import annotations

import importlib
import math
from typing import Any, Literal

import numpy as np

from trueno import dtypes as dt
from trueno.creation import from_numpy
from trueno.ir.build import normalise_axes
from trueno.runtime.inplace import is_tensor
from trueno.tensor import Tensor

#: What numpy.pad calls the boundaries of scipy.signal.convolve2d, and two more.
_BOUNDARIES = {"wrap": "wrap", "symm": "symmetric", "edge": "edge", "reflect": "reflect"}
_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError:
        raise ImportError("images are read and written by pillow; install it with: pip install trueno[io]") from None


def from_image(file: Any, *, mode: str | None = None, dtype: Any = dt.float32) -> Tensor:
    """Return an image as a tensor.

    Parameters
    ----------
    file : str, Path, binary file or PIL.Image.Image
    mode : {"L", "LA", "RGB", "RGBA", "I;16"}, optional
        Channels to convert to: grey, colours, with or without opacity. By default the image's own, where those are it;
        palettes become RGB or RGBA, black and white becomes "L".
    dtype : optional
        A floating dtype: values from 0 to 1. An integer dtype: the numbers of the file, 0 to 255 or 65535.

    Returns
    -------
    Tensor of shape (C, H, W)

    Raises
    ------
    ImportError
        If pillow is not installed.
    OSError
        If the file cannot be read or is no image.
    """
    pillow = _pillow()
    wanted = dt.as_dtype(dtype)
    if isinstance(file, pillow.Image):
        return _pixels(file, mode, wanted)
    with pillow.open(file) as image:
        return _pixels(image, mode, wanted)


def _pixels(image: Any, mode: str | None, wanted: np.dtype) -> Tensor:
    known = (*_CHANNELS.values(), "I;16")
    if mode is not None and mode not in known:
        raise ValueError(f"from_image: mode {mode!r} is none of {', '.join(known)}")
    if mode is None:
        if image.mode in known:
            mode = image.mode
        elif image.mode in ("1", "L"):
            mode = "L"
        elif image.mode in ("I", "I;16B", "I;16L", "I;16N", "F"):
            mode = "I;16"
        else:
            mode = "RGBA" if "transparency" in image.info or "A" in image.mode or "a" in image.mode else "RGB"
    assert mode is not None
    array = np.asarray(image.convert(mode) if image.mode != mode else image)
    channels = array[:, :, None] if array.ndim == 2 else array
    planes = np.ascontiguousarray(np.moveaxis(channels, -1, 0))
    if not dt.is_floating(wanted):
        return from_numpy(planes.astype(wanted))
    scaled: Any = planes.astype(np.float64 if wanted == dt.float64 else np.float32)
    scaled /= 65535 if mode == "I;16" else 255
    return from_numpy(scaled.astype(wanted, copy=False))


def to_image(image: Any, file: Any = None, *, format: str | None = None, **options: Any) -> Any:
    """Write a tensor as an image file, or return it as an image of pillow's.

    Parameters
    ----------
    image : array_like of shape (C, H, W) or (H, W)
        One to four channels (grey, grey and opacity, RGB, RGBA). Floating values are clipped to [0, 1] and rounded to
        multiples of 1/255; of integers only uint8 is an image's.
    file : str, Path or binary file, optional
        Where to write; without it the image is returned.
    format : str, optional
        Of the file, as "PNG"; by default what its name says.
    **options
        What pillow takes for the format, as ``quality``.

    Returns
    -------
    PIL.Image.Image or None

    Raises
    ------
    ImportError
        If pillow is not installed.
    TypeError
        For integers other than uint8.
    ValueError
        For another shape or NaN.
    """
    pillow = _pillow()
    array = image.detach().cpu().numpy() if is_tensor(image) else np.asarray(image)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[0] not in _CHANNELS:
        raise ValueError(
            f"to_image: an image has the shape (H, W) or (C, H, W) with 1 to 4 channels, not {np.shape(image)}"
        )
    if dt.is_floating(dt.as_dtype(array.dtype)):
        values = array.astype(np.float64)
        if np.isnan(values).any():
            raise ValueError("to_image: the image has NaN")
        array = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise TypeError(f"to_image: an image is uint8 or floating, not {array.dtype}")
    pixels = np.ascontiguousarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, -1))
    made = pillow.fromarray(pixels, _CHANNELS[len(array)]) if len(array) == 2 else pillow.fromarray(pixels)
    if file is None:
        return made
    made.save(file, format=format, **options)
    return None


def gaussian_kernel(sigma: Any, radius: Any = None, *, dtype: Any = dt.float32) -> Tensor:
    """Return the weights of a Gaussian blur, whose sum is 1.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels, along rows and columns of the image.
    radius : int or pair of int, optional
        Pixels on each side of the middle; 4 sigma, rounded, by default, as in scipy.ndimage.gaussian_filter.
    dtype : optional

    Returns
    -------
    Tensor of shape (2 radius + 1, 2 radius + 1)

    Raises
    ------
    ValueError
        If sigma is not positive or a radius is negative.
    """
    sigmas = sigma if isinstance(sigma, (tuple, list)) else (sigma, sigma)
    radii = radius if isinstance(radius, (tuple, list)) else (radius, radius)
    profiles = []
    for width, reach in zip(sigmas, radii, strict=True):
        if not width > 0:
            raise ValueError(f"gaussian_kernel: sigma must be positive, not {width}")
        count = int(4 * width + 0.5) if reach is None else int(reach)
        if count < 0:
            raise ValueError(f"gaussian_kernel: a radius must not be negative, not {count}")
        profile = np.exp(-0.5 * (np.arange(-count, count + 1) / width) ** 2)
        profiles.append(profile / profile.sum())
    return from_numpy(np.outer(*profiles).astype(dt.as_dtype(dtype)))


def convolve2d(
    image: Any, kernel: Any, mode: Literal["full", "valid", "same"] = "same",
    boundary: Literal["fill", "wrap", "symm", "edge", "reflect"] = "fill", fillvalue: float = 0,
) -> Tensor:  # fmt: skip
    """Return the convolution of images with a kernel, each channel by itself; scipy.signal.convolve2d's, in batches.

    Parameters
    ----------
    image : array_like of shape (..., H, W)
        Floating, or integers, which are computed in float64.
    kernel : array_like of shape (h, w)
    mode : {"same", "full", "valid"}
        The size of the result: that of the image, its middle part of the full one; all positions where the kernel meets
        the image, ``H + h - 1``; those where it lies inside, ``H - h + 1``.
    boundary : {"fill", "wrap", "symm", "edge", "reflect"}
        What lies around the image: `fillvalue`; the image again; its mirror image, with or (reflect) without the pixel
        at the edge twice; the pixel at the edge.
    fillvalue : float

    Returns
    -------
    Tensor
        Differentiable in image and kernel.

    Raises
    ------
    ValueError
        For other modes and boundaries, for a kernel that is not 2-D, and in mode "valid" for one larger than the image.
    """
    from trueno.nn.functional import conv2d

    image, kernel = (_floating(one) for one in (image, kernel))
    if mode not in ("same", "full", "valid"):
        raise ValueError(f"convolve2d: mode {mode!r} is none of 'same', 'full' and 'valid'")
    if boundary != "fill" and boundary not in _BOUNDARIES:
        raise ValueError(f"convolve2d: boundary {boundary!r} is none of 'fill', {', '.join(map(repr, _BOUNDARIES))}")
    if image.ndim < 2 or kernel.ndim != 2 or 0 in kernel.shape:
        raise ValueError(
            f"convolve2d: an image of shape (..., H, W) and a kernel (h, w), not {image.shape} and {kernel.shape}"
        )
    if image.dtype != kernel.dtype:
        common = np.promote_types(image.dtype, kernel.dtype)
        image, kernel = image.astype(common, copy=False), kernel.astype(common, copy=False)
    lead, flat = image.shape[:-2], image.reshape(math.prod(image.shape[:-2]), 1, *image.shape[-2:])
    for axis, size in zip((-2, -1), kernel.shape, strict=True):
        before, after = {"valid": (0, 0), "full": (size - 1, size - 1), "same": (size // 2, (size - 1) // 2)}[mode]
        flat = _padded(flat, axis, before, after, boundary, fillvalue)
    if any(n < m for n, m in zip(flat.shape[-2:], kernel.shape, strict=True)):
        raise ValueError(f"convolve2d: a kernel of shape {kernel.shape} does not fit into an image of {image.shape}")
    turned = kernel[::-1, ::-1].reshape(1, 1, *kernel.shape)
    result = conv2d(flat, turned)
    return result.reshape(*lead, *result.shape[-2:])


def _floating(value: Any) -> Tensor:
    x = value if is_tensor(value) else from_numpy(np.asarray(value))
    return x if dt.is_floating(x.dtype) else x.astype(dt.float64)


def _padded(x: Tensor, axis: int, before: int, after: int, boundary: str, fillvalue: float) -> Tensor:
    """Return the images continued along an axis."""
    from trueno.functions import pad

    if not before and not after:
        return x
    (axis,) = normalise_axes("convolve2d", axis, x.ndim, x.shape)
    if boundary == "fill":
        widths = tuple((before, after) if k == axis else (0, 0) for k in range(x.ndim))
        return pad(x, widths, fillvalue)
    kind: Any = _BOUNDARIES[boundary]
    places = np.pad(np.arange(x.shape[axis]), (before, after), mode=kind)
    return x[(slice(None),) * axis + (places,)]
