"""The REQUANT pipe of a lane: a fixed-point multiply with a rounding shift."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa import SHIFT_BITS, RequantOp
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.shifter import shift_right


class RequantPipe(Shared):
    """result = round_half_even(x * m / 2^s), low 32 bits; see ``hdl.isa.RequantOp``. Latency 3 cycles.

    Cycle 1 multiplies, cycle 2 shifts and notes the bits shifted out, cycle 3 rounds.
    ``result`` keeps the last valid element's.
    """

    def __init__(self, mult_bits: int) -> None:
        self._mult_bits = mult_bits
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "y": In(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return f"lpu_pipe_requant_{self._mult_bits}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product, shift, rounds = self._multiply(m)
        quotient, round_up = self._shift(m, product, shift, rounds)
        valid1, valid2 = Signal(name="valid1"), Signal(name="valid2")
        held = Signal(32, name="held", reset_less=True)
        m.d.sync += [valid1.eq(self.command.valid), valid2.eq(valid1)]
        with m.If(valid2):
            m.d.sync += held.eq(quotient + round_up)
        m.d.comb += self.result.eq(held)
        return m

    def _multiply(self, m: Module) -> tuple[Signal, Signal, Signal]:
        bits = self._mult_bits
        op = self.command.op[: len(RequantOp).bit_length() - 1]
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
            product.eq(self.x.as_signed() * factor),
            shift.eq(Mux(shifts, self.y[bits : bits + SHIFT_BITS], 0)),
            rounds.eq(op == RequantOp.REQUANT),
        ]
        return product, shift, rounds

    def _shift(self, m: Module, product: Signal, shift: Signal, rounds: Signal) -> tuple[Signal, Signal]:
        """floor(product / 2^s), and whether half-even rounding adds one."""
        quotient = Signal(32, name="quotient", reset_less=True)
        round_up = Signal(name="round_up", reset_less=True)
        shifted, sticky = shift_right(m, Cat(Const(0, 1), product).as_signed(), shift, "quotient")
        m.d.sync += [quotient.eq(shifted[1:]), round_up.eq(rounds & shifted[0] & (sticky | shifted[1]))]
        return quotient, round_up
