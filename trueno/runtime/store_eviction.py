"""Keeping the store's folder within its limit, and rid of what killed writers left behind."""

from __future__ import annotations

import os
import time

from trueno.runtime import store_statistics
from trueno.runtime.store_entry import SUFFIX
from trueno.runtime.store_folder import unlink, walk

PERIOD = 3600.0
"""Seconds between two sweeps of a folder, by whatever processes; also the age at which a temporary file is litter."""

_MARKER = "swept"


def due(folder: str) -> bool:
    """Whether nobody swept within the hour; if so, the caller is the one to sweep now.

    Raises
    ------
    OSError
    """
    marker = os.path.join(folder, _MARKER)
    try:
        if time.time() - os.stat(marker).st_mtime < PERIOD:
            return False
    except FileNotFoundError:
        pass
    # Renewed before the sweep, so that processes started meanwhile do not sweep as well.
    with open(marker, "wb"):
        os.utime(marker)
    return True


def sweep(folder: str, limit: int) -> int:
    """Delete least recently used entries until the rest fits the limit, and old temporary files; bring logs together.

    Returns
    -------
    int
        Number of entries deleted.

    Raises
    ------
    OSError
    """
    entries, total = [], 0
    for item, found in walk(folder):
        if item.name.endswith(SUFFIX):
            entries.append((found.st_mtime, found.st_size, item.path))
            total += found.st_size
        elif item.name.endswith(".tmp") and time.time() - found.st_mtime > PERIOD:
            unlink(item.path)
    deleted = 0
    for _, size, path in sorted(entries):
        if total <= limit:
            break
        deleted += unlink(path)
        total -= size
    store_statistics.compact(folder)
    return deleted
