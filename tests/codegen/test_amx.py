"""Products in AMX's tiles: code is assembled everywhere, and run in emulated tiles or, if there are, in real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.codegen import freestanding, tiles
from tests.ops.support import TOLERANCE, close, operand, tensors, trace
from trueno import config
from trueno import dtypes as dt
from trueno.codegen import target
from trueno.codegen.contraction.steps import Multiply, Pack
from trueno.nn.functional import conv2d
from trueno.runtime import cpu, launcher

#: (m, k, n): below, at and above a tile, a group, a strip, a block of K; few rows or columns.
SHAPES = (
    (1, 1, 65), (3, 5, 33), (16, 64, 16), (32, 32, 32), (64, 128, 64), (40, 70, 50), (30, 64, 1), (1, 64, 130),
    (17, 130, 200), (200, 9, 2), (65, 33, 7), (33, 1090, 40), (70, 65, 300),
)  # fmt: skip
NARROW = (dt.bfloat16, dt.int8, dt.uint8)
PRODUCTS = {dt.bfloat16: "tdpbf16ps", dt.int8: "tdpbssd", dt.uint8: "tdpbuud"}


def matmul(a: Any, b: Any) -> Any:
    return tn.matmul(a, b)


def lowered(function: Callable, arrays: Sequence[np.ndarray], chosen: target.Target) -> Any:
    kernel = trace(function, arrays)
    layouts = [one._layout for one in tensors(arrays)]
    return cpu.lower(kernel, layouts, [-1] * len(kernel.outputs), chosen)


def run(function: Callable, arrays: Sequence[np.ndarray], real: bool = False) -> list[np.ndarray]:
    given, kernel = tensors(arrays), trace(function, arrays)
    with nullcontext() if real else tiles.emulation():
        entry = cpu.bind(kernel, [one._layout for one in given], [-1] * len(kernel.outputs))
    result = launcher.invoke(entry, tuple(given))
    return [one.numpy() for one in (result if isinstance(result, tuple) else (result,))]


def check(a: np.ndarray, b: np.ndarray, what: str, real: bool = False) -> None:
    (got,) = run(matmul, (a, b), real)
    if dt.is_floating(a.dtype):
        wide, other = a.astype(np.float64), b.astype(np.float64)
        want = np.asarray(np.matmul(wide, other)).astype(a.dtype)
        close(got, want, what, TOLERANCE[a.dtype], np.matmul(np.abs(wide), np.abs(other)))
    else:
        close(got, np.asarray(np.matmul(a, b)), what)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced", "backwards", "broadcast"])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_emulated_products(dtype: np.dtype, layout: str) -> None:
    for number, (m, k, n) in enumerate(SHAPES):
        other = layout if number % 2 else "contiguous"
        a, b = operand(dtype, (-9, 9), layout, (m, k)), operand(dtype, (-9, 9), other, (k, n), seed=1)
        check(a, b, f"{dtype} {m} x {k} x {n} {layout} @ {other}")


@pytest.mark.skipif(not target.resolve("native").has(target.TILES), reason="this CPU or its kernel grants no tiles")
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_products_in_real_tiles(dtype: np.dtype) -> None:
    for m, k, n in SHAPES:
        for layout in ("contiguous", "transposed"):
            a, b = operand(dtype, (-9, 9), layout, (m, k)), operand(dtype, (-9, 9), layout, (k, n), seed=1)
            check(a, b, f"{dtype} {m} x {k} x {n} {layout}", real=True)


@pytest.mark.parametrize(("left", "right"), [((3, 9, 40), (3, 40, 21)), ((2, 1, 9, 40), (3, 40, 21)), ((40,), (40, 9))])
def test_batches(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    for dtype in (dt.bfloat16, dt.int8):
        a, b = operand(dtype, (-9, 9), "contiguous", left), operand(dtype, (-9, 9), "contiguous", right, seed=1)
        check(a, b, f"{dtype} {left} @ {right}")


@pytest.mark.parametrize("left", [dt.int8, dt.uint8, dt.bool_], ids=str)
@pytest.mark.parametrize("right", [dt.int8, dt.uint8], ids=str)
def test_bytes_with_a_sign_and_without_are_summed_in_32_bits(left: np.dtype, right: np.dtype) -> None:
    a, b = (
        operand(left, (-128, 255), "contiguous", (33, 70)),
        operand(right, (-128, 127), "contiguous", (70, 50), seed=1),
    )

    def product(a: Any, b: Any) -> Any:
        return tn.matmul(tn.cast(a, dtype=tn.int32), tn.cast(b, dtype=tn.int32))

    assert "multiply amx" in lowered(product, (a, b), tiles.with_tiles()).text()
    close(run(product, (a, b))[0], a.astype(np.int32) @ b.astype(np.int32), f"{left} @ {right}")


def by_hand(formula: str, wide: np.dtype) -> Callable:
    """Return a sum of products over the axes that two operands share and the result lacks, written by hand."""
    (left, right), result = formula[: formula.index("-")].split(","), formula[formula.index(">") + 1 :]
    order = result + "".join(axis for axis in left if axis not in result)

    def arranged(x: Any, letters: str) -> Any:
        x = tn.permute(x, tuple(letters.index(axis) for axis in order if axis in letters))
        for place, axis in enumerate(order):
            x = x if axis in letters else tn.unsqueeze(x, place)
        return tn.cast(x, dtype=wide)

    def product(a: Any, b: Any) -> Any:
        inner = tuple(range(len(result), len(order)))
        return tn.sum(arranged(a, left) * arranged(b, right), inner, dtype=wide)

    return product


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("formula", ["abk,kbn->an", "kab,nbk->an", "bka,bkn->an", "cabk,cnkb->can"])
def test_sums_over_several_axes(formula: str, dtype: np.dtype) -> None:
    sizes, (left, right) = {"a": 37, "b": 5, "c": 2, "k": 19, "n": 45}, formula[: formula.index("-")].split(",")
    a, b = (operand(dtype, (-9, 9), "contiguous", tuple(map(sizes.get, axes)), seed=axes) for axes in (left, right))
    wide = dt.float32 if dt.is_floating(dtype) else dt.int32
    product = by_hand(formula, wide)
    assert "multiply amx" in lowered(product, (a, b), tiles.with_tiles()).text()
    exact = [one.astype(np.float64) for one in (a, b)]
    want, size = np.einsum(formula, *exact), np.einsum(formula, *map(np.abs, exact))
    close(run(product, (a, b))[0], want.astype(wide), formula, 1e-5, size)


def test_long_sums() -> None:
    for layout in ("contiguous", "transposed"):
        a, b = (operand(dt.bfloat16, (-9, 9), layout, shape) for shape in ((20, 8200), (8200, 33)))
        check(a, b, f"long sums {layout}")


def test_gradients_are_products_in_tiles() -> None:
    x, w = operand(dt.bfloat16, (-2, 2), "contiguous", (40, 96)), operand(dt.bfloat16, (-2, 2), "contiguous", (64, 96))
    g = operand(dt.bfloat16, (-2, 2), "contiguous", (40, 64), seed=1)

    def gradients(x: Any, w: Any, g: Any) -> Any:
        return tn.matmul(g, w), tn.matmul(tn.permute(g), x)

    wide = [one.astype(np.float64) for one in (x, w, g)]
    for got, (a, b) in zip(run(gradients, (x, w, g)), ((wide[2], wide[1]), (wide[2].T, wide[0])), strict=True):
        close(got, (a @ b).astype(dt.bfloat16), "gradient", 1e-2, np.abs(a) @ np.abs(b))


def test_wider_factors_and_sums_are_left_to_vectors() -> None:
    a, b = operand(dt.int16, (-9, 9), "contiguous", (33, 70)), operand(dt.int16, (-9, 9), "contiguous", (70, 50))
    halves = [operand(dt.bfloat16, (-9, 9), "contiguous", one.shape) for one in (a, b)]

    def in_float32(a: Any, b: Any) -> Any:
        return tn.matmul(tn.cast(a, dtype=tn.float32) * 1.5, tn.cast(b, dtype=tn.float32))

    for function, arrays in ((matmul, (a, b)), (in_float32, halves)):
        assert "amx" not in lowered(function, arrays, tiles.with_tiles()).text()


@pytest.mark.parametrize("k", [20, 32])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_special_values_stay_in_their_row_and_column(layout: str, k: int) -> None:
    a, b = (operand(dt.bfloat16, (-9, 9), layout, shape, seed=shape) for shape in ((26, k), (k, 70)))
    a[[3, 12, 25], [0, 7, k - 1]] = np.inf, -np.inf, np.nan
    b[[5, k - 1], [0, 69]] = np.nan, np.inf
    (got,) = run(matmul, (a, b))
    with np.errstate(invalid="ignore"):
        want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    assert np.array_equal(np.isnan(got), np.isnan(want)) and np.array_equal(np.isinf(got), np.isinf(want))


@pytest.mark.parametrize("rows", [5, 70])
def test_what_follows_the_sums_is_computed_from_float32(rows: int) -> None:
    x, w = (
        operand(dt.bfloat16, (-2, 2), "contiguous", (rows, 130)),
        operand(dt.bfloat16, (-2, 2), "contiguous", (90, 130)),
    )
    bias = operand(dt.bfloat16, (-50, 50), "contiguous", (90,))

    def layer(x: Any, w: Any, bias: Any) -> Any:
        return tn.relu(tn.matmul(x, tn.permute(w)) + bias)

    sums = x.astype(np.float64) @ w.astype(np.float64).T + bias.astype(np.float64)
    size = np.abs(x.astype(np.float64)) @ np.abs(w.astype(np.float64)).T
    close(run(layer, (x, w, bias))[0], np.maximum(sums, 0).astype(dt.bfloat16), "layer", 1e-2, size)


@pytest.mark.parametrize("padding", [0, 1])
def test_convolutions_of_bfloat16_are_products_in_tiles(padding: int) -> None:
    x = operand(dt.bfloat16, (-2, 2), "contiguous", (2, 20, 14, 15))
    w = operand(dt.bfloat16, (-2, 2), "contiguous", (24, 20, 3, 3), seed=1)

    def convolution(x: Any, w: Any) -> Any:
        return conv2d(x, w, padding=padding)

    (step,) = (one for one in lowered(convolution, (x, w), tiles.with_tiles()).steps if isinstance(one, Multiply))
    assert step.tile.kind == "amx bf16" and step.roles["rows"].size == 24
    wide = [one.astype(np.float64) for one in (x, w)]
    want, size = (run(convolution, arrays, real=True)[0] for arrays in (wide, [np.abs(one) for one in wide]))
    close(run(convolution, (x, w))[0], want.astype(dt.bfloat16), "convolution", 1e-2, size)


def test_few_rows_change_places_with_a_matrix_along_k() -> None:
    x, w = (
        operand(dt.bfloat16, (-9, 9), "contiguous", (4, 256)),
        operand(dt.bfloat16, (-9, 9), "transposed", (256, 300)),
    )
    pack, product = lowered(matmul, (x, w), tiles.with_tiles()).steps
    assert isinstance(product, Multiply) and product.a.direct and product.roles["rows"].size == 300
    assert isinstance(pack, Pack) and pack.roles["rows"].size == 4
    check(x, w, "few rows")


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_code_for_tiles_is_assembled_and_releases_them(dtype: np.dtype) -> None:
    a, b = operand(dtype, (-9, 9), "contiguous", (64, 64)), operand(dtype, (-9, 9), "transposed", (64, 48))
    text = freestanding.assembly(lowered(matmul, (a, b), tiles.with_tiles()))
    assert all(word in text for word in (PRODUCTS[dtype], "ldtilecfg", "tilerelease", "tileloadd", "tilestored"))
    assert "tmm" not in freestanding.assembly(lowered(matmul, (a, b), target.named("x86-64-v4")))


def test_a_kernel_for_tiles_has_a_key_of_its_own() -> None:
    a, b = operand(dt.bfloat16, (-9, 9), "contiguous", (64, 64)), operand(dt.bfloat16, (-9, 9), "contiguous", (64, 48))
    with_tiles, without = tiles.with_tiles(), target.named("x86-64-v4")
    assert lowered(matmul, (a, b), with_tiles).text() != lowered(matmul, (a, b), without).text()
    assert with_tiles.description() != without.description() and "+amx-tile" in with_tiles.description()


@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_checked_code_stays_inside_its_memory(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUENO_DEBUG", "bounds")
    config.reload()
    try:
        for dtype in (dt.bfloat16, dt.int8):
            for m, k, n in ((5, 33, 70), (64, 128, 64), (40, 1090, 50)):
                a, b = operand(dtype, (-9, 9), layout, (m, k)), operand(dtype, (-9, 9), layout, (k, n), seed=1)
                check(a, b, f"{dtype} {m} x {k} x {n}")
    finally:
        monkeypatch.undo()
        config.reload()


@pytest.mark.parametrize("granted", [True, False])
def test_tiles_that_the_kernel_refuses_are_no_feature(monkeypatch: pytest.MonkeyPatch, granted: bool) -> None:
    found = {"avx2": True, "amx-tile": True, "amx-bf16": True, "amx-int8": True, "sse4a": False}
    monkeypatch.setattr(target.llvm, "get_host_cpu_features", lambda: found)
    monkeypatch.setattr(target, "_tiles_granted", lambda: granted)
    tile_features = {"amx-tile", "amx-bf16", "amx-int8"} if granted else set()
    assert target.host_features.__wrapped__() == {"avx2"} | tile_features


def test_tiles_are_asked_for_on_linux_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.sys, "platform", "win32")
    assert not target._tiles_granted()
