"""An SFU pipe for several lanes."""

from __future__ import annotations

import itertools

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import PipeKind
from hdl.emit import Shared, shared
from hdl.isa import PIPE_LATENCY
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.sfu_pipe import SfuPipe


class SfuTurns(Shared):
    """result[j] = op(x[j]) for n lanes; lane j takes its turn j cycles after lane 0. Latency n + 3 cycles, for all.

    A valid element comes every n cycles at most. ``result`` keeps the last valid element's. ``registered``: with a
    register before the pipe, and a latency that is a cycle longer.
    """

    def __init__(self, lanes: int, registered: bool) -> None:
        self._lanes, self._registered = lanes, registered
        words = data.ArrayLayout(32, lanes)
        super().__init__({"command": In(PIPE_COMMAND), "x": In(words), "result": Out(words)})

    @property
    def module_name(self) -> str:
        return f"lpu_sfu_{self._lanes}_lanes" + ("_registered" if self._registered else "")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = SfuPipe()
        m.submodules.pipe = shared(pipe, platform)
        turns = Signal(self._lanes - 1 + PIPE_LATENCY[PipeKind.SFU] - 1 + int(self._registered), name="turns")
        op = Signal.like(self.command.op, name="op", reset_less=True)
        first = self.command.valid
        m.d.sync += turns.eq(Cat(first, turns))
        with m.If(first):
            m.d.sync += op.eq(self.command.op)
        domain = m.d.sync if self._registered else m.d.comb
        domain += [
            pipe.command.valid.eq(first | turns[: self._lanes - 1].any()),
            pipe.command.op.eq(Mux(first, self.command.op, op)),
            pipe.x.eq(Mux(first, self.x[0], self._waiting(m))),
        ]
        self._collect(m, turns[-1], [pipe.word, pipe.result])
        return m

    def _waiting(self, m: Module) -> Value:
        """The operand of the lane whose turn it is, of those after lane 0."""
        following: Value = self.x[self._lanes - 1]
        for j in reversed(range(1, self._lanes)):
            word = Signal(32, name=f"waiting{j}", reset_less=True)
            m.d.sync += word.eq(Mux(self.command.valid, self.x[j], following))
            following = word
        return following

    def _collect(self, m: Module, last: Value, words: list[Value]) -> None:
        """All results, when the last lane's is there; the others' have come one by one before it."""
        for j in range(2, self._lanes):
            words.append(Signal(32, name=f"before{j}", reset_less=True))
        m.d.sync += [after.eq(before) for before, after in itertools.pairwise(words[1:])]
        results = Signal(data.ArrayLayout(32, self._lanes), name="results", reset_less=True)
        with m.If(last):
            m.d.sync += [result.eq(word) for result, word in zip(results, reversed(words), strict=True)]
        m.d.comb += self.result.eq(results)
