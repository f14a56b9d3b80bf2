"""Data sets: things with a length whose items are samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from trueno.data import rows
from trueno.data.shuffle import Generator, as_generator


class Dataset:
    """A data set: subclasses define ``__len__`` and ``__getitem__``.

    A subclass that can fetch many samples faster together than one by one defines
    ``__getbatch__(indices: numpy.ndarray)``, which returns a whole batch, collated.
    """

    def __len__(self) -> int:
        raise TypeError(f"object of type {type(self).__name__!r} has no len()")

    def __getitem__(self, index: Any) -> Any:
        raise TypeError(f"{type(self).__name__!r} object does not define __getitem__")


class TensorDataset(Dataset):
    """Samples from arrays of equal length: sample i holds row i of each.

    Parameters
    ----------
    *tensors : Tensor or numpy.ndarray
        Shapes ``(n, ...)``.

    Raises
    ------
    ValueError
        No array is given, or they differ in length.
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset takes at least one array")
        wrong = [type(one).__name__ for one in tensors if not rows.is_array(one)]
        if wrong:
            raise TypeError(f"TensorDataset takes arrays of at least one dimension, got {wrong[0]}")
        if len({len(one) for one in tensors}) > 1:
            shapes = ", ".join(str(tuple(one.shape)) for one in tensors)
            raise ValueError(f"Size mismatch between tensors: the arrays must be equally long, got shapes {shapes}")
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(one[index] for one in self.tensors)

    def __getbatch__(self, indices: np.ndarray) -> tuple[Any, ...]:
        return tuple(rows.take(one, indices) for one in self.tensors)


class Subset(Dataset):
    """Some samples of a data set.

    Parameters
    ----------
    dataset : Dataset or sequence
    indices : sequence of int
        Numbers of the samples, in the order they get here.
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        if hasattr(dataset, "__getbatch__"):
            self.__getbatch__ = lambda chosen: dataset.__getbatch__(self.indices[chosen])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.indices[index]
        return self.dataset[int(chosen)] if chosen.ndim == 0 else [self.dataset[int(one)] for one in chosen]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator = None) -> list[Subset]:
    """Split a data set at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset or sequence
    lengths : sequence of int or float
        Sizes of the parts, or fractions that sum to 1; what rounding leaves over goes round-robin to the first parts.
    generator : numpy.random.Generator or int, optional
        Source of the order, or its seed. Without it, the order follows from `trueno.manual_seed`.

    Returns
    -------
    list of Subset

    Raises
    ------
    ValueError
        The lengths do not add up to the data set's.
    """
    size = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9 and any(isinstance(one, float) for one in lengths):
        if any(not 0 <= one <= 1 for one in lengths):
            raise ValueError(f"random_split: fractions must lie in [0, 1], got {list(lengths)}")
        counts = [math.floor(size * one) for one in lengths]
        for k in range(size - sum(counts)):
            counts[k % len(counts)] += 1
    else:
        counts = [int(one) for one in lengths]
    if sum(counts) != size or any(one < 0 for one in counts):
        raise ValueError(
            f"Sum of input lengths does not equal the length of the input dataset: {list(lengths)} for {size} samples"
        )
    order = as_generator(generator).permutation(size)
    ends = np.cumsum([0, *counts])
    return [Subset(dataset, order[start:end]) for start, end in pairwise(ends)]
