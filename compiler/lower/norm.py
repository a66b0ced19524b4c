"""RMS norm, quantisation by the largest magnitude of a row, and the two at once."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.bundle import Bundle
from compiler.lower.base import Lowering, RowLowering, binary
from compiler.lower.pipeline import Imm, Own, Pipeline, Reg
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


class NormQuantise(Lowering):
    """c = max |x g| / 127, q = F2I8((x g) * recip(c)); the scale c * rsqrt(mean + epsilon) comes later, beside it."""

    def bundles(self) -> Iterator[Bundle]:
        yield self.at_pitch(self._codes)
        yield self._scale()

    def _codes(self, pitch: int) -> Bundle:
        u, c = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        x, gain = self.over_tiles(self.p.x, 0), self.over_tiles(self.op.inputs[1], 0)
        products = binary(v, MulOp.FMUL, x, gain, self.tiles, pitch, self.to(u, 0))
        largest = over_lanes(self, v, IntOp.FMAX, _largest(v, products))
        inverse = v.op(SfuOp.RECIP, v.op(MulOp.FMUL, largest, Imm.of(1 / 127), to=self.to(c, 0)))
        codes = v.op(MulOp.FMUL, self.over_tiles(u, 0), inverse, count=self.tiles, pitch=pitch)
        v.op(IntOp.F2I8, codes, count=self.tiles, pitch=pitch, to=self.to(self.p.output, 0))
        return b.build()

    def _scale(self) -> Bundle:
        op = self.op
        b = self.builder()
        v = Pipeline(self.config, b)
        x = self.over_tiles(self.p.x, 0)
        squares = v.op(MulOp.FMUL, x, x, count=self.tiles, pitch=sum_pitch(self.config))
        mean = v.op(MulOp.FMUL, sum_row(self, v, squares), Imm.of(1 / op.output.shape[1]))
        inverse = v.op(SfuOp.RSQRT, v.op(AddOp.FADD, mean, Imm.of(op.epsilon)))
        v.op(MulOp.FMUL, self.over_tiles(self.p.scratch[1], 0), inverse, to=self.to(op.extra[0], 0))
        return b.build()


def _largest(v: Pipeline, values: Reg) -> Reg:
    """The largest magnitude of each lane of several results that leave their pipe one after another."""
    first = v.op(IntOp.FABS, values.element(0))
    rest = values.count - 1
    if not rest:
        return first
    return v.op(IntOp.FAMAX, values.element(1, rest), Own(first), count=rest, pitch=values.pitch).element(rest - 1)
