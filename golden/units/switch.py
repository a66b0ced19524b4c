"""Twin of the switch: moves lanes of byte streams, [streams, lanes] in and out."""

from __future__ import annotations

import numpy as np

from golden.numerics import Bytes
from hdl.config import LpuConfig
from hdl.isa import Instruction, Opcode


def switch(config: LpuConfig, instruction: Instruction, x: Bytes, y: Bytes | None = None) -> Bytes:
    """Result of any switch instruction but TRANSPOSE on x, and y where it has one: [1 or 4 streams, lanes].

    PERMUTE's map y is one stream, y [1, lanes]; SELECT's y is as wide as x.
    """
    amount = instruction["amount"]
    match instruction.op:
        case Opcode.SHIFT:
            return _shift(x, amount)
        case Opcode.ROTATE:
            return np.roll(x, amount, axis=1)
        case Opcode.DISTRIBUTE:
            return np.repeat(x[:, amount : amount + 1], config.lanes, axis=1)
        case Opcode.PERMUTE if y is not None:
            return _permute(config, x, y[0])
        case Opcode.SELECT if y is not None:
            return np.where(np.arange(config.lanes) < amount, x, y)
        case _:
            raise ValueError(f"{instruction}: not an instruction of the switch, or operand y missing")


def transpose(config: LpuConfig, bus: Bytes) -> Bytes:
    """out[r][i] = bus[i][r] within each superlane; bus and result [S, lanes]: all streams of a block, in order."""
    side = config.superlane_lanes
    return bus.reshape(side, config.superlanes, side).transpose(2, 1, 0).reshape(side, config.lanes)


def _shift(x: Bytes, amount: int) -> Bytes:
    """out[:, i] = x[:, i - amount] where that lane exists, else 0."""
    lanes = x.shape[1]
    out = np.zeros_like(x)
    if 0 <= amount < lanes:
        out[:, amount:] = x[:, : lanes - amount]
    elif -lanes < amount < 0:
        out[:, :amount] = x[:, -amount:]
    return out


def _permute(config: LpuConfig, x: Bytes, lane_map: Bytes) -> Bytes:
    """out[:, i] = x[:, map[i]] within each superlane; 0 where map[i] >= S."""
    side = config.superlane_lanes
    first_lane = np.arange(config.lanes) // side * side
    inside = lane_map < side
    sources = first_lane + np.where(inside, lane_map, 0)
    return np.where(inside, x[:, sources], 0).astype(np.uint8)
