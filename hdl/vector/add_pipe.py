"""The ADD pipe of a lane: fp32 addition with subnormals read and written as zero, and conversion from int32."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa import AddOp
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.float32 import EXPONENT, FRACTION, SIGN, add_carry, pack

LEADING = 30
"""Bit of the adder's 32-bit words at which the larger significand has its leading one: a sum has one bit more."""
EXPONENT_OFFSET = LEADING
"""Exponents are carried less this: adding 31 minus the leading zeros of the sum gives the exponent of the result."""
INTEGER_EXPONENT = 127 + LEADING
"""Exponent of an int32 that is read as a significand in the adder's words."""

_ORDERED = data.StructLayout(
    {
        "large": 23,  # fraction of the operand of larger magnitude
        "small": 24,  # significand of the other one, or 0
        "integer": 32,  # operand of I2F, or 0
        "large_exponent": 8,
        "small_exponent": 8,
        "sign": 1,  # of the operand of larger magnitude
        "subtract": 1,  # signs differ, or the integer is negative
        "zero": 1,  # both operands are zero
        "top": 1,  # an operand is infinite or NaN
        "tops": 1,  # both are
        "exact": 1,  # PASS: no special cases
        "converts": 1,  # I2F
    }
)
_FLAGS = {"sign": 1, "nan": 1, "exact": 1}
_ALIGNED = data.StructLayout({"large": 32, "small": 32, "subtract": 1, "exponent": 9, **_FLAGS})
_SUM = data.StructLayout({"value": 32, "some": 3, "exponent": 9, **_FLAGS})
"""``value`` was shifted left by 4 << k unless bit k of ``some`` found a one among as many leading bits."""


class AddPipe(Shared):
    """result = x + y, x - y, y - x in fp32, fp32 of int32 x, or x; see ``hdl.isa.AddOp``. Latency 4 cycles.

    Rounding is to nearest even. NaN operands and inf - inf give 0x7FC00000, sums below 2^-126 give zero of their sign,
    an exact zero is +0 unless both addends are -0, overflow gives infinity. One element per cycle; ``result`` changes
    only when a valid element completes.

    Cycle 1 orders the operands by magnitude, cycle 2 aligns the smaller one, cycle 3 adds and begins to normalise,
    cycle 4 ends that and rounds. PASS is x + 0 without special cases; I2F adds 0 and x, or 0, not x and 1.
    """

    def __init__(self) -> None:
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "y": In(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return "lpu_pipe_add"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = Signal(3)
        m.d.sync += valid.eq(Cat(self.command.valid, valid))
        word = _round(m, _add(m, _align(m, self._order(m))))
        result = Signal(32, reset_less=True)
        with m.If(valid[-1]):
            m.d.sync += result.eq(word)
        m.d.comb += self.result.eq(result)
        return m

    def _order(self, m: Module) -> data.View[data.StructLayout]:
        """Sort the operands of a sum by magnitude; a missing, zero or overruled smaller one is 0."""
        x, y, op = self.x, self.y, self.command.op[:3]
        converts = op == AddOp.I2F
        sums = (op != AddOp.PASS) & ~converts
        swap = Signal()
        m.d.comb += swap.eq(sums & (x[:SIGN] < y[:SIGN]))  # yosys builds y > x with an equality of 27 LUTs on top
        signs = x[SIGN] ^ (op == AddOp.FRSUB), y[SIGN] ^ (op == AddOp.FSUB)
        zeros = [operand[EXPONENT] == 0 for operand in (x, y)]
        tops = [operand[EXPONENT].all() for operand in (x, y)]
        absent = Mux(swap, zeros[0], zeros[1]) | tops[0] | tops[1] | ~sums
        ordered = Signal(_ORDERED, reset_less=True)
        m.d.sync += [
            ordered.large.eq(Mux(swap, y, x)[FRACTION]),
            ordered.small.eq(Mux(absent, 0, Cat(Mux(swap, x, y)[FRACTION], Const(1)))),
            ordered.integer.eq(Mux(converts, x, 0)),
            ordered.large_exponent.eq(Mux(converts, 0, Mux(swap, y, x)[EXPONENT])),
            ordered.small_exponent.eq(Mux(converts, 0, Mux(swap, x, y)[EXPONENT])),
            ordered.sign.eq(Mux(swap, signs[1], signs[0])),
            ordered.subtract.eq(Mux(converts, x[SIGN], sums & (signs[0] ^ signs[1]))),
            ordered.zero.eq(sums & zeros[0] & zeros[1]),
            ordered.top.eq(sums & (tops[0] | tops[1])),
            ordered.tops.eq(tops[0] & tops[1]),
            ordered.exact.eq(op == AddOp.PASS),
            ordered.converts.eq(converts),
        ]
        return ordered


def _align(m: Module, ordered: data.View[data.StructLayout]) -> data.View[data.StructLayout]:
    """Shift the smaller significand right by the difference of the exponents, and complement it to subtract."""
    distance = Signal(8)
    m.d.comb += distance.eq(ordered.large_exponent - ordered.small_exponent)
    shifted = _shift_right(m, ordered.small, distance, ordered.integer)
    aligned = Signal(_ALIGNED, reset_less=True)
    exponent = ordered.large_exponent - EXPONENT_OFFSET
    m.d.sync += [
        aligned.large.eq(Mux(ordered.converts, 0, Cat(Const(0, 7), ordered.large, Const(1)))),
        aligned.small.eq(shifted ^ ordered.subtract.replicate(32)),
        aligned.subtract.eq(ordered.subtract),
        aligned.exponent.eq(Mux(ordered.converts, INTEGER_EXPONENT - EXPONENT_OFFSET, exponent)),
        aligned.sign.eq(ordered.sign & ~(ordered.zero & ordered.subtract)),
        aligned.nan.eq(ordered.top & (ordered.large.any() | (ordered.tops & ordered.subtract))),
        aligned.exact.eq(ordered.exact),
    ]
    return aligned


def _shift_right(m: Module, small: Value, distance: Value, integer: Value) -> Value:
    """The adder's word of small >> distance with its guard, round and sticky bits, or the integer.

    One of small and integer is 0, and an integer comes with distance 0: it joins before the last step of the shift,
    where a LUT has an input to spare.
    """
    far = distance[5:].any()  # too far for the sticky bit to matter: the sum rounds to the larger operand
    value = Cat(Const(0, 2), small)
    lost: Value = Const(0)
    for k in (4, 3, 2, 1, 0):
        if k == 0:
            value = value | integer[5:31]
        lost = lost | (distance[k] & value[: 1 << k].any())
        shifted = Signal(len(value), name=f"shifted_by_{1 << k}")
        step = Mux(distance[k], value >> (1 << k), value)
        m.d.comb += shifted.eq(Mux(far, 0, step) if k == 4 else step)
        value = shifted
    return Cat(integer[:4], integer[4] | lost, value, integer[31])


def _add(m: Module, aligned: data.View[data.StructLayout]) -> data.View[data.StructLayout]:
    """Add, and shift the sum left past leading zeros, except for the last three."""
    total = Signal(32)
    m.d.comb += total.eq(add_carry(aligned.large, aligned.small, aligned.subtract))
    octets = [total[i : i + 8].any() for i in range(0, 32, 8)]
    some = Signal(3)
    by_octets = Signal(32)
    m.d.comb += [
        some[2].eq(octets[3] | octets[2]),
        some[1].eq(Mux(some[2], octets[3], octets[1])),
        by_octets.eq(_shift_unless(some[1], _shift_unless(some[2], total, 16), 8)),
        some[0].eq(by_octets[28:].any()),
    ]
    result = Signal(_SUM, reset_less=True)
    m.d.sync += [result.value.eq(_shift_unless(some[0], by_octets, 4)), result.some.eq(some)]
    m.d.sync += [result[name].eq(aligned[name]) for name in ("exponent", *_FLAGS)]
    return result


def _shift_unless(some: Value, value: Value, distance: int) -> Value:
    """value << distance unless ``some`` of its leading bits are set."""
    return Mux(some, value, value << distance)[: len(value)]


def _round(m: Module, total: data.View[data.StructLayout]) -> Value:
    """Shift out the last leading zeros and round; the result word."""
    by_two, by_one = Signal(32), Signal(32)
    some = Signal(2)
    m.d.comb += [
        some[1].eq(total.value[30:].any()),
        by_two.eq(_shift_unless(some[1], total.value, 2)),
        some[0].eq(by_two[31]),
        by_one.eq(_shift_unless(some[0], by_two, 1)),
    ]
    up = by_one[7] & (by_one[8] | by_two[:6].any() | (by_two[6] & some[0]))
    rounded, before = Signal(32), Signal(9)
    places = Cat(some, total.some)
    m.d.comb += [
        rounded.eq(add_carry(Cat(by_one[8:31], total.exponent), Cat(Const(0, 23), places), up)),
        before.eq(total.exponent + places),
    ]
    # The exponent before rounding is there earlier, and tells the same: a sum below 2^-126 is exact, as its addends are
    # multiples of 2^-149, and one that rounds up to 2^128 is the word of infinity.
    nonzero = by_two[30:].any()
    tiny = ~total.exact & ((before == 0) | before[-1] | ~nonzero)
    over = ~total.exact & (before[:8] == 255)
    return pack(total.sign & nonzero, rounded[23:31], rounded[:23], total.nan, tiny, tiny | over)
