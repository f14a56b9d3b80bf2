"""A unary op is one row: everything else follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trueno as tn
from trueno.functions import _define, operations
from trueno.ir import promotion
from trueno.ir.elementwise import elementwise, mul
from trueno.ir.op import registry
from trueno.ir.table import markdown


@pytest.fixture
def cube():
    row = elementwise(
        "cube_for_test", 1, result=promotion.widened, ref=lambda x: x * x * x, domain=(-4, 4),
        llvm=lambda x: mul(mul(x, x), x), opencl="({0} * {0} * {0})",
        grad=lambda g, y, x: [g * 3.0 * x * x], doc="x to the third.",
    )  # fmt: skip
    yield _define(row.name, row, row.arity, row.doc).call
    del registry[row.name], operations[row.name]


def test_row_computes_differentiates_and_documents_itself(cube):
    x = np.linspace(-2, 2, 7)
    np.testing.assert_allclose(cube(tn.from_numpy(x)).numpy(), x**3, rtol=1e-15)
    variable = tn.from_numpy(x.copy()).requires_grad_()
    assert tn.gradcheck(cube, variable)
    assert tn.gradgradcheck(cube, variable)
    assert "| `cube_for_test` | 1 | yes | x to the third. |" in markdown()


@pytest.mark.opencl
def test_row_runs_on_opencl(cube):
    x = np.linspace(-2, 2, 7, dtype=np.float32)
    np.testing.assert_allclose(cube(tn.from_numpy(x).to("opencl:0")).cpu().numpy(), x**3, rtol=1e-6)


def test_documentation_of_the_table_is_current():
    text = (Path(__file__).parents[2] / "docs" / "ops.md").read_text()
    assert text == markdown(), "run: python -m trueno.ir.table > docs/ops.md"
