"""The gate of a feed-forward block with its product, in fp32 and as codes: silu(a) * b."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering, binary
from compiler.lower.matmul import Matmul
from compiler.lower.pipeline import Imm, Pipeline, Reg
from hdl.config import PipeKind
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


class Exp2Gate(Matmul):
    """(w x * a) * recip((1 + exp2(a * scale)) * divisor); a bundle is a tile.

    The reciprocals go through SRAM: tiles of the product follow one another closely without them, and little is left to
    do after the last one.
    """

    def bundles(self) -> Iterator[Bundle]:
        tiles = self.placement[self.p.output].tiles
        for tile in range(tiles):
            yield self._reciprocal(tile)
        for tile in range(tiles):
            yield self.at_pitch(partial(self._product, tile))

    def _reciprocal(self, tile: int) -> Bundle:
        b = self.builder("reciprocal")
        v = Pipeline(self.config, b)
        a, scale, divisor = (self.over_tiles(tensor, 0, tile) for tensor in self.op.inputs[2:])
        grown = _grown(v, binary(v, MulOp.FMUL, a, scale), 1, 1)
        v.op(SfuOp.RECIP, v.op(MulOp.FMUL, grown, divisor), to=self.to(self.p.scratch[0], 0, tile))
        return b.build()

    def _product(self, tile: int, pitch: int) -> Bundle:
        b = self.builder("product")
        v = Pipeline(self.config, b)
        a, reciprocal = (self.over_tiles(tensor, 0, tile) for tensor in (self.op.inputs[2], self.p.scratch[0]))
        product = v.op(AddOp.I2F, self.feed(b, 0, 1, tile, pitch, PipeKind.ADD))
        for factor in (a, reciprocal):
            product = v.op(MulOp.FMUL, product, factor)
        v.op(IntOp.F2I8, product, to=self.to(self.p.output, 0, tile))
        return b.build()


def _inverse(v: Pipeline, power: Reg, n: int, pitch: int) -> Reg:
    """recip(1 + exp2(power))"""
    return v.op(SfuOp.RECIP, _grown(v, power, n, pitch), count=n, pitch=pitch)


def _grown(v: Pipeline, power: Reg, n: int, pitch: int) -> Reg:
    """1 + exp2(power)"""
    return v.op(AddOp.FADD, v.op(SfuOp.EXP2, power, count=n, pitch=pitch), Imm.of(1.0), count=n, pitch=pitch)
