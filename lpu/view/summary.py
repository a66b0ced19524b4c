"""The figures above and beside the picture: cycles and bound, operators, queues."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from hdl.isa import QueueKind, queues
from lpu.view.timeline import Box, Timeline

FEW_OPERATORS = 16
"""Up to as many have a colour each; of more, those whose names differ in the first number only share one."""

Fact = tuple[str, str]
"""Label and value."""


@dataclass(frozen=True)
class OperatorUse:
    """Cycles of its ``first`` and ``last`` issue; it issues ``elements`` in ``active`` different cycles."""

    name: str
    family: str
    first: int
    last: int
    active: int
    elements: int


def operator_uses(timeline: Timeline) -> tuple[OperatorUse, ...]:
    """In the order of ``timeline.operators``."""
    cycles: dict[str, set[int]] = defaultdict(set)
    elements: dict[str, int] = defaultdict(int)
    for box in timeline.boxes:
        cycles[box.operator].update(_cycles(box))
        elements[box.operator] += box.count
    few = len(timeline.operators) <= FEW_OPERATORS
    return tuple(
        OperatorUse(name, name if few else _family(name), min(used), max(used), len(used), elements[name])
        for name, used in ((name, cycles[name]) for name in timeline.operators)
    )


def _family(name: str) -> str:
    return re.sub(r"\d+", "*", name, count=1)


def _cycles(box: Box) -> range:
    return range(box.cycle, box.cycle + box.duration, box.period)


def facts(timeline: Timeline) -> tuple[Fact, ...]:
    """What the head line says. Bound, ratio and bytes are the compiler's, of the whole run, or of one of its steps."""
    busy, report = timeline.busy_cycles, timeline.report
    busiest = max(busy, key=lambda name: busy[name])
    matrix = sum(busy[q.name] for q in queues(timeline.config) if q.kind is QueueKind.MXM_ACTIVATIONS)
    issuing = {cycle for box in timeline.boxes for cycle in _cycles(box)}
    shown: list[Fact] = [("cycles", f"{timeline.run_cycles:,}")]
    if len(timeline.window) != timeline.run_cycles:
        shown.append(("shown", f"{timeline.window.start:,} to {timeline.window.stop - 1:,}"))
    if report is not None and report.cycles != timeline.run_cycles:
        shown.append(("a step", f"{report.cycles:,}"))
    if report is not None:
        shown += [("bound", f"{report.bound_cycles:,} by {report.bound_by}"), ("ratio", f"{report.ratio:.3f}")]
    shown += [
        ("longest chain", f"{timeline.cycles - timeline.waited_cycles:,} and {timeline.waited_cycles:,} waiting"),
        ("busiest queue", f"{busiest} {_share(busy[busiest], timeline)}"),
        ("matrix unit", _share(matrix, timeline)),
        ("cycles without issue", _share(timeline.cycles - len(issuing), timeline)),
        ("elements", f"{sum(busy.values()):,}"),
    ]
    if report is not None:
        shown.append(("program", f"{report.program_bytes:,} bytes"))
    return tuple(shown)


def _share(cycles: int, timeline: Timeline) -> str:
    return f"{cycles / max(timeline.cycles, 1):.1%}"
