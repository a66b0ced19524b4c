"""The testbench's side of the host port: clock, reset, and playing scripts on the ``lpu_sim`` top."""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

RESET_CYCLES = 4


class HostPlayer:
    """Plays ``script.<index>`` files on the simulated core; Python wakes twice per script, whatever its length."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut

    async def start_clock(self) -> None:
        """Start the clock and hold reset for a few cycles."""
        dut = self._dut
        dut.play.value = 0
        dut.rst.value = 1
        Clock(dut.clk, 2, "ns", impl="gpi").start()
        await ClockCycles(dut.clk, RESET_CYCLES)
        dut.rst.value = 0

    async def play(self, index: int) -> bool:
        """Play script number ``index``, its answers go to ``answer.<index>``; False when a request failed."""
        dut = self._dut
        dut.index.value = index
        dut.play.value = 1
        await RisingEdge(dut.finished)
        good = not dut.broken.value
        dut.play.value = 0
        await FallingEdge(dut.finished)
        return good
