"""How matrix products are computed where no stage of their own fits: as sums over products."""

from __future__ import annotations

from trueno import dtypes as dt
from trueno.ir import build
from trueno.ir.node import Kernel, Node, recording, rewrite
from trueno.ir.reductions import any as any_rows
from trueno.ir.reductions import sum as sum_rows
from trueno.ir.views import matmul, permute


def as_sums(kernel: Kernel) -> Kernel:
    """Return the kernel with matrix products written as a sum over the products of broadcast operands."""

    def rule(node: Node) -> Node | None:
        if node.op is not matmul:
            return None
        a, b = (build.cast(source, dtype=node.dtype) for source in node.src)
        *batch, m, k = a.shape
        n = b.shape[-1]
        left = build.expand(build.reshape(a, shape=(*batch, m, 1, k)), shape=(*batch, m, n, k))
        right = permute(b, axes=(*range(len(batch)), len(batch) + 1, len(batch)))
        right = build.expand(build.reshape(right, shape=(*batch, 1, n, k)), shape=(*batch, m, n, k))
        if node.dtype == dt.bool_:
            return any_rows(left * right, axis=len(batch) + 2)
        total = sum_rows(left * right, axis=len(batch) + 2, dtype=node.dtype)
        return build.cast(total, dtype=node.dtype)

    with recording():
        return Kernel(kernel.name, kernel.inputs, rewrite(kernel.outputs, rule), kernel.origin)
