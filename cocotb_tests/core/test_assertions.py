"""The in-design checks, each raised on purpose: flag, queue and cycle; a core without them raises nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.core.programs import Item, programs
from hdl.config import LpuConfig, MemoryGroup, PipeKind, preset
from hdl.isa import PIPE_LATENCY, Instruction, Opcode, Source, queue, queues, stream, west
from hdl.link.hostmap import NO_QUEUE, ErrorFlag, Register, program_address, program_words
from sim.build import build
from sim.run import play
from sim.script import Op, Script

pytestmark = [pytest.mark.rtl, pytest.mark.slow]
CHECKED = preset("tiny").replace(name="checked", data_groups=(MemoryGroup(4, 100),) * 2)
"""100 rows, so that there are addresses without a row."""
UNCHECKED = CHECKED.replace(assertions=False)
STATUS = (Register.CYCLES, Register.ERRORS, Register.ERROR_QUEUE, Register.ERROR_CYCLE)
FOREIGN = int(Opcode.ALU)


class RawScript(Script):
    """A script that may also write what :func:`hdl.isa.encode` refuses."""

    def write_word(self, address: int, word: int) -> None:
        self._add(Op.WRITE, address, word)


def run(config: LpuConfig, items: list[Item], words: dict[int, int] | None = None) -> tuple[int, ErrorFlag, int, int]:
    """(cycles, flags, number of the queue, its cycle) after a run; ``words`` replace words of the programs."""
    script = RawScript(config)
    script.load_programs(programs(config, items))
    for address, word in (words or {}).items():
        script.write_word(address, word)
    status = script.run(limit=1000)
    cycles, errors, number, cycle = (int(word) for word in play(build(config), [script])[0][status])
    return cycles, ErrorFlag(errors), number, cycle


def number_of(name: str) -> int:
    return queues(CHECKED).index(queue(CHECKED, name))


def conflict(first: int, second: int) -> list[Item]:
    """Two reads at one position, driving the same stream."""
    read = Instruction.of(Opcode.READ, stream=west(5), addr=3)
    return [Item("", "d0.r", first, read), Item("", "d1.r", second, read.replace(stream=west(5)))]


def test_stream_conflict() -> None:
    """Driven two cycles after issue; that is also when it is raised, and no single queue is to blame."""
    cycles, errors, number, cycle = run(CHECKED, conflict(20, 20))
    assert (errors, number, cycle) == (ErrorFlag.STREAM_CONFLICT, NO_QUEUE, 22)
    assert cycles == run(CHECKED, conflict(20, 20)[:1])[0]


def test_drives_in_different_cycles_are_no_conflict() -> None:
    assert run(CHECKED, conflict(20, 21))[1:] == (ErrorFlag(0), NO_QUEUE, 0)


def test_two_pipes_on_one_sg4() -> None:
    """Both drive in cycle 26, a latency and one after issue; a cycle apart they may."""
    ((direction, streams),) = CHECKED.drivable(CHECKED.unit("vxm0")).items()
    own = Instruction.of(Opcode.ALU, x_from=int(Source.INT), drive=1, out=stream(direction, streams[0]))
    first = Item("", "vxm0.i", 25 - PIPE_LATENCY[PipeKind.INT], own.replace(y_from=int(Source.IMM), out_wide=1))
    second = Item("", "vxm0.q", 25 - PIPE_LATENCY[PipeKind.REQUANT], own.replace(y_from=int(Source.INT)))
    assert run(CHECKED, [first, second])[1:] == (ErrorFlag.STREAM_CONFLICT, NO_QUEUE, 26)
    assert run(CHECKED, [first, second.moved(1)])[1] == ErrorFlag(0)


@pytest.mark.parametrize(("name", "op"), [("d0.r", Opcode.READ), ("d1.w", Opcode.WRITE), ("d1.r", Opcode.GATHER)])
def test_row_range(name: str, op: Opcode) -> None:
    """Row 100 of 100, in the last element of three; the access comes a cycle after issue."""
    walk = Instruction.of(op, addr=98, stride=1, count=3, stream=west(5))
    errors, number, cycle = run(CHECKED, [Item("", name, 30, walk)])[1:]
    assert (errors, number, cycle) == (ErrorFlag.ROW_RANGE, number_of(name), 33)


def test_the_last_row_is_in_range() -> None:
    walk = Instruction.of(Opcode.READ, addr=98, stride=1, count=2, stream=west(5))
    assert run(CHECKED, [Item("", "d0.r", 30, walk)])[1] == ErrorFlag(0)


def test_a_write_beyond_the_last_row_is_dropped() -> None:
    """It does not wrap to the rows that do exist."""
    config, script = CHECKED, Script(CHECKED)
    rows = np.arange(100 * config.lanes, dtype=np.uint8).reshape(100, config.lanes)
    script.write_rows("d0", range(100), rows)
    walk = Instruction.of(Opcode.WRITE, addr=100, stride=1, count=28, stream=west(5))
    script.load_programs(programs(config, [Item("", "d0.w", 5, walk)]))
    script.run(limit=1000)
    kept = script.read_rows("d0", range(100))
    found = play(build(config), [script])[0][kept]
    assert found.astype("<u4").view(np.uint8).reshape(100, config.lanes).tolist() == rows.tolist()


def illegal(config: LpuConfig, name: str, opcode: int) -> dict[int, int]:
    """Replace row 1 of a queue."""
    target = queue(config, name)
    words = range(program_words(config, target.kind))
    return {program_address(config, target, 1, word): 0 if word else opcode for word in words}


@pytest.mark.parametrize("name", ["mxm0.w", "mxm0.a", "sxm0", "w0.r", "w0.w", "d1.r", "d1.w"])
def test_illegal_opcode(name: str) -> None:
    """It comes after a NOP of 7, in cycle 7, and ends its queue."""
    wait = Instruction.of(Opcode.NOP, n=7)
    items = [Item("", name, 0, wait)]
    cycles, errors, number, cycle = run(CHECKED, items, illegal(CHECKED, name, FOREIGN))
    assert (errors, number, cycle) == (ErrorFlag.ILLEGAL_OPCODE, number_of(name), 7)
    assert cycles == 7 + CHECKED.superlanes


def test_the_first_flag_is_named() -> None:
    """An illegal opcode in cycle 7, a row out of range in 33: both flags, the place of the first."""
    far = Instruction.of(Opcode.READ, addr=127, stream=west(5))
    items = [Item("", "sxm0", 0, Instruction.of(Opcode.NOP, n=7)), Item("", "d0.r", 32, far)]
    errors, number, cycle = run(CHECKED, items, illegal(CHECKED, "sxm0", FOREIGN))[1:]
    assert (errors, number, cycle) == (ErrorFlag.ILLEGAL_OPCODE | ErrorFlag.ROW_RANGE, number_of("sxm0"), 7)


def test_without_assertions_nothing_is_raised() -> None:
    """The same faults on a core without the checks: the program runs to its end, unflagged."""
    far = Instruction.of(Opcode.READ, addr=127, stream=west(4))
    items = [*conflict(20, 20), Item("", "sxm0", 0, Instruction.of(Opcode.NOP, n=7)), Item("", "d0.r", 30, far)]
    words = illegal(UNCHECKED, "sxm0", FOREIGN)
    assert run(UNCHECKED, items, words)[1:] == (ErrorFlag(0), NO_QUEUE, 0)
    assert run(CHECKED, items, words)[1] == ErrorFlag(7)
