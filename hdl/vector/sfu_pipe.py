"""The SFU pipe of a lane: 2^x, 1/x, 1/sqrt(x) and -log2(x) by linear interpolation, and fp32 -> int32."""

from __future__ import annotations

import itertools

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import PipeKind
from hdl.emit import Shared, shared
from hdl.isa import PIPE_LATENCY, SfuOp
from hdl.isa.special import OFFSET_BITS, SEGMENT_BITS, UNIT_BITS
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.float32 import EXPONENT, FRACTION, SIGN, add_carry
from hdl.vector.sfu_rom import SfuRom
from hdl.vector.shifter import shift_right

LATENCY = PIPE_LATENCY[PipeKind.SFU]
_CASE = data.StructLayout(
    dict.fromkeys(("exp2", "recip", "rsqrt", "f2i", "nlog2", "sign", "special", "ones", "nan", "tiny"), 1)
)
"""What travels beside an element: its operation; the result's sign; whether the result is ``special``, that is zero or,
with ``ones`` in the exponent, infinity or ``nan``; ``tiny``: 1/x is below 2^-126 unless it rounds up to it."""
_SHIFTED = data.StructLayout({"bits": 32, "negative": 1, "half": 1, "sticky": 1, "inverse": 8})
"""A fixed-point number, complemented if ``negative``, with what was lost below it; 255 - exponent of x."""
_LINE = data.StructLayout({"exponent": 8, "start": UNIT_BITS, "change": 15, "word": 32, "takes_word": 1})
"""{exponent, start} +- change is the result's magnitude over 2^3, or -log2(x); F2I and special cases take ``word``."""


class SfuPipe(Shared):
    """result = op(x) on fp32 x; see ``hdl.isa.SfuOp`` and ``hdl.isa.special``. Latency 4 cycles.

    Cycle 1 shifts the significand to fixed point, cycle 2 rounds it and addresses the table, cycle 3 multiplies,
    cycle 4 adds. ``result`` keeps the last valid element's; ``word`` is what it will be in the next cycle if that is
    one.
    """

    def __init__(self) -> None:
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "word": Out(32), "result": Out(32)})

    @property
    def module_name(self) -> str:
        return "lpu_pipe_sfu"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cases = [Signal(_CASE, name=f"case{k}", reset_less=True) for k in range(1, LATENCY)]
        valids = Signal(LATENCY - 1, name="valids")
        shifted = Signal(_SHIFTED, name="shifted", reset_less=True)
        fixed = Signal(32, name="fixed", reset_less=True)
        bases = Signal(data.ArrayLayout(8, 2), name="bases", reset_less=True)
        line = Signal(_LINE, name="line", reset_less=True)
        result = Signal(32, name="held", reset_less=True)
        rounded = Signal(32, name="rounded")
        m.d.comb += [rounded.eq(_round(shifted)), self.result.eq(result)]
        rom = SfuRom()
        m.submodules.rom = shared(rom, platform)
        m.d.comb += rom.address.eq(_address(cases[0], shifted, rounded))
        m.d.sync += [
            valids.eq(Cat(self.command.valid, valids)),
            *(after.eq(before) for before, after in itertools.pairwise(cases)),
            fixed.eq(rounded),
            *(base.eq(part) for base, part in zip(bases, _exponent(cases[0], shifted, rounded), strict=True)),
        ]
        self._classify(m, cases[0])
        self._shift(m, shifted)
        entry = rom.entry
        _interpolate(m, cases[1], fixed, add_carry(bases[0], bases[1], entry.rise[UNIT_BITS]), entry, line)
        m.d.comb += self.word.eq(_assemble(m, cases[2], line))
        with m.If(valids[-1]):
            m.d.sync += result.eq(self.word)
        return m

    def _is(self, op: SfuOp) -> Value:
        return self.command.op[:3] == op

    def _classify(self, m: Module, case: data.View) -> None:
        sign, exponent = self.x[SIGN], self.x[EXPONENT]
        exp2, recip, rsqrt = self._is(SfuOp.EXP2), self._is(SfuOp.RECIP), self._is(SfuOp.RSQRT)
        zero, top = exponent == 0, exponent == 255
        far = exponent >= 134  # |x| >= 128
        nan = top & self.x[FRACTION].any() | rsqrt & sign & ~zero
        m.d.sync += [
            Cat(case.exp2, case.recip, case.rsqrt).eq(Cat(exp2, recip, rsqrt)),
            Cat(case.f2i, case.nlog2).eq(Cat(self._is(SfuOp.F2I), self._is(SfuOp.NLOG2))),
            case.sign.eq(sign & (recip | rsqrt) & ~nan),
            case.special.eq(exp2 & far | recip & (exponent == 254) | rsqrt & sign | (recip | rsqrt) & (zero | top)),
            case.ones.eq(nan | exp2 & far & ~sign | (recip | rsqrt) & zero),
            case.nan.eq(nan),
            case.tiny.eq(recip & (exponent == 253)),
        ]

    def _shift(self, m: Module, shifted: data.View) -> None:
        """x in units of 1 (F2I) or 2^-23 (EXP2), else its significand in units of 2^-23."""
        fraction, exponent, f2i = self.x[FRACTION], self.x[EXPONENT], self._is(SfuOp.F2I)
        converts, negative, below, beyond = (Signal(name=n) for n in ("converts", "negative", "below", "beyond"))
        distance, amount = Signal(9, name="distance"), Signal(5, name="amount")
        nan = (exponent == 255) & fraction.any()
        m.d.comb += [
            converts.eq(f2i | self._is(SfuOp.EXP2)),
            negative.eq(converts & self.x[SIGN]),
            distance.eq(Mux(f2i, 157, 134) - exponent),  # 0 for 2^30 <= |x| < 2^31, or 2^7 <= |x| < 2^8
            below.eq(converts & ~distance[8] & distance[5:8].any() | f2i & nan),
            beyond.eq(f2i & distance[8] & ~nan),
            amount.eq(Mux(converts, distance[:5], 7)),
        ]
        bits, lost = shift_right(m, Cat(Const(0, 8), fraction, 1), amount[4:], "coarse", 4)
        bits, sticky = shift_right(m, bits, amount[:4], "fine")
        # Beyond the range, 2^31 - 1 stays and its complement rounds up to itself; below it, zero does not round up.
        half = Mux(beyond, negative, bits[0] & ~below)
        whole = bits[1:] & ~below.replicate(31) | beyond.replicate(31)
        m.d.sync += [
            shifted.bits.eq(Cat(whole, 0) ^ negative.replicate(32)),
            shifted.negative.eq(negative),
            shifted.half.eq(half),
            shifted.sticky.eq(lost | sticky),
            shifted.inverse.eq(~exponent),
        ]


def _round(shifted: data.View) -> Value:
    """Nearest even. -(n + up) = ~n + (1 - up)."""
    up = shifted.half & (shifted.sticky | (shifted.bits[0] ^ shifted.negative))
    return add_carry(shifted.bits, Const(0, 32), up ^ shifted.negative)[:32]


def _address(case: data.View, shifted: data.View, fixed: Value) -> Value:
    """{SfuTable, segment}; the exponent of x is odd where its biased form is even."""
    table = Cat(case.recip | case.rsqrt & shifted.inverse[0], case.rsqrt, case.nlog2)
    return Cat(fixed[OFFSET_BITS : OFFSET_BITS + SEGMENT_BITS], table)


def _exponent(case: data.View, shifted: data.View, fixed: Value) -> tuple[Value, Value]:
    """Two addends of the result's biased exponent for y < 2^21: floor(x) + 127, 253 - b, or floor((380 - b) / 2).

    b is the biased exponent of x, and 255 - b = 2 h + l: 253 - b = (255 - b) + 254 mod 256, and
    floor((380 - b) / 2) = h + 62 + l. NLOG2: 126 - b = (255 - b) + 127 mod 256, the integer part for y < 2^21.
    """
    inverse = shifted.inverse
    variable = Mux(case.exp2, fixed[23:31], Mux(case.rsqrt, inverse[1:], inverse))
    constant = Cat(case.exp2 | case.nlog2 | case.rsqrt & inverse[0], Const(31, 5), ~case.rsqrt, case.recip)
    return variable, constant


def _interpolate(m: Module, case: data.View, fixed: Value, exponent: Value, entry: data.View, line: data.View) -> None:
    under = case.exp2 & (fixed[24:31] == 0x40)  # -128 <= x < -126
    special = case.special | under
    constant = Cat(Const(0, 22), case.nan, case.ones.replicate(8))
    m.d.sync += [
        line.exponent.eq(exponent),
        line.start.eq(entry.rise),
        line.change.eq((entry.slope * fixed[:OFFSET_BITS]) >> OFFSET_BITS),
        line.word.eq(Cat(Mux(special, constant, fixed[:SIGN]), Mux(case.f2i, fixed[SIGN], case.sign))),
        line.takes_word.eq(special | case.f2i),
    ]


def _assemble(m: Module, case: data.View, line: data.View) -> Value:
    start, falls = Cat(line.start[:UNIT_BITS], line.exponent), ~case.exp2
    change = Cat(line.change, Const(0, 13)) ^ falls.replicate(28)
    value = Signal(28, name="value")
    m.d.comb += value.eq(add_carry(start, change, falls))
    flushed = case.tiny & ~value[UNIT_BITS]
    magnitude = Mux(flushed, 0, Cat(Const(0, 3), value))
    return Cat(Mux(line.takes_word, line.word[:SIGN], magnitude), line.word[SIGN] | case.nlog2 & value[-1])
