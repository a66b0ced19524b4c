"""Where bundles fit: reservation tables of queues, streams, SRAM ports and matrix state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from compiler.random_program.array import ArrayPlan, install_cycles
from compiler.random_program.memory import MemoryPlan
from compiler.random_program.pattern import Bundle, Flow, Item
from compiler.random_program.registers import first_reads, first_values
from hdl.config import LpuConfig
from hdl.isa import (
    IW_TO_ABC,
    PIPES,
    Element,
    Opcode,
    Queue,
    QueueKind,
    pipe_cycles,
    queues,
)

Access = tuple[range, int | None]
"""Slices and row of an element; row None: any."""

_SEARCH_CYCLES = 300
ROWS_KEPT = 8
"""Program rows that bundles leave for SYNC, NOTIFY and END."""
_ROWS_PER_GAP = 2
_K = TypeVar("_K")


def _leaving(flow: Flow) -> Iterator[tuple[int, int, int]]:
    """(stream, position, first cycle) of every position that the flow's values leave, as far as wanted."""
    step = 1 if flow.last > flow.position else -1
    for position in range(flow.position, flow.last, step):
        for code in flow.streams:
            yield code, position, flow.pattern.first + abs(position - flow.position)


@dataclass
class Placer:
    """Reservation tables of everything placed.

    ``held``: per queue, a bit for each cycle it is held. ``leaving``: per stream and position, a bit for each cycle in
    which a value that someone still wants leaves the position. ``ports``: (unit, port, cycle) -> what it touches.
    ``installed``: the first IW of each plane.
    """

    config: LpuConfig
    plan: MemoryPlan
    held: dict[str, int] = field(default_factory=dict)
    leaving: dict[tuple[int, int], int] = field(default_factory=dict)
    ports: dict[tuple[str, str, int], Access] = field(default_factory=dict)
    installed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items: dict[str, list[Item]] = {q.name: [] for q in queues(self.config)}
        self.arrays = ArrayPlan(self.config)

    @property
    def end(self) -> int:
        return max(mask.bit_length() for mask in self.held.values()) if self.held else 0

    def rows_used(self, name: str) -> int:
        return sum(len(item.program) + _ROWS_PER_GAP for item in self.items[name])

    def full(self) -> list[str]:
        kept = ROWS_KEPT + 4 + _ROWS_PER_GAP
        return [name for name in self.items if self.rows_used(name) > self.config.rows_of(name) - kept]

    def _held(self, item: Item) -> int:
        """A bit for each cycle of the item, and while its last element still takes its pipe."""
        pipe = PIPES.get(item.queue.kind)
        return (1 << item.length + (pipe_cycles(self.config, pipe) - 1 if pipe else 0)) - 1

    def place(self, bundle: Bundle, length: int) -> bool:
        """Add the bundle at the earliest cycle where it fits and ends by ``length``; whether there was one."""
        lead = -min(item.start for item in bundle.items)
        span = max(item.start + item.length for item in bundle.items) + lead
        held = [(item.queue.name, self._held(item) << (item.start + lead)) for item in bundle.items]
        leaving = self._masks(bundle, lead)
        if leaving is None or self._collides(bundle):
            return False
        lacking = self._lacking(bundle)
        begin = max(0, self.end - _SEARCH_CYCLES)
        for at in range(begin, length - span + 1):
            if any(self.held.get(name, 0) & mask << at for name, mask in held):
                continue
            if any(self.leaving.get(key, 0) & mask << at for key, mask in leaving.items()):
                continue
            if any(self.plan.produced.get(name, length) > at + lead + cycle for name, cycle in lacking):
                continue
            if all(self._allows(item, at + lead) for item in bundle.items):
                self._commit(bundle, at + lead, leaving, at)
                return True
        return False

    def _masks(self, bundle: Bundle, lead: int) -> dict[tuple[int, int], int] | None:
        """Masks of the bundle's flows, None when two of them collide."""
        masks: dict[tuple[int, int], int] = {}
        for flow in bundle.flows:
            for code, position, first in _leaving(flow):
                for i in range(flow.pattern.n):
                    bit = 1 << (first + lead + i * flow.pattern.period)
                    if masks.get((code, position), 0) & bit:
                        return None
                    masks[code, position] = masks.get((code, position), 0) | bit
        return masks

    def _lacking(self, bundle: Bundle) -> list[tuple[str, int]]:
        """Registers of the vector unit that the bundle reads before it writes them, and the cycles of the reads."""
        own = first_values(self.config, bundle.items)
        return [
            (name, cycle)
            for name, cycle in first_reads(self.config, bundle.items).items()
            if own.get(name, cycle + 1) > cycle
        ]

    def _collides(self, bundle: Bundle) -> bool:
        """Whether the bundle reads and writes one row of a unit in one cycle, wherever it is placed."""
        reads, writes = (
            {
                (item.queue.unit.name, item.start + element.cycle): self._access(item.queue, element)
                for item in bundle.items
                if item.queue.kind is kind
                for element in item.elements
            }
            for kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE)
        )
        return any(_meet(reads[key], writes[key]) for key in reads.keys() & writes.keys())

    def _allows(self, item: Item, shift: int) -> bool:
        """SRAM and matrix rules for every element of an item whose cycles move by ``shift``."""
        start = item.start + shift
        if item.queue.kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE):
            return all(self._allows_access(item.queue, element, start + element.cycle) for element in item.elements)
        if item.queue.kind is QueueKind.MXM_ACTIVATIONS and not self._allows_multiply(item, start):
            return False
        return self.arrays.allows(item, start)

    def _access(self, queue: Queue, element: Element) -> Access:
        """Slices and row (None: any row) of an element."""
        slices, row = self.plan.touched(queue.unit, element.instruction, element.addr)
        return slices, None if element.instruction.op in (Opcode.GATHER, Opcode.SCATTER) else row

    def _allows_access(self, queue: Queue, element: Element, cycle: int) -> bool:
        slices, row = self._access(queue, element)
        reading = queue.kind is QueueKind.MEM_READ
        other = self.ports.get((queue.unit.name, ".w" if reading else ".r", cycle))
        if other and _meet((slices, row), other):
            return False
        if not reading or row is None or not self.plan.is_fresh(queue.unit, row):
            return True
        return all(self.plan.written.get((queue.unit.name, j, row), cycle) < cycle for j in slices)

    def _allows_multiply(self, item: Item, start: int) -> bool:
        plane = item.queue.unit.name
        first = self.installed.get(plane)
        if first is None or start + item.elements[0].cycle < first + IW_TO_ABC:
            return False
        begun: set[int] = set()
        for element in item.elements:
            row = _accumulator(element)
            if _starts(element):
                begun.add(row)
            elif row not in begun and self.plan.started.get((plane, row), start) >= start:
                return False
        return True

    def _commit(self, bundle: Bundle, shift: int, leaving: Mapping[tuple[int, int], int], at: int) -> None:
        for key, mask in leaving.items():
            self.leaving[key] = self.leaving.get(key, 0) | mask << at
        for name, cycle in first_values(self.config, bundle.items).items():
            _lower(self.plan.produced, name, cycle + shift)
        for item in bundle.items:
            moved = Item(item.queue, item.start + shift, item.length, item.program, item.elements)
            self.add(moved)
            for element in item.elements:
                self._note(item.queue, element, moved.start + element.cycle)
            self.arrays.add(moved)
            for cycle in install_cycles(self.config, moved) if item.queue.kind is QueueKind.MXM_WEIGHTS else ():
                _lower(self.installed, item.queue.unit.name, moved.start + cycle)

    def add(self, item: Item) -> None:
        name = item.queue.name
        self.items[name].append(item)
        self.held[name] = self.held.get(name, 0) | self._held(item) << item.start

    def _note(self, queue: Queue, element: Element, cycle: int) -> None:
        """Record what later bundles depend on: port use, first writes, first starts."""
        name = queue.unit.name
        match queue.kind:
            case QueueKind.MEM_READ | QueueKind.MEM_WRITE:
                slices, row = self._access(queue, element)
                self.ports[name, queue.name.removeprefix(name), cycle] = slices, row
                if element.instruction.op is Opcode.WRITE and row is not None and self.plan.is_fresh(queue.unit, row):
                    for j in slices:
                        _lower(self.plan.written, (name, j, row), cycle)
            case QueueKind.MXM_ACTIVATIONS if _starts(element):
                _lower(self.plan.started, (name, _accumulator(element)), cycle)


def _meet(one: Access, other: Access) -> bool:
    """Whether two accesses of a unit may touch the same row."""
    return (None in (one[1], other[1]) or one[1] == other[1]) and bool(set(one[0]) & set(other[0]))


def _lower(table: dict[_K, int], key: _K, cycle: int) -> None:
    table[key] = min(table.get(key, cycle), cycle)


def _accumulator(element: Element) -> int:
    return element.instruction["row"] + (element.number if element.instruction["walk"] else 0)


def _starts(element: Element) -> bool:
    return bool(element.instruction["start"] and (element.instruction["walk"] or element.first))
