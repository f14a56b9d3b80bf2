"""Code for every feature level, this machine's and others': which registers it uses, and what it computes."""

from __future__ import annotations

import re

import numpy as np
import pytest

import trueno as tn
from tests.codegen import freestanding
from tests.ops.support import available, close, run, tensors, trace
from trueno import dtypes as dt
from trueno.codegen import compile as compiler
from trueno.codegen import target
from trueno.config import FEATURE_LEVELS
from trueno.ir.interp import evaluate
from trueno.nn.functional import conv2d, conv_transpose2d, max_pool2d
from trueno.runtime import cpu

RNG = np.random.default_rng(0)
X86 = ("scalar", "x86-64-v2", "x86-64-v3", "x86-64-v4")


def normal(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def integers(*shape, dtype):
    return RNG.integers(-100, 100, shape).astype(dtype)


FLOATS = normal(37, 66)
#: Some are so large that they are reduced in another way.
ANGLES = np.append(normal(500), RNG.uniform(1e12, 1e35, 3)).astype(np.float32)[::-1]
#: Functions and operands: what each kind of stage and conversion is made of, without calls to the C library.
KERNELS = {
    "add": (lambda x, y: x + y, (FLOATS, normal(37, 66))),
    "add a number": (lambda x, a: x * a + a, (FLOATS, 0.375)),
    "exp": (tn.exp, (FLOATS,)),
    "tanh of a long row": (tn.tanh, (normal(50000),)),
    "softmax": (lambda x: tn.softmax(x, axis=1), (FLOATS,)),
    "softmax down columns": (lambda x: tn.softmax(x, axis=0), (FLOATS,)),
    "sum and max": (lambda x: (tn.sum(x, 1), tn.max(x, 0)), (FLOATS,)),
    "sum of everything": (tn.sum, (normal(100000),)),
    "cumsum": (lambda x: tn.cumsum(x, 1), (FLOATS,)),
    "float64": (lambda x: tn.sqrt(tn.abs(x)) / (x * x + 1.0), (normal(500, dtype=np.float64),)),
    "float64 mean": (lambda x: tn.mean(x, 1), (normal(20, 70, dtype=np.float64),)),
    "int8": (lambda x, y: x * y - x, (integers(700, dtype=np.int8), integers(700, dtype=np.int8))),
    "int8 sum": (lambda x: tn.sum(x, 1), (integers(9, 77, dtype=np.int8),)),
    "float16": (lambda x, y: x * y * 3, (normal(333, dtype=np.float16), normal(333, dtype=np.float16))),
    "float16 from float32": (lambda x: tn.cast(x, dtype=tn.float16), (normal(333) * 1e4,)),
    "bfloat16": (lambda x: x + x, (normal(100, dtype=dt.bfloat16),)),
    "strided": (lambda x, y: x - y, (FLOATS[::-2, ::3], normal(66, 37).T[::-2, ::3])),
    "exp of every second": (tn.exp, (FLOATS[:, ::2],)),
    "sin": (tn.sin, (ANGLES,)),
    "tan in float64": (tn.tan, (ANGLES.astype(np.float64),)),
    "sum of cos": (lambda x: tn.sum(tn.cos(x), 1), (normal(9, 77),)),
    "comparison": (lambda x: tn.where(x > 0, x, 0.0), (FLOATS[:, ::-1],)),
    "float to int": (lambda x: tn.cast(x, dtype=tn.int32), (normal(99) * 1e9 * 4,)),
    "matmul": (tn.matmul, (normal(33, 40), normal(40, 29))),
    "matmul float64": (tn.matmul, (normal(9, 40, dtype=np.float64), normal(40, 70, dtype=np.float64))),
    "matmul int8": (tn.matmul, (integers(17, 40, dtype=np.int8), integers(40, 23, dtype=np.int8))),
    "row times matrix": (tn.matmul, (normal(1, 40), normal(40, 300))),
    "matrix convolution": (lambda x, w: tn.relu(conv2d(x, w, padding=1)), (normal(2, 3, 9, 7), normal(5, 3, 3, 3))),
    "matrix convolution in a chain": (conv2d, (normal(1, 16, 90, 90), normal(24, 16, 3, 3))),
    "matrix of a transposed convolution": (
        lambda x, w: conv_transpose2d(x, w, stride=2, padding=1), (normal(1, 20, 7, 6), normal(20, 18, 3, 3))
    ),
    "max pooling": (lambda x: max_pool2d(x, 3, 2, 1), (normal(2, 3, 13, 10),)),
}  # fmt: skip


def lowered(name, level):
    function, operands = KERNELS[name]
    kernel = trace(function, operands)
    layouts = [getattr(one, "_layout", None) for one in tensors(operands)]
    return cpu.lower(kernel, layouts, [-1] * len(kernel.outputs), target.named(level))


def check(got, name):
    function, operands = KERNELS[name]
    want = evaluate(trace(function, operands), *operands)
    for k, (one, other) in enumerate(zip(got, want, strict=True)):
        # Elements of a product are sums whose terms cancel.
        scale = np.abs(other).max() if "matmul" in name or "matrix" in name or "sum" in name else None
        close(one, np.asarray(other), f"{name}, result {k}", scale=scale)


@pytest.mark.parametrize("name", KERNELS)
def test_neon_code_computes_the_same_in_an_emulated_process(name, tmp_path):
    lacking = freestanding.missing()
    if lacking:
        pytest.skip(lacking)
    check(freestanding.run(lowered(name, "neon"), KERNELS[name][1], tmp_path), name)


@pytest.mark.parametrize("name", KERNELS)
def test_neon_code_is_aarch64_assembly(name):
    text = freestanding.assembly(lowered(name, "neon"))
    assert "kernel:" in text and not re.search(r"[xyz]mm\d|%r[a-d]x", text)
    if name == "add":
        assert re.search(r"fadd\s+v\d+\.4s", text)


@pytest.mark.parametrize("level", X86)
@pytest.mark.parametrize("name", KERNELS)
def test_x86_code_holds_registers_of_its_level_only(name, level):
    text = freestanding.assembly(lowered(name, level))
    widest = {"x86-64-v2": "xmm", "x86-64-v3": "ymm", "scalar": "ymm"}.get(level, "zmm")
    wider = {"xmm": r"%[yz]mm|\bv[a-z]+ps\b|%k[1-7]", "ymm": r"%zmm|%[xy]mm(1[6-9]|2\d|3[01])|%k[1-7]"}.get(widest)
    assert wider is None or not re.search(wider, text), re.search(wider, text)
    if name == "add" and level != "scalar":
        assert re.search(rf"v?addps.*%{widest}", text)
    if level == "scalar":
        assert not re.search(r"\bv(add|mul|sub|max|fmadd\d+)p[sd]\b", text)


def test_a_run_time_stride_does_not_keep_a_loop_from_vectors():
    assert "vgatherqps" in freestanding.assembly(lowered("exp of every second", "x86-64-v4"))


@pytest.mark.parametrize("level", X86)
@pytest.mark.parametrize("name", KERNELS)
def test_x86_levels_agree(name, level):
    if not available(level):
        pytest.skip(f"this CPU does not run {level}")
    function, operands = KERNELS[name]
    check(run(trace(function, operands), operands, level), name)


@pytest.mark.parametrize("level", [level for level in FEATURE_LEVELS if available(level)])
def test_every_float16_is_converted_exactly_at_each_level(level):
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    (wide,) = run(trace(lambda x: tn.cast(x, dtype=tn.float32), (halves,)), (halves,), level)
    np.testing.assert_array_equal(wide, halves.astype(np.float32))
    between = (np.arange(0, 2**32, 65521, dtype=np.uint32)).view(np.float32)
    (narrow,) = run(trace(lambda x: tn.cast(x, dtype=tn.float16), (between,)), (between,), level)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(narrow, between.astype(np.float16))


def test_a_level_of_another_architecture_is_named_but_not_run():
    foreign = "neon" if target.host_architecture() == "x86-64" else "x86-64-v3"
    found = target.named(foreign)
    assert target.parse(found.description()).description() == found.description()
    with pytest.raises(ValueError, match=f"{foreign}.* is not for this machine"):
        target.resolve(foreign)
    assert foreign in target.status()["compiles_only"] and "native" in target.status()["runs"]
    objects = compiler.compile_objects(lowered("add", foreign).source(), found)
    with pytest.raises(ValueError, match="does not run on this machine"):
        compiler.link(objects, found)


def test_names_and_descriptions_of_no_target_are_refused():
    with pytest.raises(ValueError, match="unknown CPU feature level 'avx'; known are native"):
        target.named("avx")
    with pytest.raises(ValueError, match="does not describe a target"):
        target.parse("+avx2")
    with pytest.raises(ValueError, match="no code for z80"):
        compiler.machine(target.Target("stored", "generic", "", True, "z80"))


def test_a_stored_kernel_is_shown_for_another_level():
    one = lowered("exp", "x86-64-v3")
    optimised, assembly = compiler.stages(one.source(), one.target.description(), "neon")
    assert "<4 x float>" in optimised and re.search(r"fmla\s+v\d+\.4s", assembly)
    assert "%zmm" in compiler.stages(one.source(), one.target.description(), "x86-64-v4")[1]


def test_register_tiles_are_not_shown_for_another_level():
    one = lowered("matmul", "x86-64-v3")
    assert "%ymm" in compiler.stages(one.source(), one.target.description(), "x86-64-v3")[1]
    with pytest.raises(ValueError, match=r"planned for the vectors of x86-64.*level neon would be given another plan"):
        compiler.stages(one.source(), one.target.description(), "neon")
