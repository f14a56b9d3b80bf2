"""Module: the base of everything that has parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, Self, cast

import trueno as tn
from trueno import dtypes as dt
from trueno.autograd import Handle
from trueno.nn.parameter import Parameter, overwrite


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` found amiss."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base class of neural-network modules.

    A subclass calls ``super().__init__()``, assigns its parameters and submodules to attributes, and defines `forward`.
    Assigned `Parameter` objects and modules are found by `parameters`, `modules`, `state_dict` and their like.

    Attributes
    ----------
    training : bool
        Whether the module is in training mode; see `train` and `eval`.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, tn.Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]
    _forward_hooks: dict[int, Callable[..., Any]]
    _forward_pre_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        state: dict[str, Any] = {
            "training": True,
            "_parameters": {},
            "_buffers": {},
            "_modules": {},
            "_transient": set(),
            "_forward_hooks": {},
            "_forward_pre_hooks": {},
        }
        self.__dict__.update(state)

    # Calling ------------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; subclasses define it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._forward_hooks and not self._forward_pre_hooks:
            return self.forward(*args, **kwargs)
        for hook in list(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> Handle:
        """Have ``hook(module, args, output)`` called after each `forward`; what it returns, if anything, is the output.

        Returns
        -------
        Handle
            Its ``remove()`` takes the hook away.
        """
        return _register(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> Handle:
        """Have ``hook(module, args)`` called before each `forward`; what it returns, if anything, replaces the args."""
        return _register(self._forward_pre_hooks, hook)

    # Attributes ---------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__ and isinstance(value, (Parameter, Module)):
            kind = "parameters" if isinstance(value, Parameter) else "module"
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if isinstance(value, Parameter):
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name)
            self.register_module(name, value)
        elif name in self.__dict__.get("_parameters", ()):
            self.register_parameter(name, value)
        elif name in self.__dict__.get("_modules", ()):
            self.register_module(name, value)
        elif name in self.__dict__.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._transient)
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    def _forget(self, name: str) -> bool:
        """Take a name out of all tables; tell whether it was in one."""
        found = False
        for table in (self._parameters, self._buffers, self._modules):
            found = name in table or found
            cast("dict[str, Any]", table).pop(name, None)
        self._transient.discard(name)
        if name in self.__dict__:
            object.__delattr__(self, name)
            found = True
        return found

    def _check_name(self, name: str, kind: str, table: Mapping[str, Any]) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in table:
            raise KeyError(f"attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None reserves the name.

        Raises
        ------
        TypeError, KeyError
            It is no Parameter; the name is taken or contains a dot.
        """
        self._check_name(name, "parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' as parameter '{name}' (trueno.nn.Parameter or None expected)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: tn.Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state but is not trained; `persistent`: part of `state_dict`."""
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, tn.Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name; None reserves the name."""
        self._check_name(name, "module", self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    add_module = register_module

    # Finding what is inside -----------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over the direct submodules with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Iterate over the direct submodules."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Iterate over this module and all below it, with dotted names."""
        yield from self._walk(prefix, set() if remove_duplicate else None)

    def _walk(self, prefix: str, seen: set[int] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """Iterate over this module and all below it."""
        return (module for _, module in self.named_modules())

    def _named_tensors(self, table: str, prefix: str, recurse: bool, distinct: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, distinct) if recurse else [(prefix, self)]:
            for name, tensor in getattr(module, table).items():
                if tensor is None or (distinct and id(tensor) in seen):
                    continue
                seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the parameters with dotted names; a shared one comes once unless `remove_duplicate` is off."""
        return self._named_tensors("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Iterate over the parameters, each once."""
        return (tensor for _, tensor in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, tn.Tensor]]:
        """Iterate over the buffers with dotted names."""
        return self._named_tensors("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[tn.Tensor]:
        """Iterate over the buffers, each once."""
        return (tensor for _, tensor in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Return the submodule with a dotted name; "" is the module itself.

        Raises
        ------
        AttributeError
            There is none.
        """
        module: Module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r} (looking for {target!r})")
            module = found
        return module

    # State ----------------------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "") -> OrderedDict[str, tn.Tensor]:
        """Return parameters and persistent buffers by dotted name, in PyTorch's order, on the module's memory."""
        found: OrderedDict[str, tn.Tensor] = OrderedDict()
        for path, module in self.named_modules(prefix.removesuffix("."), remove_duplicate=False):
            for name, tensor in module._state():
                found[f"{path}.{name}" if path else name] = tensor.detach()
        return found

    def _state(self) -> Iterator[tuple[str, tn.Tensor]]:
        """Iterate over what of the state belongs to this very module."""
        for name, tensor in chain(self._parameters.items(), self._buffers.items()):
            if tensor is not None and name not in self._transient:
                yield name, tensor

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into parameters and buffers.

        Parameters
        ----------
        state_dict : mapping
            From names to arrays: Tensors, NumPy arrays, or anything NumPy can read, such as PyTorch's tensors.
        strict : bool, default True
            Whether the names must be exactly those of `state_dict`.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        RuntimeError
            Names are missing or unexpected, or shapes differ; the text lists all of them. Values that fit have been
            copied then, as PyTorch does.
        TypeError
            state_dict is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
        own = {
            (f"{path}.{name}" if path else name): tensor
            for path, module in self.named_modules(remove_duplicate=False)
            for name, tensor in module._state()
        }
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        for name, tensor in own.items():
            if name not in state_dict:
                continue
            given = state_dict[name]
            if tuple(given.shape) == tensor.shape:
                overwrite(tensor, given)
            else:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {tuple(given.shape)} from checkpoint, "
                    f"the shape in current model is {tuple(tensor.shape)}."
                )
        if problems:
            listed = "\n\t".join(problems)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}")
        return IncompatibleKeys(missing, unexpected)

    # Modes and moves ------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it in training mode (dropout acts), or out of it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all below it in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say for all parameters whether gradients are wanted."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None if set_to_none else tn.zeros_like(parameter.grad)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call a function on every submodule, then on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters and buffers to a device, or to another floating-point dtype, in place.

        Parameters
        ----------
        *args
            A device and a dtype, in any order, either may be missing.
        device : str, optional
            ``"cpu"`` or ``"opencl:N"``.
        dtype : dtype, optional
            Only floating-point tensors change.

        Raises
        ------
        TypeError
            The dtype is not a floating-point one.
        """
        for value in args:
            if isinstance(value, str) and value.partition(":")[0] in ("cpu", "opencl"):
                device = value
            elif isinstance(value, (str, type)) or hasattr(value, "itemsize"):
                dtype = value
            else:
                device = value
        wanted = None if dtype is None else dt.as_dtype(dtype)
        if wanted is not None and not dt.is_floating(wanted):
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={wanted}")

        def move(tensor: tn.Tensor) -> tn.Tensor:
            if wanted is not None and dt.is_floating(tensor.dtype):
                tensor = tensor.astype(wanted)
            return tensor if device is None else tensor.to(device)

        return self._convert(move)

    def _convert(self, function: Callable[[tn.Tensor], tn.Tensor]) -> Self:
        """Replace every parameter's and buffer's values, and those of gradients."""
        with tn.no_grad():
            for parameter in self.parameters():
                gradient = parameter.grad
                parameter.data = function(parameter.detach())
                parameter.grad = None if gradient is None else function(gradient)
            for module in self.modules():
                for name, buffer in module._buffers.items():
                    module._buffers[name] = None if buffer is None else function(buffer)
        return self

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self.to("cpu")

    def float(self) -> Self:
        """Convert floating-point parameters and buffers to float32."""
        return self.to(dtype=dt.float32)

    def double(self) -> Self:
        """Convert floating-point parameters and buffers to float64."""
        return self.to(dtype=dt.float64)

    def half(self) -> Self:
        """Convert floating-point parameters and buffers to float16."""
        return self.to(dtype=dt.float16)

    def bfloat16(self) -> Self:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self.to(dtype=dt.bfloat16)

    # Text -----------------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what `repr` shows of the module itself; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        below = [f"({name}): {indented(repr(module))}" for name, module in self._modules.items()]
        return framed(type(self).__name__, lines, below)


def _register(hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> Handle:
    if not callable(hook):
        raise TypeError(f"a hook must be callable, got {type(hook).__name__}")
    key = max(hooks, default=-1) + 1
    hooks[key] = hook
    return Handle(hooks, key)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def indented(text: str) -> str:
    """Return a text whose lines after the first are indented."""
    return text.replace("\n", "\n  ")


def framed(name: str, extra: list[str], below: list[str]) -> str:
    """Return PyTorch's notation: ``Name(extra)``, or a block with one line for each module below."""
    if not below and len(extra) <= 1:
        return f"{name}({''.join(extra)})"
    return f"{name}(\n  " + "\n  ".join(extra + below) + "\n)"
