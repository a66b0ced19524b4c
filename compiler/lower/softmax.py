"""Softmax of a row under a limit: exp(min(t, limit) - max) / sum."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.base import Lowering, binary
from compiler.lower.pipeline import Imm, Pipeline, PipelineError, Reg
from compiler.lower.reduce import over_lanes, over_tiles, sum_pitch, sum_row
from hdl.isa import AddOp, IntOp, MulOp, SfuOp


class Softmax(Lowering):
    """Per row: the limited values; their exponentials and, from those, the sum; the quotients.

    The sum takes the exponentials from the SFU register while the ADD pipe is done with the differences in time, that
    is for short rows, and from SRAM else.
    """

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            yield self.at_pitch(partial(self._limit, m))
            try:
                yield self._exponentials(m, with_sum=True)
            except PipelineError:
                yield self._exponentials(m, with_sum=False)
                yield self._quotients(m)

    def _limit(self, m: int, pitch: int) -> Bundle:
        """Whole tiles, and a last one that is limited to -inf in the lanes beyond the row."""
        limited, _ = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        t, limit = self.p.x, self.p.operands[0]
        whole = self.tiles - len(self.p.consts)
        if whole:
            rows = self.over_tiles(t, m), self.over_tiles(limit, 0)
            binary(v, IntOp.FMIN, *rows, whole, pitch, self.to(limited, m))
        for padding in self.p.consts:
            rows = self.over_tiles(t, m, whole), self.over_tiles(limit, 0, whole)
            last = binary(v, IntOp.FMIN, *rows)
            v.op(IntOp.FMIN, last, self.over_tiles(padding, 0), to=self.to(limited, m, whole))
        return b.build()

    def _exponentials(self, m: int, with_sum: bool) -> Bundle:
        limited, exponentials = self.p.scratch
        pitch = sum_pitch(self.config)
        b = self.builder()
        v = Pipeline(self.config, b)
        largest = over_lanes(self, v, IntOp.FMAX, self._largest(v, m))
        values = self.over_tiles(limited, m)
        difference = v.op(AddOp.FRSUB, largest, values, count=self.tiles, pitch=pitch)
        power = v.op(MulOp.FMUL, difference, Imm.of(math.log2(math.e)), count=self.tiles, pitch=pitch)
        terms = v.op(SfuOp.EXP2, power, count=self.tiles, pitch=pitch, to=self.to(exponentials, m))
        if with_sum:
            self._divide(v, m, sum_row(self, v, terms))
        return b.build()

    def _largest(self, v: Pipeline, m: int) -> Reg:
        limited, _ = self.p.scratch
        first = v.op(IntOp.PASS, self.over_tiles(limited, m))
        return over_tiles(v, IntOp.FMAX, first, self.over_tiles(limited, m, 1), self.tiles - 1)

    def _quotients(self, m: int) -> Bundle:
        _, exponentials = self.p.scratch
        b = self.builder()
        v = Pipeline(self.config, b)
        terms = v.op(IntOp.PASS, self.over_tiles(exponentials, m), count=self.tiles, pitch=sum_pitch(self.config))
        self._divide(v, m, sum_row(self, v, terms))
        return b.build()

    def _divide(self, v: Pipeline, m: int, total: Reg) -> None:
        _, exponentials = self.p.scratch
        inverse = v.op(SfuOp.RECIP, total)
        to = self.to(self.p.output, m)
        v.op(MulOp.FMUL, self.over_tiles(exponentials, m), inverse, count=self.tiles, to=to)
