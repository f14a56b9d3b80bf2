"""Products in AMX's tiles: the micro-kernel, the tiles' configuration, and the panels that they are loaded from.

A tile has 16 rows of 64 bytes. One of sums has 16 columns of 32 bits; one of the rows' factor has as many elements
along K as 64 bytes hold; one of the columns' factor has 16 groups along K, a group being the elements of a column that
32 bits hold (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18). TDPBF16PS adds
products of bfloat16 to float32, rounds to nearest and takes subnormal numbers for zeros; those of bytes are exact
modulo 2^32.
"""

from __future__ import annotations

import numpy as np

from trueno.codegen.contraction.masks import mask_of, masked_load, masked_store
from trueno.codegen.contraction.tile import AMX_ROW, Tile
from trueno.codegen.llvm import Module
from trueno.codegen.llvm_types import memory_type

_PRODUCTS = {
    "amx bf16": "tdpbf16ps", "amx ss": "tdpbssd", "amx su": "tdpbsud", "amx us": "tdpbusd", "amx uu": "tdpbuud",
}  # fmt: skip
#: Tiles there are, and rows of each.
_TILES, _ROWS = 8, 16
#: Steps along K ahead in the columns' panel that are fetched.
_AHEAD = 2
#: Bytes ahead in rows that are read as they lie.
_ROW_AHEAD = 512
#: Lines ahead that are fetched where panels are made of memory whose lines lie far from each other.
_LINES_AHEAD = 16


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
    does; `k` counts groups, and is rounded up to those of a tile. Elements along K of a row lie side by side, as many
    as a tile takes; the next ones begin `a_step` times 16 elements further on.

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
    module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
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
        "  %i.0 = phi i64 [ 0, %begin ], [ %i.2, %second ]", "  %a.0.0 = phi ptr [ %a, %begin ], [ %a.2.0, %second ]",
        "  %b.0.0 = phi ptr [ %b, %begin ], [ %b.2.0, %second ]",
    ]  # fmt: skip
    streamed = direct_a and tile.vectors == 1
    lines += _step(tile, sums, panel, streamed, "0", "1")
    lines += ["  %more.0 = icmp slt i64 %i.1, %k", "  br i1 %more.0, label %second, label %done", "second:"]
    lines += _step(tile, sums, panel, streamed, "1", "2")
    lines += [
        "  %more.1 = icmp slt i64 %i.2, %k", "  br i1 %more.1, label %loop, label %done", "done:",
        *(f"  call void @llvm.x86.tilestored64(i8 {sums[m, v]}, ptr %out.{m}.{v}, i64 %row)" for m, v in sums),
        "  ret void",
    ]  # fmt: skip
    parameters = (
        "i64 %k, ptr noalias %a, ptr noalias %b, i64 %a_row, i64 %a_step, i64 %b_step, "
        "i64 %a_ahead, i64 %add, ptr %out, i64 %out_row"
    )
    module.functions.append("\n".join([f"define internal void @{name}({parameters}) noinline #0 {{", *lines, "}"]))


def _step(
    tile: Tile, sums: dict[tuple[int, int], int], panel: int, streamed: bool, at: str, later: str
) -> list[str]:  # fmt: skip
    """Return the lines of one step along K of all tiles; two steps, which pointers are named after, take turns.

    `streamed`: whether rows are fetched ahead, each on its own: there are few columns to read them again for.

    A tile is loaded when the step before has used its register for the last time, and a product or two before it is
    needed: the second step begins with those whose registers the first one is done with early.
    """
    rows, vectors = tile.rows // _ROWS, tile.vectors
    line = panel * tile.group * tile.packed.itemsize
    lines = [f"  %a.{at}.{m} = getelementptr i8, ptr %a.{at}.{m - 1}, i64 %a.down" for m in range(1, rows)]
    lines += [f"  %b.{at}.{v} = getelementptr i8, ptr %b.{at}.0, i64 {v * AMX_ROW}" for v in range(1, vectors)]
    # Those of the factor with fewer tiles keep their registers, the other's share what remains.
    few = "a" if rows < vectors else "b"
    kept = {(few, n): _TILES - 1 - n for n in range(min(rows, vectors))}
    free = [n for n in range(len(sums), _TILES) if n not in kept.values()]
    strides, loaded = {"a": "%a.row", "b": str(line)}, set()
    cells = [(m, v if m % 2 == int(at) else vectors - 1 - v) for m in range(rows) for v in range(vectors)]
    fetched = _ROWS * line // 64
    for number, (m, v) in enumerate(cells):
        for r in range(_ROWS if streamed else 0):
            from_ = f"%a.{at}.{m}.{r - 1}, i64 %a.row" if r else f"%a.{at}.{m}, i64 {_ROW_AHEAD}"
            lines.append(f"  %a.{at}.{m}.{r} = getelementptr i8, ptr {from_}")
            lines.append(f"  call void @llvm.prefetch.p0(ptr %a.{at}.{m}.{r}, i32 0, i32 3, i32 1)")
        for factor in (("a", m), ("b", v)):
            if factor not in loaded:
                name = f"%{factor[0]}.{at}.{factor[1]}, i64 {strides[factor[0]]}"
                register = kept.get(factor, free[factor[1] % len(free)])
                lines.append(f"  call void @llvm.x86.tileloadd64(i8 {register}, ptr {name})")
                loaded.add(factor)
        a, b = (kept.get(one, free[one[1] % len(free)]) for one in (("a", m), ("b", v)))
        lines.append(f"  call void @llvm.x86.{_PRODUCTS[tile.kind]}(i8 {sums[m, v]}, i8 {a}, i8 {b})")
        # Panels stream from the second-level cache; loads of tiles alone would wait for each.
        for k in range(number * fetched // len(cells), (number + 1) * fetched // len(cells)):
            ahead = f"%b.{at}.ahead.{k}"
            lines.append(f"  {ahead} = getelementptr i8, ptr %b.{at}.0, i64 {_AHEAD * _ROWS * line + 64 * k}")
            lines.append(f"  call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 3, i32 1)")
    return [
        *lines, f"  %a.{later}.0 = getelementptr i8, ptr %a.{at}.0, i64 %a.next",
        f"  %b.{later}.0 = getelementptr i8, ptr %b.{at}.0, i64 {_ROWS * line}",
        f"  %i.{later} = add nsw i64 %i.{at}, {_ROWS}",
    ]  # fmt: skip


def _interleaved(dtype: np.dtype, width: int, names: list[str]) -> tuple[list[str], str]:
    """Return the lines that put the elements of vectors side by side, and what names the result: a type and a value."""
    lines: list[str] = []
    bits, lanes = 8 * dtype.itemsize, width
    while len(names) > 1:
        part, wide = f"<{lanes} x i{bits}>", f"<{2 * lanes} x i{bits}>"
        picked = ", ".join(f"i32 {i // 2 + (lanes if i % 2 else 0)}" for i in range(2 * lanes))
        joined = []
        for one, other in zip(names[::2], names[1::2], strict=True):
            made = f"{one}.{bits}"
            lines.append(f"  {made} = shufflevector {part} {one}, {part} {other}, <{2 * lanes} x i32> <{picked}>")
            lines.append(f"  {made}.w = bitcast {wide} {made} to <{lanes} x i{2 * bits}>")
            joined.append(f"{made}.w")
        names, bits = joined, 2 * bits
    return lines, f"<{lanes} x i{bits}> {names[0]}"


def group_function(module: Module, name: str, dtype: np.dtype, width: int, group: int) -> None:
    """Append ``name(panel, n)``: each `group` of n lines of `width` elements becomes one line of groups.

    Groups take the place of the lines that they are made of.
    """
    line, kind = width * dtype.itemsize, f"<{width} x {memory_type(dtype)}>"
    lines: list[str] = []
    for j in range(group):
        lines.append(f"  %p{j} = getelementptr i8, ptr %at, i64 {j * line}")
        lines.append(f"  %x{j} = load {kind}, ptr %p{j}, align 16")
    joining, value = _interleaved(dtype, width, [f"%x{j}" for j in range(group)])
    lines += [*joining, f"  store {value}, ptr %at, align 16"]
    _loop(module, f"{name}(ptr %panel, i64 %n)", line, group, [], lines)


def lace_function(module: Module, name: str, dtype: np.dtype, width: int, group: int) -> None:
    """Append ``name(from, from_bytes, rows, panel, n)``: lines of groups from n lines of memory, `from_bytes` apart.

    Elements from `rows` on are zero, and so are lines from n on that the last group lacks.
    """
    kind, mask = f"<{width} x {memory_type(dtype)}>", f"<{width} x i1>"
    module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    lines: list[str] = []
    for j in range(group):
        lines += [
            f"  %k{j} = add nsw i64 %i, {j}", f"  %in{j} = icmp slt i64 %k{j}, %n",
            f"  %m{j} = select i1 %in{j}, {mask} %mask, {mask} zeroinitializer",
            f"  %o{j} = mul i64 %k{j}, %from_bytes", f"  %p{j} = getelementptr i8, ptr %from, i64 %o{j}",
            masked_load(module, f"%x{j}", kind, f"%p{j}", f"%m{j}", dtype.itemsize),
            f"  %f{j} = getelementptr i8, ptr %p{j}, i64 %ahead",
            f"  call void @llvm.prefetch.p0(ptr %f{j}, i32 0, i32 3, i32 1)",
        ]  # fmt: skip
    joining, value = _interleaved(dtype, width, [f"%x{j}" for j in range(group)])
    lines += [*joining, f"  store {value}, ptr %at, align 16"]
    setup = [f"  %ahead = mul i64 %from_bytes, {_LINES_AHEAD}", *mask_of("%mask", "%rows", 0, width)]
    parameters = "ptr noalias %from, i64 %from_bytes, i64 %rows, ptr noalias %panel, i64 %n"
    _loop(module, f"{name}({parameters})", width * dtype.itemsize, group, setup, lines)


def zeros_function(module: Module, name: str, dtype: np.dtype, width: int) -> None:
    """Append ``name(panel, n)``: n lines of `width` zeros."""
    line = width * dtype.itemsize
    store = f"  store <{line} x i8> zeroinitializer, ptr %at, align 16"
    _loop(module, f"{name}(ptr %panel, i64 %n)", line, 1, [], [store])


def _loop(module: Module, signature: str, line: int, step: int, setup: list[str], lines: list[str]) -> None:
    """Append a function that does the same for `step` of n lines at a time; each line of the panel has `line` bytes."""
    module.functions.append("\n".join([
        f"define internal void @{signature} noinline #0 {{", "entry:", *setup, "  %any = icmp sgt i64 %n, 0",
        "  br i1 %any, label %loop, label %done", "loop:", "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        f"  %byte = mul i64 %i, {line}", "  %at = getelementptr i8, ptr %panel, i64 %byte", *lines,
        f"  %i.next = add nsw i64 %i, {step}", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip


def clear_function(module: Module, name: str, dtype: np.dtype, width: int) -> None:
    """Append ``name(panel, n, rows)``: of n lines of `width` elements, 64 bytes, those from `rows` on become zeros."""
    kind, mask = f"<{width} x {memory_type(dtype)}>", f"<{width} x i1>"
    setup = mask_of("%kept", "%rows", 0, width)
    setup.append(f"  %mask = xor {mask} %kept, splat (i1 true)")
    store = masked_store(module, "zeroinitializer", kind, "%at", "%mask", dtype.itemsize)
    _loop(module, f"{name}(ptr %panel, i64 %n, i64 %rows)", width * dtype.itemsize, 1, setup, [store])
