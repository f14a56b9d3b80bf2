"""Differentiable calls that are known: the second and later ones take a shorter way, with the same results."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import trueno as tn


def leaf(*values):
    return tn.tensor(values, requires_grad=True)


def repeated(call, times=3):
    return [call() for _ in range(times)]


def test_repeated_calls_have_the_gradients_of_the_first():
    x, y = leaf(1.0, 2.0, 3.0), leaf(4.0, 5.0, 6.0)
    grads = []
    for _ in range(3):
        x.grad = y.grad = None
        (x * y + tn.exp(x)).sum().backward()
        grads.append((x.grad.numpy().copy(), y.grad.numpy().copy()))
    for gx, gy in grads:
        np.testing.assert_allclose(gx, y.detach().numpy() + np.exp(x.detach().numpy()), rtol=1e-6)
        np.testing.assert_allclose(gy, x.detach().numpy())


def test_static_arguments_are_told_apart():
    x = tn.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3), requires_grad=True)
    for _ in range(2):
        assert tn.sum(x, 0).shape == (3,) and tn.sum(x, 1).shape == (2,) and tn.sum(x).shape == ()
        assert tn.sum(x, axis=1, keepdims=True).shape == (2, 1) and tn.sum(x, 1, keepdims=False).shape == (2,)
        for result in (tn.sum(x, 0), tn.sum(x, 1), tn.sum(x, axis=(0, 1))):
            x.grad = None
            result.sum().backward()
            np.testing.assert_array_equal(x.grad.numpy(), np.ones((2, 3)))


def test_which_operands_need_gradients_is_told_apart():
    x, y, z = leaf(1.0, 2.0), leaf(3.0, 4.0), tn.tensor([5.0, 6.0])
    for _ in range(2):
        for a, b in ((x, y), (x, z), (z, y)):
            x.grad = y.grad = None
            (a * b).sum().backward()
            assert (x.grad is None) == (a is not x) and (y.grad is None) == (b is not y)
        assert not (z * z).requires_grad
        with tn.no_grad():
            assert not (x * y).requires_grad


def test_scalars_of_other_types_and_values():
    x = leaf(1.0, 2.0)
    for scalar in (2.0, 3.0, 2, 5, True, 2.5):
        x.grad = None
        (x * scalar).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full(2, scalar, np.float32))


def test_lists_and_arrays_as_operands():
    x = leaf(1.0, 2.0)
    for other in ([3.0, 4.0], np.array([5.0, 6.0], np.float32), [7.0, 8.0]):
        x.grad = None
        (x * other).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.asarray(other, np.float32))


def test_views_share_memory_and_pass_gradients_on():
    x = tn.tensor(np.arange(6.0, dtype=np.float32), requires_grad=True)
    for _ in range(3):
        x.grad = None
        (x.reshape(2, 3).T[1:] * 2.0).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [0, 2, 2, 0, 2, 2])


def test_hooks_of_results_that_nobody_holds():
    x = leaf(1.0, 2.0)
    for _ in range(2):
        seen = []
        y = x * 3.0
        y.register_hook(lambda g, seen=seen: seen.append(g.numpy().copy()) or g * 10.0)
        z = y.sum()
        del y
        x.grad = None
        z.backward()
        assert len(seen) == 1
        np.testing.assert_array_equal(x.grad.numpy(), [30.0, 30.0])


def test_a_graph_is_freed_without_the_garbage_collector():
    x = leaf(1.0, 2.0)
    gc.collect()
    gc.disable()
    try:
        results = repeated(lambda: weakref.ref(tn.exp(x * x)))
    finally:
        gc.enable()
    assert all(one() is None for one in results)


def test_second_derivatives_through_saved_results():
    for _ in range(2):
        x = tn.tensor([0.5, 1.0], dtype="float64", requires_grad=True)
        (first,) = tn.grad(tn.exp(x).sum(), x, create_graph=True)
        (second,) = tn.grad(first.sum(), x)
        np.testing.assert_allclose(second.numpy(), np.exp(x.detach().numpy()))


def test_the_error_names_both_lines():
    x = leaf(1.0, 2.0)
    for _ in range(2):
        y = x * 2.0
        z = y * y
        y += 1.0
        with pytest.raises(RuntimeError, match=r"test_taped\.py:\d+ .*changed in place at .*test_taped\.py:\d+"):
            z.sum().backward()


def test_a_change_through_a_view_made_before_saving_is_noticed():
    for _ in range(3):
        x = leaf(1.0, 2.0, 3.0)
        y = x * 1.0
        with tn.no_grad():
            view = y[1:]
        z = y * y
        view += 100.0
        with pytest.raises(RuntimeError, match="changed in place"):
            z.sum().backward()


def test_a_gradient_of_one_is_not_shared_between_passes():
    x = tn.tensor(2.0, requires_grad=True)
    x.backward()
    first = x.grad
    first *= 5.0
    x.grad = None
    x.backward()
    assert x.grad.item() == 1.0
