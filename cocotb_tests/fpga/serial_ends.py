"""The other end of a simulated board's serial line."""

from __future__ import annotations

import logging
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.uart import UartSink, UartSource

CLOCK_NS = 10
RESET_CYCLES = 4


async def serial_ends(dut: Any, divisor: int) -> tuple[UartSource, UartSink]:
    """What sends to ``rx`` and hears ``tx``, ``divisor`` clock cycles a bit; the board has been reset and runs."""
    for name in ("rx", "tx"):
        logging.getLogger(f"cocotb.{dut._name}.{name}").setLevel(logging.WARNING)
    baud = 1e9 / (CLOCK_NS * divisor)
    source, sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
    dut.rst.value = 1
    Clock(dut.clk, CLOCK_NS, "ns", impl="gpi").start()
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    return source, sink
