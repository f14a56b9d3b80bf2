"""DataLoader and data sets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import trueno as tn
from trueno.data import DataLoader, Dataset, Subset, TensorDataset, default_collate, random_split

X, Y = np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10)


class Squares(Dataset):
    """Samples that are made one by one."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(index * index)


def order_of(loader: DataLoader) -> list[int]:
    return [int(one) for _, y in loader for one in y.numpy()]


@pytest.mark.parametrize("make", [lambda a: a, tn.tensor])
def test_batches_of_arrays_come_in_order(make: Any) -> None:
    loader = DataLoader((make(X), make(Y)), batch_size=4)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [x.shape for x, _ in batches] == [(4, 2), (4, 2), (2, 2)]
    assert all(isinstance(x, tn.Tensor) and x.dtype == np.float32 for x, _ in batches)
    assert np.array_equal(np.concatenate([x.numpy() for x, _ in batches]), X)
    assert len(DataLoader((make(X), make(Y)), batch_size=4, drop_last=True)) == 2


def test_one_array_gives_arrays() -> None:
    batches = list(DataLoader(X, batch_size=5))
    assert np.array_equal(batches[1].numpy(), X[5:])


def test_batches_may_be_changed() -> None:
    data = tn.tensor(X)
    for batch in DataLoader(data, batch_size=5):
        batch.fill_(0)
    assert np.array_equal(data.numpy(), X)


def test_shuffled_epochs_hold_everything_and_differ() -> None:
    loader = DataLoader((X, Y), batch_size=3, shuffle=True, generator=0)
    first, second = order_of(loader), order_of(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert order_of(DataLoader((X, Y), batch_size=3, shuffle=True, generator=0)) == first
    generator = np.random.default_rng(0)
    assert order_of(DataLoader((X, Y), batch_size=3, shuffle=True, generator=generator)) == first
    for x, y in loader:
        assert np.array_equal(x.numpy()[:, 0], y.numpy() * 2)


def test_order_follows_manual_seed() -> None:
    loader = DataLoader((X, Y), shuffle=True)
    tn.manual_seed(3)
    first = order_of(loader)
    assert order_of(loader) != first
    tn.manual_seed(3)
    assert order_of(loader) == first


def test_samples_are_collated() -> None:
    (numbers, squares), _ = DataLoader(Squares(), batch_size=3)
    assert numbers.numpy().tolist() == [0, 1, 2]
    assert squares.dtype == np.float32
    assert squares.numpy().tolist() == [0, 1, 4]
    assert [sum(batch) for batch in DataLoader(list(range(4)), batch_size=2, collate_fn=list)] == [1, 5]


class Point(NamedTuple):
    """A sample with names."""

    x: float
    y: int


def test_collate_follows_the_samples_structure() -> None:
    batch = default_collate([{"a": np.ones(2), "b": [1, "x"]}, {"a": np.zeros(2), "b": [2, "y"]}])
    assert batch["a"].numpy().tolist() == [[1, 1], [0, 0]]
    assert batch["b"][0].numpy().tolist() == [1, 2]
    assert batch["b"][1] == ["x", "y"]
    assert default_collate([Point(1.0, 2), Point(3.0, 4)]).y.numpy().tolist() == [2, 4]
    assert default_collate([tn.ones(2), tn.zeros(2)]).shape == (2, 2)
    assert default_collate([np.float64(1), np.float64(2)]).dtype == np.float64
    assert default_collate([True, False]).dtype == np.bool_
    with pytest.raises(ValueError, match="same number of items"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="got object"):
        default_collate([object()])


def test_subset_and_random_split() -> None:
    data = TensorDataset(X, Y)
    parts = random_split(data, [0.75, 0.25], generator=1)
    assert [len(part) for part in parts] == [8, 2]
    assert sorted(int(part[k][1]) for part in parts for k in range(len(part))) == list(range(10))
    again = random_split(data, [8, 2], generator=1)
    assert np.array_equal(again[0].indices, parts[0].indices)
    x, y = next(iter(DataLoader(parts[0], batch_size=8)))
    assert np.array_equal(y.numpy(), parts[0].indices)
    assert np.array_equal(x.numpy(), X[parts[0].indices])
    nested = Subset(parts[0], [3, 1])
    assert order_of(DataLoader(nested, batch_size=2)) == parts[0].indices[[3, 1]].tolist()
    plain = Subset(list("abcd"), [2, 0])
    assert [plain[k] for k in range(2)] == ["c", "a"]
    assert plain[[0, 1]] == ["c", "a"]
    tn.manual_seed(0)
    first = random_split(data, [5, 5])[0].indices
    tn.manual_seed(0)
    assert np.array_equal(random_split(data, [5, 5])[0].indices, first)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: DataLoader(X, batch_size=0), ValueError, "positive integer value, got 0"),
        (lambda: DataLoader(X, batch_size=2.5), TypeError, r"positive integer value, got 2\.5"),
        (lambda: DataLoader(iter([1])), TypeError, "with len.. and items, or arrays"),
        (lambda: next(iter(DataLoader(X, shuffle=True, generator="x"))), TypeError, "generator must be"),
        (TensorDataset, ValueError, "at least one array"),
        (lambda: TensorDataset(X, Y[:3]), ValueError, r"\(10, 2\), \(3,\)"),
        (lambda: TensorDataset([1, 2]), TypeError, "got list"),
        (lambda: random_split(Y, [3, 3]), ValueError, r"\[3, 3\] for 10 samples"),
        (lambda: random_split(Y, [1.5, -0.5]), ValueError, r"must lie in \[0, 1\]"),
        (lambda: len(Dataset()), TypeError, "has no len"),
        (lambda: Dataset()[0], TypeError, "does not define __getitem__"),
    ],
)
def test_bad_arguments(make: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        make()


@pytest.mark.opencl
def test_batches_of_a_tensor_on_a_device_stay_there() -> None:
    data = tn.tensor(X).to("opencl:0")
    batches = list(DataLoader(data, batch_size=4, shuffle=True, generator=0))
    assert {str(batch.device) for batch in batches} == {"opencl:0"}
    joined = np.concatenate([batch.cpu().numpy() for batch in batches])
    assert np.array_equal(joined[np.argsort(joined[:, 0])], X)
