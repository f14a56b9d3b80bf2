"""Names of NumPy's that are not in `trueno.np`, and what to use instead: the text of the AttributeError."""

from __future__ import annotations

_NUMPY = "use numpy's, on numpy.asarray(x)"
_DATES = "dates and times are not supported; use numpy's, or numbers of days or seconds"
_OBJECTS = "text, bytes, objects and records are not supported; use numpy's"
_WIDE = "the widest dtypes are float64 and complex128"
_WARNINGS = "there are no floating-point warnings to set; test with isfinite"
_STREAM = "there is one generator, Philox; use default_rng(seed)"
_MATRIX = "use two-dimensional arrays and @"

#: What no single name stands for, by a short title. Tests of NumPy's own suite that ask for it do not count
#: (tools/numpy_suite_scope.py).
FEATURES: dict[str, str] = {
    "dtypes": "objects (fractions, decimals and integers beyond 64 bits among them), text, dates, structures, metadata "
              "of dtypes and long double; `long` and `longlong` are one dtype, int64",
    "subclasses and protocols": "subclasses of ndarray, masked arrays, and objects that are no arrays but act as "
                                "operands by `__array_ufunc__`, `__array_wrap__`, `__array_priority__`",
    "warnings": "warnings and errors of floating-point states (overflow, division by zero, means of nothing), and "
                "warnings about NumPy's own future",
    "texts of errors": "the types of errors are NumPy's, their texts are Trueno's",
    "owners of memory": "`base`, `flags.owndata`, flags that can be set, `resize` in place and reference counts; "
                        "`shares_memory` tells whether arrays share memory",
    "orders of results": "results are in C order unless `order` or `out` says otherwise, where NumPy keeps the order "
                         "of the operands",
    "scalars": "functions of numbers give arrays without axes, as reductions and full indices do, not NumPy's scalars",
    "casts out of range": "floats out of an integer's range saturate and NaN becomes 0, on every device, where NumPy "
                          "gives what the machine does",
    "arguments": "arguments that the migration page's tables of names say are missing",
    "internals": "NumPy's private names and classes, its C interface, `ctypes` and buffers of foreign formats",
}  # fmt: skip

#: By name, with the namespace in front: "linalg.x", "random.x", "ndarray.x".
ABSENT: dict[str, str] = {
    **dict.fromkeys(
        ("busday_count", "busday_offset", "busdaycalendar", "datetime64", "datetime_as_string", "datetime_data",
         "is_busday", "isnat", "timedelta64"), _DATES,
    ),
    **dict.fromkeys(
        ("bytes_", "character", "flexible", "object_", "recarray", "record", "str_", "void", "ndarray.getfield",
         "ndarray.setfield"), _OBJECTS,
    ),
    **dict.fromkeys(("clongdouble", "complex256", "float128", "longdouble"), _WIDE),
    **dict.fromkeys(("geterrcall", "seterrcall", "getbufsize", "setbufsize"), _WARNINGS),
    **dict.fromkeys(("asmatrix", "bmat", "matrix"), _MATRIX),
    **dict.fromkeys(
        ("random.BitGenerator", "random.MT19937", "random.PCG64", "random.PCG64DXSM", "random.Philox",
         "random.RandomState", "random.SFC64"), _STREAM,
    ),
    **dict.fromkeys(
        ("format_float_positional", "format_float_scientific", "fromregex", "fromstring",
         "get_include", "i0", "info", "packbits", "show_config", "show_runtime", "test", "unpackbits"), _NUMPY,
    ),
    "ScalarType": "use isinstance(x, numbers.Number)",
    "broadcast": "use broadcast_arrays, or broadcast_shapes",
    "flatiter": "use x.flat or ravel",
    "frompyfunc": "use vectorize",
    "nditer": "loop over ndindex(x.shape), or write the loop as operations on arrays",
    "nested_iters": "loop over ndindex(x.shape), or write the loop as operations on arrays",
    "poly1d": "use polyval, polyfit, polyder and their like on arrays of coefficients",
    "require": "use asarray and ascontiguousarray",
    "row_stack": "use vstack",
    "sort_complex": "use sort(x.astype(complex128))",
    "ndarray.base": "use shares_memory to learn whether two arrays share memory",
    "ndarray.byteswap": "arrays are in the machine's byte order; use numpy's",
    "ndarray.data": "use memoryview(x), or data_ptr() for the address",
    "ndarray.dump": "use pickle.dump, or save",
    "ndarray.dumps": "use pickle.dumps",
    "ndarray.resize": "use resize(x, shape), which returns a new array",
    "ndarray.setflags": "whether an array can be written to follows from its memory; use copy()",
    "random.SeedSequence": "use numpy.random.SeedSequence; default_rng takes one",
    "random.get_state": "use default_rng(seed) and keep the generator",
    "random.random_integers": "use randint(low, high + 1)",
    "random.set_state": "use default_rng(seed) and keep the generator",
}  # fmt: skip
