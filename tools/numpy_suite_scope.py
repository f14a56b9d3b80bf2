"""Which of NumPy's tests `tools.numpy_suite` runs, and what a test that fails may be left out for.

A failure is left out only for something that docs/numpy-migration.md says Trueno does not have: the names on the right
are keys of `trueno.np.absent.FEATURES`, from which that page is written. Tests that pass count, whatever they ask for.
"""

from __future__ import annotations

import re

from trueno.np.absent import FEATURES

#: The modules that test what trueno.np has, by folder of NumPy's.
MODULES = {
    "_core": (
        "einsum", "function_base", "getlimits", "indexerrors", "indexing", "item_selection", "multiarray",
        "nep50_promotions", "numeric", "numerictypes", "scalarmath", "shape_base", "ufunc", "umath", "umath_accuracy",
        "umath_complex", "array_coercion", "array_api_info", "dlpack",
    ),
    "lib": (
        "arraypad", "arraysetops", "function_base", "histograms", "index_tricks", "nanfunctions", "packbits",
        "polynomial", "shape_base", "stride_tricks", "twodim_base", "type_check", "ufunclike", "utils", "io", "loadtxt",
    ),
    "linalg": ("linalg", "regression"),
    "fft": ("helper", "pocketfft"),
}  # fmt: skip
#: Tests that are not run: a pattern of "folder/module.py::Class::test", and why.
NOT_RUN = {r"(?i)large_mem|huge|_4gb|bigmem": "more memory than tests should take"}
#: By what the failure says: the feature that it asks for.
MESSAGES = {
    r"DID NOT WARN|DID NOT RAISE .*FloatingPointError|FloatingPointError not raised": "warnings",
    r"did not raise fpe error": "warnings",
    r"Regex pattern did not match|^AssertionError: \".*\" does not match \"": "texts of errors",
    r"^TypeError: dtype .* is not supported; supported are": "dtypes",
    r"there are no arrays with named fields": "dtypes",
    r"operands of types .*(Decimal|Fraction)": "dtypes",
    r"Unknown flag|WRITEABLE flag|does not own its data": "owners of memory",
    r"unexpected keyword argument 'ndmax'": "arguments",
}
#: By the test: a pattern, and the feature that it asks for.
TESTS = {
    r"test_object_input\[|test_std_values|test_matmul_exception|TestWhere::test_exotic|test_quantile_gh_29003_Fraction|"
    r"test_integer_integer_comparison|PyUFunc_O_O_method|TestSavezLoad::test_(array_object|record|array|mmap)$|"
    r"test_promote_identical_types_metadata|test_array_copy_str|test_unpack_auto_dtype|TestFromTxt::test_usecols|"
    r"test_dtype_identity|TestMatmul::test_result_types|test_bitwise_count\[input_dtype_obj15": "dtypes",
    r"test_array_ufunc_index|test_ufunc_override|TestSpecialMethods::test_wrap|test_out_subok|test_axis_insertion_ma|"
    r"test_pandas_duck|test_missing_with_tabs": "subclasses and protocols",
    r"TestSeterr|TestFloatExceptions|TestNonarrayArgs::test_(mean|std|var)|test_tol_warnings|test_log2_special|"
    r"MeanVarStd::test_(ddof_too_big|empty)|TestUfunc::test_sum$|TestUfunc::test_broadcast$": "warnings",
    r"TestFlags::|test_einsum_views|TestFromBuffer::test_array_base|TestArrayCreationCopyArgument::test_(compatible_cast|"
    r"order_mismatch)|TestClip::test_(clip_complex|simple_int|clip_with_out)|TestResize::|TestSizeOf::|"
    r"test_for_reference_leak|test_load_refcount": "owners of memory",
    r"test_round_copies|test_memory_layout_persistence|test_block_memory_order|test_array_order_preserve|"
    r"test_output_order": "orders of results",
    r"TestReal::|TestImag::|test_output_ellipsis": "scalars",
    r"test_malloc_fails|TestNewBufferProtocol|TestCTypes::test_ctypes_is_not_available|test_striding_not_ok|"
    r"TestArrayCreationCopyArgument::test_scalars|test_growing_list|test_replace_0d_array": "internals",
    r"TestCross::test_zero_dimension": "texts of errors",
    r"test_einsum_sums_u?int(8|16)$|TestLikeFuncs::test_filled_like": "casts out of range",
}  # fmt: skip


def left_out(name: str, text: str) -> str | None:
    """Return the feature for which a test that failed is left out, by its name and its failure; None for none."""
    for table, subject in ((MESSAGES, text), (TESTS, name)):
        found = next((feature for pattern, feature in table.items() if re.search(pattern, subject)), None)
        if found is not None:
            return found
    return None


_unknown = {*MESSAGES.values(), *TESTS.values()} - set(FEATURES)
if _unknown:
    raise KeyError(f"not in trueno.np.absent.FEATURES, and so in no documentation: {', '.join(sorted(_unknown))}")
