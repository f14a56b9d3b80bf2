"""Device names: what exists, which one is the default, and moving bytes between them."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

import numpy as np

from trueno.config import settings

_current: ContextVar[str | None] = ContextVar("device", default=None)


def current_device() -> str:
    """Return the device on which new arrays are made."""
    chosen = _current.get()
    return check_device(settings().device) if chosen is None else chosen


def check_device(name: str) -> str:
    """Return the device's full name.

    Raises
    ------
    ValueError
        When it is not of the form ``cpu`` or ``opencl:N``.
    RuntimeError
        When there is no such device.
    """
    if isinstance(name, device):
        return name.name
    if name == "cpu":
        return name
    kind, _, number = str(name).partition(":")
    if kind != "opencl" or (number and not number.isdigit()):
        raise ValueError(f"unknown device {name!r}; a device is 'cpu' or 'opencl:N'")
    from trueno.runtime import opencl

    index = int(number or 0)
    opencl.device(index)
    return f"opencl:{index}"


class device:
    """A device, and as a context manager the default for new arrays inside the block.

    Parameters
    ----------
    name : str
        ``"cpu"`` or ``"opencl:N"``.
    """

    def __init__(self, name: str) -> None:
        self.name = check_device(name)
        self._tokens: list[Token] = []

    def __enter__(self) -> device:
        self._tokens.append(_current.set(self.name))
        return self

    def __exit__(self, *exc: object) -> None:
        _current.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return self.name == (other.name if isinstance(other, device) else other)

    def __hash__(self) -> int:
        return hash(self.name)


def devices() -> list[str]:
    """Return the names of the devices that can be used, ``"cpu"`` first."""
    from trueno.runtime import opencl

    return ["cpu", *(f"opencl:{one.index}" for one in opencl.devices())]


def synchronize(name: str | None = None) -> None:
    """Wait until a device has finished all work; by default the current one. The CPU always has."""
    chosen = current_device() if name is None else check_device(name)
    if chosen != "cpu":
        opencl_device(chosen).synchronize()


def _pool(name: str | None) -> Any:
    """Return what keeps a device's memory for reuse."""
    chosen = current_device() if name is None else check_device(name)
    if chosen != "cpu":
        return opencl_device(chosen).pool
    from trueno.runtime import memory

    return memory


def memory_statistics(name: str | None = None) -> dict[str, int]:
    """Return how much memory arrays take on a device, by default the current one.

    Parameters
    ----------
    name : str, optional
        ``"cpu"`` or ``"opencl:N"``.

    Returns
    -------
    dict of str to int
        ``active``: bytes in use; ``cached``: bytes kept for reuse; ``peak``: most active bytes so far; ``limit``: most
        bytes that are kept; ``allocations`` and ``reuses``: how often memory came from the system and from what was
        kept. Memory of others, such as that of NumPy's arrays, is not counted; a kernel's scratch memory is, while it
        runs. ``active`` and ``peak`` are what torch.cuda.memory_stats calls allocated bytes (sizes are rounded up in
        both), ``active + cached`` what it calls reserved bytes.

    Raises
    ------
    ValueError, RuntimeError
        There is no such device.
    """
    found = _pool(name).statistics
    return found() if callable(found) else found.as_dict()


def reset_memory_statistics(name: str | None = None) -> None:
    """Count a device's allocations and reuses anew, and the peak from what is active now."""
    _pool(name).reset_statistics()


def empty_cache(name: str | None = None) -> None:
    """Give all memory that is kept for reuse back to the system or to the device's driver."""
    _pool(name).empty_cache()


def opencl_device(name: str) -> Any:
    """Return the OpenCL device of a name ``opencl:N``."""
    from trueno.runtime import opencl

    return opencl.device(int(name.partition(":")[2]))


def upload(array: np.ndarray, name: str) -> Any:
    """Return a storage on an OpenCL device that holds a C-contiguous array's bytes."""
    target = opencl_device(name)
    storage = target.allocate(max(array.nbytes, 1))
    if array.nbytes:
        target.upload(storage, array)
    return storage


def download(storage: Any, array: np.ndarray) -> None:
    """Fill a C-contiguous array from an OpenCL storage."""
    if array.nbytes:
        storage.device.download(storage, array)
