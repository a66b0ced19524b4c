"""golden/sequencer.py: hand-computed examples, random programs against their block tree, every error."""

from __future__ import annotations

import random
import time

import pytest

from golden.sequencer import SequenceError, expand
from hdl.config import preset
from hdl.isa import Instruction, Opcode

SMALL = preset("small")
DUO = preset("duo")
ADDR_MASK = (1 << SMALL.addr_bits) - 1


def ins(op: Opcode, **values: int) -> Instruction:
    return Instruction.of(op, **values)


END = ins(Opcode.END)
SYNC = ins(Opcode.SYNC)
NOTIFY = ins(Opcode.NOTIFY)
READ = ins(Opcode.READ)


def nop(n: int) -> Instruction:
    return ins(Opcode.NOP, n=n)


def issued(*program: Instruction, queue: str = "d0.r") -> tuple[list[tuple[int, int, int, int]], int]:
    """(cycle, pc, number, addr) of each element of one queue, and the cycle of its END."""
    expansion = expand(SMALL, {queue: program})
    elements = [(e.cycle, e.pc, e.number, e.addr) for e in expansion.elements[queue]]
    return elements, expansion.ends[queue]


def test_count_gap_and_nop() -> None:
    elements, end = issued(ins(Opcode.READ, count=3, gap=2, addr=4, stride=5), nop(5), READ, END)
    assert elements == [(0, 0, 0, 4), (3, 0, 1, 9), (6, 0, 2, 14), (12, 2, 0, 0)]
    assert end == 13


def test_repeat_restarts_number_and_adds_stride_per_repetition() -> None:
    read = ins(Opcode.READ, count=2, gap=1, addr=5, stride=1)
    elements, end = issued(read, ins(Opcode.REPEAT, n=2, d=3, stride=10), END)
    assert elements == [(0, 0, 0, 5), (2, 0, 1, 6), (6, 0, 0, 15), (8, 0, 1, 16), (12, 0, 0, 25), (14, 0, 1, 26)]
    assert end == 15


def test_repeat_of_nop_only_waits() -> None:
    elements, end = issued(nop(4), ins(Opcode.REPEAT, n=3, d=2), READ, END)
    assert elements == [(22, 2, 0, 0)]
    assert end == 23


def test_nested_loops_add_the_strides_their_masks_name() -> None:
    elements, end = issued(
        ins(Opcode.LOOP, n=2, length=5, stride=100),
        ins(Opcode.READ, addr=1, mask=0b01),
        ins(Opcode.LOOP, n=3, length=2, stride=7),
        ins(Opcode.READ, addr=2, mask=0b11),
        ins(Opcode.READ, addr=3, mask=0b10),
        nop(2),
        END,
    )
    first = [(2, 1, 1), (5, 3, 2), (6, 4, 3), (7, 3, 9), (8, 4, 10), (9, 3, 16), (10, 4, 17)]
    second = [(13, 1, 101), (16, 3, 102), (17, 4, 3), (18, 3, 109), (19, 4, 10), (20, 3, 116), (21, 4, 17)]
    assert [(cycle, pc, addr) for cycle, pc, _, addr in elements] == first + second
    assert end == 24


def test_blocks_may_end_together_and_the_inner_loop_costs_its_entry_every_time() -> None:
    elements, end = issued(ins(Opcode.LOOP, n=2, length=2), ins(Opcode.LOOP, n=2, length=1), READ, END)
    assert [cycle for cycle, *_ in elements] == [4, 5, 8, 9]
    assert end == 10


def test_repeat_within_a_loop_uses_the_iterations_base() -> None:
    read, repeat = ins(Opcode.READ, addr=1, mask=1), ins(Opcode.REPEAT, n=1, d=0, stride=2)
    elements, _ = issued(ins(Opcode.LOOP, n=2, length=2, stride=50), read, repeat, END)
    assert [(cycle, addr) for cycle, _, _, addr in elements] == [(2, 1), (3, 3), (4, 51), (5, 53)]


def test_addresses_wrap_and_other_queues_have_none() -> None:
    elements, _ = issued(ins(Opcode.READ, count=3, addr=1, stride=-1), END)
    assert [addr for *_, addr in elements] == [1, 0, ADDR_MASK]
    elements, _ = issued(ins(Opcode.ALU, count=2), END, queue="vxm0.m")
    assert elements == [(0, 0, 0, 0), (1, 0, 1, 0)]


def test_notify_releases_sync_two_cycles_later() -> None:
    programs = {"d0.r": [SYNC, READ, END], "w0.r": [nop(5), NOTIFY, READ, END], "vxm0.i": [nop(6), SYNC, END]}
    expansion = expand(SMALL, programs)
    assert [e.cycle for e in expansion.elements["d0.r"]] == [7]
    assert [e.cycle for e in expansion.elements["w0.r"]] == [6]
    assert expansion.ends["vxm0.i"] == 7, "a SYNC reached in the cycle after the NOTIFY still counts"
    assert expansion.cycles == 8 + SMALL.superlanes


def test_a_single_element_comes_after_its_gap() -> None:
    """Not so where it is repeated, nor in queues that look no instruction ahead."""
    single, repeated = ins(Opcode.READ, gap=5), ins(Opcode.REPEAT, n=2, d=3)
    assert issued(single, repeated, READ, END) == ([(5, 0, 0, 0), (9, 0, 0, 0), (13, 0, 0, 0), (14, 2, 0, 0)], 15)
    straight = expand(SMALL.replace(loop_levels=0), {"d0.r": [nop(2), single, single, END]})
    assert [e.cycle for e in straight.elements["d0.r"]] == [2, 3]


def test_a_queue_releases_itself() -> None:
    assert issued(NOTIFY, SYNC, READ, END) == ([(2, 2, 0, 0)], 3)


def test_released_queues_may_release_others() -> None:
    programs = {
        "d0.r": [SYNC, nop(3), NOTIFY, SYNC, END],
        "d1.r": [nop(20), SYNC, END],
        "d2.r": [nop(10), NOTIFY, nop(30), NOTIFY, END],
        "w0.r": [SYNC, SYNC, END],
    }
    ends = expand(SMALL, programs).ends
    # NOTIFY in 10 (d2), 15 (d0: released to 12, waits 3) and 41 (d2).
    assert (ends["d0.r"], ends["w0.r"], ends["d1.r"], ends["d2.r"]) == (17, 17, 43, 42)


def test_absent_queues_end_at_once() -> None:
    expansion = expand(DUO, {})
    assert set(expansion.ends.values()) == {0}
    assert expansion.cycles == 2
    assert not any(expansion.elements.values())


# ---------------------------------------------------------------- random programs


class _Tree:
    """A random program as a tree of blocks, and what it issues, computed by recursion over the tree."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.program: list[Instruction] = []
        self.tree = self._block(0, 4)
        self.program.append(END)

    def _block(self, depth: int, size: int) -> list[tuple]:
        nodes: list[tuple] = []
        for _ in range(size):
            if depth < SMALL.loop_levels and self.rng.random() < 0.4:
                n, stride, pc = self.rng.randint(1, 3), self.rng.randint(-9, 9), len(self.program)
                self.program.append(END)  # replaced below, when the length is known
                inner = self._block(depth + 1, self.rng.randint(1, 3))
                self.program[pc] = ins(Opcode.LOOP, n=n, length=len(self.program) - pc - 1, stride=stride)
                nodes.append(("loop", n, stride, inner))
            else:
                nodes.append(self._unit())
        return nodes

    def _unit(self) -> tuple:
        pick, pc = self.rng.randint, len(self.program)
        unit = dict(count=pick(1, 3), gap=pick(0, 2), addr=pick(0, 50), stride=pick(-3, 3), mask=pick(0, 3))
        self.program.append(ins(Opcode.READ, **unit))
        n = d = stride = 0
        if self.rng.random() < 0.5:
            n, d, stride = pick(1, 3), pick(0, 3), pick(-9, 9)
            self.program.append(ins(Opcode.REPEAT, n=n, d=d, stride=stride))
        return ("unit", pc, unit, n, d, stride)

    def walk(self) -> tuple[list[tuple[int, int, int, int]], int]:
        out: list[tuple[int, int, int, int]] = []
        return out, self._walk(self.tree, 0, [], out)

    def _walk(self, nodes: list[tuple], t: int, offsets: list[int], out: list[tuple[int, int, int, int]]) -> int:
        for node in nodes:
            if node[0] == "loop":
                _, n, stride, inner = node
                t += 2
                for i in range(n):
                    t = self._walk(inner, t, [*offsets, i * stride], out)
                continue
            _, pc, unit, n, d, stride = node
            base = unit["addr"] + sum(o for k, o in enumerate(offsets) if unit["mask"] & (1 << k))
            for repetition in range(n + 1):
                pause = unit["gap"] if unit["count"] == 1 else 0
                t += d if repetition else pause
                for i in range(unit["count"]):
                    addr = base + repetition * stride + i * unit["stride"]
                    out.append((t + i * (unit["gap"] + 1), pc, i, addr % (ADDR_MASK + 1)))
                t += (unit["count"] - 1) * (unit["gap"] + 1) + 1
        return t


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_issue_what_their_tree_says(seed: int) -> None:
    tree = _Tree(seed)
    assert issued(*tree.program) == tree.walk()


def test_fifty_thousand_elements_take_about_a_second_at_most() -> None:
    start = time.process_time()
    elements, _ = issued(ins(Opcode.LOOP, n=1000, length=1), ins(Opcode.READ, count=60), END)
    assert len(elements) == 60_000
    assert time.process_time() - start < 3


# ------------------------------------------------------------------------ errors

REPEAT = ins(Opcode.REPEAT, n=1, d=0)
LOOP1 = ins(Opcode.LOOP, n=2, length=1)
LOOP2 = ins(Opcode.LOOP, n=2, length=2)
BAD_PROGRAMS = {
    "repeat first": ([REPEAT, END], r"queue d0\.r, pc 0: REPEAT .*must directly follow a unit instruction or NOP"),
    "repeat after repeat": ([READ, REPEAT, REPEAT, END], r"pc 2: REPEAT .*must directly follow"),
    "repeat after notify": ([NOTIFY, REPEAT, END], r"pc 1: REPEAT .*must directly follow"),
    "repeat first in block": ([READ, LOOP1, REPEAT, END], r"pc 2: REPEAT .*must directly follow"),
    "repeat after block": ([LOOP1, READ, REPEAT, END], r"pc 2: REPEAT .*must directly follow"),
    "loop past end": ([ins(Opcode.LOOP, n=2, length=3), READ, END], r"pc 0: LOOP .*runs past the program end \(3 inst"),
    "end in loop": ([LOOP2, READ, END, END], r"pc 0: LOOP .*must not contain END"),
    "crossing": (
        [LOOP2, READ, LOOP2, READ, READ, END],
        r"pc 2: LOOP .*must end within its outer block \(pc 2\)",
    ),
    "too deep": (
        [ins(Opcode.LOOP, n=1, length=3), LOOP2, LOOP1, READ, END],
        r"pc 2: LOOP .*nested deeper than loop_levels = 2",
    ),
    "no end": ([READ, READ], r"queue d0\.r, pc 2: missing END"),
    "empty": ([], r"queue d0\.r, pc 0: missing END"),
    "never released": ([nop(3), NOTIFY, nop(1), SYNC, END], r"pc 3: SYNC: waits from cycle 5, no NOTIFY releases it"),
    "too long": ([READ] * 512 + [END], r"513 instructions: must be at most program_rows = 512"),
    "foreign opcode": ([READ, ins(Opcode.WRITE), END], r"pc 1: WRITE: not an instruction of a mem\.r queue"),
}


@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_errors_name_queue_pc_and_rule(name: str) -> None:
    program, message = BAD_PROGRAMS[name]
    with pytest.raises(SequenceError, match=message):
        expand(SMALL, {"d0.r": program})


def test_unknown_queue() -> None:
    with pytest.raises(SequenceError, match=r"queue d9\.r: not a queue of config 'small'; queues: mxm0\.w"):
        expand(SMALL, {"d9.r": [END]})
