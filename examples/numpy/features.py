"""Tables of measurements: missing values, normalisation, principal components, clusters, a classifier.

python examples/numpy/features.py; the data come with scikit-learn (pip install scikit-learn). Change the import line to
compare.
"""

from importlib import resources

import trueno.np as np


def table(name, skip):
    """Return measurements and labels of a data set that scikit-learn carries; the last column holds the labels."""
    with resources.as_file(resources.files("sklearn") / "datasets" / "data" / name) as path:
        values = np.loadtxt(path, delimiter=",", skiprows=skip)
    return values[:, :-1], values[:, -1].astype(np.int64)


def with_gaps(x):
    """Return the measurements with one in eleven missing."""
    x = x.copy()
    x[(np.arange(x.size).reshape(x.shape) * 7) % 11 == 0] = np.nan
    return x


def filled(x):
    """Return measurements whose missing values are their column's median."""
    return np.where(np.isnan(x), np.nanmedian(x, axis=0), x)


def normalised(x):
    """Return columns of mean 0 and standard deviation 1, without outliers beyond their 1 % and 99 %."""
    low, high = np.percentile(x, [1, 99], axis=0)
    x = np.clip(x, low, high)
    deviation = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def components(x, count):
    """Return coordinates along the principal components, the components, and their share of the variance."""
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    order = np.argsort(values)[::-1][:count]
    vectors = vectors[:, order]
    # A component's sign is arbitrary: its largest element is made positive.
    largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=0)[None, :], axis=0)
    vectors = vectors * np.sign(largest)
    return x @ vectors, vectors, values[order] / values.sum()


def clusters(x, count, rounds=20):
    """Return the nearest centre of each row and the centres (Lloyd's algorithm)."""
    centres = x[:: len(x) // count][:count].copy()
    for _ in range(rounds):
        distances = ((x[:, None, :] - centres[None, :, :]) ** 2).sum(axis=-1)
        nearest = np.argmin(distances, axis=1)
        for k in range(count):
            members = x[nearest == k]
            if len(members):
                centres[k] = members.mean(axis=0)
    return nearest, centres


def ridge(x, labels, penalty=1.0):
    """Return the weights of a linear classifier, one column a class (least squares with a penalty on their squares)."""
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    wanted = np.eye(int(labels.max()) + 1)[labels]
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ wanted)


def predicted(weights, x):
    """Return the most likely class of each row."""
    return np.argmax(x @ weights[:-1] + weights[-1], axis=1)


def confusion(labels, guesses):
    """Return how often each class was taken for each other."""
    classes = int(labels.max()) + 1
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


def studied(x, labels):
    """Return what can be said of one data set."""
    x = normalised(filled(with_gaps(x)))
    places, _, share = components(x, min(8, x.shape[1]))
    nearest, _ = clusters(places, int(labels.max()) + 1)
    order = np.argsort((np.arange(len(x)) * 7919) % len(x), kind="stable")
    train, test = order[: len(x) * 3 // 4], order[len(x) * 3 // 4 :]
    weights = ridge(x[train], labels[train])
    guesses = predicted(weights, x[test])
    related = np.abs(np.corrcoef(x[:, x.std(axis=0) > 0], rowvar=False))
    np.fill_diagonal(related, 0)
    _, sizes = np.unique(nearest, return_counts=True)
    return {
        "share of variance": share,
        "coordinates": places,
        "sizes of clusters": np.sort(sizes),
        "confusion": confusion(labels[test], guesses),
        "accuracy": np.mean(guesses == labels[test]),
        "most related": np.stack(np.unravel_index(np.argmax(related), related.shape)),
    }


def main():
    """Return all results by name."""
    results = {}
    for name, skip in (("iris.csv", 1), ("wine_data.csv", 1), ("breast_cancer.csv", 1), ("digits.csv.gz", 0)):
        measurements, labels = table(name, skip)
        results |= {f"{name}, {key}": value for key, value in studied(measurements, labels).items()}
    return results


if __name__ == "__main__":
    for title, value in main().items():
        print(f"{title}: {value if value.size <= 16 else value.shape}")
