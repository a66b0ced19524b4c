"""Rotary embedding on rows whose channels are [even | odd]: element-wise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle
from compiler.ir import CompileError, Tensor
from compiler.lower.base import Lowering, binary
from compiler.lower.pipeline import Pipeline
from hdl.isa import AddOp, IntOp, MulOp

Term = tuple[int, Tensor]
"""First tile of the half, and its table."""


class Rope(Lowering):
    """[e*cos - o*sin | o*cos + e*sin]; a bundle is one half of a row.

    The first product waits in the INT register for the second one, which leaves the MUL pipe a cycle later.
    """

    def bundles(self) -> Iterator[Bundle]:
        op = self.op
        _, cos, sin = op.inputs
        half = self.tiles // 2
        if op.output.shape[1] != 2 * half * self.config.lanes:
            raise CompileError(f"{op.name}: {op.output}: each half must be a multiple of {self.config.lanes} lanes")
        for m in range(op.output.shape[0]):
            yield self._half(m, AddOp.FSUB, (0, cos), (half, sin), 0)
            yield self._half(m, AddOp.FADD, (half, cos), (0, sin), half)

    def _half(self, m: int, op: AddOp, first: Term, second: Term, out: int) -> Bundle:
        return self.at_pitch(partial(self._bundle, m, op, first, second, out))

    def _bundle(self, m: int, op: AddOp, first: Term, second: Term, out: int, pitch: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        n = self.tiles // 2
        (x, cos), (other, sin) = first, second
        product = binary(v, MulOp.FMUL, self.over_tiles(self.p.x, m, x), self.over_tiles(cos, 0), n, pitch)
        waiting = v.op(IntOp.PASS, product, count=n, pitch=pitch)
        partner = v.op(
            MulOp.FMUL,
            self.over_tiles(self.p.x, m, other),
            self.over_tiles(sin, 0),
            count=n,
            pitch=pitch,
            earliest=product.ready - 2,
        )
        v.op(op, waiting, partner, count=n, pitch=pitch, to=self.to(self.p.output, m, out))
        return b.build()
