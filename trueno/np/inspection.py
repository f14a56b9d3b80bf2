"""What the array API standard lets programs ask of a namespace."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno.np.types import KINDS
from trueno.runtime import device as devices

__array_api_version__ = "2025.12"


def _check(device: Any) -> None:
    if device is not None:
        devices.check_device(str(device))


class __array_namespace_info__:
    """Answers about the namespace: its devices, its dtypes and what it can do."""

    __module__ = "trueno.np"

    def capabilities(self) -> dict[str, Any]:
        """Return what of the standard's optional parts there is; there is no largest number of axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> devices.device:
        """Return the device on which new arrays are made."""
        return devices.device(devices.current_device())

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """Return the dtypes of new arrays by kind; they are the same on all devices."""
        _check(device)
        return {
            "real floating": dt.float64,
            "complex floating": np.dtype(np.complex128),
            "integral": dt.int64,
            "indexing": dt.int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype]:
        """Return the standard's dtypes by name.

        Parameters
        ----------
        device : optional
        kind : str or tuple of str, optional
            As `isdtype` takes it; all without.

        Raises
        ------
        ValueError
            For a kind that does not exist.
        """
        _check(device)
        kinds = ("bool", "numeric") if kind is None else kind if isinstance(kind, tuple) else (kind,)
        unknown = [one for one in kinds if one not in KINDS]
        if unknown:
            raise ValueError(f"dtypes: unsupported kind {unknown[0]!r}; kinds are {list(KINDS)}")
        # The halves are an extension of the standard and stay out of its list.
        return {str(one): one for name in kinds for one in KINDS[name] if one not in dt.HALF}

    def devices(self) -> list[devices.device]:
        """Return the devices that can be used, the CPU first."""
        return [devices.device(name) for name in devices.devices()]


__all__ = ["__array_api_version__", "__array_namespace_info__"]
