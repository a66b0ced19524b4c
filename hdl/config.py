"""The one description of a core: :class:`LpuConfig`, its presets, and the floorplan derived from it.

RTL, compiler, golden model, tests and documentation all read this file; nothing else states a width,
a position or a depth.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import zlib
from dataclasses import dataclass
from functools import cached_property

STREAMS_PER_GROUP = 4
"""int32 and fp32 vectors ride on an aligned group of four byte streams (SG4)."""

SUPERLANE_LANES = 16
"""Lanes of a full superlane; a core with fewer lanes is one superlane."""

HOST_SRAM_BITS = 30
"""Host address bits below the region: group, slice, row and word must fit."""


class ConfigError(ValueError):
    """A configuration value breaks a rule; the message names preset, field, value and rule."""


class Direction(enum.IntEnum):
    """Flow of a stream; also the least significant bit of an encoded stream number."""

    EAST = 0
    WEST = 1

    @property
    def opposite(self) -> Direction:
        return Direction(1 - self)


class PipeKind(enum.StrEnum):
    """The pipes of the vector unit; each has a queue of its own. See ``hdl/isa`` for their operations."""

    INT = "int"
    REQUANT = "requant"
    MUL = "mul"
    ADD = "add"
    SFU = "sfu"


FLOAT_PIPES = (PipeKind.MUL, PipeKind.ADD, PipeKind.SFU)


class SwitchOp(enum.StrEnum):
    """Operations of the switch, the opcodes of its queue. All but TRANSPOSE are *moves*: of data streams."""

    SHIFT = "shift"
    ROTATE = "rotate"
    PERMUTE = "permute"
    DISTRIBUTE = "distribute"
    SELECT = "select"
    TRANSPOSE = "transpose"


class UnitKind(enum.StrEnum):
    """Functional slices of the floorplan."""

    MATRIX = "mxm"
    SWITCH = "sxm"
    WEIGHT_MEMORY = "w"
    DATA_MEMORY = "d"
    VECTOR = "vxm"


@dataclass(frozen=True)
class MemoryGroup:
    """SRAM slices that share one read queue and one write queue.

    ``slices`` slices of ``depth_rows`` rows; a row is one byte per lane.
    """

    slices: int
    depth_rows: int


@dataclass(frozen=True)
class ShortQueue:
    """A queue, by name, whose program memory has only ``rows`` rows, so few that LUTs take the place of block RAM."""

    queue: str
    rows: int


@dataclass(frozen=True)
class Unit:
    """One functional slice (or slice group) of the floorplan.

    ``outward`` is the direction from the vector unit towards the matrix unit of the unit's hemisphere.
    """

    kind: UnitKind
    index: int
    position: int
    outward: Direction
    memory: MemoryGroup | None = None

    @property
    def name(self) -> str:
        return f"{self.kind.value}{self.index}"


@dataclass(frozen=True)
class LpuConfig:
    """Parameters of one core. Frozen; every rule is checked when it is built.

    Geometry
        ``lanes`` L: vector length and side of the matrix array (L x L int8 MACs a plane); 4, 8, or a multiple of 16.
        ``streams_east``, ``streams_west``: byte streams per lane and direction, multiples of 4.
        ``weight_streams``: weight rows that reach the matrix unit per cycle, on the *weight bus*: the outward streams
        0 .. weight_streams-1. The remaining outward streams, and all inward ones, are *data streams*.
        ``last_bytes``: whether a single stream that is read or driven is the last of its SG4: no choice among four in
        every memory group and lane.
        ``hemispheres``: 1 (west only) or 2. ``mxm_planes``: matrix planes per hemisphere.
        ``mac_rows``: rows of a supercell that have multipliers, a divisor of its side S; None: all of them. With
        fewer, an element of ABC takes the array for S / mac_rows cycles. More than weight_streams find nothing to do
        in products with one vector.
    Memory (per hemisphere)
        ``weight_groups``: each of ``weight_streams`` slices, each at a position of its own.
        ``data_groups``: each of 4 slices, so one row of all of them is an int32 vector.
        ``data_groups_per_position``: how many data groups share one stream position (fewer hops, wider multiplexers).
        ``weights_beside_data``: whether the first weight group stands at the position of the first data groups, a hop
        less for all streams. ``weights_from_host``: whether only the host writes weights, and nothing reads them but
        the matrix unit: weight groups have no write queue and drive the weight bus only. ``indexed``: whether there are
        GATHER and SCATTER; ``plain_groups``: the memory groups, by name, that have none. ``lane0_index``: whether the
        index that a whole access takes is lane 0's.
    Units
        ``acc_rows``: int32 accumulator rows per matrix plane. ``pipes``: those of the vector unit, each at most
        once, INT always. ``bitwise``: whether INT has AND, OR and XOR. ``mult_bits``: width of the requantisation
        multiplier. ``lane_by_lane``: whether each pipe works on one lane of a superlane after the other, so that an
        element takes it for S cycles. There are INT and REQUANT only, then, one inward SG4, one hemisphere, and INT
        between streams and REQUANT, but for its y.
        ``imm_bits``: vector immediate, sign-extended to 32; all 32 where there is a floating-point pipe.
        ``sfu_cycles``: lanes that take turns in one SFU pipe, 1, 2 or 4: an element takes it for as many cycles.
        ``operand_registers``: the pipes with a register before them, for a higher clock, a cycle later.
        ``switch_ops``: operations of the switch, each at most once; without any there is no switch, no queue of
        it and no position.
    Control
        ``program_rows``: instructions per queue, but for ``short_queues``. ``count_bits``, ``gap_bits``: widths of
        those instruction fields.
        ``loop_levels``: nesting depth of LOOP; 0: queues know neither LOOP nor REPEAT, and look no instruction ahead.
        ``stride_bits``: width of address steps, None: that of addresses.
    Build
        ``paired_columns``: columns of a supercell in which one multiplier serves two rows, for some 60 LUT4 each.
        ``assertions``: in-design checks raising error flags. ``trace``: the retire bundle on the top's ports.
    """

    name: str
    lanes: int
    streams_east: int
    streams_west: int
    weight_streams: int
    weight_groups: tuple[MemoryGroup, ...]
    data_groups: tuple[MemoryGroup, ...]
    data_groups_per_position: int = 1
    weights_beside_data: bool = False
    weights_from_host: bool = False
    indexed: bool = True
    plain_groups: tuple[str, ...] = ()
    lane0_index: bool = False
    last_bytes: bool = False
    hemispheres: int = 1
    mxm_planes: int = 1
    mac_rows: int | None = None
    acc_rows: int = 1
    pipes: tuple[PipeKind, ...] = (PipeKind.INT, *FLOAT_PIPES)
    bitwise: bool = True
    mult_bits: int = 16
    lane_by_lane: bool = False
    imm_bits: int = 32
    sfu_cycles: int = 1
    operand_registers: tuple[PipeKind, ...] = ()
    switch_ops: tuple[SwitchOp, ...] = tuple(SwitchOp)
    program_rows: int = 512
    short_queues: tuple[ShortQueue, ...] = ()
    count_bits: int = 12
    gap_bits: int = 8
    loop_levels: int = 2
    stride_bits: int | None = None
    paired_columns: int = 0
    assertions: bool = True
    trace: bool = False

    def __post_init__(self) -> None:
        self._check_geometry()
        self._check_memory()
        self._check_units()

    # ------------------------------------------------------------------ rules

    def _require(self, holds: bool, field: str, rule: str) -> None:
        if not holds:
            raise ConfigError(f"config '{self.name}': {field} = {getattr(self, field)!r}: must be {rule}")

    def _require_range(self, field: str, low: int, high: int) -> None:
        value = getattr(self, field)
        is_int = isinstance(value, int) and not isinstance(value, bool)
        self._require(is_int and low <= value <= high, field, f"an integer in {low}..{high}")

    def _check_geometry(self) -> None:
        self._require_range("lanes", 4, 1024)
        self._require(self.lanes in (4, 8) or self.lanes % SUPERLANE_LANES == 0, "lanes", "4, 8, or a multiple of 16")
        for field in ("streams_east", "streams_west"):
            self._require_range(field, STREAMS_PER_GROUP, 64)
            self._require(getattr(self, field) % STREAMS_PER_GROUP == 0, field, "a multiple of 4 (streams form SG4s)")
        self._require_range("weight_streams", 4, self.superlane_lanes)
        self._require(
            self.superlane_lanes % self.weight_streams == 0, "weight_streams", "a divisor of the superlane's lanes"
        )
        self._require_range("hemispheres", 1, 2)
        for direction in Direction:
            if direction is Direction.WEST or self.hemispheres == 2:
                field = "streams_west" if direction is Direction.WEST else "streams_east"
                floor = self.weight_streams + STREAMS_PER_GROUP
                self._require(
                    getattr(self, field) >= floor, field, f"at least weight_streams + 4 = {floor} on an outward side"
                )

    def _check_memory(self) -> None:
        for field, slices in (("weight_groups", self.weight_streams), ("data_groups", STREAMS_PER_GROUP)):
            groups = getattr(self, field)
            self._require(isinstance(groups, tuple) and 1 <= len(groups) <= 64, field, "a tuple of 1..64 MemoryGroup")
            self._require(all(isinstance(g, MemoryGroup) for g in groups), field, "a tuple of 1..64 MemoryGroup")
            whole = all(type(g.slices) is int and g.slices == slices for g in groups)
            self._require(whole, field, f"groups of {slices} slices each")
            in_range = all(type(g.depth_rows) is int and 16 <= g.depth_rows <= 1 << 20 for g in groups)
            self._require(in_range, field, "groups with depth_rows in 16..1048576")
        self._require_range("data_groups_per_position", 1, len(self.data_groups))
        groups = self.hemispheres * (len(self.weight_groups) + len(self.data_groups))
        address = (groups - 1).bit_length() + self.addr_bits + (self.lanes // 4 - 1).bit_length()
        rule = f"few and shallow enough for {HOST_SRAM_BITS} bits of host address (they take {address})"
        self._require(address <= HOST_SRAM_BITS, "data_groups", rule)

    def _check_units(self) -> None:
        self._require_range("mxm_planes", 1, 4)
        if self.mac_rows is not None:
            self._require_range("mac_rows", 1, self.superlane_lanes)
            divides = self.superlane_lanes % self.mac_rows == 0
            self._require(divides, "mac_rows", "a divisor of the superlane's lanes")
        self._require_range("paired_columns", 0, 0 if self.mac_rows == 1 else self.superlane_lanes)
        self._require_range("acc_rows", 1, 1024)
        self._require(self.acc_rows & (self.acc_rows - 1) == 0, "acc_rows", "a power of two")
        known = isinstance(self.pipes, tuple) and all(isinstance(kind, PipeKind) for kind in self.pipes)
        once = known and len(set(self.pipes)) == len(self.pipes) and PipeKind.INT in self.pipes
        self._require(once, "pipes", "a tuple of different PipeKind, INT among them")
        if self.lane_by_lane:
            inward = self.streams_east if self.hemispheres == 1 else 0
            rule = "False with fp32 pipes, two hemispheres, or more than 4 inward streams"
            self._require(not self.has_floats and inward == STREAMS_PER_GROUP, "lane_by_lane", rule)
        self._require_range("mult_bits", 4, 16)
        self._require_range("imm_bits", 32 if self.has_floats else 8, 32)
        self._require(type(self.sfu_cycles) is int and self.sfu_cycles in (1, 2, 4), "sfu_cycles", "1, 2 or 4")
        registers = self.operand_registers
        known = isinstance(registers, tuple) and all(type(k) is PipeKind and k in self.pipes for k in registers)
        apart = known and len(set(registers)) == len(registers) and not (registers and self.lane_by_lane)
        self._require(
            apart, "operand_registers", "a tuple of different pipes of the core, empty where it is lane by lane"
        )
        known = isinstance(self.switch_ops, tuple) and all(isinstance(op, SwitchOp) for op in self.switch_ops)
        once = known and len(set(self.switch_ops)) == len(self.switch_ops)
        self._require(once, "switch_ops", "a tuple of different SwitchOp")
        self._require_range("program_rows", 16, 65536)
        self._require(self.program_rows & (self.program_rows - 1) == 0, "program_rows", "a power of two")
        self._check_short_queues()
        self._require_range("count_bits", 4, 16)
        steps = self.tile_load_cycles
        self._require(steps < 1 << self.count_bits, "count_bits", f"enough for one LW of a tile, {steps} elements")
        self._require_range("gap_bits", 2, 16)
        self._require_range("loop_levels", 0, 4)
        if self.stride_bits is not None:
            self._require_range("stride_bits", 3, self.addr_bits)
        for field in (
            "weights_beside_data",
            "weights_from_host",
            "indexed",
            "lane0_index",
            "last_bytes",
            "bitwise",
            "lane_by_lane",
            "assertions",
            "trace",
        ):
            self._require(isinstance(getattr(self, field), bool), field, "True or False")
        self._check_choices()

    def _check_short_queues(self) -> None:
        known = isinstance(self.short_queues, tuple) and all(isinstance(q, ShortQueue) for q in self.short_queues)
        self._require(
            known and len(dict.fromkeys(q.queue for q in self.short_queues)) == len(self.short_queues),
            "short_queues",
            "a tuple of ShortQueue of different queues",
        )
        units = {unit.name for unit in self.units}
        named = all(isinstance(q.queue, str) and q.queue.partition(".")[0] in units for q in self.short_queues)
        self._require(named, "short_queues", f"of queues of {', '.join(sorted(units))}")
        short = all(type(q.rows) is int and 16 <= q.rows <= self.program_rows for q in self.short_queues)
        self._require(short, "short_queues", f"of 16..program_rows = {self.program_rows} rows")

    def _check_choices(self) -> None:
        """Choices that a core can do without."""
        memories = {unit.name for unit in self.units if unit.memory is not None}
        groups = self.plain_groups
        known = isinstance(groups, tuple) and all(isinstance(name, str) for name in groups)
        named = known and len(set(groups)) == len(groups) and memories.issuperset(groups)
        self._require(named, "plain_groups", f"different ones of {', '.join(sorted(memories))}")
        rule = "False with a switch that moves streams, and where the vector unit works lane by lane"
        self._require(not (self.last_bytes and (self.switch_moves or self.lane_by_lane)), "last_bytes", rule)

    # --------------------------------------------------------- derived widths

    def rows_of(self, queue: str) -> int:
        """Instructions of the queue of that name."""
        return next((short.rows for short in self.short_queues if short.queue == queue), self.program_rows)

    def is_short(self, queue: str) -> bool:
        return any(short.queue == queue for short in self.short_queues)

    @property
    def superlane_lanes(self) -> int:
        """S: lanes of one superlane, and side of one supercell."""
        return min(self.lanes, SUPERLANE_LANES)

    @property
    def superlanes(self) -> int:
        """R: superlanes; superlane r works r cycles after superlane 0."""
        return self.lanes // self.superlane_lanes

    @property
    def tile_load_cycles(self) -> int:
        """Cycles to load one L x L weight tile: L / weight_streams."""
        return self.lanes // self.weight_streams

    @property
    def turn_cycles(self) -> int:
        """Cycles in which an S x S block of weights comes over the weight bus: S / weight_streams."""
        return self.superlane_lanes // self.weight_streams

    @property
    def abc_cycles(self) -> int:
        """Cycles for which an element of ABC takes the array: S / mac_rows."""
        return self.superlane_lanes // (self.mac_rows or self.superlane_lanes)

    @property
    def vector_cycles(self) -> int:
        """Cycles for which an element takes its pipe of the vector unit: 1, or S where it is lane by lane."""
        return self.superlane_lanes if self.lane_by_lane else 1

    @property
    def tile_cycles(self) -> int:
        """Cycles from one weight tile to the next, each multiplied with one vector."""
        return max(self.tile_load_cycles, self.abc_cycles)

    @property
    def macs(self) -> int:
        """int8 multiply-accumulates per cycle of the whole core."""
        return self.lanes * self.lanes * self.mxm_planes * self.hemispheres // self.abc_cycles

    @property
    def has_floats(self) -> bool:
        """Whether a pipe computes in fp32; the INT pipe then has its floating-point operations as well."""
        return any(kind in FLOAT_PIPES for kind in self.pipes)

    @property
    def switch_moves(self) -> bool:
        """Whether the switch moves data streams; TRANSPOSE alone works on the weight bus."""
        return any(op is not SwitchOp.TRANSPOSE for op in self.switch_ops)

    @property
    def sums_on_streams(self) -> bool:
        """Whether the only accumulator row stands for the first register of the streams that it drives.

        It has to be the only driver at the edge, and in one superlane; a sum then is on its way a cycle earlier.
        """
        return self.acc_rows == 1 and self.superlanes == 1 and self.mxm_planes == 1

    @property
    def acc_addr_bits(self) -> int:
        return max(1, (self.acc_rows - 1).bit_length())

    @property
    def addr_bits(self) -> int:
        """Width of an SRAM address {slice, row}; one width for all groups."""
        return max(self.row_bits(g) + (g.slices - 1).bit_length() for g in self.weight_groups + self.data_groups)

    @property
    def stride_width(self) -> int:
        """Width of a signed address step."""
        return self.addr_bits if self.stride_bits is None else self.stride_bits

    @staticmethod
    def row_bits(group: MemoryGroup) -> int:
        """Bits of the row part of an address; the slice number stands above them."""
        return (group.depth_rows - 1).bit_length()

    @property
    def sram_bytes(self) -> int:
        per_hemisphere = sum(g.slices * g.depth_rows for g in self.weight_groups + self.data_groups)
        return per_hemisphere * self.lanes * self.hemispheres

    def streams(self, direction: Direction) -> int:
        return self.streams_east if direction is Direction.EAST else self.streams_west

    @property
    def fingerprint(self) -> int:
        """CRC-32 of every field that a program image depends on; an image runs only where it matches."""
        fields = dataclasses.asdict(self)
        for build_only in ("paired_columns", "assertions", "trace"):
            del fields[build_only]
        return zlib.crc32(json.dumps(fields, sort_keys=True).encode())

    def replace(self, **changes: object) -> LpuConfig:
        """A changed copy, checked like any other. Raises ConfigError for an unknown field."""
        known = {field.name for field in dataclasses.fields(self)}
        for field in changes:
            if field not in known:
                raise ConfigError(f"config '{self.name}': unknown field '{field}'; known: {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    # -------------------------------------------------------------- floorplan

    def _hemisphere_columns(self) -> list[list[tuple[UnitKind, MemoryGroup | None]]]:
        """Units by position, from the matrix unit at the edge towards the vector unit."""
        columns: list[list[tuple[UnitKind, MemoryGroup | None]]] = [
            [(UnitKind.MATRIX, None)] * self.mxm_planes,
        ]
        if self.switch_ops:
            columns.append([(UnitKind.SWITCH, None)])
        weights: list[list[tuple[UnitKind, MemoryGroup | None]]]
        weights = [[(UnitKind.WEIGHT_MEMORY, group)] for group in self.weight_groups]
        beside = weights.pop(0) if self.weights_beside_data else []
        columns += weights
        step = self.data_groups_per_position
        for first in range(0, len(self.data_groups), step):
            data = self.data_groups[first : first + step]
            columns.append([*(() if first else beside), *((UnitKind.DATA_MEMORY, group) for group in data)])
        return columns

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units, west hemisphere first; positions count from the west edge.

        West hemisphere: MXM at 0, SXM if there is one, weight groups, data groups; then VXM; the east hemisphere
        mirrors the west.
        """
        columns = self._hemisphere_columns()
        center = len(columns)
        count: dict[UnitKind, int] = dict.fromkeys(UnitKind, 0)
        units = []
        for hemisphere in range(self.hemispheres):
            outward = Direction.WEST if hemisphere == 0 else Direction.EAST
            for offset, column in enumerate(columns):
                for kind, memory in column:
                    position = offset if hemisphere == 0 else 2 * center - offset
                    units.append(Unit(kind, count[kind], position, outward, memory))
                    count[kind] += 1
        units.append(Unit(UnitKind.VECTOR, 0, center, Direction.WEST))
        return tuple(units)

    @property
    def positions(self) -> int:
        """Number of stream positions, west edge to east edge."""
        return 1 + max(unit.position for unit in self.units)

    def units_of(self, kind: UnitKind) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.kind is kind)

    def unit(self, name: str) -> Unit:
        """The unit of that name, e.g. ``d0``. Raises ConfigError when the floorplan has none."""
        for unit in self.units:
            if unit.name == name:
                return unit
        raise ConfigError(f"config '{self.name}': no unit '{name}'; units: {', '.join(u.name for u in self.units)}")

    def data_streams(self, unit: Unit, direction: Direction) -> range:
        """Data streams of ``direction`` in the unit's hemisphere: all but the weight bus.

        For the vector unit both directions are outward, so with two hemispheres neither includes a weight bus.
        """
        outward = direction is unit.outward or (unit.kind is UnitKind.VECTOR and self.hemispheres == 2)
        return range(self.weight_streams if outward else 0, self.streams(direction))

    def readable(self, unit: Unit, field: str = "stream", pipe: PipeKind | None = None) -> dict[Direction, range]:
        """Data streams that an operand of ``unit`` may name: outward ones, for the vector unit inward ones.

        Operand x of the vector unit sees the lower half of them, y the upper half (of an odd number of SG4s, both see
        the middle one); y of the MUL pipe sees all, so that a square takes both operands from one stream.
        """
        if unit.kind is not UnitKind.VECTOR:
            return {unit.outward: self.data_streams(unit, unit.outward)}
        inward = tuple(Direction) if self.hemispheres == 2 else (unit.outward.opposite,)
        if field == "y" and pipe is PipeKind.MUL:
            return {d: self.data_streams(unit, d) for d in inward}
        return {d: _half(self.data_streams(unit, d), upper=field == "y") for d in inward}

    def drivable(self, unit: Unit) -> dict[Direction, range]:
        """Data streams on which ``unit`` may drive a result.

        Matrix unit and switch drive inward, the vector unit outward, data groups both ways; a weight group drives a
        single row inward, on the first SG4, and all its slices at once on the weight bus. A switch that moves nothing
        drives the weight bus only.
        """
        inward = unit.outward.opposite
        match unit.kind:
            case UnitKind.VECTOR:
                outward = tuple(Direction) if self.hemispheres == 2 else (unit.outward,)
                return {d: self.data_streams(unit, d) for d in outward}
            case UnitKind.DATA_MEMORY:
                return {d: self.data_streams(unit, d) for d in Direction}
            case UnitKind.WEIGHT_MEMORY if self.weights_from_host:
                return {}
            case UnitKind.WEIGHT_MEMORY:
                first = self.data_streams(self.unit("vxm0"), inward).start
                return {inward: range(first, first + STREAMS_PER_GROUP)[self.single_step - 1 :]}
            case UnitKind.SWITCH if not self.switch_moves:
                return {}
            case _:
                return {inward: self.data_streams(unit, inward)}

    def indexes(self, unit: Unit) -> bool:
        """Whether the memory group has GATHER and SCATTER."""
        return self.indexed and unit.name not in self.plain_groups

    @property
    def single_step(self) -> int:
        """Single streams that are read or driven are one in so many, the last ones."""
        return STREAMS_PER_GROUP if self.last_bytes else 1

    def single(self, index: int) -> bool:
        """Whether stream ``index`` of a direction may be read or driven by itself."""
        return (index + 1) % self.single_step == 0

    def link_stream(self, direction: Direction) -> int:
        """The data stream at the vector unit's position on which rows go to memory groups, or come from them."""
        return next(s for s in self.data_streams(self.unit("vxm0"), direction) if self.single(s))

    def index_streams(self, unit: Unit) -> tuple[int, int]:
        """The pair of outward data streams, low byte first, on which GATHER and SCATTER of ``unit`` find their indices:
        the low half of an int32 on the last SG4.

        Fixed: choosing them per instruction would cost a multiplexer of all streams at every memory port.
        """
        first = self.streams(unit.outward) - STREAMS_PER_GROUP
        return first, first + 1


def _half(streams: range, upper: bool) -> range:
    """The lower or upper half of the SG4s, rounded up."""
    size = -(-len(streams) // (2 * STREAMS_PER_GROUP)) * STREAMS_PER_GROUP
    return streams[len(streams) - size :] if upper else streams[:size]


def _preset(name: str, **fields: object) -> LpuConfig:
    return LpuConfig(name=name, **fields)  # type: ignore[arg-type]


PRESETS: dict[str, LpuConfig] = {
    config.name: config
    for config in (
        _preset(
            "nano",
            lanes=4,
            streams_east=4,
            streams_west=8,
            weight_streams=4,
            weight_groups=(MemoryGroup(4, 256),),
            data_groups=(MemoryGroup(4, 128),),
            weights_beside_data=True,
            weights_from_host=True,
            indexed=False,
            mac_rows=2,
            pipes=(PipeKind.INT, PipeKind.REQUANT),
            bitwise=False,
            mult_bits=8,
            lane_by_lane=True,
            imm_bits=14,
            switch_ops=(),
            program_rows=128,
            count_bits=5,
            gap_bits=2,
            loop_levels=0,
            stride_bits=3,
            assertions=False,
        ),
        _preset(
            "tiny",
            lanes=4,
            streams_east=8,
            streams_west=8,
            weight_streams=4,
            weight_groups=(MemoryGroup(4, 256),),
            data_groups=(MemoryGroup(4, 128), MemoryGroup(4, 128)),
            data_groups_per_position=2,
            pipes=(PipeKind.INT, PipeKind.REQUANT),
            mult_bits=8,
            imm_bits=16,
            program_rows=64,
            count_bits=8,
            gap_bits=6,
            loop_levels=1,
        ),
        _preset(
            "small",
            lanes=16,
            streams_east=16,
            streams_west=24,
            weight_streams=16,
            weight_groups=(MemoryGroup(16, 1536),),
            data_groups=(MemoryGroup(4, 512),) * 3,
            data_groups_per_position=3,
            acc_rows=4,
            gap_bits=7,
        ),
        _preset(
            "ulx3s",
            lanes=16,
            streams_east=8,
            streams_west=16,
            weight_streams=8,
            weight_groups=(MemoryGroup(8, 2560),),
            data_groups=(MemoryGroup(4, 512),) * 2,
            data_groups_per_position=2,
            lane0_index=True,
            last_bytes=True,
            mac_rows=8,
            acc_rows=4,
            sfu_cycles=2,
            operand_registers=(PipeKind.INT, PipeKind.SFU),
            switch_ops=(SwitchOp.TRANSPOSE,),
            short_queues=(
                ShortQueue("mxm0.w", 144),
                ShortQueue("mxm0.a", 144),
                ShortQueue("sxm0", 32),
                ShortQueue("w0.w", 16),
                ShortQueue("d1.w", 128),
                ShortQueue("vxm0.m", 320),
                ShortQueue("vxm0.s", 112),
            ),
            count_bits=8,
            gap_bits=6,
            paired_columns=11,
        ),
        _preset(
            "ulx3s_narrow",
            lanes=8,
            streams_east=8,
            streams_west=16,
            weight_streams=8,
            weight_groups=(MemoryGroup(8, 4608),),
            data_groups=(MemoryGroup(4, 1024), MemoryGroup(4, 512), MemoryGroup(4, 512)),
            data_groups_per_position=3,
            plain_groups=("d1", "d2"),
            lane0_index=True,
            last_bytes=True,
            acc_rows=8,
            sfu_cycles=4,
            operand_registers=(PipeKind.INT, PipeKind.SFU),
            switch_ops=(SwitchOp.TRANSPOSE,),
            count_bits=8,
            gap_bits=6,
            assertions=False,
        ),
        _preset(
            "duo",
            lanes=32,
            streams_east=16,
            streams_west=24,
            weight_streams=16,
            weight_groups=(MemoryGroup(16, 512),),
            data_groups=(MemoryGroup(4, 256),) * 3,
            data_groups_per_position=1,
            acc_rows=8,
            pipes=tuple(PipeKind),
        ),
        _preset(
            "medium",
            lanes=64,
            streams_east=16,
            streams_west=32,
            weight_streams=16,
            weight_groups=(MemoryGroup(16, 16384),),
            data_groups=(MemoryGroup(4, 4096),) * 3,
            data_groups_per_position=3,
            acc_rows=16,
            program_rows=1024,
        ),
        _preset(
            "groq",
            lanes=320,
            streams_east=32,
            streams_west=32,
            weight_streams=16,
            hemispheres=2,
            mxm_planes=2,
            weight_groups=(MemoryGroup(16, 8192),) * 2,
            data_groups=(MemoryGroup(4, 8192),) * 3,
            acc_rows=64,
            program_rows=4096,
        ),
    )
}


def preset(name: str) -> LpuConfig:
    """The preset of that name. Raises ConfigError that lists the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset '{name}'; presets: {', '.join(PRESETS)}")
    return PRESETS[name]
