"""The ISA reference, from ``hdl/isa`` alone: what docs/isa.md and `lpu isa` show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.operands import operand_sources
from hdl.config import PRESETS, LpuConfig
from hdl.isa import (
    DOCS,
    OPCODE_BITS,
    PIPE_LATENCY,
    PIPE_OPS,
    PIPE_QUEUES,
    Field,
    Instruction,
    Opcode,
    QueueKind,
    Source,
    control_fields,
    fields_of,
    queues,
    sources,
    timing,
    unit_opcodes,
    word_bits,
)

Row = tuple[str, ...]


@dataclass(frozen=True)
class ReferenceTable:
    """One table: its title, its column heads, its rows."""

    title: str
    head: Row
    rows: tuple[Row, ...]


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
        for op in unit_opcodes(config, kind)
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
    for op in sorted(control_fields(config, kind)):
        fields = _layout(fields_of(config, kind, op))
        shown = ", ".join(f"{field.name} [{_bit_range(low, field.bits)}]" for field, low in fields)
        rows.append((op.name, str(op.value), shown, DOCS[op]))
    return ReferenceTable(f"{kind.value}: control", ("instruction", "opcode", "fields", "meaning"), tuple(rows))


def pipe_table(config: LpuConfig) -> ReferenceTable:
    """Latency and operand sources of the vector unit's pipes; a core has those of its config."""
    rows = []
    for pipe in config.pipes:
        named = [", ".join(source.name for source in sources(config, pipe, field)) or "-" for field in ("x", "y")]
        rows.append((pipe.name, PIPE_QUEUES[pipe].value, str(PIPE_LATENCY[pipe]), *named))
    return ReferenceTable("vxm: pipes", ("pipe", "queue", "latency", "x_from", "y_from"), tuple(rows))


def source_table() -> ReferenceTable:
    """Codes of the operand sources."""
    rows = tuple((source.name, str(source.value)) for source in Source)
    return ReferenceTable("vxm: operand sources", ("source", "code"), rows)


def operation_table() -> ReferenceTable:
    """Operation codes and operands of all pipes; those of INT from FMAX on need a floating-point pipe."""
    rows = []
    for pipe, ops in PIPE_OPS.items():
        for op in ops:
            fields = [field for field, _ in operand_sources(Instruction.of(Opcode.ALU, op=op), pipe)]
            rows.append((pipe.name, op.name, str(op.value), ", ".join(fields)))
    return ReferenceTable("vxm: ALU operations", ("pipe", "operation", "code", "operands"), tuple(rows))


def width_table() -> ReferenceTable:
    """Bits of an instruction word, by preset and queue kind."""
    rows = tuple((name, *_word_widths(config)) for name, config in PRESETS.items())
    return ReferenceTable("Bits of an instruction word", ("preset", *(kind.value for kind in QueueKind)), rows)


def _kinds(config: LpuConfig) -> list[QueueKind]:
    """The kinds of queue that the core has."""
    found = {q.kind for q in queues(config)}
    return [kind for kind in QueueKind if kind in found]


def _word_widths(config: LpuConfig) -> Iterator[str]:
    kinds = _kinds(config)
    return (str(word_bits(config, kind)) if kind in kinds else "-" for kind in QueueKind)


def reference(config: LpuConfig) -> Iterator[ReferenceTable]:
    """All tables; queues, widths, ranges and latencies are those of ``config``."""
    yield width_table()
    for kind in _kinds(config):
        yield instruction_table(config, kind)
        yield field_table(config, kind, unit_opcodes(config, kind)[0], f"{kind.value}: fields")
        yield control_table(config, kind)
    yield pipe_table(config)
    yield source_table()
    yield operation_table()


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
