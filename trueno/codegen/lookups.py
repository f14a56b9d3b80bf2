"""LLVM IR of look-ups in small tables, by permutations of registers, and of AVX-512's scaling by powers of two."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.llvm_types import literal, register_type

if TYPE_CHECKING:
    from trueno.codegen.llvm_values import ValuePrinter

#: Bytes of the registers whose elements AVX-512 puts into any order, by an index for each, and of AVX2's.
PERMUTED_BYTES = 64
_HALF_BYTES = 32


def fills(lanes: int, dtype: np.dtype) -> bool:
    """Whether so many elements fill a register of AVX-512."""
    return lanes * dtype.itemsize == PERMUTED_BYTES


def scale(p: ValuePrinter, operands: Sequence[str], dtype: np.dtype) -> str:
    """Print ``x 2**floor(n)`` of vectors that fill a register, and return the value."""
    kind, mask = p.kind(dtype), f"i{p.lanes}"
    name = f"@llvm.x86.avx512.mask.scalef.{'ps' if dtype == dt.float32 else 'pd'}.512"
    p.module.declare(f"{kind} {name}({kind}, {kind}, {kind}, {mask}, i32)")
    x, n = operands
    # All lanes, and the rounding that is set.
    return p.let(f"call {kind} {name}({kind} {x}, {kind} {n}, {kind} zeroinitializer, {mask} -1, i32 4)")


def look_up(p: ValuePrinter, index: str, table: Sequence[float], dtype: np.dtype) -> str:
    """Print a look-up of each element of an index, of which the low bits count, and return the value.

    Tables that one or two registers hold are looked up by one instruction for all lanes, on targets with AVX-512; with
    AVX2 there is one for each register, and choices between them. Elsewhere tables are read lane by lane.
    """
    whole = dt.int_of_same_width(dtype)
    if p.lanes == 1:
        return _load(p, index, table, dtype)
    full = PERMUTED_BYTES // dtype.itemsize
    if p.permuted == PERMUTED_BYTES and p.lanes <= full and len(table) <= 2 * full:
        return _permuted(p, index, table, dtype, full)
    if p.permuted == _HALF_BYTES and p.lanes * dtype.itemsize == _HALF_BYTES:
        return _permuted_and_chosen(p, index, table, dtype)
    kind, indices, one, lanes = p.kind(dtype), p.kind(whole), register_type(dtype), p.lanes
    result = "poison"
    for lane in range(lanes):
        place = p.let(f"extractelement {indices} {index}, i64 {lane}")
        value = _load(p, place, table, dtype)
        result = p.let(f"insertelement {kind} {result}, {one} {value}, i64 {lane}")
    return result


def _load(p: ValuePrinter, index: str, table: Sequence[float], dtype: np.dtype) -> str:
    """Print the look-up of a single element in memory."""
    one, whole = register_type(dtype), register_type(dt.int_of_same_width(dtype))
    kind, listed = f"[{len(table)} x {one}]", _listed(table, dtype)
    name = f"@table.{one}.{zlib.crc32(listed.encode()):08x}"
    p.module.helpers[name] = f"{name} = private unnamed_addr constant {kind} [{listed}], align 64"
    inside = p.let(f"and {whole} {index}, {len(table) - 1}")
    place = p.let(f"getelementptr inbounds {kind}, ptr {name}, i64 0, {whole} {inside}")
    return p.let(f"load {one}, ptr {place}, align {dtype.itemsize}")


def _permuted(p: ValuePrinter, index: str, table: Sequence[float], dtype: np.dtype, full: int) -> str:
    """Print a permutation of the table; `full` lanes are those of a register."""
    one, whole = register_type(dtype), register_type(dt.int_of_same_width(dtype))
    lanes, kind, indices = p.lanes, f"<{full} x {one}>", f"<{full} x {whole}>"
    if lanes < full:
        every = ", ".join(f"i32 {k if k < lanes else 'poison'}" for k in range(full))
        given = f"<{lanes} x {whole}>"
        index = p.let(f"shufflevector {given} {index}, {given} poison, <{full} x i32> <{every}>")
    short, letter = ("ps", "s") if dtype == dt.float32 else ("pd", "d")
    # A shorter table is repeated: only as many bits of the index count as a register has elements.
    values = [*table] * max(1, full // len(table))
    first = f"{kind} <{_listed(values[:full], dtype)}>"
    if len(values) == full:
        name = f"@llvm.x86.avx512.permvar.{letter}f.512"
        p.module.declare(f"{kind} {name}({kind}, {indices})")
        found = p.let(f"call {kind} {name}({first}, {indices} {index})")
    else:
        name = f"@llvm.x86.avx512.vpermi2var.{short}.512"
        p.module.declare(f"{kind} {name}({kind}, {indices}, {kind})")
        second = f"{kind} <{_listed(values[full:], dtype)}>"
        found = p.let(f"call {kind} {name}({first}, {indices} {index}, {second})")
    if lanes == full:
        return found
    some = ", ".join(f"i32 {k}" for k in range(lanes))
    return p.let(f"shufflevector {kind} {found}, {kind} poison, <{lanes} x i32> <{some}>")


def _permuted_and_chosen(p: ValuePrinter, index: str, table: Sequence[float], dtype: np.dtype) -> str:
    """Print a permutation of each register of the table, and choices by the bits of the index that are left."""
    one, whole, lanes = register_type(dtype), register_type(dt.int_of_same_width(dtype)), p.lanes
    kind, indices = f"<{lanes} x {one}>", f"<{lanes} x {whole}>"
    places = index
    if dtype == dt.float64:
        # AVX2 permutes words of 32 bits: those at 2 i and 2 i + 1.
        low = p.let(f"and {indices} {p.let(f'shl {indices} {index}, splat ({whole} 1)')}, splat ({whole} 6)")
        high = p.let(f"shl {indices} {low}, splat ({whole} 32)")
        both = p.let(f"or {indices} {low}, {high}")
        both = p.let(f"or {indices} {both}, splat ({whole} {1 << 32})")
        places = p.let(f"bitcast {indices} {both} to <8 x i32>")
    name = "@llvm.x86.avx2.permps"
    p.module.declare(f"<8 x float> {name}(<8 x float>, <8 x i32>)")
    values = [*table] * max(1, lanes // len(table))
    found = []
    for begin in range(0, len(values), lanes):
        part = f"{kind} <{_listed(values[begin : begin + lanes], dtype)}>"
        part = p.let(f"bitcast {part} to <8 x float>")
        part = p.let(f"call <8 x float> {name}(<8 x float> {part}, <8 x i32> {places})")
        found.append(p.let(f"bitcast <8 x float> {part} to {kind}"))
    bit = lanes
    while len(found) > 1:
        # A choice by the sign is a single instruction.
        sign = 8 * dtype.itemsize - bit.bit_length()
        moved = p.let(f"shl {indices} {index}, splat ({whole} {sign})")
        held = p.let(f"icmp slt {indices} {moved}, zeroinitializer")
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [p.let(f"select <{lanes} x i1> {held}, {kind} {b}, {kind} {a}") for a, b in pairs]
        bit *= 2
    return found[0]


def _listed(table: Sequence[float], dtype: np.dtype) -> str:
    return ", ".join(f"{register_type(dtype)} {literal(value, dtype)}" for value in table)
