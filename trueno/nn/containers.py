"""Modules made of modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, overload

from trueno.nn.module import Module, framed, indented


class _Numbered(Module):
    """What containers whose modules are numbered from 0 share: the manners of a list."""

    _modules: dict[str, Module]  # type: ignore[assignment]  # a container holds no None

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    def _name(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {type(self).__name__} of {len(self)} modules")
        return list(self._modules)[index]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> _Numbered: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            made = type(self)()
            made._replace(list(self)[index])
            return made
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        del modules[index]
        self._replace(modules)

    def _replace(self, modules: Iterable[Module]) -> None:
        """Hold these modules, numbered from 0."""
        self._modules.clear()
        self.extend(modules)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one with this number."""
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)


class Sequential(_Numbered):
    """Modules one after the other: each is given what the one before it returned.

    Parameters
    ----------
    *modules : Module or OrderedDict
        The modules, which get the names "0", "1" and so on, or one dict from names to modules.
    """

    def __init__(self, *modules: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0].items()
        else:
            named = {str(k): module for k, module in enumerate(modules)}.items()  # type: ignore[assignment]
        for name, module in named:
            self.register_module(name, module)

    def forward(self, input: Any) -> Any:
        """Return the last module's result."""
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules; it is not called itself.

    Parameters
    ----------
    modules : iterable of Module, optional
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __repr__(self) -> str:
        """Return PyTorch's notation, in which equal neighbours share a line."""
        lines: list[str] = []
        shown = [repr(module) for module in self]
        start = 0
        for k, text in enumerate(shown):
            if k + 1 < len(shown) and shown[k + 1] == text:
                continue
            label = f"({start}): " if k == start else f"({start}-{k}): {k - start + 1} x "
            lines.append(label + indented(text))
            start = k + 1
        return framed(type(self).__name__, [], lines)
