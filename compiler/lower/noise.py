"""Gumbel noise of a row from a counter: see ``golden.operators.noise``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering
from compiler.lower.pipeline import Imm, Pipeline, Reg, Rows
from golden.operators.noise import (
    DRAW_MASK,
    FACTOR,
    LOG_E_OFFSET,
    LOG_U_OFFSET,
    MULTIPLIER,
    ONE,
    ROUND_MASK,
    ROUNDS,
    SIGNIFICAND_MASK,
    UNIT,
)
from hdl.isa import AddOp, IntOp, MulOp, SfuOp

BLOCK = 2
"""Tiles that follow one another, 4 at most, the cycles that INT and ADD have between two operations on a tile. Shorter
blocks find more room beside other operators; longer ones take fewer instructions."""


class Noise(Lowering):
    """The row's words, then blocks of tiles; each result is taken as soon as it is there, so that no pipe is held."""

    def bundles(self) -> Iterator[Bundle]:
        yield self._row_words()
        yield self._unit()
        for tile in range(0, self.tiles, BLOCK):
            yield self.at_pitch(partial(self._block, tile, min(BLOCK, self.tiles - tile)))

    def _row_words(self) -> Bundle:
        addend, factor, _ = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        counter = self.over_tiles(self.p.x, 0)
        low = v.op(IntOp.AND, counter, Imm(SIGNIFICAND_MASK))
        v.op(IntOp.OR, low, Imm(ONE), to=self.to(addend, 0))
        mixed = v.op(MulOp.FMUL, v.op(AddOp.I2F, counter), Imm.of(MULTIPLIER))
        for _ in range(ROUNDS):
            word = v.op(IntOp.AND, v.op(IntOp.XOR, mixed, counter), Imm(ROUND_MASK))
            mixed = v.op(MulOp.FMUL, v.op(AddOp.I2F, word), Imm.of(MULTIPLIER))
        v.op(IntOp.OR, v.op(IntOp.AND, mixed, Imm(SIGNIFICAND_MASK)), Imm(FACTOR), to=self.to(factor, 0))
        return b.build()

    def _unit(self) -> Bundle:
        b = self.builder()
        temperature = self.over_tiles(self.op.inputs[1], 0)
        Pipeline(self.config, b).op(MulOp.FMUL, temperature, Imm.of(UNIT), to=self.to(self.p.scratch[2], 0))
        return b.build()

    def _block(self, tile: int, n: int, pitch: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        factor = self.over_tiles(self.p.scratch[1], 0)
        power = v.op(MulOp.FMUL, self._fine(v, tile, n, pitch), factor, count=n, pitch=pitch)
        product = v.op(MulOp.FMUL, factor, v.op(SfuOp.EXP2, power, count=n, pitch=pitch), count=n, pitch=pitch)
        draw = v.op(AddOp.I2F, v.op(IntOp.AND, product, Imm(DRAW_MASK), count=n, pitch=pitch), count=n, pitch=pitch)
        place = v.op(AddOp.FADD, self._fine(v, tile, n, pitch, draw.ready - 1), draw, count=n, pitch=pitch)
        log_e = _logarithm(v, _logarithm(v, place, LOG_U_OFFSET), LOG_E_OFFSET)
        unit = self.over_tiles(self.p.scratch[2], 0)
        v.op(MulOp.FMUL, log_e, unit, count=n, pitch=pitch, to=self.to(self.p.output, 0, tile))
        return b.build()

    def _fine(self, v: Pipeline, tile: int, n: int, pitch: int, earliest: int = 0) -> Reg:
        """The addend with the keys' bits, by INT."""
        addend, keys = self.over_tiles(self.p.scratch[0], 0), self.over_tiles(self.p.consts[0], 0, tile)
        x: Rows | Reg = addend
        if addend.at.unit == keys.at.unit:
            x = v.op(IntOp.PASS, addend, count=n, pitch=pitch, earliest=earliest - 1)
        return v.op(IntOp.XOR, x, keys, count=n, pitch=pitch, earliest=earliest)


def _logarithm(v: Pipeline, x: Reg, offset: int) -> Reg:
    """-log2 |x| in units of 2^-23, plus ``offset`` of them, as fp32."""
    n, pitch = x.count, x.pitch
    units = v.op(SfuOp.NLOG2, x, count=n, pitch=pitch)
    return v.op(AddOp.I2F, v.op(IntOp.ADD, units, Imm(offset), count=n, pitch=pitch), count=n, pitch=pitch)
