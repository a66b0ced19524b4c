"""From drives to reads: which values cross which streams.

A value driven at position p in cycle t moves along the diagonal t - p (eastward; t + p westward). A read sees the value
of its diagonal that was driven last upstream of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from compiler.operands import WEIGHT_BUS, drives, drives_last_only, reads
from hdl.config import Direction, LpuConfig
from hdl.isa import Element, stream_direction
from lpu.view.timeline import Box, Flow

Run = tuple[Box, Sequence[Element]]
"""A box and its elements, whose cycles are those of the run; a box's are those of the window."""


@dataclass
class Value:
    """What element number ``element`` of box number ``box`` drives in ``cycle``, and the boxes that read it."""

    box: int
    element: int
    cycle: int
    streams: tuple[int, ...]
    bus: bool
    readers: set[int] = field(default_factory=set)


class Streams:
    """All values that a program drives."""

    def __init__(self, config: LpuConfig, runs: Sequence[Run]) -> None:
        self.values = [value for number, run in enumerate(runs) for value in _values(config, number, run)]
        self._entered: dict[tuple[int, int], list[tuple[int, Value]]] = defaultdict(list)
        for value in self.values:
            position = runs[value.box][0].queue.unit.position
            for code in value.streams:
                diagonal, place = _diagonal(code, value.cycle, position)
                self._entered[code, diagonal].append((place, value))

    def seen(self, code: int, cycle: int, position: int) -> Value | None:
        """What is on stream ``code`` at ``position`` in ``cycle``."""
        diagonal, place = _diagonal(code, cycle, position)
        upstream = [entry for entry in self._entered.get((code, diagonal), ()) if entry[0] < place]
        return max(upstream, key=lambda entry: entry[0])[1] if upstream else None


def _values(config: LpuConfig, number: int, run: Run) -> Iterator[Value]:
    box, elements = run
    operand = drives(config, box.queue, box.instruction)
    if operand is None:
        return
    last_only = drives_last_only(box.instruction)
    for i, element in enumerate(elements):
        if element.last or not last_only:
            cycle = box.cycle + i * box.period + operand.offset
            yield Value(number, i, cycle, operand.streams, operand.field == WEIGHT_BUS)


def _diagonal(code: int, cycle: int, position: int) -> tuple[int, int]:
    """The diagonal that passes ``position`` in ``cycle``, and the place of the position along it."""
    if stream_direction(code) is Direction.EAST:
        return cycle - position, position
    return cycle + position, -position


# ------------------------------------------------------------------------- flows


def flows_of(config: LpuConfig, runs: Sequence[Run], streams: Streams) -> Iterator[Flow]:
    """The flows between boxes, by driver; a value that nobody reads is in none."""
    for number, (box, _) in enumerate(runs):
        _find_readers(config, number, box, streams)
    for alike in _alike(value for value in streams.values if value.readers):
        yield _flow(alike, runs)


def _find_readers(config: LpuConfig, number: int, box: Box, streams: Streams) -> None:
    for operand in reads(config, box.queue, box.instruction):
        for i in range(box.count):
            for code in operand.streams:
                value = streams.seen(code, box.cycle + i * box.period + operand.offset, box.queue.unit.position)
                if value is not None:
                    value.readers.add(number)


def _alike(values: Iterator[Value]) -> Iterator[list[Value]]:
    """Values in groups with one driver, the same readers and one period."""
    for _, group in groupby(values, key=lambda value: (value.box, frozenset(value.readers))):
        alike: list[Value] = []
        for value in group:
            if len(alike) > 1 and value.cycle - alike[-1].cycle != alike[1].cycle - alike[0].cycle:
                yield alike
                alike = []
            alike.append(value)
        yield alike


def _flow(alike: Sequence[Value], runs: Sequence[Run]) -> Flow:
    first, second = alike[0], alike[min(1, len(alike) - 1)]
    start = runs[first.box][0].queue.unit.position
    return Flow(
        driver=first.box,
        readers=tuple(sorted(first.readers)),
        streams=first.streams,
        bus=first.bus,
        cycle=first.cycle,
        count=len(alike),
        period=max(second.cycle - first.cycle, 1),
        hops=max(abs(runs[reader][0].queue.unit.position - start) for reader in first.readers),
    )
