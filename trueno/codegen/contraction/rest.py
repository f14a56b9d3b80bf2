"""A few columns left over beside complete tiles: inner products of the rows, which are in the first-level cache then.

A tile that has 49 columns in place of 48 would need a vector more for one of them: a third of all products. Rows that
run along K are read once more instead, by vectors, each of which is multiplied by one of a column; the lanes of the
sums are added up at the end (contraction/dots.py). That takes one product for sixteen steps along K.
"""

from __future__ import annotations

from trueno.codegen.contraction.dots import dots_kernel
from trueno.codegen.contraction.tile import Tile
from trueno.codegen.llvm import Module
from trueno.codegen.llvm_types import register_type

#: Rows and vectors of the tiles beside which columns may be left over, and how many: their sums fit the registers.
FORMS = ((8, 3, 2), (6, 4, 4))
#: What a column that is left over takes for a row, in products of vectors: for each vector along K, and at the end.
PRODUCTS, END = 1.5, 10.0


def rest_functions(module: Module, name: str, tile: Tile, columns: int) -> None:
    """Append what computes columns that are left over.

    ``name.rest`` is a kernel of inner products, ``name.column(from, step, n, to)`` copies n elements that lie `step`
    elements apart.
    """
    dots_kernel(module, f"{name}.rest", tile._replace(vectors=columns, dots=True))
    unit, size = register_type(tile.packed), tile.packed.itemsize
    module.functions.append("\n".join([
        f"define internal void @{name}.column(ptr noalias %from, i64 %step, i64 %n, ptr noalias %to) noinline #0 {{",
        "entry:", "  %any = icmp sgt i64 %n, 0", "  br i1 %any, label %loop, label %done", "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        "  %from.at = phi ptr [ %from, %entry ], [ %from.next, %loop ]",
        f"  %x = load {unit}, ptr %from.at, align {size}",
        f"  %to.at = getelementptr {unit}, ptr %to, i64 %i", f"  store {unit} %x, ptr %to.at, align {size}",
        f"  %from.next = getelementptr {unit}, ptr %from.at, i64 %step",
        "  %i.next = add nuw nsw i64 %i, 1", "  %more = icmp slt i64 %i.next, %n",
        "  br i1 %more, label %loop, label %done", "done:", "  ret void", "}",
    ]))  # fmt: skip
