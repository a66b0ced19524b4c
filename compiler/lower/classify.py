"""The next token: the arg-max of the classifier's logits runs along with them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.lower.argmax_rounded import Tagged
from compiler.lower.matmul import Matmul
from compiler.lower.pipeline import Imm, Pipeline
from hdl.config import PipeKind
from hdl.isa import AddOp, IntOp, MulOp, can_drive


class Classify(Matmul):
    """given > -1 ? given : argmax_rounded(scale * (w x)); a bundle is a tile of the product."""

    def bundles(self) -> Iterator[Bundle]:
        row = Tagged(self, self.op.extra[0].shape[1])
        for tile in range(row.last + 1):
            yield self.at_pitch(partial(self._tile, row, tile))

    def _tile(self, row: Tagged, tile: int, pitch: int) -> Bundle:
        _, _, scale, given = self.op.inputs
        b = self.builder()
        v = Pipeline(self.config, b)
        a, to = v.op(AddOp.I2F, self.feed(b, 0, 1, tile, pitch, PipeKind.ADD)), self.to(self.op.extra[0], 0, tile)
        drives, is_last = can_drive(self.config, PipeKind.MUL), tile == row.last
        value = v.op(MulOp.FMUL, a, self.over_tiles(scale, 0, tile), to=to if drives else None)
        if not drives:
            value = v.op(IntOp.PASS, value, to=to)
        if is_last:
            v.op(IntOp.GT, self.over_tiles(given, 0), Imm(-1), earliest=value.ready - 1)
        largest = row.join(v, value, tile, keep=not is_last)
        if is_last:
            column = v.op(IntOp.RSUB, *row.column(v, row.of_both(v, largest)))
            v.op(IntOp.SELECT, self.over_tiles(given, 0), column, to=self.to(self.p.output, 0))
        return b.build()
