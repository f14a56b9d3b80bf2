"""How sums of floats are kept accurate: accumulators of a wider type, or pairs that keep what rounding lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueno import dtypes as dt
from trueno.codegen.expr import Expr
from trueno.ir.elementwise import add, mul

if TYPE_CHECKING:
    from trueno.codegen.emit import Printer


class SumEmitter:
    """The part of `StageEmitter` that adds up floats.

    A sum whose dtype is narrower than the printer's wide type takes each element to one wide accumulator, where one
    thread runs the loop. Any other moves on after each run of elements to a compensated sum: a pair of accumulators
    whose exact sum is carried on (TwoSum: Knuth, TAOCP 2, 4.2.2; Ogita, Rump and Oishi 2005).

    Attributes
    ----------
    p : Printer
    serial : bool
        Whether one thread runs a whole task.
    """

    p: Printer
    serial: bool

    def _is_float_sum(self, expr: Expr) -> bool:
        assert expr.op is not None
        return self.p.wide_sums and expr.kind == "reduce" and expr.op.combine is add and dt.is_floating(expr.dtype)

    def _is_widened(self, expr: Expr) -> bool:
        """Whether each element goes to a wide accumulator at once."""
        return self.serial and self._is_float_sum(expr) and expr.dtype.itemsize < self.p.wide.itemsize

    def _is_wide_scan(self, expr: Expr) -> bool:
        """Whether a scan carries a wider type than it stores.

        Running products become subnormal, each of which takes a hundred times as long as a normal number to multiply:
        those of float32 are normal in float64.
        """
        assert expr.op is not None
        narrow = dt.is_floating(expr.dtype) and expr.dtype.itemsize < self.p.wide.itemsize
        return self.serial and narrow and expr.kind == "scan" and expr.op.combine is mul

    def _totals(self, expr: Expr) -> int:
        """Return the number of wide accumulators of a reduction or scan."""
        return 0 if not self._is_float_sum(expr) else 1 if self._is_widened(expr) else 2

    def _widen(self, value: Any, expr: Expr) -> Any:
        return self.p.cast(value, expr.dtype, self.p.wide)

    def _tree(self, values: list[Any], expr: Expr) -> Any:
        """Return the sum of a power of two of values: of pairs, of pairs of pairs, and so on."""
        while len(values) > 1:
            values = [self.p.add(a, b, expr.dtype) for a, b in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    def _add_wide(self, total: tuple[Any, ...], value: Any, at: Any = None) -> None:
        """Add a wide value to a sum."""
        p = self.p
        high = p.get(total[0], at)
        s = p.float_add(high, value)
        if len(total) == 2:
            p.comment("compensated addition")
            back = p.float_sub(s, high)
            error = p.float_add(p.float_sub(high, p.float_sub(s, back)), p.float_sub(value, back))
            p.set(total[1], p.float_add(p.get(total[1], at), error), at)
        p.set(total[0], s, at)

    def _total(self, total: tuple[Any, ...], expr: Expr, at: Any = None) -> Any:
        """Return the sum in the expression's dtype."""
        p = self.p
        value = p.get(total[0], at)
        if len(total) == 2:
            # An infinite sum has left NaN as the error.
            value = p.float_add(value, p.finite_or_zero(p.get(total[1], at)))
        return p.cast(value, p.wide, expr.dtype)
