"""Hand-made programs for the whole core: instructions placed at cycles, data in SRAM rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from compiler.image import MemoryBlock
from golden.numerics import Bytes
from hdl.config import LpuConfig, Unit, preset
from hdl.isa import Instruction, Opcode

END = Instruction.of(Opcode.END)


@cache
def traced(name: str) -> LpuConfig:
    """The preset with a commit trace: one simulator for all tests of this folder."""
    return preset(name).replace(trace=True)


@dataclass(frozen=True)
class Item:
    """An instruction that ``queue`` issues in ``cycle``; ``role`` says what it is to the instruction under test."""

    role: str
    queue: str
    cycle: int
    instruction: Instruction

    def moved(self, cycles: int) -> Item:
        return replace(self, cycle=self.cycle + cycles)


def programs(config: LpuConfig, items: Iterable[Item]) -> dict[str, list[Instruction]]:
    """One program per queue, NOPs between its items."""
    by_queue: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_queue[item.queue].append(item)
    written = {}
    for name, own in by_queue.items():
        program, now = [], 0
        for item in sorted(own, key=lambda item: item.cycle):
            assert item.cycle >= now, f"{name}: two instructions in cycle {item.cycle}"
            program += [Instruction.of(Opcode.NOP, n=item.cycle - now)] if item.cycle > now else []
            program.append(item.instruction)
            now = item.cycle + item.instruction.duration
        written[name] = [*program, END]
    return written


def address(config: LpuConfig, unit: Unit, slice_: int, row: int) -> int:
    assert unit.memory is not None
    return slice_ << config.row_bits(unit.memory) | row


def rows_block(config: LpuConfig, unit: Unit, row: int, rows: Bytes, slice_: int = 0) -> MemoryBlock:
    """Rows [n, L] in one slice, from ``row`` on."""
    return MemoryBlock(unit.name, address(config, unit, slice_, row), rows)


def wide_blocks(config: LpuConfig, unit: Unit, row: int, rows: Bytes) -> list[MemoryBlock]:
    """rows [slices, n, L]: the same rows of every slice."""
    return [rows_block(config, unit, row, part, slice_) for slice_, part in enumerate(rows)]


def random_bytes(rng: np.random.Generator, *shape: int) -> Bytes:
    """Bytes without 0: nothing on a stream is 0, so a wrong cycle shows."""
    return rng.integers(1, 256, shape, np.uint8)
