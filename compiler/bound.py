"""Lower bounds on the cycles of a program, from its bundles alone.

head(b)    the cycle before which bundle b cannot start: the longest chain of bundles that it needs data from
tail(b)    the cycles from the start of b to the end of the program: the longest chain of bundles that need its data
data       max over b of head(b) + tail(b)
queue q    one machine that executes the uses of q, each not before its head, followed by what follows it; a use may be
           interrupted (Jackson's preemptive schedule: of the uses that may begin, always the one with the longest tail)

Before the queues are looked at, heads are raised where all that a bundle needs cannot have gone through a queue
earlier: the same one machine, with the distance to that bundle instead of the tail (Carlier and Pinson, 1989). That is
tried for CUTS bundles, those that most of the others come before or after, such as the norm that opens each layer.
Tails are heads of the program run backwards, and raised like them.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.bundle import Bundle
from compiler.rows import READS, WRITES, SramRows, UnitTables
from hdl.config import LpuConfig
from hdl.isa import PIPES, WRITE_TO_READ, QueueKind, pipe_cycles

CUTS = 64
"""With ten times as many a Llama's bounds are 0.3 % higher, after ten seconds."""
Lags = Mapping[int, int]
"""By the number of a bundle, the least distance from its start to that of the one that needs it."""


@dataclass(frozen=True)
class Bounds:
    """Cycles of a run that no schedule of the bundles can beat: by data dependencies, and by each queue."""

    data: int
    queues: Mapping[str, int]


@dataclass(frozen=True)
class Use:
    """A slot: its bundle, when it begins and ends from the start of that, and for how long its queue is busy."""

    bundle: int
    begin: int
    end: int
    busy: int


@dataclass(frozen=True)
class Job:
    """Of one machine: not before ``head``, for ``busy`` cycles, and ``tail`` cycles from its end to that of all."""

    head: int
    busy: int
    tail: int


def bounds(config: LpuConfig, bundles: Sequence[Bundle]) -> Bounds:
    """The bounds of ``bundles``, given in program order."""
    needs, uses, lengths = needs_of(config, bundles), _uses(config, bundles), [bundle.length for bundle in bundles]
    back = backwards(needs, lengths), uses_backwards(uses, lengths)
    zeros = [0] * len(bundles)
    by_data = zip(_chained(zeros, needs, 0), lengths, reversed(_chained(zeros, back[0], 0)), strict=True)
    data = max(map(sum, by_data), default=0)
    heads, after = raised(needs, uses), reversed(raised(*back))
    tails = {number: length + rest for number, (length, rest) in enumerate(zip(lengths, after, strict=True))}
    queues = {name: one_machine(_jobs(mine, heads, tails)) for name, mine in uses.items()}
    drain = config.superlanes
    return Bounds(data + drain, {name: cycles + drain for name, cycles in queues.items()})


def issue_cycles(config: LpuConfig, kind: QueueKind) -> int:
    """Cycles from one element of a queue to the next, at least."""
    if kind is QueueKind.MXM_ACTIVATIONS:
        return config.abc_cycles
    return pipe_cycles(config, PIPES[kind]) if kind in PIPES else 1


def one_machine(jobs: Sequence[Job]) -> int:
    """The least end of ``jobs`` on a machine that does one at a time and may interrupt it."""
    coming = sorted(jobs, key=lambda job: job.head)
    ready: list[tuple[int, int]] = []
    now, last, i = 0, 0, 0
    while i < len(coming) or ready:
        if not ready:
            now = max(now, coming[i].head)
        while i < len(coming) and coming[i].head <= now:
            heapq.heappush(ready, (-coming[i].tail, coming[i].busy))
            i += 1
        tail, busy = heapq.heappop(ready)
        spent = min(busy, coming[i].head - now) if i < len(coming) else busy
        now += spent
        if spent < busy:
            heapq.heappush(ready, (tail, busy - spent))
        else:
            last = max(last, now - tail)
    return last


def _uses(config: LpuConfig, bundles: Sequence[Bundle]) -> dict[str, list[Use]]:
    """By queue; after its last element a use is over, however many cycles an element takes."""
    uses: dict[str, list[Use]] = defaultdict(list)
    for number, bundle in enumerate(bundles):
        for slot in bundle.slots:
            each = issue_cycles(config, slot.queue.kind)
            busy = slot.instruction["count"] * each
            uses[slot.queue.name].append(Use(number, slot.cycle, slot.end + each - 1, busy))
    return uses


def _jobs(uses: Sequence[Use], heads: Sequence[int], tails: Lags) -> list[Job]:
    """The uses of bundles that have a tail, as jobs."""
    found = (use for use in uses if use.bundle in tails)
    return [Job(heads[use.bundle] + use.begin, use.busy, tails[use.bundle] - use.end) for use in found]


def backwards(needs: Sequence[Lags], lengths: Sequence[int]) -> list[Lags]:
    """What bundles need where the last one is the first and time runs from their ends to their starts."""
    last, found = len(needs) - 1, [dict[int, int]() for _ in needs]
    for number, producers in enumerate(needs):
        for producer, lag in producers.items():
            found[last - producer][last - number] = lag + lengths[number] - lengths[producer]
    return list(found)


def uses_backwards(uses: Mapping[str, Sequence[Use]], lengths: Sequence[int]) -> dict[str, list[Use]]:
    """Uses of those bundles, from their ends to their starts."""
    last = len(lengths) - 1
    return {
        name: [Use(last - u.bundle, lengths[u.bundle] - u.end, lengths[u.bundle] - u.begin, u.busy) for u in mine]
        for name, mine in uses.items()
    }


def raised(needs: Sequence[Lags], uses: Mapping[str, Sequence[Use]]) -> list[int]:
    """Heads, higher than the longest chains where queues cannot have done in time what a bundle needs."""
    heads = _chained([0] * len(needs), needs, 0)
    for cut in _cuts(needs):
        distances = _distances(needs, cut)
        least = max((one_machine(_jobs(mine, heads, distances)) for mine in uses.values()), default=0)
        if least > heads[cut]:
            heads = _chained([*heads[:cut], least, *heads[cut + 1 :]], needs, cut + 1)
    return heads


def _chained(heads: Sequence[int], needs: Sequence[Lags], first: int) -> list[int]:
    """Heads of bundles from ``first`` on, raised to what their producers' ask for."""
    heads = list(heads)
    for number in range(first, len(heads)):
        heads[number] = max((heads[number], *(heads[p] + lag for p, lag in needs[number].items())))
    return heads


def _distances(needs: Sequence[Lags], cut: int) -> dict[int, int]:
    """From the start of each bundle that ``cut`` needs, directly or not, the least distance to its start."""
    distances = {cut: 0}
    for number in range(cut, -1, -1):
        if number in distances:
            for producer, lag in needs[number].items():
                distances[producer] = max(lag + distances[number], distances.get(producer, lag + distances[number]))
    del distances[cut]
    return distances


def _cuts(needs: Sequence[Lags]) -> Iterator[int]:
    """Bundles that most others are needed for or need, in program order."""
    before, after = [0] * len(needs), [0] * len(needs)
    for number, producers in enumerate(needs):
        for producer in producers:
            before[number] |= before[producer] | 1 << producer
    for number in reversed(range(len(needs))):
        for producer in needs[number]:
            after[producer] |= after[number] | 1 << number
    related = [b.bit_count() + a.bit_count() for b, a in zip(before, after, strict=True)]
    return iter(sorted(sorted(range(len(needs)), key=lambda number: -related[number])[:CUTS]))


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
