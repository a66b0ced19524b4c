"""Twin of a memory group: its SRAM, and which row of which slice an element touches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from golden.numerics import Bytes
from hdl.config import LpuConfig, Unit
from hdl.isa import Element


@dataclass(frozen=True)
class Access:
    """Rows touched by one element: ``slices[i]`` at ``rows[i]``; ``in_range`` says whether that row exists."""

    slices: tuple[int, ...]
    rows: tuple[int, ...]
    in_range: tuple[bool, ...]


class MemoryTwin:
    """``sram`` uint8 [slices, depth_rows, lanes] of one group. Raises ValueError for a unit without memory."""

    def __init__(self, config: LpuConfig, unit: Unit) -> None:
        if unit.memory is None:
            raise ValueError(f"{unit.name}: has no memory")
        self.row_bits = config.row_bits(unit.memory)
        self.sram: Bytes = np.zeros((unit.memory.slices, unit.memory.depth_rows, config.lanes), np.uint8)

    def access(self, element: Element, indices: Bytes | None = None) -> Access:
        """Slices and rows of an element; ``indices`` [2, lanes] is the index pair of GATHER and SCATTER.

        row = (addr row + index) modulo 2^row_bits, the slice from addr unless wide.
        """
        instruction, (count, depth_rows, _) = element.instruction, self.sram.shape
        row_mask = (1 << self.row_bits) - 1
        slices = tuple(range(count)) if instruction["wide"] else ((element.addr >> self.row_bits) % count,)
        if indices is None:
            row = element.addr & row_mask
            return Access(slices, (row,) * len(slices), (row < depth_rows,) * len(slices))
        lanes = [j if instruction["spread"] else instruction["lane"] for j in slices]
        offsets = [int(indices[0, i]) | int(indices[1, i]) << 8 for i in lanes]
        rows = tuple((element.addr + offset) & row_mask for offset in offsets)
        return Access(slices, rows, tuple(row < depth_rows for row in rows))

    def read(self, access: Access) -> Bytes:
        """Rows [len(slices), lanes]; a row that does not exist (undefined content) reads 0 here."""
        if all(access.in_range):
            return self.sram[access.slices, access.rows]
        rows = [self.sram[s, r] if ok else np.zeros_like(self.sram[0, 0]) for s, r, ok in _each(access)]
        return np.stack(rows)

    def write(self, access: Access, data: Bytes) -> None:
        """Store data [len(slices) or 1, lanes]; a row that does not exist stays unwritten."""
        if all(access.in_range):
            self.sram[access.slices, access.rows] = data
            return
        for i, (slice_, row, ok) in enumerate(_each(access)):
            if ok:
                self.sram[slice_, row] = data[i % len(data)]


def _each(access: Access) -> zip[tuple[int, int, bool]]:
    return zip(access.slices, access.rows, access.in_range, strict=True)
