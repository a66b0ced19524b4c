"""The host's side of the serial line: frames, lines that lose and damage bytes, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.fpga import line
from cocotb_tests.fpga.soft_board import Damage, SoftBoard
from fpga import FpgaError
from fpga.frames import exchanges
from fpga.link import BATCH, TRIES, LinkError, SerialCore, serial_line
from hdl.config import preset
from hdl.isa import Instruction, Opcode, queue
from hdl.link.hostmap import DEVICE_ID, Register, program_address, sram_address
from sim.script import HostError, Script

SMALL = preset("small")
N = BATCH + 88
"""Rows of a script: two batches."""
ROWS = np.random.default_rng(0).integers(0, 256, (N, 16), np.uint8)
FIRST = sram_address(SMALL, SMALL.unit("d0"), 0)


def board(**changes: object) -> SoftBoard:
    return SoftBoard({0: DEVICE_ID, 1: SMALL.fingerprint, 5: 0, 6: 0xFF, 7: 0}, **changes)  # type: ignore[arg-type]


def script() -> Script:
    """N rows, a run, all rows read back."""
    made = Script(SMALL)
    made.write_rows("d0", range(N), ROWS)
    made.run(1000)
    made.read_rows("d0", range(N))
    return made


def play(end: SoftBoard) -> np.ndarray:
    core = SerialCore(end, SMALL, silence=0)
    ((answer, _),) = core.play([script()])
    return answer


def check(end: SoftBoard) -> None:
    """What a script gives when it was executed once, in order."""
    answer = play(end)
    assert answer[:4].tolist() == [100, 0, 0xFF, 0]
    assert answer[4:].astype("<u4").tobytes() == ROWS.tobytes()
    assert end.starts == 1


def only(number: int, damage: Damage) -> Damage:
    """Damage to request, or the reply to request, ``number`` alone."""
    return lambda n, data: damage(n, data) if n == number else data


def test_frames_are_those_of_the_protocol() -> None:
    made = Script(SMALL)
    made.write_register(Register.ERRORS, 0)
    made.write_rows("d0", [3], ROWS[:1])
    made.load_program(queue(SMALL, "sxm0"), [Instruction.of(Opcode.NOP, n=3)])
    made.read_rows("d0", range(64))
    made.read_register(Register.CYCLES)
    found = [item.frame for item in exchanges(SMALL, made)]
    assert found[0] == line.write(5, 0)
    assert found[1] == line.write(FIRST + 12, *ROWS[0].view("<u4").tolist())
    assert found[2][2:6] == program_address(SMALL, queue(SMALL, "sxm0"), 0).to_bytes(4, "little")
    assert len(found[2]) == 8 + 4 * found[2][1]
    assert found[3:] == [line.read(FIRST, 252), line.read(FIRST + 252, 4), line.read(4)]


def test_a_whole_script() -> None:
    end = board()
    check(end)
    assert end.requests == 1 + N + 1 + 1 + 2 + 1 + 10  # who, rows, errors, start, polls, status, rows back


START = N + 2
NUMBERS = [0, 1, 40, BATCH, BATCH + 1, N, N + 1, START + 1, START + 2, START + 3, START + 4, START + 13]
FLIPPED = lambda n, data: bytes([*data[:-1], data[-1] ^ 1])  # noqa: E731
LOST = lambda n, data: b""  # noqa: E731
CUT = lambda n, data: data[:-1]  # noqa: E731


@pytest.mark.parametrize("side", ["to_board", "to_host"])
@pytest.mark.parametrize("damage", [FLIPPED, LOST, CUT], ids=["flipped", "lost", "cut"])
@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_damaged_is_asked_again(number: int, damage: Damage, side: str) -> None:
    """A request, or the reply to it."""
    end = board(**{side: only(number, damage)})
    check(end)
    assert end.silences >= 1


def test_a_start_that_was_damaged_is_repeated() -> None:
    check(board(to_board=only(START, FLIPPED)))


@pytest.mark.parametrize("damage", [FLIPPED, LOST, CUT], ids=["flipped", "lost", "cut"])
def test_a_start_whose_reply_is_lost_is_not_repeated(damage: Damage) -> None:
    end = board(to_host=only(START, damage))
    with pytest.raises(LinkError, match="whether it ran is not known"):
        play(end)
    assert end.starts == 1


def test_a_line_that_loses_everything() -> None:
    end = board(to_host=LOST)
    with pytest.raises(LinkError, match="no good reply to READ of 2 words at 0x00000000 in 3 tries"):
        play(end)
    assert end.requests == TRIES


def test_a_line_that_loses_every_write() -> None:
    end = board(to_board=lambda n, data: b"" if data[0] == ord("W") else data)
    with pytest.raises(LinkError, match=f"no good reply to WRITE of 4 words at {FIRST:#010x} in 3 tries"):
        play(end)


def test_another_device_and_another_core() -> None:
    with pytest.raises(LinkError, match="device 0x00000005 on the line: must be 0x4c505531"):
        play(SoftBoard({0: 5}))
    with pytest.raises(LinkError, match=r"core 0x00000007 on the board: must be .*, preset 'small'"):
        play(SoftBoard({0: DEVICE_ID, 1: 7}))


def test_what_the_core_refuses_is_not_repeated() -> None:
    end = board(to_board=lambda n, data: line.write(0xC0000000, 0, 0, 0, 0) if n == 5 else data)
    with pytest.raises(HostError, match=f"core answered REFUSED to WRITE of 4 words at {FIRST + 16:#010x}"):
        play(end)
    assert end.silences == 0


def test_a_write_during_a_run_is_an_error() -> None:
    end = board()
    end._polls = 10**6
    with pytest.raises(HostError, match=f"core answered BUSY to WRITE of 4 words at {FIRST:#010x}"):
        play(end)


def test_a_run_that_takes_too_long() -> None:
    with pytest.raises(HostError, match="did not finish within 1000 cycles"):
        play(board(run_polls=10**9, run_cycles=1001))


def test_what_a_board_cannot_do() -> None:
    made = Script(SMALL)
    made.reset()
    with pytest.raises(FpgaError, match="RESET: a board can only WRITE, READ and WAIT"):
        list(exchanges(SMALL, made))


def test_a_port_that_cannot_be_opened(tmp_path: Path) -> None:
    with (
        pytest.raises(LinkError, match=r"port .*none at 115200 baud: .*No such file"),
        serial_line(f"{tmp_path}/none", 115200),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkError, match=r"port .*file at 115200 baud: "), serial_line(f"{tmp_path}/file", 115200):
        pass


def test_progress_counts_exchanges() -> None:
    seen: list[tuple[int, int]] = []
    core = SerialCore(board(), SMALL, silence=0, progress=lambda done, total: seen.append((done, total)))
    list(core.play([script()]))
    assert seen[0] == (BATCH, N + 14) and seen[-1] == (N + 14, N + 14)
