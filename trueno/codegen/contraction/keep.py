"""The copy of a block of columns that lie in rows of memory into panels, in memory of the task's own."""

from __future__ import annotations

from trueno.codegen.contraction.tile import Tile
from trueno.codegen.llvm import Module
from trueno.codegen.llvm_types import register_type

#: Rows ahead that are fetched into the second-level cache. Rows whole pages apart share a dozen lines of the first.
_ROWS_AHEAD = 16
_LINE = 64


def keep_function(module: Module, name: str, tile: Tile) -> None:
    """Append ``name(from, step, n, width, to, panel)``: n rows of memory, `step` elements apart, become panels.

    A panel holds the columns of one tile, row by row; `width` is a multiple of them. Panels are `panel` elements apart.
    A row is read from end to end before the next one, since hardware fetches within a page only.
    """
    unit, size, columns = register_type(tile.packed), tile.packed.itemsize, tile.columns
    kind, bytes_ = f"<{tile.lanes} x {unit}>", columns * size
    module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    moves = []
    for at in range(0, bytes_, _LINE):
        moves.append(f"  %soon.{at} = getelementptr i8, ptr %soon, i64 {at}")
        moves.append(f"  call void @llvm.prefetch.p0(ptr %soon.{at}, i32 0, i32 2, i32 1)")
    for v in range(tile.vectors):
        moves += [
            f"  %p{v} = getelementptr {unit}, ptr %from.at, i64 {v * tile.lanes}",
            f"  %x{v} = load {kind}, ptr %p{v}, align {size}",
            f"  %q{v} = getelementptr {unit}, ptr %to.at, i64 {v * tile.lanes}",
            f"  store {kind} %x{v}, ptr %q{v}, align {tile.lanes * size}",
        ]
    module.functions.append("\n".join([
        f"define internal void @{name}(ptr noalias %from, i64 %step, i64 %n, i64 %width, ptr noalias %to, i64 %panel) "
        "noinline #0 {",
        "entry:", f"  %ahead = mul i64 %step, {_ROWS_AHEAD}",
        "  %any.row = icmp sgt i64 %n, 0", "  %any.column = icmp sgt i64 %width, 0",
        "  %any = and i1 %any.row, %any.column", "  br i1 %any, label %row, label %done",
        "row:", "  %i = phi i64 [ 0, %entry ], [ %i.next, %row.end ]",
        "  %from.row = phi ptr [ %from, %entry ], [ %from.row.next, %row.end ]",
        "  %to.row = phi ptr [ %to, %entry ], [ %to.row.next, %row.end ]",
        "  br label %column",
        "column:", "  %j = phi i64 [ 0, %row ], [ %j.next, %column ]",
        "  %to.at = phi ptr [ %to.row, %row ], [ %to.at.next, %column ]",
        f"  %from.at = getelementptr {unit}, ptr %from.row, i64 %j",
        f"  %soon = getelementptr {unit}, ptr %from.at, i64 %ahead",
        *moves,
        f"  %to.at.next = getelementptr {unit}, ptr %to.at, i64 %panel",
        f"  %j.next = add nuw nsw i64 %j, {columns}",
        "  %more = icmp slt i64 %j.next, %width", "  br i1 %more, label %column, label %row.end",
        "row.end:", f"  %from.row.next = getelementptr {unit}, ptr %from.row, i64 %step",
        f"  %to.row.next = getelementptr {unit}, ptr %to.row, i64 {columns}",
        "  %i.next = add nuw nsw i64 %i, 1",
        "  %again = icmp slt i64 %i.next, %n", "  br i1 %again, label %row, label %done",
        "done:", "  ret void", "}",
    ]))  # fmt: skip
