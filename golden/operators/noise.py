"""Gumbel noise from a counter: what arg-max needs to sample from softmax, by the operations of the vector unit.

The arg-max of logits / T + G with independent standard Gumbel G is a sample of softmax(logits / T) (Gumbel 1954).
G = -ln(-ln u), and u of channel i depends only on the counter c and on i:

    a, b = row_words(c)                        one number each for the whole row, 1 <= a < 2 and 20 <= b < 32
    f = a XOR key[i]                           1 <= f < 2; the fine bits of u
    t = the 13 lowest bits of b * 2^(b * f)    the leading bits of u
    u = (t + f) / 8193

The low bits of a product depend on all bits of its factors; 2^x moves low bits of x to the top, for the next product.
"""

from __future__ import annotations

import math

import numpy as np

from golden.numerics import Int32, exp2, fadd, fmul, i2f, nlog2
from golden.operators.operands import Float32, constant, is_row, require, singles, words

WEYL = 0x9E3779B9
"""The counter at position p of a sequence is start + p * WEYL, modulo 2^32."""
ROUNDS = 3
MULTIPLIER = (1 + math.sqrt(5)) / 2
ROUND_MASK, DRAW_MASK, SIGNIFICAND_MASK = (1 << 18) - 1, (1 << 13) - 1, (1 << 23) - 1
ONE = 0x3F800000
FACTOR = 0x41A00401
"""Sign, exponent and three more bits of b: 20 <= b < 32, and never a significand of few bits."""
LOG_U_OFFSET = 4 - int(nlog2(constant(DRAW_MASK + 2)))
"""-log2(u) = -log2(t + f) + log2(8193), in units of 2^-23. NLOG2 gives multiples of 8: with 4 more, it is not 0."""
LOG_E_OFFSET = round((23 - math.log2(math.log(2))) * 2**23)
"""-log2(-ln u) in units of 2^-23, from -log2 of the number of those units in -log2(u)."""
UNIT = math.log(2) / 2**23
MOST_CHANNELS = 1 << 11
"""Channels whose keys differ in the upper half and in the lower half."""


def gumbel(counter: Int32, scale: Float32, n: int) -> Float32:
    """G * scale of n channels, -2.2 < G < 15: int32 [1, 1], float32 [1, 1] -> float32 [1, n].

    The scale is the temperature, where it is the logits that are not divided by it: logits + T G.
    Raises OperatorError for other types or shapes, or unless 1 <= n <= 2048.
    """
    fits = is_row(counter, 1, np.int32) and is_row(scale, 1) and 1 <= n <= MOST_CHANNELS
    require(fits, "noise", f"must be int32 [1, 1], float32 [1, 1], and n = {n} in 1..{MOST_CHANNELS}", counter, scale)
    draws, fine = _draws(counter, n)
    log_u = nlog2(fadd(i2f(draws), fine)) + np.int32(LOG_U_OFFSET)
    log_e = nlog2(i2f(log_u)) + np.int32(LOG_E_OFFSET)
    return singles(fmul(i2f(log_e), fmul(words(scale), constant(UNIT))))


def _draws(counter: Int32, n: int) -> tuple[Int32, Int32]:
    """t and the word of f: int32 [1, n]."""
    addend, factor = row_words(counter)
    fine = addend ^ channel_keys(n)
    return fmul(factor, exp2(fmul(fine, factor))) & DRAW_MASK, fine


def row_words(counter: Int32) -> tuple[Int32, Int32]:
    """The words of a, with the low bits of c, and of b: w = c * phi, then thrice w = ((w XOR c) mod 2^18) * phi.

    All but the fixed bits of b are those of w; XOR and mod are of words.
    """
    mixed = fmul(i2f(counter), constant(MULTIPLIER))
    for _ in range(ROUNDS):
        mixed = fmul(i2f((mixed ^ counter) & ROUND_MASK), constant(MULTIPLIER))
    return counter & SIGNIFICAND_MASK | ONE, mixed & SIGNIFICAND_MASK | FACTOR


def channel_keys(n: int) -> Int32:
    """23 bits for each channel, of any two of which neither the upper 11 nor the lower 12 agree: int32 [1, n].

    key[i] = (i * 1267 mod 2^11) * 2^12 + (i (2i + 1) * 2533 + 1459 mod 2^12)
    """
    i = np.arange(n)
    keys = (i * 1267 % 2**11 << 12) + (i * (2 * i + 1) * 2533 + 1459) % 2**12
    return keys.astype(np.int32)[np.newaxis]
