"""What a core is doing when: queues, unit states and streams that are taken, SRAM rows that are read and written.

Occupancy is a bit set over cycles, one Python integer per resource: a queue, a unit's state, or a stream at a
position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from compiler.bundle import Bundle, Flow, Slot, hops
from compiler.rows import READS, WRITES, SramRows, UnitTables
from hdl.isa import WRITE_TO_READ

# --------------------------------------------------------------------- occupancy


Key = str | tuple[int, int]
"""Queue or state by name, or (encoded stream, position)."""
Found = list[tuple[Key, int, int]]
"""What a bundle takes: key, cycle, and the pattern of cycles from there on."""


@cache
def pattern_of(count: int, pitch: int) -> int:
    """Bits 0, pitch, ..., (count-1)*pitch."""
    if pitch == 1:
        return (1 << count) - 1
    return sum(1 << i * pitch for i in range(count))


@dataclass
class Occupancy:
    """What is taken when; ``fit`` finds streams for a bundle at a cycle, ``take`` reserves them."""

    taken: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    def wait(self, bundle: Bundle, start: int) -> int:
        """0 if queues and states are free from ``start``, else a number of cycles before which they cannot be."""
        for span in bundle.spans:
            hit = (self.taken[span.resource] >> (start + span.cycle)) & ((1 << span.length) - 1)
            if hit:
                return hit.bit_length()
        return 0

    def fit(self, bundle: Bundle, start: int) -> Found | None:
        """The (key, cycle, pattern) of everything a bundle takes, or None where streams or itself are in the way."""
        found: Found = []
        own: dict[Key, int] = defaultdict(int)
        for span in bundle.spans:
            pattern = (1 << span.length) - 1
            if own[span.resource] >> span.cycle & pattern:
                return None
            own[span.resource] |= pattern << span.cycle
            found.append((span.resource, start + span.cycle, pattern))
        for flow in bundle.flows:
            pattern = pattern_of(flow.count, flow.pitch)
            links = next((links for links in links_of(flow) if self._free(links, pattern, own, start)), None)
            if links is None:
                return None
            for key, cycle in links:
                own[key] |= pattern << cycle
                found.append((key, start + cycle, pattern))
        return found

    def _free(self, links: list[tuple[Key, int]], pattern: int, own: Mapping[Key, int], start: int) -> bool:
        taken = self.taken
        return not any(((taken[key] >> (start + cycle)) | (own.get(key, 0) >> cycle)) & pattern for key, cycle in links)

    def take(self, found: Found) -> None:
        for key, cycle, pattern in found:
            self.taken[key] |= pattern << cycle


def links_of(flow: Flow) -> Iterator[list[tuple[Key, int]]]:
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
class Accesses:
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


def fits_alone(bundle: Bundle) -> bool:
    """Whether a bundle can be issued at all, on a core that does nothing else."""
    return Occupancy().fit(bundle, 0) is not None
