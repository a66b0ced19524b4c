"""What each unit instruction reads from streams and drives onto them: the reach table of docs/architecture.md.

An operand is named by its instruction field; streams are encoded as in ``hdl/isa``, offsets are cycles from issue.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, Unit, UnitKind
from hdl.isa import ALU_OPS, Instruction, IntOp, Opcode, Queue, RequantOp, Source, stream, timing

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


def read_directions(config: LpuConfig, unit: Unit) -> tuple[Direction, ...]:
    """Directions whose data streams the unit's stream operands may name."""
    if unit.kind is UnitKind.MATRIX:
        return (unit.outward,)
    if unit.kind is UnitKind.VECTOR and config.hemispheres == 1:
        return (Direction.EAST,)
    return (Direction.EAST, Direction.WEST)


def drive_directions(config: LpuConfig, unit: Unit) -> tuple[Direction, ...]:
    """Directions on which the unit may drive data streams."""
    if unit.kind is UnitKind.MATRIX:
        return (unit.outward.opposite,)
    if unit.kind is UnitKind.VECTOR and config.hemispheres == 1:
        return (Direction.WEST,)
    return (Direction.EAST, Direction.WEST)


def field_width(queue: Queue, instruction: Instruction, field: str) -> int:
    """Byte streams that a stream field names: 4 (an SG4) or 1."""
    match instruction.op, field:
        case ((Opcode.READ | Opcode.GATHER | Opcode.WRITE | Opcode.SCATTER), _):
            wide = bool(instruction["wide"]) and queue.unit.kind is UnitKind.DATA_MEMORY
        case Opcode.ABC, _:
            wide = field == "out"
        case Opcode.CHAIN, _:
            wide = bool(instruction[f"{field}_wide"])
        case Opcode.PERMUTE, "y":
            wide = False
        case _:
            wide = bool(instruction["wide"])
    return STREAMS_PER_GROUP if wide else 1


def alu_reads_y(config: LpuConfig, instruction: Instruction, k: int) -> bool:
    """Whether ALU k takes a y from a stream; PASS of either kind ignores its y."""
    passes = IntOp.PASS if ALU_OPS[config.alus[k]] is IntOp else RequantOp.PASS
    return instruction[f"op{k}"] != passes and instruction[f"src{k}"] == Source.STREAM


def read_fields(config: LpuConfig, instruction: Instruction) -> tuple[str, ...]:
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
        case Opcode.CHAIN:
            return ("x", *(f"y{k}" for k in range(len(config.alus)) if alu_reads_y(config, instruction, k)))
        case Opcode.PERMUTE | Opcode.SELECT:
            return ("x", "y")
        case Opcode.SHIFT | Opcode.ROTATE | Opcode.DISTRIBUTE | Opcode.MAXLANE:
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
        case _:
            return "out"


def drives_last_only(instruction: Instruction) -> bool:
    """Whether only the last element of the instruction (of each repetition) drives its result."""
    if instruction.op is Opcode.ABC:
        return not instruction["walk"]
    return instruction.op is Opcode.CHAIN and bool(instruction["last_only"])


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
        for field in read_fields(config, instruction)
    )


def drives(config: LpuConfig, queue: Queue, instruction: Instruction) -> Operand | None:
    """The result of a unit instruction, if it drives one."""
    field, func = drive_field(queue, instruction), timing(config, queue.kind, instruction.op).func
    if field is None or func is None:
        return None
    return Operand(field, _streams(config, queue, instruction, field), func)
