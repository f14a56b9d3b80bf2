"""The OpenCL back end against the interpreter: every elementwise row, and the other kinds over many layouts.

A driver takes long to build a program, so that many outputs are packed into one kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueno import dtypes as dt
from trueno.codegen import opencl as printer
from trueno.ir import build, grad, interp, reductions, transcendental, views
from trueno.ir import elementwise as ew
from trueno.ir.node import Kernel, Node, recording
from trueno.ir.op import Op, rows
from trueno.runtime import opencl, opencl_kernel
from trueno.runtime.layout import layout_of
from trueno.runtime.opencl import MINIMAL, OpenCLDevice, OpenCLStorage, OpenCLUnsupportedError
from trueno.runtime.opencl_kernel import bind
from trueno.runtime.store import Store

pytestmark = pytest.mark.opencl

TOLERANCE = {dt.float32: 1e-5, dt.float64: 1e-11, dt.float16: 2e-3, dt.bfloat16: 1.6e-2}


@pytest.fixture(scope="module")
def device() -> OpenCLDevice:
    return opencl.device(0)


@pytest.fixture(scope="module")
def graphics(device: OpenCLDevice) -> OpenCLDevice:
    """The device under the decisions made for a graphics processor: work-groups share rows."""
    return OpenCLDevice(-1, device.handle, {**device.record, "type": "GPU"})


@pytest.fixture(scope="module")
def minimal(device: OpenCLDevice) -> OpenCLDevice:
    """A graphics processor without float64, with work-groups of 64 and little local memory."""
    return OpenCLDevice(-1, device.handle, {**device.record, "type": "GPU"}, MINIMAL)


def put(device: OpenCLDevice, array: np.ndarray) -> OpenCLStorage:
    """Copy the memory that an array is a view of, and return the storage of its first element."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    storage = device.allocate(base.nbytes)
    device.upload(storage, base)
    return storage.view(array.ctypes.data - base.ctypes.data) if array.size else storage


def bound(kernel: Kernel, operands: Sequence[Any], device: OpenCLDevice, aliases: Sequence[int] | None = None) -> Any:
    layouts = [
        layout_of(one.dtype, one.shape, tuple(step // one.itemsize for step in one.strides), f"opencl:{device.index}")
        if isinstance(one, np.ndarray) else None
        for one in operands
    ]  # fmt: skip
    return bind(kernel, layouts, aliases, device)


def run(kernel: Kernel, *operands: Any, device: OpenCLDevice) -> list[np.ndarray]:
    entry = bound(kernel, operands, device)
    storages = entry.run(
        [put(device, one) for one in operands if isinstance(one, np.ndarray)],
        [one for one in operands if not isinstance(one, np.ndarray)],
    )
    results = [np.empty(layout.shape, layout.dtype) for layout in entry.outputs]
    for storage, result in zip(storages, results, strict=True):
        device.download(storage, result)
    return results


@np.errstate(invalid="ignore")
def compare(name: str, got: np.ndarray, want: np.ndarray, rtol: float | None = None) -> None:
    assert got.dtype == want.dtype and got.shape == want.shape, name
    if not dt.is_floating(want.dtype):
        np.testing.assert_array_equal(got, want, err_msg=name)
        return
    tolerance = TOLERANCE[want.dtype] if rtol is None else rtol
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance / 10, err_msg=name
    )


def check(
    kernel: Kernel, *operands: Any, device: OpenCLDevice, names: Sequence[str] = (), rtol: float | None = None
) -> None:
    with np.errstate(all="ignore"):
        wanted = interp.evaluate(kernel, *operands)
    for k, (got, want) in enumerate(zip(run(kernel, *operands, device=device), wanted, strict=True)):
        compare(names[k] if names else f"{kernel.name}, output {k}", got, want, rtol)


def inputs(*arrays: np.ndarray) -> list[Node]:
    return [build.array(k, array.dtype, array.shape) for k, array in enumerate(arrays)]


def draw(
    rng: np.random.Generator, interval: tuple[float, float], dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    """Return values of a row's domain; for integers within it and in the dtype's range."""
    low, high = interval
    if dtype == dt.bool_:
        return rng.random(shape) < 0.5
    if dt.is_floating(dtype):
        return (rng.random(shape) * (high - low) + low).astype(dtype)
    whole = np.iinfo(dtype)
    low, high = max(math.ceil(low), whole.min), min(math.floor(high), whole.max)
    return rng.integers(low, max(high, low), shape, endpoint=True).astype(dtype)


def takes(row: Op, dtype: np.dtype) -> bool:
    """Whether a row is defined for operands of a dtype."""
    try:
        row(*(build.array(k, dtype, (3,)) for k in range(row.arity)))
    except TypeError:
        return False
    return True


class TestRows:
    @pytest.mark.parametrize("dtype", [dt.float32, dt.float64, dt.bfloat16, dt.bool_, dt.int64, dt.uint8], ids=str)
    def test_every_public_row(self, device: OpenCLDevice, dtype: np.dtype) -> None:
        rng = np.random.default_rng(7)
        # cast takes its dtype by name, and has a test of its own.
        chosen = [row for row in rows("elementwise") if row.public and row is not build.cast and takes(row, dtype)]
        operands: list[np.ndarray] = []
        leaves: dict[tuple[float, float, int], Node] = {}
        outputs = []
        for row in chosen:
            src = []
            for position, interval in enumerate(row.domain):
                key = (*interval, position)
                if key not in leaves:
                    operands.append(draw(rng, interval, dtype, (41,)))
                    leaves[key] = build.array(len(operands) - 1, dtype, (41,))
                src.append(leaves[key])
            outputs.append(row(*src))
        kernel = Kernel("rows", tuple(leaves.values()), tuple(outputs))
        assert len(chosen) > 20
        check(kernel, *operands, device=device, names=[row.name for row in chosen])

    def test_integers_wrap_around(self, device: OpenCLDevice) -> None:
        outputs, operands, leaves = [], [], []
        for dtype in (dt.int8, dt.int16, dt.uint16, dt.int32, dt.int64):
            whole = np.iinfo(dtype)
            operands.append(np.array([whole.min, whole.max, -1 % (whole.max + 1), 0, 7, whole.max - 1]).astype(dtype))
            x = build.array(len(operands) - 1, dtype, (6,))
            leaves.append(x)
            outputs += [x + x, x * x, x - 3, ew.neg(x), ew.abs(x), ew.floor_divide(x, x - 7), ew.remainder(x, x - 7)]
            outputs += [ew.fma(x, x, x), transcendental.pow(x, ew.abs(x)), ew.left_shift(x, ew.bitwise_and(x, 7))]
        check(Kernel("wrap", tuple(leaves), tuple(outputs)), *operands, device=device)

    def test_special_values(self, device: OpenCLDevice) -> None:
        values = [math.nan, math.inf, -math.inf, -0.0, 0.0, 1.5, -2.5, 3e38, -1e-40, 1e10, -1e10, 255.5]
        x, y = np.meshgrid(np.array(values, np.float32), np.array(values, np.float32))
        a, b = inputs(x, y)
        binary = [ew.maximum, ew.minimum, ew.add, ew.mul, ew.div, ew.eq, ew.ne, ew.lt, ew.ge, ew.copysign, ew.remainder]
        unary = [
            ew.isnan,
            ew.isinf,
            ew.isfinite,
            ew.signbit,
            ew.sign,
            ew.abs,
            ew.relu,
            ew.floor,
            ew.round,
            ew.logical_not,
        ]
        outputs = [row(a, b) for row in binary] + [row(a) for row in unary]
        outputs += [build.cast(a, dtype=dtype) for dtype in dt.ALL]
        outputs += [reductions.max(a, axis=1), reductions.min(a, axis=0), reductions.sum(a, axis=1)]
        names = (
            [row.name for row in (*binary, *unary)] + [f"cast to {dtype}" for dtype in dt.ALL] + ["max", "min", "sum"]
        )
        check(Kernel("special", (a, b), tuple(outputs)), x, y, device=device, names=names)

    def test_casts(self, device: OpenCLDevice) -> None:
        rng = np.random.default_rng(3)
        sources = (dt.bool_, dt.int32, dt.uint64, dt.float16, dt.float64)
        operands = [draw(rng, (-300, 300), dtype, (33,)) for dtype in sources]
        leaves = inputs(*operands)
        outputs = [build.cast(leaf, dtype=target) for leaf in leaves for target in dt.ALL]
        names = [f"{source} to {target}" for source in sources for target in dt.ALL]
        check(Kernel("casts", tuple(leaves), tuple(outputs)), *operands, device=device, names=names)

    def test_literals(self, device: OpenCLDevice) -> None:
        texts = {
            (-1.5, dt.float32): "(-0x1.8000000000000p+0f)", (math.inf, dt.float64): "((double)INFINITY)",
            (-(2**63), dt.int64): "((long)(-9223372036854775807L - 1))",
            (2**64 - 1, dt.uint64): "18446744073709551615UL",
            (-3, dt.int8): "((char)-3)", (True, dt.bool_): "true", (1.0, dt.float16): "(ushort)0x3c00",
        }  # fmt: skip
        assert {key: printer.literal(*key) for key in texts} == texts
        x = np.zeros(3, np.int64)
        (a,) = inputs(x)
        values = [-(2**63), 2**63 - 1, -1, 2**31]
        outputs = [a + build.const(value, dt.int64) for value in values]
        small = build.cast(a, dtype=dt.int32)
        outputs += [ew.maximum(small, build.const(-(2**31), dt.int32)), ew.minimum(small, build.const(-5, dt.int32))]
        check(Kernel("literals", (a,), tuple(outputs)), x, device=device)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T,
    "negative": lambda x: x[::-1, ::-2],
    "broadcast": lambda x: np.broadcast_to(x[:, :1], (12, 9)),
    "windowed": lambda x: x[2:11, 1::3],
    "empty": lambda x: x[:, :0],
    "scalar": lambda x: x[3, 4],
}


class TestLayouts:
    @pytest.mark.parametrize("dtype", [dt.float32, dt.int32], ids=str)
    def test_reads_and_reductions(self, device: OpenCLDevice, dtype: np.dtype) -> None:
        rng = np.random.default_rng(11)
        operands, outputs, names = [], [], []
        leaves: list[Node] = []
        for name, view in LAYOUTS.items():
            x = view(draw(rng, (-9, 9), dtype, (12, 14)))
            operands.append(x if isinstance(x, np.ndarray) else np.array(x))
            a = build.array(len(leaves), dtype, operands[-1].shape)
            leaves.append(a)
            made = {"add": a + a, "mul": a * a, "permute": views.permute(a), "sum": reductions.sum(a)}
            for axis in range(a.ndim):
                made |= {f"sum {axis}": reductions.sum(a, axis=axis), f"cumsum {axis}": reductions.cumsum(a, axis=axis)}
                made |= {f"max {axis}": reductions.max(a, axis=axis)} if a.shape[axis] else {}
            outputs += made.values()
            names += [f"{name}: {what}" for what in made]
        # One kernel: the code of a stage does not depend on sizes, so that many layouts share it.
        check(Kernel("layouts", tuple(leaves), tuple(outputs)), *operands, device=device, names=names, rtol=2e-5)

    def test_many_dimensions_and_broadcasting(self, device: OpenCLDevice) -> None:
        rng = np.random.default_rng(5)
        x = rng.random((3, 4, 5, 6), dtype=np.float32).transpose(2, 0, 3, 1)
        y = rng.random((6, 1), dtype=np.float32)
        a, b = inputs(x, y)
        outputs = (
            a * b,
            reductions.sum(a, axis=(0, 2)),
            reductions.sum(a + b, axis=(1, 3)),
            reductions.max(a, axis=(0, 1, 2, 3)),
        )
        check(Kernel("broadcast", (a, b), outputs), x, y, device=device)

    @pytest.mark.parametrize("narrow", [True, False], ids=["int", "long"])
    def test_width_of_indices(self, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch, narrow: bool) -> None:
        monkeypatch.setattr(printer, "fits_narrow", lambda loops: narrow)
        x = np.arange(60, dtype=np.float32).reshape(5, 12)[::-1, ::2]
        index = np.array([[0, -1, 2, 1, 1, -4]])
        a, i = inputs(x, index)
        outputs = (a * 2.0, reductions.sum(a, axis=0), views.gather(a, i, axis=0), a + build.iota(a.shape, 1))
        kernel = Kernel("widths", (a, i), outputs)
        entry = bound(kernel, (x, index), device)
        assert f"idx={'int' if narrow else 'long'}" in dict(entry.key.parts)["form"]
        check(kernel, x, index, device=device)

    def test_what_needs_long_indices(self) -> None:
        from trueno.codegen import plan, stage

        def fits(rows_: int) -> bool:
            layout = layout_of(dt.int8, (rows_, 1 << 15))
            a = build.array(0, dt.int8, layout.shape)
            planned = plan.plan(Kernel("k", (a,), (a + a,)), [layout])
            return all(printer.fits_narrow(stage.normalise(one)) for one in planned.stages)

        assert fits(1 << 14) and not fits(1 << 15)

    def test_numbers_in_a_buffer(self, device: OpenCLDevice) -> None:
        small = OpenCLDevice(-1, device.handle, device.record)
        small.limits = replace(small.limits, max_parameter_bytes=64)
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        a, s = build.array(0, x.dtype, x.shape), build.scalar(1, float)
        kernel = Kernel("buffered", (a, s), (views.permute(a) * s, reductions.sum(a, axis=1)))
        entry = bound(kernel, (x, 2.5), small)
        assert "numbers by buffer" in dict(entry.key.parts)["stages"]
        check(kernel, x, 2.5, device=small)


def softmax_and_gradient(x: Node, g: Node, axis: int) -> tuple[Node, ...]:
    e = transcendental.exp(x - reductions.max(x, axis=axis, keepdims=True))
    y = e / reductions.sum(e, axis=axis, keepdims=True)
    return (y, *(one for one in grad.gradients([y], [g], [x]) if one is not None))


class TestKinds:
    """Reductions, scans, views, gather, scatter and products, with gradients."""

    @pytest.mark.parametrize("axis", [0, 1])
    def test_softmax(self, device: OpenCLDevice, axis: int) -> None:
        rng = np.random.default_rng(1)
        x, g = rng.random((2, 7, 40), dtype=np.float32)
        a, b = inputs(x, g)
        with recording():
            outputs = softmax_and_gradient(a, b, axis)
        check(Kernel("softmax", (a, b), outputs), x, g, device=device, rtol=5e-5)

    def test_reductions_with_gradients(self, device: OpenCLDevice) -> None:
        rng = np.random.default_rng(2)
        x = rng.integers(-2, 3, (6, 9)).astype(np.float32)
        (a,) = inputs(x)
        outputs: list[Node] = []
        with recording():
            for row in (reductions.sum, reductions.prod, reductions.max, reductions.min):
                y = row(a, axis=1)
                outputs += [y, *(one for one in grad.gradients([y], [y], [a]) if one is not None)]
            outputs += [reductions.any(a, axis=0), reductions.all(a, axis=1), reductions.cumprod(a, axis=0)]
        check(Kernel("reductions", (a,), tuple(outputs)), x, device=device)

    def test_matmul(self, device: OpenCLDevice) -> None:
        rng = np.random.default_rng(4)
        x, y = rng.random((2, 5, 7), dtype=np.float32), rng.random((7, 3), dtype=np.float32)
        a, b = inputs(x, y)
        with recording():
            product = views.matmul(a, b)
            outputs = (product, *(one for one in grad.gradients([product], [product], [a, b]) if one is not None))
        assert len(outputs) == 3
        check(Kernel("matmul", (a, b), outputs), x, y, device=device)

    def test_views_gather_and_scatter(self, device: OpenCLDevice) -> None:
        rng = np.random.default_rng(6)
        x, index = rng.random((5, 7), dtype=np.float32), rng.integers(-5, 5, (3, 7))
        a, i = inputs(x, index)
        with recording():
            taken = views.gather(a, i, axis=0)
            outputs = [taken, *(one for one in grad.gradients([taken], [taken], [a]) if one is not None)]
            outputs += [views.concatenate(a, a * 2.0, axis=1), views.pad(a, ((1, 1), (0, 2)), 3.0), views.flip(a, 0)]
            outputs += [views.getitem(a, (slice(None, None, -2), None, 3)), a + build.iota(a.shape, 0)]
        check(Kernel("views", (a, i), tuple(outputs)), x, index, device=device)

    @pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16], ids=str)
    def test_halves(self, device: OpenCLDevice, dtype: np.dtype) -> None:
        x = np.random.default_rng(8).random((9, 50)).astype(dtype)
        (a,) = inputs(x)
        chosen = ew.where(ew.gt(a, 0.5), a, ew.neg(a))
        outputs = (
            transcendental.exp(a) * a,
            reductions.sum(a, axis=0),
            reductions.sum(a, axis=1),
            chosen,
            reductions.max(a),
        )
        check(Kernel("halves", (a,), outputs), x, device=device)

    def test_bits_of_halves(self, device: OpenCLDevice) -> None:
        """Every float16 and bfloat16 survives the way through float32, and rounding to them is NumPy's."""
        bits = np.arange(1 << 16, dtype=np.uint16)
        f = np.random.default_rng(9).standard_normal(4000).astype(np.float32) * np.float32(100)
        operands = (bits.view(np.float16), bits.view(dt.bfloat16), f)
        leaves = inputs(*operands)
        outputs = [build.cast(leaves[0], dtype=dt.float32), build.cast(leaves[1], dtype=dt.float32)]
        outputs += [build.cast(leaves[2], dtype=dt.float16), build.cast(leaves[2], dtype=dt.bfloat16)]
        check(Kernel("bits", tuple(leaves), tuple(outputs)), *operands, device=device, rtol=0)


class TestGroups:
    """Rows that work-groups share, as on a graphics processor."""

    def test_softmax(self, graphics: OpenCLDevice) -> None:
        x = np.random.default_rng(1).random((5, 700), dtype=np.float32)
        (a,) = inputs(x)
        with recording():
            e = transcendental.exp(a - reductions.max(a, axis=1, keepdims=True))
            kernel = Kernel("softmax", (a,), (e / reductions.sum(e, axis=1, keepdims=True),), "model.py:12")
        assert "group" in dict(bound(kernel, (x,), graphics).key.parts)["stages"]
        check(kernel, x, device=graphics, rtol=5e-5)

    def test_reductions(self, minimal: OpenCLDevice) -> None:
        x = np.random.default_rng(2).integers(-40, 40, (3, 301)).astype(np.int32)
        y = x.astype(np.float32) / 64
        a, b = inputs(x, y)
        # PoCL's time for a kernel grows faster than the number of its barriers: two reductions in each at most.
        for outputs in (
            (reductions.sum(a, axis=1), reductions.any(a, axis=1)),
            (reductions.max(a, axis=1), reductions.prod(b + 1.1, axis=1)),
            (reductions.sum(b, axis=1), reductions.min(b)),
        ):
            check(Kernel("reductions", (a, b), outputs), x, y, device=minimal, rtol=2e-4)

    def test_scans(self, minimal: OpenCLDevice) -> None:
        rng = np.random.default_rng(5)
        x, y = rng.integers(-40, 40, (2, 700)), 1 + rng.random((2, 700), dtype=np.float32) / 100
        a, b = inputs(x, y)
        running = reductions.cumsum(a, axis=1)
        # A scan before, and one after a sum over the same row.
        for outputs in (
            (running, reductions.max(running, axis=1)),
            (reductions.cumprod(b, axis=1) - reductions.sum(b, axis=1, keepdims=True),),
        ):
            kernel = Kernel("scans", (a, b), outputs)
            assert "group" in dict(bound(kernel, (x, y), minimal).key.parts)["stages"]
            check(kernel, x, y, device=minimal, rtol=5e-5)

    def test_long_rows_are_split(self, graphics: OpenCLDevice) -> None:
        x = np.random.default_rng(3).random(300_001, dtype=np.float32)
        (a,) = inputs(x)
        kernel = Kernel("split", (a,), (reductions.sum(a), reductions.max(a)))
        entry = bound(kernel, (x,), graphics)
        assert len(entry._steps) > 2
        check(kernel, x, device=graphics)

    @pytest.mark.parametrize("which", ["device", "minimal"])
    def test_sums_are_at_least_as_accurate_as_pairwise(self, request: pytest.FixtureRequest, which: str) -> None:
        device = request.getfixturevalue(which)
        rng = np.random.default_rng(4)
        x = (rng.random((20, 30_000), dtype=np.float32) - np.float32(0.2)).astype(np.float32)
        (a,) = inputs(x)
        across, down = run(
            Kernel("sums", (a,), (reductions.sum(a, axis=1), reductions.sum(views.permute(a), axis=0))),
            x,
            device=device,
        )
        exact = np.array([math.fsum(row.tolist()) for row in x])
        # NumPy adds up to 128 elements in 8 accumulators, and the rest pairwise.
        bound = (16 + math.log2(30_000 / 128)) * np.finfo(np.float32).eps / 2 * np.abs(x).sum(axis=1, dtype=np.float64)
        typical = 2 * np.spacing(exact.astype(np.float32))
        for result in (across, down):
            error = np.abs(result - exact)
            assert (error <= bound).all() and (error <= typical).all()


class TestScalarsAndMemory:
    def test_scalars(self, device: OpenCLDevice) -> None:
        x = np.arange(6, dtype=np.float32)
        i = np.arange(6, dtype=np.uint8)
        h = x.astype(np.float16)
        leaves = [build.array(0, x.dtype, x.shape), build.array(1, i.dtype, i.shape), build.array(2, h.dtype, h.shape)]
        f, n, b = build.scalar(3, float), build.scalar(4, int), build.scalar(5, bool)
        kernel = Kernel(
            "scalars", (*leaves, f, n, b), (leaves[0] * f, leaves[1] + n, leaves[2] * f, ew.where(b, leaves[0], n))
        )
        for values in ((0.1, 3, True), (1e300, 255, False), (-2.5, 0, True)):
            check(kernel, x, i, h, *values, device=device)
        assert len({bound(kernel, (x, i, h, *values), device).key for values in ((0.1, 3, True), (7.0, 1, False))}) == 1
        with pytest.raises(OverflowError, match="256 out of bounds for uint8"):
            run(kernel, x, i, h, 1.0, 256, True, device=device)

    def test_an_operand_is_overwritten(self, device: OpenCLDevice) -> None:
        x = np.arange(20, dtype=np.float32).reshape(4, 5)
        y = x[:, ::2]
        a, b = inputs(y, x[:, :3])
        entry = bound(Kernel("iadd", (a, b), (a + b,)), (y, x[:, :3]), device, [0])
        target, source = put(device, y), put(device, x[:, :3])
        (result,) = entry.run([target, source])
        assert result is target and entry.outputs[0].strides == (5, 2)
        memory = device.download(target, x.nbytes).view(np.float32).reshape(4, 5)
        np.testing.assert_array_equal(memory[:, ::2], y + x[:, :3])
        np.testing.assert_array_equal(memory[:, 1::2], x[:, 1::2])

    def test_float64_needs_a_device_that_has_it(self, minimal: OpenCLDevice) -> None:
        x = np.arange(6, dtype=np.float64)
        (a,) = inputs(x)
        with pytest.raises(OpenCLUnsupportedError, match=r"mul in scaled: .* has no float64"):
            run(Kernel("scaled", (a,), (a * a,)), x, device=minimal)

    def test_float32_kernels_use_no_float64(self, minimal: OpenCLDevice) -> None:
        x = np.arange(600, dtype=np.float32).reshape(2, 300)
        a, s = build.array(0, x.dtype, x.shape), build.scalar(1, float)
        kernel = Kernel("mean", (a, s), (reductions.sum(a * s, axis=1) / build.param(300.0, dt.float32),))
        entry = bound(kernel, (x, 0.5), minimal)
        assert "float" in entry.source and "double" not in entry.source
        assert entry._steps[0].local_size == (64,)
        check(kernel, x, 0.5, device=minimal)


class TestStore:
    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
        store = Store(tmp_path / "cache")
        monkeypatch.setattr(opencl_kernel, "default_store", lambda: store)
        monkeypatch.setattr(opencl_kernel, "_programs", type(opencl_kernel._programs)())
        return store

    @staticmethod
    def kernel(rows_: int) -> tuple[Kernel, np.ndarray]:
        x = np.arange(rows_ * 5, dtype=np.float32).reshape(rows_, 5)
        (a,) = inputs(x)
        return Kernel("scaled", (a,), (a * 3.5 - 1.25,), "model.py:7"), x

    def test_an_entry_tells_where_it_came_from(self, store: Store, device: OpenCLDevice) -> None:
        kernel, x = self.kernel(3)
        check(kernel, x, device=device)
        (entry,) = store.entries()
        assert entry.header["origin"] == "model.py:7" and "kernel void stage0" in entry.header["source"]
        assert entry.header["device"] == device.name and "element" in entry.header["plan"]
        assert {"stages", "form", "driver", "options"} <= dict(entry.key.parts).keys()
        assert "model.py:7" in entry.header["source"] and "model.py" not in str(entry.key.parts)

    def test_shapes_share_a_program_and_processes_share_the_store(
        self, store: Store, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for rows_ in (3, 4, 100):
            check(*self.kernel(rows_), device=device)
        counts = store.counters()["backends"]["opencl"]
        assert (counts["misses"], counts["compiled"], counts.get("hits", 0)) == (1, 1, 0)
        monkeypatch.setattr(opencl_kernel, "_programs", type(opencl_kernel._programs)())
        check(*self.kernel(3), device=device)
        counts = store.counters()["backends"]["opencl"]
        assert (counts["misses"], counts["compiled"], counts["hits"]) == (1, 1, 1)

    def test_a_binary_that_the_driver_refuses_is_built_again(
        self, store: Store, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kernel, x = self.kernel(3)
        check(kernel, x, device=device)
        (entry,) = store.entries()
        store.save(entry.key, b"no program of any driver", entry.header)
        monkeypatch.setattr(opencl_kernel, "_programs", type(opencl_kernel._programs)())
        with pytest.warns(UserWarning, match="compiled anew"):
            check(kernel, x, device=device)
        (entry,) = store.entries()
        assert len(entry.code) > 100
