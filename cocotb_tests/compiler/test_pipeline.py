"""lower/pipeline.py: when operations issue, what they hold, and what they become."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.bundle import BundleBuilder, Hold
from compiler.ir import CompileError
from compiler.lower.pipeline import FLAG, Imm, Own, Pipeline, PipelineError, Reg, Rows, Swap, Via
from compiler.place import Allocation
from compiler.schedule import schedule
from hdl.config import PipeKind, preset
from hdl.isa import PIPE_LATENCY, AddOp, Instruction, IntOp, MulOp, Opcode, SfuOp, Source

SMALL = preset("small")
INT, MUL, ADD, SFU = (PIPE_LATENCY[kind] for kind in (PipeKind.INT, PipeKind.MUL, PipeKind.ADD, PipeKind.SFU))


def rows(group: int, addr: int = 0, count: int = 8, wide: bool = True) -> Rows:
    return Rows(Allocation(SMALL.unit(f"d{group}"), addr, count, 1, wide), addr, 1)


class Trial:
    """A pipeline, and its instructions by queue with the first operation of the test in cycle 0."""

    def __init__(self) -> None:
        self.b = BundleBuilder(SMALL, "op")
        self.v = Pipeline(SMALL, self.b)

    def issues(self, pipe: str) -> list[tuple[int, Instruction]]:
        found = [(slot.cycle, slot.instruction) for slot, _ in self.b._slots if slot.queue.name == f"vxm0.{pipe}"]
        return sorted(found, key=lambda issue: issue[0])

    def cycles(self, pipe: str) -> list[int]:
        return [cycle for cycle, _ in self.issues(pipe)]

    def holds(self, resource: str) -> set[int]:
        return {h.cycle + i for h in self.b._holds if h.resource == resource for i in range(h.length)}


@pytest.fixture
def trial() -> Trial:
    return Trial()


@pytest.mark.parametrize("name", ["small", "duo"])
@pytest.mark.parametrize("count", [1, 4])
def test_rows_that_the_bundle_writes_are_read_the_cycle_after(name: str, count: int) -> None:
    """However far the memory is."""
    config = preset(name)
    b = BundleBuilder(config, "op")
    v, there = Pipeline(config, b), Rows(Allocation(config.unit("d0"), 3, 4, 1, True), 3, 1)
    v.op(IntOp.PASS, Imm(7), count=count, to=there)
    v.op(AddOp.I2F, there, count=count)
    slots = {slot.queue.name: slot for slot in b.build().slots}
    assert slots["d0.r"].cycle == slots["d0.w"].cycle + 1


# ------------------------------------------------------------------------- time


def test_a_result_is_taken_when_it_leaves_its_pipe(trial: Trial) -> None:
    v = trial.v
    product = v.op(MulOp.FMUL, rows(0), Imm.of(2.0))
    assert product.ready == MUL
    power = v.op(SfuOp.EXP2, product)
    total = v.op(AddOp.FADD, power, Imm.of(1.0))
    v.op(IntOp.PASS, total)
    assert [trial.cycles(pipe) for pipe in "msai"] == [[0], [MUL], [MUL + SFU], [MUL + SFU + ADD]]
    assert not trial.b._holds


def test_a_register_that_is_sent_again_and_again_stays_until_it_comes_back() -> None:
    """With a latency of 2, the second of the elements takes what was there before the first one as well."""
    config = SMALL.replace(operand_registers=(PipeKind.INT,))
    b = BundleBuilder(config, "op")
    v = Pipeline(config, b)
    first = v.op(IntOp.ADD, rows(0), Imm(1))
    v.op(IntOp.PASS, Own(first), count=4)
    assert [slot.cycle for slot, _ in b._slots if slot.queue.name == "vxm0.i"] == [0, 2]
    assert [(h.resource, h.cycle, h.length) for h in b._holds] == [("vxm0.i", 1, 1)]


def test_the_later_of_two_operands_decides_and_the_other_register_is_held(trial: Trial) -> None:
    v = trial.v
    waiting = v.op(IntOp.PASS, rows(0))
    product = v.op(MulOp.FMUL, rows(1), rows(2))
    assert v.op(AddOp.FADD, waiting, product).ready == MUL + ADD
    assert trial.holds("vxm0.i") == {1, 2}
    assert trial.holds("vxm0.m") == set()
    v.op(IntOp.PASS, rows(0, 4))
    assert trial.cycles("i") == [0, MUL]


def test_a_register_that_has_been_replaced_cannot_be_taken(trial: Trial) -> None:
    v = trial.v
    first = v.op(IntOp.PASS, rows(0))
    v.op(IntOp.PASS, rows(0, 1))
    with pytest.raises(PipelineError, match=r"^op: no cycle for FADD of the ADD pipe$"):
        v.op(AddOp.FADD, first, Imm.of(1.0), earliest=2)
    assert issubclass(PipelineError, CompileError)


def test_an_element_may_still_be_taken_in_the_cycle_in_which_the_next_one_is_issued(trial: Trial) -> None:
    first = trial.v.op(IntOp.PASS, rows(0))
    trial.v.op(IntOp.PASS, rows(0, 1))
    assert trial.v.op(AddOp.FADD, first, Imm.of(1.0)).ready == INT + ADD


def test_one_result_for_many_elements_is_held_until_the_last_of_them(trial: Trial) -> None:
    v = trial.v
    inverse = v.op(SfuOp.RECIP, v.op(IntOp.PASS, rows(0)))
    v.op(MulOp.FMUL, rows(1), inverse, count=8)
    assert trial.cycles("m") == [INT + SFU]
    assert trial.holds("vxm0.s") == {INT + i for i in range(1, 8)}


def test_elements_of_a_run_are_taken_at_its_pitch_without_holding(trial: Trial) -> None:
    v = trial.v
    run = v.op(MulOp.FMUL, rows(0), Imm.of(2.0), count=4, pitch=2)
    v.op(AddOp.PASS, run, count=4, pitch=2)
    assert (trial.cycles("m"), trial.cycles("a")) == ([0, 2, 4, 6], [MUL + i for i in (0, 2, 4, 6)])
    assert not trial.b._holds
    assert (run.element(2).ready, run.element(2, 2).count) == (MUL + 4, 2)


def test_a_pipe_issues_one_element_a_cycle(trial: Trial) -> None:
    for group in range(2):
        trial.v.op(IntOp.PASS, rows(group), count=5)
    trial.v.op(IntOp.PASS, rows(2), count=2, pitch=3)
    assert trial.cycles("i") == [0, 5, 10, 13]


def test_elements_of_two_runs_may_interleave(trial: Trial) -> None:
    for group in range(2):
        trial.v.op(IntOp.PASS, rows(group), count=3, pitch=2)
    assert trial.cycles("i") == [0, 1, 2, 3, 4, 5]


def test_a_group_is_read_once_a_cycle(trial: Trial) -> None:
    trial.v.op(MulOp.FMUL, rows(0), Imm.of(1.0), count=3)
    trial.v.op(IntOp.PASS, rows(0, 4))
    assert trial.cycles("i") == [3]
    with pytest.raises(PipelineError):
        trial.v.op(MulOp.FMUL, rows(1), rows(1, 3))


def test_rows_that_are_both_operands_are_read_once(trial: Trial) -> None:
    x = rows(0)
    trial.v.op(MulOp.FMUL, x, x, count=4)
    reads = [slot for slot, _ in trial.b._slots if slot.instruction.op is Opcode.READ]
    assert len(reads) == 1 and reads[0].instruction["count"] == 4


# ----------------------------------------------------------------- accumulation


def test_an_accumulation_of_a_fast_pipe_follows_at_once(trial: Trial) -> None:
    v = trial.v
    first = v.op(IntOp.PASS, rows(0))
    most = v.op(IntOp.FMAX, rows(0, 1), Own(first), count=5)
    assert trial.cycles("i") == [0, 1]
    assert trial.issues("i")[1][1]["y_from"] == Source.INT
    assert most.element(4).ready == 6


@pytest.mark.parametrize(("classes", "pitch", "fits"), [(4, 1, True), (2, 2, True), (1, 4, True), (1, 1, False)])
def test_an_accumulation_takes_what_has_left_the_pipe(trial: Trial, classes: int, pitch: int, fits: bool) -> None:
    """In ADD, 4 cycles long, sums in turn: 4 a cycle apart, 2 at every second cycle or 1 at every fourth."""
    v = trial.v
    first = v.op(AddOp.PASS, rows(0), count=classes, pitch=pitch)
    v.op(AddOp.FADD, rows(0, 4), Own(first), count=8, pitch=pitch)
    starts = {cycle + i for cycle, instruction in trial.issues("a") for i in range(instruction["count"])}
    if fits:
        assert starts == {i * pitch for i in range(classes + 8)}
        assert first.ready == ADD and not trial.holds("vxm0.a")


def test_a_longer_turn_than_the_pipe_holds_it(trial: Trial) -> None:
    v = trial.v
    first = v.op(AddOp.PASS, rows(0))
    v.op(AddOp.FADD, rows(0, 4), Own(first), count=2, pitch=6)
    assert trial.cycles("a") == [0, 4, 10]
    assert trial.holds("vxm0.a") == {5, 6}


def test_lanes_exchange_through_their_own_register(trial: Trial) -> None:
    v = trial.v
    value = v.op(IntOp.PASS, rows(0))
    for distance in (8, 4):
        value = v.op(IntOp.FMAX, value, Swap(value, distance))
    steps = [instruction for _, instruction in trial.issues("i")[1:]]
    assert trial.cycles("i") == [0, 1, 2]
    assert [(s["x_from"], s["y_from"], s["swap"]) for s in steps] == [(Source.INT, Source.SWAP, d) for d in (3, 2)]


# --------------------------------------------------------------------- the flag


def test_the_flag_is_held_from_its_comparison_to_its_selection(trial: Trial) -> None:
    v = trial.v
    v.op(IntOp.EQ, rows(0), rows(1))
    value = v.op(SfuOp.F2I, v.op(MulOp.FMUL, rows(2), Imm.of(0.5)))
    v.op(IntOp.SELECT, value, Imm(7))
    assert trial.cycles("i") == [0, MUL + SFU]
    assert trial.holds(FLAG) == set(range(MUL + SFU))


def test_each_of_several_comparisons_holds_the_flag(trial: Trial) -> None:
    v = trial.v
    equal = v.op(IntOp.EQ, rows(0), rows(1), count=3, pitch=4)
    v.op(IntOp.PICK, equal, rows(2), count=3, pitch=4, imm=99)
    assert {(h.cycle, h.length) for h in trial.b._holds if h.resource == FLAG} == {(0, 1), (4, 1), (8, 1)}
    assert [i["imm"] for _, i in trial.issues("i") if i["op"] == IntOp.PICK] == [99] * 3


def test_comparisons_of_two_bundles_do_not_mix() -> None:
    """The second one has room in the INT pipe between comparison and selection of the first, but for the flag."""
    first, second = Trial(), Trial()
    first.v.op(IntOp.EQ, rows(0), rows(1))
    first.v.op(IntOp.SELECT, first.v.op(SfuOp.F2I, first.v.op(MulOp.FMUL, rows(2), Imm.of(0.5))), Imm(7))
    equal = second.v.op(IntOp.EQ, rows(0, 4), rows(1, 4))
    second.v.op(IntOp.PICK, equal, rows(2, 4), imm=99)
    issues = schedule(SMALL, [first.b.build(), second.b.build()]).issues["vxm0.i"]
    assert [IntOp(i["op"]).name for _, i in issues] == ["EQ", "SELECT", "EQ", "PICK"]


# ----------------------------------------------------------- streams and results


def test_a_result_is_written_when_it_arrives(trial: Trial) -> None:
    source = rows(0)
    result = trial.v.op(AddOp.PASS, source, count=3, to=Rows(source.at, 4, 1))
    (write,) = (slot for slot, _ in trial.b._slots if slot.instruction.op is Opcode.WRITE)
    assert write.cycle == 1 + ADD + 1  # the drive, and one hop from vxm0 to d0
    assert (write.instruction["addr"], write.instruction["count"]) == (4, 3)
    assert result.flow is not None and result.flow.arrival == write.cycle


@pytest.mark.parametrize(("wide", "fields"), [(True, (1, 1)), (False, (0, 0))])
def test_only_int_tells_int8_from_words(trial: Trial, wide: bool, fields: tuple[int, int]) -> None:
    source = rows(0, wide=wide)
    trial.v.op(IntOp.PASS, source, to=Rows(source.at, 4))
    ((_, step),) = trial.issues("i")
    assert (step["x_wide"], step["out_wide"], step["drive"]) == (*fields, 1)


def test_a_flow_is_taken_in_the_cycle_of_its_arrival_or_not_at_all(trial: Trial) -> None:
    v = trial.v
    driven = v.op(IntOp.PASS, rows(0), to=Via("sxm0", "x"))
    assert driven.flow is not None
    back = trial.b.flow("sxm0", [("vxm0.i", "y")], 20, driven.flow.width)
    partner = v.op(IntOp.ADD, driven, back)
    assert partner.ready == back.arrival + INT
    again = trial.b.flow("sxm0", [("vxm0.a", "y")], 20, driven.flow.width)
    late = Reg(PipeKind.MUL, again.arrival + 1, 1, 1)
    with pytest.raises(PipelineError, match="no cycle for FADD"):
        v.op(AddOp.FADD, late, again)


def test_an_immediate_is_the_nearest_fp32_number() -> None:
    assert np.array(Imm.of(0.1).word, np.int32).view(np.float32) == np.float32(0.1)
    assert Imm.of(-1.0).word == 0xBF800000 - (1 << 32)


def test_holds_of_a_bundle_begin_with_its_first_issue(trial: Trial) -> None:
    v = trial.v
    v.op(AddOp.FADD, v.op(IntOp.PASS, rows(0)), v.op(MulOp.FMUL, rows(1), rows(2)))
    bundle = trial.b.build()
    first = min(slot.cycle for slot, _ in trial.b._slots)
    assert min(slot.cycle for slot in bundle.slots) == 0
    assert bundle.holds == (Hold("vxm0.i", 1 - first, 2),)
