"""RMS norm and quantisation by the largest magnitude of a row."""

from __future__ import annotations

from compiler.bundle import Bundle
from compiler.lower.base import RowLowering, binary
from compiler.lower.pipeline import Imm, Pipeline
from compiler.lower.reduce import over_lanes, over_tiles, sum_pitch, sum_row
from hdl.isa import AddOp, IntOp, MulOp, SfuOp


class RmsNorm(RowLowering):
    """y = (x * rsqrt(sum(x^2) * (1/N) + epsilon)) * gain"""

    def row(self, m: int, pitch: int) -> Bundle:
        op = self.op
        b = self.builder()
        v = Pipeline(self.config, b)
        x = self.over_tiles(self.p.x, m)
        squares = v.op(MulOp.FMUL, x, x, count=self.tiles, pitch=sum_pitch(self.config))
        total = sum_row(self, v, squares)
        mean = v.op(MulOp.FMUL, total, Imm.of(1 / op.output.shape[1]))
        inverse = v.op(SfuOp.RSQRT, v.op(AddOp.FADD, mean, Imm.of(op.epsilon)))
        scaled = v.op(MulOp.FMUL, x, inverse, count=self.tiles, pitch=pitch)
        gain = self.over_tiles(op.inputs[1], 0)
        v.op(MulOp.FMUL, scaled, gain, count=self.tiles, pitch=pitch, to=self.to(self.p.output, m))
        return b.build()


class Quantise(RowLowering):
    """scale = max |x| / 127, q = F2I8(x * recip(scale))"""

    def row(self, m: int, pitch: int) -> Bundle:
        op = self.op
        b = self.builder()
        v = Pipeline(self.config, b)
        first, rest = v.op(IntOp.FABS, self.over_tiles(self.p.x, m)), self.over_tiles(self.p.x, m, 1)
        largest = over_lanes(self, v, IntOp.FMAX, over_tiles(v, IntOp.FAMAX, first, rest, self.tiles - 1))
        scale = v.op(MulOp.FMUL, largest, Imm.of(1 / 127), to=self.to(op.extra[0], m))
        inverse = v.op(SfuOp.RECIP, scale)
        scaled = binary(v, MulOp.FMUL, self.over_tiles(self.p.x, m), inverse, self.tiles, pitch)
        v.op(IntOp.F2I8, scaled, count=self.tiles, pitch=pitch, to=self.to(self.p.output, m))
        return b.build()
