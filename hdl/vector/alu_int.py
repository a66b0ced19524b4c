"""The INT ALU of a lane."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa import IntOp
from hdl.streams import choose

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
        results: dict[int, Value] = {
            IntOp.ADD: x + y,
            IntOp.SUB: x - y,
            IntOp.RSUB: y - x,
            IntOp.MAX: Mux(greater, x, y),
            IntOp.MIN: Mux(greater, y, x),
            IntOp.AND: x & y,
            IntOp.OR: x | y,
            IntOp.XOR: x ^ y,
            IntOp.SELECT: Mux(self.before.predicate, x, y),
            IntOp.PICK: Mux(self.before.predicate, y, self.command.imm),
        }
        value = choose([Value.cast(results.get(code, x))[:32] for code in range(1 << len(op))], op)
        equals = Mux(op == IntOp.EQ, x == y, self.before.predicate)
        predicate = Mux(op == IntOp.GT, greater, equals)
        with m.If(self.command.valid):
            m.d.sync += [self.after.value.eq(value), self.after.predicate.eq(predicate)]
        return m
