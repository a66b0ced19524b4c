"""The gate of a feed-forward block with its product, in fp32 and as codes: silu(a) * b."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering, binary
from compiler.lower.pipeline import Imm, Pipeline, Reg
from hdl.isa import AddOp, IntOp, MulOp, SfuOp

BLOCK = 3
"""Tiles that follow one another before the next block begins: as many as MUL has products for each tile, so that the
gaps of one block are as long as the runs of another."""


class SiluMul(Lowering):
    """sigmoid(a) = recip(1 + exp2(-a * log2 e)), all of a tile in one trip; a bundle is a block of a row."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            for tile in range(0, self.tiles, BLOCK):
                yield self.at_pitch(partial(self._bundle, m, tile, min(BLOCK, self.tiles - tile)))

    def _bundle(self, m: int, tile: int, n: int, pitch: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        a, gate = (self.over_tiles(tensor, m, tile) for tensor in self.op.inputs)
        power = v.op(MulOp.FMUL, a, Imm.of(-math.log2(math.e)), count=n, pitch=pitch)
        silu = v.op(MulOp.FMUL, a, _inverse(v, power, n, pitch), count=n, pitch=pitch)
        v.op(MulOp.FMUL, silu, gate, count=n, pitch=pitch, to=self.to(self.p.output, m, tile))
        return b.build()


class Exp2Gate(Lowering):
    """product * recip((1 + exp2(a * scale)) * divisor); a bundle is a tile, to fit between those of others."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            for tile in range(self.tiles):
                yield self._bundle(m, tile)

    def _bundle(self, m: int, tile: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        a, product, scale, divisor = (self.over_tiles(tensor, m, tile) for tensor in self.op.inputs)
        grown = _grown(v, binary(v, MulOp.FMUL, a, scale), 1, 1)
        inverse = v.op(SfuOp.RECIP, v.op(MulOp.FMUL, grown, divisor))
        v.op(IntOp.F2I8, v.op(MulOp.FMUL, product, inverse), to=self.to(self.p.output, m, tile))
        return b.build()


def _inverse(v: Pipeline, power: Reg, n: int, pitch: int) -> Reg:
    """recip(1 + exp2(power))"""
    return v.op(SfuOp.RECIP, _grown(v, power, n, pitch), count=n, pitch=pitch)


def _grown(v: Pipeline, power: Reg, n: int, pitch: int) -> Reg:
    """1 + exp2(power)"""
    return v.op(AddOp.FADD, v.op(SfuOp.EXP2, power, count=n, pitch=pitch), Imm.of(1.0), count=n, pitch=pitch)
