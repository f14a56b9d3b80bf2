"""Kernels are linked wherever the process has room for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import ctypes
import numpy as np
import trueno as tn

PAGE, NONE, PRIVATE = 4096, 0, 0x4022  # no access; MAP_PRIVATE, MAP_ANONYMOUS and MAP_NORESERVE of Linux
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def reserve(size):
    return libc.mmap(None, size, NONE, PRIVATE, -1, 0)


x = tn.tensor(np.arange(4096, dtype=np.float32).reshape(64, 64) / 4096)
base, size = reserve(3 << 30), 1 << 30
while size >= PAGE:  # fill what is free above the reservation, so that only its holes and what lies below are left
    while (at := reserve(size)) > base:
        pass
    libc.munmap(at, size)
    size //= 2
for hole in range(2000):
    libc.munmap(base + (3 << 30) - (2 * hole + 1) * PAGE, PAGE)
np.testing.assert_allclose((x @ x).numpy(), x.numpy() @ x.numpy(), rtol=1e-5)
np.testing.assert_allclose(tn.softmax(x, -1).sum(-1).numpy(), 1, rtol=1e-5)
np.testing.assert_allclose(tn.exp(x).numpy(), np.exp(x.numpy()), rtol=1e-6)
print("linked")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the script cuts the address space up by Linux's rules")
def test_an_address_space_that_is_cut_up(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUENO_CACHE_DIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "linked\n", done.stderr[-2000:]
