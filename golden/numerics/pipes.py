"""One element of each pipe of the vector unit on words x [lanes] and y [lanes]."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from golden.numerics import float32, special
from golden.numerics.integer import Bools, Int32
from hdl.isa import AddOp, IntOp, MulOp, SfuOp

Binary = Callable[[Int32, Int32], Int32]
_COMPARE: Mapping[IntOp, Callable[[Int32, Int32], Bools]] = {
    IntOp.GT: np.greater,
    IntOp.EQ: np.equal,
    IntOp.FGT: float32.fgt,
}
_INT: Mapping[IntOp, Binary] = {
    IntOp.PASS: lambda x, y: x,
    IntOp.ADD: np.add,
    IntOp.SUB: np.subtract,
    IntOp.RSUB: lambda x, y: y - x,
    IntOp.MAX: np.maximum,
    IntOp.MIN: np.minimum,
    IntOp.AND: np.bitwise_and,
    IntOp.OR: np.bitwise_or,
    IntOp.XOR: np.bitwise_xor,
    IntOp.FMAX: float32.fmax,
    IntOp.FMIN: float32.fmin,
    IntOp.FAMAX: float32.famax,
    IntOp.FABS: lambda x, y: float32.fabs(x),
    IntOp.F2I8: lambda x, y: float32.f2i8(x),
}
_ADD: Mapping[AddOp, Binary] = {
    AddOp.PASS: lambda x, y: x,
    AddOp.FADD: float32.fadd,
    AddOp.FSUB: float32.fsub,
    AddOp.FRSUB: float32.frsub,
    AddOp.I2F: lambda x, y: float32.i2f(x),
}
_MUL: Mapping[MulOp, Binary] = {MulOp.FMUL: float32.fmul}
_SFU: Mapping[SfuOp, Callable[[Int32], Int32]] = {
    SfuOp.EXP2: special.exp2,
    SfuOp.RECIP: special.recip,
    SfuOp.RSQRT: special.rsqrt,
    SfuOp.F2I: float32.f2i,
    SfuOp.NLOG2: special.nlog2,
}


def int_alu(op: IntOp, x: Int32, y: Int32, flag: Bools, imm: int) -> tuple[Int32, Bools]:
    """INT pipe: (result, flag after it) from the lanes' flags before it and the immediate of PICK."""
    if op in _COMPARE:
        return x, _COMPARE[op](x, y)
    if op is IntOp.SELECT:
        return np.where(flag, x, y), flag
    if op is IntOp.PICK:
        return np.where(flag, y, np.int32(imm)), flag
    return _INT[op](x, y), flag


def mul_pipe(op: MulOp, x: Int32, y: Int32) -> Int32:
    """MUL pipe."""
    return _MUL[op](x, y)


def add_pipe(op: AddOp, x: Int32, y: Int32) -> Int32:
    """ADD pipe."""
    return _ADD[op](x, y)


def sfu_pipe(op: SfuOp, x: Int32) -> Int32:
    """SFU pipe."""
    return _SFU[op](x)
