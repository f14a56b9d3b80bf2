"""Memory layouts shared by the generated code and the Python code around it; every field is a 64-bit word."""

from __future__ import annotations

from typing import Final

WORD: Final = 8

MAX_WORDS: Final = 128
"""Most words of a call's key; longer keys take the slow path."""

REFUSED: Final = 1
"""What the native `run` returns where a known call must take the slow path all the same."""

CLASSES: Final = 328
"""Number of size classes: 8 for each doubling from 64 bytes to 2**47."""

LARGE: Final = 1 << 21
"""Blocks of at least this size are mapped pages of their own, on huge pages where the system has them."""

MAX_SUBCLASSES: Final = 32

# First words of the parts of a key. Odd numbers, so that none of them equals the address of an object.
SCALAR_FLOAT: Final = 1
SCALAR_INT: Final = 3
SCALAR_BOOL: Final = 5
ABSENT: Final = 7
STATIC_INT: Final = 9
STATIC_FLOAT: Final = 11
STATIC_TUPLE: Final = 13
STATIC_SLICE: Final = 15

# Offsets in CPython's objects; `selftest` checks what they give.
OB_TYPE: Final = 8
OB_SIZE: Final = 16
CAPSULE_POINTER: Final = 16
#: What a weak reference refers to, or None.
WEAKREF_OBJECT: Final = 16
CAPSULE_CONTEXT: Final = 32
CAPSULE_DESTRUCTOR: Final = 40
SLICE_START: Final = 16

# Offsets in NumPy's arrays and scalars, and flags of arrays.
ARRAY_DATA: Final = 16
ARRAY_NDIM: Final = 24
ARRAY_EXTENTS: Final = 32
ARRAY_STRIDES: Final = 40
ARRAY_DTYPE: Final = 56
ARRAY_FLAGS: Final = 64
SCALAR_VALUE: Final = 16
FLAG_ALIGNED: Final = 0x100
FLAG_WRITEABLE: Final = 0x400

MAX_DIMENSIONS: Final = 60
"""Most axes of an array whose layout native code looks up."""

MAX_SCALAR_TYPES: Final = 32

# How native code writes a Python number into an array: the field `code` of a DESCRIPTION; 0 where it does not.
STORED_FLOAT32: Final = 1
STORED_FLOAT64: Final = 2
STORED_BOOL: Final = 3
STORED_SIGNED: Final = 4
STORED_UNSIGNED: Final = 5


def _offsets(*fields: str | tuple[str, int]) -> dict[str, int]:
    """Offsets in bytes of consecutive fields, each a name or a name and its number of words; "size" is the total."""
    table, at = {}, 0
    for entry in fields:
        name, words = entry if isinstance(entry, tuple) else (entry, 1)
        table[name] = at
        at += words * WORD
    table["size"] = at
    return table


STATE: Final = _offsets(
    "grad_enabled", "threads",  # threads: address of the cell of runtime/threads.py: thread count, team
    "tensor_type", "version_type",
    "float_type", "int_type", "bool_type", "none", "tuple_type", "slice_type", "capsule_type",
    "tuple_items",  # offset of a tuple's items
    "storage", "layout", "autograd", "version",  # offsets of the Tensor's slots
    "next_version", "written", "counter",  # offsets of a version's slots (runtime/inplace)
    "subclass_count", ("subclasses", MAX_SUBCLASSES),
    "array_type", "new_array", "set_base",  # numpy.ndarray, and functions of NumPy's C API
    "describe", "description", "bytes_items",  # Python function, offset of the Layout's slot, offset of bytes' items
    "arrays",  # address of a FUNCTION whose table has the layouts of arrays
    "learn_result", "make_team",  # functions that make the layout of a result, and the team of threads
    "place_dtype", "place_layout",  # the dtype of places in arrays, and its 0-d layout
    "ellipsis", "assign", "changed",  # functions that write into a tensor, and that note that it was written to
    "scalar_count", ("scalars", 2 * MAX_SCALAR_TYPES),  # a NumPy scalar type and the layout of its values, each
    "limit", "active", "cached", "peak", "allocations", "reuses",
    ("free", CLASSES),  # heads of the lists of free blocks; a free block's first word is the next one
)  # fmt: skip

DESCRIPTION: Final = _offsets("dtype", "kind", "element", "itemsize", "code", "nbytes", "dense")
"""What native code reads of a Layout, in bytes that the Layout keeps; extents and byte strides follow.

kind: number of axes, and flags of arrays above 32 bits; element: the 0-d layout of this dtype; dense: whether the
elements lie in C order without gaps.
"""

FUNCTION: Final = _offsets("table", "operands", "hits", "misses")
"""What callables of one function share. The table is [mask, records...], open addressing, 0 for a free place."""

CALLABLE: Final = _offsets(("head", 2), "vectorcall", "target", "miss", "owner", "dict")
"""An object of the type trueno.Function; target is the address of a FUNCTION or, for a bound entry, of a RECORD."""

RECORD: Final = _offsets(
    "owner", "hash", "key_words", "key", "kernel", "meta", "parallel", "single", "view", "in_place",
    "after",  # callable that is given result and arguments, or 0
    "arity",  # number of arguments that are read
    "tensor_count",  # how many of the operands are input buffers of the kernel; targets that are none follow
    "operand_count", "operands", "output_count", "outputs", "scratch_count", "scratch", "scalar_count", "scalars",
)  # fmt: skip
"""One entry. The fields operands, outputs, scratch, scalars and key are addresses of arrays."""

OPERAND: Final = _offsets("position", "layout", "low", "high", "target")
"""A tensor among the arguments: its memory is [address + low, address + high); target: it is updated in place."""

OUTPUT: Final = _offsets("layout", "nbytes", "alias")

SCALAR: Final = _offsets("operand", "integer", "low", "high", "bits")

JOB: Final = _offsets(
    "kernel", "count", "chunk", "parts", "next", "failed",  # rows, rows of a part; next: the part that nobody has begun
    "extent", "row", "index", "source", "step", "target",  # step: bytes between the rows that are written
    "places",  # of a mask: where each part begins among what is chosen
)  # fmt: skip
"""Rows that are moved by places or a mask (code_select.py)."""

WIDTHS: Final = (0, 1, 2, 4, 8, 16)
"""Bytes of a row that loops are written for; 0 stands for all others."""

PART_ROWS: Final = 1 << 15
PART_BYTES: Final = 1 << 19
"""A part of a job: rows of up to 16 bytes, or bytes."""

MAX_PARTS: Final = 1024
