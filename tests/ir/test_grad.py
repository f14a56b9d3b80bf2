"""Differentiation of IR into IR."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ir import support
from trueno import dtypes as dt
from trueno.ir import build, interp, verify
from trueno.ir.composites import stop_gradient
from trueno.ir.elementwise import add, gt, mul
from trueno.ir.grad import gradients
from trueno.ir.node import Kernel, Node, recording
from trueno.ir.op import registry
from trueno.ir.transcendental import exp, sin


def backward(outputs: tuple[Node, ...], wrt: list[Node], inputs: tuple[Node, ...] = ()) -> tuple[Kernel, list[bool]]:
    """Return the kernel of the gradients that exist; its operands are the inputs, then gradients of the outputs."""
    inputs = inputs or tuple(wrt)
    incoming = [build.array(len(inputs) + k, one.dtype, one.shape) for k, one in enumerate(outputs)]
    with recording():
        found = gradients(outputs, incoming, wrt)
    kernel = Kernel("backward", (*inputs, *incoming), tuple(one for one in found if one is not None))
    return verify.verify(kernel, "differentiation"), [one is not None for one in found]


# A cast to integers and the neighbours of a float have no slope that differences could show.
DIFFERENTIABLE = [
    name
    for name in support.ROWS
    if registry[name].differentiable
    and support.dtype_of(registry[name]) == dt.float32
    and name != "cast"
    and not name.startswith("nextafter")
]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_rules_agree_with_differences(name: str) -> None:
    kernel, arrays = support.kernel_of(name, dt.float64)
    floats = [k for k, one in enumerate(arrays) if one.dtype == dt.float64]
    seed = np.random.default_rng(3).uniform(0.5, 1.5, kernel.outputs[0].shape)
    graph, exists = backward(kernel.outputs, [kernel.inputs[k] for k in floats], kernel.inputs)
    results = iter(interp.evaluate(graph, *arrays, seed))
    for k, there in zip(floats, exists, strict=True):
        got = next(results) if there else np.zeros(arrays[k].shape)
        np.testing.assert_allclose(got, _slopes(kernel, arrays, k, seed), rtol=1e-6, atol=1e-7)


def _slopes(kernel: Kernel, arrays: list[np.ndarray], which: int, seed: np.ndarray, step: float = 1e-6) -> np.ndarray:
    result = np.zeros(arrays[which].shape)
    for place in np.ndindex(result.shape):
        ends = []
        for sign in (step, -step):
            moved = [one.copy() for one in arrays]
            moved[which][place] += sign
            ends.append((interp.evaluate(kernel, *moved)[0].astype("f8") * seed).sum())
        result[place] = (ends[0] - ends[1]) / (2 * step)
    return result


def test_a_node_used_twice_gets_both_contributions() -> None:
    x = build.array(0, dt.float64, (3,))
    with recording():
        y = add(mul(x, x), exp(x))
    graph, _ = backward((y,), [x])
    values = np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(interp.evaluate(graph, values, np.ones(3))[0], 2 * values + np.exp(values))


def test_broadcast_operands_get_sums_in_their_shape() -> None:
    x, row, number = (build.array(k, dt.float32, shape) for k, shape in enumerate([(4, 3), (3,), ()]))
    with recording():
        y = mul(add(x, row), number)
    graph, _ = backward((y,), [x, row, number])
    arrays = [np.full((4, 3), 2, "f4"), np.ones(3, "f4"), np.float32(5)]
    dx, drow, dnumber = interp.evaluate(graph, *arrays, np.ones((4, 3), "f4"))
    assert (dx.shape, drow.shape, dnumber.shape) == ((4, 3), (3,), ())
    np.testing.assert_array_equal(drow, [20, 20, 20])
    assert dnumber == 36


def test_gradients_have_the_dtype_of_their_operand() -> None:
    x, y = build.array(0, dt.float16, (3,)), build.array(1, dt.float64, (3,))
    with recording():
        z = mul(x, y)
    graph, _ = backward((z,), [x, y])
    assert [one.dtype for one in graph.outputs] == [dt.float16, dt.float64]


def test_integers_and_constants_of_the_differentiation_get_none() -> None:
    x, k = build.array(0, dt.float32, (3,)), build.array(1, dt.int32, (3,))
    with recording():
        flags, held, mixed = gt(x, 0.0), stop_gradient(x), mul(x, k)
    for output in (flags, held):
        incoming = build.array(2, output.dtype, output.shape)
        assert gradients([output], [incoming], [x]) == [None]
    found = gradients([mixed], [build.array(2, mixed.dtype, mixed.shape)], [x, k])
    assert found[0] is not None
    assert found[1] is None


def test_unused_inputs_and_missing_gradients_give_none() -> None:
    x, y = build.array(0, dt.float32, (3,)), build.array(1, dt.float32, (3,))
    with recording():
        z = sin(x)
    g = build.array(2, dt.float32, (3,))
    assert gradients([z], [g], [y]) == [None]
    assert gradients([z], [None], [x]) == [None]


def test_several_outputs_add_up() -> None:
    x = build.array(0, dt.float64, (2,))
    with recording():
        outputs = (sin(x), mul(x, 3.0))
    graph, _ = backward(outputs, [x])
    values = np.array([0.3, 1.2])
    (got,) = interp.evaluate(graph, values, np.ones(2), np.full(2, 2.0))
    np.testing.assert_allclose(got, np.cos(values) + 6)


def test_only_the_path_to_what_is_wanted_is_recorded() -> None:
    x, y = build.array(0, dt.float32, (2,)), build.array(1, dt.float32, (2,))
    with recording():
        z = mul(exp(x), y)
        (g,) = gradients([z], [build.array(2, dt.float32, (2,))], [y])
    assert g is not None
    assert {node.op.name for node in _below(g)} == {"input", "exp", "mul"}


def _below(node: Node) -> list[Node]:
    return [node, *(inner for source in node.src for inner in _below(source))]
