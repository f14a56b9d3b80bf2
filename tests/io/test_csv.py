"""Tables of numbers from text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trueno as tn
from trueno.io import from_csv, read_header


@pytest.fixture
def written(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text(text)
        return path

    return write


TABLE = 'a, b,"c, d"\n1,2.5,3\n\n4,-5e-1,"6"\n'


def test_a_table(written) -> None:  # type: ignore[no-untyped-def]
    path = written(TABLE)
    table = from_csv(path)
    assert (table.dtype, table.tolist()) == (tn.float32, [[1, 2.5, 3], [4, -0.5, 6]])
    assert read_header(path) == ["a", "b", "c, d"]
    assert from_csv(path, dtype="float64").dtype == tn.float64


def test_columns_by_name_and_position(written) -> None:  # type: ignore[no-untyped-def]
    path = written(TABLE)
    assert from_csv(path, columns=["c, d", 0]).tolist() == [[3, 1], [6, 4]]
    assert from_csv(path, columns=[-1], dtype="int8").tolist() == [[3], [6]]
    with pytest.raises(ValueError, match=r"no column 'x': the columns are a, b, c, d"):
        from_csv(path, columns=["x"])
    with pytest.raises(ValueError, match="no column 3: there are 3"):
        from_csv(path, columns=[3])
    with pytest.raises(ValueError, match="there is no header"):
        from_csv(path, header=False, columns=["a"])
    assert from_csv(written("1;2\n3;4\n"), header=False, delimiter=";", dtype="int64").tolist() == [[1, 2], [3, 4]]


def test_missing_values(written) -> None:  # type: ignore[no-untyped-def]
    path = written("a,b\n1,\nNA,2\n?, 3\n")
    np.testing.assert_array_equal(from_csv(path).numpy(), [[1, np.nan], [np.nan, 2], [np.nan, 3]])
    assert from_csv(path, missing=-1, dtype="int32").tolist() == [[1, -1], [-1, 2], [-1, 3]]
    with pytest.raises(ValueError, match=r"table.csv:2: column 'b': the value is missing"):
        from_csv(path, missing=None)
    with pytest.raises(ValueError, match="int32 does not hold nan"):
        from_csv(path, dtype="int32")
    with pytest.raises(ValueError, match="'NA' is no number"):
        from_csv(path, missing_values=["-"])
    assert from_csv(written("a\n-\n"), missing_values=["-"], missing=7).tolist() == [[7]]


def test_mistakes_are_named_with_their_place(written) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"table.csv:3: column 'b': 'two' is no number of dtype float32"):
        from_csv(written("a,b\n1,2\n1,two\n"))
    with pytest.raises(ValueError, match=r"table.csv:3: 1 values where other lines have 2"):
        from_csv(written("a,b\n1,2\n1\n"))
    with pytest.raises(ValueError, match=r"'1.5' is no number of dtype int64"):
        from_csv(written("a\n1.5\n"), dtype="int64")
    with pytest.raises(ValueError, match="300 is no number of dtype uint8"):
        from_csv(written("a\n300\n"), dtype="uint8")
    with pytest.raises(FileNotFoundError):
        from_csv("nowhere.csv")
    with pytest.raises(ValueError, match="has no lines"):
        read_header(written(""))


def test_tables_without_rows(written) -> None:  # type: ignore[no-untyped-def]
    assert from_csv(written("a,b\n")).shape == (0, 2)
    assert from_csv(written("")).shape == (0, 0)


def test_large_integers_are_exact(written) -> None:  # type: ignore[no-untyped-def]
    assert from_csv(written(f"a\n{2**63 - 1}\n"), dtype="int64").item() == 2**63 - 1
    assert from_csv(written(f"a\n{2**64 - 1}\n"), dtype="uint64").item() == 2**64 - 1
