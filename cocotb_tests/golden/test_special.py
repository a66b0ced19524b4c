"""golden/numerics/special.py: its definition in python's integers, and its errors over every significand."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cocotb_tests.golden import binary32 as b32
from golden import numerics
from golden.numerics import Int32, fp32_values, fp32_words
from hdl.isa import AddOp, MulOp, SfuOp
from hdl.isa.special import FRACTION_BITS, SEGMENTS, SfuTable, sfu_entries

DOCS = Path(__file__).parents[2] / "docs" / "numerics.md"
FRACTIONS = 1 << FRACTION_BITS
CHUNK = 1 << 18
Float64 = NDArray[np.float64]


# ------------------------------------------------------- definition in integers


def interpolated(table: SfuTable, fraction: int) -> Fraction:
    c0, c1 = sfu_entries()[table * SEGMENTS + (fraction >> 17)]
    total = c0 + (c1 * (fraction % (1 << 17)) >> 17)
    return Fraction(total if table is SfuTable.EXP2 else (1 << 21) - total, 1 << 20)


def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def exact_exp2(word: int) -> int:
    if b32.is_nan(word):
        return b32.QNAN
    if b32.is_inf(word) or not -126 <= b32.value(word) < 128:
        return 0 if b32.is_negative(word) else b32.INF
    fixed = round(b32.value(word) * FRACTIONS)
    return b32.nearest(interpolated(SfuTable.EXP2, fixed % FRACTIONS) * power(fixed // FRACTIONS))


def exact_recip(word: int) -> int:
    sign, exponent, fraction = word & b32.SIGN, (word >> 23 & 0xFF) - 127, word % FRACTIONS
    if b32.is_nan(word):
        return b32.QNAN
    if b32.is_inf(word) or exponent == -127:
        return sign | (0 if b32.is_inf(word) else b32.INF)
    return sign | b32.nearest(interpolated(SfuTable.RECIP, fraction) * power(-exponent - 1))


def exact_rsqrt(word: int) -> int:
    exponent, fraction = (word >> 23 & 0xFF) - 127, word % FRACTIONS
    if exponent == -127:
        return word & b32.SIGN | b32.INF
    if b32.is_nan(word) or b32.is_negative(word):
        return b32.QNAN
    if b32.is_inf(word):
        return 0
    if exponent % 2 == 0:
        return b32.nearest(interpolated(SfuTable.RSQRT_EVEN, fraction) * power(-exponent // 2 - 1))
    return b32.nearest(interpolated(SfuTable.RSQRT_ODD, fraction) * power(-(exponent - 1) // 2 - 1))


def exact_nlog2(word: int) -> int:
    """Two's complement of 31 bits, bit 30 repeated in bit 31."""
    exponent = (word >> 23 & 0xFF) - 127
    units = int((interpolated(SfuTable.NLOG2, word % FRACTIONS) - exponent - 2) * FRACTIONS) % (1 << 31)
    return units | (units >> 30 << 31)


EXACT = {SfuOp.EXP2: exact_exp2, SfuOp.RECIP: exact_recip, SfuOp.RSQRT: exact_rsqrt, SfuOp.NLOG2: exact_nlog2}


@pytest.mark.parametrize("op", EXACT)
def test_definition(op: SfuOp) -> None:
    """Edges, every power of two and its neighbours, random words, and words in the range of EXP2."""
    powers = [(e << 23) + d & 0xFFFFFFFF for e in range(512) for d in (-1, 0, 1)]
    within = b32.words_near(1, np.full(4000, 120, np.int32), 14)
    limits = np.array([127.999, -126, -126.00001, 128, 128.00002, -0.0], np.float32).view(np.int32)
    x = np.concatenate([b32.array(b32.EDGES + powers), b32.random_words(2, 4000), within, limits])
    result = numerics.sfu_pipe(op, x)
    assert result.dtype == np.int32
    wrong = [
        f"{op.name}({word:08X}) = {got:08X}, not {exact:08X}"
        for word, got in zip(b32.listed(x), b32.listed(result), strict=True)
        if got != (exact := EXACT[op](word))
    ]
    assert not wrong, f"{len(wrong)} wrong: {wrong[:5]}"


def test_nlog2_of_words_that_are_not_normal() -> None:
    """Zero 127, subnormals between 126 and 127, infinity -128, a NaN wrapped to 127 and more; the sign is ignored."""
    words = b32.array([0x00000000, 0x80000000, 0x00400000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xC0800000])
    of_1_5 = 2 - float(interpolated(SfuTable.NLOG2, 1 << 22))
    logarithms = numerics.sfu_pipe(SfuOp.NLOG2, words) / 2.0**23
    assert abs(of_1_5 - np.log2(1.5)) < 3e-5
    assert logarithms.tolist() == [127, 127, 127 - of_1_5, -128, -128, 128 - of_1_5, -2]


INF, NAN = np.inf, np.nan
EDGE_VALUES = {
    SfuOp.EXP2: [
        (0.0, 1), (-0.0, 1), (1e-40, 1), (-1e-40, 1), (-1e-10, 1), (INF, INF), (-INF, 0.0), (NAN, NAN), (128, INF),
        (-126, 2.0**-126), (-126.0001, 0.0), (-1e30, 0.0), (127, 2.0**127), (0.5, 1.4142036437988281),
    ],
    SfuOp.RECIP: [
        (0.0, INF), (-0.0, -INF), (1e-40, INF), (-1e-40, -INF), (INF, 0.0), (-INF, -0.0), (NAN, NAN), (-4, -0.25),
        (2.0**126, 2.0**-126), (-1.5 * 2.0**126, -0.0), (2.0**127, 0.0), (2.0**-126, 2.0**126),
    ],
    SfuOp.RSQRT: [
        (0.0, INF), (-0.0, -INF), (1e-40, INF), (-1e-40, -INF), (INF, 0.0), (-INF, NAN), (NAN, NAN), (-1, NAN),
        (2.0**-126, 2.0**63), (2.0**126, 2.0**-63), (4, 0.5), (1, 1),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("op", "pairs"), EDGE_VALUES.items())
def test_edges(op: SfuOp, pairs: list[tuple[float, float]]) -> None:
    x = np.array([a for a, _ in pairs], np.float32).view(np.int32)
    assert b32.listed(numerics.sfu_pipe(op, x)) == b32.listed(fp32_words([value for _, value in pairs]))


# -------------------------------------------------------- every fraction, float64


@dataclass(frozen=True)
class Octave:
    """One function over the 2^23 fp32 words from ``first`` on: greatest error, range, and steps."""

    error: float
    low: float
    high: float
    falls: bool
    rises: bool


RUNS: dict[str, tuple[SfuOp, int, float, Callable[[Float64], Float64]]] = {
    "| EXP2 | 1 <= x < 2 |": (SfuOp.EXP2, 0x3F800000, 0.5, lambda x: 2.0**x),
    "| RECIP | 1 <= x < 2 |": (SfuOp.RECIP, 0x3F800000, 2, lambda x: 1 / x),
    "| RSQRT | 1 <= x < 2 |": (SfuOp.RSQRT, 0x3F800000, 2, lambda x: 1 / np.sqrt(x)),
    "| RSQRT | 2 <= x < 4 |": (SfuOp.RSQRT, 0x40000000, 2, lambda x: 1 / np.sqrt(x)),
    "| NLOG2 | 1 <= x < 2 |": (SfuOp.NLOG2, 0x3F800000, 1, lambda x: 2 - np.log2(x)),
}


@functools.cache
def octave(row: str) -> Octave:
    """All 2^23 words and the first of the next octave, in chunks that share their end points."""
    op, first, _, reference = RUNS[row]
    error, low, high, least, greatest = 0.0, np.inf, 0.0, np.inf, -np.inf
    for start in range(first, first + FRACTIONS, CHUNK):
        x = np.arange(start, start + CHUNK + 1, dtype=np.int32)
        result, exact = numerics.sfu_pipe(op, x), reference(fp32_values(x))
        y = 2 + result / 2.0**23 if op is SfuOp.NLOG2 else fp32_values(result)
        error = max(error, float((np.abs(y - exact) / (1 if op is SfuOp.NLOG2 else exact)).max()))
        low, high = min(low, y.min()), max(high, y.max())
        steps = np.diff(y)
        least, greatest = min(least, steps.min()), max(greatest, steps.max())
    return Octave(error, float(low), float(high), bool(least < 0), bool(greatest > 0))


def documented(row: str) -> list[float]:
    (line,) = [line for line in DOCS.read_text().splitlines() if line.startswith(row)]
    return [float(figure) for figure in re.findall(r"\d+\.\d+e-\d+", line)]


@pytest.mark.parametrize("row", RUNS)
def test_greatest_error_is_the_documented_one(row: str) -> None:
    (figure,) = documented(row)
    assert 0.99 * figure < octave(row).error <= figure


@pytest.mark.parametrize("row", RUNS)
def test_bounds_and_monotony_over_every_fraction(row: str) -> None:
    """2^20 <= y <= 2^21 in units of 2^-20, and no step in the wrong direction, segment boundaries included."""
    op, _, scale, _ = RUNS[row]
    measured = octave(row)
    assert 1 <= measured.low * scale <= measured.high * scale <= 2
    assert (measured.rises, measured.falls) == ((True, False) if op is SfuOp.EXP2 else (False, True))


def test_powers_of_two_are_exact() -> None:
    exponents = np.arange(-126, 128)
    values = fp32_words(2.0**exponents)
    assert np.array_equal(numerics.exp2(fp32_words(exponents)), values)
    assert np.array_equal(numerics.recip(values), fp32_words(2.0**-exponents))
    even = exponents % 2 == 0
    assert np.array_equal(numerics.rsqrt(values[even]), fp32_words(2.0 ** -(exponents[even] // 2)))
    assert np.array_equal(numerics.nlog2(values), -exponents << FRACTION_BITS)


def test_all_octaves_repeat_the_first() -> None:
    """recip(x 2^k) = recip(x) 2^-k and rsqrt(x 4^k) = rsqrt(x) 2^-k wherever the results are normal; so NLOG2."""
    x = b32.random_words(3, 2000) & np.int32(0x7FFFFF) | np.int32(0x3F800000)
    values, inverse, root = fp32_values(x), fp32_values(numerics.recip(x)), fp32_values(numerics.rsqrt(x))
    for k in range(-126, 126):
        assert np.array_equal(numerics.recip(fp32_words(values * 2.0**k)), fp32_words(inverse * 2.0**-k))
        assert np.array_equal(numerics.nlog2(fp32_words(values * 2.0**k)), numerics.nlog2(x) - (k << FRACTION_BITS))
    for k in range(-63, 64):
        assert np.array_equal(numerics.rsqrt(fp32_words(values * 4.0**k)), fp32_words(root * 2.0**-k))


# ------------------------------------------------------------------------ tables


@pytest.mark.parametrize("table", SfuTable)
def test_tables_fit_their_widths_and_join(table: SfuTable) -> None:
    entries = sfu_entries()[table * SEGMENTS : (table + 1) * SEGMENTS]
    assert len(entries) == SEGMENTS and len(sfu_entries()) == 320
    assert all(0 <= c0 < 1 << 21 and 0 <= c1 < 1 << 15 for c0, c1 in entries)
    assert all(c0 + c1 == following for (c0, c1), (following, _) in zip(entries[:-1], entries[1:], strict=True))
    root_2 = 1482910  # round(sqrt(2) * 2^20)
    ends = {
        SfuTable.EXP2: (1 << 20, 1 << 21),
        SfuTable.RECIP: (0, 1 << 20),
        SfuTable.RSQRT_EVEN: (0, (1 << 21) - root_2),
        SfuTable.RSQRT_ODD: ((1 << 21) - root_2, 1 << 20),
        SfuTable.NLOG2: (0, 1 << 20),
    }
    assert (entries[0][0], sum(entries[-1])) == ends[table]


# ----------------------------------------------------------- composite functions


def sigmoid(a: Int32) -> Int32:
    scaled = numerics.mul_pipe(MulOp.FMUL, a, b32.array([0xBFB8AA3B]))
    total = numerics.add_pipe(AddOp.FADD, numerics.sfu_pipe(SfuOp.EXP2, scaled), b32.array([0x3F800000]))
    return numerics.sfu_pipe(SfuOp.RECIP, total)


def errors(words: Int32, exact: Float64) -> tuple[float, float]:
    """Greatest relative and absolute error."""
    difference = np.abs(fp32_values(words) - exact)
    return float((difference[exact != 0] / np.abs(exact[exact != 0])).max()), float(difference.max())


@pytest.mark.parametrize("name", ["sigmoid", "silu"])
def test_composite_errors_are_the_documented_ones(name: str) -> None:
    a = np.arange(-(1 << 18), (1 << 18) + 1) / 2.0**14
    words, exact = sigmoid(fp32_words(a)), 1 / (1 + np.exp(-a))
    if name == "silu":
        words, exact = numerics.mul_pipe(MulOp.FMUL, fp32_words(a), words), a * exact
    figures = documented(f"| {name} | ")
    assert all(0.99 * f < e <= f for e, f in zip(errors(words, exact), figures, strict=True))


def test_sigmoid_at_its_ends() -> None:
    a = fp32_words([0.0, -87.5, -np.inf, np.inf, 100.0, np.nan])
    assert fp32_values(sigmoid(a))[:5].tolist() == [0.5, 0.0, 0.0, 1.0, 1.0]
    assert b32.listed(sigmoid(a))[5] == b32.QNAN
