"""Views that native code makes once it has seen a function make one: the same memory, errors, and history."""

from __future__ import annotations

import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp
from trueno.runtime import launcher

VIEWS = {
    "flip": lambda xp, x: xp.flip(x), "flip axis": lambda xp, x: xp.flip(x, axis=1), "rot90": lambda xp, x: xp.rot90(x),
    "swapaxes": lambda xp, x: xp.swapaxes(x, 0, 1), "moveaxis": lambda xp, x: xp.moveaxis(x, 0, -1),
    "expand_dims": lambda xp, x: xp.expand_dims(x, (0, 2)), "squeeze": lambda xp, x: xp.squeeze(x[:, None]),
    "diagonal": lambda xp, x: xp.diagonal(x), "method": lambda xp, x: x.reshape(-1, 2), "T": lambda xp, x: x.T,
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), "ravel": lambda xp, x: xp.ravel(x),
    "real": lambda xp, x: (x * 1j).imag,
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_each_call_gives_the_view_that_numpy_gives(name: str) -> None:
    make = VIEWS[name]
    for dtype in ("float64", "uint8"):
        for array in (np.arange(12).reshape(3, 4).astype(dtype), np.arange(24).reshape(6, 4).astype(dtype)[::2]):
            x = tn.from_numpy(array)
            for _ in range(3):
                got, want = make(tnp, x), make(np, array)
                np.testing.assert_array_equal(got.numpy(), want)
                assert got.shape == want.shape and got.numpy().flags.writeable == want.flags.writeable
                assert np.shares_memory(got.numpy(), array) == np.shares_memory(want, array)


def test_a_view_is_known_after_its_first_call() -> None:
    x = tnp.asarray(np.arange(35.0).reshape(5, 7))
    tnp.flip(x, 1)
    before = launcher.statistics()["flip"]["hits"]
    tnp.flip(x, 1)
    assert launcher.statistics()["flip"]["hits"] == before + 1


def test_what_takes_part_in_autograd_is_recorded_after_a_view_is_known() -> None:
    x = tn.from_numpy(np.arange(6.0).reshape(2, 3))
    for _ in range(2):
        tnp.flip(x, 1), x.T, x.reshape(-1)
    x.requires_grad_()
    weights = tn.from_numpy(np.arange(6.0))
    for _ in range(2):
        x.grad = None
        (tnp.flip(x, 1).T.reshape(-1) * weights).sum().backward()
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), np.arange(6.0).reshape(3, 2).T[:, ::-1])
    with tn.no_grad():
        assert not tnp.flip(x, 1).requires_grad


def test_a_write_through_a_known_view_is_noticed() -> None:
    x = tn.from_numpy(np.arange(6.0))
    for _ in range(2):
        x.reshape(2, 3)
    w = tn.from_numpy(np.ones(6)).requires_grad_()
    y = w * x
    x.reshape(2, 3)[0, 0] = 5.0
    with pytest.raises(RuntimeError):
        y.sum().backward()


def test_bad_arguments_of_a_known_function() -> None:
    x = tnp.asarray(np.zeros((2, 3)))
    for _ in range(2):
        with pytest.raises(np.exceptions.AxisError, match="flip"):
            tnp.flip(x, 2)
        with pytest.raises(ValueError, match=r"\(2, 3\)"):
            x.reshape(4, 2)
        with pytest.raises(TypeError):
            tnp.flip()
        np.testing.assert_array_equal(tnp.flip(m=x, axis=0).numpy(), np.zeros((2, 3)))
        np.testing.assert_array_equal(tnp.flip([1.0, 2.0]).numpy(), [2.0, 1.0])
