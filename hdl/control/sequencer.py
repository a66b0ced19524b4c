"""What both kinds of issue queue have in common."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared, shared
from hdl.isa import Queue, control_fields, unit_opcodes, word_bits
from hdl.layouts import issue_layout
from hdl.memory.bank import Bank


class Sequencer(Shared):
    """Ports of a queue: rows of its program in, elements out; what it knows of opcodes.

    Program rows are written through ``write_en``/``write_row``/``write_word`` while the core is idle; ``pc`` is the row
    of the instruction whose element ``issue`` is.
    """

    def __init__(self, config: LpuConfig, queue: Queue) -> None:
        self._config, self._kind = config, queue.kind
        self._rows, self._is_short = config.rows_of(queue.name), config.is_short(queue.name)
        pc_bits = (config.program_rows - 1).bit_length()
        super().__init__(
            {
                "write_en": In(1),
                "write_row": In(pc_bits),
                "write_word": In(word_bits(config, queue.kind)),
                "start": In(1),
                "notify_in": In(1),
                "notify_out": Out(1),
                "issue": Out(issue_layout(config, queue.kind)),
                **({"coming": Out(issue_layout(config, queue.kind))} if config.loop_levels else {}),
                "pc": Out(pc_bits),
                "ended": Out(1),
                "illegal": Out(1),
            }
        )

    @property
    def module_name(self) -> str:
        name = f"lpu_queue_{self._kind.value.replace('.', '_')}"
        return f"{name}_{self._rows}" if self._is_short else name

    def _read_program(self, m: Module, program: Bank, row: Value, platform: object) -> Value:
        """The row of ``program`` a cycle later; the host writes those that are there."""
        m.submodules.program = shared(program, platform)
        m.d.comb += [
            program.write_en.eq(self.write_en & (self.write_row < self._rows) if self._is_short else self.write_en),
            program.write_row.eq(self.write_row),
            program.write_data.eq(self.write_word),
            program.read_en.eq(1),
            program.read_row.eq(row),
        ]
        return program.read_data

    def _is_own(self, op: Value) -> Value:
        """Whether it is one of the queue's own instructions that make elements."""
        return _any_of(op, unit_opcodes(self._config, self._kind))

    def _is_known(self, op: Value) -> Value:
        return _any_of(op, [*control_fields(self._config, self._kind), *unit_opcodes(self._config, self._kind)])


def _any_of(op: Value, opcodes: object) -> Value:
    found: Value = Cat(op == code for code in opcodes).any()  # type: ignore[attr-defined]
    return found
