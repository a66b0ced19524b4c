"""Host scripts as words on the wire; addresses worked out by hand from the map in hdl/link/hostmap.py."""

import numpy as np
import pytest

from hdl.config import preset
from hdl.isa import Instruction, Opcode, QueueKind, encode, queues
from hdl.link.hostmap import HostMapError, Register
from sim import SimError
from sim.script import HostError, Op, RunStatus, Script, as_rows

NANO, SMALL = preset("tiny"), preset("small")


def requests(script: Script) -> list[tuple[int, int, int]]:
    return [(int(op), int(addr), int(data)) for op, addr, data in script.requests]


def test_a_row_is_written_lane_0_first_in_the_low_byte() -> None:
    script = Script(SMALL)
    script.write_rows("w0", [5], np.arange(16, dtype=np.uint8)[None])
    words = [0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C]
    assert requests(script) == [(Op.WRITE, 0x8000_0000 | 5 << 2 | word, value) for word, value in enumerate(words)]


def test_rows_of_other_groups_and_scattered_addresses() -> None:
    script = Script(NANO)  # addresses of 10 bits, one word a row; w0 is group 0, d1 group 2
    rows = np.array([[1, 0, 0, 0], [0, 0, 0, 2]], np.uint8)
    script.write_rows("d1", [3, 130], rows)
    assert requests(script) == [(Op.WRITE, 0x8000_0803, 1), (Op.WRITE, 0x8000_0882, 0x0200_0000)]


def test_reads_say_where_their_answers_are() -> None:
    script = Script(SMALL)
    cycles = script.read_register(Register.CYCLES)
    rows = script.read_rows("w0", [7, 9])
    assert (cycles, rows, script.reads) == (slice(0, 1), slice(1, 9), 9)
    addresses = [0x8000_0000 | row << 2 | word for row in (7, 9) for word in range(4)]
    assert requests(script) == [(Op.READ, address, 0) for address in [Register.CYCLES, *addresses]]


def test_rows_survive_the_words() -> None:
    words = np.array([0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0DFF], np.uint32)
    assert as_rows(SMALL, words).tolist() == [[*range(12), 255, 13, 14, 15]]


def test_an_instruction_is_written_low_word_first() -> None:
    vector = next(queue for queue in queues(SMALL) if queue.kind is QueueKind.VXM_ADD)
    add = Instruction.of(Opcode.ALU, count=7, gap=3)
    script = Script(SMALL)
    script.load_program(vector, [Instruction.of(Opcode.NOP, n=1), add])
    word = encode(SMALL, vector.kind, add)
    base = 1 << 30 | (queues(SMALL).index(vector) << 9 | 1) << 3  # 512 rows of up to 8 words
    expected = [(Op.WRITE, base + i, word >> 32 * i & 0xFFFFFFFF) for i in range(3)]
    assert requests(script)[3:] == expected


def test_queues_without_a_program_get_an_end() -> None:
    script = Script(NANO)
    script.load_programs({})
    rows = {(address >> 3, word) for _, address, word in requests(script)}
    assert rows == {(1 << 27 | number << 6, Opcode.END) for number in range(len(queues(NANO)))}


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (np.zeros((2, 16), np.uint8), r"w0: uint8 rows \(2, 16\): must be uint8 \(1, 16\)"),
        (np.zeros((1, 15), np.uint8), r"w0: uint8 rows \(1, 15\): must be uint8 \(1, 16\)"),
        (np.zeros((1, 16), np.int8), r"w0: int8 rows \(1, 16\): must be uint8 \(1, 16\)"),
    ],
)
def test_wrong_rows_are_refused(rows: np.ndarray, text: str) -> None:
    with pytest.raises(SimError, match=text):
        Script(SMALL).write_rows("w0", [0], rows)


@pytest.mark.parametrize("address", [-1, 4 * 512])
def test_a_missing_row_is_refused(address: int) -> None:
    with pytest.raises(HostMapError, match=r"d0: slice -?\d+ row \d+: has 4 x 512"):
        Script(SMALL).read_rows("d0", [0, address])


def test_a_raised_flag_is_an_error_that_says_where() -> None:
    RunStatus.of(NANO, np.array([9, 0, 0, 0], np.uint32)).check()
    status = RunStatus.of(NANO, np.array([100, 6, 3, 42], np.uint32))
    assert status.cycles == 100
    with pytest.raises(HostError, match=r"core raised STREAM_CONFLICT, ROW_RANGE in cycle 42, queue w0\.r"):
        status.check()
