"""golden/numerics/float32.py and the pipes' fp32 operations against numpy's IEEE arithmetic and exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from cocotb_tests.golden import binary32 as b32
from golden import numerics
from golden.numerics import Int32
from hdl.isa import AddOp, IntOp, MulOp, SfuOp

COUNT = 1 << 20
Binary = Callable[[Int32, Int32], Int32]
Scalar = Callable[[int, int], int]


def int_pipe(op: IntOp) -> Binary:
    return lambda x, y: numerics.int_alu(op, x, y, np.zeros(x.shape, np.bool_), 0)[0]


def add_pipe(op: AddOp) -> Binary:
    return lambda x, y: numerics.add_pipe(op, x, y)


def fmul(x: Int32, y: Int32) -> Int32:
    return numerics.mul_pipe(MulOp.FMUL, x, y)


# ------------------------------------------------- definitions in exact fractions


def exact_add(x: int, y: int) -> int:
    if b32.is_nan(x) or b32.is_nan(y) or (b32.is_inf(x) and b32.is_inf(y) and x != y):
        return b32.QNAN
    if b32.is_inf(x) or b32.is_inf(y):
        return x if b32.is_inf(x) else y
    both_negative = b32.is_negative(x) and b32.is_negative(y)
    return b32.nearest(b32.value(x) + b32.value(y), negative_zero=both_negative)


def exact_mul(x: int, y: int) -> int:
    sign = (x ^ y) & b32.SIGN
    if b32.is_nan(x) or b32.is_nan(y):
        return b32.QNAN
    if b32.is_inf(x) or b32.is_inf(y):
        other = y if b32.is_inf(x) else x
        zero = not b32.is_inf(other) and b32.value(other) == 0
        return b32.QNAN if zero else sign | b32.INF
    return b32.nearest(b32.value(x) * b32.value(y), negative_zero=bool(sign))


def order(word: int) -> tuple[Fraction, bool]:
    """By value, subnormals included; -0 before +0."""
    infinite = Fraction(-(2**200) if b32.is_negative(word) else 2**200)
    return infinite if b32.is_inf(word) else b32.value(word, subnormals=True), not b32.is_negative(word)


def exact_max(x: int, y: int) -> int:
    return b32.QNAN if b32.is_nan(x) or b32.is_nan(y) else max(x, y, key=order)


def exact_min(x: int, y: int) -> int:
    return b32.QNAN if b32.is_nan(x) or b32.is_nan(y) else min(x, y, key=order)


EXACT: dict[str, tuple[Binary, Scalar]] = {
    "FADD": (add_pipe(AddOp.FADD), exact_add),
    "FSUB": (add_pipe(AddOp.FSUB), lambda x, y: exact_add(x, y ^ b32.SIGN)),
    "FRSUB": (add_pipe(AddOp.FRSUB), lambda x, y: exact_add(x ^ b32.SIGN, y)),
    "FMUL": (fmul, exact_mul),
    "FMAX": (int_pipe(IntOp.FMAX), exact_max),
    "FMIN": (int_pipe(IntOp.FMIN), exact_min),
    "FAMAX": (int_pipe(IntOp.FAMAX), lambda x, y: exact_max(x & ~b32.SIGN, y & ~b32.SIGN)),
    "FABS": (int_pipe(IntOp.FABS), lambda x, y: x & ~b32.SIGN),
    "PASS": (add_pipe(AddOp.PASS), lambda x, y: x),
    "FGT": (int_pipe(IntOp.FGT), lambda x, y: x),
}


def random_pairs(seed: int, count: int) -> tuple[Int32, Int32]:
    """Unrelated words; exponents close enough to cancel; products near 2^-126; products near 2^128."""
    x = b32.random_words(seed, count)
    fields = b32.exponent_fields(x)
    partners = (
        b32.random_words(seed + 1, count),
        b32.words_near(seed + 2, fields, 26),
        b32.words_near(seed + 4, 128 - fields, 2),
        b32.words_near(seed + 6, 382 - fields, 2),
    )
    return x, np.choose(np.arange(count) % 4, partners)


@pytest.mark.parametrize("name", EXACT)
def test_binary_operations_are_exactly_rounded(name: str) -> None:
    """All pairs of edges, then 4,000 random pairs."""
    operation, exact = EXACT[name]
    xs, ys = b32.pairs(b32.EDGES)
    x, y = (np.concatenate([b32.array(e), r]) for e, r in zip((xs, ys), random_pairs(len(name), 4000), strict=True))
    result = operation(x, y)
    assert result.dtype == np.int32
    expected = [exact(a, b) for a, b in zip(b32.listed(x), b32.listed(y), strict=True)]
    wrong = [
        f"{name}({a:08X}, {b:08X}) = {r:08X}, not {e:08X}"
        for a, b, r, e in zip(b32.listed(x), b32.listed(y), b32.listed(result), expected, strict=True)
        if r != e
    ]
    assert not wrong, f"{len(wrong)} wrong: {wrong[:5]}"


# --------------------------------------------------------------- numpy, 2^20 each


def flushed(singles: NDArray[np.float32]) -> NDArray[np.float32]:
    small = np.abs(singles) < np.float32(2.0**-126)
    return np.where(small, np.copysign(np.float32(0), singles), singles)


def numpy_add(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Through float64; rounding twice changes no sum of two fp32 numbers, because 53 >= 2 * 24 + 2."""
    return flushed((flushed(x).astype(np.float64) + flushed(y).astype(np.float64)).astype(np.float32))


def numpy_mul(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """IEEE product in fp32, zero where the exact product lies below 2^-126."""
    product = flushed(x) * flushed(y)
    tiny = np.abs(flushed(x).astype(np.float64) * flushed(y).astype(np.float64)) < 2.0**-126
    return np.where(tiny, np.copysign(np.float32(0), product), product)


def numpy_max(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    chosen = np.where((x > y) | ((x == y) & np.signbit(y)), x, y)
    return np.where(np.isnan(x) | np.isnan(y), np.float32(np.nan), chosen)


NUMPY: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]] = {
    "FADD": numpy_add,
    "FSUB": lambda x, y: numpy_add(x, -y),
    "FRSUB": lambda x, y: numpy_add(-x, y),
    "FMUL": numpy_mul,
    "FMAX": numpy_max,
    "FMIN": lambda x, y: -numpy_max(-x, -y),
    "FAMAX": lambda x, y: numpy_max(np.abs(x), np.abs(y)),
}


@pytest.mark.parametrize("name", NUMPY)
def test_binary_operations_are_those_of_numpy(name: str) -> None:
    x, y = random_pairs(100 + len(name), COUNT)
    with np.errstate(all="ignore"):
        expected = NUMPY[name](x.view(np.float32), y.view(np.float32))
    expected_words = np.where(np.isnan(expected), np.int32(b32.QNAN), expected.view(np.int32))
    assert np.array_equal(EXACT[name][0](x, y), expected_words)


def test_fgt_is_the_ieee_comparison() -> None:
    edges, words = b32.pairs(b32.EDGES), random_pairs(7, COUNT)
    x, y = (np.concatenate([b32.array(e), w]) for e, w in zip(edges, words, strict=True))
    value, flag = numerics.int_alu(IntOp.FGT, x, y, np.ones(x.shape, np.bool_), 0)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(flag, x.view(np.float32) > y.view(np.float32))
    assert np.array_equal(value, x)


@pytest.mark.parametrize("op", [IntOp.FMAX, IntOp.FMIN, IntOp.FAMAX, IntOp.FABS, IntOp.F2I8])
def test_other_operations_keep_the_flag(op: IntOp) -> None:
    x, flag = b32.random_words(1, 64), np.arange(64) % 3 == 0
    assert np.array_equal(numerics.int_alu(op, x, x[::-1], flag, 0)[1], flag)


# ------------------------------------------------------------------- conversions


def test_flush() -> None:
    words = b32.array([0, 1, 0x7FFFFF, 0x800000, *(b32.SIGN | w for w in (0, 1, 0x7FFFFF, 0x800000)), 0x7F800001])
    expected = [0, 0, 0, 0x800000, b32.SIGN, b32.SIGN, b32.SIGN, b32.SIGN | 0x800000, 0x7F800001]
    assert b32.listed(numerics.flush(words)) == expected


def subset(lows: list[int]) -> Int32:
    """All upper halfwords with each of the lower halfwords ``lows``."""
    return (
        (np.arange(1 << 16, dtype=np.uint32)[:, None] << np.uint32(16) | np.array(lows, np.uint32))
        .ravel()
        .view(np.int32)
    )


LOWS = [0, 1, 0x0040, 0x00C0, 0x1234, 0x7FFF, 0x8000, 0x8001, 0xC000, 0xFFFF]


def test_i2f() -> None:
    """A subset, random integers of every width, and the neighbourhood of every tie, against numpy and fractions."""
    random = b32.random_words(11, COUNT) >> (np.arange(COUNT) % 32).astype(np.int32)
    ties = [
        s * ((odd << k) + d) for k in range(7) for odd in (2**24 + 1, 2**24 + 3) for d in (-1, 0, 1) for s in (1, -1)
    ]
    edges = [0, 1, -1, 2**31 - 1, 2**31 - 64, 2**31 - 65, 2**31 - 192, -(2**31), 1 - 2**31, *ties]
    x = np.concatenate([subset(LOWS), random, np.array(edges, np.int32)])
    result = numerics.add_pipe(AddOp.I2F, x, x)
    assert np.array_equal(result, x.astype(np.float32).view(np.int32))
    assert b32.listed(result[-len(edges) :]) == [b32.nearest(Fraction(e)) for e in edges]


def integers(words: Int32, minimum: int, maximum: int) -> Int32:
    """round(significand * 2^shift) in integers, ties to even, saturated; NaN -> 0."""
    wide = words.astype(np.int64)
    exponent, significand = wide >> 23 & 0xFF, wide & 0x7FFFFF | 1 << 23
    right, left = np.clip(150 - exponent, 1, 30), np.clip(exponent - 150, 0, 10)
    quotient, rest, half = significand >> right, significand & (1 << right) - 1, 1 << right - 1
    rounded = quotient + ((rest > half) | (rest == half) & (quotient & 1 == 1))
    magnitude = np.where(exponent == 0, 0, np.where(exponent < 150, rounded, significand << left))
    result = np.clip(np.where(words < 0, -magnitude, magnitude), minimum, maximum)
    return np.where((exponent == 255) & (wide & 0x7FFFFF != 0), 0, result).astype(np.int32)


@pytest.mark.parametrize(("bits", "op"), [(32, SfuOp.F2I), (8, IntOp.F2I8)])
def test_conversion_to_integers(bits: int, op: SfuOp | IntOp) -> None:
    """All upper halfwords, random words near the range, and edges against python's rounding."""
    close = b32.words_near(21, np.full(COUNT, 127 + bits // 2, np.int32), bits // 2 + 2)
    edges = b32.array(b32.EDGES)
    x = np.concatenate([subset(LOWS), close, edges])
    result = numerics.sfu_pipe(op, x) if isinstance(op, SfuOp) else int_pipe(op)(x, x)
    minimum, maximum = -(1 << bits - 1), (1 << bits - 1) - 1
    assert np.array_equal(result, integers(x, minimum, maximum))
    finite = [k for k, word in enumerate(b32.EDGES) if not (b32.is_nan(word) or b32.is_inf(word))]
    expected = [max(minimum, min(maximum, round(b32.value(b32.EDGES[k])))) for k in finite]
    assert result[-len(edges) :][finite].tolist() == expected


def test_conversion_saturates_and_rounds_ties_to_even() -> None:
    values = [0.5, 1.5, -0.5, -2.5, 127.5, 126.5, -128.5, 2.0**31, -(2.0**31), math.inf, -math.inf, math.nan]
    words = np.array(values, np.float32).view(np.int32)
    top, bottom = 2**31 - 1, -(2**31)
    assert numerics.f2i(words).tolist() == [0, 2, 0, -2, 128, 126, -128, top, bottom, top, bottom, 0]
    assert numerics.f2i8(words).tolist() == [0, 2, 0, -2, 127, 126, -128, 127, -128, 127, -128, 0]


def test_fp32_words_and_values() -> None:
    values = [
        0.0,
        -0.0,
        1.0,
        -(2.0**-126),
        2.0**-127,
        -(2.0**-149),
        1 + 2.0**-24,
        1 + 3 * 2.0**-24,
        1e39,
        -math.inf,
        math.nan,
    ]
    words = [
        0,
        0x80000000,
        0x3F800000,
        0x80800000,
        0,
        0x80000000,
        0x3F800000,
        0x3F800002,
        0x7F800000,
        0xFF800000,
        b32.QNAN,
    ]
    assert b32.listed(numerics.fp32_words(values)) == words
    assert numerics.fp32_values(b32.array([0x40490FDB, 1, 0xFF800000])).tolist() == [13176795 / 2**22, 0.0, -math.inf]
