"""Element-wise passes: y[m, tile] = stages(x[m, tile])."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.ir import Tensor
from compiler.lower.base import Lowering, chain
from compiler.lower.pipeline import Pipeline, Rows


class ElementWise(Lowering):
    """A bundle takes one row of one tile through the vector unit."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            for tile in range(self.tiles):
                yield self._bundle(m, tile)

    def _bundle(self, m: int, tile: int) -> Bundle:
        b = self.builder()
        x = self.over_rows(self.p.x, m, tile)

        def operand(tensor: Tensor) -> Rows:
            return x if tensor is self.p.x else self.over_rows(tensor, m, tile)

        to = partial(self.to, m=m, tile=tile)
        chain(Pipeline(self.config, b), self.p.stages, x, operand, to, self.p.output, 1, 1)
        return b.build()
