"""The ADD pipe: special values, signs, neutral element, exact conversions; for all operands."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from formal.pipe import (
    ELEMENT,
    QNAN,
    SIGN,
    PipeRules,
    implies,
    is_infinite,
    is_nan,
    is_normal,
    is_zero,
    magnitude,
)
from formal.run import add_rule, reveal
from hdl.isa import AddOp
from hdl.vector import add_pipe

SEE_ORDER = reveal({"seen": "pipe.ordered", "seen_other": "pipe_other.ordered"})


class AddRules(PipeRules):
    """FADD, FSUB and FRSUB as sums a + b, of which the operation may have turned a sign; PASS; I2F."""

    def rules(self, element: data.View, result: Value) -> dict[str, Value]:
        x, op = element.x, element.command.op
        conversions = {name: implies(op == AddOp.I2F, holds) for name, holds in from_int32(x, result).items()}
        a, b = addends(element)
        of_sums = {name: implies(adds(op), holds) for name, holds in sums(a, b, result).items()}
        return {"pass": implies(op == AddOp.PASS, result == x), **conversions, **of_sums}


class AddOrder(wiring.Component):
    """After cycle 1 of the ADD pipe, x + y, x - y and y - x cannot be told from FADD of b and a in another pipe.

    Register ``ordered`` is all that later cycles know of operands and operation, so the results are the same. Only
    where b = -a the sign may differ; there the rules of ``sums`` determine the result. To be proved with SEE_ORDER.
    """

    def __init__(self, pipe: wiring.Component, other: wiring.Component) -> None:
        self._pipes = pipe, other
        width = add_pipe._ORDERED.size
        # the results are ports so that the netlist keeps what they come from
        super().__init__({"entering": In(ELEMENT), "seen": In(width), "seen_other": In(width), "results": Out(64)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pipe, m.submodules.pipe_other = pipe, other = self._pipes
        element = self.entering
        a, b = addends(element)
        commutes = Signal()
        m.d.comb += [
            Cat(pipe.command, pipe.x, pipe.y).eq(Cat(element.command, element.x, element.y)),
            Cat(other.command, other.x, other.y).eq(Cat(element.command, b, a)),
            other.command.op.eq(AddOp.FADD),
            self.results.eq(Cat(pipe.result, other.result)),
        ]
        m.d.sync += commutes.eq(adds(element.command.op) & (b != a ^ SIGN))
        add_rule(m, "same", implies(commutes, self.seen == self.seen_other))
        return m


def adds(op: Value) -> Value:
    return (op == AddOp.FADD) | (op == AddOp.FSUB) | (op == AddOp.FRSUB)


def addends(element: data.View) -> tuple[Value, Value]:
    op = element.command.op
    return element.x ^ Mux(op == AddOp.FRSUB, SIGN, 0), element.y ^ Mux(op == AddOp.FSUB, SIGN, 0)


def sums(a: Value, b: Value, result: Value) -> dict[str, Value]:
    nan = is_nan(a) | is_nan(b) | (is_infinite(a) & is_infinite(b) & (a[31] ^ b[31]))
    return {
        "nan": implies(nan, result == QNAN),
        "number": implies(~nan, ~is_nan(result)),
        "infinite_a": implies(~nan & is_infinite(a), result == a),
        "infinite_b": implies(~nan & is_infinite(b), result == b),
        "a_plus_zero": implies(is_normal(a) & is_zero(b), result == a),
        "zero_plus_b": implies(is_normal(b) & is_zero(a), result == b),
        "zeros": implies(is_zero(a) & is_zero(b), result == Mux(a[31] & b[31], SIGN, 0)),
        "opposites": implies(is_normal(a) & (b == a ^ SIGN), result == 0),
        "sign_of_a": implies(is_normal(a) & (magnitude(a) > magnitude(b)), result[31] == a[31]),
        "sign_of_b": implies(is_normal(b) & (magnitude(b) > magnitude(a)), result[31] == b[31]),
        "never_subnormal": implies(is_zero(result), magnitude(result) == 0),
    }


def from_int32(x: Value, result: Value) -> dict[str, Value]:
    """I2F: the nearest fp32, of two the one with an even significand."""
    exponent, fraction = result[23:31], result[:23]
    # |x| and |result| in units of 2^-23
    scaled = Cat(fraction, Const(1, 1), Const(0, 32)) << (exponent - 127)[:5]
    error = (Mux(x[31], -x.as_signed(), x)[:32] << 23) - scaled[:56]
    # half an ulp, times 4; below a power of two the next number is half as far away as above it
    limit = Mux((fraction == 0) & (error < 0), 1, 2) << (exponent - 127)[:5]
    nearest = (error << 2 <= limit) & (-(error << 2) <= limit)
    tie = (error << 2 == limit) | (-(error << 2) == limit)
    return {
        "i2f_zero": implies(x == 0, result == 0),
        "i2f_sign": result[31] == x[31],
        "i2f_exponent": implies(x != 0, (exponent >= 127) & (exponent <= 158)),
        "i2f_nearest": implies(x != 0, nearest & implies(tie, ~fraction[0])),
    }
