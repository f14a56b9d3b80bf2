"""Functions recorded from several rows. Each is one kernel when called, and its gradient is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trueno import dtypes as dt
from trueno.ir import build, promotion
from trueno.ir.build import cast, expand, normalise_axes
from trueno.ir.elementwise import (
    abs,
    clip,
    eq,
    ge,
    gt,
    imag,
    isnan,
    like,
    logical_or,
    maximum,
    minimum,
    ne,
    neg,
    real,
    sqrt,
    square,
    where,
)
from trueno.ir.elementwise import relu as relu_row
from trueno.ir.node import Node
from trueno.ir.reductions import drop_axes, first, max, min, reduced_axes, sum
from trueno.ir.transcendental import exp, expm1, log, log1p, normal_cdf, pow, tanh

# --- statistics -------------------------------------------------------------------------------------------------------


def _floating(x: Any, name: str) -> tuple[Node, Any]:
    """Return the operand in the dtype it is averaged in (halves in float32), and the dtype of the result."""
    node = x if isinstance(x, Node) else build.as_node(x, promotion.common((build.given_type(x),)))
    result = promotion.averaged(name, (node.dtype,))[0]
    return cast(node, dtype=dt.accumulator(result)), result


def squared_size(x: Node) -> Node:
    """Return the squares of the distances from 0."""
    return square(real(x)) + square(imag(x)) if dt.is_complex(x.dtype) else square(x)


def _count(x: Node, axes: tuple[int, ...]) -> int:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count


def _finish(value: Node, axes: tuple[int, ...], keepdims: bool, dtype: Any) -> Node:
    return cast(value if keepdims else drop_axes(value, axes), dtype=dtype)


def mean(x: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Node:
    """Arithmetic mean over axes; float32 at least while summing, integers are averaged in float64."""
    x, result = _floating(x if dtype is None else cast(x, dtype=dtype), "mean")
    axes = normalise_axes("mean", axis, x.ndim, x.shape)
    total = sum(x, axis=axes, keepdims=True)
    return _finish(total / build.param(_count(x, axes), x.dtype), axes, keepdims, result)


def _centred_squares(x: Node, axes: tuple[int, ...]) -> Node:
    centre = sum(x, axis=axes, keepdims=True) / build.param(_count(x, axes), x.dtype)
    return sum(squared_size(x - centre), axis=axes, keepdims=True)


def var(x: Any, axis: Any = None, *, ddof: float = 0, correction: Any = None, keepdims: bool = False) -> Node:
    """Variance over axes, divided by N - ddof (PyTorch's `correction` is the same number)."""
    x, result = _floating(x, "var")
    axes = normalise_axes("var", axis, x.ndim, x.shape)
    less = ddof if correction is None else correction
    freedom = build.param(build_max(_count(x, axes) - less, 0), x.dtype)
    return _finish(_centred_squares(x, axes) / freedom, axes, keepdims, dt.real_of(result))


def build_max(a: float, b: float) -> float:
    """Return the larger of two Python numbers (`max` here is the reduction)."""
    return a if a > b else b


def std(x: Any, axis: Any = None, *, ddof: float = 0, correction: Any = None, keepdims: bool = False) -> Node:
    """Standard deviation over axes: the square root of `var`."""
    x, result = _floating(x, "std")
    axis = normalise_axes("std", axis, x.ndim, x.shape)
    return cast(sqrt(var(x, axis, ddof=ddof, correction=correction, keepdims=keepdims)), dtype=dt.real_of(result))


def logsumexp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Node:
    """log(sum(exp(x))) over axes, without overflow."""
    x, result = _floating(x, "logsumexp")
    axes = normalise_axes("logsumexp", axis, x.ndim, x.shape)
    if _count(x, axes) == 0:
        return _finish(log(sum(x, axis=axes, keepdims=True)), axes, keepdims, result)
    top = max(x, axis=axes, keepdims=True)
    # Rows whose maximum is infinite are shifted by 0, so that inf - inf does not make NaN.
    top = stop_gradient(where(eq(abs(top), math.inf), like(top, 0), top))
    total = log(sum(exp(x - top), axis=axes, keepdims=True)) + top
    return _finish(total, axes, keepdims, result)


def norm(x: Any, ord: Any = 2, axis: Any = None, *, keepdims: bool = False) -> Node:
    """Vector norm over axes: ord 1, 2, inf, -inf, 0 (number of non-zeros) or any p > 0. All axes by default."""
    x, result = _floating(x, "norm")
    axes = normalise_axes("norm", axis, x.ndim, x.shape)
    size, result = abs(x), dt.real_of(result)
    if ord in (math.inf, -math.inf):
        value = (max if ord > 0 else min)(size, axis=axes, keepdims=True)
    elif ord == 0:
        value = sum(cast(ne(x, like(x, 0)), dtype=size.dtype), axis=axes, keepdims=True)
    elif ord == 1:
        value = sum(size, axis=axes, keepdims=True)
    elif ord == 2:
        value = _flat_at_zero(sqrt, sum(squared_size(x), axis=axes, keepdims=True))
    else:
        powers = _flat_at_zero(lambda one: pow(one, like(one, ord)), size) if ord < 1 else pow(size, like(size, ord))
        value = _flat_at_zero(lambda total: pow(total, 1.0 / ord), sum(powers, axis=axes, keepdims=True))
    return _finish(value, axes, keepdims, result)


def _flat_at_zero(function: Callable[[Node], Node], x: Node) -> Node:
    """Return a function of x with a gradient of 0 at 0, where its own is infinite: the norm of zeros has none."""
    zero = eq(x, like(x, 0))
    return where(zero, function(like(x, 0)), function(where(zero, like(x, 1), x)))


def count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Node:
    """Number of elements that differ from zero, as int64."""
    axes = reduced_axes("count_nonzero", axis, x)
    return sum(cast(cast(x, dtype=dt.bool_), dtype=dt.int64), axis=axes, keepdims=keepdims)


def _arg(x: Node, axis: Any, keepdims: bool, name: str, extreme: Any) -> Node:
    original = x.ndim
    if axis is None or (not original and axis in (0, -1)):
        x, axis = build.reshape(x, shape=(x.size,)), 0
    (axis,) = normalise_axes(name, axis, x.ndim, x.shape)
    if x.shape[axis] == 0:
        raise ValueError(f"attempt to get {name} of an empty sequence, shape {x.shape}")
    x = cast(x, dtype=dt.accumulator(x.dtype))
    best = expand(extreme(x, axis=axis, keepdims=True), shape=x.shape)
    chosen = eq(x, best)
    if dt.is_inexact(x.dtype):
        # A NaN is the extreme, and the first one counts, as in NumPy.
        chosen = logical_or(chosen, isnan(x))
    index = build.iota(x.shape, axis)
    last = expand(build.param(x.shape[axis], dt.int64), shape=x.shape)
    found = first(where(chosen, index, last), axis=axis, keepdims=True)
    if keepdims:
        return found if found.ndim == original else build.reshape(found, shape=(1,) * original)
    return drop_axes(found, (axis,))


def argmax(x: Any, axis: Any = None, *, keepdims: bool = False) -> Node:
    """Index of the first largest element along an axis (over the flattened array when None); NaN is largest."""
    return _arg(x, axis, keepdims, "argmax", max)


def argmin(x: Any, axis: Any = None, *, keepdims: bool = False) -> Node:
    """Index of the first smallest element along an axis (over the flattened array when None); NaN is smallest."""
    return _arg(x, axis, keepdims, "argmin", min)


def stop_gradient(x: Any) -> Node:
    """The values, as a constant of the differentiation."""
    return STOP(x)


# --- activations ------------------------------------------------------------------------------------------------------


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Node:
    """x where positive, else negative_slope * x."""
    return where(gt(x, 0), x, x * negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Node:
    """x where positive, else alpha * (exp(x) - 1) (Clevert et al. 2015)."""
    return where(gt(x, 0), x, expm1(minimum(x, 0)) * alpha)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(x: Any) -> Node:
    """Self-normalising elu (Klambauer et al. 2017)."""
    return where(gt(x, 0), x, expm1(minimum(x, 0)) * SELU_ALPHA) * SELU_SCALE


def sigmoid(x: Any) -> Node:
    """1 / (1 + exp(-x))."""
    x, result = _activation(x)
    return cast(1.0 / (exp(neg(x)) + 1.0), dtype=result)


def _activation(x: Any) -> tuple[Node, Any]:
    """Return the operand in the dtype that an activation computes in, and the result's dtype."""
    node = x if isinstance(x, Node) else build.as_node(x, promotion.common((build.given_type(x),)))
    result = promotion.floating("activation", (node.dtype,))[0]
    return cast(node, dtype=dt.accumulator(result)), result


def silu(x: Any) -> Node:
    """x * sigmoid(x), also called swish (Hendrycks & Gimpel 2016, Ramachandran et al. 2017)."""
    x, result = _activation(x)
    return cast(x / (exp(neg(x)) + 1.0), dtype=result)


def gelu(x: Any, *, approximate: str = "none") -> Node:
    """x * Phi(x) with the normal distribution's Phi, or with ``approximate="tanh"`` (Hendrycks & Gimpel 2016)."""
    x, result = _activation(x)
    if approximate == "tanh":
        inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
        value = x * 0.5 * (tanh(inner) + 1.0)
    elif approximate == "none":
        value = x * normal_cdf(x)
    else:
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return cast(value, dtype=result)


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x exceeds the threshold."""
    x, result = _activation(x)
    scaled = x * beta
    large = gt(scaled, threshold)
    return cast(where(large, x, log1p(exp(where(large, like(x, 0), scaled))) / beta), dtype=result)


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Node:
    """x limited to [min_val, max_val]."""
    return clip(x, min_val, max_val)


def hardsigmoid(x: Any) -> Node:
    """clip(x / 6 + 1/2, 0, 1)."""
    return clip(x / 6.0 + 0.5, 0.0, 1.0)


def hardswish(x: Any) -> Node:
    """x * hardsigmoid(x) (Howard et al. 2019)."""
    return x * hardsigmoid(x)


def mish(x: Any) -> Node:
    """x * tanh(softplus(x)) (Misra 2019)."""
    x, result = _activation(x)
    return cast(x * tanh(softplus(x)), dtype=result)


def softmax(x: Any, axis: Any = -1, *, dtype: Any = None) -> Node:
    """exp(x) scaled to sum to 1 along axes."""
    x, result = _activation(x if dtype is None else cast(x, dtype=dtype))
    axes = normalise_axes("softmax", axis, x.ndim, x.shape)
    if _count(x, axes) == 0:
        return cast(x, dtype=result)
    e = exp(x - stop_gradient(max(x, axis=axes, keepdims=True)))
    return cast(e / sum(e, axis=axes, keepdims=True), dtype=result)


def log_softmax(x: Any, axis: Any = -1, *, dtype: Any = None) -> Node:
    """Logarithm of softmax, without its cancellation."""
    x, result = _activation(x if dtype is None else cast(x, dtype=dtype))
    axes = normalise_axes("log_softmax", axis, x.ndim, x.shape)
    if _count(x, axes) == 0:
        return cast(x, dtype=result)
    shifted = x - stop_gradient(max(x, axis=axes, keepdims=True))
    return cast(shifted - log(sum(exp(shifted), axis=axes, keepdims=True)), dtype=result)


# The identity whose gradient is none: a row, so that the differentiation sees it.
from trueno.ir.elementwise import elementwise  # noqa: E402

STOP = elementwise(
    "stop_gradient", 1, result=promotion.promote, ref=lambda x: x, domain=(-4, 4), llvm=lambda x: x, opencl=lambda x: x,
    public=False, doc="The values, as a constant of the differentiation.",
)  # fmt: skip

COMPOSITES = (
    mean, var, std, logsumexp, norm, count_nonzero, argmax, argmin, leaky_relu, elu, selu, sigmoid, silu, gelu,
    softplus, hardtanh, hardsigmoid, hardswish, mish, softmax, log_softmax, stop_gradient,
)  # fmt: skip
__all__ = ["COMPOSITES", "ge", "maximum", "relu_row"]
