"""The INT pipe of a lane: int32 arithmetic, choice and comparison, and the fp32 operations that need no adder."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa import IntOp
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.float32 import EXPONENT, FRACTION, SIGN, add_carry
from hdl.vector.shifter import shift_right

QNAN = 0x7FC00000


class IntPipe(Shared):
    """result = op(x, y) on words of 32 bits; see ``hdl.isa.IntOp``. Latency 1 cycle, 2 cycles if ``registered``.

    ``result`` keeps the last valid element's, and the flag (0 after reset) the last valid comparison's. Without
    ``floats`` the operations from FMAX on, and without ``bitwise`` AND, OR and XOR, are left out and must not be asked
    for. ``registered``: with a register before the pipe, and the operation decoded before it. ``lanes``: those that
    take turns, in the same order with every element; each has its flag, and ``word`` is what ``result`` will be after
    this element.

    One adder serves sums and comparisons: x + ~y + carry is x - y for carry 1, ~(y - x) for carry 0 and then all ones
    for x = y; the carry into its sign bit compares the magnitudes.
    """

    def __init__(self, floats: bool, bitwise: bool = True, lanes: int = 1, registered: bool = False) -> None:
        self._floats, self._bitwise_ops, self._lanes, self._registered = floats, bitwise, lanes, registered
        ahead = {"word": Out(32)} if lanes > 1 else {}
        super().__init__({"command": In(PIPE_COMMAND), "x": In(32), "y": In(32), **ahead, "result": Out(32)})

    @property
    def module_name(self) -> str:
        return (
            "lpu_pipe_int"
            + ("_float" if self._floats else "")
            + ("" if self._bitwise_ops else "_arithmetic")
            + f"_{self._lanes}"
            + ("_registered" if self._registered else "")
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = self._enter()
        flags = Signal(self._lanes, name="flags")
        flag = flags[0]
        second, total = Signal(32, name="second"), Signal(32, name="total")
        greater = Signal(name="greater")
        result = Signal(32, name="held", reset_less=True)
        m.d.comb += [
            second.eq(self._second(flag)),
            total.eq(self._total(second)),
            greater.eq(self._greater(total)),
            self.result.eq(result),
        ]
        word = self._word(flag, greater, second, total)
        if self._lanes > 1:
            m.d.comb += self.word.eq(word)
            word = self.word
        with m.If(valid):
            m.d.sync += result.eq(word)
            m.d.sync += flags.eq(flags.rotate_right(1))
            with m.If(self._is(IntOp.GT)):
                m.d.sync += flags[-1].eq(greater)
            with m.If(self._is(IntOp.EQ)):
                m.d.sync += flags[-1].eq(total.all())
            if self._floats:
                self._float_cases(m, result, flags[-1], greater, total)
        domain = m.d.sync if self._registered else m.d.comb
        domain += [entered.eq(entering) for entered, entering in self._entering]
        return m

    def _enter(self) -> Value:
        """``_x``, ``_y``, ``_imm`` and, as returned, whether there is an element: as they are, or a cycle later."""
        self._decoded, self._entering = dict[tuple[IntOp, ...], Signal](), list[tuple[Signal, Value]]()
        valid = Signal(name="valid")
        self._x, self._y, self._imm = (Signal(32, name=name, reset_less=True) for name in ("x_in", "y_in", "imm"))
        self._entering += [
            (valid, self.command.valid),
            (self._x, self.x),
            (self._y, self.y),
            (self._imm, self.command.imm),
        ]
        return valid

    def _is(self, *operations: IntOp) -> Value:
        """Whether the operation is one of these, as far as the pipe has them."""
        if operations not in self._decoded:
            bits, last = (5, IntOp.F2I8) if self._floats else (4, IntOp.PICK)
            found = Cat(self.command.op[:bits] == op for op in operations if op <= last).any()
            self._decoded[operations] = Signal(name=f"is{len(self._decoded)}", reset_less=True)
            self._entering.append((self._decoded[operations], found))
        return self._decoded[operations]

    def _second(self, flag: Value) -> Value:
        """What the adder takes with x: y, or its complement; PICK without the flag: the immediate's complement."""
        direct = self._is(IntOp.ADD)
        return Mux(self._is(IntOp.PICK) & ~flag, ~self._imm, self._y ^ (~direct).replicate(32))

    def _total(self, second: Value) -> Value:
        # Of two negative floats the one with the smaller magnitude is greater: with the carry, not greater is >=.
        both_negative = self._x[SIGN] & self._y[SIGN]
        carry = self._is(IntOp.SUB) | self._is(IntOp.FMAX, IntOp.FMIN, IntOp.FGT) & both_negative
        return add_carry(self._x, second, carry)[:32]

    def _greater(self, total: Value) -> Value:
        """x > y, in the order of the operation's numbers; -0 < +0."""
        x_sign, y_sign = self._x[SIGN], self._y[SIGN]
        differ = x_sign ^ y_sign
        reverse = self._is(IntOp.FMAX, IntOp.FMIN, IntOp.FGT) & x_sign
        by_magnitude = ~(total[SIGN] ^ differ ^ reverse)
        return Mux(differ & ~self._is(IntOp.FAMAX), y_sign, by_magnitude)

    # Two rows of multiplexers, the second over the first, ``second`` and the sum; one of all operations is twice as big

    def _word(self, flag: Value, greater: Value, second: Value, total: Value) -> Value:
        takes_x = self._is(IntOp.PASS, IntOp.AND, IntOp.OR, IntOp.XOR, IntOp.GT, IntOp.EQ, IntOp.FGT, IntOp.FABS)
        takes_x |= self._is(IntOp.SELECT) & flag
        takes_x |= self._is(IntOp.MAX, IntOp.FMAX, IntOp.FAMAX) & greater
        takes_x |= self._is(IntOp.MIN, IntOp.FMIN) & ~greater
        added = total ^ self._is(IntOp.RSUB).replicate(32)
        return Mux(self._is(IntOp.ADD, IntOp.SUB, IntOp.RSUB), added, Mux(takes_x, self._bitwise(), ~second))

    def _bitwise(self) -> Value:
        """x & ~(~y), (x | y) & ~0, (x | y) & ~(x & y), and x & ~0 for the other operations."""
        x, y = self._x, self._y
        if not self._bitwise_ops:
            return x
        joined, cut = self._is(IntOp.OR, IntOp.XOR), self._is(IntOp.AND, IntOp.XOR)
        return Mux(joined, x | y, x) & ~Mux(cut, Mux(joined, x & y, ~y), 0)

    def _float_cases(self, m: Module, result: Signal, flag: Value, greater: Value, total: Value) -> None:
        nan, zeros, byte = Signal(name="nan"), Signal(name="zeros"), Signal(8, name="byte")
        self._entering.append((nan, _is_nan(self.x) | _is_nan(self.y)))
        m.d.comb += [
            zeros.eq(total[:SIGN].all() & ~self._x.any()),  # +0 and -0; from -0 on, the carry would make 1 of y look so
            byte.eq(self._to_int8(m)),
        ]
        with m.If(self._is(IntOp.FGT)):
            m.d.sync += flag.eq(greater & ~nan & ~zeros)
        with m.If(self._is(IntOp.FAMAX, IntOp.FABS)):
            m.d.sync += result[SIGN].eq(0)
        with m.If(self._is(IntOp.F2I8)):
            m.d.sync += result.eq(Cat(byte, byte[-1].replicate(24)))
        with m.If(self._is(IntOp.FMAX, IntOp.FMIN, IntOp.FAMAX) & nan):
            m.d.sync += result.eq(QNAN)

    def _to_int8(self, m: Module) -> Value:
        """fp32 -> int8, nearest even, saturated; NaN -> 0."""
        exponent, mantissa, negative = self.x[EXPONENT], self._x[FRACTION], self._x[SIGN]
        # 1/2 <= |x| < 128: exponents 126..133, which are 0111111x and 10000xxx but for its last two.
        fits, beyond, distance = Signal(name="fits"), Signal(name="beyond"), Signal(3, name="distance")
        within = (exponent[1:] == 63) | (exponent[3:] == 16) & ~exponent[1:3].all()
        self._entering += [
            (fits, within),
            (beyond, exponent[7] & ~within & ~_is_nan(self.x)),
            (distance, Cat(~exponent[0], exponent[1], exponent[1] ^ ~exponent[2])),
        ]
        fixed, sticky = shift_right(m, Cat(mantissa[16:], 1), distance, "fixed")
        magnitude = Signal(8, name="magnitude")
        m.d.comb += magnitude.eq((fixed & fits.replicate(8)) | beyond.replicate(8))
        half, whole = magnitude[0], magnitude[1:]
        up = half & (sticky | mantissa[:16].any() | whole[0])
        # -(whole + up) = ~whole + (1 - up); at the limits: 127 + 0, and ~127 + 0 = -128.
        carry = (up ^ negative) & (negative | ~whole.all())
        return add_carry(Cat(whole ^ negative.replicate(7), negative), Const(0, 8), carry)[:8]


def _is_nan(x: Value) -> Value:
    return x[EXPONENT].all() & x[FRACTION].any()
