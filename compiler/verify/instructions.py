"""Rules for one instruction by itself: field ranges, enumerations, unit reach, alignment, amounts, counts.

A rule is a function of (config, queue, instruction) that returns what is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from compiler.operands import (
    FIXED_OPERANDS,
    drive_directions,
    drive_field,
    field_width,
    read_directions,
    read_fields,
)
from compiler.verify.issue import Problem, Site, VerifyError, earliest
from hdl.config import AluKind, Direction, LpuConfig
from hdl.isa import (
    ALU_OPS,
    Instruction,
    IsaError,
    Opcode,
    Queue,
    Source,
    encode,
    queue,
    stream_direction,
    stream_index,
    stream_name,
)

_SWITCH_AMOUNTS: Mapping[Opcode, tuple[int, int]] = {
    Opcode.ROTATE: (0, -1),
    Opcode.DISTRIBUTE: (0, -1),
    Opcode.SELECT: (0, 0),
}
"""Least amount, and greatest amount minus L."""


def check_encoding(config: LpuConfig, programs: Mapping[str, Sequence[Instruction]]) -> None:
    """Every instruction has an encoding: known queue, opcode of that queue, known fields, field ranges."""
    for name, program in programs.items():
        try:
            kind = queue(config, name).kind
        except IsaError as error:
            raise VerifyError(str(error)) from error
        for pc, instruction in enumerate(program):
            try:
                encode(config, kind, instruction)
            except IsaError as error:
                raise VerifyError(f"{name} pc {pc} '{instruction}': {error}") from error


def _span(config: LpuConfig, q: Queue, directions: Sequence[Direction]) -> str:
    spans = []
    for direction in directions:
        indices = config.data_streams(q.unit, direction)
        spans.append(f"{direction.name[0]}{indices[0]}..{direction.name[0]}{indices[-1]}")
    return " or ".join(spans)


def _reach_rule(
    config: LpuConfig, q: Queue, instruction: Instruction, field: str, directions: Sequence[Direction], verb: str
) -> str | None:
    code, width = instruction[field], field_width(q, instruction, field)
    first, direction = stream_index(code), stream_direction(code)
    legal = config.data_streams(q.unit, direction)
    if direction in directions and first in legal and first + width - 1 in legal:
        return None
    return f"{field} = {stream_name(code)}: {q.unit.name} may {verb} {_span(config, q, directions)}"


def check_reach(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """Every operand and result is on data streams that the unit reaches (docs/architecture.md)."""
    for field in read_fields(config, instruction):
        if field not in FIXED_OPERANDS:
            rule = _reach_rule(config, q, instruction, field, read_directions(config, q.unit), "read")
            if rule:
                return rule
    result = drive_field(q, instruction)
    if result is None or result in FIXED_OPERANDS:
        return None
    return _reach_rule(config, q, instruction, result, drive_directions(config, q.unit), "drive")


def check_alignment(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """Wide operands and results start an SG4."""
    fields = [*read_fields(config, instruction), drive_field(q, instruction)]
    for field in fields:
        if field is None or field in FIXED_OPERANDS:
            continue
        width = field_width(q, instruction, field)
        if stream_index(instruction[field]) % width:
            return f"{field} = {stream_name(instruction[field])}: an SG4 must start at a multiple of {width}"
    return None


def check_alus(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """Operations exist for the kind of the ALU; sources are STREAM or IMM, or SELF on an INT ALU."""
    if instruction.op is not Opcode.CHAIN:
        return None
    for k, kind in enumerate(config.alus):
        op, source = instruction[f"op{k}"], instruction[f"src{k}"]
        if op not in ALU_OPS[kind].__members__.values():
            return f"op{k} = {op}: must be an operation of {ALU_OPS[kind].__name__}, 0..{max(ALU_OPS[kind])}"
        legal = [Source.STREAM, Source.IMM] + [Source.SELF] * (kind is AluKind.INT)
        if source not in legal:
            return f"src{k} = {source}: must be {', '.join(s.name for s in legal)} on a {kind.value} ALU"
    return None


def check_switch(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """MAXLANE is wide, TRANSPOSE fits the weight bus, amounts name lanes."""
    if instruction.op is Opcode.MAXLANE and not instruction["wide"]:
        return "wide = 0: MAXLANE must be wide"
    if instruction.op is Opcode.TRANSPOSE and config.weight_streams != config.superlane_lanes:
        return f"weight_streams = {config.weight_streams}: must be the superlane's {config.superlane_lanes} lanes"
    if instruction.op in _SWITCH_AMOUNTS:
        low, above = _SWITCH_AMOUNTS[instruction.op]
        if not low <= instruction["amount"] <= config.lanes + above:
            return f"amount = {instruction['amount']}: must be in {low}..{config.lanes + above}"
    return None


def check_indices(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """GATHER and SCATTER: spread is wide, the index lane is in superlane 0."""
    if instruction.op not in (Opcode.GATHER, Opcode.SCATTER):
        return None
    if instruction["spread"] and not instruction["wide"]:
        return "spread = 1: must be wide"
    if not instruction["spread"] and instruction["lane"] >= config.superlane_lanes:
        return f"lane = {instruction['lane']}: must be in 0..{config.superlane_lanes - 1}"
    return None


def check_counts(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """An installing LW loads whole tiles; ABC stays within the accumulator rows."""
    count = instruction["count"]
    if instruction.op is Opcode.LW and instruction["install"] and count % config.tile_load_cycles:
        return f"count = {count}: must be a multiple of {config.tile_load_cycles} (cycles of a tile) with install"
    if instruction.op is Opcode.ABC:
        last = instruction["row"] + (count - 1 if instruction["walk"] else 0)
        if last >= config.acc_rows:
            return f"row = {instruction['row']}, last row {last}: must be in 0..{config.acc_rows - 1}"
    return None


Rule = Callable[[LpuConfig, Queue, Instruction], str | None]
RULES: tuple[Rule, ...] = (
    check_alus,
    check_switch,
    check_indices,
    check_counts,
    check_alignment,
    check_reach,
)


def check_instructions(config: LpuConfig, sites: Sequence[Site]) -> Problem | None:
    """Every rule above for every instruction that issues."""
    return earliest(_broken(config, site) for site in sites)


def _broken(config: LpuConfig, site: Site) -> Problem | None:
    for rule in RULES:
        text = rule(config, site.queue, site.instruction)
        if text:
            return Problem(int(site.cycles[0]), f"{site}: {text}")
    return None
