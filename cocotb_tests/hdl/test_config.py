"""Every rule of LpuConfig has a value that breaks it and a message that names field, value and rule."""

import dataclasses
import re

import pytest

from hdl.config import (
    PRESETS,
    ConfigError,
    Direction,
    LpuConfig,
    MemoryGroup,
    PipeKind,
    ShortQueue,
    SwitchOp,
    UnitKind,
    preset,
)

BROKEN = [
    ("lanes", 2, "an integer in 4..1024"),
    ("lanes", 20, "4, 8, or a multiple of 16"),
    ("lanes", "16", "an integer in 4..1024"),
    ("lanes", True, "an integer in 4..1024"),
    ("streams_east", 6, "a multiple of 4"),
    ("streams_west", 68, "an integer in 4..64"),
    ("streams_west", 16, "at least weight_streams + 4 = 20"),
    ("weight_streams", 32, "an integer in 4..16"),
    ("weight_streams", 12, "a divisor of the superlane's lanes"),
    ("hemispheres", 3, "an integer in 1..2"),
    ("mxm_planes", 0, "an integer in 1..4"),
    ("mac_rows", 17, "an integer in 1..16"),
    ("mac_rows", 6, "a divisor of the superlane's lanes"),
    ("lane_by_lane", True, "False with fp32 pipes, two hemispheres, or more than 4 inward streams"),
    ("weight_groups", (), "a tuple of 1..64 MemoryGroup"),
    ("weight_groups", (MemoryGroup(8, 512),), "groups of 16 slices each"),
    ("data_groups", [MemoryGroup(4, 512)], "a tuple of 1..64 MemoryGroup"),
    ("data_groups", (MemoryGroup(4, 8),), "groups with depth_rows in 16..1048576"),
    ("data_groups", (4,), "a tuple of 1..64 MemoryGroup"),
    ("weight_groups", (MemoryGroup(16.0, 512),), "groups of 16 slices each"),  # type: ignore[arg-type]
    (
        "data_groups",
        (MemoryGroup(4, 1 << 20),) * 64,
        "few and shallow enough for 30 bits of host address (they take 31)",
    ),
    ("data_groups_per_position", 4, "an integer in 1..3"),
    ("acc_rows", 3, "a power of two"),
    ("acc_rows", 2048, "an integer in 1..1024"),
    ("pipes", ("int",), "a tuple of different PipeKind, INT among them"),
    ("pipes", (), "a tuple of different PipeKind, INT among them"),
    ("pipes", (PipeKind.ADD,), "a tuple of different PipeKind, INT among them"),
    ("pipes", (PipeKind.INT, PipeKind.INT), "a tuple of different PipeKind, INT among them"),
    ("switch_ops", ("rotate",), "a tuple of different SwitchOp"),
    ("switch_ops", (SwitchOp.ROTATE, SwitchOp.ROTATE), "a tuple of different SwitchOp"),
    ("switch_ops", None, "a tuple of different SwitchOp"),
    ("mult_bits", 17, "an integer in 4..16"),
    ("imm_bits", 33, "an integer in 32..32"),
    ("imm_bits", 16, "an integer in 32..32"),
    ("sfu_cycles", 3, "1, 2 or 4"),
    ("sfu_cycles", True, "1, 2 or 4"),
    ("operand_registers", ("sfu",), "a tuple of different pipes of the core, empty where it is lane by lane"),
    ("operand_registers", (PipeKind.SFU, PipeKind.SFU), "a tuple of different pipes of the core"),
    ("operand_registers", (PipeKind.REQUANT,), "a tuple of different pipes of the core"),
    ("program_rows", 500, "a power of two"),
    ("short_queues", ("d0.w",), "a tuple of ShortQueue of different queues"),
    ("short_queues", (ShortQueue("d0.w", 32), ShortQueue("d0.w", 16)), "a tuple of ShortQueue of different queues"),
    ("short_queues", (ShortQueue("d3.w", 32),), "of queues of d0, d1, d2, mxm0, sxm0, vxm0, w0"),
    ("short_queues", (ShortQueue("d0.w", 8),), "of 16..program_rows = 512 rows"),
    ("paired_columns", 17, "an integer in 0..16"),
    ("count_bits", 3, "an integer in 4..16"),
    ("gap_bits", 17, "an integer in 2..16"),
    ("loop_levels", 5, "an integer in 0..4"),
    ("stride_bits", 2, "an integer in 3..15"),
    ("stride_bits", 16, "an integer in 3..15"),
    ("indexed", 0, "True or False"),
    ("plain_groups", ("d3",), "different ones of d0, d1, d2, w0"),
    ("plain_groups", ("d1", "d1"), "different ones of d0, d1, d2, w0"),
    ("plain_groups", (["d1"],), "different ones of d0, d1, d2, w0"),
    ("plain_groups", "d1", "different ones of d0, d1, d2, w0"),
    ("lane0_index", 1, "True or False"),
    ("last_bytes", 1, "True or False"),
    ("last_bytes", True, "False with a switch that moves streams, and where the vector unit works lane by lane"),
    ("bitwise", 1, "True or False"),
    ("weights_from_host", None, "True or False"),
    ("weights_beside_data", 1, "True or False"),
    ("trace", 1, "True or False"),
    ("assertions", None, "True or False"),
]


@pytest.mark.parametrize(("field", "value", "rule"), BROKEN)
def test_a_broken_rule_is_named(field: str, value: object, rule: str) -> None:
    message = f"config 'small': {field} = {value!r}: must be {rule}"
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        preset("small").replace(**{field: value})


def test_every_field_has_a_breaking_value() -> None:
    fields = {field.name for field in dataclasses.fields(LpuConfig)} - {"name"}
    assert fields == {field for field, _, _ in BROKEN}


def test_a_tile_loads_with_one_instruction() -> None:
    with pytest.raises(ConfigError, match="count_bits = 4: must be enough for one LW of a tile, 16 elements"):
        preset("small").replace(lanes=256, count_bits=4)


def test_two_hemispheres_need_data_streams_outward_on_both_sides() -> None:
    with pytest.raises(ConfigError, match=r"streams_east = 16: must be at least weight_streams \+ 4 = 20"):
        preset("small").replace(hemispheres=2)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="unknown preset 'smal'; presets: nano, tiny, small, ulx3s, ulx3s_narrow, duo, medium, groq"
    ):
        preset("smal")
    with pytest.raises(ConfigError, match="unknown field 'lane'; known: acc_rows, assertions"):
        preset("small").replace(lane=4)
    with pytest.raises(ConfigError, match="no unit 'd3'; units: mxm0, sxm0, w0, d0, d1, d2, vxm0"):
        preset("small").unit("d3")


def test_the_published_geometry() -> None:
    groq = preset("groq")
    assert groq.superlanes == 20
    assert groq.macs == 409_600
    assert groq.sram_bytes == 220 * 2**20
    slices = sum(unit.memory.slices for unit in groq.units if unit.memory)
    assert slices == 88
    assert groq.row_bits(groq.weight_groups[0]) == 13


def test_multipliers_of_few_rows() -> None:
    """macs says how many there are; elements take the rows in turn."""
    board = preset("ulx3s")
    assert (board.macs, board.abc_cycles, board.turn_cycles) == (8 * 16, 2, 2)
    assert board.replace(mac_rows=4).macs == board.replace(mac_rows=None).macs // 4 == 64
    assert preset("duo").replace(mac_rows=4).macs == 2 * 4 * 2 * 16


def test_the_floorplan_mirrors() -> None:
    groq = preset("groq")
    center = groq.unit("vxm0").position
    assert groq.positions == 2 * center + 1
    for kind in (UnitKind.MATRIX, UnitKind.SWITCH, UnitKind.WEIGHT_MEMORY, UnitKind.DATA_MEMORY):
        units = groq.units_of(kind)
        west, east = units[: len(units) // 2], units[len(units) // 2 :]
        assert [2 * center - unit.position for unit in west] == [unit.position for unit in east]
        assert {unit.outward for unit in west} == {Direction.WEST}
        assert {unit.outward for unit in east} == {Direction.EAST}


def test_a_core_without_switch_operations_has_no_switch() -> None:
    small, bare = preset("small"), preset("small").replace(switch_ops=())
    assert bare.positions == small.positions - 1 and not bare.units_of(UnitKind.SWITCH)
    assert [u.position for u in bare.units] == [max(0, u.position - 1) for u in small.units if u.name != "sxm0"]
    with pytest.raises(ConfigError, match="no unit 'sxm0'; units: mxm0, w0"):
        bare.unit("sxm0")


def test_transpose_alone_drives_no_data_stream() -> None:
    alone = preset("small").replace(switch_ops=(SwitchOp.TRANSPOSE,))
    assert not alone.switch_moves and alone.drivable(alone.unit("sxm0")) == {}
    assert alone.replace(switch_ops=(SwitchOp.SELECT,)).switch_moves
    assert [u.position for u in alone.units] == [u.position for u in preset("small").units]


def test_data_streams_leave_out_the_weight_bus() -> None:
    small = preset("small")
    assert small.data_streams(small.unit("d0"), Direction.WEST) == range(16, 24)
    assert small.data_streams(small.unit("d0"), Direction.EAST) == range(0, 16)
    assert small.data_streams(small.unit("vxm0"), Direction.EAST) == range(0, 16)
    assert small.index_streams(small.unit("w0")) == (20, 21)


def test_units_read_outward_streams_and_the_vector_unit_inward_ones() -> None:
    """x of the vector unit sees the lower half of its streams, y the upper one, y of MUL all."""
    small, east, west = preset("small"), Direction.EAST, Direction.WEST
    for name in ("mxm0", "sxm0", "w0", "d0"):
        assert small.readable(small.unit(name)) == {west: range(16, 24)}
    vector = small.unit("vxm0")
    assert small.readable(vector, "x", PipeKind.ADD) == {east: range(0, 8)}
    assert small.readable(vector, "y", PipeKind.ADD) == {east: range(8, 16)}
    assert small.readable(vector, "y", PipeKind.MUL) == {east: range(0, 16)}
    odd = small.replace(streams_east=12)
    assert odd.readable(vector, "x", PipeKind.ADD) == {east: range(0, 8)}
    assert odd.readable(vector, "y", PipeKind.ADD) == {east: range(4, 12)}


def test_units_drive_inward_streams_and_the_vector_unit_outward_ones() -> None:
    small, east, west = preset("small"), Direction.EAST, Direction.WEST
    assert small.drivable(small.unit("vxm0")) == {west: range(16, 24)}
    assert small.drivable(small.unit("d0")) == {east: range(0, 16), west: range(16, 24)}
    assert small.drivable(small.unit("w0")) == {east: range(0, 4)}
    assert small.drivable(small.unit("sxm0")) == small.drivable(small.unit("mxm0")) == {east: range(0, 16)}


def test_the_vector_unit_of_two_hemispheres_reads_and_drives_both_sides() -> None:
    groq, both = preset("groq"), {Direction.EAST: range(16, 32), Direction.WEST: range(16, 32)}
    vector = groq.unit("vxm0")
    assert groq.drivable(vector) == groq.readable(vector, "y", PipeKind.MUL) == both
    assert groq.readable(vector, "x") == dict.fromkeys(Direction, range(16, 24))
    assert groq.readable(vector, "y") == dict.fromkeys(Direction, range(24, 32))


def test_the_fingerprint_covers_what_programs_depend_on() -> None:
    small = preset("small")
    assert small.replace(trace=True, assertions=False).fingerprint == small.fingerprint
    changed = [small.replace(acc_rows=8), small.replace(gap_bits=8), small.replace(pipes=(PipeKind.INT,))]
    changed.append(small.replace(switch_ops=(SwitchOp.TRANSPOSE,)))
    assert len({config.fingerprint for config in [*changed, *PRESETS.values()]}) == len(changed) + len(PRESETS)
