"""Random numbers from one counter-based generator, generated as kernels: equal bits on every device."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

from trueno import dtypes as dt
from trueno.creation import finished, shape_of
from trueno.ir import build, views
from trueno.ir import expand as formulas
from trueno.ir import transcendental as rows
from trueno.ir.build import cast, const, expand
from trueno.ir.elementwise import bitcast, bitwise_and, bitwise_xor, relu, shr, sqrt
from trueno.ir.node import Node
from trueno.runtime.device import check_device, current_device
from trueno.runtime.operation import Operation
from trueno.tensor import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


class Generator:
    """The state of a stream of random numbers: a seed and the number of blocks used.

    Parameters
    ----------
    seed : int
        Any integer of up to 64 bits.
    """

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of a seed from its beginning."""
        self.seed, self.used = int(seed) & (2**64 - 1), 0
        return self

    def take(self, blocks: int) -> tuple[int, int, int]:
        """Return the seed's halves and the first of that many unused counters."""
        first = self.used
        self.used += blocks
        return self.seed & _LOW, self.seed >> 32, first

    def get_state(self) -> tuple[int, int]:
        """Return what `set_state` takes to continue the stream here."""
        return self.seed, self.used

    def set_state(self, state: tuple[int, int]) -> None:
        """Continue a stream at a state that `get_state` returned."""
        self.seed, self.used = state


default_generator = Generator(next(itertools.count(0)))


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream of a seed from its beginning, for all devices."""
    return default_generator.manual_seed(seed)


def _u64(value: int) -> Node:
    return const(value, dt.uint64)


def philox(counter: Node, key_low: Node, key_high: Node) -> tuple[Node, Node, Node, Node]:
    """Record Philox4x32-10: four words of 32 random bits for each 64-bit counter.

    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011). Words are kept in uint64.
    """
    low = _u64(_LOW)
    shift = _u64(32)
    c0, c1 = bitwise_and(counter, low), shr(counter, expand(shift, shape=counter.shape))
    c2 = c3 = expand(_u64(0), shape=counter.shape)
    k0, k1 = key_low, key_high
    for _ in range(ROUNDS):
        first, second = c0 * _u64(MULTIPLIERS[0]), c2 * _u64(MULTIPLIERS[1])
        high0, high1 = shr(first, shift), shr(second, shift)
        c0, c1, c2, c3 = (
            bitwise_xor(bitwise_xor(high1, c1), k0), bitwise_and(second, low),
            bitwise_xor(bitwise_xor(high0, c3), k1), bitwise_and(first, low),
        )  # fmt: skip
        k0, k1 = bitwise_and(k0 + _u64(WEYL[0]), low), bitwise_and(k1 + _u64(WEYL[1]), low)
    return c0, c1, c2, c3


def _words(low: Node, high: Node, first: Node, blocks: int) -> tuple[Node, ...]:
    index = cast(build.iota((blocks,), 0), dtype=dt.uint64)
    keys = (cast(low, dtype=dt.uint64), cast(high, dtype=dt.uint64))
    return philox(index + cast(first, dtype=dt.uint64), *keys)


def _unit(word: Node, dtype: Any) -> Node:
    """Return 24 random bits as a float32 in [0, 1), or 32 as a float64."""
    if dtype == dt.float64:
        return cast(word, dtype=dt.float64) * 2.0**-32
    # Through int32: conversions from it are single instructions.
    return cast(cast(shr(word, _u64(8)), dtype=dt.int32), dtype=dt.float32) * 2.0**-24


def _join(parts: tuple[Node, ...], size: int) -> Node:
    many = views.stack(*parts, axis=1)
    return views.getitem(build.reshape(many, shape=(many.size,)), slice(0, size))


def _record_uniform(low: Node, high: Node, first: Node, size: int, dtype: Any) -> Node:
    if dtype == dt.float64:
        a, b, c, d = _words(low, high, first, -(-size // 2))
        wide = tuple(
            (cast(shr(x, _u64(5)), dtype=dt.float64) * 67108864.0 + cast(shr(y, _u64(6)), dtype=dt.float64)) * 2.0**-53
            for x, y in ((a, b), (c, d))
        )
        return _join(wide, size)
    return _join(tuple(_unit(word, dt.float32) for word in _words(low, high, first, -(-size // 4))), size)


def _record_normal(low: Node, high: Node, first: Node, size: int, dtype: Any) -> Node:
    """Box and Muller's transform of pairs of uniform numbers.

    The formulas are recorded in place of the rows, so that every device computes the same float32 bits.
    """
    wide = dt.float64 if dtype == dt.float64 else dt.float32
    narrow = wide == dt.float32
    log, sin, cos = (
        (formulas.normal_log, formulas.near_sin, formulas.near_cos) if narrow else (rows.log, rows.sin, rows.cos)
    )
    words = _words(low, high, first, -(-size // 4))
    parts: list[Node] = []
    for k in (0, 2):
        # 1 - u lies in (0, 1], where the logarithm is finite.
        radius = sqrt(relu(log(1.0 - _unit(words[k], wide)) * -2.0))
        angle = _unit(words[k + 1], wide) * (2 * math.pi)
        parts += [radius * cos(angle), radius * sin(angle)]
    return _join(tuple(parts), size)


def _record_integers(low: Node, high: Node, first: Node, start: Node, count: Node, size: int) -> Node:
    """Map 32 bits to a range by multiplication (Lemire 2019, without its rejection: bias below count / 2**32)."""
    parts = tuple(
        cast(shr(word * cast(count, dtype=dt.uint64), _u64(32)), dtype=dt.int64) + start
        for word in _words(low, high, first, -(-size // 4))
    )
    return _join(parts, size)


_uniform = Operation("uniform", _record_uniform, 3)
_normal = Operation("normal", _record_normal, 3)
_integers = Operation("integers", _record_integers, 5)


def _draw(
    operation: Operation, shape: tuple[int, ...], per_block: int, dtype: Any, device: Any, generator: Any, *more: Any
) -> Tensor:
    source = default_generator if generator is None else generator
    size = math.prod(shape)
    low, high, first = source.take(-(-size // per_block))
    place = current_device() if device is None else check_device(str(device))
    drawn = operation.call(low, high, first, *more, size, *(() if more else (dtype,)), device=sys.intern(place))
    return drawn.reshape(shape)


def rand(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Return uniform random numbers in [0, 1)."""
    return _floats(_uniform, shape, dtype, device, requires_grad, generator)


def randn(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Return normal random numbers of mean 0 and variance 1."""
    return _floats(_normal, shape, dtype, device, requires_grad, generator)


def _floats(operation: Operation, shape: tuple, dtype: Any, device: Any, requires_grad: bool, generator: Any) -> Tensor:
    wanted = dt.float32 if dtype is None else dt.as_dtype(dtype)
    if not dt.is_floating(wanted):
        raise TypeError(f"random floats of dtype {wanted}: name a floating-point dtype, or use randint")
    compute = dt.float64 if wanted == dt.float64 else dt.float32
    drawn = _draw(
        operation,
        shape_of(shape),
        2 if (compute == dt.float64 and operation is _uniform) else 4,
        compute,
        device,
        generator,
    )
    return finished(drawn.astype(wanted, copy=False), requires_grad)


def randint(
    low: int,
    high: int | None = None,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return random integers in [low, high), or in [0, low) without `high`; int64 unless `dtype` says otherwise."""
    start, stop = (0, low) if high is None else (low, high)
    if stop <= start or stop - start > 2**32:
        raise ValueError(f"randint: low {start} must be below high {stop}, by at most 2**32")
    shape = shape_of((() if size is None else size,)) if not isinstance(size, int) else (size,)
    drawn = _draw(_integers, shape, 4, None, device, generator, int(start), int(stop - start))
    return drawn if dtype is None else drawn.astype(dtype)


__all__ = ["Generator", "bitcast", "default_generator", "manual_seed", "rand", "randint", "randn"]
