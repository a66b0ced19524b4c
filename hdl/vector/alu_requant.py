"""The REQUANT ALU of a lane: a fixed-point multiply with a rounding shift."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa import SHIFT_BITS, RequantOp
from hdl.vector.alu_int import ALU_COMMAND, CHAIN_VALUE


class RequantAlu(Shared):
    """after = round_half_even(before * m / 2^s), low 32 bits; see ``hdl.isa.RequantOp``. Latency 3 cycles.

    Cycle 1 multiplies, cycle 2 shifts and notes the bits shifted out, cycle 3 rounds.
    """

    def __init__(self, mult_bits: int) -> None:
        self._mult_bits = mult_bits
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
        return f"lpu_alu_requant_{self._mult_bits}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product, shift, rounds = self._multiply(m)
        quotient, round_up = self._shift(m, product, shift, rounds)
        m.d.sync += self.after.value.eq(quotient + round_up)
        predicates = [self.before.predicate, Signal(name="predicate1"), Signal(name="predicate2")]
        m.d.sync += [after.eq(before) for before, after in zip(predicates, predicates[1:], strict=False)]
        m.d.sync += self.after.predicate.eq(predicates[-1])
        return m

    def _multiply(self, m: Module) -> tuple[Signal, Signal, Signal]:
        bits = self._mult_bits
        op = self.command.op
        factor = Signal(signed(bits + 1), name="factor")
        with m.If(op == RequantOp.PASS):
            m.d.comb += factor.eq(1)
        with m.Elif(op == RequantOp.MUL):
            m.d.comb += factor.eq(self.y[:bits].as_signed())
        with m.Else():
            m.d.comb += factor.eq(self.y[:bits])
        product = Signal(signed(33 + bits), name="product", reset_less=True)
        shift = Signal(SHIFT_BITS, name="shift", reset_less=True)
        rounds = Signal(name="rounds", reset_less=True)
        shifts = (op == RequantOp.REQUANT) | (op == RequantOp.SHR)
        m.d.sync += [
            product.eq(self.before.value * factor),
            shift.eq(Mux(shifts, self.y[bits : bits + SHIFT_BITS], 0)),
            rounds.eq(op == RequantOp.REQUANT),
        ]
        return product, shift, rounds

    def _shift(self, m: Module, product: Signal, shift: Signal, rounds: Signal) -> tuple[Signal, Signal]:
        """floor(product / 2^s), and whether half-even rounding adds one."""
        extended = Signal(signed(len(product) + 1), name="extended")
        shifted = Signal(signed(33), name="shifted")
        quotient = Signal(signed(32), name="quotient", reset_less=True)
        round_up = Signal(name="round_up", reset_less=True)
        sticky_mask = Signal(len(product) + 1, name="sticky_mask")
        m.d.comb += [
            extended.eq(product << 1),
            shifted.eq(extended >> shift),
            sticky_mask.eq((1 << shift) - 1),
        ]
        half = shifted[0]
        sticky = (extended & sticky_mask).any()
        m.d.sync += [quotient.eq(shifted >> 1), round_up.eq(rounds & half & (sticky | shifted[1]))]
        return quotient, round_up
