"""Convolutions against PyTorch's: values, gradients of both orders, shapes, errors, and what is launched."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trueno as tn
import trueno.nn.functional as F
from tests.nn.support import compare, normal
from tests.ops.support import trace
from trueno import nn
from trueno.codegen.plan import plan

Case = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]

#: Input, weight and settings, each with something that the others do not have.
CASES: list[Case] = [
    ((2, 3, 9), (4, 3, 3), {}),
    ((2, 3, 9), (4, 3, 3), {"padding": "same"}),
    ((2, 3, 9), (4, 3, 4), {"padding": "same", "dilation": 2}),
    ((3, 9), (4, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 3, 8, 7), (4, 3, 3, 3), {}),
    ((2, 3, 8, 7), (4, 3, 3, 3), {"padding": 1}),
    ((2, 3, 8, 7), (4, 3, 3, 2), {"padding": (2, 0), "stride": (1, 2)}),
    ((2, 3, 8, 7), (4, 3, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 3, 8, 7), (4, 3, 2, 3), {"stride": (3, 2), "dilation": (2, 1)}),
    ((2, 3, 8, 7), (4, 3, 3, 3), {"stride": (2, 3), "dilation": (2, 3), "padding": 3}),
    ((2, 3, 8, 7), (4, 3, 3, 3), {"padding": "valid", "dilation": 2}),
    ((2, 3, 8, 7), (4, 3, 3, 2), {"padding": "same"}),
    ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 4, 6, 6), (4, 1, 3, 3), {"groups": 4, "stride": 2}),
    ((2, 4, 6, 6), (8, 1, 3, 3), {"groups": 4, "padding": 1}),
    ((2, 4, 5, 5), (6, 4, 1, 1), {}),
    ((2, 4, 5, 5), (6, 4, 1, 1), {"stride": 2}),
    ((2, 4, 5, 5), (6, 4, 1, 1), {"padding": 1}),
    ((4, 6, 5), (3, 4, 3, 2), {"padding": 1}),
    ((2, 3, 3, 3), (2, 3, 3, 3), {}),
    ((1, 1, 12, 12), (2, 1, 9, 9), {"padding": 4}),
    ((1, 2, 5, 4, 6), (3, 2, 3, 2, 2), {"padding": (1, 0, 1)}),
    ((1, 4, 5, 4, 6), (2, 2, 2, 2, 3), {"groups": 2, "stride": (2, 1, 2)}),
    ((2, 4, 5, 6), (3, 2, 2, 2, 2), {"dilation": (1, 2, 2)}),
]
TRANSPOSED: list[Case] = [
    ((2, 3, 5), (3, 4, 3), {}),
    ((2, 3, 5), (3, 4, 3), {"stride": 3, "padding": 1, "output_padding": 2}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 3, 4, 5), (3, 2, 3, 2), {"stride": (1, 3), "dilation": (2, 2)}),
    ((3, 4, 5), (3, 2, 2, 2), {"stride": 2}),
    ((2, 4, 4, 3), (4, 3, 3, 3), {"groups": 2, "stride": 2}),
    ((2, 4, 4, 3), (4, 1, 2, 2), {"groups": 4, "stride": 3, "output_padding": (1, 2)}),
    ((1, 2, 3, 2, 3), (2, 3, 2, 3, 2), {"stride": (1, 2, 2), "padding": (1, 1, 0)}),
    ((2, 3, 4, 5), (3, 2, 1, 1), {"stride": 2, "output_padding": 1}),
]


def _label(case: Case) -> str:
    return f"{case[0]} {case[1]} {case[2]}"


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_convolution(case: Case) -> None:
    shape, kernel, given = case
    bias = normal(kernel[0], seed=2) if len(shape) % 2 else None
    compare(f"conv{len(kernel) - 2}d", [normal(*shape), normal(*kernel, seed=1) / 3, bias], **given)


@pytest.mark.parametrize("case", TRANSPOSED, ids=_label)
def test_transposed_convolution(case: Case) -> None:
    shape, kernel, given = case
    bias = normal(kernel[1] * given.get("groups", 1), seed=2)
    compare(f"conv_transpose{len(kernel) - 2}d", [normal(*shape), normal(*kernel, seed=1) / 3, bias], **given)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """A convolution, plain or transposed, of one to three spatial axes."""
    count = draw(st.integers(1, 3))
    transposed = draw(st.booleans())

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    groups = draw(st.integers(1, 3))
    ends = [groups * draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    kernel, stride, dilation = numbers(1, 3), numbers(1, 3), numbers(1, 3)
    reach = [apart * (size - 1) + 1 for size, apart in zip(kernel, dilation, strict=True)]
    given: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups}
    if transposed:
        extents = numbers(1, 4)
        given["output_padding"] = tuple(
            draw(st.integers(0, max(step, apart) - 1)) for step, apart in zip(stride, dilation, strict=True)
        )
        given["padding"] = tuple(
            draw(st.integers(0, min(2, (step * (n - 1) + far + more - 1) // 2)))
            for n, step, far, more in zip(extents, stride, reach, given["output_padding"], strict=True)
        )
        channels = ends[0]
    else:
        given["padding"] = numbers(0, 2)
        extents = tuple(
            max(n, far - 2 * low) for n, far, low in zip(numbers(1, 6), reach, given["padding"], strict=True)
        )
        channels = groups * ends[1]
    batch = draw(st.sampled_from([(), (1,), (2,)]))
    name = f"conv{'_transpose' if transposed else ''}{count}d"
    return name, (*batch, channels, *extents), (*ends, *kernel), given


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(geometries())
def test_any_geometry(geometry: tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]) -> None:
    name, shape, kernel, given = geometry
    arrays = [normal(*shape, dtype=np.float64), normal(*kernel, seed=1, dtype=np.float64), None]
    compare(name, arrays, 1e-9, **given)


@pytest.mark.parametrize(
    "case",
    [
        ((2, 2, 5), (3, 2, 2), {"stride": 2, "padding": 1}),
        ((1, 2, 4, 5), (2, 2, 2, 3), {"padding": 1}),
        ((1, 4, 5, 4), (4, 2, 3, 2), {"groups": 2, "dilation": (2, 1), "stride": (1, 2), "padding": (2, 0)}),
        ((1, 2, 4, 4), (2, 1, 3, 3), {"groups": 2, "padding": 1}),
    ],
    ids=_label,
)
def test_gradients_of_both_orders(case: Case) -> None:
    shape, kernel, given = case
    call = getattr(F, f"conv{len(kernel) - 2}d")
    shapes = (shape, kernel, (kernel[0],))
    inputs = [tn.tensor(normal(*one, dtype=np.float64)).requires_grad_() for one in shapes]
    assert tn.gradcheck(lambda *given_: call(*given_, **given), inputs)
    assert tn.gradgradcheck(lambda *given_: call(*given_, **given), inputs)


def test_gradients_of_a_transposed_convolution() -> None:
    inputs = [
        tn.tensor(normal(*shape, dtype=np.float64)).requires_grad_() for shape in ((1, 2, 3, 2), (2, 3, 2, 3), (3,))
    ]

    def call(*given: tn.Tensor) -> tn.Tensor:
        return F.conv_transpose2d(*given, stride=2, padding=1, output_padding=(1, 0))

    assert tn.gradcheck(call, inputs)
    assert tn.gradgradcheck(call, inputs)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.int8])
def test_dtypes(dtype: Any) -> None:
    x, w = (np.round(3 * normal(*shape, seed=k)).astype(dtype) for k, shape in enumerate([(2, 3, 6, 5), (4, 3, 3, 2)]))
    got = F.conv2d(tn.tensor(x), tn.tensor(w), padding=1)
    want = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), padding=1).numpy()
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("layout", ["transposed", "sliced", "backwards", "broadcast"])
def test_layouts(layout: str) -> None:
    x = normal(2, 3, 8, 7)
    strided = {
        "transposed": np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "sliced": np.repeat(x, 2, axis=3)[..., ::2],
        "backwards": np.ascontiguousarray(x[:, :, ::-1, ::-1])[:, :, ::-1, ::-1],
        "broadcast": np.broadcast_to(x[:1, :, :, :1], x.shape),
    }[layout]
    w = normal(4, 3, 3, 3, seed=1)
    want = torch.nn.functional.conv2d(torch.tensor(np.ascontiguousarray(strided)), torch.tensor(w), padding=1).numpy()
    got = F.conv2d(tn.from_numpy(strided), tn.from_numpy(w), padding=1)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-5)


def test_no_images() -> None:
    x, w = tn.zeros(0, 2, 5, 5).requires_grad_(), tn.ones(3, 2, 3, 3).requires_grad_()
    y = F.conv2d(x, w)
    assert y.shape == (0, 3, 3, 3)
    y.sum().backward()
    assert x.grad is not None
    assert w.grad is not None
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(w.grad.numpy(), np.zeros(w.shape, np.float32))


def test_the_same_bits_on_any_number_of_threads() -> None:
    x, w = tn.tensor(normal(2, 8, 20, 20)), tn.tensor(normal(16, 8, 3, 3, seed=1))
    before = tn.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            tn.set_num_threads(threads)
            results.append(F.conv2d(x, w, padding=1).numpy().copy())
    finally:
        tn.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_bias_and_activation_are_one_kernel() -> None:
    @tn.kernel
    def block(x: Any, w: Any, b: Any) -> Any:
        return tn.relu(F.conv2d(x, w, b, padding=1))

    arrays = [normal(2, 3, 6, 6), normal(4, 3, 3, 3, seed=1), normal(4, seed=2)]
    want = torch.relu(torch.nn.functional.conv2d(*map(torch.tensor, arrays), padding=1)).numpy()
    np.testing.assert_allclose(block(*map(tn.tensor, arrays)).numpy(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "stages"), [({}, 1), ({"padding": 1}, 3), ({"stride": 2}, 1), ({"groups": 3}, 1)], ids=str
)
def test_a_convolution_is_one_stage_after_padding(given: dict[str, Any], stages: int) -> None:
    """The windows are views, and bias and activation are computed where the sum is."""
    arrays = [normal(2, 3, 6, 6), normal(3, 3 // given.get("groups", 1), 3, 3), normal(3)]
    kernel = trace(lambda x, w, b: tn.relu(F.conv2d(x, w, b, **given)), arrays)
    made = plan(kernel, [tn.from_numpy(one)._layout for one in arrays])
    assert len(made.stages) == stages
    assert len(made.scratch) == ("padding" in given)


def test_the_gradient_of_a_strided_convolution_multiplies_no_zeros() -> None:
    """Each remainder of the positions is a convolution of its own with a part of the kernel."""
    arrays = [normal(1, 4, 8, 8), normal(5, 4, 3, 3)]
    made = plan(
        trace(lambda g, w: F.conv_transpose2d(g, w.permute(1, 0, 2, 3), stride=2, padding=1, output_padding=1), arrays),
        [tn.from_numpy(one)._layout for one in arrays],
    )
    products = [math.prod(stage.sizes) for stage in made.stages if stage.inner]
    assert sum(products) == 8 * 8 * 4 * 5 * 9


@pytest.mark.parametrize(
    ("name", "args", "given"),
    [
        ("Conv1d", (4, 6, 3), {}),
        ("Conv2d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}),
        ("Conv2d", (4, 6, (3, 1)), {"padding": "same", "bias": False}),
        ("Conv2d", (4, 6, 3), {"padding": (1, 2), "padding_mode": "reflect"}),
        ("Conv2d", (4, 6, 3), {"padding": "same", "padding_mode": "circular", "dilation": 2}),
        ("Conv3d", (4, 2, 2), {"padding": 1, "padding_mode": "replicate"}),
        ("ConvTranspose1d", (4, 6, 3), {"stride": 2}),
        ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 2}),
        ("ConvTranspose3d", (4, 2, 2), {"groups": 2, "bias": False}),
    ],
)
def test_modules(name: str, args: tuple, given: dict[str, Any]) -> None:
    theirs = getattr(torch.nn, name)(*args, **given)
    mine = getattr(nn, name)(*args, **given)
    assert repr(mine) == repr(theirs)
    assert [*mine.state_dict()] == [*theirs.state_dict()]
    assert [tuple(one.shape) for one in mine.parameters()] == [tuple(one.shape) for one in theirs.parameters()]
    mine.load_state_dict(theirs.state_dict())
    x = normal(2, 4, *(6, 5, 7)[: int(name[-2])])
    want = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(mine(tn.tensor(x)).detach().numpy(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("Conv2d", (40, 60, 3)), ("ConvTranspose2d", (60, 40, (2, 5)))])
def test_initialisation_is_pytorchs(name: str, size: tuple) -> None:
    tn.manual_seed(0)
    torch.manual_seed(0)
    mine, theirs = getattr(nn, name)(*size), getattr(torch.nn, name)(*size)
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        a, b = one.detach().numpy(), other.detach().numpy()
        assert abs(np.abs(a).max() - np.abs(b).max()) < 0.1 * np.abs(b).max()
        assert abs(a.std() - b.std()) < 0.15 * b.std()


def test_output_size_chooses_the_output_padding() -> None:
    mine, theirs = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), torch.nn.ConvTranspose2d(2, 3, 3, 2, 1)
    mine.load_state_dict(theirs.state_dict())
    x = normal(1, 2, 4, 5)
    want = theirs(torch.tensor(x), output_size=[8, 9]).detach().numpy()
    np.testing.assert_allclose(mine(tn.tensor(x), output_size=[8, 9]).detach().numpy(), want, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"requested an output size of \(9, 9\), but valid sizes range from \(7, 9\)"):
        mine(tn.tensor(x), output_size=(1, 3, 9, 9))
    with pytest.raises(ValueError, match="output_size must have 2 or 4 elements"):
        mine(tn.tensor(x), output_size=(9,))


X, W = (1, 4, 5, 5), (2, 4, 3, 3)


@pytest.mark.parametrize(
    ("shape", "kernel", "bias", "given", "message"),
    [
        ((4, 5), W, None, {}, r"conv2d: Expected 3D \(unbatched\) or 4D \(batched\) input, but got shape \(4, 5\)"),
        ((1, 3, 5, 5), W, None, {}, r"weight of shape \(2, 4, 3, 3\).*to have 4 channels, but got 3 channels"),
        ((1, 4, 2, 5), W, None, {}, r"padded input size per channel: \(2, 5\). Kernel size: \(3, 3\)"),
        (X, (2, 4, 3), None, {}, r"weight must have 4 axes.*got shape \(2, 4, 3\)"),
        (X, W, 3, {}, r"bias to be 1-dimensional with 2 elements, but got bias of shape \(3,\)"),
        (X, (3, 2, 3, 3), None, {"groups": 2}, r"divisible by 2 at dimension 0.*\(3, 2, 3, 3\)"),
        (X, W, None, {"groups": 0}, "groups must be a positive integer, got 0"),
        (X, W, None, {"stride": 0}, "stride must be at least 1, but got stride=0"),
        (X, W, None, {"padding": -1}, "padding must be at least 0, but got padding=-1"),
        (X, W, None, {"stride": (1, 2, 3)}, "stride to be a single integer value or 2 values"),
        (X, W, None, {"padding": "full"}, "Invalid padding string 'full'"),
        (X, W, None, {"padding": "same", "stride": 2}, "padding='same' is not supported for strided"),
    ],
)
def test_bad_input(shape: tuple, kernel: tuple, bias: int | None, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        F.conv2d(tn.ones(*shape), tn.ones(*kernel), None if bias is None else tn.ones(bias), **given)


@pytest.mark.parametrize(
    ("operands", "given", "message"),
    [
        (([[1.0]], tn.ones(*W)), {}, "conv2d: input must be a Tensor, but got list"),
        ((tn.ones(*X), None), {}, "conv2d: weight must be a Tensor, but got NoneType"),
        ((tn.ones(*X), tn.ones(*W), "b"), {}, "conv2d: bias must be a Tensor, but got str"),
        ((tn.ones(*X), tn.ones(*W)), {"stride": 1.5}, "stride must be an int or a tuple of ints, but got stride=1.5"),
        ((tn.ones(*X), tn.ones(*W)), {"padding": None}, "padding must be an int .* but got padding=None"),
    ],
)
def test_bad_types(operands: tuple, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        F.conv2d(*operands, **given)


def test_bad_input_of_transposed_convolutions() -> None:
    x, w = tn.ones(1, 4, 5, 5), tn.ones(4, 2, 3, 3)
    with pytest.raises(ValueError, match=r"output padding must be smaller.*output_padding \(1, 1\), stride \(1, 1\)"):
        F.conv_transpose2d(x, w, output_padding=1)
    with pytest.raises(ValueError, match=r"Calculated output size per channel: \(-1, -1\)"):
        F.conv_transpose2d(x, w, padding=4)
    with pytest.raises(ValueError, match="to have 3 channels, but got 4"):
        F.conv_transpose2d(x, tn.ones(3, 2, 3, 3))


@pytest.mark.parametrize(
    ("name", "args", "given", "message"),
    [
        ("Conv2d", (3, 4, 3), {"groups": 2}, "in_channels must be divisible by groups, got 3 and 2"),
        ("Conv2d", (4, 3, 3), {"groups": 2}, "out_channels must be divisible by groups, got 3 and 2"),
        ("Conv2d", (4, 4, 3), {"groups": 0}, "groups must be a positive integer"),
        ("Conv2d", (4, 4, 3), {"padding": "half"}, "Invalid padding string 'half'"),
        ("Conv2d", (4, 4, 3), {"padding": "same", "stride": 2}, "not supported for strided"),
        ("Conv2d", (4, 4, 3), {"padding_mode": "mirror"}, "padding_mode must be one of"),
        ("ConvTranspose2d", (4, 4, 3), {"padding_mode": "reflect"}, 'Only "zeros" padding mode'),
    ],
)
def test_modules_refuse(name: str, args: tuple, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(nn, name)(*args, **given)


def test_padding_that_exceeds_the_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"padding \(5, 5\) of mode 'reflect' exceeds 4, .* shape \(1, 2, 5\)"):
        nn.Conv1d(2, 2, 3, padding=5, padding_mode="reflect")(tn.ones(1, 2, 5))


@pytest.mark.opencl
@pytest.mark.parametrize("case", [CASES[7], CASES[12], TRANSPOSED[2]], ids=_label)
def test_opencl(case: Case) -> None:
    device = next(str(one) for one in tn.devices() if str(one).startswith("opencl"))
    shape, kernel, given = case
    call = F.conv_transpose2d if "output_padding" in given else F.conv2d
    grads = []
    for place in ("cpu", device):
        x = tn.tensor(normal(*shape)).to(place).requires_grad_()
        w = tn.tensor(normal(*kernel, seed=1)).to(place).requires_grad_()
        y = call(x, w, **given)
        y.square().sum().backward()
        assert x.grad is not None
        assert w.grad is not None
        grads.append([one.cpu().numpy() for one in (y.detach(), x.grad, w.grad)])
    for mine, theirs in zip(*grads, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-4)
