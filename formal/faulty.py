"""Pipes with deliberate faults, to see that proofs about them fail."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from formal.pipe import SIGN, is_zero
from hdl.emit import Shared
from hdl.vector.command import PIPE_COMMAND

Fault = Callable[[Module, Value], Value]
"""What stands in a result's place."""


class Faulty(Shared):
    """``pipe`` with ``fault`` of its result in the result's place."""

    def __init__(self, pipe: Shared, fault: Fault) -> None:
        self._pipe = pipe
        self._fault = fault
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "y": In(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return f"{self._fault.__name__}_{self._pipe.module_name}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pipe = pipe = self._pipe
        m.d.comb += [pipe.command.eq(self.command), pipe.x.eq(self.x), pipe.y.eq(self.y)]
        m.d.comb += self.result.eq(self._fault(m, pipe.result))
        return m


def negative_zero(m: Module, result: Value) -> Value:
    """+0 comes out as -0."""
    return result | Mux(result == 0, SIGN, 0)


def unflushed(m: Module, result: Value) -> Value:
    """Zeros come out as the smallest subnormal."""
    return result | is_zero(result)


def beyond_int8(m: Module, result: Value) -> Value:
    """127 comes out as 128."""
    return Mux(result == 127, 128, result)


def late(m: Module, result: Value) -> Value:
    """Everything comes out a cycle later."""
    after = Signal(32)
    m.d.sync += after.eq(result)
    return after
