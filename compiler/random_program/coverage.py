"""Which features of the ISA programs use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.operands import operand_sources
from hdl.config import LpuConfig, PipeKind
from hdl.isa import (
    PIPE_OPS,
    PIPE_QUEUES,
    PIPES,
    Instruction,
    Opcode,
    Source,
    control_fields,
    operations,
    queue,
    queues,
    reads_y,
    sources,
    unit_fields,
    unit_opcodes,
)

_FLAGS: Mapping[Opcode, tuple[str, ...]] = {
    Opcode.READ: ("wide",),
    Opcode.WRITE: ("wide",),
    Opcode.GATHER: ("wide", "spread"),
    Opcode.SCATTER: ("wide", "spread"),
    Opcode.LW: ("install",),
    Opcode.ABC: ("walk", "start", "emit"),
    **{op: ("wide",) for op in (Opcode.SHIFT, Opcode.ROTATE, Opcode.DISTRIBUTE, Opcode.SELECT)},
}
_PIPE_FLAGS = ("x_wide", "y_wide", "out_wide", "fold", "drive", "last_only")


def coverage(config: LpuConfig, programs: Mapping[str, Sequence[Instruction]]) -> frozenset[str]:
    """Features used: ``OPCODE``, ``OPCODE.flag=value``; of each pipe ``pipe.OP``, ``pipe.x=SOURCE``,
    ``pipe.OP.y=SOURCE`` and ``pipe.flag=value``.
    """
    found: set[str] = set()
    for name, program in programs.items():
        pipe = PIPES.get(queue(config, name).kind)
        for instruction in set(program):
            op = instruction.op
            found.add(op.name)
            found.update(f"{op.name}.{flag}={instruction[flag]}" for flag in _FLAGS.get(op, ()))
            if pipe and op is Opcode.ALU:
                found.update(_of_pipe(config, pipe, instruction))
    return frozenset(found)


def _of_pipe(config: LpuConfig, pipe: PipeKind, instruction: Instruction) -> Iterator[str]:
    op = PIPE_OPS[pipe](instruction["op"]).name
    yield f"{pipe}.{op}"
    for field, source in operand_sources(instruction, pipe):
        yield f"{pipe}.x={Source(source).name}" if field == "x" else f"{pipe}.{op}.y={Source(source).name}"
    yield from (f"{pipe}.{flag}={instruction[flag]}" for flag in _pipe_flags(config, pipe))


def _pipe_flags(config: LpuConfig, pipe: PipeKind) -> list[str]:
    names = {field.name for field in unit_fields(config, PIPE_QUEUES[pipe])}
    return [flag for flag in _PIPE_FLAGS if flag in names]


def all_features(config: LpuConfig) -> frozenset[str]:
    """What :func:`coverage` can report for the core."""
    own = (op for q in queues(config) for op in (*unit_opcodes(config, q.kind), *control_fields(config, q.kind)))
    possible = set(own)
    found = {op.name for op in possible}
    found |= {f"{op.name}.{flag}={value}" for op in possible for flag in _FLAGS.get(op, ()) for value in (0, 1)}
    for pipe in config.pipes:
        ops = operations(config, pipe)
        found |= {f"{pipe}.{op.name}" for op in ops}
        found |= {f"{pipe}.x={source.name}" for source in sources(config, pipe, "x")}
        with_y = [op.name for op in ops if reads_y(pipe, op)]
        found |= {f"{pipe}.{op}.y={source.name}" for op in with_y for source in sources(config, pipe, "y")}
        found |= {f"{pipe}.{flag}={value}" for flag in _pipe_flags(config, pipe) for value in (0, 1)}
    return frozenset(found)
