"""Folding: the folded program issues what was scheduled, in few instructions, and END is not late."""

from __future__ import annotations

import random

import pytest

from compiler.emit import emit
from compiler.fold import Issue, fold
from compiler.ir import CompileError
from golden.sequencer import expand
from hdl.config import LpuConfig, preset
from hdl.isa import Instruction, IntOp, Opcode, Source, queue

SMALL = preset("small")
NANO = preset("tiny").replace(program_rows=512)


def read(addr: int, count: int = 1, stride: int = 0, gap: int = 0) -> Instruction:
    return Instruction.of(Opcode.READ, addr=addr, count=count, stride=stride, gap=gap, stream=34)


def folded(issues: list[Issue], config: LpuConfig = SMALL, name: str = "d0.r", end: int = 0) -> list[str]:
    """The program of one queue, after checking that it issues exactly ``issues`` and ends in time."""
    last = max(cycle + i.duration for cycle, i in issues)
    program = fold(config, queue(config, name), issues, end or last)
    run = expand(config, {name: program})
    wanted = [
        (
            cycle + i * (instruction["gap"] + 1),
            (instruction["addr"] + i * instruction["stride"]) % (1 << config.addr_bits),
        )
        for cycle, instruction in issues
        for i in range(instruction["count"])
    ]
    if not name.endswith(("r", "w")) or name.startswith("mxm"):
        wanted = [(cycle, 0) for cycle, _ in wanted]
    assert [(e.cycle, e.addr) for e in run.elements[name]] == wanted
    assert run.ends[name] <= max(end, last)
    return [str(i.op.name) for i in program]


def test_an_idle_queue_only_ends() -> None:
    assert fold(SMALL, queue(SMALL, "d0.r"), [], 10) == (Instruction.of(Opcode.END),)


def test_steady_accesses_become_one_instruction() -> None:
    assert folded([(5 + 3 * i, read(7 + 2 * i)) for i in range(100)]) == ["NOP", "READ", "END"]


def test_single_elements_wait_without_nops() -> None:
    """As far as the gap can say; in a LOOP as well, and not where queues look no instruction ahead."""
    longest = (1 << SMALL.gap_bits) - 1
    cycles = (longest, longest + 3, longest + 9, 2 * longest + 11)
    issues = [(cycle, read(7).replace(stream=2 * i)) for i, cycle in enumerate(cycles)]
    assert folded(issues) == ["READ"] * 3 + ["NOP", "READ", "END"]
    flat = SMALL.replace(name="straight", loop_levels=0)
    assert folded(issues, flat) == ["NOP", "READ"] * 4 + ["END"]
    blocks = [(9 + 20 * i + cycle, read(addr)) for i in range(5) for cycle, addr in ((0, 3), (2, 50), (9, 20))]
    assert folded(blocks, end=9 + 100) == ["NOP", "LOOP", "READ", "READ", "READ", "NOP", "END"]


def test_addresses_may_step_down_and_wrap() -> None:
    addresses = 1 << SMALL.addr_bits
    assert folded([(i, read((10 - i) % addresses)) for i in range(20)]) == ["READ", "END"]


def test_three_levels_are_count_repeat_and_loop() -> None:
    issues = [(2 + 32 * m + 4 * n, read(4 * m, 4, 1)) for m in range(50) for n in range(8)]
    assert folded(issues) == ["LOOP", "READ", "REPEAT", "END"]


def test_without_idle_cycles_before_it_there_is_no_loop() -> None:
    issues = [(32 * m + 4 * n, read(4 * m, 4, 1)) for m in range(50) for n in range(8)]
    assert folded(issues) == ["READ", "REPEAT"] * 50 + ["END"]


BLOCK = ((0, 100, 1), (3, 5, 0), (5, 300, 1))
"""(cycle, address, whether it moves) of three reads."""


def test_loops_nest_as_deep_as_the_core_allows() -> None:
    issues = [
        (9 + 100 * a + 11 * b + cycle, read(addr + moves * (50 * a + 3 * b)))
        for a in range(5)
        for b in range(7)
        for cycle, addr, moves in BLOCK
    ]
    deep, flat = folded(issues), folded(issues, SMALL.replace(name="flat", loop_levels=1))
    assert deep[:2] == ["NOP", "LOOP"] and "LOOP" in deep[2:]
    assert len(deep) < len(flat)


def test_a_block_moves_by_one_stride_or_stays() -> None:
    issues = [(4 + 11 * i + cycle, read(addr + 6 * i * moves)) for i in range(30) for cycle, addr, moves in BLOCK]
    program = folded(issues)
    assert program.count("LOOP") == 1
    assert len(program) < 16
    two_strides = [(cycle, read(i["addr"] + number // 3 * (number % 3))) for number, (cycle, i) in enumerate(issues)]
    assert "LOOP" not in folded(two_strides)


def test_end_does_not_wait_for_the_idle_rest_of_a_period() -> None:
    issues = [(4 + 300 * i + t, read(addr)) for i in range(10) for t, addr in ((0, 3), (2, 9))]
    assert "LOOP" in folded(issues)


def test_gaps_longer_than_a_nop_are_filled() -> None:
    assert folded([(0, read(1)), (100_000, read(2)), (100_300, read(9))]) == [
        "READ", "NOP", "REPEAT", "NOP", "READ", "NOP", "READ", "END",
    ]  # fmt: skip


def test_instructions_whose_elements_are_numbered_are_not_merged() -> None:
    last = Instruction.of(Opcode.ALU, count=4, drive=1, last_only=1, op=IntOp.MAX, y_from=Source.INT, fold=1)
    program = fold(SMALL, queue(SMALL, "vxm0.i"), [(4 * i, last) for i in range(6)], 24)
    assert [str(i) for i in program] == [str(last), "REPEAT d=0 n=5", "END"]


def test_equal_elements_of_a_pipe_become_one_instruction() -> None:
    element = Instruction.of(Opcode.ALU, op=IntOp.ADD, y_from=Source.IMM, imm=3, drive=1)
    program = fold(SMALL, queue(SMALL, "vxm0.i"), [(7 + 2 * i, element) for i in range(6)], 24)
    assert [(i.op.name, i["count"], i["gap"]) for i in program[1:2]] == [("ALU", 6, 1)]
    assert len(program) == 3


@pytest.mark.parametrize("config", [SMALL, NANO], ids=["small", "tiny"])
@pytest.mark.parametrize("seed", range(30))
def test_any_sequence_survives_folding(config: LpuConfig, seed: int) -> None:
    """Few distinct gaps, addresses and counts, so that accidental and interrupted periods are frequent."""
    rng = random.Random(seed)
    issues: list[Issue] = []
    cycle, addr = rng.randrange(6), 0
    for _ in range(rng.choice((3, 40, 150))):
        instruction = read(addr % 128, rng.choice((1, 1, 1, 2)), rng.choice((0, 1)))
        issues.append((cycle, instruction))
        cycle += instruction.duration + rng.choice((0, 0, 1, 2, 5))
        addr += rng.choice((0, 1, 1, 4, -3))
    for repetition in range(rng.randrange(1, 5)):
        issues += [(issues[-1][0] + 10 + t, i) for t, i in issues[: rng.randrange(1, 20)]] if repetition else []
    folded(sorted(issues, key=lambda issue: issue[0]), config, end=cycle + 2000)


def test_lead_is_spent_only_when_programs_are_long() -> None:
    short = {"d0.r": [(32 * m + 4 * n, read(4 * m, 4, 1)) for m in range(8) for n in range(8)]}
    long = {"d0.r": [(32 * m + 4 * n, read(4 * m, 4, 1)) for m in range(100) for n in range(8)]}
    assert [emit(SMALL, issues).lead for issues in (short, long)] == [0, 2]


def test_a_program_that_cannot_be_folded_is_refused() -> None:
    rng = random.Random(1)
    issues = {"d0.r": [(40 * i + rng.randrange(30), read(rng.randrange(500))) for i in range(600)]}
    with pytest.raises(CompileError, match=r"queue d0.r: \d+ instructions: must be at most program_rows = 512"):
        emit(SMALL, issues)
