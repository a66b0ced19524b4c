"""Projection of a row, rotated pair by pair and quantised: a tile is turned when it leaves the matrix unit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import binary
from compiler.lower.matmul import Matmul
from compiler.lower.pipeline import Pipeline, Rows, Swap
from hdl.config import PipeKind
from hdl.isa import AddOp, IntOp, MulOp


class RopeProject(Matmul):
    """y = a * cos + swap(a * sin), the product with the sine swapped between neighbours by the INT pipe.

    The turned tile goes through SRAM: its scale comes late, and tiles follow one another closely without it.
    """

    def bundles(self) -> Iterator[Bundle]:
        tiles = self.op.inputs[1].shape[0] // self.config.lanes
        for tile in range(tiles):
            yield self.at_pitch(partial(self._turned, tile))
        rows = self.op.inputs[5].shape[0] // tiles
        for tile in range(tiles):
            yield self._codes(tile, rows)

    def _turned(self, tile: int, pitch: int) -> Bundle:
        _, _, cos, sin, _, _ = self.op.inputs
        b = self.builder("turn")
        v = Pipeline(self.config, b)
        a = v.op(AddOp.I2F, self.feed(b, 0, 1, tile, pitch, PipeKind.ADD))
        with_sine = v.op(IntOp.PASS, v.op(MulOp.FMUL, a, self.over_tiles(sin, 0)))
        with_cosine = v.op(MulOp.FMUL, a, self.over_tiles(cos, 0))
        swapped = v.op(IntOp.AND, self.over_tiles(self.p.consts[0], 0), Swap(with_sine, 1))
        v.op(AddOp.FADD, swapped, with_cosine, to=self.to(self.p.scratch[0], tile))
        return b.build()

    def _codes(self, tile: int, rows: int) -> Bundle:
        """The rows of the result that are made of a tile."""
        b = self.builder("codes")
        v = Pipeline(self.config, b)
        at = self.placement[self.op.inputs[5]]
        y, factors = self.over_rows(self.p.scratch[0], tile, 0), Rows(at, at.addr + tile * rows, 1)
        scaled = binary(v, MulOp.FMUL, y, self.over_tiles(self.op.inputs[4], 0))
        z = v.op(MulOp.FMUL, scaled, factors, count=rows)
        v.op(IntOp.F2I8, z, count=rows, to=Rows(self.out, self.out.addr + tile * rows, 1))
        return b.build()
