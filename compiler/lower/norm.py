"""RMS norm and quantisation by the largest magnitude of a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering, binary
from compiler.lower.pipeline import Imm, Own, Pipeline, Reg
from compiler.lower.reduce import over_lanes, sum_pitch, sum_row
from hdl.isa import AddOp, IntOp, MulOp, SfuOp


class RmsNorm(Lowering):
    """y = (x * rsqrt(sum(x^2) * (1/N) + epsilon)) * gain; a bundle is a row."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            yield self.at_pitch(partial(self._bundle, m))

    def _bundle(self, m: int, pitch: int) -> Bundle:
        op = self.p.op
        assert op is not None
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


class Quantise(Lowering):
    """scale = max |x| / 127, q = F2I8(x * recip(scale)); a bundle is a row."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            yield self.at_pitch(partial(self._bundle, m))

    def _bundle(self, m: int, pitch: int) -> Bundle:
        op = self.p.op
        assert op is not None
        b = self.builder()
        v = Pipeline(self.config, b)
        largest = over_lanes(self, v, IntOp.FMAX, self._over_tiles(v, m))
        scale = v.op(MulOp.FMUL, largest, Imm.of(1 / 127), to=self.to(op.extra[0], m))
        inverse = v.op(SfuOp.RECIP, scale)
        scaled = binary(v, MulOp.FMUL, self.over_tiles(self.p.x, m), inverse, self.tiles, pitch)
        v.op(IntOp.F2I8, scaled, count=self.tiles, pitch=pitch, to=self.to(self.p.output, m))
        return b.build()

    def _over_tiles(self, v: Pipeline, m: int) -> Reg:
        largest = v.op(IntOp.FABS, self.over_tiles(self.p.x, m))
        if self.tiles == 1:
            return largest
        rest = self.over_tiles(self.p.x, m, 1)
        return v.op(IntOp.FAMAX, rest, Own(largest), count=self.tiles - 1).element(self.tiles - 2)
