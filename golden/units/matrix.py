"""Twin of the matrix unit: weight buffer, array and accumulators.

However many cycles an element of ABC takes, it works with the array as of its issue: what would change that is refused
by the machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.numerics import Bytes, Int32
from hdl.config import LpuConfig
from hdl.isa import Element


class MatrixTwin:
    """psum[n] = sum_k array[n][k] * x[k]; acc[row] := (start ? 0 : acc[row]) + psum modulo 2^32.

    ``buffer`` and ``array`` are int8 weights [n, k], kept as float32: sums of at most 1024 products of int8 stay
    within 2^24 and are exact. ``acc`` is int32 [acc_rows, n].
    """

    def __init__(self, config: LpuConfig) -> None:
        self.config = config
        self.buffer: NDArray[np.float32] = np.zeros((config.lanes, config.lanes), np.float32)
        self.array = self.buffer.copy()
        self.acc: Int32 = np.zeros((config.acc_rows, config.lanes), np.int32)

    def load_weights(self, element: Element, bus: Bytes) -> bool:
        """LW: weight bus [weight_streams, lanes] into the buffer; whether this element completed a tile."""
        tile_cycles = self.config.tile_load_cycles
        part = element.number % tile_cycles
        first = part * self.config.weight_streams
        self.buffer[first : first + self.config.weight_streams] = bus.view(np.int8)
        return part == tile_cycles - 1

    def install(self) -> None:
        """IW: the array takes the buffer."""
        self.array = self.buffer.copy()

    def multiply(self, element: Element, x: Bytes) -> Int32 | None:
        """ABC: activation bytes [lanes]; the updated accumulator row [lanes] when the element emits it."""
        instruction = element.instruction
        walk = bool(instruction["walk"])
        row = (instruction["row"] + (element.number if walk else 0)) % self.config.acc_rows
        psum = (self.array @ x.view(np.int8).astype(np.float32)).astype(np.int32)
        if instruction["start"] and (walk or element.first):
            self.acc[row] = psum
        else:
            self.acc[row] += psum
        emits = instruction["emit"] and (walk or element.last)
        return self.acc[row].copy() if emits else None
