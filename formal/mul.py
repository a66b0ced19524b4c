"""The MUL pipe: special values and signs for all operands; products with 2^k and 1.5 * 2^k, bit by bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Value
from amaranth.lib import data

from formal.pipe import INFINITY, QNAN, PipeRules, implies, is_infinite, is_nan, is_normal, is_zero, magnitude

FREE_PRODUCTS = ("cutpoint t:$mul",)
"""yosys: every multiplier gives anything in any cycle. What is proved so holds whatever the significands' product."""


class MulRules(PipeRules):
    """x * y as far as signs, exponents 0 and exponents of all ones decide; to be proved with FREE_PRODUCTS."""

    def rules(self, element: data.View, result: Value) -> dict[str, Value]:
        x, y = element.x, element.y
        infinite, zero = is_infinite(x) | is_infinite(y), is_zero(x) | is_zero(y)
        nan = is_nan(x) | is_nan(y) | (infinite & zero)
        return {
            "nan": implies(nan, result == QNAN),
            "number": implies(~nan, ~is_nan(result)),
            "sign": implies(~nan, result[31] == x[31] ^ y[31]),
            "infinite_factor": implies(~nan & infinite, is_infinite(result)),
            "zero_factor": implies(~nan & zero, magnitude(result) == 0),
            "never_subnormal": implies(is_zero(result), magnitude(result) == 0),
        }


class MulByHalves(PipeRules):
    """Every bit of x * y for any normal x and y = 2^k or 1.5 * 2^k of any k and sign."""

    def rules(self, element: data.View, result: Value) -> dict[str, Value]:
        x, y = element.x, element.y
        significand = Cat(x[:23], Const(1, 1))
        product = Mux(y[22], significand * 3, significand << 1)[:26]
        wide = product[25]
        kept, guard, sticky = (
            Mux(wide, product[2:], product[1:25]),
            Mux(wide, product[1], product[0]),
            wide & product[0],
        )
        rounded = kept + (guard & (sticky | kept[0]))
        before = x[23:31] + y[23:31] + wide
        exponent = before + rounded[24]
        tiny, over = before < 128, exponent > 127 + 254
        expected = Mux(tiny, 0, Mux(over, INFINITY, Cat(rounded[:23], (exponent - 127)[:8])))
        factors = is_normal(x) & is_normal(y) & (y[:22] == 0)
        return {
            "product": implies(factors, result == Cat(expected[:31], x[31] ^ y[31])),
            "one": implies(is_normal(x) & (y == 127 << 23), result == x),
        }
