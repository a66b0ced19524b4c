"""SiLU a * sigmoid(a), and the gated product of a feed-forward block, silu(a) * b."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering
from compiler.lower.pipeline import Imm, Pipeline
from hdl.isa import AddOp, MulOp, SfuOp

BLOCK = 3
"""Tiles that follow one another before the next block begins: as many as MUL has products for each tile, so that the
gaps of one block are as long as the runs of another."""


class Silu(Lowering):
    """sigmoid(a) = recip(1 + exp2(-a * log2 e)), all of a tile in one trip; a bundle is a block of a row."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            for tile in range(0, self.tiles, BLOCK):
                yield self.at_pitch(partial(self._bundle, m, tile, min(BLOCK, self.tiles - tile)))

    def _bundle(self, m: int, tile: int, n: int, pitch: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        a, *gates = (self.over_tiles(tensor, m, tile) for tensor in self.op.inputs)
        power = v.op(MulOp.FMUL, a, Imm.of(-math.log2(math.e)), count=n, pitch=pitch)
        grown = v.op(AddOp.FADD, v.op(SfuOp.EXP2, power, count=n, pitch=pitch), Imm.of(1.0), count=n, pitch=pitch)
        sigmoid = v.op(SfuOp.RECIP, grown, count=n, pitch=pitch)
        to = self.to(self.p.output, m, tile)
        silu = v.op(MulOp.FMUL, a, sigmoid, count=n, pitch=pitch, to=None if gates else to)
        for gate in gates:
            v.op(MulOp.FMUL, silu, gate, count=n, pitch=pitch, to=to)
        return b.build()
