"""The table of NumPy's names and the texts for those that are absent."""

from __future__ import annotations

import numpy as np
import pytest

import trueno.np
from tools import migration
from trueno.np.absent import ABSENT


def test_the_page_is_current() -> None:
    page, wanted = migration.PATH.read_text(), migration.text()
    if f"NumPy {np.__version__.rpartition('.')[0]}:" not in page:
        pytest.skip("the page is written for another version of NumPy, which has other names")
    assert page == wanted, "run python tools/migration.py"


def test_every_absent_name_has_a_text_that_says_what_to_use() -> None:
    assert migration.missing() == []


def test_no_text_is_for_a_name_that_exists() -> None:
    rows = [row for _, *space in migration.SPACES for row in migration.table(*space)]
    assert {row.name for row in rows if row.state == "absent"} == set(ABSENT)


def test_an_absent_name_says_what_to_use() -> None:
    with pytest.raises(AttributeError, match=r"longdouble.*float64"):
        trueno.np.longdouble
    with pytest.raises(AttributeError, match="no attribute 'sum_of_squares'"):
        trueno.np.sum_of_squares


def test_differences_are_found() -> None:
    def shorter(a, axis=None):
        """Do the same.

        Differs from NumPy: it is a test.

        Nothing more.
        """

    assert migration.difference(np.sum, shorter).startswith("it is a test; without `dtype`, `out`")
    assert migration.difference(np.sum, np.sum) == ""
