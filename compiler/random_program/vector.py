"""Values of the vector unit in random bundles: one pipe, or several that hand their results on in registers.

A forwarded operand is taken in the first cycle that it stands in the register, so at period 1 as many elements as the
pipe has stages are on their way. Registers that already hold something are also read as they happen to stand.
"""

from __future__ import annotations

from compiler.operands import drivable, operand_sources, readable, reads_flag
from compiler.random_program.memory import INDEX_SPAN
from compiler.random_program.pattern import Pattern, StuckError
from compiler.random_program.registers import FLAG
from compiler.random_program.values import ValueBuilder
from hdl.config import FLOAT_PIPES, STREAMS_PER_GROUP, PipeKind, Unit, UnitKind
from hdl.isa import (
    PIPE_OPS,
    PIPE_QUEUES,
    REGISTERS,
    Instruction,
    IntOp,
    Opcode,
    Queue,
    Source,
    can_drive,
    operations,
    pipe_cycles,
    pipe_latency,
    queues,
    sources,
    whole_latency,
)

_INDEX_MASK = INDEX_SPAN - 1
_FORWARD = 0.8
"""How often a register operand is a fresh result, if its pipe is free."""
_EDGE_INTEGERS = (0, 1, -1, 127, -128, 128, 255)
_EDGE_FLOATS = (0x3F800000, 0x00800000, 0x007FFFFF, 0x00000001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001)
"""1, the least normal number, the greatest and least subnormal ones, the greatest number, infinity, two NaNs."""
_OTHER = {"x": "y", "y": "x"}


class VectorBuilder(ValueBuilder):
    """Builds values that leave the vector unit."""

    def _vector(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        """A result driven on ``code``; a narrow one comes from the INT pipe."""
        pipes = self._free_pipes(width, safe)
        if not pipes:
            raise StuckError
        pipe = self.rng.choice(pipes)
        pattern = driven.shift(-1 - whole_latency(self.config, pipe))
        fields = {"drive": 1, "out": code} | ({"out_wide": int(width > 1)} if pipe is PipeKind.INT else {})
        self._compute(pipe, pattern, fields, safe, depth)

    def _free_pipes(self, width: int, safe: bool) -> list[PipeKind]:
        able = [pipe for pipe in self.config.pipes if not safe or _passes(pipe)] if width > 1 else [PipeKind.INT]
        able = [pipe for pipe in able if can_drive(self.config, pipe)]
        return [pipe for pipe in able if self._free(self._pipe_queue(pipe).name)]

    def _pipe_queue(self, pipe: PipeKind) -> Queue:
        return next(q for q in queues(self.config) if q.kind is PIPE_QUEUES[pipe])

    def _forward(self, pipe: PipeKind, taken: Pattern, depth: int) -> None:
        """Results of ``pipe`` that enter its register just for elements issued in the pattern's cycles."""
        self._compute(pipe, taken.shift(-pipe_latency(self.config, pipe)), {}, False, depth)

    def _compute(self, pipe: PipeKind, pattern: Pattern, fields: dict[str, int], safe: bool, depth: int) -> None:
        """Elements of ``pipe`` in the pattern's cycles, or the last of each group of them."""
        self._take(self._pipe_queue(pipe).name)
        group = self._group_size(pattern)
        if group:
            pattern, fields["last_only"] = pattern.split(group), int("drive" in fields or self.rng.random() < 0.5)
        if pattern.n > 1 and pattern.period < pipe_cycles(self.config, pipe):
            raise StuckError
        if not can_drive(self.config, pipe):
            fields.pop("last_only", None)
        elif "drive" not in fields and self.rng.random() < 0.3:
            fields |= self._drive_unread(pipe, pattern, group if fields.get("last_only") else None)
        masked = safe and pipe is PipeKind.INT and self.config.bitwise and self.rng.random() < 0.5
        if masked:
            fields |= {"op": IntOp.AND, "y_from": Source.IMM, "imm": _INDEX_MASK}
            fields |= self._operand(pipe, "x", pattern, depth, fields)
        elif safe:
            fields |= {"op": PIPE_OPS[pipe]["PASS"], "x_from": Source.STREAM, "x_wide": 1}
            fields["x"] = self.feed(self._pipe_queue(pipe), "x", pattern, STREAMS_PER_GROUP, depth - 1, safe=True)
        else:
            fields |= self._operation(pipe, pattern, depth, fields)
        if pipe is not PipeKind.INT:
            fields.pop("x_wide", None)
        self._item(self._pipe_queue(pipe).name, Instruction.of(Opcode.ALU, **fields), pattern, group)

    def _operation(self, pipe: PipeKind, pattern: Pattern, depth: int, fields: dict[str, int]) -> dict[str, int]:
        """A random operation and its operands."""
        ops = list(operations(self.config, pipe))
        flagged = [op for op in ops if reads_flag(pipe, op)]
        ops = ops + flagged if FLAG in self.plan.produced else [op for op in ops if op not in flagged]
        chosen = {"op": int(self.rng.choice(ops))}
        if sources(self.config, pipe, "y"):
            chosen["imm"] = self._immediate(pipe)
        for field in ("y", "x"):
            if field in dict(operand_sources(Instruction.of(Opcode.ALU, **chosen), pipe)):
                chosen |= self._operand(pipe, field, pattern, depth, fields | chosen)
        return chosen

    def _operand(
        self, pipe: PipeKind, field: str, pattern: Pattern, depth: int, fields: dict[str, int]
    ) -> dict[str, int]:
        """Fields of one operand, fed where it does not come from the pipe itself."""
        options = [s for s in sources(self.config, pipe, field) if self._can_come_from(pipe, field, s, fields)]
        if not options:
            raise StuckError
        source = self.rng.choice([*options, *options[:1]])
        chosen = {f"{field}_from": int(source)}
        if source is Source.STREAM:
            return chosen | self._stream_operand(pipe, field, pattern, depth, fields)
        if source is Source.SWAP:
            chosen["swap"] = self.rng.randrange(self.config.superlane_lanes.bit_length() - 1)
        other = REGISTERS.get(source, pipe)
        if field == "y" and source in REGISTERS and other is pipe:
            chosen["fold"] = int(pipe not in self.plan.produced or self.rng.random() < 0.6)
        elif other is not pipe and self._free(self._pipe_queue(other).name):
            if other not in self.plan.produced or self.rng.random() < _FORWARD:
                self._forward(other, pattern, depth)
        return chosen

    def _can_come_from(self, pipe: PipeKind, field: str, source: Source, fields: dict[str, int]) -> bool:
        if source in (Source.STREAM, Source.IMM):
            return True
        register = REGISTERS.get(source, pipe)
        if register in self.plan.produced:
            return True
        if register is pipe:
            return field == "y" and source is not Source.SWAP
        forwarded = fields.get(f"{_OTHER[field]}_from") == source
        return forwarded or self._free(self._pipe_queue(register).name)

    def _stream_operand(
        self, pipe: PipeKind, field: str, pattern: Pattern, depth: int, fields: dict[str, int]
    ) -> dict[str, int]:
        q = self._pipe_queue(pipe)
        other = fields.get(_OTHER[field], -1)
        shares = fields.get(f"{_OTHER[field]}_from") == Source.STREAM and other in readable(self.config, q, field)
        if pipe is PipeKind.MUL and shares and self.rng.random() < 0.3:
            return {field: other}
        wide = pipe is not PipeKind.INT or self.rng.random() < 0.5
        code = self.feed(q, field, pattern, STREAMS_PER_GROUP if wide else 1, depth - 1)
        return {field: code} | ({f"{field}_wide": int(wide)} if pipe is PipeKind.INT else {})

    def _drive_unread(self, pipe: PipeKind, pattern: Pattern, group: int | None) -> dict[str, int]:
        """Fields of a forwarded result that also flows to the edge, where nobody reads it."""
        (unit,) = self.config.units_of(UnitKind.VECTOR)
        width = STREAMS_PER_GROUP if pipe is not PipeKind.INT or self.rng.random() < 0.5 else 1
        code = self.rng.choice(self._starts(drivable(self.config, self._pipe_queue(pipe)), width))
        if group:
            pattern = Pattern(pattern.first + (group - 1) * pattern.period, pattern.n // group, pattern.period * group)
        self._flow(unit, code, width, pattern.shift(1 + whole_latency(self.config, pipe)), range(0))
        return {"drive": 1, "out": code} | ({"out_wide": int(width > 1)} if pipe is PipeKind.INT else {})

    def _immediate(self, pipe: PipeKind) -> int:
        """An edge value or random bits; for a floating-point pipe mostly a number near 1."""
        limit = 1 << (self.config.imm_bits - 1)
        anything = self.rng.randrange(-limit, limit)
        if pipe in FLOAT_PIPES:
            edge, near_one = self.rng.choice(_EDGE_FLOATS), self.rng.randrange(0x3E000000, 0x41000000)
            bits = self.rng.choice((anything % limit, edge, near_one, near_one))
            return bits - self.rng.choice((0, limit))
        edge = self.rng.choice([e for e in (*_EDGE_INTEGERS, -limit, limit - 1) if -limit <= e < limit])
        return self.rng.choice((anything, edge))


def _passes(pipe: PipeKind) -> bool:
    return "PASS" in PIPE_OPS[pipe].__members__
