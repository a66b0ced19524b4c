"""Bundles: instructions of several queues with fixed distances in time, and the streams between them.

A bundle is what one step of an operator needs: reads that reach a unit just in time, the unit's instruction, and what
becomes of its result. Cycles are relative to the bundle's first issue; the scheduler chooses the absolute cycle and,
for each flow, one of its candidate streams.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from compiler.ir import Iteration
from compiler.ir.types import CompileError
from compiler.operands import INDEX, drivable, readable
from compiler.place import Allocation
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, Unit, UnitKind
from hdl.isa import Instruction, Opcode, Queue, queue, stream, stream_direction, stream_index, timing


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
    """``instruction`` issued by ``queue`` in ``cycle``; ``flows`` name the fields that hold a flow's stream.

    ``reach``: consecutive addresses from addr that an indexed access may touch.
    """

    queue: Queue
    cycle: int
    instruction: Instruction
    flows: tuple[tuple[str, int], ...] = ()
    reach: int = 0

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

    ``overwrites``: operators whose tensors must be done with before this one writes over them. Bundles of one ``stage``
    of an operator issue in their order. ``block``: the iteration of a repeated block that the operator belongs to.
    """

    group: str
    overwrites: tuple[str, ...]
    slots: tuple[Slot, ...]
    flows: tuple[Flow, ...]
    holds: tuple[Hold, ...]
    stage: str = ""
    block: Iteration | None = None

    @cached_property
    def length(self) -> int:
        return max(slot.end for slot in self.slots)

    @cached_property
    def spans(self) -> tuple[Hold, ...]:
        """Queues and states that the bundle holds; a queue until the instruction's last element.

        An indexed access holds both queues of its memory: no row that it might touch is accessed in its cycles.
        """
        queues = [Hold(slot.queue.name, slot.cycle, slot.instruction.duration) for slot in self.slots]
        queues += [
            Hold(_other_port(slot.queue), slot.cycle, slot.instruction.duration) for slot in self.slots if slot.reach
        ]
        return (*queues, *self.holds)


def _other_port(memory: Queue) -> str:
    unit, port = memory.name.split(".")
    return f"{unit}.{'w' if port == 'r' else 'r'}"


def hops(a: Unit, b: Unit) -> int:
    return abs(a.position - b.position)


Reader = tuple[str, str]
"""Queue and operand field, e.g. ("vxm0.m", "y"); of the operands of one flow."""


@dataclass
class BundleBuilder:
    """Collects slots and flows at cycles relative to any origin; :meth:`build` moves the first issue to 0."""

    config: LpuConfig
    group: str
    overwrites: tuple[str, ...] = ()
    stage: str = ""
    block: Iteration | None = None
    _slots: list[tuple[Slot, Mapping[str, Flow]]] = field(default_factory=list)
    _flows: list[Flow] = field(default_factory=list)
    _holds: list[Hold] = field(default_factory=list)

    def issue(
        self, queue_name: str, cycle: int, instruction: Instruction, flows: Mapping[str, Flow], reach: int = 0
    ) -> None:
        """Issue in ``cycle``; the stream of each flow goes into the field of that name."""
        self._slots.append((Slot(queue(self.config, queue_name), cycle, instruction, (), reach), flows))

    def hold(self, resource: str, cycle: int, length: int) -> None:
        self._holds.append(Hold(resource, cycle, length))

    def flow(
        self, driver: str, readers: Sequence[Reader], cycle: int, width: Width, count: int = 1, pitch: int = 1
    ) -> Flow:
        """A flow from the queue ``driver`` to ``readers`` of one unit elsewhere, driven from ``cycle`` on.

        Raises CompileError where the two stand at one position: streams lead away from it only.
        """
        source, sink = queue(self.config, driver), queue(self.config, readers[0][0]).unit
        if sink.position == source.unit.position:
            units = f"{source.unit.name} and {sink.name}"
            raise CompileError(
                f"config '{self.config.name}': {units} stand at one position: {self.group} needs a way between"
            )
        direction = Direction.EAST if sink.position > source.unit.position else Direction.WEST
        candidates = _candidates(self.config, source, readers, direction, width)
        flow = Flow(source.unit, sink, cycle, count, pitch, width, candidates)
        self._flows.append(flow)
        return flow

    def read(
        self,
        at: Allocation,
        readers: Sequence[Reader],
        arrival: int,
        addr: int,
        count: int = 1,
        stride: int = 0,
        pitch: int = 1,
    ) -> Flow:
        """READ ``count`` rows so that the first is at the readers in ``arrival``, one every ``pitch`` cycles.

        With idle cycles between them they are single READs, which leave the queue to others in between.
        """
        name = f"{at.unit.name}.r"
        on_bus = at.unit.kind is UnitKind.WEIGHT_MEMORY
        width = Width.BUS if on_bus else Width.WIDE if at.wide else Width.NARROW
        latency = timing(self.config, queue(self.config, name).kind, Opcode.READ).func
        assert latency is not None
        drive = arrival - hops(at.unit, queue(self.config, readers[0][0]).unit)
        flow = self.flow(name, readers, drive, width, count, pitch)
        streams = {} if on_bus else {"stream": flow}
        together = count if pitch == 1 else 1
        for i in range(0, count, together):
            fields = _access(together, stride, 1, addr + i * stride, wide=width is not Width.NARROW)
            self.issue(name, drive - latency + i * pitch, Instruction.of(Opcode.READ, **fields), streams)
        return flow

    def write(self, at: Allocation, flow: Flow, addr: int, stride: int = 0) -> None:
        """WRITE a flow that ends at ``at.unit``; with idle cycles between its vectors as single WRITEs."""
        together = flow.count if flow.pitch == 1 else 1
        for i in range(0, flow.count, together):
            fields = _access(together, stride, 1, addr + i * stride, wide=at.wide)
            cycle = flow.arrival + i * flow.pitch
            self.issue(f"{at.unit.name}.w", cycle, Instruction.of(Opcode.WRITE, **fields), {"stream": flow})

    def build(self) -> Bundle:
        origin = min(slot.cycle for slot, _ in self._slots)
        order = sorted(self._flows, key=lambda flow: -flow.width.value)
        number = {id(flow): i for i, flow in enumerate(order)}
        slots = tuple(
            replace(
                slot, cycle=slot.cycle - origin, flows=tuple((name, number[id(flow)]) for name, flow in flows.items())
            )
            for slot, flows in self._slots
        )
        moved = tuple(replace(flow, cycle=flow.cycle - origin) for flow in order)
        holds = tuple(Hold(h.resource, h.cycle - origin, h.length) for h in self._holds)
        return Bundle(self.group, self.overwrites, slots, moved, holds, self.stage, self.block)


def _access(count: int, stride: int, pitch: int, addr: int, wide: bool) -> dict[str, int]:
    """Fields of a READ or WRITE; one element has neither stride nor gap, so that equal accesses look equal."""
    if count == 1:
        return {"addr": addr, "wide": int(wide)}
    return {"addr": addr, "wide": int(wide), "count": count, "stride": stride, "gap": pitch - 1}


def _candidates(
    config: LpuConfig, driver: Queue, readers: Sequence[Reader], direction: Direction, width: Width
) -> tuple[int, ...]:
    """Streams that the driver and all readers may name: SG4s from the lowest up, single streams from the highest."""
    if width is Width.BUS:
        return (stream(direction, 0),)
    shared = set(drivable(config, driver))
    for name, field_ in readers:
        reader = queue(config, name)
        shared &= _index_group(config, reader) if field_ == INDEX else set(readable(config, reader, field_))
    mine = sorted(stream_index(code) for code in shared if stream_direction(code) is direction)
    if width is Width.NARROW:
        return tuple(stream(direction, index) for index in reversed(mine) if config.single(index))
    groups = (g for g in mine if g % STREAMS_PER_GROUP == 0 and g + STREAMS_PER_GROUP - 1 in mine)
    return tuple(stream(direction, group) for group in groups)


def _index_group(config: LpuConfig, reader: Queue) -> set[int]:
    """The SG4 whose low half is the index pair."""
    first, _ = config.index_streams(reader.unit)
    return {stream(reader.unit.outward, first + i) for i in range(STREAMS_PER_GROUP)}
