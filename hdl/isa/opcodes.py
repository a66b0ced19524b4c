"""Opcodes, ALU operations, operand sources, stream numbers, and the timing constants of the ISA."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hdl.config import Direction, LpuConfig, PipeKind

OPCODE_BITS = 5
SYNC_LATENCY = 2
"""Cycles from a NOTIFY to the first instruction after the SYNC it releases."""
LOOP_CYCLES = 2
"""Cycles from a LOOP to the first instruction of its block."""
LW_TO_IW = 1
"""IW at T installs what LW captured up to T - 1."""
IW_TO_ABC = 0
"""ABC at T multiplies with the tile installed by the latest IW at or before T."""
SWITCH_LATENCY = 3
"""d_func of the switch's moves on a core of one superlane; each further superlane takes a cycle more."""
WRITE_TO_READ = 1
"""READ at T returns what WRITE stored up to T - 1; reading a row in the cycle of its WRITE is illegal."""
INDEX_BITS = 16
"""GATHER and SCATTER indices: unsigned, low byte first, on the pair LpuConfig.index_streams(unit)."""
SHIFT_BITS = 6
"""Width of the shift in a requantisation word {shift, multiplier}."""


class IsaError(ValueError):
    """An instruction, field value or word that the ISA does not allow; names value, rule and place."""


class Opcode(enum.IntEnum):
    END = 0
    NOP = 1
    REPEAT = 2
    SYNC = 3
    NOTIFY = 4
    LOOP = 5
    READ = 8
    GATHER = 9
    WRITE = 10
    SCATTER = 11
    LW = 12
    IW = 13
    ABC = 14
    ALU = 15
    SHIFT = 16
    ROTATE = 17
    PERMUTE = 18
    DISTRIBUTE = 19
    SELECT = 20
    TRANSPOSE = 21


CONTROL_OPCODES = frozenset(Opcode(code) for code in range(6))


class QueueKind(enum.StrEnum):
    """Instruction formats; one per kind of slice port."""

    MEM_READ = "mem.r"
    MEM_WRITE = "mem.w"
    MXM_WEIGHTS = "mxm.w"
    MXM_ACTIVATIONS = "mxm.a"
    SWITCH = "sxm"
    VXM_INT = "vxm.i"
    VXM_REQUANT = "vxm.q"
    VXM_MUL = "vxm.m"
    VXM_ADD = "vxm.a"
    VXM_SFU = "vxm.s"


PIPE_QUEUES: Mapping[PipeKind, QueueKind] = {
    PipeKind.INT: QueueKind.VXM_INT,
    PipeKind.REQUANT: QueueKind.VXM_REQUANT,
    PipeKind.MUL: QueueKind.VXM_MUL,
    PipeKind.ADD: QueueKind.VXM_ADD,
    PipeKind.SFU: QueueKind.VXM_SFU,
}
PIPES: Mapping[QueueKind, PipeKind] = {kind: pipe for pipe, kind in PIPE_QUEUES.items()}
"""The pipe of a vector queue."""


class IntOp(enum.IntEnum):
    """Operations of the INT pipe on words x and y; integer results wrap modulo 2^32. Latency 1 cycle.

    GT, EQ and FGT return x and set the lane's flag, a register that stays until the next of them. The operations from
    FMAX on read x and y as fp32 and exist only on cores with a floating-point pipe; see docs/numerics.md.
    """

    PASS = 0  # x
    ADD = 1  # x + y
    SUB = 2  # x - y
    RSUB = 3  # y - x
    MAX = 4
    MIN = 5
    AND = 6
    OR = 7
    XOR = 8
    GT = 9  # x; flag := x > y
    EQ = 10  # x; flag := x == y
    SELECT = 11  # flag ? x : y
    PICK = 12  # flag ? y : imm
    FMAX = 13
    FMIN = 14
    FGT = 15  # x; flag := x > y
    FAMAX = 16  # max(|x|, |y|)
    FABS = 17  # |x|
    F2I8 = 18  # saturate(round_half_even(x), -128..127)


class RequantOp(enum.IntEnum):
    """Operations of the REQUANT pipe; m = y[0:mult_bits] unsigned, s = y[mult_bits:mult_bits+6]. Latency 3 cycles.

    Products are exact; results keep the low 32 bits.
    """

    PASS = 0  # x
    REQUANT = 1  # round_half_even(x * m / 2^s)
    SHR = 2  # floor(x * m / 2^s)
    MUL = 3  # x * signed(y[0:mult_bits])


class MulOp(enum.IntEnum):
    """Operations of the MUL pipe on fp32. Latency 3 cycles."""

    FMUL = 0  # x * y


class AddOp(enum.IntEnum):
    """Operations of the ADD pipe on fp32. Latency 4 cycles."""

    PASS = 0  # x
    FADD = 1  # x + y
    FSUB = 2  # x - y
    FRSUB = 3  # y - x
    I2F = 4  # fp32 of int32 x


class SfuOp(enum.IntEnum):
    """Operations of the SFU pipe on fp32 x. Latency 4 cycles. NLOG2 gives an int32 in units of 2^-23."""

    EXP2 = 0  # 2^x
    RECIP = 1  # 1 / x
    RSQRT = 2  # 1 / sqrt(x)
    F2I = 3  # saturate(round_half_even(x), int32)
    NLOG2 = 4  # -log2(|x|)


class Source(enum.IntEnum):
    """Where a pipe takes an operand from.

    INT .. SFU are the result registers of the pipes: the result of the latest element that has left the pipe. SWAP is
    the pipe's own result register in lane i XOR 2^swap of the superlane.
    """

    STREAM = 0
    IMM = 1
    INT = 2
    REQUANT = 3
    MUL = 4
    ADD = 5
    SFU = 6
    SWAP = 7


REGISTERS: Mapping[Source, PipeKind] = {Source[pipe.name]: pipe for pipe in PipeKind}
"""The pipe whose result register a source is."""

PIPE_OPS: Mapping[PipeKind, type[enum.IntEnum]] = {
    PipeKind.INT: IntOp,
    PipeKind.REQUANT: RequantOp,
    PipeKind.MUL: MulOp,
    PipeKind.ADD: AddOp,
    PipeKind.SFU: SfuOp,
}
PIPE_LATENCY: Mapping[PipeKind, int] = {
    PipeKind.INT: 1,
    PipeKind.REQUANT: 3,
    PipeKind.MUL: 3,
    PipeKind.ADD: 4,
    PipeKind.SFU: 4,
}
"""Cycles from an element's issue to the first issue that can take its result from the pipe's register."""

_SOURCES: Mapping[PipeKind, tuple[tuple[Source, ...], tuple[Source, ...]]] = {
    PipeKind.INT: (
        (Source.STREAM, Source.INT, Source.REQUANT, Source.MUL, Source.ADD, Source.SFU),
        (Source.STREAM, Source.IMM, Source.INT, Source.SWAP),
    ),
    PipeKind.REQUANT: ((Source.STREAM, Source.INT), (Source.STREAM, Source.IMM)),
    PipeKind.MUL: (
        (Source.STREAM, Source.INT, Source.MUL, Source.ADD),
        (Source.STREAM, Source.IMM, Source.SFU),
    ),
    PipeKind.ADD: (
        (Source.STREAM, Source.INT, Source.MUL, Source.ADD, Source.SFU),
        (Source.STREAM, Source.IMM, Source.MUL, Source.ADD, Source.SWAP),
    ),
    PipeKind.SFU: ((Source.STREAM, Source.MUL, Source.ADD), ()),
}
_ONE_OPERAND: Mapping[PipeKind, frozenset[int]] = {
    PipeKind.INT: frozenset({IntOp.PASS, IntOp.FABS, IntOp.F2I8}),
    PipeKind.REQUANT: frozenset({RequantOp.PASS}),
    PipeKind.MUL: frozenset(),
    PipeKind.ADD: frozenset({AddOp.PASS, AddOp.I2F}),
    PipeKind.SFU: frozenset(SfuOp),
}
FLAG_OPS = frozenset({IntOp.GT, IntOp.EQ, IntOp.FGT})
"""INT operations that set the lane's flag; SELECT and PICK read it."""


_BITWISE = (IntOp.AND, IntOp.OR, IntOp.XOR)


def sources(config: LpuConfig, pipe: PipeKind, field: str) -> tuple[Source, ...]:
    """What operand ``field`` (x, y) of a pipe may be on this core; each one costs a multiplexer input per lane."""
    if pipe is PipeKind.REQUANT and field == "x" and config.lane_by_lane:
        return (Source.INT,)
    table = _SOURCES[pipe][field == "y"]
    return tuple(s for s in table if s not in REGISTERS or REGISTERS[s] in config.pipes)


def pipe_latency(config: LpuConfig, pipe: PipeKind) -> int:
    """Cycles from an element's issue to the first issue that can take its result from the register, but for SWAP.

    PIPE_LATENCY, a cycle more with a register before the pipe, as there is where lanes come one by one, and one
    more for each other lane that takes turns in it.
    """
    registered = config.lane_by_lane or pipe in config.operand_registers
    turns = config.sfu_cycles if pipe is PipeKind.SFU else 1
    return PIPE_LATENCY[pipe] + int(registered) + turns - 1


def whole_latency(config: LpuConfig, pipe: PipeKind) -> int:
    """The same for all lanes of it: SWAP can take it then, and it is driven a cycle later."""
    return pipe_latency(config, pipe) + config.vector_cycles - 1


def can_drive(config: LpuConfig, pipe: PipeKind) -> bool:
    """Whether the pipe's results go to streams: a REQUANT that works lane by lane has INT before and after
    it.
    """
    return pipe is PipeKind.INT or not config.lane_by_lane


def pipe_cycles(config: LpuConfig, pipe: PipeKind) -> int:
    """n: an element of the pipe comes n cycles after the one before at least."""
    return config.sfu_cycles if pipe is PipeKind.SFU else config.vector_cycles


def operations(config: LpuConfig, pipe: PipeKind) -> tuple[enum.IntEnum, ...]:
    """The operations that a pipe has on this core."""
    ops = tuple(PIPE_OPS[pipe])
    if pipe is not PipeKind.INT:
        return ops
    missing = () if config.bitwise else _BITWISE
    return tuple(op for op in ops if (op < IntOp.FMAX or config.has_floats) and op not in missing)


def reads_y(pipe: PipeKind, op: int) -> bool:
    """Whether an operation has an operand y."""
    return op not in _ONE_OPERAND[pipe]


def can_fold(pipe: PipeKind) -> bool:
    """Whether y of the pipe may be its own result register, which ``fold`` starts afresh in the first element."""
    return Source[pipe.name] in _SOURCES[pipe][1]


def first_of_fold(pipe: PipeKind, op: int) -> int:
    """What the first element of a ``fold`` does: FABS for FAMAX, else PASS."""
    return IntOp.FABS if pipe is PipeKind.INT and op == IntOp.FAMAX else 0


def stream(direction: Direction, index: int) -> int:
    """Encoded stream number."""
    return index << 1 | direction


def east(index: int) -> int:
    return stream(Direction.EAST, index)


def west(index: int) -> int:
    return stream(Direction.WEST, index)


def stream_direction(code: int) -> Direction:
    return Direction(code & 1)


def stream_index(code: int) -> int:
    return code >> 1


def stream_name(code: int) -> str:
    return f"{stream_direction(code).name[0]}{stream_index(code)}"
