"""Projection of a row, rotated pair by pair and quantised: a tile leaves the matrix unit and is done in one trip."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.matmul import Matmul
from compiler.lower.pipeline import Pipeline, Rows, Swap
from hdl.config import PipeKind
from hdl.isa import AddOp, IntOp, MulOp


class RopeProject(Matmul):
    """y = a * cos + swap(a * sin), the product with the sine swapped between neighbours by the INT pipe."""

    def bundles(self) -> Iterator[Bundle]:
        for tile in range(self.op.inputs[1].shape[0] // self.config.lanes):
            yield self.at_pitch(partial(self._rotated, tile))

    def _rotated(self, tile: int, pitch: int) -> Bundle:
        """Tile ``tile`` of the projection, and the rows of the result that are made of it."""
        _, weights, cos, sin, factor = self.op.inputs
        rows = factor.shape[0] * self.config.lanes // weights.shape[0]
        b = self.builder()
        v = Pipeline(self.config, b)
        a = v.op(AddOp.I2F, self.feed(b, 0, 1, tile, pitch, PipeKind.ADD))
        with_sine = v.op(IntOp.PASS, v.op(MulOp.FMUL, a, self.over_tiles(sin, 0)))
        with_cosine = v.op(MulOp.FMUL, a, self.over_tiles(cos, 0))
        swapped = v.op(IntOp.AND, self.over_tiles(self.p.consts[0], 0), Swap(with_sine, 1))
        y = v.op(AddOp.FADD, swapped, with_cosine)
        at = self.placement[factor]
        factors = Rows(at, at.addr + tile * rows, 1)
        z = v.op(MulOp.FMUL, y, factors, count=rows)
        v.op(IntOp.F2I8, z, count=rows, to=Rows(self.out, self.out.addr + tile * rows, 1))
        return b.build()
