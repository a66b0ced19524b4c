"""INT pipe against ``golden.numerics.int_alu``: every operation and bit, and the flag through bubbles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from cocotb_tests.units.vectors import assert_same, held, run_pipe
from golden.numerics import Bools, Int32, int_alu
from hdl.isa.opcodes import IntOp
from hdl.vector.int_pipe import IntPipe

pytestmark = pytest.mark.rtl
Generator = np.random.Generator
OPERATIONS = {False: [op for op in IntOp if op < IntOp.FMAX], True: list(IntOp)}
COMPARISONS = (IntOp.GT, IntOp.EQ, IntOp.FGT)
IMMEDIATES = np.array([0, -1, 0x12345, -(2**31), 0x55555555], np.int32)
MAGNITUDES = (
    *(0, 1, 2, 3, 127, 128, 255, 0x55555555, 0x7FFFFFFE, 0x7FFFFFFF),  # integers
    *(0x007FFFFF, 0x00800000, 0x3EFFFFFF, 0x3F000000, 0x3F000001, 0x3F7FFFFF, 0x3F800000),  # subnormal, 1/2, 1
    *(0x3FC00000, 0x40200000, 0x42FD0000, 0x42FE0000, 0x42FEFFFF, 0x42FF0000, 0x43000000),  # 1.5, 2.5, 126.5 .. 128
    *(0x43008000, 0x4B000000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000),  # 128.5, 2^23, infinity, NaNs
)
EDGES = np.array([sign << 31 | magnitude for sign in (0, 1) for magnitude in MAGNITUDES]).astype(np.int32)
Case = tuple[NDArray[np.int64], Int32, Int32]
"""Operations and operands, one element each."""


def random_words(rng: Generator, count: int) -> Int32:
    """Uniform words, fp32 numbers between 2^-4 and 2^9, edges and small integers."""
    uniform = rng.integers(-(2**31), 2**31, count)
    moderate = uniform & ~(0xFF << 23) | rng.integers(123, 137, count) << 23
    kinds = [uniform, moderate, rng.choice(EDGES, count).astype(np.int64), rng.integers(-9, 10, count)]
    return np.choose(rng.integers(len(kinds), size=count), kinds).astype(np.int32)


def random_case(rng: Generator, operations: list[IntOp], count: int) -> Case:
    """y is unrelated to x, or x with a few bits changed: comparisons that are decided late."""
    x, other = random_words(rng, count), random_words(rng, count)
    flips = 1 << rng.integers(0, 32, count) | rng.integers(0, 2, count) << 31
    close = np.where(rng.integers(0, 2, count), x ^ flips.astype(np.int32), x)
    return rng.choice(operations, count), x, np.where(rng.integers(0, 3, count) == 0, close, other)


def edge_case(operations: list[IntOp]) -> Case:
    """SELECT and PICK with the flag at 0, then every operation on every pair of edges, each followed by SELECT."""
    pairs = np.array(list(itertools.product(operations, EDGES, EDGES)), np.int64)
    shown = np.stack([pairs, np.broadcast_to([IntOp.SELECT, 1, 2], pairs.shape)], axis=1).reshape(-1, 3)
    op, x, y = np.concatenate([[[IntOp.SELECT, 3, 4], [IntOp.PICK, 5, 6]], shown]).T
    return op, x.astype(np.int32), y.astype(np.int32)


def byte_case() -> Case:
    """F2I8 of every sign, exponent and 7 leading bits of the fraction, with low bits on both sides of a tie."""
    high, low = np.arange(1 << 16, dtype=np.int64) << 16, np.array([0, 1, 0x8000, 0xFFFF])
    x = (high[:, np.newaxis] | low).astype(np.int32).ravel()
    return np.full(len(x), IntOp.F2I8, np.int64), x, x[::-1]


def flags_before(op: NDArray[np.int64], x: Int32, y: Int32, valid: Bools) -> Bools:
    """The flag that each element finds: left by the latest valid comparison before it, at first 0."""
    outcome, cycles = np.zeros(len(op), bool), np.arange(len(op))
    for comparison in COMPARISONS:
        here = op == comparison
        outcome[here] = int_alu(comparison, x[here], y[here], outcome[here], 0)[1]
    newest = np.maximum.accumulate(np.where(valid & np.isin(op, COMPARISONS), cycles, -1))
    after = np.where(newest >= 0, outcome[newest], False)
    return np.concatenate([[False], after[:-1]])


def golden(op: NDArray[np.int64], x: Int32, y: Int32, imm: Int32, flags: Bools) -> Int32:
    values = np.zeros(len(op), np.int32)
    for operation in IntOp:
        for immediate in IMMEDIATES if operation is IntOp.PICK else (None,):
            here = (op == operation) & (True if immediate is None else imm == immediate)
            values[here] = int_alu(operation, x[here], y[here], flags[here], int(immediate or 0))[0]
    return values


@pytest.mark.parametrize("floats", [False, True])
def test_int_pipe(floats: bool) -> None:
    """The edges, then a million elements in random order, a tenth of those cycles bubbles; latency 1."""
    rng, operations = np.random.default_rng(3), OPERATIONS[floats]
    edges, cases = edge_case(operations), [random_case(rng, operations, 1_000_000)]
    cases += [byte_case()] if floats else []
    mixed = [np.concatenate(parts) for parts in zip(*cases, strict=True)]
    order = rng.permutation(len(mixed[0]))
    op, x, y = (np.concatenate([edge, part[order]]) for edge, part in zip(edges, mixed, strict=True))
    imm, valid = rng.choice(IMMEDIATES, len(op)), rng.random(len(op)) < 0.9
    valid[: len(edges[0])] = True
    words = run_pipe(IntPipe(floats), op, x, y, imm, valid, extra=1)
    flags = flags_before(op, x, y, valid)
    expected = held(golden(op, x, y, imm, flags), valid, latency=1)
    assert_same(words, expected, latency=1, op=op, x=x, y=y, imm=imm, flag=flags)
