"""The cocotb test module of the board tests: a serial line's other end sends bytes and records what comes back."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer
from cocotbext.uart import UartSink, UartSource

STEPS, REPLIES = Path("steps"), Path("replies")
"""Files in the working directory: a list of steps, and the bytes that each got as its reply."""
CLOCK_NS = 10
RESET_CYCLES = 4
POLL_BITS = 10


@cocotb.test()
async def play(dut: Any) -> None:
    """A step is (bytes to send, bits of silence after them, bytes to wait for, bits to wait at most).

    Bytes that come later than a step waits for them count as the next step's.
    """
    for name in ("rx", "tx"):
        logging.getLogger(f"cocotb.{dut._name}.{name}").setLevel(logging.WARNING)
    divisor, steps = pickle.loads(STEPS.read_bytes())
    baud = 1e9 / (CLOCK_NS * divisor)
    source, sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
    dut.rst.value = 1
    Clock(dut.clk, CLOCK_NS, "ns", impl="gpi").start()
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    replies = []
    for sent, silence, expected, patience in steps:
        await source.write(sent)
        await source.wait()
        if silence:
            await Timer(silence * divisor * CLOCK_NS, "ns")
        for _ in range(0, patience, POLL_BITS):
            if sink.count() >= expected:
                break
            await Timer(POLL_BITS * divisor * CLOCK_NS, "ns")
        replies.append(bytes(sink.read_nowait()))
    REPLIES.write_bytes(pickle.dumps(replies))
