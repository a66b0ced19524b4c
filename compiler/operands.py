"""What each unit instruction reads and drives: the reach table of docs/architecture.md and the result registers.

An operand is named by its instruction field; streams are encoded as in ``hdl/isa``, offsets are cycles from issue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind, Unit, UnitKind
from hdl.isa import (
    FLAG_OPS,
    PIPES,
    REGISTERS,
    Instruction,
    IntOp,
    Opcode,
    Queue,
    QueueKind,
    Source,
    first_of_fold,
    reads_y,
    stream,
    timing,
)

WEIGHT_BUS = "weights"
INDEX = "index"
FIXED_OPERANDS = (WEIGHT_BUS, INDEX)
"""Operands whose streams the unit's seat decides, not a field."""


@dataclass(frozen=True)
class Operand:
    """``streams``: the byte streams of one operand or result, at the unit's position ``offset`` cycles after issue."""

    field: str
    streams: tuple[int, ...]
    offset: int


def weight_bus(config: LpuConfig, unit: Unit) -> tuple[int, ...]:
    """Encoded streams of the weight bus of the unit's hemisphere."""
    return tuple(stream(unit.outward, index) for index in range(config.weight_streams))


def index_pair(config: LpuConfig, unit: Unit) -> tuple[int, ...]:
    """Encoded streams of the unit's GATHER and SCATTER indices, low byte first."""
    return tuple(stream(unit.outward, index) for index in config.index_streams(unit))


@cache
def readable(config: LpuConfig, queue: Queue, field: str) -> tuple[int, ...]:
    """Encoded data streams, ascending, that stream field ``field`` of the queue's instructions may name."""
    return _encoded(config.readable(queue.unit, field, PIPES.get(queue.kind)))


@cache
def drivable(config: LpuConfig, queue: Queue) -> tuple[int, ...]:
    """Encoded data streams, ascending, on which the queue's instructions may drive a result."""
    return _encoded(config.drivable(queue.unit))


def _encoded(reach: Mapping[Direction, range]) -> tuple[int, ...]:
    return tuple(sorted(stream(direction, index) for direction, indices in reach.items() for index in indices))


def field_width(queue: Queue, instruction: Instruction, field: str) -> int:
    """Byte streams that a stream field names: 4 (an SG4) or 1."""
    match instruction.op, field:
        case ((Opcode.READ | Opcode.GATHER | Opcode.WRITE | Opcode.SCATTER), _):
            wide = bool(instruction["wide"]) and queue.unit.kind is UnitKind.DATA_MEMORY
        case Opcode.ABC, _:
            wide = field == "out"
        case Opcode.ALU, _:
            wide = queue.kind is not QueueKind.VXM_INT or bool(instruction[f"{field}_wide"])
        case _:
            wide = bool(instruction["wide"])
    return STREAMS_PER_GROUP if wide else 1


def operand_sources(instruction: Instruction, pipe: PipeKind) -> tuple[tuple[str, int], ...]:
    """(field, source) of the operands of an instruction of ``pipe``; PICK has no x, but the first of a fold has."""
    op = instruction["op"]
    no_x = pipe is PipeKind.INT and op == IntOp.PICK and not instruction["fold"]
    fields = ("x",) * (not no_x) + ("y",) * reads_y(pipe, op)
    return tuple((field, instruction[f"{field}_from"]) for field in fields)


def performed(instruction: Instruction, pipe: PipeKind, first: bool) -> int:
    """The operation of an element; ``first``: it is the first of its instruction (or repetition)."""
    op = instruction["op"]
    return first_of_fold(pipe, op) if instruction["fold"] and first else op


def register_reads(instruction: Instruction, pipe: PipeKind, first: bool = False) -> tuple[tuple[str, PipeKind], ...]:
    """(field, pipe whose result register it is) of the operands that an element takes from result registers."""
    registers = {**REGISTERS, Source.SWAP: pipe}
    starts = instruction["fold"] and first
    named = [(f, Source(source)) for f, source in operand_sources(instruction, pipe) if f == "x" or not starts]
    return tuple((field, registers[source]) for field, source in named if source in registers)


def reads_flag(pipe: PipeKind, op: int) -> bool:
    """Whether an operation reads the flag of the INT pipe."""
    return pipe is PipeKind.INT and op in (IntOp.SELECT, IntOp.PICK)


def sets_flag(pipe: PipeKind, op: int) -> bool:
    """Whether an operation sets the flag of the INT pipe."""
    return pipe is PipeKind.INT and op in FLAG_OPS


def read_fields(queue: Queue, instruction: Instruction) -> tuple[str, ...]:
    """Stream fields that the instruction reads, WEIGHT_BUS, INDEX."""
    match instruction.op:
        case Opcode.GATHER:
            return (INDEX,)
        case Opcode.WRITE | Opcode.ABC:
            return ("stream",)
        case Opcode.SCATTER:
            return ("stream", INDEX)
        case Opcode.LW | Opcode.TRANSPOSE:
            return (WEIGHT_BUS,)
        case Opcode.ALU:
            named = operand_sources(instruction, PIPES[queue.kind])
            return tuple(field for field, source in named if source == Source.STREAM)
        case Opcode.PERMUTE | Opcode.SELECT:
            return ("x", "y")
        case Opcode.SHIFT | Opcode.ROTATE | Opcode.DISTRIBUTE:
            return ("x",)
        case _:
            return ()


def drive_field(queue: Queue, instruction: Instruction) -> str | None:
    """The stream field that the instruction drives, WEIGHT_BUS, or None."""
    match instruction.op:
        case Opcode.READ | Opcode.GATHER:
            on_bus = instruction["wide"] and queue.unit.kind is UnitKind.WEIGHT_MEMORY
            return WEIGHT_BUS if on_bus else "stream"
        case Opcode.TRANSPOSE:
            return WEIGHT_BUS
        case Opcode.ABC:
            return "out" if instruction["emit"] else None
        case Opcode.WRITE | Opcode.SCATTER | Opcode.LW | Opcode.IW:
            return None
        case Opcode.ALU:
            return "out" if instruction["drive"] else None
        case _:
            return "out"


def drives_last_only(instruction: Instruction) -> bool:
    """Whether only the last element of the instruction (of each repetition) drives its result."""
    if instruction.op is Opcode.ABC:
        return not instruction["walk"]
    return instruction.op is Opcode.ALU and bool(instruction["last_only"])


def _streams(config: LpuConfig, queue: Queue, instruction: Instruction, field: str) -> tuple[int, ...]:
    if field == WEIGHT_BUS:
        return weight_bus(config, queue.unit)
    if field == INDEX:
        return index_pair(config, queue.unit)
    first = instruction[field]
    return tuple(first + 2 * i for i in range(field_width(queue, instruction, field)))


def reads(config: LpuConfig, queue: Queue, instruction: Instruction) -> tuple[Operand, ...]:
    """Stream operands of a unit instruction."""
    skew = timing(config, queue.kind, instruction.op).skew
    return tuple(
        Operand(field, _streams(config, queue, instruction, field), skew[field])
        for field in read_fields(queue, instruction)
    )


def drives(config: LpuConfig, queue: Queue, instruction: Instruction) -> Operand | None:
    """The result of a unit instruction, if it drives one."""
    field, func = drive_field(queue, instruction), timing(config, queue.kind, instruction.op).func
    if field is None or func is None:
        return None
    return Operand(field, _streams(config, queue, instruction, field), func)
