"""Rows of the op table: an op is written once and carries all that follows from it.

A row that lacks an obligation of its kind fails when it is made, that is, at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trueno import dtypes as dt

if TYPE_CHECKING:
    from trueno.ir.node import Node

Rule = Callable[..., Any]

KINDS = ("leaf", "elementwise", "reduction", "view", "assemble", "scan", "contraction", "gather", "scatter")

#: What a row of each kind must say of itself besides its name.
_OBLIGATIONS: dict[str, tuple[str, ...]] = {
    "leaf": ("ref",),
    "elementwise": ("ref", "result", "llvm", "opencl", "record"),
    "reduction": ("ref", "result", "combine", "start", "record"),
    "view": ("ref", "record", "grad"),
    "assemble": ("ref", "record", "grad"),
    "scan": ("ref", "result", "combine", "start", "record"),
    "contraction": ("ref", "result", "record", "grad"),
    "gather": ("ref", "record", "grad"),
    "scatter": ("ref", "record", "grad"),
}

#: All rows by name.
registry: dict[str, Op] = {}


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """One row of the op table. Calling it records a node.

    Attributes
    ----------
    name : str
    kind : str
        One of `KINDS`; decides which obligations the row has.
    arity : int
        Number of operands; -1 for any.
    result : callable, optional
        ``result(op, *dtypes) -> (operand dtype, result dtype)``; see ir/promotion.py.
    ref : callable
        The meaning in NumPy: ``ref(*arrays, **static)``; elementwise and view rows get arrays of equal shape.
    domain : tuple of tuple of float
        For each operand the interval from which tests draw values.
    llvm : mapping or callable
        From dtype class (``f`` float, ``i`` signed, ``u`` unsigned, ``b`` bool) to an LLVM instruction or
        ``@intrinsic``; or an expansion ``f(*nodes) -> node`` into other rows.
    opencl : mapping, str or callable
        The same for OpenCL C: a template in ``{0}``, ``{1}``, ...
    grad : callable or None
        ``grad(g, y, *operands) -> list`` of one gradient (or None) for each operand, recorded as IR; a rule never
        mentions broadcasting, dtypes or accumulation. None: the op has no gradient (integers, comparisons).
    combine : Op, optional
        Of reductions and scans: the binary row that joins two partial results.
    start : number, optional
        Of reductions and scans: the neutral element, or ``"lowest"`` / ``"highest"`` of the dtype.
    absorbing : number, optional
        Of reductions: the partial result that no element changes any more.
    record : callable
        ``record(op, *operands, **static) -> Node``: checks the operands and makes broadcasting and casts explicit.
    pair : callable, optional
        As `record`, where an operand is complex: a pair of real nodes (ir/pairs.py). Rows without it refuse such
        operands, but for those that only move elements.
    doc : str
        One line for the documentation.
    """

    name: str
    kind: str
    arity: int
    ref: Rule | None = None
    result: Rule | None = None
    domain: tuple[tuple[float, float], ...] = ()
    llvm: Mapping[str, str] | Rule | None = None
    opencl: Mapping[str, str] | str | Rule | None = None
    grad: Rule | None = None
    combine: Op | None = None
    start: Any = None
    absorbing: Any = None
    record: Rule | None = None
    pair: Rule | None = None
    doc: str = ""
    public: bool = True
    tags: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        missing = [what for what in _OBLIGATIONS[self.kind] if getattr(self, what) is None]
        if missing:
            raise TypeError(f"op row {self.name!r} ({self.kind}) lacks {', '.join(missing)}")
        if self.name in registry:
            raise TypeError(f"op row {self.name!r} exists twice")
        if self.public and not self.doc:
            raise TypeError(f"op row {self.name!r} lacks its line of documentation")
        registry[self.name] = self

    def __call__(self, *operands: Any, **static: Any) -> Node:
        assert self.record is not None, f"{self.name} is made by the recorder only"
        dtype = static.get("dtype")
        if any(map(is_complex, operands)) or (dtype is not None and is_complex(dt.as_dtype(dtype))):
            from trueno.ir import pairs

            return pairs.record(self, *operands, **static)
        return self.record(self, *operands, **static)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    @property
    def differentiable(self) -> bool:
        """Whether the row has a gradient rule."""
        return self.grad is not None


def is_complex(value: Any) -> bool:
    """Whether a value is complex while it is recorded: a pair of real nodes, a number or a dtype."""
    if isinstance(value, np.dtype):
        return value.kind == "c"
    row = getattr(value, "op", None)
    return isinstance(value, (complex, np.complexfloating)) if row is None else row.name == "pair"


def rows(*kinds: str) -> list[Op]:
    """Return the rows of these kinds (all when none is named), in the order of the table."""
    return [op for op in registry.values() if not kinds or op.kind in kinds]
