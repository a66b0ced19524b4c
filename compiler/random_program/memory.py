"""Memory of random programs: what SRAM holds at the start, and which rows an instruction may touch.

Of every slice the lowest and the highest rows are initialised. In data groups the lowest ``INDEX_ROWS`` are never
written: as SG4s they hold a 16-bit index per lane in the lower half, below INDEX_SPAN modulo every depth. Some rows
start uninitialised; they are read only after a WRITE.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from compiler.image import MemoryBlock
from hdl.config import LpuConfig, Unit, UnitKind
from hdl.isa import INDEX_BITS, Instruction, Opcode

INDEX_SPAN = 8
INDEX_ROWS = 4
_LOW_ROWS = 48
_TOP_ROWS = 8
_FRESH_ROWS = 4
_EDGE_BYTES = np.array([0x00, 0x7F, 0x80, 0xFF], np.uint8)
_MODERATE_BYTES = np.array([0x3D, 0x3E, 0x3F, 0x40, 0x41, 0xBE, 0xBF, 0xC0, 0xC1], np.uint8)
"""Highest bytes of fp32 numbers near 1."""

Key = tuple[str, int, int]
"""(unit, slice, row)"""


@dataclass(frozen=True)
class _Regions:
    """Rows of one unit (the same in every slice), and those that an instruction may name, in order."""

    initial: frozenset[int]
    index: frozenset[int]
    fresh: frozenset[int]
    named: dict[Opcode, tuple[int, ...]]


def _regions(config: LpuConfig, unit: Unit) -> _Regions:
    assert unit.memory is not None
    depth, modulus = unit.memory.depth_rows, 1 << config.row_bits(unit.memory)
    low = min(_LOW_ROWS, depth - _TOP_ROWS - _FRESH_ROWS)
    low = max(low, min(depth, INDEX_ROWS + INDEX_SPAN))
    initial = frozenset(range(low)) | frozenset(range(max(low, depth - _TOP_ROWS), depth))
    index = frozenset(range(INDEX_ROWS)) if unit.kind is UnitKind.DATA_MEMORY else frozenset()
    fresh = frozenset(range(low, min(low + _FRESH_ROWS, depth))) - initial

    def bases(rows: frozenset[int]) -> tuple[int, ...]:
        return tuple(b for b in range(modulus) if all((b + i) % modulus in rows for i in range(INDEX_SPAN)))

    named = {
        Opcode.READ: tuple(sorted(initial | fresh)),
        Opcode.WRITE: tuple(sorted(initial - index | fresh)),
        Opcode.GATHER: bases(initial),
        Opcode.SCATTER: bases(initial - index),
    }
    return _Regions(initial, index, fresh, named)


@dataclass
class MemoryPlan:
    """Initial memory of a core, and what placed instructions have changed.

    ``written``: cycle of the earliest WRITE of a fresh row; ``started``: of the earliest start of (plane, row);
    ``produced``: first cycle in which a result register, or the flag, holds something.
    """

    config: LpuConfig
    seed: int
    written: dict[Key, int] = field(default_factory=dict)
    started: dict[tuple[str, int], int] = field(default_factory=dict)
    produced: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.regions = {unit.name: _regions(self.config, unit) for unit in self.config.units if unit.memory}

    def all_started(self, unit: Unit, rows: range) -> bool:
        return all((unit.name, row) in self.started for row in rows)

    def random_address(self, rng: random.Random, unit: Unit, instruction: Instruction, safe: bool) -> dict[str, int]:
        """Address and stride fields to try. Slice bits of wide accesses are ignored by the core, so they are random."""
        assert unit.memory is not None
        row_bits = self.config.row_bits(unit.memory)
        row = rng.choice(self._rows(unit, instruction, safe))
        slice_ = rng.randrange(unit.memory.slices)
        strides = (0, 1, 1, -1, 2, -3, 1 << row_bits, -(1 << row_bits), 1 + (1 << row_bits))
        limit = 1 << (self.config.stride_width - 1)
        stride = rng.choice([s for s in strides if -limit <= s < limit])
        return {"addr": slice_ << row_bits | row, "stride": stride}

    def _rows(self, unit: Unit, instruction: Instruction, safe: bool) -> tuple[int, ...]:
        regions = self.regions[unit.name]
        return tuple(regions.index) if safe else regions.named[instruction.op]

    def allows(self, unit: Unit, instruction: Instruction, addr: int, safe: bool) -> bool:
        """Whether an element may name the address; fresh rows may be read once some WRITE of them is placed."""
        slices, row = self.touched(unit, instruction, addr)
        assert unit.memory is not None
        if row not in self._rows(unit, instruction, safe) or slices[-1] >= unit.memory.slices:
            return False
        unwritten = row in self.regions[unit.name].fresh and instruction.op is Opcode.READ
        return not unwritten or all((unit.name, slice_, row) in self.written for slice_ in slices)

    def touched(self, unit: Unit, instruction: Instruction, addr: int) -> tuple[range, int]:
        """Slices and row of an access."""
        assert unit.memory is not None
        row_bits = self.config.row_bits(unit.memory)
        first = addr >> row_bits
        slices = range(unit.memory.slices) if instruction["wide"] else range(first, first + 1)
        return slices, addr & ((1 << row_bits) - 1)

    def is_fresh(self, unit: Unit, row: int) -> bool:
        return row in self.regions[unit.name].fresh

    # ------------------------------------------------------------------ content

    def blocks(self) -> list[MemoryBlock]:
        """Seeded initial content: random bytes, edge values, mixtures of both, moderate fp32, and index rows."""
        rng, blocks = np.random.default_rng(self.seed), []
        for unit in self.config.units:
            if unit.memory is None:
                continue
            for slice_ in range(unit.memory.slices):
                choices = _MODERATE_BYTES if unit.kind is UnitKind.DATA_MEMORY and slice_ == 3 else None
                for first, last in _runs(self.regions[unit.name].initial):
                    rows = self._content(rng, last - first + 1, choices)
                    blocks.append(MemoryBlock(unit.name, slice_ << self.config.row_bits(unit.memory) | first, rows))
            if unit.kind is UnitKind.DATA_MEMORY:
                self._set_indices(rng, unit, blocks)
        return blocks

    def _content(self, rng: np.random.Generator, n: int, high_bytes: np.ndarray | None) -> np.ndarray:
        """Rows uint8 [n, L]; of most of them every byte is one of ``high_bytes``, if there are any."""
        shape = (n, self.config.lanes)
        edges = rng.random(shape) < rng.choice([0.0, 0.2, 1.0], (n, 1))
        rows = np.where(edges, rng.choice(_EDGE_BYTES, shape), rng.integers(0, 256, shape, np.uint8))
        if high_bytes is None:
            return rows
        return np.where(rng.random((n, 1)) < 0.7, rng.choice(high_bytes, shape), rows)

    def _set_indices(self, rng: np.random.Generator, unit: Unit, blocks: list[MemoryBlock]) -> None:
        """Index pairs (low byte, high byte) into slices 0 and 1 of the index rows."""
        groups = self.config.weight_groups + self.config.data_groups
        row_bits = max(self.config.row_bits(group) for group in groups)
        first = {block.addr: block for block in blocks if block.unit == unit.name}
        assert unit.memory is not None
        shape = (INDEX_ROWS, self.config.lanes)
        high = rng.integers(0, 1 << max(0, INDEX_BITS - row_bits), shape)
        index = rng.integers(0, INDEX_SPAN, shape) + (high << row_bits) & ((1 << INDEX_BITS) - 1)
        for byte in range(2):
            block = first[byte << self.config.row_bits(unit.memory)]
            block.rows[:INDEX_ROWS] = index >> (8 * byte) & 0xFF


def _runs(rows: frozenset[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive rows."""
    ordered = sorted(rows)
    starts = [row for row in ordered if row - 1 not in rows]
    ends = [row for row in ordered if row + 1 not in rows]
    return list(zip(starts, ends, strict=True))
