"""In which order bundles are placed: those first that the longest chain of others waits for.

A bundle may be placed when all are that it depends on: the writers of what it reads, the readers and writers of what
it overwrites, the operators whose tensors it writes over, and the one before it in its stage.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compiler.bundle import Bundle, Slot
from compiler.rows import READS, WRITES, SramRows
from hdl.config import LpuConfig

Cell = tuple[str, int, int]
"""Memory unit, slice and row."""


class Order:
    """Precedence and priority of bundles given in program order; ``lags``: of what each reads, by its writer."""

    def __init__(self, config: LpuConfig, bundles: Sequence[Bundle], lags: Sequence[Mapping[int, int]]) -> None:
        self.before = _precedence(config, bundles)
        self.tails = [float(bundle.length) for bundle in bundles]
        stages = _stages(bundles)
        for number in reversed(range(len(bundles))):
            before = stages[number]
            follows = [] if before is None else [(before, _busiest(bundles[before]))]
            for producer, lag in (*lags[number].items(), *follows):
                self.tails[producer] = max(self.tails[producer], lag + self.tails[number])

    def by_priority(self, priorities: Sequence[float]) -> list[int]:
        """Numbers of the bundles, of those that may be placed always the one of the largest priority next."""
        after: dict[int, list[int]] = defaultdict(list)
        for number, needed in enumerate(self.before):
            for other in needed:
                after[other].append(number)
        waiting = [len(needed) for needed in self.before]
        ready = [(-priorities[i], i) for i, n in enumerate(waiting) if n == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            _, number = heapq.heappop(ready)
            order.append(number)
            for other in after[number]:
                waiting[other] -= 1
                if waiting[other] == 0:
                    heapq.heappush(ready, (-priorities[other], other))
        return order


def _stages(bundles: Sequence[Bundle]) -> list[int | None]:
    """For each bundle, the one before it in its stage."""
    latest: dict[tuple[str, str], int] = {}
    before: list[int | None] = []
    for number, bundle in enumerate(bundles):
        before.append(latest.get((bundle.group, bundle.stage)))
        latest[bundle.group, bundle.stage] = number
    return before


def _busiest(bundle: Bundle) -> int:
    """Cycles for which a bundle keeps one queue: those of its stage cannot follow more closely, on average."""
    busy: Counter[str] = Counter()
    for slot in bundle.slots:
        busy[slot.queue.name] += slot.instruction["count"]
    return max(busy.values())


def _precedence(config: LpuConfig, bundles: Sequence[Bundle]) -> list[set[int]]:
    """For each bundle, those that must be placed before it."""
    before: list[set[int]] = [set() for _ in bundles]
    rows, stages, groups = SramRows(config), _stages(bundles), defaultdict[str, list[int]](list)
    writer: dict[Cell, int] = {}
    readers: dict[Cell, list[int]] = defaultdict(list)
    for number, bundle in enumerate(bundles):
        before[number].update(i for name in bundle.overwrites for i in groups[name])
        before[number].update(i for i in [stages[number]] if i is not None)
        groups[bundle.group].append(number)
        for slot in _sorted_slots(bundle):
            for cell in _cells(rows, slot):
                before[number].update([writer[cell]] if cell in writer else [])
                if slot.instruction.op in READS:
                    readers[cell].append(number)
                else:
                    before[number].update(readers.pop(cell, ()))
                    writer[cell] = number
        before[number].discard(number)
    return before


def _sorted_slots(bundle: Bundle) -> list[Slot]:
    """Reads, then writes."""
    slots = [slot for slot in bundle.slots if slot.instruction.op in READS | WRITES]
    return sorted(slots, key=lambda slot: slot.instruction.op in WRITES)


def _cells(rows: SramRows, slot: Slot) -> Iterator[Cell]:
    (slices, places), _ = rows.of(slot)
    slices, places = np.broadcast_arrays(slices, places)
    for slice_, row in zip(slices.ravel().tolist(), places.ravel().tolist(), strict=True):
        yield slot.queue.unit.name, slice_, row
