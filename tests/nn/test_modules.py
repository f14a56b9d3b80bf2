"""Modules: values, gradients, state and text, against PyTorch's."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import trueno as tn
from trueno import nn


class Net(nn.Module):
    """Two layers, a buffer and a container."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.rest = nn.ModuleList([nn.ReLU(), nn.Linear(8, 3, bias=False)])
        self.register_buffer("scale", tn.ones(3))
        self.register_buffer("scratch", tn.zeros(1), persistent=False)

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        x = self.first(x)
        for module in self.rest:
            x = module(x)
        return x * self.scale


class TorchNet(torch.nn.Module):
    """The same in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.rest = torch.nn.ModuleList([torch.nn.ReLU(), torch.nn.Linear(8, 3, bias=False)])
        self.register_buffer("scale", torch.ones(3))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for module in self.rest:
            x = module(x)
        return x * self.scale


@pytest.fixture
def pair() -> tuple[Net, TorchNet]:
    mine, theirs = Net(), TorchNet()
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def test_network_gives_pytorchs_values_and_gradients(pair: tuple[Net, TorchNet]) -> None:
    mine, theirs = pair
    x, target = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32), np.array([0, 1, 2, 1, 0])
    nn.CrossEntropyLoss()(mine(tn.tensor(x)), tn.tensor(target)).backward()
    torch.nn.CrossEntropyLoss()(theirs(torch.tensor(x)), torch.tensor(target)).backward()
    for (name, a), (other, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_state_dict_goes_to_pytorch_and_back(pair: tuple[Net, TorchNet]) -> None:
    mine, theirs = pair
    state = mine.state_dict()
    assert list(state) == list(theirs.state_dict()) == ["scale", "first.weight", "first.bias", "rest.1.weight"]
    with tn.no_grad():
        mine.first.weight.fill_(0.5)
    theirs.load_state_dict({name: torch.from_numpy(value.numpy().copy()) for name, value in state.items()})
    assert (theirs.first.weight == 0.5).all(), "a state_dict shares the module's memory"
    fresh = Net()
    assert fresh.load_state_dict(state) == ([], [])
    for a, b in zip(fresh.parameters(), mine.parameters(), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_load_state_dict_lists_everything_that_is_wrong() -> None:
    net = Net()
    state: dict[str, Any] = dict(net.state_dict())
    del state["first.bias"]
    state |= {"other": tn.ones(1), "scale": tn.ones(4)}
    theirs = TorchNet()
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    with pytest.raises(RuntimeError) as expected:
        theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in state.items()})
    assert 'Missing key(s) in state_dict: "first.bias". ' in str(caught.value)
    same = (
        str(expected.value)
        .replace("torch.Size([4])", "(4,)")
        .replace("torch.Size([3])", "(3,)")
        .replace("TorchNet", "Net")
    )
    assert sorted(str(caught.value).split("\n\t")) == sorted(same.split("\n\t"))


def test_load_state_dict_not_strict_returns_what_is_amiss() -> None:
    net = Net()
    found = net.load_state_dict({"first.weight": np.full((8, 4), 2.0), "other": tn.ones(1)}, strict=False)
    assert found.missing_keys == ["scale", "first.bias", "rest.1.weight"]
    assert found.unexpected_keys == ["other"]
    assert (net.first.weight.detach().numpy() == 2).all()
    with pytest.raises(TypeError, match="dict-like, got int"):
        net.load_state_dict(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m.Sequential(m.Linear(3, 4), m.Dropout(), m.Softmax(1), m.Sequential(m.ReLU()), m.LeakyReLU(0.1)),
        lambda m: m.ModuleList([m.ReLU(), m.ReLU(), m.SiLU(), m.Linear(1, 2, bias=False), m.GELU(), m.GELU("tanh")]),
        lambda m: m.Sequential(OrderedDict(a=m.Flatten(), b=m.Hardtanh(), c=m.ELU(), d=m.Softplus(), e=m.Identity())),
        lambda m: m.Sequential(m.CrossEntropyLoss(), m.MSELoss(), m.LogSoftmax(), m.Mish(), m.Hardswish(), m.Tanh()),
        lambda m: m.ModuleList([m.Sequential(m.ReLU(inplace=True)), m.Sequential(m.ReLU(inplace=True))]),
    ],
)
def test_repr_is_pytorchs(make: Any) -> None:
    # PyTorch mentions inplace=False of Dropout, which has no such thing here.
    assert repr(make(nn)) == repr(make(torch.nn)).replace(", inplace=False", "")


@pytest.mark.parametrize(
    "name",
    ["ReLU", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh", "LeakyReLU", "ELU", "GELU",
     "Softplus", "Hardtanh", "Softmax", "LogSoftmax", "Flatten", "Identity"],
)  # fmt: skip
def test_module_gives_pytorchs_values(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    settings = {"dim": 1} if "Softmax" in name else {}
    mine, theirs = (getattr(library, name)(**settings) for library in (nn, torch.nn))
    np.testing.assert_allclose(mine(tn.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["MSELoss", "L1Loss", "SmoothL1Loss", "BCELoss", "BCEWithLogitsLoss", "NLLLoss", "CrossEntropyLoss"]
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_module_gives_pytorchs_value(name: str, reduction: str) -> None:
    x = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)).astype(np.float32)
    target = np.array([1, 0, 3]) if name in ("NLLLoss", "CrossEntropyLoss") else x[::-1].copy()
    value = getattr(nn, name)(reduction=reduction)(tn.tensor(x), tn.tensor(target))
    expected = getattr(torch.nn, name)(reduction=reduction)(torch.tensor(x), torch.tensor(target))
    np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-5)


def test_loss_weights_are_part_of_the_state() -> None:
    loss = nn.CrossEntropyLoss(weight=tn.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(pos_weight=tn.ones(3)).state_dict()) == ["pos_weight"]
    with pytest.raises(ValueError, match="not a valid value"):
        nn.MSELoss(reduction="average")


def test_linear_starts_in_pytorchs_interval() -> None:
    tn.manual_seed(0)
    layer = nn.Linear(100, 200)
    for parameter in layer.parameters():
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= 0.1
        assert abs(values.std() - 0.1 / np.sqrt(3)) < 0.005


def test_parameters_are_found_once() -> None:
    net = Net()
    net.again = net.first
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "first.bias", "rest.1.weight"]
    assert "again.weight" in net.state_dict()
    assert len(list(net.parameters(recurse=False))) == 0
    assert [name for name, _ in net.named_buffers()] == ["scale", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    assert net.get_submodule("rest.1") is net.rest[1]
    with pytest.raises(AttributeError, match="no submodule 'nope'"):
        net.get_submodule("rest.nope")


def test_attributes_are_sorted_into_their_tables() -> None:
    net = Net()
    net.extra = nn.Parameter(tn.ones(2))
    assert "extra" in dict(net.named_parameters())
    net.extra = None
    assert "extra" not in dict(net.named_parameters())
    net.scale = tn.zeros(3)
    assert net.state_dict()["scale"].numpy().sum() == 0
    net.plain = 3
    net.plain = nn.ReLU()
    assert "plain" in dict(net.named_children())
    del net.plain
    assert not hasattr(net, "plain")
    del net.first
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'first'"):
        net.first


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda net: net.register_parameter("a.b", None), KeyError, r'contain "\."'),
        (lambda net: net.register_parameter("", None), KeyError, "be empty string"),
        (lambda net: net.register_parameter("forward", None), KeyError, "attribute 'forward' already exists"),
        (lambda net: net.register_buffer("x", 3), TypeError, "'int' object to buffer 'x'"),
        (lambda net: net.add_module("x", 3), TypeError, "int is not a Module subclass"),
        (lambda net: setattr(net.first, "weight", tn.ones(2)), TypeError, "'Tensor' as parameter 'weight'"),
        (lambda net: net.register_forward_hook(3), TypeError, "a hook must be callable, got int"),
        (lambda net: net.train("yes"), ValueError, "expected to be boolean"),
        (lambda net: net.to(tn.int32), TypeError, "floating point dtypes, but got desired dtype=int32"),
        (lambda net: nn.Module()(3), NotImplementedError, 'missing the required "forward"'),
    ],
)
def test_misuse_is_named(act: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        act(Net())


def test_parameters_need_super_init() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(tn.ones(1))

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Wrong()


def test_training_mode_reaches_everything_below() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    x = tn.ones(1000)
    assert (net(x).numpy() == 0).any()
    assert net.eval() is net
    assert (net(x).numpy() == 1).all()
    assert net.train()[1][0].training  # type: ignore[index]


def test_hooks_see_and_change_what_passes() -> None:
    layer, seen = nn.Identity(), []
    before = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    after = layer.register_forward_hook(lambda module, args, output: seen.append(args) or output * 2)
    assert layer(tn.ones(1)).item() == 4
    assert seen[0][0].item() == 2
    before.remove()
    after.remove()
    assert layer(tn.ones(1)).item() == 1


def test_apply_and_zero_grad_and_requires_grad() -> None:
    net, seen = Net(), []
    net.apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "ModuleList", "Net"]
    net(tn.ones(2, 4)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(one.grad is not None and not one.grad.numpy().any() for one in net.parameters())
    net.zero_grad()
    assert all(one.grad is None for one in net.parameters())
    net.requires_grad_(False)
    assert not net(tn.ones(2, 4)).requires_grad


def test_conversion_keeps_parameters_and_changes_their_dtype() -> None:
    net = Net()
    net(tn.ones(2, 4)).sum().backward()
    weight = net.first.weight
    assert net.double() is net
    assert net.first.weight is weight
    assert weight.dtype == net.scale.dtype == np.float64
    assert weight.grad is not None
    assert weight.grad.dtype == np.float64
    assert weight.requires_grad
    assert weight.is_leaf
    assert net(tn.ones(2, 4, dtype=tn.float64)).dtype == np.float64
    assert net.half().first.weight.dtype == np.float16
    assert net.float().cpu().first.weight.dtype == np.float32
    assert net.to("float64").first.weight.dtype == np.float64


@pytest.mark.opencl
def test_module_moves_to_opencl_and_back() -> None:
    net = Net()
    x = tn.tensor(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    expected = net(x).detach().numpy()
    net.to("opencl:0")
    assert str(net.first.weight.device) == str(net.scale.device) == "opencl:0"
    np.testing.assert_allclose(net(x.to("opencl:0")).detach().cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert str(net.cpu().first.weight.device) == "cpu"


def test_copies_are_independent() -> None:
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(other.first.weight, nn.Parameter)
        assert other.first.weight.requires_grad
        with tn.no_grad():
            other.first.weight.fill_(7)
        assert not (net.first.weight.detach().numpy() == 7).any()


def test_parameter_shares_the_memory_it_is_given() -> None:
    data = tn.zeros(3)
    parameter = nn.Parameter(data)
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert repr(parameter).startswith("Parameter containing:\ntensor([0., 0., 0.]")
    with tn.no_grad():
        parameter.fill_(2)
    assert data.numpy().tolist() == [2, 2, 2]
    assert not parameter.data.requires_grad
    assert not nn.Parameter(data, requires_grad=False).requires_grad


def test_sequential_is_a_list() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3
    assert isinstance(net[-1], nn.Linear)
    assert len(net[:2]) == 2
    net[1] = nn.Tanh()
    net.append(nn.Sigmoid())
    net.insert(0, nn.Identity())
    assert [type(one).__name__ for one in net] == ["Identity", "Linear", "Tanh", "Linear", "Sigmoid"]
    del net[0]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    with pytest.raises(IndexError, match="index 9 is out of range for Sequential of 4 modules"):
        net[9]
    listed = nn.ModuleList([nn.ReLU()])
    listed += [nn.ReLU()]
    assert len(listed.extend([nn.ReLU()])) == 3
