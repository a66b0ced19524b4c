"""Rules for values on streams: one driver each, operands there when read, nothing replaced unread.

A value driven at position p in cycle t moves along the diagonal t - p (eastward; t + p westward). On a diagonal, in the
order of the flow, a read sees the last value driven strictly upstream of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.operands import Operand, drives, drives_last_only, reads
from compiler.verify.issue import Problem, Site
from hdl.config import Direction, LpuConfig
from hdl.isa import stream_direction, stream_name


@dataclass(frozen=True, eq=False)
class StreamEvents:
    """All reads and drives of a program sorted by (stream, diagonal, place in the flow, read before drive).

    int64 arrays of equal length: ``site`` numbers in ``sites``, ``stream`` codes, ``cycle`` at the unit's position,
    ``drive`` 0 or 1, ``line`` equal on one diagonal of one stream, ``place`` equal for one position on it as well.
    """

    sites: Sequence[Site]
    site: np.ndarray
    stream: np.ndarray
    cycle: np.ndarray
    drive: np.ndarray
    line: np.ndarray
    place: np.ndarray

    def at(self, i: int) -> Site:
        return self.sites[int(self.site[i])]

    def where(self, i: int) -> str:
        return f"{stream_name(int(self.stream[i]))} at position {self.at(i).queue.unit.position}"


def _columns(number: int, site: Site, operand: Operand, drive: int) -> np.ndarray:
    """[5, n] rows site, stream, cycle, position, drive of one operand of all elements of a site."""
    cycles = site.cycles
    if drive and drives_last_only(site.instruction):
        cycles = cycles[site.numbers == site.instruction["count"] - 1]
    streams, times = np.meshgrid(operand.streams, cycles + operand.offset, indexing="ij")
    columns = np.empty((5, streams.size), np.int64)
    columns[0], columns[1], columns[2] = number, streams.ravel(), times.ravel()
    columns[3], columns[4] = site.queue.unit.position, drive
    return columns


def stream_events(config: LpuConfig, sites: Sequence[Site]) -> StreamEvents:
    """The sorted events of all sites."""
    parts = [np.empty((5, 0), np.int64)]
    for number, site in enumerate(sites):
        parts += [_columns(number, site, operand, 0) for operand in reads(config, site.queue, site.instruction)]
        result = drives(config, site.queue, site.instruction)
        parts += [_columns(number, site, result, 1)] if result else []
    number_, stream, cycle, position, drive = np.concatenate(parts, axis=1)
    west = stream & 1 == Direction.WEST
    diagonal = np.where(west, cycle + position, cycle - position + config.positions)
    flow = np.where(west, config.positions - 1 - position, position)
    line = stream * (int(diagonal.max(initial=0)) + 1) + diagonal
    place = line * config.positions + flow
    order = np.argsort(place * 2 + drive, kind="stable")
    return StreamEvents(sites, *(column[order] for column in (number_, stream, cycle, drive, line, place)))


def _first(events: StreamEvents, candidates: np.ndarray) -> int | None:
    """The candidate event of the lowest cycle."""
    return int(candidates[np.argmin(events.cycle[candidates])]) if candidates.size else None


def check_one_driver(config: LpuConfig, events: StreamEvents) -> Problem | None:
    """At most one unit drives a stream at a position in a cycle."""
    driven = np.flatnonzero(events.drive)
    i = _first(events, driven[1:][np.diff(events.place[driven]) == 0])
    if i is None:
        return None
    return Problem(int(events.cycle[i]), f"{events.at(i - 1)} and {events.at(i)} both drive {events.where(i)}")


def check_operands_present(config: LpuConfig, events: StreamEvents) -> Problem | None:
    """Every operand is on its stream when it is read: some unit upstream drove its diagonal."""
    index = np.arange(events.drive.size)
    source = np.maximum.accumulate(np.where(events.drive == 1, index, -1)) if index.size else index
    present = (source >= 0) & (events.line[source] == events.line) if index.size else index == 0
    i = _first(events, np.flatnonzero((events.drive == 0) & ~present))
    if i is None:
        return None
    text = f"{events.at(i)} reads {events.where(i)}, where no value is; {_nearest(events, i)}"
    return Problem(int(events.cycle[i]), text)


def _nearest(events: StreamEvents, read: int) -> str:
    """The upstream drive of the stream whose value passes the reader closest in time."""
    code, position = int(events.stream[read]), events.at(read).queue.unit.position
    positions = np.array([site.queue.unit.position for site in events.sites])[events.site]
    hops = position - positions if stream_direction(code) is Direction.EAST else positions - position
    upstream = np.flatnonzero((events.drive == 1) & (events.stream == code) & (hops > 0))
    if not upstream.size:
        return "nothing upstream drives it"
    arrival = events.cycle[upstream] + hops[upstream]
    best = int(np.argmin(np.abs(arrival - events.cycle[read])))
    return f"nearest: {events.at(int(upstream[best]))} passes in cycle {int(arrival[best])}"


def check_nothing_replaced(config: LpuConfig, events: StreamEvents) -> Problem | None:
    """No drive replaces a passing value that nobody has read; of an index, two bytes of four are read."""
    driven = np.flatnonzero(events.drive)
    same_line = np.diff(events.line[driven]) == 0
    unread = (np.diff(driven) == 1) & (np.diff(events.place[driven]) != 0)
    i = _first(events, driven[1:][same_line & unread & ~_has_read(events, driven)[:-1]])
    if i is None:
        return None
    text = (
        f"{events.at(i)} drives {events.where(i)} over the value that {events.at(i - 1)} drove "
        f"in cycle {int(events.cycle[i - 1])} and nothing has read"
    )
    return Problem(int(events.cycle[i]), text)


def _has_read(events: StreamEvents, driven: np.ndarray) -> np.ndarray:
    """For each drive, whether some byte of the value, driven with it by one instruction, is read in time."""
    follows = np.minimum(driven + 1, events.drive.size - 1)
    read = (events.drive[follows] == 0) & (events.line[follows] == events.line[driven])
    _, value = np.unique(np.stack([events.site[driven], events.cycle[driven]]), axis=1, return_inverse=True)
    return np.bincount(value.ravel(), read)[value.ravel()] > 0
