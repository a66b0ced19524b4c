"""The commit trace of ``docs/architecture.md``: events, digests, text form and comparison.

Text, one event a line: ``I <cycle> <queue> <pc>`` and ``R <cycle> <queue> <superlane> <digest, 8 hex digits>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from golden.numerics import Bytes, Int32
from golden.units.memory import Access
from hdl.config import LpuConfig
from hdl.isa import SWITCH_LATENCY, Instruction, Opcode, QueueKind, queue, timing

Words = NDArray[np.uint32]

WRITE_RESULT_LATENCY = 1
"""WRITE and SCATTER drive nothing; their SRAM takes the row in T + 1."""
_ROTATE_STEP = 5


class TraceError(ValueError):
    """A line that is not a trace event; names line number and text."""


@dataclass(frozen=True, order=True)
class Event:
    """One event; the field order is the canonical sort order.

    ``kind`` "I": an issue, ``place`` is the pc. ``kind`` "R": a result, ``place`` is the superlane.
    """

    cycle: int
    queue: str
    kind: str
    place: int
    digest: int = 0

    def __str__(self) -> str:
        head = f"{self.kind} {self.cycle} {self.queue} {self.place}"
        return head if self.kind == "I" else f"{head} {self.digest:08x}"


def result_latency(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> int:
    """Cycles from issue to the result event of superlane 0, for instructions that have results.

    That is d_func, or a cycle later where what is driven comes after its announcement; but all switch results are
    logged with their largest, so that a unit has one a cycle.
    """
    if kind is QueueKind.SWITCH:
        return max(SWITCH_LATENCY + config.superlanes - 1, config.turn_cycles)
    func = timing(config, kind, opcode).func
    if func is None:
        return WRITE_RESULT_LATENCY
    return func + int(kind is QueueKind.MXM_ACTIVATIONS and config.sums_on_streams)


# ----------------------------------------------------------------------- digests


def digest(words: Words) -> Words:
    """XOR over i of rotl32(words[..., i], 5*i mod 32): [..., n] -> [...]."""
    left, right = _rotations(words.shape[-1])
    folded: Words = np.bitwise_xor.reduce((words << left) | (words >> right), axis=-1)
    return folded


@cache
def _rotations(count: int) -> tuple[Words, Words]:
    """Shifts to the left and to the right that rotate word i of ``count``."""
    left = (_ROTATE_STEP * np.arange(count) % 32).astype(np.uint32)
    return left, (32 - left) % np.uint32(32)


def memory_words(config: LpuConfig, slices: int, access: Access, data: Bytes) -> Words:
    """Words [R, slices*(1 + S/4)] of a memory result: per slice its row number and the row's bytes, 4 lanes a word.

    data is [accessed slices or 1, lanes]; slices not accessed, and rows that do not exist, stay 0.
    """
    quads = config.superlane_lanes // 4
    words = np.zeros((config.superlanes, slices, 1 + quads), np.uint32)
    for i, slice_ in enumerate(access.slices):
        if access.in_range[i]:
            words[:, slice_, 0] = access.rows[i]
            words[:, slice_, 1:] = _little_endian(data[i % len(data)]).reshape(config.superlanes, quads)
    return words.reshape(config.superlanes, -1)


def lane_words(config: LpuConfig, values: Int32) -> Words:
    """Words [R, S] of int32 values [lanes], or of bytes zero-extended."""
    return values.astype(np.int64).astype(np.uint32).reshape(config.superlanes, -1)


def transpose_words(config: LpuConfig, bus: Bytes) -> Words:
    """Words [R, ws*S/4] of a TRANSPOSE result [ws, lanes]: stream s, lanes 4i..4i+3 is word s*S/4 + i."""
    words = np.stack([_little_endian(stream).reshape(config.superlanes, -1) for stream in bus], axis=1)
    return words.reshape(config.superlanes, -1)


def _little_endian(lanes: Bytes) -> Words:
    return np.ascontiguousarray(lanes).view(np.dtype("<u4"))


# -------------------------------------------------------------------------- text


def write_trace(events: Iterable[Event], file: TextIO) -> None:
    """Write the events in canonical order."""
    file.writelines(f"{event}\n" for event in sorted(events))


def read_trace(file: Iterable[str]) -> list[Event]:
    """Events of a trace text, in canonical order; blank lines are skipped. Raises TraceError."""
    return sorted(_parse(number, line) for number, line in enumerate(file, 1) if line.strip())


def _parse(number: int, line: str) -> Event:
    fields = line.split()
    try:
        match fields:
            case ["I", cycle, name, pc]:
                return Event(int(cycle), name, "I", int(pc))
            case ["R", cycle, name, superlane, hexadecimal]:
                return Event(int(cycle), name, "R", int(superlane), int(hexadecimal, 16))
    except ValueError:
        pass
    raise TraceError(f"line {number}: '{line.strip()}': must be 'I cycle queue pc' or 'R cycle queue superlane digest'")


# -------------------------------------------------------------------- comparison


def first_difference(
    golden: Iterable[Event],
    rtl: Iterable[Event],
    programs: Mapping[str, Sequence[Instruction]],
    config: LpuConfig,
) -> str | None:
    """Name the first differing cycle, queue and instruction of two traces; None when they agree.

    For a result event the instruction is that of the issue it belongs to.
    """
    expected, seen = sorted(golden), sorted(rtl)
    for ours, theirs in zip_longest(expected, seen):
        if ours == theirs:
            continue
        event = min(e for e in (ours, theirs) if e is not None)
        return f"{_where(event)}: {_what(ours, theirs)}; {_instruction(config, programs, (expected, seen), event)}"
    return None


def _where(event: Event) -> str:
    place = "" if event.kind == "I" else f", superlane {event.place}"
    return f"cycle {event.cycle}, queue {event.queue}{place}"


def _what(ours: Event | None, theirs: Event | None) -> str:
    if ours is not None and theirs is not None and _key(ours) == _key(theirs):
        return f"result {ours.digest:08x} in golden, {theirs.digest:08x} in rtl"
    only_golden = theirs is None or (ours is not None and ours < theirs)
    event = ours if only_golden else theirs
    noun = "issue" if event is not None and event.kind == "I" else "result"
    return f"{noun} in {'golden' if only_golden else 'rtl'} only"


def _key(event: Event) -> tuple[int, str, str, int]:
    return event.cycle, event.queue, event.kind, event.place


def _instruction(
    config: LpuConfig, programs: Mapping[str, Sequence[Instruction]], traces: Iterable[Sequence[Event]], event: Event
) -> str:
    program = programs.get(event.queue, ())
    issues = (
        [event] if event.kind == "I" else [i for trace in traces for i in _issues_of(config, program, trace, event)]
    )
    for issue in issues:
        if issue.place < len(program):
            return f"pc {issue.place}: {program[issue.place]}, issued in cycle {issue.cycle}"
    return "no such instruction in the program"


def _issues_of(
    config: LpuConfig, program: Sequence[Instruction], trace: Iterable[Event], result: Event
) -> Iterator[Event]:
    """Issues whose result is due in the cycle of ``result``."""
    kind = queue(config, result.queue).kind
    for issue in trace:
        if issue.kind != "I" or issue.queue != result.queue or issue.place >= len(program):
            continue
        latency = result_latency(config, kind, program[issue.place].op)
        if issue.cycle + latency + result.place == result.cycle:
            yield issue
