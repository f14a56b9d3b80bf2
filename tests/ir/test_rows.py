"""The op table: rows carry all that follows from them, and one that lacks something fails at import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trueno.ir
from trueno.ir import promotion
from trueno.ir.elementwise import add
from trueno.ir.node import Node
from trueno.ir.op import KINDS, Op, registry, rows

FULL: dict[str, dict[str, Any]] = {
    "leaf": {"ref": lambda: None},
    "elementwise": {"ref": np.sin, "result": promotion.floating, "llvm": {}, "opencl": {}, "record": lambda op, x: x},
    "reduction": {"ref": np.sum, "result": promotion.promote, "combine": add, "start": 0, "record": lambda op, x: x},
    "view": {"ref": np.transpose, "record": lambda op, x: x, "grad": lambda g, y, x: [g]},
    "assemble": {"ref": np.concatenate, "record": lambda op, x: x, "grad": lambda g, y, x: [g]},
    "scan": {"ref": np.cumsum, "result": promotion.promote, "combine": add, "start": 0, "record": lambda op, x: x},
    "contraction": {"ref": np.dot, "result": promotion.promote, "record": lambda op, x: x, "grad": lambda g, y, x: [g]},
    "gather": {"ref": np.take, "record": lambda op, x: x, "grad": lambda g, y, x: [g]},
    "scatter": {"ref": np.add, "record": lambda op, x: x, "grad": lambda g, y, x: [g]},
}


@pytest.fixture
def fresh() -> Iterator[str]:
    """A name for a row that is taken out of the table again."""
    yield "row_of_a_test"
    registry.pop("row_of_a_test", None)


@pytest.mark.parametrize(("kind", "without"), [(kind, what) for kind in FULL for what in FULL[kind]])
def test_a_row_that_lacks_an_obligation_fails_when_made(kind: str, without: str, fresh: str) -> None:
    given = {what: value for what, value in FULL[kind].items() if what != without}
    with pytest.raises(TypeError, match=rf"op row '{fresh}' \({kind}\) lacks {without}"):
        Op(fresh, kind, 1, doc="A row.", **given)
    assert fresh not in registry


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_row_is_made(kind: str, fresh: str) -> None:
    made = Op(fresh, kind, 1, doc="A row.", **FULL[kind])
    assert registry[fresh] is made


def test_a_public_row_needs_a_line_of_documentation(fresh: str) -> None:
    with pytest.raises(TypeError, match="lacks its line of documentation"):
        Op(fresh, "view", 1, **FULL["view"])
    assert Op(fresh, "view", 1, public=False, **FULL["view"]).name == fresh


def test_a_name_is_taken_once() -> None:
    with pytest.raises(TypeError, match="'add' exists twice"):
        Op("add", "view", 1, doc="A row.", **FULL["view"])


def test_rows_are_listed_by_kind() -> None:
    assert {op.kind for op in rows("scan", "view")} == {"scan", "view"}
    assert len(rows()) == len(registry)
    assert registry["exp"].differentiable
    assert not registry["eq"].differentiable


def test_leaves_are_made_by_the_recorder_only() -> None:
    with pytest.raises(AssertionError, match="recorder"):
        registry["input"]()


def test_elementwise_rows_take_as_many_operands_as_they_say() -> None:
    x = Node(registry["input"], (), np.dtype("f4"), (2,), 0)
    with pytest.raises(TypeError, match="add takes 2 operands, got 1"):
        add(x)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_the_ir_imports_nothing_of_the_other_packages() -> None:
    folder = Path(trueno.ir.__file__).parent
    allowed = ("trueno.ir.", "trueno.dtypes")
    for path in folder.rglob("*.py"):
        own = [name for name in _imports(path) if name.split(".")[0] == "trueno"]
        wrong = [name for name in own if not f"{name}.".startswith((*allowed, "trueno.ir"))]
        assert not wrong, f"{path.name} imports {wrong}"
