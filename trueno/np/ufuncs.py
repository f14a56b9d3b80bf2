"""Universal functions: one for each row of the op table that is a ufunc in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from trueno import creation, functions
from trueno import dtypes as dt
from trueno.errors import explained
from trueno.functions import operations
from trueno.ir import build
from trueno.ir.node import Node, recording
from trueno.ir.op import Op, rows
from trueno.np import arguments, core_axes
from trueno.np.arguments import NOT_GIVEN
from trueno.np.reducing import REDUCTIONS
from trueno.runtime import launcher, memory
from trueno.runtime.inplace import bump_version, check_unrecorded
from trueno.runtime.operation import Operation, calling
from trueno.tensor import Tensor

_KEYWORDS = ("out", "where", "casting", "order", "dtype", "subok", "signature", "sig")
_PYTHON = {bool: np.dtype(bool), int: np.dtype("i8"), float: np.dtype("f8"), complex: np.dtype("c16")}


def _meets(one: Tensor, targets: Sequence[Tensor | None]) -> bool:
    """Return whether an operand on the CPU shares memory with a target."""
    on_host = one._layout.device == "cpu"
    return on_host and any(t is not None and t._layout.device == "cpu" and launcher.overlaps(one, t) for t in targets)


class _Elementwise(Operation):
    """An operation that reads lists as NumPy does, in float64 and int64."""

    def answer(self, *args: Any, **kwargs: Any) -> Any:
        """Read lists, then go on as usual; None is no operand of a ufunc."""
        if any(one is None for one in args):
            raise TypeError(f"{self.name}: None is no array")
        return super().answer(*(arguments.array(one) if type(one) in (list, tuple) else one for one in args), **kwargs)


class _Comparison(_Elementwise, functions._Comparison):
    """A comparison that reads lists so."""


class ufunc:
    """A function that is applied element by element, with NumPy's arguments and methods.

    Calling it takes ``nin`` operands that broadcast, and the keywords ``out``, ``where``, ``dtype``, ``casting``.

    Parameters
    ----------
    operation : Operation
        What it computes.
    like : numpy.ufunc
        NumPy's ufunc of the same meaning: its name, numbers of operands and results, and identity.
    """

    __module__ = "numpy"

    def __init__(self, operation: Operation, like: np.ufunc) -> None:
        self.operation, self._like = operation, like
        self.__name__, self.nin, self.nout, self.nargs = like.__name__, like.nin, like.nout, like.nargs
        self.identity, self.signature, self.types, self.ntypes = like.identity, like.signature, like.types, like.ntypes
        self.__doc__ = getattr(operation.call, "__doc__", None)
        self._record = operation.record
        self._checks_integers = isinstance(operation, functions._Comparison)
        kind = _Comparison if self._checks_integers else _Elementwise
        self._call = kind(operation.name, operation.record, operation.operands, guard=operation.guard).call

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__!r}>"

    def __reduce__(self) -> tuple:
        return _named, (self.__name__,)

    # --- calls --------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if kwargs or len(args) != self.nin:
                return self._with_arguments(args, kwargs)
            return self._call(*args)
        except Exception as error:
            raise explained(error, self.__name__, args, kwargs) from error.__cause__

    def _with_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a call that says where the result goes, in which dtype, or for which elements."""
        if self.signature is not None and any(key in kwargs for key in core_axes.KEYWORDS):
            return self._along_axes(args, kwargs)
        operands, targets = self._split(args, kwargs)
        dtype, casting, where = self._dtype(kwargs), kwargs.get("casting", "same_kind"), kwargs.get("where", True)
        arguments.order(self.__name__, kwargs.get("order"))
        arguments.can_cast(np.dtype("f8"), np.dtype("f8"), casting)  # refuses a rule that does not exist
        if self.signature is not None and "where" in kwargs:
            raise TypeError(f"{self.__name__}() got an unexpected keyword argument 'where'")
        if dtype is not None and casting == "unsafe":
            operands = [arguments.array(one) if type(one) in (float, complex) else one for one in operands]
        if where is True and targets is None:
            return self._typed.call(*operands, dtype=dtype, casting=casting)
        if where is not True:
            where = arguments.mask(self.__name__, where)
        if targets is None:
            targets = self._unset(operands, where, dtype, casting)
        if where is not True and any(one is None for one in targets):
            unset = self._unset(operands, where, dtype, casting)
            targets = [new if one is None else one for one, new in zip(targets, unset, strict=True)]
        into = [arguments.shared(one, self.__name__) if isinstance(one, np.ndarray) else one for one in targets]
        named = {"dtype": dtype, "casting": casting}
        if self.signature is not None:
            # A sum reads operands after its first results are written, where these are the operands' own memory.
            operands = [one.clone() if isinstance(one, Tensor) and _meets(one, into) else one for one in operands]
        if any(one is None for one in into):
            return self._partly(operands, targets, into, named)
        if where is True:
            self._into.call(*into, *operands, **named)
        else:
            self._masked.call(*into, where, *operands, **named)
        return targets[0] if self.nout == 1 else tuple(targets)

    def _along_axes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a call that says which axes of the operands and of the result the signature's are."""
        assert self.signature is not None
        chosen = {key: kwargs[key] for key in core_axes.KEYWORDS if key in kwargs}
        rest = {key: value for key, value in kwargs.items() if key not in chosen and key != "out"}
        operands, targets = self._split(args, {key: value for key, value in kwargs.items() if key not in chosen})

        def run(*moved: Tensor) -> Tensor:
            return self(*moved, **rest)

        made = core_axes.call(self.__name__, self.signature, operands, run, chosen)
        return arguments.finish(made, targets and targets[0], name=self.__name__)

    def _split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], list[Any] | None]:
        """Return the operands and the targets of a call, or None where none is given."""
        name, nin, nout = self.__name__, self.nin, self.nout
        unknown = [key for key in kwargs if key not in _KEYWORDS]
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
        if not nin <= len(args) <= nin + nout:
            verb = "was" if len(args) == 1 else "were"
            raise TypeError(
                f"{name}() takes from {nin} to {nin + nout} positional arguments but {len(args)} {verb} given"
            )
        out = kwargs.get("out")
        out = None if out is Ellipsis else out
        if len(args) > nin:
            if out is not None:
                raise TypeError(f"{name}: cannot specify 'out' as both a positional and keyword argument")
            out = args[nin:] + (None,) * (nin + nout - len(args))
        operands = [arguments.operand(one) for one in args[:nin]]
        if self._checks_integers:
            operands = functions.comparable(operands)
        if out is None or (isinstance(out, tuple) and all(one is None for one in out)):
            return operands, None
        if not isinstance(out, tuple):
            if nout > 1:
                raise TypeError(f"{name}: 'out' must be a tuple of arrays")
            out = (out,)
        if len(out) != nout:
            raise ValueError(f"{name}: the 'out' tuple must have exactly {nout} entries, it has {len(out)}")
        return operands, [arguments.target(name, one) for one in out]

    def _dtype(self, kwargs: dict[str, Any]) -> np.dtype | None:
        """Return the dtype of the result that a call asks for, by ``dtype`` or by a signature."""
        given = [key for key in ("signature", "sig", "dtype") if kwargs.get(key) is not None]
        if len(given) > 1:
            raise TypeError(f"{self.__name__}: cannot specify both {given[0]!r} and {given[1]!r}")
        if not given or given[0] == "dtype":
            return arguments.dtype(kwargs.get("dtype"))
        signature = kwargs[given[0]]
        kinds = signature.replace("->", "") if isinstance(signature, str) else signature
        if len(kinds) != self.nargs:
            raise TypeError(f"{self.__name__}: the signature must name the dtypes of all {self.nargs} operands and "
                            f"results, got {signature!r}")  # fmt: skip
        made = arguments.dtype(kinds[-1])
        operands = {arguments.dtype(kind) for kind, same in zip(kinds, self._in_results_dtype) if same and kind}
        if len(operands | {made} - {None}) > 1:
            raise TypeError(f"No loop matching the specified signature {signature!r} was found for {self.__name__}")
        return made if made is not None or not operands else operands.pop()

    def _unset(self, operands: Sequence[Any], mask: Tensor, dtype: Any, casting: str) -> list[Tensor]:
        """Return new arrays for the results of a masked call: elements that it leaves out are not set."""
        with recording():
            leaves = [
                build.array(k, one.dtype, one.shape) if isinstance(one, Tensor) else build.scalar(k, type(one))
                for k, one in enumerate(operands)
            ]
            made = _results(self._record_typed(*leaves, dtype=dtype, casting=casting))
        shape = build.broadcast_shape(self.__name__, [made[0].shape, mask.shape])
        return [creation.empty(shape, dtype=one.dtype, device=mask.device) for one in made]

    def _partly(self, operands: Sequence[Any], targets: list, into: list, named: dict[str, Any]) -> tuple:
        """Run a call with targets for some of its results only."""
        made = self._typed.call(*operands, **named)
        name, casting = self.__name__, named["casting"]
        for target, result in zip(into, made, strict=True):
            if target is not None:
                if not arguments.can_cast(result.dtype, dt.as_dtype(target.dtype), casting):
                    raise TypeError(f"Cannot cast ufunc {name!r} output from {result.dtype!r} to {target.dtype!r} with "
                                    f"casting rule {casting!r}")  # fmt: skip
                arguments.finish(functions.broadcast_to(result, target.shape), target, name=name, casting=casting)
        return tuple(r if t is None else t for t, r in zip(targets, made, strict=True))

    # --- what is recorded ---------------------------------------------------------------------------------------------

    def _record_typed(self, *operands: Any, dtype: Any = None, casting: str = "same_kind") -> Any:
        """Record the function in a dtype of the result; `casting` is the rule for operands."""
        if dtype is not None:
            self._check_casts(operands, dtype, casting)
            operands = tuple(
                _cast(one, dtype) if same else one for one, same in zip(operands, self._in_results_dtype, strict=True)
            )
        elif casting in ("no", "equiv") and isinstance(self._record, Op) and self._record.result is not None:
            self._check_casts(operands, self._record.result(self.__name__, _types(operands))[0], casting)
        result = self._record(*operands)
        if dtype is not None and any(one.dtype != dtype for one in _results(result)):
            raise TypeError(
                f"No loop matching the specified signature and casting was found for ufunc {self.__name__} and "
                f"operands of types {', '.join(map(str, _types(operands)))} with the result in {dtype}"
            )
        return result

    def _check_casts(self, operands: Sequence[Any], dtype: np.dtype, casting: str) -> None:
        kinds = _types(operands)
        weak = casting in ("safe", "same_kind") or not all(isinstance(kind, type) for kind in kinds)
        for k, kind in enumerate(kinds):
            given = _PYTHON[kind] if isinstance(kind, type) else kind
            if not self._in_results_dtype[k]:
                continue
            # A Python number fits where its kind does.
            fits = weak and isinstance(kind, type) and _rank(given) <= _rank(dtype)
            if not fits and not arguments.can_cast(given, dtype, casting):
                raise TypeError(
                    f"Cannot cast ufunc {self.__name__!r} input {k} from {given!r} to {dtype!r} with casting rule "
                    f"{casting!r}"
                )

    def _record_into(self, *nodes: Any, dtype: Any = None, casting: str = "same_kind") -> Any:
        targets, operands = nodes[: self.nout], nodes[self.nout :]
        return self._fitted(targets, self._record_typed(*operands, dtype=dtype, casting=casting), casting)

    def _record_masked(self, *nodes: Any, dtype: Any = None, casting: str = "same_kind") -> Any:
        targets, mask, operands = nodes[: self.nout], nodes[self.nout], nodes[self.nout + 1 :]
        made = self._fitted(targets, self._record_typed(*operands, dtype=dtype, casting=casting), casting)
        made = tuple(operations["where"].record(mask, one, old) for one, old in zip(_results(made), targets))
        return made[0] if self.nout == 1 else made

    def _fitted(self, targets: Sequence[Node], made: Any, casting: str) -> Any:
        """Return results in the dtypes and shapes of their targets."""
        fitted = []
        for target, result in zip(targets, _results(made), strict=True):
            if not arguments.can_cast(result.dtype, target.dtype, casting):
                raise TypeError(
                    f"Cannot cast ufunc {self.__name__!r} output from {result.dtype!r} to {target.dtype!r} with "
                    f"casting rule {casting!r}"
                )
            core = min(self._core, result.ndim)
            fits = build.broadcast_shape(self.__name__, [result.shape, target.shape]) == target.shape
            if not fits or target.shape[target.ndim - core :] != result.shape[result.ndim - core :]:
                raise ValueError(
                    f"{self.__name__}: non-broadcastable output operand with shape {target.shape} doesn't match the "
                    f"broadcast shape {result.shape}"
                )
            fitted.append(build.expand(build.cast(result, dtype=target.dtype), shape=target.shape))
        return fitted[0] if self.nout == 1 else tuple(fitted)

    @cached_property
    def _core(self) -> int:
        """How many of a result's last axes, at most, are not broadcast: those in the signature of a product."""
        made = "" if self.signature is None else self.signature.rpartition("->")[2].strip("()")
        return made.count(",") + 1 if made else 0

    def _guarded(self, skipped: int) -> Any:
        guard = self.operation.guard
        return None if guard is None else lambda *args, **static: guard(*args[skipped:])

    @cached_property
    def _in_results_dtype(self) -> list[bool]:
        """Which operands have the dtype of the result; those of comparisons do not, nor does an exponent of 2."""
        if self.signature is not None:
            return [True] * self.nin
        forms = [one.split("->") for one in self.types]
        return [2 * sum(given[k] == made[0] for given, made in forms) > len(forms) for k in range(self.nin)]

    @cached_property
    def _typed(self) -> Operation:
        return Operation(self.__name__, self._record_typed, self.nin, guard=self._guarded(0))

    @cached_property
    def _into(self) -> Operation:
        places = tuple(range(self.nout))
        return Operation(self.__name__, self._record_into, self.nin + self.nout, places, guard=self._guarded(self.nout))

    @cached_property
    def _masked(self) -> Operation:
        places = tuple(range(self.nout))
        return Operation(self.__name__, self._record_masked, self.nargs + 1, places, guard=self._guarded(self.nout + 1))

    # --- methods ------------------------------------------------------------------------------------------------------

    def _need_binary(self, what: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ValueError(f"{self.__name__}: {what} only supported for binary functions")
        if self.signature is not None:
            raise RuntimeError(
                f"{self.__name__}: {what} is not defined for a ufunc with the signature {self.signature}"
            )

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False,
        initial: Any = NOT_GIVEN, where: Any = True,
    ) -> Any:  # fmt: skip
        """Join the elements along axes by the function: ``add.reduce`` is the sum.

        Functions without a reduction row are reduced by NumPy, without a gradient.

        Parameters
        ----------
        array : array_like
        axis : int, tuple of int or None
            All axes when None.
        dtype : dtype, optional
        out : array, optional
        keepdims : bool
        initial : number, optional
        where : array_like of bool
        """
        self._need_binary("reduce")
        found = _REDUCTION_OF.get(self.operation.name)
        if found is not None:
            return REDUCTIONS[found](self.__name__, array, axis, dtype, out, keepdims, initial, where)
        given: dict[str, Any] = {} if initial is NOT_GIVEN else {"initial": initial}
        if where is not True:
            given["where"] = arguments.host(where, self.__name__)
        host = arguments.host(array, self.__name__)
        given |= {"axis": axis, "dtype": arguments.dtype(dtype), "keepdims": keepdims}
        made = self._like.reduce(host, **given)
        return arguments.finish(arguments.adopt(made), out, name=self.__name__)

    def accumulate(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
        """Join each element with all before it along an axis: ``add.accumulate`` is the running sum.

        Functions without a scan row are accumulated by NumPy, without a gradient.
        """
        self._need_binary("accumulate")
        x = arguments.array(array)
        if not x.ndim:
            raise TypeError(f"{self.__name__}: cannot accumulate on a scalar")
        axis = 0 if axis is None and x.ndim == 1 else axis
        if axis is None or isinstance(axis, (tuple, list)):
            raise ValueError(f"{self.__name__}: accumulate does not allow multiple axes, got {axis}")
        found, wanted = _SCAN_OF.get(self.operation.name), arguments.dtype(dtype)
        if wanted is None and out is not None:
            wanted = arguments.dtype(arguments.target(self.__name__, out).dtype)
        if found is not None:
            named = {} if wanted is None else {"dtype": wanted}
            made = operations[found].call(x, axis=arguments.index(self.__name__, axis), **named)
        else:
            made = arguments.adopt(self._like.accumulate(arguments.host(x, self.__name__), axis, wanted))
        return arguments.finish(made, out, name=self.__name__, casting="unsafe")

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """Reduce pieces of an axis that begin at `indices`; computed by NumPy, without a gradient."""
        self._need_binary("reduceat")
        x, at = arguments.host(array, self.__name__), arguments.host(indices, self.__name__)
        if isinstance(indices, (list, tuple)) and not at.size:
            at = at.astype(np.int64)
        return arguments.finish(
            arguments.adopt(self._like.reduceat(x, at, axis, arguments.dtype(dtype))), out, name=self.__name__
        )

    def outer(self, A: Any, B: Any, /, **kwargs: Any) -> Any:
        """Apply the function to every pair of an element of `A` and one of `B`; the shape is A's, then B's."""
        self._need_binary("outer product")
        a, b = arguments.array(A), arguments.array(B)
        return self(functions.reshape(a, a.shape + (1,) * b.ndim), b, **kwargs)

    def at(self, a: Any, indices: Any, b: Any = NOT_GIVEN, /) -> None:
        """Apply the function in place to chosen elements; those that are chosen several times take part each time.

        Parameters
        ----------
        a : Tensor or ndarray
            Changed in place.
        indices : array_like or tuple
            As in ``a[indices]``.
        b : array_like, optional
            The second operand of a binary function.

        Raises
        ------
        IndexError
            For indices out of bounds.
        """
        if self._like is np.add and memory.add_at(a, indices, b):
            return
        if self.signature is not None:
            raise TypeError(f"{self.__name__}.at does not support a ufunc with the signature {self.signature}")
        if self.nout != 1:
            raise ValueError(f"{self.__name__}: at only supports functions of one result, element by element")
        if (b is NOT_GIVEN) != (self.nin == 1):
            raise ValueError(f"{self.__name__}: second operand needed for ufunc, or given without need")
        target = a if isinstance(a, Tensor) else arguments.shared(a, self.__name__)
        check_unrecorded(target, () if b is NOT_GIVEN else (b,), self.__name__)
        rest = () if b is NOT_GIVEN else (arguments.host(b, self.__name__),)
        self._like.at(arguments.host(target, self.__name__), _host_index(indices), *rest)
        if hasattr(target, "_version"):
            bump_version(target, calling())


def _named(name: str) -> ufunc:
    return UFUNCS[getattr(np, name)]


def _results(made: Any) -> tuple[Node, ...]:
    return tuple(made) if isinstance(made, (tuple, list)) else (made,)


def _types(operands: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(build.given_type(one) for one in operands)


def _cast(value: Any, dtype: np.dtype) -> Any:
    return build.cast(value, dtype=dtype) if isinstance(value, Node) else build.const(value, dtype)


def _rank(dtype: np.dtype) -> int:
    """Return the place of a dtype's kind in the order bool, integers, floats, complex numbers."""
    return {"b": 0, "i": 1, "u": 1, "c": 3}.get(dtype.kind, 2)


def _host_index(indices: Any) -> Any:
    if isinstance(indices, tuple):
        return tuple(_host_index(one) for one in indices)
    return arguments.host(indices, "at") if isinstance(indices, Tensor) else indices


def _joined_by(kind: str) -> dict[str, str]:
    """Return for each function that joins two partial results the row of a kind that it makes, a public one first."""
    found = sorted(rows(kind), key=lambda row: row.public)
    return {row.combine.name: row.name for row in found if row.combine is not None}


_REDUCTION_OF, _SCAN_OF = _joined_by("reduction"), _joined_by("scan")


def _collect() -> dict[np.ufunc, ufunc]:
    """Return a ufunc for each operation that is one in NumPy, by the operation's name or an alias of it."""
    made = {}
    for name, operation in operations.items():
        for alias in (name, *functions.ALIASES.get(name, ())):
            like = getattr(np, alias, None)
            if isinstance(like, np.ufunc) and like not in made:
                made[like] = ufunc(operation, like)
    return made


#: NumPy's ufuncs and the ones here that stand for them.
UFUNCS: dict[np.ufunc, ufunc] = _collect()
_NAMES = {name: UFUNCS[one] for name in dir(np) if isinstance(one := getattr(np, name), np.ufunc) and one in UFUNCS}
globals().update(_NAMES)
__all__ = ["ufunc"]
__all__ += list(_NAMES)
