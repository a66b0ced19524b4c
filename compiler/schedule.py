"""Bundles -> cycles: each bundle issues at the earliest cycle that queues, streams, unit state and data allow.

Occupancy is a bit set over cycles, one Python integer per resource: a queue, a unit's state, or a stream at a
position. A bundle may issue before bundles that precede it in the program where no data dependency forbids it; within
a stage of an operator bundles keep their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from compiler.bundle import Bundle, Flow, Slot, hops
from compiler.ir import CompileError
from compiler.rows import READS, WRITES, SramRows, UnitTables
from hdl.config import LpuConfig
from hdl.isa import WRITE_TO_READ, Instruction

PATIENCE = 16
"""Cycles tried for a bundle before asking whether it can be issued at all."""

Issues = Mapping[str, list[tuple[int, Instruction]]]
"""Per queue name, (cycle, instruction) in issue order."""


@dataclass(frozen=True)
class Schedule:
    """``issues`` per queue; ``placed`` the bundles and their cycles, in program order."""

    issues: Issues
    placed: tuple[tuple[Bundle, int], ...]


def schedule(config: LpuConfig, bundles: Iterable[Bundle]) -> Schedule:
    """Place all bundles. Raises CompileError when one cannot be placed at all."""
    scheduler = _Scheduler(config)
    for bundle in bundles:
        scheduler.place(bundle)
    for issues in scheduler.issues.values():
        issues.sort(key=lambda issue: issue[0])
    return Schedule(dict(scheduler.issues), tuple(scheduler.placed))


def fits_alone(bundle: Bundle) -> bool:
    """Whether a bundle can be issued at all, on a core that does nothing else."""
    return _Occupancy().fit(bundle, 0) is not None


# --------------------------------------------------------------------- occupancy


Key = str | tuple[int, int]
"""Queue or state by name, or (encoded stream, position)."""


@cache
def _pattern(count: int, pitch: int) -> int:
    """Bits 0, pitch, ..., (count-1)*pitch."""
    if pitch == 1:
        return (1 << count) - 1
    return sum(1 << i * pitch for i in range(count))


@dataclass
class _Occupancy:
    """What is taken when; ``fit`` finds streams for a bundle at a cycle, ``take`` reserves them."""

    taken: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    def wait(self, bundle: Bundle, start: int) -> int:
        """0 if queues and states are free from ``start``, else a number of cycles before which they cannot be."""
        for span in bundle.spans:
            hit = (self.taken[span.resource] >> (start + span.cycle)) & ((1 << span.length) - 1)
            if hit:
                return hit.bit_length()
        return 0

    def fit(self, bundle: Bundle, start: int) -> list[tuple[Key, int, int]] | None:
        """The (key, cycle, pattern) of everything a bundle takes, or None where streams or itself are in the way."""
        found: list[tuple[Key, int, int]] = []
        own: dict[Key, int] = defaultdict(int)
        for span in bundle.spans:
            pattern = (1 << span.length) - 1
            if own[span.resource] >> span.cycle & pattern:
                return None
            own[span.resource] |= pattern << span.cycle
            found.append((span.resource, start + span.cycle, pattern))
        for flow in bundle.flows:
            pattern = _pattern(flow.count, flow.pitch)
            links = next((links for links in _links(flow) if self._free(links, pattern, own, start)), None)
            if links is None:
                return None
            for key, cycle in links:
                own[key] |= pattern << cycle
                found.append((key, start + cycle, pattern))
        return found

    def _free(self, links: list[tuple[Key, int]], pattern: int, own: Mapping[Key, int], start: int) -> bool:
        taken = self.taken
        return not any(((taken[key] >> (start + cycle)) | (own.get(key, 0) >> cycle)) & pattern for key, cycle in links)

    def take(self, found: Iterable[tuple[Key, int, int]]) -> None:
        for key, cycle, pattern in found:
            self.taken[key] |= pattern << cycle


def _links(flow: Flow) -> Iterator[list[tuple[Key, int]]]:
    """For each candidate stream: the ((stream, position), cycle) that the flow occupies, up to its reader.

    A value driven at p in cycle t is on the stream at p +- h in t + h; the registers at p itself are not touched.
    """
    step = 1 if flow.reader.position > flow.driver.position else -1
    for code in flow.candidates:
        yield [
            ((code + 2 * byte, flow.driver.position + step * h), flow.cycle + h)
            for h in range(1, hops(flow.driver, flow.reader) + 1)
            for byte in range(flow.width.streams)
        ]


# ------------------------------------------------------------- data dependencies


@dataclass
class _Accesses:
    """Latest cycles of SRAM accesses per unit, [slices, depth_rows]; -1 where there was none."""

    rows: SramRows
    last_write: UnitTables = field(default_factory=UnitTables)
    last_read: UnitTables = field(default_factory=UnitTables)

    def earliest(self, bundle: Bundle) -> int:
        """First start cycle at which each row is written before it is read, and done with before it is overwritten."""
        start = 0
        for slot in bundle.slots:
            for table in self._ordered_after(slot):
                if slot.queue.unit in table:
                    cells, cycles = self.rows.of(slot)
                    start = max(start, int((table[slot.queue.unit][cells] + WRITE_TO_READ - cycles).max()))
        return start

    def _ordered_after(self, slot: Slot) -> list[UnitTables]:
        if slot.instruction.op in READS:
            return [self.last_write]
        return [self.last_write, self.last_read] if slot.instruction.op in WRITES else []

    def record(self, bundle: Bundle, start: int) -> None:
        for slot in bundle.slots:
            if slot.instruction.op not in READS | WRITES:
                continue
            cells, cycles = self.rows.of(slot)
            if slot.reach:
                cycles = cycles + slot.instruction.duration - 1
            reading = slot.instruction.op in READS
            table = (self.last_read if reading else self.last_write)[slot.queue.unit]
            table[cells] = np.maximum(table[cells], cycles + start)


# --------------------------------------------------------------------- scheduler


class _Scheduler:
    def __init__(self, config: LpuConfig) -> None:
        self.issues: dict[str, list[tuple[int, Instruction]]] = defaultdict(list)
        self.placed: list[tuple[Bundle, int]] = []
        self._data = _Accesses(SramRows(config))
        self._occupancy = _Occupancy()
        self._latest: dict[tuple[str, str], int] = {}
        self._last_access: dict[str, int] = {}

    def place(self, bundle: Bundle) -> None:
        earliest = (
            self._data.earliest(bundle),
            self._latest.get((bundle.group, bundle.stage), 0),
            self._overwriting(bundle),
        )
        start = self._search(bundle, max(earliest))
        self._latest[bundle.group, bundle.stage] = start
        accesses = [slot.end - 1 for slot in bundle.slots if slot.instruction.op in READS | WRITES]
        last = start + max(accesses, default=0)
        self._last_access[bundle.group] = max(last, self._last_access.get(bundle.group, 0))
        self._data.record(bundle, start)
        self.placed.append((bundle, start))

    def _overwriting(self, bundle: Bundle) -> int:
        """First cycle at which its writes come after all accesses of the operators it writes over."""
        last = max((self._last_access[group] for group in bundle.overwrites), default=-1)
        writes = [slot.cycle for slot in bundle.slots if slot.instruction.op in WRITES]
        return last + 1 - min(writes, default=0)

    def _search(self, bundle: Bundle, first: int) -> int:
        start, tried = first, 0
        while True:
            wait = self._occupancy.wait(bundle, start)
            found = None if wait else self._occupancy.fit(bundle, start)
            if found is not None:
                self._occupancy.take(found)
                self._issue(bundle, start, found)
                return start
            start, tried = start + max(wait, 1), tried + 1
            if tried == PATIENCE and not fits_alone(bundle):
                raise CompileError(f"{bundle.group}: its instructions need one queue or stream at the same time")

    def _issue(self, bundle: Bundle, start: int, found: list[tuple[Key, int, int]]) -> None:
        """Record the instructions, with the streams that ``fit`` chose: the first link of each flow names them."""
        number = len(bundle.spans)
        codes = []
        for flow in bundle.flows:
            key = found[number][0]
            assert isinstance(key, tuple)
            codes.append(key[0])
            number += flow.width.streams * hops(flow.driver, flow.reader)
        for slot in bundle.slots:
            streams = tuple((name, codes[flow_number]) for name, flow_number in slot.flows)
            self.issues[slot.queue.name].append((start + slot.cycle, _with_streams(slot.instruction, streams)))


@cache
def _with_streams(instruction: Instruction, streams: tuple[tuple[str, int], ...]) -> Instruction:
    return instruction.replace(**dict(streams)) if streams else instruction
