"""Images from and to files, and filters for them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno.io import convolve2d, from_image, gaussian_kernel, to_image


def picture(channels: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (channels, 5, 7)).astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_is_what_was_written(tmp_path: Path, channels: int) -> None:
    pytest.importorskip("PIL")
    pixels = picture(channels)
    path = tmp_path / "picture.png"
    assert to_image(tn.from_numpy(pixels), path) is None
    back = from_image(path, dtype=tn.uint8)
    assert (back.shape, back.dtype) == (pixels.shape, tn.uint8)
    np.testing.assert_array_equal(back.numpy(), pixels)
    scaled = from_image(path)
    assert scaled.dtype == tn.float32
    np.testing.assert_array_equal(scaled.numpy(), pixels.astype(np.float32) / np.float32(255))
    to_image(scaled.requires_grad_(), path)
    np.testing.assert_array_equal(from_image(path, dtype=tn.uint8).numpy(), pixels)


def test_modes(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    colours = to_image(picture(3))
    assert from_image(colours, mode="L").shape == (1, 5, 7)
    assert from_image(colours.convert("P")).shape == (3, 5, 7)
    assert from_image(colours.convert("1")).tolist() == from_image(colours.convert("1").convert("L")).tolist()
    assert to_image(picture(1)[0]).mode == "L"
    deep = image.fromarray(np.array([[0, 65535]], np.uint16))
    assert from_image(deep).tolist() == [[[0.0, 1.0]]]
    assert from_image(deep, dtype=tn.uint16).tolist() == [[[0, 65535]]]
    with pytest.raises(ValueError, match="mode 'XYZ' is none of"):
        from_image(colours, mode="XYZ")


def test_values_are_clipped_and_rounded() -> None:
    pytest.importorskip("PIL")
    made = to_image(tn.tensor([[-1.0, 0.5, 2.0, 1 / 255]]))
    assert np.asarray(made).tolist() == [[0, 128, 255, 1]]
    with pytest.raises(ValueError, match="NaN"):
        to_image(tn.tensor([[float("nan")]]))
    with pytest.raises(TypeError, match="int64"):
        to_image(np.ones((2, 2), np.int64))
    with pytest.raises(ValueError, match="1 to 4 channels"):
        to_image(np.ones((5, 2, 2)))


def test_streams_and_files_that_are_no_images(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    stream = io.BytesIO()
    to_image(picture(3), stream, format="PNG")
    stream.seek(0)
    assert from_image(stream, dtype=tn.uint8).tolist() == picture(3).tolist()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(OSError, match="identify"):
        from_image(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError):
        from_image(tmp_path / "nowhere.png")


def test_without_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"pip install trueno\[io\]"):
        from_image("picture.png")


# --- filters ----------------------------------------------------------------------------------------------------------


def test_gaussian_kernels() -> None:
    kernel = gaussian_kernel(1.5, dtype=tn.float64).numpy()
    assert kernel.shape == (13, 13)
    assert abs(kernel.sum() - 1) < 1e-12
    np.testing.assert_allclose(kernel, kernel.T)
    assert gaussian_kernel((1.0, 2.0), (1, 3)).shape == (3, 7)
    impulse = np.zeros((13, 13))
    impulse[6, 6] = 1
    ndimage = pytest.importorskip("scipy.ndimage")
    np.testing.assert_allclose(kernel, ndimage.gaussian_filter(impulse, 1.5), atol=1e-15)
    for bad in ((0.0, None), (1.0, -1)):
        with pytest.raises(ValueError, match="gaussian_kernel"):
            gaussian_kernel(*bad)


@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (1, 5)], ids=str)
def test_convolutions_are_scipys(shape: tuple, mode: Any, boundary: Any) -> None:
    signal = pytest.importorskip("scipy.signal")
    generator = np.random.default_rng(0)
    image, kernel = generator.uniform(-1, 1, (6, 8)), generator.uniform(-1, 1, shape)
    got = convolve2d(tn.from_numpy(image), kernel, mode, boundary, 0.5)
    want = signal.convolve2d(image, kernel, mode, boundary, 0.5)
    assert got.dtype == tn.float64
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)


def test_edges_and_reflections() -> None:
    image = np.random.default_rng(0).uniform(-1, 1, (4, 5))
    kernel = np.random.default_rng(1).uniform(-1, 1, (3, 3))
    for boundary in ("edge", "reflect"):
        want = convolve2d(np.pad(image, 1, mode=boundary), kernel, "valid").numpy()  # type: ignore[call-overload]
        np.testing.assert_allclose(convolve2d(image, kernel, "same", boundary).numpy(), want)  # type: ignore[arg-type]


def test_batches_dtypes_and_gradients() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 6, 5)).astype(np.float32)
    kernel = gaussian_kernel(0.7, 1)
    got = convolve2d(images, kernel, boundary="symm")
    assert (got.shape, got.dtype) == (images.shape, tn.float32)
    np.testing.assert_allclose(got[1, 2].numpy(), convolve2d(images[1, 2], kernel, boundary="symm").numpy(), rtol=1e-5)
    assert convolve2d(picture(3), kernel).dtype == tn.float64
    leaves = [tn.from_numpy(one.astype(np.float64)).requires_grad_() for one in (images[0, 0, :4, :4], kernel.numpy())]
    assert tn.gradcheck(lambda x, k: convolve2d(x, k, "same", "wrap"), leaves)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mode": "some"}, "mode 'some'"),
        ({"boundary": "none"}, "boundary 'none'"),
        ({"kernel": np.ones(3)}, r"kernel \(h, w\)"),
        ({"kernel": np.ones((9, 9)), "mode": "valid"}, "does not fit"),
    ],
)
def test_mistakes(changes: dict, match: str) -> None:
    given = {"image": np.ones((4, 4)), "kernel": np.ones((3, 3))} | changes
    with pytest.raises(ValueError, match=match):
        convolve2d(**given)
