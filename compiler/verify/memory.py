"""Rules for SRAM: rows exist, are read after their first write and not in the cycle of one; tensors do not overlap.

READ at T sees what WRITE stored up to T - WRITE_TO_READ. The rows of GATHER and SCATTER are data: a GATHER may touch
any row of its slices, a SCATTER initialises none, and an access to the slices of either in its cycle is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from compiler.image import ImageError, MemoryBlock, TensorInfo, tensor_addresses
from compiler.verify.issue import Problem, Site, earliest
from hdl.config import LpuConfig, MemoryGroup, Unit
from hdl.isa import Opcode

WIDE = -1
"""Slice number of an access to all slices of a group."""

InitialRows = MemoryBlock | tuple[str, int, int]
"""Initialised SRAM: a block, or (unit, {slice, row} address, number of rows)."""


@dataclass(frozen=True, eq=False)
class PortLog:
    """All elements of one memory queue in issue order; int64 arrays, ``slice`` WIDE if wide, ``dynamic`` 0 or 1."""

    sites: Sequence[Site]
    site: np.ndarray
    cycle: np.ndarray
    slice: np.ndarray
    row: np.ndarray
    dynamic: np.ndarray

    def at(self, i: int) -> Site:
        return self.sites[int(self.site[i])]


@dataclass(frozen=True, eq=False)
class MemoryLog:
    """Both ports of one memory unit."""

    unit: Unit
    memory: MemoryGroup
    row_bits: int
    read: PortLog
    write: PortLog


def _port_log(row_bits: int, sites: Sequence[Site]) -> PortLog:
    parts = [np.empty((5, 0), np.int64)]
    for number, site in enumerate(sites):
        columns = np.empty((5, site.cycles.size), np.int64)
        columns[0], columns[1] = number, site.cycles
        columns[2] = WIDE if site.instruction["wide"] else site.addrs >> row_bits
        columns[3] = site.addrs & ((1 << row_bits) - 1)
        columns[4] = site.instruction.op in (Opcode.GATHER, Opcode.SCATTER)
        parts.append(columns)
    joined = np.concatenate(parts, axis=1)
    joined = joined[:, np.argsort(joined[1], kind="stable")]
    return PortLog(sites, *joined)


def memory_logs(config: LpuConfig, sites: Sequence[Site]) -> list[MemoryLog]:
    """The accesses of every memory unit."""
    logs = []
    for unit in config.units:
        if unit.memory is not None:
            row_bits = config.row_bits(unit.memory)
            ports = [
                _port_log(row_bits, [s for s in sites if s.queue.name == unit.name + port]) for port in (".r", ".w")
            ]
            logs.append(MemoryLog(unit, unit.memory, row_bits, *ports))
    return logs


def check_rows(config: LpuConfig, logs: Sequence[MemoryLog]) -> Problem | None:
    """Every address names a slice and, where it is static, a row of its group."""
    return earliest(_missing_row(log, port) for log in logs for port in (log.read, log.write))


def _missing_row(log: MemoryLog, port: PortLog) -> Problem | None:
    no_row = (port.row >= log.memory.depth_rows) & (port.dynamic == 0)
    bad = np.flatnonzero(no_row | (port.slice >= log.memory.slices))
    if not bad.size:
        return None
    i = int(bad[0])
    what = f"row {port.row[i]}" if no_row[i] else f"slice {port.slice[i]}"
    limit = f"{log.memory.slices} slices of {log.memory.depth_rows} rows"
    return Problem(int(port.cycle[i]), f"{port.at(i)}: {what} of {log.unit.name}: has {limit}")


def check_same_cycle(config: LpuConfig, logs: Sequence[MemoryLog]) -> Problem | None:
    """No row is read in the cycle of its write."""
    return earliest(_same_cycle(log) for log in logs)


def _same_cycle(log: MemoryLog) -> Problem | None:
    r, w = log.read, log.write
    cycles, i, k = np.intersect1d(r.cycle, w.cycle, return_indices=True)
    slices_meet = (r.slice[i] == w.slice[k]) | (r.slice[i] == WIDE) | (w.slice[k] == WIDE)
    rows_meet = (r.row[i] == w.row[k]) | (r.dynamic[i] == 1) | (w.dynamic[k] == 1)
    bad = np.flatnonzero(slices_meet & rows_meet)
    if not bad.size:
        return None
    first = int(bad[0])
    reader, writer = r.at(int(i[first])), w.at(int(k[first]))
    certain = not (r.dynamic[i[first]] or w.dynamic[k[first]])
    what = f"row {r.row[i[first]]} of {log.unit.name}" if certain else f"a row of {log.unit.name}"
    return Problem(int(cycles[first]), f"{reader} {'reads' if certain else 'may read'} {what} that {writer} writes")


def check_initialised(config: LpuConfig, logs: Sequence[MemoryLog], initial: Iterable[InitialRows]) -> Problem | None:
    """Every row that a READ names is in the initial memory or was written in an earlier cycle."""
    blocks = [(b.unit, b.addr, len(b.rows)) if isinstance(b, MemoryBlock) else b for b in initial]
    problems = []
    for log in logs:
        rows = [(addr, n) for unit, addr, n in blocks if unit == log.unit.name]
        problems.append(_bad_block(log, rows) or _uninitialised(log, rows))
    known = {log.unit.name for log in logs}
    problems += [
        Problem(0, f"memory block of {unit}: must be a memory group") for unit, _, _ in blocks if unit not in known
    ]
    return earliest(problems)


def _bad_block(log: MemoryLog, rows: Sequence[tuple[int, int]]) -> Problem | None:
    for addr, n in rows:
        flat = np.arange(addr, addr + n)
        row, slice_ = flat & ((1 << log.row_bits) - 1), flat >> log.row_bits
        if ((row >= log.memory.depth_rows) | (slice_ >= log.memory.slices) | (addr < 0)).any():
            limit = f"{log.memory.slices} slices of {log.memory.depth_rows} rows"
            return Problem(0, f"memory block of {n} rows from address {addr} of {log.unit.name}: has {limit}")
    return None


def _uninitialised(log: MemoryLog, rows: Sequence[tuple[int, int]]) -> Problem | None:
    never = np.iinfo(np.int64).max
    since = np.full((log.memory.slices, 1 << log.row_bits), never)
    for addr, n in rows:
        since.reshape(-1)[addr : addr + n] = -1
    w, r = log.write, log.read
    for j in range(log.memory.slices):
        stores = (w.dynamic == 0) & ((w.slice == j) | (w.slice == WIDE))
        np.minimum.at(since[j], w.row[stores], w.cycle[stores])
    wide_since = since.max(axis=0)
    narrow = np.clip(r.slice, 0, log.memory.slices - 1)
    first_write = np.where(r.slice == WIDE, wide_since[r.row], since[narrow, r.row])
    bad = np.flatnonzero((r.dynamic == 0) & (first_write >= r.cycle))
    if not bad.size:
        return None
    i = int(bad[0])
    missing = int(np.argmax(since[:, r.row[i]])) if r.slice[i] == WIDE else int(r.slice[i])
    place = f"slice {missing} row {r.row[i]} of {log.unit.name}"
    return Problem(int(r.cycle[i]), f"{r.at(i)} reads {place}, {_first_writer(log, missing, int(r.row[i]))}")


def _first_writer(log: MemoryLog, slice_: int, row: int) -> str:
    w = log.write
    found = np.flatnonzero((w.dynamic == 0) & (w.row == row) & ((w.slice == slice_) | (w.slice == WIDE)))
    if not found.size:
        return "which is neither in the initial memory nor written"
    i = int(found[0])
    return f"first written in cycle {int(w.cycle[i])} by {w.at(i)}"


# -------------------------------------------------------------------------- tensors


def check_tensors(config: LpuConfig, tensors: Sequence[TensorInfo], end: int) -> Problem | None:
    """Tensors lie within their unit, and no two that live in the same cycle share a row."""
    try:
        placed = [(info, frozenset(tensor_addresses(config, info))) for info in tensors]
    except ImageError as error:
        return Problem(0, str(error))
    pairs = combinations(placed, 2)
    return earliest(_overlap(a, b, a_rows & b_rows, end) for (a, a_rows), (b, b_rows) in pairs if a.unit == b.unit)


def _live(info: TensorInfo, end: int) -> tuple[int, int]:
    first = 0 if info.kind in ("input", "const") else info.live_from
    return first, end if info.kind == "output" else info.live_until


def _overlap(a: TensorInfo, b: TensorInfo, shared: frozenset[int], end: int) -> Problem | None:
    (a_first, a_last), (b_first, b_last) = _live(a, end), _live(b, end)
    first = max(a_first, b_first)
    if not shared or first > min(a_last, b_last):
        return None
    text = (
        f"tensors '{a.name}' (cycles {a_first}..{a_last}) and '{b.name}' (cycles {b_first}..{b_last}) "
        f"share address {min(shared)} of {a.unit}"
    )
    return Problem(first, text)
