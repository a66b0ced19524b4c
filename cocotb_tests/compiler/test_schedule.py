"""The scheduler: what delays a bundle, and by how much."""

from __future__ import annotations

import pytest

from compiler.bound import bounds
from compiler.bundle import Bundle, BundleBuilder, Width
from compiler.ir import CompileError
from compiler.occupancy import fits_alone
from compiler.operands import INDEX
from compiler.place import Allocation
from compiler.schedule import schedule
from hdl.config import Direction, preset
from hdl.isa import Instruction, Opcode, Source, east, stream_direction, stream_index, west

SMALL = preset("small")
DATA = [SMALL.unit(f"d{i}") for i in range(3)]

READ_LATENCY, ALU_LATENCY = 2, 2
"""Cycles from issue to the drive, as hdl/isa states them for READ and for an operation of the INT pipe."""
ONE_TRIP = READ_LATENCY + 1 + ALU_LATENCY + 1
"""READ at d, one hop to vxm, ALU, one hop back: the cycle of the WRITE."""
X, Y = ("vxm0.i", "x"), ("vxm0.i", "y")
ACTIVATIONS = ("mxm0.a", "stream")


def rows(group: int, addr: int, count: int = 8, wide: bool = False) -> Allocation:
    return Allocation(DATA[group], addr, count, 1, wide)


def copy(
    source: Allocation, target: Allocation, row: int = 0, group: str = "copy", overwrites: tuple[str, ...] = ()
) -> Bundle:
    """target[row] := source[row], through the vector unit."""
    b = BundleBuilder(SMALL, group, overwrites)
    x = b.read(source, [X], 0, source.addr + row)
    width = Width.WIDE if target.wide else Width.NARROW
    result = b.flow("vxm0.i", [(f"{target.unit.name}.w", "stream")], x.arrival + ALU_LATENCY, width)
    alu = Instruction.of(Opcode.ALU, drive=1, x_wide=int(source.wide), out_wide=int(target.wide))
    b.issue("vxm0.i", x.arrival, alu, {"x": x, "out": result})
    b.write(target, result, target.addr + row)
    return b.build()


def starts(*bundles: Bundle) -> list[int]:
    return [start for _, start in schedule(SMALL, bundles).placed]


def test_a_bundle_begins_with_its_first_issue_in_cycle_0() -> None:
    bundle = copy(rows(0, 0), rows(1, 0))
    assert {slot.queue.name: slot.cycle for slot in bundle.slots} == {
        "d0.r": 0,
        "vxm0.i": READ_LATENCY + 1,
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
        owner.read(rows(1, 0), [X], cycle, 0)
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
    x = b.read(source, [ACTIVATIONS], arrival, source.addr, count, 1)
    b.issue("mxm0.a", arrival, Instruction.of(Opcode.ABC, count=count, start=1), {"stream": x})
    b.hold("mxm0.array", arrival, count)
    return b.build()


def test_instructions_hold_their_queue_until_their_last_element() -> None:
    assert starts(feed(rows(0, 0), 0, 5, "a"), feed(rows(1, 0), 0, 5, "b")) == [0, 5]


def test_a_flow_takes_another_stream_where_one_is_taken() -> None:
    bundles = [copy(rows(group, 0, wide=True), rows(group, 4, wide=True), group=f"op{group}") for group in range(3)]
    plan = schedule(SMALL, bundles)
    assert [start for _, start in plan.placed] == [0, 1, 2]
    assert {i["x"] for _, i in plan.issues["vxm0.i"]} == {east(0)}


def test_flows_of_one_bundle_are_on_different_streams() -> None:
    b = BundleBuilder(SMALL, "parallel")
    flows = [b.read(rows(group, 0, wide=True), [("vxm0.m", field)], 0, 0) for group, field in enumerate("xy")]
    fma = b.read(rows(2, 0, wide=True), [("vxm0.a", "y")], 0, 0)
    b.issue("vxm0.m", 0, Instruction.of(Opcode.ALU), {"x": flows[0], "y": flows[1]})
    b.issue("vxm0.a", 0, Instruction.of(Opcode.ALU, x_from=Source.MUL), {"y": fma})
    issues = schedule(SMALL, [b.build()]).issues
    ((_, mul),), ((_, add),) = issues["vxm0.m"], issues["vxm0.a"]
    assert len({mul["x"], mul["y"], add["y"]}) == 3


def candidates(driver: str, readers: list[tuple[str, str]], width: Width) -> list[int]:
    flow = BundleBuilder(SMALL, "flow").flow(driver, readers, 0, width)
    wanted = Direction.EAST if flow.reader.position > flow.driver.position else Direction.WEST
    assert {stream_direction(code) for code in flow.candidates} <= {wanted}
    return [stream_index(code) for code in flow.candidates]


def test_narrow_and_wide_flows_start_from_opposite_ends() -> None:
    """x of the vector unit is in the lower half of the inward streams, y in the upper one; MUL takes y from all."""
    wide, narrow = Width.WIDE, Width.NARROW
    assert candidates("d0.r", [X], wide) == [0, 4]
    assert candidates("d1.r", [X], narrow) == [*range(7, -1, -1)]
    assert candidates("d0.r", [Y], wide) == [8, 12]
    assert candidates("d0.r", [("vxm0.m", "y")], wide) == [0, 4, 8, 12]


def test_a_flow_to_two_operands_is_on_a_stream_that_both_read() -> None:
    assert candidates("d0.r", [("vxm0.m", "x"), ("vxm0.m", "y")], Width.WIDE) == [0, 4]
    assert candidates("d0.r", [X, Y], Width.WIDE) == []


def test_an_index_is_on_the_last_outward_group() -> None:
    assert candidates("vxm0.i", [("d0.r", INDEX)], Width.WIDE) == [20]
    assert candidates("vxm0.i", [("w0.w", INDEX)], Width.WIDE) == [20]


def test_flows_avoid_the_weight_bus() -> None:
    assert set(candidates("d0.r", [ACTIVATIONS], Width.NARROW)) == set(range(16, 24))


def test_a_value_may_be_replaced_behind_its_last_reader() -> None:
    """With one outward SG4, a result to d and activations from d share diagonals of it, at different positions."""
    config = SMALL.replace(name="tight", streams_west=20)
    b = BundleBuilder(config, "tight")
    for stream_number in range(4):
        result = b.flow("vxm0.i", [("d0.w", "stream")], 0, Width.NARROW)
        onward = b.flow("d0.r", [ACTIVATIONS], 1, Width.NARROW)
        assert {west(16 + stream_number)} <= set(result.candidates) & set(onward.candidates)
    b.issue("vxm0.i", 0, Instruction.of(Opcode.ALU), {})
    assert fits_alone(b.build())
    b.flow("d1.r", [ACTIVATIONS], 1, Width.NARROW)
    assert not fits_alone(b.build())


def test_a_bundle_that_collides_with_itself_cannot_be_placed() -> None:
    b = BundleBuilder(SMALL, "twice")
    for _ in range(2):
        b.read(rows(0, 0), [X], 0, 0)
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
    b.read(rows(2, 0), [X], 0, 0)
    b.read(rows(1, 0), [X], 30, 0)
    assert bounds(SMALL, [copy(rows(0, 0), rows(1, 0)), b.build()]).data == 31 + SMALL.superlanes


# ----------------------------------------------------------- accesses by an index


def indexed(op: Opcode, at: Allocation, group: str, count: int = 1) -> Bundle:
    """GATHER or SCATTER of ``count`` rows somewhere in ``at``."""
    b = BundleBuilder(SMALL, group)
    queue_name = f"{at.unit.name}.{'r' if op is Opcode.GATHER else 'w'}"
    b.issue(queue_name, 0, Instruction.of(op, addr=at.addr, count=count, stride=1), {}, at.rows)
    return b.build()


def test_an_indexed_access_touches_every_row_of_its_reach() -> None:
    """What comes after the SCATTER waits for it only where it reads such a row."""
    writer, scatter = copy(rows(0, 0), rows(1, 5), group="writer"), indexed(Opcode.SCATTER, rows(1, 0), "scatter", 3)
    last, beyond = (copy(rows(1, addr), rows(2, 0), group="reader") for addr in (7, 8))
    assert starts(writer, scatter, last) == [0, ONE_TRIP + 1, ONE_TRIP + 1 + 3]
    assert starts(writer, scatter, beyond) == [0, ONE_TRIP + 1, 1]


def test_an_indexed_access_holds_both_queues_of_its_memory() -> None:
    """Even rows beyond its reach are not accessed in its cycles."""
    reader, writer = copy(rows(1, 8), rows(2, 0), group="reader"), copy(rows(0, 0), rows(1, 8), group="writer")
    assert starts(indexed(Opcode.SCATTER, rows(1, 0), "scatter", ONE_TRIP + 5), reader) == [0, ONE_TRIP + 5]
    assert starts(indexed(Opcode.GATHER, rows(1, 0), "gather", ONE_TRIP + 5), writer) == [0, 5]
    assert starts(indexed(Opcode.GATHER, rows(1, 0), "gather", ONE_TRIP), writer) == [0, 0]
    elsewhere = copy(rows(0, 8), rows(2, 0), group="elsewhere")
    assert starts(indexed(Opcode.SCATTER, rows(1, 0), "scatter", ONE_TRIP + 5), elsewhere) == [0, 0]


def test_an_indexed_write_waits_for_reads_and_writes_of_any_row_of_its_reach() -> None:
    reader = copy(rows(1, 5), rows(2, 0))
    assert starts(reader, indexed(Opcode.SCATTER, rows(1, 0), "scatter")) == [0, 1]
    writer = copy(rows(0, 0), rows(1, 5), group="writer")
    assert starts(writer, indexed(Opcode.SCATTER, rows(1, 0), "scatter")) == [0, ONE_TRIP + 1]
    assert starts(writer, indexed(Opcode.GATHER, rows(1, 0), "gather")) == [0, ONE_TRIP + 1]
    assert starts(writer, indexed(Opcode.GATHER, rows(1, 6), "gather")) == [0, 0]


def test_indexed_accesses_keep_their_order_but_two_gathers() -> None:
    scatter, gather = (indexed(op, rows(1, 0), op.name, 4) for op in (Opcode.SCATTER, Opcode.GATHER))
    assert starts(scatter, gather) == [0, 4]
    assert starts(gather, scatter) == [0, 4]
    again = indexed(Opcode.GATHER, rows(1, 0), "again", 4)
    assert starts(gather, again) == [0, 4]


def test_a_register_that_is_kept_keeps_others_from_the_pipe() -> None:
    """A hold by the name of a queue stops other instructions of that queue, a hold by another name other holds."""
    b = BundleBuilder(SMALL, "keeper")
    b.issue("vxm0.i", 0, Instruction.of(Opcode.ALU), {})
    b.hold("vxm0.i", 1, 5)
    other = BundleBuilder(SMALL, "other")
    other.issue("vxm0.i", 0, Instruction.of(Opcode.ALU), {})
    assert starts(b.build(), other.build()) == [0, 6]


def test_nothing_flows_between_units_at_one_position() -> None:
    config = preset("small").replace(name="beside", weights_beside_data=True)
    with pytest.raises(
        CompileError, match="config 'beside': d1 and w0 stand at one position: cache needs a way between"
    ):
        BundleBuilder(config, "cache").flow("d1.r", [("w0.w", INDEX)], 0, Width.WIDE)
