"""The INT ALU of a lane."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa import IntOp

CHAIN_VALUE = data.StructLayout({"value": signed(32), "predicate": 1})
"""What travels from ALU to ALU: the lane's int32 and its predicate."""

ALU_COMMAND = data.StructLayout({"valid": 1, "op": 4, "own": 1, "imm": signed(32)})
"""One cycle of an ALU: operation; ``own`` takes y from its own last result; immediate of PICK."""


class IntAlu(Shared):
    """after = op(before, y) on int32, wrapping; see ``hdl.isa.IntOp``. Latency 1 cycle.

    ``after`` keeps the last valid result, which is what ``own`` (Source.SELF) refers to.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "command": In(ALU_COMMAND),
                "before": In(CHAIN_VALUE),
                "y": In(signed(32)),
                "after": Out(CHAIN_VALUE),
            }
        )

    @property
    def module_name(self) -> str:
        return "lpu_alu_int"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        op, x = self.command.op, self.before.value
        y = Signal(signed(32), name="operand")
        greater = Signal(name="greater")
        m.d.comb += [y.eq(Mux(self.command.own, self.after.value, self.y)), greater.eq(x > y)]
        value = Mux(
            _is(op, IntOp.ADD, IntOp.SUB, IntOp.RSUB),
            self._sum(x, y),
            Mux(
                _is(op, IntOp.MAX, IntOp.MIN, IntOp.SELECT, IntOp.PICK),
                self._pick(x, y, greater),
                Mux(_is(op, IntOp.AND, IntOp.OR, IntOp.XOR), self._bitwise(x, y), x),
            ),
        )
        equals = Mux(op == IntOp.EQ, x == y, self.before.predicate)
        predicate = Mux(op == IntOp.GT, greater, equals)
        with m.If(self.command.valid):
            m.d.sync += [self.after.value.eq(value), self.after.predicate.eq(predicate)]
        return m

    # One adder, one choice, one bitwise function, then one of four: a multiplexer of all operations is twice as big.

    def _sum(self, x: Value, y: Value) -> Value:
        op = self.command.op
        swap, minus = op == IntOp.RSUB, _is(op, IntOp.SUB, IntOp.RSUB)
        return Mux(swap, y, x) + (Mux(swap, x, y) ^ minus.replicate(32)) + minus

    def _pick(self, x: Value, y: Value, greater: Value) -> Value:
        op, predicate = self.command.op, self.before.predicate
        by_size = _is(op, IntOp.MAX) & greater | _is(op, IntOp.MIN) & ~greater
        takes_x = by_size | _is(op, IntOp.SELECT) & predicate
        return Mux(takes_x, x, Mux(_is(op, IntOp.PICK) & ~predicate, self.command.imm, y))

    def _bitwise(self, x: Value, y: Value) -> Value:
        op = self.command.op
        return Mux(op == IntOp.AND, x & y, Mux(op == IntOp.OR, x | y, x ^ y))


def _is(op: Value, *operations: IntOp) -> Value:
    return Cat(op == operation for operation in operations).any()
