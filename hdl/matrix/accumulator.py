"""The accumulators below one column of the array, and the way of a finished sum to its superlane."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared, shared
from hdl.isa import QueueKind
from hdl.layouts import block_members, block_of, issue_layout, result_layout
from hdl.matrix.sum_register import SumRegister
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
        m.d.sync += self.command_next.eq(self.command)
        self._return(m, self._only_row(m, platform) if self._config.acc_rows == 1 else self._latest(m))
        return m

    def _only_row(self, m: Module, platform: object) -> Value:
        """The row as a register, through which its blocks move: the commanded one comes out and goes in again."""
        size, blocks = 32 * len(self.psums), self._config.abc_cycles
        newest = Signal(size, name="newest")
        others = [Signal(size, name=f"other{b}", reset_less=True) for b in range(blocks - 1)]
        row = Cat(*others, newest)
        for n, psum in enumerate(self.psums):
            register = SumRegister(early=self._config.sums_on_streams)
            m.submodules[f"sum{n}"] = shared(register, platform)
            m.d.comb += [
                register.enable.eq(self.command.valid),
                register.start.eq(self.command.start),
                register.old.eq(row[32 * n : 32 * n + 32]),
                register.term.eq(psum),
                newest[32 * n : 32 * n + 32].eq(register.sum),
            ]
        with m.If(self.command.valid):
            m.d.sync += [block.eq(after) for block, after in zip(others, [*others[1:], newest], strict=False)]
        return row

    def _latest(self, m: Module) -> Value:
        """The latest sums of a memory of rows, block by block in a register."""
        sums = data.ArrayLayout(32, len(self.psums))
        total = Signal(sums, name="total")
        row = Signal(32 * self._config.superlane_lanes, name="row", reset_less=True)
        stored = sums(self._rows(m, Value.cast(total)))
        for n in range(len(self.psums)):
            old = Mux(self.command.start, Const(0, 32), stored[n])
            m.d.comb += total[n].eq((old + self.psums[n])[:32])
        size, blocks = len(Value.cast(total)), self._config.abc_cycles
        for b in range(blocks):
            with m.If(self.command.block == b if blocks > 1 else Const(1)):
                m.d.sync += row[b * size : (b + 1) * size].eq(total)
        return row

    def _rows(self, m: Module, total: Value) -> Value:
        """The commanded block of the commanded row; ``total`` takes its place."""
        depth = self._config.acc_rows * self._config.abc_cycles
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

    def _return(self, m: Module, row: Value) -> None:
        """The sum in the cycle after its last block, then a register per hop.

        With ``sums_on_streams`` its announcement comes in the cycle before it.
        """
        hop = Signal(result_layout(self._config), name="sum")
        complete = self.command.valid & self.command.emit & self._is_last_block
        domain = m.d.comb if self._config.sums_on_streams else m.d.sync
        domain += [hop.valid.eq(complete), hop.out.eq(self.command.out)]
        m.d.comb += Value.cast(hop.sums).eq(row)
        for h in range(self._config.superlanes - 1):
            after = Signal(result_layout(self._config), name=f"hop{h}")
            m.d.sync += after.eq(hop)
            hop = after
        m.d.comb += self.result.eq(hop)

    @property
    def _is_last_block(self) -> Value:
        blocks = self._config.abc_cycles
        return self.command.block == blocks - 1 if blocks > 1 else Const(1)
