"""The bridge in front of a `nano`: frames on the serial line, what they do and what every wrong one leaves alone."""

from __future__ import annotations

import binascii
import random
from dataclasses import dataclass, field

import pytest

from cocotb_tests.units.harness import Bench, Stimulus
from cocotb_tests.units.serial_line import received, waveform
from fpga.design import BoardDesign
from hdl.config import preset
from hdl.isa import Instruction, Opcode, encode, queue, queues
from hdl.link.hostmap import (
    DEVICE_ID,
    NO_QUEUE,
    REGION_SHIFT,
    Register,
    program_address,
    program_words,
    sram_address,
)

pytestmark = pytest.mark.rtl
CONFIG = preset("tiny")
CLOCK_HZ, DIVISOR, IDLE_CYCLES = 1_000_000, 4, 800
WRITE, READ = 0x57, 0x52
OK, CRC, SHORT, COMMAND, REFUSED, ROW, BUSY = range(7)


def crc(data: bytes) -> bytes:
    """CRC-16 with polynomial 0x1021 and initial value 0xFFFF, by the standard library."""
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def framed(data: bytes) -> bytes:
    return data + crc(data)


def write(address: int, *words: int) -> bytes:
    body = b"".join(word.to_bytes(4, "little") for word in words)
    return framed(bytes([WRITE, len(words)]) + address.to_bytes(4, "little") + body)


def read(address: int, count: int = 1) -> bytes:
    return framed(bytes([READ, count]) + address.to_bytes(4, "little"))


def answered(*words: int, code: int = OK) -> bytes:
    """The reply of a READ whose first word is there."""
    return framed(bytes([OK]) + b"".join(word.to_bytes(4, "little") for word in words) + bytes([code]))


def short(code: int) -> bytes:
    return framed(bytes([code]))


@dataclass
class Line:
    """Bytes to the board, one request after the other, and the replies that must come back, in order."""

    stimulus: Stimulus = field(default_factory=Stimulus)
    now: int = 20
    expected: bytes = b""

    def send(self, data: bytes) -> None:
        for level in waveform(list(data), DIVISOR):
            self.stimulus.at(self.now, rx=level)
            self.now += 1

    def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            self.stimulus.at(self.now, rx=1)
            self.now += 1

    def ask(self, request: bytes, reply: bytes, pause: int = 0) -> None:
        """Send, and wait until the reply is surely there; ``pause`` more cycles where the bridge waits itself."""
        self.send(request)
        self.expected += reply
        self.wait(10 * DIVISOR * (len(reply) + 2) + 40 * (1 + len(reply) // 4) + pause)

    def play(self, bench: Bench) -> list[dict[str, int]]:
        for cycle in range(20):
            self.stimulus.at(cycle, rx=1)
        response = bench.run(self.stimulus)
        line = [cycle["tx"] for cycle in response]
        assert bytes(received(line, DIVISOR)).hex(" ") == self.expected.hex(" ")
        return response


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(BoardDesign(CONFIG, CLOCK_HZ, CLOCK_HZ // DIVISOR, IDLE_CYCLES / CLOCK_HZ))


def sram(unit: str, addr: int) -> int:
    return sram_address(CONFIG, CONFIG.unit(unit), addr)


LAST_SLICE = 3 << 7
"""Address of the last slice of a data group of 128 rows."""
KEPT = {sram("d0", LAST_SLICE | 127): 0x11223344, sram("d1", 0): 0x89ABCDEF, sram("w0", 5): 0xFFFFFFFF}
"""Rows that no wrong frame may change: among them the last one before a hole, and the first one after it."""


def status(line: Line, running: int, done: int) -> None:
    line.ask(read(Register.STATUS), answered(running | done << 1))


def program(line: Line, cycles: int) -> None:
    """A program that waits ``cycles`` in one queue; END in all others."""
    for target in queues(CONFIG):
        wait = [Instruction.of(Opcode.NOP, n=min(cycles, 200))] * -(-cycles // 200) if target.name == "d0.r" else []
        for row, instruction in enumerate([*wait, Instruction.of(Opcode.END)]):
            value, count = encode(CONFIG, target.kind, instruction), program_words(CONFIG, target.kind)
            words = [value >> 32 * i & 0xFFFFFFFF for i in range(count)]
            line.ask(write(program_address(CONFIG, target, row), *words), short(OK))


def prepared() -> Line:
    """Memory and a program that are written, a run that is over: what a wrong frame could change."""
    line = Line()
    for address, word in KEPT.items():
        line.ask(write(address, word), short(OK))
    program(line, 30)
    line.ask(write(Register.CONTROL, 1), short(OK), pause=100)
    return line


def check_unchanged(line: Line) -> None:
    """Memory, registers, and the program, which still takes the same cycles."""
    for address, word in KEPT.items():
        line.ask(read(address), answered(word))
    status(line, running=0, done=1)
    cycles = 30 + CONFIG.superlanes
    line.ask(read(Register.CYCLES, 4), answered(cycles, 0, NO_QUEUE, 0))
    line.ask(write(Register.CONTROL, 1), short(OK), pause=100)
    line.ask(read(Register.CYCLES), answered(cycles))


# --------------------------------------------------------------------------- right frames


def test_registers(bench: Bench) -> None:
    line = Line()
    line.ask(read(Register.ID, 2), answered(DEVICE_ID, CONFIG.fingerprint))
    status(line, running=0, done=0)
    line.play(bench)


def test_rows_one_after_the_other(bench: Bench) -> None:
    """WRITEs without pauses, each answered; then the rows, in one READ."""
    rng, line = random.Random(3), Line()
    words = [rng.getrandbits(32) for _ in range(16)]
    for row, word in enumerate(words):
        line.send(write(sram("d0", 128 + row), word))
        line.expected += short(OK)
    line.wait(200)
    line.ask(read(sram("d0", 128), 16), answered(*words))
    line.play(bench)


def test_a_read_that_leaves_the_map_says_so_at_its_end(bench: Bench) -> None:
    line = Line()
    line.ask(read(Register.ERROR_QUEUE, 4), answered(NO_QUEUE, 0, 0, 0, code=REFUSED))
    line.play(bench)


def test_a_run(bench: Bench) -> None:
    """`running` shows it, and CYCLES counts it."""
    line = prepared()
    check_unchanged(line)
    runs = [cycle["running"] for cycle in line.play(bench)]
    assert sum(now and not before for before, now in zip(runs, runs[1:], strict=False)) == 2


# --------------------------------------------------------------------------- wrong frames


def damaged(frame: bytes, place: int) -> bytes:
    wrong = bytearray(frame)
    wrong[place] ^= 0x10
    return bytes(wrong)


D0_END = sram("d0", LAST_SLICE | 127)
QUEUE = queue(CONFIG, "d0.r")
INSTRUCTION = program_address(CONFIG, QUEUE, 0)
WRONG = {
    "crc of a row": (damaged(write(D0_END, 1), -1), CRC),
    "word of a row": (damaged(write(D0_END, 1), 7), CRC),
    "address of a row": (damaged(write(D0_END, 1), 2), CRC),
    "crc of an instruction": (damaged(write(INSTRUCTION, 1, 2), -2), CRC),
    "crc of a start": (damaged(write(Register.CONTROL, 1), -1), CRC),
    "crc of a read": (damaged(read(D0_END), -1), CRC),
    "short header": (write(D0_END, 1)[:3], SHORT),
    "short words": (write(D0_END, 1)[:8], SHORT),
    "short crc": (write(D0_END, 1)[:-1], SHORT),
    "operation": (framed(b"X" + write(D0_END, 1)[1:-2]), COMMAND),
    "write of nothing": (write(D0_END), COMMAND),
    "write of too much": (write(D0_END, *range(9)), COMMAND),
    "read of nothing": (read(D0_END, 0), COMMAND),
    "row outside memory": (write(1 << 29 | D0_END, 1), REFUSED),
    "group outside memory": (write(sram("d1", LAST_SLICE | 127) + 1, 1), REFUSED),
    "region 3": (write(3 << REGION_SHIFT, 1), REFUSED),
    "read outside memory": (read(1 << 29 | D0_END), REFUSED),
    "read of a program": (read(INSTRUCTION), REFUSED),
    "read-only register": (write(Register.CYCLES, 0), REFUSED),
    "two rows": (write(D0_END, 1, 2), ROW),
    "start and more": (write(Register.CONTROL, 1, 1), ROW),
    "half an instruction": (write(INSTRUCTION, 1), ROW),
    "end of an instruction": (write(INSTRUCTION + program_words(CONFIG, QUEUE.kind) - 1, 1), ROW),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_frame_changes_nothing(bench: Bench, name: str) -> None:
    request, code = WRONG[name]
    line = prepared()
    line.ask(request, short(code), pause=IDLE_CYCLES)
    check_unchanged(line)
    line.play(bench)


def test_a_running_core_is_left_alone(bench: Bench) -> None:
    """All but READs of registers are refused; the run takes the cycles that it takes."""
    line, cycles = Line(), 10000
    for address, word in KEPT.items():
        line.ask(write(address, word), short(OK))
    program(line, cycles)
    line.ask(write(Register.CONTROL, 1), short(OK))
    for request in (
        write(D0_END, 1),
        read(D0_END),
        write(INSTRUCTION, *[0] * program_words(CONFIG, QUEUE.kind)),
        write(Register.CONTROL, 1),
        write(Register.ERRORS, 0),
    ):
        line.ask(request, short(BUSY))
        status(line, running=1, done=0)
    line.wait(cycles)
    for address, word in KEPT.items():
        line.ask(read(address), answered(word))
    line.ask(read(Register.STATUS, 2), answered(2, cycles + CONFIG.superlanes))
    line.play(bench)


def test_noise_and_a_break_are_no_frames(bench: Bench) -> None:
    """A glitch is ignored; a line that is held low gives bytes that are dropped."""
    line = Line()
    for _ in range(3):
        line.stimulus.at(line.now, rx=0)
        line.now += 1
        line.wait(50)
    for _ in range(9 * DIVISOR + 3 * 10 * DIVISOR):
        line.stimulus.at(line.now, rx=0)
        line.now += 1
    line.wait(2 * IDLE_CYCLES)
    line.ask(read(Register.ID), answered(DEVICE_ID))
    line.play(bench)
