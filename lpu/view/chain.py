"""The longest chain of operations that need one another's results: what the last element waited for.

An element is issued at or after the cycle in which an operand of it is ready; the difference is time it waited, for
another operand, a queue, a stream or a unit. An element without operands from others waited from cycle 0 on. The
longest chain is the one to the last element with the least waiting: the rest of its cycles is latency, which no
schedule of the same operations avoids.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence

from compiler.image import ProgramImage
from compiler.operands import reads, reads_flag, register_reads, sets_flag
from hdl.config import PipeKind
from hdl.isa import PIPES, WRITE_TO_READ, Opcode, QueueKind, pipe_latency
from lpu.view.flows import Run, Streams
from lpu.view.memory import Issue, Writes
from lpu.view.timeline import Step

Node = tuple[int, int]
"""Box number, element number."""
Source = tuple[Node, int]
"""An element whose result another one needs, and the cycles for which it waited."""


def longest_chain(image: ProgramImage, runs: Sequence[Run], streams: Streams) -> tuple[Step, ...]:
    """The chain to the last element, first element first."""
    sources = _Sources(image, runs, streams)
    order = sorted(
        (box.cycle + i * box.period, number, i) for number, (box, _) in enumerate(runs) for i in range(box.count)
    )
    waited: dict[Node, int] = {}
    latest: dict[Node, Source | None] = {}
    for cycle, number, i in order:
        options = [(wait + waited[node], node, wait) for node, wait in sources.of(number, i)]
        total, node, wait = min(options, default=(cycle, None, cycle))
        waited[number, i] = total
        latest[number, i] = None if node is None else (node, wait)
    return tuple(reversed(list(_back(order, latest)))) if order else ()


def _back(order: Sequence[Issue], latest: dict[Node, Source | None]) -> Iterator[Step]:
    cycles = {(number, i): cycle for cycle, number, i in order}
    node: Node | None = order[-1][1:]
    while node is not None:
        source = latest[node]
        yield Step(*node, cycles[node], cycles[node] if source is None else source[1])
        node = None if source is None else source[0]


class _Sources:
    """Where the operands of each element come from; ``of`` is asked in the order of cycles."""

    def __init__(self, image: ProgramImage, runs: Sequence[Run], streams: Streams) -> None:
        self._config, self._runs, self._streams = image.config, runs, streams
        self._writes = Writes(image.config, image.tensors, runs)
        self._issued: dict[tuple[str, str], list[Issue]] = defaultdict(list)

    def of(self, number: int, i: int) -> Iterator[Source]:
        box, _ = self._runs[number]
        cycle = box.cycle + i * box.period
        yield from self._on_streams(number, i)
        write = self._writes.before(box, i)
        if write is not None:
            yield write[1:], cycle - WRITE_TO_READ - write[0]
        if box.queue.kind in PIPES:
            yield from self._in_pipes(number, i)
        elif box.queue.kind is QueueKind.MXM_ACTIVATIONS:
            yield from self._in_matrix(number, i)
        elif box.queue.kind is QueueKind.MXM_WEIGHTS:
            yield from self._tile(number, i)

    def _on_streams(self, number: int, i: int) -> Iterator[Source]:
        box, _ = self._runs[number]
        for operand in reads(self._config, box.queue, box.instruction):
            cycle = box.cycle + i * box.period + operand.offset
            value = self._streams.seen(operand.streams[0], cycle, box.queue.unit.position)
            if value is not None:
                yield (value.box, value.element), 0

    def _in_pipes(self, number: int, i: int) -> Iterator[Source]:
        """Results in registers, and the flag."""
        box, elements = self._runs[number]
        unit, pipe, cycle = box.queue.unit.name, PIPES[box.queue.kind], box.cycle + i * box.period
        for _, register in register_reads(box.instruction, pipe, elements[i].first):
            yield from self._latest(unit, register, cycle - pipe_latency(self._config, register))
        if reads_flag(pipe, box.instruction["op"]):
            yield from self._latest(unit, "flag", cycle - pipe_latency(self._config, PipeKind.INT))
        self._issued[unit, pipe].append((cycle, number, i))
        if sets_flag(pipe, box.instruction["op"]):
            self._issued[unit, "flag"].append((cycle, number, i))

    def _in_matrix(self, number: int, i: int) -> Iterator[Source]:
        """The tile, and the sum of the element before where it goes on with it."""
        box, elements = self._runs[number]
        unit, cycle = box.queue.unit.name, box.cycle + i * box.period
        yield from self._latest(unit, "tile", cycle)
        starts = box.instruction["start"] and (box.instruction["walk"] or elements[i].first)
        if not starts:
            yield from self._latest(unit, "sum", cycle - 1)
        self._issued[unit, "sum"].append((cycle, number, i))

    def _tile(self, number: int, i: int) -> Iterator[Source]:
        """A tile is in the array a cycle after its last rows, or with IW."""
        box, elements = self._runs[number]
        unit, cycle = box.queue.unit.name, box.cycle + i * box.period
        if box.instruction.op is Opcode.IW:
            yield from self._latest(unit, "rows", cycle - 1)
            insort(self._issued[unit, "tile"], (cycle, number, i))
            return
        self._issued[unit, "rows"].append((cycle, number, i))
        if box.instruction["install"] and (elements[i].number + 1) % self._config.tile_load_cycles == 0:
            insort(self._issued[unit, "tile"], (cycle + 1, number, i))

    def _latest(self, unit: str, what: str, cycle: int) -> Iterator[Source]:
        """The latest issue of ``what`` up to ``cycle``."""
        issues = self._issued[unit, what]
        found = bisect_right(issues, (cycle, len(self._runs), 0))
        if found:
            then, number, i = issues[found - 1]
            yield (number, i), cycle - then
