"""Arg-max: the largest value in every lane, then the lowest number of a column that equals it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.ir import DType
from compiler.lower.base import Lowering, binary
from compiler.lower.pipeline import Pipeline, Reg, Rows
from compiler.lower.reduce import over_lanes, over_tiles
from hdl.isa import IntOp


class Argmax(Lowering):
    """A row of one tile stays in the INT pipe; of several, the largest value and the candidates go through SRAM."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.x.shape[0]):
            if self.x_tiles == 1:
                yield self._at_once(m)
                continue
            yield self._largest(m)
            yield self.at_pitch(partial(self._candidates, m))
            yield self._lowest(m)

    @property
    def x_tiles(self) -> int:
        return self.placement[self.p.x].tiles

    @property
    def _is_float(self) -> bool:
        return self.p.x.dtype is DType.FP32

    def _over_tiles(self, v: Pipeline, m: int) -> Reg:
        """The largest value of each lane; lanes beyond the row, in its last tile, are limited first."""
        most, least = (IntOp.FMAX, IntOp.FMIN) if self._is_float else (IntOp.MAX, IntOp.MIN)
        _, padding = self.p.consts
        last = self.over_tiles(self.p.x, m, self.x_tiles - 1)
        largest = binary(v, least, last, self.over_tiles(padding, 0))
        largest = over_tiles(v, most, largest, self.over_tiles(self.p.x, m), self.x_tiles - 1)
        return over_lanes(self, v, most, largest)

    def _at_once(self, m: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        largest = self._over_tiles(v, m)
        equal = v.op(IntOp.EQ, self.over_tiles(self.p.x, m), largest)
        candidate = self._pick(v, equal, self.over_tiles(self.p.consts[0], 0))
        self._finish(v, m, candidate)
        return b.build()

    def _largest(self, m: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        v.op(IntOp.PASS, self._over_tiles(v, m), to=self.to(self.p.scratch[0], m))
        return b.build()

    def _candidates(self, m: int, pitch: int) -> Bundle:
        largest, _ = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        equal = binary(v, IntOp.EQ, self.over_tiles(self.p.x, m), self.over_tiles(largest, m), self.x_tiles, pitch)
        number = self.over_tiles(self.p.consts[0], 0)
        self._pick(v, equal, number, self.x_tiles, pitch, m)
        return b.build()

    def _lowest(self, m: int) -> Bundle:
        _, candidates = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        first = v.op(IntOp.PASS, self.over_tiles(candidates, m))
        least = over_tiles(v, IntOp.MIN, first, self.over_tiles(candidates, m, 1), self.x_tiles - 1)
        self._finish(v, m, least)
        return b.build()

    def _pick(self, v: Pipeline, equal: Reg, number: Rows, count: int = 1, pitch: int = 1, m: int | None = None) -> Reg:
        """The column's number where the values are equal, else more than any number."""
        none = (1 << (self.config.imm_bits - 1)) - 1
        to = None if m is None else self.to(self.p.scratch[1], m)
        return v.op(IntOp.PICK, equal, number, count=count, pitch=pitch, to=to, imm=none)

    def _finish(self, v: Pipeline, m: int, candidate: Reg) -> None:
        """The least candidate of all lanes, written by the last step that finds it."""
        least = over_lanes(self, v, IntOp.MIN, candidate)
        v.op(IntOp.PASS, least, to=self.to(self.p.output, m))
