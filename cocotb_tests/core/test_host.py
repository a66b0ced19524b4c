"""The host port of a whole core, through ``sim``: SRAM round trips, registers, refusals."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cocotb_tests.core.programs import END, Item, programs, random_bytes, traced
from hdl.config import LpuConfig
from hdl.isa import Instruction, Opcode, queues, west
from hdl.link.hostmap import DEVICE_ID, Register, memory_groups, program_address, sram_address
from sim.build import build
from sim.run import play
from sim.script import HostError, Op, Script, as_rows

pytestmark = pytest.mark.rtl
CONFIG, NANO = traced("tiny"), traced("nano")


class RawScript(Script):
    """A script that may also ask for what is not there."""

    def write_word(self, address: int, word: int) -> None:
        self._add(Op.WRITE, address, word)

    def read_word(self, address: int) -> None:
        self._read([address])

    def start(self) -> None:
        self.write_register(Register.CONTROL, 1)


def test_round_trip_of_every_slice_of_every_group() -> None:
    """First and last rows of all slices hold what was written, after all of them were written."""
    script, rng, expected = Script(CONFIG), np.random.default_rng(1), []
    for unit in memory_groups(CONFIG):
        assert unit.memory is not None
        depth, bits = unit.memory.depth_rows, CONFIG.row_bits(unit.memory)
        ends = [s << bits | row for s in range(unit.memory.slices) for row in (0, 1, depth // 2, depth - 1)]
        rows = random_bytes(rng, len(ends), CONFIG.lanes)
        script.write_rows(unit.name, ends, rows)
        expected.append((unit.name, ends, rows))
    parts = [script.read_rows(name, ends) for name, ends, _ in expected]
    (words,) = play(build(CONFIG), [script])
    for part, (_, _, rows) in zip(parts, expected, strict=True):
        assert as_rows(CONFIG, words[part]).tolist() == rows.tolist()


def test_registers() -> None:
    script = Script(CONFIG)
    reads = [script.read_register(register) for register in (Register.ID, Register.FINGERPRINT, Register.STATUS)]
    (words,) = play(build(CONFIG), [script])
    assert [int(words[read][0]) for read in reads] == [DEVICE_ID, CONFIG.fingerprint, 0]


def test_a_second_run_repeats_the_first() -> None:
    """A program is not used up; its cycles are counted anew."""
    script = Script(CONFIG)
    read = Instruction.of(Opcode.READ, count=9, stream=west(4))
    script.load_programs(programs(CONFIG, [Item("", "d0.r", 12, read)]))
    runs = [script.run(limit=100) for _ in range(3)]
    (words,) = play(build(CONFIG), [script])
    assert [int(words[run][0]) for run in runs] == [12 + 9 + CONFIG.superlanes] * 3


def refused(script: Script, verb: str, address: int, config: LpuConfig = CONFIG) -> None:
    with pytest.raises(HostError, match=re.escape(f"core refused {verb} of host address {address:#010x}")):
        play(build(config), [script])


@pytest.mark.parametrize("address", [sram_address(CONFIG, CONFIG.unit("d0"), 0) | 1 << 29, int(Register.CONTROL), 99])
def test_reads_of_nothing_are_refused(address: int) -> None:
    script = RawScript(CONFIG)
    script.read_word(address)
    refused(script, "READ", address)


def test_weights_that_only_the_host_writes_cannot_be_read() -> None:
    """They are write only; the data groups of the same core are not."""
    script, rows = RawScript(NANO), random_bytes(np.random.default_rng(2), 2, NANO.lanes)
    script.write_rows("w0", [3, 255], rows)
    script.write_rows("d0", [3, 127], rows)
    part = script.read_rows("d0", [3, 127])
    (words,) = play(build(NANO), [script])
    assert as_rows(NANO, words[part]).tolist() == rows.tolist()
    address = sram_address(NANO, NANO.unit("w0"), 3)
    script.read_word(address)
    refused(script, "READ", address, NANO)


def test_programs_cannot_be_read() -> None:
    script, address = RawScript(CONFIG), program_address(CONFIG, queues(CONFIG)[0], 0)
    script.read_word(address)
    refused(script, "READ", address)


def test_a_register_that_says_something_cannot_be_written() -> None:
    script = RawScript(CONFIG)
    script.write_word(Register.CYCLES, 0)
    refused(script, "WRITE", Register.CYCLES)


@pytest.mark.parametrize("target", ["program", "sram", "start"])
def test_a_running_core_refuses(target: str) -> None:
    """The run goes on undisturbed, and afterwards the row is as it was."""
    addresses = {
        "program": program_address(CONFIG, queues(CONFIG)[0], 0),
        "sram": sram_address(CONFIG, CONFIG.unit("d0"), 5),
        "start": int(Register.CONTROL),
    }
    script = RawScript(CONFIG)
    script.load_programs({"sxm0": [Instruction.of(Opcode.NOP, n=200), END]})
    script.start()
    script.write_word(addresses[target], 1)
    refused(script, "WRITE", addresses[target])
