"""The whole board design under Verilator, spoken to through its serial pins: every frame, every error of the protocol.

After each error the same SRAM row, program and registers are read or run again: nothing has changed.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from cocotb_tests.fpga.line import IDLE_BITS, Conversation, code, crc16, frame, read, words, write
from hdl.config import preset
from hdl.isa import Instruction, Opcode, encode, queue, queues
from hdl.link.hostmap import DEVICE_ID, Register, program_address, program_words, sram_address
from hdl.link.protocol import Code, Operation, crc_bytes, write_words

pytestmark = pytest.mark.rtl
CONFIG = preset("tiny")
ROW = sram_address(CONFIG, CONFIG.unit("d0"), 5)
OTHER_ROW = sram_address(CONFIG, CONFIG.unit("w0"), 9)
VALUES = 0x04030201, 0xF1E2D3C4
LONG = 20
"""NOPs of the longest kind: the run outlasts some frames."""
NOP_CYCLES = (1 << CONFIG.count_bits) - 1
RUN_CYCLES = LONG * NOP_CYCLES + CONFIG.superlanes


def load(talk: Conversation) -> None:
    """Two SRAM rows, a program of ``RUN_CYCLES`` cycles, no error flags."""
    for address, value in zip((ROW, OTHER_ROW), VALUES, strict=True):
        talk.say(write(address, value), code(Code.OK))
    for target in queues(CONFIG):
        program = [Instruction.of(Opcode.END)]
        if target.name == "d0.r":
            program = [Instruction.of(Opcode.NOP, n=NOP_CYCLES)] * LONG + program
        count = program_words(CONFIG, target.kind)
        for row, instruction in enumerate(program):
            word = encode(CONFIG, target.kind, instruction).to_bytes(4 * count, "little")
            talk.say(write(program_address(CONFIG, target, row), *struct.unpack(f"<{count}I", word)), code(Code.OK))
    talk.say(write(Register.ERRORS, 0), code(Code.OK))


def check_unchanged(talk: Conversation) -> None:
    """Rows and flags."""
    for address, value in zip((ROW, OTHER_ROW), VALUES, strict=True):
        talk.say(read(address), words(value))
    talk.say(read(Register.STATUS, 4), words(0, 0, 0, 0xFF))


def check_run(talk: Conversation) -> None:
    """The program is what it was: it takes its cycles."""
    talk.say(write(Register.CONTROL, 1), code(Code.OK), silence=RUN_CYCLES // 4 + 100)
    talk.say(read(Register.STATUS, 2), words(2, RUN_CYCLES))


def test_the_crc_is_the_catalogues() -> None:
    assert crc16(b"123456789") == b"\x29\xb1"
    rng = np.random.default_rng(3)
    for size in range(20):
        data = rng.bytes(size)
        assert crc_bytes(data) == crc16(data)


def test_registers_rows_and_a_run() -> None:
    talk = Conversation()
    talk.say(read(Register.ID, 2), words(DEVICE_ID, CONFIG.fingerprint))
    load(talk)
    check_unchanged(talk)
    check_run(talk)
    talk.hold(CONFIG)


def test_writes_follow_each_other_without_a_pause() -> None:
    """Requests at the line's full rate; as many replies, each of the right code."""
    base, rng = sram_address(CONFIG, CONFIG.unit("d1"), 0), np.random.default_rng(1)
    values = [int(v) for v in rng.integers(0, 1 << 32, 64)]
    missing = sram_address(CONFIG, CONFIG.unit("d1"), 0) | 1 << 29
    frames = [write(base + i, value) for i, value in enumerate(values)]
    frames.insert(20, write(missing, 0))
    answers = [code(Code.OK)] * 64
    answers.insert(20, code(Code.REFUSED))
    talk = Conversation()
    talk.say(b"".join(frames), b"".join(answers))
    for i, value in enumerate(values):
        talk.say(read(base + i), words(value))
    talk.hold(CONFIG)


def test_frames_with_wrong_bits() -> None:
    """One bit of a WRITE wrong, each in turn: CRC, SHORT or COMMAND, and never a write."""
    talk, good = Conversation(), write(ROW, 0x5A5A5A5A)
    load(talk)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        talk.say(bytes(bad), code(fault_of(bytes(bad))), silence=IDLE_BITS + 20)
        talk.say(read(ROW), words(VALUES[0]))
    check_unchanged(talk)
    check_run(talk)
    talk.hold(CONFIG)


def fault_of(bad: bytes) -> Code:
    """What the protocol says to a frame of a WRITE of one word with one wrong bit."""
    operation, count = bad[0], bad[1]
    if operation != Operation.WRITE or not 1 <= count <= write_words(CONFIG):
        return Code.COMMAND
    return Code.CRC if count == 1 else Code.SHORT


@pytest.mark.parametrize("good", [write(ROW, 1), read(ROW)], ids=["write", "read"])
def test_short_frames(good: bytes) -> None:
    """A frame that ends after any byte."""
    talk = Conversation()
    load(talk)
    for length in range(1, len(good)):
        talk.say(good[:length], code(Code.SHORT), silence=IDLE_BITS + 20)
    check_unchanged(talk)
    check_run(talk)
    talk.hold(CONFIG)


REFUSED = {
    "a row that is not there": write(ROW | 1 << 28, 0),
    "a region that is not there": write(0xC0000000, 0),
    "a register that says something": write(Register.CYCLES, 0),
    "a register that is not there": write(99, 0),
    "reading a program": read(program_address(CONFIG, queue(CONFIG, "d0.r"), 0)),
    "reading a row that is not there": read(ROW | 1 << 28),
    "reading CONTROL": read(Register.CONTROL),
}


def test_refused_requests() -> None:
    talk = Conversation()
    load(talk)
    for request in REFUSED.values():
        talk.say(request, code(Code.REFUSED))
        check_unchanged(talk)
    talk.say(read(Register.ID, 9), words(DEVICE_ID, CONFIG.fingerprint, 0, 0, 0, 0, 0xFF, 0, 0, end=Code.REFUSED))
    check_unchanged(talk)
    check_run(talk)
    talk.hold(CONFIG)


def test_writes_that_are_not_one_row() -> None:
    """Too few and too many words of an instruction, a register and a row; a queue that is not there."""
    talk, target = Conversation(), queue(CONFIG, "d0.r")
    load(talk)
    address, size = program_address(CONFIG, target, 0), program_words(CONFIG, target.kind)
    requests = [write(address, *range(count)) for count in range(1, write_words(CONFIG) + 1) if count != size]
    requests += [write(Register.CONTROL, 1, 1), write(ROW, 1, 2), write(address + 1, *range(size))]
    requests.append(write(program_address(CONFIG, queues(CONFIG)[-1], 0) + (1 << 20), 0))
    for request in requests:
        talk.say(request, code(Code.ROW))
        check_unchanged(talk)
    check_run(talk)
    talk.hold(CONFIG)


def test_commands_that_are_none() -> None:
    """Unknown operations and counts out of range; the line is silent afterwards, as the protocol asks."""
    talk, most = Conversation(), write_words(CONFIG)
    load(talk)
    bodies = [b"X\x01" + bytes(4), b"R\x00" + bytes(4), b"W\x00" + bytes(4), b"\x00\x00" + bytes(4)]
    bodies.append(struct.pack("<cBI", b"W", most + 1, ROW) + bytes(4 * most + 4))
    for body in bodies:
        talk.say(frame(body), code(Code.COMMAND), silence=IDLE_BITS + 20)
        check_unchanged(talk)
    check_run(talk)
    talk.hold(CONFIG)


def test_commands_during_a_run() -> None:
    """Only registers may be read; the run is not disturbed."""
    talk = Conversation()
    load(talk)
    program = program_address(CONFIG, queue(CONFIG, "d0.r"), 0)
    talk.say(write(Register.CONTROL, 1), code(Code.OK))
    for request in (write(ROW, 0), write(program, *[0] * program_words(CONFIG, queue(CONFIG, "d0.r").kind)), read(ROW)):
        talk.say(request, code(Code.BUSY))
    for register in (Register.CONTROL, Register.ERRORS):
        talk.say(write(register, 1), code(Code.BUSY))
    talk.say(read(Register.STATUS), words(1), silence=RUN_CYCLES // 4 + 100)
    talk.say(read(Register.STATUS, 2), words(2, RUN_CYCLES))
    talk.say(read(ROW), words(VALUES[0]))
    check_run(talk)
    talk.hold(CONFIG)
