"""NumPy's random numbers: `default_rng`, its distributions, and the functions of the global generator.

What inverts a distribution function, or comes from normal numbers, is one kernel over the numbers of Philox4x32-10
(Salmon et al. 2011), on any device. What needs rejection is drawn by NumPy's own Philox generator, with a seed from the
same stream. The streams are not NumPy's; the distributions are.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trueno import dtypes as dt
from trueno import random as streams
from trueno.functions import operations
from trueno.ir import build
from trueno.ir.elementwise import eq, ge, gt, lt, maximum, sqrt, where
from trueno.ir.node import Node
from trueno.ir.transcendental import exp, expm1, log, log1p, pow, tan
from trueno.np.arguments import adopt, array, finish, host, index, shape
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

#: Least number that stands for 0 where a formula has no finite value there: half the distance of uniform numbers.
_LEAST = 2.0**-54


# --- distributions as functions of uniform (u) or normal (z) numbers -------------------------------------------------


def _exponential(u: Node, scale: Any) -> Node:
    return -log1p(-u) * scale


def _uniform(u: Node, low: Any, high: Any) -> Node:
    return u * (high - low) + low


def _normal(z: Node, loc: Any, scale: Any) -> Node:
    return z * scale + loc


def _lognormal(z: Node, mean: Any, sigma: Any) -> Node:
    return exp(z * sigma + mean)


def _laplace(u: Node, loc: Any, scale: Any) -> Node:
    u = maximum(u, _LEAST)
    return where(ge(u, 0.5), -log(2.0 - u * 2.0), log(u * 2.0)) * scale + loc


def _logistic(u: Node, loc: Any, scale: Any) -> Node:
    u = maximum(u, _LEAST)
    return log(u / (1.0 - u)) * scale + loc


def _gumbel(u: Node, loc: Any, scale: Any) -> Node:
    return loc - log(-log1p(-maximum(u, _LEAST))) * scale


def _rayleigh(u: Node, scale: Any) -> Node:
    return sqrt(log1p(-u) * -2.0) * scale


def _weibull(u: Node, a: Any) -> Node:
    return pow(-log1p(-u), 1.0 / a)


def _pareto(u: Node, a: Any) -> Node:
    return expm1(-log1p(-u) / a)


def _power(u: Node, a: Any) -> Node:
    return pow(u, 1.0 / a)


def _cauchy(u: Node) -> Node:
    return tan((u - 0.5) * math.pi)


def _triangular(u: Node, left: Any, mode: Any, right: Any) -> Node:
    width, rise = right - left, mode - left
    below = lt(u * width, rise)
    return where(below, left + sqrt(u * width * rise), right - sqrt((1.0 - u) * width * (right - mode)))


def _geometric(u: Node, p: Any) -> Node:
    certain = eq(p, 1.0)
    tries = log1p(-u) / log1p(-where(certain, 0.5, p))
    whole = build.cast(tries, dtype=dt.int64)
    up = whole + build.cast(gt(tries, build.cast(whole, dtype=dt.float64)), dtype=dt.int64)
    return where(certain, 1, maximum(up, 1))


def _operation(rule: Callable[..., Node]) -> Operation:
    return Operation(rule.__name__.strip("_"), rule)


_FORMULAS = {
    rule.__name__.strip("_"): _operation(rule)
    for rule in (
        _exponential, _uniform, _normal, _lognormal, _laplace, _logistic, _gumbel, _rayleigh, _weibull, _pareto, _power,
        _cauchy, _triangular, _geometric,
    )
}  # fmt: skip


def _check(name: str, condition: Any, text: str) -> None:
    """Raise a ValueError where a parameter lies outside its range."""
    if not np.all(condition):
        raise ValueError(f"{name}: {text}")


class Generator:
    """A stream of random numbers; made with `default_rng`.

    Parameters
    ----------
    seed : int
        Any integer of up to 64 bits.
    """

    def __init__(self, seed: int) -> None:
        self._stream = streams.Generator(seed)
        self._library: np.random.Generator | None = None

    def __repr__(self) -> str:
        return f"Generator(Philox, seed={self._stream.seed})"

    def _host(self) -> np.random.Generator:
        if self._library is None:
            key = np.array([self._stream.seed, 0x7275656E6F], np.uint64)
            self._library = np.random.Generator(np.random.Philox(key=key))
        return self._library

    @property
    def bit_generator(self) -> streams.Generator:
        """The state: a seed and a counter."""
        return self._stream

    def spawn(self, n_children: int) -> list[Generator]:
        """Return generators of streams that do not overlap with this one."""
        seeds = self._host().integers(0, 2**63, index("spawn", n_children))
        return [Generator(int(seed)) for seed in seeds]

    # --- uniform and normal -------------------------------------------------------------------------------------------

    def _base(self, normal: bool, size: Any, dtype: Any) -> Tensor:
        wanted = dt.as_dtype(dtype)
        if wanted not in (dt.float32, dt.float64):
            raise TypeError(f"random numbers of dtype {wanted}: only float32 and float64 are drawn")
        extents = () if size is None else shape("random", size)
        return (streams.randn if normal else streams.rand)(extents, dtype=wanted, generator=self._stream)

    def _drawn(self, name: str, size: Any, *parameters: Any, normal: bool = False) -> Tensor:
        given = [float(one) if isinstance(one, (int, float, np.number)) else array(one, dt.float64)
                 for one in parameters]  # fmt: skip
        if size is None:
            size = np.broadcast_shapes(*(one.shape for one in given if isinstance(one, Tensor)))
        return _FORMULAS[name].call(self._base(normal, size, dt.float64), *given)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return uniform numbers in [0, 1)."""
        return self._filled("random", False, size, dtype, out)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return normal numbers of mean 0 and variance 1 (Box and Muller 1958)."""
        return self._filled("standard_normal", True, size, dtype, out)

    def _filled(self, name: str, normal: bool, size: Any, dtype: Any, out: Any) -> Any:
        size = out.shape if size is None and out is not None else size
        return finish(self._base(normal, size, dtype), out, name=name)

    def standard_exponential(
        self, size: Any = None, dtype: Any = np.float64, method: str = "inv", out: Any = None
    ) -> Any:
        """Return exponential numbers of mean 1; Differs from NumPy: `method` is always the inverse ("inv")."""
        size = out.shape if size is None and out is not None else size
        drawn = _FORMULAS["exponential"].call(self._base(False, size, dtype), 1.0)
        return finish(drawn, out, name="standard_exponential")

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Tensor:
        """Return uniform numbers in [low, high)."""
        return self._drawn("uniform", size, low, high)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Tensor:
        """Return normal numbers of mean `loc` and standard deviation `scale`."""
        _check("normal", np.asarray(scale) >= 0, "scale < 0")
        return self._drawn("normal", size, loc, scale, normal=True)

    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None) -> Tensor:
        """Return numbers whose logarithm is normal."""
        _check("lognormal", np.asarray(sigma) >= 0, "sigma < 0")
        return self._drawn("lognormal", size, mean, sigma, normal=True)

    # --- by the inverse of the distribution function ------------------------------------------------------------------

    def exponential(self, scale: Any = 1.0, size: Any = None) -> Tensor:
        """Return exponential numbers of mean `scale`."""
        _check("exponential", np.asarray(scale) >= 0, "scale < 0")
        return self._drawn("exponential", size, scale)

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Tensor:
        """Return numbers of Laplace's double exponential distribution."""
        _check("laplace", np.asarray(scale) >= 0, "scale < 0")
        return self._drawn("laplace", size, loc, scale)

    def logistic(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Tensor:
        """Return numbers of the logistic distribution."""
        _check("logistic", np.asarray(scale) >= 0, "scale < 0")
        return self._drawn("logistic", size, loc, scale)

    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Tensor:
        """Return numbers of Gumbel's distribution of extremes."""
        _check("gumbel", np.asarray(scale) >= 0, "scale < 0")
        return self._drawn("gumbel", size, loc, scale)

    def rayleigh(self, scale: Any = 1.0, size: Any = None) -> Tensor:
        """Return numbers of Rayleigh's distribution."""
        _check("rayleigh", np.asarray(scale) >= 0, "scale < 0")
        return self._drawn("rayleigh", size, scale)

    def weibull(self, a: Any, size: Any = None) -> Tensor:
        """Return numbers of Weibull's distribution with shape `a`."""
        _check("weibull", np.asarray(a) > 0, "a <= 0")
        return self._drawn("weibull", size, a)

    def pareto(self, a: Any, size: Any = None) -> Tensor:
        """Return numbers of Lomax's distribution (Pareto II) with shape `a`."""
        _check("pareto", np.asarray(a) > 0, "a <= 0")
        return self._drawn("pareto", size, a)

    def power(self, a: Any, size: Any = None) -> Tensor:
        """Return numbers in [0, 1] with the density a x^(a - 1)."""
        _check("power", np.asarray(a) > 0, "a <= 0")
        return self._drawn("power", size, a)

    def standard_cauchy(self, size: Any = None) -> Tensor:
        """Return numbers of Cauchy's distribution."""
        return self._drawn("cauchy", size)

    def triangular(self, left: Any, mode: Any, right: Any, size: Any = None) -> Tensor:
        """Return numbers of the triangular distribution from `left` to `right` with its top at `mode`."""
        low, top, high = (np.asarray(one) for one in (left, mode, right))
        _check("triangular", (low <= top) & (top <= high) & (low < high), "left <= mode <= right does not hold")
        return self._drawn("triangular", size, left, mode, right)

    def geometric(self, p: Any, size: Any = None) -> Tensor:
        """Return how many trials of probability `p` it takes to succeed, as int64."""
        _check("geometric", (np.asarray(p) > 0) & (np.asarray(p) <= 1), "p <= 0, p > 1 or p contains NaNs")
        return self._drawn("geometric", size, p)

    # --- integers, choices, orders ------------------------------------------------------------------------------------

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Tensor:
        """Return integers in [low, high), with `high` as `endpoint` says; in [0, low) without `high`."""
        plain = isinstance(low, (int, np.integer)) and (high is None or isinstance(high, (int, np.integer)))
        start, stop = (0, low) if high is None else (low, high)
        if plain and 0 < stop + endpoint - start <= 2**32 and dt.as_dtype(dtype) == dt.int64:
            extents = () if size is None else shape("integers", size)
            return streams.randint(int(start), int(stop) + endpoint, extents, generator=self._stream)
        first, last = (one if one is None or isinstance(one, int) else host(one, "integers") for one in (low, high))
        drawer: Any = self._host()
        return adopt(drawer.integers(first, last, size, dt.as_dtype(dtype), endpoint))

    def bytes(self, length: int) -> bytes:
        """Return random bytes."""
        return self._host().bytes(length)

    def choice(
        self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0, shuffle: bool = True
    ) -> Tensor:
        """Return random elements along an axis of an array, or of range(a), with or without putting them back."""
        whole = isinstance(a, (int, np.integer))
        values = None if whole else array(a)
        if values is not None and values.ndim == 0:
            raise ValueError("choice: a must be a sequence or an integer, not an array of shape ()")
        count = int(a) if values is None else values.shape[axis]
        weights = None if p is None else host(p, "choice")
        places = adopt(self._host().choice(count, size, replace, weights, shuffle=shuffle))
        return places if values is None else _taken(values, places, axis)

    def permutation(self, x: Any, axis: int = 0) -> Tensor:
        """Return an array in random order along an axis, or range(x) in random order."""
        if isinstance(x, (int, np.integer)):
            return adopt(self._host().permutation(int(x)))
        values = array(x)
        return _taken(values, adopt(self._host().permutation(values.shape[axis])), axis)

    def permuted(self, x: Any, *, axis: int | None = None, out: Any = None) -> Any:
        """Return an array whose elements along an axis are in random order, in each row another."""
        values = array(x)
        if axis is None:
            order = adopt(self._host().permutation(values.size))
            return finish(_taken(values.reshape(-1), order, 0).reshape(values.shape), out, name="permuted")
        order = adopt(self._host().random(values.shape).argsort(axis=axis))
        return finish(operations["gather"].call(values, order, axis=axis), out, name="permuted")

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Bring an array into random order along an axis, in place."""
        if isinstance(x, list):
            self._host().shuffle(x)
        else:
            x[...] = self.permutation(x, axis)


def _taken(values: Tensor, places: Tensor, axis: int) -> Tensor:
    return values[(slice(None),) * (axis % values.ndim) + (places,)]


#: Distributions that NumPy draws.
_OF_NUMPY = (
    "beta", "binomial", "chisquare", "dirichlet", "f", "gamma", "hypergeometric", "logseries", "multinomial",
    "multivariate_hypergeometric", "multivariate_normal", "negative_binomial", "noncentral_chisquare", "noncentral_f",
    "poisson", "standard_gamma", "standard_t", "vonmises", "wald", "zipf",
)  # fmt: skip


def _of_numpy(name: str) -> Callable[..., Any]:
    original = getattr(np.random.Generator, name)

    def method(self: Generator, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        given = [host(one, name) if isinstance(one, Tensor) else one for one in args]
        named = {key: host(one, name) if isinstance(one, Tensor) else one for key, one in kwargs.items()}
        return finish(adopt(getattr(self._host(), name)(*given, **named)), out, name=name)

    method.__name__, method.__qualname__ = name, f"Generator.{name}"
    method.__doc__ = f"Draw from the distribution of `numpy.random.Generator.{name}`, by NumPy, on the CPU."
    # NumPy's compiled methods carry no signature that `inspect` reads; the first line of their docstring has it.
    with contextlib.suppress(ValueError):
        method.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return method


for _name in _OF_NUMPY:
    setattr(Generator, _name, _of_numpy(_name))


def default_rng(seed: Any = None) -> Generator:
    """Return a generator.

    Parameters
    ----------
    seed : int, sequence of int, numpy.random.SeedSequence or Generator, optional
        Without one, the operating system's entropy is used; a Generator is returned as it is.
    """
    if isinstance(seed, Generator):
        return seed
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return Generator(int(sequence.generate_state(1, np.uint64)[0]))


# --- the functions of the global generator ----------------------------------------------------------------------------

_global = default_rng()


def seed(seed: Any = None) -> None:
    """Start the global generator's stream of a seed."""
    global _global
    _global = default_rng(seed)


def rand(*shape: int) -> Tensor:
    """Return uniform numbers in [0, 1) of a shape."""
    return _global.random(shape)


def randn(*shape: int) -> Tensor:
    """Return normal numbers of mean 0 and variance 1 of a shape."""
    return _global.standard_normal(shape)


def randint(low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Tensor:
    """Return integers in [low, high), or in [0, low) without `high`."""
    return _global.integers(low, high, size, dtype)


def random_sample(size: Any = None) -> Tensor:
    """Return uniform numbers in [0, 1)."""
    return _global.random(size)


ranf = sample = random_sample


def _function(name: str) -> Callable[..., Any]:
    method = getattr(Generator, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(_global, name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = method.__doc__
    parameters = list(inspect.signature(method).parameters.values())[1:]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


_FUNCTIONS = (
    *("beta", "binomial", "bytes", "chisquare", "choice", "dirichlet", "exponential", "f", "gamma", "geometric"),
    *(
        "gumbel",
        "hypergeometric",
        "laplace",
        "logistic",
        "lognormal",
        "logseries",
        "multinomial",
        "multivariate_normal",
    ),
    *("negative_binomial", "noncentral_chisquare", "noncentral_f", "normal", "pareto", "permutation", "poisson"),
    *("power", "random", "rayleigh", "shuffle", "standard_cauchy", "standard_exponential", "standard_gamma"),
    *("standard_normal", "standard_t", "triangular", "uniform", "vonmises", "wald", "weibull", "zipf"),
)
for _name in _FUNCTIONS:
    globals()[_name] = _function(_name)

__all__ = ["Generator", "default_rng", "rand", "randint", "randn", "random_sample", "ranf", "sample", "seed"]
__all__ += list(_FUNCTIONS)
