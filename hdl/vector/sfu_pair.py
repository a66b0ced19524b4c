"""An SFU pipe for two lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import PipeKind
from hdl.emit import Shared, shared
from hdl.isa import PIPE_LATENCY
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.sfu_pipe import SfuPipe


class SfuPair(Shared):
    """result[j] = op(x[j]); lane 1 takes its turn a cycle after lane 0. Latency 5 cycles, for both.

    A valid element comes every other cycle at most. ``result`` keeps the last valid element's. ``registered``: with a
    register before the pipe, and a latency of 6 cycles.
    """

    def __init__(self, registered: bool = False) -> None:
        self._registered = registered
        words = data.ArrayLayout(32, 2)
        super().__init__({"command": In(PIPE_COMMAND), "x": In(words), "result": Out(words)})

    @property
    def module_name(self) -> str:
        return "lpu_sfu_pair" + ("_registered" if self._registered else "")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = SfuPipe()
        m.submodules.pipe = shared(pipe, platform)
        second = Signal(PIPE_LATENCY[PipeKind.SFU] + int(self._registered), name="second")
        op, x = Signal.like(self.command.op, name="op", reset_less=True), Signal(32, name="x1", reset_less=True)
        results = Signal(data.ArrayLayout(32, 2), name="results", reset_less=True)
        m.d.sync += [second.eq(Cat(self.command.valid, second)), op.eq(self.command.op), x.eq(self.x[1])]
        (m.d.sync if self._registered else m.d.comb).__iadd__(
            [
                pipe.command.valid.eq(self.command.valid | second[0]),
                pipe.command.op.eq(Mux(second[0], op, self.command.op)),
                pipe.x.eq(Mux(second[0], x, self.x[0])),
            ]
        )
        m.d.comb += self.result.eq(results)
        with m.If(second[-1]):
            m.d.sync += [results[0].eq(pipe.result), results[1].eq(pipe.word)]
        return m
