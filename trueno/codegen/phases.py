"""When a stage's expressions can be evaluated, and which value is kept from one walk over a row to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from trueno.codegen.expr import Expr, topological
from trueno.codegen.stage import Loops


def phases(order: Sequence[Expr]) -> dict[int, int]:
    """Return the number of walks over the inner dimensions that must end before each expression can be evaluated.

    `order`: the expressions of a stage, operands first.
    """
    phase: dict[int, int] = {}
    for expr in order:
        below = max((phase[id(source)] for source in expr.src), default=0)
        phase[id(expr)] = below + 1 if expr.kind == "reduce" else below
    return phase


def varying(loops: Loops) -> dict[int, bool]:
    """Return whether each expression changes along the inner dimensions."""
    varies: dict[int, bool] = {}
    for expr in loops.order:
        if expr.kind in ("load", "iota"):
            varies[id(expr)] = any(loops.accesses[loops.numbers[expr.arg]][4])
        elif expr.kind == "reduce":
            varies[id(expr)] = False
        elif expr.kind == "scan":
            varies[id(expr)] = True
        else:
            moving = expr.kind == "gather" and any(loops.accesses[loops.numbers[expr.arg[0]]][4])
            varies[id(expr)] = moving or any(varies[id(source)] for source in expr.src)
    return varies


def _frontier(root: Expr, varies: dict[int, bool], stop: Callable[[Expr], bool]) -> list[Expr] | None:
    """Return the expressions at which walks down from the root stop; None where one reaches an operand in memory."""
    found: dict[int, Expr] = {}
    stack, seen = [root], set()
    while stack:
        expr = stack.pop()
        if id(expr) in seen or not varies[id(expr)]:
            continue
        seen.add(id(expr))
        if stop(expr):
            found[id(expr)] = expr
        elif expr.kind != "op":
            return None
        else:
            stack.extend(expr.src)
    return list(found.values())


def find_spill(
    loops: Loops, phase: dict[int, int], varies: dict[int, bool], costly: Callable[[Expr], bool]
) -> tuple[Expr, int, int] | None:
    """Return an expression to keep, the phase that computes it, and the number of the access to keep it in.

    It must be costly, of the result's dtype, and all that later phases need of the operands: the result may lie in an
    operand's memory. softmax keeps ``exp(x - max)``, which it needs for the sum and for the quotient.

    Parameters
    ----------
    loops : Loops
    phase : dict
        The phase in which each expression can be evaluated, by identity.
    varies : dict
        Whether each expression changes along the inner dimensions, by identity.
    costly : callable
        Whether evaluating an expression takes longer than reading it back.
    """
    stores = [store for store in loops.stage.stores if varies[id(store.value)]]
    sums = [expr for expr in loops.order if expr.kind == "reduce"]
    if loops.stage.block or not sums or any(store.index is not None for store in stores):
        return None
    last = max(phase[id(store.value)] for store in loops.stage.stores)
    ending = [store for store in stores if phase[id(store.value)] == last]
    if last == 0 or len(ending) != 1:
        return None
    access = loops.accesses[loops.numbers[ending[0].access]]
    steps = (*access[4], access[3][-1]) if loops.columns else access[4]
    if 0 in steps:
        return None
    computed: dict[int, int] = {}
    for reduce in sums:
        if phase[id(reduce)] <= last:
            for expr in topological([reduce.src[0]]):
                computed[id(expr)] = min(computed.get(id(expr), last), phase[id(reduce)] - 1)

    def may_be_kept(e: Expr) -> bool:
        return e.kind == "op" and e.dtype == access[1] and computed.get(id(e), last) < last

    kept = _frontier(ending[0].value, varies, may_be_kept)
    if not kept or len(kept) != 1 or not any(costly(expr) for expr in topological(kept) if varies[id(expr)]):
        return None
    (expr,) = kept
    first = computed[id(expr)]
    later: Iterable[Expr] = [
        *(reduce.src[0] for reduce in sums if phase[id(reduce)] - 1 > first),
        *(store.value for store in stores if phase[id(store.value)] > first),
    ]
    if any(_frontier(root, varies, lambda e: e is expr) is None for root in later):
        return None
    return expr, first, loops.numbers[ending[0].access]
