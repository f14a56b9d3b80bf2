"""Products in AMX's tiles: the micro-kernel, the tiles' configuration, and the panels that they are loaded from.

A tile has 16 rows of 64 bytes. One of sums has 16 columns of 32 bits; one of the rows' factor has as many elements along
K as 64 bytes hold; one of the columns' factor has 16 groups along K, a group being the elements of a column that 32 bits
hold (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18). TDPBF16PS adds products of
bfloat16 to float32, rounds to nearest and takes subnormal numbers for zeros; those of bytes are exact modulo 2^32.
"""

from __future__ import annotations

import numpy as np

from trueno.codegen.contraction.tile import AMX_ROW, Tile
from trueno.codegen.llvm import Module
from trueno.codegen.llvm_values import memory_type

_PRODUCTS = {
    "amx bf16": "tdpbf16ps", "amx ss": "tdpbssd", "amx su": "tdpbsud", "amx us": "tdpbusd", "amx uu": "tdpbuud",
}  # fmt: skip
#: Tiles there are, and rows of each.
_TILES, _ROWS = 8, 16


def configure_function(module: Module, name: str) -> None:
    """Append ``name()``, which makes all tiles of the calling thread as large as they can be."""
    module.declare("void @llvm.x86.ldtilecfg(ptr)")
    module.declare("void @llvm.x86.tilerelease()")
    # Palette 1; from byte 16 on the bytes of a row of each tile, from byte 48 on their numbers of rows.
    config = np.zeros(64, np.uint8)
    config[0] = 1
    config[16 : 16 + 2 * _TILES : 2] = AMX_ROW
    config[48 : 48 + _TILES] = _ROWS
    bytes_ = ", ".join(f"i8 {one}" for one in config)
    module.functions.append("\n".join([
        f"define internal void @{name}() noinline #0 {{", "  %config = alloca <64 x i8>, align 64",
        f"  store <64 x i8> <{bytes_}>, ptr %config, align 64", "  call void @llvm.x86.ldtilecfg(ptr %config)",
        "  ret void", "}",
    ]))  # fmt: skip


def tiles_kernel(module: Module, name: str, tile: Tile, direct_a: bool, panel: int) -> None:
    """Append ``name(k, a, b, a_row, a_step, b_step, a_ahead, add, out, out_row)`` to a module.

    It computes ``out[i, j] = (add ? out[i, j] : 0) + sum of a[i, p] * b[p, j]`` for all of a tile, as `micro_kernel`
    does; `k` counts groups, and is rounded up to those of a tile. Elements along K of a row lie side by side, as many as
    a tile takes; the next ones begin `a_step` times 16 elements further on.

    Parameters
    ----------
    module : Module
    name : str
    tile : Tile
        One of AMX, of at most four tiles of sums.
    direct_a : bool
        Whether rows are `a_row` elements apart; in panels they lie side by side.
    panel : int
        The width of the columns' panel.
    """
    rows, vectors, size = tile.rows // _ROWS, tile.vectors, tile.packed.itemsize
    sums = {(m, v): m * vectors + v for m in range(rows) for v in range(vectors)}
    line = panel * tile.group * size
    for form in ("tilezero(i8)", "tileloadd64(i8, ptr, i64)", "tilestored64(i8, ptr, i64)"):
        module.declare(f"void @llvm.x86.{form}")
    product = _PRODUCTS[tile.kind]
    module.declare(f"void @llvm.x86.{product}(i8, i8, i8)")
    lines = ["entry:", "  %row = mul i64 %out_row, 4", f"  %down = mul i64 %row, {_ROWS}"]
    for m, v in sums:
        from_ = f"%out.{m - 1}.{v}, i64 %down" if m else f"%out, i64 {v * _ROWS * 4}"
        lines.append(f"  %out.{m}.{v} = getelementptr i8, ptr {from_}")
    a_line = f"mul i64 %a_row, {size}" if direct_a else f"add i64 {AMX_ROW}, 0"
    lines += [
        f"  %a.row = {a_line}", f"  %a.down = mul i64 %a.row, {_ROWS}", f"  %a.next = mul i64 %a_step, {_ROWS * size}",
        "  %old = icmp ne i64 %add, 0", "  br i1 %old, label %load, label %zero", "load:",
        *(f"  call void @llvm.x86.tileloadd64(i8 {sums[m, v]}, ptr %out.{m}.{v}, i64 %row)" for m, v in sums),
        "  br label %begin", "zero:",
        *(f"  call void @llvm.x86.tilezero(i8 {number})" for number in sums.values()),
        "  br label %begin", "begin:", "  %any = icmp sgt i64 %k, 0", "  br i1 %any, label %loop, label %done", "loop:",
        "  %i = phi i64 [ 0, %begin ], [ %i.next, %loop ]", "  %a.0 = phi ptr [ %a, %begin ], [ %a.later, %loop ]",
        "  %b.0 = phi ptr [ %b, %begin ], [ %b.later, %loop ]",
    ]  # fmt: skip
    for m in range(1, rows):
        lines.append(f"  %a.{m} = getelementptr i8, ptr %a.{m - 1}, i64 %a.down")
    for v in range(1, vectors):
        lines.append(f"  %b.{v} = getelementptr i8, ptr %b.0, i64 {v * AMX_ROW}")
    # The tiles that are no sums: those of the factor with fewer ones are loaded first, the others take turns.
    few, many = ("a", "b") if rows < vectors else ("b", "a")
    counts = {"a": rows, "b": vectors}
    kept = {n: _TILES - 1 - n for n in range(counts[few])}
    free = [n for n in range(len(sums), _TILES) if n not in kept.values()]
    strides = {"a": "%a.row", "b": str(line)}

    def loaded(factor: str, number: int, register: int) -> str:
        at = f"%{factor}.{number}, i64 {strides[factor]}"
        return f"  call void @llvm.x86.tileloadd64(i8 {register}, ptr {at})"

    lines += [loaded(few, n, register) for n, register in kept.items()]
    for n in range(counts[many]):
        register = free[n % len(free)]
        lines.append(loaded(many, n, register))
        for other, first in kept.items():
            m, v, a, b = (n, other, register, first) if many == "a" else (other, n, first, register)
            lines.append(f"  call void @llvm.x86.{product}(i8 {sums[m, v]}, i8 {a}, i8 {b})")
    lines += [
        "  %a.later = getelementptr i8, ptr %a.0, i64 %a.next",
        f"  %b.later = getelementptr i8, ptr %b.0, i64 {_ROWS * line}", f"  %i.next = add nsw i64 %i, {_ROWS}",
        "  %more = icmp slt i64 %i.next, %k", "  br i1 %more, label %loop, label %done", "done:",
        *(f"  call void @llvm.x86.tilestored64(i8 {sums[m, v]}, ptr %out.{m}.{v}, i64 %row)" for m, v in sums),
        "  ret void",
    ]  # fmt: skip
    parameters = (
        "i64 %k, ptr noalias %a, ptr noalias %b, i64 %a_row, i64 %a_step, i64 %b_step, "
        "i64 %a_ahead, i64 %add, ptr %out, i64 %out_row"
    )
    module.functions.append(
        "\n".join([f"define internal void @{name}({parameters}) noinline #0 {{", *lines, "}"])
    )


def group_function(module: Module, name: str, dtype: np.dtype, width: int, group: int) -> None:
    """Append ``name(panel, n, whole)``: each `group` of n lines of `width` elements becomes one line of groups.

    Groups take the place of the lines that they are made of. Lines from n on, up to a multiple of a tile's, are zero.
    """
    unit, bits = memory_type(dtype), 8 * dtype.itemsize
    line, kind = width * dtype.itemsize, f"<{width} x {unit}>"
    lines: list[str] = []
    for j in range(group):
        lines.append(f"  %p{j} = getelementptr i8, ptr %at, i64 {j * line}")
        lines.append(f"  %x{j} = load {kind}, ptr %p{j}, align 16")
    # Pairs of lines, then pairs of pairs.
    names, lanes = [f"%x{j}" for j in range(group)], width
    while len(names) > 1:
        picked = ", ".join(f"i32 {i // 2 + (lanes if i % 2 else 0)}" for i in range(2 * lanes))
        part, joined = f"<{lanes} x i{bits}>", []
        for one, other in zip(names[::2], names[1::2], strict=True):
            made = f"{one}.{bits}"
            lines.append(f"  {made} = shufflevector {part} {one}, {part} {other}, <{2 * lanes} x i32> <{picked}>")
            joined.append(made)
        names, bits = joined, 2 * bits
        if len(names) > 1:
            for made in names:
                lines.append(f"  {made}.w = bitcast <{2 * lanes} x i{bits // 2}> {made} to <{lanes} x i{bits}>")
            names = [f"{made}.w" for made in names]
    final = f"<{2 * lanes} x i{bits // 2}>"
    lines.append(f"  store {final} {names[0]}, ptr %at, align 16")
    module.functions.append("\n".join([
        f"define internal void @{name}(ptr %panel, i64 %n, i64 %whole) noinline #0 {{", "entry:",
        "  %short = icmp slt i64 %n, %whole", "  br i1 %short, label %zero, label %begin", "zero:",
        "  %z = phi i64 [ %n, %entry ], [ %z.next, %zero ]", f"  %z.byte = mul i64 %z, {line}",
        "  %z.at = getelementptr i8, ptr %panel, i64 %z.byte", f"  store {kind} zeroinitializer, ptr %z.at, align 16",
        "  %z.next = add nsw i64 %z, 1", "  %z.more = icmp slt i64 %z.next, %whole",
        "  br i1 %z.more, label %zero, label %begin", "begin:", "  %any = icmp sgt i64 %whole, 0",
        "  br i1 %any, label %loop, label %done", "loop:", "  %i = phi i64 [ 0, %begin ], [ %i.next, %loop ]",
        f"  %byte = mul i64 %i, {line}", "  %at = getelementptr i8, ptr %panel, i64 %byte",
        *lines,
        f"  %i.next = add nsw i64 %i, {group}", "  %more = icmp slt i64 %i.next, %whole",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip


def clear_function(module: Module, name: str, dtype: np.dtype, width: int) -> None:
    """Append ``name(panel, rows, n)``: of n lines of `width` elements, 64 bytes, those from `rows` on become zeros."""
    unit, kind = memory_type(dtype), f"<{width} x {memory_type(dtype)}>"
    full = f"@llvm.masked.store.v{width}{unit}.p0"
    module.declare(f"void {full}({kind}, ptr, i32, <{width} x i1>)")
    module.functions.append("\n".join([
        f"define internal void @{name}(ptr %panel, i64 %rows, i64 %n) noinline #0 {{", "entry:",
        "  %bits = shl i64 -1, %rows", f"  %few = trunc i64 %bits to i{width}" if width < 64 else "  %few = or i64 %bits, 0",
        f"  %mask = bitcast i{width} %few to <{width} x i1>", "  %any = icmp sgt i64 %n, 0",
        "  br i1 %any, label %loop, label %done", "loop:", "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        f"  %at = getelementptr {kind}, ptr %panel, i64 %i",
        f"  call void {full}({kind} zeroinitializer, ptr %at, i32 {dtype.itemsize}, <{width} x i1> %mask)",
        "  %i.next = add nsw i64 %i, 1", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip
