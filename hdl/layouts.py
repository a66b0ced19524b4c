"""Amaranth layouts of instruction words and of the commands that travel down the superlanes."""

from __future__ import annotations

from functools import cache

from amaranth.hdl import Const, Shape, Value, signed, unsigned
from amaranth.lib import data

from hdl.config import LpuConfig, Unit, UnitKind
from hdl.isa import OPCODE_BITS, Opcode, Queue, QueueKind, control_fields, memory_ports, queues, unit_fields, word_bits

_SEQUENCING_FIELDS = frozenset({"count", "gap", "stride", "mask"})
_MEMBER_NAMES = {"op": "operation"}
"""Fields whose members have another name: ``op`` is the opcode."""


def _shapes(fields: tuple) -> dict[str, object]:
    return {_MEMBER_NAMES.get(f.name, f.name): signed(f.bits) if f.signed else unsigned(f.bits) for f in fields}


@cache
def word_layout(config: LpuConfig, kind: QueueKind) -> data.StructLayout:
    """The unit-instruction view of an instruction word, padded to the word's width."""
    members = {"op": unsigned(OPCODE_BITS), **_shapes(unit_fields(config, kind))}
    return _padded(members, word_bits(config, kind))


@cache
def control_layout(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> data.StructLayout:
    """The view of an instruction word as a control instruction (NOP, REPEAT, LOOP)."""
    members = {"op": unsigned(OPCODE_BITS), **_shapes(control_fields(config, kind)[opcode])}
    return _padded(members, word_bits(config, kind))


def _padded(members: dict[str, object], width: int) -> data.StructLayout:
    spare = width - data.StructLayout(members).size
    return data.StructLayout({**members, "_spare": unsigned(spare)} if spare else members)


@cache
def issue_layout(config: LpuConfig, kind: QueueKind) -> data.StructLayout:
    """One issued element: ``valid``, its place in the instruction, and the instruction's fields with the final addr."""
    fields = tuple(f for f in unit_fields(config, kind) if f.name not in _SEQUENCING_FIELDS)
    return data.StructLayout({"valid": 1, "op": unsigned(OPCODE_BITS), "first": 1, "last": 1, **_shapes(fields)})


@cache
def access_layout(config: LpuConfig, unit: Unit) -> data.StructLayout:
    """An SRAM access in the cycle of the access: an enable and a row per slice."""
    assert unit.memory is not None
    rows = data.ArrayLayout(config.row_bits(unit.memory), unit.memory.slices)
    return data.StructLayout({"en": unit.memory.slices, "rows": rows})


@cache
def read_layout(config: LpuConfig, unit: Unit) -> data.StructLayout:
    """A read: the access (issue + 1), and how to drive the row one cycle later."""
    assert unit.memory is not None
    stream = issue_layout(config, QueueKind.MEM_READ)["stream"].shape
    return data.StructLayout({"valid": 1, "access": access_layout(config, unit), "wide": 1, "stream": stream})


@cache
def write_layout(config: LpuConfig, unit: Unit) -> data.StructLayout:
    """A write: the stream to take (issue), and the access (issue + 1)."""
    stream = issue_layout(config, QueueKind.MEM_WRITE)["stream"].shape
    return data.StructLayout({"stream": stream, "wide": 1, "valid": 1, "access": access_layout(config, unit)})


@cache
def weights_layout(config: LpuConfig) -> data.StructLayout:
    """A weight command: capture ``rows`` block ``block`` of supercell column ``column``; install."""
    columns = config.superlanes
    blocks = config.superlane_lanes // config.weight_streams
    return data.StructLayout(
        {
            "load": 1,
            "column": unsigned(max(1, (columns - 1).bit_length())),
            "block": unsigned(max(1, (blocks - 1).bit_length())),
            "install": 1,
        }
    )


def block_members(config: LpuConfig) -> dict[str, Shape]:
    """Members ``block``: which rows of its supercells an element of ABC is working on, and ``works``: whether one is;
    none where it is all of them.
    """
    if config.abc_cycles == 1:
        return {}
    return {"block": unsigned((config.abc_cycles - 1).bit_length()), "works": unsigned(1)}


def block_of(config: LpuConfig, view: data.View) -> Value:
    """``view.block``, of no width where an element works on all rows at once."""
    return view.block if config.abc_cycles > 1 else Const(0, 0)


@cache
def activations_layout(config: LpuConfig) -> data.StructLayout:
    """Activations of a superlane, on their stream while ``block`` is 0."""
    return data.StructLayout({"lanes": lane_bits(config), **block_members(config)})


def command_of(config: LpuConfig, queue: Queue) -> data.Layout:
    """What one queue sends down the superlanes."""
    match queue.kind:
        case QueueKind.MEM_READ:
            return read_layout(config, queue.unit)
        case QueueKind.MEM_WRITE:
            return write_layout(config, queue.unit)
        case QueueKind.MXM_WEIGHTS:
            return weights_layout(config)
        case QueueKind.MXM_ACTIVATIONS:
            stream = issue_layout(config, queue.kind)["stream"].shape
            return data.StructLayout({"stream": stream, **block_members(config)})
        case _:
            return issue_layout(config, queue.kind)


def port_name(queue: Queue) -> str:
    """The queue's name as an identifier."""
    return queue.name.replace(".", "_")


def vector_lead(config: LpuConfig) -> int:
    """Cycles before T in which an element's command reaches the vector unit: queues that look ahead have it a cycle
    before, so that what selects its stream operands in T comes from registers; lane by lane nothing is selected in T.
    """
    return 1 if config.loop_levels and not config.lane_by_lane else 0


@cache
def superlane_command(config: LpuConfig) -> data.StructLayout:
    """All commands of one cycle, as superlane 0 sees them; superlane r sees them r cycles later.

    Those of the vector unit's pipes are of elements that issue ``vector_lead`` cycles later.
    """
    ports = dict.fromkeys((*queues(config), *memory_ports(config)))
    members: dict[str, object] = {port_name(q): command_of(config, q) for q in ports}
    return data.StructLayout({**members, "link_drive": 1})


@cache
def result_layout(config: LpuConfig) -> data.StructLayout:
    """A matrix result on its way to a superlane: int32 per lane and the SG4 to drive."""
    stream = issue_layout(config, QueueKind.MXM_ACTIVATIONS)["out"].shape
    return data.StructLayout({"valid": 1, "out": stream, "sums": data.ArrayLayout(32, config.superlane_lanes)})


def lane_bits(config: LpuConfig) -> int:
    """Bits of one stream in one superlane."""
    return 8 * config.superlane_lanes


def matrix_units(config: LpuConfig) -> tuple[Unit, ...]:
    return config.units_of(UnitKind.MATRIX)
