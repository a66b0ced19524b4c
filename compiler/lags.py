"""What bundles wait for: the least distance of the starts of any two of which the second needs the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.bundle import Bundle, Slot
from compiler.rows import READS, WRITES, SramRows
from hdl.config import LpuConfig
from hdl.isa import WRITE_TO_READ

Cell = tuple[str, int, int]
"""Memory unit, slice and row."""
Lags = Mapping[int, int]
"""Cycles from the start of a bundle, by its number, to that of the one that waits for it, at least."""


def stages(bundles: Sequence[Bundle]) -> list[int | None]:
    """For each bundle, the one before it in its stage."""
    latest: dict[tuple[str, str], int] = {}
    before: list[int | None] = []
    for number, bundle in enumerate(bundles):
        before.append(latest.get((bundle.group, bundle.stage)))
        latest[bundle.group, bundle.stage] = number
    return before


def lags_of(config: LpuConfig, bundles: Sequence[Bundle]) -> list[Lags]:
    """For each of the bundles, given in program order, what it waits for.

    The writers of what it reads, the readers and writers of what it overwrites, the operators whose tensors it writes
    over, and the one before it in its stage.
    """
    found, rows = _Found([{} for _ in bundles]), SramRows(config)
    writer: dict[Cell, tuple[int, int]] = {}
    readers: dict[Cell, dict[int, int]] = defaultdict(dict)
    groups: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, (bundle, stage) in enumerate(zip(bundles, stages(bundles), strict=True)):
        if stage is not None:
            found.add(stage, number, 0)
        accesses = [slot for slot in bundle.slots if slot.instruction.op in READS | WRITES]
        first = min((slot.cycle for slot in accesses if slot.instruction.op in WRITES), default=0)
        for name in bundle.overwrites:
            for other, last in groups[name]:
                found.add(other, number, last + 1 - first)
        groups[bundle.group].append((number, max((slot.end - 1 for slot in accesses), default=0)))
        for slot in sorted(accesses, key=lambda slot: slot.instruction.op in WRITES):
            for cell, begin, end in _cells(rows, slot):
                if cell in writer:
                    other, last = writer[cell]
                    found.add(other, number, last + WRITE_TO_READ - begin)
                if slot.instruction.op in READS:
                    readers[cell][number] = max(end, readers[cell].get(number, end))
                    continue
                for other, last in readers.pop(cell, {}).items():
                    found.add(other, number, last + WRITE_TO_READ - begin)
                writer[cell] = number, end
    return list(found.lags)


@dataclass
class _Found:
    lags: list[dict[int, int]]

    def add(self, producer: int, number: int, lag: int) -> None:
        if producer != number:
            self.lags[number][producer] = max(lag, self.lags[number].get(producer, lag))


def _cells(rows: SramRows, slot: Slot) -> Iterator[tuple[Cell, int, int]]:
    """What an access touches, and from when to when it may."""
    (slices, places), cycles = rows.of(slot)
    slices, places, cycles = np.broadcast_arrays(slices, places, cycles)
    more = slot.instruction.duration - 1 if slot.reach else 0
    lists = (array.ravel().tolist() for array in (slices, places, cycles))
    for slice_, row, cycle in zip(*lists, strict=True):
        yield (slot.queue.unit.name, slice_, row), cycle, cycle + more
