"""The cocotb test module behind a pseudo-terminal: what a program writes there goes to the board's rx, tx comes back.

Simulated time waits for the program: QUIET_BITS after the last byte in either direction only POLL_BITS of it pass in
LOOK_SECONDS.
"""

from __future__ import annotations

import os
import select
import tty
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from cocotb_tests.fpga.serial_ends import CLOCK_NS, serial_ends

PORT, STOP, SETTING = Path("port"), Path("stop"), Path("setting")
"""Files in the working directory: the name of the terminal; there when it is over; clock cycles of a bit."""
POLL_BITS, QUIET_BITS = 5, 200
LOOK_SECONDS = 0.01
CHUNK = 256
"""Bytes taken from the terminal at a time."""


@cocotb.test()
async def serve(dut: Any) -> None:
    divisor = int(SETTING.read_text())
    source, sink = await serial_ends(dut, divisor)
    master = _open_terminal()
    quiet = 0
    while not STOP.exists():
        ready, _, _ = select.select([master], [], [], LOOK_SECONDS if quiet > QUIET_BITS else 0)
        if ready and source.count() < CHUNK:
            source.write_nowait(os.read(master, CHUNK))
        await Timer(POLL_BITS * divisor * CLOCK_NS, "ns")
        quiet += POLL_BITS
        if sink.count():
            os.write(master, bytes(sink.read_nowait()))
            quiet = 0
        elif source.count():
            quiet = 0


def _open_terminal() -> int:
    """A raw pseudo-terminal, its name in PORT; the file descriptor of the board's side."""
    master, slave = os.openpty()
    tty.setraw(slave)
    partial = PORT.with_suffix(".partial")
    partial.write_text(os.ttyname(slave))
    partial.rename(PORT)
    return master
