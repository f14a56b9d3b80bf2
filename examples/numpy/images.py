"""Filters on photographs: blur, edges, sharpening, equalised contrast, a contact sheet.

python examples/numpy/images.py [OUTPUT.png]; the photographs come with scikit-image (pip install scikit-image pillow).
Change the import line to compare.
"""

import sys
from importlib import resources

from PIL import Image

import trueno.np as np

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "retina.jpg")


def photograph(name):
    """Return a photograph of scikit-image's as (height, width, 3) numbers from 0 to 1."""
    with resources.as_file(resources.files("skimage") / "data" / name) as path, Image.open(path) as image:
        return np.asarray(image.convert("RGB")) / 255


def gaussian(sigma):
    """Return the weights of a Gaussian filter over three standard deviations to each side."""
    x = np.arange(-int(3 * sigma), int(3 * sigma) + 1)
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def filtered(image, weights, axis):
    """Return an image filtered along an axis; beyond its edge it goes on as in a mirror."""
    half = len(weights) // 2
    padded = np.pad(image, [(half, half) if k == axis else (0, 0) for k in range(image.ndim)], mode="reflect")
    result = np.zeros_like(image)
    for k in range(len(weights)):
        place = [slice(None)] * image.ndim
        place[axis] = slice(k, k + image.shape[axis])
        result += weights[k] * padded[tuple(place)]
    return result


def blurred(image, sigma):
    """Return an image after a Gaussian blur of that standard deviation, in pixels."""
    weights = gaussian(sigma)
    return filtered(filtered(image, weights, 0), weights, 1)


def luminance(image):
    """Return the luminance of linear RGB (ITU-R BT.709)."""
    return image @ np.array([0.2126, 0.7152, 0.0722])


def edges(grey):
    """Return the magnitude and the direction of the gradient (Sobel's operator)."""
    smooth, slope = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2
    down = filtered(filtered(grey, slope, 0), smooth, 1)
    right = filtered(filtered(grey, smooth, 0), slope, 1)
    return np.hypot(down, right), np.arctan2(down, right)


def equalised(grey, levels=256):
    """Return an image whose grey levels are equally frequent."""
    counts, bounds = np.histogram(grey, bins=levels, range=(0.0, 1.0))
    share = np.cumsum(counts) / grey.size
    return np.interp(grey.ravel(), bounds[1:], share).reshape(grey.shape)


def balanced(image):
    """Return an image whose channels each span 1 % to 99 % of their values."""
    low = np.percentile(image, 1, axis=(0, 1))
    high = np.percentile(image, 99, axis=(0, 1))
    return np.clip((image - low) / np.maximum(high - low, 1e-6), 0, 1)


def thumbnail(image, factor=4):
    """Return the means of squares of that many pixels."""
    height, width = image.shape[0] // factor * factor, image.shape[1] // factor * factor
    squares = image[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return squares.mean(axis=(1, 3))


def processed(image):
    """Return what the filters make of one photograph."""
    soft = blurred(image, 2.0)
    sharp = np.clip(image + 1.5 * (image - soft), 0, 1)
    grey = luminance(image)
    magnitude, direction = edges(blurred(grey, 1.0))
    strong = magnitude > np.quantile(magnitude, 0.9)
    marked = image.copy()
    marked[strong] = (1.0, 0.2, 0.1)
    turning = np.histogram(direction[strong], bins=16, range=(-np.pi, np.pi))[0]
    rows, columns = np.nonzero(strong)
    return {
        "soft": soft,
        "sharp": sharp,
        "equalised": equalised(grey),
        "balanced": balanced(image),
        "marked": marked,
        "directions": turning,
        "centre of the edges": np.stack([rows.mean(), columns.mean()]),
        "thumbnail": thumbnail(image),
    }


def sheet(image, found):
    """Return the pictures side by side, each a quarter of its size."""
    grey = np.repeat(found["equalised"][:, :, None], 3, axis=2)
    pictures = [image, found["soft"], found["sharp"], grey, found["balanced"], found["marked"]]
    return np.concatenate([thumbnail(picture) for picture in pictures], axis=1)


def main():
    """Return all results by name."""
    results = {}
    for name in PHOTOGRAPHS:
        image = photograph(name)
        found = processed(image)
        results |= {f"{name}, {key}": value for key, value in found.items()}
        results[f"{name}, sheet"] = sheet(image, found)
    return results


if __name__ == "__main__":
    outputs = main()
    for title, value in outputs.items():
        print(f"{title:32} {value.shape!s:16} mean {float(value.mean()):.4f}")
    if len(sys.argv) > 1:
        pixels = np.concatenate([outputs[f"{name}, sheet"][:75, :600] for name in PHOTOGRAPHS])
        Image.fromarray(np.asarray(np.round(pixels * 255).astype(np.uint8))).save(sys.argv[1])
