"""Chrome's trace event format, which Perfetto opens: a track per instruction queue, a track per stream and link.

1 cycle = 1 us. A link is the way from one position to the next; a value is on it for one cycle, so no two events of a
track overlap. The tracks of an SG4 or of the weight bus are those of its first stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hdl.config import Direction
from hdl.isa import queues, stream_direction, stream_name
from lpu.view.build import operation
from lpu.view.timeline import Box, Flow, Timeline
from sim.files import write_atomically

Event = dict[str, object]

QUEUES, STREAMS = 1, 2
"""Process numbers of the two groups of tracks."""


def write_trace(path: Path, timeline: Timeline) -> None:
    """Write the trace whole or not at all. Raises OSError."""
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in trace_events(timeline))
    write_atomically(path, f'{{"displayTimeUnit":"ns","traceEvents":[\n{lines}\n]}}\n')


def trace_events(timeline: Timeline) -> Iterator[Event]:
    """All events: names of the tracks, boxes, flows."""
    yield _name("process_name", QUEUES, 0, f"{timeline.title}: instruction queues")
    yield _name("process_name", STREAMS, 0, f"{timeline.title}: streams")
    track = {queue.name: number for number, queue in enumerate(queues(timeline.config), 1)}
    for name, number in track.items():
        yield from _track(QUEUES, number, name)
    for box in timeline.boxes:
        yield from _box_events(box, track[box.queue.name])
    links = {link: number for number, link in enumerate(sorted(_links(timeline)), 1)}
    for (code, width, position), number in links.items():
        yield from _track(STREAMS, number, _link_name(code, width, position))
    for flow in timeline.flows:
        yield from _flow_events(timeline, flow, links)


def _name(what: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _track(process: int, thread: int, name: str) -> Iterator[Event]:
    yield _name("thread_name", process, thread, name)
    yield {"ph": "M", "name": "thread_sort_index", "pid": process, "tid": thread, "args": {"sort_index": thread}}


def _box_events(box: Box, thread: int) -> Iterator[Event]:
    """One event, or with idle cycles between the elements one for each."""
    name = f"{box.operator} {operation(box.queue, box.instruction)}"
    for cycle, count, first in _pieces(box.cycle, box.count, box.period):
        args: dict[str, object] = {"instruction": box.text, "pc": box.pc, "count": count}
        if box.addr is not None:
            args["addr"] = box.addr + first * box.step
        yield _slice(QUEUES, thread, cycle, count, name) | {"args": args}


def _slice(process: int, thread: int, cycle: int, cycles: int, name: str) -> Event:
    return {"ph": "X", "pid": process, "tid": thread, "ts": cycle, "dur": cycles, "name": name}


def _pieces(cycle: int, count: int, period: int) -> Iterator[tuple[int, int, int]]:
    """(cycle, length, number of its first element) of each piece without idle cycles."""
    if period == 1:
        yield cycle, count, 0
    else:
        yield from ((cycle + i * period, 1, i) for i in range(count))


# ----------------------------------------------------------------------- streams


Link = tuple[int, int, int]
"""(first stream, streams, position that values leave)."""


def _links(timeline: Timeline) -> set[Link]:
    return {link for flow in timeline.flows for link, _ in _way(timeline, flow)}


def _way(timeline: Timeline, flow: Flow) -> Iterator[tuple[Link, int]]:
    """Links of a flow and the cycle in which its first value is on each."""
    start = timeline.boxes[flow.driver].queue.unit.position
    step = 1 if stream_direction(flow.streams[0]) is Direction.EAST else -1
    for hop in range(flow.hops):
        yield (flow.streams[0], len(flow.streams), start + step * hop), flow.cycle + hop


def _link_name(code: int, width: int, position: int) -> str:
    last = f"..{stream_name(code + 2 * (width - 1))}" if width > 1 else ""
    onward = position + (1 if stream_direction(code) is Direction.EAST else -1)
    return f"{stream_name(code)}{last} {position} to {onward}"


def _flow_events(timeline: Timeline, flow: Flow, links: dict[Link, int]) -> Iterator[Event]:
    driver = timeline.boxes[flow.driver]
    readers = ", ".join(dict.fromkeys(timeline.boxes[reader].queue.name for reader in flow.readers))
    name = f"{driver.operator}: {driver.queue.name} to {readers}"
    for link, cycle in _way(timeline, flow):
        for at, length, _ in _pieces(cycle, flow.count, flow.period):
            yield _slice(STREAMS, links[link], at, length, name)
