"""What the floating-point pipes of a lane share: the fields of an fp32 word, and sums with a carry-in."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Value

FRACTION, EXPONENT, SIGN = slice(0, 23), slice(23, 31), 31


def add_carry(a: Value, b: Value, carry: Value) -> Value:
    """a + b + carry (one bit) in one carry chain; one bit longer than the longer addend."""
    return (Cat(carry, a) + Cat(carry, b))[1:]


def pack(sign: Value, exponent: Value, fraction: Value, nan: Value, zero: Value, clear: Value) -> Value:
    """The word {sign, exponent, fraction} with exponent 0 where ``zero`` and fraction 0 where ``clear``.

    Where ``nan``, the word is 0x7FC00000: the caller gives an exponent of all ones, and ``clear``, with it.
    """
    quiet = nan | (fraction[22] & ~clear)
    return Cat(Mux(clear, 0, fraction[:22]), quiet, Mux(zero, 0, exponent), sign & ~nan)
