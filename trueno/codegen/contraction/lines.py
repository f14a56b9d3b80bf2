"""A single row times a matrix in memory: its lines, scaled and added up, eight at a time.

A register tile would walk down the matrix in pieces of a few hundred bytes, which hardware does not fetch ahead.
"""

from __future__ import annotations

from typing import Any

from trueno.codegen.contraction.tile import Tile, k_block
from trueno.codegen.expr import Expr
from trueno.codegen.llvm import LLVMPrinter, Module
from trueno.ir.elementwise import add, fma, mul

#: Lines of the matrix that are added for each access to the sums.
_TOGETHER = 8

LINES = "i64 %k, ptr noalias %a, i64 %a_step, ptr noalias %b, i64 %b_step, ptr noalias %sums, i64 %n"
"""Parameters of the function."""


def lines_function(module: Module, name: str, tile: Tile, strip: int, half_instructions: bool) -> None:
    """Append ``name(k, a, a_step, b, b_step, sums, n)``: ``sums[j] = sum of a[p * a_step] * b[p * b_step + j]``.

    Sums over a block of K are added to the result one after the other.
    """
    p = LLVMPrinter(module, half_instructions)
    dtype, span = tile.sum, k_block(tile.sum)
    zero = p.const(0, dtype)
    block = p.variable(dtype, strip)[0]
    p.in_entry = False
    for pointer in ("%a", "%b", "%sums"):
        p.points_into(pointer, None)
    with p.vector_loop("0", "%n", True, masked=p.masks) as j:
        p.store(p.advance("%sums", j, dtype), zero, dtype)
    with p.loop("0", "%k", span) as low:
        high = p.arith("min", "%k", p.arith("add", low, p.index(span)))
        with p.vector_loop("0", "%n", True, masked=p.masks) as j:
            p.store(p.advance(block, j, dtype), zero, dtype)
        count = p.arith("div", p.arith("sub", high, low), p.index(_TOGETHER))
        middle = p.arith("add", low, p.arith("mul", count, p.index(_TOGETHER)))
        with p.loop(low, middle, _TOGETHER) as k:
            _add_lines(p, tile, block, k, _TOGETHER)
        with p.loop(middle, high) as k:
            _add_lines(p, tile, block, k, 1)
        with p.vector_loop("0", "%n", True, masked=p.masks) as j:
            total = p.advance("%sums", j, dtype)
            p.store(total, p.add(p.load(total, dtype), p.load(p.advance(block, j, dtype), dtype), dtype), dtype)
    p.finish_function(f"{name}({LINES})", "lines of a matrix, scaled and added up", "hidden")


def _add_lines(p: LLVMPrinter, tile: Tile, sums: Any, k: Any, count: int) -> None:
    dtype = tile.sum
    leaf = Expr("total", None, (), dtype, None)
    factors, lines = [], []
    for i in range(count):
        at = p.arith("add", k, p.index(i))
        factors.append(p.load(p.advance("%a", p.arith("mul", at, "%a_step"), dtype), dtype))
        lines.append(p.advance("%b", p.arith("mul", at, "%b_step"), dtype))
    # Only the loop of many lines is worth code of its own for what fills no vector.
    with p.vector_loop("0", "%n", True, masked=p.masks and count == 1) as j:
        place = p.advance(sums, j, dtype)
        value = p.load(place, dtype)
        for factor, line in zip(factors, lines, strict=True):
            element = p.load(p.advance(line, j, dtype), dtype)
            if tile.kind == "fma":
                value = p.apply(Expr("op", fma, (leaf, leaf, leaf), dtype, None), [factor, element, value])
            else:
                product = p.apply(Expr("op", mul, (leaf, leaf), dtype, None), [factor, element])
                value = p.apply(Expr("op", add, (leaf, leaf), dtype, None), [value, product])
        p.store(place, value, dtype)
