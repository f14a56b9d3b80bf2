"""The kernel store on disk: compiled code by the hash of what it depends on.

One file per entry, ``v1/<target>/<2 hex>/<sha256>.tnk`` (format: store_entry.py). There is no index and no lock: an
entry is published by writing a temporary file in its folder and renaming it, so a reader sees a whole file or none.
Whatever goes wrong, the caller sees a miss and compiles:

- content that is not what was written: the file is deleted;
- an I/O error: the file is left alone;
- a folder that cannot be written, or that others could have written to: the process runs from memory.

Each kind of trouble is told once per process, as a `CacheWarning`.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from trueno import config
from trueno.runtime import store_eviction, store_folder, store_statistics
from trueno.runtime.store_entry import SCHEMA, SUFFIX, ContentError, Key, Stored, check, decode, encode
from trueno.runtime.store_explain import Explanation, explain
from trueno.runtime.store_folder import CacheWarning, FolderState, warn_once

__all__ = ["CacheWarning", "Explanation", "Fault", "FolderState", "Key", "Store", "Stored", "counters", "default_store"]

_ABSENT = (FileNotFoundError, NotADirectoryError)


class Fault(NamedTuple):
    """A file that `Store.verify` found spoilt: its path, a reason in one word, and the detail."""

    path: str
    reason: str
    detail: str


class Store:
    """Compiled kernels on disk.

    Parameters
    ----------
    folder : path-like, optional
        The cache folder. Default: what TRUENO_CACHE_DIR and TRUENO_CACHE say.
    limit : int, optional
        Bytes that the entries are cut back to, least recently used first. Default: TRUENO_CACHE_BYTES.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        settings = config.settings()
        self._off = folder is None and not settings.cache
        chosen = folder if folder is not None else settings.cache_dir or config.user_cache_folder()
        self.folder = None if chosen is None else os.path.abspath(chosen)
        self.limit = settings.cache_bytes if limit is None else limit
        self._debug = settings.debug
        self._state: FolderState | None = FolderState(self.folder, "off", "TRUENO_CACHE=0") if self._off else None
        self._statistics = store_statistics.Statistics()
        self._touched: set[str] = set()
        self._next_sweep = 0.0

    def __repr__(self) -> str:
        return f"Store({self.folder!r}, limit={self.limit})"

    # Reading and writing ------------------------------------------------------------------------------------------

    def load(self, key: Key) -> Stored | None:
        """Return the entry, or None: then the caller compiles and saves.

        Never raises because of what is on disk.
        """
        found = self._read(key) if self._readable() else None
        if found is None:
            self._statistics.count(key.backend, misses=1)
        else:
            self._statistics.count(key.backend, hits=1, bytes_read=found.size)
            self._statistics.folder = self._version
        self._statistics.flush()
        return found

    def peek(self, key: Key) -> Stored | None:
        """Return an entry that is no compiled code, or None; it does not count among hits and misses."""
        return self._read(key) if self._readable() else None

    def remove(self, key: Key) -> bool:
        """Delete an entry; return whether there was one."""
        return self._writable() and store_folder.unlink(self._path(key))

    def save(self, key: Key, code: bytes, header: dict[str, Any]) -> None:
        """Keep what was compiled; failure to write it is told once and does no harm.

        Parameters
        ----------
        key : Key
        code : bytes
        header : dict
            What tools show of the entry; anything JSON holds. Read here: ``name``, ``backend``, ``compile_seconds``,
            ``origin``, ``ir``, ``source``.

        Raises
        ------
        TypeError, ValueError
            The header holds something that JSON cannot.
        """
        data = encode(key, code, header)
        written = 0
        if self._debug & {"compiles", "code"}:
            self._tell(key, header)
        if self._writable():
            try:
                self._publish(key, data)
                written = len(data)
            except OSError as error:
                self._fail(error)
        self._statistics.count(
            key.backend, compiled=1, compile_seconds=float(header.get("compile_seconds") or 0), bytes_written=written
        )
        if written:
            self._statistics.folder = self._version
            self._sweep_if_due()
        self._statistics.flush(force=True)

    def _read(self, key: Key) -> Stored | None:
        path = self._path(key)
        try:
            with open(path, "rb", buffering=0) as file:
                found = os.fstat(file.fileno())
                fault = store_folder.foreign(found)
                data = b"" if fault else file.readall()
        except _ABSENT:
            return None
        except OSError as error:
            self._statistics.reject(key.backend, "io")
            warn_once("read", f"kernel cache: {path} cannot be read ({error.strerror or error}); it was compiled anew")
            return None
        if fault:
            self._statistics.reject(key.backend, "foreign")
            warn_once("foreign", f"kernel cache: {path} was not read: {fault}; delete it or set TRUENO_CACHE_DIR")
            return None
        try:
            stored = decode(data, key.digest, path, found.st_mtime)
        except ContentError as error:
            self._statistics.reject(key.backend, error.reason)
            store_folder.unlink(path)
            warn_once("content", f"kernel cache: {path} was spoilt ({error}); it was deleted and compiled anew")
            return None
        self._touch(key.digest, path)
        return stored

    def _touch(self, digest: str, path: str) -> None:
        """Note the use of an entry, for the order of eviction: once per entry and process."""
        if digest in self._touched:
            return
        self._touched.add(digest)
        try:
            os.utime(path)
        except OSError:
            return

    def _publish(self, key: Key, data: bytes) -> None:
        path = self._path(key)
        folder = os.path.dirname(path)
        temporary = os.path.join(folder, f".{key.digest[:16]}.{os.urandom(8).hex()}.tmp")
        try:
            try:
                store_folder.write_new(temporary, data)
            except FileNotFoundError:
                store_folder.make_private(folder, self._root)
                store_folder.write_new(temporary, data)
            os.replace(temporary, path)
        except OSError:
            store_folder.unlink(temporary)
            raise

    def _fail(self, error: OSError) -> None:
        state = store_folder.failed(self._root, error)
        if error.errno in store_folder.PERMANENT:
            self._state = state
        warn_once("folder", state.message)

    # The folder ---------------------------------------------------------------------------------------------------

    @property
    def _root(self) -> str:
        assert self.folder is not None
        return self.folder

    @property
    def _version(self) -> str:
        return os.path.join(self._root, f"v{SCHEMA}")

    def _path(self, key: Key) -> str:
        return os.path.join(self._version, key.target, key.digest[:2], key.digest + SUFFIX)

    def state(self) -> FolderState:
        """Return whether the folder can be used, looking at the disk until that is settled."""
        if self._state is None or self._state.status == "absent":
            self._state = store_folder.inspect_folder(self.folder)
        return self._state

    def _readable(self) -> bool:
        state = self.state()
        if state.status in ("refused", "unusable"):
            warn_once("folder", state.message)
        return state.readable

    def _writable(self) -> bool:
        state = self.state()
        if state.status == "absent":
            try:
                store_folder.make_private(self._root, self._root)
            except OSError as error:
                self._fail(error)
                return False
            state = self.state()
        if state.status not in ("ok", "off"):
            warn_once("folder", state.message)
        return state.status == "ok"

    # Eviction -----------------------------------------------------------------------------------------------------

    def _sweep_if_due(self) -> None:
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + store_eviction.PERIOD
        try:
            if store_eviction.due(self._version):
                self.sweep()
        except OSError:
            return

    def sweep(self) -> int:
        """Delete least recently used entries until the rest fits the limit, and what killed writers left behind.

        Happens by itself after a save, at most once an hour.

        Returns
        -------
        int
            Number of entries deleted.

        Raises
        ------
        OSError
        """
        return store_eviction.sweep(self._version, self.limit) if self.state().status == "ok" else 0

    def _files(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        return store_folder.walk(self._version) if self.state().readable else iter(())

    # For tools ----------------------------------------------------------------------------------------------------

    def _open(self, path: str) -> Stored:
        """Read any entry by its path, without counting it as a use.

        Raises
        ------
        OSError, ContentError
        """
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            fault = store_folder.foreign(found)
            if fault:
                raise ContentError("foreign", fault)
            entry = decode(file.read(), os.path.basename(path).removesuffix(SUFFIX), path, found.st_mtime)
        check(entry)
        return entry

    def paths(self) -> list[str]:
        """Return the files of all entries, whole or not."""
        return sorted(item.path for item, _ in self._files() if item.name.endswith(SUFFIX))

    def entries(self) -> Iterator[Stored]:
        """Iterate over all entries that can be read; the others are `verify`'s business."""
        for path in self.paths():
            try:
                yield self._open(path)
            except (OSError, ContentError):
                continue

    def find(self, prefix: str) -> Stored:
        """Return the entry with this digest prefix, or the newest one whose kernel has this name.

        A kernel's name goes before a digest: ``add`` is a name although it is hexadecimal.

        Raises
        ------
        LookupError
            Nothing fits, or several digests do.
        """
        entries = list(self.entries())
        named = [entry for entry in entries if entry.name == prefix]
        if named:
            return max(named, key=lambda entry: (str(entry.header.get("created", "")), entry.used, entry.digest))
        fitting = [entry for entry in entries if prefix and entry.digest.startswith(prefix.lower())]
        if not fitting:
            raise LookupError(f"no entry has the name {prefix!r} or a key that begins with it")
        if len(fitting) > 1:
            some = ", ".join(f"{entry.digest[:12]} ({entry.name})" for entry in fitting[:8])
            raise LookupError(f"{len(fitting)} keys begin with {prefix!r}: {some}; give more digits")
        return fitting[0]

    def verify(self) -> list[Fault]:
        """Read every entry whole and return those that are spoilt or unreadable. Nothing is deleted."""
        faults = []
        for path in self.paths():
            try:
                self._open(path)
            except ContentError as error:
                faults.append(Fault(path, error.reason, str(error)))
            except FileNotFoundError:
                continue
            except OSError as error:
                faults.append(Fault(path, "io", error.strerror or str(error)))
        return faults

    def clear(self, name: str | None = None, older_than: float | None = None) -> int:
        """Delete entries, and with no condition also what killed writers left behind. Counts are kept.

        Parameters
        ----------
        name : str, optional
            Only entries of the kernel with this name.
        older_than : float, optional
            Only entries not used for this many seconds.

        Returns
        -------
        int
            Number of entries deleted.
        """
        deleted = 0
        for item, found in list(self._files()):
            if item.name.endswith(SUFFIX):
                if self._selected(item.path, found, name, older_than):
                    deleted += store_folder.unlink(item.path)
            elif item.name.endswith(".tmp") and name is None and older_than is None:
                store_folder.unlink(item.path)
        self._touched.clear()
        return deleted

    def _selected(self, path: str, found: os.stat_result, name: str | None, older_than: float | None) -> bool:
        if older_than is not None and time.time() - found.st_mtime < older_than:
            return False
        if name is None:
            return True
        try:
            return self._open(path).name == name
        except (OSError, ContentError):
            return False

    def explain(self, key: Key) -> Explanation | None:
        """Return the stored entry nearest to the key and the fields in which they differ; None in an empty store.

        The entry of this very key, if there is one, is passed over: the answer says why the key's first look-up missed.
        """
        return explain(key, self.entries())

    # Statistics ---------------------------------------------------------------------------------------------------

    def counters(self) -> dict[str, Any]:
        """Return what this process did; a forked child starts from zero.

        Returns
        -------
        dict
            ``hits`` (kernels that came from disk), ``misses``, ``compiled`` (kernels that the compiler had to make),
            ``compile_seconds``, ``bytes_read``, ``bytes_written``, ``rejected`` (reasons and counts); under
            ``backends`` the same for each backend.
        """
        return store_statistics.nested(self._statistics.flat())

    def statistics(self) -> dict[str, Any]:
        """Return `counters` summed over all processes that used the folder, with ``entries``, ``bytes``, ``limit``."""
        self._statistics.flush(force=True)
        flat = store_statistics.read(self._version) if self.folder is not None and self.state().readable else {}
        sizes = [found.st_size for item, found in self._files() if item.name.endswith(SUFFIX)]
        return {**store_statistics.nested(flat), "entries": len(sizes), "bytes": sum(sizes), "limit": self.limit}

    def reset_statistics(self) -> None:
        """Set the counts of all processes to zero.

        Raises
        ------
        OSError
        """
        if self.state().status == "ok":
            store_statistics.reset(self._version)

    def _tell(self, key: Key, header: dict[str, Any]) -> None:
        """Print what TRUENO_DEBUG asks for of a kernel that was compiled."""
        seconds = float(header.get("compile_seconds") or 0)
        print(
            f"trueno: compiled {header.get('name') or header.get('op')} for {key.target} in {seconds * 1000:.1f} ms"
            f" ({header.get('origin') or 'unknown line'})",
            file=sys.stderr,
        )
        found = self.explain(key)
        why = "the cache is off" if self._off else "the cache is empty" if found is None else found.sentence()
        print(f"trueno:   not from the cache: {why}", file=sys.stderr)
        if "code" in self._debug:
            for stage in ("ir", "plan", "source"):
                if header.get(stage):
                    print(f"--- {stage}\n{header[stage]}", file=sys.stderr)


@functools.cache
def default_store() -> Store:
    """Return the process's store, as configured when it is first asked for; ``cache_clear()`` of this forgets it."""
    return Store()


def counters() -> dict[str, Any]:
    """Return what the default store did in this process, as `Store.counters`."""
    return default_store().counters()
