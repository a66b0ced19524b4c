"""fp32 words for the tests of the numerics: edges, random words, and values in python's exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from golden.numerics import Int32

QNAN = 0x7FC00000
INF = 0x7F800000
SIGN = 1 << 31
NANS = [QNAN, QNAN | SIGN, 0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF]
MAGNITUDES = [
    0x00000000,
    0x00000001,  # the smallest subnormal
    0x00400000,
    0x007FFFFF,  # the greatest subnormal
    0x00800000,  # 2^-126
    0x00800001,
    0x00FFFFFF,
    0x01000000,  # 2^-125
    0x1FFFFFFF,
    0x20000000,  # 2^-63
    0x33800000,  # 2^-24
    0x33800001,
    0x34000000,  # 2^-23
    0x3F000000,  # 1/2
    0x3F7FFFFF,  # 1 - 2^-24
    0x3F800000,  # 1
    0x3F800001,
    0x3FC00000,  # 3/2
    0x3FFFFFFF,
    0x40000000,  # 2
    0x4B7FFFFF,  # 2^24 - 1
    0x4B800000,  # 2^24
    0x5F000000,  # 2^63
    0x7EFFFFFF,
    0x7F000000,  # 2^127
    0x7F7FFFFF,  # the greatest number
    INF,
]
EDGES = [m | s for m in MAGNITUDES for s in (0, SIGN)] + NANS


def array(words: list[int]) -> Int32:
    return np.array(words, np.uint32).view(np.int32)


def listed(words: Int32) -> list[int]:
    unsigned: list[int] = words.view(np.uint32).tolist()
    return unsigned


def pairs(words: list[int]) -> tuple[list[int], list[int]]:
    """All pairs of words, as two columns."""
    return [x for x in words for _ in words], [y for _ in words for y in words]


def random_words(seed: int, count: int) -> Int32:
    return np.random.default_rng(seed).integers(0, 1 << 32, count, np.uint32).view(np.int32)


def exponent_fields(words: Int32) -> Int32:
    return words >> 23 & 0xFF


def words_near(seed: int, exponents: Int32, distance: int) -> Int32:
    """Words of random sign and fraction with the exponent fields ``exponents`` +- distance, within 0..255."""
    rng = np.random.default_rng(seed)
    fields = np.clip(exponents + rng.integers(-distance, distance + 1, len(exponents)), 0, 255).astype(np.int32)
    return random_words(seed + 1, len(exponents)) & np.int32(-0x7F800001) | fields << 23


def is_nan(word: int) -> bool:
    return word & ~SIGN > INF


def is_inf(word: int) -> bool:
    return word & ~SIGN == INF


def is_negative(word: int) -> bool:
    return bool(word & SIGN)


def value(word: int, subnormals: bool = False) -> Fraction:
    """The value of a finite word; subnormals are zero unless asked for."""
    exponent, fraction = word >> 23 & 0xFF, word & 0x7FFFFF
    if exponent == 0:
        magnitude = Fraction(fraction if subnormals else 0, 1 << 149)
    else:
        magnitude = (fraction | 1 << 23) * Fraction(2) ** (exponent - 150)
    return -magnitude if is_negative(word) else magnitude


def nearest(number: Fraction, negative_zero: bool = False) -> int:
    """The word nearest to number, ties to even; zero of its sign below 2^-126, infinity from 2^128 - 2^103 on."""
    sign = SIGN if number < 0 or negative_zero else 0
    magnitude = abs(number)
    if magnitude < Fraction(1, 1 << 126):
        return sign
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    significand = round(magnitude / Fraction(2) ** (exponent - 23))  # 2^23..2^24; a carry runs into the exponent
    return sign | min((exponent + 126 << 23) + significand, INF)
