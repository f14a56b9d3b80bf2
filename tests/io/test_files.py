"""NumPy's file formats through trueno.np."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

import trueno as tn
from trueno import dtypes as dt
from trueno import np


@pytest.mark.parametrize("dtype", [one for one in dt.ALL if one != dt.bfloat16], ids=str)
def test_an_array_is_what_was_saved(tmp_path: Path, dtype: Any) -> None:
    x = tn.tensor([[1, 0, 1], [0, 1, 1]], dtype=dtype)
    for given in (x, x.T, x[:, ::2], x[0, 0], x[:0]):
        np.save(tmp_path / "x.npy", given)
        back = np.load(tmp_path / "x.npy")
        assert type(back) is tn.Tensor
        assert (back.dtype, back.shape, back.tolist()) == (dtype, given.shape, given.tolist())
        assert numpy.load(tmp_path / "x.npy").tolist() == given.tolist()


def test_archives(tmp_path: Path) -> None:
    x, y = tn.ones(2, 3), tn.zeros(4, dtype=tn.int8)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "all.npz", x, named=y)
        with np.load(tmp_path / "all.npz") as found:
            assert sorted(found) == sorted(found.files) == ["arr_0", "named"]
            assert len(found) == 2
            assert found["arr_0"].tolist() == x.tolist()
            assert found["named"].dtype == tn.int8
            assert "arr_0" in repr(found)
            with pytest.raises(KeyError):
                found["other"]


def test_what_numpy_cannot_store(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="bfloat16"):
        np.save(tmp_path / "x.npy", tn.ones(2, dtype="bfloat16"))
    with pytest.raises(TypeError, match="bfloat16"):
        np.savez(tmp_path / "x.npz", x=tn.ones(2, dtype="bfloat16"))
    numpy.save(tmp_path / "text.npy", numpy.array(["a"]))
    with pytest.raises(TypeError, match="not supported"):
        np.load(tmp_path / "text.npy")
    with pytest.raises(FileNotFoundError):
        np.load(tmp_path / "nowhere.npy")


def test_text(tmp_path: Path) -> None:
    x = np.array([[1.5, -2.0], [3.25, 4.0]])
    np.savetxt(tmp_path / "x.txt", x, delimiter=",", header="a,b")
    assert np.loadtxt(tmp_path / "x.txt", delimiter=",").tolist() == x.tolist()
    assert np.loadtxt(tmp_path / "x.txt", delimiter=",", unpack=True, usecols=(1,)).tolist() == [-2.0, 4.0]
    assert np.loadtxt(["1 2", "3 4"], dtype=np.int32).dtype == tn.int32
    assert np.genfromtxt(["1,,3", "4,5,6"], delimiter=",", filling_values=-1).tolist() == [[1, -1, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match="could not convert"):
        np.loadtxt(["a b"])
    with pytest.raises(TypeError, match="named fields"):
        np.genfromtxt(["a,b", "1,2"], delimiter=",", names=True)


def test_raw_memory(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(numpy.arange(5, dtype="i2").tobytes())
    assert np.fromfile(tmp_path / "raw", np.int16, offset=2).tolist() == [1, 2, 3, 4]


def test_memory_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    made = np.memmap(path, np.float32, "w+", shape=(3, 4))
    made[1] = 5.0
    view = made[1, 2:]
    del made
    view *= 2.0
    del view
    again = np.memmap(path, np.float32, "r+", shape=(3, 4))
    assert again.tolist() == [[0] * 4, [5, 5, 10, 10], [0] * 4]
    assert (again + 1).tolist()[1] == [6, 6, 11, 11]
    read = np.memmap(path, np.float32, "r", offset=16, shape=(4,))
    assert read.tolist() == [5, 5, 10, 10]
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        read += 1.0


def test_mapped_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    made = np.open_memmap(path, "w+", np.int64, (2, 2))
    made[...] = [[1, 2], [3, 4]]
    del made
    assert np.load(path).tolist() == [[1, 2], [3, 4]]
    private = np.load(path, mmap_mode="c")
    private[0, 0] = 9
    assert np.load(path, mmap_mode="r").tolist() == [[1, 2], [3, 4]]
    assert np.load(path, "r")[1].tolist() == [3, 4]
