"""A memory group within one superlane: its banks, what they drive onto the streams and what they take from them."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.choice import Choice
from hdl.config import STREAMS_PER_GROUP, LpuConfig, Unit, UnitKind
from hdl.emit import Shared, Technology, shared, technology_of
from hdl.layouts import lane_bits, read_layout, write_layout
from hdl.memory.bank import Bank
from hdl.streams import (
    Reach,
    StreamView,
    any_of,
    choose,
    digest,
    drive_enables,
    drive_ports,
    view_ports,
)


class MemoryTile(Shared):
    """READ: SRAM in issue + 1, driven in issue + 2. WRITE: stream taken in issue, SRAM written in issue + 1.

    A data group drives and takes one slice, or (wide) slice j as byte j of an SG4. A weight group drives one slice, or
    (wide) slice j on stream j of the weight bus (``bus``, enable ``drive_bus``); it takes one stream for all slices.
    ``read_digest``/``write_digest`` are for the commit trace. With ``weights_from_host`` the rows of a weight group are
    on ``bus`` a cycle after ``drive_bus``.

    Where registers reset for nothing (ECP5), what is not taken or not read is zero and the rest is ORed. A cell of the
    iCE40 is a LUT or a register or both: there is chosen before the register, and a choice of rows read.
    """

    def __init__(self, config: LpuConfig, unit: Unit) -> None:
        assert unit.memory is not None
        self._config = config
        self._unit = unit
        self._memory = unit.memory
        self._reads, self._drives = Reach.reads(config, unit), Reach.drives(config, unit)
        self._width = lane_bits(config)
        super().__init__(
            {
                "read": In(read_layout(config, unit)),
                "write": In(write_layout(config, unit)),
                **view_ports(self._reads, self._width),
                **drive_ports(config, self._drives, soon=True),
                "drive_bus": Out(1),
                "bus": Out(data.ArrayLayout(self._width, self._memory.slices)),
                "read_valid": Out(1),
                "read_digest": Out(32),
                "write_digest": Out(32),
            }
        )

    @property
    def module_name(self) -> str:
        return f"lpu_memory_{self._unit.kind.value}_{self._unit.outward.name.lower()}_{self._memory.depth_rows}"

    @property
    def _is_weights(self) -> bool:
        return self._unit.kind is UnitKind.WEIGHT_MEMORY

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access = self._access(m)
        self._platform = platform
        self._chooses = technology_of(platform) is Technology.ICE40
        taken = self._take(m)
        rows = []
        for j in range(self._memory.slices):
            bank = Bank(self._memory.depth_rows, self._width, clears=not self._chooses)
            m.submodules[f"slice{j}"] = shared(bank, platform)
            m.d.comb += [
                bank.read_en.eq(access.en[j]),
                bank.read_row.eq(access.rows[j]),
                bank.write_en.eq(self.write.access.en[j]),
                bank.write_row.eq(self.write.access.rows[j]),
                bank.write_data.eq(taken[j]),
            ]
            rows.append(bank.read_data)
        self._drive(m, rows)
        if self._config.trace:
            m.d.comb += self.write_digest.eq(self._digest(self.write.access, taken))
        return m

    def _access(self, m: Module) -> data.View:
        """The read access; a cycle later where the SRAM's output register stands for the weight bus's."""
        access = self.read.access
        if not (self._is_weights and self._config.weights_from_host):
            return access
        late = Signal(access.shape(), name="late")
        m.d.sync += late.eq(access)
        return late

    def _take(self, m: Module) -> list[Value]:
        """The vector each slice writes, from registers between issue and access: what is not taken, is reset there."""
        if self._is_weights and self._config.weights_from_host:
            return [self._first_stream] * self._memory.slices
        group = StreamView(self, self._reads, self._width).group(self.write.stream)
        is_wide = Const(0, 1) if self._is_weights else self.write.wide
        if self._chooses:
            choice = Choice(self._width)
            m.submodules.taken = shared(choice, self._platform)
            single = choice.among(m, group, self.write.stream[1:3])
            vectors = self._spread(group, is_wide, single)
            return [self._registered(m, f"held{j}", vector) for j, vector in enumerate(vectors)]
        was_wide = Signal(name="was_wide")
        m.d.sync += was_wide.eq(is_wide)
        if self._config.last_bytes:
            held = [self._registered(m, f"held{j}", vector) for j, vector in enumerate(group)]
            return self._spread(held, was_wide, held[-1])
        kept = [Mux(is_wide | (self.write.stream[1:3] == j), vector, 0) for j, vector in enumerate(group)]
        held = [self._registered(m, f"held{j}", vector) for j, vector in enumerate(kept)]
        return self._spread(held, was_wide, any_of(held))

    @property
    def _first_stream(self) -> Value:
        """What the host port drives, for longer than a cycle."""
        (direction,) = self._reads.streams
        return Value.cast(getattr(self, direction.name.lower()))[: self._width]

    def _registered(self, m: Module, name: str, vector: Value) -> Value:
        held = Signal(self._width, name=name, reset_less=True)
        m.d.sync += held.eq(vector)
        return held

    def _spread(self, vectors: list[Value], wide: Value, single: Value) -> list[Value]:
        """For each slice or stream its own of the vectors, or (not wide) ``single``; where that is chosen, it is the
        first one of a wide access.
        """
        if self._is_weights:
            return [single] * self._memory.slices
        spread = [Mux(wide, vector, single) for vector in vectors]
        return [single, *spread[1:]] if self._chooses else spread

    def _drive(self, m: Module, rows: list[Value]) -> None:
        """The cycle after the access: the rows that were read are out of the SRAM."""
        read = Signal(self.read.shape(), name="driven")
        m.d.sync += read.eq(self.read)
        if self._chooses:
            single = self._choose(m, rows, Mux(read.wide, 0, _number(read.access.en)))
        else:
            single = any_of(rows)
        driven = self._spread(rows, read.wide, single)
        if self._config.last_bytes:
            driven = [*rows[: STREAMS_PER_GROUP - 1], driven[STREAMS_PER_GROUP - 1]]
        for lane, vector in zip(self.lanes, driven, strict=False):
            m.d.comb += lane.eq(vector)
        on_streams = self.read.valid & ~(self.read.wide & self._is_weights)
        for direction in self._drives.streams:
            soon = getattr(self, f"soon_{direction.name.lower()}")
            enables = drive_enables(self._drives, direction, on_streams, self.read.wide, self.read.stream)
            m.d.comb += soon.eq(enables)
            m.d.sync += getattr(self, f"drive_{direction.name.lower()}").eq(soon)
        m.d.comb += [self.bus[j].eq(row) for j, row in enumerate(rows)]
        m.d.comb += self.drive_bus.eq(read.valid & read.wide & self._is_weights)
        if self._config.trace:
            self._log(m, read, rows)

    def _choose(self, m: Module, rows: list[Value], number: Value) -> Value:
        if len(rows) != STREAMS_PER_GROUP:
            return choose(rows, number)
        choice = Choice(self._width)
        m.submodules.single = shared(choice, self._platform)
        return choice.among(m, rows, number)

    def _log(self, m: Module, read: data.View, rows: list[Value]) -> None:
        """In the cycle in which the rows are there."""
        if self._is_weights and self._config.weights_from_host:
            there = Signal(read.shape(), name="there")
            m.d.sync += there.eq(read)
            read = there
        m.d.comb += [self.read_valid.eq(read.valid), self.read_digest.eq(self._digest(read.access, rows))]

    def _digest(self, access: data.View, rows: list[Value]) -> Value:
        words: dict[int, Value] = {}
        words_per_row = 1 + self._width // 32
        for j, row in enumerate(rows):
            parts = [access.rows[j], *(row[32 * i : 32 * i + 32] for i in range(self._width // 32))]
            for i, part in enumerate(parts):
                words[j * words_per_row + i] = Mux(access.en[j], part, 0)
        return digest(words)


def _number(bits: Value) -> Value:
    """Of the bit that is on, if it is one."""
    places = range((len(bits) - 1).bit_length())
    return Cat(any_of([bit for i, bit in enumerate(bits) if i >> k & 1]) for k in places)
