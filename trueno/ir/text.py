"""The text form of kernels, which reads back."""

from __future__ import annotations

import ast
import re

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.node import Kernel, Node, Shape, topological
from trueno.ir.op import registry

_LINE = re.compile(
    r"%(?P<number>\d+) = (?P<op>\w+)\((?P<src>[^)]*)\)(?: \{(?P<arg>.*)\})? : (?P<dtype>\w+)\[(?P<shape>[\d, ]*)\]$"
)


def to_text(kernel: Kernel) -> str:
    """Return a kernel as text, one node a line.

    Examples
    --------
    ``%2 = add(%0, %1) : float32[3, 4]``
    """
    order = list(dict.fromkeys([*kernel.inputs, *topological(kernel.outputs)]))
    numbers = {id(node): k for k, node in enumerate(order)}
    lines = [f"kernel {kernel.name}"]
    for node in order:
        src = ", ".join(f"%{numbers[id(source)]}" for source in node.src)
        arg = "" if node.arg is None else f" {{{_argument(node)}}}"
        shape = ", ".join(map(str, node.shape))
        lines.append(f"  %{numbers[id(node)]} = {node.op.name}({src}){arg} : {node.dtype}[{shape}]")
    lines.append("  inputs " + ", ".join(f"%{numbers[id(node)]}" for node in kernel.inputs))
    lines.append("  return " + ", ".join(f"%{numbers[id(node)]}" for node in kernel.outputs))
    return "\n".join(lines)


def _argument(node: Node) -> str:
    if node.op.name in ("cast", "bitcast"):
        return str(node.arg)
    if isinstance(node.arg, float):
        # Hexadecimal: the value reads back exactly, infinities and NaN too.
        return f"float {node.arg.hex()}"
    if isinstance(node.arg, tuple) and len(node.arg) == 2 and isinstance(node.arg[1], type):
        return f"weak {node.arg[0]} {node.arg[1].__name__}"
    return repr(node.arg)


def _parse_argument(op: str, text: str | None) -> object:
    if text is None:
        return None
    if op in ("cast", "bitcast"):
        return dt.as_dtype(text)
    if text.startswith("float "):
        return float.fromhex(text[6:])
    if text.startswith("weak "):
        _, index, kind = text.split()
        return int(index), {"bool": bool, "int": int, "float": float}[kind]
    return ast.literal_eval(text)


def from_text(text: str) -> Kernel:
    """Return the kernel that `to_text` printed.

    Raises
    ------
    ValueError
        When a line is not of the text form; the text names it.
    """
    nodes: dict[int, Node] = {}
    inputs: tuple[Node, ...] = ()
    outputs: tuple[Node, ...] = ()
    name = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line:
            continue
        found = _LINE.match(line)
        if line.startswith("kernel "):
            name = line[7:]
        elif line.startswith(("inputs", "return")):
            listed = tuple(nodes[int(one)] for one in re.findall(r"%(\d+)", line))
            if line.startswith("inputs"):
                inputs = listed
            else:
                outputs = listed
        elif found and found["op"] in registry:
            shape: Shape = tuple(int(one) for one in found["shape"].split(",") if one.strip())
            src = tuple(nodes[int(one)] for one in re.findall(r"%(\d+)", found["src"]))
            op = registry[found["op"]]
            arg = _parse_argument(op.name, found["arg"])
            nodes[int(found["number"])] = Node(op, src, dt.as_dtype(found["dtype"]), shape, arg)
        else:
            raise ValueError(f"not a line of a kernel's text: {line!r}")
    return Kernel(name, inputs, outputs)


def leaves(kernel: Kernel) -> list[Node]:
    """Return the array and scalar operands that a kernel's outputs depend on."""
    return [node for node in topological(kernel.outputs) if node.op in (build.INPUT, build.SCALAR)]
