"""The cocotb test module of the board tests: a serial line's other end sends bytes and records what comes back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from cocotb_tests.fpga.serial_ends import CLOCK_NS, serial_ends

STEPS, REPLIES = Path("steps"), Path("replies")
"""Files in the working directory: a list of steps, and the bytes that each got as its reply."""
POLL_BITS = 10


@cocotb.test()
async def play(dut: Any) -> None:
    """A step is (bytes to send, bits of silence after them, bytes to wait for, bits to wait at most).

    Bytes that come later than a step waits for them count as the next step's.
    """
    divisor, steps = pickle.loads(STEPS.read_bytes())
    source, sink = await serial_ends(dut, divisor)
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
