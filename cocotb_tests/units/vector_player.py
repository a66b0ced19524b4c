"""The cocotb test module of :mod:`cocotb_tests.units.vectors`: run the clock until the vectors are used up."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

RESET_CYCLES = 2


@cocotb.test()
async def play(dut: Any) -> None:
    dut.rst.value = 1
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.done)
