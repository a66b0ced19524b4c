"""The fields of every instruction, their widths and their order in the word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hdl.config import LpuConfig, PipeKind
from hdl.isa.opcodes import (
    OPCODE_BITS,
    PIPES,
    IsaError,
    Opcode,
    QueueKind,
    Source,
    can_drive,
    can_fold,
    sources,
)


@dataclass(frozen=True)
class Field:
    """A bit field of an instruction word; ``low`` is the least value the program may hold."""

    name: str
    bits: int
    doc: str
    signed: bool = False
    low: int = 0

    @property
    def minimum(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else self.low

    @property
    def maximum(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1


def _stream_bits(config: LpuConfig) -> int:
    return 1 + (max(config.streams_east, config.streams_west) - 1).bit_length()


def _element_fields(config: LpuConfig) -> tuple[Field, ...]:
    return (
        Field("count", config.count_bits, "elements to issue", low=1),
        Field("gap", config.gap_bits, "idle cycles between elements, before a single one"),
    )


def _memory_fields(config: LpuConfig) -> tuple[Field, ...]:
    masks = (Field("mask", config.loop_levels, "loop levels whose offsets are added to addr"),)
    indices = (
        Field("lane", 4, "lane of superlane 0 holding the index (GATHER, SCATTER)"),
        Field("spread", 1, "slice j takes its index from lane j (wide GATHER, SCATTER)"),
    )
    return (
        Field("wide", 1, "all slices of the group (else the one slice that addr names)"),
        Field("addr", config.addr_bits, "{slice, row} of the first element"),
        Field("stride", config.stride_width, "added to addr after each element", signed=True),
        *(masks if config.loop_levels else ()),
        Field("stream", _stream_bits(config), "data stream (aligned SG4 if wide on a data group)"),
        *(indices if config.indexed else ()),
    )


def _switch_fields(config: LpuConfig) -> tuple[Field, ...]:
    if not config.switch_moves:
        return ()
    return (
        Field("wide", 1, "work on aligned SG4s (else on single streams)"),
        Field("x", _stream_bits(config), "operand x"),
        Field("y", _stream_bits(config), "operand y (SELECT), lane map (PERMUTE)"),
        Field("out", _stream_bits(config), "result stream"),
        Field("amount", config.lanes.bit_length() + 1, "lanes to move, lane, or boundary", signed=True),
    )


def _vector_fields(config: LpuConfig, pipe: PipeKind) -> tuple[Field, ...]:
    stream_bits = _stream_bits(config)
    swaps = (config.superlane_lanes.bit_length() - 2).bit_length()
    narrow = pipe is PipeKind.INT
    fields = [
        Field("op", 5, f"operation of the {pipe.name} pipe"),
        Field("x_from", 3, "where x comes from"),
        *([Field("x", stream_bits, "stream of x")] if Source.STREAM in sources(config, pipe, "x") else []),
        *([Field("x_wide", 1, "x is an SG4 (else int8, sign-extended)")] if narrow else []),
    ]
    if sources(config, pipe, "y"):
        fields += [
            Field("y_from", 3, "where y comes from"),
            Field("y", stream_bits, "stream of y"),
            *([Field("y_wide", 1, "y is an SG4 (else int8, sign-extended)")] if narrow else []),
            Field("imm", config.imm_bits, "immediate, sign-extended to 32 bits", signed=True),
        ]
    if can_fold(pipe):
        fields += [
            Field("fold", 1, "the first element has no y: it returns x (FAMAX: |x|)"),
            Field("swap", swaps, "SWAP takes lane i XOR 2^swap"),
        ]
    if not can_drive(config, pipe):
        return tuple(fields)
    return (
        *fields,
        Field("drive", 1, "drive the result on out (it is in the result register in any case)"),
        Field("out", stream_bits, "result stream"),
        *([Field("out_wide", 1, "drive an SG4 (else saturate to int8)")] if narrow else []),
        Field("last_only", 1, "drive the result of the last element only"),
    )


@cache
def unit_fields(config: LpuConfig, kind: QueueKind) -> tuple[Field, ...]:
    """Fields of every unit instruction of a queue kind, in order above the opcode; all share one layout."""
    element = _element_fields(config)
    if kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE):
        return element + _memory_fields(config)
    if kind is QueueKind.MXM_WEIGHTS:
        return (*element, Field("install", 1, "IW by itself one cycle after each complete tile"))
    if kind is QueueKind.MXM_ACTIVATIONS:
        return (
            *element,
            Field("stream", _stream_bits(config), "activation stream (data, outward)"),
            Field("out", _stream_bits(config), "inward SG4 for the int32 result"),
            Field("row", config.acc_addr_bits, "accumulator row of the first element"),
            Field("walk", 1, "one accumulator row per element (else all elements into one)"),
            Field("start", 1, "overwrite instead of accumulate: every element if walk, else the first"),
            Field("emit", 1, "drive the sum on out: every element if walk, else after the last"),
        )
    if kind is QueueKind.SWITCH:
        return element + _switch_fields(config)
    return element + _vector_fields(config, PIPES[kind])


def has_address(kind: QueueKind) -> bool:
    """Whether REPEAT and LOOP of this queue kind carry an address stride."""
    return kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE)


@cache
def control_fields(config: LpuConfig, kind: QueueKind) -> Mapping[Opcode, tuple[Field, ...]]:
    """Fields of the control instructions that the core has, by opcode."""
    straight: dict[Opcode, tuple[Field, ...]] = {
        Opcode.END: (),
        Opcode.NOP: (Field("n", config.count_bits, "cycles", low=1),),
        Opcode.SYNC: (),
        Opcode.NOTIFY: (),
    }
    if not config.loop_levels:
        return straight
    stride = (Field("stride", config.stride_width, "address step", signed=True),) if has_address(kind) else ()
    length = Field("length", (config.program_rows - 1).bit_length(), "instructions in the block", low=1)
    return straight | {
        Opcode.REPEAT: (
            Field("n", config.count_bits, "repetitions", low=1),
            Field("d", config.gap_bits, "idle cycles before each"),
            *stride,
        ),
        Opcode.LOOP: (Field("n", config.count_bits, "iterations", low=1), length, *stride),
    }


_UNIT_OPCODES: Mapping[QueueKind, tuple[Opcode, ...]] = {
    QueueKind.MEM_READ: (Opcode.READ, Opcode.GATHER),
    QueueKind.MEM_WRITE: (Opcode.WRITE, Opcode.SCATTER),
    QueueKind.MXM_WEIGHTS: (Opcode.LW, Opcode.IW),
    QueueKind.MXM_ACTIVATIONS: (Opcode.ABC,),
    **dict.fromkeys(PIPES, (Opcode.ALU,)),
}


def unit_opcodes(config: LpuConfig, kind: QueueKind) -> tuple[Opcode, ...]:
    """The queue kind's own instructions on this core."""
    if kind is QueueKind.SWITCH:
        return tuple(sorted(Opcode[op.name] for op in config.switch_ops))
    indexed = (Opcode.GATHER, Opcode.SCATTER)
    return tuple(op for op in _UNIT_OPCODES[kind] if config.indexed or op not in indexed)


def fields_of(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> tuple[Field, ...]:
    """Fields of one instruction. Raises IsaError when the queue kind does not know the opcode."""
    control = control_fields(config, kind)
    if opcode in control:
        return control[opcode]
    if opcode in unit_opcodes(config, kind):
        return unit_fields(config, kind)
    raise IsaError(f"{opcode.name}: not an instruction of a {kind.value} queue")


@cache
def word_bits(config: LpuConfig, kind: QueueKind) -> int:
    """Width of the instruction words of a queue kind."""
    layouts = [unit_fields(config, kind), *control_fields(config, kind).values()]
    return OPCODE_BITS + max(sum(f.bits for f in layout) for layout in layouts)
