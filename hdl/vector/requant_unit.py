"""The REQUANT pipe of all lanes of a superlane, where it works on some of them at a time."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared, shared
from hdl.isa import SHIFT_BITS
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.requant_pipe import RequantPipe

_TO_ROUNDED = 2
"""Cycles from an operand in a :class:`RequantPipe` to its rounded result."""


class RequantUnit(Shared):
    """result[i] = round_half_even(x[i] * m[i] / 2^s[i]), k = requant_lanes lanes a cycle, n = S / k cycles.

    x and y are kept in the cycle of a valid command, and move down by k lanes in each cycle after it, past k pipes.
    Lanes b*k .. b*k + k - 1 have their result 4 + b cycles after the command, until the next element's.
    The caller leaves n cycles from one valid command to the next.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._lanes, self._at_once = config.superlane_lanes, config.superlane_lanes // config.requant_cycles
        words = data.ArrayLayout(32, self._lanes)
        super().__init__({"command": In(PIPE_COMMAND), "x": In(words), "y": In(words), "result": Out(words)})

    @property
    def module_name(self) -> str:
        return f"lpu_requant_{self._lanes}_by_{self._at_once}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocks = self._config.requant_cycles
        working = Signal(blocks, name="working")
        op = Signal(PIPE_COMMAND["op"].shape, name="op", reset_less=True)
        m.d.sync += working.eq(Cat(self.command.valid, working))
        with m.If(self.command.valid):
            m.d.sync += op.eq(self.command.op)
        x = self._kept(m, "x", self.x, 32)
        y = self._kept(m, "y", self.y, self._config.mult_bits + SHIFT_BITS)
        due = self._delayed(m, working)
        for k in range(self._at_once):
            pipe = RequantPipe(self._config.mult_bits)
            m.submodules[f"pipe{k}"] = shared(pipe, platform)
            m.d.comb += [pipe.command.valid.eq(working.any()), pipe.command.op.eq(op), pipe.x.eq(x[k]), pipe.y.eq(y[k])]
            self._collect(m, k, pipe.rounded, due)
        return m

    def _kept(self, m: Module, name: str, words: data.View, bits: int) -> list[Value]:
        """The words of the lanes that are to be worked on next come first."""
        kept = [Signal(bits, name=f"{name}{i}", reset_less=True) for i in range(self._lanes)]
        after: list[Value] = [*kept[self._at_once :], *([Const(0, bits)] * self._at_once)]
        for i, word in enumerate(kept):
            m.d.sync += word.eq(Mux(self.command.valid, words[i], after[i]))
        return list(kept)

    def _delayed(self, m: Module, working: Value) -> Value:
        """Which block's results come out of the pipes."""
        for stage in range(_TO_ROUNDED):
            after = Signal(len(working), name=f"working{stage}")
            m.d.sync += after.eq(working)
            working = after
        return working

    def _collect(self, m: Module, k: int, result: Value, due: Value) -> None:
        for b in range(self._config.requant_cycles):
            held = Signal(32, name=f"held{b * self._at_once + k}", reset_less=True)
            with m.If(due[b]):
                m.d.sync += held.eq(result)
            m.d.comb += self.result[b * self._at_once + k].eq(held)
