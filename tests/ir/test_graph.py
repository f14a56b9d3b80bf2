"""Kernels as networkx graphs."""

from __future__ import annotations

import networkx

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.graph import draw, to_graph
from trueno.ir.node import Kernel, recording, topological
from trueno.ir.reductions import sum as sum_over
from trueno.ir.transcendental import exp


def _kernel() -> Kernel:
    x = build.array(0, dt.float32, (3, 4))
    with recording():
        e = exp(x)
        return Kernel("normalise", (x,), (e / sum_over(e, axis=1, keepdims=True),))


def test_graph_has_the_kernels_nodes_and_edges():
    kernel = _kernel()
    graph = to_graph(kernel)
    order = topological(kernel.outputs)
    assert networkx.is_directed_acyclic_graph(graph)
    assert [op for _, op in graph.nodes(data="op")] == [node.op.name for node in order]
    assert graph.number_of_edges() == len({(id(s), id(n)) for n in order for s in n.src})
    assert [number for number, output in graph.nodes(data="output") if output] == [len(order) - 1]


def test_drawing_names_every_value_and_starts_at_the_result():
    text = draw(_kernel())
    assert text.splitlines()[0].endswith("div float32[3, 4]")
    for name in ("exp", "sum", "expand", "input 0 float32[3, 4]"):
        assert name in text
