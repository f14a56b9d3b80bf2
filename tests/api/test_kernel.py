"""`@trueno.kernel`: one launch a call, what is static and what is not, and what cannot be recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno.runtime import cpu, launcher
from trueno.runtime.operation import Operation


def calls() -> int:
    """Return how many kernels the launcher has run or passed on."""
    total = launcher.statistics()["total"]
    return total["hits"] + total["misses"]


def test_a_kernel_is_one_launch_and_one_compilation() -> None:
    @tn.kernel
    def softmax(x: Any, *, axis: int) -> Any:
        """Softmax."""
        e = tn.exp(x - tn.max(x, axis, keepdims=True))
        return e / tn.sum(e, axis, keepdims=True)

    x = tn.tensor(np.random.default_rng(0).normal(size=(5, 7)).astype("f4"))
    before = cpu.loaded()
    first = softmax(x, axis=1)
    assert cpu.loaded() == before + 1
    launches = calls()
    again = softmax(x, axis=1)
    assert calls() == launches + 1
    e = np.exp(x.numpy() - x.numpy().max(1, keepdims=True))
    for got in (first, again):
        np.testing.assert_allclose(got.numpy(), e / e.sum(1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(softmax(x, axis=0).numpy().sum(0), np.ones(7), rtol=1e-6)
    assert softmax.__doc__ == "Softmax."
    assert softmax.__name__ == "softmax"


def test_the_gradient_is_one_launch_too() -> None:
    @tn.kernel
    def squares(x: Any, y: Any) -> Any:
        return tn.sum(tn.square(x - y)) * 0.5 + tn.sum(tn.tanh(x))

    x, y = tn.rand(6, requires_grad=True), tn.rand(6, requires_grad=True)
    for _ in range(2):
        value = squares(x, y)
        before = calls()
        dx, dy = tn.grad(value, [x, y])
        launches = calls() - before
    # The seed of the backward pass is one launch, the backward kernel the other.
    assert launches <= 2
    difference = (x - y).detach().numpy()
    np.testing.assert_allclose(dx.numpy(), difference + 1 - np.tanh(x.detach().numpy()) ** 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dy.numpy(), -difference, rtol=1e-5, atol=1e-6)


def test_a_thousand_python_scalars_compile_one_kernel() -> None:
    @tn.kernel
    def scaled(x: Any, a: Any, b: float = 0.5) -> Any:
        return x * a + b

    x = tn.arange(4.0)
    scaled(x, 0.25)
    before = cpu.loaded()
    for k in range(1000):
        np.testing.assert_allclose(scaled(x, k / 7, float(k)).numpy(), x.numpy() * np.float32(k / 7) + k, rtol=1e-6)
    assert cpu.loaded() <= before + 1, "one for the call with b, which was static's default before"
    scaled(x, 3, True)
    assert cpu.loaded() <= before + 3


def test_a_thousand_scalars_of_an_operator_compile_one_kernel() -> None:
    x = tn.arange(6.0).reshape(2, 3)
    x * 0.5
    before = cpu.loaded()
    for k in range(1000):
        assert (x * (k + 0.5))[1, 2].item() == 5 * (k + 0.5)
    assert cpu.loaded() == before


def test_a_thousand_shapes_compile_few_kernels() -> None:
    operation = Operation("shapes", lambda a, b: a * b - 3, 2)
    before = cpu.loaded()
    rng = np.random.default_rng(0)
    for _ in range(1000):
        shape = tuple(int(one) for one in rng.integers(1, 12, rng.integers(1, 4)))
        made = operation.call(tn.ones(shape), tn.full(shape, 5.0))
        assert made.shape == shape
        assert made.ravel()[-1].item() == 2
    assert cpu.loaded() - before <= 4


def test_keyword_arguments_and_defaults_that_are_no_floats_are_static() -> None:
    seen = []

    @tn.kernel
    def summed(x: Any, axis: int = 0, *, times: int = 1, flag: bool = False) -> Any:
        seen.append((axis, times, flag))
        assert isinstance(times, int)
        result = tn.sum(x, axis)
        return result * times if flag else result

    x = tn.ones(2, 3)
    assert summed(x).tolist() == [2, 2, 2]
    assert summed(x, 1, times=4, flag=True).tolist() == [12, 12]
    assert summed(x, 1, times=4, flag=True).tolist() == [12, 12]
    assert summed(x, 1, times=5, flag=True).tolist() == [15, 15]
    assert seen == [(0, 1, False), (1, 4, True), (1, 5, True)]


def test_operands_are_tensors_arrays_and_numbers() -> None:
    @tn.kernel
    def mixed(x: Any, y: Any, z: Any) -> Any:
        return x * y + z

    array = np.arange(3, dtype="f4")
    for x, y, z in (
        (array, tn.ones(3), 2),
        (2.0, array, tn.ones(3)),
        (array, array, np.float32(1)),
        (1, 2, 3),
        ([1, 2, 3], 2, 1),
    ):
        expected = np.asarray(x) * np.asarray(y) + np.asarray(z)
        np.testing.assert_allclose(mixed(x, y, z).numpy(), expected)
    assert type(mixed(array, array, array)) is tn.Tensor


def test_several_results() -> None:
    @tn.kernel
    def both(x: Any) -> Any:
        return tn.sum(x, 0), x * 2, tn.argmax(x, 1)

    total, twice, places = both(tn.arange(6.0).reshape(2, 3))
    assert (total.tolist(), twice.tolist(), places.tolist()) == ([3, 5, 7], [[0, 2, 4], [6, 8, 10]], [2, 2])
    assert str(places.dtype) == "int64"


def test_numbers_and_operands_may_be_results() -> None:
    @tn.kernel
    def odd(x: Any, a: Any) -> Any:
        return x, a, 2, 1.5, True

    results = odd(tn.ones(2), 3)
    assert [one.tolist() for one in results] == [[1, 1], 3, 2, 1.5, True]


def test_kernels_call_kernels_and_methods() -> None:
    @tn.kernel
    def inner(x: Any) -> Any:
        return (x + 1).exp()

    @tn.kernel
    def outer(x: Any) -> Any:
        return inner(x).sum(axis=0) + x.T.reshape(-1)[0] + x[..., 0].max()

    x = tn.rand(3, 2)
    before = cpu.loaded()
    got = outer(x)
    assert cpu.loaded() == before + 1
    a = x.numpy()
    np.testing.assert_allclose(got.numpy(), np.exp(a + 1).sum(0) + a[0, 0] + a[:, 0].max(), rtol=1e-5)


def test_variadic_kernels() -> None:
    @tn.kernel
    def total(*arrays: Any) -> Any:
        result = arrays[0]
        for one in arrays[1:]:
            result = result + one
        return result

    assert total(tn.ones(2), tn.ones(2), 3).tolist() == [5, 5]
    assert total(tn.ones(2)).tolist() == [1, 1]


def test_names() -> None:
    @tn.kernel(name="halve")
    def unnamed(x: Any) -> Any:
        return x / 2

    assert unnamed.__name__ == "halve"
    x = tn.ones(1, requires_grad=True)
    assert "halve" in repr(unnamed(x))


# --- in place ---------------------------------------------------------------------------------------------------------


def test_inplace_writes_into_operands() -> None:
    @tn.kernel(inplace=(0, 1))
    def momentum(p: Any, v: Any, g: Any, lr: Any) -> Any:
        v = v * 0.9 + g
        return p - v * lr, v

    p, v, g = tn.ones(3), tn.zeros(3), tn.full((3,), 2.0)
    address = p.data_ptr()
    result = momentum(p, v, g, 0.5)
    assert result[0] is p
    assert result[1] is v
    assert p.data_ptr() == address
    assert (p.tolist(), v.tolist()) == ([0, 0, 0], [2, 2, 2])
    momentum(p, v, g, 0.5)
    np.testing.assert_allclose(v.numpy(), np.full(3, 3.8), rtol=1e-6)
    np.testing.assert_allclose(p.numpy(), np.full(3, -1.9), rtol=1e-6)


@pytest.mark.parametrize("size", [8, 5000])
def test_inplace_results_that_read_other_elements(size: int) -> None:
    @tn.kernel(inplace=(0,))
    def reverse(x: Any) -> Any:
        return x[::-1] * 2

    @tn.kernel(inplace=(0,))
    def running(x: Any) -> Any:
        return tn.cumsum(x, axis=0) + x[0]

    array = np.arange(size, dtype="f4") % 7
    x = tn.tensor(array)
    reverse(x)
    np.testing.assert_array_equal(x.numpy(), array[::-1] * 2)
    y = tn.tensor(array)
    running(y)
    np.testing.assert_array_equal(y.numpy(), np.cumsum(array) + array[0])


def test_inplace_results_must_fit() -> None:
    @tn.kernel(inplace=(0,))
    def wider(x: Any, y: Any) -> Any:
        return x + y

    with pytest.raises(ValueError, match=r"wider: non-broadcastable output: the target has shape \(3,\)"):
        wider(tn.ones(3), tn.ones(2, 3))
    with pytest.raises(TypeError, match="wider: cannot write a result of dtype float64 into an array of float32"):
        wider(tn.ones(3), tn.ones(3, dtype="float64"))


# --- what cannot be recorded ------------------------------------------------------------------------------------------


def _branch(x: Any) -> Any:
    return x if x > 0 else -x


def _loop(x: Any) -> Any:
    return sum(one for one in x)


def _number(x: Any) -> Any:
    return x * float(x)


def _assign(x: Any) -> Any:
    x[0] = 1
    return x


def _item(x: Any) -> Any:
    return x * x.item()


def _numpy(x: Any) -> Any:
    return np.sin(x)


def _index(x: Any) -> Any:
    return [1, 2, 3][x]


def _backward(x: Any) -> Any:
    x.backward()


REFUSED = {
    _branch: "where(condition, a, b)", _loop: "operations on whole arrays", _number: "0-d arrays broadcast",
    _assign: "use where, concatenate or pad", _item: "Keep the value an array", _index: "gather(x, index, axis=...)",
    _backward: "kernels are differentiated as a whole",
}  # fmt: skip


@pytest.mark.parametrize("function", REFUSED, ids=lambda one: one.__name__)
def test_unsupported_python_names_the_line_and_what_to_write(function: Any) -> None:
    with pytest.raises(tn.KernelError) as caught:
        tn.kernel(function)(tn.tensor(1.0) if function is _index else tn.ones(3))
    message = str(caught.value)
    lines = Path(__file__).read_text().splitlines()
    _, line, rest = message.removeprefix(__file__).split(":", 2)
    assert message.startswith(f"{__file__}:")
    assert lines[int(line) - 1].strip() in rest
    assert "inside a kernel" in rest
    assert REFUSED[function] in rest
    assert isinstance(caught.value, TypeError)


def test_numpy_functions_inside_a_kernel_are_refused() -> None:
    with pytest.raises(TypeError):
        tn.kernel(_numpy)(tn.ones(3))


def test_a_kernel_that_returns_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="'str' object"):
        tn.kernel(lambda x: "text")(tn.ones(2))


def test_an_error_in_a_kernel_is_the_error_of_the_call() -> None:
    @tn.kernel
    def wrong(x: Any) -> Any:
        return x + tn.reshape(x, (2, 2))

    with pytest.raises(ValueError, match=r"reshape.*\(3,\).*\(2, 2\)"):
        wrong(tn.ones(3))
    assert wrong.__name__ == "wrong"


def test_an_array_for_a_static_parameter_is_named() -> None:
    @tn.kernel
    def layer(x: Any, bias: Any = None) -> Any:
        return x if bias is None else x + bias

    with pytest.raises(TypeError, match="layer: 'bias' is given an array, but parameters with a default are static"):
        layer(tn.ones(3), tn.ones(3))
    with pytest.raises(TypeError, match="'bias' is given an array"):
        layer(tn.ones(3), bias=tn.ones(3))
