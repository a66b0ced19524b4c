"""A board in Python, written from docs/protocol.md, at the end of a line that damages what a test wants damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cocotb_tests.fpga.line import code, crc16, words

OK, CRC, SHORT, COMMAND, REFUSED, _, BUSY = range(7)
CONTROL, STATUS, CYCLES = 2, 3, 4
Damage = Callable[[int, bytes], bytes]
"""What becomes of a request or reply: its number and its bytes."""


def keep(number: int, data: bytes) -> bytes:
    return data


@dataclass
class SoftBoard:
    """Words by address; a run takes ``run_polls`` READs of STATUS and ``run_cycles``.

    Each WRITE has ``row`` words. ``to_board`` damages requests, ``to_host`` replies; a request that is cut is answered
    with SHORT when the host falls silent.
    """

    registers: dict[int, int]
    row: int = 1
    run_polls: int = 2
    run_cycles: int = 100
    to_board: Damage = keep
    to_host: Damage = keep
    memory: dict[int, int] = field(default_factory=dict)
    starts: int = 0
    requests: int = 0
    silences: int = 0
    _received: bytes = b""
    _reply: bytes = b""
    _polls: int = 0

    def write(self, data: bytes, /) -> int:
        """Every call brings whole requests."""
        while data:
            size = 8 + (4 * data[1] if data[0] == ord("W") else 0)
            request, data = data[:size], data[size:]
            self._take(self.to_board(self.requests, request), size)
            self.requests += 1
        return 0

    def read(self, size: int, /) -> bytes:
        reply, self._reply = self._reply[:size], self._reply[size:]
        return reply

    def flush(self) -> None:
        """Whoever flushes is silent afterwards."""
        self.silences += 1
        if self._received:
            self._say(code(SHORT))
        self._received = b""

    def reset_input_buffer(self) -> None:
        self._reply = b""

    def _say(self, reply: bytes) -> None:
        self._reply += self.to_host(self.requests, reply)

    def _take(self, request: bytes, size: int) -> None:
        """Bytes that are missing are taken from the next request, as on a line."""
        self._received += request
        if len(self._received) < size:
            return
        frame, self._received = self._received[:size], self._received[size:]
        body, crc = frame[:-2], frame[-2:]
        if crc16(body) != crc:
            self._say(code(CRC))
        elif body[0] == ord("W"):
            address, *values = struct.unpack(f"<I{body[1]}I", body[2:])
            self._say(code(self._write(address, values)))
        else:
            self._say(self._read(*struct.unpack("<BI", body[1:])))

    def _write(self, address: int, values: list[int]) -> int:
        if self._polls:
            return BUSY
        if address == CONTROL:
            self.starts += 1
            self._polls = self.run_polls
        elif address >> 30 == 3:
            return REFUSED
        else:
            self.memory |= {address + i: value for i, value in enumerate(values)}
        return OK

    def _read(self, count: int, address: int) -> bytes:
        if address == STATUS:
            self._polls = max(0, self._polls - 1)
            self.registers |= {STATUS: 1 if self._polls else 2, CYCLES: self.run_cycles}
        values = [self.registers.get(address + i, self.memory.get(address + i, 0)) for i in range(count)]
        return words(*values)
