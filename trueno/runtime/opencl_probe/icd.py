"""Which OpenCL drivers (ICDs) there are, and how a process is made to load a chosen few of them."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSTEM_VENDORS = "/etc/OpenCL/vendors"

LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
)
"""Where a library given by its bare name is looked for. Only to describe it: the dynamic loader decides."""

BARE_LIBRARIES = ("libnvidia-opencl.so.1",)
"""Drivers that containers are often given without the ICD file that should name them."""


@dataclass(frozen=True)
class Candidate:
    """One driver that might be loaded.

    Attributes
    ----------
    path : str
        The ICD file, or the library itself where no file names it.
    source : str
        Who offers it: ``"variable"``, ``"system"``, ``"environment"`` (installed by pip or conda) or ``"library"``.
    library : str
        What an ICD file for it has to contain.
    problem : str
        Why it cannot be tried at all; empty if it can.
    """

    path: str
    source: str
    library: str
    problem: str = ""

    def fingerprint(self) -> list[object]:
        """Return path, size and mtime of the ICD file and of the library, as far as they are found."""
        found: list[object] = [self.path, self.library, self.problem]
        for path in (self.path, _locate(self.library)):
            with contextlib.suppress(OSError):
                state = os.stat(path)
                found += [state.st_size, state.st_mtime_ns]
        return found


def _locate(library: str) -> str:
    """Return the file that a bare library name probably means; the name itself when it is a path or is not found."""
    if "/" in library:
        return library
    variable = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    for folder in (*variable, *LIBRARY_FOLDERS):
        if os.path.exists(path := os.path.join(folder, library)):
            return path
    return library


def _from_file(path: Path, source: str) -> Candidate:
    """Read an ICD file. A library that its path does not lead to is looked for in the environment's own folders.

    Packages made for conda name the folder in which they were built; PoCL's wheel names a file that lies beside the
    ICD.
    """
    try:
        text = path.read_text(errors="replace").strip()
    except OSError as error:
        return Candidate(str(path), source, "", f"the ICD file cannot be read: {error.strerror}")
    library = text.splitlines()[0].strip() if text else ""
    if not library:
        return Candidate(str(path), source, "", "the ICD file is empty")
    if os.path.isabs(library) and os.path.exists(library):
        return Candidate(str(path), source, library)
    name = os.path.basename(library)
    for folder in (path.parent, Path(sys.prefix) / "lib", Path(sysconfig.get_paths()["data"]) / "lib"):
        if (folder / name).exists():
            return Candidate(str(path), source, str(folder / name))
    if os.path.isabs(library):
        return Candidate(str(path), source, library, f"names {library}, which does not exist")
    return Candidate(str(path), source, library)


def _files(folder: Path) -> list[Path]:
    """Return the ICD files of a folder, by name; none if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".icd")
    except OSError:
        return []


def environment_folders() -> list[Path]:
    """Return the folders inside this Python environment that may hold ICD files."""
    vendors = Path("etc/OpenCL/vendors")
    folders = [Path(sys.prefix) / vendors, Path(sysconfig.get_paths()["data"]) / vendors]
    for packages in dict.fromkeys(Path(sysconfig.get_paths()[kind]) for kind in ("purelib", "platlib")):
        folders += [packages / vendors, packages / "pyopencl" / ".libs"]
        with contextlib.suppress(OSError):
            folders += [Path(item.path) / vendors for item in os.scandir(packages) if item.is_dir()]
    unique = dict.fromkeys(folder for folder in folders if folder.is_dir())
    return [folder for folder in unique if folder != Path(SYSTEM_VENDORS)]


def vendors_variable() -> str:
    """Return the variable by which the user chose the drivers; empty if none is set."""
    return next((name for name in ("OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH") if os.environ.get(name)), "")


def candidates() -> list[Candidate]:
    """Return every driver that could be loaded, in the order in which devices are to be numbered.

    OCL_ICD_VENDORS (a folder, an ICD file or a library) or OPENCL_VENDOR_PATH, where set, is the user's own choice and
    replaces all others. Otherwise the system's drivers come first, then those of the Python environment.
    """
    variable = vendors_variable()
    if variable:
        chosen = os.environ[variable]
        if os.path.isdir(chosen):
            return [_from_file(path, "variable") for path in _files(Path(chosen))]
        if chosen.endswith(".icd"):
            return [_from_file(Path(chosen), "variable")]
        return [Candidate(chosen, "variable", chosen)]
    found = [_from_file(path, "system") for path in _files(Path(SYSTEM_VENDORS))]
    for folder in environment_folders():
        found += [_from_file(path, "environment") for path in _files(folder)]
    named = {os.path.basename(candidate.library) for candidate in found}
    for name in BARE_LIBRARIES:
        path = _locate(name)
        if name not in named and path != name:
            found.append(Candidate(path, "library", path))
    by_library: dict[str, Candidate] = {}
    for candidate in found:
        by_library.setdefault(candidate.library or candidate.path, candidate)
    return list(by_library.values())


def write_vendors(folder: str, chosen: list[Candidate]) -> None:
    """Write one ICD file for each driver into a folder, named so that the loader keeps their order."""
    for index, candidate in enumerate(chosen):
        Path(folder, f"{index:02d}.icd").write_text(candidate.library + "\n")


_environment_lock = threading.Lock()


@contextlib.contextmanager
def only(chosen: list[Candidate], extra: dict[str, str] | None = None) -> Iterator[None]:
    """Let the ICD loader, if it starts inside this block, load these drivers and no others.

    The loader reads the environment and the files once, when the first platform is asked for; the variables therefore
    need to be set only for the length of that call, and neither this process nor its children keep them.

    Parameters
    ----------
    chosen : list of Candidate
        With none chosen the loader is left to itself.
    extra : dict of str to str, optional
        Further variables to set meanwhile.
    """
    with _environment_lock, tempfile.TemporaryDirectory(prefix="trueno-opencl-") as folder:
        write_vendors(folder, chosen)
        # PYOPENCL_HOME: pyopencl's own loader also loads what lies in its .libs folder, broken or not, and crashes if
        # the variable is missing.
        wanted = {**({"OCL_ICD_VENDORS": folder, "PYOPENCL_HOME": folder} if chosen else {}), **(extra or {})}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
