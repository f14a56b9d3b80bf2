"""Matrices for the tests of library operations: where a function is defined and smooth, of a few shapes and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trueno.library import Case
from trueno.tensor import Tensor

#: Domains as `trueno.library.library` takes them.
Domain = Callable[[np.random.Generator], Iterator[Case]]


def matrices(*shapes: tuple[int, ...], **static: Any) -> Domain:
    """Return the domain of matrices of these shapes whose singular values differ from each other and from 0."""

    def domain(generator: np.random.Generator) -> Iterator[Case]:
        for shape in shapes:
            yield (spread(generator, shape),), static

    return domain


def spread(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return matrices with singular values between 1 and 3, apart from each other."""
    count = min(shape[-2:])
    left, _, right = np.linalg.svd(generator.standard_normal(shape), full_matrices=False)
    values = np.linspace(1.0, 3.0, count) + generator.uniform(-0.1, 0.1, (*shape[:-2], count))
    return (left * values[..., None, :]) @ right


def symmetric(*shapes: tuple[int, ...], positive: bool = False) -> Domain:
    """Return the domain of symmetric matrices with eigenvalues apart from each other, positive ones if asked for."""

    def domain(generator: np.random.Generator) -> Iterator[Case]:
        for shape in shapes:
            vectors = np.linalg.qr(generator.standard_normal(shape))[0]
            values = np.linspace(1.0 if positive else -1.5, 3.0, shape[-1]) + generator.uniform(-0.1, 0.1, shape[:-1])
            yield ((vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2),), {}

    return domain


def real_eigenvalues(generator: np.random.Generator) -> Iterator[Case]:
    """Give matrices whose eigenvalues are real and apart from each other, not symmetric ones."""
    for shape in ((3, 3), (2, 4, 4)):
        vectors = spread(generator, shape)
        values = np.linspace(-1.0, 3.0, shape[-1])
        yield ((vectors * values) @ np.linalg.inv(vectors),), {}


def systems(generator: np.random.Generator) -> Iterator[Case]:
    """Give matrices and right sides: one system, batches, batches that are broadcast, no columns."""
    for left, right in (((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 1, 2, 2), (3, 2, 2)), ((3, 3), (2, 3, 2))):
        yield (spread(generator, left), generator.uniform(-1, 1, right)), {}


def overdetermined(generator: np.random.Generator) -> Iterator[Case]:
    """Give least-squares problems: more equations than unknowns, as many, fewer."""
    for rows, columns, sides in ((5, 3, 2), (3, 3, 1), (3, 5, 2)):
        yield (spread(generator, (rows, columns)), generator.uniform(-1, 1, (rows, sides))), {"rcond": None}


def symmetrised(a: Tensor) -> Tensor:
    """Return the symmetric part of matrices."""
    return (a + a.mT) * 0.5
