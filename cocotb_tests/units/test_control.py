"""The controller with its issue queues and loop stacks against ``golden.sequencer.expand``, cycle by cycle."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from cocotb_tests.units.harness import Bench, Cycle, Stimulus
from cocotb_tests.units.sequences import END, SequenceWriter, reads_with_loops
from golden.sequencer import SequenceError, expand
from hdl.config import LpuConfig, preset
from hdl.control.controller import Controller
from hdl.isa import (
    CONTROL_OPCODES,
    OPCODE_BITS,
    Element,
    Instruction,
    Opcode,
    Queue,
    encode,
    has_address,
    queues,
    unit_opcodes,
)
from hdl.layouts import issue_layout, port_name

pytestmark = pytest.mark.rtl
CONFIG = preset("tiny").replace(loop_levels=2, gap_bits=4, count_bits=4)
STRAIGHT = CONFIG.replace(name="straight", loop_levels=0)
FIRST_ISSUE, FIRST_STRAIGHT_ISSUE = 3, 1
"""Cycles from start to T = 0."""
Programs = Mapping[str, Sequence[Instruction]]


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Controller(CONFIG))


@pytest.fixture(scope="module")
def straight() -> Bench:
    return Bench(Controller(STRAIGHT))


class Session:
    """A stimulus of several runs, one after the other on one controller."""

    def __init__(self, config: LpuConfig) -> None:
        self.stimulus, self.now = Stimulus(), 0
        self._lead = FIRST_ISSUE if config.loop_levels else FIRST_STRAIGHT_ISSUE
        self._queues = queues(config)

    def load(self, words: Mapping[str, Sequence[int]]) -> None:
        for number, queue in enumerate(self._queues):
            for row, word in enumerate(words[queue.name]):
                self.stimulus.at(self.now, program_en=1 << number, program_row=row, program_word=word)
                self.now += 1

    def start(self, cycles: int) -> int:
        """Start; returns the cycle of T = 0. The next run begins when this one is over."""
        self.stimulus.at(self.now, start=1)
        first = self.now + self._lead
        self.now = first + cycles + 3
        return first


def encoded(programs: Programs, config: LpuConfig = CONFIG) -> dict[str, list[int]]:
    return {q.name: [encode(config, q.kind, i) for i in programs.get(q.name, [END])] for q in queues(config)}


def play(bench: Bench, cases: Sequence[Programs], config: LpuConfig = CONFIG) -> None:
    """Run the programs one after the other and compare every cycle of each."""
    session, starts = Session(config), []
    for programs in cases:
        session.load(encoded(programs, config))
        starts.append(session.start(expand(config, programs).cycles))
    response = bench.run(session.stimulus, extra=session.now - session.stimulus.cycles)
    for number, (programs, first) in enumerate(zip(cases, starts, strict=True)):
        check_run(config, programs, response[first:], f"program {number}")
        lead = FIRST_ISSUE if config.loop_levels else FIRST_STRAIGHT_ISSUE
        assert [response[first - ago]["running"] for ago in range(lead, 0, -1)] == [0, *[1] * (lead - 1)]


def check_run(config: LpuConfig, programs: Programs, response: Sequence[Cycle], place: str) -> None:
    expansion = expand(config, programs)
    for queue in queues(config):
        elements = {element.cycle: element for element in expansion.elements[queue.name]}
        for cycle in range(expansion.cycles + 2):
            check_issue(config, queue, elements.get(cycle), response[cycle], f"{place}, {queue.name}, cycle {cycle}")
    for cycle in range(expansion.cycles + 1):
        assert (response[cycle]["running"], response[cycle]["done"], response[cycle]["cycles"]) == (1, 0, cycle)
    after = response[expansion.cycles + 1]
    assert (after["running"], after["done"], after["cycles"]) == (0, 1, expansion.cycles), place
    assert not any(cycle["illegal"] for cycle in response[: expansion.cycles + 2])


def check_issue(config: LpuConfig, queue: Queue, element: Element | None, outputs: Cycle, place: str) -> None:
    name = port_name(queue)
    seen = outputs[name]
    assert seen["valid"] == (element is not None), place
    if element is None:
        return
    expected = {"valid": 1, "op": int(element.instruction.op), "first": int(element.first), "last": int(element.last)}
    if has_address(queue.kind):
        expected["addr"] = element.addr
    fields = [field for field, _ in issue_layout(config, queue.kind)]
    instruction = {"operation": element.instruction["op"]}
    expected = {f: expected.get(f, instruction.get(f, element.instruction[f])) for f in fields}
    assert {field: seen[field] for field in fields} == expected, place
    assert outputs[f"{name}_pc"] == element.pc, place


def random_cases(seed: int, count: int, config: LpuConfig = CONFIG) -> list[Programs]:
    """Programs that end; those that wait for a NOTIFY that never comes are drawn again."""
    writer = SequenceWriter(config, random.Random(seed))
    cases: list[Programs] = []
    while len(cases) < count:
        programs = writer.programs()
        try:
            expand(config, programs)
        except SequenceError as error:
            assert "no NOTIFY releases it" in str(error)
            continue
        cases.append(programs)
    return cases


@pytest.mark.parametrize("seed", range(3))
def test_random_programs_issue_as_the_sequencer_expands_them(bench: Bench, seed: int) -> None:
    play(bench, random_cases(seed, 6))


@pytest.mark.parametrize("seed", range(2))
def test_straight_queues_issue_as_the_sequencer_expands_their_programs(straight: Bench, seed: int) -> None:
    play(straight, random_cases(seed, 8, STRAIGHT), STRAIGHT)


def test_edges_of_straight_queues(straight: Bench) -> None:
    """No program; the longest gap and count; the last row; SYNC races; an opcode that only other cores have."""
    read, nop = Instruction.of(Opcode.READ, addr=5), Instruction.of(Opcode.NOP, n=1)
    longest = Instruction.of(Opcode.READ, count=15, gap=15, stride=-1)
    sync, notify = Instruction.of(Opcode.SYNC), Instruction.of(Opcode.NOTIFY)
    cases: list[Programs] = [
        {},
        {"d0.r": [longest, Instruction.of(Opcode.NOP, n=15), longest, END], "d1.r": [*[read] * 63, END]},
        {"d0.r": [sync, read, END], "d1.r": [nop, notify, sync, END], "d0.w": [nop, nop, nop, nop, notify, END]},
        {"d0.r": [notify, sync, read, END], "d1.r": [sync, read, END]},
    ]
    play(straight, cases, STRAIGHT)
    session = Session(STRAIGHT)
    session.load(encoded({}, STRAIGHT) | {"d0.r": [int(Opcode.LOOP)]})
    first = session.start(cycles=STRAIGHT.superlanes)
    response = straight.run(session.stimulus, extra=4)
    mask = 1 << [q.name for q in queues(STRAIGHT)].index("d0.r")
    assert [response[first + cycle]["illegal"] for cycle in range(-1, 3)] == [0, mask, mask, mask]
    assert not any(response[first + cycle]["d0_r"]["valid"] for cycle in range(-1, 3))


def test_edges(bench: Bench) -> None:
    """No program; one element; loops that end together; the longest gap; the last row; LOOP after LOOP; SYNC races."""
    read, nop = Instruction.of(Opcode.READ, addr=5), Instruction.of(Opcode.NOP, n=1)
    longest = Instruction.of(Opcode.READ, count=15, gap=15, stride=-1)
    loop = Instruction.of(Opcode.LOOP, n=15, length=1, stride=1)
    sync, notify = Instruction.of(Opcode.SYNC), Instruction.of(Opcode.NOTIFY)
    cases: list[Programs] = [
        {},
        {"d0.r": [read, END]},
        {"d0.r": reads_with_loops(CONFIG), "d1.r": [nop, *reads_with_loops(CONFIG)[:-1], read, END]},
        {"d0.r": [longest, END], "d1.r": [loop, read.replace(mask=1), loop, read.replace(mask=1, count=2), END]},
        {"d0.r": [*[read] * 63, END], "d1.r": [Instruction.of(Opcode.LOOP, n=2, length=62), *[read] * 62, END]},
        {"d0.r": [sync, read, END], "d1.r": [nop, notify, sync, END], "d0.w": [nop, nop, nop, nop, notify, END]},
        {"d0.r": [notify, sync, read, END], "d1.r": [sync, read, END]},
    ]
    play(bench, cases)


def test_a_program_cannot_begin_with_repeat(bench: Bench) -> None:
    """Neither on a fresh core nor after a run that left an instruction behind: flagged in T = 0, nothing issued."""
    repeat, session, runs = Instruction.of(Opcode.REPEAT, n=3, d=1), Session(CONFIG), []
    for queue in queues(CONFIG):
        words = encoded({}) | {queue.name: [encode(CONFIG, queue.kind, repeat), encode(CONFIG, queue.kind, END)]}
        session.load(words)
        runs.append((queue, session.start(cycles=CONFIG.superlanes)))
        session.load(encoded({queue.name: [Instruction.of(unit_opcodes(CONFIG, queue.kind)[0]), END]}))
        session.start(cycles=1 + CONFIG.superlanes)
    response = bench.run(session.stimulus, extra=8)
    for queue, first in runs:
        mask = 1 << queues(CONFIG).index(queue)
        assert [response[first + cycle]["illegal"] for cycle in range(-1, 2)] == [0, mask, mask]
        assert response[first + 2]["done"] and response[first + 2]["cycles"] == CONFIG.superlanes
        assert not any(response[first + cycle][port_name(queue)]["valid"] for cycle in range(-1, 3))


def test_an_illegal_opcode_ends_its_queue_and_names_it(bench: Bench) -> None:
    """Every opcode on every queue that does not know it: flagged in its issue cycle, nothing issued."""
    wait, session, runs = Instruction.of(Opcode.NOP, n=2), Session(CONFIG), []
    for code in range(1 << OPCODE_BITS):
        foreign = [q for q in queues(CONFIG) if code not in CONTROL_OPCODES.union(unit_opcodes(CONFIG, q.kind))]
        words = {q.name: [encode(CONFIG, q.kind, wait), code if q in foreign else 0] for q in queues(CONFIG)}
        session.load(words)
        runs.append((session.start(cycles=2 + CONFIG.superlanes), sum(1 << queues(CONFIG).index(q) for q in foreign)))
    response = bench.run(session.stimulus, extra=8)
    for first, mask in runs:
        assert [response[first + cycle]["illegal"] for cycle in range(4)] == [0, 0, mask, mask]
        assert response[first + 4]["done"] and response[first + 4]["cycles"] == 2 + CONFIG.superlanes
        assert not any(response[first + cycle][port_name(q)]["valid"] for cycle in range(4) for q in queues(CONFIG))
