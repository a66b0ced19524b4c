"""Which features of the ISA programs use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hdl.config import AluKind, LpuConfig
from hdl.isa import ALU_OPS, Instruction, Opcode, Source

_FLAGS: Mapping[Opcode, tuple[str, ...]] = {
    Opcode.READ: ("wide",),
    Opcode.WRITE: ("wide",),
    Opcode.GATHER: ("wide", "spread"),
    Opcode.SCATTER: ("wide", "spread"),
    Opcode.LW: ("install",),
    Opcode.ABC: ("walk", "start", "emit"),
    Opcode.CHAIN: ("x_wide", "out_wide", "last_only"),
    **{op: ("wide",) for op in (Opcode.SHIFT, Opcode.ROTATE, Opcode.PERMUTE, Opcode.DISTRIBUTE, Opcode.SELECT)},
}


def coverage(config: LpuConfig, programs: Mapping[str, Sequence[Instruction]]) -> frozenset[str]:
    """Features used: ``OPCODE``, ``OPCODE.flag=value``, ``kind.OP`` of each ALU kind, ``kind.OP.SOURCE``."""
    found: set[str] = set()
    for instruction in {step for program in programs.values() for step in program}:
        found.add(instruction.op.name)
        found.update(f"{instruction.op.name}.{flag}={instruction[flag]}" for flag in _FLAGS.get(instruction.op, ()))
        if instruction.op is Opcode.CHAIN:
            for k, kind in enumerate(config.alus):
                op = ALU_OPS[kind](instruction[f"op{k}"]).name
                found |= {f"{kind.value}.{op}", f"{kind.value}.{op}.{Source(instruction[f'src{k}']).name}"}
    return frozenset(found)


def all_features(config: LpuConfig) -> frozenset[str]:
    """What :func:`coverage` can report for the core."""
    impossible = {Opcode.TRANSPOSE} if config.weight_streams != config.superlane_lanes else set()
    found = {op.name for op in Opcode if op not in impossible}
    found |= {f"{op.name}.{flag}={value}" for op, flags in _FLAGS.items() for flag in flags for value in (0, 1)}
    for kind in set(config.alus):
        sources = [source for source in Source if source is not Source.SELF or kind is AluKind.INT]
        found |= {f"{kind.value}.{op.name}" for op in ALU_OPS[kind]}
        found |= {f"{kind.value}.{op.name}.{source.name}" for op in ALU_OPS[kind] for source in sources}
    return frozenset(found)
