"""Simplification and the expansions of composite rows keep a kernel's meaning."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ir import support
from trueno import dtypes as dt
from trueno.codegen.formula import formula, is_composite
from trueno.ir import build, interp, verify, views
from trueno.ir.elementwise import add, mul, neg
from trueno.ir.node import Kernel, Node, recording, topological
from trueno.ir.op import registry
from trueno.ir.simplify import simplify


def same(first: Kernel, second: Kernel, *arrays: np.ndarray) -> None:
    for got, expected in zip(interp.evaluate(second, *arrays), interp.evaluate(first, *arrays), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", support.ROWS)
def test_simplify_keeps_the_meaning_of_every_row(name: str) -> None:
    kernel, arrays = support.kernel_of(name)
    same(kernel, verify.verify(simplify(kernel)), *arrays)


@pytest.mark.parametrize("name", support.COMPOSITES)
def test_simplify_keeps_the_meaning_of_composites(name: str) -> None:
    kernel, arrays = support.composite(name)
    same(kernel, verify.verify(simplify(kernel)), *arrays)


@pytest.mark.parametrize("dtype", dt.HALF, ids=str)
@pytest.mark.parametrize("name", ["add", "exp", "sum", "matmul", "cumsum", "where", "relu"])
def test_half_kernels_keep_their_meaning(name: str, dtype: np.dtype) -> None:
    kernel, arrays = support.kernel_of(name, dtype)
    same(kernel, verify.verify(simplify(kernel)), *arrays)


# The kernel of `analytic` has fewer operands than the row: its value follows from them.
COMPOSITE_ROWS = [
    (name, backend)
    for name in support.ROWS
    for backend in ("llvm", "opencl")
    if name != "analytic" and registry[name].kind == "elementwise" and is_composite(registry[name], backend)
]


@pytest.mark.parametrize(("name", "backend"), COMPOSITE_ROWS)
def test_expansions_mean_what_their_row_means(name: str, backend: str) -> None:
    op = registry[name]
    dtype = support.dtype_of(op)
    kernel, arrays = support.kernel_of(name, dtype)
    nodes = formula(op, backend, tuple(one.dtype for one in arrays), kernel.outputs[0].dtype)
    leaves = [node for node in nodes if node.op is build.INPUT]
    known = {leaf.arg for leaf in leaves}
    spare = [build.array(k, one.dtype, ()) for k, one in enumerate(arrays) if k not in known]
    expansion = verify.verify(Kernel(name, (*leaves, *spare), (nodes[-1],)), "expansion")
    (expected,) = interp.evaluate(kernel, *arrays)
    elements = zip(*(one.reshape(-1) for one in arrays), strict=True)
    got = np.array([interp.evaluate(expansion, *values)[0] for values in elements], expected.dtype)
    tolerance = 2e-6 if expected.dtype.kind == "f" else 0
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=tolerance, atol=tolerance)


def leaf(dtype: np.dtype = dt.float32, shape: tuple[int, ...] = (2, 3)) -> Node:
    return build.array(0, dtype, shape)


def simplified(x: Node, result: Node) -> Node:
    return simplify(Kernel("k", (x,), (result,))).outputs[0]


def test_views_of_views_become_one() -> None:
    x = leaf(shape=(2, 3, 4))
    with recording():
        twice = views.permute(views.permute(x, axes=(2, 0, 1)), axes=(1, 2, 0))
        turned = views.permute(views.permute(x, axes=(2, 0, 1)), axes=(1, 0, 2))
        flat = build.reshape(build.reshape(x, shape=(6, 4)), shape=(24,))
        wide = build.expand(build.expand(build.reshape(x, shape=(1, 2, 3, 4)), shape=(5, 2, 3, 4)), shape=(5, 2, 3, 4))
    assert simplified(x, twice) is x
    assert simplified(x, turned).src == (x,)
    assert simplified(x, flat).src == (x,)
    assert simplified(x, wide).src[0].op.name == "reshape"


def test_a_factor_of_one_goes_away_but_adding_zero_stays() -> None:
    x = leaf()
    with recording():
        assert simplified(x, mul(x, 1.0)) is x
        assert simplified(x, mul(1, x)) is x
        assert simplified(x, mul(x, -1.0)).op.name == "mul"
        assert simplified(x, add(x, 0.0)).op.name == "add"
    (zero,) = interp.evaluate(Kernel("k", (x,), (simplified(x, add(x, 0.0)),)), np.full((2, 3), -0.0, "f4"))
    assert not np.signbit(zero).any()


def test_half_results_stay_wide_inside_a_kernel() -> None:
    x = leaf(dt.float16)
    with recording():
        result = simplified(x, neg(neg(x)))
    casts = [node for node in topological((result,)) if node.op.name == "cast"]
    assert len(casts) == 2, "one cast in, one out"


def test_casts_that_change_values_stay() -> None:
    x = leaf(dt.float64)
    with recording():
        narrowed = simplified(x, build.cast(build.cast(x, dtype=dt.float32), dtype=dt.float64))
        whole = simplified(x, build.cast(build.cast(x, dtype=dt.int32), dtype=dt.float64))
    assert narrowed.op.name == whole.op.name == "cast"
    y = leaf(dt.float32)
    with recording():
        widened = simplified(y, build.cast(build.cast(y, dtype=dt.float64), dtype=dt.float32))
    assert widened is y
