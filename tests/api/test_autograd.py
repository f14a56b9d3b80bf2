"""Reverse-mode differentiation, semantic by semantic, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
from tests.api.autograd_support import close, pair

torch = pytest.importorskip("torch")


# --- composites -------------------------------------------------------------------------------------------------------

X = np.random.default_rng(1).uniform(-1, 1, (3, 4)).astype("f4")

COMPOSITES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "linear": lambda lib, x, y: (x @ y.T).tanh().sum(),
    "broadcast": lambda lib, x, y: ((x + y[0]) * y[:, :1]).exp().mean(),
    "softmax": lambda lib, x, y: (lib.softmax(x * y, -1) * x).sum(),
    "log softmax": lambda lib, x, y: -(lib.log_softmax(x, 1) * y).mean(),
    "norms": lambda lib, x, y: lib.sqrt((x * x).sum() + 1) / lib.sqrt((y * y).sum()),
    "statistics": lambda lib, x, y: (x - x.mean()) @ (y / y.std(correction=1)).T.sum(1),
    "variance": lambda lib, x, y: (x.var(dim=1, correction=0) * y.sum(1)).sum(),
    "division": lambda lib, x, y: (x / (y.exp() + 1) - y / (x * x + 2)).sum(),
    "powers": lambda lib, x, y: ((x * x + 0.5) ** (y * 0.3) + x**3).sum(),
    "selection": lambda lib, x, y: lib.where(x > y, x * 2, y.sin()).sum(),
    "extremes": lambda lib, x, y: lib.maximum(x, y).sum() + lib.minimum(x, y * 2).prod() + x.amax() + y.amin(1).sum(),
    "clipping": lambda lib, x, y: (lib.clip(x, -0.5, 0.5) * y).sum(),
    "activations": lambda lib, x, y: (x.relu() + y.sigmoid() * x.abs()).sum(),
    "scans": lambda lib, x, y: (x.cumsum(1) * y.cumsum(0)).sum(),
    "running products": lambda lib, x, y: ((x + 2).cumprod(1) * y).sum(),
    "products": lambda lib, x, y: (x.prod(1) * y.prod(1)).sum(),
    "views": lambda lib, x, y: (x.T.reshape(2, 6) * y.reshape(6, 2).T).flatten().sum(),
    "slices": lambda lib, x, y: (x[1:, ::2] * y[:2, 1::2] + x[0, 1]).sum() + y[-1].sum(),
    "assembly": lambda lib, x, y: (lib.cat([x, y, x * y], 0)[2:7] ** 2).sum() + lib.stack([x, y], 1).exp().mean(),
    "logs": lambda lib, x, y: lib.log1p(x * x).sum() + lib.logsumexp(y * 3, 1).sum() + lib.log(y * y + 1).mean(),
    "trigonometry": lambda lib, x, y: (lib.sin(x) * lib.cos(y) + lib.atan2(x + 3, y + 3) + lib.tan(x * 0.5)).sum(),
    "batched product": lambda lib, x, y: (x.reshape(2, 2, 3) @ y.reshape(2, 3, 2)).square().sum(),
    "vector product": lambda lib, x, y: x[0] @ y[1] + (x @ y[0]).sum(),
    "error function": lambda lib, x, y: (lib.erf(x) * lib.exp(-y * y)).sum(),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_gradients_of_composites_equal_pytorchs(name: str) -> None:
    function = COMPOSITES[name]
    (x, tx), (y, ty) = pair(3, 4, seed=1), pair(3, 4, seed=2)
    ours, theirs = function(tn, x, y), function(torch, tx, ty)
    if theirs.ndim:
        ours, theirs = ours.sum(), theirs.sum()
    close(ours, theirs)
    ours.backward()
    theirs.backward()
    close(x.grad, tx.grad)
    close(y.grad, ty.grad)


@pytest.mark.parametrize("seed", range(6))
def test_gradients_of_random_composites_equal_pytorchs(seed: int) -> None:
    unary = ["sin", "tanh", "exp", "sigmoid", "square", "abs"]
    binary = [lambda a, b: a * b, lambda a, b: a + b, lambda a, b: a - b * 0.5, lambda a, b: a / (b * b + 1)]

    def build(lib: Any, *leaves: Any) -> Any:
        rng = np.random.default_rng(seed)
        values = list(leaves)
        for _ in range(12):
            if rng.random() < 0.5:
                one = values[rng.integers(len(values))] * 0.3
                values.append(getattr(lib, unary[rng.integers(len(unary))])(one))
            else:
                a, b = (values[k] for k in rng.integers(len(values), size=2))
                values.append(binary[rng.integers(len(binary))](a, b))
        return sum((one.mean() for one in values[3:]), values[2].sum() * 0.1)

    leaves = [pair(4, 3, seed=10 + seed), pair(3, seed=20 + seed), pair(4, 1, seed=30 + seed)]
    ours, theirs = build(tn, *(a for a, _ in leaves)), build(torch, *(b for _, b in leaves))
    close(ours, theirs)
    ours.backward()
    theirs.backward()
    for a, b in leaves:
        close(a.grad, b.grad)


# --- the tape ---------------------------------------------------------------------------------------------------------


def test_gradients_accumulate() -> None:
    (x, tx) = pair(3)
    for lib_x in (x, tx):
        (lib_x * 2).sum().backward()
        first = lib_x.grad
        (lib_x * lib_x).sum().backward()
        assert first is not None
    close(x.grad, tx.grad)
    x.grad = None
    assert x.grad is None
    (x * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3, 3, 3]


def test_a_diamond_runs_each_operation_once() -> None:
    (x, tx) = pair(4)
    for lib_x in (x, tx):
        a = lib_x.sin()
        b, c = a * 2, a.exp()
        d = b * c + a
        (d * d + b).sum().backward()
    close(x.grad, tx.grad)


def test_a_deep_graph_does_not_recurse() -> None:
    x = tn.ones(1, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y * 1.0001
    y.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 1.0001**3000, rtol=1e-3)


def test_leaves_and_results() -> None:
    x = tn.ones(2, requires_grad=True)
    y = x * 2
    assert (x.is_leaf, x.requires_grad, x.grad_fn) == (True, True, None)
    assert (y.is_leaf, y.requires_grad) == (False, True)
    assert "mul" in repr(y.grad_fn)
    assert not (tn.ones(2) * 2).requires_grad
    y.sum().backward()
    assert y.grad is None
    with pytest.raises(RuntimeError, match="only on leaf tensors"):
        y.requires_grad = False
    x.requires_grad = False
    assert not x.requires_grad


def test_detach_shares_memory_without_history() -> None:
    x = tn.ones(3, requires_grad=True)
    y = x * 2
    z = y.detach()
    assert (z.requires_grad, z.is_leaf, z.data_ptr()) == (False, True, y.data_ptr())
    (y + z * 10).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]


def test_no_grad_and_enable_grad() -> None:
    x = tn.ones(2, requires_grad=True)
    with tn.no_grad():
        assert not tn.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tn.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert tn.is_grad_enabled()

    @tn.no_grad()
    def plain() -> tn.Tensor:
        return x * 2

    @tn.enable_grad()
    def recorded() -> tn.Tensor:
        return x * 2

    for _ in range(2):
        assert not plain().requires_grad
        with tn.no_grad():
            assert recorded().requires_grad
            assert not tn.is_grad_enabled()
        assert (x * 2).requires_grad


def test_modes_end_with_an_error() -> None:
    with pytest.raises(KeyError), tn.no_grad():
        raise KeyError
    assert tn.is_grad_enabled()


def test_set_grad_enabled() -> None:
    x = tn.ones(2, requires_grad=True)
    with tn.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    tn.set_grad_enabled(False)
    assert not tn.is_grad_enabled()
    tn.set_grad_enabled(True)
    assert tn.is_grad_enabled()


def test_a_second_backward_needs_retain_graph() -> None:
    x = tn.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4, 4]
    with pytest.raises(RuntimeError, match=r"a second time.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [4, 4]


def test_backward_of_several_elements_needs_a_gradient() -> None:
    (x, tx) = pair(2, 3)
    y, ty = x * x, tx * tx
    with pytest.raises(RuntimeError, match=r"only for a tensor of one element, not for shape \(2, 3\)"):
        y.backward()
    seed = np.arange(6, dtype="f4").reshape(2, 3)
    y.backward(tn.tensor(seed))
    ty.backward(torch.tensor(seed))
    close(x.grad, tx.grad)
    with pytest.raises(RuntimeError, match=r"gradient of shape \(3,\) for a tensor of shape \(2, 3\)"):
        (x * 2).backward(tn.ones(3))
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        tn.ones(1).backward()


def test_backward_of_several_tensors() -> None:
    x = tn.ones(2, requires_grad=True)
    tn.backward([(x * 2).sum(), x * 3], [None, tn.tensor([1.0, 10.0])])
    assert x.grad is not None
    assert x.grad.tolist() == [5, 32]


def test_grad_leaves_the_tensors_alone() -> None:
    (x, tx), (y, ty) = pair(3, seed=1), pair(3, seed=2)
    ours, theirs = tn.grad((x * y.exp()).sum(), [x, y]), torch.autograd.grad((tx * ty.exp()).sum(), [tx, ty])
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)
    assert x.grad is None
    assert y.grad is None
    (single,) = tn.grad((x * 2).sum(), x)
    assert single is not None
    assert single.tolist() == [2, 2, 2]


def test_grad_of_results_inside_the_graph() -> None:
    (x, tx) = pair(3)
    y, ty = x.sin(), tx.sin()
    ours, theirs = tn.grad((y * y).sum(), [y, x]), torch.autograd.grad((ty * ty).sum(), [ty, tx])
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


def test_grad_of_an_unused_input() -> None:
    x, y = tn.ones(2, requires_grad=True), tn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"not used in the graph.*allow_unused=True"):
        tn.grad((x * 2).sum(), [x, y])
    dx, dy = tn.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert dx is not None
    assert dx.tolist() == [2, 2]
    assert dy is None
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        tn.grad((x * 2).sum(), [tn.ones(2)])


def test_grad_with_given_gradients() -> None:
    x = tn.ones(3, requires_grad=True)
    (dx,) = tn.grad(x * 2, x, grad_outputs=tn.tensor([1.0, 2.0, 3.0]))
    assert dx is not None
    assert dx.tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x**3).sum(),
        lambda x: (x.sin() * x.exp()).sum(),
        lambda x: x.softmax(0).square().sum(),
        lambda x: (x @ x).sqrt(),
    ],
)
def test_double_backward(function: Callable[[Any], Any]) -> None:
    (x, tx) = pair(4, low=0.5)
    (first,) = tn.grad(function(x), x, create_graph=True)
    (tfirst,) = torch.autograd.grad(function(tx), tx, create_graph=True)
    assert first is not None
    assert first.requires_grad
    close(first, tfirst)
    (first * first).sum().backward()
    (tfirst * tfirst).sum().backward()
    close(x.grad, tx.grad, rtol=1e-4)


def test_third_derivatives() -> None:
    x = tn.tensor([0.7], dtype="float64", requires_grad=True)
    value: Any = x.sin()
    for expected in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7)):
        (value,) = tn.grad(value, x, create_graph=True)
        np.testing.assert_allclose(value.item(), expected, rtol=1e-12)


def test_create_graph_with_backward() -> None:
    (x, tx) = pair(3)
    (x**3).sum().backward(create_graph=True)
    (tx**3).sum().backward(create_graph=True)
    assert x.grad is not None
    assert x.grad.requires_grad
    (dx,) = tn.grad(x.grad.sum(), x)
    (tdx,) = torch.autograd.grad(tx.grad.sum(), tx)
    close(dx, tdx)


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_see_and_replace_gradients() -> None:
    (x, tx) = pair(3)
    seen: list[Any] = []
    for lib_x in (x, tx):
        y = lib_x * 2
        y.register_hook(lambda g: seen.append(g.detach().numpy().tolist()))
        y.register_hook(lambda g: g * 10)
        lib_x.register_hook(lambda g: g + 1)
        (y * y).sum().backward()
    assert seen[0] == pytest.approx(seen[1])
    close(x.grad, tx.grad)


def test_hooks_see_the_whole_gradient_once() -> None:
    x = tn.ones(1, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3 + x).sum().backward()
    assert seen == [6]


def test_hooks_can_be_removed() -> None:
    x = tn.ones(1, requires_grad=True)
    seen: list[int] = []
    first = x.register_hook(lambda g: seen.append(1))
    x.register_hook(lambda g: seen.append(2))
    first.remove()
    (x * 2).backward()
    assert seen == [2]
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        tn.ones(1).register_hook(lambda g: None)


def test_retain_grad() -> None:
    (x, tx) = pair(3)
    y, ty = x * 2, tx * 2
    y.retain_grad()
    ty.retain_grad()
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(y.grad, ty.grad)
    close(x.grad, tx.grad)


def test_setting_grad() -> None:
    x = tn.ones(3, requires_grad=True)
    x.grad = tn.full((3,), 2.0)
    (x * 1).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]
    with pytest.raises(ValueError, match=r"gradient of shape \(2,\) for a tensor of shape \(3,\)"):
        x.grad = tn.ones(2)
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        tn.ones(3).grad = tn.ones(3)


# --- changes in place -------------------------------------------------------------------------------------------------


def test_a_leaf_cannot_change_in_place() -> None:
    x = tn.ones(3, requires_grad=True)

    def change() -> None:
        nonlocal x
        x += 1

    def assign() -> None:
        x[0] = 5

    for action in (change, assign, lambda: x.mul_(2), x.zero_, lambda: x.fill_(3)):
        with pytest.raises(RuntimeError, match=r"a leaf tensor of shape \(3,\) that requires a gradient.*no_grad"):
            action()
    assert x.tolist() == [1, 1, 1]
    with tn.no_grad():
        x += 1
        x[0] = 5
    assert x.tolist() == [5, 2, 2]
    assert x.is_leaf


def test_a_saved_tensor_that_changed_is_an_error_that_names_both_lines() -> None:
    x = tn.ones(2, 3, requires_grad=True)
    y = x.exp()
    z = y * y  # saved here
    with tn.no_grad():
        y += 1  # changed here
    lines = open(__file__).read().splitlines()  # noqa: SIM115
    saved = next(k for k, line in enumerate(lines, 1) if line.endswith("# saved here"))
    changed = next(k for k, line in enumerate(lines, 1) if line.endswith("# changed here"))
    with pytest.raises(RuntimeError) as caught:
        z.sum().backward()
    message = str(caught.value)
    assert "backward of mul" in message
    assert "shape (2, 3)" in message
    assert f"{__file__}:{saved}" in message
    assert f"{__file__}:{changed}" in message
    assert "clone()" in message


@pytest.mark.parametrize("how", ["view", "slice", "numpy", "detach", "assignment", "kernel"])
def test_every_way_to_change_memory_counts(how: str) -> None:
    x = tn.ones(4, requires_grad=True)
    y = x * 1
    z = (y * y).sum()
    with tn.no_grad():
        if how == "view":
            y.reshape(2, 2).add_(1)
        elif how == "slice":
            y[1:] *= 2
        elif how == "detach":
            y.detach().mul_(2)
        elif how == "assignment":
            y[0] = 3
        elif how == "kernel":
            tn.kernel(lambda a: a * 2, inplace=(0,))(y)
        else:
            # Writes through NumPy are not seen, in PyTorch neither.
            y.detach().numpy()[0] = 3
    if how == "numpy":
        z.backward()
        assert x.grad is not None
        assert x.grad.tolist() == [6, 2, 2, 2]
        return
    with pytest.raises(RuntimeError, match="was changed in place"):
        z.backward()


def test_a_change_of_what_was_not_saved_is_fine() -> None:
    x = tn.ones(3, requires_grad=True)
    y = x * 2
    z = y + 1
    with tn.no_grad():
        y *= 100
    z.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]


def test_operators_in_place_are_recorded() -> None:
    (x, tx) = pair(4)
    for lib, lib_x in ((tn, x), (torch, tx)):
        y = lib_x * 2
        y += lib_x
        y *= lib.exp(lib_x)
        y -= 1
        y /= 3
        y.sum().backward()
    close(x.grad, tx.grad)


def test_a_tensor_multiplied_by_itself_in_place_keeps_its_old_value_for_backward() -> None:
    x, tx = pair(4)
    y = x * 2
    y *= y
    (y * y).sum().backward()
    ((tx * 2) ** 4).sum().backward()
    close(x.grad, tx.grad)


def test_an_overlapping_operand_keeps_its_old_value_for_backward() -> None:
    x, tx = pair(5)
    y, ty = x * 2, tx * 2
    y[1:] *= y[:-1]
    (y * y).sum().backward()
    torch.cat([ty[:1], ty[1:] * ty[:-1]]).square().sum().backward()
    close(x.grad, tx.grad)


def test_assignment_is_recorded() -> None:
    (x, tx), (v, tv) = pair(3, 4, seed=1), pair(4, seed=2)
    for lib_x, lib_v in ((x, v), (tx, tv)):
        y = lib_x * 2
        y[1] = lib_v * 3
        y[:, 0] = 7
        y[2, 1:] = lib_x[0, 1:]
        (y * y).sum().backward()
    close(x.grad, tx.grad)
    close(v.grad, tv.grad)


def test_assignment_into_a_tensor_without_history_gives_it_one() -> None:
    (v, tv) = pair(3)
    for lib, lib_v in ((tn, v), (torch, tv)):
        buffer = lib.zeros(2, 3)
        buffer[1] = lib_v * 2
        assert buffer.requires_grad
        (buffer * buffer).sum().backward()
    close(v.grad, tv.grad)


def test_a_value_of_more_axes_is_assigned() -> None:
    (v, tv) = pair(1, 3)
    for lib, lib_v in ((tn, v), (torch, tv)):
        buffer = lib.zeros(2, 3)
        buffer[0] = lib_v * 2
        (buffer * buffer).sum().backward()
    close(v.grad, tv.grad)
