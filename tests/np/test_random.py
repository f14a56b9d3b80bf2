"""Random numbers of trueno.np: distributions against SciPy's, streams, arguments, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import trueno as tn
import trueno.np as tnp
from trueno.np import random

CONTINUOUS: dict[str, tuple[tuple, Any]] = {
    "random": ((), stats.uniform()),
    "uniform": ((-1.0, 3.0), stats.uniform(-1, 4)),
    "standard_normal": ((), stats.norm()),
    "normal": ((2.0, 3.0), stats.norm(2, 3)),
    "lognormal": ((0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    "exponential": ((2.0,), stats.expon(scale=2)),
    "standard_exponential": ((), stats.expon()),
    "laplace": ((1.0, 2.0), stats.laplace(1, 2)),
    "logistic": ((1.0, 2.0), stats.logistic(1, 2)),
    "gumbel": ((1.0, 2.0), stats.gumbel_r(1, 2)),
    "rayleigh": ((2.0,), stats.rayleigh(scale=2)),
    "weibull": ((1.5,), stats.weibull_min(1.5)),
    "pareto": ((3.0,), stats.lomax(3)),
    "power": ((2.5,), stats.powerlaw(2.5)),
    "standard_cauchy": ((), stats.cauchy()),
    "triangular": ((-1.0, 0.5, 2.0), stats.triang(0.5, -1, 3)),
    "beta": ((2.0, 3.0), stats.beta(2, 3)),
    "gamma": ((2.0, 3.0), stats.gamma(2, scale=3)),
    "chisquare": ((4,), stats.chi2(4)),
    "standard_t": ((5,), stats.t(5)),
    "wald": ((1.0, 2.0), stats.invgauss(0.5, scale=2)),
    "vonmises": ((0.0, 2.0), stats.vonmises(2.0)),
}
DISCRETE: dict[str, tuple[tuple, Any]] = {
    "geometric": ((0.3,), stats.geom(0.3)),
    "binomial": ((10, 0.4), stats.binom(10, 0.4)),
    "poisson": ((3.0,), stats.poisson(3)),
    "integers": ((2, 9), stats.randint(2, 9)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_distributions(name: str) -> None:
    arguments, distribution = CONTINUOUS[name]
    drawn = getattr(random.default_rng(5), name)(*arguments, size=(20, 1000))
    assert drawn.shape == (20, 1000)
    assert drawn.dtype == np.float64
    assert stats.kstest(drawn.numpy().ravel(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISCRETE)
def test_distributions_of_integers(name: str) -> None:
    arguments, distribution = DISCRETE[name]
    drawn = getattr(random.default_rng(6), name)(*arguments, size=20_000).numpy()
    assert drawn.dtype == np.int64
    values, counts = np.unique(drawn, return_counts=True)
    expected = distribution.pmf(values) * drawn.size
    common = expected > 10
    assert abs(counts - expected)[common].max() < 5 * np.sqrt(expected.max())
    assert abs(drawn.mean() - distribution.mean()) < 5 * distribution.std() / np.sqrt(drawn.size)


def test_streams() -> None:
    first, second = random.default_rng(1), random.default_rng(1)
    assert np.array_equal(first.random(5).numpy(), second.random(5).numpy())
    assert not np.array_equal(first.random(5).numpy(), random.default_rng(1).random(5).numpy()), "the stream goes on"
    assert np.array_equal(
        random.default_rng([1, 2]).poisson(3, 9).numpy(), random.default_rng([1, 2]).poisson(3, 9).numpy()
    )
    assert random.default_rng(first) is first
    a, b = first.spawn(2)
    assert not np.array_equal(a.normal(size=5).numpy(), b.normal(size=5).numpy())
    assert random.default_rng().random() != random.default_rng().random()


def test_parameters_are_arrays_and_give_the_shape() -> None:
    rng = random.default_rng(2)
    drawn = rng.normal(tnp.array([0.0, 100.0]), tnp.array([[1.0], [0.0]]))
    assert drawn.shape == (2, 2)
    assert drawn[1].tolist() == [0, 100]
    assert rng.uniform([0, 10], [1, 11], size=(5, 2)).shape == (5, 2)
    assert rng.exponential().shape == ()
    assert rng.integers([1, 10], [2, 11]).tolist() == [1, 10]
    assert rng.geometric([1.0, 1.0]).tolist() == [1, 1]


def test_dtypes_and_out() -> None:
    rng = random.default_rng(3)
    assert rng.random(4, dtype=np.float32).dtype == np.float32
    assert rng.standard_normal(4, "float32").dtype == np.float32
    out = tnp.zeros(6)
    assert rng.random(out=out) is out
    assert out.min() > 0
    assert rng.standard_gamma(2.0, 6, out=out) is out
    assert rng.integers(0, 200, 9, dtype=np.uint8).dtype == np.uint8
    assert set(rng.integers(1, 3, 99, endpoint=True).tolist()) == {1, 2, 3}
    with pytest.raises(TypeError, match="float16"):
        rng.random(3, dtype=np.float16)


def test_orders_and_choices() -> None:
    rng = random.default_rng(4)
    x = tnp.arange(12).reshape(4, 3)
    assert sorted(rng.permutation(10).tolist()) == list(range(10))
    assert sorted(rng.permutation(x).tolist()) == x.tolist()
    assert sorted(rng.permutation(x, axis=1)[0].tolist()) == [0, 1, 2]
    assert sorted(rng.permuted(x, axis=1)[2].tolist()) == [6, 7, 8]
    assert sorted(rng.permuted(x).ravel().tolist()) == list(range(12))
    y = x.copy()
    rng.shuffle(y)
    assert sorted(y.tolist()) == x.tolist()
    assert sorted(rng.choice(5, 5, replace=False).tolist()) == list(range(5))
    assert rng.choice(x, 2, axis=1).shape == (4, 2)
    assert set(rng.choice([3, 7], 50, p=[0.0, 1.0]).tolist()) == {7}
    with pytest.raises(ValueError, match="larger sample"):
        rng.choice(3, 5, replace=False)


def test_the_global_generator() -> None:
    random.seed(9)
    first = [random.rand(2, 3), random.normal(size=3), random.randint(5, size=4), random.choice(9, 3)]
    random.seed(9)
    second = [random.rand(2, 3), random.normal(size=3), random.randint(5, size=4), random.choice(9, 3)]
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
    assert tnp.random is random
    assert random.randn(2).dtype == np.float64


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: rng.normal(scale=-1),
        lambda rng: rng.exponential(-1.0),
        lambda rng: rng.weibull(-1.0),
        lambda rng: rng.geometric(0.0),
        lambda rng: rng.triangular(2.0, 1.0, 3.0),
        lambda rng: rng.integers(5, 5),
        lambda rng: rng.poisson(-1.0),
        lambda rng: rng.random(-3),
    ],
)
def test_errors_are_numpys(call: Any) -> None:
    with pytest.raises(ValueError):
        call(np.random.default_rng(1))
    with pytest.raises(ValueError):
        call(random.default_rng(1))


@pytest.mark.opencl
def test_kernels_draw_the_same_on_opencl() -> None:
    device = next(str(one) for one in tn.devices() if str(one).startswith("opencl"))
    here = random.default_rng(7).exponential(size=100)
    with tn.device(device):
        there = random.default_rng(7).exponential(size=100)
    assert str(there.device) == device
    np.testing.assert_allclose(there.cpu().numpy(), here.numpy(), rtol=1e-12)
