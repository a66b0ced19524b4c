"""RMS norm, its scale alone, and quantisation by the largest magnitude of a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering, RowLowering, binary
from compiler.lower.pipeline import Imm, Pipeline, Reg, Rows
from compiler.lower.reduce import over_lanes, over_tiles, sum_pitch, sum_row
from golden.operators import SUM_WIDTH
from hdl.isa import AddOp, IntOp, MulOp, SfuOp

BLOCK = 4
"""Tiles whose largest magnitude is found at once."""


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


class Quantise(Lowering):
    """scale = max |x| / 127, q = F2I8(x * recip(scale))

    The largest magnitude of each lane is carried through SRAM from block to block, so that few tiles are left when the
    last one is there.
    """

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            last = (self.tiles - 1) // BLOCK * BLOCK
            for tile in range(0, last, BLOCK):
                yield self._carry(m, tile)
            yield self.at_pitch(partial(self._row, m, last))

    def _carry(self, m: int, tile: int) -> Bundle:
        b = self.builder("magnitudes")
        v = Pipeline(self.config, b)
        v.op(IntOp.PASS, self._magnitude(v, m, tile, BLOCK), to=self.to(self.p.scratch[0], m))
        return b.build()

    def _magnitude(self, v: Pipeline, m: int, tile: int, n: int) -> Reg:
        """The largest magnitude of each lane in ``n`` tiles and those before them."""
        x = self.over_tiles(self.p.x, m, tile)
        largest = over_tiles(v, IntOp.FAMAX, v.op(IntOp.FABS, x), Rows(x.at, x.addr + x.stride, x.stride), n - 1)
        return v.op(IntOp.FMAX, largest, self.over_tiles(self.p.scratch[0], m)) if tile else largest

    def _row(self, m: int, last: int, pitch: int) -> Bundle:
        op = self.op
        b = self.builder()
        v = Pipeline(self.config, b)
        largest = over_lanes(self, v, IntOp.FMAX, self._magnitude(v, m, last, self.tiles - last))
        scale = v.op(MulOp.FMUL, largest, Imm.of(1 / 127), to=self.to(op.extra[0], m))
        inverse = v.op(SfuOp.RECIP, scale)
        scaled = binary(v, MulOp.FMUL, self.over_tiles(self.p.x, m), inverse, self.tiles, pitch)
        v.op(IntOp.F2I8, scaled, count=self.tiles, pitch=pitch, to=self.to(self.p.output, m))
        return b.build()


class InverseNorm(Lowering):
    """s = rsqrt(sum(x^2) + N epsilon); with a factor, that sum times it as well"""

    def bundles(self) -> Iterator[Bundle]:
        b = self.builder()
        v = Pipeline(self.config, b)
        total = v.op(AddOp.FADD, self._sum(v), Imm.of(self.p.x.shape[1] * self.op.epsilon))
        v.op(SfuOp.RSQRT, total, to=self.to(self.p.output, 0))
        for factor, product in zip(self.op.inputs[1:], self.op.extra, strict=True):
            v.op(MulOp.FMUL, total, self.over_tiles(factor, 0), to=self.to(product, 0))
        yield b.build()

    def _sum(self, v: Pipeline) -> Reg:
        """Of four tiles, halves of one row of the sum, those that are added follow one another."""
        x, tiles = self.over_tiles(self.p.x, 0), self.placement[self.p.x].tiles
        if tiles == 4 and tiles * self.config.lanes == SUM_WIDTH:
            even, odd = (self._pair(v, i) for i in range(2))
            return over_lanes(self, v, AddOp.FADD, v.op(AddOp.FADD, v.op(IntOp.PASS, even), odd))
        return sum_row(self, v, v.op(MulOp.FMUL, x, x, count=tiles, pitch=sum_pitch(self.config)))

    def _pair(self, v: Pipeline, tile: int) -> Reg:
        """The squares of two tiles, added."""
        a, b = (self.over_tiles(self.p.x, 0, tile + distance) for distance in (0, 2))
        first, second = v.op(MulOp.FMUL, a, a), v.op(MulOp.FMUL, b, b)
        return v.op(AddOp.FADD, v.op(IntOp.PASS, first), second)
