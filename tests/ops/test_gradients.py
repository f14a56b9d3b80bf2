"""Gradients of first and second order of every differentiable row and composite against differences, and at ties."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import values
from trueno import dtypes as dt
from trueno.ir.composites import COMPOSITES
from trueno.ir.op import Op, rows

ROWS = [
    row for row in rows("elementwise") if row.public and row.differentiable and row.name not in ("cast", "nextafter")
]
REDUCTIONS = [row for row in rows("reduction") if row.public and row.differentiable]
SCANS = [row for row in rows("scan") if row.public and row.differentiable]
FLOAT_COMPOSITES = [
    one for one in COMPOSITES if one.__name__ not in ("count_nonzero", "argmax", "argmin", "stop_gradient")
]  # fmt: skip
SHAPES = {1: [(2, 3)], 2: [(2, 3), (3,)], 3: [(2, 3), (3,), (2, 1)]}


def points(shape: tuple[int, ...], interval: tuple[float, float], seed: int) -> tn.Tensor:
    """Return distinct points of an interval, apart from each other and from integers, where functions have kinks."""
    size = int(np.prod(shape))
    low, high = interval
    spread = low + (high - low) * (np.random.default_rng(seed).permutation(size) + 0.5 + 0.13 * seed) / (size + 1)
    spread = np.where(np.abs(spread - np.round(spread)) < 0.02, spread + 0.03, spread)
    return tn.from_numpy(spread.reshape(shape)).requires_grad_()


def both_orders(function: Callable, inputs: list[tn.Tensor]) -> None:
    assert tn.gradcheck(function, inputs)
    result = function(*inputs)
    slopes = tn.grad(result, inputs, tn.ones_like(result), create_graph=True, allow_unused=True)
    if not any(slope is not None and slope.requires_grad for slope in slopes):
        return  # a constant slope, right to the first order, is all there is to differentiate
    assert tn.gradgradcheck(function, inputs)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_elementwise(row: Op) -> None:
    call = getattr(tn, row.name)
    inputs = [points(shape, interval, k) for k, (shape, interval) in enumerate(zip(SHAPES[row.arity], row.domain))]
    if row.name == "where":
        chosen = tn.from_numpy(values(dt.bool_, (2, 3), (0, 1)))
        both_orders(lambda a, b: call(chosen, a, b), inputs[1:])
    else:
        both_orders(call, inputs)


@pytest.mark.parametrize("axis", [0, (0, 1)], ids=str)
@pytest.mark.parametrize("row", REDUCTIONS, ids=lambda row: row.name)
def test_reductions(row: Op, axis: object) -> None:
    both_orders(lambda x: getattr(tn, row.name)(x, axis=axis), [points((2, 3), row.domain[0], 1)])


@pytest.mark.parametrize("row", SCANS, ids=lambda row: row.name)
def test_scans(row: Op) -> None:
    both_orders(lambda x: getattr(tn, row.name)(x, axis=1), [points((2, 3), row.domain[0], 1)])


@pytest.mark.parametrize("function", FLOAT_COMPOSITES, ids=lambda one: one.__name__)
def test_composites(function: Callable) -> None:
    call = getattr(tn, function.__name__)
    x = points((2, 3), (-2.5, 2.5), 1)
    if "axis" in inspect.signature(function).parameters:
        both_orders(lambda x: call(x, axis=1), [x])
    else:
        both_orders(call, [x])


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (lambda x: x.reshape(3, 2), [(2, 3)]),
        (lambda x: x.permute(1, 0), [(2, 3)]),
        (lambda x: x[::-1, 1:], [(2, 3)]),
        (lambda x: tn.flip(x, 1), [(2, 3)]),
        (lambda x: tn.pad(x, ((1, 0), (0, 2)), 1.5), [(2, 3)]),
        (lambda x: x.expand(2, 2, 3), [(2, 3)]),
        (lambda a, b: tn.concatenate([a, b], axis=1), [(2, 3), (2, 1)]),
        (lambda a, b: tn.stack([a, b], axis=-1), [(2, 3), (2, 3)]),
        (lambda x: tn.gather(x, tn.from_numpy(np.array([[0, 2, 2, -1]] * 2)), axis=1), [(2, 3)]),
        (lambda x: tn.scatter_add(x, tn.from_numpy(np.array([[0, 2, 2]] * 2)), extent=4, axis=1), [(2, 3)]),
    ],
)
def test_views(call: Callable, shapes: list[tuple[int, ...]]) -> None:
    # Squared, so that the second derivative is not zero.
    both_orders(lambda *x: tn.square(call(*x)), [points(shape, (-2, 2), k) for k, shape in enumerate(shapes)])


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 1, 2, 3), (2, 3, 2))], ids=str)
def test_matmul(shapes: tuple[tuple[int, ...], ...]) -> None:
    both_orders(tn.matmul, [points(shape, (-1, 1), k) for k, shape in enumerate(shapes)])


# --- ties -------------------------------------------------------------------------------------------------------------


def slope(function: Callable, *arrays: list) -> list[list[float]]:
    inputs = [tn.tensor(one, dtype=tn.float64).requires_grad_() for one in arrays]
    function(*inputs).sum().backward()
    return [one.grad.tolist() for one in inputs]


def test_ties_are_shared() -> None:
    """Equal operands get half each, equal elements an equal share, and a bound counts as outside."""
    assert slope(tn.maximum, [1.0, 2.0, 0.0], [1.0, 0.0, 3.0]) == [[0.5, 1.0, 0.0], [0.5, 0.0, 1.0]]
    assert slope(tn.minimum, [1.0, 2.0, 0.0], [1.0, 0.0, 3.0]) == [[0.5, 0.0, 1.0], [0.5, 1.0, 0.0]]
    assert slope(tn.max, [3.0, 1.0, 3.0, 3.0, 3.0]) == [[0.25, 0.0, 0.25, 0.25, 0.25]]
    assert slope(tn.min, [3.0, 1.0, 1.0]) == [[0.0, 0.5, 0.5]]
    assert slope(tn.relu, [-1.0, 0.0, 2.0]) == [[0.0, 0.0, 1.0]]
    assert slope(tn.abs, [-1.0, 0.0, 2.0]) == [[-1.0, 0.0, 1.0]]
    assert slope(lambda x: tn.clip(x, -1.0, 1.0), [-1.0, -0.5, 1.0, 2.0]) == [[0.0, 1.0, 0.0, 0.0]]
    assert slope(tn.prod, [0.0, 2.0, 3.0]) == [[6.0, 0.0, 0.0]]
    assert slope(tn.prod, [0.0, 2.0, 0.0]) == [[0.0, 0.0, 0.0]]


def test_ties_of_a_half_type_are_counted_beyond_its_range() -> None:
    """More ties than float16 counts (tinygrad#12296)."""
    x = tn.from_numpy(np.ones(70_000, np.float16)).requires_grad_()
    x.max().backward()
    assert x.grad is not None
    got = x.grad.numpy().astype(np.float64)
    assert np.allclose(got, 1 / 70_000, rtol=1e-2, atol=6e-8)


def test_equal_constants_stay_two_leaves() -> None:
    """Two leaves of equal value have a gradient each, not a doubled one (tinygrad#9597)."""
    assert slope(lambda a, b: a * b, [2.0], [2.0]) == [[2.0], [2.0]]
    assert slope(lambda a: a * a, [2.0]) == [[4.0]]
    kernel = tn.kernel(lambda a, b: a * 3.0 + b * 5.0)
    assert slope(kernel, [1.0, 1.0], [1.0, 1.0]) == [[3.0, 3.0], [5.0, 5.0]]
