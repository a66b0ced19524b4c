"""fp32 arithmetic of the MUL, ADD and INT pipes; the rules are in docs/numerics.md.

Values are IEEE binary32 words in numpy int32 arrays, as streams carry them. Every NaN result is QNAN. The arithmetic
reads subnormals as zeros of the same sign and rounds to nearest, ties to even; comparisons take subnormals by value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.numerics.integer import INT8_MAX, INT8_MIN, Bools, Int32

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

QNAN = 0x7FC00000
INFINITY = 0x7F800000
SMALLEST_NORMAL = 2.0**-126
"""The smallest normal magnitude; nonzero results below it are zeros of their sign."""
_MAGNITUDE = np.int32(0x7FFFFFFF)
_SIGN = np.int32(-(2**31))


# ------------------------------------------------------------------ words, values


def flush(words: Int32) -> Int32:
    """Subnormals -> zeros of the same sign."""
    return np.where(words & INFINITY == 0, words & _SIGN, words)


@np.errstate(invalid="ignore")
def fp32_values(words: Int32) -> Float64:
    """The values of fp32 words, subnormals read as zeros; exact."""
    return _singles(flush(words)).astype(np.float64)


@np.errstate(over="ignore", invalid="ignore")
def fp32_words(values: ArrayLike) -> Int32:
    """Nearest fp32 words, ties to even; magnitudes below 2^-126 before rounding -> zeros of their sign."""
    exact = np.asarray(values, np.float64)
    normal = np.where(np.abs(exact) < SMALLEST_NORMAL, np.copysign(0.0, exact), exact)
    return _words(normal.astype(np.float32))


def _singles(words: Int32) -> Float32:
    return np.asarray(words, np.int32).view(np.float32)


def _words(singles: Float32) -> Int32:
    return np.where(np.isnan(singles), np.int32(QNAN), singles.view(np.int32))


# -------------------------------------------------------------------- arithmetic


@np.errstate(over="ignore", invalid="ignore")
def fadd(x: Int32, y: Int32) -> Int32:
    """x + y. A sum below 2^-126 is exact in fp32, so that flushing the IEEE sum rounds once."""
    return flush(_words(_singles(flush(x)) + _singles(flush(y))))


def fsub(x: Int32, y: Int32) -> Int32:
    """x - y = x + (-y)."""
    return fadd(x, y ^ _SIGN)


def frsub(x: Int32, y: Int32) -> Int32:
    """y - x = (-x) + y."""
    return fadd(x ^ _SIGN, y)


@np.errstate(invalid="ignore")
def fmul(x: Int32, y: Int32) -> Int32:
    """x * y; the product of two 24-bit significands is exact in float64 and rounded once."""
    return fp32_words(fp32_values(x) * fp32_values(y))


# ------------------------------------------------------------------- conversions


def i2f(x: Int32) -> Int32:
    """int32 -> nearest fp32, ties to even."""
    return fp32_words(x)


def f2i(x: Int32) -> Int32:
    """fp32 -> nearest integer, ties to even, saturated to int32; NaN -> 0."""
    return _integers(x, -(2**31), 2**31 - 1)


def f2i8(x: Int32) -> Int32:
    """fp32 -> nearest integer, ties to even, saturated to -128..127; NaN -> 0."""
    return _integers(x, INT8_MIN, INT8_MAX)


def _integers(x: Int32, minimum: int, maximum: int) -> Int32:
    values = fp32_values(np.where(_is_nan(x), np.int32(0), x))
    integers: Int32 = np.clip(np.rint(values), minimum, maximum).astype(np.int32)
    return integers


# ------------------------------------------------------------------- comparisons


def fabs(x: Int32) -> Int32:
    """x with its sign bit cleared, NaN included."""
    return x & _MAGNITUDE


def fmax(x: Int32, y: Int32) -> Int32:
    """The greater of x and y, bits unchanged; -0 < +0; QNAN where either is NaN."""
    return _qnan_where_nan(x, y, np.where(_rank(x) > _rank(y), x, y))


def fmin(x: Int32, y: Int32) -> Int32:
    """The lesser of x and y, bits unchanged; -0 < +0; QNAN where either is NaN."""
    return _qnan_where_nan(x, y, np.where(_rank(x) < _rank(y), x, y))


def famax(x: Int32, y: Int32) -> Int32:
    """The greater of |x| and |y|; QNAN where either is NaN."""
    return fmax(fabs(x), fabs(y))


def fgt(x: Int32, y: Int32) -> Bools:
    """x > y as IEEE has it: false where either is NaN, -0 = +0."""
    ordered = ~(_is_nan(x) | _is_nan(y))
    both_zero = fabs(x) | fabs(y) == 0
    greater: Bools = ordered & ~both_zero & (_rank(x) > _rank(y))
    return greater


def _is_nan(x: Int32) -> Bools:
    nan: Bools = fabs(x) > INFINITY
    return nan


def _rank(x: Int32) -> Int32:
    """Integers in the order of the fp32 values, -0 before +0."""
    return np.where(x < 0, ~fabs(x), x)


def _qnan_where_nan(x: Int32, y: Int32, chosen: Int32) -> Int32:
    return np.where(_is_nan(x) | _is_nan(y), np.int32(QNAN), chosen)
