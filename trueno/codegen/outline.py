"""A nest of loops taken out of a function's text, so that the two can be compiled at the same time.

Printed loops are regions of the text with one way in and one way out: from the label ``X.head`` to the label ``X.end``.
What such a region reads becomes parameters. What it carries on from one loop to the next is memory of the function that
LLVM turns into registers, which it does not where a pointer to it is handed on: both sides copy it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_FLAGS = r"(?:(?:nsw|nuw|exact|disjoint|nsz|reassoc|contract|arcp|afn|fast) )*"
#: The type of a value by the instruction that defines it.
_TYPES = (
    (re.compile(r"(?:alloca|getelementptr) "), "ptr"),
    (re.compile(r"[if]cmp \w+ (?!<)"), "i1"),
    (re.compile(r"(?:load|phi) (\w+)\b"), ""),
    (re.compile(r"call [^@]*?(\w+) @"), ""),
    (re.compile(r"select i1 [^,]+, (\w+) "), ""),
    (re.compile(r"\w+ \w+ \S+ to (\w+)$"), ""),
    (re.compile(rf"(?:f?add|f?sub|f?mul|fdiv|[us]div|[us]rem|and|or|xor|shl|[al]shr|fneg) {_FLAGS}(\w+) "), ""),
)
_HEAD = re.compile(r"(?m)^define (?:internal |hidden )?void @([\w.]+)\((.*)\) .*\{\n")
_DEFINED = re.compile(r"(?m)^  (%[\w.]+) = (.*)$")
_LABEL = re.compile(r"(?m)^([\w.]+):")
_NAME = re.compile(r"%[\w.]+")


class _Nest(NamedTuple):
    """Where a nest of loops stands in a function's text: its label, and the text between head and end."""

    label: str
    begin: int
    end: int


def _nests(text: str) -> Iterator[_Nest]:
    """Yield nests that may be taken out: those that no loop is around, and loops around others.

    A call for each turn of a loop would cost too much where the nest is the innermost loop.
    """
    last = 0
    for found in re.finditer(r"(?m)^([\w.]+)\.head:\n", text):
        end = text.find(f"\n{found[1]}.end:", found.end()) + 1
        outermost = found.start() >= last
        if outermost:
            last = end
        if outermost or ".head:" in text[found.end() : end]:
            yield _Nest(found[1], found.end(), end)


def _type(definition: str) -> str | None:
    for pattern, given in _TYPES:
        found = pattern.match(definition)
        if found is not None:
            return given or found[1]
    return None


def outlined(text: str, cost: Callable[[str], int], rest: int) -> tuple[str, str] | None:
    """Return a function without one of its nests of loops and a function of that nest, or None if there is none.

    Parameters
    ----------
    text : str
        A function that LLVM's passes are to work on.
    cost : callable
        What the text of a function costs.
    rest : int
        What other functions cost: of all nests, the one is taken that leaves the dearer half of everything cheapest.
    """
    whole = cost(text)
    dearer = {
        one: max(cost(text[one.begin : one.end]), whole - cost(text[one.begin : one.end])) for one in _nests(text)
    }
    for one in sorted(dearer, key=lambda one: (max(dearer[one], (whole + rest) // 2), dearer[one])):
        made = _taken(text, one)
        if made is not None:
            return made
    return None


def _taken(text: str, nest: _Nest) -> tuple[str, str] | None:
    head = _HEAD.search(text)
    assert head is not None, text
    body = text[nest.begin : nest.end]
    outside = text[: nest.begin] + text[nest.end :]
    labels = {f"%{label}" for label in _LABEL.findall(text)}
    types = {name: kind for kind, name in (one.rsplit(" ", 1) for one in head[2].split(", "))}
    definitions = dict(_DEFINED.findall(text))
    inside = dict(_DEFINED.findall(body))
    read = [name for name in dict.fromkeys(_NAME.findall(body)) if name not in labels and name not in inside]
    targets = set(re.findall(r"label %([\w.]+)", body))
    leaves = "  ret " in body or targets - {*_LABEL.findall(body), f"{nest.label}.head", f"{nest.label}.end"}
    if leaves or not inside.keys().isdisjoint(_NAME.findall(outside)):
        return None
    name = f"{head[1].replace('.', '_')}_{nest.label}"
    parameters: list[str] = []
    before, after, call_before, call_after = [], [], [], []
    for one in read:
        definition = definitions.get(one, "")
        kind = types[one].removesuffix(" noalias") if one in types else _type(definition)
        if kind is None:
            return None
        if definition.startswith("alloca ["):
            kind = "ptr noalias"
        elif definition.startswith("alloca "):
            held = definition.removeprefix("alloca ").partition(",")[0]
            parameters.append(f"ptr noalias {one}.there")
            before += [f"  {one} = {definition}", *_copy(held, f"{one}.there", one, "in")]
            after += _copy(held, one, f"{one}.there", "out")
            call_before += [f"  {one}.{nest.label} = {definition}"]
            call_before += _copy(held, one, f"{one}.{nest.label}", f"{nest.label}.in")
            call_after += _copy(held, f"{one}.{nest.label}", one, f"{nest.label}.out")
            continue
        parameters.append(f"{kind} {one}")
    entered = re.match(r"(?:  %[\w.]+ = phi .*\n)+", body)
    assert entered is not None, body
    phis = re.sub(
        r", (%[\w.]+) \]",
        lambda label: label[0] if f"\n{label[1][1:]}:\n" in f"\n{nest.label}.head:\n" + body else ", %entry ]",
        entered[0],
    )
    function = "\n".join([
        f"define hidden void @{name}({', '.join(parameters)}) noinline #0 {{", "entry:", *before,
        f"  br label %{nest.label}.head", f"{nest.label}.head:", phis + body[entered.end() :].rstrip("\n"),
        f"{nest.label}.end:", *after, "  ret void", "}",
    ])  # fmt: skip
    handed = [re.sub(r"\.there$", f".{nest.label}", one) for one in parameters]
    call = "\n".join([
        *(line for line in call_before if " = alloca " not in line),
        f"  call void @{name}({', '.join(one.replace(' noalias', '') for one in handed)})", *call_after,
        f"  br label %{nest.label}.end", "",
    ])  # fmt: skip
    own = "".join(f"{line}\n" for line in call_before if " = alloca " in line)
    entry = text.index("entry:\n") + len("entry:\n")
    caller = text[:entry] + own + text[entry : nest.begin] + call + text[nest.end :]
    return caller, function


def _copy(kind: str, source: str, target: str, what: str) -> list[str]:
    value = f"{source}.{what}"
    return [f"  {value} = load {kind}, ptr {source}", f"  store {kind} {value}, ptr {target}"]
