"""Bundles: instructions of several queues with fixed distances in time, and the streams between them.

A bundle is what one step of an operator needs: reads that reach a unit just in time, the unit's instruction, and what
becomes of its result. Cycles are relative to the bundle's first issue; the scheduler chooses the absolute cycle and,
for each flow, one of its candidate streams.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from compiler.operands import drive_directions, read_directions
from compiler.place import Allocation
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, Unit, UnitKind
from hdl.isa import Instruction, Opcode, Queue, queue, stream, timing


class Width(enum.Enum):
    """Byte streams of a flow: one, an SG4, or the whole weight bus (reserved as its stream 0)."""

    NARROW = 1
    WIDE = STREAMS_PER_GROUP
    BUS = 0

    @property
    def streams(self) -> int:
        return max(self.value, 1)


@dataclass(frozen=True, eq=False)
class Flow:
    """``count`` vectors driven by ``driver`` in ``cycle``, ``cycle + pitch``, ..., and read by ``reader``.

    ``candidates``: encoded (first) streams that driver and reader share, in the order to try.
    """

    driver: Unit
    reader: Unit
    cycle: int
    count: int
    pitch: int
    width: Width
    candidates: tuple[int, ...]

    @property
    def arrival(self) -> int:
        """Cycle in which the first vector is at the reader."""
        return self.cycle + hops(self.driver, self.reader)


@dataclass(frozen=True, eq=False)
class Slot:
    """``instruction`` issued by ``queue`` in ``cycle``; ``flows`` name the fields that hold a flow's stream."""

    queue: Queue
    cycle: int
    instruction: Instruction
    flows: tuple[tuple[str, int], ...] = ()

    @property
    def end(self) -> int:
        return self.cycle + self.instruction.duration


@dataclass(frozen=True)
class Hold:
    """A unit's state (accumulators, array) that the bundle needs for itself in ``cycle`` .. ``cycle + length - 1``."""

    resource: str
    cycle: int
    length: int


@dataclass(frozen=True, eq=False)
class Bundle:
    """One step of the operator ``group``; ``flows`` with more streams come first.

    ``overwrites``: operators whose tensors must be done with before this one writes over them.
    """

    group: str
    overwrites: tuple[str, ...]
    slots: tuple[Slot, ...]
    flows: tuple[Flow, ...]
    holds: tuple[Hold, ...]

    @cached_property
    def length(self) -> int:
        return max(slot.end for slot in self.slots)

    @cached_property
    def spans(self) -> tuple[Hold, ...]:
        """Queues and states that the bundle holds; a queue until the instruction's last element."""
        queues = (Hold(slot.queue.name, slot.cycle, slot.instruction.duration) for slot in self.slots)
        return (*queues, *self.holds)


def hops(a: Unit, b: Unit) -> int:
    return abs(a.position - b.position)


@dataclass
class BundleBuilder:
    """Collects slots and flows at cycles relative to any origin; :meth:`build` moves the first issue to 0."""

    config: LpuConfig
    group: str
    overwrites: tuple[str, ...] = ()
    _slots: list[tuple[Queue, int, Instruction, Mapping[str, Flow]]] = field(default_factory=list)
    _flows: list[Flow] = field(default_factory=list)
    _holds: list[Hold] = field(default_factory=list)

    def issue(self, queue_name: str, cycle: int, instruction: Instruction, **flows: Flow) -> None:
        """Issue in ``cycle``; the stream of each flow goes into the field of that name."""
        self._slots.append((queue(self.config, queue_name), cycle, instruction, flows))

    def hold(self, resource: str, cycle: int, length: int) -> None:
        self._holds.append(Hold(resource, cycle, length))

    def flow(self, driver: Unit, reader: Unit, cycle: int, width: Width, count: int = 1, pitch: int = 1) -> Flow:
        """A flow from ``driver`` to ``reader``, which stand at different positions, driven from ``cycle`` on."""
        direction = Direction.EAST if reader.position > driver.position else Direction.WEST
        candidates = _candidates(self.config, driver, reader, direction, width)
        flow = Flow(driver, reader, cycle, count, pitch, width, candidates)
        self._flows.append(flow)
        return flow

    def read(
        self, at: Allocation, reader: Unit, arrival: int, addr: int, count: int = 1, stride: int = 0, pitch: int = 1
    ) -> Flow:
        """READ ``count`` rows so that the first is at ``reader`` in ``arrival``, one every ``pitch`` cycles.

        With idle cycles between them they are single READs, which leave the queue to others in between.
        """
        on_bus = at.unit.kind is UnitKind.WEIGHT_MEMORY
        width = Width.BUS if on_bus else Width.WIDE if at.wide else Width.NARROW
        name = f"{at.unit.name}.r"
        latency = timing(self.config, queue(self.config, name).kind, Opcode.READ).func
        assert latency is not None
        drive = arrival - hops(at.unit, reader)
        flow = self.flow(at.unit, reader, drive, width, count, pitch)
        streams = {} if on_bus else {"stream": flow}
        together = count if pitch == 1 else 1
        for i in range(0, count, together):
            fields = _access(together, stride, 1, addr + i * stride, wide=width is not Width.NARROW)
            self.issue(name, drive - latency + i * pitch, Instruction.of(Opcode.READ, **fields), **streams)
        return flow

    def write(self, at: Allocation, flow: Flow, addr: int, stride: int = 0) -> None:
        """WRITE a flow that ends at ``at.unit``."""
        fields = _access(flow.count, stride, flow.pitch, addr, wide=at.wide)
        self.issue(f"{at.unit.name}.w", flow.arrival, Instruction.of(Opcode.WRITE, **fields), stream=flow)

    def build(self) -> Bundle:
        origin = min(cycle for _, cycle, _, _ in self._slots)
        order = sorted(self._flows, key=lambda flow: -flow.width.value)
        number = {id(flow): i for i, flow in enumerate(order)}
        slots = tuple(
            Slot(q, cycle - origin, instruction, tuple((name, number[id(flow)]) for name, flow in flows.items()))
            for q, cycle, instruction, flows in self._slots
        )
        moved = tuple(
            Flow(f.driver, f.reader, f.cycle - origin, f.count, f.pitch, f.width, f.candidates) for f in order
        )
        holds = tuple(Hold(h.resource, h.cycle - origin, h.length) for h in self._holds)
        return Bundle(self.group, self.overwrites, slots, moved, holds)


def _access(count: int, stride: int, pitch: int, addr: int, wide: bool) -> dict[str, int]:
    """Fields of a READ or WRITE; one element has neither stride nor gap, so that equal accesses look equal."""
    if count == 1:
        return {"addr": addr, "wide": int(wide)}
    return {"addr": addr, "wide": int(wide), "count": count, "stride": stride, "gap": pitch - 1}


def _candidates(config: LpuConfig, driver: Unit, reader: Unit, direction: Direction, width: Width) -> tuple[int, ...]:
    """Streams that both may name: SG4s from the lowest up, single streams from the highest down."""
    if width is Width.BUS:
        return (stream(direction, 0),)
    if direction not in drive_directions(config, driver) or direction not in read_directions(config, reader):
        return ()
    shared = set(config.data_streams(driver, direction)) & set(config.data_streams(reader, direction))
    if width is Width.NARROW:
        return tuple(stream(direction, index) for index in sorted(shared, reverse=True))
    groups = (g for g in sorted(shared) if g % STREAMS_PER_GROUP == 0 and g + STREAMS_PER_GROUP - 1 in shared)
    return tuple(stream(direction, group) for group in groups)
