"""What can go wrong on an OpenCL device, as types that callers can tell apart."""

from __future__ import annotations


class OpenCLError(RuntimeError):
    """An OpenCL driver refused or failed an operation."""


class OpenCLDeviceError(OpenCLError):
    """There is no such device, or none at all."""


class OpenCLForkError(OpenCLError):
    """A forked child used an OpenCL device that its parent had opened."""


class OpenCLUnsupportedError(TypeError):
    """The device lacks what an operation needs, such as float64."""


class OpenCLBuildError(OpenCLError):
    """A program did not build.

    Attributes
    ----------
    device : str
    options : tuple of str
    source : str
        Empty for a program that was loaded from its binary.
    log : str
        What the driver's compiler said.
    """

    def __init__(self, device: str, options: tuple[str, ...], source: str, log: str) -> None:
        self.device, self.options, self.source, self.log = device, options, source, log
        numbered = "\n".join(f"{number:4d}  {line}" for number, line in enumerate(source.splitlines(), 1))
        what = "an OpenCL program did not build" if source else "a stored OpenCL binary could not be loaded"
        super().__init__(
            f"{what} on {device}\noptions: {' '.join(options) or '(none)'}\nlog:\n{log.strip() or '(empty)'}"
            + (f"\nsource:\n{numbered}" if source else "")
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.device, self.options, self.source, self.log)
