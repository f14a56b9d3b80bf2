"""The store's folder: whether it may be read and written, and the one message when it may not."""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Iterator
from typing import NamedTuple

PERMANENT = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
    | ({errno.EDQUOT} if hasattr(errno, "EDQUOT") else set())
)
"""Errors after which a process does not try to write again."""


class CacheWarning(UserWarning):
    """The kernel cache cannot be used, or held an entry that was spoilt. Results are not affected."""


_said: set[str] = set()


def warn_once(kind: str, message: str) -> None:
    """Give one `CacheWarning` for each kind of trouble in the life of the process."""
    if kind not in _said:
        _said.add(kind)
        warnings.warn(message, CacheWarning, stacklevel=4)


def forget_warnings() -> None:
    """Let every kind of trouble be told once more."""
    _said.clear()


class FolderState(NamedTuple):
    """Whether a folder can serve as the store.

    Attributes
    ----------
    path : str or None
    status : str
        ``"ok"``; ``"absent"``: not there yet, made at the first save; ``"off"``: not wanted; ``"refused"``: others
        could have written to it; ``"unwritable"``: readable but not writable; ``"unusable"``: neither.
    cause, remedy : str
        Why, and what to do about it; empty where nothing is wrong.
    """

    path: str | None
    status: str
    cause: str = ""
    remedy: str = ""

    @property
    def readable(self) -> bool:
        """Whether entries may be read."""
        return self.status in ("ok", "absent", "unwritable")

    @property
    def message(self) -> str:
        """One line that names path, cause and variable."""
        return f"kernel cache {self.path}: {self.cause}; kernels are compiled anew in each process. {self.remedy}"


_SET = "set TRUENO_CACHE_DIR to a folder of your own, or TRUENO_CACHE=0 to do without"


def inspect_folder(path: str | os.PathLike[str] | None) -> FolderState:
    """Look at a folder without changing anything.

    Entries become machine code, so a folder that belongs to somebody else, or that others may write to, is refused.
    """
    if path is None:
        return FolderState(None, "unusable", "no home folder is known", f"To keep them, {_SET}.")
    path = os.fspath(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return _absent(path)
    except OSError as error:
        return FolderState(path, "unusable", _reason(error), f"To keep them, {_SET}.")
    if not stat.S_ISDIR(found.st_mode):
        return FolderState(path, "unusable", "it is not a folder", f"To keep them, {_SET}.")
    fault = foreign(found)
    if fault:
        own = not fault.startswith("belongs")
        cure = f"To keep them, run: chmod 700 {path}; or {_SET}." if own else f"To keep them, {_SET}."
        return FolderState(path, "refused", fault, cure)
    writable = os.access(path, os.W_OK | os.X_OK)
    return FolderState(path, "ok") if writable else _unwritable(path, "it is not writable")


def _unwritable(path: str, cause: str) -> FolderState:
    return FolderState(path, "unwritable", cause, f"To keep them, {_SET}.")


def _absent(path: str) -> FolderState:
    """State of a folder that is not there: what matters is whether it could be made."""
    parent = os.path.dirname(path)
    while not os.path.lexists(parent) and os.path.dirname(parent) != parent:
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        return FolderState(path, "unusable", f"it cannot be made in {parent}", f"To keep them, {_SET}.")
    return FolderState(path, "absent")


def foreign(found: os.stat_result) -> str:
    """Say why a file or folder is not the user's alone to write; empty if it is."""
    if not hasattr(os, "getuid"):
        return ""
    if found.st_uid != os.getuid():
        return f"belongs to user {found.st_uid}, and you are {os.getuid()}"
    if found.st_mode & 0o022:
        return f"others may write to it (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def failed(path: str, error: OSError) -> FolderState:
    """State of a folder in which a write has failed."""
    return _unwritable(path, f"it cannot be written ({_reason(error)})")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def make_private(folder: str, root: str) -> None:
    """Make a folder below the root, and the root itself, each open to the user alone.

    Raises
    ------
    OSError
    """
    if folder == root:
        os.makedirs(os.path.dirname(root), exist_ok=True)
    else:
        parent = os.path.dirname(folder)
        if not os.path.isdir(parent):
            make_private(parent, root)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        # Another process made it first, or a file lies in its place.
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None


def write_new(path: str, data: bytes) -> None:
    """Write a file that must not exist yet, readable by the user alone.

    Raises
    ------
    OSError
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with open(handle, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) or 0 :]


def unlink(path: str) -> bool:
    """Delete a file if that is possible; return whether it was."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def walk(folder: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Iterate over all files below a folder, symbolic links apart; those that vanish meanwhile are passed over."""
    folders = [folder]
    while folders:
        try:
            items = sorted(os.scandir(folders.pop()), key=lambda item: item.name)
        except OSError:
            continue
        for item in items:
            try:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                elif item.is_file(follow_symlinks=False):
                    yield item, item.stat(follow_symlinks=False)
            except OSError:
                continue
