"""Two int8 products of one activation in one multiplier of 18 x 18, for parts with fewer multipliers than MACs."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared

APART = 10
"""Bits by which the weights are apart in the multiplier's first operand: as many as 18 leave."""
OVERLAP = 6
"""Bits of the second product below which the first one reaches: 16 - APART."""


class ColumnPair(Shared):
    """products[16j +: 16] = weights[8j +: 8] * x, all int8, for j in 0, 1; one cycle later.

    With u = weight 0 + 128, from 0 to 255, the multiplier gives p = (weight1 * 2^10 + u) * x. The second product's low
    six bits come from LUTs; what p has above them is f = floor(u * x / 2^10), from -32 to 31, modulo 64. Then

        u * x = {f, p mod 2^10},  weight1 * x = floor(p / 2^10) - f,  weight0 * x = u * x - 128 * x.
    """

    def __init__(self) -> None:
        super().__init__({"weights": In(16), "x": In(8), "products": Out(32)})

    @property
    def module_name(self) -> str:
        return "lpu_column_pair"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packed = Signal(signed(18), name="packed")
        product = Signal(signed(26), name="product", reset_less=True)
        low = Signal(OVERLAP, name="low", reset_less=True)
        x = Signal(8, name="x_held", reset_less=True)
        m.d.comb += packed.eq(Cat(self.weights[:7], ~self.weights[7], Const(0, 2), self.weights[8:]))
        m.d.sync += [
            product.eq(packed * self.x.as_signed()),
            low.eq(_low_product(m, self.weights[8:], self.x)),
            x.eq(self.x),
        ]
        above = Signal(signed(OVERLAP + 1), name="above")  # f, and whether the sum of f and ``low`` has a carry
        m.d.comb += above.eq(product[APART:16] - low)
        f, carry = above[:OVERLAP], above[OVERLAP]
        first, second = Signal(9, name="first"), Signal(10, name="second")
        m.d.comb += [
            first.eq(Cat(product[7:APART], f) - x.as_signed()),
            second.eq(product[16:] + Cat(f[-1] ^ carry, (carry & ~f[-1]).replicate(9))),
            self.products.eq(Cat(product[:7], first, low, second)),
        ]
        return m


def _low_product(m: Module, weight: Value, x: Value) -> Value:
    """weight * x modulo 2^OVERLAP from partial products: as ``*``, it would take a multiplier."""
    rows = [Cat(Const(0, i), weight[: OVERLAP - i] & x[i].replicate(OVERLAP - i)) for i in range(OVERLAP)]
    sums = [Signal(OVERLAP, name=f"low{i}", attrs={"keep": 1}) for i in range(3)]
    m.d.comb += [sums[0].eq(rows[0] + rows[1]), sums[1].eq(rows[2] + rows[3]), sums[2].eq(sums[0] + sums[1])]
    return (sums[2] + (rows[4] ^ rows[5]))[:OVERLAP]
