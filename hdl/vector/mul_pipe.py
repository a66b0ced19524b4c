"""The MUL pipe of a lane: fp32 multiplication, subnormals read and written as zero."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.float32 import EXPONENT, FRACTION, SIGN, add_carry, pack

LOW = 18
"""Bits of a significand's low part, the width of a DSP multiplier; the high part has 6."""

_CLASS = data.StructLayout(
    {
        "sign": 1,  # of the product
        "zero": 1,  # an operand is zero
        "top": 1,  # an operand is infinite or NaN
        "nan": 1,  # the product is NaN
    }
)


class MulPipe(Shared):
    """result = x * y in fp32, to nearest even; see ``hdl.isa.MulOp``. Latency 3 cycles, one element per cycle.

    NaN operands and 0 * inf give 0x7FC00000, products below 2^-126 before rounding give zero, overflow gives infinity.
    Cycle 1 forms four partial products of the 24-bit significands, cycle 2 adds them, cycle 3 normalises and rounds.
    ``result`` changes only when a valid element completes.
    """

    def __init__(self) -> None:
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "y": In(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return "lpu_pipe_mul"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = Signal(2)
        m.d.sync += valid.eq(Cat(self.command.valid, valid))
        word = _round(m, self._product(m), self._exponent(m), self._classify(m))
        result = Signal(32, reset_less=True)
        with m.If(valid[-1]):
            m.d.sync += result.eq(word)
        m.d.comb += self.result.eq(result)
        return m

    def _product(self, m: Module) -> Value:
        """After cycle 2: whether any of bits 0 to 17 of the product of significands is set, and bits 18 to 47."""
        x, y = (Cat(operand[FRACTION], Const(1)) for operand in (self.x, self.y))
        low = Signal(36, reset_less=True)
        crossed = [Signal(24, name=f"crossed{i}", reset_less=True) for i in range(2)]
        high = Signal(12, reset_less=True)
        product = Signal(31, reset_less=True)
        m.d.sync += [
            low.eq(x[:LOW] * y[:LOW]),
            crossed[0].eq(x[:LOW] * y[LOW:]),
            crossed[1].eq(x[LOW:] * y[:LOW]),
            high.eq(x[LOW:] * y[LOW:]),
            product.eq(Cat(low[:LOW].any(), Cat(low[LOW:], high) + (crossed[0] + crossed[1]))),
        ]
        return product

    def _exponent(self, m: Module) -> tuple[Value, Value, Value]:
        """After cycle 2, for e = exponent of x + exponent of y - 127: e (9 bits, for e >= 0), e < 0, e == 0."""
        total = Signal(9, reset_less=True)  # e + 128
        exponent = Signal(9, reset_less=True)
        negative, none = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            total.eq(add_carry(self.x[EXPONENT], self.y[EXPONENT], Const(1))),
            exponent.eq(Cat(total[:7], ~total[7], total[7] & total[8])),
            negative.eq(~total[7] & ~total[8]),
            none.eq(total == 128),
        ]
        return exponent, negative, none

    def _classify(self, m: Module) -> data.View[data.StructLayout]:
        """After cycle 2: what the signs, exponents 0 and exponents of all ones decide."""
        operands = self.x, self.y
        zeros = [operand[EXPONENT] == 0 for operand in operands]
        tops = [operand[EXPONENT].all() for operand in operands]
        nans = [top & operand[FRACTION].any() for top, operand in zip(tops, operands, strict=True)]
        early, late = Signal(_CLASS, reset_less=True), Signal(_CLASS, reset_less=True)
        m.d.sync += [
            early.sign.eq(self.x[SIGN] ^ self.y[SIGN]),
            early.zero.eq(zeros[0] | zeros[1]),
            early.top.eq(tops[0] | tops[1]),
            early.nan.eq(nans[0] | nans[1] | (zeros[0] & tops[1]) | (zeros[1] & tops[0])),
            late.eq(early),
        ]
        return late


def _round(
    m: Module, product: Value, exponents: tuple[Value, Value, Value], operands: data.View[data.StructLayout]
) -> Value:
    """Normalise and round; the result word. The product's leading one is its bit 29 or, if ``wide``, bit 30."""
    exponent, negative, none = exponents
    wide = product[30]
    kept = Mux(wide, product[6:30], product[5:29])  # guard bit and fraction
    up = kept[0] & (kept[1] | product[:5].any() | (wide & product[5]))
    rounded = Signal(32)
    m.d.comb += rounded.eq(add_carry(Cat(kept[1:], exponent), wide << 23, up))
    over = operands.top | rounded[31] | rounded[23:31].all()
    tiny = ~operands.top & (operands.zero | negative | (none & ~wide))
    return pack(operands.sign, rounded[23:31] | over.replicate(8), rounded[:23], operands.nan, tiny, tiny | over)
