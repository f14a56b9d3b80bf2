"""The Python array API standard 2025.12 as written data: names, parameters, kinds of dtypes, promotion, special values.

Everything of 2024.12 is in it; `NEW` names what 2025.12 added. Sources: https://data-apis.org/array-api/2025.12/.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

CONSTANTS = ("e", "inf", "nan", "newaxis", "pi")
NEW = ("broadcast_shapes", "isin", "linalg.eig", "linalg.eigvals")

BOOL = ("bool",)
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
REAL_FLOATING = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
DTYPES = (*BOOL, *SIGNED, *UNSIGNED, *REAL_FLOATING, *COMPLEX)
KINDS = {
    "bool": BOOL,
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": SIGNED + UNSIGNED,
    "real floating": REAL_FLOATING,
    "complex floating": COMPLEX,
    "numeric": SIGNED + UNSIGNED + REAL_FLOATING + COMPLEX,
}


def _words(text: str) -> list[str]:
    return text.split()


_REAL, _FLOATING = SIGNED + UNSIGNED + REAL_FLOATING, REAL_FLOATING + COMPLEX
_NUMERIC, _INTEGRAL = KINDS["numeric"], KINDS["integral"]

#: Elementwise functions of one array: the dtypes that they take and what the result is ("same", "bool" or "real": the
#: dtype of the components).
UNARY = {
    **dict.fromkeys(
        _words("acos acosh asin asinh atan atanh cos cosh exp expm1 log log10 log1p log2 reciprocal sin sinh sqrt tan"),
        (_FLOATING, "same"),
    ),
    "tanh": (_FLOATING, "same"),
    **dict.fromkeys(_words("conj negative positive round sign square"), (_NUMERIC, "same")),
    **dict.fromkeys(_words("ceil floor trunc"), (_REAL, "same")),
    **dict.fromkeys(_words("isfinite isinf isnan"), (_NUMERIC, "bool")),
    **dict.fromkeys(_words("abs real"), (_NUMERIC, "real")),
    "bitwise_invert": (BOOL + _INTEGRAL, "same"),
    "imag": (COMPLEX, "real"),
    "logical_not": (BOOL, "bool"),
    "signbit": (REAL_FLOATING, "bool"),
}  # fmt: skip

#: Elementwise functions of two arrays, in the same way.
BINARY = {
    **dict.fromkeys(_words("add multiply subtract pow"), (_NUMERIC, "same")),
    **dict.fromkeys(_words("atan2 copysign hypot logaddexp nextafter"), (REAL_FLOATING, "same")),
    **dict.fromkeys(_words("bitwise_and bitwise_or bitwise_xor"), (BOOL + _INTEGRAL, "same")),
    **dict.fromkeys(_words("bitwise_left_shift bitwise_right_shift"), (_INTEGRAL, "same")),
    **dict.fromkeys(_words("floor_divide maximum minimum remainder"), (_REAL, "same")),
    **dict.fromkeys(_words("greater greater_equal less less_equal"), (_REAL, "bool")),
    **dict.fromkeys(_words("logical_and logical_or logical_xor"), (BOOL, "bool")),
    **dict.fromkeys(_words("equal not_equal"), (DTYPES, "bool")),
    "divide": (_FLOATING, "same"),
}

#: All other functions, with their parameters.
FUNCTIONS = """
all(x, /, *, axis=None, keepdims=False)
any(x, /, *, axis=None, keepdims=False)
arange(start, /, stop=None, step=1, *, dtype=None, device=None)
argmax(x, /, *, axis=None, keepdims=False)
argmin(x, /, *, axis=None, keepdims=False)
argsort(x, /, *, axis=-1, descending=False, stable=True)
asarray(obj, /, *, dtype=None, device=None, copy=None)
astype(x, dtype, /, *, copy=True, device=None)
broadcast_arrays(*arrays)
broadcast_shapes(*shapes)
broadcast_to(x, /, shape)
can_cast(from_, to, /)
clip(x, /, min=None, max=None)
concat(arrays, /, *, axis=0)
count_nonzero(x, /, *, axis=None, keepdims=False)
cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
empty(shape, *, dtype=None, device=None)
empty_like(x, /, *, dtype=None, device=None)
expand_dims(x, /, axis)
eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
finfo(type, /)
flip(x, /, *, axis=None)
from_dlpack(x, /, *, device=None, copy=None)
full(shape, fill_value, *, dtype=None, device=None)
full_like(x, /, fill_value, *, dtype=None, device=None)
iinfo(type, /)
isdtype(dtype, kind)
isin(x1, x2, /, *, invert=False)
linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
matmul(x1, x2, /)
matrix_transpose(x, /)
max(x, /, *, axis=None, keepdims=False)
mean(x, /, *, axis=None, keepdims=False)
meshgrid(*arrays, indexing='xy')
min(x, /, *, axis=None, keepdims=False)
moveaxis(x, source, destination, /)
nonzero(x, /)
ones(shape, *, dtype=None, device=None)
ones_like(x, /, *, dtype=None, device=None)
permute_dims(x, /, axes)
prod(x, /, *, axis=None, dtype=None, keepdims=False)
repeat(x, repeats, /, *, axis=None)
reshape(x, /, shape, *, copy=None)
result_type(*arrays_and_dtypes)
roll(x, /, shift, *, axis=None)
searchsorted(x1, x2, /, *, side='left', sorter=None)
sort(x, /, *, axis=-1, descending=False, stable=True)
squeeze(x, /, axis)
stack(arrays, /, *, axis=0)
std(x, /, *, axis=None, correction=0.0, keepdims=False)
sum(x, /, *, axis=None, dtype=None, keepdims=False)
take(x, indices, /, *, axis=None)
take_along_axis(x, indices, /, *, axis=-1)
tensordot(x1, x2, /, *, axes=2)
tile(x, repetitions, /)
tril(x, /, *, k=0)
triu(x, /, *, k=0)
unique_all(x, /)
unique_counts(x, /)
unique_inverse(x, /)
unique_values(x, /)
unstack(x, /, *, axis=0)
var(x, /, *, axis=None, correction=0.0, keepdims=False)
vecdot(x1, x2, /, *, axis=-1)
where(condition, x1, x2, /)
zeros(shape, *, dtype=None, device=None)
zeros_like(x, /, *, dtype=None, device=None)
linalg.cholesky(x, /, *, upper=False)
linalg.cross(x1, x2, /, *, axis=-1)
linalg.det(x, /)
linalg.diagonal(x, /, *, offset=0)
linalg.eig(x, /)
linalg.eigh(x, /)
linalg.eigvals(x, /)
linalg.eigvalsh(x, /)
linalg.inv(x, /)
linalg.matmul(x1, x2, /)
linalg.matrix_norm(x, /, *, keepdims=False, ord='fro')
linalg.matrix_power(x, n, /)
linalg.matrix_rank(x, /, *, rtol=None)
linalg.matrix_transpose(x, /)
linalg.outer(x1, x2, /)
linalg.pinv(x, /, *, rtol=None)
linalg.qr(x, /, *, mode='reduced')
linalg.slogdet(x, /)
linalg.solve(x1, x2, /)
linalg.svd(x, /, *, full_matrices=True)
linalg.svdvals(x, /)
linalg.tensordot(x1, x2, /, *, axes=2)
linalg.trace(x, /, *, offset=0, dtype=None)
linalg.vecdot(x1, x2, /, *, axis=-1)
linalg.vector_norm(x, /, *, axis=None, keepdims=False, ord=2)
fft.fft(x, /, *, n=None, axis=-1, norm='backward')
fft.fftfreq(n, /, *, d=1.0, dtype=None, device=None)
fft.fftn(x, /, *, s=None, axes=None, norm='backward')
fft.fftshift(x, /, *, axes=None)
fft.hfft(x, /, *, n=None, axis=-1, norm='backward')
fft.ifft(x, /, *, n=None, axis=-1, norm='backward')
fft.ifftn(x, /, *, s=None, axes=None, norm='backward')
fft.ifftshift(x, /, *, axes=None)
fft.ihfft(x, /, *, n=None, axis=-1, norm='backward')
fft.irfft(x, /, *, n=None, axis=-1, norm='backward')
fft.irfftn(x, /, *, s=None, axes=None, norm='backward')
fft.rfft(x, /, *, n=None, axis=-1, norm='backward')
fft.rfftfreq(n, /, *, d=1.0, dtype=None, device=None)
fft.rfftn(x, /, *, s=None, axes=None, norm='backward')
"""

ATTRIBUTES = ("dtype", "device", "mT", "ndim", "shape", "size", "T")
METHODS = (
    *(f"__{name}__" for name in _words("abs invert neg pos array_namespace bool complex dlpack dlpack_device float")),
    *(f"__{name}__" for name in _words("getitem index int setitem eq ge gt le lt ne")),
    *(f"__{form}{name}__" for form in ("", "i", "r")
      for name in _words("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift")),
    "to_device",
)  # fmt: skip
INSPECTION = ("capabilities", "default_device", "default_dtypes", "devices", "dtypes")

#: Functions whose result has named parts.
NAMED = {
    "unique_all": ("values", "indices", "inverse_indices", "counts"),
    "unique_counts": ("values", "counts"),
    "unique_inverse": ("values", "inverse_indices"),
    "linalg.eig": ("eigenvalues", "eigenvectors"),
    "linalg.eigh": ("eigenvalues", "eigenvectors"),
    "linalg.qr": ("Q", "R"),
    "linalg.slogdet": ("sign", "logabsdet"),
    "linalg.svd": ("U", "S", "Vh"),
}

#: Special values of real floating-point functions, from the notes of each function: arguments -> result.
SPECIAL = """
abs: nan -> nan, -0. -> 0., inf -> inf, -inf -> inf
acos: nan -> nan, 2. -> nan, -2. -> nan, 1. -> 0.
acosh: nan -> nan, .5 -> nan, 1. -> 0., inf -> inf
asin: nan -> nan, 2. -> nan, -2. -> nan, 0. -> 0., -0. -> -0.
asinh: nan -> nan, 0. -> 0., -0. -> -0., inf -> inf, -inf -> -inf
atan: nan -> nan, 0. -> 0., -0. -> -0., inf -> pi/2, -inf -> -pi/2
atanh: nan -> nan, -2. -> nan, 2. -> nan, -1. -> -inf, 1. -> inf, 0. -> 0., -0. -> -0.
ceil: inf -> inf, -inf -> -inf, 0. -> 0., -0. -> -0., nan -> nan, -.5 -> -0.
cos: nan -> nan, 0. -> 1., -0. -> 1., inf -> nan, -inf -> nan
cosh: nan -> nan, 0. -> 1., -0. -> 1., inf -> inf, -inf -> inf
exp: nan -> nan, 0. -> 1., -0. -> 1., inf -> inf, -inf -> 0.
expm1: nan -> nan, 0. -> 0., -0. -> -0., inf -> inf, -inf -> -1.
floor: inf -> inf, -inf -> -inf, 0. -> 0., -0. -> -0., nan -> nan
isfinite: inf -> False, -inf -> False, nan -> False, 1. -> True
isinf: inf -> True, -inf -> True, nan -> False
isnan: nan -> True, inf -> False
log: nan -> nan, -1. -> nan, 0. -> -inf, -0. -> -inf, 1. -> 0., inf -> inf
log10: nan -> nan, -1. -> nan, 0. -> -inf, -0. -> -inf, 1. -> 0., inf -> inf
log1p: nan -> nan, -2. -> nan, -1. -> -inf, 0. -> 0., -0. -> -0., inf -> inf
log2: nan -> nan, -1. -> nan, 0. -> -inf, -0. -> -inf, 1. -> 0., inf -> inf
reciprocal: nan -> nan, inf -> 0., -inf -> -0., 0. -> inf, -0. -> -inf
round: inf -> inf, -inf -> -inf, 0. -> 0., -0. -> -0., nan -> nan, .5 -> 0., 1.5 -> 2., 2.5 -> 2., -.5 -> -0.
sign: -1. -> -1., 0. -> 0., -0. -> 0., 1. -> 1., nan -> nan, inf -> 1.
signbit: 0. -> False, -0. -> True, inf -> False, -inf -> True, 1. -> False, -1. -> True
sin: nan -> nan, 0. -> 0., -0. -> -0., inf -> nan, -inf -> nan
sinh: nan -> nan, 0. -> 0., -0. -> -0., inf -> inf, -inf -> -inf
sqrt: nan -> nan, -1. -> nan, 0. -> 0., -0. -> -0., inf -> inf
square: nan -> nan, inf -> inf, -inf -> inf, -0. -> 0.
tan: nan -> nan, 0. -> 0., -0. -> -0., inf -> nan, -inf -> nan
tanh: nan -> nan, 0. -> 0., -0. -> -0., inf -> 1., -inf -> -1.
trunc: inf -> inf, -inf -> -inf, 0. -> 0., -0. -> -0., nan -> nan, -.5 -> -0.
add: nan 1. -> nan, inf -inf -> nan, -inf inf -> nan, inf inf -> inf, -inf -inf -> -inf, inf 1. -> inf, 1. inf -> inf
add: -0. -0. -> -0., -0. 0. -> 0., 0. -0. -> 0., 0. 0. -> 0., 1. -1. -> 0., -0. 2. -> 2.
subtract: nan 1. -> nan, inf inf -> nan, -0. 0. -> -0., 0. 0. -> 0., 1. inf -> -inf
multiply: nan 1. -> nan, inf 0. -> nan, -inf -0. -> nan, inf -inf -> -inf, inf 2. -> inf, -2. 0. -> -0., -0. -3. -> 0.
divide: nan 1. -> nan, 1. nan -> nan, inf inf -> nan, inf -inf -> nan, 0. 0. -> nan, -0. 0. -> nan, 1. 0. -> inf
divide: 1. -0. -> -inf, -1. 0. -> -inf, -1. -0. -> inf, 0. 2. -> 0., 0. -2. -> -0., -0. 2. -> -0., inf 2. -> inf
divide: inf -2. -> -inf, 2. inf -> 0., 2. -inf -> -0., -2. inf -> -0., -2. -inf -> 0.
atan2: nan 1. -> nan, 1. nan -> nan, 1. 0. -> pi/2, 1. -0. -> pi/2, 0. 1. -> 0., 0. 0. -> 0., 0. -0. -> pi, 0. -1. -> pi
atan2: -0. 1. -> -0., -0. 0. -> -0., -0. -0. -> -pi, -0. -1. -> -pi, -1. 0. -> -pi/2, 1. inf -> 0., 1. -inf -> pi
atan2: -1. inf -> -0., -1. -inf -> -pi, inf 1. -> pi/2, -inf 1. -> -pi/2, inf inf -> pi/4, inf -inf -> 3*pi/4
atan2: -inf inf -> -pi/4, -inf -inf -> -3*pi/4
copysign: 1. -0. -> -1., -1. 0. -> 1., 1. 2. -> 1., inf -1. -> -inf, nan 1. -> nan
floor_divide: nan 1. -> nan, inf inf -> nan, 0. 0. -> nan, 0. 2. -> 0., 0. -2. -> -0., -0. 2. -> -0., 2. inf -> 0.
floor_divide: -2. inf -> -1., 2. -inf -> -1., 1. 0. -> inf, -1. 0. -> -inf
hypot: inf nan -> inf, nan -inf -> inf, nan 1. -> nan, 1. nan -> nan, 0. 0. -> 0.
logaddexp: nan 1. -> nan, 1. nan -> nan, inf 1. -> inf, 1. inf -> inf, -inf -inf -> -inf, inf -inf -> inf
maximum: nan 1. -> nan, 1. nan -> nan, inf 1. -> inf
minimum: nan 1. -> nan, 1. nan -> nan, -inf 1. -> -inf
nextafter: nan 1. -> nan, 1. nan -> nan, 1. 1. -> 1., -0. 0. -> 0., 0. -0. -> -0.
pow: 2. 0. -> 1., nan 0. -> 1., nan -0. -> 1., 1. nan -> 1., nan 1. -> nan, 2. inf -> inf, .5 inf -> 0., 2. -inf -> 0.
pow: 1. inf -> 1., 1. -inf -> 1., -1. inf -> 1., .5 -inf -> inf, inf 1. -> inf, inf -1. -> 0., -inf 3. -> -inf
pow: -inf 2. -> inf, -inf -3. -> -0., -inf -2. -> 0., 0. 1. -> 0., 0. -1. -> inf, -0. 3. -> -0., -0. 2. -> 0.
pow: -0. -3. -> -inf, -0. -2. -> inf, -2. .5 -> nan
remainder: nan 1. -> nan, inf inf -> nan, inf 1. -> nan, 0. 0. -> nan, 1. 0. -> nan, 0. 2. -> 0., -0. 2. -> 0.
remainder: 0. -2. -> -0., -0. -2. -> -0., 1. inf -> 1., -1. inf -> inf, 1. -inf -> -inf, -1. -inf -> -1.
equal: nan nan -> False, inf inf -> True, -0. 0. -> True
not_equal: nan nan -> True, inf inf -> False, -0. 0. -> False
less: nan 1. -> False, 1. nan -> False, -0. 0. -> False, -inf inf -> True
less_equal: nan 1. -> False, 0. -0. -> True
greater: nan 1. -> False, inf 1. -> True
greater_equal: nan nan -> False, -0. 0. -> True
"""

#: The same for complex numbers, where the note leaves neither sign nor part open.
COMPLEX_SPECIAL = """
exp: 0+0j -> 1+0j, complex(-inf, 0) -> 0, complex(inf, 0) -> complex(inf, 0), complex(nan, 0) -> complex(nan, 0)
exp: complex(1, inf) -> complex(nan, nan), complex(1, nan) -> complex(nan, nan), complex(nan, 1) -> complex(nan, nan)
expm1: complex(-inf, nan) -> complex(-1, 0), complex(inf, inf) -> complex(inf, nan)
expm1: 0j -> 0j, complex(inf, 0) -> complex(inf, 0), complex(-inf, 0) -> -1+0j, complex(nan, 0) -> complex(nan, 0)
log: complex(-0., 0) -> complex(-inf, pi), 0j -> complex(-inf, 0), complex(1, inf) -> complex(inf, pi/2)
log: complex(-inf, 1) -> complex(inf, pi), complex(inf, 1) -> complex(inf, 0), complex(inf, nan) -> complex(inf, nan)
log: complex(-inf, inf) -> complex(inf, 3*pi/4), complex(nan, inf) -> complex(inf, nan)
log: complex(nan, 1) -> complex(nan, nan)
sqrt: 0j -> 0j, complex(-0., 0) -> 0j, complex(1, inf) -> complex(inf, inf), complex(-inf, 1) -> complex(0, inf)
sqrt: complex(inf, 1) -> complex(inf, 0), complex(nan, 1) -> complex(nan, nan), complex(nan, nan) -> complex(nan, nan)
sinh: 0j -> 0j, complex(inf, 0) -> complex(inf, 0), complex(1, inf) -> complex(nan, nan)
sinh: complex(nan, 0) -> complex(nan, 0)
cosh: 0j -> 1+0j, complex(inf, 0) -> complex(inf, 0), complex(1, inf) -> complex(nan, nan)
tanh: complex(0, inf) -> complex(0, nan), complex(0, nan) -> complex(0, nan), complex(nan, 0) -> complex(nan, 0)
tanh: 0j -> 0j, complex(inf, 1) -> 1+0j, complex(inf, inf) -> 1+0j, complex(inf, nan) -> 1+0j
tanh: complex(1, nan) -> complex(nan, nan)
asinh: 0j -> 0j, complex(1, inf) -> complex(inf, pi/2), complex(inf, 1) -> complex(inf, 0)
asinh: complex(inf, inf) -> complex(inf, pi/4)
asinh: complex(1, nan) -> complex(nan, nan), complex(inf, nan) -> complex(inf, nan), complex(nan, 0) -> complex(nan, 0)
acosh: 0j -> complex(0, pi/2), complex(1, inf) -> complex(inf, pi/2), complex(-inf, 1) -> complex(inf, pi)
acosh: complex(inf, inf) -> complex(inf, pi/4), complex(inf, nan) -> complex(inf, nan)
acosh: complex(1, nan) -> complex(nan, nan)
acos: 0j -> complex(pi/2, -0.), complex(1, inf) -> complex(pi/2, -inf), complex(inf, 1) -> complex(0, -inf)
acos: complex(-inf, inf) -> complex(3*pi/4, -inf), complex(1, nan) -> complex(nan, nan)
acos: complex(nan, inf) -> complex(nan, -inf)
atanh: 0j -> 0j, complex(0, nan) -> complex(0, nan), complex(1, 0) -> complex(inf, 0)
atanh: complex(1, inf) -> complex(0, pi/2)
atanh: complex(inf, 1) -> complex(0, pi/2), complex(inf, inf) -> complex(0, pi/2), complex(1, nan) -> complex(nan, nan)
abs: complex(inf, nan) -> inf, complex(nan, -inf) -> inf, complex(nan, 1) -> nan, complex(3, 4) -> 5.
sign: 0j -> 0j, complex(3, 4) -> complex(.6, .8), complex(nan, 1) -> complex(nan, nan)
isfinite: complex(1, 1) -> True, complex(inf, 1) -> False, complex(nan, 1) -> False, complex(1, -inf) -> False
isinf: complex(nan, inf) -> True, complex(-inf, nan) -> True, complex(nan, 1) -> False
isnan: complex(nan, 1) -> True, complex(1, nan) -> True, complex(inf, 1) -> False
"""


def functions() -> Iterator[tuple[str, inspect.Signature]]:
    """Yield the name and the signature of each function, elementwise ones too."""
    texts = [f"{name}(x, /)" for name in UNARY] + [f"{name}(x1, x2, /)" for name in BINARY]
    for line in (*texts, *FUNCTIONS.split("\n")):
        if line:
            name, _, parameters = line.partition("(")
            scope: dict = {}
            exec(f"def function({parameters}: ...", scope)
            yield name, inspect.signature(scope["function"])


def promoted(first: str, second: str) -> str | None:
    """Return the dtype in which two meet by the standard's tables; None where it leaves it open."""
    for kind in (BOOL, SIGNED, UNSIGNED, REAL_FLOATING, COMPLEX):
        if first in kind and second in kind:
            return max(first, second, key=kind.index)
    if first in COMPLEX + REAL_FLOATING and second in COMPLEX + REAL_FLOATING:
        small = {"float32", "complex64"}
        return "complex64" if first in small and second in small else "complex128"
    signed, unsigned = (first, second) if first in SIGNED else (second, first)
    if signed in SIGNED and unsigned in UNSIGNED[:3]:
        return SIGNED[max(SIGNED.index(signed), UNSIGNED.index(unsigned) + 1)]
    return None


def special(text: str) -> Iterator[tuple[str, list[tuple[tuple[str, ...], str]]]]:
    """Yield the name of each line's function and its cases: texts of arguments and of the result."""
    for line in text.strip().split("\n"):
        name, _, cases = line.partition(": ")
        # Commas within parentheses belong to a number.
        parts = [one.replace(";", ",") for one in _outer_commas(cases).split(",")]
        pairs = [part.strip().split(" -> ") for part in parts]
        yield name, [(tuple(_arguments(given)), result) for given, result in pairs]


def _arguments(text: str) -> list[str]:
    return [text] if "(" in text else text.split()


def _outer_commas(text: str) -> str:
    depth, out = 0, []
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        out.append(";" if letter == "," and depth else letter)
    return "".join(out)
