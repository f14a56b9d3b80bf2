"""Einstein summation as products of matrices: the steps of a path, recorded as one kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueno.ir import matrices, views
from trueno.ir.build import cast, reshape
from trueno.ir.elementwise import mul
from trueno.ir.node import Node
from trueno.ir.reductions import sum

#: One contraction: places of the operands, the largest first, and subscripts such as "ij,jk->ik".
Step = tuple[tuple[int, ...], str]


def einsum(*operands: Node, steps: tuple[Step, ...]) -> Node:
    """Record the contractions of a path; each takes its operands away and puts its result at the end."""
    work = list(operands)
    for places, subscripts in steps:
        picked = [work.pop(place) for place in places]
        inputs, _, output = subscripts.partition("->")
        work.append(_contracted(picked, inputs.split(","), output))
    return work[0]


def _contracted(operands: Sequence[Node], inputs: Sequence[str], output: str) -> Node:
    """Record one contraction, pair by pair."""
    node, letters = _without_repeats(operands[0], inputs[0])
    for k in range(1, len(operands)):
        other, others = _without_repeats(operands[k], inputs[k])
        kept = output + "".join(inputs[k + 1 :])
        node, letters = _pair(node, letters, other, others, kept)
    node, letters = _summed(node, letters, output)
    return views.permute(node, axes=[letters.index(letter) for letter in output])


def _without_repeats(node: Node, letters: str) -> tuple[Node, str]:
    """Record the diagonals that repeated letters stand for."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.rindex(letter)
            if node.shape[first] != node.shape[second]:
                raise ValueError(f"einsum: axes {first} and {second} of shape {node.shape} have the same letter "
                                 f"{letter!r}, their extents must be equal")  # fmt: skip
            node = matrices.diagonal(node, axis1=first, axis2=second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    return node, letters


def _dropped(node: Node, letters: str, place: int) -> tuple[Node, str]:
    """Record the removal of an axis of extent 1."""
    shape = (*node.shape[:place], *node.shape[place + 1 :])
    return reshape(node, shape=shape), letters[:place] + letters[place + 1 :]


def _summed(node: Node, letters: str, kept: str) -> tuple[Node, str]:
    """Record the sum over axes whose letters nobody else has."""
    axes = tuple(k for k, letter in enumerate(letters) if letter not in kept)
    if not axes:
        return node, letters
    total = cast(sum(node, axis=axes), dtype=node.dtype)
    return total, "".join(letter for letter in letters if letter in kept)


def _pair(a: Node, letters: str, b: Node, others: str, kept: str) -> tuple[Node, str]:
    """Record the product of two arrays, summed over letters that both have and that are not kept."""
    for letter in set(letters) & set(others):
        mine, its = letters.index(letter), others.index(letter)
        if a.shape[mine] == 1 != b.shape[its]:
            a, letters = _dropped(a, letters, mine)
        elif b.shape[its] == 1 != a.shape[mine]:
            b, others = _dropped(b, others, its)
    a, letters = _summed(a, letters, kept + others)
    b, others = _summed(b, others, kept + letters)
    batch = [letter for letter in letters if letter in others and letter in kept]
    inner = [letter for letter in letters if letter in others and letter not in kept]
    rows = [letter for letter in letters if letter not in others]
    columns = [letter for letter in others if letter not in letters]
    extent = dict(zip(letters + others, a.shape + b.shape))

    def arranged(node: Node, names: str, *groups: Sequence[str]) -> Node:
        order = [names.index(letter) for letter in (*batch, *groups[0], *groups[1])]
        sizes = [math.prod(extent[letter] for letter in group) for group in groups]
        return reshape(views.permute(node, axes=order), shape=(*(extent[letter] for letter in batch), *sizes))

    if inner:
        product = views.matmul(arranged(a, letters, rows, inner), arranged(b, others, inner, columns))
    else:
        product = mul(arranged(a, letters, rows, ()), arranged(b, others, (), columns))
    result = "".join((*batch, *rows, *columns))
    return reshape(product, shape=tuple(extent[letter] for letter in result)), result
