"""fp32 one number at a time, on python floats: every rounding spelt out.

A python float holds the exact product of two fp32 numbers, and their sum closely enough that rounding it once more
gives the nearest fp32 number (53 >= 2 * 24 + 2 bits). Special functions are those of golden.numerics on one word.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from golden import numerics

U = 2.0**-24
"""Unit roundoff: one rounded operation errs by at most U, relatively."""
EXP2_ERROR = 1.06e-5 + 4.2e-8
"""Greatest relative errors over all arguments, docs/numerics.md; EXP2 with the step of its argument."""
RECIP_ERROR = 4.21e-5
RSQRT_ERROR = 1.62e-5
LENGTHS = (1, 5, 16, 48, 64, 100, 128, 172, 256)


def r32(value: float) -> float:
    """The nearest fp32 number; below 2^-126 zero of its sign."""
    if 0 < abs(value) < 2.0**-126:
        return math.copysign(0.0, value)
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single


def exp2(value: float) -> float:
    return float(numerics.exp2(_word(value)).view(np.float32))


def recip(value: float) -> float:
    return float(numerics.recip(_word(value)).view(np.float32))


def rsqrt(value: float) -> float:
    return float(numerics.rsqrt(_word(value)).view(np.float32))


def ordered_sum(values: Sequence[float]) -> float:
    """Rows of 64 in sequence, then the halving tree; missing values are +0."""
    acc = [0.0] * 64
    for i, value in enumerate(values):
        acc[i % 64] = r32(acc[i % 64] + value) if i >= 64 else value
    for half in (32, 16, 8, 4, 2, 1):
        acc = [r32(acc[i] + acc[i + half]) for i in range(half)]
    return acc[0]


def sum_depth(length: int) -> int:
    """Additions that an entry passes through in ``ordered_sum``."""
    return -(-length // 64) - 1 + 6


def random_rows(seed: int, length: int, rows: int = 3, scale: float = 1.0) -> np.ndarray:
    """float32 [rows, length], normal distribution of the standard deviation ``scale``."""
    return (np.random.default_rng([seed, length]).standard_normal((rows, length)) * scale).astype(np.float32)


def assert_within(actual: np.ndarray, expected: np.ndarray, bound: np.ndarray | float) -> None:
    """|actual - expected| <= bound everywhere, in float64."""
    error = np.abs(actual.astype(np.float64) - expected)
    assert actual.dtype == np.float32
    assert np.all(error <= bound), f"{np.max(error / bound):.3g} times the bound"


def assert_bits(actual: np.ndarray, expected: Sequence[Sequence[float]]) -> None:
    """The same fp32 numbers, -0 and +0 told apart."""
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual.view(np.int32), np.array(expected, np.float32).view(np.int32))


def _word(value: float) -> np.ndarray:
    return np.array(value, np.float32).view(np.int32)
