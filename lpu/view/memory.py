"""Which element wrote an SRAM row last."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from compiler.image import TensorInfo
from compiler.rows import READS, WRITES
from hdl.config import LpuConfig
from hdl.isa import Opcode
from lpu.view.flows import Run
from lpu.view.timeline import Box

Row = tuple[str, int, int]
"""Unit, slice, row."""
Issue = tuple[int, int, int]
"""Cycle, box number, element number."""


class Writes:
    """All writes of a program; a SCATTER writes, and a GATHER reads, every row of the tensor at its address."""

    def __init__(self, config: LpuConfig, tensors: Sequence[TensorInfo], runs: Sequence[Run]) -> None:
        self._config, self._tensors = config, tensors
        self._written: dict[Row, list[Issue]] = defaultdict(list)
        self._units = {box.queue.unit.name for box, _ in runs if box.instruction.op in WRITES}
        for number, (box, _) in enumerate(runs):
            if box.instruction.op in WRITES:
                for i in range(box.count):
                    for row in self._rows(box, i):
                        self._written[row].append((box.cycle + i * box.period, number, i))
        for issues in self._written.values():
            issues.sort()

    def before(self, box: Box, i: int) -> Issue | None:
        """The last write, in an earlier cycle, of a row that element ``i`` of a READ or GATHER reads."""
        if box.instruction.op not in READS or box.queue.unit.name not in self._units:
            return None
        cycle, found = box.cycle + i * box.period, []
        for row in self._rows(box, i):
            issues = self._written.get(row, [])
            earlier = bisect_left(issues, (cycle, 0, 0))
            found += issues[max(earlier - 1, 0) : earlier]
        return max(found, default=None)

    def _rows(self, box: Box, i: int) -> Iterator[Row]:
        assert box.addr is not None
        addr, wide = box.addr + i * box.step, bool(box.instruction["wide"])
        if box.instruction.op in (Opcode.READ, Opcode.WRITE):
            yield from self._at(box, addr, wide)
            return
        for step in self._tensor_rows(box, addr, wide):
            yield from self._at(box, step, wide)

    def _at(self, box: Box, addr: int, wide: bool) -> Iterator[Row]:
        unit = box.queue.unit
        assert unit.memory is not None
        row_bits = self._config.row_bits(unit.memory)
        row = addr & ((1 << row_bits) - 1)
        slices = range(unit.memory.slices) if wide else (addr >> row_bits,)
        yield from ((unit.name, slice_, row) for slice_ in slices)

    def _tensor_rows(self, box: Box, addr: int, wide: bool) -> Sequence[int]:
        """Addresses of the tensor that holds ``addr``; of none known, that address alone."""
        unit = box.queue.unit
        assert unit.memory is not None
        mask = (1 << self._config.row_bits(unit.memory)) - 1 if wide else -1
        for info in self._tensors:
            if info.unit == unit.name and info.addr & mask <= addr & mask < (info.addr & mask) + info.rows:
                return range(info.addr & mask, (info.addr & mask) + info.rows)
        return (addr,)
