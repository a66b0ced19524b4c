"""MUL and ADD pipes against ``golden.numerics``: every bit of millions of results, bubbles between the elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cocotb_tests.units.vectors import assert_same, held, run_pipe
from golden.numerics import Int32, add_pipe, mul_pipe
from hdl.emit import Shared
from hdl.isa import AddOp, MulOp
from hdl.vector.add_pipe import AddPipe
from hdl.vector.mul_pipe import MulPipe

pytestmark = pytest.mark.rtl
Generator = np.random.Generator
Ints = NDArray[np.int64]
Operands = tuple[Int32, Int32]
ADD_PAIRS = {AddOp.PASS: 1 << 12, AddOp.FADD: 70_000, AddOp.FSUB: 70_000, AddOp.FRSUB: 70_000, AddOp.I2F: 110_000}
MUL_PAIRS = 210_000
"""Pairs per family of operands: with five families, a million each of sums, of products and of conversions."""
MAGNITUDES = (
    *(0x00000000, 0x00000001, 0x00400000, 0x007FFFFF),  # zero, subnormals
    *(0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000),  # smallest normals
    *(0x1F800000, 0x20000000, 0x33800000, 0x34000000),  # 2^-64, 2^-63, 2^-24, 2^-23
    *(0x3F000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FFFFFFF, 0x40000000),  # around 1
    *(0x4B000000, 0x4B7FFFFF, 0x4B800000, 0x4B800001),  # 2^23, around 2^24
    *(0x72FFFFFF, 0x73000000),  # around half a unit of the largest normal's last place: below it, and up to 2^128
    *(0x7E800000, 0x7EFFFFFF, 0x7F000000, 0x7F7FFFFF),  # largest normals
    *(0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF),  # infinity, NaNs
)
EDGES = np.array([sign << 31 | magnitude for sign in (0, 1) for magnitude in MAGNITUDES]).astype(np.int32)


# --------------------------------------------------------------------- operands


def words(sign: Any, exponent: Any, fraction: Any) -> Int32:
    """fp32 words; exponents are brought into 0..255."""
    fields = np.asarray(sign, np.int64) << 31 | np.clip(exponent, 0, 255) << 23 | np.asarray(fraction) & 0x7FFFFF
    return fields.astype(np.int32)


def sparse(rng: Generator, count: int) -> Ints:
    """Fractions whose sums and products often end in a tie: a few high bits, and runs of ones."""
    fraction = rng.integers(0, 1 << 23, count) >> rng.integers(0, 24, count) << rng.integers(0, 24, count)
    return np.where(rng.integers(0, 3, count) == 0, ~fraction, fraction) & 0x7FFFFF


def uniform(rng: Generator, count: int) -> Operands:
    x, y = rng.integers(-(1 << 31), 1 << 31, (2, count))
    return x.astype(np.int32), y.astype(np.int32)


def close(rng: Generator, count: int) -> Operands:
    """y = x but for an exponent one off at most, the sign, and some low bits: cancellation."""
    x, _ = uniform(rng, count)
    low = rng.integers(0, 1 << 24, count) >> rng.integers(0, 25, count)
    step = rng.integers(-1, 2, count) << 23
    return x, ((x ^ low ^ rng.integers(0, 2, count) << 31) + step).astype(np.int32)


def ties(rng: Generator, count: int) -> Operands:
    """Exponents up to 30 apart, fractions with few digits."""
    signs, exponent = rng.integers(0, 2, (2, count)), rng.integers(64, 192, count)
    x = words(signs[0], exponent, sparse(rng, count))
    return x, words(signs[1], exponent + rng.integers(-30, 31, count), sparse(rng, count))


def extreme(rng: Generator, count: int) -> Operands:
    """Both operands tiny or both large: sums that underflow or overflow."""
    signs, low = rng.integers(0, 2, (2, count)), rng.integers(0, 2, count) * 250
    x, y = (low + rng.integers(0, 6, (2, count))) + rng.integers(0, 2, count) * rng.integers(0, 26, count)
    return words(signs[0], x, sparse(rng, count)), words(signs[1], y, rng.integers(0, 1 << 23, count))


def borderline(rng: Generator, count: int) -> Operands:
    """Exponents whose product is within a few binades of underflow or overflow."""
    signs, total = rng.integers(0, 2, (2, count)), rng.choice([127, 127 + 255], count) + rng.integers(-3, 3, count)
    x = rng.integers(np.maximum(1, total - 254), np.minimum(254, total - 1) + 1)
    few = rng.integers(0, 2, count) * 0x7FF800  # near one and near two
    y = words(signs[1], total - x, few ^ rng.integers(0, 1 << 12, count))
    return words(signs[0], x, np.where(rng.integers(0, 2, count), sparse(rng, count), few)), y


def pairs(rng: Generator, count: int) -> Operands:
    """``count`` pairs of every family, and all pairs of edges, in one order."""
    families = [family(rng, count) for family in (uniform, close, ties, extreme, borderline)]
    xs, ys = zip((np.repeat(EDGES, len(EDGES)), np.tile(EDGES, len(EDGES))), *families, strict=True)
    return np.concatenate(xs), np.concatenate(ys)


def integers() -> Int32:
    """All 16-bit integers of both signs at every position, with and without bits below."""
    shifted = np.arange(1 << 16)[:, None] << np.array([0, 3, 8, 9, 10, 13, 16])
    return np.concatenate([shifted, -shifted, shifted + 1, shifted - 1], axis=None).astype(np.int32)


# ------------------------------------------------------------------------- tests


def check(
    pipe: Shared, golden: Callable[[int, Int32, Int32], Int32], latency: int, op: Ints, x: Int32, y: Int32
) -> None:
    """The result of every cycle; one cycle in 16 is a bubble."""
    valid = np.random.default_rng(len(op)).integers(0, 16, len(op)) > 0
    values = np.zeros(len(op), np.int32)
    for kind in np.unique(op):
        chosen = op == kind
        values[chosen] = golden(kind, x[chosen], y[chosen])
    found = run_pipe(pipe, op, x, y, valid=valid, extra=latency)
    assert_same(found, held(values, valid, latency), latency, op=op, x=x, y=y)


def test_mul() -> None:
    x, y = pairs(np.random.default_rng(1), MUL_PAIRS)
    check(MulPipe(), lambda op, x, y: mul_pipe(MulOp(op), x, y), 3, np.full(len(x), MulOp.FMUL.value), x, y)


def test_add() -> None:
    """Every operation on all pairs of edges and on more than a million pairs; I2F on patterns of 16 bits as well."""
    rng = np.random.default_rng(2)
    sets = [(op, *pairs(rng, count)) for op, count in ADD_PAIRS.items()]
    patterns = integers()
    sets.append((AddOp.I2F, patterns, rng.permutation(patterns)))
    op = np.concatenate([np.full(len(x), op.value) for op, x, _ in sets])
    order = rng.permutation(len(op))
    x, y = (np.concatenate([group[side] for group in sets])[order] for side in (1, 2))
    check(AddPipe(), lambda op, x, y: add_pipe(AddOp(op), x, y), 4, op[order], x, y)
