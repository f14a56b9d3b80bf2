"""Built programs, their kernels, and the launch of a kernel."""

from __future__ import annotations

import re
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trueno.runtime.opencl.errors import OpenCLBuildError, OpenCLError
from trueno.runtime.opencl.memory import OpenCLStorage

if TYPE_CHECKING:
    from trueno.runtime.opencl.opencl_device import OpenCLDevice

Sizes = tuple[int, ...]

SCALARS = {"b": "b", "B": "B", "h": "h", "H": "H", "i": "i", "I": "I", "q": "l", "Q": "L", "f": "f", "d": "d"}
"""Letters of scalar arguments (as in `struct`) and what pyopencl packs them by (its long is the host's: 64 bits)."""

MOST_SIZES = 4096
"""Launch sizes that a kernel remembers as checked."""

alive: weakref.WeakSet[OpenCLProgram | OpenCLKernel] = weakref.WeakSet()
"""All programs and kernels, for the child of a fork, which must not release them."""

# Warning filters belong to the whole process, so that two builds at once could leave one another's behind.
_build_lock = threading.Lock()


class OpenCLProgram:
    """A program built for one device. Made by `OpenCLDevice.build` and `OpenCLDevice.load`.

    Attributes
    ----------
    device : OpenCLDevice
    source : str
        Empty if the program was loaded from its binary.
    options : tuple of str
    log : str
        What the compiler said; often empty.
    """

    def __init__(self, device: OpenCLDevice, source: str, binary: bytes, options: tuple[str, ...]) -> None:
        import pyopencl as cl

        self.device, self.source, self.options = device, source, options
        device.check_source(source, options)
        context = device.context
        program: Any = None
        with _build_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyopencl warns of every non-empty log
            try:
                if source:
                    program = cl.Program(context, source)
                    # Asking for the handle makes pyopencl create the program now, after which it neither looks into its
                    # own cache nor leaves the source of a failed build in a temporary file.
                    _ = program.int_ptr
                else:
                    program = cl.Program(context, [device.handle], [binary])
                program.build(list(options), [device.handle])
            except cl.Error as error:
                raise OpenCLBuildError(str(device), options, source, _log(program, device) or str(error)) from None
        self._program: Any = program
        self.log = _log(program, device)
        alive.add(self)

    @property
    def binary(self) -> bytes:
        """The program as the driver stores it, for `OpenCLDevice.load`.

        PoCL compiles a kernel once more for the first launch of each work-group size, in about a tenth of a second, and
        what it made until now is in the binary. Read it after the first launch: one read before makes every later
        process compile again.
        """
        import pyopencl as cl

        return bytes(self._program.get_info(cl.program_info.BINARIES)[0])

    def kernel(self, name: str, signature: str) -> OpenCLKernel:
        """Return a kernel of this program; each call returns another, so keep it.

        Parameters
        ----------
        name : str
            The function's name in the source.
        signature : str
            One letter for each argument of `OpenCLKernel.enqueue`:

            ====================  =================================  ==========================================
            letter                argument                           parameters of the kernel
            ====================  =================================  ==========================================
            ``P``                 OpenCLStorage                      ``global T *p, const long offset`` (bytes)
            ``p``                 OpenCLStorage                      ``global T *p``; its offset is not passed
            ``b B h H i I q Q``   int                                char ... ulong, as in `struct`
            ``f d``               float                              float, double
            ``s``                 bytes of the parameter's size      a struct, by value
            ``T``                 int                                ``local T *p`` of so many bytes
            ====================  =================================  ==========================================

        Raises
        ------
        OpenCLError
            There is no such kernel, it has another number of parameters, or it needs more local memory than the device
            has.
        ValueError
            The signature has an unknown letter.
        """
        return OpenCLKernel(self, name, signature)


def _log(program: Any, device: OpenCLDevice) -> str:
    """Return the build log, empty where there is none."""
    import pyopencl as cl

    if program is None:
        return ""
    try:
        return str(program.get_build_info(device.handle, cl.program_build_info.LOG)).strip("\0 \n")
    except cl.Error:
        return ""


class OpenCLKernel:
    """A kernel with its arguments' types fixed. Made by `OpenCLProgram.kernel`. May be used from several threads.

    Attributes
    ----------
    program : OpenCLProgram
    device : OpenCLDevice
    name, signature : str
    work_group_size : int
        Items that a work-group of this kernel may have at most.
    group_multiple : int
        A work-group's size should be a multiple of this.
    local_memory : int
        Bytes of local memory that a work-group uses, those of ``T`` arguments not counted.
    """

    def __init__(self, program: OpenCLProgram, name: str, signature: str) -> None:
        import pyopencl as cl

        self.program, self.device, self.name, self.signature = program, program.device, name, signature
        handle, info = self.device.handle, cl.kernel_work_group_info
        try:
            self.handle = cl.Kernel(program._program, name)
            parameters = self.handle.num_args
        except cl.Error as error:
            raise OpenCLError(f"the program has no kernel {name!r} ({error})") from None
        limits = self.device.limits
        self.work_group_size = min(
            self.handle.get_work_group_info(info.WORK_GROUP_SIZE, handle), limits.work_group_size
        )
        self.group_multiple = self.handle.get_work_group_info(info.PREFERRED_WORK_GROUP_SIZE_MULTIPLE, handle)
        self.local_memory = self.handle.get_work_group_info(info.LOCAL_MEM_SIZE, handle)
        self._required = tuple(self.handle.get_work_group_info(info.COMPILE_WORK_GROUP_SIZE, handle))
        most = limits.local_memory
        if self.local_memory > most:
            raise OpenCLError(
                f"kernel {name} needs {self.local_memory} bytes of local memory, {self.device} has {most}"
            )
        self._launch, expected = _make_launch(self.handle, signature)
        if parameters != expected:
            raise OpenCLError(
                f"kernel {name} has {parameters} parameters; signature {signature!r} stands for {expected} "
                "(P for two: pointer and byte offset)"
            )
        alive.add(self)
        self._sizes: dict[tuple[Sizes, Sizes], tuple[Sizes, Sizes] | None] = {}

    def fit(self, local_size: Sizes) -> Sizes:
        """Return a work-group size of at most this that the kernel allows: the longest dimension is halved until it
        fits.

        Raises
        ------
        ValueError
            The kernel was written for one size (reqd_work_group_size), and this is another or too large.
        """
        required = self._required[: len(local_size)]
        if any(self._required):
            if required != local_size or self._items(local_size) > self.work_group_size:
                raise ValueError(f"kernel {self.name} runs in work-groups of {self._required}, not of {local_size}")
            return local_size
        sizes = [
            max(min(size, most), 1) for size, most in zip(local_size, self.device.limits.work_item_sizes, strict=False)
        ]
        while self._items(sizes) > self.work_group_size:
            longest = sizes.index(max(sizes))
            sizes[longest] = (sizes[longest] + 1) // 2
        return tuple(sizes)

    @staticmethod
    def _items(sizes: Sequence[int]) -> int:
        product = 1
        for size in sizes:
            product *= size
        return product

    def enqueue(self, args: Sequence[Any], global_size: Sizes, local_size: Sizes) -> None:
        """Put a launch into the device's queue and return at once.

        Parameters
        ----------
        args : sequence
            One for each letter of the signature.
        global_size : tuple of int
            Items along each dimension. Rounded up to a multiple of the work-group, so the kernel has to check its
            bounds; nothing is launched if one is 0.
        local_size : tuple of int
            Items of a work-group along each dimension, lowered to what the kernel allows (`fit`), so a kernel has to
            ask get_local_size. It must be given: left to the driver it differs from device to device (and PoCL 3.1
            crashes).

        Raises
        ------
        TypeError, ValueError, OverflowError
            The arguments do not fit the signature, or a storage lies on another device.
        MemoryError
            The device's memory is full.
        OpenCLError
            The driver refused the launch.
        """
        try:
            sizes = self._sizes[global_size, local_size]
        except KeyError:
            sizes = self._check_sizes(global_size, local_size)
        if sizes is None:
            return
        try:
            self._launch(self.device.queue, args, *sizes)
        except Exception as error:
            self._recover(error, args, sizes)

    def _check_sizes(self, global_size: Sizes, local_size: Sizes) -> tuple[Sizes, Sizes] | None:
        """Return the sizes to launch with, and remember them."""
        if len(global_size) != len(local_size) or not 1 <= len(global_size) <= 3:
            raise ValueError(f"kernel {self.name}: global size {global_size} and local size {local_size} do not match")
        local = self.fit(local_size)
        rounded = tuple(-(-size // group) * group for size, group in zip(global_size, local, strict=True))
        sizes = None if 0 in rounded else (rounded, local)
        if len(self._sizes) >= MOST_SIZES:
            self._sizes.clear()
        self._sizes[global_size, local_size] = sizes
        return sizes

    def _recover(self, error: Exception, args: Sequence[Any], sizes: tuple[Sizes, Sizes]) -> None:
        """Try a launch once more after memory ran out; otherwise raise what says best why it failed."""
        import pyopencl as cl

        device = self.device
        self._check_args(args)
        if isinstance(error, cl.MemoryError):
            # Some drivers take memory for a buffer only when a command first needs it.
            device.synchronize()
            device.pool.trim(0)
            try:
                return self._launch(device.queue, args, *sizes)
            except cl.MemoryError as again:
                raise MemoryError(f"kernel {self.name} on {device}: {again}; {device.memory_text()}") from None
        if isinstance(error, cl.Error):
            raise OpenCLError(f"kernel {self.name}, sizes {sizes}, on {device}: {error}") from error
        raise error

    def _check_args(self, args: Sequence[Any]) -> None:
        """Raise if the arguments do not fit the signature."""
        where = f"kernel {self.name} ({self.signature})"
        if len(args) != len(self.signature):
            raise TypeError(f"{where} takes {len(self.signature)} arguments, not {len(args)}")
        for index, (letter, value) in enumerate(zip(self.signature, args, strict=True)):
            wanted = _WANTED.get(letter, int)
            if not isinstance(value, wanted):
                raise TypeError(f"{where}: argument {index} must suit {letter!r}, but is a {type(value).__name__}")
            if isinstance(value, OpenCLStorage) and value.device.context != self.device.context:
                raise ValueError(f"{where} runs on {self.device}, but argument {index} lies on {value.device}")
            if type(value) is int and letter in _RANGES and not _RANGES[letter][0] <= value <= _RANGES[letter][1]:
                raise OverflowError(f"{where}: argument {index} is {value}, which does not fit {letter!r}")

    def __repr__(self) -> str:
        return f"OpenCLKernel({self.name!r}, {self.signature!r}, {self.device})"


_WANTED: dict[str, Any] = {"P": OpenCLStorage, "p": OpenCLStorage, "s": bytes, "f": (float, int), "d": (float, int)}
_BITS = {"b": 8, "h": 16, "i": 32, "q": 64}
_RANGES = {letter: (-(1 << bits - 1), (1 << bits - 1) - 1) for letter, bits in _BITS.items()}
_RANGES |= {letter.upper(): (0, (1 << bits) - 1) for letter, bits in _BITS.items()}


def _make_launch(handle: Any, signature: str) -> tuple[Callable[..., Any], int]:
    """Return a function that sets a kernel's arguments and launches it, and the number of the kernel's parameters.

    It is generated, because setting 8 arguments by pyopencl's public calls costs 50 µs (NumPy scalars) or 2 µs (bytes),
    and 0.4 µs in two calls that take all of them, as pyopencl's own generated code makes. That code is not used since
    it is kept as pickles in a data base in the user's cache folder.
    """
    objects: list[str] = []
    values: list[str] = []
    raw: list[str] = []
    parameter = 0
    for index, letter in enumerate(signature):
        name = f"a{index}"
        if letter in "Pp":
            objects.append(f"{parameter}, {name}.buffer")
            if letter == "P":
                parameter += 1
                values.append(f"{parameter}, b'l', {name}.offset")
        elif letter in SCALARS:
            values.append(f"{parameter}, {SCALARS[letter].encode()!r}, {name}")
        elif letter == "s":
            raw.append(f"{parameter}, {name}")
        elif letter == "T":
            objects.append(f"{parameter}, LocalMemory({name})")
        else:
            raise ValueError(
                f"signature {signature!r}: unknown letter {letter!r}; known are P p s T {' '.join(SCALARS)}"
            )
        parameter += 1
    lines = ["def launch(queue, args, global_size, local_size):"]
    if signature:
        lines.append(f"    {' '.join(f'a{index},' for index in range(len(signature)))} = args")
    # Arguments belong to the kernel object: no other thread may set them until they are launched.
    lines.append("    with lock:")
    for setter, items in (("set_objects", objects), ("set_values", values), ("set_raw", raw)):
        if items:
            lines.append(f"        {setter}(({', '.join(items)},))")
    lines.append("        enqueue(queue, handle, global_size, local_size, None, None, False, False)")
    from pyopencl import LocalMemory, _cl

    scope: dict[str, Any] = {
        "handle": handle,
        "lock": threading.Lock(),
        "set_objects": handle._set_arg_multi,
        "set_values": handle._set_arg_buf_pack_multi,
        "set_raw": handle._set_arg_buf_multi,
        "enqueue": _cl.enqueue_nd_range_kernel,
        "LocalMemory": LocalMemory,
    }
    exec(compile("\n".join(lines), f"<launch of {handle.function_name}>", "exec"), scope)
    return scope["launch"], parameter


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.DOTALL)


def words(source: str) -> set[str]:
    """Return the identifiers and keywords of a source, comments and strings left out."""
    return set(re.findall(r"\w+", _COMMENT.sub(" ", source)))
