"""The specification of the IR, as a check: `verify` refuses a kernel that breaks a rule.

Every kernel
    is acyclic; its dtypes are supported ones and its shapes tuples of extents >= 0; rows have as many operands as their
    arity says.
Leaves
    have no operands and, except `input` and `iota`, the shape (). An `input` or `scalar` of the graph is one of the
    kernel's inputs: same operand index, and for arrays the same dtype and shape. An index is an array or a number, not
    both. A weak scalar (a Python number that has met no array) is nobody's operand.
Elementwise rows
    take operands of the result's shape, and of the dtypes that the row's `result` rule gives; `where` and
    `unlikely` take a bool and two operands of the result's dtype.
Half types
    are moved, stored and cast, never computed with; a matrix product or convolution reads them and gives float32.
Reductions and scans
    keep the dtype; a reduction's axes are sorted, distinct, in range, and stay with extent 1.
Views, assembling, gather, scatter, contraction
    keep the dtype and give the shape that follows from operands and arguments; slices lie within their source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from trueno import dtypes as dt
from trueno.ir import promotion
from trueno.ir.build import CONST, INPUT, IOTA, PARAM, SCALAR
from trueno.ir.convolution import Geometry, result_extents
from trueno.ir.node import Kernel, Node, topological
from trueno.ir.op import registry
from trueno.ir.windows import Slide, interleaved_bounds, windowed_shape

#: Elementwise rows that move values without computing with them.
MOVES = frozenset({"cast", "bitcast", "where", "unlikely", "positive", "stop_gradient"})

Bounds = Sequence[tuple[int, int, int]]


class IRError(ValueError):
    """A kernel breaks a rule of the IR; the text names the kernel, the node and the rule."""


_enabled = False


def enable(on: bool = True) -> None:
    """Check every kernel after it is recorded and after each pass, from now on; TRUENO_DEBUG=ir does that too."""
    global _enabled
    _enabled = on


def checked(kernel: Kernel, after: str) -> Kernel:
    """Return the kernel, verified where that is enabled."""
    return verify(kernel, after) if _enabled else kernel


def _rule(holds: bool, text: str) -> None:
    if not holds:
        raise IRError(text)


def verify(kernel: Kernel, after: str = "") -> Kernel:
    """Check a kernel against the rules of the IR and return it.

    Parameters
    ----------
    kernel : Kernel
    after : str
        The pass that made the kernel, for the text of the error.

    Raises
    ------
    IRError
        For the first rule that is broken.
    """
    node: Node | None = None
    try:
        places: dict[int, int] = {}
        for node in topological(kernel.outputs):
            _rule(all(id(source) in places for source in node.src), "the graph is acyclic")
            places[id(node)] = len(places)
            _check_node(node)
        node = None
        _check_inputs(kernel)
    except IRError as error:
        made = f" after {after}" if after else ""
        asked = f", asked for at {kernel.origin}" if kernel.origin else ""
        at = "" if node is None else f", node {node!r} of {list(node.src)}"
        raise IRError(f"kernel {kernel.name}{made}{asked}{at}: rule broken: {error}") from None
    return kernel


def _check_node(node: Node) -> None:
    _rule(registry.get(node.op.name) is node.op, "every op is a row of the op table")
    _rule(node.dtype in dt.ALL, "the dtype is a supported one")
    _rule(
        isinstance(node.shape, tuple) and all(type(n) is int and n >= 0 for n in node.shape),
        "the shape is a tuple of extents >= 0",
    )
    arity = node.op.arity
    _rule(
        len(node.src) == arity if arity >= 0 else len(node.src) > 0, f"{node.op.name} takes {arity} operands (-1: any)"
    )
    for source in node.src:
        _rule(not (source.op is SCALAR and isinstance(source.arg, tuple)), "a weak scalar is nobody's operand")
    _CHECKS[node.op.kind](node)


def _axis(axis: object, ndim: int) -> None:
    _rule(isinstance(axis, int) and 0 <= axis < ndim, f"the axis is one of the {ndim} axes, counted from 0")


def _same_dtype(node: Node) -> None:
    _rule(all(source.dtype == node.dtype for source in node.src), "operands and result have one dtype")


def _no_half(node: Node) -> None:
    dtypes = (node.dtype, *(source.dtype for source in node.src))
    _rule(not any(dtype in dt.HALF for dtype in dtypes), "half types are not computed with")


# --- leaves -----------------------------------------------------------------------------------------------------------


def _check_leaf(node: Node) -> None:
    if node.op is IOTA:
        _axis(node.arg, node.ndim)
        _rule(node.dtype.kind in "iu", "an iota holds integers")
    elif node.op is INPUT:
        _rule(type(node.arg) is int and node.arg >= 0, "an input's argument is the index of an operand")
    else:
        _rule(node.shape == (), "a number has the shape ()")
        _check_number(node)


def _check_number(node: Node) -> None:
    if node.op is SCALAR:
        index, kind = node.arg if isinstance(node.arg, tuple) else (node.arg, None)
        _rule(type(index) is int and index >= 0, "a scalar's argument is the index of an operand")
        weak = {bool: dt.bool_, int: dt.int64, float: dt.float64}
        _rule(kind is None or weak.get(kind) == node.dtype, "a weak scalar has the dtype of its Python type")
        return
    _rule(node.op in (CONST, PARAM), "a leaf is an input, a scalar, a param, a const or an iota")
    wanted: type = float if dt.is_floating(node.dtype) else bool if node.dtype == dt.bool_ else int
    _rule(
        type(node.arg) is wanted or (node.op is PARAM and type(node.arg) is int),
        f"a literal of dtype {node.dtype} is a Python {wanted.__name__}",
    )
    if wanted is int:
        info = np.iinfo(node.dtype)
        _rule(info.min <= node.arg <= info.max, f"an integer literal fits {node.dtype}")


def _check_inputs(kernel: Kernel) -> None:
    arrays: dict[int, Node] = {}
    scalars: set[int] = set()
    for leaf in kernel.inputs:
        _rule(leaf.op in (INPUT, SCALAR), "the kernel's inputs are input and scalar leaves")
        if leaf.op is INPUT:
            _rule(leaf.arg not in arrays, f"array operand {leaf.arg} is listed once")
            arrays[leaf.arg] = leaf
        else:
            scalars.add(_index(leaf))
    _rule(not scalars & arrays.keys(), "an operand is an array or a number, not both")
    for leaf in topological(kernel.outputs):
        if leaf.op is INPUT:
            known = arrays.get(leaf.arg)
            _rule(known is not None, f"array operand {leaf.arg} is one of the kernel's inputs")
            assert known is not None
            _rule(
                (known.dtype, known.shape) == (leaf.dtype, leaf.shape),
                f"array operand {leaf.arg} has one dtype and shape, not {known!r} and {leaf!r}",
            )
        elif leaf.op is SCALAR:
            _rule(_index(leaf) in scalars, f"scalar operand {_index(leaf)} is one of the kernel's inputs")


def _index(leaf: Node) -> int:
    return leaf.arg[0] if isinstance(leaf.arg, tuple) else leaf.arg


# --- computing rows ---------------------------------------------------------------------------------------------------


def _check_elementwise(node: Node) -> None:
    _rule(all(source.shape == node.shape for source in node.src), "operands of an elementwise row have its shape")
    given = tuple(source.dtype for source in node.src)
    if node.op.name not in MOVES:
        _no_half(node)
    match node.op.name:
        case "cast":
            _rule(node.arg == node.dtype, "a cast's argument is its dtype")
        case "bitcast":
            _rule(node.arg == node.dtype, "a bitcast's argument is its dtype")
            _rule(given[0].itemsize == node.dtype.itemsize, "a bitcast keeps the number of bits")
        case "lookup":
            _rule(given[0].kind in "iu", "a table is looked up by integers")
            _rule(node.dtype.kind == "f", "a table holds floats")
            _rule(given[0].itemsize == node.dtype.itemsize, "a table's floats are as wide as its index")
            _rule(len(node.arg).bit_count() == 1, "the length of a table is a power of two")
        case "where" | "unlikely" as name:
            _rule(given == (dt.bool_, node.dtype, node.dtype), f"{name} takes a bool and two operands of its dtype")
        case "positive" | "stop_gradient":
            _same_dtype(node)
        case name:
            assert node.op.result is not None
            try:
                wanted, result = node.op.result(name, given)
            except TypeError as error:
                raise IRError(f"the operands' dtypes are ones the row takes: {error}") from None
            _rule(all(one == wanted for one in given), f"the operands of {name} have the dtype {wanted}")
            _rule(node.dtype == result, f"the result of {name} for {wanted} has the dtype {result}")


def _check_reduction(node: Node) -> None:
    (source,) = node.src
    axes = node.arg
    _rule(isinstance(axes, tuple) and len(axes) > 0, "a reduction's argument is a tuple of axes")
    for axis in axes:
        _axis(axis, source.ndim)
    _rule(sorted(set(axes)) == list(axes), "axes are sorted and distinct")
    _rule(
        node.shape == tuple(1 if k in axes else n for k, n in enumerate(source.shape)),
        "reduced axes stay with extent 1, the others as they are",
    )
    _same_dtype(node)
    _no_half(node)
    if node.op.result is promotion.truth:
        _rule(node.dtype == dt.bool_, f"{node.op.name} reduces bool")


def _check_scan(node: Node) -> None:
    _axis(node.arg, node.ndim)
    _rule(node.src[0].shape == node.shape, "a scan keeps the shape")
    _same_dtype(node)
    _no_half(node)


def _check_contraction(node: Node) -> None:
    a, b = node.src
    _rule(a.dtype == b.dtype, "the factors have one dtype")
    _rule(node.dtype == dt.accumulator(a.dtype), "a product has its accumulator's dtype")
    if node.op.name == "convolution":
        _check_convolution(node)
        return
    _rule(a.ndim == b.ndim >= 2 and a.shape[:-2] == b.shape[:-2], "the factors are matrices of one batch shape")
    _rule(a.shape[-1] == b.shape[-2], "the inner extents are equal")
    _rule(node.shape == (*a.shape[:-1], b.shape[-1]), "the product's shape is (*batch, rows, columns)")


def _check_convolution(node: Node) -> None:
    x, w = node.src
    geometry = Geometry(*node.arg)
    _rule(x.ndim == w.ndim == node.ndim >= 3, "input, weights and result have the same axes, at least one spatial one")
    _rule(all(len(one) == x.ndim - 2 for one in geometry[:4]), "the geometry has one entry for each spatial axis")
    _rule(x.shape[1] == geometry.groups * w.shape[1], "the groups share the channels out")
    _rule(w.shape[0] % geometry.groups == 0, "the groups share the results out")
    spatial = result_extents(x.shape[2:], w.shape[2:], geometry)
    _rule(node.shape == (x.shape[0], w.shape[0], *spatial), "the result's shape is (batch, results, *spatial)")


# --- rows that move elements ------------------------------------------------------------------------------------------


def _within(bounds: Bounds, shape: tuple[int, ...]) -> None:
    for (start, step, size), extent in zip(bounds, shape, strict=True):
        last = start + step * (size - 1)
        _rule(
            size == 0 or (0 <= start < extent and 0 <= last < extent),
            f"the slice (start {start}, step {step}, size {size}) lies within the extent {extent}",
        )
        _rule(size < 2 or step != 0, "a slice's step is not 0")


def _check_bounds(bounds: object, whole: tuple[int, ...], part: tuple[int, ...]) -> None:
    _rule(isinstance(bounds, tuple) and len(bounds) == len(whole), "there are bounds for each axis")
    assert isinstance(bounds, tuple)
    _rule(part == tuple(size for _, _, size in bounds), "the part's shape is the sizes of the bounds")
    _within(bounds, whole)


def _check_view(node: Node) -> None:
    (source,) = node.src
    _same_dtype(node)
    match node.op.name:
        case "expand":
            fits = len(source.shape) == len(node.shape) and all(
                a in (1, b) for a, b in zip(source.shape, node.shape, strict=True)
            )
            _rule(fits, "an expand keeps the number of axes, and the extents that are not 1")
        case "reshape":
            _rule(math.prod(source.shape) == math.prod(node.shape), "a reshape keeps the number of elements")
        case "permute":
            _rule(sorted(node.arg) == list(range(source.ndim)), "a permute's argument holds each axis once")
            _rule(node.shape == tuple(source.shape[axis] for axis in node.arg), "a permute's extents follow its axes")
        case "window":
            _check_slides(node.arg, source.shape, node.shape)
        case "diagonal":
            first, second = node.arg
            _axis(first, source.ndim)
            _axis(second, source.ndim)
            _rule(first != second and source.shape[first] == source.shape[second], "a diagonal's axes are equally long")
            rest = tuple(n for k, n in enumerate(source.shape) if k not in node.arg)
            _rule(node.shape == (*rest, source.shape[first]), "the diagonal is the last axis")
        case _:
            _check_bounds(node.arg, source.shape, node.shape)


def _check_slides(slides: Sequence[Slide], whole: tuple[int, ...], windows: tuple[int, ...]) -> None:
    for axis, *numbers in slides:
        _axis(axis, len(whole))
        _rule(min(numbers) >= 1, "size, step and dilation of a window are positive")
    _rule(windows == windowed_shape(whole, slides), "windows have their positions, then their own axes")


def _check_assemble(node: Node) -> None:
    if node.op.name == "picked":
        best, x, place = node.src
        _rule(best.dtype == x.dtype == node.dtype and place.dtype.kind in "iu", "places are integers")
        _rule(best.shape == place.shape == node.shape, "each element has its place")
        several = node.shape[node.arg[-1]] != 1
        kept = [node.shape[k] if several and k in node.arg else n for k, n in enumerate(_reduced(x.shape, node.arg))]
        _rule(list(node.shape) == kept, "the axes stay with extent 1, or with that of the places")
        _rule(not several or len(node.arg) == 1, "several places are along a single axis")
        return
    _same_dtype(node)
    if node.op.name == "fold":
        _check_slides(node.arg, node.shape, node.src[0].shape)
        _no_half(node)
        return
    if node.op.name == "interleave":
        wanted = list(interleaved_bounds(node.shape, node.arg))
        _rule(len(wanted) == len(node.src), "there is a piece for each first position")
        for source, bounds in zip(node.src, wanted, strict=True):
            _check_bounds(bounds, node.shape, source.shape)
        return
    if node.op.name == "place":
        _check_bounds(node.arg, node.shape, node.src[0].shape)
        return
    _axis(node.arg, node.ndim)
    for source in node.src:
        _rule(_apart_from(source.shape, node.arg) == _apart_from(node.shape, node.arg), "pieces differ along one axis")
    _rule(
        node.shape[node.arg] == sum(source.shape[node.arg] for source in node.src),
        "the pieces' extents add up to the result's",
    )


def _reduced(shape: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


def _apart_from(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (len(shape), *shape[:axis], *shape[axis + 1 :])


def _check_gather(node: Node) -> None:
    source, index = node.src
    _axis(node.arg, node.ndim)
    _rule(index.dtype == dt.int64, "indices are int64")
    _rule(index.shape == node.shape, "the indices have the result's shape")
    _rule(_apart_from(source.shape, node.arg) == _apart_from(node.shape, node.arg), "the source differs along one axis")
    _rule(source.dtype == node.dtype, "operands and result have one dtype")


def _check_scatter(node: Node) -> None:
    source, index = node.src
    _axis(node.arg, node.ndim)
    _rule(index.dtype == dt.int64, "indices are int64")
    _rule(index.shape == source.shape, "the indices have the source's shape")
    _rule(_apart_from(source.shape, node.arg) == _apart_from(node.shape, node.arg), "the result differs along one axis")
    _rule(source.dtype == node.dtype, "operands and result have one dtype")
    _no_half(node)


_CHECKS: dict[str, Callable[[Node], None]] = {
    "leaf": _check_leaf, "elementwise": _check_elementwise, "reduction": _check_reduction, "scan": _check_scan,
    "contraction": _check_contraction, "view": _check_view, "assemble": _check_assemble, "gather": _check_gather,
    "scatter": _check_scatter,
}  # fmt: skip
