"""The host port: register map, program and SRAM windows, every refusal; answers in the exact cycle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from cocotb_tests.units.harness import Bench, Cycle, Stimulus
from hdl.config import MemoryGroup, preset
from hdl.isa import queues
from hdl.link.host import HostPort, settle_cycles
from hdl.link.hostmap import (
    DEVICE_ID,
    NO_QUEUE,
    REGION_SHIFT,
    Region,
    Register,
    memory_groups,
    program_address,
    program_words,
    row_words,
    sram_address,
)

pytestmark = pytest.mark.rtl
CONFIG = preset("duo").replace(
    name="link",
    lanes=48,
    hemispheres=2,
    streams_east=24,
    program_rows=32,
    weight_groups=(MemoryGroup(16, 100),),
    data_groups=(MemoryGroup(4, 24),),
)
"""Rows of 12 words in windows of 16, depths that are no powers of two, both hemispheres: every kind of hole."""
SETTLE = settle_cycles(CONFIG)
QUIET = ("start", "program_en", "write_poke", "read_poke", "drive_row")
"""Outputs that make something happen."""


@dataclass(frozen=True)
class Answer:
    """Of a request made in cycle ``start``: ready, and with it error and data, ``latency`` cycles later."""

    start: int
    latency: int
    error: bool
    r_data: int | None


@dataclass
class Host:
    """Requests one after the other, held until their answer, and what is expected of each."""

    stimulus: Stimulus = field(default_factory=Stimulus)
    held: dict[str, Any] = field(default_factory=dict)
    now: int = 1
    answers: list[Answer] = field(default_factory=list)

    def request(
        self, addr: int, w_data: int | None = None, *, error: bool = False, r_data: int | None = None, latency: int = 1
    ) -> int:
        """Write if ``w_data`` is given, else read; returns the cycle of the request."""
        start = self.now
        bus = {"bus__valid": 1, "bus__addr": addr, "bus__write": int(w_data is not None), "bus__w_data": w_data or 0}
        for t in range(start, start + latency + 1):
            self.stimulus.at(t, **bus, **self.held)
        self.now = start + latency + 1
        self.answers.append(Answer(start, latency, error, 0 if error else r_data))
        return start

    def refused(self, addr: int, w_data: int | None = None) -> int:
        return self.request(addr, w_data, error=True)

    def play(self, bench: Bench) -> list[Cycle]:
        """Run, check every answer and that nothing is answered otherwise, and that refusals do nothing."""
        response = bench.run(self.stimulus, extra=3)
        ready = {answer.start + answer.latency for answer in self.answers}
        assert [t for t, outputs in enumerate(response) if outputs["bus__ready"]] == sorted(ready)
        for answer in self.answers:
            outputs = response[answer.start + answer.latency]
            assert outputs["bus__error"] == answer.error, answer
            assert answer.r_data is None or outputs["bus__r_data"] == answer.r_data, answer
            if answer.error:
                after = response[answer.start + 1]
                assert not any(after[name] for name in QUIET), answer
                assert after["row"] == response[answer.start]["row"], answer
        return response


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(HostPort(CONFIG))


def sram(unit: str, addr: int, word: int = 0) -> int:
    return sram_address(CONFIG, CONFIG.unit(unit), addr, word)


def random_words(seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(32) for _ in range(row_words(CONFIG))]


def row_value(words: list[int]) -> int:
    return sum(word << 32 * i for i, word in enumerate(words))


# ----------------------------------------------------------------------------- registers


@pytest.mark.parametrize(("running", "done"), [(0, 0), (1, 0), (0, 1)])
def test_reading_registers(bench: Bench, running: int, done: int) -> None:
    host = Host(held={"running": running, "done": done, "cycles": 0x89ABCDEF})
    expected = {
        Register.ID: DEVICE_ID,
        Register.FINGERPRINT: CONFIG.fingerprint,
        Register.STATUS: running | done << 1,
        Register.CYCLES: 0x89ABCDEF,
        Register.ERRORS: 0,
        Register.ERROR_QUEUE: NO_QUEUE,
        Register.ERROR_CYCLE: 0,
    }
    for register, value in expected.items():
        host.request(register, r_data=value)
    host.play(bench)


def test_start(bench: Bench) -> None:
    """Only a 1 in bit 0 starts, for one cycle; not while running."""
    host = Host()
    started = host.request(Register.CONTROL, 1)
    again = host.request(Register.CONTROL, 0xFFFFFFFF)
    host.refused(Register.CONTROL, 2)
    host.held["running"] = 1
    host.refused(Register.CONTROL, 1)
    starts = [t for t, outputs in enumerate(host.play(bench)) if outputs["start"]]
    assert starts == [started + 1, again + 1]


def test_error_flags_are_sticky_and_the_first_is_kept(bench: Bench) -> None:
    host = Host()
    for flags, queue, cycle in ((0, 5, 7), (2, 9, 100), (4, 3, 101), (1, 8, 102)):
        host.stimulus.at(host.now, new_errors=flags, error_queue=queue, cycles=cycle)
        host.now += 1
    for register, value in ((Register.ERRORS, 7), (Register.ERROR_QUEUE, 9), (Register.ERROR_CYCLE, 100)):
        host.request(register, r_data=value)
    host.request(Register.ERRORS, 0)
    for register, value in ((Register.ERRORS, 0), (Register.ERROR_QUEUE, NO_QUEUE), (Register.ERROR_CYCLE, 0)):
        host.request(register, r_data=value)
    host.stimulus.at(host.now, new_errors=4, error_queue=2, cycles=55)
    host.now += 1
    for register, value in ((Register.ERRORS, 4), (Register.ERROR_QUEUE, 2), (Register.ERROR_CYCLE, 55)):
        host.request(register, r_data=value)
    host.play(bench)


# ------------------------------------------------------------------------------ programs


def test_program_words_commit_with_the_last(bench: Bench) -> None:
    """Every queue: the row appears once, when its last word is there."""
    rng, host, commits = random.Random(8), Host(), {}
    for number, queue in enumerate(queues(CONFIG)):
        words = [rng.getrandbits(32) for _ in range(program_words(CONFIG, queue.kind))]
        row = rng.randrange(CONFIG.program_rows)
        for i, word in enumerate(words):
            at = host.request(program_address(CONFIG, queue, row, i), word)
        commits[at + 1] = 1 << number, row, row_value(words), 32 * len(words)
    for t, outputs in enumerate(host.play(bench)):
        if t in commits:
            enable, row, value, bits = commits[t]
            assert (outputs["program_en"], outputs["program_row"]) == (enable, row)
            mask = (1 << min(bits, bench.width("program_word"))) - 1
            assert outputs["program_word"] & mask == value & mask
        else:
            assert outputs["program_en"] == 0, f"cycle {t}"


# ---------------------------------------------------------------------------------- SRAM


@pytest.mark.parametrize("number", range(len(memory_groups(CONFIG))))
def test_sram_write(bench: Bench, number: int) -> None:
    """The words of a row build it; the last one drives it, and holds the write until it has surely arrived."""
    unit, words, host = memory_groups(CONFIG)[number], random_words(number), Host()
    assert unit.memory is not None
    addr = (unit.memory.slices - 1) << CONFIG.row_bits(unit.memory) | unit.memory.depth_rows - 1
    for i, word in enumerate(words):
        last = i == len(words) - 1
        at = host.request(sram(unit.name, addr, i), word, latency=SETTLE + 1 if last else 1)
    window = range(at + 1, at + SETTLE + 1)
    for t, outputs in enumerate(host.play(bench)):
        assert outputs["write_poke"] == (1 << number if t in window else 0), f"cycle {t}"
        assert outputs["drive_row"] == (t in window) and outputs["read_poke"] == 0
        if t in window:
            assert (outputs["row"], outputs["poke_addr"]) == (row_value(words), addr)


@pytest.mark.parametrize("number", range(len(memory_groups(CONFIG))))
def test_sram_read(bench: Bench, number: int) -> None:
    """Word 0 fetches the row from its hemisphere; the other words come from that row, whatever row is asked for."""
    unit, words, host = memory_groups(CONFIG)[number], random_words(20 + number), Host()
    west_half = unit.outward == memory_groups(CONFIG)[0].outward
    rows = [row_value(words), row_value(random_words(99))]
    host.held["captured"] = rows if west_half else rows[::-1]
    at = host.request(sram(unit.name, 5), latency=SETTLE + 1, r_data=words[0])
    del host.held["captured"]
    for i in (11, 1, 5, 2):
        host.request(sram(unit.name, 7, i), r_data=words[i])
    window = range(at + 1, at + SETTLE + 1)
    for t, outputs in enumerate(host.play(bench)):
        assert outputs["read_poke"] == (1 << number if t in window else 0), f"cycle {t}"
        assert (outputs["drive_row"], outputs["write_poke"]) == (0, 0)
        assert t not in window or outputs["poke_addr"] == 5


# ------------------------------------------------------------------------------ refusals


def missing() -> dict[str, int]:
    """Addresses of nothing."""
    number_bits = 8
    beyond_queues = program_address(CONFIG, queues(CONFIG)[0], 0) | len(queues(CONFIG)) << number_bits
    w0, group_bits = sram("w0", 0), CONFIG.addr_bits + 4
    narrow = next(q for q in queues(CONFIG) if program_words(CONFIG, q.kind) == 1)
    return {
        "register": 8,
        "register high": 1 << 29 | Register.ID,
        "region 3": 3 << REGION_SHIFT,
        "queue": beyond_queues,
        "queue high": program_address(CONFIG, queues(CONFIG)[0], 0) | 1 << 29,
        "program word": program_address(CONFIG, narrow, 3, 1),
        "row of w0": w0 | 100 << 4,
        "last row of w0": w0 | 127 << 4,
        "slice of d0": sram("d0", 0) | 4 << 5 + 4,
        "row of d0": sram("d0", 0) | 24 << 4,
        "word": sram("d0", 0) | 12,
        "group": Region.SRAM << REGION_SHIFT | len(memory_groups(CONFIG)) << group_bits,
        "group high": w0 | 1 << 29,
    }


@pytest.mark.parametrize("name", missing())
@pytest.mark.parametrize("write", [True, False])
def test_nothing_is_there(bench: Bench, name: str, write: bool) -> None:
    host = Host()
    host.refused(missing()[name], 0xABCD if write else None)
    host.play(bench)


@pytest.mark.parametrize("register", [r for r in Register if r not in (Register.CONTROL, Register.ERRORS)])
def test_read_only_registers(bench: Bench, register: Register) -> None:
    host = Host()
    host.refused(register, 1)
    host.play(bench)


def test_write_only_windows(bench: Bench) -> None:
    host = Host()
    host.refused(Register.CONTROL)
    host.refused(program_address(CONFIG, queues(CONFIG)[0], 0))
    host.play(bench)


def test_programs_and_sram_are_closed_during_a_run(bench: Bench) -> None:
    host = Host(held={"running": 1})
    for queue in queues(CONFIG)[:2]:
        host.refused(program_address(CONFIG, queue, 1), 5)
    for word in (0, 11):
        host.refused(sram("d0", 3, word), 5)
        host.refused(sram("d0", 3, word))
    host.play(bench)


def test_a_refused_word_leaves_a_half_written_row_alone(bench: Bench) -> None:
    """Requests that are refused between the words of an instruction do not end up in it."""
    wide = next(q for q in queues(CONFIG) if program_words(CONFIG, q.kind) > 1)
    number, words = queues(CONFIG).index(wide), random_words(3)[: program_words(CONFIG, wide.kind)]
    host = Host()
    for i, word in enumerate(words):
        host.refused(missing()["queue"] | max(i - 1, 0), 0xDEADBEEF)
        host.refused(program_address(CONFIG, wide, 9, max(i - 1, 0)))
        at = host.request(program_address(CONFIG, wide, 4, i), word)
    response = host.play(bench)
    mask = (1 << min(32 * len(words), bench.width("program_word"))) - 1
    assert response[at + 1]["program_en"] == 1 << number
    assert response[at + 1]["program_word"] & mask == row_value(words) & mask
