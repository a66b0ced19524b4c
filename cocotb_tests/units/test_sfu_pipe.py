"""SFU pipe against ``golden.numerics.sfu_pipe``: all segments of all tables, edges, rounding and special cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from cocotb_tests.units.vectors import assert_same, held, run_pipe
from golden.numerics import Int32, sfu_pipe
from hdl.emit import Shared, shared
from hdl.isa.opcodes import SfuOp
from hdl.isa.special import SEGMENTS, sfu_entries
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.sfu_pipe import SfuPipe
from hdl.vector.sfu_rom import RISE_BITS, SLOPE_BITS, rom_words
from hdl.vector.sfu_turns import SfuTurns

pytestmark = pytest.mark.rtl
Generator = np.random.Generator
Ints = NDArray[np.int64]
ONE, TWO = 127, 128
"""Biased exponents of the binades whose fractions are the tables' arguments; of EXP2 and RECIP, ONE."""
OFFSET_BITS = 17
MAGNITUDES = (
    *(0x00000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF),  # zero, subnormals, smallest normals
    *(0x337FFFFF, 0x33800000, 0x33800001, 0x34000000, 0x34400000),  # around 2^-24, 2^-23: EXP2's rounding
    *(0x3EFFFFFF, 0x3F000000, 0x3F000001, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FC00000, 0x40000000, 0x40200000),
    *(0x42FC0000, 0x42FC0001, 0x42FE0000, 0x42FE0001, 0x42FFFFFF, 0x43000000, 0x43000001),  # 126, 127, 128
    *(0x4B000000, 0x4B7FFFFF, 0x4EFFFFFF, 0x4F000000, 0x4F000001, 0x4F800000),  # 2^23 .. 2^32
    *(0x7E7FFFFF, 0x7E800000, 0x7E800001, 0x7E810000, 0x7EFFFFFF, 0x7F000000, 0x7F000001, 0x7F7FFFFF),  # 1/x tiny
    *(0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF),  # infinity, NaNs
)
EDGES = np.array([sign << 31 | magnitude for sign in (0, 1) for magnitude in MAGNITUDES])


def table_words(rng: Generator) -> Ints:
    """Both binades, all segments, offsets 0, 1, all ones and 500 more in each."""
    offsets = np.concatenate([[0, 1, (1 << OFFSET_BITS) - 1], rng.integers(0, 1 << OFFSET_BITS, 500)])
    exponent, segment, offset = np.meshgrid([ONE, TWO], np.arange(SEGMENTS), offsets, indexing="ij")
    words: Ints = (exponent << 23 | segment << OFFSET_BITS | offset).ravel()
    return words


def upper_words(rng: Generator) -> Ints:
    """Every sign, exponent and 7 leading bits of the fraction, with the lowest and with other low bits."""
    high = np.arange(1 << 16) << 16
    return np.concatenate([high, high | rng.integers(1, 1 << 16, 1 << 16)])


def uniform_words(rng: Generator) -> Ints:
    return rng.integers(0, 1 << 32, 120_000)


def moderate_words(rng: Generator) -> Ints:
    """2^-25 <= |x| < 2^34, fractions with few digits: ties of both conversions, and the limits."""
    count = 120_000
    fraction = rng.integers(0, 1 << 23, count) >> rng.integers(0, 24, count) << rng.integers(0, 24, count)
    return rng.integers(0, 2, count) << 31 | rng.integers(102, 161, count) << 23 | fraction & 0x7FFFFF


FAMILIES: dict[str, Callable[[Generator], Ints]] = {
    "tables": table_words,
    "upper halves": upper_words,
    "uniform": uniform_words,
    "moderate": moderate_words,
    "edges": lambda rng: EDGES,
}


def golden(op: Ints, x: Int32) -> Int32:
    values = np.zeros(len(op), np.int32)
    for operation in SfuOp:
        values[op == operation] = sfu_pipe(operation, x[op == operation])
    return values


def test_sfu_pipe() -> None:
    """Every operation on every family, in random order, a tenth of the cycles bubbles; latency 4."""
    rng = np.random.default_rng(5)
    family = np.concatenate([make(rng) for make in FAMILIES.values()])
    op, x = np.repeat(list(SfuOp), len(family)), np.tile(family, len(SfuOp)).astype(np.int32)
    order = rng.permutation(len(op))
    op, x, valid = op[order], x[order], rng.random(len(op)) < 0.9
    words = run_pipe(SfuPipe(), op, x, valid=valid, extra=4)
    assert_same(words, held(golden(op, x), valid, latency=4), latency=4, op=op, x=x)


class OneLane(Shared):
    """One of some lanes with one pipe; the others have other operands."""

    def __init__(self, lanes: int, shown: int, registered: bool) -> None:
        self._lanes, self._shown, self._registered = lanes, shown, registered
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return f"lane_{self._shown}_of_{self._lanes}_{int(self._registered)}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sfu = SfuTurns(self._lanes, self._registered)
        m.submodules.sfu = shared(sfu, platform)
        m.d.comb += [sfu.command.eq(self.command), self.result.eq(sfu.result[self._shown])]
        for j in range(self._lanes):
            m.d.comb += sfu.x[j].eq(self.x ^ (0x11223344 * (j - self._shown) & 0xFFFFFFFF))
        return m


@pytest.mark.parametrize(
    ("lanes", "shown", "registered"), [(2, 0, False), (2, 1, True), (4, 0, True), (4, 1, False), (4, 3, False)]
)
def test_a_pipe_for_some_lanes(lanes: int, shown: int, registered: bool) -> None:
    """Every segment and every case, elements ``lanes`` or more cycles apart, garbage between them."""
    rng, latency = np.random.default_rng(6), lanes + 3 + int(registered)
    family = np.concatenate([table_words(rng)[::8], upper_words(rng)[::16], EDGES])
    op, x = np.repeat(list(SfuOp), len(family)), np.tile(family, len(SfuOp)).astype(np.int32)
    order = rng.permutation(len(op))
    first = np.arange(len(op) * lanes) % lanes == 0
    op, x = (np.where(first, np.repeat(v[order], lanes), rng.permutation(np.repeat(v, lanes))) for v in (op, x))
    valid = first & (rng.random(len(op)) < 0.9)
    words = run_pipe(OneLane(lanes, shown, registered), op, x, valid=valid, extra=latency)
    assert_same(words, held(golden(op, x), valid, latency=latency), latency=latency, op=op, x=x)


def test_rom_words() -> None:
    """The memory holds the tables: EXP2's c0 - 2^20, the others' 2^20 - c0, and c1."""
    words = rom_words()
    for (c0, c1), word, sign in zip(sfu_entries(), words, [1] * SEGMENTS + [-1] * 4 * SEGMENTS, strict=True):
        rise, slope = word >> SLOPE_BITS, word & (1 << SLOPE_BITS) - 1
        assert (rise, slope) == (sign * (c0 - (1 << 20)), c1)
        assert 0 <= rise < 1 << RISE_BITS
