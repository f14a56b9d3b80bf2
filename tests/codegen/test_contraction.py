"""Contractions against NumPy: dtypes, shapes at the edges of blocks, layouts, feature levels, what follows the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trueno as tn
from tests.ops.support import LEVELS, TOLERANCE, available, close, feature_level, operand, run, tensors, trace
from trueno import dtypes as dt
from trueno.codegen.contraction.long import SPAN
from trueno.codegen.contraction.steps import Multiply, Pack, Step
from trueno.codegen.contraction.tile import STRIP, k_block
from trueno.codegen.plan import Limits, plan
from trueno.codegen.target import resolve
from trueno.ir.simplify import simplify
from trueno.runtime import cpu

K_BLOCK = k_block(dt.float32)
NUMBERS = tuple(dtype for dtype in dt.ALL if dtype != dt.bool_)
#: (m, k, n): below, at and above one tile, strip, block of K; thin ones; one too small to be a contraction; empty ones.
SHAPES = (
    (1, 1, 1), (3, 5, 4), (12, 8, 32), (13, 16, 33), (8, 3, 64), (5, 70, 9), (40, 17, 50), (30, 64, 1), (1, 64, 130),
    (2, 9, 200), (200, 9, 2), (100, 1, 70), (25, K_BLOCK + 3, 40), (8, 2 * K_BLOCK + 3, 70), (14, 33, STRIP + 37),
    (61, 2 * K_BLOCK + 3, 70), (45, K_BLOCK + 3, STRIP + 47), (0, 5, 4), (5, 0, 4), (5, 4, 0),
)  # fmt: skip
LAYOUTS = ("contiguous", "transposed", "sliced", "backwards", "broadcast")


def matmul(a: Any, b: Any) -> Any:
    return tn.matmul(a, b)


def expected(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product, in float64 or wrapping integers, and the sum of the sizes of what is added up."""
    size = np.matmul(np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64)))
    if dt.is_floating(a.dtype):
        return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64))).astype(a.dtype), size
    return np.asarray(np.matmul(a, b)), size


def steps_of(function: Callable, arrays: Sequence[np.ndarray], level: str = "native") -> list[Any]:
    """The steps that the CPU would run."""
    kernel = simplify(trace(function, arrays))
    layouts = [one._layout for one in tensors(arrays)]
    with feature_level(level):
        planned = plan(kernel, layouts, None, Limits(contractions=True))
        return cpu._steps(planned, len(layouts), [-1] * len(kernel.outputs), resolve())


def check(function: Callable, arrays: Sequence[np.ndarray], want: np.ndarray, size: Any, level: str, what: str) -> None:
    (got,) = run(trace(function, arrays), arrays, level)
    close(got, want, what, TOLERANCE.get(got.dtype), size)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_shapes(dtype: np.dtype, level: str) -> None:
    if not available(level):
        pytest.skip(f"this CPU has no {level}")
    for m, k, n in SHAPES:
        a, b = operand(dtype, (-9, 9), "contiguous", (m, k)), operand(dtype, (-9, 9), "contiguous", (k, n), seed=1)
        check(matmul, (a, b), *expected(a, b), level, f"{dtype} {m} x {k} x {n} {level}")


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
def test_layouts(left: str, right: str) -> None:
    for level in LEVELS if left == right and available(LEVELS[1]) else LEVELS[:1]:
        for m, k, n in ((13, 40, 33), (30, 5, 70)):
            a = operand(dt.float32, (-9, 9), left, (m, k))
            b = operand(dt.float32, (-9, 9), right, (k, n), seed=1)
            check(matmul, (a, b), *expected(a, b), level, f"{left} @ {right} {m} x {k} x {n} {level}")


@pytest.mark.parametrize("dtype", [dt.int8, dt.int16, dt.bfloat16], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_narrow_dtypes(layout: str, dtype: np.dtype) -> None:
    a, b = operand(dtype, (-99, 99), layout, (13, 43)), operand(dtype, (-99, 99), layout, (43, 33), seed=1)
    check(matmul, (a, b), *expected(a, b), "native", f"{dtype} {layout}")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((40,), (40, 9)), ((9, 40), (40,)), ((40,), (40,)), ((3, 9, 40), (40, 21)), ((9, 40), (3, 40, 21)),
        ((3, 9, 40), (3, 40, 21)), ((2, 1, 9, 40), (3, 40, 21)), ((2, 3, 9, 40), (1, 3, 40, 21)),
        ((3, 1, 40), (3, 40, 9)), ((0, 9, 40), (40, 21)), ((65, 4, 3), (65, 3, 4)),
    ],
    ids=str,
)  # fmt: skip
def test_batches(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    for layout in ("contiguous", "sliced"):
        a, b = operand(dt.float32, (-9, 9), layout, left), operand(dt.float32, (-9, 9), layout, right, seed=1)
        check(matmul, (a, b), *expected(a, b), "native", f"{left} @ {right} {layout}")


SPECIAL = (np.inf, -np.inf, np.nan, -0.0, 1e-42)


@pytest.mark.parametrize("level", LEVELS)
def test_special_values_stay_in_their_row_and_column(level: str) -> None:
    if not available(level):
        pytest.skip(f"this CPU has no {level}")
    a, b = (operand(dt.float32, (-9, 9), "contiguous", shape, seed=shape) for shape in ((26, 20), (20, 70)))
    a[[3, 12, 25], [0, 7, 19]] = SPECIAL[:3]
    b[[5, 19], [0, 69]] = np.nan, np.inf
    (got,) = run(trace(matmul, (a, b)), (a, b), level)
    with np.errstate(invalid="ignore"):
        want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    assert np.array_equal(np.isnan(got), np.isnan(want)) and np.array_equal(np.isinf(got), np.isinf(want))


# --- what is a contraction --------------------------------------------------------------------------------------------


def by_hand(a: Any, b: Any) -> Any:
    return tn.sum(tn.unsqueeze(a, 2) * tn.unsqueeze(b, 0), 1)


def test_a_sum_of_products_written_by_hand_is_the_same_kernel() -> None:
    a, b = (operand(dt.float32, (-9, 9), "contiguous", shape) for shape in ((30, 40), (40, 50)))
    check(by_hand, (a, b), *expected(a, b), "native", "by hand")
    written, named = (steps_of(function, (a, b)) for function in (by_hand, matmul))
    assert [step.text for step in written] == [step.text for step in named]
    assert any(isinstance(step, Multiply) for step in named)


def test_two_reduced_axes_and_a_strided_window() -> None:
    x = operand(dt.float32, (-2, 2), "contiguous", (2, 3, 12, 13))
    w = operand(dt.float32, (-2, 2), "contiguous", (5, 3, 4), seed=1)

    def convolution(x: Any, w: Any) -> Any:
        # 1 x 4 windows: the axes of K are channels and window; two windows share memory.
        rows = [tn.unsqueeze(x[:, :, :, k : k + 10], 2) for k in range(4)]
        windows = tn.concatenate(rows, axis=2)
        return tn.sum(tn.unsqueeze(windows, 1) * tn.reshape(w, 1, 5, 3, 4, 1, 1), (2, 3))

    want = sum(
        np.einsum("nchw,oc->nohw", x[:, :, :, k : k + 10].astype(float), w[:, :, k].astype(float)) for k in range(4)
    )
    check(convolution, (x, w), want.astype(np.float32), 40.0, "native", "windows")


def test_operands_are_evaluated_while_they_are_packed() -> None:
    a, b = (operand(dt.float32, (-2, 2), "contiguous", shape) for shape in ((30, 40), (40, 50)))
    want, size = expected(np.maximum(a, 0), b * 2 + 1)
    check(lambda a, b: tn.matmul(tn.relu(a), b * 2 + 1), (a, b), want, size, "native", "operands")
    found = steps_of(lambda a, b: tn.matmul(tn.relu(a), b * 2 + 1), (a, b))
    assert [type(step) for step in found] == [Pack, Pack, Multiply]


def test_sums_of_narrow_integers_in_a_wider_dtype_are_exact() -> None:
    for narrow, wide in ((dt.int8, dt.int32), (dt.uint8, dt.int32), (dt.int16, dt.int32), (dt.uint16, dt.int64)):
        info = np.iinfo(narrow)
        a, b = (operand(narrow, (info.min, info.max), "contiguous", shape) for shape in ((13, 50), (50, 33)))
        want = np.matmul(a.astype(np.int64), b.astype(np.int64)).astype(wide)
        for level in LEVELS:
            if available(level):
                product = lambda a, b, wide=wide: tn.matmul(tn.cast(a, wide), tn.cast(b, wide))  # noqa: E731
                check(product, (a, b), want, None, level, f"{narrow} {level}")


def test_an_elementwise_product_is_left_to_the_loops() -> None:
    a = operand(dt.float32, (-2, 2), "contiguous", (30, 40))
    assert not any(isinstance(step, Step) for step in steps_of(lambda a: tn.sum(a * a, 1), (a,)))
    assert not any(isinstance(step, Step) for step in steps_of(lambda a: tn.sum(tn.unsqueeze(a, 0) * a, 2), (a,)))


# --- what follows the sum ---------------------------------------------------------------------------------------------


def test_linear_with_an_activation_is_one_multiplication() -> None:
    x, w, bias, rest = (
        operand(dt.float32, (-2, 2), "contiguous", shape, seed=shape) for shape in ((33, 40), (50, 40), (50,), (33, 50))
    )

    def layer(x: Any, w: Any, bias: Any, rest: Any) -> Any:
        return tn.relu(tn.matmul(x, tn.permute(w)) + bias) * 0.5 + rest

    arrays = (x, w, bias, rest)
    product, size = expected(x.astype(float), w.T.astype(float))
    want = (np.maximum(product + bias, 0) * 0.5 + rest).astype(np.float32)
    for level in filter(available, LEVELS):
        check(layer, arrays, want, size + 5, level, f"linear {level}")
    found = steps_of(layer, arrays)
    assert sum(isinstance(step, Multiply) for step in found) == 1
    assert all(isinstance(step, Step) for step in found), "nothing runs after the multiplication"


def test_several_results_of_one_sum() -> None:
    a, b = (operand(dt.float32, (-2, 2), "contiguous", shape) for shape in ((33, 40), (40, 50)))

    def both(a: Any, b: Any) -> Any:
        y = tn.matmul(a, b)
        return y, tn.cast(tn.exp(-y * y), dt.float64), tn.permute(y) > 0

    want, size = expected(a, b)
    y, bell, positive = run(trace(both, (a, b)), (a, b), "native")
    close(y, want, "product", scale=size)
    close(bell, np.exp(-(y * y)).astype(np.float64), "of the product", 1e-5, 1.0)
    assert np.array_equal(positive, y.T > 0)


@pytest.mark.parametrize("shape", [(40, 64, 70), (4, 64, 200), (1, 200, 300)], ids=str)
def test_elements_of_the_factors_may_follow_the_sum(shape: tuple[int, int, int]) -> None:
    """Where tiles move along a factor, its elements there stand still: they are other accesses to its memory."""
    m, k, n = shape
    a, b = (operand(dt.float32, (-2, 2), "contiguous", one, seed=one) for one in ((2, m, k), (2, k, n)))

    def follows(a: Any, b: Any) -> Any:
        return tn.matmul(a, b) * b[:, :1, :1] + a[:, :1, :1]

    product, size = expected(a.astype(float), b.astype(float))
    want = (product * b[:, :1, :1] + a[:, :1, :1]).astype(np.float32)
    for level in filter(available, LEVELS):
        check(follows, (a, b), want, 2 * size + 2, level, f"elements of the factors {level}")


def test_two_products_of_one_shape_are_two_steps() -> None:
    arrays = [
        operand(dt.float32, (-2, 2), "contiguous", shape, seed=k) for k, shape in enumerate([(30, 40), (40, 50)] * 2)
    ]
    want = np.tanh(arrays[0].astype(float) @ arrays[1] + arrays[2].astype(float) @ arrays[3])
    for sign in (1, -1):
        function = lambda a, b, c, d, s=sign: tn.tanh(tn.matmul(a, b) + s * tn.matmul(c, d))  # noqa: E731
        want = np.tanh(arrays[0].astype(float) @ arrays[1] + sign * (arrays[2].astype(float) @ arrays[3]))
        check(function, arrays, want.astype(np.float32), 1.0, "native", "sum of two products")


def test_a_normalised_product_keeps_its_own_stage() -> None:
    q, k, v = (operand(dt.float32, (-1, 1), "contiguous", (3, 17, 40), seed=one) for one in "qkv")

    def attention(q: Any, k: Any, v: Any) -> Any:
        return tn.matmul(tn.softmax(tn.matmul(q, tn.swapaxes(k, 1, 2)) * 0.2, axis=-1), v)

    scores = q.astype(float) @ np.swapaxes(k, 1, 2) * 0.2
    e = np.exp(scores - scores.max(-1, keepdims=True))
    check(attention, (q, k, v), (e / e.sum(-1, keepdims=True) @ v).astype(np.float32), 1.0, "native", "attention")


def test_in_place_results_wait_until_the_product_is_read() -> None:
    a = operand(dt.float32, (-1, 1), "contiguous", (40, 40))
    x = tn.from_numpy(a.copy())
    x += x @ x
    close(x.numpy(), a + a @ a, "x += x @ x", scale=40.0)
    y = tn.from_numpy(a.copy())
    y @= y
    close(y.numpy(), a @ a, "y @= y", scale=40.0)


# --- contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [dt.float32, dt.float16, dt.int8], ids=str)
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype: np.dtype) -> None:
    before = tn.get_num_threads()
    try:
        for m, k, n in ((150, 140, 130), (1, 700, 1100), (700, 90, 3), (64, 784, 128), (128, 1024, 49)):
            a, b = (operand(dtype, (-2, 2), "contiguous", shape) for shape in ((m, k), (k, n)))
            results = []
            for threads in (1, 2, 3):
                tn.set_num_threads(threads)
                results.append((tn.from_numpy(a) @ tn.from_numpy(b)).numpy())
            assert all(np.array_equal(results[0], one) for one in results[1:]), (m, k, n)
    finally:
        tn.set_num_threads(before)


@pytest.mark.parametrize("k", [2 * SPAN, 50_177, 100_000])
def test_long_sums_are_accurate_and_the_same_for_any_number_of_threads(k: int) -> None:
    generator = np.random.default_rng(3)
    a, b = generator.random((13, k), np.float32), generator.random((k, 35), np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bits = []
    threads = tn.get_num_threads()
    try:
        for count in (1, 2):
            tn.set_num_threads(count)
            bits.append(matmul(tn.from_numpy(a), tn.from_numpy(b)).numpy().copy())
    finally:
        tn.set_num_threads(threads)
    assert np.array_equal(*bits)
    np.testing.assert_allclose(bits[0], exact, rtol=5e-6)


def test_long_sums_over_two_axes_with_what_follows() -> None:
    generator = np.random.default_rng(4)
    x, w = generator.random((130, 90, 5), np.float32), generator.random((130, 90, 7), np.float32)
    bias = generator.random(7, np.float32)
    exact = np.einsum("ijm,ijn->mn", x.astype(np.float64), w.astype(np.float64)) + bias

    @tn.kernel
    def summed(x: Any, w: Any, bias: Any) -> Any:
        return (x[:, :, :, None] * w[:, :, None, :]).sum(axis=(0, 1)) + bias

    np.testing.assert_allclose(summed(*map(tn.from_numpy, (x, w, bias))).numpy(), exact, rtol=5e-6)


def test_sizes_share_a_kernel() -> None:
    rng = np.random.default_rng(3)
    texts = set()
    for _ in range(20):
        m, k, n = rng.integers(300, 900, 3)
        a, b = np.zeros((m, k), np.float32), np.zeros((k, n), np.float32)
        texts.add("\n".join(step.text for step in steps_of(matmul, (a, b))))
    # Two tiles compete, whichever fills up less; rows are packed or read as they lie.
    assert len(texts) <= 4


def test_columns_in_rows_of_memory_take_no_scratch_memory() -> None:
    if not resolve("native").vectorise:
        pytest.skip("planned for vectors")
    a, b = np.zeros((300, 700), np.float32), np.zeros((700, 900), np.float32)
    *packs, product = steps_of(matmul, (a, b))
    assert isinstance(product, Multiply) and product.kept
    assert [step.width for step in packs if isinstance(step, Pack)] == [product.tile.rows]


@pytest.mark.parametrize("shape", [(50, 1024, 640), (37, 513, 576), (13, 7, 640)])
def test_rows_along_k_are_read_as_they_lie(shape: tuple[int, int, int]) -> None:
    if not available("x86-64-v4"):
        pytest.skip("this CPU has no AVX-512")
    m, k, n = shape
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    (product,) = steps_of(matmul, (a, b), "x86-64-v4")
    assert product.along and product.tile.rows == 6
    result = tn.matmul(tn.from_numpy(a), tn.from_numpy(b)).numpy()
    np.testing.assert_allclose(result, a.astype(float) @ b.astype(float), rtol=0, atol=1e-4)


@pytest.mark.parametrize("columns", [100, 112])
def test_a_last_tile_of_half_the_width_takes_few_remaining_columns(columns: int) -> None:
    if not available("x86-64-v4"):
        pytest.skip("this CPU has no AVX-512")
    a, b = np.zeros((40, 50), np.float32), np.zeros((50, columns), np.float32)
    product = steps_of(matmul, (a, b), "x86-64-v4")[-1]
    assert product.tile.columns == 32 and product.narrow


#: (m, k, n) of products whose factors run along K: complete and incomplete tiles, vectors and blocks of K, strips.
INNER = (
    (512, 1024, 49), (61, 1024, 4), (45, 1000, 65), (6, 256, 300), (50, 1030, 31), (23, 2309, 131), (17, 261, 7),
)  # fmt: skip


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
@pytest.mark.parametrize("right", ["contiguous", "transposed", "sliced"])
def test_factors_that_run_along_k(right: str, dtype: np.dtype) -> None:
    for m, k, n in INNER:
        a, b = operand(dtype, (-9, 9), "contiguous", (m, k)), operand(dtype, (-9, 9), right, (k, n), seed=1)
        check(matmul, (a, b), *expected(a, b), "native", f"{dtype} {m} x {k} x {n} {right}")


def inner_products(function: Callable, arrays: Sequence[np.ndarray]) -> list[Multiply]:
    if resolve().level not in ("native", "x86-64-v4") or not resolve().has("avx512f"):
        pytest.skip("tiles of inner products are for AVX-512")
    return [one for one in steps_of(function, arrays) if isinstance(one, Multiply) and one.tile.dots]


def test_a_factor_with_few_columns_is_turned_over_in_place_of_the_other() -> None:
    a, b = (
        operand(dt.float32, (-9, 9), "contiguous", (512, 2048)),
        operand(dt.float32, (-9, 9), "contiguous", (2048, 45)),
    )
    (product,) = inner_products(matmul, (a, b))
    assert product.a is not None
    assert product.a.access.buffer == 0, "the rows are read as they lie"
    (packed,) = (one for one in steps_of(matmul, (a, b)) if isinstance(one, Pack))
    assert packed.roles["rows"].extents == [2048]
    assert not inner_products(matmul, (operand(dt.float32, (-9, 9), "contiguous", (512, 512)),) * 2)


def test_batches_that_run_along_k_are_inner_products() -> None:
    a = operand(dt.float32, (-9, 9), "contiguous", (3, 64, 1024))
    b = operand(dt.float32, (-9, 9), "contiguous", (3, 1024, 27))
    assert len(inner_products(matmul, (a, b))) == 1
    check(matmul, (a, b), *expected(a, b), "native", "batches along K")


def test_rows_that_lie_across_memory_are_packed_where_they_span_more_than_a_cache() -> None:
    def turned(a: Any, b: Any) -> Any:
        return tn.matmul(tn.permute(a, (1, 0)), b)

    for k, packed in ((256, 1), (8, 0)):
        a = operand(dt.float32, (-9, 9), "contiguous", (k, 600))
        b = operand(dt.float32, (-9, 9), "contiguous", (k, 196), seed=1)
        assert sum(isinstance(one, Pack) and "rows into" in one.name for one in steps_of(turned, (a, b))) == packed
        check(turned, (a, b), *expected(a.T, b), "native", f"rows across memory, K {k}")


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
@pytest.mark.parametrize(("m", "k", "n"), [(61, 50, 256), (128, 2 * K_BLOCK + 3, 512), (40, 7, 320)])
def test_columns_along_k_are_turned_over_by_the_tasks_that_read_them(m: int, k: int, n: int, dtype: np.dtype) -> None:
    def product(a: Any, b: Any) -> Any:
        return tn.matmul(a, tn.permute(b, (1, 0)))

    a, b = operand(dtype, (-9, 9), "contiguous", (m, k)), operand(dtype, (-9, 9), "contiguous", (n, k), seed=1)
    check(product, (a, b), *expected(a, b.T), "native", f"{m} x {k} x {n}, columns along K")
    if resolve().has("avx512f"):
        (step,) = (one for one in steps_of(product, (a, b)) if isinstance(one, Multiply))
        assert step.turned


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(8, 70, 49), (61, K_BLOCK + 3, 49), (77, 2 * K_BLOCK + 30, 50), (64, 64, 98), (9, 100, 25)]
)
def test_columns_beside_complete_tiles_are_inner_products(m: int, k: int, n: int, dtype: np.dtype) -> None:
    a, b = operand(dtype, (-9, 9), "contiguous", (m, k)), operand(dtype, (-9, 9), "contiguous", (k, n), seed=1)
    check(matmul, (a, b), *expected(a, b), "native", f"{m} x {k} x {n}")
    if dtype == dt.float32 and n > 25 and resolve().has("avx512f"):
        (product,) = (one for one in steps_of(matmul, (a, b)) if isinstance(one, Multiply))
        assert product.rest == n % 48


def test_what_follows_inner_products_is_computed_with_them() -> None:
    def layer(a: Any, b: Any, c: Any) -> Any:
        return tn.maximum(tn.matmul(a, b) + c, 0)

    a, b = (
        operand(dt.float32, (-9, 9), "contiguous", (64, 1024)),
        operand(dt.float32, (-9, 9), "contiguous", (1024, 21)),
    )
    c = operand(dt.float32, (-9, 9), "contiguous", (64, 1), seed=2)
    assert len(inner_products(layer, (a, b, c))) == 1
    product, size = expected(a, b)
    check(layer, (a, b, c), np.maximum(product + c, 0), size, "native", "a layer")


def test_what_is_not_finite_stays_in_its_row_and_column_of_inner_products() -> None:
    a, b = (
        operand(dt.float32, (-9, 9), "contiguous", (64, 1030)).copy(),
        operand(dt.float32, (-9, 9), "transposed", (1030, 9)),
    )
    a[5, 1029], a[7, 3] = np.nan, np.inf
    (got,) = run(trace(matmul, (a, b)), (a, b), "native")
    finite = np.isfinite(got)
    assert not finite[[5, 7]].any()
    assert finite[np.setdiff1d(np.arange(64), [5, 7])].all()


def test_nothing_is_written_beyond_the_result() -> None:
    for m, k, n in ((13, 20, 33), (7, 300, 5), (1, 40, 131), (40, 9, 70)):
        a, b = (operand(dt.float32, (-2, 2), "contiguous", shape) for shape in ((m, k), (k, n)))
        around = np.full((m + 2, n), 7, np.float32)
        out = tn.from_numpy(around)
        out[1:-1] = tn.from_numpy(a) @ tn.from_numpy(b)
        assert (around[[0, -1]] == 7).all()
        close(around[1:-1], expected(a, b)[0], f"{m} x {k} x {n}", scale=k * 4.0)


def test_gradients() -> None:
    a, b = (tn.tensor(operand(dt.float64, (-1, 1), "contiguous", s), requires_grad=True) for s in ((5, 7), (7, 6)))
    bias = tn.tensor(operand(dt.float64, (-1, 1), "contiguous", (6,)), requires_grad=True)
    layer = tn.kernel(lambda a, b, bias: tn.tanh(tn.matmul(a, b) + bias))
    assert tn.autograd.gradcheck(layer, (a, b, bias))
    assert tn.autograd.gradgradcheck(layer, (a, b, bias))


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_shapes_and_strides(data: st.DataObject) -> None:
    size = st.integers(1, 40)
    m, k, n = data.draw(size), data.draw(size), data.draw(size)
    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))

    def draw(shape: tuple[int, ...], seed: int) -> np.ndarray:
        lead = tuple(data.draw(st.sampled_from((1, extent))) for extent in batch)
        order = data.draw(st.permutations(range(len(shape) + len(lead))))
        steps = [data.draw(st.sampled_from((1, 1, 2, -1))) for _ in order]
        full = (*lead, *shape)
        wide = operand(dt.float32, (-3, 3), "contiguous", tuple(full[d] * abs(steps[d]) for d in order), seed=seed)
        back = np.transpose(wide, np.argsort(order))
        return back[tuple(slice(None, None, step) for step in steps)]

    a, b = draw((m, k), 0), draw((k, n), 1)
    check(matmul, (a, b), *expected(a, b), "native", f"{a.shape} {a.strides} @ {b.shape} {b.strides}")
