"""A right shift that notes what it shifts out, for rounding."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value


def shift_right(m: Module, value: Value, amount: Value, name: str, lowest: int = 0) -> tuple[Value, Value]:
    """value >> (amount * 2^lowest), filled with the sign of a signed value, and whether ones were shifted out.

    Each step is a signal of its own: an expression would be written out again wherever it is used.
    """
    lost: Value = Const(0, 1)
    for k in reversed(range(len(amount))):
        distance = 1 << (k + lowest)
        lost = lost | (amount[k] & value[:distance].any())
        shifted = Signal(value.shape(), name=f"{name}_by_{distance}")
        m.d.comb += shifted.eq(Mux(amount[k], value >> distance, value))
        value = shifted
    some = Signal(name=f"{name}_lost")
    m.d.comb += some.eq(lost)
    return value, some
