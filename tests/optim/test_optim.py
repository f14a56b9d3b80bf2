"""Optimisers against PyTorch's: the same parameters after every step."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from trueno import nn, optim
from trueno.runtime import launcher

STEPS = 5
SHAPES = ((3, 4), (5,), (2, 2))


def values(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng([number, seed]).normal(size=SHAPES[number]).astype(np.float32)


def parameters() -> tuple[list[nn.Parameter], list[torch.nn.Parameter]]:
    arrays = [values(k, 0) for k in range(len(SHAPES))]
    return [nn.Parameter(tn.tensor(a)) for a in arrays], [torch.nn.Parameter(torch.tensor(a)) for a in arrays]


def give_gradients(mine: list[nn.Parameter], theirs: list[torch.nn.Parameter], step: int) -> None:
    """The last parameter has none in the first step, so that steps are counted for each."""
    for k, (a, b) in enumerate(zip(mine, theirs)):
        if step == 0 and k == len(SHAPES) - 1:
            continue
        array = values(k, step + 1)
        a.grad, b.grad = tn.tensor(array), torch.tensor(array)


def assert_equal(mine: list[nn.Parameter], theirs: list[torch.nn.Parameter]) -> None:
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-6)


def follow(name: str, settings: dict[str, Any]) -> None:
    mine, theirs = parameters()
    a, b = getattr(optim, name)(mine, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(STEPS):
        give_gradients(mine, theirs, step)
        a.step()
        b.step()
        assert_equal(mine, theirs)


@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov"), [(0, 0, False), (0.9, 0, False), (0.9, 0.3, False), (0.9, 0, True)]
)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("maximize", [False, True])
def test_sgd(momentum: float, dampening: float, nesterov: bool, weight_decay: float, maximize: bool) -> None:
    follow("SGD", {"lr": 0.1, "momentum": momentum, "dampening": dampening, "nesterov": nesterov,
                   "weight_decay": weight_decay, "maximize": maximize})  # fmt: skip


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize(("amsgrad", "maximize"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adam(name: str, amsgrad: bool, maximize: bool, weight_decay: float) -> None:
    follow(name, {"lr": 0.01, "amsgrad": amsgrad, "maximize": maximize, "weight_decay": weight_decay})


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_defaults_are_pytorchs(name: str) -> None:
    follow(name, {})


def test_adam_settings() -> None:
    follow("Adam", {"betas": (0.3, 0.7), "eps": 1e-3, "lr": 0.1})


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_one_launch_for_all_parameters_and_no_compilation_for_another_learning_rate(name: str) -> None:
    mine, theirs = parameters()
    give_gradients(mine, theirs, 1)
    optimizer = getattr(optim, name)(mine, lr=0.1)
    optimizer.step()
    before, calls = tn.cache_statistics(), launcher.statistics()[name.lower()]
    for step in range(20):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 2)
        optimizer.step()
    after, now = tn.cache_statistics(), launcher.statistics()[name.lower()]
    assert after["compiled"] == before["compiled"]
    assert after["hits"] == before["hits"]
    assert now["hits"] + now["misses"] - calls["hits"] - calls["misses"] == 20


def test_many_parameters_take_few_launches_of_one_kernel() -> None:
    mine = [nn.Parameter(tn.full((k % 5 + 1, 3), float(k))) for k in range(60)]
    for one in mine:
        one.grad = tn.ones(*one.shape)
    optim.SGD(mine, lr=0.5).step()
    for k, one in enumerate(mine):
        assert (one.detach().numpy() == k - 0.5).all()


def test_step_between_forward_and_backward_is_an_error() -> None:
    parameter = nn.Parameter(tn.ones(2))
    loss = (parameter * parameter).sum()
    parameter.grad = tn.ones(2)
    optim.SGD([parameter], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_groups_have_settings_of_their_own() -> None:
    mine, theirs = parameters()
    groups = [[{"params": one[:2]}, {"params": one[2], "lr": 0.5, "momentum": 0.0}] for one in (mine, theirs)]
    a, b = optim.SGD(groups[0], lr=0.1, momentum=0.9), torch.optim.SGD(groups[1], lr=0.1, momentum=0.9)
    for step in range(3):
        give_gradients(mine, theirs, step)
        a.step()
        b.step()
    assert_equal(mine, theirs)


def test_closure_runs_with_gradients() -> None:
    (parameter, *_), _ = parameters()
    optimizer = optim.SGD([parameter], lr=0.1)

    def closure() -> tn.Tensor:
        optimizer.zero_grad()
        loss = (parameter * parameter).sum()
        loss.backward()
        return loss

    losses = []
    with tn.no_grad():
        for _ in range(3):
            losses.append(optimizer.step(closure).item())
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize(
    ("name", "settings"), [("Adam", {"amsgrad": True}), ("SGD", {"momentum": 0.9, "lr": 0.1}), ("SGD", {"lr": 0.1})]
)
@pytest.mark.parametrize("source", ["trueno", "torch"])
def test_state_goes_on_where_it_was_saved(name: str, settings: dict[str, Any], source: str) -> None:
    mine, theirs = parameters()
    a, b = getattr(optim, name)(mine, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(1, 3):
        give_gradients(mine, theirs, step)
        a.step()
        b.step()
    again = [nn.Parameter(one.detach().clone()) for one in mine]
    restored = getattr(optim, name)(again, lr=7.0)
    restored.load_state_dict((a if source == "trueno" else b).state_dict())
    assert restored.param_groups[0]["lr"] == a.param_groups[0]["lr"]
    for step in range(3, 5):
        give_gradients(again, theirs, step)
        restored.step()
        b.step()
    assert_equal(again, theirs)


def test_state_dict_has_pytorchs_keys() -> None:
    mine, theirs = parameters()
    a, b = optim.Adam(mine), torch.optim.Adam(theirs)
    give_gradients(mine, theirs, 0)
    a.step()
    b.step()
    state, expected = a.state_dict(), b.state_dict()
    assert list(state["state"]) == list(expected["state"]) == [0, 1]
    assert list(state["state"][0]) == list(expected["state"][0])
    assert state["param_groups"][0]["params"] == [0, 1, 2]


def test_load_state_dict_refuses_other_groups() -> None:
    mine, _ = parameters()
    optimizer = optim.SGD(mine)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0]}]})


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda p: optim.SGD([]), ValueError, "empty parameter list"),
        (optim.SGD, TypeError, "iterable of Tensors or dicts, but got Parameter"),
        (lambda p: optim.SGD([3.0]), TypeError, "one of the params is float"),
        (lambda p: optim.SGD([p * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda p: optim.SGD([p, p]), ValueError, "more than one parameter group, or twice"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda p: optim.SGD([p], momentum=float("nan")), ValueError, "Invalid momentum value: nan"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "requires a momentum and zero dampening"),
        (lambda p: optim.Adam([p], betas=(1, 0.9)), ValueError, "Invalid beta parameter at index 0: 1"),
        (lambda p: optim.Adam([p], eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda p: optim.SGD([p]).add_param_group(3), TypeError, "param_group must be a dict, but got int"),
    ],
)
def test_bad_arguments(make: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        make(nn.Parameter(tn.ones(2)))


def test_repr_and_zero_grad() -> None:
    mine, theirs = parameters()
    optimizer = optim.SGD(mine, lr=0.5)
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.5\n    maximize: False\n")
    give_gradients(mine, theirs, 1)
    optimizer.zero_grad(set_to_none=False)
    assert all(one.grad is not None and not one.grad.numpy().any() for one in mine)
    optimizer.zero_grad()
    assert all(one.grad is None for one in mine)


@pytest.mark.opencl
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_optimiser_on_opencl(name: str) -> None:
    array, gradient = values(0, 0), values(0, 1)
    results = []
    for device in ("cpu", "opencl:0"):
        parameter = nn.Parameter(tn.tensor(array).to(device))
        optimizer = getattr(optim, name)([parameter], lr=0.1)
        for _ in range(2):
            parameter.grad = tn.tensor(gradient).to(device)
            optimizer.step()
        results.append(parameter.detach().cpu().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-6)
