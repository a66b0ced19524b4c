"""The REQUANT pipe of a lane: a fixed-point multiply with a rounding shift."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, shared
from hdl.isa import SHIFT_BITS, RequantOp
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.product import FACTOR_BITS, X_BITS, Product
from hdl.vector.shifter import shift_right


def fine_bits(mult_bits: int) -> int:
    """Bits of the shift that the multiplier takes over, in a factor of FACTOR_BITS: 0 or 3."""
    return 3 if mult_bits + 8 <= FACTOR_BITS else 0


class RequantPipe(Shared):
    """result = round_half_even(x * m / 2^s), low 32 bits; see ``hdl.isa.RequantOp``. Latency 3 cycles.

    Cycle 1 multiplies, cycle 2 shifts and notes the bits shifted out, cycle 3 rounds. A narrow m leaves room in the
    multiplier: x * (m * 2^k) / 2^(8q) with 8q - k = s, so that only whole bytes are shifted.
    ``result`` keeps the last valid element's; ``rounded`` is what it will be in the next cycle if that is one.
    """

    def __init__(self, mult_bits: int) -> None:
        self._mult_bits, self._fine = mult_bits, fine_bits(mult_bits)
        self._factor_bits = FACTOR_BITS if self._fine else mult_bits + 1
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "y": In(32), "rounded": Out(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return f"lpu_pipe_requant_{self._mult_bits}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product, steps, rounds = self._multiply(m, platform)
        quotient, round_up = self._shift(m, product, steps, rounds)
        valid1, valid2 = Signal(name="valid1"), Signal(name="valid2")
        held = Signal(32, name="held", reset_less=True)
        m.d.sync += [valid1.eq(self.command.valid), valid2.eq(valid1)]
        with m.If(valid2):
            m.d.sync += held.eq(self.rounded)
        m.d.comb += [self.rounded.eq(quotient + round_up), self.result.eq(held)]
        return m

    def _multiply(self, m: Module, platform: object) -> tuple[Signal, Signal, Signal]:
        """x * m * 2^k, the number q of steps of 2^fine bits to shift it by, and whether to round."""
        bits = self._mult_bits
        op = self.command.op[: len(RequantOp).bit_length() - 1]
        factor = Signal(signed(bits + 1), name="factor")
        with m.If(op == RequantOp.PASS):
            m.d.comb += factor.eq(1)
        with m.Elif(op == RequantOp.MUL):
            m.d.comb += factor.eq(self.y[:bits].as_signed())
        with m.Else():
            m.d.comb += factor.eq(self.y[:bits])
        shifts = (op == RequantOp.REQUANT) | (op == RequantOp.SHR)
        shift = Signal(SHIFT_BITS, name="shift")
        m.d.comb += shift.eq(Mux(shifts, self.y[bits : bits + SHIFT_BITS], 0))
        k = Signal(self._fine, name="k")
        m.d.comb += k.eq(-shift)
        multiplier = Product(self._factor_bits)
        m.submodules.multiplier = shared(multiplier, platform)
        m.d.comb += [multiplier.x.eq(self.x), multiplier.factor.eq(factor << k)]
        return multiplier.product, *self._steps(m, shift, op == RequantOp.REQUANT)

    def _steps(self, m: Module, shift: Signal, rounding: object) -> tuple[Signal, Signal]:
        """q in the next cycle, at most what shifts out all but the sign."""
        most = -(-(X_BITS + self._factor_bits) >> self._fine) if self._fine else (1 << SHIFT_BITS) - 1
        steps = Signal(range(most + 1), name="steps", reset_less=True)
        rounds = Signal(name="rounds", reset_less=True)
        wanted = (shift + ((1 << self._fine) - 1)) >> self._fine
        m.d.sync += [steps.eq(Mux(wanted > most, most, wanted)), rounds.eq(rounding)]
        return steps, rounds

    def _shift(self, m: Module, product: Signal, steps: Signal, rounds: Signal) -> tuple[Signal, Signal]:
        """floor(product / 2^(q * 2^fine)), and whether half-even rounding adds one."""
        quotient = Signal(32, name="quotient", reset_less=True)
        round_up = Signal(name="round_up", reset_less=True)
        shifted, sticky = shift_right(m, Cat(Const(0, 1), product).as_signed(), steps, "quotient", self._fine)
        m.d.sync += [quotient.eq(shifted[1:]), round_up.eq(rounds & shifted[0] & (sticky | shifted[1]))]
        return quotient, round_up
