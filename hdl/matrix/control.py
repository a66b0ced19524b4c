"""Commands of a matrix plane from the elements of its two queues."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.isa import Opcode, QueueKind
from hdl.layouts import issue_layout, weights_layout
from hdl.matrix.accumulator import accumulate_layout

PSUM_LATENCY = 4
"""Cycles from an activation at a superlane to its psum out of the first column."""


class WeightControl(wiring.Component):
    """Element i of LW captures block i mod (L/ws) of the tile; ``install``: a complete tile is installed a cycle later.

    ``command`` is combinational: it holds in the issue cycle.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        super().__init__(
            {"issue": In(issue_layout(config, QueueKind.MXM_WEIGHTS)), "command": Out(weights_layout(config))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        steps = self._config.tile_load_cycles
        blocks = self._config.superlane_lanes // self._config.weight_streams
        is_load = self.issue.valid & (self.issue.op == Opcode.LW)
        pending = Signal(range(max(2, steps)), name="pending_step", reset_less=True)
        step = Signal.like(pending, name="step")
        complete = step == steps - 1
        install_next = Signal(name="install_next")
        m.d.comb += step.eq(Mux(self.issue.first, 0, pending))
        with m.If(is_load):
            m.d.sync += pending.eq(Mux(complete, 0, step + 1))
        m.d.sync += install_next.eq(is_load & complete & self.issue.install)
        m.d.comb += [
            self.command.load.eq(is_load),
            self.command.column.eq(step // blocks),
            self.command.block.eq(step % blocks),
            self.command.install.eq(install_next | (self.issue.valid & (self.issue.op == Opcode.IW))),
        ]
        return m


class ActivationControl(wiring.Component):
    """The accumulator command of an ABC element, when its psums leave the bottom of column 0: T + 4 + (R - 1).

    ``at_issue`` is the command in T, and in the n - 1 cycles after it: its blocks of rows are 0 .. n - 1.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "issue": In(issue_layout(config, QueueKind.MXM_ACTIVATIONS)),
                "at_issue": Out(accumulate_layout(config)),
                "command": Out(accumulate_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.at_issue.eq(self._by_blocks(m, self._first(m)))
        command = self.at_issue
        for stage in range(PSUM_LATENCY + self._config.superlanes - 1):
            after = Signal(accumulate_layout(self._config), name=f"stage{stage}")
            m.d.sync += after.eq(command)
            command = after
        m.d.comb += self.command.eq(command)
        return m

    def _first(self, m: Module) -> data.View:
        """The command of block 0."""
        row = Signal(self._config.acc_addr_bits, name="row")
        walked = Signal.like(row, name="walked", reset_less=True)
        issue = self.issue
        m.d.comb += row.eq(Mux(issue.walk & ~issue.first, walked, issue.row))
        m.d.sync += walked.eq(Mux(issue.valid, row + 1, walked))
        command = Signal(accumulate_layout(self._config), name="first")
        m.d.comb += [
            command.valid.eq(issue.valid),
            command.row.eq(row),
            command.start.eq(issue.start & (issue.walk | issue.first)),
            command.emit.eq(issue.emit & (issue.walk | issue.last)),
            command.out.eq(issue.out),
        ]
        return command

    def _by_blocks(self, m: Module, first: data.View) -> data.View:
        """The command once for each block of rows, cycle by cycle."""
        blocks = self._config.abc_cycles
        if blocks == 1:
            return first
        command, kept = (Signal(accumulate_layout(self._config), name=name) for name in ("by_blocks", "kept"))
        m.d.comb += command.eq(Mux(first.valid, first, kept))
        m.d.sync += [kept.eq(command), kept.block.eq(command.block + 1)]
        with m.If(command.block == blocks - 1):
            m.d.sync += kept.valid.eq(0)
        return command
