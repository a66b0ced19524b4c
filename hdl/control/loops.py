"""The loop stack of an issue queue."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig


class LoopStack(wiring.Component):
    """The successor of ``pc`` and the address offset of each open level.

    ``push`` opens a level whose block starts at ``pc``, runs ``n`` times and holds ``length`` instructions.
    ``step`` says that the instruction at ``pc`` is consumed; ``next_pc`` is where fetching goes on. A level's offset
    grows by its stride each time its block starts again, and is 0 while the level is closed.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._levels = config.loop_levels
        self._pc_bits = (config.program_rows - 1).bit_length()
        self._count_bits = config.count_bits
        self._addr_bits = config.addr_bits
        super().__init__(
            {
                "clear": In(1),
                "push": In(1),
                "n": In(config.count_bits),
                "length": In(self._pc_bits),
                "stride": In(signed(config.addr_bits)),
                "step": In(1),
                "pc": In(self._pc_bits),
                "next_pc": Out(self._pc_bits),
                "offsets": Out(config.addr_bits * config.loop_levels),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._open = [Signal(name=f"open{k}") for k in range(self._levels)]
        m.d.comb += self.next_pc.eq(self.pc + 1)
        inner_again: Value = Const(0, 1)
        for k in reversed(range(self._levels)):
            inner_again = inner_again | self._level(m, k, inner_again)
        with m.If(self.clear):
            m.d.sync += [level.eq(0) for level in self._open]
        return m

    def _level(self, m: Module, k: int, inner_again: Value) -> Value:
        """One level; returns whether it goes back to its start. An inner level that does keeps this one as it is."""
        open_ = self._open[k]
        start = Signal(self._pc_bits, name=f"start{k}", reset_less=True)
        end = Signal(self._pc_bits, name=f"end{k}", reset_less=True)
        left = Signal(self._count_bits, name=f"left{k}", reset_less=True)
        stride = Signal(signed(self._addr_bits), name=f"stride{k}", reset_less=True)
        offset = Signal(self._addr_bits, name=f"offset{k}", reset_less=True)
        again = Signal(name=f"again{k}")
        done = Signal(name=f"done{k}")
        at_end = open_ & (self.pc == end) & ~inner_again
        m.d.comb += [again.eq(at_end & (left != 0)), done.eq(at_end & (left == 0))]
        m.d.comb += self.offsets.word_select(k, self._addr_bits).eq(Mux(open_, offset, 0))

        free = ~open_ if k == 0 else self._open[k - 1] & ~open_
        with m.If(self.push & free):
            m.d.sync += [open_.eq(1), start.eq(self.pc), end.eq(self.pc + self.length - 1)]
            m.d.sync += [left.eq(self.n - 1), stride.eq(self.stride), offset.eq(0)]
        with m.If(again):
            m.d.comb += self.next_pc.eq(start)
        with m.If(again & self.step):
            m.d.sync += [left.eq(left - 1), offset.eq(offset + stride)]
        with m.If(done & self.step):
            m.d.sync += open_.eq(0)
        return again
