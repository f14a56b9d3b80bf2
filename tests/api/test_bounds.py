"""clip and where in the spellings of NumPy and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn

VALUES = {
    "float32": [-3.0, -1.0, 0.0, 2.0, np.inf, np.nan],
    "bfloat16": [-3.0, -1.0, 0.0, 2.0],
    "int8": [-128, -1, 0, 127],
    "uint64": [0, 5, 2**64 - 1],
    "bool": [False, True],
}


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("bounds", [{"min": 0, "max": 1}, {"min": 1}, {"max": 1}, {}], ids=str)
def test_clip_with_bounds_by_keyword(dtype: str, bounds: dict[str, Any]) -> None:
    x = tn.tensor(VALUES[dtype], dtype=dtype)
    array = x.numpy()
    expected = array if not bounds else np.clip(array, bounds.get("min"), bounds.get("max"))
    for result in (tn.clip(x, **bounds), x.clip(**bounds), tn.clamp(x, **bounds), tn.clip(x, *_placed(bounds))):
        np.testing.assert_array_equal(result.numpy(), expected)
        # NumPy does not count bfloat16 among the floats that an int leaves as they are.
        assert result.dtype == (array.dtype if dtype == "bfloat16" else expected.dtype)


def _placed(bounds: dict[str, Any]) -> tuple[Any, Any]:
    return bounds.get("min"), bounds.get("max")


def test_clip_with_arrays_as_bounds_and_lists_as_values() -> None:
    low = np.array([0.0, 2.0, 5.0], np.float32)
    np.testing.assert_array_equal(tn.clip([1.0, 1.0, 1.0], low).numpy(), [1, 2, 5])
    np.testing.assert_array_equal(tn.clip([1, 9, 4], max=3).numpy(), [1, 3, 3])


def test_clamp_in_place() -> None:
    x = tn.tensor([-2.0, 0.5, 3.0])
    assert x.clamp_(min=0) is x
    assert x.clip_(0, 1) is x
    np.testing.assert_array_equal(x.numpy(), [0, 0.5, 1])


def test_the_gradient_of_a_one_sided_clip_is_pytorchs() -> None:
    array = np.array([-1.5, 0.25, 2.0], np.float32)
    x, t = tn.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    for _ in range(2):
        x.grad = t.grad = None
        (x.clamp(min=0.0) * x).sum().backward()
        (t.clamp(min=0.0) * t).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())


def test_clip_inside_a_kernel() -> None:
    @tn.kernel
    def limited(x: Any) -> Any:
        return tn.clip(x, max=1.0) + x.clamp(min=0.0)

    x = tn.tensor([-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(limited(x).numpy(), [-1, 1, 3])


def test_the_method_where_takes_the_array_first() -> None:
    array = np.array([1.0, -2.0, 3.0], np.float32)
    x, t = tn.tensor(array), torch.tensor(array)
    np.testing.assert_array_equal(x.where(x > 0, 0.0).numpy(), t.where(t > 0, 0.0).numpy())
    np.testing.assert_array_equal(tn.where(x > 0, x, 0.0).numpy(), np.where(array > 0, array, 0))
    kernel = tn.kernel(lambda a: a.where(a > 0, -a), name="magnitude")
    np.testing.assert_array_equal(kernel(x).numpy(), np.abs(array))
