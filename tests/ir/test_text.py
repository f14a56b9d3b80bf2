"""Kernels as text: what is printed reads back as the same kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.ir import support
from trueno import dtypes as dt
from trueno.ir import build, interp, verify
from trueno.ir.elementwise import add, mul
from trueno.ir.node import Kernel, Node, recording
from trueno.ir.text import from_text, to_text


@pytest.mark.parametrize("name", support.ROWS)
def test_kernels_of_every_row_read_back(name: str) -> None:
    kernel, arrays = support.kernel_of(name)
    again = verify.verify(from_text(to_text(kernel)))
    assert to_text(again) == to_text(kernel)
    for got, expected in zip(interp.evaluate(again, *arrays), interp.evaluate(kernel, *arrays), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", support.COMPOSITES)
def test_composites_read_back(name: str) -> None:
    kernel, _ = support.composite(name)
    assert to_text(from_text(to_text(kernel))) == to_text(kernel)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (0.0, dt.float32), (-0.0, dt.float32), (math.inf, dt.float64), (-math.inf, dt.float16), (0.1, dt.float64),
        (1, dt.int8), (True, dt.bool_), (2**64 - 1, dt.uint64), (-(2**63), dt.int64), (5e-324, dt.float64),
    ],
)  # fmt: skip
def test_literals_read_back_exactly(value: Any, dtype: np.dtype) -> None:
    (node,) = from_text(to_text(Kernel("k", (), (build.const(value, dtype),)))).outputs
    assert (node.dtype, repr(node.arg)) == (dtype, repr(value))


def test_nan_reads_back() -> None:
    (node,) = from_text(to_text(Kernel("k", (), (build.const(math.nan, dt.float32),)))).outputs
    assert math.isnan(node.arg)


def test_leaves_read_back() -> None:
    nodes = (
        build.array(1, dt.bfloat16, ()), build.array(0, dt.bool_, (0, 4)), build.scalar(2, float),
        build.scalar(3, bool), build.cast(build.scalar(4, int), dtype=dt.float16), build.param(12, dt.float32),
        build.param(7, dt.int64),
        build.iota((2, 5), 1),
    )  # fmt: skip
    again = from_text(to_text(Kernel("leaves", (), nodes)))
    assert [(n.op, n.dtype, n.shape, n.arg) for n in again.outputs] == [(n.op, n.dtype, n.shape, n.arg) for n in nodes]


def test_sharing_and_several_outputs_survive() -> None:
    x = build.array(0, dt.float32, (3,))
    with recording():
        square = mul(x, x)
        kernel = Kernel("two", (x,), (add(square, x), square))
    again = from_text(to_text(kernel))
    assert again.name == "two"
    assert again.outputs[0].src[0] is again.outputs[1]
    assert again.outputs[1].src[0] is again.outputs[1].src[1] is again.inputs[0]


def test_the_text_is_one_line_for_each_node() -> None:
    x, y = build.array(0, dt.float32, (3, 4)), build.array(1, dt.float32, (4,))
    with recording():
        kernel = Kernel("k", (x, y), (add(x, y),))
    assert to_text(kernel).splitlines() == [
        "kernel k",
        "  %0 = input() {0} : float32[3, 4]",
        "  %1 = input() {1} : float32[4]",
        "  %2 = reshape(%1) : float32[1, 4]",
        "  %3 = expand(%2) : float32[3, 4]",
        "  %4 = add(%0, %3) : float32[3, 4]",
        "  inputs %0, %1",
        "  return %4",
    ]


@pytest.mark.parametrize("line", ["%0 = nosuch() : float32[3]", "hello", "%0 = add(%1, %2) : float32"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of a kernel's text"):
        from_text(f"kernel k\n  {line}")


def test_a_node_says_what_it_is() -> None:
    node = Node(build.IOTA, (), dt.int64, (2, 3), 1)
    assert repr(node) == "<iota, 1 int64[2, 3]>"
