"""2^x, 1 / x, 1 / sqrt(x) and -log2(x) on fp32 words, from the tables of ``hdl.isa.special``.

An interpolated value y counts units of 2^-20 and lies in 2^20..2^21: y * 2^e is an fp32 number without rounding.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from golden.numerics.float32 import Float64, fp32_values, fp32_words
from golden.numerics.integer import Int32, Int64
from hdl.isa.special import FRACTION_BITS, OFFSET_BITS, SEGMENTS, UNIT_BITS, SfuTable, sfu_entries

_FRACTION_MASK = (1 << FRACTION_BITS) - 1
_BIAS = 127


def interpolate(table: SfuTable | NDArray[np.integer], fraction: Int64) -> Int64:
    """y in units of 2^-20 of ``table``, one or one per element, at ``fraction`` / 2^23 in 0..1."""
    c0, c1 = np.moveaxis(_coefficients()[np.asarray(table) * SEGMENTS + (fraction >> OFFSET_BITS)], -1, 0)
    sums = c0 + (c1 * (fraction & ((1 << OFFSET_BITS) - 1)) >> OFFSET_BITS)
    return np.where(np.asarray(table) == SfuTable.EXP2, sums, (2 << UNIT_BITS) - sums)


@functools.cache
def _coefficients() -> Int64:
    return np.array(sfu_entries(), np.int64)


def exp2(x: Int32) -> Int32:
    """2^x for -126 <= x < 128, from RNE(x * 2^23); zero below, infinity from 128."""
    values = fp32_values(x)
    inside = (values >= -126) & (values < 128)
    fixed = np.rint(np.where(inside, values, 0) * 2.0**FRACTION_BITS).astype(np.int64)
    powers = _scaled(interpolate(SfuTable.EXP2, fixed & _FRACTION_MASK), fixed >> FRACTION_BITS)
    outside = np.where(values >= 128, np.inf, np.where(values < -126, 0.0, np.nan))
    return fp32_words(np.where(inside, powers, outside))


def recip(x: Int32) -> Int32:
    """1 / x = 2^-(e+1) * 2/m with the sign of x, for |x| = 2^e * m; 1 / +-0 = +-inf, 1 / +-inf = +-0."""
    values, exponent, fraction = _parts(x)
    inverse = _scaled(interpolate(SfuTable.RECIP, fraction), -exponent - 1)
    inverse = np.where(values == 0, np.inf, np.where(np.isinf(values), 0.0, inverse))
    return fp32_words(np.where(np.isnan(values), np.nan, np.copysign(inverse, values)))


def rsqrt(x: Int32) -> Int32:
    """1 / sqrt(x) = 2^-(e//2+1) * 2/sqrt(m or 2m), e even or odd; 1 / sqrt(+-0) = +-inf, NaN below zero."""
    values, exponent, fraction = _parts(x)
    table = np.where(exponent & 1, SfuTable.RSQRT_ODD, SfuTable.RSQRT_EVEN)
    root = _scaled(interpolate(table, fraction), -(exponent >> 1) - 1)
    root = np.where(values == 0, np.copysign(np.inf, values), np.where(np.isinf(values), 0.0, root))
    return fp32_words(np.where((values < 0) | np.isnan(values), np.nan, root))


def nlog2(x: Int32) -> Int32:
    """-log2(|x|) in units of 2^-23, for |x| = 2^e * m: (2 - log2 m) - e - 2, in -128..128 modulo 256."""
    _, exponent, fraction = _parts(x)
    logarithm = interpolate(SfuTable.NLOG2, fraction) - (exponent + 2 << UNIT_BITS)
    half = 128 << UNIT_BITS
    return (((logarithm + half) % (2 * half) - half) << FRACTION_BITS - UNIT_BITS).astype(np.int32)


def _parts(x: Int32) -> tuple[Float64, Int64, Int64]:
    """(value, e, fraction) with |value| = 2^e * (1 + fraction / 2^23) where it is finite and not zero."""
    words = x.astype(np.int64)
    return fp32_values(x), (words >> FRACTION_BITS & 0xFF) - _BIAS, words & _FRACTION_MASK


def _scaled(y: Int64, exponent: Int64) -> Float64:
    scaled: Float64 = np.ldexp(y.astype(np.float64), exponent - UNIT_BITS)
    return scaled
