"""The cocotb test module of every unit: apply the inputs of each cycle, record the outputs of each cycle."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

STIMULUS, RESPONSE = Path("stimulus"), Path("response")
"""Files in the working directory: (inputs per cycle, names of outputs), and the outputs per cycle."""
RESET_CYCLES = 2


@cocotb.test()
async def play(dut: Any) -> None:
    """Inputs change after the rising edge that begins a cycle; outputs are read in its middle, when all is settled."""
    cycles, outputs = pickle.loads(STIMULUS.read_bytes())
    ports = {name: getattr(dut, name) for name in {*cycles[0], *outputs}}
    shown: dict[str, int] = {}
    response = []

    def apply(inputs: dict[str, int]) -> None:
        for name, value in inputs.items():
            if shown.get(name) != value:
                ports[name].value = shown[name] = value

    apply(dict.fromkeys(cycles[0], 0))
    dut.rst.value = 1
    Clock(dut.clk, 2, "ns", impl="gpi").start()
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    for inputs in cycles:
        apply(inputs)
        await FallingEdge(dut.clk)
        response.append({name: int(ports[name].value) for name in outputs})
        await RisingEdge(dut.clk)
    RESPONSE.write_bytes(pickle.dumps(response))
