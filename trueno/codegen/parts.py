"""The LLVM IR of a kernel as several modules, which are compiled at the same time.

LLVM works on one module in one thread. So a kernel's functions are distributed to modules that take about equally long,
by what their lines cost: first the dearest, each to the module that has least so far. What depends on each other under
LLVM's passes (the functions of a stage) stays together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from trueno.codegen.llvm import Module

#: The line that parts the modules of a kernel; the results of all are linked together.
PART = "; a module of its own\n"
PARTS = 2
"""Modules that a kernel is parted into: each costs 3 ms, and machines of two cores are common."""

#: What LLVM takes in microseconds, about, fitted to 276 functions: for a function, a line, a block, and instructions
#: that it selects with difficulty beside; and for a line and a loop that pass through its passes.
_FUNCTION, _LINE, _BLOCK, _MASKED = 600, 20, 150, 100
_QUICK_LINE, _QUICK_BLOCK = 16, 70
_PASSES_LINE, _PASSES_LOOP = 150, 6000
#: Microseconds of work from which parting pays, in all and beside the dearest functions.
_WORTH, _REST = 36_000, 9_000

#: What metadata says of a loop that stays as it is.
_ONE_LANE = '"llvm.loop.vectorize.width", i32 1}'
#: Patterns of a function's first line and of names; most kernels are not parted and need none of them.
_HEAD = r"(?m)^define (?:(?:internal|hidden) )?(void @([\w.]+)\((.*)\)) "
_NAME = r"@([\w.]+)"


class _Function(NamedTuple):
    """A function's text.

    Attributes
    ----------
    name, text : str
    declaration : str
        Its line in modules that refer to it.
    as_is : bool
        Whether LLVM's passes leave it out.
    names : frozenset of str
        All that it names: itself and what it refers to.
    """

    name: str
    text: str
    declaration: str
    as_is: bool
    names: frozenset[str]

    @property
    def family(self) -> str:
        """What functions that are optimised together have in common."""
        return self.name if self.as_is else self.name.partition(".")[0]


def _cost(text: str, module: Module | None) -> int:
    """Return the microseconds that a function takes, about; `module`: where LLVM's passes work on it."""
    lines = text.count("\n")
    if module is not None:
        vectors = sum(_ONE_LANE not in module.hints(node) for node in re.findall(r"!llvm\.loop (!\d+)", text))
        return _FUNCTION + _PASSES_LINE * lines + _PASSES_LOOP * vectors
    blocks = text.count("\n  br ")
    if " optnone " in text:
        return _FUNCTION + _QUICK_LINE * lines + _QUICK_BLOCK * blocks
    masked = text.count(" @llvm.masked.") + text.count("shufflevector") - text.count("i32> zeroinitializer\n")
    return _FUNCTION + _LINE * lines + _BLOCK * blocks + _MASKED * masked


def _functions(module: Module, as_is: bool) -> list[_Function]:
    found = []
    for text in module.functions:
        head = re.search(_HEAD, text)
        assert head is not None, text
        line = "declare " + head[1].replace(head[3], re.sub(r" %[\w.]+", "", head[3]))
        found.append(_Function(head[2], text, line, as_is, frozenset(re.findall(_NAME, text))))
    return found


def parted(module: Module, as_is: Module) -> list[tuple[Module, Module]]:
    """Distribute a kernel's functions to modules of about equal cost, where that pays.

    Parameters
    ----------
    module, as_is : Module
        What goes through LLVM's passes and what does not; helpers are inlined and stay together.

    Returns
    -------
    list of (Module, Module)
        One pair for each part.
    """
    as_is_costs = [_cost(text, None) for text in as_is.functions]
    if (
        sum(_cost(text, module) for text in module.functions) + sum(as_is_costs) < _WORTH
        or module.kept
        or as_is.helpers
    ):
        return [(module, as_is)]
    module.functions = _halved(module, sum(as_is_costs))
    costs = [*(_cost(text, module) for text in module.functions), *as_is_costs]
    functions = _functions(module, False) + _functions(as_is, True)
    families: dict[str, list[_Function]] = {}
    dear: dict[str, int] = {}
    for one, cost in zip(functions, costs, strict=True):
        families.setdefault(one.family, []).append(one)
        dear[one.family] = dear.get(one.family, 0) + cost
    if sum(costs) - max(dear.values()) < _REST:
        return [(module, as_is)]
    parts: list[list[_Function]] = [[] for _ in range(PARTS)]
    loads = [0] * PARTS
    for name in sorted(families, key=lambda name: -dear[name]):
        least = loads.index(min(loads))
        parts[least] += families[name]
        loads[least] += dear[name]
    known = {one.name: one for one in functions}
    made = []
    for part in parts:
        names = {one.name for one in part}
        elsewhere = frozenset().union(*(one.names for one in functions if one.name not in names))
        code = as_is.like()
        pair = (module.like(code), code)
        for as_it_is, home in enumerate(pair):
            members = [one for one in part if one.as_is == as_it_is]
            for one in members:
                # Other objects reach it through tables, wherever they lie.
                text = re.sub(_HEAD, r"define \1 ", one.text, count=1) if one.name in elsewhere else one.text
                home.functions.append(text)
            used = frozenset().union(*(one.names for one in members)) - {one.name for one in members}
            _declare(home, used, known, names)
        made.append(pair)
    return made


def _halved(module: Module, rest: int) -> list[str]:
    """Return the functions that LLVM's passes work on, the dearest cut in two if it outweighs all others.

    `rest`: what those cost that the passes leave out.
    """
    texts = list(module.functions)
    costs = [_cost(text, module) for text in texts]
    dearest = max(costs, default=0)
    rest += sum(costs) - dearest
    if dearest - rest > _REST:
        from trueno.codegen.outline import outlined

        at = costs.index(dearest)
        texts[at : at + 1] = outlined(texts[at], lambda text: _cost(text, module), rest) or [texts[at]]
    return texts


def _declare(home: Module, used: frozenset[str], known: dict[str, _Function], names: set[str]) -> None:
    """Leave the declarations of what the module's functions refer to, and add those of the kernel's own functions."""
    text = "\n".join(home.helpers.values())
    needed = used.union(re.findall(_NAME, text))
    lines = [line for line in home.declarations if any(name in needed for name in re.findall(_NAME, line))]
    declared = {line: None for line in lines if not any(name in known for name in re.findall(_NAME, line))}
    for name in sorted(used & known.keys()):
        visible = "hidden " if name in names else ""
        declared[known[name].declaration.replace("declare ", f"declare {visible}", 1)] = None
    home.declarations = declared


def texts(pairs: Sequence[tuple[Module, Module]], header: str) -> str:
    """Return the text of all parts."""
    return PART.join(module.text(header) for module, _ in pairs)
