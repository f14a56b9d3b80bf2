"""Gradients through views, several outputs, integers and empty tensors; gradcheck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.api.autograd_support import close, pair

torch = pytest.importorskip("torch")


# --- views, several outputs, integers ---------------------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda x: x.reshape(4, 3), "transpose": lambda x: x.T, "slice": lambda x: x[1:, ::2],
    "row": lambda x: x[-1], "new axis": lambda x: x[:, None], "expand": lambda x: x[:1].expand(5, 4),
    "flatten": lambda x: x.flatten(), "permute": lambda x: x.reshape(2, 2, 3).permute(2, 0, 1),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "swapaxes": lambda x: x.swapaxes(0, 1), "number": lambda x: x[1, 2],
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views_pass_gradients_on(name: str) -> None:
    (x, tx) = pair(3, 4)
    for lib_x in (x, tx):
        view = VIEWS[name](lib_x * 1)
        (view * view).sum().backward()
    close(x.grad, tx.grad)
    with tn.no_grad():
        assert not VIEWS[name](x).requires_grad


def test_several_outputs() -> None:
    @tn.kernel
    def parts(x: Any) -> Any:
        return tn.sin(x), tn.sum(x), tn.argmax(x), x * 2

    x = tn.tensor([0.5, 1.5, 1.0], requires_grad=True)
    first, total, place, twice = parts(x)
    assert first.requires_grad
    assert total.requires_grad
    assert not place.requires_grad
    assert place.item() == 1
    (first * twice).sum().backward(retain_graph=True)
    a = np.array([0.5, 1.5, 1.0])
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.cos(a) * 2 * a + 2 * np.sin(a), rtol=1e-6)
    x.grad = None
    total.backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_split_and_iteration() -> None:
    (x, tx) = pair(4, 3)
    a, b = x.split(2)
    ta, tb = tx.split(2)
    (a * 2 + b * b).sum().backward()
    (ta * 2 + tb * tb).sum().backward()
    sum(row.exp().sum() * k for k, row in enumerate(x)).backward()
    sum(row.exp().sum() * k for k, row in enumerate(tx)).backward()
    close(x.grad, tx.grad)


def test_integer_results_have_no_gradient() -> None:
    x = tn.tensor([1.0, 3.0, 2.0], requires_grad=True)
    for made in (x.argmax(), x > 1, x.long(), x.count_nonzero(), x.isnan()):
        assert not made.requires_grad
    assert (x * (x > 1)).requires_grad
    (x * x.long()).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 3, 2]


def test_casts_pass_gradients_in_their_own_dtype() -> None:
    x = tn.ones(3, requires_grad=True)
    y = tn.ones(3, dtype="float64", requires_grad=True)
    (x.double() * y * 3).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    h = tn.ones(3, dtype="bfloat16", requires_grad=True)
    (h * 3).sum().backward()
    assert h.grad is not None
    assert h.grad.dtype == tn.bfloat16


def test_gather_and_scatter() -> None:
    (x, tx) = pair(3, 4)
    index = np.array([[0, 0, 3], [1, 2, 1], [3, 3, 3]])
    x.gather(tn.tensor(index), axis=1).square().sum().backward()
    tx.gather(1, torch.tensor(index)).square().sum().backward()
    close(x.grad, tx.grad)


def test_ties_share_gradients_as_in_pytorch() -> None:
    values = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], "f4")
    x, tx = tn.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    x.amax(1).sum().backward()
    tx.amax(1).sum().backward()
    close(x.grad, tx.grad)
    x.grad = tx.grad = None
    tn.maximum(x, 2.0).sum().backward()
    torch.maximum(tx, torch.tensor(2.0)).sum().backward()
    close(x.grad, tx.grad)


def test_zero_dimensions_and_empty_tensors() -> None:
    x = tn.tensor(2.0, requires_grad=True)
    (x * x).backward()
    assert x.grad is not None
    assert (x.grad.shape, x.grad.item()) == ((), 4)
    empty = tn.zeros(0, 3, requires_grad=True)
    empty.exp().sum().backward()
    assert empty.grad is not None
    assert empty.grad.shape == (0, 3)


def test_the_same_tensor_twice() -> None:
    (x, tx) = pair(3, 3)
    (x @ x + x * x).sum().backward()
    (tx @ tx + tx * tx).sum().backward()
    close(x.grad, tx.grad)


def test_gradients_are_not_shared_between_leaves() -> None:
    x, y = tn.ones(2, requires_grad=True), tn.ones(2, requires_grad=True)
    (x + y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    with tn.no_grad():
        x.grad[0] = 50
    assert y.grad.tolist() == [1, 1]


def test_gradcheck() -> None:
    x = tn.rand(3, dtype="float64", requires_grad=True)
    y = tn.rand(3, dtype="float64", requires_grad=True)
    assert tn.gradcheck(lambda a, b: (a * b.exp(), a.sin().sum()), [x, y])
    assert tn.gradgradcheck(lambda a, b: (a * b.exp()).sum(), [x, y])
    with pytest.raises(ValueError, match="requires a gradient"):
        tn.gradcheck(lambda a: a, [tn.ones(1)])


def test_gradcheck_finds_a_wrong_gradient() -> None:
    x = tn.rand(3, dtype="float64", requires_grad=True)

    def wrong(a: Any) -> Any:
        return a * 2 + (a.detach() ** 2)

    with pytest.raises(RuntimeError, match="gradcheck: output 0, input 0"):
        tn.gradcheck(wrong, [x])
    assert tn.gradcheck(wrong, [x], raise_exception=False) is False
