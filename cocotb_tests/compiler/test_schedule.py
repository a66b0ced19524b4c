"""The scheduler: what delays a bundle, and by how much."""

from __future__ import annotations

import pytest

from compiler.bound import bounds
from compiler.bundle import Bundle, BundleBuilder, Width
from compiler.ir import CompileError
from compiler.place import Allocation
from compiler.schedule import fits_alone, schedule
from hdl.config import preset
from hdl.isa import Instruction, Opcode, east, stream_direction, stream_index, west

SMALL = preset("small")
DATA = [SMALL.unit(f"d{i}") for i in range(3)]
VXM, MXM = SMALL.unit("vxm0"), SMALL.unit("mxm0")

READ_LATENCY, CHAIN_LATENCY = 2, 6
"""Cycles from issue to the drive, as hdl/isa states them for the chain int, requant, int."""
ONE_TRIP = READ_LATENCY + 1 + CHAIN_LATENCY + 1
"""READ at d, one hop to vxm, CHAIN, one hop back: the cycle of the WRITE."""


def rows(group: int, addr: int, count: int = 8, wide: bool = False) -> Allocation:
    return Allocation(DATA[group], addr, count, 1, wide)


def copy(
    source: Allocation, target: Allocation, row: int = 0, group: str = "copy", overwrites: tuple[str, ...] = ()
) -> Bundle:
    """target[row] := source[row], through the vector unit."""
    b = BundleBuilder(SMALL, group, overwrites)
    x = b.read(source, VXM, 0, source.addr + row)
    result = b.flow(VXM, target.unit, x.arrival + CHAIN_LATENCY, Width.WIDE if target.wide else Width.NARROW)
    chain = Instruction.of(Opcode.CHAIN, x_wide=int(source.wide), out_wide=int(target.wide))
    b.issue("vxm0", x.arrival, chain, x=x, out=result)
    b.write(target, result, target.addr + row)
    return b.build()


def starts(*bundles: Bundle) -> list[int]:
    return [start for _, start in schedule(SMALL, bundles).placed]


def test_a_bundle_begins_with_its_first_issue_in_cycle_0() -> None:
    bundle = copy(rows(0, 0), rows(1, 0))
    assert {slot.queue.name: slot.cycle for slot in bundle.slots} == {
        "d0.r": 0,
        "vxm0": READ_LATENCY + 1,
        "d1.w": ONE_TRIP,
    }
    assert bundle.length == ONE_TRIP + 1
    assert starts(bundle) == [0]


def test_a_queue_issues_one_instruction_a_cycle() -> None:
    assert starts(*(copy(rows(0, 0), rows(1, 0), row, f"op{row}") for row in range(3))) == [0, 1, 2]


def test_a_row_is_read_at_the_earliest_the_cycle_after_its_write() -> None:
    first, second = copy(rows(0, 0), rows(1, 0)), copy(rows(1, 0), rows(2, 0), group="next")
    assert starts(first, second) == [0, ONE_TRIP + 1]


def test_a_row_is_not_overwritten_before_it_is_read() -> None:
    producer, reader = copy(rows(0, 0), rows(1, 0)), copy(rows(1, 0), rows(2, 0), group="reader")
    writer = copy(rows(0, 4), rows(1, 0), group="writer")
    assert starts(producer, reader, writer) == [0, ONE_TRIP + 1, 2]


def test_the_last_of_two_writes_of_a_row_is_the_later_one() -> None:
    producer, late = copy(rows(0, 0), rows(1, 0)), copy(rows(1, 0), rows(2, 0), group="late")
    again = copy(rows(0, 4), rows(2, 0), group="again")
    assert starts(producer, late, again) == [0, ONE_TRIP + 1, ONE_TRIP + 2]


def test_an_operator_writes_over_tensors_of_another_after_its_last_access() -> None:
    owner = BundleBuilder(SMALL, "owner")
    for cycle in (0, 100):
        owner.read(rows(1, 0), VXM, cycle, 0)
    free, bound = (copy(rows(2, 0), rows(2, 4), 0, name, done) for name, done in (("f", ()), ("g", ("owner",))))
    assert starts(owner.build(), free)[1] == 0
    assert starts(owner.build(), bound)[1] + ONE_TRIP == 101


def test_a_wide_access_depends_on_each_slice() -> None:
    third_slice = rows(1, 2 << 9)
    first = copy(rows(0, 0), third_slice)
    second = copy(rows(1, 0, wide=True), rows(2, 0, wide=True), group="wide")
    other = copy(rows(1, 1, wide=True), rows(2, 1, wide=True), group="other")
    assert starts(first, second, other)[1:] == [ONE_TRIP + 1, 1]


def test_an_independent_operator_fills_earlier_cycles() -> None:
    waiting = [copy(rows(0, 0), rows(1, 0)), copy(rows(1, 0), rows(2, 0), group="late")]
    assert starts(*waiting, copy(rows(0, 4), rows(1, 4), group="free"))[2] == 1


def test_bundles_of_one_operator_keep_their_order() -> None:
    waiting = [copy(rows(0, 0), rows(1, 0)), copy(rows(1, 0), rows(2, 0), group="late")]
    assert starts(*waiting, copy(rows(0, 4), rows(1, 4), group="late"))[2] > ONE_TRIP


def feed(source: Allocation, arrival: int, count: int, group: str) -> Bundle:
    """Activations from ``source`` to the matrix unit, whose queue issues one instruction for all of them."""
    b = BundleBuilder(SMALL, group)
    x = b.read(source, MXM, arrival, source.addr, count, 1)
    b.issue("mxm0.a", arrival, Instruction.of(Opcode.ABC, count=count, start=1), stream=x)
    b.hold("mxm0.array", arrival, count)
    return b.build()


def test_instructions_hold_their_queue_until_their_last_element() -> None:
    assert starts(feed(rows(0, 0), 0, 5, "a"), feed(rows(1, 0), 0, 5, "b")) == [0, 5]


def test_a_flow_takes_another_stream_where_one_is_taken() -> None:
    bundles = [copy(rows(group, 0, wide=True), rows(group, 4, wide=True), group=f"op{group}") for group in range(3)]
    plan = schedule(SMALL, bundles)
    assert [start for _, start in plan.placed] == [0, 1, 2]
    assert {i["x"] for _, i in plan.issues["vxm0"]} == {east(0)}


def parallel_reads(count: int) -> Bundle:
    """Wide rows of several groups that must be at the vector unit in the same cycle."""
    b = BundleBuilder(SMALL, "parallel")
    flows = [b.read(rows(group, 0, wide=True), VXM, 0, 0) for group in range(count)]
    fields = {"x": flows[0], **{f"y{k - 1}": flow for k, flow in enumerate(flows) if k}}
    b.issue("vxm0", 0, Instruction.of(Opcode.CHAIN, x_wide=1, y0_wide=1, y1_wide=1), **fields)
    return b.build()


def test_flows_of_one_bundle_are_on_different_streams() -> None:
    ((_, chain),) = schedule(SMALL, [parallel_reads(3)]).issues["vxm0"]
    assert len({chain["x"], chain["y0"], chain["y1"]}) == 3


def test_narrow_and_wide_flows_start_from_opposite_ends() -> None:
    b = BundleBuilder(SMALL, "both")
    wide, narrow = b.flow(DATA[0], VXM, 0, Width.WIDE), b.flow(DATA[1], VXM, 0, Width.NARROW)
    assert [stream_index(code) for code in wide.candidates] == [0, 4, 8, 12]
    assert [stream_index(code) for code in narrow.candidates] == list(range(15, -1, -1))


def test_flows_avoid_the_weight_bus() -> None:
    outward = BundleBuilder(SMALL, "out").flow(DATA[0], MXM, 0, Width.NARROW)
    assert {stream_index(code) for code in outward.candidates} == set(range(16, 24))
    assert {stream_direction(code).name for code in outward.candidates} == {"WEST"}


def test_a_value_may_be_replaced_behind_its_last_reader() -> None:
    """With one outward SG4, a result to d and activations from d share diagonals of it, at different positions."""
    config = SMALL.replace(name="tight", streams_west=20)
    b = BundleBuilder(config, "tight")
    for stream_number in range(4):
        result = b.flow(VXM, DATA[0], 0, Width.NARROW)
        onward = b.flow(DATA[0], MXM, 1, Width.NARROW)
        assert {west(16 + stream_number)} <= set(result.candidates) & set(onward.candidates)
    b.issue("vxm0", 0, Instruction.of(Opcode.CHAIN))
    assert fits_alone(b.build())
    b.flow(DATA[1], MXM, 1, Width.NARROW)
    assert not fits_alone(b.build())


def test_a_bundle_that_collides_with_itself_cannot_be_placed() -> None:
    b = BundleBuilder(SMALL, "twice")
    for _ in range(2):
        b.read(rows(0, 0), VXM, 0, 0)
    assert not fits_alone(b.build())
    with pytest.raises(CompileError, match=r"twice: its instructions need one queue or stream at the same time"):
        schedule(SMALL, [b.build()])


def test_the_data_bound_ignores_everything_but_data() -> None:
    busy = [copy(rows(0, 0, 40), rows(1, 0, 40), row) for row in range(40)]
    assert starts(*busy)[-1] == 39
    assert bounds(SMALL, busy).data == ONE_TRIP + 1 + SMALL.superlanes
    chained = [*busy, copy(rows(1, 0, 40), rows(2, 0, 40), 39, "next")]
    assert bounds(SMALL, chained).data == 2 * (ONE_TRIP + 1) + SMALL.superlanes


def test_a_queue_bound_has_what_must_come_before_and_after_it() -> None:
    """40 rows into d1, one of them on to d2: only what is not needed there may come last."""
    busy = [copy(rows(0, 0, 40), rows(1, 0, 40), row) for row in range(40)]
    onward = copy(rows(1, 0, 40), rows(2, 0, 40), 39, "next")
    assert bounds(SMALL, busy).queues["d0.r"] == 40 + ONE_TRIP + SMALL.superlanes
    assert bounds(SMALL, [*busy, onward]).queues["d0.r"] == 40 + ONE_TRIP + SMALL.superlanes
    single = bounds(SMALL, [busy[39], onward]).queues
    assert (single["d0.r"], single["d1.r"]) == (2 * (ONE_TRIP + 1) + SMALL.superlanes,) * 2


def test_a_negative_distance_to_a_producer_counts() -> None:
    """A consumer may start before its producer, as long as it reads after the write."""
    b = BundleBuilder(SMALL, "late")
    b.read(rows(2, 0), VXM, 0, 0)
    b.read(rows(1, 0), VXM, 30, 0)
    assert bounds(SMALL, [copy(rows(0, 0), rows(1, 0)), b.build()]).data == 31 + SMALL.superlanes
