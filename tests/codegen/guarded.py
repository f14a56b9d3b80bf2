"""Convolutions whose operands lie between pages that may not be touched: a program, which an access outside ends.

Chains, and runs of stages of minimal filtering, are not what a checked kernel runs (docs/architecture.md): this
watches over what they read of operands and write of results. Their scratch memory is not guarded.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any, NamedTuple

import numpy as np

import trueno as tn
import trueno.nn.functional as F

_PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[mmap.mmap] = []


class Case(NamedTuple):
    """A function of `trueno.nn.functional`, its settings, and the shapes of input and weights."""

    name: str
    settings: dict[str, Any]
    input: tuple[int, ...]
    weight: tuple[int, ...]


CASES = [
    Case("conv2d", {"padding": 1}, (1, 24, 50, 70), (13, 24, 3, 3)),  # chains of windows
    Case("conv2d", {}, (2, 40, 63, 20), (30, 40, 5, 3)),
    Case("conv2d", {"stride": 2, "padding": 3}, (1, 3, 180, 200), (20, 3, 7, 7)),  # laid side by side first
    Case("conv2d", {"stride": 2}, (1, 64, 73, 61), (24, 64, 3, 3)),  # gathered
    Case("conv1d", {"padding": 4}, (2, 64, 3000), (24, 64, 9)),
    Case("conv2d", {"padding": 1}, (2, 64, 28, 28), (64, 64, 3, 3)),  # minimal filtering
    Case("conv2d", {}, (1, 64, 33, 31), (72, 64, 3, 3)),  # whose last tiles are cut
    Case("conv2d", {"padding": 1}, (1, 256, 7, 7), (256, 256, 3, 3)),  # of few tiles
    Case("conv2d", {}, (2, 64, 15, 13), (48, 64, 1, 1)),
    Case("conv2d", {"padding": 1, "groups": 33}, (2, 33, 15, 13), (33, 1, 3, 3)),
    Case("conv_transpose2d", {"stride": 2, "padding": 1}, (2, 32, 14, 13), (32, 24, 3, 3)),  # products added up
    Case("conv_transpose2d", {"stride": 2}, (2, 32, 27, 29), (32, 32, 2, 2)),
]


def guarded(array: np.ndarray, at_end: bool) -> np.ndarray:
    """Return a copy of an array that ends where a page begins that may not be accessed, or begins where one ends."""
    pages = -(-array.nbytes // _PAGE)
    block = mmap.mmap(-1, (pages + 2) * _PAGE)
    _kept.append(block)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    for page in (address, address + (pages + 1) * _PAGE):
        if _libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = (pages + 1) * _PAGE - array.nbytes if at_end else _PAGE
    made = np.frombuffer(block, array.dtype, array.size, offset).reshape(array.shape)
    made[...] = array
    return made


def check(case: Case, at_end: bool) -> None:
    """Run a convolution with a bias and an activation that writes into guarded memory, and its gradients."""
    call, random = getattr(F, case.name), np.random.default_rng(0)
    x, w = (random.standard_normal(shape, np.float32) for shape in (case.input, case.weight))
    own = [tn.tensor(one).requires_grad_() for one in (x, w)]
    want = call(*own, **case.settings)
    b, g = random.standard_normal(want.shape[1], np.float32), random.standard_normal(want.shape, np.float32)
    want.backward(tn.from_numpy(g))
    out = guarded(np.full_like(g, np.nan), at_end)

    @tn.kernel(inplace=(3,))
    def layer(x: Any, w: Any, b: Any, out: Any) -> Any:
        return tn.relu(call(x, w, b, **case.settings))

    x, w, b, g = (tn.from_numpy(guarded(one, at_end)) for one in (x, w, b, g))
    layer(x, w, b, tn.from_numpy(out))
    close(out, tn.relu(call(*own, b, **case.settings)))
    for one in (x, w):
        one.requires_grad_()
    call(x, w, **case.settings).backward(g)
    for one, other in zip((x, w), own, strict=True):
        close(one.grad.numpy(), other.grad)


def close(got: np.ndarray, want: Any) -> None:
    """Compare with the result for operands in ordinary memory; in place, tiles may be others."""
    want = want.detach().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * abs(want).max())


if __name__ == "__main__":
    for case in CASES:
        for at_end in (True, False):
            print(case, "end" if at_end else "begin", flush=True)  # the last line names what an access outside ended
            check(case, at_end)
