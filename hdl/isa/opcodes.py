"""Opcodes, ALU operations, operand sources, stream numbers, and the timing constants of the ISA."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hdl.config import AluKind, Direction

OPCODE_BITS = 5
SYNC_LATENCY = 2
"""Cycles from a NOTIFY to the first instruction after the SYNC it releases."""
LOOP_CYCLES = 2
"""Cycles from a LOOP to the first instruction of its block."""
LW_TO_IW = 1
"""IW at T installs what LW captured up to T - 1."""
IW_TO_ABC = 0
"""ABC at T multiplies with the tile installed by the latest IW at or before T."""
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
    CHAIN = 15
    SHIFT = 16
    ROTATE = 17
    PERMUTE = 18
    DISTRIBUTE = 19
    SELECT = 20
    TRANSPOSE = 21
    MAXLANE = 22


CONTROL_OPCODES = frozenset(Opcode(code) for code in range(6))


class QueueKind(enum.StrEnum):
    """Instruction formats; one per kind of slice port."""

    MEM_READ = "mem.r"
    MEM_WRITE = "mem.w"
    MXM_WEIGHTS = "mxm.w"
    MXM_ACTIVATIONS = "mxm.a"
    SWITCH = "sxm"
    VECTOR = "vxm"


class IntOp(enum.IntEnum):
    """Operations of an INT ALU on int32 x (from the chain) and y; results wrap modulo 2^32. Latency 1.

    GT and EQ return x and set the lane's predicate, which travels along the chain (0 at its start).
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
    GT = 9  # x; predicate := x > y
    EQ = 10  # x; predicate := x == y
    SELECT = 11  # predicate ? x : y
    PICK = 12  # predicate ? y : imm


class RequantOp(enum.IntEnum):
    """Operations of a REQUANT ALU; m = y[0:mult_bits] unsigned, s = y[mult_bits:mult_bits+6]. Latency 3.

    Products are exact; results keep the low 32 bits.
    """

    PASS = 0  # x
    REQUANT = 1  # round_half_even(x * m / 2^s)
    SHR = 2  # floor(x * m / 2^s)
    MUL = 3  # x * signed(y[0:mult_bits])


class Source(enum.IntEnum):
    """Where an ALU takes y from. SELF is the ALU's own result of the preceding element of the same instruction
    (of the same repetition); for the first element the ALU then passes x on, predicate unchanged. SELF: INT only.
    """

    STREAM = 0
    IMM = 1
    SELF = 2


ALU_OPS: Mapping[AluKind, type[enum.IntEnum]] = {AluKind.INT: IntOp, AluKind.REQUANT: RequantOp}
ALU_LATENCY: Mapping[AluKind, int] = {AluKind.INT: 1, AluKind.REQUANT: 3}


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
