"""Bad input: the error that NumPy or PyTorch raises, with operation, shapes, dtypes and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn

A, B, K = tn.ones(2, 3), tn.ones(4), tn.ones(2, dtype="int32")
AxisError = np.exceptions.AxisError

CASES: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    "broadcast": (lambda: A + B, ValueError, ("add", "(2, 3)", "(4,)", "equal or 1")),
    "broadcast of three": (lambda: tn.where(A > 0, A, B), ValueError, ("where", "(2, 3)", "(4,)")),
    "matmul": (lambda: A @ B, ValueError, ("matmul", "(2, 3)", "(4,)", "3 elements")),
    "matmul batch": (lambda: tn.ones(2, 3, 4) @ tn.ones(3, 4, 5), ValueError, ("matmul", "broadcast")),
    "matmul of scalars": (lambda: tn.tensor(1.0) @ A, ValueError, ("matmul", "0-d")),
    "axis": (lambda: A.sum(axis=2), AxisError, ("sum", "axis 2", "2 dimensions", "(2, 3)")),
    "negative axis": (lambda: A.max(axis=-3), AxisError, ("max", "axis -3", "(2, 3)")),
    "axis of a scan": (lambda: A.cumsum(axis=5), AxisError, ("cumsum", "axis 5")),
    "axis of a composite": (lambda: tn.softmax(A, axis=7), AxisError, ("softmax", "axis 7")),
    "axis of a view": (lambda: A.flip(4), AxisError, ("flip", "axis 4")),
    "repeated axis": (lambda: A.sum(axis=(0, 0)), ValueError, ("sum", "repeated axis")),
    "axis of a wrong type": (lambda: A.sum(axis="rows"), TypeError, ("integer",)),
    "reshape": (lambda: A.reshape(4, 2), ValueError, ("reshape", "size 6", "(4, 2)")),
    "reshape with -1": (lambda: A.reshape(4, -1), ValueError, ("reshape", "size 6", "(4, -1)")),
    "permute": (lambda: A.permute(0, 0), ValueError, ("permute", "(0, 0)", "(2, 3)")),
    "expand": (lambda: A.expand(5, 3), ValueError, ("expand", "(2, 3)", "(5, 3)")),
    "expand to fewer axes": (lambda: A.expand(3), ValueError, ("expand", "(2, 3)", "(3,)")),
    "squeeze": (lambda: A.squeeze(0), ValueError, ("squeeze", "axis 0 of size 2")),
    "concatenate": (lambda: tn.cat([A, B]), ValueError, ("concatenate", "(2, 3) (4,)")),
    "concatenate nothing": (lambda: tn.cat([]), ValueError, ("concatenate", "at least one")),
    "stack": (lambda: tn.stack([A, B]), ValueError, ("stack", "(2, 3) (4,)")),
    "split": (lambda: A.split(4, axis=1), ValueError, ("split", "axis 1 of size 3", "4")),
    "empty maximum": (lambda: tn.zeros(0).max(), ValueError, ("max", "zero-size", "(0,)")),
    "empty argmax": (lambda: tn.zeros(0).argmax(), ValueError, ("argmax", "empty")),
    "bool difference": (lambda: tn.tensor(True) - tn.tensor(True), TypeError, ("sub", "bool", "logical_xor")),
    "bits of floats": (lambda: A & 1, TypeError, ("bitwise_and", "float32", "integers or bool")),
    "shift of floats": (lambda: A << 1, TypeError, ("left_shift", "float32")),
    "negative power": (lambda: K**-1, ValueError, ("pow", "negative integer powers", "-1")),
    "negative power in an array": (lambda: 2 ** tn.tensor([1, -2]), ValueError, ("pow", "-2")),
    "number out of range": (lambda: K + 2**40, OverflowError, ("int32",)),
    "huge number": (lambda: tn.tensor([1]) + 2**70, OverflowError, ("int64",)),
    "gather dtype": (lambda: A.gather(A, axis=0), TypeError, ("gather", "integer array", "float32")),
    "gather bounds": (lambda: A.gather(tn.full((2, 3), 9), axis=1), IndexError, ("index 9", "axis 1", "size 3")),
    "gather dimensions": (lambda: A.gather(tn.tensor([1]), axis=0), ValueError, ("gather", "(2, 3)", "(1,)")),
    "foreign object": (lambda: tn.add(A, "text"), TypeError, ("add", "Tensor, str")),
    "foreign operand": (lambda: A + object(), TypeError, ("unsupported operand", "object")),
    "foreign comparison": (lambda: A < "text", TypeError, ("not supported", "str")),
    "none": (lambda: A * None, TypeError, ("unsupported operand", "NoneType")),
    "too few operands": (lambda: tn.add(A), TypeError, ("add", "2 operands, got 1")),
    "unknown keyword": (lambda: A.sum(axes=1), TypeError, ("sum(x, axis=None, *, keepdims=False", "'axes'")),
    "keyword of an elementwise function": (lambda: tn.exp(A, out=1), TypeError, ("exp(", "'out'")),
    "too many arguments": (lambda: tn.sum(A, 0, 1, 2), TypeError, ("sum(x, axis=None", "too many positional")),
    "unknown dtype": (lambda: A.astype("float8"), TypeError, ("float8", "supported are")),
    "unsupported dtype": (lambda: A.to(np.clongdouble), TypeError, ("complex256", "supported are")),
    "unknown device": (lambda: A.to("gpu"), (ValueError, TypeError), ("gpu",)),
    "unknown device by name": (lambda: tn.ones(2, device="gpu:0"), ValueError, ("gpu:0", "'cpu' or 'opencl:N'")),
    "missing device": (lambda: tn.ones(2, device="opencl:99"), RuntimeError, ("opencl:99",)),
    "device context": (lambda: tn.device("tpu"), ValueError, ("tpu", "'cpu' or 'opencl:N'")),
    "integers to not": (lambda: A.relu_(1), TypeError, ("relu",)),
}


@pytest.mark.parametrize("name", CASES)
def test_errors_say_what_is_wrong(name: str) -> None:
    call, kind, texts = CASES[name]
    for _ in range(2):  # what was refused once is refused again
        with pytest.raises(kind) as caught:
            call()
        for text in texts:
            assert text in str(caught.value)


def test_axis_errors_are_numpys() -> None:
    with pytest.raises(ValueError):
        A.sum(axis=2)
    with pytest.raises(IndexError):
        A.sum(axis=2)


def test_an_error_leaves_the_operands_usable() -> None:
    x = tn.ones(2, 3)
    with pytest.raises(ValueError, match="broadcast"):
        x += tn.ones(4)
    assert (x + 1).sum().item() == 12
