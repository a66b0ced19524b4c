"""A memory group within one superlane: its banks, what they drive onto the streams and what they take from them."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, Unit, UnitKind
from hdl.emit import Shared, shared
from hdl.layouts import lane_bits, read_layout, write_layout
from hdl.memory.bank import Bank
from hdl.streams import Reach, StreamView, choose, digest, drive_enables, drive_ports, one_of, view_ports


class MemoryTile(Shared):
    """READ: SRAM in issue + 1, driven in issue + 2. WRITE: stream taken in issue, SRAM written in issue + 1.

    A data group drives and takes one slice, or (wide) slice j as byte j of an SG4. A weight group drives one slice, or
    (wide) slice j on stream j of the weight bus (``bus``, enable ``drive_bus``); it takes one stream for all slices.
    ``read_digest``/``write_digest`` are for the commit trace.
    """

    def __init__(self, config: LpuConfig, unit: Unit) -> None:
        assert unit.memory is not None
        self._config = config
        self._unit = unit
        self._memory = unit.memory
        self._reach = Reach.of(config, unit)
        self._width = lane_bits(config)
        super().__init__(
            {
                "read": In(read_layout(config, unit)),
                "write": In(write_layout(config, unit)),
                **view_ports(self._reach, self._width),
                **drive_ports(config, self._reach),
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
        taken = self._take(m)
        rows = []
        for j in range(self._memory.slices):
            bank = Bank(self._memory.depth_rows, self._width)
            m.submodules[f"slice{j}"] = shared(bank, platform)
            m.d.comb += [
                bank.read_en.eq(self.read.access.en[j]),
                bank.read_row.eq(self.read.access.rows[j]),
                bank.write_en.eq(self.write.access.en[j]),
                bank.write_row.eq(self.write.access.rows[j]),
                bank.write_data.eq(taken[j]),
            ]
            rows.append(bank.read_data)
        self._drive(m, rows)
        if self._config.trace:
            m.d.comb += self.write_digest.eq(self._digest(self.write.access, taken))
        return m

    def _take(self, m: Module) -> list[Value]:
        """The vector each slice writes, registered between issue and access."""
        group = StreamView(self, self._reach, self._width).group(self.write.stream)
        single = one_of(group, self.write.stream)
        if self._is_weights:
            vector = Signal(self._width, name="taken", reset_less=True)
            m.d.sync += vector.eq(single)
            return [vector] * self._memory.slices
        vectors = [Signal(self._width, name=f"taken{j}", reset_less=True) for j in range(STREAMS_PER_GROUP)]
        for vector, byte in zip(vectors, group, strict=True):
            m.d.sync += vector.eq(Mux(self.write.wide, byte, single))
        return vectors

    def _drive(self, m: Module, rows: list[Value]) -> None:
        """The cycle after the access: the rows are out of the SRAM."""
        read = Signal(self.read.shape(), name="driven")
        m.d.sync += read.eq(self.read)
        single = choose(rows, read.slice)
        for j in range(STREAMS_PER_GROUP):
            wide_row = single if self._is_weights else Mux(read.wide, rows[j], single)
            m.d.comb += self.lanes[j].eq(wide_row)
        on_streams = read.valid & ~(read.wide & self._is_weights)
        for direction in Direction:
            enables = drive_enables(self._reach, direction, on_streams, read.wide, read.stream)
            m.d.comb += getattr(self, f"drive_{direction.name.lower()}").eq(enables)
        m.d.comb += [self.bus[j].eq(row) for j, row in enumerate(rows)]
        m.d.comb += self.drive_bus.eq(read.valid & read.wide & self._is_weights)
        if self._config.trace:
            m.d.comb += [self.read_valid.eq(read.valid), self.read_digest.eq(self._digest(read.access, rows))]

    def _digest(self, access: data.View, rows: list[Value]) -> Value:
        words: dict[int, Value] = {}
        words_per_row = 1 + self._width // 32
        for j, row in enumerate(rows):
            parts = [access.rows[j], *(row[32 * i : 32 * i + 32] for i in range(self._width // 32))]
            for i, part in enumerate(parts):
                words[j * words_per_row + i] = Mux(access.en[j], part, 0)
        return digest(words)
