"""Kernels as networkx graphs: for tools, never on the path of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueno.ir.node import Kernel, topological

if TYPE_CHECKING:
    import networkx


def to_graph(kernel: Kernel) -> networkx.DiGraph:
    """Return a kernel as a directed graph from operands to users.

    Parameters
    ----------
    kernel : Kernel

    Returns
    -------
    networkx.DiGraph
        Nodes are numbered as in the kernel's text, with the attributes ``op``, ``dtype``, ``shape``, ``label`` and
        ``output``; an edge has the operand's ``position``.
    """
    import networkx

    graph = networkx.DiGraph(name=kernel.name)
    order = list(dict.fromkeys([*kernel.inputs, *topological(kernel.outputs)]))
    numbers = {id(node): k for k, node in enumerate(order)}
    outputs = {id(node) for node in kernel.outputs}
    for k, node in enumerate(order):
        value = f" {node.arg}" if node.op.kind == "leaf" else ""
        label = f"%{k} {node.op.name}{value} {node.dtype}{list(node.shape)}"
        graph.add_node(
            k, op=node.op.name, dtype=str(node.dtype), shape=node.shape, label=label, output=id(node) in outputs
        )
        for position, source in enumerate(node.src):
            graph.add_edge(numbers[id(source)], k, position=position)
    return graph


def draw(kernel: Kernel) -> str:
    """Return a kernel as a drawing in text, results at the top, each value under what it is used for."""
    import networkx

    graph = to_graph(kernel).reverse()
    roots = [number for number, output in graph.nodes(data="output") if output]
    return "\n".join(networkx.generate_network_text(graph, with_labels="label", sources=roots))
