"""The rules of the IR: for each, a kernel that breaks it is refused, and the text names the node and the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno.ir import build, verify
from trueno.ir.node import Kernel, Node, topological
from trueno.ir.op import Op, registry
from trueno.ir.verify import IRError

F32, F64, F16, BF16, I32, I64, B = dt.float32, dt.float64, dt.float16, dt.bfloat16, dt.int32, dt.int64, dt.bool_


def leaf(index: int = 0, dtype: np.dtype = F32, shape: tuple[int, ...] = (2, 3)) -> Node:
    return build.array(index, dtype, shape)


def row(name: str, *src: Node, dtype: np.dtype = F32, shape: Any = (2, 3), arg: Any = None) -> Node:
    return Node(registry[name], src, dtype, shape, arg)


def kernel(*outputs: Node, inputs: tuple[Node, ...] | None = None) -> Kernel:
    if inputs is None:
        inputs = tuple(node for node in topological(outputs) if node.op in (build.INPUT, build.SCALAR))
    return Kernel("broken", inputs, outputs, "model.py:7")


def cyclic() -> Node:
    node = row("neg", leaf())
    object.__setattr__(node, "src", (row("neg", node),))
    return node


def foreign() -> Node:
    op = object.__new__(Op)
    for name, value in {"name": "neg", "kind": "elementwise", "arity": 1}.items():
        object.__setattr__(op, name, value)
    return Node(op, (leaf(),), F32, (2, 3))


x, y = leaf(0), leaf(1)
i = leaf(1, I64)

BROKEN: dict[str, tuple[Any, str]] = {
    "cycle": (cyclic, "acyclic"),
    "foreign row": (foreign, "a row of the op table"),
    "dtype": (lambda: row("neg", x, dtype=np.dtype("c8")), "the dtype is a supported one"),
    "negative extent": (lambda: row("neg", x, shape=(2, -3)), "extents >= 0"),
    "shape is a list": (lambda: row("neg", x, shape=[2, 3]), "extents >= 0"),
    "arity": (lambda: row("add", x), "add takes 2 operands"),
    "no pieces": (lambda: row("concatenate", arg=0), "concatenate takes -1 operands"),
    "weak operand": (lambda: row("expand", build.scalar(0, float), dtype=F64, shape=()), "weak scalar"),
    # leaves
    "iota axis": (lambda: build.iota((2, 3), 2), "one of the 2 axes"),
    "iota dtype": (lambda: build.iota((2, 3), 0, F32), "an iota holds integers"),
    "input index": (lambda: Node(build.INPUT, (), F32, (2,), -1), "index of an operand"),
    "scalar shape": (lambda: Node(build.SCALAR, (), F32, (2,), 0), "a number has the shape ()"),
    "scalar index": (lambda: Node(build.SCALAR, (), F32, (), 1.0), "index of an operand"),
    "weak dtype": (lambda: Node(build.SCALAR, (), F32, (), (0, float)), "the dtype of its Python type"),
    "literal type": (lambda: Node(build.CONST, (), F32, (), 1), "a Python float"),
    "literal bool": (lambda: Node(build.CONST, (), B, (), 1), "a Python bool"),
    "literal range": (lambda: Node(build.CONST, (), dt.int8, (), 128), "fits int8"),
    # elementwise
    "operand shapes": (lambda: row("add", x, leaf(1, F32, (1, 3))), "operands of an elementwise row have its shape"),
    "operand dtypes": (lambda: row("add", x, leaf(1, F64), dtype=F64), "the operands of add have the dtype float64"),
    "operands not taken": (lambda: row("sub", leaf(0, B), leaf(1, B), dtype=B), "the row takes"),
    "result dtype": (lambda: row("lt", x, y), "the result of lt for float32 has the dtype bool"),
    "half": (lambda: row("add", leaf(0, F16), leaf(1, F16), dtype=F16), "half types are not computed with"),
    "half reduced": (lambda: row("sum", leaf(0, BF16), dtype=BF16, shape=(1, 3), arg=(0,)), "half types"),
    "half scanned": (lambda: row("cumsum", leaf(0, F16), dtype=F16, arg=0), "half types"),
    "half scattered": (lambda: row("scatter_add", leaf(0, F16), i, dtype=F16, arg=0), "half types"),
    "cast": (lambda: row("cast", x, dtype=F64, arg=F32), "a cast's argument is its dtype"),
    "bitcast argument": (lambda: row("bitcast", x, dtype=I32, arg=F32), "a bitcast's argument is its dtype"),
    "bitcast width": (lambda: row("bitcast", x, dtype=I64, arg=I64), "keeps the number of bits"),
    "where condition": (lambda: row("where", x, x, y), "where takes a bool"),
    "copy dtype": (lambda: row("positive", x, dtype=F64), "operands and result have one dtype"),
    # reductions and scans
    "axes missing": (lambda: row("sum", x), "a tuple of axes"),
    "axis out of range": (lambda: row("sum", x, shape=(2, 3), arg=(2,)), "one of the 2 axes"),
    "negative axis": (lambda: row("sum", x, shape=(2, 1), arg=(-1,)), "one of the 2 axes"),
    "axes unsorted": (lambda: row("sum", x, shape=(1, 1), arg=(1, 0)), "sorted and distinct"),
    "axis repeated": (lambda: row("sum", x, shape=(1, 3), arg=(0, 0)), "sorted and distinct"),
    "axis dropped": (lambda: row("sum", x, shape=(3,), arg=(0,)), "reduced axes stay with extent 1"),
    "reduction dtype": (lambda: row("sum", x, dtype=F64, shape=(1, 3), arg=(0,)), "operands and result have one dtype"),
    "any of floats": (lambda: row("any", x, shape=(1, 3), arg=(0,)), "any reduces bool"),
    "scan axis": (lambda: row("cumsum", x, arg=2), "one of the 2 axes"),
    "scan shape": (lambda: row("cumsum", x, shape=(2, 1), arg=0), "a scan keeps the shape"),
    "scan dtype": (lambda: row("cumprod", x, dtype=F64, arg=0), "operands and result have one dtype"),
    # contraction
    "factors": (lambda: row("matmul", x, leaf(1, F64, (3, 2)), shape=(2, 2)), "the factors have one dtype"),
    "product dtype": (
        lambda: row("matmul", leaf(0, F16), leaf(1, F16, (3, 2)), dtype=F16, shape=(2, 2)),
        "accumulator",
    ),
    "vector factor": (lambda: row("matmul", x, leaf(1, F32, (3,)), shape=(2,)), "matrices of one batch shape"),
    "inner extents": (lambda: row("matmul", x, y, shape=(2, 3)), "the inner extents are equal"),
    "product shape": (lambda: row("matmul", x, leaf(1, F32, (3, 2)), shape=(2, 3)), "the product's shape"),
    # views
    "view dtype": (lambda: row("reshape", x, dtype=F64, shape=(6,)), "operands and result have one dtype"),
    "expand adds axis": (lambda: row("expand", x, shape=(4, 2, 3)), "an expand keeps the number of axes"),
    "expand shrinks": (lambda: row("expand", x, shape=(2, 1)), "an expand keeps the number of axes"),
    "reshape": (lambda: row("reshape", x, shape=(5,)), "keeps the number of elements"),
    "permute axes": (lambda: row("permute", x, shape=(3, 2), arg=(1, 1)), "each axis once"),
    "permute shape": (lambda: row("permute", x, arg=(1, 0)), "extents follow its axes"),
    "slice bounds": (lambda: row("slice", x, shape=(2, 3), arg=((0, 1, 2),)), "bounds for each axis"),
    "slice shape": (lambda: row("slice", x, shape=(2, 2), arg=((0, 1, 2), (0, 1, 3))), "the sizes of the bounds"),
    "slice end": (lambda: row("slice", x, shape=(2, 2), arg=((0, 1, 2), (2, 1, 2))), "lies within the extent 3"),
    "slice start": (lambda: row("slice", x, shape=(2, 2), arg=((0, 1, 2), (0, -1, 2))), "lies within the extent 3"),
    "slice step": (lambda: row("slice", x, shape=(2, 2), arg=((0, 1, 2), (0, 0, 2))), "step is not 0"),
    # assembling
    "place": (lambda: row("place", x, shape=(2, 3), arg=((1, 1, 2), (0, 1, 3))), "lies within the extent 2"),
    "pieces": (lambda: row("concatenate", x, leaf(1, F32, (2, 4)), shape=(4, 3), arg=0), "differ along one axis"),
    "pieces' extents": (lambda: row("concatenate", x, y, shape=(5, 3), arg=0), "add up"),
    "pieces' axis": (lambda: row("concatenate", x, y, shape=(4, 3), arg=2), "one of the 2 axes"),
    # gather and scatter
    "gather axis": (lambda: row("gather", x, i, arg=-1), "one of the 2 axes"),
    "gather indices": (lambda: row("gather", x, leaf(1, I32), arg=0), "indices are int64"),
    "gather index shape": (lambda: row("gather", x, leaf(1, I64, (2, 1)), arg=0), "the result's shape"),
    "gather source": (lambda: row("gather", leaf(0, F32, (2, 4)), i, arg=0), "the source differs along one axis"),
    "gather dtype": (lambda: row("gather", x, i, dtype=F64, arg=0), "operands and result have one dtype"),
    "scatter axis": (lambda: row("scatter_add", x, i, arg=3), "one of the 2 axes"),
    "scatter indices": (lambda: row("scatter_add", x, y, arg=0), "indices are int64"),
    "scatter index shape": (lambda: row("scatter_add", x, leaf(1, I64, (2, 1)), arg=0), "the source's shape"),
    "scatter result": (lambda: row("scatter_add", x, i, shape=(2, 4), arg=0), "the result differs along one axis"),
    "scatter dtype": (lambda: row("scatter_add", x, i, dtype=F64, arg=0), "operands and result have one dtype"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_refused_by_name(case: str) -> None:
    make, text = BROKEN[case]
    with pytest.raises(IRError) as caught:
        verify.verify(kernel(make()), "simplify")
    message = str(caught.value)
    assert text in message
    assert message.startswith("kernel broken after simplify, asked for at model.py:7, node <")


BROKEN_INPUTS: dict[str, tuple[Any, str]] = {
    "not a leaf": (lambda: kernel(row("neg", x), inputs=(row("neg", x),)), "input and scalar leaves"),
    "listed twice": (lambda: kernel(row("neg", x), inputs=(x, leaf(0))), "array operand 0 is listed once"),
    "array and number": (
        lambda: kernel(row("neg", x), inputs=(x, build.scalar(0, float))), "an array or a number, not both",
    ),
    "unknown array": (lambda: kernel(row("neg", x), inputs=(y,)), "array operand 0 is one of the kernel's inputs"),
    "two shapes": (lambda: kernel(row("neg", x), inputs=(leaf(0, F32, (3, 2)),)), "one dtype and shape"),
    "two dtypes": (lambda: kernel(row("neg", x), inputs=(leaf(0, F64),)), "one dtype and shape"),
    "unknown scalar": (lambda: kernel(build.cast(build.scalar(3, int), dtype=F32), inputs=(x,)), "scalar operand 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_INPUTS)
def test_inconsistent_inputs_are_refused(case: str) -> None:
    make, text = BROKEN_INPUTS[case]
    with pytest.raises(IRError, match=r"kernel broken, asked for at model\.py:7: rule broken") as caught:
        verify.verify(make())
    assert text in str(caught.value)


def test_a_right_kernel_is_returned() -> None:
    good = kernel(row("add", x, y), build.cast(build.scalar(2, int), dtype=F32))
    assert verify.verify(good) is good


def test_empty_slices_may_start_anywhere() -> None:
    empty = kernel(row("slice", x, shape=(0, 3), arg=((0, 1, 0), (0, 1, 3))))
    assert verify.verify(empty) is empty


def test_every_recorded_kernel_is_checked_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[tuple[str, str]] = []
    check = verify.verify
    monkeypatch.setattr(verify, "verify", lambda one, after="": passes.append((one.name, after)) or check(one, after))

    @tn.kernel
    def fresh(a: Any) -> Any:
        return a * 3 - 1

    fresh(tn.ones(3, requires_grad=True)).sum().backward()
    assert {("fresh", "recording"), ("fresh", "simplify"), ("fresh_backward", "recording")} <= set(passes)


def test_a_kernel_recorded_wrong_does_not_run() -> None:
    @tn.kernel
    def wrong(a: Any) -> Any:
        return Node(registry["add"], (a, a), F64, a.shape)

    with pytest.raises(IRError, match=r"kernel wrong after recording, asked for at .*test_verify"):
        wrong(tn.ones(3))


def test_checking_can_be_switched_off() -> None:
    broken = kernel(row("add", x))
    verify.enable(False)
    try:
        assert verify.checked(broken, "recording") is broken
    finally:
        verify.enable()
    with pytest.raises(IRError):
        verify.checked(broken, "recording")
