"""What a program does in every cycle: boxes on instruction queues, flows on streams.

Cycles are those of superlane 0; superlane r does the same r cycles later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from compiler.report import Report
from hdl.config import LpuConfig
from hdl.isa import Instruction, Queue, queues


class ViewError(ValueError):
    """A run, or a part of one, that cannot be drawn; names value and rule."""


@dataclass(frozen=True)
class Box:
    """``count`` elements that ``queue`` issues in ``cycle``, ``cycle + period``, ..., all of one operator.

    ``text``: the instruction as `lpu disasm` prints it, at ``pc`` of the queue's program. ``addr`` is the address of
    the first element, ``step`` is added for each further one; None where the instruction has none.
    Elements of one pass of an instruction, or of an instruction of one element that repeats in every cycle.
    """

    queue: Queue
    cycle: int
    count: int
    period: int
    operator: str
    instruction: Instruction
    text: str
    pc: int
    addr: int | None
    step: int

    @property
    def duration(self) -> int:
        """Cycles from the first element to the last, both included."""
        return (self.count - 1) * self.period + 1


@dataclass(frozen=True)
class Flow:
    """``count`` values that box number ``driver`` drives in ``cycle``, ``cycle + period``, ..., up to its last reader.

    ``streams``: the encoded byte streams; on ``bus``: the weight bus. ``readers``: box numbers, each of which reads all
    of the values; the farthest is ``hops`` positions away, so its first operand is there in ``cycle + hops``.
    """

    driver: int
    readers: tuple[int, ...]
    streams: tuple[int, ...]
    bus: bool
    cycle: int
    count: int
    period: int
    hops: int


@dataclass(frozen=True)
class Step:
    """Of a chain: element number ``element`` of box number ``box``, issued in ``cycle``.

    ``waited``: the cycles from that in which the step before let it issue; of the first step, from cycle 0.
    """

    box: int
    element: int
    cycle: int
    waited: int


@dataclass(frozen=True)
class Timeline:
    """One run, or the ``window`` of its cycles that is shown: cycle 0 of boxes and flows is ``window.start``.

    ``boxes`` by queue, in issue order; ``has_operators``: else an instruction's operation stands for its operator.
    ``chain``: the longest one of operations that need one another's results (``chain.py``), up to the last element.
    """

    title: str
    config: LpuConfig
    window: range
    run_cycles: int
    boxes: tuple[Box, ...]
    flows: tuple[Flow, ...]
    chain: tuple[Step, ...]
    has_operators: bool
    report: Report | None

    @property
    def cycles(self) -> int:
        return len(self.window)

    @cached_property
    def operators(self) -> tuple[str, ...]:
        """Names in the order of their first issue."""
        return tuple(dict.fromkeys(box.operator for box in sorted(self.boxes, key=lambda box: box.cycle)))

    @property
    def waited_cycles(self) -> int:
        """Cycles of the chain in which none of its operations is at work."""
        return sum(step.waited for step in self.chain)

    @cached_property
    def busy_cycles(self) -> Mapping[str, int]:
        """Per queue, the cycles in which it issues."""
        busy = {queue.name: 0 for queue in queues(self.config)}
        for box in self.boxes:
            busy[box.queue.name] += box.count
        return busy
