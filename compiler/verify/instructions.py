"""Rules for one instruction by itself: field ranges, enumerations, unit reach, alignment, amounts, counts.

A rule is a function of (config, queue, instruction) that returns what is wrong, or None.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence

from compiler.operands import FIXED_OPERANDS, drivable, drive_field, field_width, read_fields, readable
from compiler.verify.issue import Problem, Site, VerifyError, earliest
from hdl.config import Direction, LpuConfig
from hdl.isa import (
    PIPES,
    Instruction,
    IsaError,
    Opcode,
    Queue,
    Source,
    encode,
    operations,
    queue,
    sources,
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


def _span(streams: Sequence[int]) -> str:
    """Streams by direction, as ``E0..E7 or W16..W23``; each direction's are consecutive."""
    sides = ([code for code in streams if stream_direction(code) is direction] for direction in Direction)
    return " or ".join(f"{stream_name(side[0])}..{stream_name(side[-1])}" for side in sides if side)


def _reach_rule(q: Queue, instruction: Instruction, field: str, legal: Sequence[int]) -> str | None:
    code = instruction[field]
    if {code + 2 * i for i in range(field_width(q, instruction, field))} <= set(legal):
        return None
    return f"{field} = {stream_name(code)}: {field} of {q.name} may be {_span(legal)}"


def check_reach(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """Every operand and result is on data streams that the unit reaches (docs/architecture.md)."""
    named = [(field, readable(config, q, field)) for field in read_fields(q, instruction)]
    result = drive_field(q, instruction)
    named += [(result, drivable(config, q))] if result else []
    broken = (_reach_rule(q, instruction, *operand) for operand in named if operand[0] not in FIXED_OPERANDS)
    return next((rule for rule in broken if rule), None)


def check_alignment(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """Wide operands and results start an SG4, single ones are where the core has them."""
    fields = [*read_fields(q, instruction), drive_field(q, instruction)]
    for field in fields:
        if field is None or field in FIXED_OPERANDS:
            continue
        width = field_width(q, instruction, field)
        if stream_index(instruction[field]) % width:
            return f"{field} = {stream_name(instruction[field])}: an SG4 must start at a multiple of {width}"
        if width == 1 and not config.single(stream_index(instruction[field])):
            return f"{field} = {stream_name(instruction[field])}: a single stream must be the last of its SG4"
    return None


def check_operation(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """A pipe has the operation and the sources on this core; a fold goes through the pipe's own register."""
    if instruction.op is not Opcode.ALU:
        return None
    pipe = PIPES[q.kind]
    ops, name = operations(config, pipe), pipe.name
    if instruction["op"] not in ops:
        return f"op = {instruction['op']}: must be an operation of {name} on '{config.name}', {_names(ops)}"
    for field in ("x", "y"):
        legal, source = sources(config, pipe, field), instruction[f"{field}_from"]
        if legal and source not in legal:
            return f"{field}_from = {source}: must be {_names(legal)} in the {name} pipe of '{config.name}'"
    if instruction["fold"] and instruction["y_from"] != Source[name]:
        return f"fold = 1: needs y_from = {name}, the pipe's own result register"
    if instruction["y_from"] == Source.SWAP and 1 << instruction["swap"] >= config.superlane_lanes:
        return f"swap = {instruction['swap']}: 2^swap must be below the superlane's {config.superlane_lanes} lanes"
    return None


def _names(members: Sequence[enum.IntEnum]) -> str:
    return ", ".join(member.name for member in members)


def check_switch(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """PERMUTE is narrow, TRANSPOSE takes whole blocks without a pause, amounts name lanes."""
    if instruction.op is Opcode.PERMUTE and instruction["wide"]:
        return "wide = 1: PERMUTE moves single streams, wide must be 0"
    size = config.turn_cycles
    if instruction.op is Opcode.TRANSPOSE and size > 1:
        if instruction["gap"]:
            return f"gap = {instruction['gap']}: must be 0, the {size} elements of a block follow one another"
        if instruction["count"] % size:
            return f"count = {instruction['count']}: must be a multiple of {size}, the elements of a block"
    if instruction.op in _SWITCH_AMOUNTS:
        low, above = _SWITCH_AMOUNTS[instruction.op]
        if not low <= instruction["amount"] <= config.lanes + above:
            return f"amount = {instruction['amount']}: must be in {low}..{config.lanes + above}"
    return None


def check_indices(config: LpuConfig, q: Queue, instruction: Instruction) -> str | None:
    """GATHER and SCATTER: spread is wide, the index lane is in superlane 0."""
    if instruction.op not in (Opcode.GATHER, Opcode.SCATTER):
        return None
    if not config.indexes(q.unit):
        return f"{instruction.op.name}: {q.unit.name} of '{config.name}' has none (plain_groups)"
    if instruction["spread"] and not instruction["wide"]:
        return "spread = 1: must be wide"
    lanes = 1 if config.lane0_index else config.superlane_lanes
    if not instruction["spread"] and instruction["lane"] >= lanes:
        return f"lane = {instruction['lane']}: must be in 0..{lanes - 1}"
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
    check_operation,
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
