"""The base of all optimisers: parameter groups, state, and one kernel launch for the parameters of a group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

import trueno as tn

Group = dict[str, Any]

# What PyTorch's state_dict holds in a group besides settings: how to compute.
_NOT_SETTINGS = frozenset({"params", "foreach", "fused", "capturable", "differentiable"})


class Optimizer:
    """Base class of optimisers.

    A subclass defines `_fresh`, the state that a parameter starts with, and `_update`, which changes parameters of one
    group that have taken equally many steps.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The parameters, or groups of them: dicts with the key ``"params"`` and settings of their own.
    defaults : dict
        Settings of groups that do not have their own.

    Attributes
    ----------
    param_groups : list of dict
        Settings may be changed between steps: no kernel is compiled anew for another learning rate.
    state : dict
        From parameters to their state.

    Raises
    ------
    TypeError, ValueError
        As PyTorch: for no parameters, things that are no tensors, tensors that are no leaves, doubly listed parameters.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: dict[tn.Tensor, dict[str, Any]] = {}
        self.param_groups: list[Group] = []
        if isinstance(params, tn.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}"
            )
        given = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, with settings of their own where the group gives them."""
        if not isinstance(param_group, Mapping):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = {**self.defaults, **param_group}
        given = group.pop("params")
        tensors = [given] if isinstance(given, tn.Tensor) else list(given)
        for one in tensors:
            if not isinstance(one, tn.Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(one).__name__}")
            if not one.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        known = {id(one) for other in self.param_groups for one in other["params"]}
        numbers = [id(one) for one in tensors]
        if known.intersection(numbers) or len(set(numbers)) < len(numbers):
            raise ValueError("some parameters appear in more than one parameter group, or twice in one")
        self.param_groups.append({"params": tensors, **group})

    # Stepping -------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change all parameters that have a gradient, with one kernel launch for each group.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew.

        Returns
        -------
        Any
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with tn.enable_grad():
                loss = closure()
        with tn.no_grad():
            for group in self.param_groups:
                for (count, _), parameters in self._buckets(group).items():
                    self._update(group, count, parameters)
        return loss

    def _buckets(self, group: Group) -> dict[tuple[int, str], list[tn.Tensor]]:
        """Return the parameters that have a gradient, by the number of this step and device: mostly one bucket."""
        buckets: dict[tuple[int, str], list[tn.Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state.get(parameter)
            if state is None:
                state = self.state[parameter] = {"step": 0, **self._fresh(group, parameter)}
            state["step"] += 1
            buckets[state["step"], str(parameter.device)].append(parameter)
        return buckets

    def _fresh(self, group: Group, parameter: tn.Tensor) -> dict[str, tn.Tensor]:
        """Return the arrays that a parameter's state starts with."""
        return {}

    def _update(self, group: Group, count: int, parameters: list[tn.Tensor]) -> None:
        """Take step number `count` (from 1) with these parameters."""
        raise TypeError(f"{type(self).__name__} does not define _update")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = None if set_to_none else tn.zeros_like(parameter.grad)

    # State ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the settings, with parameters numbered in order, as PyTorch does."""
        parameters = [one for group in self.param_groups for one in group["params"]]
        number = {id(one): k for k, one in enumerate(parameters)}
        groups = [{**group, "params": [number[id(one)] for one in group["params"]]} for group in self.param_groups]
        state = {k: dict(self.state[one]) for k, one in enumerate(parameters) if one in self.state}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a copy of state and settings that `state_dict`, or PyTorch's, returned.

        Raises
        ------
        ValueError
            The groups differ in number or size from those here.
        """
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(new["params"]) != len(old["params"]) for new, old in zip(groups, self.param_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        state: dict[tn.Tensor, dict[str, Any]] = {}
        for new, old in zip(groups, self.param_groups):
            settings = {name: deepcopy(value) for name, value in new.items() if name not in _NOT_SETTINGS}
            for number, parameter in zip(new["params"], old["params"]):
                if number in state_dict["state"]:
                    found = state_dict["state"][number]
                    state[parameter] = {
                        **self._fresh({**old, **settings}, parameter),
                        **{name: _copied(name, value, parameter) for name, value in found.items() if value is not None},
                    }
                    state[parameter].setdefault("step", 1)
            old.update(settings)
        self.state = state

    def __repr__(self) -> str:
        lines = []
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {name}: {value}" for name, value in sorted(group.items()) if name != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


def _copied(name: str, value: Any, parameter: tn.Tensor) -> Any:
    """Return a loaded state value of ours: the number of steps as an int, arrays like the parameter."""
    if name == "step":
        return int(value)
    given = value if isinstance(value, tn.Tensor) else np.asarray(value)
    return tn.tensor(given, dtype=parameter.dtype, device=parameter.device)


def check(name: str, value: float, low: float = 0.0) -> None:
    """Raise ValueError, in PyTorch's words, for a setting below its lower bound or NaN."""
    if not value >= low:
        raise ValueError(f"Invalid {name}: {value}")
