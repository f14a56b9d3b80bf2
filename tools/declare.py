"""Writes trueno/declared.pyi: the functions and methods that are made from the op table, for type checkers and editors.

python tools/declare.py          write the file
python tools/declare.py --check  exit with status 1 where it is not current
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trueno
from trueno import functions, methods
from trueno.functions import ALIASES, operations
from trueno.ir.op import Op
from trueno.runtime import launcher
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

PATH = Path(trueno.__file__).parent / "declared.pyi"
_HEAD = '''# mypy: disable-error-code="override"
# ruff: noqa: E501, I001
# fmt: off
# Written by tools/declare.py from the op table; do not edit.
"""What functions.py and methods.py make from the rows, spelled out for type checkers."""

from typing import Any

from trueno.tensor import Tensor

'''
_NAMES = {1: ("x",), 2: ("a", "b"), 3: ("a", "b", "c")}
_SPELLED = {"axis": "dim", "keepdims": "keepdim"}


def _parameters(operation: Operation) -> tuple[list[str], list[str]]:
    """Return an operation's operands, and its static parameters, as they are written."""
    record = operation.record
    row = record if isinstance(record, Op) else None
    signature = inspect.signature(row.record if row is not None and row.record is not None else record)
    given = list(signature.parameters.values())[1 if row is not None else 0 :]
    if row is not None and any(one.kind is one.VAR_POSITIONAL for one in given):
        return [f"{name}: Any" for name in _NAMES[row.arity]], []
    operands = [_written(one) for one in given[: operation.operands]]
    rest = given[operation.operands :]
    static = [_written(one) for one in rest if one.kind is not one.KEYWORD_ONLY]
    named = [_written(one) for one in rest if one.kind is one.KEYWORD_ONLY]
    named += [f"{_SPELLED[one.name]}: Any = ..." for one in rest if one.name in _SPELLED]
    return operands, [*static, *(["*", *named] if named else [])]


def _written(parameter: inspect.Parameter) -> str:
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else " = ..."
    return f"{star}{parameter.name}: Any{default}"


def _signature(operation: Operation, method: bool) -> str:
    operands, static = _parameters(operation)
    if method:
        operands = ["self", *operands[1:]]
    # Operands with a default (a slope, a bound) are given by name too.
    fixed = [one for one in operands if "=" not in one]
    return ", ".join([*fixed, "/", *operands[len(fixed) :], *static])


def _returns(operation: Operation) -> str:
    """Return the type of an operation's result: a tuple where it records several."""
    recorded = str(getattr(operation.record, "__annotations__", {}).get("return", ""))
    return recorded.replace("Node", "Tensor") if recorded.startswith("tuple") else "Tensor"


def _functions() -> Iterator[str]:
    for name, operation in operations.items():
        if inspect.isfunction(getattr(functions, name)):
            continue  # type checkers read it there
        yield f"def {name}({_signature(operation, method=False)}) -> {_returns(operation)}: ..."
        for alias in ALIASES.get(name, ()):
            if not inspect.isfunction(getattr(functions, alias)):
                yield f"{alias} = {name}"


def _methods() -> Iterator[str]:
    """Yield the declarations of the methods that methods.py has put on Tensor."""
    of = {id(operation.call): operation for operation in operations.values()}
    for name, value in vars(Tensor).items():
        operation = of.get(id(value))
        if launcher.is_function(value) and value.__module__ in _MAKERS:
            # Native code in front of a function, which has the signature.
            value = getattr(sys.modules[value.__module__], value.__name__)  # noqa: PLW2901
        if operation is not None:
            yield f"def {name}({_signature(operation, method=True)}) -> {_returns(operation)}: ..."
        elif inspect.isfunction(value) and value.__module__ in _MAKERS:
            yield _function_method(name, value)
        elif isinstance(value, property) and value.fget is not None and value.fget.__module__ in _MAKERS:
            yield f"@property\ndef {name}(self) -> Tensor: ..."
        elif _is_in_place(name):
            yield f"def {name}(self, *operands: Any, **static: Any) -> Tensor: ..."
        elif name in ("__divmod__", "__rdivmod__"):
            yield f"def {name}(self, other: Any, /) -> tuple[Tensor, Tensor]: ..."
        elif name.strip("_") in _UNARY:
            yield f"def {name}(self) -> Tensor: ..."
        elif name.strip("_") in _BINARY and name.startswith("__"):
            yield f"def {name}(self, other: Any, /) -> Tensor: ..."


_MAKERS = ("trueno.attributes", "trueno.functions", "trueno.indexing", "trueno.methods")
_UNARY = tuple(methods.UNARY)
_BINARY = (*methods.OPERATORS, *(f"r{one}" for one in methods.OPERATORS), *methods.COMPARISONS)


def _function_method(name: str, function: Any) -> str:
    given = list(inspect.signature(function).parameters.values())[1:]
    star = False
    written = ["self"]
    for one in given:
        if one.kind is one.KEYWORD_ONLY and not star and not any(p.kind is p.VAR_POSITIONAL for p in given):
            written.append("*")
            star = True
        written.append(_written(one))
    returns = {"split": "list[Tensor]", "setitem": "None"}.get(function.__name__, "Tensor")
    return f"def {name}({', '.join(written)}) -> {returns}: ..."


def _is_in_place(name: str) -> bool:
    plain = name[:-1]
    known = plain in operations or any(plain in aliases for aliases in ALIASES.values())
    return (name.endswith("_") and not name.startswith("_") and known) or (
        name.startswith("__i") and name[3:-2] in methods.OPERATORS
    )


def text() -> str:
    """Return what the file should contain."""
    lines = [_HEAD, *_functions(), "", "class Methods:"]
    for one in _methods():
        lines += [f"    {line}" for line in one.splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        current = PATH.exists() and PATH.read_text() == text()
        sys.exit(0 if current else f"{PATH.name} is not current; run python tools/declare.py")
    PATH.write_text(text())
