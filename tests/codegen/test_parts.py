"""Kernels of several modules: how functions are parted, how parts are compiled, and what is imported for it."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import run, tensors, trace
from trueno.codegen import compile as compiler
from trueno.codegen import parts
from trueno.codegen.objects import bundle, unbundle
from trueno.codegen.outline import outlined
from trueno.codegen.parts import PART
from trueno.codegen.target import resolve
from trueno.runtime import cpu


def source(function, *arrays: np.ndarray) -> str:
    """The LLVM IR of a kernel."""
    kernel = trace(function, arrays)
    return cpu.lower(kernel, [one._layout for one in tensors(arrays)], [-1] * len(kernel.outputs)).source()


def softmax_source() -> str:
    return source(lambda x: tn.softmax(x, axis=-1), np.zeros(1 << 20, np.float32))


def defined(text: str) -> list[str]:
    return re.findall(r"^define .*?@([\w.]+)\(", text, re.MULTILINE)


def test_small_kernels_are_one_module():
    assert PART not in source(lambda x: x + x, np.zeros(100, np.float32))


def test_a_large_kernel_is_parted_and_each_function_is_in_one_part(monkeypatch: pytest.MonkeyPatch):
    text = softmax_source()
    parted = text.split(PART)
    assert len(parted) == parts.PARTS
    monkeypatch.setattr(parts, "_WORTH", 1 << 40)
    whole = softmax_source()
    assert PART not in whole
    assert sorted(name for part in parted for name in defined(part)) == sorted(defined(whole))
    for part in parted:
        assert len(part) < 0.8 * len(whole)


@pytest.mark.parametrize("rows", [(1000,), (20, 1000)], ids=["row", "rows"])
def test_a_function_that_outweighs_all_others_is_cut(rows: tuple[int, ...]):
    """A short softmax is one stage, and its exponentials and sums are half of it."""
    text = source(lambda x: tn.softmax(x, axis=-1), np.zeros(rows, np.float32))
    assert len(text.split(PART)) == parts.PARTS
    (nest,) = [name for name in defined(text) if re.fullmatch(r"stage0_task_L\d+", name)]
    assert [nest in defined(part) for part in text.split(PART)].count(True) == 1


_LOOP = """define hidden void @f.task(ptr %p, i64 %n) noinline #0 {
entry:
  %sum = alloca double, align 64
  store double 0.0, ptr %sum, align 8
  %any = icmp slt i64 0, %n
  br i1 %any, label %L1.head, label %L1.end
L1.head:
  %i = phi i64 [ 0, %entry ], [ %j, %L1.head ]
  %at = getelementptr double, ptr %p, i64 %i
  %x = load double, ptr %at, align 8
  %old = load double, ptr %sum, align 8
  %new = fadd reassoc double %old, %x
  store double %new, ptr %sum, align 8
  %j = add nsw i64 %i, 1
  %more = icmp slt i64 %j, %n
  br i1 %more, label %L1.head, label %L1.end
L1.end:
  %all = load double, ptr %sum, align 8
  store double %all, ptr %p, align 8
  ret void
}"""


def test_what_a_nest_of_loops_carries_on_comes_back():
    caller, nest = outlined(_LOOP, len, 0) or ("", "")
    assert "L1.head:\n  %sum.L1.in = load double, ptr %sum" in caller
    assert "call void @f_task_L1(ptr %p, i64 %n, ptr %sum.L1)" in re.sub(r"\((.*)\)", _sorted_arguments, caller)
    assert "phi i64 [ 0, %entry ], [ %j, %L1.head ]" in nest
    text = f"{nest}\n{caller}\nattributes #0 = {{ nounwind }}\n".replace("hidden void @f.task", "void @kernel")
    address = compiler.link(compiler.compile_objects(text, resolve()), resolve())
    values = np.arange(1.0, 9.0)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)(values.ctypes.data, 8)
    assert values[0] == 36.0


def _sorted_arguments(found: re.Match[str]) -> str:
    order = ["ptr %p", "i64 %n", "ptr %sum.L1"]
    given = found[1].split(", ")
    return f"({', '.join(sorted(given, key=order.index))})" if set(given) == set(order) else found[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("store double %all, ptr %p", "store double %x, ptr %p"),
        ("  %j = add", "  br i1 %any, label %out, label %in\nout:\n  ret void\nin:\n  %j = add"),
        ("%x = load double, ptr %at", "%x = extractvalue {double} undef, 0\n  %y = load double, ptr %at"),
    ],
    ids=["read behind", "returns", "fine"],
)
def test_nests_that_are_no_functions_stay(old: str, new: str):
    assert (outlined(_LOOP.replace(old, new), len, 0) is None) == ("extractvalue" not in new)


@pytest.mark.parametrize(
    "function",
    [lambda x: tn.softmax(x, axis=-1), lambda x: tn.std(x, axis=-1), lambda x: x @ x, lambda x: tn.sin(x) @ x],
    ids=["softmax", "std", "matmul", "helpers"],
)
def test_a_parted_kernel_computes_the_same_bits(function, monkeypatch: pytest.MonkeyPatch):
    x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    kernel = trace(function, [x])
    whole = run(kernel, [x], "native")
    monkeypatch.setattr(parts, "_WORTH", 0)
    monkeypatch.setattr(parts, "_REST", 0)
    # Neither what is loaded nor what is stored may answer.
    monkeypatch.setattr(cpu, "_functions", {})
    monkeypatch.setattr(cpu.generator, "digest", lambda: f"parted {time.time_ns()}")
    np.testing.assert_array_equal(run(kernel, [x], "native"), whole)
    assert len(cpu._functions) == 1


def test_parts_are_linked_into_one_module_to_be_shown():
    text = softmax_source()
    module, assembly = compiler.stages(text, resolve().description())
    for name in defined(text):
        assert f"@{name}(" in module
    assert assembly.count("kernel:") == 1


def test_an_error_in_any_part_is_raised():
    good = "define void @kernel() {\n ret void\n}\n"
    for text in (good + PART + "define nonsense", "define nonsense" + PART + good):
        with pytest.raises(RuntimeError, match="LLVM IR parsing error"):
            compiler.compile_objects(text, resolve())
    assert len(compiler.compile_objects(good + PART + good.replace("kernel", "other"), resolve())) == 2


def test_threads_that_compile_at_once_get_what_one_alone_gets():
    text, target = softmax_source(), resolve()
    want = compiler.compile_objects(text, target)
    found: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: found.append(compiler.compile_objects(text, target))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [want] * 3


def test_without_a_handle_of_the_library_parts_take_the_lock_and_give_the_same(monkeypatch: pytest.MonkeyPatch):
    text, target = softmax_source(), resolve()
    want = compiler.compile_objects(text, target)
    taken: list[str] = []

    class Library:
        """llvmlite's functions, each of which takes the lock, and nothing that stands in for a `ctypes.CDLL`."""

        def __getattr__(self, name: str) -> object:
            if name in ("_name", "_handle"):
                raise AttributeError(name)
            taken.append(name)
            return getattr(library, name)

    library = compiler.ffi.lib
    monkeypatch.setattr(compiler.ffi, "lib", Library())
    compiler._at_once.cache_clear()
    try:
        assert compiler.compile_objects(text, target) == want
        assert compiler._at_once("LLVMPY_TargetMachineEmitToMemory") is library.LLVMPY_TargetMachineEmitToMemory
    finally:
        compiler._at_once.cache_clear()
    assert {"LLVMPY_TargetMachineEmitToMemory", "LLVMPY_RunNewModulePassManager"} <= set(taken)


def test_long_functions_of_the_library_do_not_take_the_lock():
    for name in ("LLVMPY_TargetMachineEmitToMemory", "LLVMPY_RunNewModulePassManager"):
        locked, free = getattr(compiler.ffi.lib, name), compiler._at_once(name)
        assert free is not locked
        assert (free.argtypes, free.restype) == (locked.argtypes, locked.restype)


def test_objects_are_stored_as_one_code():
    objects = [b"", b"one", b"\0" * 300]
    assert unbundle(bundle(objects)) == objects
    assert unbundle(b"") == []


def test_an_elementwise_call_imports_no_generator_of_products_or_convolutions():
    program = (
        "import sys, numpy as np, trueno as tn; x = tn.from_numpy(np.ones(10, np.float32)); (x + x).numpy(); "
        "print([name for name in sys.modules if name in ("
        "'trueno.codegen.chains', 'trueno.codegen.vectors', 'trueno.codegen.winograd', 'trueno.codegen.following', "
        "'trueno.codegen.joined', 'trueno.codegen.contraction.lower', 'trueno.codegen.contraction.pack', "
        "'trueno.codegen.contraction.micro', 'trueno.codegen.opencl', 'networkx', 'pyopencl')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
