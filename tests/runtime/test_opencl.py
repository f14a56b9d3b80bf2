"""OpenCL devices: memory, transfers, programs, launches, and what happens when they fail."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from trueno.runtime import opencl
from trueno.runtime.opencl import MINIMAL, OpenCLDevice, Pool, Profile, pocl
from trueno.runtime.opencl.memory import SMALLEST, size_class

SCALE = """
kernel void scale(global const float *x_, const long x_offset, global float *y_, const long y_offset,
                  const long n, const float factor) {
    global const float *x = (global const float *)((global const char *)x_ + x_offset);
    global float *y = (global float *)((global char *)y_ + y_offset);
    for (long i = get_global_id(0); i < n; i += get_global_size(0)) y[i] = x[i] * factor;
}
"""
STANDARD = ("-cl-std=CL1.2",)


@pytest.fixture(scope="module")
def device() -> OpenCLDevice:
    return opencl.device(0)


@pytest.fixture(scope="module")
def scale(device: OpenCLDevice) -> opencl.OpenCLKernel:
    return device.build(SCALE, STANDARD).kernel("scale", "PPqf")


@pytest.fixture
def unlisted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no device had been looked for yet."""
    monkeypatch.setattr(opencl, "_devices", None)
    monkeypatch.setattr(opencl, "_reason", "")


def put(device: OpenCLDevice, array: np.ndarray) -> opencl.OpenCLStorage:
    storage = device.allocate(array.nbytes)
    device.upload(storage, array)
    return storage


class TestMemory:
    @pytest.mark.parametrize("nbytes", [0, 1, 255, 256, 257, 1000, 4096, 4097, 5121, 10**6, 2**30 + 1])
    def test_size_classes_waste_little(self, nbytes: int) -> None:
        size = size_class(nbytes)
        assert size >= nbytes and size % SMALLEST == 0
        assert size - nbytes < max(SMALLEST + 1, nbytes / 4 + 1)
        assert size_class(size) == size

    def test_the_number_of_size_classes_is_small(self) -> None:
        assert len({size_class(nbytes) for nbytes in range(1, 1 << 20, 64)}) < 50

    def test_reuse_cap_and_statistics(self) -> None:
        made: list[int] = []
        pool = Pool(lambda nbytes: made.append(nbytes) or object(), cap=1024)
        first = pool.take(512)
        pool.give(512, first)
        assert pool.take(512) is first
        others = [pool.take(512), pool.take(1024), pool.take(4096)]
        counts = pool.statistics
        assert (counts.active, counts.cached, counts.peak) == (6144, 0, 6144)
        assert (counts.reused, counts.allocated) == (1, 4)
        pool.give(512, first)
        pool.give(512, others[0])
        assert counts.cached == 1024
        pool.give(1024, others[1])  # those idle longest make room
        assert counts.cached == 1024 and pool.take(1024) is others[1]
        pool.give(4096, others[2])  # too large to be kept at all
        assert (counts.active, counts.cached) == (1024, 0)
        pool.give(1024, others[1])
        pool.cap = 0
        assert (counts.active, counts.cached, counts.peak) == (0, 0, 6144)

    def test_full_memory_empties_the_pool_once(self) -> None:
        fail = 1

        def create(nbytes: int) -> object:
            nonlocal fail
            if nbytes == 512 and fail:
                fail -= 1
                raise MemoryError("full")
            return object()

        pool = Pool(create, cap=1 << 20)
        pool.give(256, pool.take(256))
        assert pool.statistics.cached == 256
        pool.take(512)
        assert pool.statistics.cached == 0
        fail = 2
        pool.give(256, pool.take(256))
        with pytest.raises(MemoryError, match="full"):
            pool.take(512)
        fail = 1
        with pytest.raises(MemoryError):  # nothing kept: nothing to try again with
            pool.take(512)

    def test_the_pool_survives_threads(self) -> None:
        pool = Pool(lambda nbytes: object(), cap=1 << 12)

        def work() -> None:
            for _ in range(2000):
                pool.give(256, pool.take(256))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pool.statistics.active == 0 and pool.statistics.cached <= 1024


@pytest.mark.opencl
class TestTransfers:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint64", "bool", ml_dtypes.bfloat16])
    def test_round_trip(self, device: OpenCLDevice, dtype: Any) -> None:
        array = np.arange(-3, 57).astype(dtype).reshape(5, 12)
        for given in (array, array.T, array[::-2], array[2:2]):
            back = np.empty(given.shape, dtype)
            assert device.download(put(device, given), back) is back
            np.testing.assert_array_equal(back.view(np.uint8), np.ascontiguousarray(given).view(np.uint8))

    def test_an_array_may_change_after_upload(self, device: OpenCLDevice) -> None:
        for size in (1000, 3 << 20):  # copied and left to the queue; waited for
            array = np.full(size, 7, np.float32)
            storage = put(device, array)
            array[:] = 0
            assert (device.download(storage, array.nbytes).view(np.float32) == 7).all()

    def test_staged_copies_are_bounded(self, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trueno.runtime.opencl.opencl_device.STAGED_TOTAL", 10_000)
        device.synchronize()
        storage = device.allocate(4000)
        for value in range(20):
            device.upload(storage, np.full(1000, value, np.float32))
            assert device._staged_bytes <= 10_000
        assert (device.download(storage, 4000).view(np.float32) == 19).all()
        device.synchronize()
        assert device._staged_bytes == 0 and not device._staged

    def test_views_share_memory(self, device: OpenCLDevice) -> None:
        base = put(device, np.arange(10, dtype=np.int32))
        view = base.view(16)
        assert (view.offset, view.buffer, view.device) == (16, base.buffer, device)
        assert view.view(-8).offset == 8 and base.shares(view)
        device.upload(view, np.array([-1, -2], np.int32))
        assert device.download(base, 40).view(np.int32).tolist() == [0, 1, 2, 3, -1, -2, 6, 7, 8, 9]
        del base  # the view keeps the memory
        assert device.download(view, 8).view(np.int32).tolist() == [-1, -2]
        with pytest.raises(ValueError, match="outside"):
            view.view(-17)
        with pytest.raises(ValueError, match="outside"):
            view.view(10**6)

    @pytest.mark.parametrize(("target", "source"), [(0, 8), (8, 0), (4, 4), (0, 40)])
    def test_copy_within_one_buffer(self, device: OpenCLDevice, target: int, source: int) -> None:
        expected = np.arange(20, dtype=np.int32)
        base = put(device, expected)
        device.copy(base.view(target), base.view(source), 40)
        expected[target // 4 : target // 4 + 10] = expected[source // 4 : source // 4 + 10].copy()
        np.testing.assert_array_equal(device.download(base, 80).view(np.int32), expected)

    def test_copy_between_devices(self, device: OpenCLDevice) -> None:
        other = device.simulate(MINIMAL)
        there = put(other, np.arange(6.0))
        here = device.allocate(48)
        device.copy(here, there.view(16), 32)
        assert device.download(here, 32).view(np.float64).tolist() == [2, 3, 4, 5]
        with pytest.raises(ValueError, match="lies on"):
            device.copy(there, here, 8)
        with pytest.raises(ValueError, match="lies on"):
            device.download(there, 8)

    def test_ranges_are_checked(self, device: OpenCLDevice) -> None:
        storage = device.allocate(100)
        with pytest.raises(ValueError, match="do not fit"):
            device.upload(storage, np.zeros(1000))
        with pytest.raises(ValueError, match="do not fit"):
            device.download(storage, 1000)
        with pytest.raises(ValueError, match="do not fit"):
            device.copy(storage, device.allocate(8000), 8000)
        with pytest.raises(ValueError, match="C-contiguous"):
            device.download(storage, np.empty((4, 4))[:, ::2])
        read_only = np.empty(4)
        read_only.flags.writeable = False
        with pytest.raises(ValueError, match="writable"):
            device.download(storage, read_only)

    def test_memory_is_used_again(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        """A buffer may get a new user while commands of the old one wait: the queue keeps their order."""
        n = 1 << 16
        source, results = put(device, np.ones(n, np.float32)), []
        before = device.pool.statistics.reused
        for factor in range(1, 21):
            scratch, result = device.allocate(4 * n), device.allocate(4 * n)
            scale.enqueue((source, scratch, n, float(factor)), (n,), (64,))
            scale.enqueue((scratch, result, n, 2.0), (n,), (64,))
            del scratch
            results.append(result)
        assert device.pool.statistics.reused > before
        for factor, result in enumerate(results, 1):
            assert (device.download(result, 4 * n).view(np.float32) == 2 * factor).all()

    def test_too_much_memory(self, device: OpenCLDevice) -> None:
        with pytest.raises(MemoryError, match=f"allows {device.limits.max_allocation} at most"):
            device.allocate(1 << 50)
        small = device.simulate(Profile("small", max_allocation=1000))
        assert small.allocate(1000).nbytes == 1000  # its size class is 1024
        with pytest.raises(MemoryError):
            small.allocate(1001)

    def test_a_full_device(self, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        record = {**device.record, "limits": {**device.record["limits"], "global_memory": 1 << 20}}
        tiny = OpenCLDevice(-1, device.handle, record)
        kept = tiny.allocate(600_000)
        tiny.pool.give(65536, tiny.pool.take(65536))
        assert tiny.pool.statistics.cached
        with pytest.raises(MemoryError, match=r"its memory is full.*bytes are in use"):
            tiny.allocate(600_000)
        assert not tiny.pool.statistics.cached
        del kept
        tiny.pool.trim()
        assert tiny.allocate(600_000).nbytes >= 600_000


@pytest.mark.opencl
class TestPrograms:
    def test_launch(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        for n in (1, 63, 1000, 5000):  # the global size is rounded up to whole work-groups
            x = np.arange(n, dtype=np.float32)
            source, result = put(device, x), device.allocate(4 * n)
            scale.enqueue((source, result, n, 0.5), (n,), (64,))
            np.testing.assert_array_equal(device.download(result, 4 * n).view(np.float32), x * 0.5)
        scale.enqueue((source.view(4), result, n - 1, 1.0), (n,), (64,))
        np.testing.assert_array_equal(device.download(result, 4 * n - 4).view(np.float32), x[1:])

    def test_nothing_to_do(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        storage = put(device, np.ones(4, np.float32))
        scale.enqueue((storage, storage, 4, 9.0), (0,), (64,))
        assert device.download(storage, 16).view(np.float32).tolist() == [1, 1, 1, 1]

    def test_every_kind_of_argument(self, device: OpenCLDevice) -> None:
        source = """
        struct pair { long a; float b; };
        kernel void f(global double *out, char c, uchar C, short h, ushort H, int i, uint I, long q, ulong Q, float f,
                      local int *scratch, struct pair p) {
            scratch[get_local_id(0)] = get_local_id(0);
            barrier(CLK_LOCAL_MEM_FENCE);
            if (get_global_id(0)) return;
            out[0] = c; out[1] = C; out[2] = h; out[3] = H; out[4] = i; out[5] = I; out[6] = q; out[7] = Q; out[8] = f;
            out[9] = scratch[3]; out[10] = p.a; out[11] = p.b;
        }
        """
        device.require("fp64", "this test")
        kernel = device.build(source, STANDARD).kernel("f", "pbBhHiIqQfTs")
        values = (-5, 250, -30000, 65000, -(2**31), 2**32 - 1, -(2**40), 2**53, 0.25)
        pair = np.array([(7, 1.5)], np.dtype([("a", "i8"), ("b", "f4")], align=True)).tobytes()
        result = device.allocate(96)
        kernel.enqueue((result, *values, 4 * 8, pair), (8,), (8,))
        assert device.download(result, 96).view(np.float64).tolist() == [*values, 3, 7, 1.5]

    def test_arguments_are_checked(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        storage = device.allocate(16)

        def launch(*args: Any) -> None:
            scale.enqueue(args, (4,), (4,))

        with pytest.raises(TypeError, match=r"kernel scale \(PPqf\) takes 4 arguments, not 3"):
            launch(storage, storage, 4)
        with pytest.raises(TypeError, match="argument 1 must suit 'P', but is a list"):
            launch(storage, [1], 4, 1.0)
        with pytest.raises(TypeError, match="argument 2 must suit 'q', but is a float"):
            launch(storage, storage, 4.5, 1.0)
        with pytest.raises(OverflowError, match="does not fit 'q'"):
            launch(storage, storage, 2**63, 1.0)
        with pytest.raises(ValueError, match="argument 0 lies on"):
            launch(device.simulate(MINIMAL).allocate(16), storage, 4.5, 1.0)
        with pytest.raises(ValueError, match="do not match"):
            scale.enqueue((storage, storage, 4, 1.0), (4, 4), (4,))

    def test_a_refused_launch(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        storage = device.allocate(16)
        with pytest.raises(opencl.OpenCLError, match=r"kernel scale, sizes .* on opencl:0"):
            scale._recover(scale_error(), (storage, storage, 4, 1.0), ((4,), (4,)))

    def test_memory_that_runs_out_at_a_launch(self, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        """NVIDIA's driver takes memory when a command first needs it."""
        import pyopencl as cl

        kernel = device.build(SCALE, STANDARD).kernel("scale", "PPqf")
        launch, failures = kernel._launch, 1

        def failing(*args: Any) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                raise cl.MemoryError("clEnqueueNDRangeKernel", cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE, "")
            launch(*args)

        monkeypatch.setattr(kernel, "_launch", failing)
        storage = put(device, np.ones(4, np.float32))
        device.pool.give(256, device.pool.take(256))
        kernel.enqueue((storage, storage, 4, 3.0), (4,), (4,))
        assert device.pool.statistics.cached == 0
        assert device.download(storage, 16).view(np.float32).tolist() == [3, 3, 3, 3]
        failures = 2
        with pytest.raises(MemoryError, match=r"kernel scale on opencl:0.*bytes are in use"):
            kernel.enqueue((storage, storage, 4, 3.0), (4,), (4,))

    def test_work_groups_are_fitted(self, device: OpenCLDevice) -> None:
        small = device.simulate(MINIMAL)
        kernel = small.build(SCALE, STANDARD).kernel("scale", "PPqf")
        assert kernel.work_group_size <= 64
        assert kernel.fit((256,)) == (64,) and kernel.fit((16, 16)) == (8, 8) and kernel.fit((1, 48, 2)) == (1, 24, 2)
        x = np.arange(1000, dtype=np.float32)
        source, result = put(small, x), small.allocate(4000)
        kernel.enqueue((source, result, 1000, 2.0), (1000,), (256,))
        np.testing.assert_array_equal(small.download(result, 4000).view(np.float32), x * 2)

    def test_a_kernel_for_one_size(self, device: OpenCLDevice) -> None:
        source = (
            "kernel __attribute__((reqd_work_group_size(32, 1, 1))) void f(global int *x) { x[get_global_id(0)] = 1; }"
        )
        kernel = device.build(source, STANDARD).kernel("f", "p")
        assert kernel.fit((32,)) == (32,)
        with pytest.raises(ValueError, match="work-groups of"):
            kernel.fit((64,))
        with pytest.raises(ValueError, match="work-groups of"):
            device.simulate(Profile("narrow", work_group_size=16)).build(source).kernel("f", "p").fit((32,))

    def test_sizes_are_remembered_within_bounds(
        self, device: OpenCLDevice, scale: opencl.OpenCLKernel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("trueno.runtime.opencl.program.MOST_SIZES", 8)
        storage = put(device, np.ones(4, np.float32))
        for size in range(1, 30):
            scale.enqueue((storage, storage, 4, 1.0), (size,), (1,))
        assert len(scale._sizes) <= 8

    def test_binary(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        binary = scale.program.binary
        assert len(binary) > 100
        program = device.load(binary, STANDARD)
        assert program.source == "" and program.options == STANDARD
        storage = put(device, np.ones(4, np.float32))
        program.kernel("scale", "PPqf").enqueue((storage, storage, 4, 3.0), (4,), (4,))
        assert device.download(storage, 16).view(np.float32).tolist() == [3, 3, 3, 3]
        with pytest.raises(opencl.OpenCLBuildError, match="stored OpenCL binary could not be loaded"):
            device.load(b"not a program")

    def test_build_error(self, device: OpenCLDevice) -> None:
        source = "kernel void f(global float *x) {\n    x[0] = undeclared_name;\n}"
        with pytest.raises(opencl.OpenCLBuildError) as caught:
            device.build(source, ("-DN=3",))
        error = caught.value
        assert (error.options, error.source) == (("-DN=3",), source) and "undeclared_name" in error.log
        text = str(error)
        assert "   2      x[0] = undeclared_name;" in text and "options: -DN=3" in text and device.name in text
        assert error.__reduce__() == (opencl.OpenCLBuildError, (error.device, error.options, error.source, error.log))
        with pytest.raises(ValueError, match="empty"):
            device.build("")

    def test_signatures_are_checked(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        with pytest.raises(opencl.OpenCLError, match="no kernel 'nothing'"):
            scale.program.kernel("nothing", "")
        with pytest.raises(opencl.OpenCLError, match=r"has 6 parameters; signature 'PP' stands for 4"):
            scale.program.kernel("scale", "PP")
        with pytest.raises(ValueError, match="unknown letter '!'"):
            scale.program.kernel("scale", "P!")

    def test_kernels_are_safe_in_threads(self, device: OpenCLDevice, scale: opencl.OpenCLKernel) -> None:
        if device.record["platform"] == "Oclgrind":
            pytest.skip("Oclgrind itself does not bear threads")
        n, failures = 100, []
        source = put(device, np.ones(n, np.float32))

        def work(factor: float) -> None:
            result = device.allocate(4 * n)
            for _ in range(30):
                scale.enqueue((source, result, n, factor), (n,), (32,))
            if not (device.download(result, 4 * n).view(np.float32) == factor).all():
                failures.append(factor)

        threads = [threading.Thread(target=work, args=(float(factor),)) for factor in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures


def scale_error() -> Exception:
    """An error as the driver gives it for bad sizes."""
    import pyopencl as cl

    return cl.LogicError("clEnqueueNDRangeKernel", cl.status_code.INVALID_WORK_GROUP_SIZE, "")


@pytest.mark.opencl
class TestDevices:
    def test_listing(self, device: OpenCLDevice) -> None:
        assert opencl.devices()[0] is device and device.index == 0
        assert opencl.unavailable_reason() == ""
        with pytest.raises(
            opencl.OpenCLDeviceError, match=r"no device opencl:99; there are opencl:0 \(.*trueno doctor"
        ):
            opencl.device(99)
        with pytest.raises(opencl.OpenCLDeviceError):
            opencl.device(-1)

    def test_none(self, unlisted: None, monkeypatch: pytest.MonkeyPatch) -> None:
        report = {"devices": [], "icds": [], "error": "no driver; install one", "cached": False}
        monkeypatch.setattr(opencl.opencl_probe, "probe", lambda refresh=False: report)
        assert opencl.devices() == [] and opencl.unavailable_reason() == "no driver; install one"
        with pytest.raises(opencl.OpenCLDeviceError, match=r"no driver; install one\. `trueno doctor`"):
            opencl.device()

    def test_a_kept_answer_that_is_out_of_date(
        self, device: OpenCLDevice, unlisted: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []

        def probe(refresh: bool = False) -> dict[str, Any]:
            calls.append(refresh)
            driver = device.record["driver"] if refresh else "an older driver"
            return {"devices": [{**device.record, "driver": driver}], "icds": [], "cached": not refresh}

        monkeypatch.setattr(opencl.opencl_probe, "probe", probe)
        assert [one.name for one in opencl.devices()] == [device.name]
        assert calls == [False, True]

    def test_key_parts(self, device: OpenCLDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        parts = device.key_parts(("-DX=1", "-DY=2"))
        names = dict(parts)
        assert len(names) == len(parts) and all(isinstance(text, str) for part in parts for text in part)
        assert names["options"] == "-DX=1 -DY=2" and names["device"] == device.name and names["profile"] == ""
        assert device.simulate(MINIMAL).key_parts() != device.key_parts()
        monkeypatch.setenv("PYOPENCL_BUILD_OPTIONS", "-cl-opt-disable")
        assert dict(device.key_parts())["options"] == "-cl-opt-disable"

    def test_simulated_limits(self, device: OpenCLDevice) -> None:
        small = device.simulate(MINIMAL)
        limits, features = small.limits, small.features
        assert limits.work_group_size <= 64 and max(limits.work_item_sizes) <= 64 and limits.local_memory <= 16 * 1024
        assert limits.base_alignment >= 128
        assert not (features.fp64 or features.fp16 or features.subgroups or features.int64_atomics)
        assert "as minimal" in repr(small) and small.index == -1
        for feature, text in (("fp64", "add: .*no float64.*use float32"), ("fp16", "float16 arithmetic")):
            with pytest.raises(opencl.OpenCLUnsupportedError, match=text):
                small.require(feature, "add")
        with pytest.raises(TypeError):
            small.require("int64_atomics", "scatter_add")
        with pytest.raises(opencl.OpenCLBuildError, match="use of double on a device without it"):
            small.build("kernel void f(global double *x) { x[0] = 1; }")
        small.build("/* no double */ kernel void f(global float *x) { x[0] = 1; } // double")
        with pytest.raises(opencl.OpenCLError, match=r"needs .* bytes of local memory"):
            small.build(
                "kernel void f(global int *x) { local int s[8192]; s[get_local_id(0)] = x[0];"
                " barrier(CLK_LOCAL_MEM_FENCE); x[get_global_id(0)] = s[1]; }"
            ).kernel("f", "p")

    def test_a_device_that_cannot_be_opened(self, device: OpenCLDevice) -> None:
        import pyopencl as cl

        broken = OpenCLDevice(-1, device.handle, device.record)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cl, "Context", raising)
            with pytest.raises(opencl.OpenCLError, match="cannot be opened"):
                broken.allocate(10)
        broken.synchronize()  # nothing was started, nothing to wait for

    def test_fork(self) -> None:
        """A child of a fork gets an error at every use, never a hang, and may drop what it inherited."""
        code = """
            import gc, os, sys
            import numpy as np
            from trueno.runtime import opencl
            device = opencl.device(0)
            x = device.allocate(4000)
            device.upload(x, np.ones(1000, np.float32))
            device.pool.give(256, device.pool.take(256))
            kernel = device.build("kernel void f(global float *x) { x[0] = 1; }").kernel("f", "p")
            kernel.enqueue((x,), (1,), (1,))
            child = os.fork()
            if not child:
                caught = 0
                for use in (
                    lambda: device.upload(x, np.zeros(1000, np.float32)),
                    lambda: device.download(x, 4000),
                    lambda: device.allocate(200),
                    lambda: device.synchronize(),
                    lambda: kernel.enqueue((x,), (1,), (1,)),
                    lambda: device.simulate(opencl.MINIMAL).queue,
                    lambda: opencl.devices()[0].build("kernel void f(void) {}"),
                ):
                    try:
                        use()
                    except opencl.OpenCLForkError as error:
                        assert "'spawn'" in str(error)
                        caught += 1
                del x
                gc.collect()
                sys.exit(caught)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), device.download(x, 4000).view(np.float32).sum())
        """
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.split() == ["7", "1000.0"], done.stdout + done.stderr


def raising(*_: Any) -> None:
    import pyopencl as cl

    raise cl.RuntimeError("clCreateContext", cl.status_code.OUT_OF_HOST_MEMORY, "")


class TestPocl:
    def test_where_its_cache_lies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("POCL_CACHE_DIR", raising=False)
        assert pocl.variables(tmp_path) == {"POCL_CACHE_DIR": str(tmp_path / "pocl")}
        assert (tmp_path / "pocl").stat().st_mode & 0o077 == 0
        assert pocl.variables(None) == {}
        assert pocl.variables(tmp_path / "absent") == {}
        monkeypatch.setenv("POCL_CACHE_DIR", "/chosen/by/the/user")
        assert pocl.variables(tmp_path) == {}

    def test_sweep(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1e9
        monkeypatch.setattr(pocl, "MOST_BYTES", 2500)
        for name, age in (("new", 0), ("used", 10), ("rare", 20), ("old", pocl.KEPT_SECONDS + 1)):
            program = tmp_path / "AB" / name
            program.mkdir(parents=True)
            (program / "kernel.so").write_bytes(bytes(1000))
            (program / "last_accessed").touch()
            os.utime(program / "last_accessed", (now - age, now - age))
        pocl.sweep(tmp_path, now)
        assert {path.name for path in (tmp_path / "AB").iterdir()} == {"new", "used"}
        monkeypatch.setattr(pocl, "MOST_BYTES", 0)
        pocl.sweep(tmp_path, now + 60)  # swept a minute ago
        assert len(list((tmp_path / "AB").iterdir())) == 2
        pocl.sweep(tmp_path, now + 2 * pocl.SWEEP_SECONDS)
        assert list((tmp_path / "AB").iterdir()) == []
