"""Look-ups in small tables and scaling by powers of two: every lane, every width, on every feature level."""

from __future__ import annotations

import re

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import available, run, tensors, trace
from trueno import dtypes as dt
from trueno.codegen import compile as compiling
from trueno.codegen import target
from trueno.config import FEATURE_LEVELS
from trueno.functions import operations
from trueno.ir import promotion
from trueno.ir.elementwise import elementwise, lookup, scaleb
from trueno.ir.expand.notation import bits_of
from trueno.ir.op import registry
from trueno.runtime import cpu

LEVELS = [level for level in FEATURE_LEVELS if available(level)]
TABLE = tuple(float(k * k - 3) for k in range(32))


@pytest.fixture
def found(request):
    """A row that looks the bits of a float up in a table of some length."""
    table = TABLE[: request.param]
    expansion = lambda x: lookup(bits_of(x), table=table)  # noqa: E731
    name = f"found_for_test_{len(table)}"
    yield elementwise(
        name, 1, result=promotion.floating, domain=(-4, 4), llvm=expansion, opencl=expansion,
        ref=lambda x: np.asarray(table, x.dtype)[x.view(f"i{x.itemsize}") & (len(table) - 1)], doc="A row of a test.",
    )  # fmt: skip
    del registry[name]
    operations.pop(name, None)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
@pytest.mark.parametrize("found", [2, 8, 16, 32], indirect=True)
def test_the_low_bits_of_an_index_choose_an_element(found, dtype, level):
    rng = np.random.default_rng(0)
    for length in (1, 7, 8, 9, 16, 33, 130):
        whole = np.dtype(f"i{dtype.itemsize}")
        x = rng.integers(-(2**30), 2**30, length).astype(whole).view(dtype)
        (got,) = run(trace(found, (x,)), (x,), level)
        np.testing.assert_array_equal(got, found.ref(x))


@pytest.mark.parametrize("found", [16], indirect=True)
def test_narrow_floats_beside_wide_ones_are_looked_up(found):
    x = np.random.default_rng(1).integers(0, 2**30, 75).astype(np.int32).view(np.float32)
    kernel = trace(lambda x: found(x) + found(tn.cast(x, dtype=tn.float64)), (x,))
    for level in LEVELS:
        (got,) = run(kernel, (x,), level)
        np.testing.assert_array_equal(got, found.ref(x) + found.ref(x.astype(np.float64)))


@pytest.mark.skipif(not available("x86-64-v4"), reason="needs AVX-512")
@pytest.mark.parametrize("name", ["erf", "exp", "log"])
def test_vectors_are_permuted_instead_of_read(name):
    x = np.linspace(1, 2, 1000)
    kernel = trace(registry[name], (x,))
    layouts = [one._layout for one in tensors((x,))]
    lowered = cpu.lower(kernel, layouts, [-1], target.named("x86-64-v4"))
    module = compiling.optimise(lowered.source(), target.named("x86-64-v4"))
    assembly = compiling.machine(target.named("x86-64-v4")).emit_assembly(module)
    assert re.search(r"vperm[it]2pd\s.*zmm", assembly)
    assert "gather" not in assembly


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
def test_scaling_rounds_once(dtype, level):
    info = np.finfo(dtype)
    rng = np.random.default_rng(2)
    n = np.arange(info.minexp - info.nmant - 2, info.maxexp + 2).astype(dtype)
    x = rng.uniform(0.5, 4, n.size).astype(dtype)
    x[::50] = np.nan
    for shift in (0, 0.75):
        operands = (x, n + dtype.type(shift))
        (got,) = run(trace(scaleb, operands), operands, level)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, np.ldexp(x, n.astype(np.int32)))
