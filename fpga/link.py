"""The core on a board, over its serial line (docs/protocol.md): plays the scripts that the simulated host port plays.

WRITEs follow each other without a pause, WINDOW of them unanswered; after BATCH of them, a READ or a start the host
waits for all replies. What is answered with a code of a damaged request, or not at all, is asked again up to TRIES
times, after a silence in which the board gives up what it has of a request: of WRITEs the whole batch, because where a
request is lost, replies are taken for those of others. A start whose reply is lost is not repeated: it may have been
executed.
"""

from __future__ import annotations

import binascii
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import serial

from fpga import FpgaError
from fpga.frames import Exchange, exchanges
from hdl.config import LpuConfig
from hdl.link.hostmap import DEVICE_ID, Register, register_address
from hdl.link.protocol import CRC_BYTES, IDLE_SECONDS, Code, Operation
from sim.run import Words
from sim.script import HostError, Op, Script

WINDOW = 64
"""WRITEs on their way: 1.5 KB for a core of 16 lanes, less than the buffers of a USB serial chip's driver."""
BATCH = 512
"""WRITEs after which all replies have to be there: an eighth of a second for a core of 16 lanes at 1 Mbaud."""
TRIES = 3
REPLY_SECONDS = 1.0
"""A reply that takes longer is lost: many times what the window takes at 115,200 baud."""
SILENCE_SECONDS = 10 * IDLE_SECONDS
"""The board waits IDLE_SECONDS; a USB serial chip may hold bytes back for 16 ms."""
MENDED = frozenset({Code.CRC, Code.SHORT, Code.COMMAND})
"""Codes that say that the line has damaged the request."""
DONE = 2
"""Bit of Register.STATUS."""

Progress = Callable[[int, int], None]
"""Told how many exchanges of a script are done, and of how many; the first script is the one that loads the core."""


class LinkError(FpgaError):
    """A port that cannot be opened, a line that loses too much, or a core that is not the one the program is for."""


class Line(Protocol):
    """What is used of ``serial.Serial``; ``read`` gives fewer bytes when they do not come in time."""

    def write(self, data: bytes, /) -> int | None: ...
    def read(self, size: int, /) -> bytes: ...
    def flush(self) -> None: ...
    def reset_input_buffer(self) -> None: ...


@contextmanager
def serial_line(port: str, baud: int, reply_seconds: float = REPLY_SECONDS) -> Iterator[serial.Serial]:
    """The open port. Raises LinkError for one that cannot be opened, and when it goes away."""
    try:
        with serial.Serial(port, baud, timeout=reply_seconds, exclusive=True) as line:
            line.reset_input_buffer()
            yield line
    except (serial.SerialException, ValueError) as error:
        if isinstance(error, FpgaError | HostError):
            raise
        raise LinkError(f"port {port} at {baud} baud: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The system's words, where pyserial wraps them in its own."""
    number = getattr(error, "errno", None)
    return str(error) if number is None else str(error).split("] ")[-1].split(": '")[0]


@dataclass
class SerialCore:
    """A core at the end of a line, for programs of ``config``. ``silence``: seconds of :data:`SILENCE_SECONDS`."""

    line: Line
    config: LpuConfig
    silence: float = SILENCE_SECONDS
    progress: Progress | None = None

    def check(self) -> None:
        """Raise LinkError unless a core of this very configuration answers."""
        words = self._ask(Exchange(Operation.READ, register_address(Register.ID), 2))
        if words[0] != DEVICE_ID:
            raise LinkError(f"device {words[0]:#010x} on the line: must be {DEVICE_ID:#010x}, an LPU core")
        if words[1] != self.config.fingerprint:
            wanted = f"{self.config.fingerprint:#010x}, preset '{self.config.name}'"
            raise LinkError(f"core {words[1]:#010x} on the board: must be {wanted}: build and load its bitstream")

    def play(self, scripts: Sequence[Script]) -> Iterator[tuple[Words, float]]:
        """The answers of scripts, each as soon as it is complete, and when (``time.time()``).

        Raises LinkError; HostError for what the core refuses and for a run that takes longer than its script allows.
        """
        self.check()
        for script in scripts:
            items = list(exchanges(self.config, script))
            yield np.array(list(self._answer(items)), np.uint32), time.time()

    # ---------------------------------------------------------------- exchanges

    def _answer(self, items: Sequence[Exchange]) -> Iterator[int]:
        """The words that the exchanges of a script answer with."""
        done = 0
        for is_plain, group in groupby(items, key=lambda item: item.is_plain_write):
            some = list(group)
            if is_plain:
                for written in self._write_all(some):
                    self._report(done + written, len(items))
            else:
                for item in some:
                    yield from self._play_one(item)
            done += len(some)
            self._report(done, len(items))

    def _report(self, done: int, total: int) -> None:
        if self.progress:
            self.progress(done, total)

    def _play_one(self, item: Exchange) -> Sequence[int]:
        if item.op is Op.WAIT:
            self._wait(item.address)
            return ()
        return self._ask(item)

    def _wait(self, limit: int) -> None:
        """Until the run is done. Raises HostError when it has taken more than ``limit`` cycles."""
        while True:
            status, cycles = self._ask(Exchange(Operation.READ, register_address(Register.STATUS), 2))
            if status & DONE:
                return
            if cycles > limit:
                raise HostError(f"the program did not finish within {limit} cycles")

    def _ask(self, item: Exchange) -> Sequence[int]:
        """One exchange; the words of a READ."""
        for _ in range(TRIES):
            self.line.write(item.frame)
            code, words = self._reply(item)
            if code is Code.OK:
                return words
            self._refuse(code, item)
            if code is None and item.is_start:
                raise LinkError("no reply to the start of a program: whether it ran is not known; run all of it again")
            self._fall_silent()
        raise LinkError(f"no good reply to {item} in {TRIES} tries: is it the board's port and baud, is it configured?")

    def _write_all(self, items: Sequence[Exchange]) -> Iterator[int]:
        """WRITEs at the line's full rate, batch by batch; yields how many are done."""
        for first in range(0, len(items), BATCH):
            batch = items[first : first + BATCH]
            for _ in range(TRIES):
                wrong = self._write_batch(batch)
                if wrong is None:
                    break
                self._fall_silent()
            else:
                raise LinkError(f"no good reply to {wrong} in {TRIES} tries")
            yield first + len(batch)

    def _write_batch(self, batch: Sequence[Exchange]) -> Exchange | None:
        """Send a batch; the first exchange that has no good reply. Raises HostError for one that the core refuses."""
        sent = 0
        for done, item in enumerate(batch):
            if sent - done <= WINDOW // 2:
                ahead = min(done + WINDOW, len(batch))
                self.line.write(b"".join(ahead_item.frame for ahead_item in batch[sent:ahead]))
                sent = ahead
            code, _ = self._reply(item)
            if code is not Code.OK:
                self._refuse(code, item)
                return item
        return None

    def _refuse(self, code: Code | None, item: Exchange) -> None:
        """Raise HostError for a code that says that the core does not do this, however often it is asked."""
        if code is not None and code not in MENDED:
            raise HostError(f"core answered {code.name} to {item}")

    def _reply(self, item: Exchange) -> tuple[Code | None, Sequence[int]]:
        """Code and words of the next reply; no code when it is damaged or does not come."""
        reply = self.line.read(1 + CRC_BYTES)
        if item.op is Operation.READ and reply[:1] == bytes([Code.OK]):
            reply += self.line.read(4 * item.count + 1)
        body, crc = reply[:-CRC_BYTES], reply[-CRC_BYTES:]
        if not body or binascii.crc_hqx(body, 0xFFFF).to_bytes(CRC_BYTES, "big") != crc or body[-1] not in list(Code):
            return None, ()
        words = struct.unpack(f"<{item.count}I", body[1:-1]) if len(body) > 1 else ()
        return Code(body[-1]), words

    def _fall_silent(self) -> None:
        """Until the board waits for a new request and nothing more of the old ones comes back."""
        self.line.flush()
        time.sleep(self.silence)
        self.line.reset_input_buffer()
