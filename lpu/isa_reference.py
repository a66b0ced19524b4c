"""The ISA reference, from ``hdl/isa`` alone: what docs/isa.md and `lpu isa` show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hdl.config import PRESETS, LpuConfig
from hdl.isa import (
    ALU_OPS,
    CONTROL_OPCODES,
    DOCS,
    OPCODE_BITS,
    UNIT_OPCODES,
    Field,
    Opcode,
    QueueKind,
    fields_of,
    timing,
    word_bits,
)

Row = tuple[str, ...]


@dataclass(frozen=True)
class ReferenceTable:
    """One table: its title, its column heads, its rows."""

    title: str
    head: Row
    rows: tuple[Row, ...]


def operations(kind: QueueKind) -> tuple[Opcode, ...]:
    """What a queue of this kind can hold: its unit's instructions, then the control instructions."""
    return (*UNIT_OPCODES[kind], *sorted(CONTROL_OPCODES))


def _layout(fields: tuple[Field, ...]) -> Iterator[tuple[Field, int]]:
    """Each field and its least significant bit."""
    offset = OPCODE_BITS
    for field in fields:
        yield field, offset
        offset += field.bits


def _bit_range(low: int, bits: int) -> str:
    return str(low) if bits == 1 else f"{low + bits - 1}:{low}"


def _skews(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> str:
    skew = timing(config, kind, opcode).skew
    return ", ".join(f"{operand} {cycles}" for operand, cycles in skew.items())


def _func(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> str:
    func = timing(config, kind, opcode).func
    return "" if func is None else str(func)


def instruction_table(config: LpuConfig, kind: QueueKind) -> ReferenceTable:
    """The queue's own instructions: code, operand skews and result latency in cycles, meaning."""
    rows = tuple(
        (op.name, str(op.value), _skews(config, kind, op), _func(config, kind, op), DOCS[op])
        for op in UNIT_OPCODES[kind]
    )
    return ReferenceTable(f"{kind.value}: instructions", ("instruction", "opcode", "d_skew", "d_func", "meaning"), rows)


def field_table(config: LpuConfig, kind: QueueKind, opcode: Opcode, title: str) -> ReferenceTable:
    """Fields of one layout: bits of the word, range, meaning."""
    rows = tuple(
        (field.name, _bit_range(low, field.bits), str(field.bits), f"{field.minimum} .. {field.maximum}", field.doc)
        for field, low in _layout(fields_of(config, kind, opcode))
    )
    return ReferenceTable(title, ("field", "bits", "width", "range", "meaning"), rows)


def control_table(config: LpuConfig, kind: QueueKind) -> ReferenceTable:
    """Control instructions of the queue: code, fields with their bits, meaning."""
    rows = []
    for op in sorted(CONTROL_OPCODES):
        fields = _layout(fields_of(config, kind, op))
        shown = ", ".join(f"{field.name} [{_bit_range(low, field.bits)}]" for field, low in fields)
        rows.append((op.name, str(op.value), shown, DOCS[op]))
    return ReferenceTable(f"{kind.value}: control", ("instruction", "opcode", "fields", "meaning"), tuple(rows))


def alu_table() -> ReferenceTable:
    """Operation codes of the vector unit's ALUs."""
    rows = tuple((kind.value, op.name, str(op.value)) for kind, ops in ALU_OPS.items() for op in ops)
    return ReferenceTable("vxm: ALU operations", ("ALU", "operation", "code"), rows)


def width_table() -> ReferenceTable:
    """Bits of an instruction word, by preset and queue kind."""
    rows = tuple((name, *(str(word_bits(config, kind)) for kind in QueueKind)) for name, config in PRESETS.items())
    return ReferenceTable("Bits of an instruction word", ("preset", *(kind.value for kind in QueueKind)), rows)


def reference(config: LpuConfig) -> Iterator[ReferenceTable]:
    """All tables; widths, ranges and latencies are those of ``config``."""
    yield width_table()
    for kind in QueueKind:
        yield instruction_table(config, kind)
        yield field_table(config, kind, UNIT_OPCODES[kind][0], f"{kind.value}: fields")
        yield control_table(config, kind)
    yield alu_table()


# ----------------------------------------------------------------------- markdown


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _markdown_table(table: ReferenceTable) -> str:
    lines = [table.head, tuple("---" for _ in table.head), *table.rows]
    body = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
    return f"## {table.title}\n\n{body}\n"


def markdown(config: LpuConfig) -> str:
    """docs/isa.md."""
    opening = (
        "# Instruction set\n\n"
        "Generated from `hdl/isa` by `make docs`; widths, ranges and latencies are those of preset "
        f"`{config.name}`.\nBits {OPCODE_BITS - 1}:0 of a word are the opcode. The instructions of a unit share one "
        "field layout.\n\n- An operand with skew d must be on its stream d cycles after the issue (`d_skew`).\n"
        "- A result with latency f is driven f cycles after the issue (`d_func`).\n"
        "- Sequencing, and how streams are encoded: the docstring of `hdl/isa`.\n"
    )
    return "\n".join([opening, *map(_markdown_table, reference(config))])
