"""Matrices for the tests of library operations: where a function is defined and smooth, of a few shapes and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trueno.library import Case

#: Domains as `trueno.library.library` takes them.
Domain = Callable[[np.random.Generator, np.dtype], Iterator[Case]]


def normal(generator: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Return random numbers of a normal distribution, both parts of complex ones."""
    found = generator.standard_normal(shape)
    return found + 1j * generator.standard_normal(shape) if np.dtype(dtype).kind == "c" else found


def matrices(*shapes: tuple[int, ...], **static: Any) -> Domain:
    """Return the domain of matrices of these shapes whose singular values differ from each other and from 0."""

    def domain(generator: np.random.Generator, dtype: np.dtype) -> Iterator[Case]:
        for shape in shapes:
            yield (spread(generator, shape, dtype),), static

    return domain


def spread(generator: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Return matrices with singular values between 1 and 3, apart from each other."""
    count = min(shape[-2:])
    left, _, right = np.linalg.svd(normal(generator, shape, dtype), full_matrices=False)
    values = np.linspace(1.0, 3.0, count) + generator.uniform(-0.1, 0.1, (*shape[:-2], count))
    return (left * values[..., None, :]) @ right


def hermitian(*shapes: tuple[int, ...], positive: bool = False) -> Domain:
    """Return the domain of Hermitian matrices with eigenvalues apart from each other, positive ones if asked for."""

    def domain(generator: np.random.Generator, dtype: np.dtype) -> Iterator[Case]:
        for shape in shapes:
            vectors = np.linalg.qr(normal(generator, shape, dtype))[0]
            values = np.linspace(1.0 if positive else -1.5, 3.0, shape[-1]) + generator.uniform(-0.1, 0.1, shape[:-1])
            yield ((vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2).conj(),), {}

    return domain


def eigenvalues_apart(generator: np.random.Generator, dtype: np.dtype) -> Iterator[Case]:
    """Give matrices that are not normal with eigenvalues apart from each other: real and complex ones."""
    for shape in ((3, 3), (2, 4, 4)):
        vectors = spread(generator, shape, dtype)
        values = np.linspace(-1.0, 3.0, shape[-1])
        yield ((vectors * values) @ np.linalg.inv(vectors),), {}
    yield (
        (np.array([[0.5, -2.0, 0.3], [1.0, 0.25, -0.4], [0.2, 0.1, 3.0]]) + 0.1 * normal(generator, (3, 3), dtype),),
        {},
    )


def systems(generator: np.random.Generator, dtype: np.dtype) -> Iterator[Case]:
    """Give matrices and right sides: one system, batches, batches that are broadcast, no columns."""
    for left, right in (((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 1, 2, 2), (3, 2, 2)), ((3, 3), (2, 3, 2))):
        yield (spread(generator, left, dtype), normal(generator, right, dtype)), {}


def overdetermined(generator: np.random.Generator, dtype: np.dtype) -> Iterator[Case]:
    """Give least-squares problems: more equations than unknowns, as many, fewer."""
    for rows, columns, sides in ((5, 3, 2), (3, 3, 1), (3, 5, 2)):
        yield (spread(generator, (rows, columns), dtype), normal(generator, (rows, sides), dtype)), {"rcond": None}
