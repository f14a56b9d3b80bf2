"""The hot path of every eager call: from exact operand layouts to a kernel, without Python code in between.

A function made here looks its call up by the operands' layouts, the types of scalar operands and the static arguments.
Where an `Entry` is known it allocates the results, fills the scalars and runs the kernel; otherwise it calls its slow
path, the *miss*, which computes the result and installs an entry for next time.

Two implementations behave alike: generated machine code (native.py), and its twin (python.py), which takes over where
the native one does not fit the interpreter. TRUENO_LAUNCHER chooses; `status` tells which it is, and why.

What makes a call known: the exact function; for each operand a Tensor's layout and, while gradients are enabled,
whether it takes part in autograd, or that it is a Python float, int or bool, or None; for each static argument its
value, if it is an int, a float, or a tuple or slice of such, else identity.
Lists and other mutable things never are part of a known call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trueno.config import settings
from trueno.runtime.entry import Entry
from trueno.runtime.launcher.records import LaunchRefused, View, extent

if TYPE_CHECKING:
    from trueno.runtime.launcher.native import NativeLauncher
    from trueno.runtime.launcher.python import PythonLauncher

__all__ = [
    "LaunchRefused",
    "View",
    "bind",
    "bind_subclass",
    "bridge",
    "clear",
    "create",
    "function",
    "getter",
    "grad_enabled",
    "install",
    "invoke",
    "is_function",
    "load_code",
    "method",
    "overlaps",
    "pool",
    "prepare",
    "save_code",
    "set_grad_enabled",
    "setter",
    "statistics",
    "status",
]

_VARIADIC = 1 << 30  # operands of a function all of whose positional arguments are operands


def create(kind: str) -> NativeLauncher | PythonLauncher:
    """Return a new launcher with a memory pool of its own.

    Parameters
    ----------
    kind : {"native", "python"}

    Raises
    ------
    RuntimeError
        The native launcher does not fit this interpreter; the message says why.
    """
    limit = settings().pool_bytes
    if kind == "python":
        from trueno.runtime.launcher.python import PythonLauncher

        return PythonLauncher(limit)
    from trueno.runtime.launcher import native

    reason = native.unsupported()
    if reason is None:
        from trueno.runtime.launcher import selftest

        launcher = native.NativeLauncher(limit, load_code, save_code)
        reason = selftest.run(launcher)
        if reason is None:
            return launcher
    raise RuntimeError(reason)


def load_code(parts: tuple[tuple[str, str], ...]) -> bytes | None:
    """Return the object code that the store has for these parts of a key, or None."""
    from trueno.runtime import store

    found = store.default_store().load(store.Key(parts, "llvm-launcher"))
    return None if found is None else found.code


def save_code(parts: tuple[tuple[str, str], ...], code: bytes, header: dict[str, Any]) -> None:
    """Put object code into the store."""
    from trueno.runtime import store

    store.default_store().save(store.Key(parts, "llvm-launcher"), code, header)


def _choose() -> tuple[NativeLauncher | PythonLauncher, str]:
    wish = settings().launcher
    if wish == "python":
        return create("python"), "TRUENO_LAUNCHER=python"
    try:
        return create("native"), "TRUENO_LAUNCHER=native" if wish else "the self-test passed"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    if wish == "native":
        warnings.warn(f"TRUENO_LAUNCHER=native: {reason}; the Python launcher is used", RuntimeWarning, stacklevel=3)
    return create("python"), reason


_launcher, _reason = _choose()


def status() -> dict[str, Any]:
    """Return ``launcher`` ("native" or "python"), ``reason``, and ``compiled``: whether this process compiled it."""
    return {"launcher": _launcher.kind, "reason": _reason, "compiled": getattr(_launcher, "compiled", False)}


def pool() -> Any:
    """Return the memory pool that belongs to the launcher in use; trueno.runtime.memory is its interface."""
    return _launcher.pool


def bridge() -> Any:
    """Return what trueno.runtime.memory takes its functions of arrays and places from; they are described there."""
    return _launcher


def bind(tensor_class: type, *subclasses: type, version_class: type) -> None:
    """Say which class tensors have; results are always of this class.

    Parameters
    ----------
    tensor_class : type
        With the slots ``_storage``, ``_layout``, ``_autograd``, ``_version``; an unset one means "none".
    *subclasses : type
        Classes whose instances count as tensors too, when they are operands.
    version_class : type
        What is called with a tensor for the version that it and its views share. Once its slot ``next`` is set, tensors
        that have it are *stale*: while gradients are enabled, calls with them are given to the slow path.

    Raises
    ------
    AttributeError, TypeError
        One of the classes lacks its slots.
    """
    _launcher.bind(tensor_class, subclasses, version_class)


def bind_subclass(cls: type) -> None:
    """Make instances of a subclass of the tensor class known as operands."""
    _launcher.bind_subclass(cls)


def function(
    name: str,
    operands: int,
    miss: Callable[..., Any],
    variadic: bool = False,
    doc: str | None = None,
    module: str = "trueno",
) -> Any:
    """Return a callable ``f(*args, **kwargs)`` that runs known calls and gives all others to `miss`.

    Parameters
    ----------
    name : str
    operands : int
        How many leading positional arguments are operands; the others, and all keywords, are static.
    miss : callable
        ``miss(*args, **kwargs)`` computes the result; its exceptions, and NotImplemented, are passed on.
    variadic : bool
        Whether all positional arguments are operands, however many.
    doc, module : str
        The callable's ``__doc__`` and ``__module__``.

    Returns
    -------
    callable
        In a class body it binds to instances like a Python function.
    """
    return _launcher.function(name, _VARIADIC if variadic else operands, miss, doc, module)


def method(function: Any, reflected: bool = False, miss: Callable[..., Any] | None = None) -> Any:
    """Return a callable for a class that shares the entries of a function.

    Parameters
    ----------
    function : callable
        Made by `function`; without other arguments it is its own method and returned as it is.
    reflected : bool
        Swap the two operands: ``__radd__(self, other)`` calls the function with ``(other, self)``.
    miss : callable, optional
        Another slow path; it is given the operands after the swap.
    """
    return function if miss is None and not reflected else _launcher.variant(function, miss, reflected)


def getter(view: Any, miss: Callable[..., Any]) -> Any:
    """Return a ``__getitem__``: what integers, slices, Ellipsis and None select, without an entry for each.

    Parameters
    ----------
    view : callable
        Made by `function`, of a tensor and an index; its entries serve tensors that take part in autograd.
    miss : callable
        ``miss(tensor, index)``: the slow path, for all other indices and for layouts that memory.learn_view was not
        told of.
    """
    return _launcher.getter(view, miss)


def setter(assign: Any, miss: Callable[..., Any], changed: Callable[[Any], None]) -> Any:
    """Return a ``__setitem__``, the counterpart of `getter`; there is one in a launcher.

    Parameters
    ----------
    assign : callable
        Made by `function`: ``assign(target, value)`` writes a value that broadcasts.
    miss : callable
        ``miss(tensor, index, value)``: the slow path.
    changed : callable
        ``changed(tensor)`` is told of a tensor with a version counter that has been written to, and returns None.
    """
    return _launcher.setter(assign, miss, changed)


def is_function(value: Any) -> bool:
    """Tell whether a value is a callable made by `function` or `method`."""
    return _launcher.owns(value)


def install(
    function: Any, key_args: tuple[Any, ...], key_kwargs: dict[str, Any], entry: Entry | View,
    after: Callable[..., None] | None = None,
) -> bool:  # fmt: skip
    """Make calls like this one known; while gradients are enabled, like it in which operands take part in autograd.

    Parameters
    ----------
    function : callable
        Made by `function`, or a variant of it.
    key_args, key_kwargs : tuple, dict
        The arguments of the call that was missed.
    entry : Entry or View
        What runs it. The layouts of its tensors are those of `key_args`.
    after : callable, optional
        ``after(result, *args)`` is called when a call has run, with its positional arguments.

    Returns
    -------
    bool
        False where the arguments cannot be part of a known call (a list, an int of more than 64 bits, ...).

    Raises
    ------
    ValueError
        The entry does not fit the arguments.
    """
    if isinstance(entry, Entry) and entry.verify is not None:
        after = _after_verifying(entry.verify, after)
    return _launcher.install(function, key_args, key_kwargs, entry, after)


def _after_verifying(verify: Callable[[], None], after: Callable[..., None] | None) -> Callable[..., None]:
    def told(*given: Any) -> None:
        verify()
        if after is not None:
            after(*given)

    return told


def prepare(entry: Entry | View, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Return a callable ``run(*args)`` that runs an entry without a look-up, regardless of autograd.

    It raises LaunchRefused for arguments with other layouts, scalars out of range, and in-place targets that have a
    version counter or overlap another operand.
    """
    return _launcher.prepare(entry, args)


class _Prepared:
    """The prepared form of an entry, kept in its `keep`."""

    __slots__ = ("launch", "launcher")

    def __init__(self, launcher: Any, launch: Callable[..., Any]) -> None:
        self.launcher, self.launch = launcher, launch


def invoke(entry: Entry, args: tuple[Any, ...]) -> Any:
    """Run an entry on arguments it is known to fit, regardless of autograd; see `prepare`.

    Raises
    ------
    LaunchRefused
        The entry cannot run on these arguments.
    """
    for item in entry.keep:
        if type(item) is _Prepared and item.launcher is _launcher:
            prepared = item
            break
    else:
        prepared = _Prepared(_launcher, _launcher.prepare(entry, args))
        entry.keep.append(prepared)
    result = prepared.launch(*args)
    if entry.verify is not None:
        entry.verify()
    return result


def overlaps(a: Any, b: Any) -> bool:
    """Tell whether the memory ranges of two CPU tensors meet; two tensors on one array do."""
    first, second = _launcher.pool.pointer(a._storage), _launcher.pool.pointer(b._storage)
    (low_a, high_a), (low_b, high_b) = extent(a._layout), extent(b._layout)
    return first + low_a < second + high_b and second + low_b < first + high_a


def set_grad_enabled(enabled: bool) -> bool:
    """Set whether operations on tensors that require a gradient are recorded; return the previous setting."""
    return _launcher.set_grad_enabled(enabled)


def grad_enabled() -> bool:
    """Tell whether operations on tensors that require a gradient are recorded."""
    return _launcher.grad_enabled()


def clear() -> None:
    """Forget all entries; later calls miss once and install them again."""
    _launcher.clear()


def statistics() -> dict[str, dict[str, int]]:
    """Return ``hits``, ``misses`` and ``entries`` by function name, and their totals under ``"total"``.

    Functions that are gone have no entries, and count on: hits and misses never fall.
    """
    result: dict[str, dict[str, int]] = {}
    for name, *counts in sorted(_launcher.counters()):
        for key in (name, "total"):
            row = result.setdefault(key, {"hits": 0, "misses": 0, "entries": 0})
            for field, count in zip(row, counts, strict=True):
                row[field] += count
    result.setdefault("total", {"hits": 0, "misses": 0, "entries": 0})
    return result
