"""Lower bounds on the cycles of a program, from its bundles alone.

head(b)    the cycle before which bundle b cannot start: the longest chain of bundles that it needs data from
tail(b)    the cycles from the start of b to the end of the program: the longest chain of bundles that need its data
data       max over b of head(b) + tail(b)
queue q    min over its uses of (head + offset of the use)  +  cycles it issues in  +  min over its uses of what follows
           (from each element of ABC to the next abc_cycles)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.bundle import Bundle
from compiler.rows import READS, WRITES, SramRows, UnitTables
from hdl.config import LpuConfig
from hdl.isa import WRITE_TO_READ, QueueKind


@dataclass(frozen=True)
class Bounds:
    """Cycles of a run that no schedule of the bundles can beat: by data dependencies, and by each queue."""

    data: int
    queues: Mapping[str, int]


def bounds(config: LpuConfig, bundles: Sequence[Bundle]) -> Bounds:
    """The bounds of ``bundles``, given in program order."""
    needs = needs_of(config, bundles)
    heads, tails = [0] * len(bundles), [bundle.length for bundle in bundles]
    for number, producers in enumerate(needs):
        heads[number] = max((0, *(heads[p] + lag for p, lag in producers.items())))
    for number in reversed(range(len(bundles))):
        for producer, lag in needs[number].items():
            tails[producer] = max(tails[producer], lag + tails[number])
    data = max((head + tail for head, tail in zip(heads, tails, strict=True)), default=0)
    queues = _queue_bounds(config, bundles, heads, tails)
    drain = config.superlanes
    return Bounds(data + drain, {name: cycles + drain for name, cycles in queues.items()})


def issue_cycles(config: LpuConfig, kind: QueueKind) -> int:
    """Cycles from one element of a queue to the next, at least."""
    match kind:
        case QueueKind.MXM_ACTIVATIONS:
            return config.abc_cycles
        case QueueKind.VXM_SFU:
            return config.sfu_cycles
        case _:
            return 1


def _queue_bounds(
    config: LpuConfig, bundles: Sequence[Bundle], heads: Sequence[int], tails: Sequence[int]
) -> dict[str, int]:
    busy: dict[str, int] = defaultdict(int)
    before: dict[str, list[int]] = defaultdict(list)
    after: dict[str, list[int]] = defaultdict(list)
    idle_at_end: dict[str, int] = {}
    for bundle, head, tail in zip(bundles, heads, tails, strict=True):
        for slot in bundle.slots:
            each = issue_cycles(config, slot.queue.kind)
            idle_at_end[slot.queue.name] = each - 1
            busy[slot.queue.name] += slot.instruction["count"] * each
            before[slot.queue.name].append(head + slot.cycle)
            after[slot.queue.name].append(tail - slot.end)
    return {name: min(before[name]) + busy[name] - idle_at_end[name] + min(after[name]) for name in busy}


def needs_of(config: LpuConfig, bundles: Sequence[Bundle]) -> list[dict[int, int]]:
    """For each bundle, the bundles that write what it reads, with the least distance of the two starts."""
    rows = SramRows(config)
    writer = UnitTables()
    written = UnitTables()  # cycle of the write, from the start of its bundle
    needs: list[dict[int, int]] = []
    for number, bundle in enumerate(bundles):
        lags: dict[int, int] = {}
        for slot in bundle.slots:
            if slot.instruction.op in READS and slot.queue.unit in writer:
                cells, cycles = rows.of(slot)
                producers = writer[slot.queue.unit][cells]
                distance = written[slot.queue.unit][cells] + WRITE_TO_READ - cycles
                for producer in np.unique(producers[producers >= 0]).tolist():
                    lag = int(distance[producers == producer].max())
                    lags[producer] = max(lag, lags.get(producer, lag))
        needs.append(lags)
        for slot in bundle.slots:
            if slot.instruction.op in WRITES:
                cells, cycles = rows.of(slot)
                writer[slot.queue.unit][cells] = number
                written[slot.queue.unit][cells] = cycles
    return needs
