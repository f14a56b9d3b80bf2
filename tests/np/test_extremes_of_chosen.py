"""Extremes of the elements that are not NaN, or that a mask chooses: infinities count, absent elements do not."""

from __future__ import annotations

import numpy as np
import pytest

import trueno as tn
import trueno.np as tnp
from tests.codegen.support import lowered


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (3, 100), (2, 1000), (100_000,), (40, 3, 300)])
def test_infinities_count_and_nans_do_not(shape, dtype):
    generator = np.random.default_rng(3)
    x = generator.choice(np.array([-np.inf, np.nan, -np.inf, 1, 2], dtype), shape)
    x[..., :3] = -np.inf
    x[0] = np.where(np.isnan(x[0]), -np.inf, x[0])
    for axis in (None, *range(len(shape))):
        for name in ("nanmax", "nanmin", "nanargmax", "nanargmin"):
            try:
                want = getattr(np, name)(x, axis)
            except ValueError:
                continue  # a row of NaNs has no place
            np.testing.assert_array_equal(np.asarray(getattr(tnp, name)(tn.from_numpy(x), axis)), want)
        mask = generator.random(shape) < 0.5
        got = tnp.max(tn.from_numpy(x), axis=axis, where=tn.from_numpy(mask), initial=-np.inf)
        np.testing.assert_array_equal(np.asarray(got), np.max(x, axis=axis, where=mask, initial=-np.inf))


def test_what_stands_for_an_absent_element_is_no_literal():
    """LLVM rewrites a maximum with a literal -inf to a choice, which it does not vectorise."""
    with lowered() as kernels:
        tnp.nanmax(tn.from_numpy(np.arange(301, dtype=np.float32)))
    assert "-inf" not in kernels[-1].text()
