"""The machine's limits, measured: fused multiply-adds a second and bytes a second at a given working set.

A benchmark compares its figures with these and refuses what lies above them: a kernel cannot be faster than the same
traffic without arithmetic, so such a figure means that the work was not done.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

ALIGNMENT = 64
"""Bytes of one cache line and of the widest vector."""

TOLERANCE = 1.10
"""How far above the measured limit a figure may lie before it is refused: the spread of the limit itself."""

_ATTEMPTS = 3
"""Times that a limit is measured again before a figure above it is refused."""

_LANES = 16
"""float32 lanes of the IR's vectors; LLVM splits them where the machine's are narrower."""

_UNROLL = 8
"""Vectors a loop iteration of a stream kernel covers."""

_STREAMS: dict[str, tuple[int, bool, bool]] = {
    "read": (1, False, False),
    "copy": (1, True, False),
    "triad": (2, True, False),
    "copy past the cache": (1, True, True),
    "triad past the cache": (2, True, True),
}
"""Traffic patterns: arrays read, whether one is written, whether the writes bypass the cache."""


def _stream_ir(name: str, reads: int, writes: bool, bypass: bool) -> str:
    """LLVM IR of ``name(a, b, c, iterations, repeats)``: c = a + b, c = a, or the sum of a."""
    vector = f"<{_LANES} x float>"
    hint = ", !nontemporal !0" if bypass else ""
    sums = range(0 if writes else _UNROLL)
    body = []
    for u in range(_UNROLL):
        body.append(f"%o{u} = add i64 %base, {u * _LANES}")
        for source in "ab"[:reads]:
            body.append(f"%p{source}{u} = getelementptr float, ptr %{source}, i64 %o{u}")
            body.append(f"%v{source}{u} = load {vector}, ptr %p{source}{u}, align {ALIGNMENT}")
        value = f"%va{u}"
        if reads == 2:
            body.append(f"%s{u} = fadd {vector} %va{u}, %vb{u}")
            value = f"%s{u}"
        if writes:
            body.append(f"%pc{u} = getelementptr float, ptr %c, i64 %o{u}")
            body.append(f"store {vector} {value}, ptr %pc{u}, align {ALIGNMENT}{hint}")
        else:
            body.append(f"%n{u} = fadd {vector} %t{u}, {value}")
    outer = [f"%q{u} = phi {vector} [zeroinitializer, %entry], [%n{u}, %next]" for u in sums]
    inner = [f"%t{u} = phi {vector} [%q{u}, %again], [%n{u}, %loop]" for u in sums]
    tail = []
    for u in sums:
        tail.append(f"%pr{u} = getelementptr float, ptr %c, i64 {u * _LANES}")
        tail.append(f"store {vector} %n{u}, ptr %pr{u}, align {ALIGNMENT}")
    lines = "\n  ".join
    return f"""
define void @{name}(ptr %a, ptr %b, ptr %c, i64 %iterations, i64 %repeats) {{
entry:
  br label %again
again:
  %r = phi i64 [0, %entry], [%r1, %next]
  {lines(outer)}
  br label %loop
loop:
  %i = phi i64 [0, %again], [%i1, %loop]
  {lines(inner)}
  %base = mul i64 %i, {_UNROLL * _LANES}
  {lines(body)}
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %iterations
  br i1 %more, label %loop, label %next
next:
  %r1 = add i64 %r, 1
  %once_more = icmp ult i64 %r1, %repeats
  br i1 %once_more, label %again, label %exit
exit:
  {lines(tail)}
  ret void
}}
!0 = !{{i32 1}}
"""


def _fma_ir(name: str, lanes: int, accumulators: int) -> str:
    """LLVM IR of ``name(out, iterations)``: independent chains of float32 fused multiply-adds held in registers."""
    vector = f"<{lanes} x float>"
    chains = range(accumulators)
    lines = "\n  ".join
    phis = [f"%a{k} = phi {vector} [%x, %entry], [%b{k}, %loop]" for k in chains]
    steps = [f"%b{k} = call {vector} @llvm.fma.v{lanes}f32({vector} %a{k}, {vector} %x, {vector} %x)" for k in chains]
    stores = []
    for k in chains:
        stores.append(f"%p{k} = getelementptr float, ptr %out, i64 {k * lanes}")
        stores.append(f"store {vector} %b{k}, ptr %p{k}, align 4")
    return f"""
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})
define void @{name}(ptr %out, i64 %iterations) {{
entry:
  %x = load {vector}, ptr %out, align 4
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  {lines(phis)}
  {lines(steps)}
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %iterations
  br i1 %more, label %loop, label %exit
exit:
  {lines(stores)}
  ret void
}}
"""


class _Native:
    """Functions compiled from LLVM IR for this very CPU, without any optimisation of the IR."""

    def __init__(self, sources: list[str]) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        for source in sources:
            self._engine.add_module(llvm.parse_assembly(source))
        self._engine.finalize_object()

    def function(self, name: str, *argtypes: type) -> Callable[..., None]:
        return ctypes.CFUNCTYPE(None, *argtypes)(self._engine.get_function_address(name))


def _aligned(floats: int) -> np.ndarray:
    """A float32 array of ones on a cache line's boundary; its pages exist."""
    raw = np.ones(floats + ALIGNMENT // 4, np.float32)
    skip = -raw.ctypes.data % ALIGNMENT // 4
    return raw[skip : skip + floats]


def _vector_registers() -> tuple[int, int]:
    """float32 lanes of a vector register, and accumulators that fit the register file beside one operand."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 24
    if features.get("avx"):
        return 8, 12
    return 4, 12


def _on_threads(threads: int, work: Callable[[int], None]) -> float:
    """Seconds from the first start to the last end of ``work(thread)`` on all threads at once."""
    barrier = threading.Barrier(threads)
    times: list[tuple[float, float]] = [(0.0, 0.0)] * threads

    def body(thread: int) -> None:
        barrier.wait()
        begin = time.perf_counter()
        work(thread)
        times[thread] = begin, time.perf_counter()

    workers = [threading.Thread(target=body, args=(t,)) for t in range(1, threads)]
    for worker in workers:
        worker.start()
    body(0)
    for worker in workers:
        worker.join()
    return max(end for _, end in times) - min(begin for begin, _ in times)


class Roofline:
    """Measured limits of this machine for a number of threads.

    Parameters
    ----------
    threads : int
        Threads that share the work, as the measured libraries do.
    seconds : float
        Time to spend on one limit: the best of several timings counts.

    Examples
    --------
    >>> limits = Roofline(threads=2)
    >>> limits.bandwidth(1 << 20)  # bytes a second over a working set of 1 MiB  # doctest: +SKIP
    """

    def __init__(self, threads: int, seconds: float = 0.06) -> None:
        if threads < 1:
            raise ValueError(f"Roofline: threads must be at least 1, got {threads}")
        self.threads = threads
        self._seconds = seconds
        self._bandwidths: dict[int, float] = {}
        self._flops = 0.0
        lanes, accumulators = _vector_registers()
        self._fma_flops = 2 * lanes * accumulators
        streams = {f"stream{i}": pattern for i, pattern in enumerate(_STREAMS.values())}
        native = _Native(
            [_stream_ir(name, *pattern) for name, pattern in streams.items()] + [_fma_ir("fma", lanes, accumulators)]
        )
        self._native = native
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._fma = native.function("fma", pointer, integer)
        self._streams = [
            (pattern[0] + pattern[1], native.function(name, pointer, pointer, pointer, integer, integer))
            for name, pattern in streams.items()
        ]

    @property
    def flops(self) -> float:
        """float32 operations a second of all threads together, a fused multiply-add counted as two."""
        if not self._flops:
            self._flops = self._multiply_adds()
        return self._flops

    def _multiply_adds(self) -> float:
        outputs = [np.full(self._fma_flops // 2, 0.5, np.float32) for _ in range(self.threads)]
        iterations = 200_000

        def work(thread: int) -> None:
            self._fma(outputs[thread].ctypes.data, iterations)

        best = self._best(lambda: _on_threads(self.threads, work))
        return self._fma_flops * iterations * self.threads / best

    def bandwidth(self, working_set: int) -> float:
        """Bytes a second that the best stream pattern moves over and over the same ``working_set`` bytes."""
        if working_set not in self._bandwidths:
            self._bandwidths[working_set] = self._stream(working_set)
        return self._bandwidths[working_set]

    def admits(self, seconds: float, traffic: int, flops: int) -> str:
        """Why a figure cannot be true, or the empty string.

        Parameters
        ----------
        seconds : float
            Time of one call.
        traffic : int
            Bytes that the call has to read and write at least; they are its working set too.
        flops : int
            Floating point operations that it has to do at least.

        Notes
        -----
        Limits that seem to be beaten are measured again before the figure is refused, and the highest is kept: another
        program, or another guest of a virtual machine's host, may have run during the first measurement.
        """
        problem = self._above(seconds, traffic, flops)
        for _ in range(_ATTEMPTS):
            if not problem:
                break
            self._bandwidths[traffic] = max(self.bandwidth(traffic), self._stream(traffic))
            self._flops = max(self.flops, self._multiply_adds())
            problem = self._above(seconds, traffic, flops)
        return problem

    def _above(self, seconds: float, traffic: int, flops: int) -> str:
        if traffic > seconds * self.bandwidth(traffic) * TOLERANCE:
            limit = self.bandwidth(traffic)
            return f"{traffic / seconds / 1e9:.0f} GB/s is above the measured limit of {limit / 1e9:.0f} GB/s"
        if flops > seconds * self.flops * TOLERANCE:
            return f"{flops / seconds / 1e9:.0f} GFLOP/s is above the measured limit of {self.flops / 1e9:.0f} GFLOP/s"
        return ""

    def _best(self, timing: Callable[[], float]) -> float:
        timing()
        best, end = timing(), time.perf_counter() + self._seconds
        while time.perf_counter() < end:
            best = min(best, timing())
        return best

    def _stream(self, working_set: int) -> float:
        return max(self._stream_pattern(arrays, kernel, working_set) for arrays, kernel in self._streams)

    def _stream_pattern(self, arrays: int, kernel: Callable[..., None], working_set: int) -> float:
        step = _UNROLL * _LANES
        iterations = max(1, working_set // (4 * arrays * self.threads * step))
        # Apart by an odd number of lines, so that the arrays do not fall onto the same sets of a cache.
        parts = [[_aligned(iterations * step + 17 * 16 * k) for k in range(arrays)] for _ in range(self.threads)]
        results = [_aligned(step) for _ in range(self.threads)]
        addresses = []
        for part, result in zip(parts, results, strict=True):
            pointers = [array.ctypes.data for array in part]
            addresses.append((pointers[0], pointers[1 % arrays], pointers[-1] if arrays > 1 else result.ctypes.data))
        moved = iterations * step * 4 * arrays * self.threads
        repeats = max(1, int(2e-3 * 50e9 * self.threads / moved))

        def work(thread: int) -> None:
            kernel(*addresses[thread], iterations, repeats)

        return moved * repeats / self._best(lambda: _on_threads(self.threads, work))


def cache_sizes() -> dict[str, int]:
    """Bytes of the data caches that the first core sees, by level ("L1", "L2", ...), as Linux reports them."""
    sizes: dict[str, int] = {}
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind = (entry / "type").read_text().strip()
            level = (entry / "level").read_text().strip()
            size = (entry / "size").read_text().strip()
        except OSError:
            continue
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size.removesuffix("K")) * 1024
    return sizes
