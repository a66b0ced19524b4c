"""The stream registers of every position, one hop per cycle."""

from __future__ import annotations

import numpy as np

from golden.numerics import Bytes
from hdl.config import Direction, LpuConfig
from hdl.isa import stream_direction, stream_index, stream_name


class StreamError(ValueError):
    """A stream number that does not exist or is not aligned to its group; names stream, count and place."""


class StreamRegisters:
    """E[p+1][s](t+1) = what a unit at p drives on s in cycle t, else E[p][s](t); westward with p-1; edges feed 0.

    A value keeps its diagonal t - p (east) or t + p (west) while it flows, so one slot per diagonal holds it and a hop
    moves nothing: driving overwrites the slot for all positions downstream. P diagonals are alive at a time.

    In a cycle, all reads come before all drives; the caller orders them.
    """

    def __init__(self, config: LpuConfig) -> None:
        self.cycle = 0
        self._positions = config.positions
        self._slots: list[Bytes] = []  # per direction [diagonal mod P, stream, lane]
        self._driven = []  # per direction [diagonal mod P, stream]: cycle of the latest drive
        for direction in Direction:
            shape = (config.positions, config.streams(direction), config.lanes)
            self._slots.append(np.zeros(shape, np.uint8))
            self._driven.append(np.full(shape[:2], -1, np.int64))

    def advance(self, cycle: int) -> None:
        """Hop until ``cycle``; zeros enter at the edges."""
        for now in range(max(self.cycle + 1, cycle - self._positions + 1), cycle + 1):
            self._slots[Direction.EAST][now % self._positions] = 0
            self._slots[Direction.WEST][(now - 1) % self._positions] = 0
        self.cycle = cycle

    def read(self, position: int, code: int, count: int = 1) -> Bytes:
        """Bytes [count, lanes] of the group of ``count`` streams at ``code``, as seen at ``position``.

        Raises StreamError for streams that do not exist or a group that is not aligned.
        """
        direction, slot, first = self._place(position, code, count)
        return self._slots[direction][slot, first : first + count].copy()

    def drive(self, position: int, code: int, values: Bytes) -> bool:
        """Replace what passes with values [count, lanes]; True when a stream was driven here in this cycle already.

        Raises StreamError like :meth:`read`.
        """
        direction, slot, first = self._place(position, code, len(values))
        driven = self._driven[direction][slot, first : first + len(values)]
        conflict = bool((driven == self.cycle).any())
        driven[:] = self.cycle
        self._slots[direction][slot, first : first + len(values)] = values
        return conflict

    def _place(self, position: int, code: int, count: int) -> tuple[Direction, int, int]:
        direction, first = stream_direction(code), stream_index(code)
        if first % count or first + count > self._slots[direction].shape[1]:
            raise StreamError(
                f"cycle {self.cycle}, position {position}: {count} streams at {stream_name(code)}: must be aligned and "
                f"within the {self._slots[direction].shape[1]} of that direction"
            )
        diagonal = self.cycle + position if direction is Direction.WEST else self.cycle - position
        return direction, diagonal % self._positions, first
