"""Shapes, axes, joining and padding against NumPy: values, dtypes, sharing of memory, exceptions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp
from tests.np.comparing import compare, gradient

A = np.arange(24.0).reshape(2, 3, 4)
M = np.arange(12, dtype=np.int32).reshape(3, 4)
V = np.arange(5, dtype=np.float32)
ARRAYS = {
    "3-d": A, "2-d": M, "1-d": V, "0-d": np.array(3.5), "transposed": A.transpose(2, 0, 1), "strided": A[:, ::2, ::-1],
    "empty": np.zeros((0, 3)), "ones": np.ones((1, 3, 1)), "bool": M > 5, "square": M[:, :3],
}  # fmt: skip

SHAPES: dict[str, Callable[..., Any]] = {
    "reshape": lambda xp, x: xp.reshape(x, (-1, 2)),
    "reshape int": lambda xp, x: xp.reshape(x, -1),
    "reshape F": lambda xp, x: xp.reshape(x, (4, -1), order="F"),
    "reshape A": lambda xp, x: xp.reshape(x, (4, -1), order="A"),
    "reshape copy": lambda xp, x: xp.reshape(x, x.shape, copy=True),
    "reshape no copy": lambda xp, x: xp.reshape(x, (-1,), copy=False),
    "reshape order": lambda xp, x: xp.reshape(x, -1, order="Z"),
    "reshape wrong": lambda xp, x: xp.reshape(x, (5, 7)),
    "reshape float": lambda xp, x: xp.reshape(x, (2.0, 3)),
    "ravel": lambda xp, x: xp.ravel(x),
    "ravel F": lambda xp, x: xp.ravel(x, order="F"),
    "ravel A": lambda xp, x: xp.ravel(x, "A"),
    "ravel K": lambda xp, x: xp.ravel(x, order="K"),
    "transpose": lambda xp, x: xp.transpose(x),
    "transpose axes": lambda xp, x: xp.transpose(x, (1, 0, -1)),
    "transpose twice": lambda xp, x: xp.transpose(x, (0, 0, 1)),
    "permute_dims": lambda xp, x: xp.permute_dims(x, (1, 0)),
    "matrix_transpose": lambda xp, x: xp.matrix_transpose(x),
    "moveaxis": lambda xp, x: xp.moveaxis(x, 0, -1),
    "moveaxis many": lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)),
    "moveaxis wrong": lambda xp, x: xp.moveaxis(x, (0, 1), 0),
    "moveaxis twice": lambda xp, x: xp.moveaxis(x, (0, 0), (0, 1)),
    "rollaxis": lambda xp, x: xp.rollaxis(x, 1),
    "rollaxis start": lambda xp, x: xp.rollaxis(x, -1, 1),
    "rollaxis end": lambda xp, x: xp.rollaxis(x, 0, x.ndim),
    "rollaxis negative": lambda xp, x: xp.rollaxis(x, 0, -1),
    "rollaxis wrong": lambda xp, x: xp.rollaxis(x, 0, 9),
    "swapaxes": lambda xp, x: xp.swapaxes(x, 0, 1),
    "swapaxes wrong": lambda xp, x: xp.swapaxes(x, 0, 5),
    "expand_dims": lambda xp, x: xp.expand_dims(x, 0),
    "expand_dims last": lambda xp, x: xp.expand_dims(x, -1),
    "expand_dims many": lambda xp, x: xp.expand_dims(x, (0, -1)),
    "expand_dims wrong": lambda xp, x: xp.expand_dims(x, 7),
    "expand_dims twice": lambda xp, x: xp.expand_dims(x, (0, 0)),
    "expand_dims type": lambda xp, x: xp.expand_dims(x, 1.5),
    "squeeze": lambda xp, x: xp.squeeze(x),
    "squeeze axis": lambda xp, x: xp.squeeze(x, axis=0),
    "squeeze many": lambda xp, x: xp.squeeze(x, axis=(0, 2)),
    "atleast_1d": lambda xp, x: xp.atleast_1d(x),
    "atleast_2d": lambda xp, x: xp.atleast_2d(x),
    "atleast_3d": lambda xp, x: xp.atleast_3d(x),
    "atleast two": lambda xp, x: xp.atleast_2d(x, 3.0),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (2, *x.shape)),
    "broadcast_to wider": lambda xp, x: xp.broadcast_to(x, (3, 3, 4)),
    "broadcast_to fewer": lambda xp, x: xp.broadcast_to(x, ()),
    "broadcast_arrays": lambda xp, x: xp.broadcast_arrays(x, x[..., :1] if x.ndim else x),
    "broadcast_arrays wrong": lambda xp, x: xp.broadcast_arrays(x, xp.reshape([1.0] * 7, 7)),
    "flip": lambda xp, x: xp.flip(x),
    "flip axis": lambda xp, x: xp.flip(x, 1),
    "flip axes": lambda xp, x: xp.flip(x, (0, -1)),
    "flip wrong": lambda xp, x: xp.flip(x, 4),
    "fliplr": lambda xp, x: xp.fliplr(x),
    "flipud": lambda xp, x: xp.flipud(x),
    "rot90": lambda xp, x: xp.rot90(x),
    "rot90 twice": lambda xp, x: xp.rot90(x, 2),
    "rot90 thrice": lambda xp, x: xp.rot90(x, -1, (1, 0)),
    "rot90 none": lambda xp, x: xp.rot90(x, 4),
    "rot90 axes": lambda xp, x: xp.rot90(x, 1, (0, 2)),
    "rot90 same": lambda xp, x: xp.rot90(x, 1, (0, 0)),
    "roll": lambda xp, x: xp.roll(x, 2),
    "roll axis": lambda xp, x: xp.roll(x, -1, axis=0),
    "roll axes": lambda xp, x: xp.roll(x, (1, -7), axis=(0, 1)),
    "roll both": lambda xp, x: xp.roll(x, 1, axis=(0, 0)),
    "roll full": lambda xp, x: xp.roll(x, 12, axis=-1),
    "roll wrong": lambda xp, x: xp.roll(x, 1, axis=3),
    "roll unequal": lambda xp, x: xp.roll(x, (1, 2, 3), axis=(0, 1)),
    "resize": lambda xp, x: xp.resize(x, (3, 5)),
    "resize int": lambda xp, x: xp.resize(x, 30),
    "resize negative": lambda xp, x: xp.resize(x, (-1, 2)),
    "unstack": lambda xp, x: xp.unstack(x),
    "unstack axis": lambda xp, x: xp.unstack(x, axis=-1),
    "split": lambda xp, x: xp.split(x, 3, axis=-1),
    "split at": lambda xp, x: xp.split(x, [1, 2], axis=-1),
    "split backwards": lambda xp, x: xp.split(x, [-1, 1, 9]),
    "split none": lambda xp, x: xp.split(x, 0),
    "array_split": lambda xp, x: xp.array_split(x, 3, axis=-1),
    "array_split many": lambda xp, x: xp.array_split(x, 9),
    "array_split none": lambda xp, x: xp.array_split(x, 0),
    "hsplit": lambda xp, x: xp.hsplit(x, [1]),
    "vsplit": lambda xp, x: xp.vsplit(x, [1]),
    "dsplit": lambda xp, x: xp.dsplit(x, 2),
    "concatenate": lambda xp, x: xp.concatenate([x, x]),
    "concatenate axis": lambda xp, x: xp.concatenate((x, x), axis=-1),
    "concatenate flat": lambda xp, x: xp.concatenate([x, x], axis=None),
    "concatenate one": lambda xp, x: xp.concatenate([x]),
    "concatenate array": lambda xp, x: xp.concatenate(x),
    "concatenate dtype": lambda xp, x: xp.concatenate([x, x], dtype="float32"),
    "concatenate cast": lambda xp, x: xp.concatenate([x, x], dtype="int8"),
    "concatenate unsafe": lambda xp, x: xp.concatenate([x, x], dtype="int8", casting="unsafe"),
    "concatenate safe": lambda xp, x: xp.concatenate([x, x], dtype="float32", casting="safe"),
    "concat": lambda xp, x: xp.concat([x, x]),
    "stack": lambda xp, x: xp.stack([x, x]),
    "stack last": lambda xp, x: xp.stack([x, x, x], axis=-1),
    "stack wrong": lambda xp, x: xp.stack([x, x], axis=9),
    "stack unequal": lambda xp, x: xp.stack([x, xp.ravel(x)[:2]]),
    "hstack": lambda xp, x: xp.hstack([x, x]),
    "vstack": lambda xp, x: xp.vstack((x, x)),
    "dstack": lambda xp, x: xp.dstack((x, x)),
    "column_stack": lambda xp, x: xp.column_stack((x, x)),
    "block": lambda xp, x: xp.block([[x, x], [x, x]]),
    "block flat": lambda xp, x: xp.block([x, x]),
    "block one": lambda xp, x: xp.block(x),
    "append": lambda xp, x: xp.append(x, [1, 2]),
    "append axis": lambda xp, x: xp.append(x, x, axis=0),
    "tile": lambda xp, x: xp.tile(x, 2),
    "tile many": lambda xp, x: xp.tile(x, (2, 1, 3)),
    "tile once": lambda xp, x: xp.tile(x, 1),
    "tile none": lambda xp, x: xp.tile(x, (2, 0)),
    "repeat": lambda xp, x: xp.repeat(x, 2),
    "repeat axis": lambda xp, x: xp.repeat(x, 3, axis=-1),
    "repeat each": lambda xp, x: xp.repeat(x, [1, 0, 2], axis=1),
    "repeat each last": lambda xp, x: xp.repeat(x, [3, 0, 1, 2], axis=-1),
    "repeat none": lambda xp, x: xp.repeat(x, 0, axis=0),
    "repeat negative": lambda xp, x: xp.repeat(x, -1),
    "repeat float": lambda xp, x: xp.repeat(x, 1.5),
    "repeat mismatch": lambda xp, x: xp.repeat(x, [1, 2, 3, 4, 5, 6, 7], axis=0),
    "insert": lambda xp, x: xp.insert(x, 1, 9),
    "insert axis": lambda xp, x: xp.insert(x, 1, 9, axis=-1),
    "insert row": lambda xp, x: xp.insert(x, -1, [5, 6, 7, 8], axis=1),
    "insert many": lambda xp, x: xp.insert(x, [0, 2, 2], 7, axis=-1),
    "insert slice": lambda xp, x: xp.insert(x, slice(0, 2), 7, axis=-1),
    "insert list of one": lambda xp, x: xp.insert(x, [1], [[5], [6], [7]], axis=1),
    "insert outside": lambda xp, x: xp.insert(x, 99, 1, axis=0),
    "delete": lambda xp, x: xp.delete(x, 0),
    "delete axis": lambda xp, x: xp.delete(x, -1, axis=-1),
    "delete many": lambda xp, x: xp.delete(x, [0, 2, 2], axis=-1),
    "delete slice": lambda xp, x: xp.delete(x, slice(None, None, 2), axis=-1),
    "delete mask": lambda xp, x: xp.delete(x, [True, False, True, False], axis=-1),
    "delete outside": lambda xp, x: xp.delete(x, 99, axis=0),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("array", ARRAYS)
def test_shapes(case: str, array: str) -> None:
    # Vectors fall apart into scalars in NumPy, and its flip of a 0-d array is one.
    sharing = "unstack" not in case and (array, case) != ("0-d", "flip")
    compare(SHAPES[case], ARRAYS[array], sharing=sharing)


PADDING: dict[str, Callable[..., Any]] = {
    "constant": lambda xp, x: xp.pad(x, 2),
    "pair": lambda xp, x: xp.pad(x, (1, 2)),
    "one": lambda xp, x: xp.pad(x, [3], constant_values=7),
    "values": lambda xp, x: xp.pad(x, ((1, 2),), constant_values=(4, 6)),
    "dict": lambda xp, x: xp.pad(x, {-1: (1, 2)}),
    "dict int": lambda xp, x: xp.pad(x, {0: 2}),
    "nothing": lambda xp, x: xp.pad(x, 0, mode="edge"),
    "edge": lambda xp, x: xp.pad(x, (2, 3), mode="edge"),
    "wrap": lambda xp, x: xp.pad(x, (7, 3), mode="wrap"),
    "reflect": lambda xp, x: xp.pad(x, (2, 1), mode="reflect"),
    "reflect far": lambda xp, x: xp.pad(x, (9, 11), mode="reflect"),
    "reflect odd": lambda xp, x: xp.pad(x, (1, 2), mode="reflect", reflect_type="odd"),
    "reflect odd far": lambda xp, x: xp.pad(x, (9, 8), mode="reflect", reflect_type="odd"),
    "symmetric": lambda xp, x: xp.pad(x, (2, 3), mode="symmetric"),
    "symmetric odd": lambda xp, x: xp.pad(x, (2, 1), mode="symmetric", reflect_type="odd"),
    "symmetric odd far": lambda xp, x: xp.pad(x, (9, 8), mode="symmetric", reflect_type="odd"),
    "linear_ramp": lambda xp, x: xp.pad(x, (2, 4), mode="linear_ramp", end_values=(-4, 5)),
    "linear_ramp zero": lambda xp, x: xp.pad(x, (3, 1), mode="linear_ramp"),
    "maximum": lambda xp, x: xp.pad(x, (2, 1), mode="maximum"),
    "maximum length": lambda xp, x: xp.pad(x, (2, 1), mode="maximum", stat_length=2),
    "minimum": lambda xp, x: xp.pad(x, (2, 1), mode="minimum", stat_length=(1, 2)),
    "mean": lambda xp, x: xp.pad(x, (2, 1), mode="mean"),
    "mean length": lambda xp, x: xp.pad(x, (2, 1), mode="mean", stat_length=(3, 2)),
    "median": lambda xp, x: xp.pad(x, (2, 1), mode="median", stat_length=(3, 2)),
    "function": lambda xp, x: xp.pad(x, 2, lambda row, width, axis, keywords: None),
    "unknown mode": lambda xp, x: xp.pad(x, 2, mode="mirror"),
    "unknown keyword": lambda xp, x: xp.pad(x, 2, mode="edge", constant_values=1),
    "negative": lambda xp, x: xp.pad(x, -1),
    "float": lambda xp, x: xp.pad(x, 1.5),
    "too many": lambda xp, x: xp.pad(x, ((1, 1),) * 7),
    "no length": lambda xp, x: xp.pad(x, 2, mode="maximum", stat_length=0),
}  # fmt: skip


@pytest.mark.parametrize("case", PADDING)
@pytest.mark.parametrize("array", ["2-d", "1-d", "0-d", "empty", "strided", "ones"])
def test_padding(case: str, array: str) -> None:
    compare(PADDING[case], ARRAYS[array], rtol=1e-6)


OTHERS: dict[str, Callable[..., Any]] = {
    "trim_zeros": lambda xp, x: xp.trim_zeros(xp.ravel(x) * 0),
    "trim_zeros front": lambda xp, x: xp.trim_zeros([0, 0, 1, 0, 2, 0], "f"),
    "trim_zeros back": lambda xp, x: xp.trim_zeros([0, 0, 1, 0, 2, 0], "b"),
    "trim_zeros both": lambda xp, x: xp.trim_zeros(xp.pad(x[1:], (2, 1))),
    "trim_zeros axis": lambda xp, x: xp.trim_zeros(xp.pad(x[1:], (2, 1)), axis=1),
    "trim_zeros wrong": lambda xp, x: xp.trim_zeros([0], "x"),
    "ravel_multi_index": lambda xp, x: xp.ravel_multi_index(([3, 6, 6], [4, 5, 1]), (7, 6)),
    "ravel_multi_index F": lambda xp, x: xp.ravel_multi_index(([3, 6, 6], [4, 5, 1]), (7, 6), order="F"),
    "ravel_multi_index clip": lambda xp, x: xp.ravel_multi_index(([3, 9], [4, 5]), (4, 6), mode=("clip", "wrap")),
    "ravel_multi_index outside": lambda xp, x: xp.ravel_multi_index(([3, 9], [4, 5]), (4, 6)),
    "unravel_index": lambda xp, x: xp.unravel_index([22, 41, 37], (7, 6)),
    "unravel_index one": lambda xp, x: xp.unravel_index(1621, (6, 7, 8, 9)),
    "unravel_index outside": lambda xp, x: xp.unravel_index(99, (3, 4)),
    "broadcast_shapes": lambda xp, x: xp.broadcast_shapes((6, 7), (5, 6, 1), (7,), 1),
    "broadcast_shapes wrong": lambda xp, x: xp.broadcast_shapes((3, 4), (3,)),
    "concatenate nothing": lambda xp, x: xp.concatenate([]),
    "concatenate a number": lambda xp, x: xp.concatenate(3),
    "concatenate promotes": lambda xp, x: xp.concatenate([x, [1.5]], axis=None),
    "stack nothing": lambda xp, x: xp.stack([]),
    "hstack promotes": lambda xp, x: xp.hstack([xp.ravel(x), [1.5, 2]]),
    "hstack dtype": lambda xp, x: xp.hstack([x, x], dtype="float64"),
    "vstack lists": lambda xp, x: xp.vstack([[1, 2], [3, 4]]),
    "column_stack mixed": lambda xp, x: xp.column_stack((x, [1, 2, 3])),
    "block nested": lambda xp, x: xp.block([[x, xp.reshape([1, 2, 3], (3, 1))], [xp.reshape(range(5), (1, 5))]]),
    "block depth": lambda xp, x: xp.block([[x], x]),
    "block empty": lambda xp, x: xp.block([[]]),
    "block tuple": lambda xp, x: xp.block((x, x)),
    "unstack nothing": lambda xp, x: xp.unstack(xp.reshape(x[:1, :1], ())),
    "tile number": lambda xp, x: xp.tile(3, (2, 2)),
    "tile negative": lambda xp, x: xp.tile(x, -1),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_others(case: str) -> None:
    compare(OTHERS[case], M)


GRADIENTS: dict[str, Callable[..., Any]] = {
    "reshape": lambda xp, x: xp.reshape(x, (4, 3), order="F"),
    "rot90": lambda xp, x: xp.rot90(x),
    "roll": lambda xp, x: xp.roll(x, (1, 2), (0, 1)),
    "tile": lambda xp, x: xp.tile(x, (2, 2)),
    "repeat": lambda xp, x: xp.repeat(x, 2, axis=1),
    "repeat each": lambda xp, x: xp.repeat(x, [2, 0, 1], axis=0),
    "resize": lambda xp, x: xp.resize(x, (5, 5)),
    "stack": lambda xp, x: xp.stack([x, x * 2], axis=1),
    "block": lambda xp, x: xp.block([[x, x], [x * 2, x]]),
    "insert": lambda xp, x: xp.insert(x, 1, x[0], axis=0),
    "delete": lambda xp, x: xp.delete(x, [0, 1], axis=1),
    "broadcast_arrays": lambda xp, x: xp.broadcast_arrays(x[:1], x)[0],
    "split": lambda xp, x: xp.split(x, 2, axis=1)[1],
    "unstack": lambda xp, x: xp.unstack(x, axis=1)[2],
    "pad constant": lambda xp, x: xp.pad(x, 1),
    "pad reflect": lambda xp, x: xp.pad(x, 2, mode="reflect"),
    "pad odd": lambda xp, x: xp.pad(x, 2, mode="reflect", reflect_type="odd"),
    "pad ramp": lambda xp, x: xp.pad(x, 2, mode="linear_ramp", end_values=3),
    "pad mean": lambda xp, x: xp.pad(x, 2, mode="mean", stat_length=2),
}  # fmt: skip


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case: str) -> None:
    gradient(GRADIENTS[case], np.random.default_rng(0).normal(size=(3, 4)))


def test_out() -> None:
    out = np.zeros(6, np.float32)
    x = tn.tensor([1.0, 2.0, 3.0])
    assert tnp.concatenate([x, x], out=out) is out
    np.testing.assert_array_equal(out, [1, 2, 3, 1, 2, 3])
    with pytest.raises(ValueError, match="shape"):
        tnp.concatenate([x, x], out=np.zeros(5, np.float32))
    with pytest.raises(TypeError, match="cast"):
        tnp.stack([x, x], out=np.zeros((2, 3), np.int32))


def test_broadcast_views_are_read_only() -> None:
    x = np.arange(3.0)
    ours, theirs = tnp.asarray(x), x
    for shape in ((2, 3), (3,)):
        assert not tnp.broadcast_to(ours, shape).flags.writeable and not np.broadcast_to(theirs, shape).flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            tnp.broadcast_to(ours, shape)[0] = 1
    wide, same = tnp.broadcast_arrays(ours[:1], ours)
    same[0] = 5
    assert ours.tolist() == [5, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        wide[0] = 1
