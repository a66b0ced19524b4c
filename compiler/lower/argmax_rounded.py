"""Arg-max of a row whose values carry their column in their last bits: the largest value names its column."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.bundle import Bundle
from compiler.lower.base import Lowering
from compiler.lower.pipeline import Imm, Operand, Pipeline, Reg, Rows
from compiler.lower.reduce import over_lanes
from golden.operators import tag_mask
from hdl.isa import IntOp


class Tagged:
    """The largest so far of ``columns`` values, each with its column, tile by tile.

    A tile joins one of two rows in SRAM: they take turns, since a row is away for 7 cycles.
    """

    def __init__(self, low: Lowering, columns: int) -> None:
        self.low, self.mask = low, tag_mask(columns)
        (self.rows,), (self.tags, *self.limits) = low.p.scratch, low.p.consts
        self.last = -(-columns // low.config.lanes) - 1

    def join(self, v: Pipeline, value: Operand, tile: int, keep: bool = True) -> Reg:
        """The largest of a tile and those before it whose turn it was; kept for those after it."""
        low, to = self.low, self.low.to(self.rows, tile % 2) if keep else None
        padded, later = bool(self.limits) and tile == self.last, tile > 1
        rounded = v.op(IntOp.AND, value, Imm(~self.mask))
        largest = v.op(IntOp.OR, rounded, low.over_tiles(self.tags, 0, tile), to=None if padded or later else to)
        if padded:
            largest = v.op(IntOp.FMIN, largest, low.over_tiles(self.limits[0], 0), to=None if later else to)
        return v.op(IntOp.FMAX, largest, self.turn(tile), to=to) if later else largest

    def turn(self, tile: int) -> Rows:
        """The row whose turn it is."""
        return self.low.over_rows(self.rows, tile % 2, 0)

    def of_both(self, v: Pipeline, largest: Reg) -> Reg:
        """The largest of one turn and the other, that of the last tile but one."""
        return v.op(IntOp.FMAX, largest, self.turn(self.last + 1)) if self.last else largest

    def column(self, v: Pipeline, largest: Reg) -> tuple[Reg, Imm]:
        """x and y of RSUB, which gives the column of the largest of all lanes."""
        tag = v.op(IntOp.AND, over_lanes(self.low, v, IntOp.FMAX, largest), Imm(self.mask))
        return tag, Imm(self.mask)


class ArgmaxRounded(Lowering):
    """A bundle is a tile."""

    def bundles(self) -> Iterator[Bundle]:
        row = Tagged(self, self.p.x.shape[1])
        for tile in range(row.last + 1):
            b = self.builder()
            row.join(Pipeline(self.config, b), self.over_tiles(self.p.x, 0, tile), tile)
            yield b.build()
        yield self._finish(row)

    def _finish(self, row: Tagged) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        largest = row.of_both(v, v.op(IntOp.PASS, row.turn(row.last)))
        v.op(IntOp.RSUB, *row.column(v, largest), to=self.to(self.p.output, 0))
        return b.build()
