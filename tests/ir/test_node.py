"""Nodes: immutable, interned inside a recording, walked without recursion."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.elementwise import add, mul, neg
from trueno.ir.node import Kernel, Node, make, recording, rewrite, substitute, topological


def array(index: int = 0) -> Node:
    return build.array(index, dt.float32, (3,))


def test_equal_interior_nodes_are_one() -> None:
    x, y = array(0), array(1)
    with recording():
        assert add(x, y) is add(x, y)
        assert mul(add(x, y), x) is mul(add(x, y), x)
        assert add(x, y) is not add(y, x)


def test_leaves_are_never_merged() -> None:
    with recording():
        assert array(0) is not array(0)
        assert build.scalar(0, float) is not build.scalar(0, float)
        made = [make(build.INPUT, (), dt.float32, (3,), 0) for _ in range(2)]
        assert made[0] is not made[1]
        assert add(array(0), array(1)) is not add(array(0), array(1))


def test_literals_merge_only_where_they_are_the_same() -> None:
    with recording():
        assert build.const(1.5, dt.float32) is build.const(1.5, dt.float32)
        assert build.const(0.0, dt.float32) is not build.const(-0.0, dt.float32)
        assert build.const(1, dt.int64) is not build.const(True, dt.bool_)
        assert make(build.CONST, (), dt.int64, (), 1) is not make(build.CONST, (), dt.int64, (), True)
        assert build.const(1, dt.int32) is not build.const(1, dt.int64)
        assert build.const(math.nan, dt.float32) is build.const(math.nan, dt.float32)
        assert math.copysign(1, build.const(-0.0, dt.float64).arg) == -1


def test_numbers_from_shapes_merge() -> None:
    with recording():
        assert build.param(3, dt.float32) is build.param(3, dt.float32)
        assert build.param(3, dt.float32) is not build.param(4, dt.float32)


def test_recordings_do_not_share_nodes() -> None:
    x = array()
    with recording():
        first = neg(x)
    with recording():
        assert neg(x) is not first
    assert neg(x) is not neg(x)


def test_recordings_nest() -> None:
    x = array()
    with recording():
        outer = neg(x)
        with recording():
            assert neg(x) is not outer
        assert neg(x) is outer


def test_nodes_are_immutable() -> None:
    node = neg(array())
    for name in ("op", "src", "dtype", "shape", "arg"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(node, name, None)
    kernel = Kernel("k", (), (node,))
    with pytest.raises(AttributeError):
        kernel.name = "other"  # type: ignore[misc]


def test_topological_order_of_a_deep_graph() -> None:
    node = array()
    for _ in range(20_000):
        node = Node(neg, (node,), node.dtype, node.shape)
    order = topological((node,))
    assert len(order) == 20_001
    assert all(b.src == (a,) for a, b in pairwise(order))


def test_operands_come_before_users() -> None:
    x, y = array(0), array(1)
    with recording():
        shared = add(x, y)
        outputs = (mul(shared, neg(shared)), shared)
    order = topological(outputs)
    places = {id(node): k for k, node in enumerate(order)}
    assert len(places) == len(order) == 5
    assert all(places[id(source)] < places[id(node)] for node in order for source in node.src)


def test_rewrite_keeps_what_it_does_not_change() -> None:
    x, y = array(0), array(1)
    with recording():
        left, right = neg(x), neg(y)
        root = add(left, right)
        (changed,) = rewrite((root,), lambda node: x if node is left else None)
    assert changed.src[0] is x
    assert changed.src[1] is right
    assert rewrite((root,), lambda node: None) == (root,)


def test_substitute_replaces_by_identity() -> None:
    x, y, z = array(0), array(0), array(2)
    with recording():
        root = add(x, y)
        (changed,) = substitute((root,), {id(y): z})
    assert changed.src == (x, z)


def test_a_node_has_sizes() -> None:
    node = build.array(0, dt.float32, (2, 0, 3))
    assert (node.ndim, node.size, len(node)) == (3, 0, 2)
    with pytest.raises(TypeError, match="0-d"):
        len(build.const(1.0, dt.float32))
