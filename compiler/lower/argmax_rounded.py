"""Arg-max of a row whose values carry their column in their last bits: the largest value names its column."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.bundle import Bundle
from compiler.lower.base import Lowering
from compiler.lower.pipeline import Imm, Pipeline, Reg
from compiler.lower.reduce import over_lanes
from golden.operators import tag_mask
from hdl.isa import IntOp


class ArgmaxRounded(Lowering):
    """A bundle is a tile, which joins one of two rows in SRAM: they take turns, since a row is away for 7 cycles."""

    def bundles(self) -> Iterator[Bundle]:
        for tile in range(self.placement[self.p.x].tiles):
            yield self._join(tile)
        yield self._finish()

    def _join(self, tile: int) -> Bundle:
        (rows,), (tags, *_) = self.p.scratch, self.p.consts
        b = self.builder()
        v = Pipeline(self.config, b)
        mask = tag_mask(self.p.x.shape[1])
        rounded = v.op(IntOp.AND, self.over_tiles(self.p.x, 0, tile), Imm(~mask))
        turn, to = self.over_rows(rows, tile % 2, 0), self.to(rows, tile % 2)
        is_first, is_last = tile < 2, tile == self.placement[self.p.x].tiles - 1
        tagged = v.op(
            IntOp.OR, rounded, self.over_tiles(tags, 0, tile), to=to if is_first and not self._padded(is_last) else None
        )
        if self._padded(is_last):
            tagged = v.op(IntOp.FMIN, tagged, self.over_tiles(self.p.consts[1], 0), to=to if is_first else None)
        if not is_first:
            v.op(IntOp.FMAX, tagged, turn, to=to)
        return b.build()

    def _padded(self, is_last: bool) -> bool:
        return is_last and len(self.p.consts) > 1

    def _finish(self) -> Bundle:
        (rows,) = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        largest: Reg = v.op(IntOp.PASS, self.over_rows(rows, 0, 0))
        if rows.shape[0] > 1:
            largest = v.op(IntOp.FMAX, largest, self.over_rows(rows, 1, 0))
        mask = tag_mask(self.p.x.shape[1])
        tag = v.op(IntOp.AND, over_lanes(self, v, IntOp.FMAX, largest), Imm(mask))
        v.op(IntOp.RSUB, tag, Imm(mask), to=self.to(self.p.output, 0))
        return b.build()
