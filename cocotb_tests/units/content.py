"""What flows past a unit under test: random bytes on every stream in every cycle, so only the right cycle is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from golden.numerics import Bytes
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig
from hdl.isa import stream, stream_direction, stream_index
from hdl.streams import Reach


def as_int(vector: Bytes) -> int:
    """Bytes in ascending order -> the value of a port, first byte lowest."""
    return int.from_bytes(np.ascontiguousarray(vector).tobytes(), "little")


class StreamContent:
    """Random bytes [cycle, stream, lane] per direction. Superlane r sees in T + r what belongs to T."""

    def __init__(self, config: LpuConfig, rng: np.random.Generator, cycles: int) -> None:
        self._config = config
        self._bytes = {
            d: rng.integers(0, 256, (cycles + config.superlanes, config.streams(d), config.lanes), np.uint8)
            for d in Direction
        }

    def read(self, cycle: int, code: int, count: int = 1) -> Bytes:
        """Bytes [count, L] that an element issued ``cycle - skew`` ago finds on the group at ``code``."""
        side, first = self._config.superlane_lanes, stream_index(code)
        content = self._bytes[stream_direction(code)]
        parts = [
            content[cycle + r, first : first + count, r * side : (r + 1) * side] for r in range(self._config.superlanes)
        ]
        return np.concatenate(parts, axis=1)

    def port(self, cycle: int, direction: Direction, streams: range, superlane: int = 0) -> int:
        """The value of a superlane's port that shows a range of streams."""
        side = self._config.superlane_lanes
        lanes = slice(superlane * side, (superlane + 1) * side)
        return as_int(self._bytes[direction][cycle, streams.start : streams.stop, lanes])

    def ports(self, cycle: int, reach: Reach) -> dict[str, int]:
        """The ``view_ports`` of superlane 0."""
        return {d.name.lower(): self.port(cycle, d, streams) for d, streams in reach.streams.items()}


def codes(reach: Reach, wide: bool) -> list[int]:
    """Stream codes within reach: all, or (wide) the first ones of whole SG4s."""
    step = STREAMS_PER_GROUP if wide else 1
    return [stream(d, s) for d, streams in reach.streams.items() for s in streams if s % step == 0]


def driven(reach: Reach, outputs: Mapping[str, Any], suffix: str = "") -> dict[int, int]:
    """What ``drive_ports`` put on which stream: vectors by stream code."""
    found = {}
    for direction, streams in reach.streams.items():
        enables = outputs[f"drive_{direction.name.lower()}{suffix}"]
        for k, s in enumerate(streams):
            if enables >> k & 1:
                found[stream(direction, s)] = outputs[f"lanes{suffix}"][s % STREAMS_PER_GROUP]
    return found


def on_streams(code: int, vectors: Sequence[Bytes] | Bytes) -> dict[int, int]:
    """Vectors on the adjacent streams from ``code`` on, in the form of :func:`driven`."""
    return {code + 2 * j: as_int(vector) for j, vector in enumerate(vectors)}
