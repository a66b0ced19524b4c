"""Frames and a simulated board for the tests, written from docs/protocol.md."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, field
from pathlib import Path

from cocotb_tests.fpga import uart_player
from cocotb_tests.units.harness import launch
from fpga.design import TOP, board_verilog
from hdl.config import LpuConfig
from sim.build import CACHE, compiled

CLOCK_HZ, DIVISOR = 1_000_000, 4
IDLE_BITS = 60
"""The bridge's patience with a frame."""
PATIENCE_BITS = 600


def crc16(data: bytes) -> bytes:
    """CRC-16/IBM-3740, bit by bit: polynomial 0x1021, initial value 0xFFFF; high byte first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1) ^ (0x1021 if register & 0x8000 else 0)
            register &= 0xFFFF
    return struct.pack(">H", register)


def frame(body: bytes) -> bytes:
    return body + crc16(body)


def write(address: int, *words: int) -> bytes:
    return frame(struct.pack(f"<cBI{len(words)}I", b"W", len(words), address, *words))


def read(address: int, count: int = 1) -> bytes:
    return frame(struct.pack("<cBI", b"R", count, address))


def code(value: int) -> bytes:
    """A reply without words."""
    return frame(bytes([value]))


def words(*values: int, end: int = 0) -> bytes:
    """The reply of a READ."""
    return frame(struct.pack(f"<B{len(values)}IB", 0, *values, end))


def built_board(config: LpuConfig) -> Path:
    """The folder with the simulator of the whole board design."""
    text = board_verilog(config, CLOCK_HZ, CLOCK_HZ // DIVISOR, IDLE_BITS * DIVISOR / CLOCK_HZ)
    return compiled(CACHE / "boards", config.name, {"board.v": text}, TOP)


@dataclass
class Conversation:
    """What the host says and what the board must answer, in order."""

    steps: list[tuple[bytes, int, int, int]] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    def say(self, sent: bytes, answer: bytes, silence: int = 0) -> None:
        self.steps.append((sent, silence, len(answer), PATIENCE_BITS))
        self.answers.append(answer)

    def hold(self, config: LpuConfig) -> None:
        """Play it on the RTL and compare every reply."""
        directory = built_board(config)
        files = {str(uart_player.STEPS): pickle.dumps((DIVISOR, self.steps))}
        replies = pickle.loads(launch(directory, TOP, uart_player.__name__, files, str(uart_player.REPLIES)))
        for number, (reply, answer) in enumerate(zip(replies, self.answers, strict=True)):
            assert reply.hex() == answer.hex(), f"step {number}: sent {self.steps[number][0].hex()}"
