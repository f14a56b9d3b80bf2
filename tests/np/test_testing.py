"""NumPy's assertions take Tensors."""

from __future__ import annotations

import pytest

from trueno import np


def test_assertions_on_tensors() -> None:
    x = np.arange(3)
    np.testing.assert_equal(x, [0, 1, 2])
    np.testing.assert_equal({"a": (x, [x])}, {"a": (x + 0, [[0, 1, 2]])})
    np.testing.assert_allclose(np.ones(3), 1, rtol=0)
    for left, right in (([x], [x + 1]), ((x,), (np.asarray([0, 1, 3]),))):
        with pytest.raises(AssertionError):
            np.testing.assert_equal(left, right)


def test_assertions_of_errors_are_numpys() -> None:
    with np.testing.assert_raises(ValueError):
        np.zeros(-1)
    np.testing.assert_raises_regex(ValueError, "negative", np.zeros, -1)
