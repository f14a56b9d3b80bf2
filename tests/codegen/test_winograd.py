"""3 × 3 convolutions by minimal filtering: the transforms, values, gradients, what is fused, and when it is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from tests.nn.support import normal
from tests.ops.support import feature_level, tensors, trace
from trueno import config
from trueno import dtypes as dt
from trueno.codegen import winograd
from trueno.codegen.chains import Chain
from trueno.codegen.contraction.steps import Multiply
from trueno.codegen.llvm import Module
from trueno.codegen.stage import Loops
from trueno.codegen.target import named, resolve
from trueno.codegen.vectors import VectorPrinter
from trueno.ir import build
from trueno.ir.convolution import convolution
from trueno.ir.interp import evaluate
from trueno.ir.node import Kernel, recording
from trueno.nn.functional import conv2d
from trueno.runtime import cpu, launcher
from trueno.runtime.bounds import BoundsError

#: Image, results and padding: sizes that are no multiple of a tile, one tile, several blocks, several images a block.
CASES: list[tuple[tuple[int, ...], int, Any]] = [
    ((1, 5, 9, 11), 7, 1),
    ((3, 16, 14, 14), 17, 1),
    ((2, 3, 6, 6), 4, 0),
    ((1, 1, 3, 3), 1, 0),
    ((2, 4, 1, 1), 3, 1),
    ((1, 9, 13, 30), 5, ((2, 2), (0, 0))),
    ((2, 6, 10, 7), 8, ((0, 3), (2, 1))),
    ((1, 4, 12, 17), 3, ((-1, -2), (1, -3))),
    ((6, 40, 8, 8), 33, 1),
    ((1, 17, 64, 300), 12, 1),
    ((1, 512, 8, 20), 16, 1),
]

pytestmark = pytest.mark.skipif(not resolve().has("avx512f"), reason="the stages are for AVX-512")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tiles wherever there is a form for them."""
    monkeypatch.setattr(winograd, "pays", lambda node: True)


def convolved(x: np.ndarray, w: np.ndarray, padding: Any, stride: int = 1) -> np.ndarray:
    """The convolution in float64, by PyTorch."""
    pairs = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    (top, bottom), (left, right) = pairs
    wide = torch.nn.functional.pad(torch.tensor(x.astype(np.float64)), (left, right, top, bottom))
    return torch.nn.functional.conv2d(wide, torch.tensor(w.astype(np.float64)), stride=stride).numpy()


def steps_of(function: Callable, arrays: Sequence[np.ndarray]) -> list[Any]:
    """The steps that the CPU would run."""
    layouts = [one._layout for one in tensors(arrays)]
    return cpu.lower(trace(function, arrays), layouts, [-1]).steps


def by_tiles(steps: Sequence[Any]) -> bool:
    """Whether one of the steps stores all that a tile is evaluated to."""
    return any(isinstance(one, Loops) and len(one.stage.stores) == winograd.POINTS**2 for one in steps)


def transformed(transform: Callable, values: np.ndarray) -> np.ndarray:
    """Evaluate one of the transforms on the rows of a matrix."""
    with recording():
        leaves = [build.array(k, dt.float64, (values.shape[1],)) for k in range(len(values))]
        kernel = Kernel("transform", tuple(leaves), tuple(transform(leaves)))
    return np.stack(evaluate(kernel, *values))


def toom_cook(points: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices of minimal filtering with these points and infinity: inputs, taps, results."""
    count = len(points) + 1
    inputs, taps = np.zeros((count, count)), np.zeros((count, winograd.TAPS))
    results = np.zeros((winograd.RESULTS, count))
    for k, point in enumerate(points):
        others = [one for one in points if one != point]
        inputs[k, : count - 1] = np.poly(others)[::-1]
        taps[k] = point ** np.arange(winograd.TAPS) / np.prod([point - one for one in others])
        results[:, k] = point ** np.arange(winograd.RESULTS)
    inputs[-1], taps[-1, -1], results[-1, -1] = np.poly(points)[::-1], 1, 1
    return inputs, taps, results


def test_transforms_are_those_of_the_points() -> None:
    near, far = np.sqrt(0.5), np.sqrt(2)
    matrices = toom_cook((0, near, -near, far, -far))
    transforms = (winograd.evaluate_inputs, winograd.evaluate_taps, winograd.interpolate)
    for transform, matrix in zip(transforms, matrices, strict=True):
        np.testing.assert_allclose(transformed(transform, np.eye(matrix.shape[1])), matrix, atol=1e-15)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("shape", "results", "padding"), CASES, ids=str)
def test_values(shape: tuple[int, ...], results: int, padding: Any) -> None:
    for dtype, tolerance in ((np.float32, 2e-6), (np.float64, 5e-15)):
        x, w = normal(*shape, dtype=dtype), normal(results, shape[1], 3, 3, seed=1, dtype=dtype)

        def function(x: Any, w: Any) -> Any:
            return convolution(x, w, padding=padding)

        want = convolved(x, w, padding)
        got = tn.kernel(function)(tn.tensor(x), tn.tensor(w)).numpy()
        assert by_tiles(steps_of(function, (x, w)))
        assert (got.shape, got.dtype) == (want.shape, dtype)
        # Products may cancel: the error is one of their sizes.
        size = np.abs(convolved(np.abs(x), np.abs(w), padding)).max()
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("channels", [64, 512])
def test_positive_values_keep_five_digits(channels: int) -> None:
    generator = np.random.default_rng(3)
    x, w = generator.random((1, channels, 28, 28), np.float32), generator.random((32, channels, 3, 3), np.float32)
    function = tn.kernel(lambda x, w: convolution(x, w, padding=1), name="positive")
    want = convolved(x, w, 1)
    np.testing.assert_allclose(function(tn.tensor(x), tn.tensor(w)).numpy(), want, rtol=2e-6, atol=2e-7 * want.max())


@pytest.mark.usefixtures("always")
def test_gradients() -> None:
    for shape, results, padding in ((2, 20, 9, 13), 18, 1), ((1, 16, 16, 8), 16, 2), ((2, 5, 7, 7), 4, 0):
        x, w, g = normal(*shape), normal(results, shape[1], 3, 3, seed=1), None
        mine, theirs = [tn.tensor(x), tn.tensor(w)], [torch.tensor(x).double(), torch.tensor(w).double()]
        for one in (*mine, *theirs):
            one.requires_grad_()
        y = tn.kernel(lambda x, w, padding=padding: convolution(x, w, padding=padding), name=f"grad{padding}")(*mine)
        z = torch.nn.functional.conv2d(*theirs, padding=padding)
        g = normal(*z.shape, seed=2)
        y.backward(tn.tensor(g))
        z.backward(torch.tensor(g).double())
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=0, atol=4e-6 * float(b.grad.abs().max()))


def relu_of_biased(x: Any, w: Any, b: Any, r: Any) -> Any:
    return tn.relu((convolution(x, w, padding=1) + b) * 0.5 + r)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", [(1, 8, 64, 80), (4, 8, 8, 8), (1, 8, 9, 10)], ids=str)
def test_what_follows(shape: tuple[int, ...]) -> None:
    arrays = [normal(*shape), normal(8, 8, 3, 3, seed=1), normal(8, 1, 1, seed=2), normal(*shape, seed=3)]
    x, w, b, r = arrays
    got = tn.kernel(relu_of_biased)(*tensors(arrays)).numpy()
    want = np.maximum((convolved(x, w, 1) + b) * 0.5 + r, 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * want.max())
    last = steps_of(relu_of_biased, arrays)[-1]
    assert "relu" in last.text
    # Where tiles cover the image, all is done in the stage that writes their results.
    assert len(last.stage.stores) == (16 if shape[2] % 4 == shape[3] % 4 == 0 else 1)


@pytest.mark.usefixtures("always")
def test_what_needs_the_whole_result() -> None:
    def function(x: Any, w: Any) -> Any:
        y = convolution(x, w, padding=1)
        return tn.relu(y) - tn.mean(y, axis=(2, 3), keepdims=True)

    def exponential(x: Any, w: Any) -> Any:
        return tn.exp(convolution(x, w, padding=1) * 0.01)

    def two(x: Any, w: Any) -> Any:
        return tn.relu(convolution(x, w, padding=1) + convolution(x, w * 2, padding=1))

    x, w = normal(2, 8, 16, 16), normal(8, 8, 3, 3, seed=1)
    y = convolved(x, w, 1)
    want = {
        function: np.maximum(y, 0) - y.mean(axis=(2, 3), keepdims=True),
        exponential: np.exp(y * 0.01),
        two: np.maximum(3 * y, 0),
    }
    for one, expected in want.items():
        got = tn.kernel(one)(tn.tensor(x), tn.tensor(w)).numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.mark.usefixtures("always")
def test_operands_of_any_layout() -> None:
    x, w = normal(20, 30, 6, 2), normal(3, 6, 3, 8, seed=1)
    view_x, view_w = np.transpose(x, (3, 2, 0, 1))[:, :, ::-2, 1:], np.transpose(w, (3, 1, 0, 2))
    mine = [tn.tensor(x).permute(3, 2, 0, 1)[:, :, ::-2, 1:], tn.tensor(w).permute(3, 1, 0, 2)]
    got = tn.kernel(lambda x, w: convolution(x, w, padding=1), name="layouts")(*mine).numpy()
    want = convolved(view_x, view_w, 1)
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_copy_with_a_stride_beside_the_tiles(step: int) -> None:
    x, w = normal(1, 4, 9, 40), normal(3, 4, 3, 3)
    both = tn.kernel(lambda a, b: (convolution(a, b, padding=1), a[:, :, :, ::step] * 2.0), name="both")
    found = both(tn.from_numpy(x), tn.from_numpy(w))
    np.testing.assert_allclose(found[0].numpy(), convolved(x, w, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found[1].numpy(), x[:, :, :, ::step] * 2)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check all accesses to memory."""
    monkeypatch.setenv("TRUENO_DEBUG", "bounds")
    config.reload()
    yield
    monkeypatch.undo()
    config.reload()


@pytest.mark.usefixtures("always", "checked")
def test_accesses_are_checked() -> None:
    arrays = normal(2, 7, 13, 30), normal(9, 7, 3, 3, seed=1)
    operands, want = tuple(tensors(arrays)), convolved(*arrays, 1)
    layouts = [one._layout for one in operands]
    entry = cpu.bind(trace(lambda x, w: convolution(x, w, padding=1), arrays), layouts, [-1])
    got = launcher.invoke(entry, operands).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())
    first = next(k for k, one in enumerate(entry.meta.tolist()) if one == 7 * 9)  # points of the filters' stage
    entry.meta[first] += 1
    with pytest.raises(BoundsError):
        launcher.invoke(entry, operands)


def test_bits_do_not_depend_on_threads() -> None:
    x, w = tn.tensor(normal(2, 32, 56, 56)), tn.tensor(normal(48, 32, 3, 3, seed=1))
    function = tn.kernel(lambda x, w: tn.relu(convolution(x, w, padding=1)), name="threads")
    before, results = tn.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            tn.set_num_threads(threads)
            results.append(function(x, w).numpy())
    finally:
        tn.set_num_threads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.fixture
def small_blocks(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small images into blocks of few tiles."""
    monkeypatch.setattr(winograd, "BLOCK_BYTES", 1)
    monkeypatch.setattr(winograd, "WANTED_TILES", 4)
    monkeypatch.setattr(winograd, "LEAST_TILES", 4)


@pytest.mark.unchecked
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", [(8, 6, 8, 8), (1, 5, 64, 24), (2, 17, 32, 31), (3, 9, 26, 40)], ids=str)
def test_blocks(shape: tuple[int, ...]) -> None:
    arrays = [normal(*shape), normal(7, shape[1], 3, 3, seed=1), normal(7, 1, 1, seed=2)]

    def function(x: Any, w: Any, b: Any) -> Any:
        return tn.relu(convolution(x, w, padding=1) + b)

    (chain,) = (one for one in steps_of(function, arrays) if isinstance(one, Chain))
    first, *multiplying, last = chain.steps
    assert (len(first.stage.stores), len(last.stage.stores)) == (winograd.POINTS**2, winograd.RESULTS**2)
    assert all(not isinstance(one, Loops) for one in multiplying)
    want = np.maximum(convolved(*arrays[:2], 1) + arrays[2], 0)
    got = tn.kernel(function)(*tensors(arrays)).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * want.max())


@pytest.mark.unchecked
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", [(1, 5, 12, 12), (2, 6, 7, 9), (3, 17, 4, 8)], ids=str)
def test_parts_of_the_results(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr(winograd, "CUT_BYTES", 1)
    arrays = [normal(*shape), normal(64, shape[1], 3, 3, seed=1), normal(64, 1, 1, seed=2)]

    def function(x: Any, w: Any, b: Any) -> Any:
        return tn.relu(convolution(x, w, padding=1) + b)

    (chain,) = (one for one in steps_of(function, arrays) if isinstance(one, Chain))
    assert chain.extents == [4]
    want = np.maximum(convolved(*arrays[:2], 1) + arrays[2], 0)
    got = tn.kernel(function)(*tensors(arrays)).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * want.max())


@pytest.mark.usefixtures("always")
def test_parts_of_filters_are_stored_as_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = normal(2, 20, 8, 8), normal(20, 64, 3, 3, seed=1)
    monkeypatch.setattr(winograd, "CUT_BYTES", 1)

    def turned(x: Any, w: Any) -> Any:
        return convolution(x, w[:, :, ::-1, ::-1].permute(1, 0, 2, 3), padding=1)

    evaluation = next(
        one
        for step in steps_of(turned, (x, w))
        for one in (step.steps if isinstance(step, Chain) else [step])
        if isinstance(one, Loops) and one.stage.stores[0].access.dtype == np.float32 and len(one.stage.stores) == 36
        and any(access[4][-1] == 9 for access in one.accesses)
    )  # fmt: skip
    assert evaluation.lanes
    want = convolved(x, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), 1)
    got = tn.kernel(turned)(tn.tensor(x), tn.tensor(w)).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())


@pytest.mark.usefixtures("always")
def test_matrices_do_not_begin_in_the_same_lines_and_are_not_copied() -> None:
    arrays = [normal(1, 16, 32, 32), normal(64, 16, 3, 3, seed=1)]
    loops = [one for one in steps_of(lambda x, w: convolution(x, w, padding=1), arrays) if isinstance(one, Loops)]
    evaluations = [one for one in loops if len(one.stage.stores) == winograd.POINTS**2]
    assert len(evaluations) == 2
    for one in evaluations:
        places = [access[2] for access in one.accesses if access[5]]
        # A set of the first-level cache has 8 lines or more.
        assert max(Counter(place % 4096 // 64 for place in places).values()) <= 4
    assert not any(one.stage.name == "slice" for one in loops)
    want = convolved(*arrays, 1)
    got = tn.kernel(lambda x, w: convolution(x, w, padding=1), name="apart")(*tensors(arrays)).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.abs(want).max())


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_a_result_that_overwrites_the_image() -> None:
    arrays = [normal(8, 6, 10, 8), normal(6, 6, 3, 3, seed=1)]
    want = convolved(*arrays, 1)
    operands = tuple(tensors(arrays))
    kernel = trace(lambda x, w: convolution(x, w, padding=1), arrays)
    launcher.invoke(cpu.bind(kernel, [one._layout for one in operands], [0]), operands)
    np.testing.assert_allclose(operands[0].numpy(), want, rtol=0, atol=4e-6 * np.abs(want).max())


@pytest.mark.unchecked
@pytest.mark.usefixtures("small_blocks")
def test_two_convolutions_are_two_chains() -> None:
    arrays = [normal(8, 6, 8, 8), normal(5, 6, 3, 3, seed=1), normal(4, 5, 3, 3, seed=2)]

    def function(x: Any, v: Any, w: Any) -> Any:
        return convolution(convolution(x, v, padding=1), w, padding=1)

    assert len([one for one in steps_of(function, arrays) if isinstance(one, Chain)]) == 2
    want = convolved(convolved(arrays[0], arrays[1], 1), arrays[2], 1)
    got = tn.kernel(function)(*tensors(arrays)).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=8e-6 * np.abs(want).max())


#: Image, weights, settings, and whether tiles are taken.
RULE: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], bool]] = [
    ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}, True),
    ((1, 128, 28, 28), (128, 128, 3, 3), {"padding": 1}, True),
    ((8, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}, True),
    ((1, 64, 224, 224), (64, 64, 3, 3), {"padding": 1}, True),
    ((1, 512, 14, 14), (512, 512, 3, 3), {"padding": 1}, True),
    ((1, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}, True),
    ((1, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}, False),  # the weights outweigh the image
    ((1, 3, 224, 224), (64, 3, 3, 3), {"padding": 1}, False),  # so do the transforms of few channels
    ((1, 64, 56, 56), (4, 64, 3, 3), {"padding": 1}, False),
    ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1, "stride": 2}, False),
    ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1, "kernel_dilation": 2}, False),
    ((1, 64, 56, 56), (64, 32, 3, 3), {"padding": 1, "groups": 2}, False),
    ((1, 64, 56, 56), (64, 64, 5, 5), {"padding": 2}, False),
    ((1, 64, 56, 56), (64, 64, 1, 1), {}, False),
]


@pytest.mark.parametrize(("image", "weights", "settings", "taken"), RULE, ids=str)
def test_rule(image: tuple[int, ...], weights: tuple[int, ...], settings: dict[str, Any], taken: bool) -> None:
    steps = steps_of(lambda x, w: convolution(x, w, **settings), (np.empty(image, "f4"), np.empty(weights, "f4")))
    assert by_tiles(steps) == taken
    assert any(isinstance(one, Multiply | Chain) for one in steps)


def test_only_where_there_is_code_for_it() -> None:
    x, w = np.empty((1, 64, 56, 56), "f4"), np.empty((64, 64, 3, 3), "f4")
    layouts = [one._layout for one in tensors((x, w))]
    kernel = trace(lambda x, w: convolution(x, w, padding=1), (x, w))
    assert not by_tiles(cpu.lower(kernel, layouts, [-1], named("x86-64-v3")).steps)
    with feature_level("x86-64-v4"):
        assert by_tiles(cpu.lower(kernel, layouts, [-1]).steps)


def test_blocks_fit_a_cache_and_the_register_tile() -> None:
    for image, results in (((1, 64, 224, 224), 64), ((1, 128, 112, 112), 128), ((8, 256, 14, 14), 256)):
        with recording():
            x = build.array(0, dt.float32, image)
            node = convolution(x, build.array(1, dt.float32, (results, image[1], 3, 3)), padding=1)
        cut = winograd.tiling(node)
        rows = -(-image[2] // winograd.RESULTS)
        assert cut.groups * cut.images == image[0]
        assert cut.blocks * cut.rows == rows
        assert winograd.LEAST_TILES <= cut.tiles <= max(winograd.WANTED_TILES, 128)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("count", [3, 5, 7, 9])
def test_memory_is_parted_by_rotated_lanes(count: int, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = np.arange(count * lanes)
    printer = VectorPrinter(Module(), lanes)
    monkeypatch.setattr(printer, "_shuffle", lambda a, b, picked, kind: np.concatenate([a, b])[list(picked)])
    found = printer._parted(list(memory.reshape(count, lanes)), np.dtype(np.float32))
    np.testing.assert_array_equal(found, memory.reshape(lanes, count).T)


@pytest.mark.parametrize(("dtype", "error"), [(dt.bfloat16, 4e-3), (dt.float16, 5e-4)], ids=str)
def test_halves_are_evaluated_in_float32(dtype: np.dtype, error: float) -> None:
    x, w = (normal(*shape).astype(dtype) for shape in ((1, 64, 28, 28), (64, 64, 3, 3)))
    got = conv2d(*tensors((x, w)), padding=1).numpy().astype(np.float64)
    want = conv2d(*tensors((x.astype(np.float64), w.astype(np.float64))), padding=1).numpy()
    assert np.abs(got - want).max() <= error * np.abs(want).max()
