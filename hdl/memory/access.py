"""From an issued READ, GATHER, WRITE or SCATTER element to the rows that the slices of a group access."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared
from hdl.isa import INDEX_BITS, Opcode, Queue, QueueKind, west
from hdl.layouts import command_of, issue_layout, lane_bits
from hdl.streams import choose


class AccessHead(Shared):
    """row_j = addr row + index, slice from addr; registered, so the SRAM is accessed one cycle after issue.

    ``index_low``/``index_high`` are the index pair at the group's position in superlane 0 in the issue cycle.
    A ``poke`` from the host port stands in for the issued element: one row of one slice, by ``poke_stream``.
    ``out_of_range`` flags a row at or beyond the group's depth, with the access; such a write is dropped.
    Latency: 1 cycle (a write's ``stream`` and ``wide`` pass through, they are needed at issue).
    """

    def __init__(self, config: LpuConfig, queue: Queue) -> None:
        assert queue.unit.memory is not None
        self._config = config
        self._queue = queue
        self._memory = queue.unit.memory
        stream = issue_layout(config, queue.kind)["stream"].shape
        ports = {
            "issue": In(issue_layout(config, queue.kind)),
            "poke": In(1),
            "poke_addr": In(config.addr_bits),
            "poke_stream": In(stream, init=west(0)),
            "command": Out(command_of(config, queue)),
            "out_of_range": Out(1),
        }
        if config.indexes(queue.unit):
            ports |= {"index_low": In(lane_bits(config)), "index_high": In(lane_bits(config))}
        super().__init__(ports)

    @property
    def module_name(self) -> str:
        port = "read" if self._is_read else "write"
        kind = "" if self._config.indexes(self._queue.unit) or not self._config.indexed else "_plain"
        return f"lpu_access_{port}_{self._memory.slices}x{self._memory.depth_rows}{kind}"

    @property
    def _is_read(self) -> bool:
        return self._queue.kind is QueueKind.MEM_READ

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = self.issue.valid | self.poke
        wide = self.issue.wide & ~self.poke
        stream = Mux(self.poke, self.poke_stream, self.issue.stream)
        addr = Mux(self.poke, self.poke_addr, self.issue.addr)
        row_bits = self._config.row_bits(self._memory)
        slice_ = Signal(range(self._memory.slices))
        m.d.comb += slice_.eq(addr >> row_bits)
        rows = self._rows(m, addr[:row_bits])
        enables = [valid & (wide | (slice_ == j)) for j in range(self._memory.slices)]
        bad = [enable & (row >= self._memory.depth_rows) for enable, row in zip(enables, rows, strict=True)]

        m.d.sync += [self.command.access.rows[j].eq(row) for j, row in enumerate(rows)]
        m.d.sync += [self.command.valid.eq(valid), self.out_of_range.eq(Cat(bad).any())]
        if self._is_read:
            m.d.sync += [self.command.access.en.eq(Cat(enables)), self.command.wide.eq(wide)]
            m.d.sync += self.command.stream.eq(stream)
        else:
            m.d.sync += self.command.access.en.eq(Cat(enables) & ~Cat(bad))
            m.d.comb += [self.command.wide.eq(wide), self.command.stream.eq(stream)]
        return m

    def _rows(self, m: Module, base: Value) -> list[Value]:
        """base + index of each slice: that of the named lane, or (spread) of the slice's own lane."""
        if not self._config.indexes(self._queue.unit):
            return [base] * self._memory.slices
        indexed = (self.issue.op == (Opcode.GATHER if self._is_read else Opcode.SCATTER)) & ~self.poke
        indices = [Cat(self.index_low[i : i + 8], self.index_high[i : i + 8]) for i in range(0, len(self.index_low), 8)]
        assert len(indices[0]) == INDEX_BITS
        named, spread = Signal(INDEX_BITS, name="named"), Signal(name="spread")
        one = indices[0] if self._config.lane0_index else choose(indices, self.issue.lane)
        m.d.comb += named.eq(Mux(indexed, one, 0))
        m.d.comb += spread.eq(indexed & self.issue.spread)
        return [(base + Mux(spread, indices[j], named))[: len(base)] for j in range(self._memory.slices)]
