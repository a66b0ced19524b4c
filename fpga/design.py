"""The design on a board: the core behind the UART bridge."""

from __future__ import annotations

import math

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.core import Core
from hdl.emit import Technology, VerilogWriter
from hdl.link.bridge import HostBridge
from hdl.link.protocol import IDLE_SECONDS
from hdl.link.uart import divisor_for

TOP = "lpu_board"


class BoardDesign(wiring.Component):
    """Core and bridge; ``rx``, ``tx``: the serial line as seen from the board; ``running``: a program runs.

    ``idle_seconds``: how long the bridge waits for the next byte of a frame. Raises ConfigError for a baud that the
    clock does not give.
    """

    def __init__(self, config: LpuConfig, clock_hz: int, baud: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._config = config
        self._bridge = HostBridge(config, divisor_for(clock_hz, baud), math.ceil(clock_hz * idle_seconds))
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "running": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = Core(self._config)
        m.submodules.bridge = bridge = self._bridge
        wiring.connect(m, bridge.host, core.host)
        m.d.comb += [bridge.rx.eq(self.rx), self.tx.eq(bridge.tx), bridge.running.eq(core.running)]
        m.d.comb += self.running.eq(core.running)
        return m


def board_verilog(
    config: LpuConfig,
    clock_hz: int,
    baud: int,
    idle_seconds: float = IDLE_SECONDS,
    technology: Technology = Technology.GENERIC,
) -> str:
    """Verilog of module ``lpu_board`` for a technology: the ports of :class:`BoardDesign`, ``clk`` and ``rst``.

    Raises ConfigError.
    """
    return VerilogWriter(technology).write(BoardDesign(config, clock_hz, baud, idle_seconds), TOP)
