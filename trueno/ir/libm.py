"""Rows that call the C library on each element: what the expansions fall back on where they have no formula."""

from __future__ import annotations

import math

import numpy as np

from trueno.ir import expand, promotion
from trueno.ir.elementwise import elementwise, neg, quiet, trunc
from trueno.ir.op import Op

_NUMPY = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "cbrt": np.cbrt, "erf": np.vectorize(math.erf, otypes=["f8"]),
    "erfc": np.vectorize(math.erfc, otypes=["f8"]), "pow": np.power, "atan2": np.arctan2, "hypot": np.hypot,
    "fmod": np.fmod,
}  # fmt: skip
_BINARY = ("pow", "atan2", "hypot", "fmod")

for _name, _function in _NUMPY.items():
    elementwise(
        f"libm_{_name}", 2 if _name in _BINARY else 1, result=promotion.floating,
        ref=quiet(lambda *x, f=_function: f(*x).astype(x[0].dtype)), domain=(0.5, 0.9), public=False,
        llvm={"f": f"libm {_name}"},
        opencl=f"{_name}({{0}}, {{1}})" if _name in _BINARY else f"{_name}({{0}})",
    )  # fmt: skip

fmod: Op = elementwise(
    "fmod", 2, result=promotion.widened, ref=quiet(np.fmod), domain=((-20, 20), (1, 5)),
    llvm=expand.fmod, opencl=expand.fmod_opencl, grad=lambda g, y, a, b: [g, neg(g * trunc(a / b))],
    doc="Remainder with the sign of the first, as C's fmod.",
)  # fmt: skip
