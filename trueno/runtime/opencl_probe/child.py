"""Try OpenCL drivers in a process of their own, and describe a device.

Run as a script by `trueno.runtime.opencl_probe`, one process for each driver, because a broken driver may crash or hang
the process that loads it. Every finding is printed at once, so that what was seen before a crash is not lost. The
module imports nothing of Trueno and only the standard library at its top.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import sys
import time
import warnings
from typing import Any

MARK = "TRUENO-OPENCL-PROBE "
"""What every report line begins with; drivers print lines of their own to the same streams."""

ELEMENTS = 64
SOURCE = """
kernel void probe(global const int *x, global int *y, const int step) {
    local int shared[64];
    const int i = get_local_id(0), n = get_local_size(0);
    shared[i] = x[get_global_id(0)];
    barrier(CLK_LOCAL_MEM_FENCE);
    y[get_global_id(0)] = shared[n - 1 - i] * 3 + step;
}
"""
"""Reverses each work-group: local memory, a barrier and a scalar argument all have to work for the right result."""


def version_text(version: int) -> str:
    """Return a packed cl_version (10 bits major, 10 minor, 12 patch) as ``"major.minor"``."""
    return f"{version >> 22}.{version >> 12 & 1023}"


def c_versions(device: Any, cl: Any) -> list[str]:
    """Return the OpenCL C versions that a device compiles, ascending.

    The platform's version does not tell: an OpenCL 3.0 platform need not compile OpenCL C 2.0.
    """
    with contextlib.suppress(cl.Error, AttributeError):
        found = device.get_info(cl.device_info.OPENCL_C_ALL_VERSIONS)
        texts = {version_text(item.version) for item in found}
        if texts:
            return sorted(texts, key=lambda text: [int(part) for part in text.split(".")])
    match = re.search(r"\d+\.\d+", device.opencl_c_version)
    return [match.group()] if match else []


def describe(device: Any) -> dict[str, Any]:
    """Return what Trueno needs to know of a `pyopencl.Device`, as JSON-able values."""
    import pyopencl as cl

    def ask(name: str, default: Any) -> Any:
        try:
            return device.get_info(getattr(cl.device_info, name))
        except (cl.Error, AttributeError):
            return default

    extensions = sorted(set(device.extensions.split()))
    kinds = {cl.device_type.GPU: "GPU", cl.device_type.ACCELERATOR: "accelerator", cl.device_type.CPU: "CPU"}
    return {
        "platform": device.platform.name.strip(),
        "platform_version": device.platform.version.strip(),
        "name": device.name.strip(),
        "vendor": device.vendor.strip(),
        "version": device.version.strip(),
        "driver": device.driver_version.strip(),
        "type": next((text for bit, text in kinds.items() if device.type & bit), "other"),
        "opencl_c": c_versions(device, cl),
        "extensions": extensions,
        "features": {
            # A 1.2 device lists the extension; a later one may make double core and give DOUBLE_FP_CONFIG alone.
            "fp64": "cl_khr_fp64" in extensions or bool(ask("DOUBLE_FP_CONFIG", 0)),
            "fp16": "cl_khr_fp16" in extensions,
            "subgroups": "cl_khr_subgroups" in extensions or "cl_intel_subgroups" in extensions,
            "int64_atomics": {"cl_khr_int64_base_atomics", "cl_khr_int64_extended_atomics"} <= set(extensions),
        },
        "limits": {
            "compute_units": device.max_compute_units,
            "work_group_size": device.max_work_group_size,
            "work_item_sizes": list(device.max_work_item_sizes),
            "local_memory": device.local_mem_size,
            "global_memory": device.global_mem_size,
            "max_allocation": device.max_mem_alloc_size,
            "base_alignment": max(device.mem_base_addr_align // 8, 1),  # CL_DEVICE_MEM_BASE_ADDR_ALIGN is in bits
            "cache_line": ask("GLOBAL_MEM_CACHELINE_SIZE", 0),
            "max_parameter_bytes": device.max_parameter_size,
            "address_bits": device.address_bits,
            "clock_mhz": ask("MAX_CLOCK_FREQUENCY", 0),
        },
    }


def try_device(device: Any) -> float:
    """Build a kernel, run it and check its result.

    Returns
    -------
    float
        Milliseconds that context, build and run took together.

    Raises
    ------
    RuntimeError
        The kernel ran and gave a wrong result. Errors of the driver come as `pyopencl.Error`.
    """
    import pyopencl as cl

    started = time.perf_counter()
    context = cl.Context([device])
    queue = cl.CommandQueue(context)
    program: Any = cl.Program(context, SOURCE)
    program.build(cache_dir=False)
    kernel: Any = cl.Kernel(program, "probe")
    given = list(range(ELEMENTS))
    data = bytearray(struct.pack(f"{ELEMENTS}i", *given))
    source = cl.Buffer(context, cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR, hostbuf=data)
    result = cl.Buffer(context, cl.mem_flags.WRITE_ONLY, len(data))
    # A device may allow less than the 16 items asked for here, as Apple's CPU driver does where kernels have barriers.
    allowed = kernel.get_work_group_info(cl.kernel_work_group_info.WORK_GROUP_SIZE, device)
    group = 1
    while group * 2 <= min(16, allowed):
        group *= 2
    for index, value in enumerate((source, result, struct.pack("i", 7))):
        kernel.set_arg(index, value)
    cl.enqueue_nd_range_kernel(queue, kernel, (ELEMENTS,), (group,))
    back = bytearray(len(data))
    cl.enqueue_copy(queue, back, result)
    expected = [(i - i % group + group - 1 - i % group) * 3 + 7 for i in given]
    if list(struct.unpack(f"{ELEMENTS}i", back)) != expected:
        raise RuntimeError("a test kernel compiled and ran, but its result is wrong")
    return (time.perf_counter() - started) * 1e3


def load_error(library: str) -> str:
    """Return the dynamic loader's reason why a library cannot be loaded, or why the ICD loader may have refused it."""
    import ctypes

    try:
        ctypes.CDLL(library)
    except OSError as error:
        return f"cannot be loaded: {error}"
    return "was loaded, but offers no OpenCL platform"


def report(**finding: Any) -> None:
    """Print one finding as one marked JSON line."""
    print("\n" + MARK + json.dumps(finding), flush=True)


def main(vendors: str, library: str, skip: list[int]) -> None:
    """Report every platform and device that the loader finds, trying each device that is not in `skip`.

    Parameters
    ----------
    vendors : str
        A folder with the ICD files to load; empty to leave the choice to the loader.
    library : str
        The driver's library, to ask the dynamic loader about when no platform is found; empty for none.
    skip : list of int
        Positions of devices that brought an earlier process down.
    """
    try:
        import pyopencl as cl
    except ImportError as error:
        report(stage="error", reason=f"pyopencl cannot be imported: {error}")
        return
    if vendors:
        os.environ["OCL_ICD_VENDORS"] = vendors
        # The loader in pyopencl's wheels also loads every ICD in $PYOPENCL_HOME/.libs, whatever OCL_ICD_VENDORS says.
        os.environ["PYOPENCL_HOME"] = vendors
    warnings.simplefilter("ignore")
    report(stage="imported", pyopencl=cl.VERSION_TEXT)
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        platforms, reason = [], str(error)
    else:
        reason = "no platform"
    if not platforms:
        report(stage="error", reason=load_error(library) if library else f"the ICD loader finds no platform: {reason}")
        return
    position = 0
    for index, platform in enumerate(platforms):
        report(stage="platform", name=platform.name, version=platform.version, vendor=platform.vendor)
        try:
            devices = platform.get_devices()
        except cl.Error as error:
            report(stage="platform_error", platform=index, reason=f"lists no devices: {error}")
            continue
        for device in devices:
            if position not in skip:
                report(stage="device", platform=index, position=position, device=describe(device))
                try:
                    report(stage="tried", position=position, milliseconds=round(try_device(device), 1))
                except Exception as error:  # whatever a driver makes pyopencl raise is the answer
                    report(stage="failed", position=position, reason=f"{type(error).__name__}: {error}")
            position += 1
    report(stage="done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(text) for text in sys.argv[3:]])
    # Some drivers crash while they unload; the findings are complete by now.
    sys.stdout.flush()
    os._exit(0)
