"""Tables of the special-function unit: 2^v, 1/m, 1/sqrt(m) and log2(m) by linear interpolation in 64 segments.

A 23-bit fraction fr, the significand 1 + fr / 2^23 or the exponent's fraction fr / 2^23, selects
c0, c1 = sfu_entries()[table * SEGMENTS + (fr >> 17)] and with d = fr mod 2^17, t = (c1 * d) >> 17 the value is
    EXP2                                  y = c0 + t
    RECIP, RSQRT_EVEN, RSQRT_ODD, NLOG2   y = 2^21 - (c0 + t)
in units of 2^-20, where 2^20 <= y <= 2^21.

With h = 1/64 and f the function in those units, the ends of the segments are the knots
    v[k] = round(f(k h) - w[k] / 128 * (f((k-1) h) - 2 f(k h) + f((k+1) h)))
    w = 0 for k = 0, 64;  11 for k = 1, 63;  8 otherwise
All f are convex: a chord lies above f by up to 1/8 of the second difference h^2 f''. Lowering it by half of that,
8/128, makes its errors at the ends and in the middle equal and opposite. v[0] and v[64] are f itself, so that powers
of two are exact and neighbouring octaves meet; 11/128, near (3 - 2 sqrt 2) / 2, balances the chords that begin or end
there. Segments share their knots, c1 = |v[k+1] - v[k]|, so that each function is monotone.
"""

from __future__ import annotations

import enum
import functools
import math

FRACTION_BITS = 23
SEGMENT_BITS = 6
SEGMENTS = 1 << SEGMENT_BITS
OFFSET_BITS = FRACTION_BITS - SEGMENT_BITS
"""Bits of d, the place within a segment."""
UNIT_BITS = 20
"""Values are in units of 2^-20."""
_EXTRA = 40
"""Bits below that unit in which the functions are evaluated."""
_ONE_BITS = UNIT_BITS + _EXTRA


class SfuTable(enum.IntEnum):
    """Functions tabulated on v or m - 1 = fr / 2^23 in 0..1."""

    EXP2 = 0  # 2^v
    RECIP = 1  # 2 / m
    RSQRT_EVEN = 2  # 2 / sqrt(m)
    RSQRT_ODD = 3  # 2 / sqrt(2 m)
    NLOG2 = 4  # 2 - log2(m)


@functools.cache
def sfu_entries() -> tuple[tuple[int, int], ...]:
    """(c0, c1) of table t, segment s at index t * SEGMENTS + s; c0 has 21 bits and c1 15, both unsigned."""
    return tuple(entry for table in SfuTable for entry in _entries(table))


def _entries(table: SfuTable) -> list[tuple[int, int]]:
    knots = _knots(table)
    starts = knots if table is SfuTable.EXP2 else [(1 << 21) - v for v in knots]
    return [(start, end - start) for start, end in zip(starts[:-1], starts[1:], strict=True)]


def _knots(table: SfuTable) -> list[int]:
    f = [_function(table, k) for k in range(SEGMENTS + 1)]
    weights = {0: 0, 1: 11, SEGMENTS - 1: 11, SEGMENTS: 0}
    knots = []
    for k, value in enumerate(f):
        weight = weights.get(k, 8)
        curvature = f[k - 1] - 2 * value + f[k + 1] if weight else 0
        scaled = 128 * value - weight * curvature
        knots.append((scaled + (64 << _EXTRA)) >> (7 + _EXTRA))
    return knots


def _function(table: SfuTable, k: int) -> int:
    """The function at k / 64 in units of 2^-60, rounded down, of NLOG2 up."""
    match table:
        case SfuTable.EXP2:  # 2^(k/64) by six square roots; nested floors are the floor of the 64th root
            root = 1 << (SEGMENTS * _ONE_BITS + k)
            for _ in range(6):
                root = math.isqrt(root)
            return root
        case SfuTable.RECIP:
            return (SEGMENTS << (_ONE_BITS + 1)) // (SEGMENTS + k)
        case SfuTable.RSQRT_EVEN:
            return math.isqrt((SEGMENTS << (2 * _ONE_BITS + 2)) // (SEGMENTS + k))
        case SfuTable.RSQRT_ODD:
            return math.isqrt((SEGMENTS << (2 * _ONE_BITS + 1)) // (SEGMENTS + k))
        case SfuTable.NLOG2:
            return (2 + SEGMENT_BITS << _ONE_BITS) - _log2(SEGMENTS + k)


def _log2(n: int) -> int:
    """log2(n) in units of 2^-60, rounded down: each squaring of the significand gives its next bit."""
    logarithm = n.bit_length() - 1
    bits = 2 * _ONE_BITS
    significand = n << (bits - logarithm)
    for _ in range(_ONE_BITS):
        significand = significand * significand >> bits
        exponent = significand >> (bits + 1)
        significand >>= exponent
        logarithm = 2 * logarithm + exponent
    return logarithm
