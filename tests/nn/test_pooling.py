"""Pooling against PyTorch's: values, indices, gradients, shapes and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trueno as tn
import trueno.nn.functional as F
from tests.nn.support import compare, normal
from trueno import nn
from trueno.nn.pooling_records import sliding

#: Number of spatial axes, shape, settings.
Case = tuple[int, tuple[int, ...], dict[str, Any]]

MAX: list[Case] = [
    (1, (2, 3, 9), {"kernel_size": 2}),
    (1, (2, 3, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, (2, 3, 8, 8), {"kernel_size": 2}),
    (2, (2, 3, 9, 7), {"kernel_size": 2}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (2, (3, 9, 7), {"kernel_size": (3, 2), "stride": (1, 2), "ceil_mode": True}),
    (2, (2, 3, 9, 7), {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 1, "dilation": 2, "padding": 1}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 2, "dilation": (2, 3), "padding": 1, "ceil_mode": True}),
    (2, (1, 1, 12, 12), {"kernel_size": 9, "stride": 1}),
    (3, (2, 2, 5, 6, 4), {"kernel_size": 2}),
    (3, (2, 5, 6, 4), {"kernel_size": 3, "stride": (1, 2, 3), "padding": 1}),
    # Larger than the images whose gradient is written by place.
    (1, (2, 3, 19), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, (2, 3, 9, 18), {"kernel_size": 2}),
    (2, (2, 3, 9, 17), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (2, (2, 3, 9, 17), {"kernel_size": 3, "stride": 2, "dilation": (2, 3), "padding": 1, "ceil_mode": True}),
    (3, (2, 5, 8, 8), {"kernel_size": 3, "stride": (1, 2, 3), "padding": 1}),
    (2, (1, 2, 16, 16), {"kernel_size": 3, "stride": 2, "padding": 1}),
]
AVERAGE: list[Case] = [
    (1, (2, 3, 9), {"kernel_size": 2}),
    (1, (3, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, (2, 3, 8, 8), {"kernel_size": 2}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    (2, (2, 3, 9, 7), {"kernel_size": (2, 3), "stride": (3, 2), "ceil_mode": True, "count_include_pad": False}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, (2, 3, 9, 7), {"kernel_size": 3, "stride": 2, "divisor_override": 5}),
    (2, (1, 1, 12, 12), {"kernel_size": 9, "stride": 1, "padding": 4}),
    (3, (2, 2, 5, 6, 4), {"kernel_size": 2, "stride": (2, 1, 3)}),
]
SIZES: list[tuple[int, tuple[int, ...], Any]] = [
    (1, (2, 3, 9), 4),
    (1, (3, 10), 7),
    (2, (2, 3, 8, 6), 2),
    (2, (2, 3, 8, 6), 1),
    (2, (3, 9, 8), 1),
    (2, (2, 3, 8, 7), (3, None)),
    (2, (2, 8, 7), (5, 3)),
    (2, (2, 7, 4), (3, 2)),
    (2, (1, 2, 3, 4), (5, 7)),
    (1, (2, 3, 1), 3),
    (2, (2, 3, 3, 1), 2),
    (3, (2, 2, 5, 6, 4), (2, 3, 4)),
    (2, (2, 3, 9, 18), (4, 5)),
    (2, (2, 3, 9, 18), 3),
]


def _label(value: Any) -> str:
    return str(value)


def ties(*shape: int) -> np.ndarray:
    """Return small integers, so that windows hold equal elements."""
    return np.random.default_rng(shape).integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize("case", MAX, ids=_label)
def test_max_pool(case: Case) -> None:
    count, shape, given = case
    name = f"max_pool{count}d"
    for indices in (True, False):
        compare(name, [ties(*shape)], **given, return_indices=indices)


@pytest.mark.parametrize("case", AVERAGE, ids=_label)
def test_avg_pool(case: Case) -> None:
    count, shape, given = case
    compare(f"avg_pool{count}d", [normal(*shape)], **given)


@pytest.mark.parametrize("case", SIZES, ids=_label)
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive_pool(kind: str, case: tuple[int, tuple[int, ...], Any]) -> None:
    count, shape, size = case
    for more in ({"return_indices": True}, {}) if kind == "max" else ({},):
        x = ties(*shape) if kind == "max" else normal(*shape)
        compare(f"adaptive_{kind}_pool{count}d", [x], output_size=size, **more)


def test_adaptive_windows_of_one_size_and_distance_slide() -> None:
    assert sliding((7, 8), (3, 2)) == ((3, 4), (2, 4))
    assert sliding((7,), (7,)) == ((1,), (1,))
    assert sliding((7,), (5,)) is None
    assert sliding((1,), (2,)) is None
    assert sliding((6, 7), (3, 4)) is None


@st.composite
def poolings(draw: st.DrawFn) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """A pooling of one to three spatial axes."""
    count = draw(st.integers(1, 3))

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    kernel, extents = numbers(1, 3), numbers(5, 8)
    given: dict[str, Any] = {"kernel_size": kernel, "ceil_mode": draw(st.booleans())}
    given["stride"] = draw(st.none() | st.just(numbers(1, 4)))
    given["padding"] = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    name = draw(st.sampled_from(["max", "avg"]))
    if name == "max":
        given |= {"dilation": numbers(1, 2), "return_indices": True}
    else:
        given["count_include_pad"] = draw(st.booleans())
    return f"{name}_pool{count}d", (*draw(st.sampled_from([(1,), (2, 2)])), *extents), given


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(poolings())
def test_any_geometry(case: tuple[str, tuple[int, ...], dict[str, Any]]) -> None:
    name, shape, given = case
    compare(name, [ties(*shape)], **given)


@pytest.mark.parametrize(
    ("name", "shape", "given"),
    [
        ("max_pool2d", (1, 2, 5, 4), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("max_pool1d", (1, 2, 6), {"kernel_size": 2}),
        ("max_pool1d", (1, 2, 18), {"kernel_size": 3, "stride": 2}),
        ("avg_pool2d", (1, 2, 5, 4), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
        ("avg_pool1d", (1, 2, 6), {"kernel_size": 3, "stride": 1}),
        ("adaptive_avg_pool2d", (1, 2, 5, 4), {"output_size": (3, 2)}),
        ("adaptive_max_pool2d", (1, 2, 5, 4), {"output_size": (3, 2)}),
        ("adaptive_max_pool2d", (1, 2, 5, 4), {"output_size": 1}),
        ("adaptive_max_pool2d", (1, 2, 7, 4), {"output_size": (3, 2)}),
    ],
)
def test_gradients_of_both_orders(name: str, shape: tuple[int, ...], given: dict[str, Any]) -> None:
    values = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape) / 3.0
    x = tn.tensor(values).requires_grad_()
    # Squared, so that the second derivative is not zero.
    assert tn.gradcheck(lambda x: tn.square(getattr(F, name)(x, **given)), [x])
    assert tn.gradgradcheck(lambda x: tn.square(getattr(F, name)(x, **given)), [x])


@pytest.mark.parametrize(("dtype", "kernel"), [(np.float16, 3), (np.float64, 2), (np.int32, 2), (np.uint8, 3)])
def test_dtypes(dtype: Any, kernel: int) -> None:
    x = np.round(20 + 9 * normal(2, 3, 7, 6)).astype(dtype)
    got, where = F.max_pool2d(tn.tensor(x), kernel, padding=1, return_indices=True)
    want, at = torch.nn.functional.max_pool2d(torch.tensor(x), kernel, padding=1, return_indices=True)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got.numpy(), want.numpy())
    np.testing.assert_array_equal(where.numpy(), at.numpy())


def test_nan_goes_on_and_takes_the_gradient() -> None:
    x = ties(1, 2, 6, 6)
    x[0, 0, 1, 1] = x[0, 0, 2, 3] = x[0, 1, 4, 4] = x[0, 1, 5, 5] = np.nan
    for indices in (True, False):
        compare("max_pool2d", [x], kernel_size=2, return_indices=indices)
        compare("max_pool2d", [x], kernel_size=3, stride=1, return_indices=indices)
    compare("adaptive_max_pool2d", [x], output_size=(4, 3))
    compare("adaptive_max_pool2d", [x], output_size=1)


@pytest.mark.parametrize("kernel", [9, 17])
def test_backward_keeps_no_input_but_places(kernel: int) -> None:
    """Windows of more elements than are compared in turn, and of more than a byte numbers."""
    values = ties(1, 2, 20, 21)
    compare("max_pool2d", [values], kernel_size=kernel, stride=2)
    x = tn.tensor(values).requires_grad_()
    y = F.max_pool2d(x, kernel, 2)
    with tn.no_grad():
        x += 1.0  # not saved: backward does not mind
    y.backward(tn.ones_like(y))
    assert float(x.grad.sum()) == y.size


def test_a_window_of_nothing_but_minus_infinity_has_a_place_inside() -> None:
    x = np.full((1, 1, 4, 3), -np.inf, np.float32)
    got = F.max_pool2d(tn.tensor(x), 3, 2, 1, return_indices=True)
    want = torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    compare("max_pool2d", [x], kernel_size=3, stride=2, padding=1)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("width", [7, 20])
def test_gradients_of_other_dtypes(dtype: Any, width: int) -> None:
    values = np.random.default_rng(0).integers(-3, 4, (2, 3, 7, width)).astype(dtype)
    x = tn.tensor(values).requires_grad_()
    F.max_pool2d(x, 3, 2, 1).sum().backward()
    peer = torch.tensor(values).requires_grad_()
    torch.nn.functional.max_pool2d(peer, 3, 2, 1).sum().backward()
    assert x.grad is not None and peer.grad is not None and x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.numpy(), peer.grad.numpy())


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool2d"])
def test_pooling_inside_a_kernel(name: str) -> None:
    @tn.kernel
    def layer(x: Any, w: Any) -> Any:
        return getattr(F, name)(tn.relu(F.conv2d(x, w, padding=1)), 2)

    arrays = [normal(2, 3, 8, 8), normal(4, 3, 3, 3, seed=1)]
    mine, theirs = ([library.tensor(one).requires_grad_() for one in arrays] for library in (tn, torch))
    hidden = torch.relu(torch.nn.functional.conv2d(*theirs, padding=1))
    want = getattr(torch.nn.functional, name)(hidden, 2)
    got = layer(*mine)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-5)
    got.backward(tn.ones_like(got))
    want.backward(torch.ones_like(want))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_arrays_of_numpy_are_pooled() -> None:
    x = ties(2, 3, 6, 6)
    np.testing.assert_array_equal(F.max_pool2d(x, 2).numpy(), F.max_pool2d(tn.tensor(x), 2).numpy())
    np.testing.assert_array_equal(F.adaptive_max_pool2d(x, 3).numpy(), F.max_pool2d(tn.tensor(x), 2).numpy())


def test_no_images() -> None:
    assert F.max_pool2d(tn.zeros(0, 2, 4, 4), 2).shape == (0, 2, 2, 2)
    assert F.adaptive_avg_pool2d(tn.zeros(0, 2, 4, 4), 3).shape == (0, 2, 3, 3)


@pytest.mark.parametrize(
    ("name", "args", "given"),
    [
        ("MaxPool1d", (2,), {}),
        ("MaxPool2d", (3, 2), {"padding": 1, "ceil_mode": True}),
        ("MaxPool3d", (2,), {"stride": 1, "return_indices": True}),
        ("AvgPool1d", (2,), {"padding": 1}),
        ("AvgPool2d", ((2, 3),), {"count_include_pad": False}),
        ("AvgPool3d", (2,), {"divisor_override": 3}),
        ("AdaptiveAvgPool1d", (2,), {}),
        ("AdaptiveAvgPool2d", ((None, 3),), {}),
        ("AdaptiveAvgPool3d", (1,), {}),
        ("AdaptiveMaxPool1d", (4,), {}),
        ("AdaptiveMaxPool2d", ((2, 3),), {"return_indices": True}),
        ("AdaptiveMaxPool3d", (2,), {}),
    ],
)
def test_modules(name: str, args: tuple, given: dict[str, Any]) -> None:
    mine, theirs = getattr(nn, name)(*args, **given), getattr(torch.nn, name)(*args, **given)
    assert repr(mine) == repr(theirs)
    x = normal(2, 3, *(6, 5, 7)[: int(name[-2])])
    got, want = mine(tn.tensor(x)), theirs(torch.tensor(x))
    pairs = zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.max_pool2d(x, 3, padding=2), "pad should be at most half of effective kernel size, but got pad=2"),
        (lambda x: F.max_pool2d(x, 7), r"shape \(1, 4, 5, 5\) and kernel_size \(7, 7\).*Output size is too small"),
        (lambda x: F.max_pool2d(x, 0), "kernel_size must be at least 1, but got kernel_size=0"),
        (lambda x: F.max_pool2d(x, 2, stride=0), "stride must be at least 1"),
        (lambda x: F.max_pool2d(x, (2, 2, 2)), "kernel_size to be a single integer value or 2 values"),
        (lambda x: F.max_pool2d(x[0, 0], 2), r"max_pool2d: Expected 3D or 4D .* got shape \(5, 5\)"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor must be not zero"),
        (lambda x: F.avg_pool3d(x[0, 0], 2), r"avg_pool3d: Expected 4D or 5D .* got shape \(5, 5\)"),
        (lambda x: F.adaptive_avg_pool2d(x, (1, 2, 3)), r"output_size must be one value or 2, but got \(1, 2, 3\)"),
        (lambda x: F.adaptive_max_pool2d(x, -1), r"output_size must be at least 1, but got output_size=\(-1, -1\)"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tn.ones(1, 4, 5, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.max_pool2d([1.0], 2), "max_pool2d: input must be a Tensor, but got list"),
        (lambda x: F.max_pool2d(x, 2.5), "kernel_size must be an int or a tuple of ints, but got kernel_size=2.5"),
        (lambda x: F.avg_pool2d(x, 2, (1, None)), r"stride must be .* ints, but got stride=\(1, None\)"),
        (lambda x: F.adaptive_avg_pool2d(x, (2.5, 2)), r"output_size must be .*, but got output_size=\(2.5, 2\)"),
    ],
)
def test_bad_types(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(tn.ones(1, 4, 5, 5))


@pytest.mark.parametrize("call", [lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 2)])
def test_means_take_floats(call: Any) -> None:
    with pytest.raises(TypeError, match="takes floats, got int64"):
        call(tn.ones(1, 4, 5, 5, dtype=tn.int64))


@pytest.mark.opencl
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("avg_pool2d", {"kernel_size": 2}),
        ("adaptive_avg_pool2d", {"output_size": (3, 4)}),
    ],
)
def test_opencl(name: str, given: dict[str, Any]) -> None:
    device = next(str(one) for one in tn.devices() if str(one).startswith("opencl"))
    results = []
    for place in ("cpu", device):
        x = tn.tensor(ties(2, 3, 8, 7)).to(place).requires_grad_()
        y = getattr(F, name)(x, **given)
        y.square().sum().backward()
        assert x.grad is not None
        results.append((y.detach().cpu().numpy(), x.grad.cpu().numpy()))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-5)
