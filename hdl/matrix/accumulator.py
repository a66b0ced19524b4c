"""The accumulators below one column of the array, and the way of a finished sum to its superlane."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared
from hdl.isa import QueueKind
from hdl.layouts import block_members, block_of, issue_layout, result_layout
from hdl.matrix.supercell import psum_layout


def accumulate_layout(config: LpuConfig) -> data.StructLayout:
    """What to do with the psums of this cycle."""
    stream = issue_layout(config, QueueKind.MXM_ACTIVATIONS)["out"].shape
    row = {"row": config.acc_addr_bits, **block_members(config)}
    return data.StructLayout({"valid": 1, **row, "start": 1, "emit": 1, "out": stream})


class AccumulatorColumn(Shared):
    """acc[row] := (start ? 0 : acc[row]) + psum, int32 modulo 2^32 per lane; with emit the new sum goes to ``result``.

    ``command`` comes with its psums, block by block of the rows, and hops to the next column (``command_next``) a
    cycle later. ``result`` follows the last block after 1 + (R - 1) cycles: R - 1 hops from the bottom of the array to
    the superlane that owns these outputs.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(accumulate_layout(config)),
                "command_next": Out(accumulate_layout(config)),
                "psums": In(psum_layout(config)),
                "result": Out(result_layout(config)),
            }
        )

    @property
    def module_name(self) -> str:
        return f"lpu_accumulator_{self._config.acc_rows}x{self._config.superlane_lanes}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums = data.ArrayLayout(32, len(self.psums))
        total = Signal(sums, name="total")
        held = self._rows(m, Value.cast(total))
        stored = sums(held)
        for n in range(len(self.psums)):
            old = Mux(self.command.start, Const(0, 32), stored[n])
            m.d.comb += total[n].eq((old + self.psums[n])[:32])
        m.d.sync += self.command_next.eq(self.command)
        self._return(m, total, held)
        return m

    def _rows(self, m: Module, total: Value) -> Value:
        """The commanded block of a row; ``total`` takes its place. A single one is a register: no memory is without
        address.
        """
        depth = self._config.acc_rows * self._config.abc_cycles
        if depth == 1:
            row = Signal(len(total), name="row", reset_less=True)
            with m.If(self.command.valid):
                m.d.sync += row.eq(total)
            return row
        m.submodules.rows = rows = Memory(shape=len(total), depth=depth, init=[])
        read, write = rows.read_port(domain="comb"), rows.write_port()
        place = Cat(block_of(self._config, self.command), self.command.row)
        m.d.comb += [
            read.addr.eq(place),
            write.addr.eq(place),
            write.data.eq(total),
            write.en.eq(self.command.valid),
        ]
        return read.data

    def _return(self, m: Module, total: data.View, held: Value) -> None:
        """A register for the sum, filled block by block, then one per hop.

        A core's only row is such a register, where a sum comes in one block: it holds the last one.
        """
        hop = Signal(result_layout(self._config), name="sum")
        blocks = [Const(1)] if self._config.abc_cycles == 1 else self._blocks()
        m.d.sync += [hop.valid.eq(self.command.valid & self.command.emit & blocks[-1]), hop.out.eq(self.command.out)]
        if self._config.acc_rows == self._config.abc_cycles == 1:
            m.d.comb += Value.cast(hop.sums).eq(held)
        else:
            for b, is_block in enumerate(blocks):
                with m.If(is_block):
                    m.d.sync += [hop.sums[b * len(total) + n].eq(total[n]) for n in range(len(total))]
        for h in range(self._config.superlanes - 1):
            after = Signal(result_layout(self._config), name=f"hop{h}")
            m.d.sync += after.eq(hop)
            hop = after
        m.d.comb += self.result.eq(hop)

    def _blocks(self) -> list[Value]:
        """Which block of rows comes, one bit each."""
        return [self.command.block == b for b in range(self._config.abc_cycles)]
