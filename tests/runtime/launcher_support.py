"""A stand-in for the Tensor class, kernels from small pieces of LLVM text, and a launcher to run them on."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import weakref
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from trueno.runtime import launcher
from trueno.runtime.entry import Entry, ScalarSlot
from trueno.runtime.layout import layout_of

_HEAD = """
define void @{name}(ptr %buffers, ptr %meta, ptr %scalars, i64 %threads, ptr %team) {{
entry:
  %n = load i64, ptr %meta
  {loads}
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %run]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %run, label %end
run:
  {body}
  %next = add i64 %i, 1
  br label %head
end:
  ret void
}}
"""


def _loop(name: str, element: str, buffers: int, reads: dict[str, int], writes: dict[str, int], body: str) -> str:
    """Text of a kernel that runs `body` for each of ``meta[0]`` elements; reads and writes name buffers."""
    loads, access, stores = [], [], []
    for k in range(buffers):
        loads += [f"%a{k} = getelementptr ptr, ptr %buffers, i64 {k}", f"%b{k} = load ptr, ptr %a{k}"]
        access.append(f"%p{k} = getelementptr {element}, ptr %b{k}, i64 %i")
    access += [f"%{value} = load {element}, ptr %p{k}" for value, k in reads.items()]
    stores += [f"store {element} %{value}, ptr %p{k}" for value, k in writes.items()]
    return _HEAD.format(name=name, loads="\n  ".join(loads), body="\n  ".join([*access, body, *stores]))


_KERNELS = [
    _loop("add", "float", 3, {"x": 0, "y": 1}, {"z": 2}, "%z = fadd float %x, %y"),
    _loop("halves", "float", 3, {"x": 0}, {"y": 1, "z": 2}, "%y = fmul float %x, 0.5\n%z = fadd float %y, 1.0"),
    _loop(
        "scale",
        "float",
        2,
        {"x": 0},
        {"z": 1},
        "%s64 = load double, ptr %scalars\n%s = fptrunc double %s64 to float\n%z = fmul float %x, %s",
    ),
    _loop("shift", "i64", 2, {"x": 0}, {"z": 1}, "%s = load i64, ptr %scalars\n%z = add i64 %x, %s"),
    # The result goes through scratch: buffer 2.
    _loop("negate", "float", 3, {"x": 0}, {"z": 1, "y": 2}, "%y = fneg float %x\n%z = fadd float %y, 0.0"),
    """
define internal void @double_body(ptr %data, i64 %number) {
entry:
  %threads_at = getelementptr i64, ptr %data, i64 1
  %threads = load i64, ptr %threads_at
  %n_at = getelementptr i64, ptr %data, i64 2
  %n = load i64, ptr %n_at
  %x_at = getelementptr i64, ptr %data, i64 3
  %x = load ptr, ptr %x_at
  %z_at = getelementptr i64, ptr %data, i64 4
  %z = load ptr, ptr %z_at
  br label %share
; A team may run fewer bodies than it was asked for, so each takes shares until none is left.
share:
  %index = atomicrmw add ptr %data, i64 1 seq_cst
  %left = icmp slt i64 %index, %threads
  br i1 %left, label %head, label %end
head:
  %i = phi i64 [%index, %share], [%next, %run]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %run, label %share
run:
  %xp = getelementptr float, ptr %x, i64 %i
  %zp = getelementptr float, ptr %z, i64 %i
  %v = load float, ptr %xp
  %w = fmul float %v, 2.0
  store float %w, ptr %zp
  %next = add i64 %i, %threads
  br label %head
end:
  ret void
}

define void @double(ptr %buffers, ptr %meta, ptr %scalars, i64 %threads, ptr %team) {
  %data = alloca [5 x i64]
  %n = load i64, ptr %meta
  %x = load ptr, ptr %buffers
  %z_from = getelementptr ptr, ptr %buffers, i64 1
  %z = load ptr, ptr %z_from
  store i64 0, ptr %data
  %threads_at = getelementptr i64, ptr %data, i64 1
  store i64 %threads, ptr %threads_at
  %n_at = getelementptr i64, ptr %data, i64 2
  store i64 %n, ptr %n_at
  %x_at = getelementptr i64, ptr %data, i64 3
  store ptr %x, ptr %x_at
  %z_at = getelementptr i64, ptr %data, i64 4
  store ptr %z, ptr %z_at
  %many = icmp sgt i64 %threads, 1
  br i1 %many, label %shared, label %alone
shared:
  %launch = load ptr, ptr %team
  call void %launch(ptr %team, ptr @double_body, ptr %data, i64 %threads)
  ret void
alone:
  call void @double_body(ptr %data, i64 0)
  ret void
}
""",
    # Waits, without touching Python, until another thread writes to its first buffer.
    """
define void @wait(ptr %buffers, ptr %meta, ptr %scalars, i64 %threads, ptr %team) {
entry:
  %flag = load ptr, ptr %buffers
  %z_from = getelementptr ptr, ptr %buffers, i64 1
  %z = load ptr, ptr %z_from
  br label %head
head:
  %value = load atomic i64, ptr %flag seq_cst, align 8
  %set = icmp ne i64 %value, 0
  br i1 %set, label %end, label %head
end:
  store i64 %value, ptr %z
  ret void
}
""",
]


@functools.cache
def _engine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("\n".join(_KERNELS)), machine)
    engine.finalize_object()
    return engine


def kernel(name: str) -> int:
    """Return the address of one of the kernels."""
    return _engine().get_function_address(name)


class Missed(Exception):
    """Raised by the default slow path."""


class Version(weakref.ref):
    """What a tensor shares with its views."""

    __slots__ = ("counter", "next", "written")


class Bench:
    """A launcher of one kind with a Tensor class of its own."""

    def __init__(self, kind: str) -> None:
        class Tensor:
            __slots__ = ("__weakref__", "_autograd", "_layout", "_storage", "_version")

        class Parameter(Tensor):
            __slots__ = ()

        self.kind, self.Tensor, self.Parameter = kind, Tensor, Parameter
        self.launcher = launcher.create(kind)
        self.pool = self.launcher.pool
        self.launcher.bind(Tensor, (Parameter,), Version)

    def tensor(self, values: Any, dtype: str = "f4", cls: type | None = None) -> Any:
        """Return a dense tensor with these values."""
        array = np.ascontiguousarray(values, dtype)
        result = (cls or self.Tensor)()
        result._storage, result._layout = self.pool.allocate(array.nbytes), layout_of(array.dtype, array.shape)
        ctypes.memmove(self.pool.pointer(result._storage), array.ctypes.data, array.nbytes)
        return result

    def window(self, base: Any, start: int, layout: Any) -> Any:
        """Return a tensor on the memory of another, `start` elements from its first."""
        result = self.Tensor()
        result._storage = self.pool.view(base._storage, start * layout.dtype.itemsize)
        result._layout = layout
        return result

    def array(self, tensor: Any) -> np.ndarray:
        """Return a copy of a tensor's elements."""
        layout, address = tensor._layout, self.pool.pointer(tensor._storage)
        one = (ctypes.c_char * layout.dtype.itemsize).from_address(address)
        itemsize = layout.dtype.itemsize
        strides = tuple(stride * itemsize for stride in layout.strides)
        first = np.frombuffer(one, layout.dtype)
        return np.lib.stride_tricks.as_strided(first, layout.shape, strides).copy()


def miss(*args: Any, **kwargs: Any) -> Any:
    """The default slow path: it only says that it was called."""
    raise Missed(args, kwargs)


def entry(
    name: str,
    tensors: tuple[int, ...],
    outputs: tuple[Any, ...],
    aliases: tuple[int, ...] | None = None,
    scalars: tuple[ScalarSlot, ...] = (),
    scratch: tuple[int, ...] = (),
    parallel: bool = False,
    single: bool = True,
) -> Entry:
    """Return an entry for one of the kernels; the number of elements is the first output's."""
    meta = np.array([outputs[0].size], np.int64)
    aliases = (-1,) * len(outputs) if aliases is None else aliases
    return Entry(kernel(name), meta, meta.ctypes.data, tensors, outputs, aliases, scratch, scalars, parallel, single)


X, Y = np.arange(6, dtype="f4"), np.linspace(3, 8, 6, dtype="f4")


def known(bench: Bench, function: Any, *args: Any, **kwargs: Any) -> bool:
    """Tell whether a call runs without the slow path."""
    # Functions of earlier tests that the collector frees take their counts with them.
    gc.disable()
    try:
        before = launcher.statistics()["total"]["misses"]
        with contextlib.suppress(Missed):
            function(*args, **kwargs)
        return launcher.statistics()["total"]["misses"] == before
    finally:
        gc.enable()


def make_add(bench: Bench) -> tuple[Any, Any, Any]:
    """Return an add with an entry for two vectors, and the vectors."""
    x, y = bench.tensor(X), bench.tensor(Y)
    add = launcher.function("add", 2, miss)
    assert launcher.install(add, (x, y), {}, entry("add", (0, 1), (x._layout,)))
    return add, x, y


def make_iadd(bench: Bench, x: Any, y: Any) -> Any:
    iadd = launcher.function("iadd", 2, miss)
    assert launcher.install(iadd, (x, y), {}, entry("add", (0, 1), (x._layout,), aliases=(0,)))
    return iadd
