"""Batches of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from trueno.data import rows
from trueno.data.collate import default_collate
from trueno.data.dataset import TensorDataset
from trueno.data.shuffle import Generator, as_generator


class _Array:
    """A data set whose samples are the rows of one array; its batches are arrays, not tuples."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> Any:
        return self.array[index]

    def __getbatch__(self, indices: np.ndarray) -> Any:
        return rows.take(self.array, indices)


class DataLoader:
    """Iterate over a data set in batches; each iteration is one epoch.

    Parameters
    ----------
    dataset : Dataset, sequence, array or tuple of arrays
        A tuple of equally long arrays is taken as a `TensorDataset`, one array as a data set of its rows.
    batch_size : int, default 1
    shuffle : bool, default False
        Whether each epoch has a new random order.
    collate_fn : callable, optional
        Makes a batch from a list of samples; `default_collate` if not given. Batches of arrays are fetched whole and
        need none.
    drop_last : bool, default False
        Whether to leave out a last batch that is not full.
    generator : numpy.random.Generator or int, optional
        Source of the orders, or its seed. Without it, the orders follow from `trueno.manual_seed`.

    Raises
    ------
    ValueError
        batch_size is less than 1.
    TypeError
        The data set has no length or no items.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        collate_fn: Callable[[Sequence[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: Generator = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
            raise TypeError(f"batch_size should be a positive integer value, got {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size should be a positive integer value, got {batch_size}")
        if rows.is_array(dataset):
            dataset = _Array(dataset)
        elif isinstance(dataset, tuple) and dataset and all(rows.is_array(one) for one in dataset):
            dataset = TensorDataset(*dataset)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader takes a data set with len() and items, or arrays, got {type(dataset).__name__}"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.collate_fn = collate_fn
        self.generator = None if generator is None else as_generator(generator)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        size = len(self.dataset)
        order = as_generator(self.generator).permutation(size) if self.shuffle else np.arange(size)
        for number in range(len(self)):
            yield self._batch(order[number * self.batch_size : (number + 1) * self.batch_size])

    def _batch(self, indices: np.ndarray) -> Any:
        if self.collate_fn is None and hasattr(self.dataset, "__getbatch__"):
            return self.dataset.__getbatch__(indices)
        samples = [self.dataset[int(index)] for index in indices]
        return (self.collate_fn or default_collate)(samples)
