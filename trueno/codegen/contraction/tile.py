"""The register tile: how many rows and columns stay in registers, and the arithmetic of one step along K."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueno import dtypes as dt
from trueno.codegen.choices import current
from trueno.codegen.expr import Expr
from trueno.codegen.target import Target


class Tile(NamedTuple):
    """A register tile.

    Attributes
    ----------
    kind : str
        ``fma``, ``mul add`` (two roundings, or integers), ``pairs`` (16-bit pairs into 32-bit sums, VPMADDWD),
        ``vnni pairs`` (VPDPWSSD), ``vnni quads`` (bytes, VPDPBUSD); in tiles of AMX ``amx bf16`` (TDPBF16PS), and
        ``amx ss``, ``amx su``, ``amx us``, ``amx uu`` (bytes of rows and columns with a sign or without, TDPBSSD, ...).
    packed : numpy.dtype
        Of the factors in panels.
    sum : numpy.dtype
        Of the accumulators.
    group : int
        Consecutive elements along K that one lane takes in one step.
    lanes : int
        Accumulators of one vector.
    rows, vectors : int
        Rows of the tile, and vectors in a row.
    masks : bool
        Whether loads and stores of part of a vector cost no more than whole ones (AVX-512).
    dots : bool
        Whether lanes are positions along K instead of columns; `vectors` is the number of columns then.
    """

    kind: str
    packed: np.dtype
    sum: np.dtype
    group: int
    lanes: int
    rows: int
    vectors: int
    masks: bool = False
    dots: bool = False

    @property
    def columns(self) -> int:
        """Columns of the tile."""
        return self.vectors if self.dots else self.lanes * self.vectors

    @property
    def amx(self) -> bool:
        """Whether accumulators are AMX's tiles of 16 rows, not vectors."""
        return self.kind.startswith("amx")

    @property
    def strip(self) -> int:
        """Columns of the buffer that a row of tiles is computed in."""
        return AMX_STRIP if self.amx else STRIP

    @property
    def narrow_columns(self) -> int:
        """Columns of the tile that may take the place of the last one in a row, half as wide."""
        return self.vectors // 2 * self.lanes


#: Columns of the buffer that a row of tiles is computed in; with 12 rows of float32 it takes a third of 48 KB.
STRIP = 256
#: Tiles by vector registers: rows and vectors in a row, and the share of the peak that one reaches in cache.
_TILES = {
    32: (
        (6, 4, 1.0),
        (12, 2, 0.97),
        (10, 2, 0.92),
        (8, 2, 0.88),
        (4, 4, 0.85),
        (4, 2, 0.65),
        (2, 4, 0.5),
        (1, 8, 0.3),
        (16, 1, 0.85),
        (12, 1, 0.5),
        (1, 1, 0.05),
    ),
    16: ((6, 2, 1.0), (4, 2, 0.85), (2, 4, 0.7), (1, 8, 0.4), (6, 1, 0.5), (1, 1, 0.05)),
}
_SCALAR = ((4, 2, 1.0), (1, 4, 0.5))
#: The same of AMX's eight tiles of 16 rows of 64 bytes, four of which are sums; each other one is loaded for two of
#: those, or for one and a half.
_AMX = ((32, 2, 1.0), (16, 4, 0.8), (64, 1, 0.8), (16, 2, 0.6), (32, 1, 0.6), (16, 1, 0.4))
#: Bytes along K of a row of a tile.
AMX_ROW = 64
AMX_STRIP = 256
#: Groups along K of a block where sums are AMX's tiles: the rows of two tiles stay in the first-level cache.
AMX_BLOCK = 256


def amx_kind(total: np.dtype, a: Expr, b: Expr, target: Target) -> str | None:
    """Return the kind of AMX's products that sums of products of a and b in `total` are made of, or None."""
    if target.multiplies_bfloat16 and total == dt.float32 and all(_widened(one) for one in (a, b)):
        return "amx bf16"
    bytes_ = total.kind in "iu" and total.itemsize <= 4 and all(_narrowest(one).itemsize == 1 for one in (a, b))
    if not (bytes_ and target.has_tiles and target.has("amx-int8")):
        return None
    return "amx " + "".join("s" if _narrowest(one).kind == "i" else "u" for one in (a, b))


def _widened(expr: Expr) -> bool:
    """Whether an expression is a value of bfloat16."""
    return expr.kind == "op" and expr.op is not None and expr.op.name == "cast" and expr.src[0].dtype == dt.bfloat16


def k_block(dtype: np.dtype) -> int:
    """Return the steps along K after which sums of a dtype pass through memory, at most.

    Shorter sums are more accurate, longer ones faster: the result passes through the caches once a block. The block
    of the columns that a task keeps is to take less than half of a second-level cache.
    """
    return 384 if dtype.itemsize <= 4 else 256


def vector_bytes(target: Target) -> int:
    """Return the width of the target's vectors; 0 where code is to stay scalar."""
    if not target.vectorise:
        return 0
    return 64 if target.has("avx512f") else 32 if target.has("avx2") else 16


def _register_count(target: Target) -> int:
    return 32 if target.has("avx512f") or target.has("neon") else 16


def arithmetic(total: np.dtype, a: Expr, b: Expr, target: Target) -> tuple[str, np.dtype, np.dtype, int]:
    """Return kind, packed dtype, dtype of the sums and group for a sum in `total` of products of a and b.

    Sums of integers are taken modulo 2^32 or 2^64 and then narrowed, which gives the same as wrapping each time.
    """
    amx = amx_kind(total, a, b, target)
    if amx is not None:
        packed, sums = (dt.bfloat16, dt.float32) if dt.is_floating(total) else (dt.int8, dt.int32)
        return amx, packed, sums, 4 // packed.itemsize
    if dt.is_floating(total):
        # bfloat16 too: VDPBF16PS has a quarter of the rate of FMA where it was measured (docs/performance.md).
        fused = target.has("fma") or target.has("neon")
        return "fma" if fused else "mul add", total, total, 1
    narrow = total.itemsize <= 2 or all(_fits_int16(one) for one in (a, b))
    if total.itemsize == 8 or not narrow or not target.vectorise:
        wide = dt.int64 if total.itemsize == 8 else dt.int32
        return "mul add", wide, wide, 1
    vnni = target.has("avx512vnni") and target.has("avx512f")
    if vnni and total.itemsize == 1:
        return "vnni quads", dt.int8, dt.int32, 4
    if not (target.has("sse2") or target.has("avx2") or target.cpu.startswith("x86")):
        return "mul add", dt.int32, dt.int32, 1
    return "vnni pairs" if vnni else "pairs", dt.int16, dt.int32, 2


def _narrowest(expr: Expr) -> np.dtype:
    """Return the dtype of an expression before integer casts that keep its value."""
    while (
        expr.kind == "op" and expr.op is not None and expr.op.name == "cast" and _keeps(expr.src[0].dtype, expr.dtype)
    ):
        expr = expr.src[0]
    return expr.dtype


def _keeps(source: np.dtype, target: np.dtype) -> bool:
    return source.kind in "biu" and target.kind in "iu" and np.can_cast(source, target, "safe")


def _fits_int16(expr: Expr) -> bool:
    dtype = _narrowest(expr)
    return dtype.kind in "biu" and np.can_cast(dtype, dt.int16, "safe")


def stripped(expr: Expr, tile: Tile) -> Expr:
    """Return the expression without casts that packing makes superfluous."""
    if tile.group == 1:
        return expr
    if tile.packed == dt.bfloat16:
        return expr.src[0]
    while (
        expr.kind == "op" and expr.op is not None and expr.op.name == "cast" and _keeps(expr.src[0].dtype, expr.dtype)
    ):
        expr = expr.src[0]
    return expr


def choose(total: np.dtype, a: Expr, b: Expr, m: int, n: int, target: Target) -> Tile:
    """Return the tile for a sum in `total` over products of `a` (rows) and `b` (columns).

    The candidates compete by the share of the peak that they would reach: the tile's own, less what the padding of the
    last row and column of tiles wastes.
    """
    kind, packed, sums, group = arithmetic(total, a, b, target)
    width = vector_bytes(target)
    lanes = max(width // sums.itemsize, 1)
    amx = kind.startswith("amx")
    candidates = _AMX if amx else _TILES[_register_count(target)] if width else _SCALAR
    strip = AMX_STRIP if amx else STRIP
    if width and current().product_rows and not amx:
        candidates = ((current().product_rows, 2, 1.0), *candidates[1:])

    def score(candidate: tuple[int, int, float]) -> float:
        rows, vectors, share = candidate
        return share * _filled(rows, vectors * lanes, vectors // 2 * lanes, m, n, strip)

    rows, vectors, _ = max(candidates, key=score)
    return Tile(kind, packed, sums, group, lanes, rows, vectors, target.vectorise and target.has("avx512f"))


#: Rows and columns of a tile of inner products, and the share of the peak that it was measured to reach: lanes of short
#: sums are added up often, and a row of tiles reads the columns from the second-level cache.
_INNER_ROWS, _INNER_COLUMNS, _INNER_SHARE = 6, 4, 0.75


def inner_products(tile: Tile) -> Tile:
    """Return the tile of inner products with the arithmetic of another tile."""
    return tile._replace(rows=_INNER_ROWS, vectors=_INNER_COLUMNS, dots=True)


def reached(one: Tile, m: int, n: int) -> float:
    """Return the share of the peak that a tile reaches at so many rows and columns."""
    if one.dots:
        return _INNER_SHARE * _filled(one.rows, one.columns, one.columns, m, n)
    return _filled(one.rows, one.columns, one.narrow_columns, m, n)


def _filled(rows: int, columns: int, narrow: int, m: int, n: int, strip: int = STRIP) -> float:
    """Return the share of tiles' elements that are the result's, if a last tile may be narrow."""
    # A single tile that is narrow has half the accumulators, and panels with gaps.
    last = narrow if columns < n <= strip and 0 < n % columns <= narrow else columns
    return m * n / (-(-m // rows) * rows * ((n - 1) // columns * columns + last))
