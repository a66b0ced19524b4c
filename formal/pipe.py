"""A pipe of the vector unit with free inputs, and the element that completes in it."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from formal.run import add_rule
from hdl.vector.command import PIPE_COMMAND

QNAN = 0x7FC00000
INFINITY = 0x7F800000
SIGN = 1 << 31

ELEMENT = data.StructLayout({"command": PIPE_COMMAND, "x": 32, "y": 32})


class PipeRules(wiring.Component):
    """What holds of the results of a pipe (submodule ``pipe``), for any elements in any order, at any distance.

    ``completing`` entered ``latency`` cycles ago; ``known``: what is in the pipe entered since the first cycle.
    """

    ports: Mapping[str, wiring.Member] = {}
    """Further ports of the kind of rules."""

    def __init__(self, pipe: wiring.Component, latency: int) -> None:
        self._pipe = pipe
        self.latency = latency
        super().__init__({"entering": In(ELEMENT), **self.ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pipe = pipe = self._pipe
        element = self.entering
        m.d.comb += [pipe.command.eq(element.command), pipe.x.eq(element.x), pipe.y.eq(element.y)]
        for stage in range(self.latency):
            after = Signal(ELEMENT, name=f"element{stage + 1}")
            m.d.sync += after.eq(element)
            element = after
        entered, before = Signal(self.latency), Signal(32)
        self.completing, self.known = element, entered[-1]
        m.d.sync += [entered.eq(Cat(Const(1, 1), entered)), before.eq(pipe.result)]
        valid = element.command.valid
        add_rule(m, "held", ~self.known | valid | (pipe.result == before))
        for name, holds in self.rules(element, pipe.result).items():
            add_rule(m, name, ~valid | holds)
        return m

    def rules(self, element: data.View, result: Value) -> dict[str, Value]:
        """What must hold of a completing element and its result, by name."""
        raise NotImplementedError


def implies(premise: Value, conclusion: Value) -> Value:
    return ~premise | conclusion


def magnitude(x: Value) -> Value:
    return x[:31]


def is_nan(x: Value) -> Value:
    return magnitude(x) > INFINITY


def is_infinite(x: Value) -> Value:
    return magnitude(x) == INFINITY


def is_zero(x: Value) -> Value:
    """Zero, or subnormal and read as zero."""
    return x[23:31] == 0


def is_normal(x: Value) -> Value:
    return (x[23:31] != 0) & (x[23:31] != 255)
