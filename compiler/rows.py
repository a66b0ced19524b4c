"""Which SRAM rows a READ or WRITE touches, and when: what data dependencies are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.bundle import Slot
from hdl.config import LpuConfig, Unit
from hdl.isa import Opcode

Ints = NDArray[np.int64]

READS = frozenset({Opcode.READ, Opcode.GATHER})
WRITES = frozenset({Opcode.WRITE, Opcode.SCATTER})


class UnitTables(dict[Unit, Ints]):
    """One number per SRAM row: [slices, depth_rows] for each memory unit that was asked for, all -1 at first."""

    def __missing__(self, unit: Unit) -> Ints:
        assert unit.memory is not None
        self[unit] = np.full((unit.memory.slices, unit.memory.depth_rows), -1, dtype=np.int64)
        return self[unit]


class SramRows:
    """Rows of the elements of memory instructions of one core."""

    def __init__(self, config: LpuConfig) -> None:
        self._addresses = 1 << config.addr_bits
        self._row_bits = {unit: config.row_bits(unit.memory) for unit in config.units if unit.memory is not None}

    def of(self, slot: Slot) -> tuple[tuple[Ints, Ints], Ints]:
        """Indices (slice, row) into a unit's table, shaped [slices accessed, n], and cycles [1, n].

        An indexed access may touch any row of its reach, first and last in the cycles of its elements.
        """
        unit, instruction = slot.queue.unit, slot.instruction
        assert unit.memory is not None
        row_bits = self._row_bits[unit]
        element = np.arange(slot.reach or instruction["count"], dtype=np.int64)
        stride = 1 if slot.reach else instruction["stride"]
        addr = (instruction["addr"] + element * stride) % self._addresses
        rows = (addr & ((1 << row_bits) - 1))[None, :]
        slices = np.arange(unit.memory.slices)[:, None] if instruction["wide"] else (addr >> row_bits)[None, :]
        step = 0 if slot.reach else instruction["gap"] + 1
        return (slices, rows), (slot.cycle + element * step)[None, :]
