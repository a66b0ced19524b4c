"""The INT pipe: every operation and the flag against their definitions, for all operands and states."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from formal.pipe import QNAN, PipeRules, implies, is_nan, magnitude
from formal.run import add_rule, reveal
from hdl.isa import IntOp

SEE_FLAG = reveal({"seen_flag": "pipe.flags"})


class IntRules(PipeRules):
    """Result and flag follow from the element and the flag it found; ``last``: the pipe's last operation.

    To be proved with SEE_FLAG.
    """

    ports: Mapping[str, wiring.Member] = {"seen_flag": In(1)}

    def __init__(self, pipe: wiring.Component, latency: int, last: IntOp = IntOp.F2I8) -> None:
        self._last = last
        super().__init__(pipe, latency)

    def elaborate(self, platform: object) -> Module:
        self._flag = Signal()
        m = super().elaborate(platform)
        m.d.comb += Assume(self.entering.command.op <= self._last)
        m.d.sync += self._flag.eq(self.seen_flag)
        add_rule(m, "flag", ~self.known | (self.seen_flag == self._flag_after(self.completing)))
        return m

    def _flag_after(self, element: data.View) -> Value:
        x, y, op, valid = element.x, element.y, element.command.op, element.command.valid
        proper = ~is_nan(x) & ~is_nan(y)
        after: Value = self._flag
        for comparison, holds in {
            IntOp.GT: x.as_signed() > y.as_signed(),
            IntOp.EQ: x == y,
            IntOp.FGT: proper & (value_order(x) > value_order(y)),
        }.items():
            after = Mux(valid & (op == comparison), holds, after)
        return after

    def rules(self, element: data.View, result: Value) -> dict[str, Value]:
        x, y, op = element.x, element.y, element.command.op
        expected = {**self._integers(x, y, element.command.imm), **floats(x, y)}
        rules = {which.name: implies(op == which, result == word) for which, word in expected.items()}
        converts = {name: implies(op == IntOp.F2I8, holds) for name, holds in to_int8(x, result).items()}
        return {**rules, **converts}

    def _integers(self, x: Value, y: Value, imm: Value) -> dict[IntOp, Value]:
        greater = x.as_signed() > y.as_signed()
        return {
            IntOp.PASS: x,
            IntOp.ADD: (x + y)[:32],
            IntOp.SUB: (x - y)[:32],
            IntOp.RSUB: (y - x)[:32],
            IntOp.MAX: Mux(greater, x, y),
            IntOp.MIN: Mux(greater, y, x),
            IntOp.AND: x & y,
            IntOp.OR: x | y,
            IntOp.XOR: x ^ y,
            IntOp.GT: x,
            IntOp.EQ: x,
            IntOp.SELECT: Mux(self._flag, x, y),
            IntOp.PICK: Mux(self._flag, y, imm),
        }


def floats(x: Value, y: Value) -> dict[IntOp, Value]:
    """Results of the fp32 operations that choose an operand."""
    nan = is_nan(x) | is_nan(y)
    greater = word_order(x) > word_order(y)
    larger = Mux(magnitude(x) > magnitude(y), magnitude(x), magnitude(y))
    return {
        IntOp.FMAX: Mux(nan, QNAN, Mux(greater, x, y)),
        IntOp.FMIN: Mux(nan, QNAN, Mux(greater, y, x)),
        IntOp.FGT: x,
        IntOp.FAMAX: Mux(nan, QNAN, larger),
        IntOp.FABS: magnitude(x),
    }


def value_order(x: Value) -> Value:
    """An integer in the order of fp32 values; both zeros are 0."""
    return Mux(x[31], -magnitude(x), magnitude(x))


def word_order(x: Value) -> Value:
    """The same with -0 below +0."""
    return Mux(x[31], -magnitude(x) - 1, magnitude(x))


def to_int8(x: Value, result: Value) -> dict[str, Value]:
    """F2I8: the nearest integer, of two the even one, within -128..127; NaN is 0."""
    number, negative, exponent = result.as_signed(), x[31], x[23:31]
    # x in units of 2^-24, exact for 1/2 <= |x| < 128
    fixed = (Cat(x[:23], Const(1, 1), Const(0, 8)) << (exponent - 126)[:3])[:32]
    signed = Mux(negative, -fixed, fixed)
    error, half = signed - (number << 24), 1 << 23
    tie = (error == half) | (error == -half)
    nearest = (error >= -half) & (error <= half) & implies(tie, ~result[0])
    return {
        "F2I8_range": (number >= -128) & (number <= 127),
        "F2I8_of_nan": implies(is_nan(x), number == 0),
        "F2I8_below_a_half": implies(exponent < 126, number == 0),
        "F2I8_nearest": implies((exponent >= 126) & (exponent < 134), nearest | ((number == 127) & (error > 0))),
        "F2I8_saturates": implies(~is_nan(x) & (exponent >= 134), number == Mux(negative, -128, 127)),
    }
