"""Projection of a row, rotated pair by pair and quantised: a tile is turned when it leaves the matrix unit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle, BundleBuilder
from compiler.ir import Tensor
from compiler.lower.base import binary
from compiler.lower.matmul import Matmul
from compiler.lower.pipeline import Pipeline, Reg, Rows, Swap, Via
from compiler.operands import INDEX
from hdl.config import PipeKind
from hdl.isa import AddOp, Instruction, IntOp, MulOp, Opcode


class RopeProject(Matmul):
    """y = (a * cos + swap(a * sin)) * factor, the product with the sine swapped between neighbours by the INT pipe; * s

    The turned rows go through SRAM: their scale comes late, and tiles follow one another closely without it.
    """

    def bundles(self) -> Iterator[Bundle]:
        tiles = self.op.inputs[1].shape[0] // self.config.lanes
        rows = self.op.inputs[5].shape[0] // tiles
        for tile in range(tiles):
            yield self.at_pitch(partial(self._turned, tile, rows))
        for tile in range(tiles):
            yield self._codes(tile, rows)

    def _turned(self, tile: int, rows: int, pitch: int) -> Bundle:
        _, _, cos, sin, _, factor, *_ = self.op.inputs
        b = self.builder("turn")
        v = Pipeline(self.config, b)
        a = v.op(AddOp.I2F, self.feed(b, 0, 1, tile, pitch, PipeKind.ADD))
        with_sine = v.op(IntOp.PASS, v.op(MulOp.FMUL, a, self.over_tiles(sin, 0)))
        with_cosine = v.op(MulOp.FMUL, a, self.over_tiles(cos, 0))
        swapped = v.op(IntOp.AND, self.over_tiles(self.p.consts[0], 0), Swap(with_sine, 1))
        turned = v.op(AddOp.FADD, swapped, with_cosine)
        factors, to = (self._rows_of(tensor, tile, rows) for tensor in (factor, self.p.scratch[0]))
        v.op(MulOp.FMUL, turned, factors, count=rows, to=to)
        return b.build()

    def _codes(self, tile: int, rows: int) -> Bundle:
        """The rows of the result that are made of a tile."""
        b = self.builder("codes")
        self._scaled(b, tile, rows, self._rows_of(self.p.output, tile, rows))
        return b.build()

    def _scaled(self, b: BundleBuilder, tile: int, rows: int, to: Rows | Via) -> Reg:
        v = Pipeline(self.config, b)
        turned, scale = self._rows_of(self.p.scratch[0], tile, rows), self.over_tiles(self.op.inputs[4], 0)
        return v.op(IntOp.F2I8, binary(v, MulOp.FMUL, turned, scale, rows), count=rows, to=to)

    def _rows_of(self, tensor: Tensor, tile: int, rows: int) -> Rows:
        """What ``tensor`` has of a tile: [R, L], or [1, R L] as well."""
        at = self.placement[tensor]
        return Rows(at, at.addr + tile * rows, 1)


class RopeCache(RopeProject):
    """cache[index] = that row: codes and index meet at the cache, one from the vector unit, one from SRAM."""

    def _codes(self, tile: int, rows: int) -> Bundle:
        cache, index = (self.placement[tensor] for tensor in self.op.inputs[6:])
        b, writer = self.builder("codes"), f"{cache.unit.name}.w"
        codes = self._scaled(b, tile, rows, Via(writer, "stream", wide=False)).flow
        assert codes is not None
        b.read(index, [(writer, INDEX)], codes.arrival, index.addr)
        first = tile * self.config.tile_load_cycles
        scatter = Instruction.of(Opcode.SCATTER, addr=cache.addr + first, wide=1, spread=1)
        b.issue(writer, codes.arrival, scatter, {"stream": codes}, cache.rows + cache.spare - first)
        return b.build()
